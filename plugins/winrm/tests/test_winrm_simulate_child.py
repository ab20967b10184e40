"""The host in a process of its own, and the simulator that `galaxy simulate windows` uses."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import pytest
import requests

from galaxy_core import SecretRef
from galaxy_core.extension.interfaces import Simulator
from galaxy_core.testing.contract.faults import FarSide, Truth
from galaxy_core_winrm.simulate.child import windows_children
from galaxy_core_winrm.simulate.simulator import WindowsSimulator

pytestmark = pytest.mark.anyio
Dial = Callable[..., Any]


async def test_hosts_in_a_child_process_serve_and_take_orders(dial: Dial) -> None:
    async with windows_children(2) as children:
        first, second = children.hosts
        assert isinstance(first, FarSide)
        client = dial(first)
        await client.open(env_vars={"GALAXY_MARK": "m-1"})
        await client.run("exit 3")
        assert await first.truth("m-1") == Truth(1, running=False, exit_code=3)
        assert await second.truth("m-1") == Truth()
        assert await first.shells() == [client.shell_id]
        await first.inject("disconnect", "start")
        with pytest.raises(requests.ConnectionError):
            await client.start("rem")
        await first.heal()
        await dial(second).run("rem")
        await first.order({"quota": {"shells": 1}})
        with pytest.raises(ValueError, match="no such order"):
            await first.order({"nonsense": 1})
        folder, process_id = first.folder, children.process.pid
    assert not _exists(folder)
    assert not _exists(f"/proc/{process_id}")


async def test_a_frozen_process_answers_nobody_until_it_thaws(dial: Dial) -> None:
    async with windows_children() as children:
        children.freeze()
        with pytest.raises(requests.ReadTimeout):
            await dial(children.hosts[0], operation_timeout_sec=1, read_timeout_sec=2).open()
        children.thaw()
        assert await dial(children.hosts[0]).run("echo back") == (b"back\r\n", b"", 0)


async def test_a_simulator_gives_devices_whose_passwords_only_their_owner_reads(tmp_path: Path, dial: Dial) -> None:
    simulator = WindowsSimulator()
    assert isinstance(simulator, Simulator)
    async with simulator.simulate(2, tmp_path) as devices:
        assert [device.device_id for device in devices] == ["windows-1", "windows-2"]
        for device in devices:
            secret = device.settings["password"]
            assert isinstance(secret, SecretRef)
            assert secret.file is not None
            assert stat.S_IMODE(os.stat(secret.file).st_mode) == 0o600
            reached = _Reached(device.settings["endpoint"], device.settings["username"], _read(secret.file))
            stdout, _, _ = await dial(reached).run("hostname")
            assert stdout.decode().strip() == device.device_id.upper()
    with pytest.raises(requests.ConnectionError):
        await dial(reached).open()


def _exists(path: str) -> bool:
    return os.path.exists(path)


def _read(file: str) -> str:
    return Path(file).read_text()


class _Reached:
    ca_file = None

    def __init__(self, endpoint: str, username: str, password: str) -> None:
        self.endpoint, self.username, self.password = endpoint, username, password


async def test_a_killed_parent_leaves_no_host(tmp_path: Path) -> None:
    async with windows_children() as children:
        folder = children.hosts[0].folder
        assert children.process.stdin is not None
        # What the machine does with the pipes of a process that is killed.
        await children.process.stdin.aclose()
        with anyio.fail_after(10):
            await children.process.wait()
        assert not _exists(folder)
