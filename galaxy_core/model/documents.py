"""Tasks, links and constellations as plain dictionaries, and back.

The keys are those of the API document. Beside them stand, only where they say something: of a task `effect`,
`requires`, `request`, `retry`, `estimate_s`, `pinned` (false when a strategy chose the device) and `attempts` (when
there were others than `current_retry` and the start time tell); of a link `condition_expression`, because of all
evaluators an `Expression` alone can be written; of a constellation `revision`.

Errors are written as their text, results through `serial.plain`. An `ExecutionResult` is written as its dictionary,
and what has exactly the keys of such a dictionary and the id of its task is read as one. A `Call` is named in the
document but cannot be built again: its task is read as one without a request.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from enum import Enum
from typing import Any, TypeVar

from galaxy_core.errors import PlanError
from galaxy_core.model.condition import Expression
from galaxy_core.model.constellation import TaskConstellation
from galaxy_core.model.dependency import DependencyType, TaskStarLine
from galaxy_core.model.device import DeviceType
from galaxy_core.model.policy import DEFAULT_RETRY, Effect, RetryPolicy, TaskPriority
from galaxy_core.model.request import request_from_dict
from galaxy_core.model.result import ExecutionResult, TaskStatus
from galaxy_core.model.serial import parse_moment, plain
from galaxy_core.model.task import TaskStar

Name = TypeVar("Name", bound=Enum)


# ----------------------------------------------------------------------------------------------- tasks
def task_to_dict(task: TaskStar) -> dict[str, Any]:
    """A task with its status and result; its neighbours' ids stand beside it, each once."""
    start, end = task.execution_start_time, task.execution_end_time
    document: dict[str, Any] = {
        "task_id": task.task_id,
        "name": task.name,
        "description": task.description,
        "tips": task.tips,
        "task_description": task.description,
        "target_device_id": task.target_device_id,
        "device_type": task.device_type.value if task.device_type else None,
        "priority": task.priority.value,
        "status": task.status.value,
        "result": plain(task.result),
        "error": None if task.error is None else plain(task.error),
        "timeout": task._timeout,
        "retry_count": task._retry_count,
        "current_retry": task._current_retry,
        "task_data": plain(task.task_data),
        "expected_output_type": task.expected_output_type,
        "created_at": _text(task.created_at),
        "updated_at": _text(task.updated_at),
        "execution_start_time": _text(start),
        "execution_end_time": _text(end),
        "execution_duration": _seconds(start, end),
        "dependencies": _each_once(line.from_task_id for line in task._in),
        "dependents": _each_once(line.to_task_id for line in task._out),
    }
    if task.effect is not Effect.ONCE:
        document["effect"] = task.effect.value
    if task.requires:
        document["requires"] = sorted(task.requires)
    if task.request is not None:
        document["request"] = plain(task.request.to_dict())
    if task.retry_policy != DEFAULT_RETRY:
        document["retry"] = _retry_to_dict(task.retry_policy)
    if task.estimate_s is not None:
        document["estimate_s"] = task.estimate_s
    if task.target_device_id is not None and not task.is_pinned:
        document["pinned"] = False
    if task.attempts != _implied_attempts(task):
        document["attempts"] = task.attempts
    return document


def task_from_dict(document: Mapping[str, Any]) -> TaskStar:
    """The inverse of `task_to_dict`, of no constellation yet; `dependencies` and `dependents` are not read.

    Names of enums in any case. Unknown ones fall back to MEDIUM, PENDING and no device type.
    """
    retry, request = document.get("retry"), document.get("request")
    task = TaskStar(
        document.get("task_id"),
        document.get("name") or "",
        document.get("description") or document.get("task_description") or "",
        document.get("tips"),
        document.get("target_device_id"),
        _member(DeviceType, document.get("device_type")),
        _priority(document.get("priority")),
        document.get("timeout"),
        document.get("retry_count") or 0,
        document.get("task_data"),
        document.get("expected_output_type"),
        request=None if request is None else request_from_dict(request),
        requires=document.get("requires") or (),
        effect=_member(Effect, document.get("effect")) or Effect.ONCE,
        retry=DEFAULT_RETRY if retry is None else RetryPolicy(**retry),
        estimate_s=document.get("estimate_s"),
    )
    task._pinned = task._target_device_id is not None and document.get("pinned") is not False
    task._status = _member(TaskStatus, document.get("status")) or TaskStatus.PENDING
    task._result = _result_from(document.get("result"), task._task_id)
    task._error = _error_from(document.get("error"))
    task._current_retry = document.get("current_retry") or 0
    task._created_at = _moment(document, "created_at", task._created_at)
    task._updated_at = _moment(document, "updated_at", task._created_at)
    task._started_at = parse_moment(document.get("execution_start_time"))
    task._ended_at = parse_moment(document.get("execution_end_time"))
    attempts = document.get("attempts")
    task._attempts = _implied_attempts(task) if attempts is None else attempts
    return task


