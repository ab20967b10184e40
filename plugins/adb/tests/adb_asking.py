"""A client of an adb server that knows nothing of our adapter, nor of the phone."""

from __future__ import annotations

import struct
from collections.abc import Awaitable, Callable

import anyio
from anyio.abc import SocketStream
from anyio.streams.buffered import BufferedByteReceiveStream
from attrs import frozen

from galaxy_core.testing.contract.faults import FarSide

_PACKET = struct.Struct("<BI")


@frozen
class Said:
    """All that a phone said. `codes` are its exit packets; `refused` is what the server said instead of a stream; `hung`
    says that it did not end in time."""

    out: bytes = b""
    err: bytes = b""
    codes: tuple[int, ...] = ()
    garbage: bool = False
    refused: str | None = None
    hung: bool = False

    @property
    def code(self) -> int | None:
        """How it ended, as far as it said."""
        return self.codes[0] if self.codes else None


Shell = Callable[..., Awaitable[Said]]


class ServerSaidError(Exception):
    """The server refused, and why."""


class Talk:
    """One connection to the server."""

    def __init__(self, stream: SocketStream) -> None:
        self.stream = stream
        self.reader = BufferedByteReceiveStream(stream)

    async def ask(self, request: str) -> None:
        """One request that is answered with OKAY."""
        raw = request.encode(errors="surrogateescape")
        await self.stream.send(b"%04x%s" % (len(raw), raw))
        if (status := await self.exactly(4)) != b"OKAY":
            assert status == b"FAIL"
            raise ServerSaidError((await self.exactly(int(await self.exactly(4), 16))).decode())

    async def exactly(self, size: int) -> bytes:
        return await self.reader.receive_exactly(size)


async def opened(port: int, serial: str, service: str) -> Talk:
    """A service of a phone; whoever asks closes `stream`."""
    talk = Talk(await anyio.connect_tcp("127.0.0.1", port))
    try:
        await talk.ask(f"host:transport:{serial}")
        await talk.ask(service)
    except BaseException:
        await anyio.aclose_forcefully(talk.stream)
        raise
    return talk


async def said(port: int, serial: str, script: str, stdin: bytes | None = None, within_s: float | None = None) -> Said:
    """Run in shell v2, and read to the end of the stream, or as far as it comes in time."""
    found = _Heard()
    with anyio.move_on_after(within_s) as limit:
        try:
            talk = await opened(port, serial, f"shell,v2,raw:{script}")
        except ServerSaidError as error:
            return Said(refused=str(error))
        except (OSError, *_GONE):
            return Said(refused="the server is gone")
        async with talk.stream, anyio.create_task_group() as tasks:
            if stdin is not None:  # beside the reading: what comes back may be as long
                tasks.start_soon(talk.stream.send, _PACKET.pack(0, len(stdin)) + stdin + _PACKET.pack(4, 0))
            await found.read(talk.reader)
    return found.said(hung=limit.cancelled_caught)


_GONE = (anyio.IncompleteRead, anyio.EndOfStream, anyio.BrokenResourceError)


class _Heard:
    def __init__(self) -> None:
        self.texts = {1: bytearray(), 2: bytearray()}
        self.codes: list[int] = []
        self.garbage = False

    async def read(self, reader: BufferedByteReceiveStream) -> None:
        try:
            while True:
                kind, size = _PACKET.unpack(await reader.receive_exactly(_PACKET.size))
                if kind not in (1, 2, 3) or size > 1 << 24:
                    self.garbage = True
                    return
                body = await reader.receive_exactly(size)
                if kind == 3:
                    self.codes.append(body[0])
                else:
                    self.texts[kind] += body
        except _GONE:
            return

    def said(self, *, hung: bool) -> Said:
        return Said(bytes(self.texts[1]), bytes(self.texts[2]), tuple(self.codes), self.garbage, hung=hung)


async def until(condition: Callable[[], object]) -> None:
    """Wait, for at most 10 s, until a condition holds: a function, or a coroutine function."""
    with anyio.fail_after(10):
        while True:
            found = condition()
            if await found if isinstance(found, Awaitable) else found:
                return
            await anyio.sleep(0.01)


async def left_alone(phone: FarSide) -> None:
    """Wait until nothing of any command is on a phone."""

    async def nothing() -> bool:
        return not await phone.remains()

    await until(nothing)
