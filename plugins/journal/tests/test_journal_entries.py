"""Lists of runs say what became of each, and removing them takes only what it is meant to take."""

from __future__ import annotations

import os
import re
from datetime import timedelta
from pathlib import Path

import pytest

from galaxy_core import RunInfo
from galaxy_core.errors import JournalDamagedError, RunLockedError, UnknownRecordedRunError
from galaxy_core_journal import RunEntry, SqliteJournal

pytestmark = pytest.mark.anyio
BEGINNING = [
    '[0,"galaxy",{"format":1,"version":"0.1.0","run_id":"r","mark":"m","at":1000.0}]',
    '[1,"plan",{"name":"four devices"},3,1]',
    '[2,"tasks",[{"task_id":"a"},{"task_id":"b"},{"task_id":"c"}],1.0]',
    '[3,"start","a",1,7,"here",1001.0]',
    '[4,"end","a",1,7,"completed",1002.0,null,null,false]',
]
OVER = '[5,"over","failed",1003.5,{}]'


def run(run_id: str) -> RunInfo:
    return RunInfo(run_id, "a run", [], {}, {})


async def kept(folder: Path, *records: str, run_id: str = "r") -> SqliteJournal:
    journal = SqliteJournal(folder)
    async with journal.open(run(run_id)) as writer:
        await writer.write([*BEGINNING, *records])
    return journal


async def entry(folder: Path, *records: str) -> RunEntry:
    return (await kept(folder, *records)).entry("r")


async def test_a_run_that_is_over_says_how_and_when(tmp_path: Path) -> None:
    found = await entry(tmp_path, OVER)
    assert (found.run_id, found.name, found.state, found.is_over) == ("r", "four devices", "failed", True)
    assert found.started is not None
    assert found.ended is not None
    assert (found.ended - found.started).total_seconds() == 3.5
    assert (found.done, found.total, found.locked_by, found.problem) == (1, 3, None, None)
    assert found.size_bytes > 4096


async def test_one_that_nobody_writes_and_that_is_not_over_was_interrupted(tmp_path: Path) -> None:
    found = await entry(tmp_path)
    assert (found.state, found.is_over, found.ended) == ("interrupted", False, None)


async def test_one_that_is_written_is_running_and_says_who_writes_it(tmp_path: Path) -> None:
    journal = await kept(tmp_path, OVER)
    async with journal.reopen("r"):
        found = journal.entry("r")
    assert (found.state, found.is_over) == ("running", False)
    assert found.locked_by is not None
    assert f"process {os.getpid()} on host" in found.locked_by


@pytest.mark.parametrize(
    ("records", "state"),
    [
        (['[5,"stop",1003.0,"somebody"]'], "stopped"),
        (['[5,"stop",1003.0,"somebody"]', '[6,"opened",{}]'], "interrupted"),
        ([OVER, '[6,"opened",{}]'], "interrupted"),
        ([OVER, '[6,"opened",{}]', '[7,"over","completed",1009.0,{}]'], "completed"),
    ],
)
async def test_what_came_last_says_the_state(tmp_path: Path, records: list[str], state: str) -> None:
    assert (await entry(tmp_path, *records)).state == state


@pytest.mark.parametrize(
    ("records", "done", "total"),
    [
        (['[5,"skip","b",1.0,{}]', '[6,"cancel",["c"],1.0,"",false]'], 1, 3),
        (['[5,"end","b",1,8,"failed",1.0,null,null,false]', '[6,"end","c",1,9,"completed",1.0,{},null,false]'], 2, 3),
        (['[5,"end","b\\"\\u0041",1,8,"completed"]', '[6,"again","b\\"A",1]'], 1, 3),
        (['[5,"ran",[["b",1,8,"here",1,2],["c",1,9,"here",1,2,"failed",null,null,false],[],7]]'], 2, 3),
        (['[5,"again","a",1,"x",1.0,1.0,true,{}]'], 0, 3),
        (['[5,"image",{"tasks":[{"task_id":"d"}],"gone_tasks":["a","b"]}]'], 0, 2),
        (['[5,"edit",{"image":{"tasks":[{"task_id":"b","status":"completed"}],"gone_tasks":[]}}]'], 2, 3),
        (['[5,"edit",null]', '[6,"end"]', '[7,"over"', '[8,"image",{"tasks":7,"gone_tasks":{}}]'], 1, 3),
    ],
)
async def test_tasks_are_counted_as_they_are_after_edits(
    tmp_path: Path, records: list[str], done: int, total: int
) -> None:
    found = await entry(tmp_path, *records)
    assert (found.done, found.total) == (done, total)


UNKNOWN = '[5,"end","b",1,8,"unknown",1.0,null,null,false]'


@pytest.mark.parametrize(
    ("records", "unknown"),
    [
        ([], 0),
        ([UNKNOWN, '[6,"ran",[["c",1,9,"here",1,2,"unknown",null,null,false]]]'], 2),
        ([UNKNOWN, '[6,"again","b",1,"x",1.0,1.0,true,{}]'], 0),
        ([UNKNOWN, '[6,"resolve",{"image":{"tasks":[{"task_id":"b","status":"failed"}]}}]'], 0),
        (['[5,"edit",{"image":{"tasks":[{"task_id":"b","status":"unknown"}]}}]'], 1),
        ([UNKNOWN, '[6,"image",{"tasks":[],"gone_tasks":["b"]}]'], 0),
    ],
)
async def test_tasks_that_wait_for_a_word_are_counted_and_keep_their_run(
    tmp_path: Path, records: list[str], unknown: int
) -> None:
    journal = await kept(tmp_path, *records, f"[{5 + len(records)}{OVER[2:]}")
    assert (journal.entry("r").unknown, journal.entry("r").is_over) == (unknown, True)
    assert len(journal.prune(keep=0)) == (0 if unknown else 1)
    assert len(journal.prune(keep=0, unfinished=True)) == (1 if unknown else 0)


