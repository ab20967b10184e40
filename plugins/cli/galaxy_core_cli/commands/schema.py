"""`galaxy schema`."""

from __future__ import annotations

import json

import click

from galaxy_core_cli import options

KINDS = ["plan", "inventory", "transaction"]


@click.command()
@click.argument("kind", metavar="[plan|inventory|transaction]", type=click.Choice(KINDS), default="plan")
@options.output_file
@options.debug
def schema(kind: str, output: str | None) -> int:
    """Print the JSON Schema of plan files (default), inventory files or transactions, to complete and check with."""
    from galaxy_core import inventory_json_schema, plan_json_schema, transaction_json_schema
    from galaxy_core_cli import files

    schemas = {"plan": plan_json_schema, "inventory": inventory_json_schema, "transaction": transaction_json_schema}
    files.write(json.dumps(schemas[kind](), indent=2), output)
    return 0
