"""Worker threads: bounded, given up at once, and counted until they come back."""

from __future__ import annotations

import threading

import anyio
import pytest

from galaxy_core_winrm.faults import NotSentError
from galaxy_core_winrm.threads import Threads


@pytest.mark.anyio
async def test_a_call_that_is_given_up_is_counted_until_it_comes_back() -> None:
    threads, gate, inside = Threads(2), threading.Event(), threading.Event()

    def hang() -> None:
        inside.set()
        gate.wait(10)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(threads.call, hang)
        await anyio.to_thread.run_sync(inside.wait, 10)
        tasks.cancel_scope.cancel()
    assert threads.given_up == 1
    gate.set()
    with anyio.fail_after(10):
        while threads.given_up:
            await anyio.lowlevel.checkpoint()


@pytest.mark.anyio
async def test_no_more_calls_are_made_when_too_many_hang() -> None:
    threads, gate = Threads(1), threading.Event()
    inside = threading.Event()

    def hang() -> None:
        inside.set()
        gate.wait(10)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(threads.call, hang)
        await anyio.to_thread.run_sync(inside.wait, 10)
        tasks.cancel_scope.cancel()
    with pytest.raises(NotSentError, match="1 calls to it hang"):
        await threads.call(lambda: None)
    gate.set()
    with anyio.fail_after(10):
        while threads.given_up:
            await anyio.lowlevel.checkpoint()
    assert await threads.call(lambda: "again") == "again"


@pytest.mark.anyio
async def test_calls_beyond_the_limit_wait_for_their_turn() -> None:
    threads, most, now, lock = Threads(2), 0, 0, threading.Lock()
    both = threading.Barrier(2)

    def work() -> None:
        nonlocal most, now
        with lock:
            now += 1
            most = max(most, now)
        both.wait(10)
        with lock:
            now -= 1

    async with anyio.create_task_group() as tasks:
        for _ in range(6):
            tasks.start_soon(threads.call, work)
    assert most == 2
