"""Journals that cannot be read, written or found say why, and lose nothing."""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from galaxy_core import RunInfo
from galaxy_core.errors import (
    JournalDamagedError,
    JournalError,
    JournalVersionError,
    UnknownRecordedRunError,
)
from galaxy_core_journal import SqliteJournal, writing
from galaxy_core_journal.layout import CHUNK_BYTES
from galaxy_core_journal.places import folder_name

pytestmark = pytest.mark.anyio
NOBODY = 65534


def run(run_id: str = "r") -> RunInfo:
    return RunInfo(run_id, "a run", [], {}, {})


async def kept(folder: Path, records: list[str], run_id: str = "r") -> SqliteJournal:
    journal = SqliteJournal(folder)
    async with journal.open(run(run_id)) as writer:
        await writer.write(records)
    return journal


@contextmanager
def somebody_else() -> Iterator[Path]:
    """As a user without rights, with a folder that they can enter. Those who are not root are nobody else already."""
    folder = Path(tempfile.mkdtemp(prefix="galaxy-tests-"))
    folder.chmod(0o755)
    is_root = os.geteuid() == 0
    if is_root:
        os.chown(folder, NOBODY, NOBODY)
        os.seteuid(NOBODY)
    try:
        yield folder
    finally:
        if is_root:
            os.seteuid(0)
        for path in (folder, *folder.rglob("*")):
            path.chmod(0o700)
        shutil.rmtree(folder)


async def test_a_newer_format_is_refused_and_nothing_is_changed(tmp_path: Path) -> None:
    journal = await kept(tmp_path, ["[0]"])
    database = tmp_path / "r" / "journal.db"
    db = sqlite3.connect(database)
    db.execute("PRAGMA user_version = 2")
    db.close()
    before = database.read_bytes()
    for _ in range(2):
        with pytest.raises(JournalVersionError, match="has format 2; this version reads up to 1"):
            journal.read("r")
        with pytest.raises(JournalVersionError):
            async with journal.reopen("r"):
                pass
    assert database.read_bytes() == before
    assert journal.entry("r").state == "unreadable"


async def test_a_copy_without_the_log_is_refused(tmp_path: Path) -> None:
    journal = SqliteJournal(tmp_path / "here")
    async with journal.open(run()) as writer:
        await writer.write(["[0]", "[1]"])
        shutil.copytree(tmp_path / "here", tmp_path / "there", ignore=shutil.ignore_patterns("*-wal", "*-shm"))
    copy = SqliteJournal(tmp_path / "there")
    with pytest.raises(
        JournalDamagedError, match=r"'journal.db-wal', which has the latest records, is missing: copy it"
    ):
        copy.read("r")
    with pytest.raises(JournalDamagedError):
        async with copy.reopen("r"):
            pass
    shutil.copytree(tmp_path / "here", tmp_path / "closed", ignore=shutil.ignore_patterns("*-wal", "*-shm"))
    assert list(SqliteJournal(tmp_path / "closed").read("r")) == ["[0]", "[1]"]


async def test_a_folder_without_its_database_is_damaged_and_listed(tmp_path: Path) -> None:
    journal = await kept(tmp_path, ["[0]"])
    (tmp_path / "r" / "journal.db").unlink()
    with pytest.raises(
        JournalDamagedError,
        match=r"damaged from its beginning: the file 'journal.db' is missing.* may have been done, or be at work.* prune --unfinished",
    ):
        journal.read("r")
    assert list(journal.runs()) == ["r"]
    assert journal.entry("r").state == "damaged"


async def test_the_folder_of_another_run_is_not_taken_for_this_one(tmp_path: Path) -> None:
    journal = await kept(tmp_path, ["[0]"])
    (tmp_path / "r").rename(tmp_path / "s")
    with pytest.raises(JournalDamagedError, match="it is the journal of another run, 'r'"):
        journal.read("s")
    assert list(journal.runs()) == ["s"]


async def test_a_link_in_place_of_a_folder_is_no_run(tmp_path: Path) -> None:
    await kept(tmp_path / "elsewhere", ["[0]"])
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "r").symlink_to(tmp_path / "elsewhere" / "r")
    journal = SqliteJournal(tmp_path / "here")
    assert list(journal.runs()) == []
    with pytest.raises(UnknownRecordedRunError):
        journal.read("r")


async def test_a_folder_that_cannot_be_written_is_read_and_not_written() -> None:
    with somebody_else() as folder:
        journal = SqliteJournal(folder)
        async with journal.open(run()) as writer:
            await writer.write(["[0]"])
            shutil.copytree(folder / "r", folder / "killed", ignore=shutil.ignore_patterns("*-shm"))
        shutil.move(folder / "killed", folder / "other" / "r")
        for place in (folder, folder / "other"):
            for path in (place / "r").iterdir():
                path.chmod(0o500 if path.is_dir() else 0o400)
            (place / "r").chmod(0o500)
            reader = SqliteJournal(place)
            assert list(reader.read("r")) == ["[0]"]
            with pytest.raises(JournalError, match="cannot be"):
                async with reader.reopen("r"):
                    pass
            assert list(reader.read("r")) == ["[0]"]


async def test_a_folder_of_journals_that_cannot_be_made_is_said() -> None:
    with somebody_else() as folder:
        folder.chmod(0o500)
        with pytest.raises(JournalError, match=r"cannot be made: .* Set GALAXY_JOURNAL to another folder"):
            async with SqliteJournal(folder / "journal").open(run()):
                pass
        with pytest.raises(JournalError, match="run 'r' cannot be kept in"):
            async with SqliteJournal(folder).open(run()):
                pass


