"""Run: one constellation being executed.

A pool of workers serves one queue of runnable tasks, each of which already holds a slot of its device's lane. A worker
takes a task, awaits its session, ends the task and thereby finds what became ready, without a task or a future per
node: at 100,000 tasks that decision is worth more than all others together (docs/decisions/0006-worker-pool.md).

Everything between two awaits is synchronous, so the constellation is never seen half-changed.
"""

from __future__ import annotations

from typing import Any

import anyio
import anyio.abc
import anyio.lowlevel

from galaxy_core.errors import DeviceLostError, InputError, RequestError, RunError, TaskTimeoutError
from galaxy_core.extension.interfaces import Attempt, Completed, Outcome, Refused, Unknown
from galaxy_core.model.constellation import TaskConstellation
from galaxy_core.model.policy import Effect
from galaxy_core.model.reasons import message_of
from galaxy_core.model.result import ExecutionResult, TaskStatus
from galaxy_core.model.task import TaskStar
from galaxy_core.runtime.answers import awaitable, broken_off, left_behind, loss_in, sound, when_lost, why_lost
from galaxy_core.runtime.blaming import blamed
from galaxy_core.runtime.flow import RUN_CANCELLED, cancellation
from galaxy_core.runtime.inputs import prepare_request
from galaxy_core.runtime.lanes import Lane
from galaxy_core.runtime.outcome import outcome_of
from galaxy_core.runtime.settling import MAY_STILL_RUN, Settling
from galaxy_core.runtime.worker import Worker

_COMPLETED, _CANCELLED = TaskStatus.COMPLETED, TaskStatus.CANCELLED

#: Seconds after which a worker that never had to wait lets others run.
YIELD_S = 0.002
TASK_CANCELLED = "it was cancelled"


def runs_already(constellation: TaskConstellation) -> RunError:
    """Why a constellation cannot be run now."""
    return RunError(
        f"constellation {constellation.constellation_id!r} runs already; wait for it, or run a copy under an id of its "
        "own: constellation.copy()"
    )


