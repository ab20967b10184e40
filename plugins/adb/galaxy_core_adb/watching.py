"""Devices that come and go, as their server sees them."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from anyio import CancelScope, create_task_group, fail_after, sleep
from anyio.abc import TaskGroup

from galaxy_core.errors import GalaxyError
from galaxy_core.extension.interfaces import Sighting, SightingSink
from galaxy_core_adb import facts
from galaxy_core_adb.failures import AdbFailureError
from galaxy_core_adb.link import Link
from galaxy_core_adb.listing import OFFLINE
from galaxy_core_adb.server import Server, server_at
from galaxy_core_adb.settings import AdbDiscovery, AdbSettings
from galaxy_core_adb.texts import name_of_state
from galaxy_core_adb.tracker import Seen

#: How long a device that was just plugged in may take to say what it is, before it is told of without that.
FACTS_S = 5.0
#: Pause before a server that went is asked again.
AGAIN_S = 0.5
_FACTS_SCRIPT = "getprop\nwm size\nwm density\nexit 0"

_log = logging.getLogger(__name__)


async def until_back(settings: AdbSettings) -> None:
    """Wait until the device is listed as ready, other than when it was last tried.

    A server that is gone is waited for, and started if it may be: a device of the network has then to be connected to, which
    opening does.
    """
    server = server_at(settings.server_port)
    serial = settings.serial

    def back(devices: Mapping[str, Seen]) -> bool | None:
        seen = devices.get(serial)
        is_back = seen is not None and seen.listed.is_ready and seen.version != server.tried.get(serial)
        return True if is_back else None

    while True:
        try:
            await server.tracker.until(back, serial)
        except AdbFailureError:
            await sleep(AGAIN_S)
            if await _ensured(server, settings) and settings.connect:
                return
        else:
            return


async def _ensured(server: Server, settings: AdbSettings | AdbDiscovery) -> bool:
    try:
        await server.ensure(settings.adb, start=settings.start_server)
    except AdbFailureError as error:
        _log.debug("%s", error)
        return False
    return True


async def discover(settings: AdbDiscovery, seen: SightingSink) -> None:
    """Tell of every device of a server, of each change of it, and of its going; until cancelled.

    Raises:
        GalaxyError: there is no server, and none can be started.
    """
    server = server_at(settings.server_port)
    told: dict[str, Seen] = {}
    while True:
        try:
            await server.ensure(settings.adb, start=settings.start_server)
        except AdbFailureError as error:
            raise GalaxyError(str(error)) from error
        try:
            async with create_task_group() as tasks:
                await _Discovery(server, settings, seen, told, tasks).follow()
        except* AdbFailureError as errors:
            _log.info("looking for devices again: %s", errors.exceptions[0])
        for serial in list(told):
            del told[serial]
            seen(_gone(serial, settings))
        await sleep(AGAIN_S)


class _Discovery:
    """What one server has, for as long as it lives. `told` is what has been told."""

    def __init__(
        self, server: Server, settings: AdbDiscovery, seen: SightingSink, told: dict[str, Seen], tasks: TaskGroup
    ) -> None:
        self._server = server
        self._settings = settings
        self._seen = seen
        self._told = told
        self._tasks = tasks
        self._asking: dict[str, CancelScope] = {}

    async def follow(self) -> None:
        """Until the server goes.

        Raises:
            AdbFailureError: it went.
        """

        def changed(devices: Mapping[str, Seen]) -> dict[str, Seen] | None:
            now = {serial: entry for serial, entry in devices.items() if self._is_there(entry)}
            return now if now != self._told else None

        while True:
            now = await self._server.tracker.until(changed)
            for serial in [serial for serial in self._told if serial not in now]:
                del self._told[serial]
                self._stop_asking(serial)
                self._seen(_gone(serial, self._settings))
            for serial, entry in now.items():
                if self._told.get(serial) != entry:
                    self._told[serial] = entry
                    self._stop_asking(serial)
                    if entry.listed.is_ready:
                        self._tasks.start_soon(self._ask, entry)
                    else:
                        self._seen(_present(entry, self._settings, problem=name_of_state(entry.listed.state)))

    def _is_there(self, entry: Seen) -> bool:
        """One with which adb has lost contact is not, however long it is listed: so those of the network go."""
        return entry.listed.state != OFFLINE and (self._settings.network or ":" not in entry.listed.serial)

    def _stop_asking(self, serial: str) -> None:
        if serial in self._asking:
            self._asking.pop(serial).cancel()

    async def _ask(self, entry: Seen) -> None:
        """Tell of a device that is ready, with what it says of itself."""
        serial = entry.listed.serial
        with CancelScope() as scope:
            self._asking[serial] = scope
            more: dict[str, str] = {}
            try:
                with fail_after(FACTS_S):
                    link = Link(self._server, serial, 0)
                    features = await link.host("features")
                    more = facts.parse((await link.run(_FACTS_SCRIPT)).text, features)
            except (AdbFailureError, TimeoutError) as error:
                _log.debug("device %r says nothing about itself: %s", serial, error)
            if self._told.get(serial) == entry:
                self._seen(_present(entry, self._settings, more))
        if self._asking.get(serial) is scope:
            del self._asking[serial]


def _present(
    entry: Seen, settings: AdbDiscovery, more: Mapping[str, str] | None = None, problem: str | None = None
) -> Sighting:
    known = {**entry.listed.facts, **(more or {})}
    return Sighting(entry.listed.serial, True, _settings_of(entry.listed.serial, settings), known, problem)


def _gone(serial: str, settings: AdbDiscovery) -> Sighting:
    return Sighting(serial, False, _settings_of(serial, settings))


def _settings_of(serial: str, settings: AdbDiscovery) -> dict[str, object]:
    told = settings.model_dump(mode="json", exclude_unset=True, exclude={"network"})
    return {"serial": serial, "server_port": settings.server_port, **told}
