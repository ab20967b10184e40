"""A disk for SQLite that notes each write and each wait for the disk, and fails when it is told to.

The sqlite3 of Python has no way to say which file system SQLite uses; SQLite has one (sqlite.org/vfs.html). It is called here
through ctypes, where Python's module uses the same shared library; `shared_library()` says whether it does.
"""

from __future__ import annotations

import _sqlite3
import ctypes
import errno
import os
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal
from unittest.mock import patch

from attrs import define, field, frozen

from galaxy_core_journal import places, writing

Kind = Literal["write", "truncate", "sync", "delete"]
_P = ctypes.c_void_p
_OPEN = ctypes.CFUNCTYPE(ctypes.c_int, _P, _P, _P, ctypes.c_int, _P)
_DELETE = ctypes.CFUNCTYPE(ctypes.c_int, _P, ctypes.c_char_p, ctypes.c_int)
_WRITE = ctypes.CFUNCTYPE(ctypes.c_int, _P, _P, ctypes.c_int, ctypes.c_int64)
_TRUNCATE = ctypes.CFUNCTYPE(ctypes.c_int, _P, ctypes.c_int64)
_SYNC = ctypes.CFUNCTYPE(ctypes.c_int, _P, ctypes.c_int)
_REST = ["xAccess", "xFullPathname", "xDlOpen", "xDlError", "xDlSym", "xDlClose", "xRandomness", "xSleep"]
_REST += ["xCurrentTime", "xGetLastError", "xCurrentTimeInt64", "xSetSystemCall", "xGetSystemCall", "xNextSystemCall"]
_METHODS = ["xFileSize", "xLock", "xUnlock", "xCheckReservedLock", "xFileControl", "xSectorSize"]
_METHODS += ["xDeviceCharacteristics", "xShmMap", "xShmLock", "xShmBarrier", "xShmUnmap", "xFetch", "xUnfetch"]


class _Vfs(ctypes.Structure):
    _fields_ = (
        ("iVersion", ctypes.c_int),
        ("szOsFile", ctypes.c_int),
        ("mxPathname", ctypes.c_int),
        ("pNext", _P),
        ("zName", ctypes.c_char_p),
        ("pAppData", _P),
        ("xOpen", _OPEN),
        ("xDelete", _DELETE),
        *((name, _P) for name in _REST),
    )


class _Methods(ctypes.Structure):
    _fields_ = (
        ("iVersion", ctypes.c_int),
        ("xClose", _P),
        ("xRead", _P),
        ("xWrite", _WRITE),
        ("xTruncate", _TRUNCATE),
        ("xSync", _SYNC),
        *((name, _P) for name in _METHODS),
    )


@frozen
class Op:
    """Something that was done to a file. `at` is the offset of a write, and the size after a truncation."""

    kind: Kind
    path: str
    at: int = 0
    data: bytes = b""


#: How the operating system says what SQLite says by these codes.
_ERRNOS = {sqlite3.SQLITE_FULL: errno.ENOSPC, sqlite3.SQLITE_READONLY: errno.EROFS}
#: What goes wrong with one operation: a code of SQLite, and how much of a write is done before it.
Fault = tuple[int, float]


@define
class Disk:
    """What was done, in order; `fault` is asked before each operation, with its number, whether it fails."""

    ops: list[Op] = field(factory=list)
    fault: Callable[[int, Op], Fault | None] = lambda number, op: None

    def do(self, op: Op, work: Callable[[float], int]) -> int:
        """Note it, and do it or fail; `work` gets the part of a write that is to be done."""
        number = len(self.ops)
        self.ops.append(op)
        fault = self.fault(number, op)
        if fault is None:
            return work(1.0)
        code, part = fault
        if part:
            work(part)
        return code


def shared_library() -> str | None:
    """The library that Python's sqlite3 uses, when it is a shared one that can be found."""
    try:
        told = subprocess.run(
            ["ldd", _sqlite3.__file__], capture_output=True, text=True, check=False, timeout=30
        ).stdout
    except (OSError, AttributeError):
        return None
    found = [line.split()[2] for line in told.splitlines() if "libsqlite3" in line and len(line.split()) > 2]
    return found[0] if found else None


@contextmanager
def recording() -> Iterator[Disk]:
    """All that SQLite writes inside goes through a Disk, and all for which the journal waits."""
    library = ctypes.CDLL(shared_library())
    library.sqlite3_vfs_find.restype = _P
    default = library.sqlite3_vfs_find(None)
    disk = Disk()
    vfs, kept = _wrapped(_Vfs.from_address(default), default, disk)
    library.sqlite3_vfs_register(ctypes.byref(vfs), 1)
    try:
        with patch.object(places, "synced", _noted(disk)), patch.object(writing, "synced", _noted(disk)):
            yield disk
    finally:
        library.sqlite3_vfs_unregister(ctypes.byref(vfs))
        library.sqlite3_vfs_register(_P(default), 1)
        kept.clear()


def _noted(disk: Disk) -> Callable[[Path], None]:
    real = places.synced

    def synced(path: Path) -> None:
        def work(part: float) -> int:
            real(path)
            return 0

        if code := disk.do(Op("sync", str(path)), work):
            number = _ERRNOS.get(code, errno.EIO)
            raise OSError(number, os.strerror(number), str(path))

    return synced


def _wrapped(real: _Vfs, address: int, disk: Disk) -> tuple[_Vfs, list[Any]]:
    vfs = _Vfs()
    ctypes.memmove(ctypes.byref(vfs), address, ctypes.sizeof(_Vfs))
    vfs.zName, vfs.pNext = b"noting", None
    kept: list[Any] = []  # what SQLite has the addresses of

    def opened(_: int, name: int, file: int, flags: int, out: int) -> int:
        code: int = real.xOpen(address, name, file, flags, out)
        methods = ctypes.cast(file, ctypes.POINTER(_P)).contents.value
        if code == 0 and methods and name:
            mine = _patched(_Methods.from_address(methods), methods, os.fsdecode(ctypes.string_at(name)), disk)
            kept.append(mine)
            ctypes.cast(file, ctypes.POINTER(_P)).contents.value = ctypes.addressof(mine)
        return code

    def deleted(_: int, name: bytes, sync: int) -> int:
        if not os.path.exists(name):
            return int(real.xDelete(address, name, sync))
        return disk.do(Op("delete", os.fsdecode(name)), lambda part: int(real.xDelete(address, name, sync)))

    vfs.xOpen, vfs.xDelete = _OPEN(opened), _DELETE(deleted)
    return vfs, kept


def _patched(real: _Methods, address: int, path: str, disk: Disk) -> _Methods:
    mine = _Methods()
    ctypes.memmove(ctypes.byref(mine), address, ctypes.sizeof(_Methods))

    def write(file: int, data: int, size: int, at: int) -> int:
        op = Op("write", path, at, ctypes.string_at(data, size))
        return disk.do(op, lambda part: int(real.xWrite(file, data, int(size * part), at)))

    def truncate(file: int, size: int) -> int:
        return disk.do(Op("truncate", path, size), lambda part: int(real.xTruncate(file, size)))

    def sync(file: int, flags: int) -> int:
        return disk.do(Op("sync", path), lambda part: int(real.xSync(file, flags)))

    mine.xWrite, mine.xTruncate, mine.xSync = _WRITE(write), _TRUNCATE(truncate), _SYNC(sync)
    return mine
