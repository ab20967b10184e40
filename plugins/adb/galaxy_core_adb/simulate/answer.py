"""What a phone tells the host about one command, with what is armed against it."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final

import anyio

from galaxy_core_adb.simulate.faults import GARBAGE, Strike
from galaxy_core_adb.simulate.strikes import strike
from galaxy_core_adb.simulate.wire import CLSE, OKAY

if TYPE_CHECKING:
    from galaxy_core.testing.contract.faults import Phase
    from galaxy_core_adb.simulate.link import Link
    from galaxy_core_adb.simulate.phone import Phone
    from galaxy_core_adb.simulate.stream import Stream

#: A packet of shell v2 (AOSP: shell_protocol.h): what it is, and how many bytes follow.
PACKET: Final = struct.Struct("<BI")
STDIN, STDOUT, STDERR, EXIT, CLOSE_STDIN = range(5)
_TRICKLED: Final = 64
_WARNING: Final = b"WARNING: linker: something is wrong with nothing in particular\n"


class Answer:
    """Output and end of one command, in packets (shell v2) or bare (`packets` false: no standard error, no status)."""

    def __init__(self, phone: Phone, link: Link, stream: Stream, armed: Strike | None, *, packets: bool) -> None:
        self._phone = phone
        self._link = link
        self._stream = stream
        self._strike = armed
        self._packets = packets
        self.folder = phone.disk.root
        self._lock = anyio.Lock()
        self._lost = self._trickles = self._twice = False
        self._buffer = bytearray()
        self._input_ended = False

    # ------------------------------------------------------------------------------------------------- a terminal

    async def out(self, data: bytes) -> None:
        """Standard output."""
        await self._say(STDOUT, data)

    async def err(self, data: bytes) -> None:
        """Standard error."""
        await self._say(STDERR, data)

    async def read(self, size: int | None = None) -> bytes:
        """Standard input, at most `size` bytes; empty at its end."""
        while not self._packets:
            if not self._buffer:
                self._buffer += await self._stream.receive()
            taken = bytes(self._buffer[:size])
            del self._buffer[: len(taken)]
            return taken
        return await self._packet_of_input(size)

    async def _packet_of_input(self, size: int | None) -> bytes:
        while not self._input_ended:
            if len(self._buffer) >= PACKET.size:
                kind, length = PACKET.unpack_from(self._buffer)
                have = len(self._buffer) - PACKET.size
                if kind == STDIN and length and have:
                    count = min(length, have, size or length)
                    taken = bytes(self._buffer[PACKET.size : PACKET.size + count])
                    # What is left of the packet becomes one of its own.
                    rest = PACKET.pack(STDIN, length - count) if length > count else b""
                    self._buffer[: PACKET.size + count] = rest
                    return taken
                if have >= length:
                    del self._buffer[: PACKET.size + length]
                    self._input_ended = kind == CLOSE_STDIN
                    continue
            piece = await self._stream.receive()
            self._buffer += piece
            self._input_ended = not piece
        return b""

    # ------------------------------------------------------------------------------------------------ what is said

    async def _say(self, kind: int, data: bytes) -> None:
        if not data:
            return
        if self._strike is None:
            await self._stream.send(PACKET.pack(kind, len(data)) + data if self._packets else data)
            return
        async with self._lock:
            if not self._lost:
                await self._send(kind, data)
            await self._struck("middle")

    async def silent(self) -> None:
        """It says nothing, and is in its middle."""
        async with self._lock:
            await self._struck("middle")

    async def exit(self, code: int) -> None:
        """It has ended so. After this it is over, unless something strikes."""
        if self._strike is None:
            if self._packets:
                await self._stream.send(PACKET.pack(EXIT, 1) + bytes([code & 0xFF]))
            return
        async with self._lock:
            await self._struck("middle")
            await self._struck("exit")
            if not self._stream.accepted:
                # Its OPEN was never answered: to close it now would tell the host that it was refused.
                await anyio.sleep_forever()
            if self._lost:
                return
            if self._packets:
                await self._send(EXIT, bytes([code & 0xFF]))
                if self._twice:
                    await self._send(EXIT, bytes([code & 0xFF]))
            await self._stream.taken()
            await self._struck("clean_up")

    async def _send(self, kind: int, data: bytes) -> None:
        whole = PACKET.pack(kind, len(data)) + data if self._packets else data
        if self._trickles:
            for number in range(min(len(whole), _TRICKLED)):
                await self._stream.send(whole[number : number + 1])
            whole = whole[_TRICKLED:]
        await self._stream.send(whole)

    # ------------------------------------------------------------------------------------------------------ strikes

    async def begin(self) -> bool:
        """Answer the host that the service is there, unless something strikes; False: the work does not start."""
        fault = self._strike.fault if self._strike is not None and self._strike.phase == "start" else None
        # What is about the link comes before the answer, what is about the content after it.
        if not await self._struck("start", link_only=True) and fault != "lost_answer":
            self._stream.accept()
            await self._struck("start")
        elif fault != "lost_answer":
            self._stream.accept()
        self._lost |= fault == "lost_answer"
        return fault != "garbage"

    async def _struck(self, phase: Phase, *, link_only: bool = False) -> bool:
        fault = self._strike
        if fault is None or fault.phase != phase:
            return False
        if await strike(self._phone, self._link, self._stream, fault, phase):
            self._over()
            return True
        if link_only:
            return False
        self._over()
        match fault.fault:
            case "garbage":
                await self._stream.send(GARBAGE)
                self._lost = phase == "exit"
            case "lost_answer":
                self._lost = phase != "clean_up"
                if phase == "clean_up":  # what is lost is the end of the stream
                    await anyio.sleep_forever()
            case "trickle":
                self._trickles = True
            case "duplicate_answer":
                await self._repeat(phase)
            case "huge_output":
                await self._flood(_WARNING * (self._phone.faults.huge_bytes // len(_WARNING) + 1))
            case "binary_output":
                await self._flood(bytes(range(256)) * 16)
        return True

    def _over(self) -> None:
        """It has struck. What follows still goes the careful way, in which nothing strikes at "connect"."""
        if self._strike is not None:
            self._strike = Strike(self._strike.fault, "connect")

    async def _repeat(self, phase: Phase) -> None:
        if phase == "exit":
            self._twice = True
        elif phase == "clean_up":
            self._stream.close()
            self._link.send(CLSE, self._stream.local, self._stream.remote)
        else:
            self._link.send(OKAY, self._stream.local, self._stream.remote)

    async def _flood(self, data: bytes) -> None:
        for start in range(0, len(data), 65_536):
            await self._send(STDERR, data[start : start + 65_536])
