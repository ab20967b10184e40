"""`galaxy resume`."""

from __future__ import annotations

from typing import Any

import click

from galaxy_core_cli import options


@click.command()
@options.run_kept
@click.option("--plan", metavar="PLAN", help="Go on only if this is the plan that the run began with.")
@click.option(
    "--devices",
    metavar="FILE",
    help="The inventory; default: the devices that the run began with, their secrets looked up anew.",
)
@click.option(
    "--here", is_flag=True, help="Go on in the current folder; default: the one in which the run was under way."
)
@options.conducting
@options.debug
@click.pass_context
def resume(
    context: click.Context,
    run: str,
    journal: str | None,
    plan: str | None,
    devices: str | None,
    here: bool,
    view: dict[str, Any],
) -> int:
    """Go on with a run whose process has ended.

    What was done stays done. What was under way when the process ended is settled first, by what its device says of it, or
    by its effect. The run goes on in the folder in which it was under way; files that are named here are seen from the
    current one. Everything else is as with `galaxy run`.

    RUN is the id of a run, or `last`, or the name of its plan if only one run of that can be resumed, or the end of its id.
    """
    from galaxy_core_cli.running.performing import View
    from galaxy_core_cli.running.resuming import Again, go_on

    return go_on(Again(run, journal, plan, devices, here), View(**view), context.ensure_object(options.State))
