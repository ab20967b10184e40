"""Markers: what attempts of a run have left on devices is expected there, and dropped when nobody needs it any more."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import anyio

from galaxy_core.extension.transports import features_of
from galaxy_core.model.reasons import text_of
from galaxy_core.runtime.answers import loss_in
from galaxy_core.runtime.blaming import blamed
from galaxy_core.runtime.lanes import Lane

if TYPE_CHECKING:
    from galaxy_core.runtime.settling import Settling

#: Seconds that a device has to note that markers are to come.
EXPECT_S: Final = 10.0


class Markers:
    """The markers of one run."""

    def __init__(self, run: Settling) -> None:
        self._run = run
        self._due: list[tuple[int, Any, str, str]] = []  # after which record which session may drop which mark
        self._is_due = anyio.Event()
        self._releases = False
        self._owed: dict[str, list[str]] = {}  # by the ids of devices that are away: marks to be dropped when they come
        self._doubtful: dict[str, tuple[str, str]] = {}  # by the ids of tasks that ended unknown: their device and mark

    async def expect(self) -> None:
        """Before anything starts: have devices note that markers of this run are to come."""
        run = self._run
        if run.recorder is None:
            return
        lanes = [lane for lane in run.book.lanes.values() if _can_expect(lane)]
        if lanes:
            async with anyio.create_task_group() as group:
                for lane in lanes:
                    group.start_soon(self._expect, lane)

    def came(self, lane: Lane) -> None:
        """A device has come while the run is under way."""
        run = self._run
        for mark in self._owed.pop(lane.device_id, ()):
            self.release(lane, mark)
        if run.recorder is not None and run._group is not None and _can_expect(lane):
            run._group.start_soon(self._expect, lane)

    async def _expect(self, lane: Lane) -> None:
        session: Any = lane.session
        try:
            with anyio.move_on_after(EXPECT_S):
                await session.expect(self._run.mark)
        except BaseException as error:  # the log receives it: what is missing on the device is then unknown
            failure, loss = blamed(error, "transport", lane.device.transport), loss_in(error)
            if loss is not None and lane.session is session:
                lane.lost(loss)
            self._run._logger.warning("device %r keeps no markers: %s", lane.device_id, text_of(failure))

    def doubts(self, task_id: str, device_id: str, mark: str) -> None:
        """A task has ended unknown: its marker is left to who looks, until somebody says how it ended."""
        self._doubtful[task_id] = (device_id, mark)

    def resolved(self, task_id: str) -> None:
        """Somebody has said how a task ended, and that was noted: its marker is needed no more."""
        device_id, mark = self._doubtful.pop(task_id, (None, ""))
        if device_id is not None:
            self.release_at(device_id, mark)

    def release_at(self, device_id: str, mark: str) -> None:
        """As `release`, if the device is one of this run."""
        lane = self._run.book.lanes.get(device_id)
        if lane is not None:
            self.release(lane, mark)

    def release(self, lane: Lane, mark: str) -> None:
        """What became of an attempt has been noted: have its marker dropped as soon as that is kept, and its device is there."""
        ledger, group = self._run.ledger, self._run._group
        if ledger is None or "settles" not in features_of(lane.transport):
            return
        if lane.session is None:
            self._owed.setdefault(lane.device_id, []).append(mark)
            return
        if (run := self._run).recorder is not None and not run.constellation._together:
            run.recorder.flush()  # what was put off may be how it ended
            if ledger.ran:
                ledger.note_attempts()
        self._due.append((ledger.count, lane.session, lane.device.transport, mark))
        self._is_due.set()
        if not self._releases and group is not None:
            self._releases = True
            group.start_soon(self._releasing)

    async def _releasing(self) -> None:
        """Until the run is over; what is kept later is released when its journal is closed."""
        assert self._run.ledger is not None
        while True:
            await self._is_due.wait()
            self._is_due = anyio.Event()
            await self._run.ledger.settle()
            self.release_kept()

    def release_kept(self) -> None:
        """Drop those of attempts of which is kept by now what became of them."""
        ledger = self._run.ledger
        assert ledger is not None
        due, self._due = self._due, []
        for count, session, transport, mark in due:
            if ledger.kept < count:
                self._due.append((count, session, transport, mark))
                continue
            try:
                session.release(mark)
            except BaseException as error:  # the log receives it: markers that stay are removed by age
                self._run._logger.warning("a marker stays: %s", blamed(error, "transport", transport))


def _can_expect(lane: Lane) -> bool:
    return lane.session is not None and "settles" in features_of(lane.transport) and hasattr(lane.session, "expect")
