"""What a run hears, at once, of what others do to its constellation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
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
