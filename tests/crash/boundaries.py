"""An orchestrator that kills itself at a given boundary of its journal.

Of each write there are five: `before` anything of it is done; `torn`, when a part of it is in the file; `written`, when all of it is
there and the disk was not asked to keep it; `synced`, when the disk has it and nobody knows; and `acknowledged`, when the kernel
has been told, and acts on it. Beside them, `statement` is each moment before SQLite is told something else, from the
making of a journal to its closing.

Children are forked from a server that has everything imported, so that one costs what its plan costs.
"""

from __future__ import annotations

import json
import os
import signal
import sqlite3
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, Literal

import anyio
import anyio.to_thread
from attrs import define

from galaxy_core import (
    ConstellationDeviceManager,
    ConstellationModificationSynchronizer,
    Device,
    Event,
    EventBus,
    EventType,
    GalaxyError,
    RunInfo,
    TaskConstellation,
    TaskConstellationOrchestrator,
    TaskEvent,
    load_plan,
    transaction_from_json,
)
from galaxy_core.extension.journals import JournalWriter
from galaxy_core.model.records.replay import InFlight
from galaxy_core_journal import SqliteJournal, writing
from galaxy_core_journal.reading import connect
from tests.crash.command import forked
from tests.crash.edits import Diary, edit_document
from tests.crash.judging import replayed
from tests.crash.plans import Workload

