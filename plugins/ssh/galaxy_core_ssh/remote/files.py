"""Files to and from a host, through its file server (sftp): at once and whole, or not at all.

The protocol has no call that opens a file without following links, so each component of a path is looked at first. Nobody
but the user that Galaxy logs in as can exchange one in between, unless a folder on the way is open to others.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import stat
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, BinaryIO, Final, TypeVar

import asyncssh
from anyio import CancelScope, move_on_after, to_thread
from attrs import frozen

from galaxy_core.extension.adapter.folder import NotKeptError, create, keeping
from galaxy_core.extension.adapter.sources import Sources
from galaxy_core_ssh import scripts
from galaxy_core_ssh.remote import blocks
from galaxy_core_ssh.remote.faults import LOST, LinkLostError, clean, explain
from galaxy_core_ssh.remote.link import Link

if TYPE_CHECKING:
    from galaxy_core_ssh.remote.host import Host

#: How long removing the part of a file may take before it is left for later.
TIDY_S: Final = 0.7
#: How long a host may take to hash a file, in addition to what its size asks for.
HASH_S: Final = 10.0
HASH_BYTES_PER_S: Final = 20e6

T = TypeVar("T")


class NotCopiedError(Exception):
    """A file was not copied, and what stood at its target still does; the message says why, without naming the file."""


class NotReadError(NotCopiedError):
    """Because its source, on this machine, cannot be read."""


class NotWrittenError(NotCopiedError):
    """Because the copy cannot be written on this machine, which says nothing about the file."""


@frozen
class Copied:
    """What was copied; `sha256` in hexadecimal. `check` says how the copy on the other side was compared."""

    size_bytes: int
    sha256: str
    check: str

    def told(self) -> dict[str, Any]:
        return {"size_bytes": self.size_bytes, "sha256": self.sha256}


class Files:
    """A conversation with the file server of a host. `may_have_replaced`: a new file may stand in its place."""

    def __init__(self, host: Host, link: Link) -> None:
        self._host = host
        self._link = link
        self._sftp: asyncssh.SFTPClient
        self.may_have_replaced = False

    async def __aenter__(self) -> Files:
        """
        Raises:
            ChannelRefusedError: the host has no file server, or no channel for it.
            LinkLostError: the connection is gone.
        """
        self._sftp = await self._link.sftp()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._sftp.exit()
        with CancelScope(shield=True), move_on_after(TIDY_S):  # its channel counts until it is closed
            await self._sftp.wait_closed()

    async def push(
        self,
        sources: Sources,
        source: str,
        base: str,
        parts: Sequence[str],
        mode: int,
        *,
        keep_mode: bool = False,
        sent: Callable[[], None] = lambda: None,
    ) -> Copied:
        """Copy `source` to `parts` below the folder `base`. `sent` is called before anything is changed there.

        Raises:
            NotCopiedError: it was not copied.
            LinkLostError: the connection went meanwhile.
        """
        origin = await to_thread.run_sync(_opened, sources, source)
        try:
            if keep_mode:
                mode = stat.S_IMODE(os.fstat(origin.fileno()).st_mode) & 0o777 | 0o600
            async with self._told():
                sent()
                folder = await self._way(base, parts[:-1])
                target = f"{folder}/{parts[-1]}"
                await self._is_replaceable(target)
            part = f"{folder}/.{secrets.token_hex(8)}.galaxy-part"
            async with self._tidied(part), self._told():
                copied = await self._write(origin, part, mode)
                self.may_have_replaced = True
                await self._sftp.posix_rename(part, target)
            return copied
        finally:
            origin.close()

    async def pull(
        self, base: str, parts: Sequence[str], target: Path, *, sent: Callable[[], None] = lambda: None
    ) -> Copied:
        """Copy `parts` below the folder `base` to `target` on this machine; raises as `push`."""
        sent()
        async with self._told():
            try:
                for end in range(1, len(parts)):
                    _is_folder(await self._sftp.lstat("/".join((base, *parts[:end]))))
                path = "/".join((base, *parts))
                _is_file(await self._sftp.lstat(path))
            except (asyncssh.SFTPNoSuchFile, asyncssh.SFTPNoSuchPath) as error:
                raise NotCopiedError(f"it does not exist in folder {clean(base)!r} of the host") from error
        part = target.with_name(f".{secrets.token_hex(8)}.part")
        try:
            async with self._told():
                copied = await self._read(path, part)
            await _kept(os.replace, part, target)
        finally:
            with suppress(OSError):
                part.unlink()
        return copied

    # ------------------------------------------------------------------------------------------- content
    async def _write(self, origin: BinaryIO, part: str, mode: int) -> Copied:
        before, digest, size = os.fstat(origin.fileno()), hashlib.sha256(), 0
        private = asyncssh.SFTPAttrs(permissions=0o600)
        async with self._sftp.open(part, "xb", private, encoding=None, block_size=blocks.ONE_BY_ONE) as copy:
            # One that grows while it is read might never end.
            while size <= before.st_size and (chunk := await to_thread.run_sync(_chunk, origin)):
                await blocks.write(self._sftp, copy, chunk, size)
                digest.update(chunk)
                size += len(chunk)
            await copy.chmod(mode)
            with suppress(asyncssh.SFTPOpUnsupported):
                await copy.fsync()
        after = os.fstat(origin.fileno())
        if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns) or size != after.st_size:
            raise NotCopiedError("it was changed while it was copied")
        if after.st_nlink == 0:
            raise NotCopiedError("it was removed while it was copied")
        return await self._compared(part, Copied(size, digest.hexdigest(), ""))

    async def _read(self, path: str, part: Path) -> Copied:
        digest, size = hashlib.sha256(), 0
        async with self._sftp.open(path, "rb", encoding=None, block_size=blocks.ONE_BY_ONE) as origin:
            wanted = (await origin.stat()).size
            copy = await _kept(create, part)
            try:
                while (wanted is None or size <= wanted) and (chunk := await blocks.read(self._sftp, origin, size)):
                    await _kept(copy.write, chunk)
                    digest.update(chunk)
                    size += len(chunk)
                await _kept(copy.close)  # may write what is left
            finally:
                with suppress(OSError):
                    copy.close()
            if wanted is not None and (size != wanted or (await origin.stat()).size != wanted):
                raise NotCopiedError(f"it was changed while it was copied: it had {wanted} bytes")
        return await self._compared(path, Copied(size, digest.hexdigest(), ""))

    async def _compared(self, path: str, copied: Copied) -> Copied:
        """Have the host hash its side, or read that back where it has no program for it."""
        within_s = HASH_S + copied.size_bytes / HASH_BYTES_PER_S
        answer = await self._link.answer(scripts.hash_of(path), within_s)
        if answer is None:
            raise LinkLostError(self._link.why_lost or "the host did not answer")
        code, said = answer
        if code == 0:
            found, check = said.split()[0] if said else "", "hashed by the host"
        else:
            found, check = await self._read_back(path), "read back"
        if found != copied.sha256:
            raise NotCopiedError(
                f"its content on the host is another one: SHA-256 {found[:64]!r} there, {copied.sha256!r} here"
            )
        return Copied(copied.size_bytes, copied.sha256, check)

    async def _read_back(self, path: str) -> str:
        digest, size = hashlib.sha256(), 0
        async with self._sftp.open(path, "rb", encoding=None, block_size=blocks.ONE_BY_ONE) as copy:
            while chunk := await blocks.read(self._sftp, copy, size):
                digest.update(chunk)
                size += len(chunk)
        return digest.hexdigest()

    # ------------------------------------------------------------------------------------------- places
    async def _way(self, base: str, parts: Sequence[str]) -> str:
        """The folder that `parts` lead to below `base`, made if missing. No part of the way is a link."""
        folder = base
        for part in parts:
            folder = f"{folder}/{part}"
            try:
                found = await self._sftp.lstat(folder)
            except (asyncssh.SFTPNoSuchFile, asyncssh.SFTPNoSuchPath):
                with suppress(asyncssh.SFTPFailure, asyncssh.SFTPFileAlreadyExists):  # somebody was faster
                    await self._sftp.mkdir(folder)
                found = await self._sftp.lstat(folder)
            _is_folder(found)
        return folder

    async def _is_replaceable(self, target: str) -> None:
        """A link is replaced by the renaming, not followed; a folder is not."""
        with suppress(asyncssh.SFTPNoSuchFile, asyncssh.SFTPNoSuchPath):
            found = await self._sftp.lstat(target)
            if found.permissions is not None and stat.S_ISDIR(found.permissions):
                raise NotCopiedError("there is a folder of that name")

    @asynccontextmanager
    async def _tidied(self, part: str) -> AsyncIterator[None]:
        """Whatever happens, the part of a file is not left; when that cannot be seen to now, it is owed."""
        owed = f"part {part}"
        self._host.debts[owed] = scripts.removal(part)
        try:
            yield
        except BaseException:
            with CancelScope(shield=True):
                # What is under way to the file server could make the part anew, so that is ended first.
                self._sftp.exit()
                if await self._link.answer(scripts.removal(part), TIDY_S) is not None:
                    self._host.debts.pop(owed, None)
            raise
        self._host.debts.pop(owed, None)

    @asynccontextmanager
    async def _told(self) -> AsyncIterator[None]:
        """What goes wrong there is told as one of two: the link, or this file."""
        try:
            yield
        except LOST as error:
            raise LinkLostError(self._link.why_lost or explain(error)) from error
        except asyncssh.SFTPError as error:
            if self._link.why_lost is not None:
                raise LinkLostError(self._link.why_lost) from error
            raise NotCopiedError(explain(error)) from error
        except OSError as error:
            raise NotCopiedError(explain(error)) from error


async def _kept(function: Callable[..., T], *args: Any) -> T:
    """The answer of what writes a copy on this machine, in a thread.

    Raises:
        NotWrittenError: it cannot.
    """

    def call() -> T:
        with keeping():
            return function(*args)

    try:
        return await to_thread.run_sync(call)
    except NotKeptError as error:
        raise NotWrittenError(explain(error)) from error


def _opened(sources: Sources, source: str) -> BinaryIO:
    try:
        return sources.open(source)
    except (OSError, ValueError) as error:
        raise NotReadError(sources.why_not(source, error)) from error


def _chunk(origin: BinaryIO) -> bytes:
    return origin.read(blocks.CHUNK_BYTES)


def _is_folder(found: asyncssh.SFTPAttrs) -> None:
    if found.permissions is None or not stat.S_ISDIR(found.permissions):
        raise NotCopiedError("the way to it leads through a symbolic link or a file")


def _is_file(found: asyncssh.SFTPAttrs) -> None:
    mode = found.permissions
    if mode is None or not stat.S_ISREG(mode):
        kinds = {stat.S_IFLNK: "a symbolic link", stat.S_IFDIR: "a folder"}
        raise NotCopiedError(f"it is {kinds.get(stat.S_IFMT(mode or 0), 'no regular file')}")
