"""Whole runs whose k-th operation on the disk fails: of the database, of long values, or of files that tasks leave.

Nothing may begin whose start is not kept, the run ends with the error of its journal or not at all hurt, and when the disk works
again it goes on: nothing that was recorded is lost, and nothing that may run once runs twice.
`python -m plugins.journal.tests.journal_faults` tries every k.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import sqlite3
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, Final
from unittest.mock import patch

import anyio
from attrs import define, field

from galaxy_core import (
    ConstellationDeviceManager,
    Device,
    ExecutionResult,
    PluginRegistry,
    TaskConstellation,
    TaskConstellationOrchestrator,
    TaskStar,
    TaskStarLine,
)
from galaxy_core.errors import JournalError
from galaxy_core.extension.interfaces import Completed
from galaxy_core.model.records import unkept
from galaxy_core.model.records.replay import Replay
from galaxy_core.model.result import KeptFiles
from galaxy_core.runtime import kept_files, ledger, resuming
from galaxy_core_journal import SqliteJournal

from .journal_disk import Fault, recording

RUN: Final = "p"
#: Characters from which on a text is kept in a file.
LONG: Final = 1_000
#: A run that has not ended by then hangs.
LIMIT_S: Final = 30.0
TASKS: Final = ("a", "b", "c", "d")

#: What goes wrong with an operation of the database, and whether it does so from then on.
DATABASE: Final[dict[str, tuple[Fault, bool]]] = {
    "EIO once": ((sqlite3.SQLITE_IOERR_WRITE, 0.0), False),
    "EIO of a sync, from then on": ((sqlite3.SQLITE_IOERR_FSYNC, 0.0), True),
    "half of a write, then ENOSPC": ((sqlite3.SQLITE_FULL, 0.5), True),
    "read-only from then on": ((sqlite3.SQLITE_READONLY, 0.0), True),
}
#: The same of files beside it.
BESIDE: Final[dict[str, tuple[int, bool]]] = {
    "EIO once": (errno.EIO, False),
    "ENOSPC from then on": (errno.ENOSPC, True),
    "read-only from then on": (errno.EROFS, True),
}


@define
class System:
    """The module `os` for those who keep files: its `fatal`-th operation fails, and with `stays` all after it."""

    fatal: int = -1
    number: int = 0
    stays: bool = False
    count: int = 0

    def __getattr__(self, name: str) -> Any:
        real = getattr(os, name)
        if name not in ("open", "fsync", "replace"):
            return real

        def call(*arguments: Any, **named: Any) -> Any:
            at, self.count = self.count, self.count + 1
            if at == self.fatal or (self.stays and 0 <= self.fatal < at):
                raise OSError(self.number, os.strerror(self.number), str(arguments[0]))
            return real(*arguments, **named)

        return call


@define
class World:
    """What the device has done, and what was wrong with being asked for it."""

    journal: SqliteJournal
    began: Counter[str] = field(factory=Counter)
    done: Counter[str] = field(factory=Counter)
    problems: list[str] = field(factory=list)

    name = "doer"
    features = frozenset({"stops"})
    settings_model = device_type = None
    requests = frozenset({"none"})
    actions: Mapping[str, Any] = {}

    @asynccontextmanager
    async def open(self, device: Device, settings: Any) -> AsyncIterator[World]:
        yield self

    async def execute(self, attempt: Any) -> Completed:
        """Do it, when its start is kept."""
        task_id = attempt.task_id
        self.began[task_id] += 1
        records = [json.loads(line) for line in self.journal.read(RUN)]
        if [task_id, attempt.number] not in [record[2:4] for record in records if record[1] == "start"]:
            self.problems.append(f"{task_id} begins, and its start is not kept")
        await anyio.sleep(0.001)
        self.done[task_id] += 1
        out = attempt.artifact_path("out")
        out.write_bytes(content(task_id))
        return Completed(value=value(task_id), files={"out": str(out)})

    async def probe(self) -> dict[str, Any]:
        return {}


def value(task_id: str) -> str:
    """What a task returns: too long for a record."""
    return f"value of {task_id}\n" * 100


def content(task_id: str) -> bytes:
    """What the file holds that it leaves."""
    return f"file of {task_id}\n".encode() * 100


def _plan() -> TaskConstellation:
    lines = [TaskStarLine(*ids) for ids in (("a", "b"), ("a", "c"), ("b", "d"), ("c", "d"))]
    return TaskConstellation.build([TaskStar(task_id) for task_id in TASKS], lines, constellation_id=RUN)


@asynccontextmanager
async def _orchestrated(world: World) -> AsyncIterator[TaskConstellationOrchestrator]:
    plugins = PluginRegistry()
    plugins.register(world)
    async with ConstellationDeviceManager(plugins=plugins) as devices:
        devices.add_device(Device("here", "doer", max_concurrency=2))
        yield TaskConstellationOrchestrator(devices, journal=world.journal)


async def _run(world: World) -> str:
    """How it ended: a status, or the error of the journal."""
    with anyio.fail_after(LIMIT_S):
        async with _orchestrated(world) as orchestrator:
            try:
                told = await orchestrator.orchestrate_constellation(_plan(), assignment_strategy="load_balance")
            except JournalError as error:
                return str(error)
    return str(told["status"])


async def _resume(world: World) -> dict[str, Any]:
    """Go on, with somebody who looks at the device."""

    async def truth(said: Any) -> str:
        return "completed" if world.done[said.task_id] else "retry"

    with anyio.fail_after(LIMIT_S):
        async with _orchestrated(world) as orchestrator:
            return await orchestrator.resume(RUN, on_unknown=truth)


def undisturbed(root: Path) -> tuple[int, int, list[str]]:
    """How many operations of the database a run takes, and of files beside it; what is wrong although nothing fails."""
    system, world = System(), World(SqliteJournal(root))
    with recording() as disk, _beside(system), patch.object(unkept, "MAX_TEXT", LONG):
        assert anyio.run(_run, world) == "completed"
    return len(disk.ops), system.count, world.problems


@contextmanager
def _beside(system: System) -> Iterator[None]:
    with patch.object(ledger, "os", system), patch.object(kept_files, "os", system):
        yield


def database_fails(root: Path, k: int, fault: Fault, stays: bool) -> list[str]:
    """What is wrong when the `k`-th operation of the database does."""

    @contextmanager
    def failing() -> Iterator[None]:
        with recording() as disk:
            disk.fault = lambda number, op: fault if number == k or (stays and number > k) else None
            yield

    return [f"operation {k} of the database: {one}" for one in _wrong(root, failing)]


def files_fail(root: Path, k: int, number: int, stays: bool) -> list[str]:
    """What is wrong when the `k`-th operation of files beside it does."""
    found = _wrong(root, lambda: _beside(System(k, number, stays)))
    return [f"operation {k} beside the database: {one}" for one in found]


def _wrong(root: Path, failing: Callable[[], AbstractContextManager[None]]) -> list[str]:
    world = World(SqliteJournal(root))
    with patch.object(unkept, "MAX_TEXT", LONG):
        with failing():
            told = anyio.run(_run, world)
        if told != "completed" and "already" in told:
            world.problems.append(f"the run ended: {told}")
        replay = _replayed(world.journal)
        if replay is None or not replay.is_whole:
            return world.problems + (["something began, and no plan is recorded"] if world.began else [])
        if replay.over is None:
            status = anyio.run(_resume, world)["status"]
            if status != "completed":
                world.problems.append(f"resumed, it ended {status}")
        return world.problems + _wrong_in_the_end(world)


def _replayed(journal: SqliteJournal) -> Replay | None:
    """The run as somebody has it who resumes it."""
    if RUN not in journal.runs():
        return None
    replay = Replay(resuming._reader(journal.folder_of(RUN)), RUN)
    for line in journal.read(RUN):
        replay.take(line)
    return replay


def _wrong_in_the_end(world: World) -> list[str]:
    replay, wrong = _replayed(world.journal), list[str]()
    assert replay is not None
    for task_id, task in replay.constellation().tasks.items():
        if world.done[task_id] != 1:
            wrong.append(f"{task_id} was done {world.done[task_id]} times")
        result = task.result
        if isinstance(result, ExecutionResult) and result.metadata.get("resolved_by_hand"):
            continue
        if not isinstance(result, ExecutionResult) or result.value != value(task_id):
            wrong.append(f"{task_id} has another value")
        elif not isinstance(result.files, KeptFiles) or result.files.lost("out"):
            wrong.append(f"{task_id} has lost its file")
        elif Path(result.files["out"]).read_bytes() != content(task_id):
            wrong.append(f"{task_id} has another file")
    return wrong


def wrong_runs(root: Path, stride: int = 1) -> Iterator[tuple[str, list[str]]]:
    """By what goes wrong, what is wrong then; of so many operations one is tried, for each fault others."""
    root.mkdir(exist_ok=True)
    operations, beside, wrong = undisturbed(root / "undisturbed")
    yield "nothing", wrong
    for number, (name, (fault, stays)) in enumerate(DATABASE.items()):
        ks = range(number % stride, operations, stride)
        yield name, [one for k in ks for one in database_fails(root / f"{name} {k}", k, fault, stays)]
    for number, (name, (code, stays)) in enumerate(BESIDE.items()):
        ks = range(number % stride, beside, stride)
        yield name, [one for k in ks for one in files_fail(root / f"beside {name} {k}", k, code, stays)]


def main() -> int:
    root, started, bad = (
        Path(tempfile.mkdtemp(dir="/dev/shm" if Path("/dev/shm").is_dir() else None)),
        time.monotonic(),
        0,
    )
    try:
        for name, wrong in wrong_runs(root):
            bad += len(wrong)
            sys.stdout.write(
                "\n".join([*wrong[:20], f"{name}: {len(wrong)} wrong, {time.monotonic() - started:.0f} s", ""])
            )
    finally:
        shutil.rmtree(root)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
