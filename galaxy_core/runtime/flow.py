"""Flow: where the tasks of a run are between becoming ready and starting, and what follows when one ends.

A ready task is held by an edit, waits for a device, waits in a lane's queue, waits for its next attempt, or is
runnable, which means that it has its slot already. It is in one of these places only.
"""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Sequence
from typing import Protocol

import anyio
import anyio.abc

from galaxy_core.errors import GalaxyError
from galaxy_core.extension.interfaces import Completed
from galaxy_core.model.constellation import TaskConstellation
from galaxy_core.model.result import UNSTARTED, ExecutionResult, TaskStatus
from galaxy_core.model.task import TaskStar
from galaxy_core.runtime.artifacts import Artifacts
from galaxy_core.runtime.bus import EventBus
from galaxy_core.runtime.clock import Clock
from galaxy_core.runtime.lanes import Lane, LaneBook
from galaxy_core.runtime.placing import Placer
from galaxy_core.runtime.reports import Reports
from galaxy_core.runtime.timers import Timers

_FAILED = TaskStatus.FAILED


class Worker:
    """One of the pool: the attempt it is at, and the scope in which that can be interrupted."""

    __slots__ = ("event", "lane", "lease", "reason", "scope", "task")

    def __init__(self) -> None:
        self.scope = anyio.CancelScope()
        self.event = anyio.Event()
        self.task: TaskStar | None = None
        self.lane: Lane | None = None
        self.lease = 0
        self.reason: str | None = None

    def interrupt(self, reason: str) -> None:
        """Cancel the present attempt because of "timeout", "cancel" or "lost"; the first reason counts."""
        if self.task is not None and self.reason is None:
            self.reason = reason
            self.scope.cancel()


class Editing(Protocol):
    """What a run asks of whoever synchronises edits with it; see synchronizer.py."""

    def holds(self, run: Flow) -> bool:
        """Whether nothing new may start now."""

    def pending(self, run: Flow) -> bool:
        """Whether an answer to some completion is still to come."""

    def ended(self, run: Flow, task: TaskStar) -> None:
        """A task has ended; what became ready by it is not submitted yet."""

    async def settle(self, run: Flow) -> None:
        """Wait until no edit is pending."""


