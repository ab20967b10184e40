"""Journals for tests: in memory, and as lines of JSON in a folder."""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import BinaryIO

from anyio import CancelScope, to_thread
from anyio.lowlevel import checkpoint

from galaxy_core.errors import RunError
from galaxy_core.extension.adapter.names import plain_names
from galaxy_core.extension.interfaces import RunInfo
from galaxy_core.model.events import Event


def line_of(event: Event) -> str:
    """An event as one line of JSON, without its end."""
    told = {"type": event.event_type.value, "time": event.timestamp, "data": dict(event.data)}
    for name in ("task_id", "status", "constellation_id", "constellation_state", "device_id", "device_status"):
        if (value := getattr(event, name, None)) is not None:
            told[name] = value
    return json.dumps(told, ensure_ascii=True, default=repr, sort_keys=True)


class MemoryJournal:
    """Keeps runs in memory: `runs` maps the id of each to its events."""

    def __init__(self, name: str = "memory") -> None:
        self.name = name
        self.runs: dict[str, list[Event]] = {}
        self._open: set[str] = set()

    @asynccontextmanager
    async def open(self, run: RunInfo, /) -> AsyncIterator[MemoryWriter]:
        """A writer, unless there is one already."""
        run_id = run.constellation_id
        if run_id in self._open:
            raise RunError(f"run {run_id!r} is being written already")
        self._open.add(run_id)
        try:
            yield MemoryWriter(self.runs.setdefault(run_id, []))
        finally:
            self._open.discard(run_id)

    def read(self, run: RunInfo) -> list[str]:
        """What it has kept, as lines."""
        return [line_of(event) for event in self.runs.get(run.constellation_id, ())]


class MemoryWriter:
    """Writes one run of a `MemoryJournal`."""

    def __init__(self, events: list[Event]) -> None:
        self._events = events

    async def write(self, events: Sequence[Event], /) -> None:
        """Keep them, all at once."""
        await checkpoint()
        self._events += events


class JsonLinesJournal:
    """Keeps each run in a file of `folder`, one line for each event."""

    def __init__(self, folder: Path, name: str = "json_lines") -> None:
        self.name = name
        self._folder = folder

    def path(self, run: RunInfo) -> Path:
        """The file of a run."""
        return self._folder / (plain_names([run.constellation_id])[run.constellation_id] + ".jsonl")

    @asynccontextmanager
    async def open(self, run: RunInfo, /) -> AsyncIterator[JsonLinesWriter]:
        """A writer, unless some process has one already."""
        path = self.path(run)
        lock = path.with_suffix(".lock")
        try:
            os.close(os.open(lock, os.O_CREAT | os.O_EXCL))
        except FileExistsError as error:
            raise RunError(
                f"run {run.constellation_id!r} is being written already; if it is not, remove {str(lock)!r}"
            ) from error
        try:
            with path.open("ab") as file:
                try:
                    yield JsonLinesWriter(file)
                finally:
                    with CancelScope(shield=True):
                        await to_thread.run_sync(_synced, file)
        finally:
            lock.unlink()

    def read(self, run: RunInfo) -> list[str]:
        """What it has kept, as lines; a last line that was not written to its end is none."""
        try:
            data = self.path(run).read_bytes()
        except FileNotFoundError:
            return []
        return data[: data.rfind(b"\n") + 1].decode().splitlines()


class JsonLinesWriter:
    """Writes one run of a `JsonLinesJournal`."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    async def write(self, events: Sequence[Event], /) -> None:
        """Keep them. Once it has begun, a cancellation waits until it is done."""
        data = "".join(f"{line_of(event)}\n" for event in events).encode()
        await to_thread.run_sync(self._write, data)

    def _write(self, data: bytes) -> None:
        self._file.write(data)
        self._file.flush()


def _synced(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())
