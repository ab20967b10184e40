"""Loss of power at any moment leaves whole what records name: long values, and files that tasks have left."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from .journal_bugs import BUGS
from .journal_files import EXPECTED, tape
from .journal_found import lost, states, verdict

pytestmark = pytest.mark.skipif(os.name != "posix", reason="elsewhere nobody waits for folders")


def test_what_records_name_is_there_and_whole_after_power_loss(swift: Path) -> None:
    count, wrong = lost(swift, most=8)
    assert wrong == []
    assert count > 1_000


@pytest.mark.parametrize("name", BUGS)
def test_a_planted_bug_loses_something_and_nobody_is_given_a_part_of_it(
    name: str, swift: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    BUGS[name](monkeypatch)
    _, wrong = lost(swift, most=15, runs=[(True, "sync")])
    assert wrong, f"no state shows that {name.replace('_', ' ')}"
    assert [one for one in wrong if "WRONG VALUE" in one] == []


def test_the_last_state_of_a_run_has_every_value(swift: Path) -> None:
    recorded = tape(swift)
    *_, last = states(recorded)
    assert verdict(recorded, last) == []
    assert last.records == len(recorded.lines)
    assert sum(line.split(",", 2)[1] == '"files"' for line in recorded.lines) == sum(
        what.startswith("file.") for _, what in EXPECTED
    )
