"""The other fakes of the kit keep their contracts, too."""

from __future__ import annotations

from pathlib import Path

import pytest

from galaxy_core.extension.interfaces import AssignmentStrategy
from galaxy_core.testing.contract import (
    Archive,
    AssignmentStrategyContract,
    Audience,
    JournalContract,
    ObserverContract,
)
from galaxy_core.testing.fakes import FirstFit, Recorder
from galaxy_core.testing.journals import JsonLinesJournal, MemoryJournal, line_of


class TestFirstFit(AssignmentStrategyContract):
    @pytest.fixture
    def strategy(self) -> AssignmentStrategy:
        return FirstFit()


class TestRecorder(ObserverContract):
    @pytest.fixture
    def observer(self) -> Audience:
        return Audience(lambda plan: Recorder(), lambda recorder: recorder.events)


class TestMemoryJournal(JournalContract):
    @pytest.fixture
    def journal(self) -> Archive:
        journal = MemoryJournal()
        return Archive(journal, journal.read, line_of)


class TestJsonLinesJournal(JournalContract):
    @pytest.fixture
    def journal(self, tmp_path: Path) -> Archive:
        return Archive(JsonLinesJournal(tmp_path), JsonLinesJournal(tmp_path).read, line_of)
