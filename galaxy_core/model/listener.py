"""What a run hears, at once, of what others do to its constellation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from galaxy_core.model.dependency import TaskStarLine
    from galaxy_core.model.edits import Transaction
    from galaxy_core.model.result import TaskStatus
    from galaxy_core.model.task import TaskStar


class Listener(Protocol):
    """The run of a constellation, which has to know at once what others do to it."""

    def task_changed(self, task: TaskStar) -> None:
        """A task that has not started says something else now (priority, device, requirements, …)."""

    def task_ended(self, task: TaskStar, ready: Sequence[TaskStar], skipped: Sequence[TaskStar]) -> None:
        """Somebody other than the run ended a task."""

    def withholds(self, task: TaskStar, status: TaskStatus) -> bool:
        """Whether nothing may be skipped yet by a task that somebody else is about to end so."""

    def task_freed(self, ready: Sequence[TaskStar], skipped: Sequence[TaskStar]) -> None:
        """An edit made tasks ready, or decided that they are skipped."""

    def task_removed(self, task: TaskStar) -> None:
        """A task that had not started was taken out."""


class Recorder(Protocol):
    """Who keeps what becomes of a constellation. What is only named here is read when all is done; see runtime/recorder.py."""

    def ended(self, task: TaskStar, held: bool) -> None:
        """A task has ended; no link out of it is judged yet, and with `held` what the end refuses is withheld."""

    def skipped(self, task: TaskStar) -> None:
        """A task was skipped; no link out of it is judged yet."""

    def changed_status(self, task: TaskStar) -> None:
        """A method of the task changed its status."""

    def judged(self, line: TaskStarLine) -> None:
        """A link says something else now, by how it was judged."""

    def touched(self, *keys: str | TaskStarLine) -> None:
        """Tasks, by their ids, and links say something else now, or will in a moment."""

    def told(self) -> None:
        """The name, the metadata or the state of the plan changed."""

    def admitted(self, task: TaskStar) -> None:
        """A task was added."""

    def dropped(self, task: TaskStar) -> None:
        """A task was taken out."""

    def attached(self, line: TaskStarLine) -> None:
        """A link was added."""

    def detached(self, line: TaskStarLine) -> None:
        """A link was taken out."""

    def edited(self, edit_id: str | None, transaction: Transaction) -> None:
        """All that was changed since the last record is this edit."""

    def resolved(self, task_id: str, as_: str, by: str, at: float) -> None:
        """All that is changed from now to the next record is that somebody says how a task ended."""


class Deferred:
    """Hears like a listener, and tells that one later, in order: for edits that belong together."""

    def __init__(self, listener: Listener | None) -> None:
        self._listener = listener
        self._heard: list[Callable[[Listener], None]] = []

    def tell(self) -> None:
        """Pass on what was heard."""
        if self._listener is not None:
            for say in self._heard:
                say(self._listener)

    def task_changed(self, task: TaskStar) -> None:
        self._heard.append(lambda listener: listener.task_changed(task))

    def task_ended(self, task: TaskStar, ready: Sequence[TaskStar], skipped: Sequence[TaskStar]) -> None:
        self._heard.append(lambda listener: listener.task_ended(task, ready, skipped))

    def withholds(self, task: TaskStar, status: TaskStatus) -> bool:
        # An edit ends nothing, but a condition that it has judged may.
        return self._listener is not None and self._listener.withholds(task, status)

    def task_freed(self, ready: Sequence[TaskStar], skipped: Sequence[TaskStar]) -> None:
        self._heard.append(lambda listener: listener.task_freed(ready, skipped))

    def task_removed(self, task: TaskStar) -> None:
        self._heard.append(lambda listener: listener.task_removed(task))