async def test_what_belongs_to_another_user_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = await kept(tmp_path, ["[0]"])
    me = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: me + 1)
    with pytest.raises(JournalError, match=f"belongs to the user with id {me}, and this process runs as {me + 1}"):
        async with journal.reopen("r"):
            pass
    with pytest.raises(JournalError, match="belongs to"):
        journal.remove("r")
    assert list(journal.read("r")) == ["[0]"]


async def test_a_folder_in_which_everybody_can_write_is_not_taken(tmp_path: Path) -> None:
    os.chmod(tmp_path, 0o777)  # noqa: S103  that is what is tried
    with pytest.raises(JournalError, match="every user can write in the folder of journals"):
        await kept(tmp_path, [])
    os.chmod(tmp_path, 0o1777)  # noqa: S103
    await kept(tmp_path, [])


async def test_only_its_user_can_enter_a_run(tmp_path: Path) -> None:
    journal = SqliteJournal(tmp_path / "state" / "journal")
    async with journal.open(run()) as writer:
        await writer.write(["[0]"])
        folder = tmp_path / "state" / "journal"
        assert [path.stat().st_mode & 0o777 for path in (folder, folder / "r")] == [0o700, 0o700]
        for name in ("journal.db", "journal.db-wal"):
            assert (folder / "r" / name).stat().st_mode & 0o777 == 0o600


async def test_an_unknown_run_is_told_with_those_that_are_near(tmp_path: Path) -> None:
    journal = await kept(tmp_path, [], "constellation-1")
    with pytest.raises(UnknownRecordedRunError, match="did you mean 'constellation-1'") as caught:
        journal.read("constelation-1")
    assert caught.value.near == ("constellation-1",)
    assert not (tmp_path / "constelation-1").exists()


@pytest.mark.parametrize(
    "run_id", ["..", "../x", "/x", "a/b", "con", "nul.txt", "a\0b", "x" * 5000, "", "Ä", "a.", "\ud800"]
)
async def test_no_id_leads_out_of_the_folder(tmp_path: Path, run_id: str) -> None:
    journal = SqliteJournal(tmp_path / "in")
    async with journal.open(run(run_id)) as writer:
        await writer.write(["[0]"])
    assert list(journal.runs()) == [run_id]
    assert list(journal.read(run_id)) == ["[0]"]
    assert os.listdir(tmp_path) == ["in"]
    assert sorted(os.listdir(tmp_path / "in")) == sorted(["order", folder_name(run_id)])


async def test_names_of_folders_differ_where_capitals_are_not_told_from_small_letters() -> None:
    ids = ["Run", "run", "RUN", "r.un", "r_un", "r/un", "R/un"]
    assert len({folder_name(run_id).casefold() for run_id in ids}) == len(ids)


async def test_the_newest_run_is_first_although_the_clock_went_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await kept(tmp_path, [], "first")
    monkeypatch.setattr(time, "time_ns", lambda: 10**9)
    await kept(tmp_path, [], "second")
    await kept(tmp_path, [], "third")
    assert list(SqliteJournal(tmp_path).runs()) == ["third", "second", "first"]


async def test_a_lost_or_broken_order_and_label_cost_no_run(tmp_path: Path) -> None:
    await kept(tmp_path, ["[0]"], "first")
    (tmp_path / "order").write_text("9" * 400)
    (tmp_path / "first" / "run.json").write_text("{")
    journal = await kept(tmp_path, ["[1]"], "second")
    assert set(journal.runs()) == {"first", "second"}
    assert list(journal.read("first")) == ["[0]"]


async def test_a_record_that_is_no_line_is_refused(tmp_path: Path) -> None:
    with pytest.raises(JournalError, match="record 1 holds a line end"):
        await kept(tmp_path, ["[0]", "[\n]"])


async def test_more_than_one_chunk_can_hold_is_kept_in_several(tmp_path: Path) -> None:
    records = [f'[{number},"{"x" * (CHUNK_BYTES // 3)}"]' for number in range(7)]
    journal = await kept(tmp_path, records)
    assert list(journal.read("r")) == records


async def test_the_log_does_not_grow_without_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writing, "LOG_BYTES", 100_000)
    journal = SqliteJournal(tmp_path)
    async with journal.open(run()) as writer:
        for number in range(200):
            await writer.write([f"[{number}]"])
            assert (tmp_path / "r" / "journal.db-wal").stat().st_size < 120_000
    assert len(journal.read("r")) == 200


async def test_where_nobody_says_it_runs_are_kept_in_the_folder_of_the_state(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = SqliteJournal()
    monkeypatch.delenv("GALAXY_JOURNAL", raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert journal.folder == tmp_path / "galaxy" / "journal"
    monkeypatch.setenv("XDG_STATE_HOME", "relative")
    assert journal.folder == Path.home() / ".local" / "state" / "galaxy" / "journal"
    monkeypatch.setenv("GALAXY_JOURNAL", str(tmp_path / "mine"))
    assert journal.folder == tmp_path / "mine"


async def test_a_closed_run_is_one_file_that_any_sqlite_reads(tmp_path: Path) -> None:
    await kept(tmp_path, ["[0]", "[1]"])
    assert sorted(path.name for path in (tmp_path / "r").iterdir()) == ["files", "journal.db", "lock", "run.json"]
    db = sqlite3.connect(tmp_path / "r" / "journal.db")
    (body,) = db.execute("SELECT body FROM chunk").fetchone()
    db.close()
    assert [line[9:] for line in body.split(b"\n")] == [b"[0]", b"[1]"]
