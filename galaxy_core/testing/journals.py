"""Journals for tests: in memory, and as lines of text in a folder."""

from __future__ import annotations

import hashlib
import json
import os
import zlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import BinaryIO

from anyio import CancelScope, to_thread
from anyio.lowlevel import checkpoint
from attrs import Factory, define

from galaxy_core.errors import JournalDamagedError, JournalError, RunLockedError, UnknownRecordedRunError
from galaxy_core.extension.interfaces import RunInfo


@define
class KeptRun:
    """What a `MemoryJournal` has of a run."""

    records: list[str] = Factory(list)
    epoch: int = 0
    is_open: bool = False


class MemoryJournal:
    """Keeps runs in memory: `kept` maps the id of each to what there is of it, in the order in which they began.

    `broken` is an error that each further write raises.
    """

    def __init__(self, name: str = "memory") -> None:
        self.name = name
        self.kept: dict[str, KeptRun] = {}
        self.broken: Exception | None = None

    @asynccontextmanager
    async def open(self, run: RunInfo, /) -> AsyncIterator[MemoryWriter]:
        """A writer for a new run."""
        run_id = run.constellation_id
        if run_id in self.kept:
            raise JournalError(f"there is a run {run_id!r} already")
        self.kept[run_id] = KeptRun()
        async with self.reopen(run_id) as writer:
            yield writer

    @asynccontextmanager
    async def reopen(self, run_id: str, /) -> AsyncIterator[MemoryWriter]:
        """A writer that goes on with a run, unless there is one already."""
        run = self._run(run_id)
        if run.is_open:
            raise RunLockedError(run_id, "this process")
        run.is_open = True
        run.epoch += 1
        try:
            yield MemoryWriter(self, run)
        finally:
            run.is_open = False

    def read(self, run_id: str, /) -> Sequence[str]:
        """What it has kept."""
        return list(self._run(run_id).records)

    def runs(self) -> Sequence[str]:
        """The ids, the newest first."""
        return list(reversed(self.kept))

    def _run(self, run_id: str) -> KeptRun:
        try:
            return self.kept[run_id]
        except KeyError:
            raise UnknownRecordedRunError(run_id, self.kept) from None


class MemoryWriter:
    """Writes one run of a `MemoryJournal`."""

    def __init__(self, journal: MemoryJournal, run: KeptRun) -> None:
        self.epoch = run.epoch
        self.folder: Path | None = None
        self._journal = journal
        self._run = run

    async def write(self, records: Sequence[str], /) -> None:
        """Keep them, all at once."""
        await checkpoint()
        if self._journal.broken is not None:
            raise self._journal.broken
        self._run.records += records


class JsonLinesJournal:
    """Keeps each run in a file of `folder`: a line for each record, with a checksum, and one for each writer.

    Its lock is a file: of a process that was killed it stays, until somebody removes it.
    """

    def __init__(self, folder: Path, name: str = "json_lines") -> None:
        self.name = name
        self._folder = folder

    def path(self, run_id: str) -> Path:
        """The file of a run."""
        return self._folder / (hashlib.sha256(run_id.encode("utf-8", "surrogatepass")).hexdigest() + ".jsonl")

    @asynccontextmanager
    async def open(self, run: RunInfo, /) -> AsyncIterator[JsonLinesWriter]:
        """A writer for a new run."""
        run_id, path = run.constellation_id, self.path(run.constellation_id)
        self._folder.mkdir(parents=True, exist_ok=True)
        number = len(list(self._folder.glob("*.jsonl")))
        try:
            with path.open("xb") as file:
                file.write(_line(f"run {number} {json.dumps(run_id)}"))
        except FileExistsError as error:
            raise JournalError(f"there is a run {run_id!r} already, in {str(path)!r}") from error
        async with self.reopen(run_id) as writer:
            yield writer

    @asynccontextmanager
    async def reopen(self, run_id: str, /) -> AsyncIterator[JsonLinesWriter]:
        """A writer, unless some process has one already. What was torn at the end of the file is cut."""
        path = self.path(run_id)
        lines = self._lines(run_id)
        lock = path.with_suffix(".lock")
        try:
            os.close(os.open(lock, os.O_CREAT | os.O_EXCL))
        except FileExistsError as error:
            raise RunLockedError(run_id, f"whoever made {str(lock)!r}; if nobody writes it, remove that") from error
        try:
            with path.open("r+b", buffering=0) as file:
                file.truncate(sum(len(_line(line)) for line in lines))
                file.seek(0, os.SEEK_END)
                epoch = 1 + sum(line.startswith("epoch ") for line in lines)
                writer = JsonLinesWriter(file, epoch)
                with CancelScope(shield=True):
                    await to_thread.run_sync(writer.keep, _line(f"epoch {epoch}"))
                yield writer
        finally:
            lock.unlink()

    def read(self, run_id: str, /) -> Sequence[str]:
        """What it has kept. A last line that was not written to its end is none."""
        return [line.removeprefix("record ") for line in self._lines(run_id) if line.startswith("record ")]

    def runs(self) -> Sequence[str]:
        """The ids, the newest first."""
        return [run_id for _, run_id in sorted(self._known(), reverse=True)]

    def _known(self) -> list[tuple[int, str]]:
        found: list[tuple[int, str]] = []
        for path in self._folder.glob("*.jsonl"):
            with path.open("rb") as file:
                _, number, run_id = _text(file.readline()[:-1]).split(" ", 2)
            found.append((int(number), json.loads(run_id)))
        return found

    def _lines(self, run_id: str) -> list[str]:
        try:
            data = self.path(run_id).read_bytes()
        except FileNotFoundError:
            raise UnknownRecordedRunError(run_id, self.runs()) from None
        lines: list[str] = []
        for raw in data.split(b"\n")[:-1]:
            text = _text(raw)
            if _line(text) != raw + b"\n":
                sound = sum(line.startswith("record ") for line in lines)
                raise JournalDamagedError(run_id, "a checksum is wrong", sound, str(self.path(run_id)))
            lines.append(text)
        return lines


class JsonLinesWriter:
    """Writes one run of a `JsonLinesJournal`."""

    def __init__(self, file: BinaryIO, epoch: int) -> None:
        self.epoch = epoch
        self.folder: Path | None = None
        self._file = file
        self._failure: JournalError | None = None

    async def write(self, records: Sequence[str], /) -> None:
        """Keep them. Once it has begun, a cancellation waits until it is done."""
        await to_thread.run_sync(self.keep, b"".join(_line(f"record {record}") for record in records))

    def keep(self, data: bytes) -> None:
        """Write, to its end, and wait for the disk."""
        if self._failure is not None:
            raise self._failure
        try:
            left = memoryview(data)
            while left:
                left = left[self._file.write(left) :]
            os.fsync(self._file.fileno())
        except (OSError, ValueError) as error:  # of a file that was closed, too
            self._failure = JournalError(f"{self._file.name!r} cannot be written: {error}")
            raise self._failure from error


def _line(text: str) -> bytes:
    raw = text.encode("utf-8", "surrogatepass")
    return b"%08x %b\n" % (zlib.crc32(raw), raw)


def _text(line: bytes) -> str:
    return line[9:].decode("utf-8", "surrogatepass")
