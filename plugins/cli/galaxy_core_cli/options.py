"""Options that several commands have, and what is asked of all of them."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
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
