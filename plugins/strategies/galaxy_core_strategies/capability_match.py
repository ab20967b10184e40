"""capability_match: the device that can do little else."""

from __future__ import annotations

from collections.abc import Mapping

from galaxy_core.extension.interfaces import DeviceLoad, Placement, TaskToPlace
from galaxy_core_strategies.least import Least


class CapabilityMatch:
    """Each task goes to a closest fit: a device with the fewest capabilities beyond those that the task requires.

    So devices that can do much stay free for the tasks that need them. Equally close devices share the tasks evenly:
    next is the one that holds the fewest, of this call and before, then by inventory order.
    """

    name = "capability_match"

    def assign(self, placement: Placement, /) -> Mapping[str, str]:
        devices = list(placement.devices)
        least = Least(devices, [(load.assigned, 0) for load in placement.devices.values()])
        kinds: dict[tuple[frozenset[str], tuple[str, ...]], tuple[str, ...]] = {}
        chosen = {}
        for task in placement.tasks:
            kind = task.requires, task.fitting
            closest = kinds.get(kind)
            if closest is None:
                closest = kinds[kind] = _closest(task, placement.devices)
            held, given, position = least.of(closest)
            least.raise_to((held + 1, given + 1, position))
            chosen[task.task_id] = devices[position]
        return chosen


def _closest(task: TaskToPlace, devices: Mapping[str, DeviceLoad]) -> tuple[str, ...]:
    # The device type needs no look here: where a task asks for one, all that fit are of it.
    surplus = [len(devices[device].capabilities - task.requires) for device in task.fitting]
    fewest = min(surplus)
    return tuple(device for device, more in zip(task.fitting, surplus, strict=True) if more == fewest)
