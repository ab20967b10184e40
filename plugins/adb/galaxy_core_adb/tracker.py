"""Who is plugged in: one conversation with the server, shared by all of an event loop who want to know.

Nobody owns a task for it. Of those who wait, one reads for all; when it has what it waits for, or is cancelled, another
goes on reading. When nobody waits, the conversation is closed. So a session costs no connection, and a change wakes only
those whom it concerns.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

from anyio import CancelScope, Event
from attrs import define, field, frozen

from galaxy_core_adb.failures import AdbFailureError, ServerGoneError
from galaxy_core_adb.listing import Listed, parse
from galaxy_core_adb.smart import Conversation, begin

T = TypeVar("T")


@frozen
class Seen:
    """A device that is listed. `version` is another whenever something about it was seen to change."""

    listed: Listed
    version: tuple[int, int]


@define(eq=False)
class _Waiter:
    serial: str | None
    event: Event = field(factory=Event)


class Tracker:
    """The devices of the server on one port, for the tasks of one event loop."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._talk: Conversation | None = None
        self._devices: dict[str, Seen] = {}
        self._waiters: dict[_Waiter, None] = {}
        self._is_read = False
        self._reading: CancelScope | None = None
        self._losses = 0
        self._failure: AdbFailureError | None = None
        self._changes = 0

    @property
    def devices(self) -> Mapping[str, Seen]:
        """Those of the last listing; it may be an old one."""
        return self._devices

    async def until(self, check: Callable[[Mapping[str, Seen]], T | None], serial: str | None = None) -> T:
        """Wait until `check` of the present devices finds something, and return that.

        It is asked at once, and then whenever something changes about `serial`, or about any device if that is None.

        Raises:
            AdbFailureError: the server is not there, or went.
        """
        waiter = _Waiter(serial)
        losses = self._losses
        self._waiters[waiter] = None
        try:
            while True:
                if self._losses != losses:
                    raise ServerGoneError(str(self._failure)) from self._failure
                if self._talk is not None:
                    found = check(self._devices)
                    if found is not None:
                        return found
                if self._is_read:
                    waiter.event = Event()
                    await waiter.event.wait()
                else:
                    await self._read()
        finally:
            del self._waiters[waiter]
            await self._hand_over()

    def nudge(self, serial: str) -> None:
        """Have those who wait for something about this device look again; also the one who reads for all."""
        self._wake({serial})
        if self._reading is not None:
            self._reading.cancel()

    async def _read(self) -> None:
        """Read one listing, for all."""
        self._is_read = True
        talk = self._talk
        opened: Conversation | None = None
        try:
            if talk is None:
                opened = await begin(self._port)
                await opened.ask("host:track-devices-l")
                text: str | None = await opened.text()
                self._talk, opened = opened, None
            else:
                text = None
                with CancelScope() as self._reading:
                    text = await talk.text()
        except AdbFailureError as error:
            self._failure = error
            self._losses += 1
            self._devices = {}
            if talk is not None:
                self._talk = None
                await talk.aclose()
            self._wake(None)
        else:
            if text is not None:
                self._take(parse(text), is_first=talk is None)
        finally:
            self._is_read, self._reading = False, None
            if opened is not None:
                await opened.aclose()

    def _take(self, listed: Mapping[str, Listed], *, is_first: bool) -> None:
        before, now = self._devices, {}
        changed = set(before) - set(listed)
        for serial, entry in listed.items():
            old = before.get(serial)
            if old is not None and old.listed == entry:
                now[serial] = old
                continue
            self._changes += 1
            now[serial] = Seen(entry, (self._losses, self._changes))
            changed.add(serial)
        self._devices = now
        self._wake(None if is_first else changed)

    def _wake(self, serials: set[str] | None) -> None:
        for waiter in self._waiters:
            if serials is None or waiter.serial in serials or (waiter.serial is None and serials):
                waiter.event.set()

    async def _hand_over(self) -> None:
        """Whoever leaves sees to it that another reads, or that nobody has to."""
        if self._is_read:
            return
        if self._waiters:
            next(iter(self._waiters)).event.set()
        elif self._talk is not None:
            talk, self._talk = self._talk, None
            await talk.aclose()
