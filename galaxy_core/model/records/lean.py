"""Tasks, links and plans as records hold them: the raw fields, without those that are as usual.

Moments are seconds since the epoch. What `model.documents` derives (durations, neighbours) is left out.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from galaxy_core.model.condition import Expression
from galaxy_core.model.constellation import TaskConstellation
from galaxy_core.model.dependency import DependencyType, TaskStarLine
from galaxy_core.model.policy import DEFAULT_RETRY, Effect, TaskPriority
from galaxy_core.model.reasons import is_failure, shown
from galaxy_core.model.records.faults import error_document
from galaxy_core.model.records.unkept import UNKEPT, Keeper
from galaxy_core.model.request import Action, Command, Reference
from galaxy_core.model.result import ExecutionResult, TaskStatus, as_datetime
from galaxy_core.model.spec_documents import retry_to_dict
from galaxy_core.model.task import TaskStar

_PENDING, _MEDIUM, _ONCE = TaskStatus.PENDING, TaskPriority.MEDIUM, Effect.ONCE
_UNCONDITIONAL = DependencyType.UNCONDITIONAL


def lean_task(task: TaskStar, keeper: Keeper) -> dict[str, Any]:
    """A task as it is now."""
    created, device = task._created_at, task._target_device_id
    found: dict[str, Any] = {"task_id": task._task_id, "created_at": created}
    if task._name:
        found["name"] = task._name
    if task._description:
        found["description"] = task._description
    if device is not None:
        found["target_device_id"] = device
        if not task._pinned:
            found["pinned"] = False
    if task._priority is not _MEDIUM:
        found["priority"] = keeper.keep(getattr(task._priority, "name", task._priority))
    request = task._request
    if request is not None:
        found["request"] = _command(request) if type(request) is Command else _request(request, keeper)
    if task._updated_at != created:
        found["updated_at"] = task._updated_at
    if task._tips:
        found["tips"] = list(task._tips)
    if task._effect is not _ONCE:
        found["effect"] = str(task._effect)
    _add_rarer(found, task, keeper)
    if task._status is not _PENDING or task._attempts or task._result is not None or task._error is not None:
        _add_progress(found, task, keeper)
    return found


def _add_rarer(found: dict[str, Any], task: TaskStar, keeper: Keeper) -> None:
    if task._timeout is not None:
        found["timeout"] = number(task._timeout, keeper)
    if task._retry_count:
        found["retry_count"] = keeper.keep(task._retry_count)
    if task._task_data:
        found["task_data"] = keeper.keep(task._task_data)
    if task._requires:
        found["requires"] = sorted(task._requires)
    if task._device_type is not None:
        found["device_type"] = keeper.keep(getattr(task._device_type, "value", task._device_type))
    if task._expected_output_type is not None:
        found["expected_output_type"] = task._expected_output_type
    if task._retry is not DEFAULT_RETRY and task._retry != DEFAULT_RETRY:
        found["retry"] = retry_to_dict(task._retry)
    if task._estimate_s is not None:
        found["estimate_s"] = number(task._estimate_s, keeper)


def _add_progress(found: dict[str, Any], task: TaskStar, keeper: Keeper) -> None:
    found["status"] = task._status.value
    found["attempts"] = task._attempts
    if task._current_retry:
        found["current_retry"] = task._current_retry
    if task._started_at is not None:
        found["started_at"] = task._started_at
    if task._ended_at is not None:
        found["ended_at"] = task._ended_at
    if task._error is not None:
        found["error"] = error_document(task._error)
    if task._result is not None:
        found["result"] = lean_result(task._result, task, keeper)


def number(value: Any, keeper: Keeper) -> Any:
    """A number; one that is not finite by its name, in a list."""
    return [repr(value)] if type(value) is float and not math.isfinite(value) else keeper.keep(value)


def _command(command: Command) -> dict[str, Any]:
    if command.shell is not None and not (command.env or command.files or command.outputs or command.stdin):
        return {"shell": command.shell} if command.cwd is None else {"shell": command.shell, "cwd": command.cwd}
    return command.to_dict()


def _request(request: Any, keeper: Keeper) -> dict[str, Any]:
    if not isinstance(request, Action):
        found: dict[str, Any] = keeper.keep(request.to_dict())
        return found
    arguments = {
        name: {"from": value.task_id, "value": value.value} if isinstance(value, Reference) else keeper.keep(value)
        for name, value in request.arguments.items()
    }
    return {"action": {request.name: arguments}}


def lean_result(result: Any, task: TaskStar, keeper: Keeper) -> dict[str, Any]:
    """What came of a task: of an `ExecutionResult` what is not as the task says it; of anything else ``{"$value": …}``.

    Without `result` it is what `stdout` is. Never raises: in the place of a result that cannot be read stands what says so.
    """
    try:
        return _lean_result(result, task, keeper)
    except BaseException as broken:  # one of somebody's making; whoever reads the record is told that it was not kept
        if not is_failure(broken):
            raise
        return {"$value": keeper.keep(object())}


def _lean_result(result: Any, task: TaskStar, keeper: Keeper) -> dict[str, Any]:
    if not isinstance(result, ExecutionResult):
        return {"$value": keeper.keep(result)}
    found: dict[str, Any] = {}
    if result.task_id != task._task_id:
        found["task_id"] = keeper.keep(result.task_id)
    if result.status != task._status:
        found["status"] = str(result.status)
    if result.stdout is not None:
        found["stdout"] = keeper.keep(result.stdout)
    if result.stderr is not None:
        found["stderr"] = keeper.keep(result.stderr)
    if result.exit_code is not None:
        found["exit_code"] = keeper.keep(result.exit_code)
    if result.result is not result.stdout:
        found["result"] = keeper.keep(result.result)
    if result.error is not task._error:
        found["error"] = error_document(result.error)
    if result.device_id != task._target_device_id:
        found["device_id"] = keeper.keep(result.device_id)
    if result.attempts != task._attempts:
        found["attempts"] = keeper.keep(result.attempts)
    if result._start is not task._started_at and result._start != task._started_at:
        found["start_time"] = _moment(result._start, keeper)
    if result._end is not task._ended_at and result._end != task._ended_at:
        found["end_time"] = _moment(result._end, keeper)
    if result._metadata:
        _add(found, "metadata", result._metadata, dict, keeper)
    if result.files:
        _add(found, "files", result.files, Mapping, keeper)
    return found


def _add(found: dict[str, Any], name: str, value: Any, kind: Any, keeper: Keeper) -> None:
    """Dictionaries alone are restored as what their readers can use; anything else in their place is left out."""
    try:
        kept = keeper.keep(dict(value)) if isinstance(value, kind) else {UNKEPT: None}
    except BaseException as broken:  # one of somebody's making
        if not is_failure(broken):
            raise
        kept = {UNKEPT: None}
    if kept.keys() != {UNKEPT}:
        found[name] = kept
    elif keeper.lost is not None:
        keeper.lost(f"the {name} of a result: {shown(value)}")


def _moment(moment: Any, keeper: Keeper) -> float | str | None:
    """A moment as it is restored; None for what is none, in years that there are not, for one."""
    try:
        if isinstance(moment, datetime):
            return datetime.fromisoformat(moment.isoformat()).isoformat()
        if moment is None:
            return None
        if isinstance(moment, (float, int)) and as_datetime(float(moment)) is not None:
            return float(moment)
    except BaseException as broken:  # one of somebody's making
        if not is_failure(broken):
            raise
    if keeper.lost is not None:
        keeper.lost(f"a moment of a result: {shown(moment)}")
    return None


def lean_line(line: TaskStarLine, keeper: Keeper) -> dict[str, Any]:
    """A link as it is now. Makes its id, if it has none yet."""
    created = line._created_at
    found: dict[str, Any] = {"line_id": line.line_id, "from": line._from, "to": line._to, "created_at": created}
    if line._dependency_type is not _UNCONDITIONAL:
        found["type"] = line._dependency_type.value
    if line._condition_description is not None:
        found["description"] = line._condition_description
    if line._evaluator is not None:
        if isinstance(line._evaluator, Expression):
            found["expression"] = line._evaluator.text
        else:
            found["lost"] = True
    if line._metadata:
        found["metadata"] = keeper.keep(line._metadata)
    if line._updated_at != created:
        found["updated_at"] = line._updated_at
    if line._satisfied:
        found["satisfied"] = True
    if line._evaluated_at is not None:
        found["evaluation"], found["evaluated_at"] = keeper.keep(line._evaluation), line._evaluated_at
    elif line._evaluation is not None:
        found["evaluation"] = keeper.keep(line._evaluation)
    if not line._open:
        found["open"] = False
    return found


def lean_head(plan: TaskConstellation, keeper: Keeper, *, with_metadata: bool = True) -> dict[str, Any]:
    """What a plan says apart from its tasks and links; its metadata, which may be large, only where they may be others."""
    found: dict[str, Any] = {
        "constellation_id": plan._id,
        "name": plan._name,
        "created_at": plan._created_at,
        "updated_at": plan._updated_at,
        "started_at": plan._started_at,
        "ended_at": plan._ended_at,
        "executing": plan._executing,
        "cancelled": plan._cancelled,
        "broken": plan._broken,
        "revision": plan._revision,
    }
    if with_metadata:
        found["metadata"] = keeper.keep(dict(plan._metadata))
    return found
