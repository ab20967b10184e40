"""earliest_finish: tasks are bound late, each to the slot on which it ends first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from galaxy_core.extension.interfaces import DeviceLoad, Placement, TaskToPlace
from galaxy_core_strategies.forecast import forecast


class EarliestFinish:
    """A ready task takes a slot the moment that one is free; where several are, on the device that is least busy per slot.

    No device is known to be faster than another, so a task ends earliest where it starts earliest: this is list
    scheduling. On n slots that fit every task, a run takes at most ``work / n + (1 - 1 / n) * critical path``, whatever
    the estimates and the order (R. L. Graham, "Bounds on multiprocessing timing anomalies", 1969). Within a priority, tasks
    that fit the fewest devices choose first, so that a slot that few can use is not given to one that could go elsewhere.

    `assign` serves those who want a plan of the whole: it returns what would come of `choose` if every task took as long as
    estimated. That comes true only where each device starts its tasks in the order of `forecast.Order`.
    """

    name = "earliest_finish"

    def assign(self, placement: Placement, /) -> Mapping[str, str]:
        return forecast(placement)

    def choose(self, ready: Sequence[TaskToPlace], free: Mapping[str, DeviceLoad], /) -> Sequence[tuple[str, str]]:
        """Pairs of task and device to start now, until no free slot fits any task that is left.

        Devices of `TaskToPlace.fitting` that are not in `free` are passed over. Cost: O(r log r + r d) for r ready tasks
        and d devices; so offer no more tasks of one kind than there are slots for.
        """
        slots = {device: load.max_concurrency - load.running for device, load in free.items()}

        def load(device: str) -> tuple[float, float]:
            most = free[device].max_concurrency
            return (most - slots[device]) / most, free[device].assigned_s / most

        left = sum(slots.values())
        pairs: list[tuple[str, str]] = []
        for task in sorted(ready, key=lambda task: (-task.priority, len(task.fitting))):
            if left == 0:
                break
            open_to = [device for device in task.fitting if slots.get(device)]
            if open_to:
                device = min(open_to, key=load)
                slots[device] -= 1
                left -= 1
                pairs.append((task.task_id, device))
        return pairs
