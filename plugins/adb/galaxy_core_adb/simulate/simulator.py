"""What `galaxy simulate phone` starts."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from galaxy_core import Device
from galaxy_core.errors import SimulatorError

#: As `server.MOST_PHONES`, which is not imported before phones are asked for.
PER_SERVER = 250


class PhoneSimulator:
    """Simulated Android phones, behind adb servers of their own."""

    name = "phone"

    @asynccontextmanager
    async def simulate(self, count: int, folder: Path, /) -> AsyncIterator[Sequence[Device]]:
        """See `galaxy_core.extension.transports.Simulator`."""
        if sys.platform != "linux":
            raise SimulatorError(self.name, f"it needs Linux (/proc and pidfd), and this is {sys.platform}")
        from galaxy_core_adb.simulate.rig import phones

        devices: list[Device] = []
        async with AsyncExitStack() as stack:
            for first in range(0, count, PER_SERVER):
                place = folder / f"server-{first // PER_SERVER + 1}"
                rig = await stack.enter_async_context(phones(min(PER_SERVER, count - first), folder=place))
                for number, phone in enumerate(rig, first + 1):
                    phone.properties["ro.product.model"] = f"Simulated Phone {number}"
                    devices.append(
                        Device(
                            f"phone-{number}",
                            transport="adb",
                            settings={
                                "serial": phone.serial,
                                "server_port": rig.port,
                                "connect": True,
                                "start_server": False,
                            },
                            device_type="android",
                            capabilities=frozenset({"camera", "screen"}),
                            metadata={"simulated": True},
                            max_concurrency=2,
                        )
                    )
            yield devices
