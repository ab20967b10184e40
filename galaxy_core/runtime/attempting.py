"""Attempting: how one attempt begins, and what its end makes of its task."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeGuard

from galaxy_core.errors import DeviceLostError, InputError, RequestError, TaskTimeoutError
from galaxy_core.extension.interfaces import Attempt, Completed, Outcome, Refused, Unknown
from galaxy_core.extension.transports import features_of
from galaxy_core.model.policy import Effect
from galaxy_core.model.reasons import message_of
from galaxy_core.model.result import ExecutionResult, TaskStatus
from galaxy_core.model.task import TaskStar
from galaxy_core.runtime.answers import MAY_STILL_RUN, left_behind, sound, when_lost
from galaxy_core.runtime.blaming import blamed
from galaxy_core.runtime.flow import RUN_CANCELLED, cancellation
from galaxy_core.runtime.inputs import prepare_request
from galaxy_core.runtime.lanes import Lane
from galaxy_core.runtime.settling import Settling
from galaxy_core.runtime.unheard import is_unfetched
from galaxy_core.runtime.worker import Worker

if TYPE_CHECKING:
    pass

_COMPLETED, _CANCELLED, _ONCE = TaskStatus.COMPLETED, TaskStatus.CANCELLED, Effect.ONCE

TASK_CANCELLED = "it was cancelled"


class Attempting(Settling):
    """Begins attempts, and ends them: by themselves, or because they were interrupted."""

    def _begin(self, worker: Worker, task: TaskStar, lane: Lane) -> Attempt | None:
        """Start an attempt; None when it cannot even start, and has been ended for that."""
        at = self._offset_s + self._monotonic()
        task._ticket = 0
        reports, request, recorder = self.reports, task._request, self.recorder
        if recorder is not None and recorder.is_stirred:
            recorder.flush()  # what was done to it before it starts
        self.constellation.begin(task, at)
        if request is not None:
            try:
                request = prepare_request(request, task, lane, self.constellation)
            except (InputError, RequestError) as error:
                self._never_begun(task, lane, error)
                return None
            except BaseException as error:  # the task receives it: what it takes from others may be anything
                failure = blamed(error, "transport", lane.device.transport, native=False)
                reports.started(task, lane.device.device_id, at)
                if recorder is not None:
                    recorder.started(task, self.book.next_lease(), lane.device.device_id)
                self._settle_failure(task, lane, "failed", failure, None)
                return None
        worker.task, worker.lane = task, lane
        worker.lease = lease = self.book.next_lease()
        if recorder is not None:
            recorder.started(task, lease, lane.device.device_id)
        if reports.hears_starts:
            reports.started(task, lane.device.device_id, at)
        timeout_s = task._timeout
        if recorder is None and timeout_s is not None:  # else it is set when the start is kept
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
            self.mark,
        )
        if recorder is not None:
            attempt._on_progress = recorder.on_progress
            attempt.leaves_marker = task._effect is _ONCE and self._settles(lane)
        return attempt

    def _settles(self, lane: Lane) -> bool:
        """Whether the far side can be asked what became of an attempt, and so is to note it."""
        transport = lane.transport
        found = self._settling_transports.get(id(transport))
        if found is None:
            found = self._settling_transports[id(transport)] = "settles" in features_of(transport)
        return found

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
                if type(outcome) is Unknown and worker.attempt is not None:  # as if it had been cancelled properly
                    is_over = worker.reason == "cancel" and is_unfetched(outcome)
                    worker.attempt.partial = outcome.said if is_over else outcome
                return  # the interruption decides, once the scope is left
        worker.lease, worker.task = 0, None
        if not worker.was_at(task):
            self.given_up(task, lane)
        elif success:
            self._succeeded(task, lane, outcome)  # type: ignore[arg-type]  # it is Completed
        else:
            self._failed(task, lane, outcome, worker.attempt)
        if worker.attempt.leaves_marker:  # type: ignore[union-attr]  # it was at one
            self._release_marker(worker.attempt, lane, outcome)

    def _cut_off(self, attempt: Attempt | None, lane: Lane) -> None:
        """An attempt was stopped with its run, by whoever cancelled both."""
        if attempt is None or not attempt.leaves_marker or attempt.is_let_go:
            return
        if not isinstance(left_behind(attempt, lane.device.transport, self._logger), Unknown):
            self._release_marker(attempt, lane, None)

    def _release_marker(self, attempt: Attempt | None, lane: Lane, outcome: Outcome | None) -> None:
        """What the attempt has left on the far side is needed no more, once its end is kept."""
        if attempt is not None and attempt.leaves_marker and type(outcome) is not Unknown:
            self.settler.markers.release(lane, attempt.mark)

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
            if reason != "lost" and not isinstance(
                left_behind(worker.attempt, lane.device.transport, self._logger), Unknown
            ):
                self._release_marker(worker.attempt, lane, None)
            return
        said = left_behind(worker.attempt, lane.device.transport, self._logger)
        # Whatever came afterwards: it was cancelled, too, or its device went.
        if worker.attempt is not None and worker.attempt.is_let_go:
            self._let_go(task, lane)
            return
        doubt = said.reason if isinstance(said, Unknown) else None
        kept = said.said if isinstance(said, Unknown) else said
        if reason == "timeout":
            if self._timed_out(task, lane, worker.attempt, doubt, kept):
                return
        elif reason == "stop":
            self._left(task, lane, doubt)
        elif reason == "lost":
            why = _went(lane)
            lost = Refused(why) if worker.is_held else when_lost(worker.attempt, why, lane.transport, kept)
            self._failed(task, lane, lost, worker.attempt)
        else:
            cancelled = cancellation(task, RUN_CANCELLED if self.cancelled else TASK_CANCELLED)
            result = self._result(task, lane, _CANCELLED, cancelled, kept)
            if doubt is not None:
                result.metadata[MAY_STILL_RUN] = doubt
            self._end(task, _CANCELLED, cancelled, self.wall(), result)
            lane.release()
        if doubt is None and reason != "lost":
            self._release_marker(worker.attempt, lane, None)

    def _timed_out(
        self, task: TaskStar, lane: Lane, attempt: Attempt | None, doubt: str | None, kept: Completed | None
    ) -> bool:
        """An attempt was cancelled at its deadline. Whether its device is to be asked, because it had ended well before."""
        assert task._timeout is not None
        error = TaskTimeoutError(task.task_id, task._timeout)
        if task._effect is not _ONCE:
            self._settle_failure(task, lane, "timeout", error, kept, doubt)
            return False
        ended = Unknown(f"{error}; but it had ended well, and its files were being fetched", kept)
        if is_unfetched(ended) or (_is_success(kept) and "collected" in (kept.metadata or {})):
            self._failed(task, lane, ended, attempt)
            return True
        if doubt is None:
            self._settle_failure(task, lane, "timeout", error, kept)
        else:  # it may not be run again while it may still run
            late = Unknown(f"{error}, and it may still run: {doubt}", kept)
            self._failed(task, lane, late, attempt, is_late=True)
        return False


def _is_success(said: Completed | None) -> TypeGuard[Completed]:
    return said is not None and said.exit_code == 0 and said.error is None


def _went(lane: Lane) -> str:
    """Why a lane has no session any more; the error of a lost device names the device itself."""
    error = lane.error
    if isinstance(error, DeviceLostError):
        return message_of(error)
    return f"device {lane.device_id!r} went: {message_of(error) if error is not None else 'disconnected'}"
