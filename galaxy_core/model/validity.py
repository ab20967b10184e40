"""Values that a task or link cannot have, in words: what Python lets through, and no run could work with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from galaxy_core.model.dependency import DependencyType, TaskStarLine
from galaxy_core.model.request import Action, Call, Command, Reference
from galaxy_core.model.task import TaskStar

_LISTS = ("tips", "requires")


def change_problems(changes: Mapping[str, Any]) -> list[str]:
    """What is wrong with values that a task's fields are to have, and would be lost by making a task of them."""
    return [
        f"{name} is a list of texts, not the text {changes[name]!r}"
        for name in _LISTS
        if isinstance(changes.get(name), str)
    ]


def task_problems(task: TaskStar) -> list[str]:
    """What is wrong with a task by itself."""
    problems = task._unrunnable()
    if not isinstance(task._task_id, str) or not task._task_id.strip():
        problems.append("its id is not a text that says something")
    for name, text in (("name", task._name), ("description", task._description)):
        if not isinstance(text, str):
            problems.append(f"its {name} is {text!r}, and no text")
    for name, optional in (("device", task._target_device_id), ("expected output type", task._expected_output_type)):
        if optional is not None and not isinstance(optional, str):
            problems.append(f"its {name} is {optional!r}, and neither a text nor None")
    for name, texts in (("tips", task._tips or ()), ("requirements", task._requires)):
        problems += [
            f"its {name} have {text!r} among them, which is no text" for text in texts if not isinstance(text, str)
        ]
    problems += _request_problems(task._request)
    return problems


def _request_problems(request: Any) -> list[str]:
    if request is None or isinstance(request, Call):
        return []
    if isinstance(request, Action):
        return [] if isinstance(request.name, str) else [f"its action is called {request.name!r}, and not by a text"]
    if not isinstance(request, Command):
        return [f"its request is {request!r}, and no Command, Action or Call"]
    texts = [*(request.argv or ()), *request.env.values(), *request.files.values()]
    texts += [text for text in (request.shell, request.cwd, request.stdin, *request.outputs) if text is not None]
    wrong = next((text for text in texts if not isinstance(text, (str, Reference))), None)
    return [] if wrong is None else [f"its command has {wrong!r} where a text or a reference is wanted"]


def line_problems(line: TaskStarLine) -> list[str]:
    """What is wrong with a link by itself."""
    problems = []
    for name, text in (("source", line._from), ("target", line._to), ("id", line.line_id)):
        if not isinstance(text, str) or not text.strip():
            problems.append(f"its {name} is {text!r}, and no text that says something")
    if not isinstance(line._dependency_type, DependencyType):
        problems.append(f"its type is {line._dependency_type!r}, and no DependencyType")
    if line._evaluator is not None and not callable(line._evaluator):
        problems.append(f"its condition is {line._evaluator!r}, which cannot be called")
    words = line._condition_description
    if words is not None and not isinstance(words, str):
        problems.append(f"its description is {words!r}, and neither a text nor None")
    return problems
