"""What a restored plan asks of its tasks, and no record could hold."""

from __future__ import annotations

from collections.abc import Iterator

from galaxy_core.model.constellation import TaskConstellation
from galaxy_core.model.records.unkept import Unkept, first_unkept
from galaxy_core.model.request import Action
from galaxy_core.model.result import TERMINAL
from galaxy_core.model.task import TaskStar


def unkept_inputs(plan: TaskConstellation) -> Iterator[tuple[TaskStar, Unkept]]:
    """Tasks that have not ended and are to get a value that was not kept, each with one such value. O(tasks)."""
    for task in plan._tasks.values():
        if task._status in TERMINAL:
            continue
        lost = first_unkept(task._task_data) if task._task_data else None
        if lost is None and isinstance(task._request, Action):
            lost = next(filter(None, map(first_unkept, task._request.arguments.values())), None)
        if lost is not None:
            yield task, lost