Kind = Literal["before", "torn", "written", "synced", "acknowledged", "statement"]
KINDS: tuple[Kind, ...] = ("before", "torn", "written", "synced", "acknowledged")
#: Turns of the event loop between being told and dying: enough for a task to be started by it.
TURNS = 3
#: Seconds that somebody who looks at the traces waits for what has begun to end.
PATIENCE_S = 5.0


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@define
class DeadlyWriter:
    """Dies at the `fatal`-th write, in the manner of `kind`; with 0 it only counts."""

    inner: writing.Writer
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
        if self.writes != self.fatal or self.kind == "statement":
            await self.inner.write(records)
            return
        if self.kind == "before":
            _die()
        if self.kind != "acknowledged":  # in the thread that writes: no turn of the event loop comes between
            await anyio.to_thread.run_sync(self._die_writing, records)
        await self.inner.write(records)
        import asyncio  # the children run on asyncio: what is proved here is the order of things, not the back end

        loop = asyncio.get_running_loop()

        def turn(left: int) -> None:
            if left:
                loop.call_soon(turn, left - 1)
            else:
                _die()

        turn(TURNS)

    def _die_writing(self, records: Sequence[str]) -> None:
        inner, log = self.inner, self.inner._place.log
        if self.kind == "torn" and len(records) > 1:
            inner._keep(records[: len(records) // 2])
            records = records[len(records) // 2 :]
        if self.kind == "written":
            assert inner._db is not None
            inner._db.execute("PRAGMA synchronous = OFF")
        before = log.stat().st_size if log.exists() else 0
        inner._keep(records)
        if self.kind == "torn":
            os.truncate(log, before + (log.stat().st_size - before) // 2)
        _die()


class DeadlyJournal(SqliteJournal):
    """The journal of users, with a writer that dies."""

    def __init__(self, folder: Path, fatal: int, kind: Kind) -> None:
        super().__init__(folder)
        self.fatal, self.kind = fatal, kind
        self.boundaries = 0
        if kind == "statement":
            vars(writing)["connect"] = self._connect

    def _connect(self, path: Path, how: str, **options: Any) -> sqlite3.Connection:
        db = connect(path, how, **options)
        db.set_trace_callback(self._told)
        return db

    def _told(self, statement: str) -> None:
        if "chunk" not in statement and not statement.startswith("--"):  # writes, and what a trigger does in them
            self.boundaries += 1
            if self.boundaries == self.fatal:
                _die()

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
        assert isinstance(writer, writing.Writer)
        deadly = DeadlyWriter(writer, self.fatal, self.kind)
        try:
            yield deadly
        finally:
            self.boundaries += deadly.writes if self.kind != "statement" else 0


class _Editor:
    """Commits one edit when the run begins, and one whenever a task has completed, until there are no more.

    Notes what it is told to have completed.
    """

    def __init__(self, work: Workload, edits: int, synchronizer: ConstellationModificationSynchronizer) -> None:
        self.work, self.diary, self.synchronizer = work, Diary(work.folder), synchronizer
        self.left = [(n, edit_document(work, n)) for n in range(1, edits + 1) if n not in self.diary.asked]
        self._moments, self._is_moment = anyio.create_memory_object_stream[None](1000)

    async def on_event(self, event: Event) -> None:
        if isinstance(event, TaskEvent):
            self.work.tells(event.task_id)
        self._moments.send_nowait(None)

    async def edit(self, run_id: str) -> None:
        for number, document in self.left:
            await self._is_moment.receive()
            self.diary.asks(number)
            try:
                await self.synchronizer.commit(transaction_from_json(json.dumps(document), "edit"), run_id)
            except GalaxyError:  # too late: what it changes has begun
                return
            self.diary.is_told(number)


@define
class _Person:
    """Who is asked what became of an attempt that nobody can tell of: looks at the traces, when nothing is going on there."""

    work: Workload

    async def __call__(self, said: InFlight) -> str:
        one = said.task_id
        with (self.work.folder / "unknown").open("a") as file:
            file.write(f"{one}\n")
        with anyio.move_on_after(PATIENCE_S):
            while self.work.began(one) > self.work.ended(one) + self.work.failed(one):  # noqa: ASYNC110  files tell nobody
                await anyio.sleep(0.02)
        return "completed" if self.work.ended(one) else "retry"


async def _run(work: Workload, fatal: int, kind: Kind, edits: int) -> tuple[str, int]:
    journal, bus = DeadlyJournal(work.folder / "journal", fatal, kind), EventBus()
    replay = replayed(journal)
    if replay is not None and not replay.is_whole:
        journal.remove(replay.run_id)
        replay = None
    if replay is not None and replay.over is not None:
        return replay.over, 0
    async with ConstellationDeviceManager(event_bus=bus) as devices, anyio.create_task_group() as group:
        devices.add_device(Device("here", "local", max_concurrency=4))
        orchestrator = TaskConstellationOrchestrator(devices, event_bus=bus, journal=journal)
        editor = _Editor(work, edits, ConstellationModificationSynchronizer(orchestrator))
        bus.subscribe(editor, [EventType.CONSTELLATION_STARTED, EventType.TASK_COMPLETED])
        if replay is not None:
            group.start_soon(editor.edit, replay.run_id)
            result = await orchestrator.resume(replay.run_id, on_unknown=_Person(work))
        else:
            plan: TaskConstellation = load_plan(work.plan).to_constellation()
            group.start_soon(editor.edit, plan.constellation_id)
            result = await orchestrator.orchestrate_constellation(plan, assignment_strategy="load_balance")
        group.cancel_scope.cancel()
    return result["status"], journal.boundaries


def _child(work: Workload, fatal: int, kind: Kind, edits: int, answer: Path) -> None:
    status, boundaries = anyio.run(partial(_run, work, fatal, kind, edits))
    answer.write_text(f"{status} {boundaries}")


def run(
    work: Workload, fatal: int = 0, kind: Kind = "before", edits: int = 0, limit_s: float = 60.0
) -> tuple[str, int]:
    """Run or resume in a process of its own: the status and the number of boundaries of that kind that it passed; "killed" when
    it died as it was to."""
    answer = work.folder / "answer"
    answer.unlink(missing_ok=True)
    process = forked(_child, work, fatal, kind, edits, answer)
    process.join(limit_s)
    if process.is_alive():
        process.kill()
        process.join()
        return "hung", 0
    if process.exitcode == -signal.SIGKILL:
        return "killed", fatal
    if not answer.exists():
        return f"broken (exit code {process.exitcode})", 0
    status, boundaries = answer.read_text().split()
    return status, int(boundaries)
