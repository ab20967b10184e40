"""The packets of the service `shell,v2` (AOSP: shell_protocol.h): a kind, a length of four bytes little-endian, a body.

Knows nothing of connections.
"""

from __future__ import annotations

import struct
from typing import Final

from galaxy_core_adb.failures import GarbledError

STDIN: Final = 0
STDOUT: Final = 1
STDERR: Final = 2
EXIT: Final = 3
CLOSE_STDIN: Final = 4
#: No packet is longer; adb's own are at most 1 MiB.
LARGEST_BYTES: Final = 16 << 20
_HEAD: Final = struct.Struct("<BI")


def packet(kind: int, body: bytes = b"") -> bytes:
    """One packet as it is sent."""
    return _HEAD.pack(kind, len(body)) + body


class Packets:
    """Takes what comes, in pieces of any size, and gives what it means. Output is given as it comes, not packet by packet."""

    def __init__(self) -> None:
        self._head = bytearray()
        self._kind = 0
        self._left = 0  # bytes of the present body that are still to come

    def feed(self, data: bytes) -> list[tuple[int, bytes]]:
        """Pieces of output (STDOUT, STDERR), and the exit status as one byte (EXIT), which ends it: the rest is ignored.

        Raises:
            GarbledError: it is no such packet.
        """
        found: list[tuple[int, bytes]] = []
        position, end = 0, len(data)
        while position < end:
            if self._left == 0:
                missing = _HEAD.size - len(self._head)
                self._head += data[position : position + missing]
                position += missing
                if len(self._head) == _HEAD.size:
                    self._begin()
                continue
            piece = data[position : position + self._left]
            position += len(piece)
            self._left -= len(piece)
            found.append((self._kind, piece))
            if self._kind == EXIT:
                break
        return found

    def _begin(self) -> None:
        kind, size = _HEAD.unpack(self._head)
        self._head.clear()
        if kind not in (STDOUT, STDERR, EXIT) or size > LARGEST_BYTES or (kind == EXIT and size != 1):
            raise GarbledError(f"a packet of kind {kind} with {size} bytes came, which adb's shell never sends")
        self._kind, self._left = kind, size
