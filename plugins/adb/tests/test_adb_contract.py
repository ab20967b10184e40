"""The transport keeps the contract of transports: on a real adb server, with simulated phones."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from galaxy_core.testing.contract import POSIX, Bench, TransportContract
from galaxy_core_adb.simulate.rig import phones
from galaxy_core_adb.transport import AdbTransport


class TestAdb(TransportContract):
    @pytest.fixture
    async def bench(self, anyio_backend: object) -> AsyncIterator[Bench]:
        async with phones(1) as rig:
            server = {"server_port": rig.port, "start_server": False}
            settings = {"serial": rig[0].serial, "connect": True, **server}
            yield Bench(
                AdbTransport(),
                settings=settings,
                work=POSIX,
                faults=rig[0],
                nowhere={"serial": "nobody", "connect": False},
                discovery=server,
            )
