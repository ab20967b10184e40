"""Run: one constellation being executed.

A pool of workers serves one queue of runnable tasks, each of which already holds a slot of its device's lane. A worker
takes a task, awaits its session, ends the task and thereby finds what became ready, without a task or a future per
node: at 100,000 tasks that decision is worth more than all others together (docs/decisions/0021-worker-pool.md).

Everything between two awaits is synchronous, so the constellation is never seen half-changed.
"""

from __future__ import annotations

import anyio
import anyio.abc
import anyio.lowlevel

from galaxy_core.errors import (
    DeviceLostError,
    GalaxyError,
    OutcomeUnknownError,
    TaskCancelledError,
    TaskFailedError,
    TaskRefusedError,
    TaskTimeoutError,
)
from galaxy_core.extension.interfaces import Attempt, Completed, Outcome, Refused, Unknown
from galaxy_core.model.policy import Effect
from galaxy_core.model.result import UNSTARTED, ExecutionResult, TaskStatus
from galaxy_core.model.task import TaskStar
from galaxy_core.runtime.flow import Flow, Worker
from galaxy_core.runtime.inputs import prepare_request
from galaxy_core.runtime.lanes import Lane
from galaxy_core.runtime.timers import Timers

_COMPLETED, _FAILED, _CANCELLED = TaskStatus.COMPLETED, TaskStatus.FAILED, TaskStatus.CANCELLED
_RUNNING, _UNKNOWN, _ONCE = TaskStatus.RUNNING, TaskStatus.UNKNOWN, Effect.ONCE

#: Seconds after which a worker that never had to wait lets others run.
YIELD_S = 0.002
#: How often a task may be taken up again because its device went, before it ends `unknown`.
MAX_FAILOVERS = 10


