"""Whole plans as operations: one in place of another, and one beside another."""

from __future__ import annotations

from typing import Any

from attrs import evolve

from galaxy_core.model.condition import is_function
from galaxy_core.model.constellation import TaskConstellation
from galaxy_core.model.differences import operations_towards, said
from galaxy_core.model.edits import TASK_FIELDS, Operation, UpdateTask
from galaxy_core.model.request import Action, Call, Command, Reference, Request
from galaxy_core.model.task import TaskStar
from galaxy_core.runtime.editor.fields import unread
from galaxy_core.runtime.editor.plan_reading import Parts


def replacing(live: TaskConstellation, parts: Parts) -> tuple[list[Operation], tuple[str, ...]]:
    """What makes `live` what `parts` say, as far as it has not started; and the ids of what has, and so is kept.

    Raises:
        PlanError: `parts` are no sound plan.
    """
    given = {task.task_id for task in parts.tasks}
    ends = {end for line in parts.lines for end in (line._from, line._to)}
    started = [task for task in live._tasks.values() if not task.is_modifiable]
    # A link may lead from what is kept, whether or not the new plan repeats it.
    repeated = [task.copy() for task in started if task.task_id in ends and task.task_id not in given]
    proposed = TaskConstellation.build(
        [*(task.copy() for task in parts.tasks), *repeated],
        [line.copy() for line in parts.lines],
        constellation_id=live.constellation_id,
    )
    operations = list(operations_towards(live, proposed))
    for task in proposed._tasks.values():
        here = live._tasks.get(task._task_id)
        if here is not None and here.is_modifiable and here.is_pinned and not task.is_pinned:
            operations.append(UpdateTask(task._task_id, {"target_device_id": None}))
    return operations, tuple(task._task_id for task in started)


def merged(source: Any, prefix: str) -> Parts:
    """Copies of the tasks and links of `source`, with `prefix` before every id.

    Raises:
        EditError: it is no constellation.
    """
    if not isinstance(source, TaskConstellation):
        raise unread([f"what is merged is an editor or a constellation, not {source!r:.80}"])
    parts = Parts()
    for task in source._tasks.values():
        fields = {name: said(task, name) for name in TASK_FIELDS}
        fields["request"] = None if task._request is None else _prefixed(task._request, prefix)
        parts.tasks.append(TaskStar(prefix + task._task_id, **fields))
    for line in source._lines:
        copy = line.copy()
        copy._from, copy._to, copy._line_id = prefix + line._from, prefix + line._to, prefix + line.line_id
        parts.lines.append(copy)
    return parts


def _prefixed(request: Request, prefix: str) -> Request:
    """The request, referring to the tasks of those ids with `prefix`."""
    if not prefix or not request.has_references:
        return request

    def of(value: Any) -> Any:
        return evolve(value, task_id=prefix + value.task_id) if isinstance(value, Reference) else value

    if isinstance(request, Action):
        return evolve(request, arguments={name: of(value) for name, value in request.arguments.items()})
    if isinstance(request, Call):
        kwargs = {name: of(value) for name, value in request.kwargs.items()}
        return evolve(request, args=[of(value) for value in request.args], kwargs=kwargs)
    assert isinstance(request, Command)
    return evolve(
        request,
        argv=None if request.argv is None else [of(part) for part in request.argv],
        env={name: of(value) for name, value in request.env.items()},
        stdin=of(request.stdin),
        files={name: of(value) for name, value in request.files.items()},
    )


def unwritten(plan: TaskConstellation) -> list[str]:
    """What of a plan no document can hold, in words."""
    calls = [f"the call of task {task.task_id!r}" for task in plan._tasks.values() if isinstance(task._request, Call)]
    conditions = [
        f"the condition of {line._from} -> {line._to}" for line in plan._lines if is_function(line._evaluator)
    ]
    return calls + conditions
