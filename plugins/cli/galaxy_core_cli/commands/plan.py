"""`galaxy plan`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from shutil import get_terminal_size
from typing import TYPE_CHECKING, Any

import click

from galaxy_core_cli import options
from galaxy_core_cli.text import count, duration, label, own_name, safe_line, table, what

if TYPE_CHECKING:
    from galaxy_core import TaskConstellation, TaskStar
    from galaxy_core_cli.checks import Case
    from galaxy_core_cli.foretell import Forecast


@click.command()
@options.plan
@options.devices
@options.strategy
@options.as_json
@options.plugins
@options.debug
def plan(
    plan: str, devices: str | None, strategy: str | None, as_json: bool, block: tuple[str, ...], no_plugins: bool
) -> int:
    """Foretell what would run where, in which order, and how long.

    Connects and runs nothing. Lengths come from the tasks' estimate_s; a task without one is taken to need a second.
    """
    from galaxy_core_cli import files
    from galaxy_core_cli.checks import Case
    from galaxy_core_cli.foretell import foretell

    found = files.read_plan(plan)
    chosen = strategy or found.strategy or files.DEFAULT_STRATEGY
    case = Case(found, plan, files.read_inventory(devices), devices, files.loaded(block, no_plugins), chosen)
    case.refuse()
    devices_used = [*case.devices, *case.awaited.values()]
    forecast = foretell(case.constellation, {device.device_id: device.max_concurrency for device in devices_used})
    if as_json:
        click.echo(json.dumps(_document(case, forecast), indent=2))
    else:
        for line in _page(case, forecast):
            click.echo(line)
    return 0


def _page(case: Case, forecast: Forecast) -> Iterator[str]:
    constellation = case.constellation
    name = safe_line(found) if (found := case.plan.name) else safe_line(case.plan_path)
    yield (
        f"{click.style(name, bold=True)}: {count(constellation.task_count, 'task')}, "
        f"{count(constellation.dependency_count, 'link')}, strategy {safe_line(case.strategy)}"
    )
    width = min(48, max(16, get_terminal_size((120, 24)).columns - 72))
    rows = [_row(constellation, task, forecast, width) for wave in forecast.waves for task in wave]
    lines = table(rows)
    for number, wave in enumerate(forecast.waves, 1):
        yield click.style(f"wave {number}", dim=True)
        for _ in wave:
            yield f"  {next(lines)}"
    if figures := list(_figures(case, forecast)):
        yield ""
        yield from table(figures)


def _row(constellation: TaskConstellation, task: TaskStar, forecast: Forecast, width: int) -> list[str]:
    estimate = "" if task.estimate_s is None else f"~{duration(task.estimate_s)}"
    pinned = " (pinned)" if task.is_pinned else ""
    return [
        label(task, width),
        f"{safe_line(task.target_device_id)}{pinned}",
        f"at {duration(forecast.starts[task.task_id]) if forecast.starts[task.task_id] else '0s'}",
        estimate,
        what(task, width),
        _after(constellation, task.task_id),
    ]


def _after(constellation: TaskConstellation, task_id: str) -> str:
    from galaxy_core import DependencyType

    words = {DependencyType.COMPLETION_ONLY: " (ended)", DependencyType.UNCONDITIONAL: " (ended)"}
    parts = []
    for line in constellation.get_task_dependencies(task_id):
        kind = line.dependency_type
        note = f" (if {line.condition_description})" if kind is DependencyType.CONDITIONAL else words.get(kind, "")
        parts.append(safe_line(f"{line.from_task_id}{note}"))
    return f"after {', '.join(parts)}" if parts else ""


def _figures(case: Case, forecast: Forecast) -> Iterator[list[str]]:
    way = forecast.critical_path
    shown = way if len(way) <= 8 else [*way[:6], "...", way[-1]]
    if not way:  # of an empty plan there is nothing more to say
        return
    yield [
        "critical path",
        f"{duration(forecast.critical_path_s)}, {count(len(way), 'task')}: {' -> '.join(map(safe_line, shown))}",
    ]
    yield [
        "width",
        f"{count(case.constellation.get_max_width(), 'task')} in the widest wave, {count(forecast.slots, 'slot')}",
    ]
    yield [
        "length",
        f"about {duration(forecast.length_s)}; no assignment can come below {duration(forecast.lower_bound_s)}",
    ]
    if forecast.assumed:
        yield ["", f"{count(forecast.assumed, 'task')} without estimate_s: 1s is taken for each"]
    for device in (*case.devices, *case.awaited.values()):
        tasks = [task for wave in forecast.waves for task in wave if task.target_device_id == device.device_id]
        busy = sum(forecast.ends[task.task_id] - forecast.starts[task.task_id] for task in tasks)
        held = f"{count(len(tasks), 'task')}, {duration(busy) if busy else '0s'} of work"
        yield ["device", f"{safe_line(device.device_id)}: {held} on {count(device.max_concurrency, 'slot')}"]
    for one in case.notes():
        yield ["", safe_line(one)]
    if case.awaited:
        yield ["", f"as if one device were found by {', '.join(repr(safe_line(name)) for name in case.awaited)}"]


def _document(case: Case, forecast: Forecast) -> dict[str, Any]:
    constellation = case.constellation
    return {
        "name": case.plan.name,
        "strategy": case.strategy,
        "tasks": [
            {
                "task": task.task_id,
                "name": own_name(task),
                "device": task.target_device_id,
                "pinned": task.is_pinned,
                "wave": number,
                "start_s": forecast.starts[task.task_id],
                "end_s": forecast.ends[task.task_id],
                "estimate_s": task.estimate_s,
                "after": [line.from_task_id for line in constellation.get_task_dependencies(task.task_id)],
            }
            for number, wave in enumerate(forecast.waves, 1)
            for task in wave
        ],
        "critical_path": forecast.critical_path,
        "critical_path_s": forecast.critical_path_s,
        "width": constellation.get_max_width(),
        "slots": forecast.slots,
        "length_s": forecast.length_s,
        "lower_bound_s": forecast.lower_bound_s,
        "without_estimate": forecast.assumed,
        "awaited": {device.device_id: name for name, device in case.awaited.items()},
    }
