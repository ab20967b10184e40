"""Options that several commands have, and what is asked of all of them."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])


@dataclass
class State:
    """What holds for a whole invocation; the object of click's context."""

    debug: bool = False


def _set_debug(context: click.Context, _parameter: click.Parameter, wanted: bool) -> None:
    if wanted:
        context.ensure_object(State).debug = True
        logging.getLogger().setLevel(logging.DEBUG)


def debug(function: F) -> F:
    return click.option(
        "--debug",
        is_flag=True,
        expose_value=False,
        callback=_set_debug,
        help="Show tracebacks and everything that is logged.",
    )(function)


def plan(function: F) -> F:
    return click.argument("plan", metavar="PLAN")(function)


def devices(function: F) -> F:
    return click.option(
        "--devices",
        metavar="FILE",
        envvar="GALAXY_DEVICES",
        help="The inventory (YAML, JSON or TOML); default: one device 'here', this machine.  [env: GALAXY_DEVICES]",
    )(function)


def strategy(function: F) -> F:
    return click.option(
        "--strategy", metavar="NAME", help="What assigns devices; default: what the plan says, else load_balance."
    )(function)


def plugins(function: F) -> F:
    function = click.option(
        "--no-plugins",
        is_flag=True,
        help="Use no plugins but those that this command brings: galaxy-core-local and galaxy-core-strategies.",
    )(function)
    return click.option(
        "--block", metavar="PLUGIN", multiple=True, help="Do not even import this plugin or distribution. Repeatable."
    )(function)


def as_json(function: F) -> F:
    return click.option("--json", "as_json", is_flag=True, help="One JSON document instead of text for people.")(
        function
    )


def output_file(function: F) -> F:
    return click.option("-o", "--output", metavar="FILE", help="Write it there; default: standard output.")(function)


def journal(function: F) -> F:
    return click.option(
        "--journal", metavar="NAME", help="The journal that keeps it; default: sqlite, of galaxy-core-journal."
    )(function)


def run_kept(function: F) -> F:
    """RUN, and which journal keeps it."""
    return click.argument("run")(journal(function))


def _finite(_context: click.Context, _parameter: click.Parameter, seconds: float | None) -> float | None:
    """What `FloatRange` lets through although it is no time: NaN, which is never out of range, and infinity."""
    if seconds is not None and not math.isfinite(seconds):
        raise click.BadParameter(
            f"{seconds} is not a number of seconds; leave the option out for a run without a limit."
        )
    return seconds


#: The options of `conducting`, and the fields of `running.performing.View` that they are.
_OF_VIEW = {
    "as_json": "json",
    "plain": "plain",
    "output": "output",
    "artifacts": "artifacts",
    "timeout_s": "timeout_s",
    "backend": "backend",
    "control": "control",
    "block": "block",
    "no_plugins": "no_plugins",
}


def conducting(function: F) -> Callable[..., Any]:
    """How a run is shown and conducted, be it a new one or one that goes on: `view`, the fields of a `View`."""

    @wraps(function)
    def collected(*arguments: Any, **given: Any) -> Any:
        view = {field: given.pop(option) for option, field in _OF_VIEW.items()}
        return function(*arguments, view=view, **given)

    decorated: Callable[..., Any] = collected
    for option in reversed(
        [
            click.option(
                "--json",
                "as_json",
                is_flag=True,
                help="One JSON object per event on standard output, and nothing else.",
            ),
            click.option(
                "--plain", is_flag=True, help="One line per event; default when standard error is not a terminal."
            ),
            click.option("--show-output", "output", is_flag=True, help="Tell what tasks print as they print it, too."),
            click.option(
                "--artifacts",
                metavar="DIR",
                help="Keep collected files there; default: with the run in its journal, without one in a temporary folder.",
            ),
            click.option(
                "--timeout",
                "timeout_s",
                metavar="S",
                type=click.FloatRange(min=0, min_open=True),
                callback=_finite,
                help="Cancel the run after S seconds.",
            ),
            click.option(
                "--backend",
                type=click.Choice(["asyncio", "trio"]),
                default="asyncio",
                show_default=True,
                help="The event loop.",
            ),
            click.option(
                "--no-control",
                "control",
                is_flag=True,
                flag_value=False,
                default=True,
                help="Open no control socket: no watch, why, edit, pause or stop from elsewhere.",
            ),
        ]
    ):
        decorated = option(decorated)
    return plugins(decorated)
