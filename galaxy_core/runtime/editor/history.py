"""What an editor has done: steps, each with the one that takes it back, checked against all that happened since.

A step back is an edit like any other: what has started or ended stays, so that a step which would take that back cannot
be done. Nor can one that would take back what somebody else has edited since, because a step back is compared with what
its step had left.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from attrs import evolve, field, frozen

from galaxy_core.errors import EditError, EditProblem
from galaxy_core.model.changes import Changes
from galaxy_core.model.constellation import TaskConstellation
from galaxy_core.model.dependency import TaskStarLine
from galaxy_core.model.differences import line_differences, task_differences
from galaxy_core.model.edits import Transaction
from galaxy_core.model.events import EventType
from galaxy_core.model.result import new_id
from galaxy_core.model.task import TaskStar
from galaxy_core.runtime.flow import Flow

NOTHING = Transaction(())


@frozen
class Content:
    """What a file is to hold; None when it is to be gone."""

    path: Path
    data: bytes | None

    @classmethod
    def of(cls, path: Path) -> Content:
        """What a file holds now."""
        try:
            return cls(path, path.read_bytes())
        except FileNotFoundError:
            return cls(path, None)

    def write(self) -> None:
        """Have the file hold it: whole, or as it was.

        Raises:
            OSError
        """
        if self.data is None:
            self.path.unlink(missing_ok=True)
            return
        new = self.path.with_name(f".{self.path.name}.{new_id()[:8]}")
        try:
            new.write_bytes(self.data)
            if self.path.exists():
                shutil.copymode(self.path, new)
            os.replace(new, self.path)
        finally:
            new.unlink(missing_ok=True)


@frozen
class Step:
    """What one step of an editor changes; `name` and `metadata` of the plan only when they are not None."""

    transaction: Transaction = NOTHING
    name: str | None = None
    metadata: Mapping[str, Any] | None = None
    file: Content | None = None


@frozen
class Left:
    """What a step left: copies of the tasks and links that it touched; None stands for what it took out."""

    tasks: Mapping[str, TaskStar | None]
    added: frozenset[str]
    lines: Mapping[str, TaskStarLine | None]
    name: str | None
    metadata: Mapping[str, Any] | None
    file: Content | None

    @classmethod
    def by(cls, changes: Changes, step: Step) -> Left:
        """What was left when `changes` had been applied."""
        plan = changes.plan
        tasks = {*changes.removed_tasks, *changes.new_tasks, *changes.updated_tasks}
        lines = {*changes.removed_lines, *changes.new_lines, *changes.updated_lines}
        return cls(
            {task_id: None if (task := plan.get_task(task_id)) is None else task.copy() for task_id in tasks},
            frozenset(changes.new_tasks),
            {line_id: None if (line := plan.get_dependency(line_id)) is None else line.copy() for line_id in lines},
            step.name,
            step.metadata,
            step.file,
        )

    def problems(self, plan: TaskConstellation) -> list[EditProblem]:
        """What somebody else has edited since. O(what the step touched)."""
        wrong = [(task_id, f"task {task_id!r}") for task_id in self.tasks if self._task_moved(plan, task_id)]
        for line_id, left in self.lines.items():
            here = plan.get_dependency(line_id)
            if (left is None) is not (here is None) or (left and here and line_differences(left, here)):
                wrong.append((line_id, f"dependency {line_id!r}"))
        for task_id in self.added:
            task = plan.get_task(task_id)
            lines = () if task is None else (*task._in, *task._out)
            wrong += [
                (line.line_id, f"dependency {line._from} -> {line._to}")
                for line in lines
                if line.line_id not in self.lines
            ]
        if self.name is not None and plan.name != self.name:
            wrong.append((plan.constellation_id, "the name of the plan"))
        if self.metadata is not None and plan.metadata != self.metadata:
            wrong.append((plan.constellation_id, "the metadata of the plan"))
        if self.file is not None and Content.of(self.file.path).data not in (None, self.file.data):
            wrong.append((str(self.file.path), f"file {str(self.file.path)!r}"))
        return [
            EditProblem("changed", f"{what} was edited by somebody else since", None, subject, True)
            for subject, what in wrong
        ]

    def _task_moved(self, plan: TaskConstellation, task_id: str) -> bool:
        left, here = self.tasks[task_id], plan.get_task(task_id)
        if left is None or here is None:
            return left is not here
        return bool(task_differences(left, here))


@frozen
class Done:
    """What became of a step."""

    back: Step
    left: Left
    changed: bool
    touched: tuple[str, ...]


def perform(plan: TaskConstellation, step: Step, kind: EventType = EventType.EDIT_COMMITTED) -> Done:
    """Do a step, whole or not at all. Of a plan that runs it is reviewed, and told of by an event of this kind.

    Raises:
        EditError: it cannot be, or is refused.
        OSError: its file cannot be written.
    """
    run = plan._listener
    desk = run.desk if isinstance(run, Flow) else None
    if desk is not None:
        changes = desk.agreed(plan, step.transaction)
    else:
        changes = Changes(plan, step.transaction)
        error = changes.refused()
        if error is not None:
            raise error
    file = None
    if step.file is not None:
        file = Content.of(step.file.path)
        if file != step.file:
            step.file.write()
    name = plan.name if step.name is not None else None
    metadata = plan.metadata if step.metadata is not None else None
    touched = tuple(changes.touched)
    changed = (name, metadata, file) != (step.name, step.metadata, step.file) or not changes.is_empty
    inverse = changes.apply() if desk is None or changes.is_empty else desk.apply(changes, kind).inverse
    if step.name is not None and step.name != name:
        plan.name = step.name
    if step.metadata is not None and step.metadata != metadata:
        plan._metadata = dict(step.metadata)
        plan._told()
    back = Step(evolve(inverse, base_revision=None), name, metadata, file)
    return Done(back, Left.by(changes, step), changed, touched)


@frozen
class HistoryEntry:
    """One step of an editor.

    `revision_before` and `revision` are the plan's, before and after it took effect; saving leaves it. `kept` are the
    ids of tasks that a clear, build or load left as they were because they have started. `author` is whoever made it.
    """

    command: str
    description: str
    author: str
    revision_before: int
    revision: int
    kept: tuple[str, ...] = ()
    is_undone: bool = False
    _back: Step = field(default=Step(), repr=False, eq=False)
    _left: Left | None = field(default=None, repr=False, eq=False)

    def __str__(self) -> str:
        return self.description

    @property
    def operations(self) -> int:
        """The number of operations that taking it back (or doing it again, when it is undone) consists of."""
        return len(self._back.transaction.operations)

    def turned(self, plan: TaskConstellation) -> HistoryEntry:
        """Take it back, or do it again; the entry that says so.

        Raises:
            EditError: it would take back what has happened, or what somebody else has edited; nothing was changed.
            OSError: a file cannot be read or written.
        """
        if self._left is not None and (problems := self._left.problems(plan)):
            raise EditError(problems)
        before = plan.revision
        verb, kind = ("Redo", EventType.EDIT_COMMITTED) if self.is_undone else ("Undo", EventType.EDIT_UNDONE)
        transaction = evolve(self._back.transaction, description=f"{verb}: {self.description}")
        done = perform(plan, evolve(self._back, transaction=transaction), kind)
        return evolve(
            self,
            is_undone=not self.is_undone,
            revision_before=before,
            revision=plan.revision,
            back=done.back,
            left=done.left,
        )


class History:
    """Steps in their order; those that were undone stand at the end, until something else is done.

    Raises:
        ValueError: it is to hold less than one.
    """

    def __init__(self, max_size: int) -> None:
        if isinstance(max_size, bool) or not isinstance(max_size, int) or max_size < 1:
            raise ValueError(f"max_history_size must be a whole number, at least 1, not {max_size!r}")
        self._max_size = max_size
        self.entries: list[HistoryEntry] = []
        self._done = 0

    def add(self, entry: HistoryEntry) -> None:
        """Something was done. What was undone cannot be done again any more; the oldest goes when there are too many."""
        del self.entries[self._done :]
        self.entries.append(entry)
        del self.entries[: -self._max_size]
        self._done = len(self.entries)

    @property
    def last(self) -> HistoryEntry | None:
        """What an undo would take back."""
        return self.entries[self._done - 1] if self._done else None

    @property
    def next(self) -> HistoryEntry | None:
        """What a redo would do again."""
        return self.entries[self._done] if self._done < len(self.entries) else None

    def turn(self, entry: HistoryEntry) -> None:
        """`last` was undone, or `next` was redone: `entry` says what came of it."""
        if entry.is_undone:
            self._done -= 1
            self.entries[self._done] = entry
        else:
            self.entries[self._done] = entry
            self._done += 1

    def clear(self) -> None:
        """Forget everything."""
        self.entries.clear()
        self._done = 0
