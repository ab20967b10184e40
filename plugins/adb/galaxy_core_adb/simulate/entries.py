"""What sync tells about files, and how it writes them (AOSP: file_sync_protocol.h, file_sync_service.cpp)."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Final

#: mode, size, mtime of the first version; error, dev, ino, mode, nlink, uid, gid, size, atime, mtime, ctime of the second.
STAT: Final = struct.Struct("<4sIII")
STAT_2: Final = struct.Struct("<4sIQQIIIIQqqq")
#: Names that a host must not believe.
HOSTILE: Final = (
    b"../../escaped.txt",
    b"/etc/escaped.txt",
    b"..",
    b"inner/../../escaped.txt",
    b"line\nbreak.txt",
    b"\x1b[2Jred.txt",
    b"not-utf-8-\xff.txt",
    b"",
    b"CON",
)
_KEPT: Final = 0o777


def first(kind: bytes, path: Path) -> bytes:
    """The answer of STAT, without following a link; all zero when there is nothing."""
    try:
        found = os.lstat(path)
    except OSError:
        return STAT.pack(kind, 0, 0, 0)
    return STAT.pack(kind, found.st_mode, found.st_size & 0xFFFF_FFFF, int(found.st_mtime) & 0xFFFF_FFFF)


def second(kind: bytes, path: Path, *, follow: bool) -> bytes:
    """The answer of STA2 (which follows links) or LST2: an errno of Linux, or all about it."""
    try:
        found = os.stat(path) if follow else os.lstat(path)
    except OSError as error:
        return STAT_2.pack(kind, error.errno or errno.EIO, *[0] * 10)
    return STAT_2.pack(
        kind,
        0,
        found.st_dev,
        found.st_ino,
        found.st_mode,
        found.st_nlink,
        found.st_uid,
        found.st_gid,
        found.st_size,
        int(found.st_atime),
        int(found.st_mtime),
        int(found.st_ctime),
    )


def listed(path: Path, *, hostile: bool) -> Iterator[tuple[bytes, Path]]:
    """Names in a folder and what they are; nothing if it is none. With `hostile`, names that lead elsewhere, too."""
    try:
        names = sorted(os.listdir(os.fsencode(path)))
    except OSError:
        return
    for name in (b".", b"..", *names):
        yield name, path / os.fsdecode(name)
    if hostile:
        bait = path / ".bait"
        bait.write_bytes(b"escaped\n")
        for name in HOSTILE:
            yield name, bait
        bait.unlink()


class Writing:
    """A file that a host sends; as on a phone, what was there before is gone from the beginning.

    `mode` as SEND gives it: a link, or the owner's rights, which are the group's and others', too.
    """

    def __init__(self, path: Path, mode: int) -> None:
        self._path = path
        self._link = stat.S_ISLNK(mode)
        rights = mode & _KEPT
        self._rights = rights | ((rights >> 3) & 0o070) | ((rights >> 3) & 0o007)
        self._target = b""
        with contextlib.suppress(FileNotFoundError):
            path.unlink()
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = None if self._link else path.open("xb")

    def write(self, data: bytes) -> None:
        """The next piece."""
        if self._file is None:
            self._target += data
        else:
            self._file.write(data)

    def finish(self, mtime: int) -> None:
        """It is whole."""
        if self._file is None:
            self._path.symlink_to(os.fsdecode(self._target.rstrip(b"\0")))
            return
        self._file.close()
        self._path.chmod(self._rights)
        os.utime(self._path, (mtime, mtime))

    def abandon(self) -> None:
        """It is not to be: no part of it stays."""
        if self._file is not None:
            self._file.close()
            with contextlib.suppress(FileNotFoundError):
                self._path.unlink()
