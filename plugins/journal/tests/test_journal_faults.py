"""The k-th operation on the disk fails, for every k: the run hears of it, nothing is written after it, nothing is lost."""

from __future__ import annotations

import resource
import sqlite3
import subprocess
import sys
from pathlib import Path

import anyio
import pytest
from attrs import define, field

from galaxy_core import RunInfo
from galaxy_core.errors import JournalError
from galaxy_core_journal import SqliteJournal, writing

from .journal_disk import Fault, Op, recording, shared_library

noted = pytest.mark.skipif(
    shared_library() is None, reason="SQLite is built into this Python: its writes cannot be noted"
)
RUN = "faulty"
RECORDS = [f'[{number},"record","{"x" * (number * 31 % 200)}"]' for number in range(60)]
SIZES = (1, 5, 4, 20, 1, 9, 20)
FAULTS: dict[str, tuple[Fault, bool]] = {
    "EIO once": ((sqlite3.SQLITE_IOERR_WRITE, 0.0), False),
    "EIO from then on": ((sqlite3.SQLITE_IOERR_FSYNC, 0.0), True),
    "ENOSPC from then on": ((sqlite3.SQLITE_FULL, 0.0), True),
    "read-only from then on": ((sqlite3.SQLITE_READONLY, 0.0), True),
    "half of a write, then read-only": ((sqlite3.SQLITE_READONLY, 0.5), True),
    "half of a write, then EIO": ((sqlite3.SQLITE_IOERR_WRITE, 0.5), False),
    "half of a write, then ENOSPC": ((sqlite3.SQLITE_FULL, 0.5), True),
}


@define
class Told:
    """What the run heard. `failed_at` is how many operations there were when a write failed."""

    acknowledged: int = 0
    errors: list[JournalError] = field(factory=list)
    failed_at: int | None = None


async def attempt(root: Path, disk: list[Op]) -> Told:
    """A whole run, as the kernel would do it, but trying once more after a failure."""
    told = Told()
    try:
        async with SqliteJournal(root).open(RunInfo(RUN, "a run", [], {}, {})) as writer:
            written = 0
            for size in SIZES:
                try:
                    await writer.write(RECORDS[written : written + size])
                except JournalError as error:
                    told.errors.append(error)
                    if told.failed_at is None:
                        told.failed_at = len(disk)
                    continue
                assert told.failed_at is None, "a write after one that failed was taken"
                written += size
                told.acknowledged = written
    except JournalError as error:
        told.errors.append(error)
    return told


async def resume(root: Path, count: int) -> None:
    async with SqliteJournal(root).reopen(RUN) as writer:
        await writer.write([f"[{count}]"])


@pytest.fixture
def count(swift: Path, monkeypatch: pytest.MonkeyPatch) -> int:
    """How many operations a run without faults does; its log moves in the middle."""
    monkeypatch.setattr(writing, "LOG_BYTES", 30_000)
    with recording() as disk:
        assert anyio.run(attempt, swift / "whole", disk.ops).errors == []
    assert sum(op.kind == "truncate" and op.path.endswith("-wal") for op in disk.ops) >= 3
    return len(disk.ops)


@noted
@pytest.mark.parametrize("name", FAULTS)
def test_whichever_operation_fails_the_run_is_told_and_what_was_promised_is_there(
    swift: Path, count: int, name: str
) -> None:
    fault, stays = FAULTS[name]
    for k in range(count):
        root = swift / str(k)
        with recording() as disk:
            disk.fault = lambda number, op, k=k: fault if (number >= k if stays else number == k) else None  # type: ignore[misc]
            told = anyio.run(attempt, root, disk.ops)
            if told.failed_at is not None:
                after = [op for op in disk.ops[told.failed_at :] if op.kind in ("write", "truncate", "delete")]
                assert after == [], f"operation {k} failed, and {after[0].kind} followed"
        journal = SqliteJournal(root)
        assert told.errors or not stays or k == count - 1, f"operation {k} failed, and nobody was told"
        if list(journal.runs()) == []:
            assert told.acknowledged == 0
            continue
        found = list(journal.read(RUN))
        assert len(found) >= told.acknowledged, f"operation {k}: {told.acknowledged} promised, {len(found)} there"
        assert found == RECORDS[: len(found)]
        anyio.run(resume, root, len(found))
        assert list(journal.read(RUN)) == [*found, f"[{len(found)}]"]


@noted
def test_a_failed_wait_for_the_disk_is_final_and_each_later_write_raises_the_same(tmp_path: Path) -> None:
    async def run() -> None:
        async with SqliteJournal(tmp_path).open(RunInfo(RUN, "a run", [], {}, {})) as writer:
            await writer.write(RECORDS[:3])
            disk.fault = lambda number, op: (sqlite3.SQLITE_IOERR_FSYNC, 0.0) if op.kind == "sync" else None
            with pytest.raises(JournalError, match=r"cannot be written .* \(SQLITE_IOERR_FSYNC\)") as first:
                await writer.write(RECORDS[3:6])
            disk.fault = lambda number, op: None
            before = len(disk.ops)
            with pytest.raises(JournalError) as second:
                await writer.write(RECORDS[6:9])
            assert second.value is first.value
        assert len(disk.ops) == before

    with recording() as disk:
        anyio.run(run)
    assert list(SqliteJournal(tmp_path).read(RUN))[:3] == RECORDS[:3]


FULL = """
import resource, sys
import anyio
from galaxy_core import RunInfo
from galaxy_core.errors import JournalError
from galaxy_core_journal import SqliteJournal

async def main():
    async with SqliteJournal(sys.argv[1]).open(RunInfo("full", "a run", [], {}, {})) as writer:
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
        for number in range(1000):
            try:
                await writer.write([f'[{number},"{"x" * 1000}"]'])
            except JournalError as error:
                print(number, error)
                return

anyio.run(main)
"""


def test_a_real_limit_of_the_size_of_files_ends_the_run_and_keeps_what_was_promised(tmp_path: Path) -> None:
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[1] == resource.RLIM_INFINITY
    done = subprocess.run(
        [sys.executable, "-c", FULL, str(tmp_path)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    promised, said = done.stdout.split(" ", 1)
    assert "cannot be written" in said
    assert len(SqliteJournal(tmp_path).read("full")) >= int(promised) > 5
