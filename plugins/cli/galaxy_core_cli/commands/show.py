"""`galaxy show`."""

from __future__ import annotations

import click

from galaxy_core_cli import options


@click.command()
@options.run_kept
@click.argument("task", required=False)
@options.as_json
@options.debug
def show(run: str, task: str | None, journal: str | None, as_json: bool) -> int:
    """Show a run that was kept.

    How it ended or where it stands, its tasks with attempts, devices, durations and results, its edits, and who ran it when.
    With TASK, the whole of what that task left.

    RUN is the id of a run, or `last`, or the name of its plan if only one run of that is kept, or
    the end of its id.
    """
    from galaxy_core_cli.kept.page import show_run, show_task

    return show_run(run, journal, as_json) if task is None else show_task(run, task, journal, as_json)
