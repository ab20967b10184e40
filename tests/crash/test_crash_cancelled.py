"""Recorded runs that are cancelled from outside wherever anything waits; `python -m tests.crash.cancelled` takes many more."""

from __future__ import annotations

import pytest

from tests.crash.cancelled import Kind, at_every_step

#: Kinds, seeds, and of how many steps one is taken: of short runs every one.
CASES: list[tuple[Kind, int, int]] = [
    ("run", 2, 1),
    ("run", 1, 16),
    ("steered", 5, 1),
    ("steered", 1, 16),
    ("resume", 1, 16),
]


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@pytest.mark.parametrize(("kind", "seed", "stride"), CASES)
def test_a_run_that_is_cancelled_at_any_step_leaves_nothing_and_can_be_gone_on_with(
    kind: Kind, seed: int, stride: int, backend: str
) -> None:
    steps, wrong = at_every_step(seed, backend, kind, stride)
    assert steps > 50, "a run waits more often than that"
    assert not wrong, "\n".join(map(str, wrong))
