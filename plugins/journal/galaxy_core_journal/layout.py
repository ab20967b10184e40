"""What stands in a journal.db: tables, and records as chunks of lines with checksums.

A chunk is what one call of `write` kept. Its body has a line for each record: eight digits of CRC-32, a blank, the text. The
checksum of a line begins with the number of the record and the run's secret of four bytes, that of a chunk with the chunk
before it: what is lost, doubled or exchanged is seen, as well as what has changed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final
from zlib import crc32

from attrs import define, frozen

from galaxy_core.errors import JournalError

#: `PRAGMA application_id`: "Gxyj".
APPLICATION: Final = 0x4778796A
#: `PRAGMA user_version`: the newest format that is read.
FORMAT: Final = 1
#: What is gathered in one chunk, and what one record may have.
CHUNK_BYTES, RECORD_BYTES = 16 * 2**20, 256 * 2**20
_MARKED: Final = b"\xff"  # stands in no UTF-8, and so in no record

# Whoever writes has to know how it ends, and to be its writer: one statement is the whole transaction.
_FENCE: Final = (
    "CREATE TRIGGER kept BEFORE INSERT ON chunk BEGIN"
    " SELECT RAISE(ABORT, 'fenced') WHERE NOT EXISTS"
    " (SELECT 1 FROM tail WHERE epoch = NEW.epoch AND count = NEW.first AND state = 'open');"
    " UPDATE tail SET count = NEW.first + NEW.count, crc = NEW.crc; END"
)
TABLES: Final = (
    "CREATE TABLE meta (key TEXT PRIMARY KEY, value BLOB NOT NULL, crc INTEGER NOT NULL) WITHOUT ROWID",
    "CREATE TABLE writer (epoch INTEGER PRIMARY KEY, told BLOB NOT NULL, crc INTEGER NOT NULL)",
    "CREATE TABLE tail (one INTEGER PRIMARY KEY, epoch INTEGER, state TEXT, count INTEGER, crc INTEGER)",
    "CREATE TABLE chunk (first INTEGER PRIMARY KEY, mark BLOB, count INTEGER, epoch INTEGER, crc INTEGER, body BLOB)",
    _FENCE,
)
INSERT: Final = "INSERT INTO chunk (first, mark, count, epoch, crc, body) VALUES (?, ?, ?, ?, ?, ?)"
CHUNKS: Final = "SELECT first, mark, count, epoch, crc, body FROM chunk ORDER BY first"


class BrokenError(Exception):
    """What stands there is not what was written; the message says where."""


@frozen
class Chunk:
    """A row of the table of that name."""

    first: int
    mark: bytes
    count: int
    epoch: int
    crc: int
    body: bytes


@define
class Chain:
    """How far a run has been written, or read: the records, the chunks, and the checksum of the last one."""

    secret: bytes
    count: int = 0
    chunks: int = 0
    crc: int = -1

    def __attrs_post_init__(self) -> None:
        if self.crc < 0:
            self.crc = crc32(self.secret)

    def chunks_of(self, records: Sequence[str], epoch: int) -> Iterator[Chunk]:
        """The rows for records that come next, of `CHUNK_BYTES` or one record each. `follow` each before the next.

        Raises:
            JournalError: a record is no line, or larger than a record may be.
        """
        lines: list[bytes] = []
        size = 0
        for record in records:
            raw = record.encode("utf-8", "surrogatepass")
            if b"\n" in raw:
                raise JournalError(f"record {self.count + len(lines)} holds a line end: a record is one line")
            if len(raw) > RECORD_BYTES - 16:
                raise JournalError(
                    f"record {self.count + len(lines)} has {len(raw)} bytes; {RECORD_BYTES - 16} are kept"
                )
            if size + len(raw) > CHUNK_BYTES and lines:
                yield self._chunk(lines, epoch)
                lines, size = [], 0
            size += len(raw)
            lines.append(b"%08x %b" % (self._crc_of(raw, self.count + len(lines)), raw))
        if lines:
            yield self._chunk(lines, epoch)

    def follow(self, chunk: Chunk) -> None:
        """That one is the last now."""
        self.count += chunk.count
        self.chunks += 1
        self.crc = chunk.crc

    def lines_of(self, chunk: Chunk) -> list[str]:
        """The records of the chunk that comes next.

        Raises:
            BrokenError: it is not that chunk, or has changed; its second argument are the records that are sound.
        """
        if not _is_typed(chunk):
            raise BrokenError("a column of the table chunk holds what does not belong there", [])
        if chunk.first != self.count:
            raise BrokenError(f"the next record that is there has number {chunk.first}", [])
        if chunk.mark == self.mark() and chunk.crc == self._linked(chunk):
            lines = chunk.body.decode("utf-8", "surrogatepass").split("\n")
            if len(lines) == chunk.count:
                return [line[9:] for line in lines]
        raise BrokenError("its checksum is wrong", self._sound(chunk.body))

    def mark(self) -> bytes:
        """What tells the chunk that comes next, wherever its page is found."""
        return _MARKED + self.secret + self.chunks.to_bytes(8, "big")

    def beyond(self, log: bytes) -> set[int]:
        """How many chunks after the last one each left its mark in a log."""
        start, found, at = _MARKED + self.secret, set(), -1
        while (at := log.find(start, at + 1)) >= 0:
            number = int.from_bytes(log[at + len(start) : at + len(start) + 8], "big")
            if number >= self.chunks:
                found.add(number - self.chunks)
        return found

    def _chunk(self, lines: list[bytes], epoch: int) -> Chunk:
        chunk = Chunk(self.count, self.mark(), len(lines), epoch, 0, b"\n".join(lines))
        return Chunk(chunk.first, chunk.mark, chunk.count, chunk.epoch, self._linked(chunk), chunk.body)

    def _linked(self, chunk: Chunk) -> int:
        head = b"%d %d %d %b" % (chunk.first, chunk.count, chunk.epoch, chunk.mark)
        return crc32(chunk.body, crc32(head, self.crc))

    def _crc_of(self, raw: bytes, number: int) -> int:
        return crc32(raw, int.from_bytes(self.secret[:4], "big") ^ (number & 0xFFFFFFFF))

    def _sound(self, body: bytes) -> list[str]:
        """The lines before the first that has changed. None has: then it is not the chunk that was written there."""
        found: list[str] = []
        for number, line in enumerate(body.split(b"\n"), self.count):
            raw = line[9:]
            if line[:9] != b"%08x " % self._crc_of(raw, number):
                return found
            found.append(raw.decode("utf-8", "surrogatepass"))
        return []


def _is_typed(chunk: Chunk) -> bool:
    first: Any = chunk.first
    count: Any = chunk.count
    epoch: Any = chunk.epoch
    mark: Any = chunk.mark
    body: Any = chunk.body
    numbers = isinstance(first, int) and isinstance(count, int) and isinstance(epoch, int)
    return numbers and isinstance(mark, bytes) and isinstance(body, bytes)


def checked(key: str, value: bytes) -> int:
    """The checksum of a value that stands alone."""
    return crc32(value, crc32(key.encode()))
