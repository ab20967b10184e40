"""The same on a real device, for those who have one: `GALAXY_TEST_SERIAL=… pytest -m hardware plugins/adb/tests`.

It needs nothing but the device, runs no command that changes it, and removes what it makes. The contract of transports is
asked without faults: nobody can make a real device misbehave.
"""

from __future__ import annotations

import os
from typing import Any

import pytest

from galaxy_core import Action, Command
from galaxy_core.extension.interfaces import Completed
from galaxy_core.testing.contract import POSIX, Bench, TransportContract
from galaxy_core_adb.transport import AdbTransport

SERIAL = os.environ.get("GALAXY_TEST_SERIAL", "")

pytestmark = [
    pytest.mark.hardware,
    pytest.mark.skipif(not SERIAL, reason="GALAXY_TEST_SERIAL names no device"),
]


def real() -> Bench:
    settings: dict[str, Any] = {"serial": SERIAL, "server_port": int(os.environ.get("GALAXY_TEST_ADB_PORT", "5037"))}
    return Bench(AdbTransport(), settings=settings, work=POSIX)


class TestRealDevice(TransportContract):
    has_far_side = False

    @pytest.fixture
    def bench(self) -> Bench:
        return real()


@pytest.fixture
def bench() -> Bench:
    return real()


@pytest.mark.anyio
async def test_a_real_device_says_what_it_is(bench: Bench) -> None:
    async with bench.opened() as session:
        facts = await session.probe()
    assert {"model", "android", "sdk", "abi", "screen", "features"} <= set(facts)


@pytest.mark.anyio
@pytest.mark.parametrize("action", ["battery", "screenshot", "logcat"])
async def test_a_real_device_does_what_changes_nothing(bench: Bench, action: str) -> None:
    async with bench.opened() as session:
        done = await bench.completed(session, Action(action))
    assert done.error is None, done
    assert done.value


@pytest.mark.anyio
async def test_a_real_device_is_asked_for_processes_in_a_way_that_it_knows(bench: Bench) -> None:
    """What stopping stands on: /proc/PID/environ of the shell's own processes, `grep -s`, `kill`, fractions in `sleep`."""
    script = "for tool in grep kill sleep tr find sha256sum mv; do command -v $tool >/dev/null || echo $tool; done"
    async with bench.opened() as session:
        done = await bench.completed(session, Command(None, f"{script}; sleep 0.01 || echo fractions"))
        mine = await bench.completed(session, Command(None, "grep -c GALAXY_MARK /proc/self/environ"))
    assert done.stdout == ""
    assert isinstance(mine, Completed)
    assert mine.exit_code == 0