def _implied_attempts(task: TaskStar) -> int:
    """How often it was started, if every start but the last was followed by a retry that counted."""
    return task._current_retry + (task._started_at is not None)


def _retry_to_dict(policy: RetryPolicy) -> dict[str, Any]:
    return {
        "backoff_s": policy.backoff_s,
        "factor": policy.factor,
        "max_backoff_s": policy.max_backoff_s,
        "jitter": policy.jitter,
        "on": sorted(policy.on),
    }


def _result_from(document: Any, task_id: str) -> Any:
    if isinstance(document, Mapping) and document.get("task_id") == task_id and document.keys() == ExecutionResult.KEYS:
        return ExecutionResult.from_dict(document)
    return document


def _error_from(text: Any) -> BaseException | None:
    return text if text is None or isinstance(text, BaseException) else Exception(str(text))


# ----------------------------------------------------------------------------------------------- links
def line_to_dict(line: TaskStarLine) -> dict[str, Any]:
    """A link and what was last evaluated of it."""
    document: dict[str, Any] = {
        "line_id": line.line_id,
        "from_task_id": line.from_task_id,
        "to_task_id": line.to_task_id,
        "dependency_type": line.dependency_type.value,
        "condition_description": line.condition_description,
        "metadata": plain(line.metadata),
        "is_satisfied": line.is_satisfied(),
        "last_evaluation_result": plain(line.last_evaluation_result),
        "last_evaluation_time": _text(line.last_evaluation_time),
        "created_at": _text(line.created_at),
        "updated_at": _text(line.updated_at),
    }
    if isinstance(line.condition_evaluator, Expression):
        document["condition_expression"] = line.condition_evaluator.text
    return document


def line_from_dict(document: Mapping[str, Any]) -> TaskStarLine:
    """The inverse of `line_to_dict`, of no constellation yet.

    Raises:
        PlanError: its type is unknown, or an end is missing.
        ValueError: its condition is not an expression.
    """
    kind = document.get("dependency_type", DependencyType.UNCONDITIONAL)
    known = _member(DependencyType, kind)
    if known is None:
        allowed = ", ".join(member.value for member in DependencyType)
        raise PlanError(f"Unknown dependency type {kind!r}: it is one of {allowed}")
    if missing := [key for key in ("from_task_id", "to_task_id") if not document.get(key)]:
        raise PlanError(f"A dependency needs {' and '.join(missing)}")
    expression = document.get("condition_expression")
    line = TaskStarLine(
        document["from_task_id"],
        document["to_task_id"],
        known,
        document.get("condition_description"),
        None if expression is None else Expression(expression),
        document.get("line_id"),
        document.get("metadata"),
    )
    line._satisfied = bool(document.get("is_satisfied"))
    line._evaluation = document.get("last_evaluation_result")
    line._evaluated_at = parse_moment(document.get("last_evaluation_time"))
    line._created_at = _moment(document, "created_at", line._created_at)
    line._updated_at = _moment(document, "updated_at", line._created_at)
    return line


# ----------------------------------------------------------------------------------------------- constellations
def constellation_to_dict(constellation: TaskConstellation) -> dict[str, Any]:
    """A whole plan: its tasks by id, its links by id, how it stands."""
    start, end = constellation.execution_start_time, constellation.execution_end_time
    document: dict[str, Any] = {
        "constellation_id": constellation.constellation_id,
        "name": constellation.name,
        "state": constellation.state.value,
        "tasks": {task.task_id: task_to_dict(task) for task in constellation.get_all_tasks()},
        "dependencies": {line.line_id: line_to_dict(line) for line in constellation.get_all_dependencies()},
        "metadata": plain(constellation.metadata),
        "created_at": _text(constellation.created_at),
        "updated_at": _text(constellation.updated_at),
        "execution_start_time": _text(start),
        "execution_end_time": _text(end),
        "execution_duration": _seconds(start, end),
    }
    if constellation.revision:
        document["revision"] = constellation.revision
    return document


