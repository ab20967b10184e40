"""Transport `python`: functions of the embedding program."""

from __future__ import annotations

import asyncio
import functools
import threading
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import anyio
import pytest

from galaxy_core import Call, Command, Device, TaskStar
from galaxy_core.extension.interfaces import Attempt, Completed, Refused, Session
from galaxy_core_local.settings import PythonSettings
from galaxy_core_local.transports import PythonTransport

pytestmark = pytest.mark.anyio


def opened(*, threads: bool, max_concurrency: int = 1) -> AbstractAsyncContextManager[Session]:
    settings = PythonSettings(threads=True) if threads else None
    return PythonTransport().open(Device("host", "python", max_concurrency=max_concurrency), settings)


def attempt(request: Any) -> Attempt:
    return Attempt("run", TaskStar("task", request=request), "host", 1, 1, request, None)


async def called(request: Any, *, threads: bool = False) -> Any:
    async with opened(threads=threads) as session:
        return await session.execute(attempt(request))


def add(one: int, two: int) -> int:
    return one + two


async def add_later(one: int, two: int) -> int:
    await anyio.lowlevel.checkpoint()
    return one + two


def add_in_disguise(one: int, two: int) -> Awaitable[int]:
    return add_later(one, two)


@pytest.mark.parametrize("threads", [False, True])
@pytest.mark.parametrize(
    "function",
    [add, add_later, functools.partial(add_later), add_in_disguise],
    ids=["def", "async def", "partial", "def that returns an awaitable"],
)
async def test_what_a_function_returns_is_the_value(function: Callable[..., Any], threads: bool) -> None:
    assert await called(Call(function, (40,), {"two": 2}), threads=threads) == Completed(42)


@pytest.mark.parametrize("threads", [False, True])
@pytest.mark.parametrize("error", [ValueError("no"), SystemExit(3), StopIteration()], ids=repr)
async def test_what_a_function_raises_is_the_error(error: BaseException, threads: bool) -> None:
    def fail() -> None:
        raise error

    outcome = await called(Call(fail), threads=threads)
    assert outcome.error is error


@pytest.mark.parametrize("threads", [False, True])
async def test_a_cancelled_function_is_cancelled(threads: bool) -> None:
    ended, waiting = False, anyio.Event()

    async def wait() -> None:
        nonlocal ended
        waiting.set()
        try:
            await anyio.sleep_forever()
        finally:
            ended = True

    async def run() -> None:
        outcome = await called(Call(lambda: wait()), threads=threads)  # noqa: PLW0108  else no thread would be used
        pytest.fail(f"it was not cancelled: {outcome}")

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(run)
        await waiting.wait()
        tasks.cancel_scope.cancel()
    assert ended


@pytest.mark.parametrize("threads", [False, True])
async def test_awaiting_what_was_cancelled_is_a_failure_and_no_cancellation(
    anyio_backend_name: str, threads: bool
) -> None:
    if anyio_backend_name != "asyncio":
        pytest.skip("there are no such tasks")

    async def wait() -> None:
        task = asyncio.ensure_future(anyio.sleep_forever())
        task.cancel()
        await task

    outcome = await called(Call(lambda: wait()), threads=threads)  # noqa: PLW0108  as above
    assert outcome.error == "something that the function awaited was cancelled"


@pytest.mark.parametrize("threads", [False, True])
async def test_only_calls_are_taken(threads: bool) -> None:
    outcome = await called(Command(["true"]), threads=threads)
    assert outcome == Refused("transport 'python' takes calls, not Command")


async def test_a_function_runs_in_the_thread_of_the_event_loop_unless_threads_are_asked_for() -> None:
    here = threading.get_ident()
    assert (await called(Call(threading.get_ident))).value == here
    assert (await called(Call(threading.get_ident), threads=True)).value != here


async def test_an_asynchronous_function_stays_in_the_event_loop() -> None:
    async def where() -> int:
        return threading.get_ident()

    assert (await called(Call(where), threads=True)).value == threading.get_ident()


async def test_as_many_threads_as_the_device_has_places_run_at_once() -> None:
    together = threading.Barrier(50, timeout=60)
    async with opened(threads=True, max_concurrency=50) as session, anyio.create_task_group() as tasks:
        for _ in range(50):
            tasks.start_soon(session.execute, attempt(Call(together.wait)))
    assert not together.broken


async def test_a_cancelled_thread_is_abandoned() -> None:
    started, go, ended = anyio.Event(), threading.Event(), threading.Event()

    def work(tell: Callable[[], None]) -> None:
        tell()
        go.wait(60)
        ended.set()

    async with anyio.create_task_group() as tasks:
        tell = functools.partial(anyio.from_thread.run_sync, started.set)
        tasks.start_soon(functools.partial(called, Call(work, (tell,)), threads=True))
        await started.wait()
        tasks.cancel_scope.cancel()
    assert not ended.is_set()
    go.set()
    await anyio.to_thread.run_sync(ended.wait)


async def test_a_probe_tells_which_python() -> None:
    async with opened(threads=False) as session:
        assert set(await session.probe()) == {"python", "implementation"}
