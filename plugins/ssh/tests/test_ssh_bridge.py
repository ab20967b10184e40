"""The bridge between trio and the loop of asyncio, which asyncssh needs: calls cross it both ways at once."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections.abc import Iterator

import anyio
import pytest

from galaxy_core_ssh.bridge import bridge

pytestmark = pytest.mark.anyio

#: Over there waits for an answer from here, which is just then about to send something there.
_BOTH_AT_ONCE = """
import threading, time, anyio
from galaxy_core_ssh.bridge import bridge

async def main():
    ready, asking = threading.Event(), threading.Event()

    async def asks():
        ready.wait()
        asking.set()
        return crossing.ask(lambda: "an answer")

    async def says():
        return "said"

    async def both():
        ready.set()  # from here on nothing else runs in this loop until it has crossed over
        asking.wait()
        time.sleep(0.2)  # now it waits over there
        print(await crossing.run(says))

    async with bridge() as crossing, anyio.create_task_group() as group:
        group.start_soon(both)
        print(await crossing.run(asks))

anyio.run(main, backend="trio")
"""


def test_both_sides_may_call_the_other_at_the_same_moment() -> None:
    """In a process of its own: who waits for whom waits for ever otherwise."""
    done = subprocess.run(
        [sys.executable, "-c", _BOTH_AT_ONCE], capture_output=True, text=True, timeout=60, check=False
    )
    assert sorted(done.stdout.splitlines()) == ["an answer", "said"], done.stderr


async def test_many_calls_cross_both_ways() -> None:
    answers: Iterator[int] = iter(range(300))
    found: list[tuple[int, str]] = []

    async with bridge() as crossing:

        async def asks() -> tuple[int, str]:
            await anyio.lowlevel.checkpoint()
            return crossing.ask(lambda: next(answers)), threading.current_thread().name

        async def work() -> None:
            found.extend([await crossing.run(asks) for _ in range(30)])

        async with anyio.create_task_group() as group:
            for _ in range(10):
                group.start_soon(work)
    assert sorted(number for number, _ in found) == list(range(300))
    assert len({thread for _, thread in found}) == 1


async def test_what_fails_over_there_is_raised_here_and_what_fails_here_over_there() -> None:
    async with bridge() as crossing:

        def refuse() -> None:
            raise KeyError("here")

        async def asks() -> str:
            with pytest.raises(KeyError, match="here"):
                crossing.ask(refuse)
            raise ValueError("there")

        with pytest.raises(ValueError, match="there"):
            await crossing.run(asks)


async def test_what_is_cancelled_cleans_up_over_there_before_it_is_over_here() -> None:
    ended: list[str] = []
    async with bridge() as crossing:
        began = anyio.Event()

        async def works() -> None:
            try:
                crossing.tell(began.set)
                await anyio.sleep_forever()
            finally:
                with anyio.CancelScope(shield=True):
                    await anyio.sleep(0.01)
                ended.append("cleaned up")

        async with anyio.create_task_group() as group:
            group.start_soon(crossing.run, works)
            await began.wait()
            group.cancel_scope.cancel()
        assert ended == ["cleaned up"]


async def test_whatever_is_raised_over_there_arrives_here() -> None:
    async def stray() -> None:
        cancelled = asyncio.get_running_loop().create_future()
        cancelled.cancel()
        await cancelled

    async def group() -> None:
        raise BaseExceptionGroup("several", [asyncio.CancelledError(), ValueError("real")])

    async with bridge() as crossing:
        if crossing._there is None:
            return  # over there is here
        with pytest.raises(ConnectionError, match="what was waited for over there was cancelled"):
            await crossing.run(stray)
        with pytest.raises(BaseExceptionGroup, match="several"):
            await crossing.run(group)
    with pytest.raises(ConnectionError, match="closed"):
        await crossing.run(stray)
