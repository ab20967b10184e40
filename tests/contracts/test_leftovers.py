"""What a session leaves behind is seen: processes that it started, whichever thread did, and whether they run or not."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import anyio
import pytest

from galaxy_core.testing.contract import leftovers
from galaxy_core.testing.contract.leftovers import Leftovers

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="child processes are seen on Linux alone"),
]


@contextmanager
def child() -> Iterator[subprocess.Popen[bytes]]:
    """One that ends when it is asked to."""
    with subprocess.Popen(
        [sys.executable, "-c", "input()"], stdin=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        yield process
        process.kill()


@pytest.fixture(params=["listed", "searched"])
def without_patience(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a kernel that lists children, and on one that does not."""

    def no_list() -> list[str]:
        raise FileNotFoundError

    if request.param == "searched":
        monkeypatch.setattr(leftovers, "_listed_children", no_list)
    monkeypatch.setattr(leftovers, "SETTLE_S", 0.0)


async def processes(before: Leftovers) -> list[str]:
    return [told for told in await before.found() if told.startswith("process")]


@pytest.mark.usefixtures("without_patience")
async def test_a_process_that_runs_is_seen_until_it_is_waited_for() -> None:
    before = Leftovers()
    with child() as process:
        assert len(await processes(before)) == 1
        process.kill()
        await anyio.to_thread.run_sync(_until_dead, process.pid)
        [told] = await processes(before)
        assert str(process.pid) in told
    assert await processes(before) == []


@pytest.mark.usefixtures("without_patience")
async def test_a_process_that_was_there_before_is_not_told_of() -> None:
    with child():
        assert await processes(Leftovers()) == []


@pytest.mark.usefixtures("without_patience")
async def test_a_process_of_another_thread_is_seen() -> None:
    before, started, enough = Leftovers(), threading.Event(), threading.Event()

    def start() -> None:
        with child():
            started.set()
            enough.wait()

    thread = threading.Thread(target=start)
    thread.start()
    try:
        await anyio.to_thread.run_sync(started.wait)
        assert len(await processes(before)) == 1
    finally:
        enough.set()
        thread.join()


def _until_dead(number: int) -> None:
    while Path(f"/proc/{number}/stat").read_bytes().rpartition(b")")[2].split()[0] != b"Z":
        threading.Event().wait(0.01)
