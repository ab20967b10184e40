"""Loss of power: what a disk may hold when what was not synced is cut, dropped, reordered, zeroed or junk.

The operations are those that SQLite did in a run (`journal_disk.recording`). A state is a moment of it, and for each operation
that was not synced by then a fate. `python -m plugins.journal.tests.journal_loss --states 100000` tries that many, and all states
of the files beside the database (`journal_found`), of each moment 10,000 at most.
"""

from __future__ import annotations

import argparse
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import patch

import anyio
from attrs import define, field, frozen

from galaxy_core.errors import JournalError
from galaxy_core_journal import SqliteJournal, places, writing

from . import journal_found
from .journal_disk import Op, recording

RUN = "lost"
FATES = ("kept", "kept", "dropped", "cut", "zeroed", "junk")


@frozen
class Tape:
    """What a run did: the files before it, the operations, and how many records were acknowledged after how many of them."""

    folder: Path
    before: dict[str, bytes]
    ops: list[Op]
    acknowledged: list[tuple[int, int]]
    records: list[str]

    def promised(self, moment: int) -> int:
        """How many records were said to be kept before operation `moment`."""
        return max((count for number, count in self.acknowledged if number <= moment), default=0)


@define
class Disk:
    """The files as they would be found; `pending` is what nobody waited for yet."""

    durable: dict[str, bytearray]
    pending: dict[str, list[Op]] = field(factory=dict)

    def do(self, op: Op) -> None:
        """One operation goes by."""
        if op.kind == "sync":
            for waiting in self.pending.pop(op.path, []):
                _apply(self.durable, waiting)
        else:
            self.pending.setdefault(op.path, []).append(op)

    def found(self, dice: random.Random) -> dict[str, bytearray]:
        """What is there after the power is back, if the dice so decide."""
        files = {path: bytearray(data) for path, data in self.durable.items()}
        for ops in self.pending.values():
            for op in dice.sample(ops, len(ops)) if dice.random() < 0.3 else ops:
                _apply(files, op, dice.choice(FATES), dice)
        return files


def _apply(files: dict[str, bytearray], op: Op, fate: str = "kept", dice: random.Random | None = None) -> None:
    if fate == "dropped":
        return
    if op.kind == "delete":
        files.pop(op.path, None)
        return
    file = files.setdefault(op.path, bytearray())
    if op.kind == "truncate":
        del file[op.at :]
        return
    data = op.data
    if dice is not None and fate == "cut":
        data = data[: dice.randrange(len(data) + 1)]
    elif dice is not None and fate == "zeroed":
        data = bytes(len(data))
    elif dice is not None and fate == "junk":
        data = dice.randbytes(len(data))
    if len(file) < op.at + len(data):
        file.extend(bytes(op.at + len(data) - len(file)))
    file[op.at : op.at + len(data)] = data


def tape(root: Path, *, log_bytes: int = 60_000) -> Tape:
    """Two writers, one after the other, whose log moves now and then."""
    folder = writing.create(root, RUN, 1).folder
    before = {str(path): path.read_bytes() for path in folder.iterdir() if path.is_file()}
    records = [f'[{number},"record","{"x" * (number * 37 % 300)}"]' for number in range(120)]
    acknowledged: list[tuple[int, int]] = []

    async def run() -> None:
        written = 0
        for sizes in ((1, 2, 5, 1, 20, 1, 1, 9, 10), (3, 1, 30, 1, 1, 14, 20)):
            async with SqliteJournal(root).reopen(RUN) as writer:
                for size in sizes:
                    await writer.write(records[written : written + size])
                    written += size
                    acknowledged.append((len(disk.ops), written))

    with recording() as disk, patch.object(writing, "LOG_BYTES", log_bytes):
        anyio.run(run)
    return Tape(folder, before, disk.ops, acknowledged, records)


def states(tape: Tape, count: int, seed: int) -> Iterator[tuple[int, int, dict[str, bytearray]]]:
    """`count` of them, over all moments: what was promised by then, a seed of its own, and the files."""
    disk = Disk({path: bytearray(data) for path, data in tape.before.items()})
    each, more = divmod(count, len(tape.ops) + 1)
    for moment in range(len(tape.ops) + 1):
        for number in range(each + (moment < more)):
            own = hash((seed, moment, number))
            yield tape.promised(moment), own, disk.found(random.Random(own))
        if moment < len(tape.ops):
            disk.do(tape.ops[moment])


def verdict(tape: Tape, promised: int, files: dict[str, bytearray], *, resumes: bool) -> str | None:
    """What is wrong with what is read from these files, or None."""
    for path in tape.folder.iterdir():
        if path.is_file():
            path.unlink()
    for name, data in files.items():
        Path(name).write_bytes(data)
    journal = SqliteJournal(tape.folder.parent)
    try:
        found = list(journal.read(RUN))
        if resumes:
            anyio.run(_resume, journal, len(found))
            if (after := list(journal.read(RUN))) != [*found, f"[{len(found)}]"]:
                return f"gone on with {len(found)} records, it has {len(after)}"
    except JournalError as error:
        return f"{promised} records were promised: {error}"
    if len(found) < promised:
        return f"{promised} records were promised, and {len(found)} are there"
    if found != tape.records[: len(found)]:
        return f"{len(found)} records are there, and are not those that were written"
    return None


async def _resume(journal: SqliteJournal, count: int) -> None:
    async with journal.reopen(RUN) as writer:
        await writer.write([f"[{count}]"])


def lost(root: Path, count: int, seed: int = 1) -> list[str]:
    """What is wrong in `count` states; one in ten is gone on with. Nothing waits for the disk meanwhile."""
    recorded, wrong = tape(root), []
    with patch.object(places, "synced", _at_once), patch.object(writing, "synced", _at_once):
        for promised, own, files in states(recorded, count, seed):
            if (found := verdict(recorded, promised, files, resumes=own % 10 == 0)) is not None:
                wrong.append(f"state {own}: {found}")
    return wrong


def _at_once(path: Path) -> None:
    """The disk of these states is one that was."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--states", type=int, default=100_000, help="of the database")
    parser.add_argument("--beside", type=int, default=10_000, help="of the files beside it, of each moment at most")
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    root, started = Path(tempfile.mkdtemp(dir="/dev/shm" if Path("/dev/shm").is_dir() else None)), time.monotonic()
    try:
        wrong = lost(root, asked.states, asked.seed)
        sys.stdout.write("\n".join([*wrong[:20], f"{asked.states:,} states, {len(wrong)} wrong, {_s(started)}", ""]))
        sys.stdout.flush()
        started = time.monotonic()
        count, more = journal_found.lost(root, asked.beside, asked.seed)
        told = f"{count:,} states of files beside the database, {len(more)} wrong, {_s(started)}"
        sys.stdout.write("\n".join([*more[:20], told, ""]))
    finally:
        shutil.rmtree(root)
    return 1 if wrong or more else 0


def _s(started: float) -> str:
    return f"{time.monotonic() - started:.0f} s"


if __name__ == "__main__":
    sys.exit(main())
