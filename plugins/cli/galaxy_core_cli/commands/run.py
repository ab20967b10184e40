"""`galaxy run`."""

from __future__ import annotations

from typing import Literal

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
    as_json: bool,
    plain: bool,
    output: bool,
    artifacts: str | None,
    timeout_s: float | None,
    backend: str,
    no_control: bool,
    block: tuple[str, ...],
    no_plugins: bool,
) -> int:
    """Run a plan to its end.

    PLAN is a YAML, JSON or TOML file, or - for standard input. Progress and the summary go to standard error; standard
    output gets what those tasks printed on which no other task waits.

    The run is kept in a journal as it goes: after a crash, a kill or a loss of power `galaxy resume last` goes on.

    Ctrl-C cancels the run: what runs is stopped on its device, and every task gets an end. A second Ctrl-C kills;
    Ctrl-\\ kills at once.
    """
    from galaxy_core_cli.running.performing import View
    from galaxy_core_cli.running.start import Options, start

    view = View(as_json, plain, output, artifacts, backend, block, no_plugins, timeout_s, not no_control)
    return start(Options(plan, devices, strategy, journal, durability), view, context.ensure_object(options.State))
