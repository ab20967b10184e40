"""The plugin `winrm`: what the entry point leads to. Loads neither pydantic, anyio nor pywinrm by itself."""

from __future__ import annotations

from collections.abc import Iterable

from galaxy_core.extension.hookspecs import hookimpl
from galaxy_core.extension.interfaces import Simulator, Transport
from galaxy_core_winrm.simulate.simulator import WindowsSimulator
from galaxy_core_winrm.transport import WinrmTransport


@hookimpl
def galaxy_transports() -> Iterable[Transport]:
    return [WinrmTransport()]


@hookimpl
def galaxy_simulators() -> Iterable[Simulator]:
    return [WindowsSimulator()]
