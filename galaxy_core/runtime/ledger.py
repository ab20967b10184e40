"""Ledger: the records of one run on their way to its journal, and whoever waits for them to be kept.

One task per run takes all that was noted meanwhile and has it written, so that what happens at the same time shares a
write ("group commit"). The log is the order: whatever follows from a record stands behind it, and since nothing is sent before
its own start is kept, nothing is sent before what it follows from is kept.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections import deque
from collections.abc import Awaitable, Callable, Container, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import anyio.to_thread

from galaxy_core.errors import JournalError, JournalFailedError
from galaxy_core.extension.adapter.owners import give_open, make_folders
from galaxy_core.extension.journals import Durability, JournalWriter
from galaxy_core.model.events import Event, EventType
from galaxy_core.model.reasons import text_of
from galaxy_core.model.records import encode
from galaxy_core.model.records.unkept import Keeper
from galaxy_core.model.result import TERMINAL
from galaxy_core.runtime.blaming import blamed
from galaxy_core.runtime.bus import STALL_S
from galaxy_core.runtime.kept_files import keep_files, sync_folder

if TYPE_CHECKING:
    from galaxy_core.model.task import TaskStar

#: Seconds that `batched` lets records wait: what is lost with the process is what these and one write hold.
BATCH_S = 0.1
#: Records that may wait. Beyond that, workers do not take another task before the journal has caught up.
MAX_BACKLOG = 50_000
#: Seconds that a journal has, once its run is over, to keep what it has not kept yet.
CLOSING_S = 60.0
#: How files are written, which blocks.
in_thread: Callable[..., Awaitable[Any]] = anyio.to_thread.run_sync
_OVER = frozenset(status.value for status in TERMINAL)
_RELIED_ON = (EventType.TASK_STARTED, EventType.TASK_COMPLETED, EventType.EDIT_COMMITTED, EventType.EDIT_UNDONE)
#: The folder of long texts, below that of the run.
TEXTS = "texts"


class Ledger:
    """The records of a run. `count` of them were noted, over all epochs, and the first `kept` are durable."""

    def __init__(
        self,
        name: str,
        run_id: str,
        writer: JournalWriter,
        durability: Durability,
        *,
        first: int = 0,
        lost: Callable[[str], None] | None = None,
    ) -> None:
        self.name, self.run_id = name, run_id
        #: The folder below which the journal keeps its runs, if it says so.
        self.place: str | None = None
        self.epoch, self.folder = writer.epoch, writer.folder
        self.durability: Durability = durability
        self.sync = durability == "sync"
        self.count = self.kept = first
        self.failure: Exception | None = None
        #: Called when a write has failed, once, with the reason and the leases of attempts whose start is not kept.
        self.failed: Callable[[str, Container[int]], None] = lambda why, unkept: None
        #: When a write has failed, the ids of tasks whose end is not kept.
        self.unkept_ends: set[str] = set()
        #: Called before records are taken or waited for: whoever has more to note does so.
        self.pending: Callable[[], None] = lambda: None
        #: Posts events that may be told now.
        self.post: Callable[[Sequence[Event]], None] = lambda events: None
        self.keeper = Keeper(self._spill, lost)
        self._writer = writer
        self.lines: list[str] = []
        #: Attempts that have started and whose records were put off, so that one record tells of start and end: in
        #: `batched` alone, where no start is kept before the device hears of it, and until anything else is noted.
        self.starting: dict[TaskStar, encode.Began] = {}
        #: And those that have ended since.
        self.ran: list[encode.Ran] = []
        self._texts: list[tuple[Path, str]] = []
        self._files: list[str] = []
        self._events: deque[tuple[int, Sequence[Event]]] = deque()
        self._stirred = anyio.Event()
        self._closing = anyio.Event()
        self._finished = anyio.Event()
        self._next, self._under_way = anyio.Event(), anyio.Event()  # what is noted is kept; what was taken is
        self._taken = first
        self._scope = anyio.CancelScope(shield=True)
        self._gave_up = False

    # ------------------------------------------------------------------------------------------- noting
    def note(self, encode: Callable[..., str], *args: object) -> None:
        """Note a record: `encode(n, *args)` gives its line."""
        if self.starting or self.ran:
            self.note_attempts()
        lines = self.lines
        if not lines:
            self._stirred.set()
        n = self.count
        self.count = n + 1
        lines.append(encode(n, *args))

    def note_attempts(self) -> None:
        """Note what was put off: what follows may be about these attempts."""
        if self.ran:
            ran, self.ran = self.ran, []
            before = len(self.lines)
            self.lines += encode.rans(self.count, ran)
            self.count += len(self.lines) - before
        if self.starting:
            starting, self.starting = self.starting, {}
            for task, said in starting.items():
                self.note(encode.start, task._task_id, *said)

    def stir(self) -> None:
        """There is something that `pending` will note."""
        self._stirred.set()

    def _spill(self, text: str) -> tuple[str, str] | None:
        """Have a long text written to a file before the record that names it."""
        if self.folder is None:
            return None
        digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
        name = f"{TEXTS}/{digest[:32]}.txt"
        self._texts.append((self.folder / name, text))
        return name, digest

    def hold(self, files: object) -> None:
        """Have the files that a result names made durable before its record is, and what they hold recorded with it."""
        if isinstance(files, Mapping):
            self._files += [path for path in files.values() if isinstance(path, str)]

    # ------------------------------------------------------------------------------------------- waiting
    async def durable(self) -> None:
        """Wait until all that was noted is kept; in `batched`, and after a failure, not at all."""
        if self.sync:
            await self.settle()

    async def settle(self) -> None:
        """Wait until all that was noted is kept, or cannot be."""
        self.pending()
        self.note_attempts()
        wanted = self.count
        while self.kept < wanted and self.failure is None and not self._finished.is_set():
            await (self._under_way if wanted <= self._taken else self._next).wait()

    @property
    def is_behind(self) -> bool:
        """Whether more is waiting to be written than should."""
        return len(self.lines) + len(self.ran) > MAX_BACKLOG

    def tell(self, events: Sequence[Event]) -> None:
        """Post events when all that was noted before them is kept; in `batched` at once."""
        if self.failure is not None:  # whoever heard that something was done would rely on it
            self.post([event for event in events if event.event_type not in _RELIED_ON])
            return
        if not self.sync:
            self.post(events)
            return
        self.pending()
        if self.kept >= self.count and not self._events:
            self.post(events)
        else:
            self._events.append((self.count, events))

    # ------------------------------------------------------------------------------------------- writing
    async def run(self) -> None:
        """Write until closed. Cancelling whoever runs this does not cut it short: `close` does, after its time."""
        try:
            with self._scope:
                while not (self._closing.is_set() and not self.lines) and self.failure is None:
                    await self._stirred.wait()
                    if not self.sync and not self._closing.is_set():
                        with anyio.move_on_after(BATCH_S):
                            await self._closing.wait()
                    await self._write()
        finally:
            self._finished.set()
            self._next.set()
            self._under_way.set()

    async def _write(self) -> None:
        self.pending()
        self.note_attempts()
        lines, self.lines = self.lines, []
        texts, self._texts = self._texts, []
        files, self._files = self._files, []
        self._stirred = anyio.Event()
        if self._closing.is_set():
            self._stirred.set()
        if not lines:
            return
        number = self.count
        if files:
            self.count += 1
        self._taken = self.count
        self._under_way, self._next = self._next, anyio.Event()
        try:
            if texts:
                await in_thread(_keep_texts, texts)
            if files:
                lines.append(encode.files(number, await in_thread(keep_files, files)))
            await self._writer.write(lines)
        except BaseException as error:  # the caller of the run receives it, from `check`
            if self._scope.cancel_called:
                raise
            self._fail(blamed(error, "journal", self.name), lines)
        else:
            self.kept = self._taken
            while self._events and self._events[0][0] <= self.kept:
                self.post(self._events.popleft()[1])
        self._under_way.set()

    def _fail(self, failure: Exception, lines: Sequence[str]) -> None:
        """Nothing is written any more, and nobody is told what was not kept, of which `lines` were being written."""
        self.failure = failure
        starts, ends = _attempts((*lines, *self.lines))
        unkept = {*starts, *(began[0] for began in self.starting.values())}
        self.unkept_ends.update((*ends, *(ran[0] for ran in self.ran)))
        self._events.clear()
        self.lines.clear()
        self.starting.clear()
        self.ran.clear()
        self.failed(text_of(failure), unkept)
        self._next.set()

    async def close(self) -> None:
        """Wait until all is written, `CLOSING_S` at most; cancelling does not shorten it. Then nothing is written."""
        with anyio.CancelScope(shield=True):
            with anyio.move_on_after(CLOSING_S) as waiting:
                self.pending()
                self.note_attempts()
                self._closing.set()
                self._stirred.set()
                await self._finished.wait()
            if waiting.cancelled_caught:
                self._gave_up = True
                self._scope.cancel()
                with anyio.move_on_after(STALL_S):  # so that the writer is not closed while it cleans up
                    await self._finished.wait()

    def check_run(self, left: Mapping[str, str], ended: Mapping[str, str]) -> None:
        """As `check`, at the end of a run; `left` and `ended` are for the error.

        Raises:
            JournalFailedError: the writer raised; its error is chained.
            JournalError: it was too slow.
        """
        if self.failure is not None:
            why, since = text_of(self.failure), (*_attempts(self.lines)[1], *(ran[0] for ran in self.ran))
            unkept = {*self.unkept_ends, *since}
            raise JournalFailedError(
                self.run_id, why, left, ended, is_kept=bool(self.kept), unkept=unkept
            ) from self.failure
        self.check()

    def check(self) -> None:
        """Raise when anything could not be written.

        Raises:
            JournalError: the writer raised; its error is chained. Or it was too slow.
        """
        if self.failure is not None:
            why = text_of(self.failure)
            raise JournalError(
                f"what was to be kept of run {self.run_id!r} was not: {why}. Try again when its journal can be written"
            ) from self.failure
        if self._gave_up:
            raise JournalError(
                f"run of {self.run_id!r} is over, but journal {self.name!r} has not kept all of its records "
                f"within {CLOSING_S:g} s more. What had completed is kept in the constellation."
            )


def _attempts(lines: Iterable[str]) -> tuple[list[int], list[str]]:
    """The leases that records say were given, and the ids of tasks of which they say how they ended."""
    starts: list[int] = []
    ends: list[str] = []
    for line in lines:
        match line.split(",", 2)[1].strip('"'):
            case "start":
                starts.append(json.loads(line)[4])
            case "end":
                ends.append(json.loads(line)[2])
            case "ran":
                ends += (ran[0] for ran in json.loads(line)[2])
            case "image" | "edit" as kind:  # by which a task ends that was touched just then
                told = json.loads(line)[2]
                tasks = (told if kind == "image" else told["image"]).get("tasks", ())
                ends += (task["task_id"] for task in tasks if task.get("status") in _OVER)
    return starts, ends


def _keep_texts(texts: Sequence[tuple[Path, str]]) -> None:
    """Write files that are whole and durable, or are not there."""
    for path, text in texts:
        make_folders(path.parent)
        data = text.encode("utf-8", "surrogatepass")
        with suppress(OSError):
            if path.read_bytes() == data:
                continue  # else it is not there, or was damaged since
        new = path.with_suffix(".new")
        nofollow = getattr(os, "O_NOFOLLOW", 0)  # which Windows has not
        with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | nofollow, 0o600), "wb") as file:
            give_open(file.fileno(), new)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(new, path)
    for folder in {path.parent for path, _ in texts}:
        sync_folder(folder)
        sync_folder(folder.parent)
