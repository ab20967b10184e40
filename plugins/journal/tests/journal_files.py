"""A real run that is watched: what stands in its folders, and what was waited for, at each moment.

At each wait for the disk, each change of a name and each call of the journal's writer, what lies beside the database is noted:
long values in `texts/`, and the files that tasks leave.
"""

from __future__ import annotations

import os
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, Final
from unittest.mock import patch

import anyio
from attrs import define, field, frozen
from pydantic import BaseModel

from galaxy_core import (
    Action,
    Command,
    ConstellationDeviceManager,
    Device,
    Effect,
    PluginRegistry,
    Reference,
    RunInfo,
    TaskConstellation,
    TaskConstellationOrchestrator,
    TaskStar,
    TaskStarLine,
)
from galaxy_core.extension.interfaces import Completed, Durability, JournalWriter
from galaxy_core.model.records import unkept
from galaxy_core.runtime import kept_files
from galaxy_core_journal import SqliteJournal
from galaxy_core_journal.places import folder_name

RUN: Final = "p"
#: Whether files are kept in a folder of their own, and how long records wait.
RUNS: Final[tuple[tuple[bool, Durability], ...]] = (
    (False, "sync"),
    (False, "batched"),
    (True, "sync"),
    (True, "batched"),
)
#: Characters from which on a text is kept in a file; a megabyte in each state would be a megabyte too many.
LONG: Final = 8_000
TEXTS: Final = {name: "".join(f"{name} {number}\n" for number in range(1_000)) for name in ("data", "value", "second")}
KEPT: Final = b"".join(b"kept %d\n" % number for number in range(500))
LOUD: Final = b"".join(b"loud %d\n" % number for number in range(500))
#: By the task that is read, and what of it, what its reader is to get; of files what is in them.
EXPECTED: Final[Mapping[tuple[str, str], str | bytes]] = {
    ("value", "value"): TEXTS["value"],
    ("same", "value"): TEXTS["value"],
    ("second", "value"): TEXTS["second"],
    ("file", "file.out"): KEPT,
    ("loud", "file.stdout.txt"): LOUD,
}
#: The database has a model of its own, in `journal_loss`; its lock and marks of an order hold nothing.
_OTHERS: Final = ("journal.db-", "lock", "order", ".order-")


@frozen
class Tree:
    """What stands below a folder: by their inodes, the names in each folder with theirs, and the content of each file."""

    folders: dict[int, dict[str, int]] = field(factory=dict)
    files: dict[int, bytes] = field(factory=dict)

    @classmethod
    def of(cls, root: Path) -> Tree:
        """As it is now."""
        made = cls()
        made._add(root)
        return made

    def _add(self, folder: Path) -> None:
        names = self.folders[folder.stat().st_ino] = {}
        for entry in os.scandir(folder):
            if entry.name.startswith(_OTHERS):
                continue
            try:
                if entry.is_dir(follow_symlinks=False):
                    self._add(Path(entry.path))
                else:
                    self.files[entry.inode()] = b"" if entry.name == "journal.db" else Path(entry.path).read_bytes()
            except FileNotFoundError:  # it goes meanwhile
                continue
            names[entry.name] = entry.inode()


@frozen
class Moment:
    """A point of a run: what was there, which inode was waited for just then, and the records that were written and kept."""

    tree: Tree
    synced: int | None
    written: int
    kept: int


