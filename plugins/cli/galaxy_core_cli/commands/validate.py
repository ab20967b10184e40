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
    is no problem, and warned of on standard error; that a task waits for a device to be found is said there, too.
    """
    problems, warnings, notes, tasks = _problems(plan, devices, strategy, block, no_plugins)
    if as_json:
        told = {"problems": problems, "warnings": warnings, "notes": notes}
        found = {"valid": not problems, **{name: _documents(each) for name, each in told.items()}}
        click.echo(json.dumps(found, indent=2))
        return Exit.REFUSED if problems else Exit.OK
    for one in warnings:
        say.warning(str(one))
    for one in notes:
        say.note(str(one))
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
) -> tuple[list[Problem], list[Problem], list[Problem], int]:
    """What is wrong, what may be, what is worth a word, and how many tasks there are."""
    from galaxy_core.errors import DocumentError
    from galaxy_core_cli import checks, files

    problems: list[Problem] = []
    read_plan = inventory = None
    try:
        read_plan = files.read_plan(plan)
    except DocumentError as error:
        problems += checks.of_document(error)
    try:
        inventory = files.read_inventory(devices)
    except DocumentError as error:
        problems += checks.of_document(error)
    if read_plan is None or inventory is None:
        return problems, [], [], 0
    chosen = strategy or read_plan.strategy or files.DEFAULT_STRATEGY
    case = checks.Case(read_plan, plan, inventory, devices, files.loaded(block, no_plugins), chosen)
    problems = case.problems()
    return problems, case.warnings(), [] if problems else case.notes(), len(read_plan.tasks)
