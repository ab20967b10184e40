"""The other fakes of the kit keep their contracts, too."""

from __future__ import annotations

from pathlib import Path

import pytest

from galaxy_core.errors import JournalError
from galaxy_core.extension.interfaces import AssignmentStrategy, JournalWriter
from galaxy_core.testing.contract import (
    Archive,
    AssignmentStrategyContract,
    Audience,
    JournalContract,
    ObserverContract,
)
from galaxy_core.testing.fakes import FirstFit, Recorder
from galaxy_core.testing.journals import JsonLinesJournal, JsonLinesWriter, MemoryJournal


class TestFirstFit(AssignmentStrategyContract):
    @pytest.fixture
    def strategy(self) -> AssignmentStrategy:
        return FirstFit()


class TestRecorder(ObserverContract):
    @pytest.fixture
    def observer(self) -> Audience:
        return Audience(lambda plan: Recorder(), lambda recorder: recorder.events)


def breaks_memory(journal: MemoryJournal) -> None:
    journal.broken = JournalError("no space left")


def breaks_lines(writer: JournalWriter) -> None:
    assert isinstance(writer, JsonLinesWriter)
    writer._file.close()


class TestMemoryJournal(JournalContract):
    @pytest.fixture
    def journal(self) -> Archive:
        journal = MemoryJournal()
        return Archive(journal, lambda: journal, lambda writer: breaks_memory(journal))


class TestJsonLinesJournal(JournalContract):
    @pytest.fixture
    def journal(self, tmp_path: Path) -> Archive:
        return Archive(JsonLinesJournal(tmp_path), lambda: JsonLinesJournal(tmp_path), breaks_lines)
