"""The plugin `journal`: what the entry point leads to."""

from __future__ import annotations

from collections.abc import Iterable

from galaxy_core.extension.hookspecs import hookimpl
from galaxy_core.extension.interfaces import Journal
from galaxy_core_journal.journal import SqliteJournal


@hookimpl
def galaxy_journals() -> Iterable[Journal]:
    return [SqliteJournal()]
