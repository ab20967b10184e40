"""`galaxy run`."""

from __future__ import annotations

import math

import click

from galaxy_core_cli import options


def _finite(_context: click.Context, _parameter: click.Parameter, seconds: float | None) -> float | None:
    """What `FloatRange` lets through although it is no time: NaN, which is never out of range, and infinity."""
    if seconds is not None and not math.isfinite(seconds):
        raise click.BadParameter(
            f"{seconds} is not a number of seconds; leave the option out for a run without a limit."
        )
    return seconds


@click.command()
@options.plan
@options.devices
@options.strategy
@click.option("--json", "as_json", is_flag=True, help="One JSON object per event on standard output, and nothing else.")
@click.option("--plain", is_flag=True, help="One line per event; default when standard error is not a terminal.")
@click.option("--show-output", "output", is_flag=True, help="Tell what tasks print as they print it, too.")
@click.option("--artifacts", metavar="DIR", help="Keep collected files there; default: a temporary folder per run.")
@click.option(
    "--timeout",
    "timeout_s",
    metavar="S",
    type=click.FloatRange(min=0, min_open=True),
    callback=_finite,
    help="Cancel the run after S seconds.",
)
@click.option(
    "--backend", type=click.Choice(["asyncio", "trio"]), default="asyncio", show_default=True, help="The event loop."
)
@click.option("--no-control", is_flag=True, help="Open no control socket: no watch, why or edit from elsewhere.")
@options.plugins
@options.debug
@click.pass_context
def run(
    context: click.Context,
    plan: str,
    devices: str | None,
    strategy: str | None,
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

    Ctrl-C cancels the run: what runs is stopped on its device, and every task gets an end. A second Ctrl-C kills;
    Ctrl-\\ kills at once.
    """
    from galaxy_core_cli.running.start import Options, start

    chosen = Options(
        plan,
        devices,
        strategy,
        as_json,
        plain,
        output,
        artifacts,
        backend,
        block,
        no_plugins,
        timeout_s,
        not no_control,
        context.ensure_object(options.State),
    )
    return start(chosen)
