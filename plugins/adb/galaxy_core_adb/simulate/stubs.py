"""The phone's side of `stub.py`: its commands in the PATH of scripts that run in this machine's /bin/sh."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path

import anyio
from anyio.abc import SocketStream
from anyio.streams.buffered import BufferedByteReceiveStream

from galaxy_core_adb.simulate import stub
from galaxy_core_adb.simulate.builtins import Program
from galaxy_core_adb.simulate.wire import LINK_ERRORS


def place_stubs(folder: Path, names: Mapping[str, Program]) -> None:
    """Make an executable of each name in `folder`, which is created."""
    folder.mkdir(parents=True)
    python, script = shlex.quote(sys.executable), shlex.quote(stub.__file__)
    for name in names:
        path = folder / name
        path.write_text(f'#!/bin/sh\nexec {python} -ISE {script} {name} "$@"\n')
        path.chmod(0o755)


class _Terminal:
    def __init__(self, socket: SocketStream, folder: Path, reader: BufferedByteReceiveStream) -> None:
        self._socket = socket
        self._reader = reader
        self.folder = folder

    async def _say(self, kind: bytes, number: int, data: bytes = b"") -> None:
        await self._socket.send(kind + number.to_bytes(4, "little") + data)

    async def out(self, data: bytes) -> None:
        await self._say(b"O", len(data), data)

    async def err(self, data: bytes) -> None:
        await self._say(b"E", len(data), data)

    async def exit(self, code: int) -> None:
        await self._say(b"X", code)

    async def read(self, size: int | None = None) -> bytes:
        await self._say(b"I", size or 65_536)
        count = int.from_bytes(await self._reader.receive_exactly(4), "little")
        return await self._reader.receive_exactly(count) if count else b""


async def serve_stub(socket: SocketStream, programs: Mapping[str, Program]) -> None:
    """Do what one stub asks for. When the stub goes, its command ends."""
    async with socket:
        try:
            reader = BufferedByteReceiveStream(socket)
            folder, *words = json.loads(await reader.receive_until(b"\n", 1 << 20))
            terminal = _Terminal(socket, Path(folder), reader)
            program = programs.get(words[0])
            await terminal.exit(127 if program is None else await program(words, terminal))
        except (*LINK_ERRORS, anyio.IncompleteRead, anyio.DelimiterNotFound, ValueError):
            return
