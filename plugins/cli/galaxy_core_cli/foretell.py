"""What would happen if every task took as long as estimated: order, waves, critical path, length."""

from __future__ import annotations

from collections.abc import Mapping
from heapq import heappop, heappush

from attrs import frozen

from galaxy_core import TaskConstellation, TaskStar

#: Seconds that a task without an estimate is taken to need.
DEFAULT_S = 1.0


@frozen
class Forecast:
    """`starts` and `ends` are seconds from the beginning, by task id, in the order of the starts.

    `waves` groups tasks by the longest path before them. `lower_bound_s` is a length below which no assignment can
    come; `assumed` counts the tasks that have no estimate.
    """

    waves: list[list[TaskStar]]
    starts: Mapping[str, float]
    ends: Mapping[str, float]
    critical_path: list[str]
    critical_path_s: float
    work_s: float
    length_s: float
    lower_bound_s: float
    slots: int
    assumed: int


def estimate_s(task: TaskStar) -> float:
    """Seconds that it is expected to take."""
    return DEFAULT_S if task.estimate_s is None else task.estimate_s


def foretell(constellation: TaskConstellation, slots: Mapping[str, int]) -> Forecast:
    """Of a plan in which every task has its device; `slots` says how many tasks each device runs at a time.

    Conditions are taken to be met, and devices to start what is ready by priority, then in plan order.
    """
    tasks = constellation.get_all_tasks()
    starts, ends = _simulated(constellation, slots)
    way, way_s = _critical_path(constellation)
    work_s = sum(map(estimate_s, tasks))
    used = sum(slots.values())
    return Forecast(
        _waves(constellation),
        starts,
        ends,
        way,
        way_s,
        work_s,
        max(ends.values(), default=0.0),
        max(way_s, work_s / used if used else 0.0),
        used,
        sum(task.estimate_s is None for task in tasks),
    )


def _sources(constellation: TaskConstellation, task_id: str) -> set[str]:
    return {line.from_task_id for line in constellation.get_task_dependencies(task_id)}


def _waves(constellation: TaskConstellation) -> list[list[TaskStar]]:
    depth: dict[str, int] = {}
    waves: list[list[TaskStar]] = []
    for task_id in constellation.get_topological_order():
        level = max((depth[source] + 1 for source in _sources(constellation, task_id)), default=0)
        depth[task_id] = level
        if level == len(waves):
            waves.append([])
        task = constellation.get_task(task_id)
        assert task is not None
        waves[level].append(task)
    return waves


def _critical_path(constellation: TaskConstellation) -> tuple[list[str], float]:
    """The path with the longest sum of estimates, and that sum."""
    reach: dict[str, float] = {}
    before: dict[str, str] = {}
    for task_id in constellation.get_topological_order():
        task = constellation.get_task(task_id)
        assert task is not None
        last = max(_sources(constellation, task_id), key=lambda source: (reach[source], source), default=None)
        if last is not None:
            before[task_id] = last
        reach[task_id] = estimate_s(task) + (reach[last] if last is not None else 0.0)
    if not reach:
        return [], 0.0
    step = max(reach, key=lambda task_id: reach[task_id])
    way, length = [step], reach[step]
    while way[-1] in before:
        way.append(before[way[-1]])
    return way[::-1], length


def _simulated(constellation: TaskConstellation, slots: Mapping[str, int]) -> tuple[dict[str, float], dict[str, float]]:
    tasks = {task.task_id: task for task in constellation.get_all_tasks()}
    place = {task_id: index for index, task_id in enumerate(tasks)}
    waits = {task_id: len(_sources(constellation, task_id)) for task_id in tasks}
    free = dict(slots)
    ready: dict[str, list[tuple[int, int, str]]] = {device: [] for device in slots}
    running: list[tuple[float, int, str]] = []
    starts: dict[str, float] = {}
    ends: dict[str, float] = {}

    def offer(task_id: str) -> str:
        task = tasks[task_id]
        device = task.target_device_id or ""
        heappush(ready[device], (-task.priority.value, place[task_id], task_id))
        return device

    def fill(device: str, now: float) -> None:
        while free[device] and ready[device]:
            free[device] -= 1
            task_id = heappop(ready[device])[2]
            starts[task_id] = now
            heappush(running, (now + estimate_s(tasks[task_id]), place[task_id], task_id))

    for device in {offer(task_id): None for task_id, count in waits.items() if not count}:
        fill(device, 0.0)
    while running:
        now, _, task_id = heappop(running)
        ends[task_id] = now
        home = tasks[task_id].target_device_id or ""
        free[home] += 1
        touched = {home: None}
        for target in {line.to_task_id: None for line in constellation.get_task_dependents(task_id)}:
            waits[target] -= 1
            if not waits[target]:
                touched[offer(target)] = None
        for device in touched:
            fill(device, now)
    return starts, ends
