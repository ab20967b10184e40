"""The test of the tests: with any one of these bugs planted, some seed fails; without, none does."""

from __future__ import annotations

import pytest

from tests.properties.seeds import first_wrong
from tests.properties.sim import bugs_by_hand  # noqa: F401  it adds to BUGS
from tests.properties.sim.bugs import BUGS
from tests.properties.sim.simulation import simulate

#: So many seeds are tried, until one fails.
SEEDS = 400


@pytest.mark.parametrize("name", BUGS)
def test_a_planted_bug_is_caught(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    BUGS[name](monkeypatch)
    assert first_wrong(simulate, range(SEEDS), "asyncio") is not None, (
        f"no seed below {SEEDS} shows that {name.replace('_', ' ')}"
    )


def test_there_are_at_least_twenty_bugs() -> None:
    assert len(BUGS) >= 20
