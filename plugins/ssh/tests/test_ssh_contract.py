"""The transport keeps the kernel's contract, on a real sshd that misbehaves through a proxy."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from galaxy_core.testing.contract import POSIX, Bench, TransportContract
from galaxy_core_ssh.simulate.far_side import far_side
from galaxy_core_ssh.transport import SshTransport


class TestSsh(TransportContract):
    @pytest.fixture
    async def bench(self, openssh: None, tmp_path: Path) -> AsyncIterator[Bench]:
        async with far_side(tmp_path / "far") as far:
            nowhere = {"port": 1, "connect_timeout_s": 2.0}
            yield Bench(SshTransport(), settings=far.settings(), work=POSIX, faults=far, nowhere=nowhere)
