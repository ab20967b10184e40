"""Tasks, links and constellations as plain dictionaries, and back.

The keys are those of the API document. Beside them stand, only where they say something: of a task `effect`,
`requires`, `request`, `retry`, `estimate_s`, `pinned` (false when a strategy chose the device) and `attempts` (when
there were others than `current_retry` and the start time tell); of a link `condition_expression`, because of all
evaluators an `Expression` alone can be written, and `condition_lost` (true) in place of every other, and `withheld` (true)
while its prerequisite has ended in a way that it does not accept, and nobody has skipped its dependent yet; of a
constellation `revision`.

Errors are written as their text; those of tasks that were skipped or cancelled, or whose end nobody knows, are read as the
errors that they were. Results are written through `serial.plain`. An `ExecutionResult` is written as its dictionary, and what has exactly the keys of such a dictionary and the id of its task is read as one. A `Call` is named in the
document but cannot be built again: its task is read as one without a request.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from enum import Enum
from typing import Any, TypeVar

from galaxy_core.errors import OutcomeUnknownError, PlanError, TaskCancelledError, TaskSkippedError
from galaxy_core.model.condition import Evaluator, Expression, LostCondition
from galaxy_core.model.constellation import TaskConstellation
from galaxy_core.model.dependency import DependencyType, TaskStarLine
from galaxy_core.model.device import DeviceType
from galaxy_core.model.policy import DEFAULT_RETRY, Effect, TaskPriority
from galaxy_core.model.reading import (
    UnfitError,
    as_mapping,
    count_at,
    flag_at,
    inside,
    mapping_at,
    moment_at,
    number_at,
    refused_as_document,
    text_at,
    texts_at,
    unfit,
)
from galaxy_core.model.reasons import shown
from galaxy_core.model.result import TERMINAL, UNSTARTED, ExecutionResult, TaskStatus
from galaxy_core.model.serial import described, plain
from galaxy_core.model.spec_documents import request_from_dict, retry_from_dict, retry_to_dict
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
        document["retry"] = retry_to_dict(task.retry_policy)
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

    Raises:
        DocumentError: a value is not of the kind that is wanted.
    """
    with refused_as_document():
        return _task(document)


def _task(found: Any) -> TaskStar:
    document = as_mapping(found)
    retry, request = document.get("retry"), document.get("request")
    task = TaskStar(
        text_at(document, "task_id"),
        text_at(document, "name") or "",
        text_at(document, "description") or text_at(document, "task_description") or "",
        texts_at(document, "tips"),
        text_at(document, "target_device_id"),
        _member(DeviceType, document.get("device_type")),
        _priority(document.get("priority")),
        number_at(document, "timeout"),
        count_at(document, "retry_count") or 0,
        inside("task_data", dict, mapping_at(document, "task_data") or {}),
        text_at(document, "expected_output_type"),
        request=None if request is None else inside("request", request_from_dict, request),
        requires=texts_at(document, "requires") or (),
        effect=_member(Effect, document.get("effect")) or Effect.ONCE,
        retry=DEFAULT_RETRY if retry is None else inside("retry", retry_from_dict, retry),
        estimate_s=number_at(document, "estimate_s"),
    )
    task._pinned = flag_at(document, "pinned") is not False and task._target_device_id is not None
    task._status = _member(TaskStatus, document.get("status")) or TaskStatus.PENDING
    task._result = _result_from(document.get("result"), task._task_id)
    task._error = _error_of(task._status, task._task_id, document)
    task._current_retry = count_at(document, "current_retry") or 0
    task._created_at = _moment(document, "created_at", task._created_at)
    task._updated_at = _moment(document, "updated_at", task._created_at)
    task._started_at = moment_at(document, "execution_start_time")
    task._ended_at = moment_at(document, "execution_end_time")
    attempts = count_at(document, "attempts")
    task._attempts = _implied_attempts(task) if attempts is None else attempts
    return task


def _implied_attempts(task: TaskStar) -> int:
    """How often it was started, if every start but the last was followed by a retry that counted."""
    return task._current_retry + (task._started_at is not None)


def _result_from(document: Any, task_id: str) -> Any:
    if isinstance(document, Mapping) and document.get("task_id") == task_id and document.keys() == ExecutionResult.KEYS:
        try:
            return _execution_result(document)
        except UnfitError:  # a payload that has the keys of a result by chance, or was one of somebody else's making
            return document
    return document


