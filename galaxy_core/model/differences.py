"""In what two tasks, links or plans differ: as fields, and as the operations that lead from one plan to the other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from attrs import fields

from galaxy_core.model.condition import LostCondition, is_function
from galaxy_core.model.constellation import TaskConstellation
from galaxy_core.model.dependency import TaskStarLine
from galaxy_core.model.edits import (
    LINE_FIELDS,
    TASK_FIELDS,
    AddDependency,
    AddTask,
    Operation,
    RemoveDependency,
    RemoveTask,
    UpdateDependency,
    UpdateTask,
)
from galaxy_core.model.request import Action, Call, Command, Reference
from galaxy_core.model.task import TaskStar
from galaxy_core.model.values import FrozenDict, FrozenList

#: Fields of data, which goes to devices as it is: there 1, 1.0 and true are three values.
_DATA = frozenset({"task_data", "request", "metadata"})
_MAPPINGS, _SEQUENCES, _REQUESTS = (dict, FrozenDict), (list, FrozenList, tuple), (Command, Action, Call, Reference)


def said(task: TaskStar, name: str) -> Any:
    """What the author of a task said in a field of `TASK_FIELDS`; a device that a strategy chose was not said."""
    if name == "target_device_id" and not task._pinned:
        return None
    return getattr(task, TASK_FIELDS[name])


def changed_task(task: TaskStar, changes: Mapping[str, Any]) -> TaskStar:
    """A task of no constellation that says what `task` says, but for some fields of `TASK_FIELDS`."""
    return TaskStar(task._task_id, **({name: said(task, name) for name in TASK_FIELDS} | dict(changes)))


def changed_line(line: TaskStarLine, changes: Mapping[str, Any]) -> TaskStarLine:
    """A link of no constellation that says what `line` says, but for some fields of `LINE_FIELDS`."""
    said = {name: getattr(line, slot) for name, slot in LINE_FIELDS.items()}
    fields = said | dict(changes)
    evaluator = fields.pop("condition_evaluator", None)
    changed = TaskStarLine(line._from, line._to, line_id=line.line_id, **fields)
    changed._evaluator = evaluator  # whatever it is: `line_problems` says what is wrong with it, as with all else
    return changed


def task_differences(before: TaskStar, after: TaskStar) -> dict[str, Any]:
    """The fields in which two tasks differ, with the values of the second. A name that is only written out is the same."""
    differ = {name: said(after, name) for name in TASK_FIELDS if _differ(name, said(before, name), said(after, name))}
    if isinstance(differ.get("name"), str) and before.name == after.name:
        del differ["name"]
    return differ


def line_differences(before: TaskStarLine, after: TaskStarLine) -> dict[str, Any]:
    """The fields in which two links differ, with the values of the second."""
    return {
        name: getattr(after, slot)
        for name, slot in LINE_FIELDS.items()
        if _differ(name, getattr(before, slot), getattr(after, slot))
    }


def _differ(name: str, one: Any, other: Any) -> bool:
    return one is not other and not (_alike(one, other) if name in _DATA else _equal(one, other))


def _equal(one: Any, other: Any) -> bool:
    try:
        return bool(one == other)
    except Exception:  # of a foreign value's own comparison; nobody need receive it: to change a value is always right
        return False


def _alike(one: Any, other: Any) -> bool:
    """Whether two values are equal and of the same types, at any depth."""
    todo: list[tuple[Any, Any]] = [(one, other)]
    seen: set[tuple[int, int]] = set()
    for a, b in todo:  # it grows
        kind = type(a)
        if a is b or (id(a), id(b)) in seen:
            continue
        if kind is not type(b):
            return False
        if kind in _MAPPINGS:
            if a.keys() != b.keys():
                return False
            todo += [(value, b[key]) for key, value in a.items()]
        elif kind in _SEQUENCES:
            if len(a) != len(b):
                return False
            todo += zip(a, b, strict=True)
        elif kind in _REQUESTS:
            todo += [(getattr(a, part.name), getattr(b, part.name)) for part in fields(kind)]
        elif not _equal(a, b):
            return False
        else:
            continue
        seen.add((id(a), id(b)))  # a value may stand inside itself
    return True


def operations_towards(live: TaskConstellation, proposed: TaskConstellation) -> Iterator[Operation]:
    """The operations that make `live` what `proposed` says, by the ids of tasks and links. O(tasks + links).

    What has started stays as it is, with the links into it, whether or not the other plan has it: an answer that comes
    late can overwrite no progress. A pin of `proposed` counts; that it has none does not, because a strategy's choice is
    no pin either. A link whose id only `proposed` knows stands for one with the same ends that it does not have by its
    id, if there is one: plan files give links no ids.
    """
    wanted = _wanted(live, proposed)
    fixed = {line.line_id for line in live._lines if not _may_change(live, line._to)}
    for line in live._lines:
        other = wanted.get(line.line_id)
        if line.line_id not in fixed and (other is None or not _same_ends(line, other)):
            yield RemoveDependency(line.line_id)
    for task_id, task in live._tasks.items():
        if task_id not in proposed._tasks and task.is_modifiable:
            yield RemoveTask(task_id)
    for task_id, task in proposed._tasks.items():
        here = live._tasks.get(task_id)
        if here is None:
            yield AddTask(task)
        elif here.is_modifiable:
            changes = task_differences(here, task)
            if not task._pinned:
                changes.pop("target_device_id", None)
            if changes:
                yield UpdateTask(task_id, changes)
    for line_id, other in wanted.items():
        if not _may_change(live, other._to):
            continue
        here_line = live._lines_by_id.get(line_id)
        if here_line is None or not _same_ends(here_line, other):
            yield AddDependency(other)
        elif changed := _changes_of_line(here_line, other):
            yield UpdateDependency(line_id, changed)


def _wanted(live: TaskConstellation, proposed: TaskConstellation) -> dict[str, TaskStarLine]:
    """The links of `proposed`, by the ids that they have, or take over, in `live`."""
    by_id = {line.line_id: line for line in proposed._lines}
    left: dict[tuple[str, str], list[str]] = {}
    for line in live._lines:
        if line.line_id not in by_id:
            left.setdefault((line._from, line._to), []).append(line.line_id)
    found: dict[str, TaskStarLine] = {}
    for line_id, line in by_id.items():
        alike = left.get((line._from, line._to)) if line_id not in live._lines_by_id else None
        found[alike.pop(0) if alike else line_id] = line
    return found


def _changes_of_line(here: TaskStarLine, other: TaskStarLine) -> dict[str, Any]:
    """In what a link is to differ. A document in which a function was lost does not take the function out."""
    changes = line_differences(here, other)
    if isinstance(other._evaluator, LostCondition) and is_function(here._evaluator):
        changes.pop("condition_evaluator", None)
    return changes


def _may_change(live: TaskConstellation, task_id: str) -> bool:
    task = live._tasks.get(task_id)
    return task is None or task.is_modifiable


def _same_ends(one: TaskStarLine, other: TaskStarLine) -> bool:
    return (one._from, one._to) == (other._from, other._to)
