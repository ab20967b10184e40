"""One run has one writer, among processes and in each, and a lock that goes with its holder."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio import to_thread

from galaxy_core import RunInfo
from galaxy_core.errors import JournalError, RunLockedError
from galaxy_core_journal import SqliteJournal, locks, places, writing
from galaxy_core_journal.places import Place

pytestmark = pytest.mark.anyio

HOLDER = """
import sys, time
import anyio
from galaxy_core import RunInfo
from galaxy_core_journal import SqliteJournal

async def main():
    journal = SqliteJournal(sys.argv[1])
    opening = journal.open(RunInfo("r", "a run", [], {}, {})) if sys.argv[2] == "open" else journal.reopen("r")
    async with opening as writer:
        await writer.write([f"[{writer.epoch}]"])
        print(writer.epoch, flush=True)
        while line := sys.stdin.readline():
            await writer.write([line.strip()])
            print("kept", flush=True)

try:
    anyio.run(main)
except Exception as error:
    print(type(error).__name__, error, flush=True)
    sys.exit(1)
"""


class Process:
    """Another process that has the run `r` open."""

    def __init__(self, folder: Path, how: str) -> None:
        pipes = subprocess.PIPE
        self._process = subprocess.Popen(
            [sys.executable, "-c", HOLDER, str(folder), how], stdin=pipes, stdout=pipes, text=True
        )
        self.pid = self._process.pid
        self.said = self.hear()

    def hear(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()

    def write(self, record: str) -> str:
        assert self._process.stdin is not None
        self._process.stdin.write(record + "\n")
        self._process.stdin.flush()
        return self.hear()

    def kill(self) -> None:
        self._process.send_signal(signal.SIGKILL)
        self._process.wait(30)

    def end(self) -> None:
        self._process.communicate(timeout=30)


@contextmanager
def process(folder: Path, how: str) -> Iterator[Process]:
    made = Process(folder, how)
    try:
        yield made
    finally:
        made.end()


def run(run_id: str = "r") -> RunInfo:
    return RunInfo(run_id, "a run", [], {}, {})


async def test_a_second_process_is_refused_and_told_who_has_the_run(tmp_path: Path) -> None:
    with process(tmp_path, "open") as first:
        assert first.said == "1"
        with pytest.raises(RunLockedError, match=f"by process {first.pid} on host"):
            async with SqliteJournal(tmp_path).reopen("r"):
                pass
        with process(tmp_path, "reopen") as second:
            assert second.said.startswith("RunLockedError run 'r' is being run or changed already")
        with process(tmp_path, "open") as third:
            assert third.said.startswith("JournalError there is a run 'r' already")
        assert first.write('["on"]') == "kept"
    assert list(SqliteJournal(tmp_path).read("r")) == ["[1]", '["on"]']


async def test_the_lock_goes_with_a_process_that_is_killed_and_what_it_wrote_stays(tmp_path: Path) -> None:
    with process(tmp_path, "open") as first:
        assert first.write('["kept"]') == "kept"
        assert SqliteJournal(tmp_path).entry("r").state == "running"
        first.kill()
    assert SqliteJournal(tmp_path).entry("r").state == "interrupted"
    async with SqliteJournal(tmp_path).reopen("r") as writer:
        assert writer.epoch == 2
        await writer.write(['["after"]'])
    assert list(SqliteJournal(tmp_path).read("r")) == ["[1]", '["kept"]', '["after"]']


async def test_a_lock_that_was_removed_by_hand_lets_nobody_write_beside_the_new_writer(tmp_path: Path) -> None:
    with process(tmp_path, "open") as first:
        (tmp_path / "r" / "lock").unlink()
        async with SqliteJournal(tmp_path).reopen("r") as writer:
            assert writer.epoch == 2
            assert first.write('["late"]').startswith(
                "RunLockedError run 'r' is being run or changed already, by process"
            )
            await writer.write(['["mine"]'])
    assert list(SqliteJournal(tmp_path).read("r")) == ["[1]", '["mine"]']


async def test_one_that_was_fenced_off_says_nothing_of_the_end_when_it_closes(tmp_path: Path) -> None:
    journal = SqliteJournal(tmp_path)
    async with journal.open(run()) as first:
        Place(tmp_path / "r").lock.unlink()
        async with journal.reopen("r") as second:
            with pytest.raises(RunLockedError):
                await first.write(["[0]"])
            await second.write(["[1]"])
    assert list(journal.read("r")) == ["[1]"]


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")  # that is what is tried
async def test_a_process_that_is_forked_does_not_hold_the_lock(tmp_path: Path) -> None:
    journal = SqliteJournal(tmp_path)
    come, go = os.pipe()
    async with journal.open(run()) as writer:
        await writer.write(["[0]"])
        if (child := os.fork()) == 0:  # pragma: no cover
            os.close(go)
            os.read(come, 1)
            os._exit(0)
    try:
        async with journal.reopen("r") as writer:
            assert writer.epoch == 2
    finally:
        os.close(go)
        os.close(come)
        os.waitpid(child, 0)  # noqa: ASYNC222  it ends at once


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP])
async def test_a_file_system_without_locks_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def none(handle: int, how: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", none)
    with pytest.raises(JournalError, match=r"has no working locks .* set GALAXY_JOURNAL to a folder on a local disk"):
        async with SqliteJournal(tmp_path).open(run()):
            pass


async def test_locks_that_keep_nobody_out_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fcntl, "flock", lambda handle, how: None)
    with pytest.raises(JournalError, match=r"has no working locks \(two may hold the same one\)"):
        async with SqliteJournal(tmp_path).open(run()):
            pass


async def test_a_reader_that_looks_whether_somebody_writes_does_not_keep_a_writer_out(tmp_path: Path) -> None:
    journal = SqliteJournal(tmp_path)
    async with journal.open(run()):
        pass
    handle = os.open(tmp_path / "r" / "lock", os.O_RDWR)
    fcntl.flock(handle, fcntl.LOCK_EX)
    tries = 0
    real = fcntl.flock

    def until_the_third(handle_: int, how: int) -> None:
        nonlocal tries
        tries += 1
        if tries == 3:
            os.close(handle)
        real(handle_, how)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(fcntl, "flock", until_the_third)
        async with journal.reopen("r") as writer:
            assert writer.epoch == 2
    assert tries >= 3


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("number", range(7))
async def test_wherever_opening_and_writing_are_cancelled_the_run_can_be_gone_on_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, when: str
) -> None:
    """Each time at which a thread is waited for, just before it begins or while its word is on the way."""
    journal, real = SqliteJournal(tmp_path), to_thread.run_sync
    scope, calls, written = anyio.CancelScope(), 0, 0

    async def counted(work: Any, *args: Any, **options: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == number + 1 and when == "before":
            scope.cancel()
        done = await real(work, *args, **options)
        if calls == number + 1 and when == "after":
            scope.cancel()
        return done

    monkeypatch.setattr(to_thread, "run_sync", counted)
    with scope:
        async with journal.open(run()) as writer:
            for record in range(3):
                await writer.write([f"[{record}]"])
                written += 1
    monkeypatch.undo()
    assert calls >= min(number + 1, 5)
    if list(journal.runs()) == []:
        assert written == 0
        return
    found = list(journal.read("r"))
    assert written <= len(found) <= written + 1
    async with journal.reopen("r") as writer:
        await writer.write(["[9]"])
    assert list(journal.read("r")) == [*found, "[9]"]


async def test_a_writer_that_was_left_does_not_write(tmp_path: Path) -> None:
    journal = SqliteJournal(tmp_path)
    async with journal.open(run()) as writer:
        pass
    with pytest.raises(JournalError, match="is closed: nothing is written to it any more"):
        await writer.write(["[0]"])
    assert list(journal.read("r")) == []


def test_who_holds_a_lock_is_not_made_up_from_what_is_no_lock(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    for text in ("", "{", "[]", '{"pid": "x"}', "\xff\xfe"):
        path.write_text(text, encoding="latin-1")
        assert locks.holder(path) == ""


async def test_the_name_of_the_folder_of_all_runs_is_on_the_disk_though_whoever_made_it_died_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced = list[Path]()
    monkeypatch.setattr(places, "synced", synced.append)
    root = tmp_path / "state" / "journal"
    root.mkdir(parents=True)
    for number in range(2):
        synced.clear()
        async with SqliteJournal(root).open(RunInfo(f"r{number}", "", [], {}, {})):
            assert synced == [root.parent]


@pytest.mark.parametrize("how", ["removed", "moved", "replaced"])
@pytest.mark.parametrize("at_the_end", [True, False])
async def test_a_journal_that_goes_while_it_is_written_fails_it(
    how: str, at_the_end: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal, folder = SqliteJournal(tmp_path / "j"), tmp_path / "j" / "r"
    monkeypatch.setattr(writing, "LOOK_S", 1000.0 if at_the_end else -1.0)
    with pytest.raises(JournalError, match=r"journal\.db' was removed, moved or replaced"):
        async with journal.open(RunInfo("r", "a run", [], {}, {})) as writer:
            await writer.write(["[0]"])
            folder.rename(tmp_path / "away")
            if how == "replaced":
                shutil.copytree(tmp_path / "away", folder)
            elif how == "removed":
                shutil.rmtree(tmp_path / "away")
            await writer.write(["[1]"])
    if how == "moved":
        (tmp_path / "away").rename(folder)
        assert [*journal.read("r")] == ["[0]", "[1]"]
        async with journal.reopen("r") as writer:
            await writer.write(["[2]"])
        assert [*journal.read("r")] == ["[0]", "[1]", "[2]"]
