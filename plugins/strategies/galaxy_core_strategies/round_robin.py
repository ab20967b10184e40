"""round_robin: every device in turn."""

from __future__ import annotations

from collections.abc import Mapping

from galaxy_core.extension.interfaces import Placement
from galaxy_core_strategies.least import Least


class RoundRobin:
    """Each task goes to that fitting device which this call has given the fewest tasks, in plan order.

    Among equals it goes to the one whose last turn is longest past, then by inventory order: where every device fits
    every task, that is device ``i mod n`` for task ``i``. What devices hold already and how long tasks take does not
    count.
    """

    name = "round_robin"

    def assign(self, placement: Placement, /) -> Mapping[str, str]:
        devices = list(placement.devices)
        least = Least(devices, [(0, -1)] * len(devices))
        chosen = {}
        for turn, task in enumerate(placement.tasks):
            given, _, position = least.of(task.fitting)
            least.raise_to((given + 1, turn, position))
            chosen[task.task_id] = devices[position]
        return chosen
