"""The service `sync:`: files to and from a phone (AOSP: SYNC.TXT, file_sync_protocol.h).

Files are read and written in the event loop: a phone is a test's, and its disk this machine's.
"""

from __future__ import annotations

import errno
import os
import struct
from typing import TYPE_CHECKING, Final

import anyio

from galaxy_core_adb.simulate import entries
from galaxy_core_adb.simulate.faults import GARBAGE, Strike
from galaxy_core_adb.simulate.stream import HungUpError, Stream
from galaxy_core_adb.simulate.strikes import strike

if TYPE_CHECKING:
    from galaxy_core.testing.contract.faults import Phase
    from galaxy_core_adb.simulate.link import Link
    from galaxy_core_adb.simulate.phone import Phone

_HEAD: Final = struct.Struct("<4sI")
_LONGEST_PATH: Final = 1024
_PIECE: Final = 65_536


class _EndedError(Exception):
    """The host speaks no more, or speaks nonsense."""


class Sync:
    """One conversation about files."""

    def __init__(self, phone: Phone, link: Link, stream: Stream, armed: Strike | None) -> None:
        self._phone = phone
        self._link = link
        self._stream = stream
        self._armed = armed
        self._buffer = bytearray()

    async def serve(self) -> None:
        """Serve requests until QUIT, an end or a failed SEND."""
        if await self._struck("start"):
            return
        self._stream.accept()
        requests = {
            b"STAT": self._stat,
            b"STA2": self._stat,
            b"LST2": self._stat,
            b"LIST": self._list,
            b"LIS2": self._list,
            b"RECV": self._receive,
            b"RCV2": self._receive,
            b"SEND": self._send,
            b"SND2": self._send,
        }
        try:
            while True:
                kind, size = _HEAD.unpack(await self._exactly(_HEAD.size))
                if kind == b"QUIT":
                    return
                if kind not in requests:
                    await self._fail(f"unknown command {int.from_bytes(kind, 'little'):08x}")
                    return
                if size > _LONGEST_PATH:
                    await self._fail("path too long")
                    return
                path = (await self._exactly(size)).decode(errors="surrogateescape")
                if not await requests[kind](kind, path):
                    return
        except (_EndedError, HungUpError):
            return

    # --------------------------------------------------------------------------------------------------- requests

    async def _stat(self, kind: bytes, path: str) -> bool:
        place = self._phone.disk.place(path)
        await self._say(
            entries.first(kind, place) if kind == b"STAT" else entries.second(kind, place, follow=kind == b"STA2")
        )
        return True

    async def _list(self, kind: bytes, path: str) -> bool:
        place = self._phone.disk.place(path)
        for name, entry in entries.listed(place, hostile=self._phone.faults.hostile_names):
            about = entries.first(b"DENT", entry) if kind == b"LIST" else entries.second(b"DNT2", entry, follow=False)
            await self._say(about + struct.pack("<I", len(name)) + name)
        end = entries.STAT if kind == b"LIST" else entries.STAT_2
        await self._say(b"DONE".ljust(end.size + 4, b"\0"))
        return True

    async def _receive(self, kind: bytes, path: str) -> bool:
        if kind == b"RCV2":
            await self._exactly(_HEAD.size)
        place = self._phone.disk.place(path)
        try:
            file = os.open(place, os.O_RDONLY | os.O_NONBLOCK)
        except OSError as error:
            await self._fail(f"open failed: {error.strerror}")
            return True
        try:
            while data := os.read(file, _PIECE):
                await self._say(_HEAD.pack(b"DATA", len(data)) + data)
                await self._struck("middle")
        except IsADirectoryError:
            await self._fail("read failed: Is a directory")
            return True
        finally:
            os.close(file)
        if not await self._struck("exit"):
            await self._say(_HEAD.pack(b"DONE", 0))
        return True

    async def _send(self, kind: bytes, path: str) -> bool:
        if kind == b"SND2":
            _, mode, _flags = struct.unpack("<4sII", await self._exactly(12))
        else:
            path, _, number = path.rpartition(",")
            if not number.isdecimal():
                await self._fail("missing , in ID_SEND_V1")
                return False
            mode = int(number)
        try:
            writing = entries.Writing(self._phone.disk.place(path), mode)
        except OSError as error:
            await self._refuse_data(f"couldn't create file: {error.strerror}")
            return False
        try:
            mtime = await self._write(writing)
            writing.finish(mtime)
        except OSError as error:
            writing.abandon()
            await self._refuse_data(f"write failed: {error.strerror}")
            return False
        except BaseException:
            writing.abandon()
            raise
        if not await self._struck("exit"):
            await self._say(_HEAD.pack(b"OKAY", 0))
        return True

    async def _write(self, writing: entries.Writing) -> int:
        """Take pieces until DONE; its number is the time of the file."""
        while True:
            kind, size = _HEAD.unpack(await self._exactly(_HEAD.size))
            if kind == b"DONE":
                return int(size)
            if kind != b"DATA" or size > _PIECE:
                await self._fail("invalid data message" if kind != b"DATA" else "oversize data message")
                raise _EndedError
            data = await self._exactly(size)
            free = self._phone.faults.free_bytes
            if free is not None:
                if free < len(data):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                self._phone.faults.free_bytes = free - len(data)
            writing.write(data)
            await self._struck("middle")

    async def _refuse_data(self, why: str) -> None:
        """Say FAIL, and read on until the host notices: one that only writes would not hear it otherwise."""
        await self._fail(why)
        while True:
            kind, size = _HEAD.unpack(await self._exactly(_HEAD.size))
            if kind != b"DATA":
                return
            await self._exactly(size)

    # ------------------------------------------------------------------------------------------------------- bytes

    async def _say(self, data: bytes) -> None:
        await self._stream.send(data)

    async def _fail(self, why: str) -> None:
        text = why.encode(errors="replace")
        await self._say(_HEAD.pack(b"FAIL", len(text)) + text)

    async def _exactly(self, size: int) -> bytes:
        while len(self._buffer) < size:
            piece = await self._stream.receive()
            if not piece:
                raise _EndedError
            self._buffer += piece
        taken = bytes(self._buffer[:size])
        del self._buffer[:size]
        return taken

    async def _struck(self, phase: Phase) -> bool:
        """Whether something struck that takes the place of what would follow."""
        armed = self._armed
        if armed is None or armed.phase != phase:
            return False
        self._armed = None
        if await strike(self._phone, self._link, self._stream, armed, phase):
            return False
        if armed.fault == "garbage":
            self._stream.accept()
            await self._stream.send(GARBAGE)
        elif armed.fault == "lost_answer":
            if phase == "start":
                await anyio.sleep_forever()
            raise _EndedError
        return armed.fault in ("garbage", "lost_answer")


async def serve_sync(phone: Phone, link: Link, stream: Stream, armed: Strike | None) -> None:
    """Serve one `sync:` service to its end."""
    await Sync(phone, link, stream, armed).serve()
