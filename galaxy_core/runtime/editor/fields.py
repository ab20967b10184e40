"""Fields of tasks and links as people, programs and language models write them: read strictly, or refused by name.

What JSON has no type for may stand as the object itself or as its text: an enum by its value or its name in any case, a
request by its keys, a condition as an expression. Nothing else is converted.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Mapping
from enum import Enum
from types import MappingProxyType
from typing import Any, TypeVar

import attrs

from galaxy_core.errors import EditError, EditProblem, GalaxyError, nearest
from galaxy_core.model.condition import Expression
from galaxy_core.model.dependency import DependencyType, TaskStarLine
from galaxy_core.model.device import DeviceType
from galaxy_core.model.policy import Effect, RetryPolicy, TaskConfiguration, TaskPriority
from galaxy_core.model.request import Action, Call, Command, Reference, Request
from galaxy_core.model.spec_documents import request_from_dict
from galaxy_core.model.task import TaskStar
from galaxy_core.model.validity import line_problems, task_problems

Member = TypeVar("Member", bound=Enum)


def _wanted(what: str, found: Any) -> ValueError:
    return ValueError(f"{what} is wanted here, not {found!r:.80}")


def _text(found: Any) -> str:
    if not isinstance(found, str):
        raise _wanted("a text", found)
    return found


def _text_or_none(found: Any) -> str | None:
    return None if found is None else _text(found)


def _id_or_none(found: Any) -> str | None:
    if found is not None and not _text(found).strip():
        raise _wanted("an id, or None,", found)
    return found  # type: ignore[no-any-return]


def _texts(found: Any) -> list[str]:
    if isinstance(found, str | Mapping) or not isinstance(found, Iterable):
        raise _wanted("a list of texts", found)
    return [_text(item) for item in found]


def _tips(found: Any) -> list[str] | None:
    return None if found is None else _texts(found)


def _data(found: Any) -> dict[str, Any] | None:
    if found is None:
        return None
    if not isinstance(found, Mapping) or not all(isinstance(key, str) for key in found):
        raise _wanted("a mapping whose keys are texts", found)
    return dict(found) or None


def _number(found: Any) -> float:
    if isinstance(found, bool) or not isinstance(found, int | float) or not math.isfinite(found):
        raise _wanted("a number", found)
    return found


def _timeout(found: Any) -> float | None:
    if found is not None and _number(found) <= 0:
        raise _wanted("a positive number of seconds", found)
    return found  # type: ignore[no-any-return]


def _estimate(found: Any) -> float | None:
    if found is not None and _number(found) < 0:
        raise _wanted("a number of seconds, not negative,", found)
    return found  # type: ignore[no-any-return]


def _count(found: Any) -> int:
    if isinstance(found, bool) or not isinstance(found, int) or found < 0:
        raise _wanted("a whole number, not negative,", found)
    return found


def member_of(members: type[Member], found: Any) -> Member:
    """A member of an enum: itself, its value, or its name in any case.

    Raises:
        ValueError: there is none.
    """
    for member in members:
        if found is member or (isinstance(found, str) and found.upper() == member.name):
            return member
        if type(found) is type(member.value) and found == member.value:
            return member
    raise _wanted(f"one of {', '.join(member.name.lower() for member in members)}", found)


def _device_type(found: Any) -> DeviceType | None:
    return None if found is None else member_of(DeviceType, found)


def _request(found: Any) -> Request | None:
    if found is None or isinstance(found, Command | Action | Call):
        return found
    if not isinstance(found, Mapping):
        raise _wanted("a request, or a mapping with its keys,", found)
    if "call" in found:
        raise ValueError("a Python function cannot be read from a document: set request=Call(...) instead")
    allowed = {field.name for field in attrs.fields(Command)} - {"argv"} | {"run", "action"}
    if unknown := found.keys() - allowed:
        raise ValueError(
            f"a request has no key {', '.join(map(repr, sorted(map(str, unknown))))}; it has {', '.join(allowed)}"
        )
    try:
        request = request_from_dict(found)
    except (TypeError, AttributeError) as error:
        raise ValueError(f"this is no request: {error}") from error
    if isinstance(request, Command):
        texts = (*(request.argv or ()), *request.env.values(), *request.files.values(), *request.outputs)
        given = [value for value in (request.shell, request.cwd, request.stdin) if value is not None]
        if wrong := [value for value in (*texts, *given) if not isinstance(value, str | Reference)]:
            raise _wanted("a text or a reference", wrong[0])
    return request


def _retry(found: Any) -> RetryPolicy:
    if isinstance(found, RetryPolicy):
        return found
    names = [field.name for field in attrs.fields(RetryPolicy)]
    if not isinstance(found, Mapping) or not found.keys() <= set(names):
        raise _wanted(f"a retry policy, or a mapping with {', '.join(names)},", found)
    read: dict[str, Any] = {key: _texts(value) if key == "on" else _number(value) for key, value in found.items()}
    return RetryPolicy(**read)


def _condition(found: Any) -> Any:
    if found is not None and not callable(found):
        raise _wanted("a function, or None,", found)
    return found


def _expression(found: Any) -> Expression | None:
    return None if found is None else Expression(_text(found))


Reader = Callable[[Any], Any]
_TASK: Mapping[str, Reader] = MappingProxyType(
    {
        "name": _text,
        "description": _text,
        "tips": _tips,
        "target_device_id": _id_or_none,
        "device_type": _device_type,
        "priority": lambda found: member_of(TaskPriority, found),
        "timeout": _timeout,
        "retry_count": _count,
        "task_data": _data,
        "expected_output_type": _text_or_none,
        "request": _request,
        "requires": lambda found: frozenset(_texts(found)),
        "effect": lambda found: member_of(Effect, found),
        "retry": _retry,
        "estimate_s": _estimate,
    }
)
_LINE: Mapping[str, Reader] = MappingProxyType(
    {
        "dependency_type": lambda found: member_of(DependencyType, found),
        "condition_description": _text_or_none,
        "condition_evaluator": _condition,
        "metadata": _data,
    }
)
#: Other names of fields, with how they are read.
_TASK_NAMES: Mapping[str, str] = {"task_description": "description", "retry_policy": "retry"}
_LINE_NAMES: Mapping[str, str] = {"condition_expression": "condition_evaluator"}


def unread(reasons: Iterable[str]) -> EditError:
    """The error of what was given and cannot be, with a problem for each reason."""
    return EditError([EditProblem("invalid", reason) for reason in reasons])


def _read(
    given: Mapping[Any, Any], readers: Mapping[str, Reader], names: Mapping[str, str], more: Collection[str]
) -> dict[str, Any]:
    found: dict[str, Any] = {}
    reasons = []
    for key, value in given.items():
        field = names.get(key, key) if isinstance(key, str) else ""
        if field not in readers:
            known = [*readers, *more]
            near = nearest(str(key), known)
            meant = f"; did you mean {' or '.join(map(repr, near))}?" if near else ""
            reasons.append(f"there is no field {key!r}{meant}; there are {', '.join(known)}")
            continue
        try:
            read = (_expression if key == "condition_expression" else readers[field])(value)
            if field in found and found[field] != read:
                reasons.append(f"{key!r} says something else than its other name, {field!r}")
            found[field] = read
        except (ValueError, GalaxyError) as error:
            reasons.append(f"{key}: {error}")
    if reasons:
        raise unread(reasons)
    return found


def task_fields(given: Mapping[Any, Any], more: Collection[str] = ()) -> dict[str, Any]:
    """`given` as arguments of `TaskStar`. `more` are keys that the caller knows beside these, for messages.

    Raises:
        EditError: what is wrong with them, all together.
    """
    return _read(given, _TASK, _TASK_NAMES, more)


def line_fields(given: Mapping[Any, Any], more: Collection[str] = ()) -> dict[str, Any]:
    """`given` as arguments of `TaskStarLine`; otherwise as `task_fields`."""
    return _read(given, _LINE, _LINE_NAMES, more)


def check_task(task: TaskStar) -> None:
    """Refuse a task that says what cannot be.

    Raises:
        EditError
    """
    if problems := task_problems(task):
        raise unread(problems)


def check_line(line: TaskStarLine) -> None:
    """Refuse a link that says what cannot be.

    Raises:
        EditError
    """
    if problems := line_problems(line):
        raise unread(problems)


def check_ids(*ids: Any) -> None:
    """Refuse what is not a text that says something.

    Raises:
        EditError
    """
    if wrong := [found for found in ids if not isinstance(found, str) or not found.strip()]:
        raise unread([str(_wanted("an id", found)) for found in wrong])


def configured(fields: Mapping[str, Any], config: Any) -> dict[str, Any]:
    """Arguments of `TaskStar`, with what is truthy in a `TaskConfiguration` before them, as the class itself has it.

    Raises:
        EditError: it is no such configuration.
    """
    if not isinstance(config, TaskConfiguration):
        raise unread([f"config: {_wanted('a TaskConfiguration', config)}"])
    found = dict(fields)
    for name in ("timeout", "retry_count", "priority"):
        if getattr(config, name):
            found[name] = getattr(config, name)
    if config.metadata:
        found["task_data"] = {**(found.get("task_data") or {}), **config.metadata}
    if config.retry_count:
        found.setdefault("retry", RetryPolicy(backoff_s=config.retry_delay))
    return found


def together(updates: Mapping[str, Any] | None, fields: Mapping[str, Any]) -> dict[str, Any]:
    """Fields that were given as one mapping, and as keywords, which win.

    Raises:
        EditError: the first is no mapping.
    """
    if updates is not None and not isinstance(updates, Mapping):
        raise unread([str(_wanted("a mapping of fields", updates))])
    return {**(updates or {}), **fields}