class Run(Flow):
    """The execution of one constellation. Cancelling it touches no other."""

    # ------------------------------------------------------------------------------------------- life
    async def execute(self) -> None:
        """Run the constellation to its end. On cancellation every task still ends, as cancelled."""
        constellation = self.constellation
        self.timers = Timers(self.clock.loop_time())
        constellation._listener = self
        self.book.runs.add(self)
        try:
            async with anyio.create_task_group() as group:
                self._group = group
                group.start_soon(self.timers.run)
                self._yield_at = self._perf() + YIELD_S
                self.count_in(constellation.get_pending_tasks())
                self.submit(constellation.get_ready_tasks())
                await self._until_over()
                group.cancel_scope.cancel()
        finally:
            self._close()

    async def _until_over(self) -> None:
        """Wait until all is done and settled: observers have heard everything, and no edit is pending."""
        constellation = self.constellation
        while True:
            while not constellation.is_complete():
                self._complete = anyio.Event()
                await self._complete.wait()
            self.reports.flush()
            if self.editing is not None:
                await self.editing.settle(self)
            await self.bus.drain()
            if constellation.is_complete() and not (self.editing is not None and self.editing.pending(self)):
                return

    def _close(self) -> None:
        """Give back whatever the run still holds. Only a cancelled or broken run has anything left."""
        self._closed = True
        self.cancelled = self.cancelled or not self.constellation.is_complete()
        at = self._wall()
        for task, worker in list(self.workers.items()):
            assert worker.lane is not None
            worker.lane.active.discard(worker)
            worker.lease, worker.task = 0, None
            self._end(task, _CANCELLED, TaskCancelledError(task.task_id, "the run was cancelled"), at)
            worker.lane.release()
        self.workers.clear()
        for _, lane in self._runnable:
            lane.release()
        self._runnable.clear()
        if not self.constellation.is_complete():
            self._cancel_unstarted("the run was cancelled")
        for lane in set(self.queued.values()):
            lane.take_queue(self)
        self.queued.clear()
        for task, lane in self._counted.items():
            lane.count_out(task)
        self._counted.clear()
        self.constellation._listener = None
        self.book.runs.discard(self)
        self.book.hungry.discard(self)
        self.reports.flush()

    def cancel(self, why: str = "the run was cancelled") -> None:
        """End every task that has not ended, as cancelled; attempts that run are stopped on their devices."""
        self.cancelled = self.constellation._cancelled = True
        for worker in list(self.workers.values()):
            worker.interrupt("cancel")
        self._cancel_unstarted(why)
        self._check_complete()

    def _cancel_unstarted(self, why: str) -> None:
        # All at once, without judging links: nothing that waits for a cancelled task may become ready by it.
        constellation, at = self.constellation, self._wall()
        for task in constellation.get_pending_tasks():
            constellation.withdraw(task, TaskCancelledError(task.task_id, why), at)
            self._forget(task)
            self.reports.ended(task, _CANCELLED, None, task._error, (), at)

    def cancel_task(self, task_id: str, why: str = "it was cancelled") -> bool:
        """Cancel one task; False when there is none of that id, or it has ended."""
        task = self.constellation._tasks.get(task_id)
        if task is None or task.is_terminal:
            return False
        worker = self.workers.get(task)
        if worker is not None:
            worker.interrupt("cancel")
            return True
        self._end(task, _CANCELLED, TaskCancelledError(task_id, f"task {task_id!r}: {why}"), self._wall())
        return True

    def _wake(self) -> None:
        if self._idle:
            self._waking = True
            self._idle.pop().event.set()
        elif self._group is not None and self._pool < max(1, self.book.slots()):
            self._waking = True
            self._pool += 1
            self._group.start_soon(self._work)

    async def _work(self) -> None:
        worker = Worker()
        self._waking = False
        while True:
            with anyio.CancelScope() as worker.scope:
                await self._serve(worker)
            # Here the scope was cancelled, or might have been: a fresh one keeps a late cancel off the next task.
            reason, worker.reason = worker.reason, None
            if worker.task is not None:
                self._interrupted(worker, reason or "cancel")

    async def _serve(self, worker: Worker) -> None:
        """Take runnable tasks one after the other, until the scope has to be renewed."""
        runnable, perf = self._runnable, self._perf
        while True:
            if not runnable:
                self.reports.flush()
                if not runnable:
                    worker.event = anyio.Event()
                    self._idle.append(worker)
                    await worker.event.wait()
                    self._waking = False
                self._yield_at = perf() + YIELD_S
                continue
            task, lane = runnable.popleft()
            if runnable and not self._waking:
                self._wake()
            if not self.accepts(task, lane):
                lane.release()
                continue
            attempt = self._begin(worker, task, lane)
            if attempt is not None:
                session = lane.session
                assert session is not None
                try:
                    outcome: Outcome = await session.execute(attempt)
                except DeviceLostError as error:
                    lane.lost(error)
                    outcome = Unknown(error.why)
                except Exception as error:  # the task receives it: it is the error of this attempt
                    outcome = Completed(error=error)
                self._finish(worker, task, lane, outcome)
                if worker.reason is not None:
                    return
            if perf() > self._yield_at:
                self.reports.flush()
                await anyio.lowlevel.checkpoint()
                self._yield_at = perf() + YIELD_S

    # ------------------------------------------------------------------------------------------- an attempt
    def _begin(self, worker: Worker, task: TaskStar, lane: Lane) -> Attempt | None:
        """Start an attempt; None when it cannot even start, and has been ended for that."""
        at = self._wall()
        self.constellation.begin(task, at)
        worker.lease = lease = self.book.next_lease()
        request = task._request
        if request is not None:
            try:
                request = prepare_request(request, task, lane, self.constellation)
            except GalaxyError as error:
                self.reports.started(task, at)
                self._settle_failure(task, lane, "failed", error, None)
                return None
        worker.task, worker.lane = task, lane
        lane.active.add(worker)
        self.workers[task] = worker
        timeout_s = task._timeout
        if timeout_s is not None:
            assert self.timers is not None
            self.timers.set_deadline(timeout_s, worker)
        self.reports.started(task, at)
        return Attempt(
            self.constellation._id,
            task,
            lane.device.device_id,
            task._attempts,
            lease,
            request,
            timeout_s,
            self._output,
            self.artifacts,
        )

    def _finish(self, worker: Worker, task: TaskStar, lane: Lane, outcome: Outcome) -> None:
        """An attempt came to an end by itself."""
        if worker.lease == 0:
            return  # the run was closed meanwhile: it has accounted for this attempt
        success = type(outcome) is Completed and outcome.error is None and not outcome.exit_code
        if worker.reason is not None and (not success or worker.reason == "lost"):
            return  # the interruption decides, once the scope is left
        worker.lease, worker.task = 0, None
        lane.active.discard(worker)
        del self.workers[task]
        if task._status is not _RUNNING:  # somebody else ended it meanwhile
            lane.release()
            return
        if not success:
            self._failed(task, lane, outcome)
            return
        assert type(outcome) is Completed
        at = self._wall()
        value = outcome.stdout if outcome.value is None else outcome.value
        result = ExecutionResult(
            task._task_id,
            _COMPLETED,
            value,
            None,
            outcome.metadata,
            task._started_at,
            at,
            stdout=outcome.stdout,
            stderr=outcome.stderr,
            exit_code=outcome.exit_code,
            device_id=lane.device.device_id,
            attempts=task._attempts,
            files=outcome.files,
        )
        if outcome.truncated:
            result.metadata["truncated"] = True
        self._end(task, _COMPLETED, None, at, result)
        lane.release()

    def _interrupted(self, worker: Worker, reason: str) -> None:
        """An attempt was cancelled, and its session has cleaned up after it."""
        task, lane = worker.task, worker.lane
        assert task is not None
        assert lane is not None
        worker.lease, worker.task = 0, None
        lane.active.discard(worker)
        del self.workers[task]
        if task._status is not _RUNNING:  # somebody else ended it meanwhile
            lane.release()
            return
        if reason == "timeout":
            assert task._timeout is not None
            error = TaskTimeoutError(task.task_id, task._timeout)
            self._settle_failure(task, lane, "timeout", error, None)
        elif reason == "lost":
            self._failed(task, lane, Unknown(f"device {lane.device_id!r} went: {lane.error or 'disconnected'}"))
        else:
            why = "the run was cancelled" if self.cancelled else "it was cancelled"
            cancelled = TaskCancelledError(task.task_id, f"task {task.task_id!r}: {why}")
            self._end(task, _CANCELLED, cancelled, self._wall())
            lane.release()

    def _failed(self, task: TaskStar, lane: Lane, outcome: Outcome) -> None:
        """Decide what follows from an attempt that did not succeed."""
        if isinstance(outcome, Completed):
            error = outcome.error
            if error is None:
                error = TaskFailedError(task.task_id, f"exit status {outcome.exit_code}", outcome.exit_code)
            elif not isinstance(error, BaseException):
                error = TaskFailedError(task.task_id, str(error), outcome.exit_code)
            self._settle_failure(task, lane, "failed", error, outcome)
        elif isinstance(outcome, Refused):
            refusal = TaskRefusedError(task.task_id, f"task {task.task_id!r} was not started: {outcome.reason}")
            if lane.session is None:
                self._again(task, lane, "refused", refusal)
            else:
                self._settle_failure(task, lane, "refused", refusal, None)
        elif isinstance(outcome, Unknown):
            why = f"nobody knows how task {task.task_id!r} ended: {outcome.reason}"
            unknown = OutcomeUnknownError(task.task_id, why)
            if task._effect is _ONCE or self.cancelled:
                self._end(task, _UNKNOWN, unknown, self._wall(), self._result(task, lane, _UNKNOWN, unknown, None))
                lane.release()
            else:
                self._again(task, lane, "lost", unknown)
        else:
            wrong = TaskFailedError(
                task.task_id,
                f"transport {lane.device.transport!r} returned {type(outcome).__name__} "
                "instead of Completed, Refused or Unknown",
            )
            self._settle_failure(task, lane, "failed", wrong, None)

    def _settle_failure(
        self, task: TaskStar, lane: Lane, kind: str, error: BaseException, outcome: Completed | None
    ) -> None:
        """Try again, if the task may be; otherwise it has failed."""
        policy, retries = task._retry, task._current_retry
        if retries < task._retry_count and kind in policy.on and not self.cancelled:
            wait_s = policy.wait_s(retries + 1, self.clock.random.random())
            self._back_off(task, lane, wait_s, kind, error, counted=True)
        else:
            self._end(task, _FAILED, error, self._wall(), self._result(task, lane, _FAILED, error, outcome))
        lane.release()

    def _again(self, task: TaskStar, lane: Lane, kind: str, error: BaseException) -> None:
        """The device is to blame, and the task may run again: that takes none of its retries, but has a limit."""
        failovers = self._failovers[task] = self._failovers.get(task, 0) + 1
        if failovers > MAX_FAILOVERS or self.cancelled:
            self._end(task, _FAILED, error, self._wall(), self._result(task, lane, _FAILED, error, None))
        else:
            wait_s = task._retry.wait_s(failovers, self.clock.random.random())
            self._back_off(task, lane, wait_s, kind, error, counted=False)
        lane.release()

    def _back_off(
        self, task: TaskStar, lane: Lane, wait_s: float, kind: str, error: BaseException, *, counted: bool
    ) -> None:
        at = self._wall()
        task._again(at, counted=counted)
        self.reports.retrying(task, lane.device_id, wait_s, kind, error, at)
        assert self.timers is not None
        self.backing_off[task] = at + wait_s

        def resume() -> None:
            if self.backing_off.pop(task, None) is not None and task._status in UNSTARTED:
                self.submit((task,))

        self.timers.call_later(wait_s, resume)
