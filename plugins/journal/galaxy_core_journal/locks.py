"""One writer for each run: a lock of the system, which goes with the process that holds it."""

from __future__ import annotations

import errno
import json
import os
import socket
import sys
import time
import weakref
from datetime import UTC, datetime
from pathlib import Path

from galaxy_core.errors import JournalError, RunLockedError
from galaxy_core.extension.adapter.owners import give_open

#: Seconds that whoever wants a lock tries: readers hold it for an instant, to see whether somebody writes.
PATIENCE_S = 0.25
_NONE = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EINVAL}

if sys.platform == "win32":
    import msvcrt

    _FAR = 2**30  # what is locked cannot be read by others, so it is not the text

    def _take(handle: int) -> None:
        os.lseek(handle, _FAR, os.SEEK_SET)
        msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
else:
    import fcntl

    def _take(handle: int) -> None:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)


class Lock:
    """A lock that is held until `release`, or until this process ends, however it does."""

    def __init__(self, handle: int) -> None:
        self._handle = handle
        _held.add(self)

    def release(self) -> None:
        """Let others have it."""
        handle, self._handle = self._handle, -1
        if handle >= 0:
            os.close(handle)


_held: weakref.WeakSet[Lock] = weakref.WeakSet()


def _forget() -> None:
    """A child that is forked has our open files, and would hold our locks after us."""
    for lock in list(_held):
        lock.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)


def acquire(path: Path, run_id: str) -> Lock:
    """The lock of a run. May block for `PATIENCE_S`.

    Raises:
        RunLockedError: somebody else has it.
        JournalError: the file system has no locks, or none that keep anybody out.
    """
    deadline = time.monotonic() + PATIENCE_S
    while True:
        handle = _opened(path)
        try:
            taken = _taken(handle, path)
            if taken and _is_still(handle, path):
                _check(path)
                text = json.dumps({"pid": os.getpid(), "host": host(), "since": _now()})
                os.ftruncate(handle, 0)
                os.lseek(handle, 0, os.SEEK_SET)
                os.write(handle, text.encode())
                return Lock(handle)
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)
        if time.monotonic() > deadline:
            raise RunLockedError(run_id, holder(path))
        time.sleep(0.01)


def _opened(path: Path) -> int:
    """The file, which is given to whoever has the folder if it was made here: another one may be anything that they have put there."""
    flags = os.O_RDWR | getattr(os, "O_NOFOLLOW", 0)
    try:
        handle = os.open(path, flags | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return os.open(path, flags | os.O_CREAT, 0o600)  # it may go in between
    give_open(handle, path)
    return handle


def is_held(path: Path) -> bool:
    """Whether somebody writes the run. Never waits."""
    try:
        handle = os.open(path, os.O_RDWR | getattr(os, "O_NOFOLLOW", 0))
    except OSError:  # there is none, or it is not ours, and then we cannot tell
        return False
    try:
        return not _taken(handle, path)
    except JournalError:
        return False
    finally:
        os.close(handle)


def host() -> str:
    """What this machine is called."""
    return socket.gethostname()


def holder(path: Path) -> str:
    """Who wrote into the lock, for people: `process 4711 on host 'a' since …`; empty when nobody did."""
    try:
        told = json.loads(path.read_bytes()[:1000])
        return f"process {int(told['pid'])} on host {str(told['host'])!r} since {str(told['since'])!s}"
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def _taken(handle: int, path: Path) -> bool:
    try:
        _take(handle)
    except OSError as error:
        if error.errno in _NONE:
            raise _unlockable(path, f"it says {os.strerror(error.errno)!r}") from error
        if error.errno in {errno.EWOULDBLOCK, errno.EACCES, errno.EAGAIN, errno.EDEADLK}:
            return False
        raise
    return True


def _is_still(handle: int, path: Path) -> bool:
    """Whether the file that is locked is the one that stands there now."""
    try:
        there = os.stat(path)
    except FileNotFoundError:
        return False
    return os.path.samestat(os.fstat(handle), there)


def _check(path: Path) -> None:
    """A lock that a second opening of the same file gets, too, keeps nobody out."""
    again = os.open(path, os.O_RDWR)
    try:
        if _taken(again, path):
            raise _unlockable(path, "two may hold the same one")
    finally:
        os.close(again)


def _unlockable(path: Path, why: str) -> JournalError:
    return JournalError(
        f"the file system of {str(path.parent)!r} has no working locks ({why}), so two processes could write one run: "
        "set GALAXY_JOURNAL to a folder on a local disk"
    )


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
