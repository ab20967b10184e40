"""load_balance: the least maximum of seconds per slot."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from galaxy_core.extension.interfaces import DeviceLoad, Placement, TaskToPlace
from galaxy_core_strategies.estimate import seconds
from galaxy_core_strategies.least import Heap, Key, Least


class LoadBalance:
    """Keeps the maximum load low; load is the seconds of work that a device holds and is given, per slot.

    Greedy: one task after the other goes to the fitting device whose load will be least with it. Two orders are tried, and
    the better outcome is taken: longest task first (R. L. Graham, "Bounds on multiprocessing timing anomalies", 1969), and
    fewest fitting devices first (M. L. Pinedo, "Scheduling": least flexible job first), longest first among those. Of many
    tasks, the second is better where the sets of fitting devices are nested in each other, the first where they overlap.
    Cost: O(n log n + n g log d) for n tasks and d devices of g different `max_concurrency`.
    """

    name = "load_balance"

    def assign(self, placement: Placement, /) -> Mapping[str, str]:
        longest_first = sorted(placement.tasks, key=lambda task: (-seconds(task), len(task.fitting)))
        fewest_first = sorted(longest_first, key=lambda task: len(task.fitting))
        loads, chosen = _greedy(longest_first, placement.devices)
        if fewest_first != longest_first:
            other_loads, other = _greedy(fewest_first, placement.devices)
            if other_loads < loads:
                return other
        return chosen


def _greedy(tasks: Iterable[TaskToPlace], devices: Mapping[str, DeviceLoad]) -> tuple[list[float], dict[str, str]]:
    """The loads that come of it, largest first, and the device of each task."""
    ids = list(devices)
    slots = [load.max_concurrency for load in devices.values()]
    least = Least(ids, [(load.assigned_s, load.assigned) for load in devices.values()])
    heaps_of: dict[tuple[str, ...], list[Heap]] = {}
    chosen = {}
    for task in tasks:
        cost = seconds(task)
        heaps = heaps_of.get(task.fitting)
        if heaps is None:
            heaps = heaps_of[task.fitting] = [least.heap(part) for part in _parts(task.fitting, devices)]
        key = least.top(heaps[0])
        if len(heaps) > 1:
            key = _least_with(cost, [key, *map(least.top, heaps[1:])], slots)
        work, count, position = key
        least.raise_to((work + cost, count + 1, position))
        chosen[task.task_id] = ids[position]
    return sorted((work / slots[position] for work, _, position in least.keys), reverse=True), chosen


def _parts(fitting: tuple[str, ...], devices: Mapping[str, DeviceLoad]) -> list[tuple[str, ...]]:
    """`fitting`, split by the number of slots: within a part, least work is least load whatever the task costs."""
    parts: dict[int, list[str]] = {}
    for device in fitting:
        parts.setdefault(devices[device].max_concurrency, []).append(device)
    return [tuple(part) for part in parts.values()]


def _least_with(cost: float, keys: list[Key], slots: list[int]) -> Key:
    """The key whose device will have the least load with `cost` more; then the fewest tasks per slot."""
    return min(keys, key=lambda key: ((key[0] + cost) / slots[key[2]], (key[1] + 1) / slots[key[2]], key[2]))
