"""Bringing an editor's copy of a plan and the live one together."""

from __future__ import annotations

from galaxy_core.errors import InvalidPlanError, PlanError
from galaxy_core.model.constellation import TaskConstellation
from galaxy_core.model.dependency import TaskStarLine
from galaxy_core.model.result import TERMINAL, TaskStatus
from galaxy_core.model.task import TaskStar

_LEVEL = {TaskStatus.PENDING: 0, TaskStatus.WAITING_DEPENDENCY: 1, TaskStatus.RUNNING: 2}


def _level(task: TaskStar) -> int:
    return 3 if task._status in TERMINAL else _LEVEL[task._status]


def _same_link(one: TaskStarLine, other: TaskStarLine) -> bool:
    return (one._from, one._to, one._dependency_type, one._evaluator) == (
        other._from,
        other._to,
        other._dependency_type,
        other._evaluator,
    )


_SAID = (
    "_name",
    "_description",
    "_tips",
    "_device_type",
    "_priority",
    "_timeout",
    "_retry_count",
    "_task_data",
    "_expected_output_type",
    "_request",
    "_requires",
    "_effect",
    "_retry",
    "_estimate_s",
)


def merge_into_live(live: TaskConstellation, proposed: TaskConstellation) -> None:
    """Change `live` to what `proposed` says, by id, where I3 allows; all of it, or nothing.

    Tasks that have started stay as they are, with the links into them, whether or not `proposed` has them. Tasks and
    links that `proposed` lacks are removed, new ones are added as copies, and tasks that have not started take over
    what is said of them.

    Raises:
        PlanError: the merged plan would have a cycle, or link to a task that is not there. Nothing was changed.
    """
    wanted = {line.line_id: line for line in proposed._lines}
    keep = {
        line.line_id
        for line in live._lines
        if not _modifiable(live, line._to) or (line.line_id in wanted and _same_link(line, wanted[line.line_id]))
    }
    new_tasks = [task for task_id, task in proposed._tasks.items() if task_id not in live._tasks]
    dropped = [task for task_id, task in live._tasks.items() if task_id not in proposed._tasks and task.is_modifiable]
    gone = {task._task_id for task in dropped}
    new_lines = [
        line
        for line_id, line in wanted.items()
        if line_id not in keep and _modifiable(live, line._to) and not _links(live, line)
    ]
    _check(live, gone, keep, new_tasks, new_lines)
    with live._as_one_edit():
        for line_id in [line.line_id for line in live._lines if line.line_id not in keep]:
            live.remove_dependency(line_id)
        for task in dropped:
            live.remove_task(task._task_id)
        for task in new_tasks:
            live.add_task(task.copy())
        for line in new_lines:
            live.add_dependency(line.copy())
        for task_id, said in proposed._tasks.items():
            task_here = live._tasks[task_id]
            if task_here.is_modifiable:
                _take_over(task_here, said)


def _modifiable(live: TaskConstellation, task_id: str) -> bool:
    task = live._tasks.get(task_id)
    return task is None or task.is_modifiable


def _links(live: TaskConstellation, line: TaskStarLine) -> bool:
    """Whether a started task's link of that id is there already, which stays as it is."""
    found = live._lines_by_id.get(line.line_id)
    return found is not None and not _modifiable(live, found._to)


def _check(
    live: TaskConstellation,
    gone: set[str],
    keep: set[str],
    new_tasks: list[TaskStar],
    new_lines: list[TaskStarLine],
) -> None:
    """Build the merged graph apart, so that whatever is wrong with it is found before anything is changed."""
    tasks = [TaskStar(task_id) for task_id in live._tasks if task_id not in gone]
    tasks += [TaskStar(task._task_id) for task in new_tasks]
    lines = [line for line in live._lines if line.line_id in keep and line._from not in gone and line._to not in gone]
    TaskConstellation.build(tasks, [TaskStarLine(line._from, line._to) for line in [*lines, *new_lines]])
    problems = [f"task {task._task_id!r}: {problem}" for task in new_tasks for problem in task._unrunnable()]
    if problems:
        raise InvalidPlanError(problems)


def _take_over(task: TaskStar, said: TaskStar) -> None:
    changed = False
    for name in _SAID:
        if getattr(task, name) != getattr(said, name):
            setattr(task, name, getattr(said, name))
            changed = True
    if said._pinned and said._target_device_id != task._target_device_id:
        task._target_device_id, task._pinned = said._target_device_id, True
        changed = True
    if changed:
        task._changed()


def merge_states(proposed: TaskConstellation, live: TaskConstellation) -> TaskConstellation:
    """Bring `proposed` up to date with the progress of `live`, and return it.

    Of each task the more advanced status counts (pending, waiting, running, ended; equal ones stay as they are), with
    its result, error and times. Tasks of `live` that have started and are missing in `proposed` are added with the
    links among them. Gating follows the outcomes afterwards.

    Raises:
        PlanError: the merged plan would have a cycle. `proposed` was not changed.
    """
    missing = [task for task_id, task in live._tasks.items() if task_id not in proposed._tasks and _level(task) >= 2]
    there = set(proposed._tasks) | {task._task_id for task in missing}
    among = {task._task_id for task in missing}
    links = [
        line
        for line in live._lines
        if line._to in among and line._from in there and line.line_id not in proposed.dependencies
    ]
    TaskConstellation.build(
        [TaskStar(task_id) for task_id in there],
        [TaskStarLine(line._from, line._to) for line in [*proposed._lines, *links]],
    )
    for task in missing:
        proposed._admit(_with_state(task.copy(), task))
    for line in links:
        proposed._attach(line.copy(), proposed._tasks[line._from], proposed._tasks[line._to])
    for task_id, task in proposed._tasks.items():
        other = live._tasks.get(task_id)
        if other is not None and task_id not in among and _level(other) > _level(task):
            proposed._counts[task._status] -= 1
            _with_state(task, other)
            proposed._counts[task._status] += 1
            if task._status not in (TaskStatus.PENDING, TaskStatus.WAITING_DEPENDENCY):
                proposed._ready.pop(task, None)
    cycle = proposed._renumber()
    if cycle is not None:
        raise PlanError("the graph was checked before it was merged, yet it has a cycle: " + " -> ".join(cycle))
    for task in list(proposed._tasks.values()):
        if task._status in TERMINAL:
            proposed._settle(task, proposed._updated_at)
    return proposed


def _with_state(task: TaskStar, other: TaskStar) -> TaskStar:
    for name in (
        "_status",
        "_result",
        "_error",
        "_started_at",
        "_ended_at",
        "_current_retry",
        "_attempts",
        "_target_device_id",
        "_pinned",
    ):
        setattr(task, name, getattr(other, name))
    return task
