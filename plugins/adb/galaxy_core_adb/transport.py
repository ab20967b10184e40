"""What the kernel sees before anything runs. Settings models and sessions are loaded when they are first asked for."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any

from galaxy_core import Device
from galaxy_core.extension.interfaces import FEATURES_OF_COMMANDS, Session, SightingSink

if TYPE_CHECKING:
    from galaxy_core_adb.settings import AdbDiscovery, AdbSettings


def _settings(_transport: object) -> type[AdbSettings]:
    from galaxy_core_adb.settings import AdbSettings  # pydantic is loaded only by those who ask for it

    return AdbSettings


def _discovery(_transport: object) -> type[AdbDiscovery]:
    from galaxy_core_adb.settings import AdbDiscovery

    return AdbDiscovery


def _actions(_transport: object) -> Mapping[str, Any]:
    from galaxy_core_adb.requests import ACTIONS

    return ACTIONS


class AdbTransport:
    """Android devices behind the adb servers of this machine."""

    settings_model: Any = cached_property(_settings)
    discovery_model: Any = cached_property(_discovery)
    actions: Any = cached_property(_actions)

    def __init__(self) -> None:
        self.name = "adb"
        self.requests = frozenset({"run", "shell"})
        self.features = FEATURES_OF_COMMANDS | {
            "streams",
            "counts",
            "stops",
            "sends",
            "settles",
            "facts",
            "watches",
            "returns",
            "discovers",
        }
        self.device_type: str | None = "android"

    @asynccontextmanager
    async def open(self, device: Device, settings: AdbSettings, /) -> AsyncIterator[Session]:
        """A session to a device that has answered a first command.

        Raises:
            DeviceLostError: it cannot be reached, or runs a system that is too old.
        """
        from galaxy_core_adb.opening import opened

        async with opened(device, settings) as session:
            yield session

    async def until_back(self, device: Device, settings: AdbSettings, /) -> None:
        """Wait until the device is listed as ready, other than it was when it was last tried."""
        from galaxy_core_adb.watching import until_back

        await until_back(settings)

    async def discover(self, settings: AdbDiscovery, seen: SightingSink, /) -> None:
        """Follow who is plugged in; see `TransportThatDiscovers`."""
        from galaxy_core_adb.watching import discover

        await discover(settings, seen)