@define
class Watch:
    """Notes moments of what happens below `base`."""

    base: Path
    moments: list[Moment] = field(factory=list)
    written: int = 0
    kept: int = 0
    _lock: threading.Lock = field(factory=threading.Lock)

    def note(self, synced: int | None = None) -> None:
        """Something has happened."""
        with self._lock:
            self.moments.append(Moment(Tree.of(self.base), synced, self.written, self.kept))

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Whatever changes names or waits for the disk is noted."""
        fsync = os.fsync

        def synced(descriptor: int) -> None:
            self.note()
            fsync(descriptor)
            self.note(os.fstat(descriptor).st_ino)

        def noted(name: str) -> Callable[..., None]:
            real = getattr(os, name)

            def call(*arguments: Any, **named: Any) -> None:
                real(*arguments, **named)
                self.note()

            return call

        with ExitStack() as stack:
            stack.enter_context(patch.object(os, "fsync", synced))
            for name in ("mkdir", "rename", "replace", "unlink", "rmdir"):
                stack.enter_context(patch.object(os, name, noted(name)))
            yield


@define
class WatchedWriter:
    """Says when it writes, and when it has written."""

    inner: JournalWriter
    watch: Watch
    lines: list[str]

    @property
    def epoch(self) -> int:
        return self.inner.epoch

    @property
    def folder(self) -> Path | None:
        return self.inner.folder

    async def write(self, records: Sequence[str], /) -> None:
        """See `JournalWriter`."""
        self.lines += records
        self.watch.written = len(self.lines)
        self.watch.note()
        await self.inner.write(records)
        self.watch.kept = len(self.lines)
        self.watch.note()


class WatchedJournal(SqliteJournal):
    """The journal of users, which is watched."""

    def __init__(self, folder: Path, watch: Watch) -> None:
        super().__init__(folder)
        self.watch, self.lines = watch, list[str]()

    @asynccontextmanager
    async def open(self, run: RunInfo, /) -> AsyncIterator[JournalWriter]:
        async with super().open(run) as writer:
            yield WatchedWriter(writer, self.watch, self.lines)


class Said(BaseModel):
    """What a talker is asked for."""

    what: str


class _Talker:
    """A device whose tasks return long texts; the one that is to say nothing never ends."""

    name, features = "talker", frozenset({"stops"})
    settings_model = device_type = None
    requests = frozenset[str]()
    actions: Mapping[str, Any] = {"say": Said}

    def __init__(self) -> None:
        self.is_silent = anyio.Event()

    @asynccontextmanager
    async def open(self, device: Device, settings: Any) -> AsyncIterator[_Talker]:
        yield self

    async def execute(self, attempt: Any) -> Completed:
        what = attempt.request.arguments["what"]
        if what == "nothing":
            self.is_silent.set()
            await anyio.sleep_forever()
        return Completed(value=TEXTS[what])

    async def probe(self) -> dict[str, Any]:
        return {}


def _plan() -> TaskConstellation:
    """Tasks that return long texts and leave files, and one that is to read them all, and does not come to it."""

    def says(task_id: str, what: str) -> TaskStar:
        effect = Effect.IDEMPOTENT
        return TaskStar(task_id, target_device_id="talker", request=Action("say", {"what": what}), effect=effect)

    def runs(task_id: str, *argv: Any, **more: Any) -> TaskStar:
        return TaskStar(task_id, target_device_id="here", request=Command([*argv], **more))

    counts = 'i=0; while [ $i -lt 500 ]; do echo "$1 $i"; i=$((i+1)); done'
    made = [
        says("value", "value"),
        says("same", "value"),
        says("second", "second"),
        runs("file", "sh", "-c", f"({counts}) > out", "sh", "kept", outputs=["out"]),
        runs("loud", "sh", "-c", counts, "sh", "loud"),
    ]
    late = runs("late", "cat", *(Reference(*wanted) for wanted in EXPECTED))
    late.task_data = {"text": TEXTS["data"]}
    links = [TaskStarLine(*ids) for ids in (("value", "same"), ("same", "second"), ("file", "loud"), ("wait", "late"))]
    links += [TaskStarLine(task.task_id, other) for task in made for other in ("wait", "late")]
    return TaskConstellation.build([*made, says("wait", "nothing"), late], links, constellation_id=RUN)


@frozen
class Tape:
    """What a run did. Its folders are below `base`, which was there and empty before it."""

    base: Path
    runs: Path
    moments: list[Moment]
    lines: list[str]


def tape(root: Path, *, artifacts: bool = False, durability: Durability = "sync") -> Tape:
    """A run that is left when all has ended that one task waits for; `artifacts`: files are kept in a folder of their own."""
    base, work = root / "base", root / "work"
    base.mkdir()
    work.mkdir()
    watch, talker = Watch(base), _Talker()
    watch.note(base.stat().st_ino)
    journal = WatchedJournal(base / "state" / "journal", watch)

    async def run() -> None:
        plugins = PluginRegistry()
        plugins.register(talker)
        async with ConstellationDeviceManager(plugins=plugins) as devices, anyio.create_task_group() as group:
            devices.add_device(Device("here", "local", {"root": str(work), "output_cap_bytes": 1000}))
            devices.add_device(Device("talker", "talker"))
            orchestrator = TaskConstellationOrchestrator(
                devices,
                journal=journal,
                durability=durability,
                artifacts=base / "kept" / "files" if artifacts else None,
            )

            async def stop() -> None:
                await talker.is_silent.wait()
                await orchestrator.stop(RUN, interrupt=True)

            group.start_soon(stop)
            told = await orchestrator.orchestrate_constellation(_plan())
            assert told["status"] == "stopped", told

    # Another run of this process may have had folders with the same numbers.
    with watch.watching(), patch.object(kept_files, "_named", dict[Any, Any]()), patch.object(unkept, "MAX_TEXT", LONG):
        anyio.run(run)
    return Tape(base, journal.folder / folder_name(RUN), watch.moments, journal.lines)
