"""What of a transaction still fits a plan that has moved: its operations are kept as far as they do.

One operation that is dropped may take others with it, such as the links of a task that cannot be added. Those that
follow so are dropped at once, and cycles are looked for link by link, so that the transaction is checked a few times,
and not once for each of thousands of reasons.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence

from attrs import evolve

from galaxy_core.errors import EditProblem
from galaxy_core.model.changes import Changes
from galaxy_core.model.constellation import TaskConstellation
from galaxy_core.model.edits import (
    AddDependency,
    AddTask,
    Operation,
    RemoveDependency,
    RemoveTask,
    Transaction,
    UpdateDependency,
    UpdateTask,
)


def fitting(
    plan: TaskConstellation, transaction: Transaction, check: Callable[[Changes], Iterable[EditProblem]]
) -> tuple[list[Operation], list[EditProblem]]:
    """The operations of a transaction that could be committed now, and why the others could not.

    By its base revision: what somebody else has edited since is not overwritten. `check` finds more problems than a
    plan has by itself. Problems name the places that operations had in the transaction as it was given. Of links that
    close a cycle together, the last one is dropped.
    """
    left = evolve(transaction, places=range(len(transaction.operations)))
    dropped: list[EditProblem] = []
    while True:
        changes = Changes(plan, left, every_cycle=True)
        problems = [*changes.problems, *check(changes)]
        if not problems:
            return list(left.operations), dropped
        unfit = {problem.operation for problem in problems if problem.operation is not None}
        if not unfit:  # about all of them together
            unfit = {left.places[-1]}
        problems += _followers(plan, left, unfit, {one.operation for one in problems if one.is_conflict})
        dropped += problems
        left = left.without(
            unfit.union(one.operation for one in problems if one.operation is not None), left.base_revision
        )


def _followers(
    plan: TaskConstellation, left: Transaction, unfit: set[int], conflicts: set[int | None]
) -> Iterator[EditProblem]:
    """What cannot be because a task cannot be added that it names, or takes something from. O(operations)."""
    naming: dict[str, list[tuple[int, Operation]]] = {}  # by the id of a task, what comes after its adding
    adders: dict[str, set[int]] = {}
    said = Counter(map(_says, left.operations))
    for place, operation in zip(left.places, left.operations, strict=True):
        if isinstance(operation, AddTask):
            adders.setdefault(operation.task.task_id, set()).add(place)
        sources = _sources(operation) if said[_says(operation)] == 1 else ()
        for task_id in (*_ends(operation), *sources):
            naming.setdefault(task_id, []).append((place, operation))
    gone = [
        (task_id, not conflicts.isdisjoint(places))
        for task_id, places in adders.items()
        if places <= unfit and task_id not in plan._tasks
    ]
    seen = set(unfit)
    for task_id, is_conflict in gone:  # it grows
        for place, operation in naming.get(task_id, ()):
            if place in seen:
                continue
            seen.add(place)
            reason = f"{operation}: there is no task {task_id!r}, because it could not be added"
            yield EditProblem("unknown", reason, place, task_id, is_conflict)
            if isinstance(operation, AddTask):
                added = operation.task.task_id
                if adders[added] <= seen and added not in plan._tasks:
                    gone.append((added, is_conflict))


def _ends(operation: Operation) -> Sequence[str]:
    """The ids of the tasks that an operation names, but for one that it adds."""
    match operation:
        case RemoveTask(task_id) | UpdateTask(task_id):
            return (task_id,)
        case AddDependency(line):
            return (line._from, line._to)
        case RemoveDependency((source_id, target_id)) | UpdateDependency((source_id, target_id)):
            return (source_id, target_id)
        case _:
            return ()


def _says(operation: Operation) -> str | None:
    """The id of the task of which an operation says what it takes from others; None when it says nothing of the kind."""
    match operation:
        case AddTask(task):
            return task.task_id
        case RemoveTask(task_id):  # nothing
            return task_id
        case UpdateTask(task_id, changes) if "request" in changes:
            return task_id
        case _:
            return None


def _sources(operation: Operation) -> Sequence[str]:
    """The ids of the tasks that a task takes something from, by an operation that says so."""
    match operation:
        case AddTask(task):
            request = task._request
        case UpdateTask(_, changes):
            request = changes.get("request")
        case _:
            request = None
    return [reference.task_id for reference in getattr(request, "references", ())]