def _error_from(found: Any) -> BaseException | None:
    if found is None or isinstance(found, BaseException):
        return found
    try:
        return Exception(str(found))
    except ValueError:  # a number of too many digits
        return Exception(described(found))


def _error_of(status: TaskStatus, task_id: str, document: Mapping[str, Any]) -> BaseException | None:
    """The error of a task, of the class that the kernel gives those that ended so, if its text is as the kernel's are."""
    found = document.get("error")
    if not isinstance(found, str):
        return _error_from(found)
    if status is TaskStatus.UNKNOWN:
        return OutcomeUnknownError(task_id, found)
    if status is TaskStatus.CANCELLED and found.startswith(f"task {task_id!r}: "):
        return TaskCancelledError(task_id, found)
    skipped = f"task {task_id!r} was skipped: "
    if status is TaskStatus.SKIPPED and found.startswith(skipped):
        why = found.removeprefix(skipped)
        causes = [cause for cause in texts_at(document, "dependencies") or () if f"prerequisite {cause!r} " in why]
        return TaskSkippedError(task_id, causes[0] if causes else "", why)
    return _error_from(found)


def result_from_dict(document: Mapping[str, Any]) -> ExecutionResult:
    """The inverse of `ExecutionResult.to_dict`.

    Raises:
        DocumentError: a value is not of the kind that is wanted, or there is no id or status.
    """
    with refused_as_document():
        return _execution_result(document)


def _execution_result(found: Any) -> ExecutionResult:
    document = as_mapping(found)
    task_id, status = text_at(document, "task_id"), text_at(document, "status")
    if missing := [key for key in ("task_id", "status") if document.get(key) is None]:
        raise UnfitError((), f"a result needs {' and '.join(missing)}")
    error, metadata, files = document.get("error"), mapping_at(document, "metadata"), mapping_at(document, "files")
    exit_code, attempts = number_at(document, "exit_code"), count_at(document, "attempts")
    if exit_code is not None and not isinstance(exit_code, int):
        raise unfit(exit_code, "a whole number", "exit_code")
    for name, path in (files or {}).items():
        if not isinstance(path, str):
            raise unfit(path, "text", "files", name)
    return ExecutionResult(
        task_id or "",
        TaskStatus(status) if status in set(TaskStatus) else status or "",
        document.get("result"),
        _error_from(error),
        None if metadata is None else dict(metadata),
        moment_at(document, "start_time"),
        moment_at(document, "end_time"),
        stdout=text_at(document, "stdout"),
        stderr=text_at(document, "stderr"),
        exit_code=exit_code,
        device_id=text_at(document, "device_id"),
        attempts=1 if attempts is None else attempts,
        files=files,
    )


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
    elif line.condition_evaluator is not None:
        document["condition_lost"] = True
    if line._open and line._source is not None and line._source._status in TERMINAL:
        target = line._target
        if target is not None and target._status in UNSTARTED:
            document["withheld"] = True
    return document


def line_from_dict(document: Mapping[str, Any]) -> TaskStarLine:
    """The inverse of `line_to_dict`, of no constellation yet. A condition that was lost cannot be judged.

    Raises:
        DocumentError: its type is unknown, an end is missing, its condition is not an expression, or a value is not of
            the kind that is wanted.
    """
    with refused_as_document():
        return _line(document)


def _line(found: Any) -> TaskStarLine:
    document = as_mapping(found)
    kind = document.get("dependency_type", DependencyType.UNCONDITIONAL)
    known = _member(DependencyType, kind)
    if known is None:
        allowed = ", ".join(member.value for member in DependencyType)
        raise UnfitError(("dependency_type",), f"Unknown dependency type {shown(kind)}: it is one of {allowed}")
    source, target = text_at(document, "from_task_id"), text_at(document, "to_task_id")
    if not source or not target:
        missing = [key for key in ("from_task_id", "to_task_id") if not document.get(key)]
        raise UnfitError((), f"A dependency needs {' and '.join(missing)}")
    metadata = mapping_at(document, "metadata")
    words = text_at(document, "condition_description")
    line = TaskStarLine(
        source, target, known, words, _condition(document, words), text_at(document, "line_id"), metadata
    )
    line._satisfied = bool(document.get("is_satisfied"))
    line._evaluation = document.get("last_evaluation_result")
    line._evaluated_at = moment_at(document, "last_evaluation_time")
    line._created_at = _moment(document, "created_at", line._created_at)
    line._updated_at = _moment(document, "updated_at", line._created_at)
    return line


