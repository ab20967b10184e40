"""Conversations with an adb server (AOSP: packages/modules/adb, docs/dev/services.md): one connection, one request each.

A request is four hexadecimal digits of length, then its name; the answer is OKAY or FAIL with a reason. One request per
send: the server drops whatever comes with the first one, and both sides would wait for ever.
"""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from anyio import BrokenResourceError, CancelScope, ClosedResourceError, EndOfStream, wait_writable
from anyio.abc import SocketStream

from galaxy_core_adb.failures import GarbledError, ServerGoneError, ServerSaysNoError

#: adb servers are on this machine, always: whoever reaches one owns its devices.
LOOPBACK: Final = "127.0.0.1"
#: Longest request, in bytes, as its length has four digits.
LONGEST_REQUEST: Final = 0xFFFF
_CHUNK_BYTES: Final = 1 << 16
_UNDER_WAY: Final = (errno.EINPROGRESS, errno.EWOULDBLOCK, errno.EAGAIN)


class Conversation:
    """One connection to a server. It serves requests until one of them turns it into a stream."""

    def __init__(self, stream: SocketStream, port: int) -> None:
        self._stream = stream
        self._port = port
        self._buffer = bytearray()

    async def ask(self, service: str) -> None:
        """Send one request and hear OKAY.

        Raises:
            ValueError: the request is too long, or no text.
            ServerSaysNoError: it said FAIL.
            ServerGoneError: it said nothing.
            GarbledError: it said something else.
        """
        await self.request(service)
        await self.agreed()

    async def request(self, service: str) -> None:
        """The first half of `ask`."""
        raw = service.encode()
        if len(raw) > LONGEST_REQUEST:
            raise ValueError(f"a request of {len(raw)} bytes exceeds what adb takes: {LONGEST_REQUEST}")
        await self.send(b"%04x%s" % (len(raw), raw))

    async def agreed(self) -> None:
        """The second half of `ask`."""
        said = await self.exactly(4)
        if said == b"FAIL":
            raise ServerSaysNoError(await self.text())
        if said != b"OKAY":
            raise GarbledError(f"the adb server on port {self._port} says {_shown(said)}, which no adb server does")

    async def text(self) -> str:
        """An answer with its length before it. Nothing is lost when it is cancelled: it may be asked for again."""
        await self._fill(4)
        try:
            size = int(bytes(self._buffer[:4]), 16)
        except ValueError:
            said = bytes(self._buffer[:4])
            raise GarbledError(f"the adb server on port {self._port} says {_shown(said)} for a length") from None
        await self._fill(4 + size)
        return (await self.exactly(4 + size))[4:].decode(errors="replace")

    async def send(self, data: bytes) -> None:
        """Send all of it.

        Raises:
            ServerGoneError: the other side has closed.
        """
        try:
            await self._stream.send(data)
        except (BrokenResourceError, ClosedResourceError, OSError) as error:
            raise self._gone() from error

    async def some(self) -> bytes:
        """What is there, at least one byte.

        Raises:
            ServerGoneError: the other side has closed.
        """
        if self._buffer:
            data = bytes(self._buffer)
            self._buffer.clear()
            return data
        try:
            return await self._stream.receive(_CHUNK_BYTES)
        except (EndOfStream, BrokenResourceError, ClosedResourceError, OSError) as error:
            raise self._gone() from error

    async def exactly(self, count: int) -> bytes:
        """That many bytes. Nothing is lost when it is cancelled.

        Raises:
            ServerGoneError: the other side has closed.
        """
        await self._fill(count)
        data = bytes(self._buffer[:count])
        del self._buffer[:count]
        return data

    async def _fill(self, count: int) -> None:
        while len(self._buffer) < count:
            try:
                self._buffer += await self._stream.receive(_CHUNK_BYTES)
            except (EndOfStream, BrokenResourceError, ClosedResourceError, OSError) as error:
                raise self._gone() from error

    async def aclose(self) -> None:
        """Close the connection at once. Does not stop for cancellation, and does not wait."""
        with CancelScope(shield=True):
            await self._stream.aclose()

    def _gone(self) -> ServerGoneError:
        return ServerGoneError(f"the adb server on port {self._port} has closed the conversation")


def _shown(said: bytes) -> str:
    return repr(said.decode("ascii", "backslashreplace"))


async def begin(port: int) -> Conversation:
    """Connect to the server on a port of this machine.

    Raises:
        ServerGoneError: there is none.
    """
    raw = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        raw.setblocking(False)
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # Not connect_tcp, which prepares for names with many addresses: with one, that is a fifth of a whole command.
        code = raw.connect_ex((LOOPBACK, port))
        if code in _UNDER_WAY:
            await wait_writable(raw)
            code = raw.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code != 0:
            raise OSError(code, os.strerror(code))
        return Conversation(await SocketStream.from_socket(raw), port)
    except OSError as error:
        raw.close()
        raise ServerGoneError(f"no adb server answers on port {port}") from error
    except BaseException:
        raw.close()
        raise


@asynccontextmanager
async def conversation(port: int) -> AsyncIterator[Conversation]:
    """A connection that is closed afterwards, whatever happens."""
    talk = await begin(port)
    try:
        yield talk
    finally:
        await talk.aclose()
