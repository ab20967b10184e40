"""A run is kept with the folder in which it was under way; a program that goes on elsewhere hears of that."""

from __future__ import annotations

import json
import logging
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from galaxy_core import (
    Call,
    ConstellationDeviceManager,
    Device,
    EventBus,
    TaskConstellation,
    TaskConstellationOrchestrator,
    TaskStar,
    TaskStarLine,
)
from galaxy_core.errors import JournalDamagedError
from galaxy_core.model.records.replay import replay
from galaxy_core.testing.journals import KeptRun, MemoryJournal

pytestmark = pytest.mark.anyio
FIRST, SECOND = "first", "second"


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """Two folders, the first being the current one."""
    found = tmp_path / FIRST, tmp_path / SECOND
    for place in found:
        place.mkdir()
    monkeypatch.chdir(found[0])
    return found


def plan() -> TaskConstellation:
    tasks = [TaskStar(name, request=Call(os.getpid)) for name in ("a", "b")]
    return TaskConstellation.build(tasks, [TaskStarLine("a", "b")], constellation_id="p")


async def under_way(journal: MemoryJournal, *, resumed: bool = False) -> None:
    """Run the plan, or go on with it, to its end."""
    bus = EventBus()
    async with ConstellationDeviceManager(event_bus=bus) as devices:
        devices.add_device(Device("here", "python"))
        orchestrator = TaskConstellationOrchestrator(devices, event_bus=bus, journal=journal)
        if resumed:
            result = await orchestrator.resume("p", constellation=plan())
        else:
            result = await orchestrator.orchestrate_constellation(plan(), assignment_strategy="round_robin")
    assert result["status"] == "completed"


def without_its_end(journal: MemoryJournal) -> MemoryJournal:
    """The journal of a process that was gone before "b" had started."""
    lines = journal.kept["p"].records
    starts = (n for n, line in enumerate(lines) if json.loads(line)[1:3] == ["start", "b"])
    return of(lines[: next(starts)])


def of(lines: list[str]) -> MemoryJournal:
    journal = MemoryJournal()
    journal.kept["p"] = kept = KeptRun()
    kept.records, kept.epoch = list(lines), replay(lines).epochs[-1].epoch
    return journal


def changed(journal: MemoryJournal, kind: str, **parts: Any) -> MemoryJournal:
    """With other parts in the first record of a kind; those that are `...` are left out."""
    lines = [json.loads(line) for line in journal.kept["p"].records]
    record = next(line for line in lines if line[1] == kind)
    document = {**record[2], **parts}
    record[2] = {name: part for name, part in document.items() if part is not ...}
    return of([json.dumps(line) for line in lines])


def warnings(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    return [record for record in caplog.records if record.levelno >= logging.WARNING]


async def test_each_process_that_writes_a_run_says_in_which_folder(
    places: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = MemoryJournal()
    await under_way(journal)
    journal = without_its_end(journal)
    monkeypatch.chdir(places[1])
    await under_way(journal, resumed=True)
    found = replay(journal.kept["p"].records)
    assert found.header is not None
    assert found.header.folder == str(places[0])
    assert [epoch.folder for epoch in found.epochs] == [str(place) for place in places]
    assert found.folder == str(places[1])


async def test_a_run_that_goes_on_in_another_folder_is_warned_of_once_with_both_and_the_remedy(
    places: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    journal = MemoryJournal()
    await under_way(journal)
    monkeypatch.chdir(places[1])
    await under_way(without_its_end(journal), resumed=True)
    (said,) = warnings(caplog)
    text = said.getMessage()
    assert f"was under way in {str(places[0])!r}, and goes on in {str(places[1])!r}" in text
    assert f"os.chdir({str(places[0])!r})" in text
    assert "root" in text
    assert said.__dict__["recorded_folder"] == str(places[0])


async def test_the_folder_that_counts_is_that_of_the_last_process(
    places: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    journal = MemoryJournal()
    await under_way(journal)
    journal = without_its_end(journal)
    monkeypatch.chdir(places[1])
    await under_way(journal, resumed=True)
    caplog.clear()
    await under_way(without_its_end(journal), resumed=True)
    assert warnings(caplog) == []
    monkeypatch.chdir(places[0])
    await under_way(without_its_end(journal), resumed=True)
    assert f"was under way in {str(places[1])!r}" in warnings(caplog)[0].getMessage()


@pytest.mark.skipif(sys.platform == "win32", reason="links need a privilege there")
async def test_nothing_is_said_where_it_goes_on_in_the_same_folder_whatever_that_is_called(
    places: tuple[Path, Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    journal = MemoryJournal()
    await under_way(journal)
    await under_way(without_its_end(journal), resumed=True)
    (tmp_path / "link").symlink_to(places[0])
    renamed = changed(without_its_end(journal), "galaxy", folder=str(tmp_path / "link"))
    await under_way(renamed, resumed=True)
    assert warnings(caplog) == []


async def test_of_a_run_that_an_older_version_has_written_nobody_knows_the_folder(
    places: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    journal = MemoryJournal()
    await under_way(journal)
    old = changed(without_its_end(journal), "galaxy", folder=..., format=1)
    assert replay(old.kept["p"].records).folder is None
    monkeypatch.chdir(places[1])
    await under_way(old, resumed=True)
    assert warnings(caplog) == []
    older = changed(old, "opened", folder=...)
    assert replay(older.kept["p"].records).folder is None
    assert replay(old.kept["p"].records).folder == str(places[1])


@pytest.mark.skipif(sys.platform == "win32", reason="no process's folder can be removed there")
async def test_a_process_whose_folder_was_removed_has_none_and_runs_all_the_same(
    places: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    journal = MemoryJournal()
    await under_way(journal)
    journal = without_its_end(journal)
    monkeypatch.chdir(places[1])
    places[1].rmdir()
    await under_way(journal, resumed=True)
    assert "goes on in a folder that was removed" in warnings(caplog)[0].getMessage()
    found = replay(journal.kept["p"].records)
    assert [epoch.folder for epoch in found.epochs] == [str(places[0]), None]
    assert found.folder == str(places[0])
    fresh = MemoryJournal()
    await under_way(fresh)
    assert replay(fresh.kept["p"].records).folder is None


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere file names are Unicode")
async def test_a_folder_whose_name_is_no_text_comes_back_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    odd = os.fsencode(tmp_path) + b"/caf\xe9"
    os.mkdir(odd)
    monkeypatch.chdir(os.fsdecode(odd))
    journal = MemoryJournal()
    await under_way(journal)
    found = replay(journal.kept["p"].records)
    assert os.fsencode(found.folder or "") == odd
    monkeypatch.chdir(tmp_path)
    await under_way(without_its_end(journal), resumed=True)
    assert "caf\\udce9" in warnings(caplog)[0].getMessage()


@pytest.mark.parametrize("kind", ["galaxy", "opened"])
async def test_a_folder_that_is_no_text_is_damage(kind: str, places: tuple[Path, Path]) -> None:
    journal = MemoryJournal()
    await under_way(journal)
    journal = without_its_end(journal)
    await under_way(journal, resumed=True)
    lines = [json.loads(line) for line in journal.kept["p"].records]
    next(line for line in lines if line[1] == kind)[2]["folder"] = ["/"]
    with pytest.raises(JournalDamagedError, match="folder"):
        replay([json.dumps(line) for line in lines])
