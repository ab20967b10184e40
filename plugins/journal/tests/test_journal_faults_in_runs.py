"""A run whose k-th operation on the disk fails stops before it does anything that is not recorded, and can be gone on with."""

from __future__ import annotations

from pathlib import Path

import pytest

from galaxy_core.runtime.ledger import Ledger

from .journal_disk import shared_library
from .journal_faults import wrong_runs

pytestmark = pytest.mark.skipif(
    shared_library() is None, reason="SQLite is built into this Python: its writes cannot be noted"
)


def test_a_run_whose_disk_fails_begins_nothing_that_is_not_kept_and_loses_nothing_that_is(swift: Path) -> None:
    assert {name: wrong for name, wrong in wrong_runs(swift / "runs", stride=6) if wrong} == {}


def test_a_run_that_does_not_wait_for_the_records_of_its_starts_is_found_out(
    swift: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def at_once(self: Ledger) -> None:
        return None

    monkeypatch.setattr(Ledger, "durable", at_once)
    _, wrong = next(iter(wrong_runs(swift / "runs", stride=10)))
    assert any("begins, and its start is not kept" in one for one in wrong)
