"""Files in and out of a working folder, which no name and no symbolic link can leave. Everything here blocks.

On POSIX each folder on the way is opened from the one before, never through a link, so that nobody can exchange one
between the check and the use. Windows has no such calls: there a path is checked and then used.
"""

from __future__ import annotations

import errno
import hashlib
import os
import secrets
import stat
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from attrs import frozen

from galaxy_core.extension.adapter.owners import give_open

CHUNK_BYTES = 1 << 20
_DIRECTORY = getattr(os, "O_DIRECTORY", 0)
_NOFOLLOW = getattr(os, "O_NOFOLLOW", 0)
#: Opening a named pipe must not wait for somebody to write to it.
_READ = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
_WRITE = os.O_WRONLY | os.O_CREAT | getattr(os, "O_BINARY", 0)


class NotKeptError(OSError):
    """A copy could not be written on this machine. What was to be copied is still where it was, as far as anybody knows."""


@contextmanager
def keeping() -> Iterator[None]:
    """While a copy is written: what fails now says nothing about what is copied.

    Raises:
        NotKeptError: in place of any other OSError.
    """
    try:
        yield
    except OSError as error:
        raise NotKeptError(error.errno, error.strerror or str(error)) from error


@frozen
class Copied:
    """What was copied; `sha256` in hexadecimal."""

    size_bytes: int
    sha256: str


def parts_of(name: str) -> tuple[str, ...]:
    """The components of a name inside a folder.

    Raises:
        ValueError: it is not such a name: empty, absolute, with ``..`` or ``.``, or with what the system keeps for itself.
    """
    if not name or "\0" in name:
        raise ValueError(f"{name!r} is not the name of a file")
    if sys.platform == "win32" and set(name) & set('\\:*?"<>|'):
        raise ValueError(f"{name!r} is not the name of a file inside the working folder: use '/', and no drive")
    parts = tuple(name.split("/"))
    if any(part in ("", ".", "..") for part in parts):
        raise ValueError(
            f"{name!r} is not the name of a file inside the working folder: it is absolute or has a part '..'"
        )
    return parts


def put(folder: Path, name: str, base: Path, source: str, check: Callable[[], None]) -> Copied:
    """Copy the file `source` inside `base` to the name inside `folder`, at once and whole.

    Makes folders on the way to the copy, replaces an old file. `check` is called at every MiB, and may raise to give up.

    Raises:
        ValueError: one of the names leaves its folder, or the source is no regular file.
        OSError: it could not be copied.
    """
    parts = parts_of(name)
    with _open(base, parts_of(source)) as origin:
        mode = _regular(origin, source)
        with _parent(folder, parts, make=True) as (place, last):
            part = f".{secrets.token_hex(8)}.part"
            fd = os.open(_at(folder, parts, part), _WRITE | os.O_EXCL | _NOFOLLOW, mode & 0o777 | 0o600, dir_fd=place)
            try:
                with os.fdopen(fd, "wb") as target:
                    copied = _copy(origin, target, check)
                os.replace(_at(folder, parts, part), _at(folder, parts, last), src_dir_fd=place, dst_dir_fd=place)
            except BaseException:
                with suppress(OSError):
                    os.unlink(_at(folder, parts, part), dir_fd=place)
                raise
    return copied


def collect(folder: Path, name: str, target: Path, check: Callable[[], None]) -> Copied:
    """Copy the file of that name inside `folder` to `target`; `check` as for `put`.

    Raises:
        ValueError: the name leaves the folder, or is not that of a regular file.
        NotKeptError: the copy could not be written.
        OSError: there is no such file, or it could not be read.
    """
    parts = parts_of(name)
    with _open(folder, parts) as origin:
        _regular(origin, name)
        with keeping():
            copy = create(target)
        try:
            copied = _copy(origin, copy, check)
            with keeping():
                copy.close()  # may write what is left
        except BaseException:
            with suppress(OSError):
                copy.close()
            with suppress(OSError):
                target.unlink(missing_ok=True)
            raise
    return copied


def create(path: Path) -> BinaryIO:
    """A new private file, or an old one emptied; never what a symbolic link points to."""
    handle = os.open(path, _WRITE | os.O_TRUNC | _NOFOLLOW, 0o600)
    give_open(handle, path)
    return os.fdopen(handle, "wb")


def explain(error: OSError | ValueError) -> str:
    """Why a file could not be put or collected, in a few words that follow its name."""
    if isinstance(error, ValueError):
        return str(error)
    if error.errno == errno.ENOENT:
        return "it does not exist"
    if error.errno in (errno.ELOOP, errno.ENOTDIR, errno.EMLINK):
        return "it is a symbolic link, or the way to it leads through one or through a file"
    if error.errno == errno.EISDIR:
        return "it is a folder"
    return error.strerror or str(error)


if sys.platform == "win32":

    @contextmanager
    def _parent(folder: Path, parts: Sequence[str], *, make: bool) -> Iterator[tuple[None, str]]:
        parent = folder.joinpath(*parts[:-1])
        if make:
            parent.mkdir(parents=True, exist_ok=True)
        if parent.resolve() != folder.resolve().joinpath(*parts[:-1]) or (parent / parts[-1]).is_symlink():
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
        yield None, parts[-1]

    def _at(folder: Path, parts: Sequence[str], last: str) -> str:
        return str(folder.joinpath(*parts[:-1], last))

else:

    @contextmanager
    def _parent(folder: Path, parts: Sequence[str], *, make: bool) -> Iterator[tuple[int, str]]:
        """The opened folder that the last of `parts` is in, and that last part."""
        fd = os.open(folder, os.O_RDONLY | _DIRECTORY)
        try:
            for part in parts[:-1]:
                if make:
                    with suppress(FileExistsError):
                        os.mkdir(part, dir_fd=fd)
                inner = os.open(part, os.O_RDONLY | _DIRECTORY | _NOFOLLOW, dir_fd=fd)
                os.close(fd)
                fd = inner
            yield fd, parts[-1]
        finally:
            os.close(fd)

    def _at(_folder: Path, _parts: Sequence[str], last: str) -> str:
        return last


def open_inside(folder: Path, parts: Sequence[str]) -> BinaryIO:
    """A regular file inside `folder`, for reading. No link is followed.

    Raises:
        ValueError: it is no regular file.
        OSError: it cannot be opened.
    """
    file = _open(folder, parts)
    try:
        _regular(file, "/".join(parts))
    except BaseException:
        file.close()
        raise
    return file


def _open(folder: Path, parts: Sequence[str]) -> BinaryIO:
    """Likewise, whatever it is."""
    with _parent(folder, parts, make=False) as (place, last):
        fd = os.open(_at(folder, parts, last), _READ | _NOFOLLOW, dir_fd=place)
    return os.fdopen(fd, "rb")


def _regular(file: BinaryIO, name: str) -> int:
    """The mode of an open file, if it is a regular one."""
    mode = os.fstat(file.fileno()).st_mode
    if not stat.S_ISREG(mode):
        raise ValueError(f"{name!r} is not a regular file")
    return mode


def _copy(origin: BinaryIO, target: BinaryIO, check: Callable[[], None]) -> Copied:
    digest, size = hashlib.sha256(), 0
    while chunk := origin.read(CHUNK_BYTES):
        check()
        with keeping():
            target.write(chunk)
        digest.update(chunk)
        size += len(chunk)
    return Copied(size, digest.hexdigest())
