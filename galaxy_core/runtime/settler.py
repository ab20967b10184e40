"""Settler: finds out what became of attempts whose outcome nobody knows, beside everything else that a run does.

Such an attempt is of this run, and its device went or did not answer; or it is of an earlier process, which recorded its start
and not its end. Its task stays running meanwhile, and keeps its slot if there was one: the device may be at it. What the
device then says ends the task as if the attempt itself had said it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from inspect import isawaitable
from typing import TYPE_CHECKING, Any, Final

import anyio
from attrs import define, evolve, field

from galaxy_core.errors import DeviceLostError, OutcomeUnknownError, TaskFailedError, TaskRefusedError, TaskTimeoutError
from galaxy_core.extension.interfaces import Attempt, Completed, Outcome, Refused, Unknown
from galaxy_core.extension.transports import features_of
from galaxy_core.model.policy import Effect
from galaxy_core.model.reasons import message_of, text_of
from galaxy_core.model.records import encode
from galaxy_core.model.records.replay import InFlight
from galaxy_core.model.resolving import exit_code_by_hand
from galaxy_core.model.result import ENDED_UNSEEN, TaskStatus, by_hand
from galaxy_core.model.task import TaskStar
from galaxy_core.runtime.answers import MAY_STILL_RUN, left_behind, loss_in, sound
from galaxy_core.runtime.blaming import blamed
from galaxy_core.runtime.flow import RUN_CANCELLED, cancellation
from galaxy_core.runtime.lanes import Lane
from galaxy_core.runtime.marking import Markers
from galaxy_core.runtime.unheard import as_heard, is_unfetched

if TYPE_CHECKING:
    from galaxy_core.runtime.settling import Settling

#: Seconds that a device has to come back, beyond what the task's deadline leaves.
SETTLE_S: Final = 60.0
#: Seconds that a device has for an answer when the deadline of the task is over, and for stopping what is to be stopped.
ANSWER_S: Final = 10.0
#: Seconds that a device has at least to say that an attempt had ended, before it is stopped because its deadline is over.
ENDED_S: Final = 2.0
TASK_CANCELLED: Final = "it was cancelled"
#: During what a deadline passed at which nobody could stop the attempt, and what followed.
RESUMED: Final = "while nobody was there; it was stopped when the run was resumed"
RETURNED: Final = "while its device was away; it was stopped when that was back"

#: What the embedding program says of an attempt of which nobody knows: "completed", "failed" or "retry"; None: no more.
OnUnknown = Callable[[InFlight], "str | Awaitable[str | None] | None"]

_CANCELLED, _FAILED, _UNKNOWN = TaskStatus.CANCELLED, TaskStatus.FAILED, TaskStatus.UNKNOWN


@define(eq=False)
class Case:
    """An attempt to settle. `reason` says why its outcome is unknown; `is_late` that its deadline is over.

    `doing` is what is being waited for, in words; `was_asked` that the device may have begun to stop it; `is_left` that whoever
    resumes the run is to settle it; `is_of_earlier` that an earlier process has begun it. `unseen` says during what its deadline
    has passed, if nobody could stop it then.
    """

    task: TaskStar
    lane: Lane
    attempt: Attempt
    in_flight: InFlight
    reason: str
    said: Completed | None = None
    is_late: bool = False
    has_slot: bool = False
    doing: str = ""
    was_asked: bool = False
    timed_out: bool = False
    unseen: str = ""
    is_left: bool = False
    is_of_earlier: bool = False
    answer: str | None = None
    scope: anyio.CancelScope = field(factory=anyio.CancelScope)
    stirred: anyio.Event = field(factory=anyio.Event)

    def interrupt(self) -> None:
        """The task is cancelled, or has been ended by hand."""
        self.scope.cancel()

    def stir(self) -> None:
        """Its device came, went or was given up; or the run is being left."""
        self.stirred.set()

    @property
    def is_fetched(self) -> bool:
        """Whether it had ended when asking was broken off, which was about to fetch what it has left."""
        return isinstance(self.attempt.partial, Completed)

    @property
    def doubt(self) -> str | None:
        """Why it may still run, after it was to be stopped."""
        partial = self.attempt.partial
        return partial.reason if isinstance(partial, Unknown) else None


class Settler:
    """Settles the attempts of one run."""

    def __init__(self, run: Settling, on_unknown: OnUnknown | None = None) -> None:
        self._run = run
        self.on_unknown = on_unknown
        self.markers = Markers(run)

    # ------------------------------------------------------------------------------------------- what comes
    def take(self, task: TaskStar, in_flight: InFlight) -> None:
        """An attempt of an earlier process, of a task that is running. To be called when the run has begun."""
        run = self._run
        lane = run.book.lane(in_flight.device_id)
        of_it = (in_flight.device_id, in_flight.attempt, in_flight.lease, in_flight.mark, run.artifacts)
        attempt = Attempt.restored(run.constellation._id, task, *of_it)
        if run.recorder is not None:
            run.recorder.restored(task, in_flight.lease)
        why = "the process that ran it ended before it did"
        case = Case(task, lane, attempt, in_flight, why, is_of_earlier=True)
        if lane.free > 0:
            lane.free -= 1
            case.has_slot = True
        self._begin(case)

    def take_up(self, task: TaskStar, lane: Lane, attempt: Attempt, outcome: Unknown, *, is_late: bool) -> bool:
        """An attempt of this run, which holds a slot; False when there is nobody to ask."""
        run = self._run
        if run._group is None or "settles" not in features_of(lane.transport):
            return False
        started = task._started_at if task._started_at is not None else run.wall()
        in_flight = InFlight(
            task._task_id, attempt.number, attempt.lease, attempt.mark, lane.device_id, started, attempt.progress
        )
        attempt.partial = None
        case = Case(task, lane, attempt, in_flight, outcome.reason, outcome.said, is_late, has_slot=True)
        self._begin(case)
        return True

    def _begin(self, case: Case) -> None:
        run = self._run
        case.doing = f"asks device {case.lane.device_id!r} what became of it"
        run.settling[case.task] = case
        if run.is_without_journal:
            run.leave_case(case)
        assert run._group is not None, "a run settles while it runs"
        run._group.start_soon(self._settle, case)

    def end_left(self, only: TaskStar | None = None) -> bool:
        """The run was being stopped, and it, or that task, is cancelled now: what was left to whoever resumes it ends as if it had
        been cancelled. Whether there was any.
        """
        left = [case for case in self._run.left_cases if only is None or case.task is only]
        self._run.left_cases = [case for case in self._run.left_cases if case not in left]
        for case in left:
            self._run.let_go.pop(case.task, None)
            case.has_slot = False
            self._conclude(case, None)
        return bool(left)

    # ------------------------------------------------------------------------------------------- finding out
    async def _settle(self, case: Case) -> None:
        outcome: Outcome | None = None
        try:
            with case.scope:
                outcome = await self._found_out(case)
                if isinstance(outcome, Unknown):
                    case.answer = await self._host_says(case)
                if is_unfetched(outcome) and case.answer is None:
                    case.is_left = self._run.leave_unfetched(case, outcome)
        finally:
            self._run.settling.pop(case.task, None)
            if self._run.cancelled and not self._run.is_without_journal:
                case.is_left = False  # it was cancelled before it could be left
            if case.is_left:
                self._run.let_go[case.task] = case.lane.device_id
                self._run.left_cases = [*self._run.left_cases, case]
            if not self._run.is_over and not case.is_left:
                self._conclude(case, outcome)
            elif case.has_slot:
                case.lane.release()
            if not self._run.is_over:
                self._run._check_complete()

    async def _found_out(self, case: Case) -> Outcome:
        left_s = self._left_s(case)
        patience_s = float("inf") if left_s is None else SETTLE_S + left_s
        give_up_at = anyio.current_time() + patience_s
        while True:
            session = await self._session(case, give_up_at)
            if session is None:
                return Unknown(f"{case.reason}; and its device could not be asked: {self._why_gone(case)}", case.said)
            if "settles" not in features_of(case.lane.transport):
                return Unknown(f"{case.reason}; and its transport cannot say what became of it", case.said)
            try:
                outcome = as_heard(self._run.constellation, case.task, await self._ask(case, session))
                if isinstance(outcome, Unknown) and outcome.said is None and not case.attempt.leaves_marker:
                    return Unknown(case.reason, case.said)  # it was not to leave any
                return outcome
            except BaseException as error:  # the task receives it, or the next session is asked
                failure, loss = blamed(error, "transport", case.lane.device.transport), loss_in(error)
                if loss is None:
                    return Unknown(f"{case.reason}; and asking the device failed: {text_of(failure)}", case.said)
                if case.lane.session is session:
                    case.lane.lost(loss)
                case.reason = case.reason or message_of(loss)
                case.was_asked = False  # whatever it was told, it has not confirmed

    async def _session(self, case: Case, give_up_at: float) -> Any:
        """A session to ask; None when the device is gone for good, or for too long."""
        lane = case.lane
        case.doing = f"waits for device {lane.device_id!r}, which knows what became of it"
        with anyio.CancelScope(deadline=give_up_at):
            while lane.session is None and not lane.gone:
                if self._run.is_leaving and self._run.will_be_asked(case):
                    case.is_left = True
                    case.interrupt()
                case.stirred = anyio.Event()
                await case.stirred.wait()
        return lane.session

    def _why_gone(self, case: Case) -> str:
        error = case.lane.error
        if isinstance(error, DeviceLostError):
            return message_of(error)
        return f"device {case.lane.device_id!r} is {case.lane.status.value}" + (
            f" ({message_of(error)})" if error else ""
        )

    async def _ask(self, case: Case, session: Any) -> Outcome:
        attempt, task = case.attempt, case.task
        case.was_asked = True
        if task._effect is not Effect.ONCE:
            case.doing = f"has device {case.lane.device_id!r} stop what an earlier process has begun"
            await self._stop(case, session)
            return Refused(case.reason)  # it may run again, whatever it did
        case.doing = f"asks device {case.lane.device_id!r} what became of it, and waits for its end while it runs"
        if case.is_late:
            await self._stop(case, session)
            return await self._at_its_deadline(case, session)
        left_s = self._left_s(case)
        if left_s == 0.0:
            case.unseen = RESUMED if case.is_of_earlier else RETURNED
        with anyio.move_on_after(None if left_s is None else max(left_s, ENDED_S)):
            return sound(await session.settle(attempt), case.lane.device.transport)
        case.is_late = True  # `settle` was cancelled, which has stopped it
        return await self._at_its_deadline(case, session)

    async def _at_its_deadline(self, case: Case, session: Any) -> Outcome:
        """What became of an attempt that was stopped at its deadline: it may have ended before."""
        outcome: Outcome | None = None
        if not case.is_fetched:
            with anyio.move_on_after(ANSWER_S):
                outcome = sound(await session.settle(case.attempt), case.lane.device.transport)
        if outcome is None and case.is_fetched:  # fetching may take longer than the command had
            outcome = sound(await session.settle(case.attempt), case.lane.device.transport)
        if is_unfetched(outcome) or (isinstance(outcome, Completed) and _is_success(outcome)):
            return outcome
        if isinstance(outcome, Refused) and case.is_of_earlier:
            return outcome  # it took no time of its deadline: nobody was there
        case.timed_out = case.doubt is None
        if outcome is None:
            return Unknown(f"its deadline came while we asked what became of it: {case.doubt or 'it was stopped'}")
        return outcome if case.timed_out else Unknown(case.reason, case.said)

    async def _stop(self, case: Case, session: Any) -> None:
        with anyio.move_on_after(ANSWER_S) as waiting:
            await session.stop(case.attempt)
        if waiting.cancelled_caught:
            case.attempt.partial = Unknown(f"the device did not confirm within {ANSWER_S:g} s that it has stopped")

    def _left_s(self, case: Case) -> float | None:
        """What is left of the attempt's deadline."""
        timeout_s = case.task._timeout
        return None if timeout_s is None else max(0.0, timeout_s - max(0.0, self._run.wall() - case.in_flight.at))

    async def _host_says(self, case: Case) -> str | None:
        """What the embedding program says, if it was given a word in it; the log receives what it raises."""
        if self.on_unknown is None or case.timed_out or self._run.cancelled or case.task._effect is not Effect.ONCE:
            return None  # what may run again does
        case.doing = "waits for the program to say what became of it (on_unknown)"
        try:
            answer = self.on_unknown(case.in_flight)
            said = await answer if isawaitable(answer) else answer
        except Exception as error:  # the log receives it: the task then ends unknown, as without an answer
            self._run._logger.warning("on_unknown failed for task %r: %s", case.task._task_id, text_of(error))
            return None
        if said is not None and said not in ("completed", "failed", "retry"):
            self._run._logger.warning(
                "on_unknown said %r of task %r; allowed are 'completed', 'failed', 'retry' and None",
                said,
                case.task._task_id,
            )
            return None
        return said

    # ------------------------------------------------------------------------------------------- what follows
    def _conclude(self, case: Case, outcome: Outcome | None) -> None:
        """End the task as the device says, or as is right when nobody knows. What gives its slot back needs one."""
        run, task, lane = self._run, case.task, case.lane
        if not case.has_slot:
            lane.free -= 1
        if task._status is not TaskStatus.RUNNING or task._attempts != case.attempt.number:
            run.given_up(task, lane)  # somebody has ended it by hand meanwhile
            self._release_if_over(case, outcome)
            return
        if run.ledger is not None and outcome is not None:
            told = _words(outcome) if case.answer is None else f"{_words(outcome)}; on_unknown said {case.answer!r}"
            run.ledger.note(encode.settled, task._task_id, case.attempt.lease, type(outcome).__name__, told)
        if outcome is None:
            self._interrupted(case)
        elif case.timed_out:
            assert task._timeout is not None
            error = TaskTimeoutError(task._task_id, task._timeout, case.unseen)
            run._settle_failure(task, lane, "timeout", error, _unseen(case.said) if case.unseen else case.said)
        elif isinstance(outcome, Completed) and _is_success(outcome):
            run._succeeded(task, lane, outcome)
        elif isinstance(outcome, Completed):
            run._failed(task, lane, outcome)
        elif task._effect is not Effect.ONCE:
            lost = OutcomeUnknownError(task._task_id, f"task {task._task_id!r} runs again: {outcome.reason}")
            run._again(task, lane, "lost", lost)
        elif isinstance(outcome, Refused):
            why = f"task {task._task_id!r} was not started: {outcome.reason}"
            run._again(task, lane, "refused", TaskRefusedError(task._task_id, why))
        elif case.answer is not None:
            self._as_told(case, outcome)
        else:
            self._unknown(case, outcome)
        if task.status is TaskStatus.UNKNOWN:
            self.markers.doubts(task._task_id, lane.device_id, case.attempt.mark)
        else:
            self._release_if_over(case, outcome)

    def _interrupted(self, case: Case) -> None:
        """It was cancelled: before anybody was asked, nobody knows what it did; afterwards it is stopped, or in doubt."""
        run, task, lane = self._run, case.task, case.lane
        if not case.was_asked and task._effect is Effect.ONCE:
            self._unknown(
                case, Unknown(f"{case.reason}; and it was cancelled before its device could be asked", case.said)
            )
            return
        cancelled = cancellation(task, RUN_CANCELLED if run.cancelled else TASK_CANCELLED)
        left = left_behind(case.attempt, lane.device.transport, run._logger)
        said = left if isinstance(left, Completed) else case.said
        result = run._result(task, lane, _CANCELLED, cancelled, said)
        doubt = case.doubt if case.was_asked else f"{case.reason}; and its device could not be asked to stop it"
        if doubt is not None:
            result.metadata[MAY_STILL_RUN] = doubt
        run._end(task, _CANCELLED, cancelled, run.wall(), result)
        lane.release()

    def _unknown(self, case: Case, outcome: Unknown) -> None:
        run, task, lane = self._run, case.task, case.lane
        ended_well = outcome.said is not None and outcome.said.exit_code == 0 and _is_success(outcome.said)
        what = "has done all that it was to do" if ended_well else "is done"
        why = f"it cannot be said whether task {task._task_id!r} {what}: {outcome.reason}"
        if run.ledger is not None:
            why += ". Look, and say what became of it (galaxy resolve)"
        error = OutcomeUnknownError(task._task_id, why)
        result = run._result(task, lane, _UNKNOWN, error, _unseen(outcome.said or case.said))
        run._end(task, _UNKNOWN, error, run.wall(), result)
        lane.release()

    def _as_told(self, case: Case, outcome: Unknown) -> None:
        """As the embedding program says: nobody hears that it was unknown, and nothing is skipped because of that."""
        run, task, lane = self._run, case.task, case.lane
        said, why = _unseen(outcome.said or case.said), f"as on_unknown said: {outcome.reason}"
        if case.answer in ("completed", "failed"):
            exit_code = exit_code_by_hand(task._request, case.answer, said.exit_code)
            said = evolve(said, exit_code=exit_code, metadata=by_hand(said.metadata, said.stdout))
        if case.answer == "completed":
            run._succeeded(task, lane, said)
        elif case.answer == "failed":
            failure = TaskFailedError(task._task_id, f"task {task._task_id!r} failed, {why}", said.exit_code)
            run._end(task, _FAILED, failure, run.wall(), run._result(task, lane, _FAILED, failure, said))
            lane.release()
        else:
            error = OutcomeUnknownError(task._task_id, f"task {task._task_id!r} runs again, {why}")
            run._back_off(task, lane, 0.0, "lost", error, counted=False)
            lane.release()

    def _release_if_over(self, case: Case, outcome: Outcome | None) -> None:
        """What may still run keeps its marker, unless somebody has said that it does not."""
        is_known = isinstance(outcome, Completed | Refused) or case.answer is not None
        if is_known or ((case.timed_out or (case.was_asked and outcome is None)) and case.doubt is None):
            self.markers.release(case.lane, case.attempt.mark)


def _is_success(outcome: Completed) -> bool:
    return outcome.error is None and not outcome.exit_code


def _unseen(said: Completed | None) -> Completed:
    """What is known of an attempt that has ended nobody knows when."""
    if said is None:
        return Completed(metadata={ENDED_UNSEEN: True})
    return evolve(said, metadata={**(said.metadata or {}), ENDED_UNSEEN: True})


def _words(outcome: Outcome) -> str:
    if not isinstance(outcome, Completed):
        return outcome.reason
    return f"exit code {outcome.exit_code}" if outcome.error is None else text_of(outcome.error)[:500]
