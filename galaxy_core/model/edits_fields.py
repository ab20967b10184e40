"""Transactions as plain data: `transaction_to_dict`, and the fields of tasks and links in it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from enum import Enum
from typing import Any, Final

from galaxy_core.errors import DocumentError, EditError, EditProblem
from galaxy_core.model.condition import Expression, LostCondition, is_function
from galaxy_core.model.dependency import DependencyType, TaskStarLine
from galaxy_core.model.device import DeviceType
from galaxy_core.model.differences import changed_line, changed_task, line_differences, task_differences
from galaxy_core.model.edits import (
    LINE_FIELDS,
    TASK_FIELDS,
    AddDependency,
    AddTask,
    LinkName,
    Operation,
    RemoveDependency,
    RemoveTask,
    ReplacePlan,
    Transaction,
    UpdateDependency,
    UpdateTask,
)
from galaxy_core.model.explain import hint
from galaxy_core.model.places import Findings, Place
from galaxy_core.model.policy import Effect, RetryPolicy, TaskPriority
from galaxy_core.model.reading import UnfitError
from galaxy_core.model.request import Call
from galaxy_core.model.serial import plain
from galaxy_core.model.source import described
from galaxy_core.model.spec_documents import request_from_dict, retry_from_dict, retry_to_dict
from galaxy_core.model.task import TaskStar
from galaxy_core.model.validity import line_problems, task_problems

#: Of what `to_dict` gives, what is said of a task or link, and not how it stands: what is added has not started.
_TASK_KEYS = TASK_FIELDS.keys() | {"task_id"}
_LINE_KEYS = frozenset(
    (
        "line_id",
        "from_task_id",
        "to_task_id",
        "dependency_type",
        "condition_description",
        "condition_expression",
        "condition_lost",
        "metadata",
    )
)


# ----------------------------------------------------------------------------------------------- writing
class _UnwritableError(Exception):
    """Thrown through the writers: something is no plain data; its text names it."""


def transaction_to_dict(transaction: Transaction) -> dict[str, Any]:
    """A transaction as plain data, from which `transaction_from_dict` makes one with the same operations.

    Raises:
        EditError: it holds what no JSON can, such as a `Call`, or a condition that is a function; all of it is listed.
    """
    problems: list[EditProblem] = []
    written: list[dict[str, Any]] = []
    for place, operation in enumerate(transaction.operations):
        try:
            written.append(_written(operation))
        except _UnwritableError as error:
            problems.append(EditProblem("invalid", f"{error} cannot be written down", transaction.place_of(place)))
    document: dict[str, Any] = {"operations": written}
    for key in ("base_revision", "description", "author"):
        if (value := getattr(transaction, key)) not in (None, ""):
            document[key] = value
    if not problems:
        problems = list(_losses(transaction, document))
    if problems:
        raise EditError(problems, "Writing the edit")
    return document


def _losses(transaction: Transaction, document: dict[str, Any]) -> Iterator[EditProblem]:
    """What a document does not say as the transaction does: found by reading it, because there are many ways to lose."""
    from galaxy_core.model.edits_file import transaction_from_dict

    try:
        read = transaction_from_dict(document, "written")
    except DocumentError as error:
        for path, _, text in error.problems:
            where = re.match(r"operations\[(\d+)\]", path)
            yield EditProblem("invalid", f"{path}: {text}", transaction.place_of(int(where[1])) if where else None)
        return
    for place, (one, other) in enumerate(zip(transaction.operations, read.operations, strict=True)):
        if lost := ", ".join(_differences(one, other)):
            reason = f"{one}: its {lost} cannot be written down: it is more than plain data"
            yield EditProblem("invalid", reason, transaction.place_of(place))


def _differences(one: Operation, other: Operation) -> list[str]:
    match one, other:
        case AddTask(task), AddTask(read):
            return list(task_differences(task, read))
        case UpdateTask(task_id, changes), UpdateTask(_, read):
            task = TaskStar(task_id)
            return list(task_differences(changed_task(task, changes), changed_task(task, read)))
        case AddDependency(line), AddDependency(read):
            return list(line_differences(line, read))
        case UpdateDependency(_, changes), UpdateDependency(_, read):
            line = TaskStarLine("", "")
            return list(line_differences(changed_line(line, changes), changed_line(line, read)))
        case ReplacePlan(plan), ReplacePlan(read):
            tasks = [task_differences(task, read._tasks[task_id]) for task_id, task in plan._tasks.items()]
            lines = [line_differences(line, read._lines_by_id[line.line_id]) for line in plan._lines]
            return list(dict.fromkeys(name for differences in (*tasks, *lines) for name in differences))
    return []


def _written(operation: Operation) -> dict[str, Any]:
    match operation:
        case AddTask(task):
            return {"add_task": _task(task)}
        case RemoveTask(task_id):
            return {"remove_task": task_id}
        case UpdateTask(task_id, changes):
            return {"update_task": {"task_id": task_id, "changes": _each(changes)}}
        case AddDependency(line):
            return {"add_dependency": _line(line)}
        case RemoveDependency(link):
            return {"remove_dependency": link if isinstance(link, str) else _link(link)}
        case UpdateDependency(link, changes):
            return {"update_dependency": {**_link(link), "changes": _each(changes)}}
        case ReplacePlan(plan):
            tasks = {task.task_id: _task(task) for task in plan.get_all_tasks()}
            lines = {line.line_id: _line(line) for line in plan.get_all_dependencies()}
            return {"replace_plan": {"constellation_id": plan.constellation_id, "tasks": tasks, "dependencies": lines}}


def _task(task: TaskStar) -> dict[str, Any]:
    if problems := task_problems(task):
        raise _UnwritableError(f"task {task.task_id!r}, which is wrong ({'; '.join(problems)}),")
    _refuse_call(task.request)
    document = {key: value for key, value in task.to_dict().items() if key in _TASK_KEYS}
    return document | {"name": task._name, "priority": _value("priority", task.priority)}


def _line(line: TaskStarLine) -> dict[str, Any]:
    if problems := line_problems(line):
        raise _UnwritableError(
            f"dependency {line.from_task_id} -> {line.to_task_id}, which is wrong ({'; '.join(problems)}),"
        )
    if is_function(line.condition_evaluator):
        _value("condition_evaluator", line.condition_evaluator)
    return {key: value for key, value in line.to_dict().items() if key in _LINE_KEYS}


def _link(link: LinkName) -> dict[str, Any]:
    return {"id": link} if isinstance(link, str) else {"from": link[0], "to": link[1]}


def _each(changes: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _value(name, value) for name, value in changes.items()}


def _refuse_call(request: Any) -> None:
    if isinstance(request, Call):
        raise _UnwritableError(f"the request {request.to_dict()['call']!r}, a Call, is Python code and")


def _value(name: str, value: Any) -> Any:
    """A field as plain data; what is nothing of the kind stays as it is, for the reader to refuse."""
    match name, value:
        case "request", _ if hasattr(value, "to_dict"):
            _refuse_call(value)
            return plain(value.to_dict())
        case "retry", RetryPolicy():
            return retry_to_dict(value)
        case "requires", frozenset():
            return sorted(value)
        case "priority", TaskPriority():
            return value.name.lower()
        case "condition_evaluator", Expression():
            return value.text
        case "condition_evaluator", LostCondition():
            raise _UnwritableError("a condition that was a function and is lost")
        case "condition_evaluator", _ if value is not None:
            name = getattr(value, "__qualname__", type(value).__qualname__)
            raise _UnwritableError(f"the condition {name!r}, a function, is Python code and")
        case _, Enum():
            return value.value
        case _, float():
            return value
    return plain(value)


# ----------------------------------------------------------------------------------------------- reading
def read_task_changes(place: Place, changes: Any, findings: Findings) -> dict[str, Any]:
    """Fields of a task, by the names of `TASK_FIELDS`, from plain data; adds what is wrong with them."""
    return _read_changes(place, changes, TASK_FIELDS, findings)


def read_line_changes(place: Place, changes: Any, findings: Findings) -> dict[str, Any]:
    """Fields of a link, by the names of `LINE_FIELDS`, from plain data; adds what is wrong with them."""
    return _read_changes(place, changes, LINE_FIELDS, findings)


def _read_changes(place: Place, changes: Any, known: Mapping[str, str], findings: Findings) -> dict[str, Any]:
    if not isinstance(changes, dict):
        findings.add(place, f"found {described(changes)}; a mapping of fields to their new values is wanted here")
        return {}
    found = {}
    for name, value in changes.items():
        if name not in known:
            allowed = ", ".join(map(repr, known))
            findings.add((*place, name), f"unknown key {name!r}{hint(name, known)}; allowed are {allowed}")
            continue
        try:
            found[name] = None if value is None else _READERS[name](value)
        except _MisfitError as error:
            findings.add((*place, name), f"found {described(value)}{error}")
        except UnfitError as error:
            findings.add((*place, name, *error.place), error.text)
        except (ValueError, TypeError, AttributeError, LookupError) as error:  # of what makes requests and policies
            findings.add((*place, name), f"found {described(value)}; {error}")
    return found


class _MisfitError(Exception):
    """A value of the wrong kind; its text says what is wanted."""


def _of_kind(wanted: str, *kinds: type) -> Callable[[Any], Any]:
    def read(value: Any) -> Any:
        if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
            raise _MisfitError(f"; {wanted} is wanted here")
        return value

    return read


def _list_of_texts(value: Any) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(text, str) for text in value):
        raise _MisfitError("; a list of texts is wanted here")
    return value


def _member(names: type[Enum]) -> Callable[[Any], Any]:
    def read(value: Any) -> Any:
        members = {name.lower(): member for name, member in names.__members__.items()}
        if not isinstance(value, str) or value.lower() not in members:
            raise _MisfitError(f"{hint(value, members)}; allowed are {', '.join(map(repr, members))}")
        return members[value.lower()]

    return read


def _request(value: Any) -> Any:
    request = request_from_dict(value)
    if request is None:
        raise _MisfitError("; a call is Python code, which no document can hold")
    return request


_text, _number = _of_kind("text", str), _of_kind("a number", int, float)
_mapping = _of_kind("a mapping", dict)
_READERS: Final[Mapping[str, Callable[[Any], Any]]] = {
    "name": _text,
    "description": _text,
    "tips": _list_of_texts,
    "target_device_id": _text,
    "device_type": _member(DeviceType),
    "priority": _member(TaskPriority),
    "timeout": _number,
    "retry_count": _of_kind("a whole number", int),
    "task_data": _mapping,
    "expected_output_type": _text,
    "request": _request,
    "requires": lambda value: frozenset(_list_of_texts(value)),
    "effect": _member(Effect),
    "retry": retry_from_dict,
    "estimate_s": _number,
    "dependency_type": _member(DependencyType),
    "condition_description": _text,
    "condition_evaluator": lambda value: Expression(_text(value)),
    "metadata": _mapping,
}
