"""`galaxy run`."""

from __future__ import annotations

from typing import Any, Literal

import click

from galaxy_core_cli import options


@click.command()
@options.plan
@options.devices
@options.strategy
@click.option(
    "--journal",
    metavar="NAME",
    help="Keep the run in this journal, or in none; default: sqlite, if galaxy-core-journal is installed.",
)
@click.option(
    "--durability",
    type=click.Choice(["sync", "batched", "off"]),
    default="sync",
    show_default=True,
    help="What is kept when: before anything follows from it; within a tenth of a second; or nothing.",
)
@options.conducting
@options.debug
@click.pass_context
def run(
    context: click.Context,
    plan: str,
    devices: str | None,
    strategy: str | None,
    journal: str | None,
    durability: Literal["sync", "batched", "off"],
    view: dict[str, Any],
) -> int:
    """Run a plan to its end.

    PLAN is a YAML, JSON or TOML file, or - for standard input. Progress and the summary go to standard error; standard
    output gets what those tasks printed on which no other task waits.

    The run is kept in a journal as it goes: after a crash, a kill or a loss of power `galaxy resume last` goes on.

    Ctrl-C cancels the run: what runs is stopped on its device, and every task gets an end. A second Ctrl-C kills;
    Ctrl-\\ kills at once.

    SIGTERM and SIGHUP stop a run that is kept, so that it can be resumed: what may run again is ended, what may run only once
    is waited for. A second SIGTERM leaves at once.
    """
    from galaxy_core_cli.running.performing import View
    from galaxy_core_cli.running.start import Options, start

    return start(
        Options(plan, devices, strategy, journal, durability), View(**view), context.ensure_object(options.State)
    )
