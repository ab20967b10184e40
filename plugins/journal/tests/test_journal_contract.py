"""The journal `sqlite` keeps the contracts of journals and of plugins."""

from __future__ import annotations

from pathlib import Path

import pytest

from galaxy_core.extension.interfaces import JournalWriter
from galaxy_core.testing.contract import Archive, JournalContract, PluginContract
from galaxy_core_journal import SqliteJournal
from galaxy_core_journal.writing import Writer


def breaks(writer: JournalWriter) -> None:
    """Its database will not be written any more."""
    assert isinstance(writer, Writer)
    assert writer._db is not None
    writer._db.execute("PRAGMA query_only = ON")


class TestSqlite(JournalContract):
    @pytest.fixture
    def journal(self, tmp_path: Path) -> Archive:
        return Archive(SqliteJournal(tmp_path), lambda: SqliteJournal(tmp_path), breaks)


class TestDistribution(PluginContract):
    @pytest.fixture
    def distribution(self) -> str:
        return "galaxy-core-journal"
