"""Runs kept in SQLite, one folder for each. See docs/reference/journal.md."""

from galaxy_core_journal.entries import RunEntry
from galaxy_core_journal.journal import SqliteJournal

__all__ = ["RunEntry", "SqliteJournal"]
