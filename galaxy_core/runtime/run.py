"""Run: one constellation being executed.

A pool of workers serves one queue of runnable tasks, each of which already holds a slot of its device's lane. A worker
takes a task, awaits its session, ends the task and thereby finds what became ready, without a task or a future per
node: at 100,000 tasks that decision is worth more than all others together (docs/decisions/0006-worker-pool.md).

Everything between two awaits is synchronous, so the constellation is never seen half-changed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anyio
import anyio.abc
import anyio.lowlevel

from galaxy_core.errors import RunError
from galaxy_core.extension.interfaces import Outcome
from galaxy_core.model.constellation import TaskConstellation
from galaxy_core.model.reasons import message_of
from galaxy_core.model.result import TaskStatus
from galaxy_core.runtime.answers import awaitable, broken_off, loss_in, when_lost, why_lost
from galaxy_core.runtime.attempting import TASK_CANCELLED, Attempting
from galaxy_core.runtime.flow import RUN_CANCELLED, cancellation
from galaxy_core.runtime.outcome import outcome_of
from galaxy_core.runtime.worker import Worker

if TYPE_CHECKING:
    from galaxy_core.runtime.ledger import Ledger

_CANCELLED = TaskStatus.CANCELLED

#: Seconds after which a worker that never had to wait lets others run.
YIELD_S = 0.002


def runs_already(constellation: TaskConstellation) -> RunError:
    """Why a constellation cannot be run now."""
    return RunError(
        f"constellation {constellation.constellation_id!r} runs already; wait for it, or run a copy under an id of its "
        "own: constellation.copy()"
    )


class Run(Attempting):
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
                # What an earlier run has left: its editors do not answer any more.
                if constellation._withheld:
                    at = self.wall()
                    for task in constellation.judge_withheld(list(constellation._withheld), at)[1]:
                        self._forget(task)
                        self.reports.skipped(task, at)
                for begin in self.beginnings:  # before anything is waited for: an edit may come, and start something
                    begin()
                await self.settler.markers.expect()
                self.submit([task for task in constellation.get_ready_tasks() if task not in self.backing_off])
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
                attempt = worker.attempt
                _, lane = worker.free()
                self._cut_off(attempt, lane)
                lane.release()

    async def _until_over(self) -> None:
        """Wait until all is done and settled: observers have heard everything, and no edit is pending."""
        constellation = self.constellation
        while True:
            while not constellation.is_complete() and not self.is_halted:
                self._complete = anyio.Event()
                await self._complete.wait()
            self.reports.flush()
            told = self.reports.posted
            if self.ledger is not None:
                await self.ledger.durable()
            if self.editing is not None:
                await self.editing.settle(self)
            await self.bus.drain(over=self.over)
            self.reports.flush()
            settled = self.editing is None or not self.editing.pending(self)
            if settled and (constellation.is_complete() or self.is_halted) and self.reports.posted == told:
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
        """Only a run that was cancelled, was stopped or broke has anything left."""
        self.book.hungry.pop(self, None)
        if self.is_halted:
            for task in self.constellation._tasks.values():
                self._count_out(task)
        if not self.constellation.is_complete() and not self.is_halted:
            self.cancelled = self.constellation._cancelled = True
            # First what has not started, so that no link is judged by what is cancelled after it.
            self.cancel_unstarted(self.constellation.get_pending_tasks(), is_all=True)
        for worker in self.busy:
            if worker.attempt.is_let_go and worker.was_at(worker.task):  # type: ignore[union-attr, arg-type]  # it is busy
                self.let_go[worker.task] = worker.lane.device_id  # type: ignore[index, union-attr]
        for task in self.constellation.get_running_tasks() if self.cancelled else ():
            if task in self.let_go:
                self._count_out(task)
                continue
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
        elif self.is_halted and not self.constellation.is_complete():
            self.outcome["status"] = "stopped"
        if self.recorder is not None:
            self.recorder.left(self.outcome["status"], self.wall(), self.stopped_by)

    def cancel(self, why: str = RUN_CANCELLED) -> None:
        """End every task that has not ended, as cancelled; attempts that run are stopped on their devices."""
        if self._closed:
            return  # how it ended is decided, and perhaps told
        self.cancelled = self.constellation._cancelled = True
        if self.editing is not None:
            self.editing.over(self)
        for worker in self.busy:
            worker.interrupt("cancel")
        for case in self.settling.values():
            case.interrupt()
        self.cancel_unstarted(self.constellation.get_pending_tasks(), why, is_all=True)
        if not self.is_without_journal:
            self.settler.end_left()
        self._end_doubts()
        self._check_complete()

    def fail(self, why: str) -> None:
        """End the run as failed, whatever its tasks came to: what has not ended is cancelled."""
        if not self._closed:
            self.failure = self.failure or why
            self.cancel(why)

    def cancel_task(self, task_id: str, why: str = TASK_CANCELLED) -> bool:
        """Cancel one task; False when there is none of that id, it has ended, or it was left at work, as without a journal."""
        task = self.constellation._tasks.get(task_id)
        if task is None or task.is_terminal or (task in self.let_go and self.is_without_journal):
            return False
        worker = self.worker_of(task)
        if worker is not None and worker.was_at(task):
            worker.interrupt("cancel")
            return True
        if task in self.settling:
            self.settling[task].interrupt()
            return True
        if self._end_doubts(task, why) or self.settler.end_left(task):
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
        runnable, perf, ledger = self._runnable, self._perf, self.ledger
        is_sync = ledger is not None and ledger.sync
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
                if ledger is not None:
                    if is_sync and not await self._recorded_start(worker, ledger):
                        return
                    if attempt.timeout_s is not None:
                        self.timers.set_deadline(attempt.timeout_s, worker)
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
                if ledger is not None and ledger.is_behind:
                    await ledger.settle()
                self._yield_at = perf() + YIELD_S

    async def _recorded_start(self, worker: Worker, ledger: Ledger) -> bool:
        """Wait until the start of an attempt is kept; False when it was interrupted before it is sent."""
        worker.is_held = True
        await ledger.durable()
        if worker.reason is not None:
            return False
        worker.is_held = False
        return True

    async def _park(self, worker: Worker) -> None:
        self.reports.flush()
        if self.is_stopping:
            self._check_complete()
        worker.event = anyio.Event()
        self._idle.append(worker)
        await worker.event.wait()
        self._waking = False
        self._yield_at = self._perf() + YIELD_S
