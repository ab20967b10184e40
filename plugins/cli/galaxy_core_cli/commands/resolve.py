"""`galaxy resolve`."""

from __future__ import annotations

import click

from galaxy_core_cli import options


@click.command()
@options.run_kept
@click.argument("task")
@click.option(
    "--as",
    "outcome",
    type=click.Choice(["completed", "failed", "retry"]),
    required=True,
    help="It was done; it was not, and is not to be; or it is to be run again.",
)
@options.as_json
@options.debug
def resolve(run: str, journal: str | None, task: str, outcome: str, as_json: bool) -> int:
    """Say what became of a task that ended unknown.

    Nobody could tell whether the task was done: its device or its run went while it was at it. What was left out because
    of that is judged anew: in a run under way at once, otherwise when the run is resumed.

    RUN is the id of a run, or `last`, or the name of its plan if only one run of that is under way, or else kept, or the end
    of its id; TASK is the id of a task.
    """
    from galaxy_core_cli.kept.resolving import resolve_task

    return resolve_task(run, task, outcome, journal, as_json)
