"""Steering: pausing a run, having it go on, and leaving it so that somebody else can go on with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from galaxy_core.model.events import EventType
from galaxy_core.model.policy import Effect
from galaxy_core.model.records import encode
from galaxy_core.model.result import UNSTARTED
from galaxy_core.runtime.flow import Flow, cancellation

if TYPE_CHECKING:
    from galaxy_core.model.task import TaskStar
    from galaxy_core.runtime.lanes import Lane

RUN_STOPPED = "the run was stopped; whoever resumes it runs it again"


class Steering(Flow):
    """What runs goes on to its end; what could start does not, while the run is paused or about to stop."""

    is_leaving = False  # stopping, and nothing is waited for that can be taken up again by whoever resumes

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
