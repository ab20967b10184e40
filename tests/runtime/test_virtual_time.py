"""The clock that all other tests here rely on. These tests start event loops of their own, so they are not `async`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

import anyio
import anyio.lowlevel
import pytest

from galaxy_core.testing.virtual_time import EPOCH_S, ends, virtual_backend, virtual_clock

T = TypeVar("T")
WEEK_S = 7 * 86_400.0
both = pytest.mark.parametrize("name", ["asyncio", "trio"])


def run(name: str, function: Callable[[], Awaitable[T]], seed: int | None = None) -> T:
    backend, options = virtual_backend(name, seed)
    return anyio.run(function, backend=backend, backend_options=options)


@both
def test_weeks_pass_at_once_and_to_the_second(name: str) -> None:
    async def sleep() -> float:
        for _ in range(100):
            await anyio.sleep(WEEK_S)
        return anyio.current_time()

    assert run(name, sleep) == pytest.approx(100 * WEEK_S)


@both
def test_time_stands_still_while_anything_can_run(name: str) -> None:
    async def spin() -> tuple[float, float]:
        before = anyio.current_time()
        for _ in range(1000):
            await anyio.lowlevel.checkpoint()
        return before, anyio.current_time()

    before, after = run(name, spin)
    assert before == after


@both
def test_timers_fire_in_their_order(name: str) -> None:
    async def sleep_all() -> list[int]:
        woke: list[int] = []

        async def sleep(seconds: int) -> None:
            await anyio.sleep(seconds)
            woke.append(seconds)

        async with anyio.create_task_group() as group:
            for seconds in (5, 1, 4, 2, 3):
                group.start_soon(sleep, seconds)
        return woke

    assert run(name, sleep_all) == [1, 2, 3, 4, 5]


async def _order() -> list[int]:
    order: list[int] = []

    async def step(number: int) -> None:
        for _ in range(3):
            await anyio.lowlevel.checkpoint()
            order.append(number)

    async with anyio.create_task_group() as group:
        for number in range(6):
            group.start_soon(step, number)
    return order


@both
def test_a_seed_fixes_the_order_of_what_is_ready_at_once(name: str) -> None:
    orders = [run(name, _order, seed) for seed in range(20)]
    assert [run(name, _order, seed) for seed in range(20)] == orders
    assert len({tuple(order) for order in orders}) > 5


def test_asyncio_keeps_its_own_order_without_a_seed() -> None:
    assert run("asyncio", _order) == list(range(6)) * 3


def test_a_deadlock_on_asyncio_names_who_waits() -> None:
    async def wait_for_nobody() -> None:
        await anyio.Event().wait()

    with pytest.raises(RuntimeError, match=r"deadlock.*wait_for_nobody"):
        run("asyncio", wait_for_nobody)


@both
def test_a_test_that_never_ends_fails_after_a_virtual_day(name: str) -> None:
    async def beat_for_ever() -> None:
        while True:  # noqa: ASYNC110  that is what a heartbeat does
            await anyio.sleep(30)

    with pytest.raises(TimeoutError):
        run(name, ends(beat_for_ever))


@both
def test_the_wall_clock_follows_the_event_loop(name: str) -> None:
    clock = virtual_clock()

    async def walls() -> tuple[float, float]:
        first = clock.wall()
        await anyio.sleep(90)
        return first, clock.wall()

    first, second = run(name, walls)
    assert second - first == pytest.approx(90)
    assert clock.wall() == EPOCH_S


def test_perf_counts_calls_and_chance_is_seeded() -> None:
    one, other = virtual_clock(3, 0.5), virtual_clock(3, 0.5)
    assert [one.perf() for _ in range(3)] == [0.0, 0.5, 1.0]
    assert one.random.random() == other.random.random()
