"""Steering: pausing a run, having it go on, and leaving it so that somebody else can go on with it."""

from __future__ import annotations

from collections.abc import Container, Mapping
from typing import TYPE_CHECKING, Any

from galaxy_core.errors.root import listed
from galaxy_core.model.events import EventType
from galaxy_core.model.policy import Effect
from galaxy_core.model.reasons import text_of
from galaxy_core.model.records import encode
from galaxy_core.model.result import UNSTARTED
from galaxy_core.runtime.flow import Flow, cancellation

if TYPE_CHECKING:
    from galaxy_core.extension.interfaces import Attempt
    from galaxy_core.model.task import TaskStar
    from galaxy_core.runtime.lanes import Lane

RUN_STOPPED = "the run was stopped; whoever resumes it runs it again"


class Steering(Flow):
    """What runs goes on to its end; what could start does not, while the run is paused or about to stop."""

    is_leaving = False  # stopping, and nothing is waited for that can be taken up again by whoever resumes

    #: Those that were waited for when the journal had failed, because nobody could ask about them later.
    outlasted: Mapping[TaskStar, None] = {}

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
        lane.release()

    # ------------------------------------------------------------------------------------------- without a journal
    def journal_failed(self, why: str, unkept: Container[int] = ()) -> None:
        """Nothing can be kept any more: start nothing, and cut nothing that may run only once.

        What may run again is ended. What leaves a marker is left at work, because the device keeps how it ends, and nobody
        here can. What leaves none is waited for, as when the run is stopped: nobody could ask about it later, so that all
        there will ever be is what is said now. So is an attempt whose lease is among `unkept`, because its start was not
        kept: nobody will ask about it.
        """
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
            if worker.reason is None and attempt.lease not in unkept and _lets_go(lane.session, attempt):
                attempt.is_let_go = True
                worker.interrupt("let go")
            elif worker.reason is None:
                self.outlasted = {**self.outlasted, task: None}
        for case in self.settling.values():
            if case.task._effect is Effect.ONCE:
                case.is_left = case.attempt.is_let_go = True
                case.interrupt()
        if self.outlasted:
            names = listed([task._task_id for task in self.outlasted], "")
            self._logger.error(
                "run %r: its journal failed: %s. Nothing more is started; waiting for what may run only once, and could not "
                "be asked about later: %s",
                self.constellation.constellation_id,
                why,
                names,
            )
        self._check_complete()

    def _let_go(self, task: TaskStar, lane: Lane) -> None:
        """An attempt goes on without us: for the journal, and for us, it is under way."""
        self.let_go[task] = lane.device_id
        lane.release()

    def how_it_was_left(self) -> tuple[dict[str, str], dict[str, str]]:
        """Of tasks that were under way when the journal failed: where those are that were left at work, and how others
        have ended, in words.
        """
        left = {task._task_id: device_id for task, device_id in self.let_go.items()}
        return left, {task._task_id: _words(task) for task in self.outlasted if task not in self.let_go}

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


def _lets_go(session: Any, attempt: Attempt) -> bool:
    """Whether an attempt can be left at work on its device."""
    lets_go = getattr(session, "lets_go", None)
    return attempt.leaves_marker and lets_go is not None and bool(lets_go(attempt))


def _words(task: TaskStar) -> str:
    error = task._error
    if task._status in UNSTARTED:
        return "did not succeed, and is to be tried again"
    return task._status.value if error is None else f"{task._status.value}: {text_of(error)}"
