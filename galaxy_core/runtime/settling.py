"""Settling: what follows from an attempt that did not succeed. Another attempt, by the task's own retries or because
its device is to blame; or the end of the task.
"""

from __future__ import annotations

from abc import abstractmethod

from galaxy_core.errors import OutcomeUnknownError, TaskFailedError, TaskRefusedError
from galaxy_core.extension.interfaces import Attempt, Completed, Outcome, Refused
from galaxy_core.model.policy import Effect
from galaxy_core.model.result import UNSTARTED, TaskStatus
from galaxy_core.model.task import TaskStar
from galaxy_core.runtime.answers import MAY_STILL_RUN
from galaxy_core.runtime.flow import cancellation
from galaxy_core.runtime.lanes import Lane
from galaxy_core.runtime.settler import Settler
from galaxy_core.runtime.steering import Steering

_FAILED, _CANCELLED, _UNKNOWN = TaskStatus.FAILED, TaskStatus.CANCELLED, TaskStatus.UNKNOWN
_ONCE = Effect.ONCE

#: How often a task may be taken up again because its device went, before it ends `unknown` (or failed, if it never ran).
MAX_FAILOVERS = 10


class Settling(Steering):
    """Retries, failovers, and failures for good. Whatever is decided, the slot of the attempt is given back."""

    _settler: Settler | None = None

    @property
    def settler(self) -> Settler:
        """Whoever finds out what became of attempts."""
        if self._settler is None:
            self._settler = Settler(self)
        return self._settler

    def _came(self, lane: Lane) -> None:
        self.settler.markers.came(lane)

    def _failed(
        self, task: TaskStar, lane: Lane, outcome: Outcome, attempt: Attempt | None = None, *, is_late: bool = False
    ) -> None:
        """Decide what follows from an attempt that did not succeed. `is_late`: it was to be stopped at its deadline.

        Of a given `attempt` whose outcome is unknown, and that may run only once, the device is asked, if it can be.
        """
        if isinstance(outcome, Completed):
            error = outcome.error
            if error is None:
                error = TaskFailedError(task.task_id, f"exit status {outcome.exit_code}", outcome.exit_code)
            elif not isinstance(error, BaseException):
                error = TaskFailedError(task.task_id, error, outcome.exit_code)
            self._settle_failure(task, lane, "failed", error, outcome)
        elif isinstance(outcome, Refused):
            refusal = TaskRefusedError(task.task_id, f"task {task.task_id!r} was not started: {outcome.reason}")
            if lane.session is None:
                self._again(task, lane, "refused", refusal)
            else:
                self._settle_failure(task, lane, "refused", refusal, None)
        else:
            why = f"it cannot be said whether task {task.task_id!r} is done: {outcome.reason}"
            unknown = OutcomeUnknownError(task.task_id, why)
            if task._effect is _ONCE:
                if (
                    attempt is not None
                    and not self.cancelled
                    and self.settler.take_up(task, lane, attempt, outcome, is_late=is_late)
                ):
                    return
                self._end(
                    task, _UNKNOWN, unknown, self.wall(), self._result(task, lane, _UNKNOWN, unknown, outcome.said)
                )
                lane.release()
                if attempt is not None and attempt.leaves_marker:
                    self.settler.markers.doubts(task._task_id, lane.device_id, attempt.mark)
            elif self.cancelled:
                self._end(task, _CANCELLED, cancellation(task), self.wall())
                lane.release()
            else:
                self._again(task, lane, "lost", unknown, outcome.said)

    @abstractmethod
    def _succeeded(self, task: TaskStar, lane: Lane, outcome: Completed) -> None:
        """An attempt succeeded, and with it its task."""

    def _settle_failure(
        self,
        task: TaskStar,
        lane: Lane,
        kind: str,
        error: BaseException,
        outcome: Completed | None,
        doubt: str | None = None,
    ) -> None:
        """Try again, if the task may be; otherwise it has failed. `doubt` says why its last attempt may still run."""
        policy, retries = task._retry, task._current_retry
        if retries < task._retry_count and kind in policy.on and not self.cancelled:
            wait_s = policy.wait_s(retries + 1, self.clock.random.random())
            self._back_off(task, lane, wait_s, kind, error, counted=True)
        else:
            result = self._result(task, lane, _FAILED, error, outcome)
            if doubt is not None:
                result.metadata[MAY_STILL_RUN] = doubt
            self._end(task, _FAILED, error, self.wall(), result)
        lane.release()

    def _never_begun(self, task: TaskStar, lane: Lane, error: BaseException) -> None:
        """What it was to send cannot be, and another attempt would find the same: it has failed, and was not started."""
        task._attempts -= 1
        task._started_at = None
        self._end(task, _FAILED, error, self.wall(), self._result(task, lane, _FAILED, error, None))
        lane.release()

    def _again(
        self, task: TaskStar, lane: Lane, kind: str, error: BaseException, said: Completed | None = None
    ) -> None:
        """The device is to blame, and the task may run again: that takes none of its retries, but has a limit."""
        failovers = self._failovers[task] = self._failovers.get(task, 0) + 1
        if failovers > MAX_FAILOVERS or self.cancelled:
            status = _UNKNOWN if kind == "lost" else _FAILED
            self._end(task, status, error, self.wall(), self._result(task, lane, status, error, said))
        else:
            wait_s = task._retry.wait_s(failovers, self.clock.random.random())
            self._back_off(task, lane, wait_s, kind, error, counted=False)
        lane.release()

    def _back_off(
        self, task: TaskStar, lane: Lane, wait_s: float, kind: str, error: BaseException, *, counted: bool
    ) -> None:
        at = self.wall()
        self.backing_off[task] = at + wait_s  # before it is pending again: it is not to be taken up at once
        if self.recorder is None:
            task._again(at, counted=counted)
        else:
            self.recorder.again(task, at, wait_s, kind, error, counted=counted)
        self.reports.retrying(task, lane.device_id, wait_s, kind, error, at)
        self._take_up_after(task, wait_s)

    def _take_up_after(self, task: TaskStar, wait_s: float) -> None:
        def resume() -> None:
            if self.backing_off.pop(task, None) is not None and task._status in UNSTARTED:
                self.submit((task,))

        self.timers.call_later(wait_s, resume)
