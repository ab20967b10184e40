"""Bringing an editor's copy of a plan and the live one together."""

from __future__ import annotations

from galaxy_core.errors import PlanError
from galaxy_core.model.constellation import TaskConstellation
from galaxy_core.model.dependency import TaskStarLine
from galaxy_core.model.result import TERMINAL, TaskStatus
from galaxy_core.model.snapshot import with_state
from galaxy_core.model.task import TaskStar

_LEVEL = {TaskStatus.PENDING: 0, TaskStatus.WAITING_DEPENDENCY: 1, TaskStatus.RUNNING: 2}


def _level(task: TaskStar) -> int:
    return 3 if task._status in TERMINAL else _LEVEL[task._status]


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
        proposed._admit(with_state(task.copy(), task))
    for line in links:
        proposed._attach(line.copy(), proposed._tasks[line._from], proposed._tasks[line._to])
    for task_id, task in proposed._tasks.items():
        other = live._tasks.get(task_id)
        if other is not None and task_id not in among and _level(other) > _level(task):
            proposed._counts[task._status] -= 1
            with_state(task, other)
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
