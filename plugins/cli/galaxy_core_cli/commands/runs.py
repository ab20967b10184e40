"""`galaxy runs`."""

from __future__ import annotations

import click

from galaxy_core_cli import options


@click.command(short_help="List runs: under way, to be resumed, or kept.")
@click.option("--all", "everything", is_flag=True, help="All that a journal keeps.")
@options.journal
@options.as_json
@options.debug
def runs(everything: bool, journal: str | None, as_json: bool) -> int:
    """List runs that are under way, that can be resumed, or that are over.

    Those under way are the ones of this user, on this machine: they can be watched, explained, edited, paused and stopped.
    """
    from galaxy_core_cli.kept.listing import list_runs

    return list_runs(journal, everything, as_json)
