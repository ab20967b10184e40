"""Keeper: one background task per device that opens its session, probes it, and opens it again when it broke."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Any

import anyio

from galaxy_core.errors import DeviceLostError, PluginError, SecretError, SettingsError, UnknownTransportError
from galaxy_core.extension.interfaces import Session
from galaxy_core.extension.redaction import Redactor
from galaxy_core.extension.transports import features_of
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
#: The part of a back-off that a device's return does not shorten.
LEAST_WAIT = 0.1


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
        self.has_given_up = False
        self._hopeful = False  # whether there is a reason to count failures anew
        self._attached = False  # whether this try came to a session
        self._scope = anyio.CancelScope()
        self._probe = anyio.CancelScope()
        self._settings: Any = None
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

    def stir(self) -> None:
        """The device is said to be there: if it is not connected, try now, and as often as for a new one."""
        if not self._attached or self.lane.session is None:
            self._hopeful = True
            self._stirred.set()

    def _stir(self) -> None:
        self._stirred.set()
        self._probe.cancel()

    async def run(self) -> None:
        """Open, watch, reopen; until stopped, or `max_retries` times in a row in vain.

        Where the transport says when a device is worth another try, that is waited for then, for as long as it takes.
        """
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
                if self._hopeful:  # somebody saw it while the last try ended: the next one need not wait
                    self._hopeful, failures = False, 0
                if self._stopping:
                    break
                if failures > manager.max_retries:
                    if not self._may_return(lane.error):
                        break
                    await self._until_return()
                    failures = 0
                    continue
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
        with anyio.CancelScope() as self._scope:
            transport, settings, self._redactor = await manager._prepare(lane.device)
        if self._scope.cancelled_caught:  # stopped while a secret was waited for
            return
        lane.transport, self._settings = transport, settings
        now = anyio.current_time
        with anyio.CancelScope(deadline=now() + CONNECT_TIMEOUT_S) as self._scope:
            async with _connection(transport.open(lane.device, settings), lane.device.transport) as opened:
                _check_session(opened, lane.device.transport)
                session = opened
                if self._redactor is not None:
                    session = MaskedSession(opened, self._redactor, lane.device.transport, manager._logger)
                self._scope.deadline = float("inf")
                self._attach(session)
                async with anyio.create_task_group() as tasks:
                    if "watches" in features_of(transport):
                        tasks.start_soon(self._listen, opened)
                    await self._watch(session)
                    tasks.cancel_scope.cancel()
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
                    self._learn(await session.probe())
                    continue
                except BaseException as error:  # the keeper itself receives it: the session is closed and opened again
                    why = message_of(blamed(error, "transport", self.lane.device.transport))
            if self._broken is None and not self._stopping:
                self._broken = DeviceLostError(self.lane.device_id, f"probe: {why}")

    async def _listen(self, session: Any) -> None:
        """Hear from the session itself that its link is gone."""
        lane = self.lane
        try:
            why = await session.until_lost()
        except BaseException as error:  # the keeper itself receives it, as the reason why the device is lost
            why = message_of(blamed(error, "transport", lane.device.transport))
        text = str(why) if self._redactor is None else self._redactor.text(str(why))
        self.lost(DeviceLostError(lane.device_id, text))

    def _learn(self, facts: Any) -> None:
        """What a session says of its device, as far as it is text."""
        if isinstance(facts, Mapping):
            mask = str if self._redactor is None else self._redactor.text
            found = {mask(str(name)): mask(str(value)) for name, value in facts.items()}
            if found != self.lane.facts:
                self.lane.facts = found

    def _attach(self, session: Session) -> None:
        lane, manager = self.lane, self._manager
        self._attached = True
        try:
            self._learn(getattr(session, "facts", None))
        except BaseException as error:  # facts are a help, and no more: their want harms nobody
            manager._logger.warning(
                "device %r says nothing about itself: %s",
                lane.device_id,
                blamed(error, "transport", lane.device.transport),
            )
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
        transport = self.lane.transport
        with anyio.move_on_after(wait_s):
            async with anyio.create_task_group() as tasks:
                if "returns" in features_of(transport):
                    tasks.start_soon(self._await_return, transport, wait_s * LEAST_WAIT)
                await self._stirred.wait()
                tasks.cancel_scope.cancel()

    def _may_return(self, error: BaseException | None) -> bool:
        """Whether somebody will say that a device that was given up is there again."""
        hopeless = isinstance(error, PluginError | SecretError | SettingsError | UnknownTransportError)
        return not hopeless and "returns" in features_of(self.lane.transport)

    async def _until_return(self) -> None:
        """Given up, for all who ask, until there is a reason to try again."""
        manager, lane = self._manager, self.lane
        lane.gone = True
        manager._status(lane, DeviceStatus.FAILED)
        lane.book.changed(lane)
        self.settled.set()
        self.has_given_up = True
        self._stirred = anyio.Event()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._await_return, lane.transport)
            await self._stirred.wait()
            tasks.cancel_scope.cancel()
        self.has_given_up = False
        if not self._stopping:
            lane.gone = False
            lane.book.changed(lane)

    def revive(self) -> None:
        """Somebody asks for a device that was given up: try again."""
        if self.has_given_up:
            self.settled = anyio.Event()
            self._stirred.set()

    async def _await_return(self, transport: Any, least_s: float = 0.0) -> None:
        """Try again as soon as the device is worth another try, though not before `least_s`: it may be there, and refuse."""
        await anyio.sleep(least_s)
        try:
            await transport.until_back(self.lane.device, self._settings)
        except BaseException as error:  # it only helps: the next try comes anyway
            why = message_of(blamed(error, "transport", self.lane.device.transport))
            self._manager._logger.debug("nobody says when device %r is back: %s", self.lane.device_id, why)
        else:
            if self.has_given_up:
                self.settled = anyio.Event()
            self._stirred.set()

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
