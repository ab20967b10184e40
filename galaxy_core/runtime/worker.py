"""Worker: one of the pool that serves a run, and the attempt that it is at."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio

from galaxy_core.model.policy import Effect
from galaxy_core.model.result import TaskStatus

if TYPE_CHECKING:
    from galaxy_core.extension.interfaces import Attempt
    from galaxy_core.model.task import TaskStar
    from galaxy_core.runtime.lanes import Lane

#: Which reason for interrupting an attempt outweighs which.
_WEIGHT = {None: 0, "timeout": 1, "stop": 1, "let go": 1, "lost": 2, "cancel": 3}


class Worker:
    """One of the pool: the attempt it is at, and the scope in which that can be interrupted."""

    __slots__ = ("attempt", "event", "is_held", "lane", "lease", "reason", "scope", "task")

    def __init__(self) -> None:
        self.scope = anyio.CancelScope()
        self.event = anyio.Event()
        self.task: TaskStar | None = None
        self.attempt: Attempt | None = None
        self.lane: Lane | None = None
        self.lease = 0
        self.reason: str | None = None
        self.is_held = False  # until the start of its attempt is kept: its session has not heard of it

    def free(self) -> tuple[TaskStar, Lane]:
        """The attempt is over: what it was at. Its lease is void from now on."""
        assert self.task is not None
        assert self.lane is not None
        task, self.task, self.lease = self.task, None, 0
        return task, self.lane

    def was_at(self, task: TaskStar) -> bool:
        """Whether its attempt is what a task is at: nobody has ended that by hand, or even begun another one."""
        assert self.attempt is not None
        return task._status is TaskStatus.RUNNING and task._attempts == self.attempt.number

    def interrupt(self, reason: str) -> None:
        """Cancel the present attempt because of "timeout", "stop", "let go", "lost" or "cancel"; of several reasons the last
        of these, of the first three what came first.

        But of a `once` attempt whose device went, nobody knows what it did: it stays lost, cancelled or not.
        """
        if self.task is None or _WEIGHT[reason] <= _WEIGHT[self.reason]:
            return
        if self.reason != "lost" or self.task._effect is not Effect.ONCE:
            self.reason = reason
            self.scope.cancel()
