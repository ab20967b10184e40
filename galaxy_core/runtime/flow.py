"""Flow: where the tasks of a run are between becoming ready and starting, and what follows when one ends.

A ready task is held by an edit, waits for a device, waits in a lane's queue, waits for its next attempt, or is
runnable, which means that it has its slot already. It is in one of these places only: each time it is put into a
queue it gets a new ticket, and an entry with another ticket than its task's is void.
"""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from secrets import token_hex
from typing import TYPE_CHECKING

import anyio
import anyio.abc

from galaxy_core.errors import GalaxyError, TaskCancelledError
from galaxy_core.extension.interfaces import Completed
from galaxy_core.model.constellation import TaskConstellation
from galaxy_core.model.result import UNSTARTED, ExecutionResult, TaskStatus
from galaxy_core.model.task import TaskStar
from galaxy_core.runtime.artifacts import Artifacts
from galaxy_core.runtime.bus import EventBus
from galaxy_core.runtime.clock import Clock
from galaxy_core.runtime.lanes import Lane, LaneBook, needs_of
from galaxy_core.runtime.placer import Placer
from galaxy_core.runtime.reports import Reports
from galaxy_core.runtime.timers import Timers
from galaxy_core.runtime.worker import Worker

if TYPE_CHECKING:
    from galaxy_core.runtime.desk import Desk
    from galaxy_core.runtime.editing import Editing
    from galaxy_core.runtime.ledger import Ledger
    from galaxy_core.runtime.recorder import Recorder
    from galaxy_core.runtime.settler import Case

_FAILED, _CANCELLED = TaskStatus.FAILED, TaskStatus.CANCELLED

RUN_CANCELLED = "the run was cancelled"