async def test_records_of_any_kind_make_an_entry(tmp_path: Path) -> None:
    journal = SqliteJournal(tmp_path)
    for number, records in enumerate(
        [[], ["x"], ["[]", "[]"], ['[0,"galaxy"]', '[1,"plan"]'], ['[0,"galaxy",{"at":"?"}]']]
    ):
        async with journal.open(run(str(number))) as writer:
            await writer.write(records)
    assert [(one.name, one.state, one.total) for one in journal.entries()] == [("", "interrupted", 0)] * 5


async def test_a_damaged_run_is_listed_with_what_is_wrong(tmp_path: Path) -> None:
    journal = await kept(tmp_path, OVER)
    database = tmp_path / "r" / "journal.db"
    data = database.read_bytes()
    database.write_bytes(data.replace(b'"completed"', b'"completes"'))
    found = journal.entry("r")
    assert (found.state, found.is_over, found.name) == ("damaged", False, "four devices")
    assert re.search("its checksum is wrong", found.problem or "")
    with pytest.raises(JournalDamagedError):
        journal.verify("r")


async def test_a_sound_run_is_verified_by_the_number_of_its_records(tmp_path: Path) -> None:
    assert (await kept(tmp_path, OVER)).verify("r") == 6


# ------------------------------------------------------------------------------------------------------------ removing


def aged(folder: Path, run_id: str, days: float) -> None:
    path = folder / run_id / "journal.db"
    at = path.stat().st_mtime - days * 86_400
    os.utime(path, (at, at))


async def several(folder: Path) -> SqliteJournal:
    """The oldest first: two that are over, one that was interrupted, two that are over."""
    for number, records in enumerate([[OVER], [OVER], [], [OVER], [OVER]]):
        await kept(folder, *records, run_id=f"run-{number}")
        aged(folder, f"run-{number}", 50 - 10 * number)
    return SqliteJournal(folder)


@pytest.mark.parametrize(
    ("older_than", "keep", "unfinished", "gone"),
    [
        (timedelta(days=25), None, False, [1, 0]),
        (timedelta(days=25), None, True, [2, 1, 0]),
        (None, 3, False, [1, 0]),
        (None, 0, True, [4, 3, 2, 1, 0]),
        (timedelta(days=45), 1, False, [0]),
        (timedelta(days=99), 0, True, []),
    ],
)
async def test_pruning_takes_what_is_old_over_and_not_among_the_newest(
    tmp_path: Path, older_than: timedelta | None, keep: int | None, unfinished: bool, gone: list[int]
) -> None:
    journal = await several(tmp_path)
    names = [f"run-{number}" for number in gone]
    told = journal.prune(older_than, keep, unfinished=unfinished, dry_run=True)
    assert [one.run_id for one in told] == names
    assert len(journal.runs()) == 5
    assert [one.run_id for one in journal.prune(older_than, keep, unfinished=unfinished)] == names
    assert set(journal.runs()) == {f"run-{number}" for number in range(5)} - set(names)


async def test_pruning_without_a_rule_is_refused(tmp_path: Path) -> None:
    journal = await several(tmp_path)
    with pytest.raises(ValueError, match="it would remove every run"):
        journal.prune()
    with pytest.raises(ValueError, match="negative"):
        journal.prune(keep=-1)


async def test_what_is_written_is_not_removed(tmp_path: Path) -> None:
    journal = await kept(tmp_path, OVER)
    async with journal.reopen("r") as writer:
        assert journal.prune(keep=0, unfinished=True) == []
        with pytest.raises(RunLockedError):
            journal.remove("r")
        await writer.write(["[6]"])
    assert len(journal.read("r")) == 7


async def test_a_run_is_removed_with_its_files(tmp_path: Path) -> None:
    journal = SqliteJournal(tmp_path)
    async with journal.open(run("r")) as writer:
        assert writer.folder is not None
        (writer.folder / "big.txt").write_text("big")
    journal.remove("r")
    assert os.listdir(tmp_path) == ["order"]
    with pytest.raises(UnknownRecordedRunError):
        journal.remove("r")
    async with journal.open(run("r")) as writer:
        assert writer.epoch == 1


async def test_what_a_process_left_that_died_while_it_made_a_run_is_no_run_and_goes_later(tmp_path: Path) -> None:
    journal = await kept(tmp_path)
    (tmp_path / ".new-x").mkdir()
    (tmp_path / ".gone-x").mkdir()
    (tmp_path / ".order-x").touch()
    assert list(journal.runs()) == ["r"]
    journal.prune(keep=1)
    assert (tmp_path / ".new-x").is_dir()
    assert (tmp_path / ".order-x").is_file()
    for name in (".new-x", ".gone-x", ".order-x"):
        os.utime(tmp_path / name, (1.0, 1.0))
    journal.prune(keep=1)
    assert sorted(os.listdir(tmp_path)) == ["order", "r"]
