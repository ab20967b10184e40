"""Where an editor works: one plan, what was done to it, and who is told."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NoReturn, TypeVar

from galaxy_core.errors import CommandExecutionError, CommandUndoError, EditError, EditProblem
from galaxy_core.model.constellation import TaskConstellation
from galaxy_core.model.edits import Transaction
from galaxy_core.runtime.editor.history import Done, History, HistoryEntry, Step, perform
from galaxy_core.runtime.editor.pending import Pending, Work, refused, worded

logger = logging.getLogger("galaxy_core.editor")

T = TypeVar("T")
#: Called with the editor, the name of a command and its result.
Observer = Callable[..., object]


class Workbench:
    """Does work whole or not at all, keeps the history, and tells observers."""

    def __init__(
        self, constellation: TaskConstellation | None, *, enable_history: bool, max_history_size: int, author: str
    ) -> None:
        if constellation is not None and not isinstance(constellation, TaskConstellation):
            raise ValueError(f"an editor edits a TaskConstellation, not {constellation!r:.80}")
        self._constellation = TaskConstellation() if constellation is None else constellation
        self._history = History(max_history_size) if enable_history else None
        self._author = author
        self._observers: list[Observer] = []
        self._pending: Pending | None = None
        self._execution_count = 0
        self._is_silent = False

    @property
    def constellation(self) -> TaskConstellation:
        """The plan that is edited: always the same object."""
        return self._constellation

    # ------------------------------------------------------------------------------------------- work
    def _do(self, work: Work, found: Callable[[Any], T]) -> T:
        """Do `work`, or add it to the transaction that is open; what `found` then finds in the plan is the result.

        Raises:
            CommandExecutionError: it cannot be; nothing was changed.
        """
        if self._pending is not None:
            self._pending.take_checked(work)
            return self._pending.handed(None if self._is_silent else work.command, found(self._pending), found)
        pending = Pending(self._constellation)
        pending.take(work)
        self._commit(pending, work.command, work.description, self._author)
        result = found(self._constellation)
        self._tell(work.command, result)
        return result

    def _commit(self, pending: Pending, command: str, description: str, author: str) -> None:
        step = Step(
            Transaction(pending.operations, None, description, author),
            pending.name,
            pending.metadata,
        )
        kept = tuple(pending.kept)
        if kept:
            description += f" (kept, because they have started: {', '.join(map(repr, kept[:20]))}"
            description += f" and {len(kept) - 20} more)" if len(kept) > 20 else ")"
        done = self._perform(step, command, description, author, kept)
        if kept and done.changed:
            logger.warning("%s: %s", self._constellation.constellation_id, description)
        self._execution_count += len(pending.work)

    def _perform(self, step: Step, command: str, description: str, author: str, kept: tuple[str, ...] = ()) -> Done:
        plan, before = self._constellation, self._constellation.revision
        try:
            done = perform(plan, step)
        except EditError as error:
            raise refused(description, error.problems, step.transaction.operations, plan) from None
        except OSError as error:
            self._refuse(description, str(error), error)
        if done.changed and self._history is not None:
            entry = HistoryEntry(
                command, description, author, before, plan.revision, kept, back=done.back, left=done.left
            )
            self._history.add(entry)
        return done

    @contextmanager
    def _collecting(self, description: str, author: str | None) -> Iterator[Pending]:
        """Whatever is done inside takes effect together when the block ends, and not at all when it raises."""
        outer = self._pending
        if outer is not None:
            mark = outer.mark()
            try:
                yield outer
            except BaseException:
                outer.back_to(mark)
                raise
            return
        pending = self._pending = Pending(self._constellation)
        try:
            yield pending
        finally:
            self._pending = None
        if not pending.work:
            return
        one = pending.work[0] if len(pending.work) == 1 else None
        description = description or (one.description if one else f"{len(pending.work)} operations")
        self._commit(pending, one.command if one else "transaction", description, author or self._author)
        for command, result in pending.news:
            self._tell(command, result)

    def _refuse(
        self, description: str, reason: str, cause: BaseException | None = None, kind: str = "invalid"
    ) -> NoReturn:
        raise CommandExecutionError(description, [EditProblem(kind, reason)]) from cause

    def _alone(self, description: str) -> None:
        if self._pending is not None:
            self._refuse(
                description, "it is no edit of the plan, so it cannot be part of a transaction: do it afterwards"
            )

    # ------------------------------------------------------------------------------------------- observers
    def add_observer(self, observer: Observer) -> None:
        """Have `observer(editor, command_name, result)` called after each command, undo and redo; once, if added twice.

        One that raises is logged and harms nobody. Commands that were refused, or executed by name, are not told;
        those of a transaction when it has taken effect.

        Raises:
            ValueError: it cannot be called so.
        """
        if not callable(observer) or inspect.iscoroutinefunction(observer):
            raise ValueError(f"an observer is a function that is no coroutine, not {observer!r}")
        if observer not in self._observers:
            self._observers.append(observer)

    def remove_observer(self, observer: Observer) -> None:
        """Call it no more; nothing happens when it was not added."""
        if observer in self._observers:
            self._observers.remove(observer)

    def _tell(self, command: str, result: Any) -> None:
        if self._is_silent:
            return
        for observer in list(self._observers):
            try:
                observer(self, command, result)
            except Exception:  # whoever reads the log receives it
                logger.exception("observer %r raised on %s", observer, command)

    # ------------------------------------------------------------------------------------------- history
    def undo(self) -> bool:
        """Take the last step back; False when there is none.

        Raises:
            CommandUndoError: that would take back what has happened since, or what somebody else has edited. Nothing
                was changed, and the step is still the last one.
        """
        self._alone("Undo")
        entry = None if self._history is None else self._history.last
        return entry is not None and self._turn(entry, "undo")

    def redo(self) -> bool:
        """Do what was undone last again; False when there is nothing.

        Raises:
            CommandExecutionError: it no longer can be. Nothing was changed.
        """
        self._alone("Redo")
        entry = None if self._history is None else self._history.next
        return entry is not None and self._turn(entry, "redo")

    def _turn(self, entry: HistoryEntry, command: str) -> bool:
        assert self._history is not None
        what = f"{command.capitalize()}: {entry.description}"
        make = CommandUndoError if command == "undo" else CommandExecutionError
        operations = entry._back.transaction.operations
        try:
            turned = entry.turned(self._constellation)
        except EditError as error:
            problems = [worded(problem, operations, self._constellation) for problem in error.problems]
            raise make(what, problems) from None
        except OSError as error:
            raise make(what, [EditProblem("invalid", str(error))]) from error
        self._history.turn(turned)
        self._tell(command, turned)
        return True

    def can_undo(self) -> bool:
        """Whether there is a step to take back; the plan may still refuse it."""
        return self._history is not None and self._history.last is not None

    def can_redo(self) -> bool:
        """Whether there is a step to do again; the plan may still refuse it."""
        return self._history is not None and self._history.next is not None

    def get_undo_description(self) -> str | None:
        """What `undo` would do, in words; None when there is nothing."""
        entry = None if self._history is None else self._history.last
        return None if entry is None else f"Undo: {entry.description}"

    def get_redo_description(self) -> str | None:
        """What `redo` would do, in words; None when there is nothing."""
        entry = None if self._history is None else self._history.next
        return None if entry is None else f"Redo: {entry.description}"

    def get_history(self) -> list[str]:
        """Descriptions of all steps, the oldest first; what was undone and can be redone stands at the end."""
        return [entry.description for entry in self.get_history_entries()]

    def get_history_entries(self) -> list[HistoryEntry]:
        """All steps, with their authors and the revisions that they made."""
        return [] if self._history is None else list(self._history.entries)

    def clear_history(self) -> None:
        """Forget all steps; the number of executed commands stays."""
        self._alone("Clear history")
        if self._history is not None:
            self._history.clear()
        self._tell("clear_history", None)
