"""I2: keeping a topological order while links are added one by one.

Each task carries a position, `_order`; for every link the source's is smaller than the target's. A link that agrees
with the order costs O(1); one that does not costs the affected region: the tasks between the two that really hang
together (D. J. Pearce and P. H. J. Kelly, "A dynamic topological sort algorithm for directed acyclic graphs", ACM
Journal of Experimental Algorithmics 11, 2007).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from galaxy_core.model.task import TaskStar


def admit_link(source: TaskStar, target: TaskStar) -> list[str] | None:
    """Make room for a link source → target in the order; or, when it closes a cycle, return the cycle's ids.

    The cycle starts and ends with `source`. Nothing is changed when there is one.
    """
    if source is target:
        return [source._task_id, source._task_id]
    low, high = target._order, source._order
    if high < low:
        return None
    came_from: dict[TaskStar, TaskStar | None] = {target: None}
    stack = [target]
    while stack:  # forward from the target, no further than the source's position
        task = stack.pop()
        for line in task._out:
            successor = line._target
            assert successor is not None
            if successor is source:
                return _cycle(source, task, came_from)
            if successor._order < high and successor not in came_from:
                came_from[successor] = task
                stack.append(successor)
    before = {source}
    stack = [source]
    while stack:  # backward from the source, no further than the target's position
        task = stack.pop()
        for line in task._in:
            predecessor = line._source
            assert predecessor is not None
            if predecessor._order > low and predecessor not in before:
                before.add(predecessor)
                stack.append(predecessor)
    _merge(before, came_from)
    return None


def _cycle(source: TaskStar, last: TaskStar, came_from: dict[TaskStar, TaskStar | None]) -> list[str]:
    way = [source._task_id]
    task: TaskStar | None = last
    while task is not None:
        way.append(task._task_id)
        task = came_from[task]
    way.append(source._task_id)
    return way[::-1]


def _merge(before: Iterable[TaskStar], after: Iterable[TaskStar]) -> None:
    """Give the positions of both sets to `before` first, then to `after`, each in its old order."""

    def position(task: TaskStar) -> int:
        return task._order

    moved = sorted(before, key=position) + sorted(after, key=position)
    for task, place in zip(moved, sorted(task._order for task in moved), strict=True):
        task._order = place


def kahn(tasks: Iterable[TaskStar]) -> tuple[list[TaskStar], dict[TaskStar, int]]:
    """All tasks in a topological order, ties in the order of `tasks`; and those that a cycle leaves over.

    Kahn's algorithm with a queue, in O(tasks + links). The second part, empty when there is no cycle, maps each task
    that never came up to the number of links it still waited for.
    """
    every = list(tasks)
    waiting = {task: len(task._in) for task in every if task._in}
    queue = [task for task in every if not task._in]
    for task in queue:
        for line in task._out:
            target = line._target
            assert target is not None
            left = waiting[target] - 1
            if left:
                waiting[target] = left
            else:
                del waiting[target]
                queue.append(target)
    return queue, waiting


def number_all(tasks: Iterable[TaskStar]) -> list[str] | None:
    """Number all tasks in a topological order, in O(tasks + links); or return a cycle's ids, the first repeated last."""
    ordered, waiting = kahn(tasks)
    if waiting:
        return find_cycle(waiting)
    for place, task in enumerate(ordered):
        task._order = place
    return None


def find_cycle(waiting: Mapping[TaskStar, int]) -> list[str]:
    """The ids around one cycle among the tasks that `kahn` left over, the first repeated last."""
    # Every task left over waits for another one left over, so walking backwards must come round.
    task = next(iter(waiting))
    seen: dict[TaskStar, int] = {}
    way: list[TaskStar] = []
    while task not in seen:
        seen[task] = len(way)
        way.append(task)
        task = next(line._source for line in task._in if line._source in waiting)  # type: ignore[assignment]
    cycle = [found._task_id for found in way[seen[task] :]][::-1]
    return [*cycle, cycle[0]]
