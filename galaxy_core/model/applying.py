"""Making the changes that changes.py has found sound, and what takes them back. Nothing here can be refused any more."""

from __future__ import annotations

from collections.abc import Iterator
from operator import attrgetter
from typing import TYPE_CHECKING

from galaxy_core.errors import EditProblem
from galaxy_core.model.constellation import TaskConstellation
from galaxy_core.model.dependency import TaskStarLine
from galaxy_core.model.differences import line_differences, task_differences
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
from galaxy_core.model.result import TERMINAL
from galaxy_core.model.task import TaskStar

if TYPE_CHECKING:
    from galaxy_core.model.changes import Changes


def outdated(changes: Changes, checked_at: int) -> Iterator[EditProblem]:
    """What has happened after the changes were checked, at that revision, that makes the check worthless."""
    plan = changes.plan
    if plan.revision != checked_at:
        reason = f"it was checked at revision {checked_at}, and the plan is at revision {plan.revision}"
        yield EditProblem("changed", reason, None, "", True)
        return
    changed = {line._to for group in (changes.new_lines, changes.updated_lines) for line in group.values()}
    changed.update(line._to for line in changes.removed_lines.values() if line._from not in changes.removed_tasks)
    for task_id in changed.difference(changes.new_tasks).union(changes.removed_tasks, changes.updated_tasks):
        task = plan._tasks[task_id]
        if not task.is_modifiable:
            reason = f"task {task_id!r} has started ({task._standing}) after the transaction was checked"
            yield EditProblem("started", reason, None, task_id, True)


def touched_before(changes: Changes) -> dict[object, int]:
    """At which revision each thing that is changed was edited last, as far as that was noted; before they are made."""
    touched = changes.plan._touched or {}
    keys: list[object] = [*changes.removed_tasks, *changes.new_tasks, *changes.updated_tasks]
    keys += [("gone", task_id) for task_id in changes.removed_tasks]
    for group in (changes.removed_lines, changes.new_lines, changes.updated_lines):
        for line in group.values():
            keys += [("link", line.line_id), ("link", (line._from, line._to))]
    return {key: touched[key] for key in keys if key in touched}


def make(changes: Changes) -> None:
    """Change the plan, as one edit. Costs what is touched, and the affected region of the topological order."""
    plan = changes.plan
    with plan._as_one_edit(changes.transaction, changes.edit_id):
        plan._edited(*_touched(changes))
        at = plan._updated_at
        freed: dict[TaskStar, None] = {}
        for line in changes.removed_lines.values():
            freed.update(dict.fromkeys(plan._detach(line)))
        for task in changes.removed_tasks.values():
            plan._drop(task)
        for task in changes.new_tasks.values():
            new = task.copy()
            plan._admit(new)
            freed[new] = None
        to_judge = [_attach(plan, line.copy()) for line in changes.new_lines.values()]
        for line_id, line in changes.updated_lines.items():
            to_judge.append(_take_over_line(plan, plan._lines_by_id[line_id], line, at))
        for task_id, said in changes.updated_tasks.items():
            _take_over_task(plan._tasks[task_id], said, at)
        skipped = _judge(plan, to_judge, freed, at)
        if plan._listener is not None:
            for task in changes.removed_tasks.values():
                plan._listener.task_removed(task)
            for task_id in changes.updated_tasks:
                changed = plan._tasks.get(task_id)  # a condition may have taken it out just now
                if changed is not None and changed in plan._ready:  # what else it says matters as soon as it is ready
                    plan._listener.task_changed(changed)
            plan._listener.task_freed([task for task in freed if task in plan._ready], skipped)


def _touched(changes: Changes) -> Iterator[str | TaskStarLine]:
    for tasks in (changes.removed_tasks, changes.new_tasks, changes.updated_tasks):
        yield from tasks
    for lines in (changes.removed_lines, changes.new_lines, changes.updated_lines):
        yield from lines.values()


def _attach(plan: TaskConstellation, line: TaskStarLine) -> TaskStarLine:
    source, target = plan._tasks[line._from], plan._tasks[line._to]
    cycle = plan._order.admit(source, target)
    assert cycle is None, f"a transaction was found sound, yet it closes the cycle {cycle}"
    plan._attach(line, source, target)
    return line


def _judge(
    plan: TaskConstellation, lines: list[TaskStarLine], freed: dict[TaskStar, None], at: float
) -> list[TaskStar]:
    """Judge links whose source has ended; adds to `freed`, and returns what is skipped.

    Called when all else is done: what is skipped could not be changed any more.
    """
    skipped: list[TaskStar] = []
    for line in lines:
        source = line._source
        if source is not None and source._status in TERMINAL and line._open and line not in plan._withheld:
            ready, without = plan._settle(source, at, line)
            freed.update(dict.fromkeys(ready))
            skipped += without
    return skipped


def _take_over_task(task: TaskStar, said: TaskStar, at: float) -> None:
    differences = task_differences(task, said)
    for name in differences:
        setattr(task, TASK_FIELDS[name], getattr(said, TASK_FIELDS[name]))
    if "target_device_id" in differences:
        task._pinned = said._pinned
    task._updated_at = at


def _take_over_line(plan: TaskConstellation, line: TaskStarLine, said: TaskStarLine, at: float) -> TaskStarLine:
    """Change a live link; unless only words about it changed, it is open again, to be judged anew."""
    differences = line_differences(line, said)
    for name in differences:
        setattr(line, LINE_FIELDS[name], getattr(said, LINE_FIELDS[name]))
    if not differences.keys().isdisjoint(("dependency_type", "condition_evaluator")):
        line._forget()
        plan._unsettle(line)
    line._updated_at = at
    return line


def inverse(changes: Changes) -> Iterator[Operation]:
    """What takes the changes back; to be read before they are made. Takes copies of what is taken out."""
    plan, new = changes.plan, changes.new_tasks
    for line_id, line in changes.new_lines.items():
        if line._from not in new and line._to not in new:
            yield RemoveDependency(line_id)
    yield from map(RemoveTask, new)
    yield from map(AddTask, sorted(changes.removed_tasks.values(), key=attrgetter("_index")))
    for task_id, said in changes.updated_tasks.items():
        yield UpdateTask(task_id, task_differences(said, plan._tasks[task_id]))
    for line in changes.removed_lines.values():
        assert line._target is not None
        if line._target.is_modifiable:  # what was skipped or cancelled meanwhile waits for nothing any more
            yield AddDependency(line)
    for line_id, changed in changes.updated_lines.items():
        yield UpdateDependency(line_id, line_differences(changed, plan._lines_by_id[line_id]))
