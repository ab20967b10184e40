"""Several throw-away servers, and how an inventory reaches them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from galaxy_core import Device

if TYPE_CHECKING:
    from galaxy_core_ssh.simulate.daemon import Daemon


class SshSimulator:
    """Hosts behind SSH: real servers of OpenSSH on loopback, one each, on which tasks run as the current user."""

    def __init__(self) -> None:
        self.name = "ssh"

    @asynccontextmanager
    async def simulate(self, count: int, folder: Path, /) -> AsyncIterator[Sequence[Device]]:
        """See `galaxy_core.extension.interfaces.Simulator`."""
        from anyio import CancelScope, to_thread

        daemons: list[Daemon] = []
        try:
            for number in range(1, count + 1):
                await to_thread.run_sync(_start, folder / f"ssh-{number}", daemons)
            yield [device_of(f"ssh-{number}", daemon) for number, daemon in enumerate(daemons, 1)]
        finally:
            with CancelScope(shield=True):
                for daemon in daemons:
                    await to_thread.run_sync(daemon.stop)


def _start(folder: Path, daemons: list[Daemon]) -> None:
    from galaxy_core_ssh.simulate.daemon import Daemon

    folder.mkdir()
    daemon = Daemon(folder)
    daemon.prepare()
    daemons.append(daemon)
    daemon.start()


def device_of(device_id: str, daemon: Daemon) -> Device:
    """How an inventory reaches a server."""
    settings = {
        "host": "127.0.0.1",
        "port": daemon.port,
        "username": daemon.user,
        "keys": [str(daemon.user_key)],
        "known_hosts": str(daemon.known_hosts),
        "root": str(daemon.home / "work"),
    }
    return Device(
        device_id,
        transport="ssh",
        settings=settings,
        device_type="linux",
        capabilities=["posix", "ssh"],
        metadata={"simulated": True},
        max_concurrency=4,
    )
