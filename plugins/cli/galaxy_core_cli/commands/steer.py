"""`galaxy pause`, `galaxy continue` and `galaxy stop`."""

from __future__ import annotations

import click

from galaxy_core_cli import options


@click.command()
@click.argument("run")
@options.as_json
@options.debug
def pause(run: str, as_json: bool) -> int:
    """Have a run start nothing more for now.

    What runs goes on to its end. `galaxy continue` ends the pause. RUN is the id of a run under way, or the name of its plan,
    or the end of its id, or `last`.
    """
    from galaxy_core_cli.kept.steering import steer

    return steer("pause", run, as_json)


@click.command(name="continue")
@click.argument("run")
@options.as_json
@options.debug
def proceed(run: str, as_json: bool) -> int:
    """Have a run go on that was paused.

    RUN is the id of a run under way, or the name of its plan, or the end of its id, or `last`. A run whose
    process has ended goes on with `galaxy resume`.
    """
    from galaxy_core_cli.kept.steering import steer

    return steer("continue", run, as_json)


@click.command()
@click.argument("run")
@click.option("--no-wait", is_flag=True, help="Do not wait until it has left.")
@options.as_json
@options.debug
def stop(run: str, no_wait: bool, as_json: bool) -> int:
    """Have a run leave, so that it can be resumed.

    What runs goes on to its end, nothing more is started, and the process of the run ends. `galaxy resume` goes on, on this
    machine, when you like. RUN is the id of a run under way, or the name of its plan, or the end of its id, or `last`.
    """
    from galaxy_core_cli.kept.steering import steer, stop_run

    return steer("stop", run, as_json) if no_wait else stop_run(run, as_json)
