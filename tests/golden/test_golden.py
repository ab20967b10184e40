"""Journals of every released version are read, and come to the plans that they came to then; see `make`."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from galaxy_core import TaskConstellation, replay
from galaxy_core_journal import SqliteJournal

FOLDER = Path(__file__).parent
RECORDS = sorted(FOLDER.glob("format-*/*.jsonl"))


@pytest.mark.parametrize("path", RECORDS, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_old_records_come_to_the_plan_that_they_came_to(path: Path) -> None:
    lines = path.read_text().splitlines()
    for until, document in json.loads(path.with_suffix(".json").read_text()).items():
        found = replay(lines, until=int(until))
        assert json.loads(json.dumps(found.document())) == document
        assert TaskConstellation.from_dict(document).to_dict()["tasks"].keys() == document["tasks"].keys()


@pytest.mark.parametrize("path", RECORDS, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_an_old_journal_gives_back_its_records(path: Path, tmp_path: Path) -> None:
    shutil.copytree(path.with_suffix(".journal"), tmp_path / "journal")  # reading it makes files beside it
    for file in (tmp_path / "journal").rglob("*"):
        file.chmod(0o700 if file.is_dir() else 0o600)  # git keeps no such rights
    (tmp_path / "journal").chmod(0o700)
    journal = SqliteJournal(tmp_path / "journal")
    (run_id,) = journal.runs()
    assert list(journal.read(run_id)) == path.read_text().splitlines()


def test_there_are_golden_journals_of_the_present_format() -> None:
    from galaxy_core.model.records.encode import FORMAT

    assert any(path.parent.name == f"format-{FORMAT}" for path in RECORDS)
