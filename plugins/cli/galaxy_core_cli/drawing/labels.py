"""What a drawing says of tasks and links, whatever the format."""

from __future__ import annotations

from collections.abc import Iterator

from attrs import frozen

from galaxy_core import DependencyType, TaskConstellation, TaskStar, TaskStarLine
from galaxy_core_cli.text import label, safe_line, shortened, what

#: Kinds of links: they begin when the prerequisite succeeded; ended, however (two names); met a condition. The first three
#: are the words of plan files.
SUCCESS, COMPLETION, ALWAYS, CONDITION = "success", "completion", "always", "condition"
_KINDS = {
    DependencyType.SUCCESS_ONLY: SUCCESS,
    DependencyType.COMPLETION_ONLY: COMPLETION,
    DependencyType.UNCONDITIONAL: ALWAYS,
    DependencyType.CONDITIONAL: CONDITION,
}


@frozen
class Node:
    """`title` is the task's id and name, `detail` what it does, `where` what is asked of its device, or nothing."""

    task_id: str
    title: str
    detail: str
    where: str


@frozen
class Edge:
    """`label` is the condition, or nothing. `source` and `target` are task ids."""

    source: str
    target: str
    kind: str
    label: str


def nodes(constellation: TaskConstellation) -> Iterator[Node]:
    for task in constellation.get_all_tasks():
        yield Node(task.task_id, label(task, 40), what(task, 40), shortened(_where(task), 40))


def _where(task: TaskStar) -> str:
    if task.target_device_id:
        return safe_line(f"on {task.target_device_id}")
    wanted = [*([task.device_type.value] if task.device_type else []), *sorted(task.requires)]
    return safe_line(f"on any {', '.join(wanted)}") if wanted else ""


def edges(constellation: TaskConstellation) -> Iterator[Edge]:
    for line in constellation.get_all_dependencies():
        yield Edge(line.from_task_id, line.to_task_id, _KINDS[line.dependency_type], _label(line))


def _label(line: TaskStarLine) -> str:
    if line.dependency_type is DependencyType.CONDITIONAL:
        return shortened(safe_line(line.condition_description or "condition"), 40)
    return ""
