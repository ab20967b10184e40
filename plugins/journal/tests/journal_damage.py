"""Damage: each bit, each truncation and garbage in the files of a run, and whether what is read then may be believed.

`python -m plugins.journal.tests.journal_damage` tries every bit and every length of a journal of 50 records, as it is while it
is written (database and log) and when it is closed (one file). The tests try each byte, with one bit of it.
"""

from __future__ import annotations

import argparse
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from io import FileIO
from pathlib import Path
from unittest.mock import patch

import anyio
from attrs import frozen

from galaxy_core import RunInfo
from galaxy_core.errors import JournalDamagedError, JournalError
from galaxy_core_journal import SqliteJournal, writing

RUN = "damaged"
#: What each of the writes kept; the log is moved to the database after the second, so that both have some.
SIZES = (1, 9, 10, 1, 15, 4, 10)


@frozen
class Sample:
    """A run with 50 records. `last` is how many of them came before the last write."""

    journal: SqliteJournal
    folder: Path
    records: list[str]
    last: int

    def files(self) -> list[Path]:
        """Those that may be damaged."""
        return [path for name in ("journal.db", "journal.db-wal") if (path := self.folder / name).exists()]


def sample(root: Path, *, closed: bool, page_bytes: int = 512) -> Sample:
    """`closed`, or as a process leaves it that is killed. Small pages, so that there are not too many bits."""
    records = [f'[{number},"r{number}"]' for number in range(sum(SIZES))]
    journal, copies = SqliteJournal(root / "live"), root / "copies"

    async def write() -> None:
        written = 0
        async with journal.open(RunInfo(RUN, "a run", [], {}, {})) as writer:
            for number, size in enumerate(SIZES):
                await writer.write(records[written : written + size])
                written += size
                if number == 1:
                    assert isinstance(writer, writing.Writer)
                    assert writer._db is not None
                    writer._move_log(writer._db)
            if not closed:
                _copy(root / "live" / RUN, copies / RUN)
        if closed:
            _copy(root / "live" / RUN, copies / RUN)

    with patch.object(writing, "PAGE_BYTES", page_bytes):
        anyio.run(write)
    found = Sample(SqliteJournal(copies), copies / RUN, records, sum(SIZES[:-1]))
    assert list(found.journal.read(RUN)) == records
    return found


def _copy(source: Path, target: Path) -> None:
    shutil.copytree(source, target, ignore=shutil.ignore_patterns("*-shm"))


def verdict(sample: Sample, what: str) -> str | None:
    """What is wrong with how the damage is answered, or None. A silent end is allowed where power loss could end it, too."""
    try:
        found = list(sample.journal.read(RUN))
    except JournalDamagedError as error:
        sound = list(sample.journal.salvage(RUN))
        return (
            None
            if sound == sample.records[: error.sound]
            else f"{what}: {len(sound)} are said to be sound, and are not"
        )
    except JournalError:
        return None
    if found == sample.records:
        return None
    if found == sample.records[: sample.last] and what.startswith("journal.db-wal"):
        return None
    return f"{what}: read as {len(found)} records, and nothing is said"


def flips(sample: Sample, *, every: bool) -> Iterator[str]:
    """Each bit turned, or one bit of each byte; what is wrong."""
    for path in sample.files():
        data = path.read_bytes()
        with path.open("r+b", buffering=0) as file:
            for at in range(len(data)):
                for bit in range(8) if every else (at % 8,):
                    _put(file, at, bytes([data[at] ^ 1 << bit]))
                    if (found := verdict(sample, f"{path.name}, bit {bit} of byte {at}")) is not None:
                        yield found
                _put(file, at, data[at : at + 1])


def _put(file: FileIO, at: int, data: bytes) -> None:
    file.seek(at)
    file.write(data)


def truncations(sample: Sample, step: int = 1) -> Iterator[str]:
    """Each length of each file. A log that ends early may be one that power loss left."""
    for path in sample.files():
        data = path.read_bytes()
        for size in range(0, len(data), step):
            path.write_bytes(data[:size])
            found = verdict(sample, f"{path.name}, cut to {size} of {len(data)} bytes")
            if found is not None and not (path.name.endswith("-wal") and _is_prefix(sample)):
                yield found
        path.write_bytes(data)


def _is_prefix(sample: Sample) -> bool:
    found = list(sample.journal.read(RUN))
    return found == sample.records[: len(found)]


def garbage(sample: Sample, count: int, seed: int = 1) -> Iterator[str]:
    """4 KB of it, anywhere, or in place of the file."""
    dice = random.Random(seed)
    for number in range(count):
        path = dice.choice(sample.files())
        data = path.read_bytes()
        at = dice.randrange(len(data))
        junk = dice.randbytes(4096)
        path.write_bytes(junk if number % 10 == 0 else data[:at] + junk + data[at + 4096 :])
        found = verdict(sample, f"{path.name}, garbage {number} at {at}")
        if found is not None and not (path.name.endswith("-wal") and _is_prefix(sample)):
            yield found
        path.write_bytes(data)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--garbage", type=int, default=10_000)
    asked = parser.parse_args()
    root, started = Path(tempfile.mkdtemp(dir="/dev/shm" if Path("/dev/shm").is_dir() else None)), time.monotonic()
    wrong: list[str] = []
    sizes: Counter[str] = Counter()
    try:
        for closed in (True, False):
            made = sample(root / str(closed), closed=closed)
            sizes.update({path.name: path.stat().st_size for path in made.files()})
            wrong += [*flips(made, every=True), *truncations(made), *garbage(made, asked.garbage)]
    finally:
        shutil.rmtree(root)
    bits, took = sizes.total() * 8, time.monotonic() - started
    told = f"{bits:,} bits, {sizes.total():,} lengths, {2 * asked.garbage:,} times garbage: {len(wrong)} wrong, {took:.0f} s"
    sys.stdout.write("\n".join([*wrong[:20], told, ""]))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
