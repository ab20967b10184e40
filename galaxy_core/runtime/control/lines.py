"""Lines over a socket, read and written without blocking.

anyio's own streams are not used: on asyncio, one that is cancelled in the moment in which data arrive has the event loop
log an error (a result for a future that is cancelled), and a client that leaves as a run ends brings about just that.
"""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable

import anyio
import anyio.lowlevel

#: Bytes that are read at a time.
_CHUNK = 1 << 16


def _waiter(name: str, before: str) -> Callable[[socket.socket], Awaitable[None]]:
    """anyio 4.7 has renamed it."""
    found: Callable[[socket.socket], Awaitable[None]] = getattr(anyio, name, None) or getattr(anyio, before)
    return found


_until_readable = _waiter("wait_readable", "wait_socket_readable")
_until_writable = _waiter("wait_writable", "wait_socket_writable")


class LineTooLongError(Exception):
    """More came than a line may have. Leaves this package no further than the two ends of control sockets."""


async def accept(listener: socket.socket) -> socket.socket:
    """The next connection to a socket that does not block.

    Raises:
        OSError: the system does not give it.
    """
    while True:
        try:
            return listener.accept()[0]
        except BlockingIOError:
            await _until_readable(listener)


class LineSocket:
    """One connection, which is closed by `close`. Everything raises `OSError` when the other end is gone."""

    def __init__(self, connection: socket.socket) -> None:
        connection.setblocking(False)
        self.connection = connection
        self._buffer = bytearray()

    async def line(self, most: int) -> bytes | None:
        """The next line, without its end; None when no more will come. What is not a whole line means nothing.

        Raises:
            LineTooLongError: it has more than `most` bytes.
        """
        looked_at = 0
        while (end := self._buffer.find(b"\n", looked_at)) < 0:
            looked_at = len(self._buffer)
            if looked_at > most:
                raise LineTooLongError
            data = await self._receive()
            if not data:
                return None
            self._buffer += data
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 1]
        return line

    async def _receive(self) -> bytes:
        await anyio.lowlevel.checkpoint()  # who sends without end must not keep others from running
        while True:
            try:
                return self.connection.recv(_CHUNK)
            except BlockingIOError:
                await _until_readable(self.connection)

    async def send(self, data: bytes) -> None:
        """Write all of it; waits while the other end does not read."""
        left = memoryview(data)
        while left:
            await anyio.lowlevel.checkpoint()
            try:
                left = left[self.connection.send(left) :]
            except BlockingIOError:
                await _until_writable(self.connection)

    async def until_left(self) -> None:
        """Wait until the other end is gone. What it still says is not heard."""
        while await self._receive():
            pass

    def close(self) -> None:
        """Hang up."""
        self.connection.close()
