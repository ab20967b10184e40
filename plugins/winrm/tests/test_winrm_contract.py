"""The contract of transports, asked of this one: on http with sealed messages, and on https."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator

import pytest

from galaxy_core import Command
from galaxy_core.model.request import Request
from galaxy_core.testing.contract import Bench, Posix, TransportContract
from galaxy_core_winrm.simulate.host import WindowsHost, windows_host
from galaxy_core_winrm.transport import WinrmTransport


class SimulatedWindows(Posix):
    """The programs of the simulated host are those of this machine; its folders are those of Windows."""

    def folder(self) -> tuple[Request, str] | None:
        return Command(None, "cd", cwd="C:\\"), "C:\\\r\n"

    def missing_folder(self) -> Request | None:
        return Command(["true"], cwd="C:\\galaxy\\no\\such\\folder")


def _bench(host: WindowsHost) -> Bench:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    settings = {"endpoint": host.endpoint, "username": host.username, "password": host.password}
    if host.ca_file is not None:
        settings["ca_file"] = str(host.ca_file)
    nowhere = {**settings, "endpoint": f"http://127.0.0.1:{port}/wsman"}
    return Bench(WinrmTransport(), settings, SimulatedWindows(), host, nowhere, deadline_s=0.8)


class TestSealedHttp(TransportContract):
    """NTLM seals every message."""

    @pytest.fixture
    async def bench(self) -> AsyncIterator[Bench]:
        async with windows_host() as host:
            yield _bench(host)
