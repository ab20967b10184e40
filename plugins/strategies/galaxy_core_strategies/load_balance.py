"""load_balance: the least maximum of seconds per slot."""

from __future__ import annotations

from collections.abc import Mapping

from galaxy_core.extension.interfaces import DeviceLoad, Placement
from galaxy_core_strategies.estimate import seconds
from galaxy_core_strategies.least import Key, Least


class LoadBalance:
    """Keeps the maximum load low; load is the seconds of work that a device holds and is given, per slot.

    Longest processing time first (R. L. Graham, "Bounds on multiprocessing timing anomalies", 1969): tasks in order of
    falling estimate go to the fitting device whose load will be least with them. Among equal estimates, the tasks with the
    fewest fitting devices choose first, which is optimal where their sets are nested (M. L. Pinedo, "Scheduling", least
    flexible job first). Cost: O(n log n + n g log d) for n tasks and d devices of g different `max_concurrency`.
    """

    name = "load_balance"

    def assign(self, placement: Placement, /) -> Mapping[str, str]:
        devices = list(placement.devices)
        slots = [load.max_concurrency for load in placement.devices.values()]
        least = Least(devices, [(load.assigned_s, load.assigned) for load in placement.devices.values()])
        groups: dict[tuple[str, ...], list[tuple[str, ...]]] = {}
        chosen = {}
        for task in sorted(placement.tasks, key=lambda task: (-seconds(task), len(task.fitting))):
            cost = seconds(task)
            equals = groups.get(task.fitting)
            if equals is None:
                equals = groups[task.fitting] = _equals(task.fitting, placement.devices)
            candidates = [least.of(group) for group in equals]
            work, count, position = candidates[0] if len(candidates) == 1 else _least_with(cost, candidates, slots)
            least.raise_to((work + cost, count + 1, position))
            chosen[task.task_id] = devices[position]
        return chosen


def _equals(fitting: tuple[str, ...], devices: Mapping[str, DeviceLoad]) -> list[tuple[str, ...]]:
    """`fitting`, split by the number of slots: within a part, least work is least load whatever the task costs."""
    parts: dict[int, list[str]] = {}
    for device in fitting:
        parts.setdefault(devices[device].max_concurrency, []).append(device)
    return [tuple(part) for part in parts.values()]


def _least_with(cost: float, candidates: list[Key], slots: list[int]) -> Key:
    def load(key: Key) -> tuple[float, float, int]:
        work, count, position = key
        return (work + cost) / slots[position], (count + 1) / slots[position], position

    return min(candidates, key=load)
