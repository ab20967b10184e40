"""How a run would go if every task took as long as estimated: list scheduling by upward rank."""

from __future__ import annotations

from collections.abc import Iterator
from heapq import heapify, heappop, heappush, heapreplace

from galaxy_core.extension.interfaces import Placement
from galaxy_core_strategies.estimate import seconds

_NOTHING = -1

#: What starts first: (minus priority, how many devices fit, minus upward rank, position in the plan), the least one.
Order = tuple[int, int, float, int]


def upward_ranks(placement: Placement) -> dict[str, float]:
    """Seconds from the start of each task to the end of the longest chain of tasks that begins with it.

    The priority of HEFT (H. Topcuoglu, S. Hariri, M.-Y. Wu, 2002), without costs of communication. Prerequisites that are
    not among the tasks to place count as ended. Cost: O(tasks + links).
    """
    cost = {task.task_id: seconds(task) for task in placement.tasks}
    links = {task: [source for source in placement.prerequisites.get(task, ()) if source in cost] for task in cost}
    dependents = dict.fromkeys(cost, 0)
    for sources in links.values():
        for source in sources:
            dependents[source] += 1
    ranks = dict(cost)
    settled = [task for task, count in dependents.items() if not count]
    for task in settled:  # grows while it is walked: a task is settled once all its dependents are
        for source in links[task]:
            ranks[source] = max(ranks[source], cost[source] + ranks[task])
            dependents[source] -= 1
            if not dependents[source]:
                settled.append(source)
    return ranks


def forecast(placement: Placement) -> dict[str, str]:
    """A device for each task: the one on which it would start, were each slot taken as soon as it is free.

    A device is taken to come free when each of its slots has done an equal part of what the device holds. Cost:
    O(n (log n + d + k)) for n tasks, d devices and k different sets of fitting devices.
    """
    return _Forecast(placement).run()


class _Forecast:
    """Tasks and devices are known by their positions; a queue of ready tasks for each set of fitting devices."""

    def __init__(self, placement: Placement) -> None:
        self._tasks = placement.tasks
        self._devices = list(placement.devices)
        self._slots = [load.max_concurrency for load in placement.devices.values()]
        self._free = [0] * len(self._devices)
        position = {device: index for index, device in enumerate(self._devices)}
        sets = {task.fitting: tuple(position[device] for device in task.fitting) for task in self._tasks}
        self._fitting = [sets[task.fitting] for task in self._tasks]
        self._ready: dict[tuple[int, ...], list[Order]] = {fitting: [] for fitting in sets.values()}
        self._sets_of = [[fitting for fitting in self._ready if device in fitting] for device in position.values()]
        ranks = upward_ranks(placement)
        self._order: list[Order] = [
            (-task.priority, len(task.fitting), -ranks[task.task_id], index) for index, task in enumerate(self._tasks)
        ]
        self._waits_for = [0] * len(self._tasks)
        self._dependents: list[list[int]] = [[] for _ in self._tasks]
        for source, target in _links(placement):
            self._dependents[source].append(target)
            self._waits_for[target] += 1
        # Who comes free: (time, device, how many of its slots, the task that ends then or _NOTHING)
        self._releases: list[tuple[float, int, int, int]] = [
            (load.assigned_s / load.max_concurrency, index, load.max_concurrency, _NOTHING)
            for index, load in enumerate(placement.devices.values())
        ]
        heapify(self._releases)

    def run(self) -> dict[str, str]:
        chosen: dict[str, str] = {}
        for task, count in enumerate(self._waits_for):
            if not count:
                self._make_ready(task)
        releases = self._releases
        while releases:
            now = self._release()
            while releases and releases[0][0] == now:
                self._release()
            for task, device in self._start():
                chosen[self._tasks[task].task_id] = self._devices[device]
                heappush(releases, (now + seconds(self._tasks[task]), device, 1, task))
        return chosen

    def _make_ready(self, task: int) -> None:
        heappush(self._ready[self._fitting[task]], self._order[task])

    def _release(self) -> float:
        """Take the next release, and return its time."""
        now, device, slots, ended = heappop(self._releases)
        self._free[device] += slots
        if ended != _NOTHING:
            for task in self._dependents[ended]:
                self._waits_for[task] -= 1
                if not self._waits_for[task]:
                    self._make_ready(task)
        return now

    def _start(self) -> Iterator[tuple[int, int]]:
        """The tasks that start now, each with its device, in order."""
        open_devices = [device for device, free in enumerate(self._free) if free]
        left = sum(self._free)
        heads = [
            (self._ready[fitting][0], fitting)
            for fitting in {fitting for device in open_devices for fitting in self._sets_of[device]}
            if self._ready[fitting]
        ]
        heapify(heads)
        while heads and left:
            (*_, task), fitting = heads[0]
            device = max(fitting, key=self._free_share)  # the first of equals: inventory order
            if not self._free[device]:
                heappop(heads)
                continue
            self._free[device] -= 1
            left -= 1
            yield task, device
            queue = self._ready[fitting]
            heappop(queue)
            if queue:
                heapreplace(heads, (queue[0], fitting))
            else:
                heappop(heads)

    def _free_share(self, device: int) -> float:
        return self._free[device] / self._slots[device]


def _links(placement: Placement) -> Iterator[tuple[int, int]]:
    """The positions of both ends of every link between tasks to place."""
    position = {task.task_id: index for index, task in enumerate(placement.tasks)}
    for target, index in position.items():
        for source in placement.prerequisites.get(target, ()):
            if source in position:
                yield position[source], index
