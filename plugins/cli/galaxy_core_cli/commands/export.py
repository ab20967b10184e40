"""`galaxy export`."""

from __future__ import annotations

import click

from galaxy_core_cli import options


@click.command()
@options.run_kept
@click.option("--jsonl", is_flag=True, help="One record a line, as JSON; the only format, and the default.")
@options.output_file
@click.option("--force", is_flag=True, help="Overwrite FILE.")
@click.option("--sound", is_flag=True, help="Of a journal that is damaged, the records before the damage.")
@options.debug
def export(run: str, journal: str | None, jsonl: bool, output: str | None, force: bool, sound: bool) -> int:
    """Write out the records of a run.

    Each is a line of JSON, in the order in which they were kept.

    RUN is the id of a run, or `last`, or the name of its plan if only one run of that is kept, or
    the end of its id.
    """
    from galaxy_core_cli.kept.exporting import export_run

    return export_run(run, journal, output, force, sound)
