"""`galaxy watch`."""

from __future__ import annotations

import click

from galaxy_core_cli import options


@click.command()
@click.argument("run", required=False)
@click.option("--show-output", "output", is_flag=True, help="Tell what tasks print, too: those that start from now on.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object per event, as `galaxy run --json` prints them.")
@options.debug
def watch(run: str | None, output: bool, as_json: bool) -> int:
    """Follow a run of another process, one line per event.

    It is followed to its end, on standard output.

    RUN is the id of a run under way, or the name of its plan, or the end of its id, or `last`. It can be left
    out while there is only one run. Ctrl-C stops watching, and not the run.
    """
    from galaxy_core_cli.kept.newest import meant
    from galaxy_core_cli.reaching import follow, follow_any

    return follow_any(output, as_json) if run is None else follow(meant(run), output, as_json)
