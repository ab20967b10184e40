"""Steering: pausing a run, having it go on, and leaving it so that somebody else can go on with it."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from typing import TYPE_CHECKING

from galaxy_core.errors.root import listed
from galaxy_core.model.events import EventType
from galaxy_core.model.policy import Effect
from galaxy_core.model.reasons import text_of
from galaxy_core.model.records import encode
from galaxy_core.model.records.fold import ENDED
from galaxy_core.model.result import UNSTARTED, TaskStatus
from galaxy_core.runtime.answers import MAY_STILL_RUN
from galaxy_core.runtime.blaming import blamed
from galaxy_core.runtime.flow import RUN_CANCELLED, Flow, cancellation

if TYPE_CHECKING:
    from galaxy_core.extension.interfaces import Attempt, Unknown
    from galaxy_core.model.task import TaskStar
    from galaxy_core.runtime.lanes import Lane
    from galaxy_core.runtime.settler import Case

RUN_STOPPED = "the run was stopped; whoever resumes it runs it again"


class Steering(Flow):
    """What runs goes on to its end; what could start does not, while the run is paused or about to stop."""

    is_leaving = False  # stopping, and nothing is waited for that can be taken up again by whoever resumes

    #: Those that may run only once and were under way when the journal failed.
    outlasted: Mapping[TaskStar, None] = {}
    #: By their marks, the ids of those that were left at work then.
    left_at_work: Mapping[str, str] = {}
    #: The leases of attempts whose start is not kept: whoever resumes does not know of them.
    unkept: Container[int] = ()
    #: What was being settled, and was left to whoever resumes.
    left_cases: Sequence[Case] = ()
    #: Those that were to be ended because the run is being stopped, and may still run: where, and why.
    in_doubt: Mapping[TaskStar, tuple[Lane, str]] = {}

    def pause(self, by: str = "") -> bool:
        """Start nothing from now on; False when it is paused, or over, already."""
        if self._closed or self.cancelled or self.is_paused:
            return False
        self._halt()
        if self.ledger is not None:
            self.ledger.note(encode.pause, self.wall(), by)
        self.reports.constellation(EventType.CONSTELLATION_PAUSED, "executing", {"by": by})
        return True

    def proceed(self, by: str = "") -> bool:
        """Go on; False when it is not paused."""
        if self._closed or self.cancelled or self.is_stopping or not self.is_paused:
            return False
        self.is_paused = False
        if self.ledger is not None:
            self.ledger.note(encode.go, self.wall(), by)
        self.reports.constellation(EventType.CONSTELLATION_PROCEEDED, "executing", {"by": by})
        parked = sorted(self.parked, key=lambda task: (-task._priority.value, task._index))
        self.parked.clear()
        self.submit([task for task in parked if task._status in UNSTARTED and not task._pending])
        return True

    def stop(self, by: str = "", *, interrupt: bool = False) -> bool:
        """Start nothing any more, and be over when what runs has ended; False when that is so already.

        With `interrupt`, only attempts that may run only once are waited for: all others are ended on their devices, and
        are to run again. Attempts whose device is away, and would be asked what became of them, are left as they are. What
        is being edited is never waited for.
        """
        if self._closed or self.cancelled or (self.is_stopping and (self.is_leaving or not interrupt)):
            return False
        if not self.is_stopping:
            self.is_stopping, self.stopped_by = True, by
            self._halt()
            if self.editing is not None:
                self.editing.over(self)
        if interrupt:
            self.is_leaving = True
            for worker in self.busy:
                if worker.is_held or worker.task._effect is not Effect.ONCE:  # type: ignore[union-attr]  # it is busy
                    worker.interrupt("stop")
            for case in self.settling.values():
                case.stir()
        self._check_complete()
        return True

    def _left(self, task: TaskStar, lane: Lane, doubt: str | None) -> None:
        """An attempt was ended because the run is being stopped.

        If it may still run, for `doubt`, it is under way for the journal: whoever resumes has its device end it first.
        """
        if doubt is None:
            at, error = self.wall(), cancellation(task, RUN_STOPPED)
            if self.recorder is None:
                task._again(at, counted=False)
            else:
                self.recorder.again(task, at, 0.0, "stopped", error, counted=False)
            self.parked[task] = None
            self.reports.retrying(task, lane.device_id, 0.0, "stopped", error, at)
        else:
            self.in_doubt = {**self.in_doubt, task: (lane, doubt)}
        lane.release()

    def _end_doubts(self, only: TaskStar | None = None, why: str = RUN_CANCELLED) -> bool:
        """The run was being stopped, and it, or that task, is cancelled now: whoever resumes will not ask about what may still run.

        Whether there was any.
        """
        doubts = {task: doubt for task, doubt in self.in_doubt.items() if only is None or task is only}
        self.in_doubt = {task: doubt for task, doubt in self.in_doubt.items() if task not in doubts}
        for task, (lane, doubt) in doubts.items():
            if task._status is TaskStatus.RUNNING:
                cancelled = cancellation(task, why)
                result = self._result(task, lane, TaskStatus.CANCELLED, cancelled, None)
                result.metadata[MAY_STILL_RUN] = doubt
                self._end(task, TaskStatus.CANCELLED, cancelled, self.wall(), result)
        return bool(doubts)

    def _check_complete(self) -> None:
        if self.constellation.is_complete() or self.is_halted:
            self._complete.set()

    @property
    def is_halted(self) -> bool:
        """Whether it is to stop, and nothing of it runs here. If it is cancelled, too, it is that only without its journal."""
        is_due = self.is_stopping and (not self.cancelled or self.is_without_journal)
        return is_due and not self.settling and not self.busy

    @property
    def is_without_journal(self) -> bool:
        """Whether its journal has failed: what was let go then is under way, cancelled or not."""
        return self.ledger is not None and self.ledger.failure is not None

    # ------------------------------------------------------------------------------------------- without a journal
    def journal_failed(self, why: str, unkept: Container[int] = ()) -> None:
        """Nothing can be kept any more: start nothing, and cut nothing that may run only once.

        What may run again is ended. What leaves a marker is left at work, because the device keeps how it ends, and nobody
        here can. What leaves none is waited for, as when the run is stopped: nobody could ask about it later, so that all
        there will ever be is what is said now. So is an attempt whose lease is among `unkept`, because its start was not
        kept: nobody will ask about it.
        """
        self.unkept = unkept
        if self._closed:
            return
        self.failure = self.failure or f"its journal failed: {why}"
        if self.cancelled:
            return
        self.stop("the failure of its journal", interrupt=True)
        for worker in self.busy:
            task, attempt, lane = worker.task, worker.attempt, worker.lane
            assert task is not None
            assert attempt is not None
            assert lane is not None
            if worker.reason == "stop":
                continue
            self.outlasted = {**self.outlasted, task: None}
            if worker.reason is None and attempt.lease not in unkept and self._lets_go(lane, attempt):
                self._leave_at_work(attempt)
                worker.interrupt("let go")
        for case in self.settling.values():
            self.leave_case(case)
        self._tell_of_waiting(why)
        self._check_complete()

    def _tell_of_waiting(self, why: str) -> None:
        left = set(self.left_at_work.values())
        waited = [task._task_id for task in self.outlasted if task._task_id not in left]
        if waited:
            at_work = f" Left at work, to be found again by whoever resumes: {listed(left, '')}." if left else ""
            self._logger.error(
                "run %r: its journal failed: %s. Nothing more is started.%s Waiting for what may run only once, and could not "
                "be asked about later: %s",
                self.constellation.constellation_id,
                why,
                at_work,
                listed(waited, ""),
            )

    def leave_case(self, case: Case) -> None:
        """The journal has failed: leave what is being settled to whoever resumes, if they will ask, and nothing is stopped by it.

        Otherwise it is waited for.
        """
        task, attempt, lane = case.task, case.attempt, case.lane
        if task._effect is not Effect.ONCE:
            return
        self.outlasted = {**self.outlasted, task: None}
        if self.will_be_asked(case) and (lane.session is None or self._lets_go(lane, attempt)):
            self._leave_at_work(attempt)
            case.is_left = True
            case.interrupt()

    def leave_unfetched(self, case: Case, outcome: Unknown) -> bool:
        """What it has left cannot be kept here, such as for want of room: stop the run, so that whoever resumes it fetches that.

        False when nobody could: then nobody knows what became of it.
        """
        is_kept = case.attempt.leaves_marker and self.will_be_asked(case)
        if self.ledger is None or not is_kept or self.cancelled or self._closed or case.task._effect is not Effect.ONCE:
            return False
        self._logger.error(
            "run %r is stopped, because what task %r has left on %r cannot be kept: %s. Whoever resumes the run fetches it, "
            "so make room, or have it kept elsewhere (galaxy resume --artifacts DIR); or say what became of the task (galaxy resolve)",
            self.constellation.constellation_id,
            case.task._task_id,
            case.lane.device_id,
            outcome.reason,
        )
        # That it has ended is certain: somebody may say how, even if nobody ever fetches what it has left.
        self.ledger.note(encode.settled, case.task._task_id, case.attempt.lease, ENDED, outcome.reason)
        self.stop(f"files of {case.task._task_id!r} that could not be kept")
        return True

    def will_be_asked(self, case: Case) -> bool:
        """Whether whoever resumes knows of the attempt, as far as the journal has not kept it to itself."""
        return case.is_of_earlier or case.attempt.lease not in self.unkept

    def _leave_at_work(self, attempt: Attempt) -> None:
        attempt.is_let_go = True
        self.left_at_work = {**self.left_at_work, attempt.mark: attempt.task_id}

    def _lets_go(self, lane: Lane, attempt: Attempt) -> bool:
        """Whether an attempt can be left at work on its device."""
        try:
            lets_go = getattr(lane.session, "lets_go", None)
            return attempt.leaves_marker and lets_go is not None and bool(lets_go(attempt))
        except BaseException as error:  # the log receives it: it is waited for
            failure = blamed(error, "transport", lane.device.transport)
            self._logger.warning("task %r is not left at work: %s", attempt.task_id, text_of(failure))
            return False

    def _let_go(self, task: TaskStar, lane: Lane) -> None:
        """An attempt goes on without us: for the journal, and for us, it is under way."""
        self.let_go[task] = lane.device_id
        lane.release()

    def how_it_was_left(self) -> tuple[dict[str, str], dict[str, str]]:
        """Of tasks that were under way when the journal failed: where those are that were left at work, and how others
        have ended, in words.
        """
        lost = [case.task for case in self.left_cases if not self.will_be_asked(case)]  # the journal has failed since
        left = {task._task_id: device_id for task, device_id in self.let_go.items() if task not in lost}
        over = [self.constellation._tasks.get(task_id) for task_id in self.ledger.unkept_ends] if self.ledger else []
        before = [task for task in over if task is not None and task._effect is Effect.ONCE]
        ended = {task._task_id: _words(task) for task in (*before, *self.outlasted, *lost) if task._task_id not in left}
        return left, ended

    def _halt(self) -> None:
        """Take back whatever waits for a slot, or has one and has not started."""
        self.is_paused = True
        taken = self.placer.take(self)
        for lane in self.book.lanes.values():
            taken += lane.take_queue(self)
        slots = list(self._runnable)
        self._runnable.clear()
        for task, _, ticket in slots:
            if task._ticket == ticket:
                task._ticket = 0
                taken.append(task)
        self.parked.update(dict.fromkeys(taken))
        for _, lane, _ in slots:
            lane.release()


def _words(task: TaskStar) -> str:
    error = task._error
    if task._status in UNSTARTED:
        return "did not succeed, and is to be tried again"
    if task._status is TaskStatus.RUNNING:
        return "may still run, and nothing has kept that it was started"
    return task._status.value if error is None else f"{task._status.value}: {text_of(error)}"
