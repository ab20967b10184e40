"""Deadlines: each attempt is interrupted at its own, unless it has ended, and however many there are."""

from __future__ import annotations

import gc
import random
import weakref
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from galaxy_core import TaskTimeoutError
from galaxy_core.runtime.timers import Timers
from galaxy_core.testing.fakes import hang

from .fakes import plan, rig

pytestmark = pytest.mark.anyio


class Attempt:
    """A worker at one attempt, as timers know it: they look at its lease, and interrupt it."""

    looks = 0

    def __init__(self, lease: int) -> None:
        self._lease = lease
        self.interrupted_at: float | None = None

    @property
    def lease(self) -> int:
        Attempt.looks += 1
        return self._lease

    def end(self) -> None:
        self._lease = 0

    def interrupt(self, reason: str) -> None:
        assert reason == "timeout"
        assert self.interrupted_at is None
        self.interrupted_at = anyio.current_time()
        self.end()


@asynccontextmanager
async def serving() -> AsyncIterator[Any]:
    async with anyio.create_task_group() as group:
        timers = Timers(anyio.current_time)
        group.start_soon(timers.run)
        await anyio.lowlevel.checkpoint()
        yield timers
        group.cancel_scope.cancel()


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("timeouts", [1, 3, 10**9], ids=["one timeout", "few timeouts", "distinct timeouts"])
async def test_each_attempt_is_interrupted_at_its_deadline_unless_it_has_ended(timeouts: int, seed: int) -> None:
    chance = random.Random(seed)
    async with serving() as timers:
        attempts: list[Attempt] = []
        deadlines: list[float] = []
        ends: list[float | None] = []
        for lease in range(1, 400):
            attempt = Attempt(lease)
            timeout_s = 1 + 10 * chance.randrange(timeouts) / timeouts
            timers.set_deadline(timeout_s, attempt)
            attempts.append(attempt)
            deadlines.append(anyio.current_time() + timeout_s)
            ends.append(None)
            if chance.random() < 0.7:  # one of the last ones ends by itself
                number = max(0, lease - chance.randrange(1, 50))
                if attempts[number].interrupted_at is None and ends[number] is None:
                    attempts[number].end()
                    ends[number] = anyio.current_time()
            await anyio.sleep(chance.choice([0, 0, 0.01, 0.5]))
        await anyio.sleep(20)
    for attempt, deadline, end in zip(attempts, deadlines, ends, strict=True):
        if end is not None:
            assert attempt.interrupted_at is None
        else:
            assert attempt.interrupted_at == pytest.approx(deadline)


@pytest.mark.parametrize("distinct", [False, True], ids=["one timeout", "distinct timeouts"])
async def test_what_deadlines_cost_is_in_proportion_to_their_number(distinct: bool) -> None:
    chance, number = random.Random(0), 2_000
    async with serving() as timers:
        Attempt.looks = 0
        for lease in range(1, number + 1):
            timers.set_deadline(chance.uniform(10, 1000) if distinct else 10.0, Attempt(lease))
            await anyio.sleep(0.01)
        await anyio.sleep(1000)
    assert Attempt.looks < 10 * number


@pytest.mark.parametrize("distinct", [False, True], ids=["one timeout", "distinct timeouts"])
async def test_what_has_ended_is_not_kept_until_its_deadline(distinct: bool) -> None:
    chance = random.Random(0)
    async with serving() as timers:
        oldest = Attempt(1)
        timers.set_deadline(1000.0, oldest)  # and it goes on, before all others
        kept: weakref.WeakSet[Attempt] = weakref.WeakSet()
        for lease in range(2, 5_000):
            attempt = Attempt(lease)
            kept.add(attempt)
            timers.set_deadline(chance.uniform(2000, 3000) if distinct else 2000.0, attempt)
            attempt.end()
        del attempt
        gc.collect()
        assert len(kept) < 200
        assert oldest.interrupted_at is None


async def test_tasks_with_a_deadline_each_fail_at_it() -> None:
    async with rig(slots=50, heartbeat_interval=1e6) as house:
        house.transport.default = hang
        constellation = plan(" ".join(f"t{number}" for number in range(50)))
        for number, task in enumerate(constellation.get_all_tasks()):
            task._timeout = 100.0 - number
        result = await house.run(constellation)
        assert anyio.current_time() == pytest.approx(100)
    assert all(isinstance(one.error, TaskTimeoutError) for one in result["results"].values())
    assert house.device().cancelled == [f"t{number}" for number in reversed(range(50))]
