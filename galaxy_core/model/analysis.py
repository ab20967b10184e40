"""What can be said of a whole plan: order, problems, paths, widths, bounds. Pure functions of a constellation.

Each costs O(tasks + links) and recurses nowhere, `maximum_antichain` excepted. Order and soundness are found from the
links alone and trust no counter that the constellation keeps, so that they can check it; the figures rely on its order.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from attrs import frozen

from galaxy_core.errors import CycleError
from galaxy_core.model.matching import largest_independent_set
from galaxy_core.model.order import find_cycle, kahn
from galaxy_core.model.result import TERMINAL, UNSTARTED, TaskStatus

if TYPE_CHECKING:
    from galaxy_core.model.constellation import TaskConstellation
    from galaxy_core.model.task import TaskStar

#: Seconds that a task without an estimate is taken to need.
DEFAULT_ESTIMATE_S = 1.0
#: Up to so many tasks `maximum_antichain` answers within seconds.
ANTICHAIN_LIMIT = 5000


# ----------------------------------------------------------------------------------------------- order and soundness
def topological_order(c: TaskConstellation) -> list[TaskStar] | None:
    """Tasks, each after its prerequisites, ties in the order of adding (Kahn); None when there is a cycle."""
    ordered, waiting = kahn(c._tasks.values())
    return None if waiting else ordered


def sorted_tasks(c: TaskConstellation) -> list[TaskStar]:
    """`topological_order`, for those who rely on I2.

    Raises:
        CycleError: there is a cycle after all; it is named.
    """
    ordered, waiting = kahn(c._tasks.values())
    if waiting:
        raise CycleError(find_cycle(waiting))
    return ordered


def graph_problems(c: TaskConstellation) -> list[str]:
    """Everything that is wrong with the graph, found by looking at all of it; empty when it is sound."""
    problems: list[str] = []
    _check_lines(c, problems)
    _check_tasks(c, problems)
    _check_counts(c, problems)
    _check_order(c, problems)
    if not any("non-existent" in problem or "attached" in problem for problem in problems):
        _, waiting = kahn(c._tasks.values())
        if waiting:
            problems.insert(0, f"DAG contains cycles: {' -> '.join(find_cycle(waiting))}")
    return problems


def _check_lines(c: TaskConstellation, problems: list[str]) -> None:
    incoming = {line for task in c._tasks.values() for line in task._in}
    outgoing = {line for task in c._tasks.values() for line in task._out}
    for line in c._lines:
        source, target = c._tasks.get(line._from), c._tasks.get(line._to)
        if source is None:
            problems.append(f"Dependency references non-existent source task {line._from}")
        if target is None:
            problems.append(f"Dependency references non-existent target task {line._to}")
        if source is None or target is None:
            continue
        name = f"dependency {line._from} -> {line._to}"
        if line._source is not source or line._target is not target or line not in incoming or line not in outgoing:
            problems.append(f"{name} is not attached to both of its tasks")
        if not source._order < target._order:
            problems.append(f"{name} stands against the order: {source._order} is not before {target._order}")
        # Where the target no longer waits, it does not matter any more: a task that is tried again leaves the links into
        # what has gone on without it closed, and a run that is cancelled leaves links open between tasks that end.
        waits = target._status in UNSTARTED if line._open else target.is_modifiable
        if waits and line._open != (source._status not in TERMINAL or line in c._withheld):
            state = "open" if line._open else "closed"
            problems.append(f"{name} is {state}, but its source is {source._status.value}")
        if isinstance(line._line_id, str) and c._lines_by_id.get(line._line_id) is not line:
            problems.append(f"{name} cannot be found by its id {line._line_id}")
    if stray := (incoming | outgoing) - set(c._lines):
        problems.append(f"{len(stray)} dependencies are attached to tasks but not kept")


def _check_tasks(c: TaskConstellation, problems: list[str]) -> None:
    for task_id, task in c._tasks.items():
        if task._task_id != task_id or task._owner is not c:
            problems.append(f"task {task_id} is not this constellation's")
        waits = sum(line._open for line in task._in)
        if task._pending != waits:
            problems.append(f"task {task_id} counts {task._pending} pending dependencies, there are {waits}")
        ready = not waits and task._status in UNSTARTED
        if ready != (task in c._ready):
            problems.append(f"task {task_id} is {'' if ready else 'not '}ready, the frontier says otherwise")
    if stray := [task for task in c._ready if c._tasks.get(task._task_id) is not task]:
        problems.append(f"the frontier holds {len(stray)} tasks that are not in the plan")


def _check_order(c: TaskConstellation, problems: list[str]) -> None:
    listed = 0
    behind, task = None, c._order._last
    while task is not None and listed <= len(c._tasks):
        listed += 1
        if task._after is not behind or (behind is not None and not task._order < behind._order):
            problems.append(f"task {task._task_id} stands wrong in the order")
        behind, task = task, task._before
    if listed != len(c._tasks):
        problems.append("the order does not list each task once")


def _check_counts(c: TaskConstellation, problems: list[str]) -> None:
    actual = Counter(task._status for task in c._tasks.values())
    problems += [
        f"{c._counts[status]} tasks are counted as {status.value}, there are {actual[status]}"
        for status in TaskStatus
        if c._counts[status] != actual[status]
    ]


# ----------------------------------------------------------------------------------------------- paths and widths
def _heaviest_path(c: TaskConstellation, weight: Callable[[TaskStar], float]) -> tuple[float, list[str]]:
    """The path with the largest sum of weights; of equal ones, any."""
    reach: dict[TaskStar, float] = {}
    before: dict[TaskStar, TaskStar] = {}
    last: TaskStar | None = None
    for task in sorted_tasks(c):
        best = 0.0
        for line in task._in:
            source = line._source
            assert source is not None
            if reach[source] > best:
                best = reach[source]
                before[task] = source
        reach[task] = best + weight(task)
        if last is None or reach[task] > reach[last]:
            last = task
    if last is None:
        return 0.0, []
    length, way, step = reach[last], [], before.get(last)
    way.append(last._task_id)
    while step is not None:
        way.append(step._task_id)
        step = before.get(step)
    return length, way[::-1]


def longest_path(c: TaskConstellation) -> tuple[int, list[str]]:
    """The number of tasks on the longest path, and their ids; (0, []) of an empty plan."""
    return _measure(c).longest


def timed_critical_path(c: TaskConstellation) -> tuple[float, list[str]]:
    """Seconds of the longest path by actual durations, and its ids; (0.0, []) when nothing took any time."""
    return _measure(c).critical


def _estimate(task: TaskStar) -> float:
    return DEFAULT_ESTIMATE_S if task._estimate_s is None else task._estimate_s


def estimated_critical_path(c: TaskConstellation) -> tuple[float, list[str]]:
    """Seconds of the longest path by estimates (`DEFAULT_ESTIMATE_S` where there is none), and its ids."""
    return _heaviest_path(c, _estimate)


def lower_bound_s(c: TaskConstellation, slots: int) -> float:
    """Seconds, by estimates, below which no schedule on `slots` equal slots can come.

    Raises:
        ValueError: there is no slot.
    """
    if slots < 1:
        raise ValueError(f"a schedule needs at least one slot, not {slots}")
    return max(estimated_critical_path(c)[0], sum(map(_estimate, c._tasks.values())) / slots)


def total_work(c: TaskConstellation) -> float:
    """Seconds of all durations together; a task without one counts 0."""
    return sum((task.execution_duration or 0.0 for task in c._tasks.values()), 0.0)


def waves(c: TaskConstellation) -> list[list[TaskStar]]:
    """Tasks by the length of the longest path before them: the waves of Kahn's algorithm.

    Raises:
        CycleError: there is a cycle.
    """
    depth: dict[TaskStar, int] = {}
    found: list[list[TaskStar]] = []
    for task in sorted_tasks(c):
        level = max((depth[line._source] + 1 for line in task._in if line._source is not None), default=0)
        depth[task] = level
        if level == len(found):
            found.append([])
        found[level].append(task)
    return found


def max_width(c: TaskConstellation) -> int:
    """The size of the widest of the `waves`. More tasks may be able to run at once: see `maximum_antichain`."""
    return _measure(c).width


def maximum_antichain(c: TaskConstellation, limit: int = ANTICHAIN_LIMIT) -> list[str]:
    """The ids of a largest set of tasks of which none waits for another, in the order of adding.

    By Dilworth's theorem: a maximum matching over the transitive closure. Memory is tasks² / 8 bytes, time up to
    tasks³ / 64 steps.

    Raises:
        ValueError: there are more than `limit` tasks.
        CycleError: there is a cycle.
    """
    tasks = list(c._tasks.values())
    if len(tasks) > limit:
        raise ValueError(
            f"the largest antichain of {len(tasks)} tasks is too expensive: the limit is {limit}. "
            "Raise the limit, or take the widest wave (get_max_width)."
        )
    place = {task: index for index, task in enumerate(tasks)}
    after = [0] * len(tasks)
    for task in reversed(sorted_tasks(c)):
        reached = 0
        for line in task._out:
            assert line._target is not None
            index = place[line._target]
            reached |= after[index] | 1 << index
        after[place[task]] = reached
    return [tasks[index]._task_id for index in largest_independent_set(after)]


# ----------------------------------------------------------------------------------------------- figures and text
@frozen
class _Measures:
    """What one walk over tasks and links finds: by counting tasks, and by actual seconds."""

    longest: tuple[int, list[str]]
    critical: tuple[float, list[str]]
    work_s: float
    width: int


def _measure(c: TaskConstellation) -> _Measures:
    """Longest paths, work and width in one walk, because a run asks for all of them at its end."""
    # By age in the plan: how many tasks and seconds up to and with each.
    steps, seconds = [0] * c._next_index, [0.0] * c._next_index
    deepest = slowest = None
    most, longest_s, work_s = 0, 0.0, 0.0
    for task in sorted(c._tasks.values(), key=attrgetter("_order")):
        depth, time_s = 0, 0.0
        for line in task._in:
            place = line._source._index  # type: ignore[union-attr]  # a link of a plan has both its ends
            if (reached := steps[place]) > depth:
                depth = reached
            if (reached_s := seconds[place]) > time_s:
                time_s = reached_s
        depth += 1
        if depth > most:
            most, deepest = depth, task
        ended, started = task._ended_at, task._started_at
        if ended is not None and started is not None:
            duration = max(0.0, ended - started)  # as `execution_duration`
            work_s += duration
            time_s += duration
            if time_s > longest_s:
                longest_s, slowest = time_s, task
        place = task._index
        steps[place], seconds[place] = depth, time_s
    counts = Counter(steps)
    del counts[0]  # of tasks that were removed
    width = max(counts.values(), default=0)
    return _Measures((most, _way(deepest, steps)), (longest_s, _way(slowest, seconds)), work_s, width)


def _way(last: TaskStar | None, reach: Sequence[float]) -> list[str]:
    """The path that made `last` reach so far: back from it, each time over the prerequisite that reached farthest."""
    way = []
    while last is not None:
        way.append(last._task_id)
        farthest, lines, last = 0.0, last._in, None
        for line in lines:
            source = line._source
            if reach[source._index] > farthest:  # type: ignore[union-attr]  # as above
                farthest, last = reach[source._index], source  # type: ignore[union-attr]
    return way[::-1]


def parallelism_metrics(c: TaskConstellation) -> dict[str, Any]:
    """How parallel the plan is: by actual seconds when every task has ended, else by counting tasks.

    `parallelism_ratio` is `total_work` / `critical_path_length`; 0.0 when that length is 0.
    """
    return _metrics(c, _measure(c))


def _metrics(c: TaskConstellation, measures: _Measures) -> dict[str, Any]:
    length: float
    work: float
    if not c._tasks:
        mode, work = "empty", 0
        length, way = measures.longest
    elif c.is_complete():
        mode, work = "actual_time", measures.work_s
        length, way = measures.critical
    else:
        mode, work = "node_count", len(c._tasks)
        length, way = measures.longest
    return {
        "critical_path_length": length,
        "total_work": work,
        "parallelism_ratio": work / length if length else 0.0,
        "calculation_mode": mode,
        "critical_path_tasks": way,
        "max_width": measures.width,
    }


def statistics(c: TaskConstellation) -> dict[str, Any]:
    """Everything that can be said in numbers, as plain data; moments are ISO 8601 texts in UTC."""
    measures = _measure(c)
    metrics = _metrics(c, measures)
    started, ended = c.execution_start_time, c.execution_end_time
    return {
        "constellation_id": c.constellation_id,
        "name": c.name,
        "state": c.state.value,
        "total_tasks": c.task_count,
        "total_dependencies": c.dependency_count,
        "task_status_counts": _status_counts(c),
        "longest_path_length": measures.longest[0],
        "longest_path_tasks": measures.longest[1],
        "max_width": measures.width,
        "critical_path_length": metrics["critical_path_length"],
        "total_work": metrics["total_work"],
        "parallelism_ratio": metrics["parallelism_ratio"],
        "parallelism_calculation_mode": metrics["calculation_mode"],
        "critical_path_tasks": metrics["critical_path_tasks"],
        "execution_duration": c.execution_duration,
        "created_at": c.created_at.isoformat(),
        "updated_at": c.updated_at.isoformat(),
        "execution_start_time": started.isoformat() if started else None,
        "execution_end_time": ended.isoformat() if ended else None,
        "revision": c.revision,
    }


def _status_counts(c: TaskConstellation) -> dict[str, int]:
    """The number of tasks in each status that there is."""
    return {status.value: count for status, count in c._counts.items() if count}


def describe(c: TaskConstellation, mode: str = "overview") -> str:
    """The plan as text for people.

    Raises:
        ValueError: `mode` is none of "overview", "topology", "details" and "execution".
    """
    try:
        view = _VIEWS[mode]
    except KeyError:
        raise ValueError(f"display mode {mode!r} is none of {', '.join(_VIEWS)}") from None
    return "\n".join([f"{c.name} ({c.constellation_id}): {c.state.value}, revision {c.revision}", *view(c)])


def _overview(c: TaskConstellation) -> Iterator[str]:
    metrics = parallelism_metrics(c)
    yield f"tasks: {c.task_count}" + "".join(f", {count} {status}" for status, count in _status_counts(c).items())
    yield f"links: {c.dependency_count}"
    unit = " s" if metrics["calculation_mode"] == "actual_time" else " tasks"
    yield f"critical path: {metrics['critical_path_length']:g}{unit}: {' -> '.join(metrics['critical_path_tasks'])}"
    yield f"widest wave: {metrics['max_width']}, parallelism: {metrics['parallelism_ratio']:.2f}"


def _topology(c: TaskConstellation) -> Iterator[str]:
    for level, wave in enumerate(waves(c)):
        yield f"wave {level + 1}:"
        for task in wave:
            sources = ", ".join(dict.fromkeys(line._from for line in task._in))
            yield f"  {task._task_id}" + (f" <- {sources}" if sources else "")


def _details(c: TaskConstellation) -> Iterator[str]:
    for task in c._tasks.values():
        yield f"{task._task_id}: {task.name} [{task._status.value}]"
        device = task._target_device_id or (task._device_type.value if task._device_type else "any")
        yield f"  priority {task._priority.name.lower()}, device {device}, effect {task._effect.value}"
        if task._description:
            yield f"  {task._description}"
        for line in task._in:
            condition = f" ({line._condition_description})" if line._condition_description else ""
            yield f"  after {line._from}, {line._dependency_type.value}{condition}"
        if task._error is not None:
            yield f"  {task._error}"


def _execution(c: TaskConstellation) -> Iterator[str]:
    for task in sorted_tasks(c):
        duration = task.execution_duration
        took = "" if duration is None else f" in {duration:.3f} s"
        held = (
            "" if task._status not in UNSTARTED else ", ready" if not task._pending else f", waits for {task._pending}"
        )
        yield f"{task._task_id}: {task._status.value}{took}{held}"


_VIEWS: dict[str, Callable[[TaskConstellation], Iterator[str]]] = {
    "overview": _overview,
    "topology": _topology,
    "details": _details,
    "execution": _execution,
}
