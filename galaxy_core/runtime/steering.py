"""Steering: pausing a run, having it go on, and leaving it so that somebody else can go on with it."""

from __future__ import annotations

from galaxy_core.model.events import EventType
from galaxy_core.model.records import encode
from galaxy_core.model.result import UNSTARTED
from galaxy_core.runtime.flow import Flow


class Steering(Flow):
    """What runs goes on to its end; what could start does not, while the run is paused or about to stop."""

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

    def stop(self, by: str = "") -> bool:
        """Start nothing any more, and be over when what runs has ended; False when that is so already.

        What is being edited is not waited for.
        """
        if self._closed or self.cancelled or self.is_stopping:
            return False
        self.is_stopping, self.stopped_by = True, by
        self._halt()
        if self.editing is not None:
            self.editing.over(self)
        self._check_complete()
        return True

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
