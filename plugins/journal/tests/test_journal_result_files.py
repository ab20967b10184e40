"""Files that results name, in recorded runs: durable before the record of the result is, and looked at when a run goes on."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

import anyio
import pytest

from galaxy_core import (
    Command,
    ConstellationDeviceManager,
    Device,
    Reference,
    RunInfo,
    TaskConstellation,
    TaskConstellationOrchestrator,
    TaskStar,
    TaskStarLine,
    TaskStatus,
)
from galaxy_core.errors import InputError
from galaxy_core.extension.interfaces import Durability, JournalWriter
from galaxy_core.runtime import kept_files
from galaxy_core.runtime.kept_files import keep_files
from galaxy_core.testing.journals import MemoryJournal

pytestmark = [pytest.mark.anyio, pytest.mark.skipif(os.name != "posix", reason="its commands are those of POSIX")]
KEPT = b"kept\n"


class Watched(MemoryJournal):
    """Says which files had been synced when each record was written."""

    def __init__(self, synced: set[int]) -> None:
        super().__init__()
        self.synced, self.ends = synced, list[tuple[str, bool]]()

    @asynccontextmanager
    async def open(self, run: RunInfo, /) -> AsyncIterator[JournalWriter]:  # type: ignore[override]  # it is one
        async with super().open(run) as writer:
            yield _Watched(self, writer)


class _Watched:
    def __init__(self, journal: Watched, writer: JournalWriter) -> None:
        self.journal, self.inner = journal, writer
        self.epoch, self.folder = writer.epoch, writer.folder

    async def write(self, lines: Sequence[str]) -> None:
        for line in lines:
            record = json.loads(line)
            if record[1] == "end":
                for path in record[7].get("files", {}).values():
                    folders = (Path(path), Path(path).parent)
                    synced = all(os.stat(one).st_ino in self.journal.synced for one in folders)
                    self.journal.ends.append((path, synced))
        await self.inner.write(lines)


def a_plan(wanted: str = "out") -> TaskConstellation:
    """A task leaves a file; another waits until the run is stopped; then two take the file, or one that is `wanted`."""
    leaves = TaskStar("a", request=Command(["sh", "-c", "echo kept > out"], outputs=["out"]))
    waits = TaskStar("wait", request=Command(["sleep", "0.4"]))
    takes = TaskStar("path", request=Command(["cat", Reference("a", f"file.{wanted}")]))
    sent = TaskStar("sent", request=Command(["cat", "in"], files={"in": Reference("a", f"file.{wanted}")}))
    lines = [
        TaskStarLine(*ids) for ids in (("a", "wait"), ("wait", "path"), ("wait", "sent"), ("a", "path"), ("a", "sent"))
    ]
    return TaskConstellation.build([leaves, waits, takes, sent], lines, constellation_id="p")


@asynccontextmanager
async def orchestrated(
    journal: MemoryJournal, root: Path, durability: Durability = "sync"
) -> AsyncIterator[TaskConstellationOrchestrator]:
    work = root / "work"
    work.mkdir(parents=True, exist_ok=True)
    async with ConstellationDeviceManager() as devices:
        devices.add_device(Device("here", "local", {"root": str(work)}, max_concurrency=2))
        yield TaskConstellationOrchestrator(devices, journal=journal, durability=durability, artifacts=root)


async def stopped(orchestrator: TaskConstellationOrchestrator, wanted: str = "out") -> Path:
    """A run that was stopped when the file was there and before anybody had taken it: where the file is."""
    plan = a_plan(wanted)
    async with anyio.create_task_group() as group:

        async def stop() -> None:
            while plan.tasks["wait"].status in (TaskStatus.PENDING, TaskStatus.WAITING_DEPENDENCY):  # noqa: ASYNC110  # nothing is told of it
                await anyio.sleep(0.01)
            await orchestrator.stop("p")

        group.start_soon(stop)
        told = await orchestrator.orchestrate_constellation(plan, assignment_strategy="round_robin")
    assert told["status"] == "stopped", told
    return Path(told["results"]["a"].files["out"])


@pytest.mark.parametrize("durability", ["sync", "batched"])
async def test_what_a_file_holds_is_recorded_right_behind_the_result_that_names_it(
    tmp_path: Path, durability: Durability
) -> None:
    journal = MemoryJournal()
    async with orchestrated(journal, tmp_path, durability) as orchestrator:
        where = await stopped(orchestrator)
    records = [json.loads(line) for line in journal.read("p")]
    (files,) = [record for record in records if record[1] == "files"]
    assert files[2] == {str(where): [len(KEPT), sha256(KEPT).hexdigest()]}
    assert [record[0] for record in records] == list(range(len(records)))


async def test_a_file_and_its_folder_are_durable_before_the_end_of_its_task_is_recorded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced, fsync = set[int](), os.fsync

    def sync(descriptor: int) -> None:
        fsync(descriptor)
        synced.add(os.fstat(descriptor).st_ino)

    monkeypatch.setattr(os, "fsync", sync)
    journal = Watched(synced)
    async with orchestrated(journal, tmp_path) as orchestrator:
        where = await stopped(orchestrator)
    assert journal.ends == [(str(where), True)]


async def test_a_file_that_is_as_it_was_is_taken_when_the_run_goes_on(tmp_path: Path) -> None:
    async with orchestrated(MemoryJournal(), tmp_path) as orchestrator:
        await stopped(orchestrator)
        told = await orchestrator.resume("p")
    assert told["status"] == "completed"
    assert {told["results"][task_id].stdout for task_id in ("path", "sent")} == {KEPT.decode()}


@pytest.mark.parametrize(
    ("left", "why"),
    [
        (b"", "it had 5 bytes, and has 0"),
        (b"Kept\n", "its 5 bytes are others"),
        (None, "it had 5 bytes, and cannot be read"),
    ],
    ids=["emptied", "changed", "gone"],
)
async def test_a_file_that_is_not_as_it_was_recorded_is_not_taken_for_it(
    tmp_path: Path, left: bytes | None, why: str
) -> None:
    async with orchestrated(MemoryJournal(), tmp_path) as orchestrator:
        where = await stopped(orchestrator)
        if left is None:
            where.unlink()
        else:
            where.write_bytes(left)
        told: dict[str, Any] = await orchestrator.resume("p")
    for task_id in ("path", "sent"):
        error = told["results"][task_id].error
        assert isinstance(error, InputError)
        assert why in str(error)
        assert str(where) in str(error)
        assert "put the file back" in str(error)


async def test_a_run_goes_on_in_which_a_task_is_to_get_a_file_that_nobody_has_left(tmp_path: Path) -> None:
    async with orchestrated(MemoryJournal(), tmp_path) as orchestrator:
        await stopped(orchestrator, wanted="other")
        told: dict[str, Any] = await orchestrator.resume("p")
    for task_id in ("path", "sent"):
        error = told["results"][task_id].error
        assert isinstance(error, InputError)
        assert "'other'" in str(error)
    assert told["results"]["wait"].status is TaskStatus.COMPLETED


def test_files_whose_folder_goes_while_they_are_kept_are_no_failure_of_the_journal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "runs" / "p" / "a" / "out"
    path.parent.mkdir(parents=True)
    path.write_bytes(KEPT)
    fsync = os.fsync

    def sync(descriptor: int) -> None:
        fsync(descriptor)
        shutil.rmtree(tmp_path / "runs", ignore_errors=True)

    monkeypatch.setattr(os, "fsync", sync)
    assert keep_files([str(path)]) == {str(path): (len(KEPT), sha256(KEPT).hexdigest())}


def test_a_folder_that_is_made_anew_under_its_old_name_is_made_durable_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may have got the inode of the one before, and what was done for that does not count for it."""
    synced: list[Path] = []
    monkeypatch.setattr(kept_files, "sync_folder", synced.append)
    for _ in range(3):
        folder = tmp_path / "out" / "run" / "task"
        folder.mkdir(parents=True)
        (folder / "x").write_text("1")
        for times in (1, 0):
            synced.clear()
            keep_files([str(folder / "x")])
            assert synced.count(tmp_path) == times
        shutil.rmtree(tmp_path / "out")