def cancellation(task: TaskStar, why: str = RUN_CANCELLED) -> TaskCancelledError:
    """The error of a task that is cancelled."""
    return TaskCancelledError(task._task_id, f"task {task._task_id!r}: {why}")


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
        desk: Desk,
        artifacts: Artifacts,
        logger: logging.Logger,
    ) -> None:
        self.constellation = constellation
        self.book = book
        self.placer = placer
        self.clock = clock
        self.editing = editing
        self.desk = desk
        self.artifacts = artifacts
        self.bus = bus
        self.over = anyio.Event()
        self.held: dict[TaskStar, None] = {}
        self.backing_off: dict[TaskStar, float] = {}
        self.waiting: dict[TaskStar, None] = {}
        self.parked: dict[TaskStar, None] = {}  # ready while the run is paused
        self.settling: dict[TaskStar, Case] = {}  # running, with no worker: it is being found out what became of them
        self.beginnings: list[Callable[[], None]] = []  # what is to be done first of all
        self.began_at: float | None = None  # of a run that goes on, when it began
        self.opened: Mapping[str, str] | None = None  # of a run that goes on, the versions of its plugins
        self.ledger: Ledger | None = None
        self.recorder: Recorder | None = None
        self.is_paused = self.is_stopping = False
        self.stopped_by = ""
        self.cancelled = False
        self.let_go: dict[TaskStar, str] = {}  # running, and left to whoever resumes, by device
        self.failure = ""  # why the run has failed, whatever its tasks came to
        self._logger = logger
        self.mark = token_hex(8)  # not of the clock's chance: a mark has to be one of a kind, replayed or not
        self._runnable: deque[tuple[TaskStar, Lane, int]] = deque()
        self._counted_s: dict[TaskStar, float] = {}
        self._failovers: dict[TaskStar, int] = {}
        self._settling_transports: dict[int, bool] = {}  # by identity, whether they settle
        self._unplaced: deque[tuple[TaskStar, GalaxyError]] = deque()
        self._revision = constellation._revision
        self._complete = anyio.Event()
        self._idle: list[Worker] = []
        self._pool: list[Worker] = []
        self._waking = False
        self._closed = False
        self._monotonic, self._offset_s = clock.monotonic, clock.offset_s()
        self._perf = clock.perf
        self.reports = Reports(constellation, bus, self.wall)
        self._yield_at = 0.0
        self._group: anyio.abc.TaskGroup | None = None
        self.timers = Timers(clock.loop_time())

    def wall(self) -> float:
        """Now, in seconds since the epoch; never earlier than before, see `Clock`."""
        return self._offset_s + self._monotonic()

    # ------------------------------------------------------------------------------------------- the pool
    def dispatch(self, task: TaskStar, lane: Lane, ticket: int) -> None:
        """A lane gives a task its slot."""
        self._runnable.append((task, lane, ticket))
        if not self._waking:
            self._wake()

    @abstractmethod
    def _wake(self) -> None:
        """Something is runnable, and nobody is on the way to take it."""

    @abstractmethod
    def _came(self, lane: Lane) -> None:
        """A device has a session (again)."""

    @abstractmethod
    def fail(self, why: str) -> None:
        """End the run as failed, whatever its tasks came to."""

    @property
    def is_over(self) -> bool:
        """Whether it has been closed: what is edited from then on is no longer its concern."""
        return self._closed

    @property
    def has_runnable(self) -> bool:
        """Whether some task holds a slot and is about to start."""
        return bool(self._runnable)

    @property
    def busy(self) -> list[Worker]:
        """The workers that are at an attempt."""
        return [worker for worker in self._pool if worker.task is not None]

    def worker_of(self, task: TaskStar) -> Worker | None:
        """The worker that is at an attempt of this task."""
        for worker in self._pool:
            if worker.task is task:
                return worker
        return None

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
            self.wall(),
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
        withhold = self.withholds(task, status)
        ready, skipped = self.constellation.end(task, status, result, error, at, withhold)
        self._forget(task)
        self._failovers.pop(task, None)
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

    @abstractmethod
    def _check_complete(self) -> None:
        """Wake whoever waits for the end of the run, if it has come."""

    # ------------------------------------------------------------------------------------------- placing
    def submit(self, tasks: Sequence[TaskStar]) -> None:
        """Take ready tasks up: hold them, queue them on their lanes, or have them placed first."""
        if self.cancelled:
            self.cancel_unstarted(tasks)
            return
        if self.is_paused:
            self.parked.update(dict.fromkeys(tasks))
            return
        if self.editing is not None and self.editing.holding(self):
            tasks = self._not_held(tasks, self.editing)
        lanes, new_ticket = self.book.lanes, self.book.new_ticket
        # A device that an edit gave, or that a task had before it was edited, was not checked.
        edited = self.constellation._revision != self._revision
        stay = self.placer.strategy is None  # nobody could find another device: every assignment holds like a pin
        homeless = []
        for task in tasks:
            lane = lanes.get(task._target_device_id)  # type: ignore[arg-type]  # None is nobody's id
            if (
                lane is None
                or (lane.session is None and (lane.gone or not (task._pinned or stay)))
                or (edited and lane.lacks(needs_of(task)) is not None)
            ):
                homeless.append(task)
                continue
            ticket = task._ticket = new_ticket()
            if lane.free and lane.session is not None and not lane.queued:
                lane.free -= 1
                self._runnable.append((task, lane, ticket))
            else:
                lane.push(self, task, ticket)
        if homeless:
            self.placer.place(self, homeless)
        if self._runnable and not self._waking:
            self._wake()

    def _not_held(self, tasks: Sequence[TaskStar], editing: Editing) -> list[TaskStar]:
        """Hold those of these ready tasks that an edit is in the way of; the others."""
        free = []
        for task in tasks:
            if editing.holds(self, task):
                self.held[task] = None
            else:
                free.append(task)
        return free

    def enqueue(self, task: TaskStar, lane: Lane) -> None:
        """Queue a task that was just placed."""
        task._ticket = self.book.new_ticket()
        lane.offer(self, task, task._ticket)

    def assign(self, task: TaskStar, lane: Lane) -> None:
        """Note on which device a task is to run (I1: on no other)."""
        if task._counted is not lane:
            self._count_out(task)
            self._count_in(task, lane)
        task._target_device_id = lane.device.device_id
        if task._attempts and self.recorder is not None:
            self.recorder.touched(task._task_id)  # of others the start says it

    def unassign(self, task: TaskStar) -> None:
        """Take the device of a task that has not started, and its place in any queue."""
        self._count_out(task)
        task._ticket = 0
        task._target_device_id = None
        if task._attempts and self.recorder is not None:
            self.recorder.touched(task._task_id)

    def count_in(self, tasks: Iterable[TaskStar]) -> None:
        """Count those of these tasks that have not started and have a device already in that device's load."""
        lanes = self.book.lanes
        for task in tasks:
            lane = lanes.get(task._target_device_id)  # type: ignore[arg-type]  # None is nobody's id
            if lane is not None and task._counted is None and task._status in UNSTARTED:
                self._count_in(task, lane)

    def accepts(self, task: TaskStar, lane: Lane, ticket: int) -> bool:
        """Whether a task that got a slot may still start on it; if not, and it can still run, it is taken up anew."""
        if task._ticket != ticket or self._closed:
            return False
        if lane.session is None:
            task._ticket = 0
            self.submit((task,))
            return False
        if self.editing is not None and self.editing.holding(self) and self.editing.holds(self, task):
            task._ticket = 0
            self.held[task] = None
            if self.placer.binds_late and not task._pinned:
                self.unassign(task)  # which device is best is to be asked when it may start
            return False
        return True

    def fail_unplaced(self, task: TaskStar, error: GalaxyError) -> None:
        """No device can run a ready task: it has failed."""
        self._unplaced.append((task, error))
        if len(self._unplaced) > 1:
            return  # whoever is at the first of them comes to this one: chains of such tasks may be longer than any stack
        while self._unplaced:
            task, error = self._unplaced[0]
            if task._status in UNSTARTED:
                self._end(task, _FAILED, error, self.wall(), self._result(task, None, _FAILED, error, None))
            self._unplaced.popleft()

    def _count_in(self, task: TaskStar, lane: Lane) -> None:
        task._counted = lane
        estimate_s = task._estimate_s
        if estimate_s is not None:
            self._counted_s[task] = estimate_s  # an edit may change it before it is counted out
        lane.count_in(estimate_s)

    def _count_out(self, task: TaskStar) -> None:
        lane: Lane | None = task._counted
        if lane is not None:
            task._counted = None
            lane.count_out(self._counted_s.pop(task, None) if self._counted_s else None)

    def cancel_unstarted(self, tasks: Sequence[TaskStar], why: str = RUN_CANCELLED, *, is_all: bool = False) -> None:
        """Cancel tasks that have not started, all at once: nothing that waits for one may become ready by it.

        `is_all`: because the run is cancelled, and these are all that have not started.
        """
        at = self.wall()
        if self.recorder is not None:
            self.recorder.flush()
        for task in tasks:
            error = cancellation(task, why)
            self.constellation.withdraw(task, error, at)
            self._forget(task)
            self.reports.ended(task, _CANCELLED, None, error, (), at)
        if self.recorder is not None and (tasks or is_all):
            self.recorder.withdrawn(tasks, at, why, run=is_all)
        self._check_complete()

    def _forget(self, task: TaskStar) -> None:
        """A task that was not running is no longer waited for anywhere."""
        self._count_out(task)
        task._ticket = 0
        self.held.pop(task, None)
        self.parked.pop(task, None)
        self.waiting.pop(task, None)
        self.backing_off.pop(task, None)

    def lane_changed(self, lane: Lane) -> None:
        """A device came, went or was given up."""
        if self._closed:
            return
        for case in self.settling.values():
            case.stir()
        moved: list[TaskStar] = []
        if lane.session is None:
            for worker in self.busy:
                if worker.lane is lane:
                    worker.interrupt("lost")
            moved += lane.take_queue(self)
            if lane.gone:
                self.placer.recheck(self)
        else:
            self._came(lane)
            moved += self.placer.rebalance(self, lane)
        moved += self.waiting
        self.waiting.clear()
        if moved:
            self.submit([task for task in moved if task._status in UNSTARTED and not task._pending])

    # ------------------------------------------------------------------------------------------- edits
    def release(self) -> None:
        """Some edit is not waited for any more: take up what nothing holds now, and skip what nobody has saved."""
        if self._closed or self.editing is None:
            return
        withheld, awaits = self.constellation._withheld, self.editing.awaits
        due = [line for line in withheld if line._source is None or not awaits(self, line._source)]
        if due:
            at = self.wall()
            self._carry_on(*self.constellation.judge_withheld(due, at), at)
        held = [task for task in self.held if task._status in UNSTARTED and not task._pending]
        self.held.clear()
        if held:
            held.sort(key=lambda task: (-task._priority.value, task._index))
            self.submit(held)

    def task_changed(self, task: TaskStar) -> None:
        """Listener: a task says something else now; if it waits for a lane, it is queued anew."""
        if not self._can_start(task) or (not task._ticket and task not in self.waiting):
            return
        self._forget(task)
        if not task._pinned:
            task._target_device_id = None
        self.submit((task,))

    def withholds(self, task: TaskStar, status: TaskStatus) -> bool:
        """Whether an editor may still change what follows a task that ends so."""
        return self.editing is not None and not self.cancelled and self.editing.withholds(self, task, status)

    def task_ended(self, task: TaskStar, ready: Sequence[TaskStar], skipped: Sequence[TaskStar]) -> None:
        """Listener: somebody else ended a task."""
        at = self.wall()
        worker = self.worker_of(task)
        if worker is not None:
            worker.interrupt("cancel")
        if task in self.settling:
            self.settling[task].interrupt()
        self._forget(task)
        if self.editing is not None:
            self.editing.ended(self, task)
        self.reports.ended(task, task._status, task._result, task._error, ready, at)
        self._carry_on(ready, skipped, at)

    def given_up(self, task: TaskStar, lane: Lane) -> None:
        """An attempt is over that nobody waits for: somebody has ended its task meanwhile, and may have retried it."""
        lane.release()
        self.task_freed((task,), ())

    def task_freed(self, ready: Sequence[TaskStar], skipped: Sequence[TaskStar]) -> None:
        """Listener: an edit, or a retry by hand, made tasks ready, or decided that they are skipped."""
        still = [task for task in ready if self._can_start(task)]
        for task in still:
            self.held.pop(task, None)
        self._carry_on(still, skipped, self.wall())
        if self.held:  # it may not be what those lead to any more who are to answer
            self.release()

    def _can_start(self, task: TaskStar) -> bool:
        if task._status not in UNSTARTED or task._pending or task._owner is not self.constellation:
            return False
        # What is tried again waits until its back-off, and even an attempt that nobody waits for, are over (I1).
        if task in self.backing_off or task in self.settling:
            return False
        return not task._attempts or self.worker_of(task) is None

    def task_removed(self, task: TaskStar) -> None:
        """Listener: a task that had not started was taken out."""
        self._forget(task)
        self._check_complete()
