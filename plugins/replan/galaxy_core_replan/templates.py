"""The tasks of rules: read in the keys of plan files, and made anew each time a rule is applied."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from galaxy_core import DocumentError, TaskStar, TaskStarLine, parse_plan
from galaxy_core.errors import nearest

#: What the task that has failed is called in the tasks of a rule.
FAILED = "failed"
#: Stands for tasks of the plan. Of an action, nobody knows which outputs it has.
_ELSEWHERE: dict[str, Any] = {"action": {"elsewhere": {}}}


@dataclass(frozen=True)
class Template:
    """Tasks, and the links into them, by the ids that a rule gives them. Links from the failed task are left out."""

    tasks: tuple[TaskStar, ...]
    lines: tuple[TaskStarLine, ...]


def template(tasks: Mapping[str, Any], known: Container[str], ids: Iterable[str] = ()) -> Template:
    """The tasks of a rule, which may take from each other, from the failed task, and from those of the plan.

    `known` are the ids of the plan; `ids` are the same, to tell which of them a wrong one may have meant.

    Raises:
        DocumentError: they are not tasks, or name others that there are not.
    """
    if FAILED in tasks:
        text = f"{FAILED!r} is what the task that has failed is called here: give this one another id"
        raise DocumentError("rule", [(f"tasks.{FAILED}", None, text)])
    elsewhere = {FAILED: _ELSEWHERE}
    for name in _named(tasks):
        if name in known:
            elsewhere[name] = _ELSEWHERE
        elif name not in tasks and name != FAILED:
            elsewhere.update(dict.fromkeys(nearest(name, ids), _ELSEWHERE))  # so that the error names them
    read = parse_plan({"tasks": {**elsewhere, **tasks}}, source="rule").to_constellation()
    lines = [line for line in read.get_all_dependencies() if line.from_task_id != FAILED]
    return Template(tuple(task for task in read.get_all_tasks() if task.task_id in tasks), tuple(lines))


def _named(value: Any) -> Iterator[str]:
    """What may be meant as the id of a task, at any depth."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            if key in ("from", "task") and isinstance(item, str):
                yield item
            elif key == "needs" and isinstance(item, list):
                yield from (need for need in item if isinstance(need, str))
            yield from _named(item)
    elif isinstance(value, list):
        for item in value:
            yield from _named(item)


def copy_of(task: TaskStar, task_id: str, **changes: Any) -> TaskStar:
    """A task that says the same under another id, but for `changes` (arguments of `TaskStar`)."""
    said: dict[str, Any] = {
        "name": task_id if task.name == task.task_id else task.name,
        "description": task.description,
        "tips": task.tips,
        "target_device_id": task.target_device_id if task.is_pinned else None,
        "device_type": task.device_type,
        "priority": task.priority,
        "timeout": task.timeout,
        "retry_count": task.retry_count,
        "task_data": task.task_data,
        "expected_output_type": task.expected_output_type,
        "request": task.request,
        "requires": task.requires,
        "effect": task.effect,
        "retry": task.retry_policy,
        "estimate_s": task.estimate_s,
    }
    return TaskStar(task_id, **{**said, **changes})


def link_between(line: TaskStarLine, from_task_id: str, to_task_id: str) -> TaskStarLine:
    """A link that says the same between other tasks."""
    return TaskStarLine(
        from_task_id,
        to_task_id,
        line.dependency_type,
        line.condition_description,
        line.condition_evaluator,
        metadata=line.metadata,
    )
