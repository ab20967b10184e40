"""The real command, killed for good at random moments; `python -m tests.crash --kills 2000` kills more often."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from tests.crash.kills import trial, written


@pytest.mark.parametrize("seed", range(5))
def test_a_killed_command_is_resumed_and_nothing_is_lost_or_done_twice(seed: int) -> None:
    for other in range(seed, 100, 5):  # of the same shape; one whose kills all come too late proves little
        found = trial(other, kills=2)
        assert not found.wrong, str(found)
        if found.kills:
            return
    pytest.fail("no kill came in time")


def test_a_run_that_gets_its_name_while_somebody_looks_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in (".new-1", "run"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "journal.db").write_text(name)
    looked = os.scandir

    def scandir(path: Any) -> Any:
        if os.path.basename(path) == ".new-1":
            raise FileNotFoundError(path)
        return looked(path)

    monkeypatch.setattr(os, "scandir", scandir)
    assert written(tmp_path) == [("journal.db", 3)]
