"""A constellation in the making, in which no counter is kept: what replay does to it, and what makes it one to run."""

from __future__ import annotations

from galaxy_core.model.constellation import TaskConstellation
from galaxy_core.model.dependency import DependencyType, TaskStarLine
from galaxy_core.model.result import TERMINAL, UNSTARTED, TaskStatus
from galaxy_core.model.task import TaskStar

_UNCONDITIONAL, _COMPLETION_ONLY = DependencyType.UNCONDITIONAL, DependencyType.COMPLETION_ONLY
_SUCCESS_ONLY = DependencyType.SUCCESS_ONLY


def add_task(plan: TaskConstellation, task: TaskStar) -> None:
    """Add a task.

    Raises:
        ValueError: there is one of that id.
    """
    if task._task_id in plan._tasks:
        raise ValueError(f"task {task._task_id!r} is there already")
    task._owner = plan
    task._index = plan._next_index
    plan._next_index += 1
    plan._tasks[task._task_id] = task


def add_line(plan: TaskConstellation, line: TaskStarLine) -> None:
    """Add a link, open or not as it says itself.

    Raises:
        ValueError: there is one of that id, or an end of it is not there.
    """
    tasks, line_id = plan._tasks, line._line_id
    assert isinstance(line_id, str)
    source, target = tasks.get(line._from), tasks.get(line._to)
    if source is None or target is None:
        raise ValueError(f"link {line_id!r} leads from {line._from!r} to {line._to!r}, which are not both there")
    if dict.__contains__(plan._lines_by_id, line_id):  # which asks for no ids that nobody has asked for yet
        raise ValueError(f"link {line_id!r} is there already")
    _join(plan, line, source, target)
    plan._lines_by_id[line_id] = line


def add_numbered(
    plan: TaskConstellation, source: TaskStar, target: TaskStar, kind: DependencyType, number: int, created_at: float
) -> None:
    """Add an open link that says no more than its type, and has a number for an id."""
    line = TaskStarLine(source._task_id, target._task_id, kind)
    line._line_id = number
    line._created_at = line._updated_at = created_at
    _join(plan, line, source, target)


def _join(plan: TaskConstellation, line: TaskStarLine, source: TaskStar, target: TaskStar) -> None:
    line._source, line._target = source, target
    source._out.append(line)
    target._in.append(line)
    plan._lines[line] = None


def close_plain(ended: TaskStar, succeeded: bool, at: float) -> None:
    """Close the links out of a task whose type alone says that its end satisfies them: as `Progress._settle` does."""
    for line in ended._out:
        if line._open:
            kind = line._dependency_type
            if kind is _UNCONDITIONAL or (succeeded and kind is _SUCCESS_ONLY) or kind is _COMPLETION_ONLY:
                line._open = False
                line._satisfied = line._evaluation = True
                line._evaluated_at = at


def count_anew(plan: TaskConstellation) -> None:
    """Count how many tasks stand where: the state of the plan follows from that."""
    counts = plan._counts = dict.fromkeys(TaskStatus, 0)
    for task in plan._tasks.values():
        counts[task._status] += 1


def hand_over(plan: TaskConstellation) -> None:
    """Work out the counters of a plan whose tasks and links are as they were."""
    count_anew(plan)
    for task in plan._tasks.values():
        task._pending = 0
    for line in plan._lines:
        source, target = line._source, line._target
        assert source is not None
        assert target is not None
        waits = target._status in UNSTARTED
        if not line._open and waits and not line._satisfied and not target._attempts and source._status in TERMINAL:
            line._open = True  # refused, and the last process did not come to skip what it leads to
        if line._open:
            target._pending += 1
            if waits and source._status in TERMINAL:
                plan._withheld[line] = None
    plan._ready = {task: None for task in plan._tasks.values() if task._status in UNSTARTED and not task._pending}
