"""Whether a plan that a program has built again is the recorded one, and what only the program has of it."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping
from enum import Enum
from typing import Any

from galaxy_core.model.condition import Expression, LostCondition, is_function
from galaxy_core.model.constellation import TaskConstellation
from galaxy_core.model.dependency import TaskStarLine
from galaxy_core.model.differences import line_differences, said, task_differences
from galaxy_core.model.edits import LINE_FIELDS, TASK_FIELDS
from galaxy_core.model.records.unkept import whole_again
from galaxy_core.model.request import Action, Call
from galaxy_core.model.serial import plain
from galaxy_core.model.task import TaskStar

#: Differences that are told.
MOST = 10
#: Characters that are shown of a value.
SHOWN = 60
#: What is said of functions of which only the modules differ.
ONLY_MODULE = ": only the module differs"
#: What is compared as it is written, because records keep what JSON can hold.
_WRITTEN = frozenset({"task_data", "request"})

Ends = tuple[str, str]


def differences(recorded: TaskConstellation, calls: Mapping[str, str], given: TaskConstellation) -> Iterator[str]:
    """In what a plan that is given differs from the one that was recorded, in words. `calls` names the recorded functions."""
    for task_id, task in recorded._tasks.items():
        here = given._tasks.get(task_id)
        if here is None:
            yield f"task {task_id!r} is missing"
        elif changed := sorted(_task_changes(task, calls.get(task_id), here)):
            yield f"task {task_id!r} has another {' and another '.join(changed)}"
    for task_id in given._tasks:
        if task_id not in recorded._tasks:
            yield f"task {task_id!r} is new"
    pairs = paired(recorded, given)
    for line, other in pairs.items():
        name = f"dependency {line._from!r} -> {line._to!r}"
        if other is None:
            yield f"{name} is missing"
        elif changed := sorted(_line_changes(line, other)):
            yield f"{name} has another {' and another '.join(changed)}"
    known = {id(other) for other in pairs.values()}
    for line in given._lines:
        if id(line) not in known:
            yield f"dependency {line._from!r} -> {line._to!r} is new"


def _task_changes(recorded: TaskStar, call: str | None, given: TaskStar) -> Iterator[str]:
    for name in task_differences(recorded, given):
        if name in _WRITTEN and _is_same(getattr(recorded, TASK_FIELDS[name]), getattr(given, TASK_FIELDS[name])):
            continue  # what no record can hold comes back as what stands for it
        if name != "request" or call is None:
            yield _told(name, _words(said(recorded, name)), _words(said(given, name)))
        elif not isinstance(given._request, Call):
            yield _told(name, call, _words(given._request))
        elif call != (here := call_name(given)):
            alike = call.partition(":")[2] == here.partition(":")[2] and "<" not in here
            yield _told(name, call, here, ONLY_MODULE if alike else "")


def _line_changes(recorded: TaskStarLine, given: TaskStarLine) -> Iterator[str]:
    for name in line_differences(recorded, given):
        if name == "metadata" and _is_same(recorded._metadata, given._metadata):
            continue  # as above
        lost = isinstance(recorded._evaluator, LostCondition)
        if name != "condition_evaluator" or not (lost and is_function(given._evaluator)):
            yield _told(name, *(_words(getattr(one, LINE_FIELDS[name])) for one in (recorded, given)))


def _told(name: str, recorded: str, given: str, more: str = "") -> str:
    """A difference in words. Of long values that part is shown where they begin to differ."""
    if max(len(recorded), len(given)) > SHOWN:
        pairs = enumerate(zip(recorded, given, strict=False))
        same = next((place for place, (one, other) in pairs if one != other), min(len(recorded), len(given)))
        start = max(0, same - SHOWN // 3)
        recorded, given = (_part(one, start) for one in (recorded, given))
    return f"{name.replace('_', ' ')} (recorded: {recorded}; given: {given}{more})"


def _part(text: str, start: int) -> str:
    cut = text[start : start + SHOWN]
    return f"{'…' if start else ''}{cut}{'…' if start + SHOWN < len(text) else ''}"


def _words(value: Any) -> str:
    """A value in one line, as a document would have it."""
    if value is None:
        return "none"
    if isinstance(value, Enum):
        return str(value.value if isinstance(value.value, str) else value.name.lower())
    if isinstance(value, Expression):
        return value.text
    if callable(value) or isinstance(value, LostCondition):
        return "a Python function"
    return json.dumps(plain(value), ensure_ascii=False, default=str)


def _is_same(recorded: Any, given: Any) -> bool:
    if isinstance(recorded, Action) and isinstance(given, Action):
        return recorded.name == given.name and _is_same(dict(recorded.arguments), dict(given.arguments))
    return bool(plain(whole_again(recorded, given)) == plain(given))


def call_name(task: TaskStar) -> str:
    """The name under which a document keeps the function that a task calls."""
    assert task._request is not None
    return str(task._request.to_dict()["call"])


def paired(recorded: TaskConstellation, given: TaskConstellation) -> dict[TaskStarLine, TaskStarLine | None]:
    """For each recorded link the one of the same id that is given, or else the next between the same tasks."""
    found: dict[TaskStarLine, TaskStarLine | None] = {}
    left: dict[Ends, list[TaskStarLine]] = defaultdict(list)
    for line in given._lines:
        if line._line_id not in recorded._lines_by_id:
            left[line._from, line._to].append(line)
    for line in recorded._lines:
        same = given._lines_by_id.get(line.line_id)
        if same is None and (others := left[line._from, line._to]):
            same = others.pop(0)
        found[line] = same
    return found