class Flow(ABC):
    """The places where tasks wait, and the ways between them."""

    def __init__(
        self,
        constellation: TaskConstellation,
        book: LaneBook,
        placer: Placer,
        bus: EventBus,
        clock: Clock,
        *,
        editing: Editing | None,
        artifacts: Artifacts,
        logger: logging.Logger,
    ) -> None:
        self.constellation = constellation
        self.book = book
        self.placer = placer
        self.clock = clock
        self.editing = editing
        self.artifacts = artifacts
        self.reports = Reports(constellation, bus, clock)
        self.bus = bus
        self.over = anyio.Event()
        self.workers: dict[TaskStar, Worker] = {}
        self.held: dict[TaskStar, None] = {}
        self.backing_off: dict[TaskStar, float] = {}
        self.waiting: dict[TaskStar, None] = {}
        self.queued: dict[TaskStar, Lane] = {}
        self.cancelled = False
        self._logger = logger
        self._runnable: deque[tuple[TaskStar, Lane]] = deque()
        self._counted: dict[TaskStar, Lane] = {}
        self._failovers: dict[TaskStar, int] = {}
        self._complete = anyio.Event()
        self._idle: list[Worker] = []
        self._pool = 0
        self._waking = False
        self._closed = False
        self._wall = clock.wall
        self._perf = clock.perf
        self._yield_at = 0.0
        self._group: anyio.abc.TaskGroup | None = None
        self.timers: Timers | None = None
        self._output = self.reports.output_sink()

    # ------------------------------------------------------------------------------------------- the pool
    def dispatch(self, task: TaskStar, lane: Lane) -> None:
        """A lane gives a task its slot."""
        self.queued.pop(task, None)
        self._runnable.append((task, lane))
        if not self._waking:
            self._wake()

    @abstractmethod
    def _wake(self) -> None:
        """Something is runnable, and nobody is on the way to take it."""

    @property
    def has_runnable(self) -> bool:
        """Whether some task holds a slot and is about to start."""
        return bool(self._runnable)

    def withdraw(self, task: TaskStar) -> None:
        """Take a queued task out of its lane's queue."""
        lane = self.queued.pop(task, None)
        if lane is not None:
            lane.drop(task)

    def _result(
        self, task: TaskStar, lane: Lane | None, status: TaskStatus, error: BaseException, outcome: Completed | None
    ) -> ExecutionResult:
        result = ExecutionResult(
            task._task_id,
            status,
            None,
            error,
            None,
            task._started_at,
            self._wall(),
            device_id=lane.device_id if lane is not None else None,
            attempts=task._attempts,
        )
        if outcome is not None:
            result.result = outcome.stdout if outcome.value is None else outcome.value
            result.stdout, result.stderr, result.exit_code = outcome.stdout, outcome.stderr, outcome.exit_code
            result.files = outcome.files
            if outcome.metadata:
                result.metadata.update(outcome.metadata)
            if outcome.truncated:
                result.metadata["truncated"] = True
        return result

    def _end(
        self,
        task: TaskStar,
        status: TaskStatus,
        error: BaseException | None,
        at: float,
        result: ExecutionResult | None = None,
    ) -> None:
        """A task has ended for good: tell, and submit what became ready."""
        if result is None:
            result = self._result(task, None, status, error, None) if error is not None else None
        ready, skipped = self.constellation.end(task, status, result, error, at)
        self._forget(task)
        if self.editing is not None:
            self.editing.ended(self, task)
        self.reports.ended(task, status, result, error, ready, at)
        self._carry_on(ready, skipped, at)

    def _carry_on(self, ready: Sequence[TaskStar], skipped: Sequence[TaskStar], at: float) -> None:
        for task in skipped:
            self._forget(task)
            self.reports.skipped(task, at)
        if ready and not self._closed:
            self.submit(ready)
        self._check_complete()

    def _check_complete(self) -> None:
        if self.constellation.is_complete():
            self._complete.set()

    # ------------------------------------------------------------------------------------------- placing
    def submit(self, tasks: Sequence[TaskStar]) -> None:
        """Take ready tasks up: hold them, queue them on their lanes, or have them placed first."""
        if self.editing is not None and self.editing.holds(self):
            self.held.update(dict.fromkeys(tasks))
            return
        lanes = self.book.lanes
        homeless = []
        for task in tasks:
            device_id = task._target_device_id
            lane = lanes.get(device_id) if device_id is not None else None
            if lane is None or (lane.session is None and (lane.gone or not task._pinned)):
                homeless.append(task)
            elif lane.free and lane.session is not None and not lane.queue:
                lane.free -= 1
                self._runnable.append((task, lane))
            else:
                self.queued[task] = lane
                lane.offer(self, task)
        if homeless:
            self.placer.place(self, homeless)
        if self._runnable and not self._waking:
            self._wake()

    def enqueue(self, task: TaskStar, lane: Lane) -> None:
        """Queue a task that was just placed."""
        self.queued[task] = lane
        lane.offer(self, task)

    def assign(self, task: TaskStar, lane: Lane) -> None:
        """Note on which device a task is to run (I1: on no other)."""
        old = self._counted.get(task)
        if old is not lane:
            if old is not None:
                old.count_out(task)
            self._counted[task] = lane
            lane.count_in(task)
        task._target_device_id = lane.device.device_id

    def count_in(self, tasks: Sequence[TaskStar]) -> None:
        """Count tasks that have a device already in that device's load."""
        for task in tasks:
            lane = self.book.lanes.get(task._target_device_id or "")
            if lane is not None and task not in self._counted:
                self._counted[task] = lane
                lane.count_in(task)

    def accepts(self, task: TaskStar, lane: Lane) -> bool:
        """Whether a task that waited for this lane may still start on it. Asked just before it would."""
        if (
            task._status not in UNSTARTED
            or task._pending
            or task._owner is not self.constellation
            or self._closed
            or task in self.backing_off
        ):
            return False
        if lane.session is None:
            self.queued.pop(task, None)
            self.submit((task,))
            return False
        if self.editing is not None and self.editing.holds(self):
            self.queued.pop(task, None)
            self.held[task] = None
            return False
        return task._target_device_id == lane.device.device_id  # else it was placed anew, and stands elsewhere

    def fail_unplaced(self, task: TaskStar, error: GalaxyError) -> None:
        """No device can run a ready task: it has failed."""
        at = self._wall()
        self._end(task, _FAILED, error, at, self._result(task, None, _FAILED, error, None))

    def _forget(self, task: TaskStar) -> None:
        """A task is no longer waited for anywhere."""
        counted = self._counted.pop(task, None)
        if counted is not None:
            counted.count_out(task)
        if self.queued or self.held or self.waiting or self.backing_off or self._failovers:
            for place in (self.queued, self.held, self.waiting, self.backing_off, self._failovers):
                place.pop(task, None)

    def lane_changed(self, lane: Lane) -> None:
        """A device came, went or was given up."""
        if self._closed:
            return
        moved: list[TaskStar] = []
        if lane.session is None:
            for task in lane.take_queue(self):
                self.queued.pop(task, None)
                moved.append(task)
        else:
            moved += self.placer.rebalance(self, lane)
        moved += self.waiting
        self.waiting.clear()
        if moved:
            self.submit([task for task in moved if task._status in UNSTARTED])

    # ------------------------------------------------------------------------------------------- edits
    def release_held(self) -> None:
        """No edit holds the plan any more."""
        held = [task for task in self.held if task._status in UNSTARTED and not task._pending]
        self.held.clear()
        if held and not self._closed:
            held.sort(key=lambda task: (-task._priority.value, task._index))
            self.submit(held)

    def plan_changed(self) -> None:
        """Listener: something was edited."""

    def task_changed(self, task: TaskStar) -> None:
        """Listener: a task says something else now; if it waits for a lane, it is queued anew."""
        if task in self.queued:
            self.withdraw(task)
        elif task not in self.waiting:
            return
        self.waiting.pop(task, None)
        if not task._pinned:
            task._target_device_id = None
        self.submit((task,))

    def task_ended(self, task: TaskStar, ready: Sequence[TaskStar], skipped: Sequence[TaskStar]) -> None:
        """Listener: somebody else ended a task."""
        at = self._wall()
        worker = self.workers.get(task)
        if worker is not None:
            worker.interrupt("cancel")
        self._forget(task)
        self.reports.ended(task, task._status, task._result, task._error, ready, at)
        self._carry_on(ready, skipped, at)

    def task_freed(self, ready: Sequence[TaskStar], skipped: Sequence[TaskStar]) -> None:
        """Listener: an edit made tasks ready, or decided that they are skipped."""
        self._carry_on(ready, skipped, self._wall())

    def task_removed(self, task: TaskStar) -> None:
        """Listener: a task that had not started was taken out."""
        self.withdraw(task)
        self._forget(task)
        self._check_complete()