def _condition(document: Mapping[str, Any], words: str | None) -> Evaluator | None:
    text = text_at(document, "condition_expression")
    if text is not None:
        return inside("condition_expression", Expression, text)
    return LostCondition(words) if flag_at(document, "condition_lost") else None


# ----------------------------------------------------------------------------------------------- constellations
def constellation_to_dict(constellation: TaskConstellation) -> dict[str, Any]:
    """A whole plan: its tasks by id, its links by id, how it stands."""
    start, end = constellation.execution_start_time, constellation.execution_end_time
    duration = _seconds(start, end)  # less than 0 where the clock was set back between two processes of a run
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
        "execution_duration": duration and max(0.0, duration),
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
        PlanError: a task or link stands under another id than its own.
        DocumentError: a task or link cannot be read, or a value is not of the kind that is wanted.
    """
    with refused_as_document():
        return _constellation(document)


def _constellation(found: Any) -> TaskConstellation:
    document = as_mapping(found)
    tasks = [inside("tasks", inside, place, _task, entry) for place, entry in _entries(document, "tasks", "task_id")]
    places = list(_entries(document, "dependencies", "line_id"))
    lines = [inside("dependencies", inside, place, _line, entry) for place, entry in places]
    # Building judges the links out of what has ended into what has not started; what was judged before stands.
    judged = [(line, _Verdict(line)) for line in lines if line._evaluated_at is not None]
    withheld = [line for line, (_, entry) in zip(lines, places, strict=True) if flag_at(entry, "withheld")]
    built = TaskConstellation.build(
        tasks,
        lines,
        constellation_id=text_at(document, "constellation_id"),
        name=text_at(document, "name"),
        metadata=mapping_at(document, "metadata"),
        withheld=withheld,
    )
    for line, verdict in judged:
        verdict.restore(line)
    built._created_at = _moment(document, "created_at", built._created_at)
    built._updated_at = _moment(document, "updated_at", built._created_at)
    built._started_at = moment_at(document, "execution_start_time")
    built._ended_at = moment_at(document, "execution_end_time")
    state = document.get("state")
    state = str(getattr(state, "value", state)).lower() if isinstance(state, (str, Enum)) else ""
    built._executing, built._cancelled = state == "executing", state == "cancelled"
    if state.endswith("failed") and not built.state.value.endswith("failed"):
        built._broken = 1  # a task was skipped by a broken condition, whose error is a text now
    revision = count_at(document, "revision")
    built._revision = (1 if tasks else 0) if revision is None else revision
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
def _entries(document: Mapping[str, Any], part: str, key: str) -> Iterable[tuple[str | int, Any]]:
    """The entries of a dictionary by id, or of a list, with their places; each knows its id, unless a list leaves it out."""
    found = document.get(part)
    if isinstance(found, (list, tuple)):
        yield from enumerate(found)
        return
    if found is not None and not isinstance(found, Mapping):
        raise unfit(found, "a mapping by id, or a list,", part)
    for entry_id, entry in inside(part, as_mapping, found or {}).items():
        if isinstance(entry, Mapping):
            if entry.get(key) not in (None, entry_id):
                raise PlanError(f"{entry_id!r} stands for an entry whose {key} is {shown(entry[key])}: make them equal")
            yield entry_id, {**entry, key: entry_id}
        else:
            yield entry_id, entry  # which is refused by whoever reads it


def _member(names: type[Name], found: Any) -> Name | None:
    """A member of an enum whose values are its names in lower case, however it is written; None when there is none."""
    if isinstance(found, names):
        return found
    text = getattr(found, "value", found)
    return names.__members__.get(text.upper()) if isinstance(text, str) else None


def _priority(found: Any) -> TaskPriority:
    for member in TaskPriority:
        if found in (member, member.value) or (isinstance(found, str) and found.upper() == member.name):
            return member
    return TaskPriority.MEDIUM


def _moment(document: Mapping[str, Any], key: str, otherwise: float) -> float:
    moment = moment_at(document, key)
    return otherwise if moment is None else moment


def _text(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()


def _seconds(start: datetime | None, end: datetime | None) -> float | None:
    # Of the moments as they are written, so that reading them gives the same.
    return None if start is None or end is None else (end - start).total_seconds()


def _each_once(names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(names))
