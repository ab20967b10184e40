"""The plugin `adb`: what the entry point leads to. Loads neither pydantic nor the library by itself."""

from __future__ import annotations

from collections.abc import Iterable

from galaxy_core.extension.hookspecs import hookimpl
from galaxy_core.extension.interfaces import Simulator, Transport
from galaxy_core_adb.simulate.simulator import PhoneSimulator
from galaxy_core_adb.transport import AdbTransport


@hookimpl
def galaxy_transports() -> Iterable[Transport]:
    return [AdbTransport()]


@hookimpl
def galaxy_simulators() -> Iterable[Simulator]:
    return [PhoneSimulator()]
