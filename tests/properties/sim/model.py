"""What edits mean, said naively: a plan as plain values, and what operations make of it.

Nothing here shares code with the kernel's edits: plans are dictionaries, copied for every step.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Mapping
from operator import attrgetter
from typing import Any

from galaxy_core import (
    AddDependency,
    AddTask,
    RemoveDependency,
    RemoveTask,
    ReplacePlan,
    TaskConstellation,
    TaskStar,
    TaskStarLine,
    TaskStatus,
    UpdateDependency,
    UpdateTask,
)

#: ("task", id) or ("link", id).
Key = tuple[str, str]
#: What is said of each task and link, by field.
Picture = dict[Key, dict[str, Any]]

TASK_FIELDS = (
    "name",
    "description",
    "tips",
    "device_type",
    "priority",
    "timeout",
    "retry_count",
    "task_data",
    "request",
    "requires",
    "effect",
    "retry",
    "estimate_s",
)
_said = attrgetter(*(f"_{name}" for name in TASK_FIELDS))
LINE_FIELDS = {
    "dependency_type": "_dependency_type",
    "condition_description": "_condition_description",
    "condition_evaluator": "_evaluator",
}
_PASSED = (TaskStatus.SKIPPED, TaskStatus.CANCELLED)
_WAITING = (TaskStatus.PENDING, TaskStatus.WAITING_DEPENDENCY)


def of_task(task: TaskStar) -> dict[str, Any]:
    """What is said of a task; a device that a strategy chose was not said."""
    found = dict(zip(TASK_FIELDS, _said(task), strict=True))
    found["target_device_id"] = task._target_device_id if task._pinned else None
    return found


def of_line(line: TaskStarLine) -> dict[str, Any]:
    """What is said of a link."""
    found = {name: getattr(line, slot) for name, slot in LINE_FIELDS.items()}
    return {**found, "from": line._from, "to": line._to}


def picture(plan: TaskConstellation) -> Picture:
    """A plan without its progress."""
    found: Picture = {("task", task_id): of_task(task) for task_id, task in plan._tasks.items()}
    for line in plan._lines:
        found["link", line.line_id] = of_line(line)
    return found


def differences(before: Picture, after: Picture) -> set[Key]:
    """What was added, removed or changed."""
    return {key for key in before.keys() | after.keys() if before.get(key) != after.get(key)}


def is_started(task: TaskStar) -> bool:
    """Whether I3 forbids to change it."""
    return bool(task._attempts) or task._status not in _WAITING


def applied(before: Picture, operations: Iterable[Any], fixed: Container[str]) -> Picture:
    """What operations make of a plan in which the tasks of these ids have started."""
    plan = {key: dict(value) for key, value in before.items()}
    for operation in operations:
        match operation:
            case AddTask(task):
                plan["task", task.task_id] = of_task(task)
            case RemoveTask(task_id):
                del plan["task", task_id]
                for key, said in list(plan.items()):
                    if key[0] == "link" and task_id in (said["from"], said["to"]):
                        del plan[key]
            case UpdateTask(task_id, changes):
                plan["task", task_id].update(changes)
            case AddDependency(line):
                plan["link", line.line_id] = of_line(line)
            case RemoveDependency(link):
                del plan[_link(plan, link)]
            case UpdateDependency(link, changes):
                plan[_link(plan, link)].update(changes)
            case ReplacePlan(proposed):
                plan = _replaced(plan, picture(proposed), fixed)
    return plan


def _link(plan: Picture, link: Any) -> Key:
    if isinstance(link, str):
        return "link", link
    return next(key for key, said in plan.items() if key[0] == "link" and (said["from"], said["to"]) == tuple(link))


def _replaced(before: Picture, wanted: Picture, fixed: Container[str]) -> Picture:
    after: Picture = {}
    wanted = _under_known_ids(before, wanted)
    for plan, is_fixed in ((before, True), (wanted, False)):
        for key, said in plan.items():
            owner = key[1] if key[0] == "task" else said["to"]
            if (owner in fixed) is is_fixed:
                after[key] = dict(said)
    for key, said in list(after.items()):
        if key[0] == "link" and ("task", said["from"]) not in after:
            del after[key]  # into what was skipped, from what is taken out
        elif key[0] == "task" and key in before and said["target_device_id"] is None:
            said["target_device_id"] = before[key]["target_device_id"]  # that it has no pin is not said
    return after


def _under_known_ids(before: Picture, wanted: Picture) -> Picture:
    """A link of an id that is not known stands for one with the same ends that is not there by its id."""
    found: Picture = {}
    for key, said in wanted.items():
        ends = [said.get("from"), said.get("to")]
        alike = (
            other
            for other, old in before.items()
            if other[0] == "link" and other not in wanted and other not in found and [old["from"], old["to"]] == ends
        )
        found[key if key[0] == "task" or key in before else next(alike, key)] = said
    return found


def cycle_in(plan: Picture) -> bool:
    """Whether links lead round in a circle."""
    links = [(said["from"], said["to"]) for key, said in plan.items() if key[0] == "link"]
    left = {key[1] for key in plan if key[0] == "task"}
    while left:
        waiting = {target for source, target in links if source in left}
        if left <= waiting:
            return True
        left &= waiting
    return False


def leads_to(task: TaskStar, is_one: Callable[[str], bool]) -> bool:
    """Whether a task that is ready is one of these, or follows one of them, at most over tasks that ran nothing."""
    return is_one(task._task_id) or follows(task, is_one)


def follows(task: TaskStar, is_one: Callable[[str], bool]) -> bool:
    """Whether a task that is ready follows one of these, at most over tasks that ran nothing."""
    for line in task._in:
        source = line._source
        if source is not None and (is_one(source._task_id) or (source._status in _PASSED and follows(source, is_one))):
            return True
    return False


def touched(operations: Iterable[Any], plan: TaskConstellation) -> set[str]:
    """The ids of the tasks that operations are about; of a link, that of the task that it leads to."""
    found: set[str] = set()
    for operation in operations:
        match operation:
            case AddTask(task):
                found.add(task.task_id)
            case RemoveTask(task_id) | UpdateTask(task_id):
                found.add(task_id)
            case AddDependency(line):
                found.add(line.to_task_id)
            case RemoveDependency(link) | UpdateDependency(link):
                named = plan.get_dependency(link) if isinstance(link, str) else None
                if named is not None:
                    found.add(named.to_task_id)
                elif not isinstance(link, str):
                    found.add(link[1])
            case ReplacePlan(proposed):
                found |= plan._tasks.keys() | proposed._tasks.keys()
    return found


def key_of(operation: Any) -> Key:
    """What an operation on a plan itself is about."""
    if isinstance(operation, AddTask):
        return "task", operation.task.task_id
    if isinstance(operation, RemoveTask | UpdateTask):
        return "task", operation.task_id
    if isinstance(operation, AddDependency):
        return "link", operation.line.line_id
    return "link", operation.link


def shown(plan: Mapping[Key, Any], keys: Iterable[Key]) -> str:
    """Some entries of a plan, for messages."""
    return "; ".join(f"{key[0]} {key[1]}: {plan.get(key, 'gone')}" for key in sorted(keys))
