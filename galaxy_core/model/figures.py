"""What a plan comes to in numbers, before and after changes that nobody has made: from an outline of it, not from it.

An outline is ids, estimates, devices and links. It is made in O(tasks + links) and measured in one walk, so that what a
transaction would make of a plan can be measured without the plan, and without anything that judges conditions.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from attrs import frozen

from galaxy_core.model.analysis import DEFAULT_ESTIMATE_S
from galaxy_core.model.changes import Changes
from galaxy_core.model.constellation import TaskConstellation
from galaxy_core.model.result import TERMINAL
from galaxy_core.model.task import TaskStar


class HasSlots(Protocol):
    """A device that runs so many tasks at a time, such as the `DeviceLoad` that strategies get."""

    @property
    def max_concurrency(self) -> int:
        """The number of tasks at a time."""


#: Devices by id: how many tasks each runs at a time.
Loads = Mapping[str, int | HasSlots]


@frozen
class DeviceShare:
    """What is left to do on one device: tasks that have not ended, and the sum of their estimates in seconds.

    `device_id` is None for tasks that have no device yet. `slots` is how many tasks it runs at a time, None when that
    was not said.
    """

    device_id: str | None
    tasks: int
    seconds: float
    slots: int | None = None


@frozen
class Figures:
    """A plan in numbers, by estimates (1 second for a task without one) and over all of its tasks, ended or not.

    `critical_path_s` is the length of the longest path, whose ids are `critical_path`; `width` the size of the widest
    wave; `work_s` the sum of all estimates; `lower_bound_s` the length below which no schedule on the given slots can
    come; `remaining_s` the same of the tasks that have not ended. Those that a plan with a cycle has not are None.
    `devices` has every device that was given or has tasks, tasks without one last.
    """

    tasks: int
    links: int
    critical_path_s: float | None
    critical_path: tuple[str, ...]
    width: int | None
    work_s: float
    lower_bound_s: float | None
    remaining_s: float | None
    devices: tuple[DeviceShare, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "tasks": self.tasks,
            "links": self.links,
            "critical_path_s": self.critical_path_s,
            "critical_path": list(self.critical_path),
            "width": self.width,
            "work_s": self.work_s,
            "lower_bound_s": self.lower_bound_s,
            "remaining_s": self.remaining_s,
            "devices": [
                {"device_id": share.device_id, "tasks": share.tasks, "seconds": share.seconds, "slots": share.slots}
                for share in self.devices
            ],
        }


class Row(NamedTuple):
    """One task of an outline."""

    task_id: str
    estimate_s: float
    device_id: str | None
    has_ended: bool


def _row(task: TaskStar, device_id: str | None, has_ended: bool) -> Row:
    estimate = task._estimate_s
    usable = isinstance(estimate, (int, float)) and not isinstance(estimate, bool) and math.isfinite(estimate)
    seconds = float(estimate) if usable and estimate is not None and estimate >= 0 else DEFAULT_ESTIMATE_S
    return Row(task._task_id, seconds, device_id, has_ended)


def figures_now(plan: TaskConstellation, slots: Mapping[str, int]) -> Figures:
    """Of the plan as it is."""
    rows = [_row(task, task._target_device_id, task._status in TERMINAL) for task in plan._tasks.values()]
    return _measured(rows, [(line._from, line._to) for line in plan._lines], slots)


def figures_after(changes: Changes, skips: Collection[str], slots: Mapping[str, int]) -> Figures:
    """Of the plan as the changes would leave it, as far as they are sound; `skips` end at once."""
    return _measured(list(_rows_after(changes, skips)), list(_links_after(changes)), slots)


def _rows_after(changes: Changes, skips: Collection[str]) -> Iterator[Row]:
    for task_id, task in changes.plan._tasks.items():
        if task_id in changes.removed_tasks:
            continue
        said = changes.updated_tasks.get(task_id, task)
        # A device that a strategy chose stays, unless another one, or none, is asked for.
        keeps = said is task or (said._target_device_id == (task._target_device_id if task._pinned else None))
        device_id = task._target_device_id if keeps else said._target_device_id
        yield _row(said, device_id, task._status in TERMINAL or task_id in skips)
    for task_id, task in changes.new_tasks.items():
        yield _row(task, task._target_device_id, task_id in skips)


def _links_after(changes: Changes) -> Iterator[tuple[str, str]]:
    removed = changes.removed_lines
    for line in changes.plan._lines:
        if line._line_id is None or line._line_id not in removed:
            yield line._from, line._to
    for line in changes.new_lines.values():
        yield line._from, line._to


def slots_of(loads: Loads | None) -> dict[str, int]:
    """The slots of each device.

    Raises:
        ValueError: a number of slots that cannot be.
    """
    slots = {}
    for device_id, load in (loads or {}).items():
        count = load if isinstance(load, int) else load.max_concurrency
        if isinstance(count, bool) or not isinstance(count, int) or count < 0:
            raise ValueError(f"device {device_id!r} cannot have {count!r} slots: give a number from 0 on")
        slots[device_id] = count
    return slots


def _measured(rows: Sequence[Row], links: Sequence[tuple[str, str]], slots: Mapping[str, int]) -> Figures:
    work = sum((row.estimate_s for row in rows), 0.0)
    left = sum((row.estimate_s for row in rows if not row.has_ended), 0.0)
    shares = _shares(rows, slots)
    paths = _paths(rows, links)
    if paths is None:
        return Figures(len(rows), len(links), None, (), None, work, None, None, shares)
    total = sum(slots.values()) or math.inf
    lower_bound, remaining = max(paths.longest_s, work / total), max(paths.ahead_s, left / total)
    return Figures(
        len(rows), len(links), paths.longest_s, paths.longest, paths.width, work, lower_bound, remaining, shares
    )


class _Paths(NamedTuple):
    longest_s: float
    longest: tuple[str, ...]
    ahead_s: float
    width: int


def _paths(rows: Sequence[Row], links: Sequence[tuple[str, str]]) -> _Paths | None:
    """What one walk in topological order finds (Kahn's algorithm); None when a cycle has none."""
    place = {row.task_id: index for index, row in enumerate(rows)}
    after: list[list[int]] = [[] for _ in rows]
    waits = [0] * len(rows)
    for source, target in links:
        after[place[source]].append(place[target])
        waits[place[target]] += 1
    queue = [index for index, count in enumerate(waits) if not count]
    reach, ahead = [0.0] * len(rows), [0.0] * len(rows)  # seconds up to and with each; of what has not ended
    depth = [0] * len(rows)
    before: dict[int, int] = {}
    for index in queue:  # it grows
        row = rows[index]
        length = reach[index] = reach[index] + row.estimate_s
        left = ahead[index] = ahead[index] if row.has_ended else ahead[index] + row.estimate_s
        level = depth[index] + 1
        for behind in after[index]:
            if length > reach[behind]:
                reach[behind], before[behind] = length, index
            ahead[behind] = max(ahead[behind], left)
            depth[behind] = max(depth[behind], level)
            waits[behind] -= 1
            if not waits[behind]:
                queue.append(behind)
    if len(queue) < len(rows):
        return None
    if not rows:
        return _Paths(0.0, (), 0.0, 0)
    longest = max(reach)
    return _Paths(longest, _way(rows, reach.index(longest), before), max(ahead), max(Counter(depth).values()))


def _way(rows: Sequence[Row], last: int, before: Mapping[int, int]) -> tuple[str, ...]:
    way = [last]
    while way[-1] in before:
        way.append(before[way[-1]])
    return tuple(rows[index].task_id for index in reversed(way))


def _shares(rows: Iterable[Row], slots: Mapping[str, int]) -> tuple[DeviceShare, ...]:
    tasks: dict[str | None, int] = dict.fromkeys(slots, 0)
    seconds: dict[str | None, float] = dict.fromkeys(slots, 0.0)
    for row in rows:
        if not row.has_ended:
            tasks[row.device_id] = tasks.get(row.device_id, 0) + 1
            seconds[row.device_id] = seconds.get(row.device_id, 0.0) + row.estimate_s
    devices = [device_id for device_id in tasks if device_id is not None]
    return tuple(
        DeviceShare(
            device_id, tasks[device_id], seconds[device_id], None if device_id is None else slots.get(device_id)
        )
        for device_id in (*devices, *((None,) if None in tasks else ()))
    )
