"""An orchestrator that dies at the boundaries of its journal, on plans of five shapes with real processes, edits and retries.

`python -m tests.crash.deaths` takes every boundary in every manner, on larger plans.
"""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest

from tests.crash.boundaries import KINDS
from tests.crash.deaths import Death, Found, Scale, boundaries, some, trial
from tests.crash.plans import SHAPES

SCALE = Scale()
#: Trials at a time: they wait for processes most of the time.
BESIDE = 3


def _all(deaths: Iterable[Death], folder: Path) -> list[Found]:
    with ThreadPoolExecutor(BESIDE) as pool:
        return list(pool.map(partial(trial, scale=SCALE, folder=folder), deaths))


def _wrong(found: Iterable[Found]) -> str:
    return "\n".join(str(one) for one in found if one.wrong)


@pytest.mark.parametrize("shape", SHAPES)
def test_death_at_any_write_loses_nothing_and_runs_nothing_twice(tmp_path: Path, shape: str) -> None:
    writes = boundaries(shape, "before", SCALE, tmp_path)
    assert writes > 8, "plan, starts, ends and edits of a run are more than that"
    found = _all(some(shape, {"before": writes + 2}), tmp_path)  # how they are gathered is never quite the same
    assert not _wrong(found), _wrong(found)
    assert {one.death.kind for one in found if one.deaths} == set(KINDS)
    assert sum(one.deaths for one in found) > writes // 2


def test_death_while_a_journal_is_made_opened_or_closed_loses_nothing(tmp_path: Path) -> None:
    statements = boundaries("layered", "statement", SCALE, tmp_path)
    found = _all((Death("layered", "statement", at) for at in range(1, statements + 1)), tmp_path)
    assert not _wrong(found), _wrong(found)
    assert all(one.deaths for one in found)
