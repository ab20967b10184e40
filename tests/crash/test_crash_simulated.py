"""Lives of orchestrators that crash, in virtual time; `python -m tests.crash.simulated --seeds 10000` plays many more."""

from __future__ import annotations

import pytest

from tests.crash.simulated import simulate

SEEDS = 60


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_whatever_crashes_nothing_is_lost_and_nothing_is_done_twice(backend: str) -> None:
    crashes = 0
    for seed in range(SEEDS):
        trace = simulate(seed, backend)
        assert not trace.problems, "\n".join([str(trace), *trace.story])
        crashes += trace.crashes
    assert crashes > SEEDS // 2


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_seed_is_the_same_story_each_time(backend: str) -> None:
    first, second = simulate(17, backend), simulate(17, backend)
    assert len(first.story) == len(second.story)
    assert first.crashes == second.crashes
