"""Loss of power at any moment leaves the records that were promised, and a beginning of the others."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from galaxy_core_journal import writing
from galaxy_core_journal.reading import connect

from .journal_disk import shared_library
from .journal_loss import lost, tape

pytestmark = pytest.mark.skipif(
    shared_library() is None, reason="SQLite is built into this Python: its writes cannot be noted"
)


def test_what_was_promised_is_there_after_power_loss_in_2000_states(swift: Path) -> None:
    assert lost(swift, 2_000) == []


def test_a_journal_that_does_not_wait_for_the_disk_is_found_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Hasty(sqlite3.Connection):
        def execute(self, sql: str, /, *parameters: object) -> sqlite3.Cursor:
            return super().execute(sql.replace("synchronous = FULL", "synchronous = OFF"), *parameters)  # type: ignore[arg-type]

    def hasty(path: Path, how: str, *, check_same_thread: bool = True) -> sqlite3.Connection:
        real = sqlite3.connect
        with monkeypatch.context() as patched:
            patched.setattr(sqlite3, "connect", lambda *args, **kwargs: real(*args, factory=Hasty, **kwargs))
            return connect(path, how, check_same_thread=check_same_thread)

    monkeypatch.setattr(writing, "connect", hasty)
    assert lost(tmp_path, 500) != []


def test_every_write_has_waited_for_the_disk_when_it_returns(tmp_path: Path) -> None:
    recorded = tape(tmp_path)
    for number, _ in recorded.acknowledged:
        log = [op for op in recorded.ops[:number] if op.path.endswith("-wal")]
        assert log[-1].kind == "sync"
