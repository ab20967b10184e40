"""The service `sync:` (AOSP: file_sync_protocol.h): files to a device and from it, and what they are. Version 1 of its
transfers, whose sizes have no limit; version 2 of its questions where there is one, because that of version 1 has 32 bits.
"""

from __future__ import annotations

import os
import stat
import struct
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final

from anyio import create_task_group
from attrs import frozen

from galaxy_core_adb.failures import AdbFailureError, GarbledError
from galaxy_core_adb.link import Link
from galaxy_core_adb.smart import Conversation
from galaxy_core_adb.texts import one_line

#: Most that one piece of a file may have.
PIECE_BYTES: Final = 1 << 16
#: Longest path that a device takes.
LONGEST_PATH: Final = 1024
_HEAD: Final = struct.Struct("<4sI")
_STAT_1: Final = struct.Struct("<4sIII")
_STAT_2: Final = struct.Struct("<4sIQQIIIIQqqq")


class FarFileError(AdbFailureError):
    """The device says why it cannot do something with a file."""


@frozen
class Entry:
    """What a path on a device leads to. `size_bytes` of old devices is counted modulo 4 GiB."""

    mode: int
    size_bytes: int

    @property
    def is_file(self) -> bool:
        """Whether it is a regular file."""
        return stat.S_ISREG(self.mode)

    @property
    def is_folder(self) -> bool:
        """Whether it is a folder."""
        return stat.S_ISDIR(self.mode)

    @property
    def is_link(self) -> bool:
        """Whether it is a symbolic link."""
        return stat.S_ISLNK(self.mode)


class Sync:
    """A conversation about files."""

    def __init__(self, talk: Conversation, *, knows_stat_2: bool) -> None:
        self._talk = talk
        self._knows_stat_2 = knows_stat_2

    async def entry(self, path: str, *, follow: bool = False) -> Entry | None:
        """What is there; None for nothing. Of a link, the link itself unless `follow` (which old devices cannot).

        Raises:
            FarFileError: the device may not look.
        """
        if not self._knows_stat_2:
            await self._request(b"STAT", path)
            kind, mode, size, _mtime = _STAT_1.unpack(await self._talk.exactly(_STAT_1.size))
            self._expect(kind, b"STAT")
            return Entry(mode, size) if mode else None
        request = b"STA2" if follow else b"LST2"
        await self._request(request, path)
        found = _STAT_2.unpack(await self._talk.exactly(_STAT_2.size))
        self._expect(found[0], request)
        error, mode, size = found[1], found[4], found[8]
        if error in (2, 20):  # ENOENT, ENOTDIR of Linux, whatever this machine is
            return None
        if error:
            raise FarFileError(os.strerror(error) if os.name == "posix" else f"error {error}")
        return Entry(mode, size)

    async def send(self, path: str, mode: int, pieces: Callable[[], Awaitable[bytes]]) -> int:
        """Write a file: what `pieces` gives until it gives nothing. How many bytes it were.

        Raises:
            FarFileError: the device could not write it all, and why.
        """
        sent = 0
        failure: FarFileError | None = None
        await self._request(b"SEND", f"{path},{stat.S_IFREG | mode}")

        async def feed() -> None:
            nonlocal sent
            while data := await pieces():
                for start in range(0, len(data), PIECE_BYTES):
                    piece = data[start : start + PIECE_BYTES]
                    await self._talk.send(_HEAD.pack(b"DATA", len(piece)) + piece)
                sent += len(data)
            await self._talk.send(_HEAD.pack(b"DONE", int(time.time()) & 0xFFFF_FFFF))

        # It may say no before it has got everything, and then takes no more.
        broken: list[AdbFailureError] = []

        async def guarded() -> None:
            try:
                await feed()
            except AdbFailureError as error:
                broken.append(error)

        async with create_task_group() as tasks:
            tasks.start_soon(guarded)
            try:
                await self._okay()
            except FarFileError as error:
                failure = error
            except AdbFailureError as error:
                broken.append(error)
            tasks.cancel_scope.cancel()
        if failure is not None:
            raise failure
        if broken:
            raise broken[0]
        return sent

    async def receive(self, path: str, take: Callable[[bytes], Awaitable[None]]) -> None:
        """Read a file, piece by piece.

        Raises:
            FarFileError: the device cannot read it, and why.
        """
        await self._request(b"RECV", path)
        while True:
            kind, size = _HEAD.unpack(await self._talk.exactly(_HEAD.size))
            if kind == b"DONE":
                return
            if kind == b"FAIL":
                raise FarFileError(await self._reason(size))
            self._expect(kind, b"DATA")
            if size > PIECE_BYTES:
                raise GarbledError(f"a piece of {size} bytes came, and {PIECE_BYTES} is the most")
            await take(await self._talk.exactly(size))

    async def _request(self, kind: bytes, argument: str) -> None:
        raw = argument.encode()
        if len(raw) > LONGEST_PATH:
            raise FarFileError(f"the path has {len(raw)} bytes, and devices take {LONGEST_PATH}")
        await self._talk.send(_HEAD.pack(kind, len(raw)) + raw)

    async def _okay(self) -> None:
        kind, size = _HEAD.unpack(await self._talk.exactly(_HEAD.size))
        if kind == b"FAIL":
            raise FarFileError(await self._reason(size))
        self._expect(kind, b"OKAY")

    async def _reason(self, size: int) -> str:
        said = await self._talk.exactly(min(size, 4096))
        return one_line(said.decode(errors="replace")) or "the device does not say why"

    @staticmethod
    def _expect(kind: bytes, wanted: bytes) -> None:
        if kind != wanted:
            raise GarbledError(f"the device says {kind!r} where {wanted!r} belongs")


@asynccontextmanager
async def sync(link: Link, *, knows_stat_2: bool = True) -> AsyncIterator[Sync]:
    """A conversation about files of that device.

    Raises:
        AdbFailureError: it cannot be reached.
    """
    async with link.transport() as talk:
        await talk.ask("sync:")
        yield Sync(talk, knows_stat_2=knows_stat_2)


async def send_bytes(link: Link, path: str, data: bytes, mode: int = 0o600) -> None:
    """Write a small file.

    Raises:
        AdbFailureError: it could not be written.
    """
    rest = [data]

    async def pieces() -> bytes:
        return rest.pop() if rest else b""

    async with sync(link) as far:
        await far.send(path, mode, pieces)
