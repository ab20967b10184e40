"""`galaxy schema`."""

from __future__ import annotations

import json

import click

from galaxy_core_cli import options


@click.command()
@click.argument("kind", metavar="[plan|inventory]", type=click.Choice(["plan", "inventory"]), default="plan")
@options.output_file
@options.debug
def schema(kind: str, output: str | None) -> int:
    """Print the JSON Schema of plan files (default) or inventory files, for editors to complete and check with."""
    from galaxy_core import inventory_json_schema, plan_json_schema
    from galaxy_core_cli import files

    document = plan_json_schema() if kind == "plan" else inventory_json_schema()
    files.write(json.dumps(document, indent=2), output)
    return 0
