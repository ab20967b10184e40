"""Messages of adb's device protocol: 24 bytes little-endian, then the payload (AOSP: packages/modules/adb/protocol.txt)."""

from __future__ import annotations

import struct
from typing import Final

import anyio
from anyio.abc import ByteReceiveStream
from attrs import frozen

HEADER: Final = struct.Struct("<6I")
#: From this version on, neither side looks at checksums.
VERSION_WITHOUT_CHECKSUMS: Final = 0x0100_0001
VERSION_WITH_CHECKSUMS: Final = 0x0100_0000
MAX_PAYLOAD: Final = 1 << 20

CNXN, AUTH, OPEN, OKAY, WRTE, CLSE, STLS = (
    int.from_bytes(name, "little") for name in (b"CNXN", b"AUTH", b"OPEN", b"OKAY", b"WRTE", b"CLSE", b"STLS")
)
#: What an AUTH message carries, in its first argument.
TOKEN, SIGNATURE, PUBLIC_KEY = 1, 2, 3


class NotAdbError(Exception):
    """What came is no message of this protocol."""


@frozen
class Message:
    """`arg0` and `arg1` of OPEN, OKAY, WRTE and CLSE are the stream numbers of the sender and of the receiver."""

    command: int
    arg0: int
    arg1: int
    payload: bytes = b""

    def encode(self, *, checksum: bool = False) -> bytes:
        """What goes over the wire. A peer that looks at checksums takes no message without."""
        check = checksum_of(self.payload) if checksum else 0
        return (
            HEADER.pack(self.command, self.arg0, self.arg1, len(self.payload), check, self.command ^ 0xFFFF_FFFF)
            + self.payload
        )


def checksum_of(payload: bytes) -> int:
    """The sum of the bytes: the protocol calls it a CRC."""
    return sum(payload) & 0xFFFF_FFFF


class Reader:
    """The messages that a byte stream carries."""

    def __init__(self, stream: ByteReceiveStream) -> None:
        self._stream = stream
        self._buffer = bytearray()

    async def read(self, *, checksum: bool) -> Message:
        """The next message.

        Raises:
            NotAdbError: it is none, or its checksum is wrong where they count.
            anyio.EndOfStream: the other side has ended.
        """
        command, arg0, arg1, size, check, magic = HEADER.unpack(await self._exactly(HEADER.size))
        if magic != command ^ 0xFFFF_FFFF or size > MAX_PAYLOAD:
            raise NotAdbError(f"no message begins with command {command:#x}, magic {magic:#x}, size {size}")
        payload = await self._exactly(size) if size else b""
        if checksum and check != checksum_of(payload):
            raise NotAdbError(f"the checksum is {check:#x}, not {checksum_of(payload):#x}")
        return Message(command, arg0, arg1, payload)

    async def _exactly(self, size: int) -> bytes:
        buffer = self._buffer
        while len(buffer) < size:
            buffer += await self._stream.receive(262_144)
        taken = bytes(buffer[:size])
        del buffer[:size]
        return taken


#: What ends a connection, whoever ended it.
LINK_ERRORS: Final = (anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError, NotAdbError)
