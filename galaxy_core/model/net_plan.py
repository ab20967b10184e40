"""What would be wrong with the plan that a transaction leads to, though each operation is sound in itself.

When some are not, the plan is looked at that the others lead to. What may only come of their being left out is not
told: it is no more than the consequence of what has been said of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cache, partial
from itertools import pairwise
from typing import TYPE_CHECKING

from galaxy_core.errors import EditProblem
from galaxy_core.errors.root import shortened_way
from galaxy_core.model.cycles import closing_lines, cycle_through
from galaxy_core.model.dependency import TaskStarLine
from galaxy_core.model.differences import task_differences
from galaxy_core.model.task import TaskStar

if TYPE_CHECKING:
    from galaxy_core.model.changes import Changes

#: Cycles that are named.
_CYCLES = 5


def missing_inputs(changes: Changes) -> Iterator[EditProblem]:
    """What tasks would take from others without waiting for them, as far as the changes bring it about."""
    tasks = changes.plan._tasks
    lost: dict[str, dict[str, object]] = {}  # by target and source, the last link that is taken out
    for line_id, line in changes.removed_lines.items():
        lost.setdefault(line._to, {})[line._from] = "link", line_id
    for task_id, task in changes.new_tasks.items():
        yield from _missing(changes, task, dict.fromkeys(_sources(task), task_id))
    for task_id, task in changes.updated_tasks.items():
        if "request" in task_differences(tasks[task_id], task):
            yield from _missing(changes, task, dict.fromkeys(_sources(task), task_id) | lost.pop(task_id, {}))
    for task_id, sources in lost.items():
        if task_id not in changes.removed_tasks and tasks[task_id].is_modifiable:
            yield from _missing(changes, changes.updated_tasks.get(task_id, tasks[task_id]), sources)


def _sources(task: TaskStar) -> Iterator[str]:
    """The tasks that a task takes something from."""
    return (reference.task_id for reference in (task._request.references if task._request is not None else ()))


def _missing(changes: Changes, task: TaskStar, sources: Mapping[str, object]) -> Iterator[EditProblem]:
    """Of `sources`, what the task takes from without waiting for it. They map to what may have brought that about."""
    request, task_id = task._request, task._task_id
    if not sources or request is None or changes.doubts.about_words(task_id):
        return
    wanted = {reference.task_id: reference for reference in request.references if reference.task_id in sources}
    for source_id, reference in wanted.items():
        if changes.between(source_id, task_id) or changes.doubts.about_way(source_id, task_id):
            continue
        reason = f"task {task_id!r} takes {reference} without waiting for it: "
        stays = source_id in changes.plan._tasks and source_id not in changes.removed_tasks
        if stays or source_id in changes.new_tasks:
            reason += f"it needs a dependency on {source_id!r}"
        else:
            reason += "there is no such task"
        moved = any(map(changes.noted, (("link", (source_id, task_id)), source_id, task_id)))
        yield EditProblem("input", reason, changes.by[sources[source_id]], task_id, moved)


def cycles(changes: Changes) -> Iterator[EditProblem]:
    """Cycles, each with an operation that adds a link of it; that link is left out when the next is looked for."""
    lines, gone = _judged(changes)
    for _ in range(_CYCLES):
        cycle = cycle_through(changes.plan, changes.new_tasks, lines, gone)
        if cycle is None:
            return
        added = [
            line.line_id
            for pair in pairwise(cycle)
            for line in changes.between(*pair)
            if line._target is None and line.line_id in lines
        ]
        closing = max(added, key=lambda line_id: changes.by["link", line_id] or 0)
        moved = any(_is_somebody_elses(changes, lines, pair) for pair in pairwise(cycle))
        yield _cycle_problem(changes, lines[closing], cycle, moved)
        del lines[closing]


def all_cycles(changes: Changes) -> Iterator[EditProblem]:
    """One cycle for each link that closes one together with those before it, in the order of operations."""
    lines, gone = _judged(changes)
    if cycle_through(changes.plan, changes.new_tasks, lines, gone) is None:
        return
    by = changes.by
    in_order = dict(sorted(lines.items(), key=lambda item: by["link", item[0]] or 0))
    moved = cache(partial(_is_somebody_elses, changes, lines))  # cycles share their steps
    for line, cycle in closing_lines(changes.plan, changes.new_tasks, in_order, gone):
        yield _cycle_problem(changes, line, cycle, any(map(moved, pairwise(cycle))))


def _judged(changes: Changes) -> tuple[dict[str, TaskStarLine], Mapping[str, TaskStarLine]]:
    """The new links that may close cycles, and those that are gone, as far as nothing about them is in doubt."""
    doubts = changes.doubts
    gone = {**changes.removed_lines, **doubts.lines} if doubts.lines else changes.removed_lines
    lines = {
        line_id: line
        for line_id, line in changes.new_lines.items()
        if line_id not in doubts.lines and not (doubts.about_task(line._from) or doubts.about_task(line._to))
    }
    return lines, gone


def _cycle_problem(changes: Changes, closing: TaskStarLine, cycle: Sequence[str], moved: bool) -> EditProblem:
    """What is told of a cycle that a new link closes."""
    reason = f"the plan would have a cycle: {shortened_way(' -> '.join(cycle))}"
    return EditProblem("cycle", reason, changes.by["link", closing.line_id], cycle[0], moved)


def _is_somebody_elses(changes: Changes, lines: Mapping[str, TaskStarLine], pair: tuple[str, str]) -> bool:
    """Whether a step of a cycle is there only since somebody else has edited the plan; `lines` are all that are new."""
    if not changes.noted(("link", pair)):
        return False
    way = changes.between(*pair)
    if any(line._target is None and line.line_id in lines for line in way):
        return False
    return all(changes.noted(("link", line.line_id)) for line in way if line._target is not None)
