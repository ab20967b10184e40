"""Keeper: one background task per device that opens its session, probes it, and opens it again when it broke."""

from __future__ import annotations

import inspect
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Any

import anyio

from galaxy_core.errors import DeviceLostError, PluginError, SecretError, SettingsError, UnknownTransportError
from galaxy_core.extension.interfaces import Session
from galaxy_core.extension.redaction import Redactor
from galaxy_core.model.device import DeviceStatus
from galaxy_core.model.events import EventType
from galaxy_core.model.reasons import message_of
from galaxy_core.runtime.blaming import blamed
from galaxy_core.runtime.lanes import Lane
from galaxy_core.runtime.masked import MaskedSession

if TYPE_CHECKING:
    from galaxy_core.runtime.devices import ConstellationDeviceManager

#: Seconds that opening a session, and each probe of it, may take.
CONNECT_TIMEOUT_S = 30.0
PROBE_TIMEOUT_S = 10.0
#: Seconds that closing a session may take before it is abandoned.
CLOSE_TIMEOUT_S = 10.0


class Keeper:
    """Keeps one device's session open, until `stop`."""

    def __init__(self, lane: Lane, manager: ConstellationDeviceManager) -> None:
        self.lane = lane
        self._manager = manager
        self._stopping = False
        self._stirred = anyio.Event()
        self.settled = anyio.Event()  # set after the first success or failure to connect
        self.ended = anyio.Event()
        self._broken: BaseException | None = None
        self._attached = False  # whether this try came to a session
        self._scope = anyio.CancelScope()
        self._probe = anyio.CancelScope()
        self._redactor: Redactor | None = None  # of the settings that the present try was begun with
        lane.lost = self.lost

    def lost(self, error: BaseException) -> None:
        """Somebody found the session broken: from now on nothing is sent through it."""
        if self._broken is None:
            self._broken = error
            self._detach(error)
            self._stir()

    def stop(self) -> None:
        """Close the session and end."""
        self._stopping = True
        self._stir()
        if not self._attached:
            self._scope.cancel()

    def _stir(self) -> None:
        self._stirred.set()
        self._probe.cancel()

    async def run(self) -> None:
        """Open, watch, reopen; until stopped, or `max_retries` times in a row in vain."""
        manager, lane = self._manager, self.lane
        failures = 0
        try:
            while not self._stopping:
                self._broken = None
                self._attached = False
                self._redactor = None
                self._stirred = anyio.Event()
                manager._status(lane, DeviceStatus.CONNECTING)
                try:
                    await self._live()
                    failures = 0
                except (PluginError, SecretError, SettingsError, UnknownTransportError) as error:
                    failures = manager.max_retries + 1  # trying again would find the same
                    self._detach(error)
                except BaseException as error:  # the device's status and the events carry it to whoever asks
                    failure = blamed(error, "transport", lane.device.transport)
                    failures = 1 if self._attached else failures + 1
                    self._detach(failure)
                if self._stopping or failures > manager.max_retries:
                    break
                self.settled.set()
                if failures:
                    await self._pause(failures)
        finally:
            self._end(failures)

    async def _live(self) -> None:
        failure: BaseException | None = None
        try:
            await self._connect_and_watch()
        except BaseException as error:  # `run` receives it
            if self._redactor is None:
                raise
            failure = self._redactor.error(error)
        if failure is not None:  # raised here, because in there the first one would be its context
            raise failure

    async def _connect_and_watch(self) -> None:
        lane, manager = self.lane, self._manager
        transport, settings, self._redactor = manager._prepare(lane.device)
        lane.transport = transport
        now = anyio.current_time
        with anyio.CancelScope(deadline=now() + CONNECT_TIMEOUT_S) as self._scope:
            async with _connection(transport.open(lane.device, settings), lane.device.transport) as opened:
                _check_session(opened, lane.device.transport)
                session = opened
                if self._redactor is not None:
                    session = MaskedSession(opened, self._redactor, lane.device.transport, manager._logger)
                self._scope.deadline = float("inf")
                self._attach(session)
                await self._watch(session)
                self._detach(self._broken)
                self._scope.deadline = now() + CLOSE_TIMEOUT_S
        if self._scope.cancelled_caught and not self._stopping:
            what = "closing took more than" if self._attached else "no connection within"
            limit_s = CLOSE_TIMEOUT_S if self._attached else CONNECT_TIMEOUT_S
            raise DeviceLostError(lane.device_id, f"{what} {limit_s:g} s")
        if self._broken is not None and not self._stopping:
            raise self._broken

    async def _watch(self, session: Session) -> None:
        """Return when stopped or lost; probe the device at each heartbeat."""
        while not (self._stopping or self._broken):
            with anyio.move_on_after(self._manager.heartbeat_interval):
                await self._stirred.wait()
                return
            why = f"no answer within {PROBE_TIMEOUT_S:g} s"
            with anyio.CancelScope(deadline=anyio.current_time() + PROBE_TIMEOUT_S) as self._probe:
                try:
                    await session.probe()
                    continue
                except BaseException as error:  # the keeper itself receives it: the session is closed and opened again
                    why = message_of(blamed(error, "transport", self.lane.device.transport))
            if self._broken is None and not self._stopping:
                self._broken = DeviceLostError(self.lane.device_id, f"probe: {why}")

    def _attach(self, session: Session) -> None:
        lane, manager = self.lane, self._manager
        self._attached = True
        lane.session, lane.error, lane.gone = session, None, False
        manager._status(lane, DeviceStatus.IDLE, EventType.DEVICE_CONNECTED)
        lane.book.changed(lane)
        self.settled.set()
        manager.attached()

    def _detach(self, error: BaseException | None) -> None:
        lane, manager = self.lane, self._manager
        had = lane.session is not None
        lane.session = None
        if error is not None:
            lane.error = error
        if had or lane.status is not DeviceStatus.DISCONNECTED:
            manager._status(lane, DeviceStatus.DISCONNECTED, EventType.DEVICE_DISCONNECTED if had else None)
            lane.book.changed(lane)

    async def _pause(self, failures: int) -> None:
        manager = self._manager
        wait_s = manager.backoff.wait_s(failures, manager.clock.random.random())
        self._stirred = anyio.Event()  # what broke the session has set the old one
        with anyio.move_on_after(wait_s):
            await self._stirred.wait()

    def _end(self, failures: int) -> None:
        lane, manager = self.lane, self._manager
        if lane.session is not None:
            self._detach(DeviceLostError(lane.device_id, "disconnected"))
        lane.gone = True
        manager._keepers.pop(lane.device_id, None)
        status = DeviceStatus.FAILED if failures and not self._stopping else DeviceStatus.DISCONNECTED
        if lane.status is not status:
            manager._status(lane, status)
        lane.book.changed(lane)
        self.settled.set()
        self.ended.set()


def _connection(opened: Any, transport: str) -> AbstractAsyncContextManager[Session]:
    """What `open` returned, if it can be entered.

    Raises:
        PluginError: it cannot.
    """
    if all(callable(getattr(type(opened), name, None)) for name in ("__aenter__", "__aexit__")):
        return opened  # type: ignore[no-any-return]  # it was looked at
    if inspect.iscoroutine(opened):
        opened.close()  # nobody will await it, and Python would warn of that
    what = f"transport {transport!r}: its `open` returned {type(opened).__name__} instead of an asynchronous context"
    raise PluginError(transport, f"{what} manager that yields a session; put @asynccontextmanager above it")


def _check_session(session: object, transport: str) -> None:
    """
    Raises:
        PluginError: it is none.
    """
    lacks = [name for name in ("execute", "probe") if not callable(getattr(session, name, None))]
    if lacks:
        what = f"transport {transport!r} opened {type(session).__name__}, which has no {' and no '.join(lacks)}"
        raise PluginError(transport, f"{what}: that is no session. `open` yields an object that has both")
