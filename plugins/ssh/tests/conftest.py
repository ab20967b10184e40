"""Throw-away servers of OpenSSH. Where there is none, every test that needs one is skipped, and says why."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from galaxy_core.errors import SimulatorError
from galaxy_core_ssh.simulate.daemon import Daemon, find_program, find_sftp_server
from galaxy_core_ssh.simulate.far_side import SshFarSide, far_side

from .ssh_lab import Lab


@pytest.fixture(scope="session")
def openssh() -> None:
    """OpenSSH, client and server."""
    try:
        for name in ("sshd", "ssh", "ssh-keygen", "ssh-agent", "ssh-add", "sftp"):
            find_program(name)
        find_sftp_server()
    except SimulatorError as error:
        pytest.skip(str(error))
    if not Path("/proc/self/environ").exists():
        pytest.skip("the throw-away server finds its processes in /proc, which this system does not have")


@pytest.fixture(scope="module")
def daemon(openssh: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """One server for a module of tests that do not break it."""
    found = Daemon(tmp_path_factory.mktemp("sshd"))
    found.prepare()
    found.start()
    try:
        yield found
    finally:
        found.stop()


@pytest.fixture
def own_daemon(openssh: None, tmp_path: Path) -> Iterator[Callable[..., Daemon]]:
    """Servers for one test, which may do with them as it likes; ``own_daemon(sessions=2)``."""
    made: list[Daemon] = []

    def make(**more: Any) -> Daemon:
        folder = tmp_path / f"sshd-{len(made)}"
        folder.mkdir()
        daemon = Daemon(folder, **more)
        daemon.prepare()
        daemon.start()
        made.append(daemon)
        return daemon

    try:
        yield make
    finally:
        for daemon in made:
            daemon.stop()


@pytest.fixture
async def far(openssh: None, tmp_path: Path) -> AsyncIterator[SshFarSide]:
    """A server behind a proxy, both of which can misbehave."""
    async with far_side(tmp_path / "far") as found:
        yield found


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return Lab(tmp_path)