def constellation_from_dict(document: Mapping[str, Any]) -> TaskConstellation:
    """The inverse of `constellation_to_dict`; `tasks` and `dependencies` may also be lists.

    Statuses are taken as they are, and links are judged by the actual outcomes; what a CONDITIONAL link was judged to
    be stands, because its evaluator may be lost. The state follows from the tasks.

    Raises:
        DuplicateIdError, UnknownTaskError, CycleError: the graph is not sound.
        PlanError: a task or link stands under another id than its own, or a link cannot be read.
    """
    tasks = [task_from_dict(entry) for entry in _entries(document.get("tasks"), "task_id")]
    lines = [line_from_dict(entry) for entry in _entries(document.get("dependencies"), "line_id")]
    # Building judges the links out of what has ended into what has not started; what was judged before stands.
    judged = [(line, _Verdict(line)) for line in lines if line._evaluated_at is not None]
    built = TaskConstellation.build(
        tasks,
        lines,
        constellation_id=document.get("constellation_id"),
        name=document.get("name"),
        metadata=document.get("metadata"),
    )
    for line, verdict in judged:
        verdict.restore(line)
    built._created_at = _moment(document, "created_at", built._created_at)
    built._updated_at = _moment(document, "updated_at", built._created_at)
    built._started_at = parse_moment(document.get("execution_start_time"))
    built._ended_at = parse_moment(document.get("execution_end_time"))
    state = str(document.get("state")).lower()
    built._executing, built._cancelled = state == "executing", state == "cancelled"
    if state.endswith("failed") and not built.state.value.endswith("failed"):
        built._broken = 1  # a task was skipped by a broken condition, whose error is a text now
    built._revision = document.get("revision", 1 if tasks else 0)
    return built


class _Verdict:
    """What a link was judged to be; stands in for its evaluator while it is judged again."""

    def __init__(self, line: TaskStarLine) -> None:
        self.evaluator = line._evaluator
        self.satisfied, self.evaluation, self.at = line._satisfied, line._evaluation, line._evaluated_at
        line._evaluator = self

    def __call__(self, payload: Any) -> bool:
        return self.satisfied

    def restore(self, line: TaskStarLine) -> None:
        line._evaluator = self.evaluator
        if line._satisfied == self.satisfied:  # else the document contradicts the outcome, which wins
            line._evaluation, line._evaluated_at = self.evaluation, self.at


# ----------------------------------------------------------------------------------------------- values
def _entries(found: Any, key: str) -> Iterable[Mapping[str, Any]]:
    """The entries of a dictionary by id, or of a list; each knows its id, unless a list leaves it out."""
    if not isinstance(found, Mapping):
        yield from found or ()
        return
    for entry_id, entry in found.items():
        if entry.get(key) not in (None, entry_id):
            raise PlanError(f"{entry_id!r} stands for an entry whose {key} is {entry[key]!r}: make them equal")
        yield {**entry, key: entry_id}


def _member(names: type[Name], found: Any) -> Name | None:
    """A member of an enum whose values are its names in lower case, however it is written; None when there is none."""
    if isinstance(found, names):
        return found
    return names.__members__.get(str(getattr(found, "value", found)).upper())


def _priority(found: Any) -> TaskPriority:
    for member in TaskPriority:
        if found in (member, member.value) or str(found).upper() == member.name:
            return member
    return TaskPriority.MEDIUM


def _moment(document: Mapping[str, Any], key: str, otherwise: float) -> float:
    moment = parse_moment(document.get(key))
    return otherwise if moment is None else moment


def _text(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()


def _seconds(start: datetime | None, end: datetime | None) -> float | None:
    # Of the moments as they are written, so that reading them gives the same.
    return None if start is None or end is None else (end - start).total_seconds()


def _each_once(names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(names))
