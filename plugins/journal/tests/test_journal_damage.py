"""What has changed in a journal's files is refused, or read as far as it is sound; never misread, never passed over."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path

import pytest

from galaxy_core import RunInfo
from galaxy_core.errors import JournalDamagedError
from galaxy_core_journal import SqliteJournal

from .journal_damage import RUN, SIZES, Sample, flips, garbage, sample, truncations


@pytest.fixture(params=[True, False], ids=["closed", "as a killed process leaves it"])
def kept(request: pytest.FixtureRequest, swift: Path) -> Sample:
    return sample(swift, closed=request.param)


@pytest.fixture
def killed(tmp_path: Path) -> Sample:
    return sample(tmp_path, closed=False)


def test_a_bit_that_was_turned_is_never_misread(kept: Sample) -> None:
    assert list(flips(kept, every=False)) == []


def test_a_file_that_was_cut_is_never_misread(kept: Sample) -> None:
    assert list(truncations(kept, step=5)) == []


def test_four_kilobytes_of_garbage_are_never_misread(kept: Sample) -> None:
    assert list(garbage(kept, 200)) == []


def test_damage_in_the_middle_of_the_log_is_told_although_sqlite_says_nothing(killed: Sample) -> None:
    log = killed.folder / "journal.db-wal"
    data = bytearray(log.read_bytes())
    data[len(data) // 2] ^= 1
    log.write_bytes(data)
    with pytest.raises(
        JournalDamagedError, match=r"more writes are in 'journal.db-wal', behind what is damaged"
    ) as caught:
        killed.journal.read(RUN)
    assert 0 < caught.value.sound < 50
    assert list(killed.journal.salvage(RUN)) == killed.records[: caught.value.sound]


def test_damage_at_the_end_of_the_log_is_what_power_loss_leaves_and_ends_the_records(killed: Sample) -> None:
    log = killed.folder / "journal.db-wal"
    log.write_bytes(log.read_bytes()[:-100])
    assert list(killed.journal.read(RUN)) == killed.records[: sum(SIZES[:-1])]


def test_of_a_damaged_chunk_the_records_before_the_damage_are_sound(tmp_path: Path) -> None:
    kept = sample(tmp_path, closed=True)
    database = kept.folder / "journal.db"
    data = bytearray(database.read_bytes())
    at = data.index(b'[30,"r30"]')
    data[at + 5] ^= 1
    database.write_bytes(data)
    with pytest.raises(JournalDamagedError, match="its checksum is wrong") as caught:
        kept.journal.read(RUN)
    assert caught.value.sound == 30
    assert list(kept.journal.salvage(RUN)) == kept.records[:30]


@pytest.mark.anyio
async def test_a_damaged_run_is_not_gone_on_with_and_stays_as_it_is(killed: Sample) -> None:
    log = killed.folder / "journal.db-wal"
    data = bytearray(log.read_bytes())
    data[len(data) // 2] ^= 1
    log.write_bytes(data)
    with pytest.raises(JournalDamagedError):
        async with killed.journal.reopen(RUN):
            pass
    assert log.read_bytes() == data


def test_chunks_that_changed_places_are_seen(tmp_path: Path) -> None:
    kept = sample(tmp_path, closed=True)
    db = sqlite3.connect(kept.folder / "journal.db")
    firsts = [row[0] for row in db.execute("SELECT first FROM chunk ORDER BY first")]
    bodies = {first: db.execute("SELECT body FROM chunk WHERE first = ?", (first,)).fetchone()[0] for first in firsts}
    db.execute("UPDATE chunk SET body = ? WHERE first = ?", (bodies[firsts[2]], firsts[1]))
    db.commit()
    db.close()
    with pytest.raises(JournalDamagedError) as caught:
        kept.journal.read(RUN)
    assert caught.value.sound == firsts[1]


@pytest.mark.anyio
async def test_a_chunk_from_another_history_of_the_same_run_is_seen(tmp_path: Path) -> None:
    """A run that was copied and gone on with in two places, and then put together from both."""
    journal = SqliteJournal(tmp_path / "here")
    async with journal.open(RunInfo("r", "a run", [], {}, {})) as writer:
        await writer.write(["[0]"])
    shutil.copytree(tmp_path / "here", tmp_path / "there")
    for place, word in (("here", "mine"), ("there", "other")):
        async with SqliteJournal(tmp_path / place).reopen("r") as writer:
            await writer.write([f'[1,"{word}"]'])
            await writer.write(["[2]"])
    there = sqlite3.connect(tmp_path / "there" / "r" / "journal.db")
    row = there.execute("SELECT * FROM chunk WHERE first = 1").fetchone()
    there.close()
    here = sqlite3.connect(tmp_path / "here" / "r" / "journal.db")
    here.execute("UPDATE chunk SET mark = ?, count = ?, epoch = ?, crc = ?, body = ? WHERE first = 1", row[1:])
    here.commit()
    here.close()
    with pytest.raises(JournalDamagedError, match="its checksum is wrong") as caught:
        journal.read("r")
    assert caught.value.sound == 2


@pytest.mark.parametrize("first", [0, 10, 40])
def test_a_chunk_that_is_gone_is_missed(tmp_path: Path, first: int) -> None:
    kept = sample(tmp_path, closed=True)
    db = sqlite3.connect(kept.folder / "journal.db")
    assert db.execute("DELETE FROM chunk WHERE first = ?", (first,)).rowcount == 1
    db.commit()
    db.close()
    with pytest.raises(JournalDamagedError) as caught:
        kept.journal.read(RUN)
    assert caught.value.sound == first
