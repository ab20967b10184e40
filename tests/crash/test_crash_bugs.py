"""The test of the tests: with any one of these bugs planted, some seed of the simulation fails; without, none does."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.crash.bugs import BUGS
from tests.crash.simulated import simulate

#: So many seeds are tried, until one fails.
SEEDS = 400


def _caught() -> Iterator[int]:
    for seed in range(SEEDS):
        try:
            trace = simulate(seed, "asyncio")
        except Exception:
            yield seed
        else:
            if trace.problems:
                yield seed


@pytest.mark.parametrize("name", BUGS)
def test_a_planted_bug_is_caught(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    BUGS[name](monkeypatch)
    assert next(_caught(), None) is not None, f"no seed below {SEEDS} shows that {name.replace('_', ' ')}"


def test_there_are_at_least_ten_bugs() -> None:
    assert len(BUGS) >= 10