class Run(Settling):
    """The execution of one constellation. Cancelling it touches no other."""

    # ------------------------------------------------------------------------------------------- life
    async def execute(self) -> None:
        """Run the constellation to its end. On cancellation every task still ends, as cancelled."""
        constellation = self.constellation
        if constellation._listener is not None:
            raise runs_already(constellation)
        constellation._listener = self
        self.book.runs[self] = None
        try:
            async with anyio.create_task_group() as group:
                self._group = group
                group.start_soon(self.timers.run)
                group.start_soon(self.reports.run)
                if self.editing is not None:
                    group.start_soon(self.editing.serve, self)
                self._yield_at = self._perf() + YIELD_S
                self.count_in(constellation._tasks.values())
                self.submit(constellation.get_ready_tasks())
                try:
                    await self._until_over()
                except BaseException:
                    self.cancel()  # at once: no lane may give a slot to a run whose workers are leaving
                    raise
                finally:
                    self._group = None  # which may close at any moment, and takes nobody then
                self._close()  # at once: an edit that comes now is no longer this run's
                group.cancel_scope.cancel()
        except ExceptionGroup as broken:
            raise RunError(
                f"the kernel broke while it ran {constellation.constellation_id!r}: {message_of(broken)}. "
                "What had completed is kept. Please report this with the traceback."
            ) from broken
        finally:
            if not self._closed:
                self._close()
            for worker in self.busy:  # its attempt was stopped with the run, and its session has cleaned up by now
                _, lane = worker.free()
                lane.release()

    async def _until_over(self) -> None:
        """Wait until all is done and settled: observers have heard everything, and no edit is pending."""
        constellation = self.constellation
        while True:
            while not constellation.is_complete():
                self._complete = anyio.Event()
                await self._complete.wait()
            self.reports.flush()
            told = self.reports.posted
            if self.editing is not None:
                await self.editing.settle(self)
            await self.bus.drain(over=self.over)
            self.reports.flush()
            settled = self.editing is None or not self.editing.pending(self)
            if settled and constellation.is_complete() and self.reports.posted == told:
                return

    def _close(self) -> None:
        """Give back whatever the run still holds, and say what came of it, even if that breaks."""
        self._closed = True
        try:
            self._give_back()
        except BaseException as error:
            self.failure = self.failure or f"the kernel broke while it ended the run: {message_of(error)}"
            raise
        finally:
            self._leave()

    def _give_back(self) -> None:
        """Only a cancelled or broken run has anything left."""
        self.book.hungry.pop(self, None)
        if not self.constellation.is_complete():
            self.cancelled = self.constellation._cancelled = True
            # First what has not started, so that no link is judged by what is cancelled after it.
            self.cancel_unstarted(self.constellation.get_pending_tasks())
        for task in self.constellation.get_running_tasks() if self.cancelled else ():
            self._end(task, _CANCELLED, cancellation(task), self.wall())
        while self._runnable:
            self._runnable.popleft()[1].release()
        for lane in self.book.lanes.values():
            lane.take_queue(self)
        self.constellation._withheld.clear()
        if self.editing is not None:
            self.editing.over(self)

    def _leave(self) -> None:
        """From now on the constellation is nobody's, and the run has an outcome."""
        # Should even what follows break, whoever waits is told this, and not that there is nothing.
        self.outcome: dict[str, Any] = {
            "results": {},
            "status": "failed",
            "total_tasks": 0,
            "statistics": {},
            "error": self.failure,
        }
        self.constellation._listener = None
        self.book.runs.pop(self, None)
        self.reports.flush()
        self.constellation.complete_execution()
        self.constellation._ended_at = self.constellation._updated_at = self.wall()
        self.outcome = outcome_of(self.constellation)
        if self.failure:
            self.outcome["status"], self.outcome["error"] = "failed", self.failure

    def cancel(self, why: str = RUN_CANCELLED) -> None:
        """End every task that has not ended, as cancelled; attempts that run are stopped on their devices."""
        if self._closed:
            return  # how it ended is decided, and perhaps told
        self.cancelled = self.constellation._cancelled = True
        if self.editing is not None:
            self.editing.over(self)
        for worker in self.busy:
            worker.interrupt("cancel")
        self.cancel_unstarted(self.constellation.get_pending_tasks(), why)
        self._check_complete()

    def fail(self, why: str) -> None:
        """End the run as failed, whatever its tasks came to: what has not ended is cancelled."""
        if not self._closed:
            self.failure = self.failure or why
            self.cancel(why)

    def cancel_task(self, task_id: str, why: str = TASK_CANCELLED) -> bool:
        """Cancel one task; False when there is none of that id, or it has ended."""
        task = self.constellation._tasks.get(task_id)
        if task is None or task.is_terminal:
            return False
        worker = self.worker_of(task)
        if worker is not None and worker.was_at(task):
            worker.interrupt("cancel")
            return True
        self._end(task, _CANCELLED, cancellation(task, why), self.wall())
        return True

    # ------------------------------------------------------------------------------------------- the pool
    def _wake(self) -> None:
        if self._idle:
            self._waking = True
            self._idle.pop().event.set()
        elif len(self._pool) < self.book.most_slots and self._group is not None:
            self._waking = True
            worker = Worker()
            self._pool.append(worker)
            self._group.start_soon(self._work, worker)

    async def _work(self, worker: Worker) -> None:
        self._waking = False
        while True:
            with anyio.CancelScope() as worker.scope:
                await self._serve(worker)
            # Here the scope was cancelled, or might have been: a fresh one keeps a late cancel off the next task.
            reason, worker.reason = worker.reason, None
            if worker.task is not None:
                waking, self._waking = self._waking, True  # as in _serve
                self._interrupted(worker, reason or "cancel")
                self._waking = waking

    async def _serve(self, worker: Worker) -> None:
        """Take runnable tasks one after the other, until the scope has to be renewed."""
        runnable, perf = self._runnable, self._perf
        while True:
            if not runnable:
                await self._park(worker)
                continue
            task, lane, ticket = runnable.popleft()
            if runnable and not self._waking:
                self._wake()
            if (task._ticket != ticket or lane.session is None or self.editing is not None) and not self.accepts(
                task, lane, ticket
            ):
                lane.release()
                continue
            attempt = self._begin(worker, task, lane)
            if attempt is not None:
                session = lane.session
                try:
                    answer = session.execute(attempt)  # type: ignore[union-attr]  # see accepts
                    outcome: Outcome = await awaitable(answer, lane.device.transport)
                except BaseException as error:  # the task receives it: it is the error of this attempt
                    device, loss = lane.device, loss_in(error)
                    if loss is None:
                        outcome = broken_off(attempt, error, device.transport, native=False, device_id=device.device_id)
                    else:
                        if lane.session is session:  # else it is known, and the lane may have another session by now
                            lane.lost(loss)
                        outcome = when_lost(attempt, why_lost(loss), lane.transport)
                # What becomes runnable by this end needs nobody to be woken: this worker is on the way to take it.
                waking, self._waking = self._waking, True
                self._finish(worker, task, lane, outcome)
                self._waking = waking
                if worker.reason is not None:
                    return
            if perf() > self._yield_at:
                self.reports.flush()
                await anyio.lowlevel.checkpoint()
                self._yield_at = perf() + YIELD_S

    async def _park(self, worker: Worker) -> None:
        self.reports.flush()
        worker.event = anyio.Event()
        self._idle.append(worker)
        await worker.event.wait()
        self._waking = False
        self._yield_at = self._perf() + YIELD_S

    # ------------------------------------------------------------------------------------------- an attempt
    def _begin(self, worker: Worker, task: TaskStar, lane: Lane) -> Attempt | None:
        """Start an attempt; None when it cannot even start, and has been ended for that."""
        at = self._offset_s + self._monotonic()
        task._ticket = 0
        self.constellation.begin(task, at)
        reports, request = self.reports, task._request
        if request is not None:
            try:
                request = prepare_request(request, task, lane, self.constellation)
            except (InputError, RequestError) as error:
                self._never_begun(task, lane, error)
                return None
            except BaseException as error:  # the task receives it: what it takes from others may be anything
                failure = blamed(error, "transport", lane.device.transport, native=False)
                reports.started(task, lane.device.device_id, at)
                self._settle_failure(task, lane, "failed", failure, None)
                return None
        if reports.hears_starts:
            reports.started(task, lane.device.device_id, at)
        worker.task, worker.lane = task, lane
        worker.lease = lease = self.book.next_lease()
        timeout_s = task._timeout
        if timeout_s is not None:
            self.timers.set_deadline(timeout_s, worker)
        worker.attempt = attempt = Attempt(
            self.constellation._id,
            task,
            lane.device.device_id,
            task._attempts,
            lease,
            request,
            timeout_s,
            self.reports.output_sink(),
            self.artifacts,
            self._run_mark,
        )
        return attempt

    def _finish(self, worker: Worker, task: TaskStar, lane: Lane, outcome: Outcome) -> None:
        """An attempt came to an end by itself."""
        if type(outcome) is not Completed or not (  # of a session that said nothing there is nothing to check
            outcome.exit_code is None
            and outcome.stdout is None
            and outcome.stderr is None
            and outcome.error is None
            and outcome.files is None
            and outcome.metadata is None
            and outcome.truncated is False
        ):
            outcome = sound(outcome, lane.device.transport)
        success = type(outcome) is Completed and outcome.error is None and not outcome.exit_code
        if worker.reason is not None:
            # Of a lost device nothing counts but that it did not even start; else what was faster than the interruption.
            stands = type(outcome) is Refused if worker.reason == "lost" else success
            if type(outcome) is Unknown and worker.reason == "timeout":
                stands = True  # a deadline is no reason to run again what may have run
            if not stands:
                if type(outcome) is Unknown and worker.attempt is not None:
                    worker.attempt.partial = outcome  # as if it had been cancelled properly
                return  # the interruption decides, once the scope is left
        worker.lease, worker.task = 0, None
        if not worker.was_at(task):
            self.given_up(task, lane)
        elif success:
            self._succeeded(task, lane, outcome)  # type: ignore[arg-type]  # it is Completed
        else:
            self._failed(task, lane, outcome)

    def _succeeded(self, task: TaskStar, lane: Lane, outcome: Completed) -> None:
        at = self._offset_s + self._monotonic()
        result = ExecutionResult(
            task._task_id,
            _COMPLETED,
            outcome.stdout if outcome.value is None else outcome.value,
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
        constellation, reports = self.constellation, self.reports
        editing = self.editing
        withhold = editing is not None and editing.withholds(self, task, _COMPLETED)
        ready, skipped = constellation.end(task, _COMPLETED, result, None, at, withhold)
        if task._counted is not None:
            self._count_out(task)
        if self._failovers:
            self._failovers.pop(task, None)
        if editing is not None:
            editing.ended(self, task)
        if reports.hears_ends:
            reports.ended(task, _COMPLETED, result, None, ready, at)
        if skipped:
            self._carry_on((), skipped, at)
        if ready:
            self.submit(ready)
        elif constellation.is_complete():
            self._complete.set()
        lane.release()

    def _interrupted(self, worker: Worker, reason: str) -> None:
        """An attempt was cancelled, and its session has cleaned up after it."""
        task, lane = worker.free()
        if not worker.was_at(task):
            self.given_up(task, lane)
            return
        said = left_behind(worker.attempt, lane.device.transport, self._logger)
        doubt = said.reason if isinstance(said, Unknown) else None
        kept = said.said if isinstance(said, Unknown) else said
        if reason == "timeout":
            assert task._timeout is not None
            error = TaskTimeoutError(task.task_id, task._timeout)
            if doubt is not None and task._effect is Effect.ONCE:  # it may not be run again while it may still run
                self._failed(task, lane, Unknown(f"{error}, and it may still run: {doubt}", kept))
            else:
                self._settle_failure(task, lane, "timeout", error, kept, doubt)
        elif reason == "lost":
            self._failed(task, lane, when_lost(worker.attempt, _went(lane), lane.transport, kept))
        else:
            cancelled = cancellation(task, RUN_CANCELLED if self.cancelled else TASK_CANCELLED)
            result = self._result(task, lane, _CANCELLED, cancelled, kept)
            if doubt is not None:
                result.metadata[MAY_STILL_RUN] = doubt
            self._end(task, _CANCELLED, cancelled, self.wall(), result)
            lane.release()


def _went(lane: Lane) -> str:
    """Why a lane has no session any more; the error of a lost device names the device itself."""
    error = lane.error
    if isinstance(error, DeviceLostError):
        return message_of(error)
    return f"device {lane.device_id!r} went: {message_of(error) if error is not None else 'disconnected'}"
