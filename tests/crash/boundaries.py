"""An orchestrator that kills itself at a given boundary of its journal: before a write, torn inside it, when all of it is kept
and nobody has been told, and when the kernel has been told and is about to act on it.

Children are forked from a server that has everything imported, so that one costs what its plan costs.
"""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from multiprocessing import get_context
from pathlib import Path
from typing import Literal

import anyio
from attrs import define

from galaxy_core import (
    ConstellationDeviceManager,
    Device,
    EventBus,
    RunInfo,
    TaskConstellation,
    TaskConstellationOrchestrator,
    load_plan,
)
from galaxy_core.extension.journals import JournalWriter
from galaxy_core.model.records.replay import Replay
from galaxy_core_journal import SqliteJournal
from tests.crash.plans import Workload

Kind = Literal["before", "torn", "kept", "told"]
KINDS: tuple[Kind, ...] = ("before", "torn", "kept", "told")
#: Turns of the event loop between being told and dying: enough for a task to be started by it.
TURNS = 3


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@define
class DeadlyWriter:
    """Dies at the `fatal`-th write, in the manner of `kind`; with 0 it only counts."""

    inner: JournalWriter
    fatal: int
    kind: Kind
    writes: int = 0

    @property
    def epoch(self) -> int:
        return self.inner.epoch

    @property
    def folder(self) -> Path | None:
        return self.inner.folder

    async def write(self, records: Sequence[str], /) -> None:
        """Keep them, or die."""
        self.writes += 1
        if self.writes != self.fatal:
            await self.inner.write(records)
            return
        if self.kind == "torn":
            await self.inner.write(records[: max(1, len(records) // 2)])
        if self.kind in ("before", "torn"):
            _die()
        await self.inner.write(records)
        if self.kind == "kept":
            _die()
        import asyncio  # the children run on asyncio: what is proved here is the order of things, not the back end

        loop = asyncio.get_running_loop()

        def turn(left: int) -> None:
            if left:
                loop.call_soon(turn, left - 1)
            else:
                _die()

        turn(TURNS)


class DeadlyJournal(SqliteJournal):
    """The journal of users, with a writer that dies."""

    def __init__(self, folder: Path, fatal: int, kind: Kind) -> None:
        super().__init__(folder)
        self.fatal, self.kind = fatal, kind
        self.writes = 0

    @asynccontextmanager
    async def open(self, run: RunInfo, /) -> AsyncIterator[JournalWriter]:
        async with super().open(run) as writer, self._deadly(writer) as deadly:
            yield deadly

    @asynccontextmanager
    async def reopen(self, run_id: str, /) -> AsyncIterator[JournalWriter]:
        async with super().reopen(run_id) as writer, self._deadly(writer) as deadly:
            yield deadly

    @asynccontextmanager
    async def _deadly(self, writer: JournalWriter) -> AsyncIterator[JournalWriter]:
        deadly = DeadlyWriter(writer, self.fatal, self.kind)
        try:
            yield deadly
        finally:
            self.writes = deadly.writes


async def _run(work: Workload, fatal: int, kind: Kind) -> tuple[str, int]:
    journal, bus = DeadlyJournal(work.folder / "journal", fatal, kind), EventBus()
    async with ConstellationDeviceManager(event_bus=bus) as devices:
        devices.add_device(Device("here", "local", max_concurrency=4))
        orchestrator = TaskConstellationOrchestrator(devices, event_bus=bus, journal=journal)
        replay = _replayed(journal)
        if replay is not None and replay.over is not None:
            return replay.over, 0
        if replay is not None:
            result = await orchestrator.resume(replay.run_id)
        else:
            plan: TaskConstellation = load_plan(work.plan).to_constellation()
            result = await orchestrator.orchestrate_constellation(plan, assignment_strategy="load_balance")
    return result["status"], journal.writes


def _replayed(journal: SqliteJournal) -> Replay | None:
    """The run that is recorded, if it is one: of one whose plan is not there whole nothing has started."""
    for run_id in journal.runs():
        replay = Replay(run_id=run_id)
        for line in journal.read(run_id):
            replay.take(line)
        if replay.is_whole:
            return replay
        journal.remove(run_id)
    return None


def _child(work: Workload, fatal: int, kind: Kind, answer: Path) -> None:
    status, writes = anyio.run(_run, work, fatal, kind)
    answer.write_text(f"{status} {writes}")


def run(work: Workload, fatal: int = 0, kind: Kind = "before", limit_s: float = 60.0) -> tuple[str, int]:
    """Run or resume in a process of its own: the status and the number of writes; "killed" when it died as it was to."""
    context = get_context("forkserver")
    context.set_forkserver_preload(["tests.crash.boundaries"])
    answer = work.folder / "answer"
    answer.unlink(missing_ok=True)
    process = context.Process(target=_child, args=(work, fatal, kind, answer))
    process.start()
    process.join(limit_s)
    if process.is_alive():
        process.kill()
        process.join()
        return "hung", 0
    if process.exitcode == -signal.SIGKILL:
        return "killed", fatal
    if not answer.exists():
        return f"broken (exit code {process.exitcode})", 0
    status, writes = answer.read_text().split()
    return status, int(writes)
