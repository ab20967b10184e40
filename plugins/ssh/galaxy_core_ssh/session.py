"""A session of transport `ssh`: what the kernel talks to. The work is done over there, see `galaxy_core_ssh.bridge`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from anyio import CancelScope

from galaxy_core import Device
from galaxy_core.extension.adapter.marks import is_marked
from galaxy_core.extension.interfaces import Attempt, Outcome
from galaxy_core_ssh.bridge import Bridge, bridge
from galaxy_core_ssh.remote.host import Host
from galaxy_core_ssh.settings import SshSettings


class SshSession:
    """Connections to one host. `facts` are those of the host when it was connected."""

    def __init__(self, host: Host, over: Bridge) -> None:
        self._host = host
        self._bridge = over
        self.facts: Mapping[str, str] = dict(host.facts)

    async def execute(self, attempt: Attempt, /) -> Outcome:
        return await self._bridge.run(self._host.execute, attempt)

    async def expect(self, run_mark: str, /) -> None:
        """See `SessionThatSettles`."""
        await self._bridge.run(self._host.expect, run_mark)

    async def settle(self, attempt: Attempt, /) -> Outcome:
        """See `SessionThatSettles.settle`."""
        return await self._bridge.run(self._host.settle, attempt)

    async def stop(self, attempt: Attempt, /) -> None:
        """See `SessionThatSettles.stop`."""
        await self._bridge.run(self._host.stop, attempt)

    def lets_go(self, attempt: Attempt, /) -> bool:
        """See `SessionThatSettles`."""
        return is_marked(attempt)

    def release(self, mark: str, /) -> None:
        """See `SessionThatSettles.release`."""
        self._host.released.add(mark)

    async def probe(self) -> Mapping[str, str]:
        return await self._bridge.run(self._host.probe)

    async def until_lost(self) -> str:
        return await self._bridge.run(self._host.until_lost)


@asynccontextmanager
async def opened(device: Device, settings: SshSettings, debts: dict[str, str]) -> AsyncIterator[SshSession]:
    """A session, connected; leaving disconnects. `debts` outlive it, see `Host`.

    Raises:
        DeviceLostError: no connection came about.
    """
    async with bridge() as over:
        host = await over.run(_host, device, settings, over, debts)
        try:
            await over.run(host.open)
            yield SshSession(host, over)
        finally:
            with CancelScope(shield=True):
                await over.run(host.close)


async def _host(device: Device, settings: SshSettings, over: Bridge, debts: dict[str, str]) -> Host:
    """Made over there, because the events that it waits for belong to that loop."""
    return Host(device, settings, over, debts)
