"""What this process holds that it did not hold before: threads, descriptors, child processes, tasks, temporary files."""

from __future__ import annotations

import os
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import FrameType

import anyio

#: How long what is being closed may take to be closed.
SETTLE_S = 2.0


class Leftovers:
    """Compares what this process holds now with what it held when this was made.

    Worker threads of the event loop that wait for work are nobody's. Descriptors and child processes are seen on Linux
    alone. `folder`, if given, is where temporary files of this process are made.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder
        self._before = set(self._held())

    async def found(self) -> list[str]:
        """What is new, in words; waits a little for it to go."""
        with anyio.move_on_after(SETTLE_S):
            while self._new():
                await anyio.sleep(0.01)
        return [told for _, told in self._new()]

    def _new(self) -> list[tuple[str, str]]:
        return sorted(held for held in self._held() if held not in self._before)

    def _held(self) -> Iterator[tuple[str, str]]:
        """What is held: a key that tells it from everything else, and words."""
        for thread in threading.enumerate():
            if not _is_idle(thread):
                yield f"thread {thread.ident}", f"thread {thread.name!r}"
        for task in anyio.get_running_tasks():
            yield f"task {task.id}", f"task {task.name!r}"
        yield from _descriptors()
        yield from _children()
        if self._folder is not None:
            for path in sorted(self._folder.rglob("*")):
                yield f"file {path}", f"temporary file {path.relative_to(self._folder).as_posix()!r}"


class PrivateTemporaryFolder:
    """While it is entered, `tempfile` makes files in `folder`, where nobody else's are."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._outer: str | None = None

    def __enter__(self) -> Path:
        self._folder.mkdir(parents=True, exist_ok=True)
        self._outer, tempfile.tempdir = tempfile.tempdir, str(self._folder)
        return self._folder

    def __exit__(self, *_error: object) -> None:
        tempfile.tempdir = self._outer


def _is_idle(thread: threading.Thread) -> bool:
    """Whether it is a worker of anyio or trio that waits for its next piece of work, or for its end."""
    frame: FrameType | None = sys._current_frames().get(thread.ident or 0)
    while frame is not None:
        file, name = frame.f_code.co_filename.replace("\\", "/"), frame.f_code.co_name
        if file.endswith("anyio/_backends/_asyncio.py") and name == "run":
            return True  # blocked in its queue: work would stand above it, and have come first
        if file.endswith("trio/_core/_thread_cache.py") and name == "_work":
            return True
        if not file.endswith(("/queue.py", "/threading.py")):
            return False
        frame = frame.f_back
    return not thread.is_alive()


def _descriptors() -> Iterator[tuple[str, str]]:
    folder = "/proc/self/fd"
    if not os.path.isdir(folder):
        return
    for name in os.listdir(folder):
        try:
            target = os.readlink(f"{folder}/{name}")
        except OSError:  # it was the one for reading the folder
            continue
        if target != folder and not target.startswith(f"/proc/{os.getpid()}/fd"):
            yield f"fd {name} {target}", f"descriptor {name} ({target})"


def _children() -> Iterator[tuple[str, str]]:
    for number in _ids_of_children():
        try:
            with open(f"/proc/{number}/stat", "rb") as file:
                told = file.read().decode(errors="replace")
        except OSError:  # it has gone meanwhile
            continue
        program, _, rest = told.partition("(")[2].rpartition(")")
        yield f"process {number} {rest.split()[19]}", f"process {number} {program!r}"


def _ids_of_children() -> list[str]:
    """Of all threads. Each clause asks several times, and reading the state of every process takes milliseconds."""
    try:
        found = _listed_children()
        # One that ends while the list is read may hide the next.
        while found != (again := _listed_children()):
            found = again
    except FileNotFoundError:  # a kernel without the lists, or no /proc at all
        return _searched_children() if os.path.isdir("/proc/self") else []
    return found


def _listed_children() -> list[str]:
    found: list[str] = []
    for thread in os.listdir("/proc/self/task"):
        try:
            with open(f"/proc/self/task/{thread}/children", encoding="ascii") as file:
                found += file.read().split()
        except FileNotFoundError:
            if os.path.exists(f"/proc/self/task/{thread}"):
                raise
        except ProcessLookupError:  # the thread has ended
            continue
    return sorted(found)


def _searched_children() -> list[str]:
    me, found = os.getpid(), []
    for name in os.listdir("/proc"):
        if name.isdigit():
            with suppress(OSError), open(f"/proc/{name}/stat", "rb") as file:
                if int(file.read().rpartition(b")")[2].split()[1]) == me:
                    found.append(name)
    return found
