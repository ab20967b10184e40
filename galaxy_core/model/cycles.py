"""I2 for many links at once: whether new links would close a cycle, without attaching any of them."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from itertools import pairwise
from operator import attrgetter, itemgetter

from galaxy_core.errors import CycleError
from galaxy_core.model.constellation import TaskConstellation
from galaxy_core.model.dependency import TaskStarLine
from galaxy_core.model.task import TaskStar

_ORDER = attrgetter("_order")


def cycle_through(
    plan: TaskConstellation,
    new_tasks: Container[str],
    new_lines: Mapping[str, TaskStarLine],
    removed_lines: Mapping[str, TaskStarLine],
) -> list[str] | None:
    """The ids around a cycle that the plan would have, the first repeated last; None when it would have none.

    `new_tasks` are tasks without a place in the plan, also where one of that id is to be taken out. O(k log k) in the
    number of new links when they agree with the order of the plan; else the region between their ends is searched, from
    the side where there is less.
    """
    lines = list(new_lines.values())
    for line in lines:
        if line._from == line._to:
            return [line._from, line._to]

    def placed(task_id: str) -> TaskStar | None:
        return None if task_id in new_tasks else plan._tasks.get(task_id)

    if not lines or _agree(lines, placed):
        return None
    return _search(lines, placed, removed_lines)


def closing_lines(
    plan: TaskConstellation,
    new_tasks: Container[str],
    new_lines: Mapping[str, TaskStarLine],
    removed_lines: Mapping[str, TaskStarLine],
) -> Iterator[tuple[TaskStarLine, list[str]]]:
    """The new links that would close a cycle were they added one by one, each with the ids around it.

    One that closes a cycle is not there for those after it. Costs a copy of the region in which there can be cycles, and
    what it costs to add so many links to that: see `Order.admit`.
    """

    def placed(task_id: str) -> TaskStar | None:
        return None if task_id in new_tasks else plan._tasks.get(task_id)

    lines = list(new_lines.values())
    spans = _spans(*_ways(lines), placed)
    old = [task for task in plan._tasks.values() if placed(task._task_id) is task and _stands_in(spans, task._order)]
    fresh = dict.fromkeys(end for line in lines for end in (line._from, line._to) if placed(end) is None)
    ids = {task._task_id for task in old}.union(fresh)
    region = TaskConstellation.build(
        map(TaskStar, ids),
        (
            TaskStarLine(line._from, line._to)
            for task in old
            for line in task._out
            if line._to in ids and (line._line_id is None or line._line_id not in removed_lines)
        ),
    )
    way: list[str] = []  # the longest that was found; links back along it need no search
    place: dict[str, int] = {}
    for line in lines:
        if line._from == line._to:
            yield line, [line._from, line._to]
        elif (first := place.get(line._to, len(way))) < (last := place.get(line._from, -1)):
            yield line, [line._from, *way[first : last + 1]]
        elif line._from in ids and line._to in ids:
            try:
                region.add_dependency(TaskStarLine(line._from, line._to))
            except CycleError as error:
                if len(error.cycle) > len(way) + 1:
                    way = list(error.cycle[1:])
                    place = {task_id: index for index, task_id in enumerate(way)}
                yield line, list(error.cycle)


def _agree(lines: list[TaskStarLine], placed: Callable[[str], TaskStar | None]) -> bool:
    """Whether the new links can be had in keeping with the order of the plan; if so they close no cycle.

    All links of the plan agree with its order: it is enough that the new ones, and a chain through the tasks that they
    touch in that order, have no cycle.
    """
    ids = dict.fromkeys(task_id for line in lines for task_id in (line._from, line._to))
    chain = sorted((task for task in map(placed, ids) if task is not None), key=_ORDER)
    after: dict[str, list[str]] = {task_id: [] for task_id in ids}
    for earlier, later in pairwise(chain):
        after[earlier._task_id].append(later._task_id)
    for line in lines:
        after[line._from].append(line._to)
    waiting = dict.fromkeys(ids, 0)
    for targets in after.values():
        for target in targets:
            waiting[target] += 1
    free = [task_id for task_id, count in waiting.items() if not count]
    for task_id in free:  # it grows
        for target in after[task_id]:
            waiting[target] -= 1
            if not waiting[target]:
                free.append(target)
    return len(free) == len(ids)


def _search(
    lines: list[TaskStarLine], placed: Callable[[str], TaskStar | None], removed_lines: Mapping[str, TaskStarLine]
) -> list[str] | None:
    """A cycle, searched for by depth from where the new links lead, and backward from where they come from.

    Both at once, a step each: whichever comes to its end first knows the answer, so that a side on which there is much
    costs nothing when there is little on the other.
    """
    new_in, new_out = _ways(lines)
    spans = _spans(new_in, new_out, placed)

    def kept(line: TaskStarLine) -> bool:
        return line._line_id is None or line._line_id not in removed_lines

    def successors(task_id: str) -> Iterator[str]:
        yield from new_out.get(task_id, ())
        task = placed(task_id)
        if task is not None and _stands_in(spans, task._order):
            yield from (line._to for line in task._out if kept(line))

    def predecessors(task_id: str) -> Iterator[str]:
        yield from new_in.get(task_id, ())
        task = placed(task_id)
        if task is not None and _stands_in(spans, task._order):
            yield from (line._from for line in task._in if kept(line))

    forward, backward = _depth_first(new_in, successors), _depth_first(new_out, predecessors)
    while True:
        for found in forward:
            if found is None:
                break
            return found or None
        for found in backward:
            if found is None:
                break
            return found[::-1] or None


def _ways(lines: Iterable[TaskStarLine]) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    """Where links come from, by the task that they lead to, and where they lead, by the one that they come from."""
    new_in: dict[str, list[str]] = {}
    new_out: dict[str, list[str]] = {}
    for line in lines:
        new_out.setdefault(line._from, []).append(line._to)
        new_in.setdefault(line._to, []).append(line._from)
    return new_in, new_out


def _spans(
    new_in: Mapping[str, list[str]], new_out: Mapping[str, list[str]], placed: Callable[[str], TaskStar | None]
) -> list[tuple[int, int]]:
    """The stretches of the order over which new links lead back, alone or through new tasks: no cycle stands elsewhere.

    A cycle comes back from its last task to its first over new links only, and over each position between the two.
    """
    found = []
    for source_id, target_ids in new_out.items():
        source = placed(source_id)
        targets = [task for task in map(placed, target_ids) if task is not None]
        if source is not None and targets:
            found.append((min(task._order for task in targets), source._order))
    seen: set[str] = set()
    for start in (*new_in, *new_out):
        group = [start] if start not in seen and placed(start) is None else []
        seen.update(group)
        before: list[int] = []
        after: list[int] = []
        for task_id in group:  # it grows
            for ends, beside in ((before, new_in), (after, new_out)):
                for other in beside.get(task_id, ()):
                    task = placed(other)
                    if task is not None:
                        ends.append(task._order)
                    elif other not in seen:
                        seen.add(other)
                        group.append(other)
        if before and after:
            found.append((min(after), max(before)))
    merged: list[tuple[int, int]] = []
    for low, high in sorted(span for span in found if span[0] < span[1]):
        if merged and low <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(high, merged[-1][1]))
        else:
            merged.append((low, high))
    return merged


def _stands_in(spans: list[tuple[int, int]], position: int) -> bool:
    index = bisect_right(spans, position, key=itemgetter(0)) - 1
    return index >= 0 and position <= spans[index][1]


def _depth_first(starts: Iterable[str], neighbours: Callable[[str], Iterator[str]]) -> Iterator[list[str] | None]:
    """Yields None for each step; in the end the ids around a cycle, the first repeated last, or an empty list."""
    done: set[str] = set()
    for start in starts:
        way: dict[str, Iterator[str]] = {} if start in done else {start: neighbours(start)}
        while way:
            yield None
            at = next(reversed(way))
            following = next(way[at], None)
            if following is None:
                done.add(at)
                del way[at]
            elif following in way:
                names = list(way)
                yield [*names[names.index(following) :], following]
                return
            elif following not in done:
                way[following] = neighbours(following)
    yield []
