"""`galaxy validate`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from galaxy_core_cli import options, say
from galaxy_core_cli.exits import Exit
from galaxy_core_cli.text import count, safe

if TYPE_CHECKING:
    from galaxy_core_cli.checks import Problem


@click.command()
@options.plan
@options.devices
@options.strategy
@options.as_json
@options.plugins
@options.debug
def validate(
    plan: str, devices: str | None, strategy: str | None, as_json: bool, block: tuple[str, ...], no_plugins: bool
) -> int:
    """Say what is wrong with a plan, and where.

    Checks the files by themselves, and then together: that devices have a transport and settings which that takes,
    that every task fits somewhere and is pinned to nothing unknown, and that its device takes what it asks. Connects
    and runs nothing. Problems go to standard output, one a line, as file:line: place: text. What no plugin would read
    is no problem, and warned of on standard error.
    """
    problems, warnings, tasks = _problems(plan, devices, strategy, block, no_plugins)
    if as_json:
        found = {"valid": not problems, "problems": _documents(problems), "warnings": _documents(warnings)}
        click.echo(json.dumps(found, indent=2))
        return Exit.REFUSED if problems else Exit.OK
    for one in warnings:
        say.warning(str(one))
    if problems:
        for one in problems:
            click.echo(safe(one))
    else:
        click.echo(f"{safe(plan)}: {count(tasks, 'task')}, nothing wrong")
    return Exit.REFUSED if problems else Exit.OK


def _documents(problems: list[Problem]) -> list[dict[str, str | int | None]]:
    return [{"file": one.source, "line": one.line, "place": one.path, "problem": one.text} for one in problems]


def _problems(
    plan: str, devices: str | None, strategy: str | None, block: tuple[str, ...], no_plugins: bool
) -> tuple[list[Problem], list[Problem], int]:
    """What is wrong, what may be, and how many tasks there are."""
    from galaxy_core.errors import DocumentError
    from galaxy_core_cli import checks, files

    problems: list[Problem] = []
    read_plan = read_devices = None
    try:
        read_plan = files.read_plan(plan)
    except DocumentError as error:
        problems += checks.of_document(error)
    try:
        read_devices = files.read_devices(devices)
    except DocumentError as error:
        problems += checks.of_document(error)
    if read_plan is None or read_devices is None:
        return problems, [], 0
    chosen = strategy or read_plan.strategy or files.DEFAULT_STRATEGY
    case = checks.Case(read_plan, plan, read_devices, devices, files.loaded(block, no_plugins), chosen)
    return case.problems(), case.warnings(), len(read_plan.tasks)
