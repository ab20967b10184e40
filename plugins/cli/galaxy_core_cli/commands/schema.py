"""`galaxy schema`."""

from __future__ import annotations

import json

import click

from galaxy_core_cli import options

KINDS = ["plan", "inventory", "transaction"]


@click.command()
@click.argument("kind", metavar="[plan|inventory|transaction]", type=click.Choice(KINDS), default="plan")
@options.output_file
@options.plugins
@options.debug
def schema(kind: str, output: str | None, block: tuple[str, ...], no_plugins: bool) -> int:
    """Print a JSON Schema for editors to complete and check with.

    It is that of plan files (default), inventory files or transactions.

    That of plan files says what installed plugins declare of the plan's extensions.
    """
    from galaxy_core import inventory_json_schema, plan_json_schema, transaction_json_schema
    from galaxy_core_cli import files

    if kind == "plan":
        from galaxy_core.extension.sections import extension_models

        found = plan_json_schema(extension_models(files.loaded(block, no_plugins)))
    else:
        found = inventory_json_schema() if kind == "inventory" else transaction_json_schema()
    files.write(json.dumps(found, indent=2), output)
    return 0
