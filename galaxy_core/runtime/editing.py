"""What a run asks of whoever synchronises edits with it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from galaxy_core.model.result import TaskStatus
    from galaxy_core.model.task import TaskStar
    from galaxy_core.runtime.flow import Flow


class Editing(Protocol):
    """What a run asks of whoever synchronises edits with it; see synchronizer.py."""

    def holding(self, run: Flow) -> bool:
        """Whether some edit of the plan is being prepared that may hold tasks."""

    def holds(self, run: Flow, task: TaskStar) -> bool:
        """Whether this task, which could start, may not start now."""

    def withholds(self, run: Flow, task: TaskStar, status: TaskStatus) -> bool:
        """Whether an editor may still change what follows a task that ends so: nothing is skipped by it until then."""

    def awaits(self, run: Flow, task: TaskStar) -> bool:
        """Whether an answer to the end of this task is still to come."""

    def pending(self, run: Flow) -> bool:
        """Whether the run has to wait for some edit before it may be over."""

    def ended(self, run: Flow, task: TaskStar) -> None:
        """A task has ended; what became ready by it is not submitted yet."""

    async def serve(self, run: Flow) -> None:
        """Ask those editors that the run's plugins bring, for as long as the run lasts."""

    async def settle(self, run: Flow) -> None:
        """Wait until no edit is pending."""

    def over(self, run: Flow) -> None:
        """The run is over or cancelled: no answer is waited for any more."""
