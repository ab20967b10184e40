"""`galaxy runs`."""

from __future__ import annotations

import click

from galaxy_core_cli import options


@click.command()
@options.as_json
@options.debug
def runs(as_json: bool) -> int:
    """List the runs that can be watched, explained and edited.

    Those are the ones of this user, on this machine, now.
    """
    from galaxy_core_cli.reaching import list_runs

    return list_runs(as_json)
