"""The beginning of SQLite's write-ahead log (sqlite.org/fileformat2.html, section 4.1)."""

from __future__ import annotations

import struct
from typing import Final

SIZE: Final = 32
_BIG, _LITTLE = 0x377F0683, 0x377F0682


def header_is_sound(log: bytes) -> bool:
    """Whether a log begins as one does, with a checksum that is right."""
    if len(log) < SIZE:
        return False
    magic = int.from_bytes(log[:4], "big")
    if magic not in (_BIG, _LITTLE):
        return False
    words = struct.unpack(">6I" if magic == _BIG else "<6I", log[:24])
    first = second = 0
    for even, odd in zip(words[::2], words[1::2], strict=True):
        first = (first + even + second) & 0xFFFFFFFF
        second = (second + odd + first) & 0xFFFFFFFF
    return (first, second) == struct.unpack(">2I", log[24:32])
