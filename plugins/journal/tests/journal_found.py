"""What may be found of a watched run after loss of power, and what must be true of it.

A state is a moment of the run, how many of its records are there, and for each name in a folder and each file that nobody had
waited for by then what is found of it: what was there before, nothing, a part, zeros, junk. All of a moment are told by number.
The law: whatever a record names is there and whole. And should it not be: nobody is given it.
"""

from __future__ import annotations

import random
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from math import prod
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

from attrs import define, field, frozen

from galaxy_core import Reference, TaskStatus
from galaxy_core.errors import InputError
from galaxy_core.extension.interfaces import Durability
from galaxy_core.model.records.replay import Replay
from galaxy_core.model.records.unkept import Unkept
from galaxy_core.runtime import resuming
from galaxy_core.runtime.kept_files import read_again

from .journal_files import EXPECTED, RUN, RUNS, TEXTS, Moment, Tape, tape

Found: TypeAlias = "bytes | dict[str, Found]"
Value = TypeVar("Value")


@define
class Disk:
    """What a disk may hold: for each inode its contents since it was last waited for, the durable one first."""

    folders: dict[int, list[dict[str, int]]] = field(factory=dict)
    files: dict[int, list[bytes]] = field(factory=dict)

    def see(self, moment: Moment) -> None:
        """The run goes on to this moment."""
        for inode, names in moment.tree.folders.items():
            _seen(self.folders.setdefault(inode, [{}]), names, moment.synced == inode)
        for inode, content in moment.tree.files.items():
            _seen(self.files.setdefault(inode, [b""]), content, moment.synced == inode)

    def count(self, inode: int) -> int:
        """In how many ways a folder or a file may be found, with all that is below it."""
        if inode in self.files:
            return len(self._contents(inode))
        return prod(sum(map(self._ways, options)) for options in self._names(inode).values())

    def found(self, inode: int, number: int) -> Found:
        """The way of that number: a folder by its names, or the content of a file."""
        if inode in self.files:
            return self._contents(inode)[number]
        made: dict[str, Found] = {}
        for name, options in self._names(inode).items():
            number, rest = divmod(number, sum(map(self._ways, options)))
            for option in options:
                if rest < self._ways(option):
                    if option is not None:
                        made[name] = self.found(option, rest)
                    break
                rest -= self._ways(option)
        return made

    def _ways(self, inode: int | None) -> int:
        return 1 if inode is None else self.count(inode)

    def _names(self, folder: int) -> dict[str, list[int | None]]:
        seen = self.folders[folder]
        names = dict.fromkeys(name for state in seen for name in state)
        return {name: list(dict.fromkeys(state.get(name) for state in seen)) for name in names}

    def _contents(self, file: int) -> list[bytes]:
        seen = self.files[file]
        last = seen[-1]
        if len(seen) == 1:
            return seen
        half = len(last) // 2
        spoilt = (last[:half], last[:half] + bytes(len(last) - half), bytes(len(last)), b"\xa5" * len(last))
        return list(dict.fromkeys([*seen, *spoilt]))


def _seen(states: list[Value], now: Value, is_durable: bool) -> None:
    if is_durable:
        states[:] = [now]
    elif states[-1] != now:
        states.append(now)


@frozen
class State:
    """One that may be found: at which moment the power went, what number it has there, how many records, and the files."""

    moment: int
    number: int
    records: int
    found: dict[str, Found]

    def __str__(self) -> str:
        return f"moment {self.moment}, state {self.number}, {self.records} records"


def states(tape: Tape, most: int = 0, seed: int = 1) -> Iterator[State]:
    """All that may be found; with `most`, of each moment so many at most, which a seed draws, the durable one among them."""
    disk, root = Disk(), next(iter(tape.moments[0].tree.folders))
    for at, moment in enumerate(tape.moments):
        disk.see(moment)
        ways = disk.count(root)
        prefixes = sorted({moment.kept, moment.written})  # a write is a row of the database: it is there, or it is not
        count = ways * len(prefixes)
        numbers: Iterable[int] = range(count)
        if most and count > most:
            dice = random.Random(seed * 1_000_003 + at)
            numbers = [0, *(dice.randrange(count) for _ in range(most - 1))]
        for number in numbers:
            found = disk.found(root, number // len(prefixes))
            assert isinstance(found, dict)
            yield State(at, number, prefixes[number % len(prefixes)], found)


def put(found: Mapping[str, Found], folder: Path) -> None:
    """Have it so on the disk of this machine."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for name, content in found.items():
        if isinstance(content, bytes):
            (folder / name).write_bytes(content)
        else:
            put(content, folder / name)


@define
class Kept:
    """The records that are left."""

    lines: Sequence[str]

    def read(self, run_id: str) -> Sequence[str]:
        """See `Journal`."""
        return self.lines


def verdict(tape: Tape, state: State) -> list[str]:
    """What is wrong with what somebody who resumes would get; "WRONG VALUE" where it is not even noticed."""
    put(state.found, tape.base)
    if not state.records:
        return []
    if not (tape.runs / "journal.db").exists():
        return [f"{state}: the folder of the run is gone"]
    replay = Replay(resuming._reader(tape.runs / "files"), RUN)
    for line in tape.lines[: state.records]:
        replay.take(line)
    if not replay.is_whole:
        return []  # nothing of it has begun, and it is run anew
    plan, wrong = replay.constellation(), list[str]()
    read_again(plan)
    data = plan.tasks["late"].task_data
    if (text := data["text"]) != TEXTS["data"]:
        wrong.append(f"{state}: task data: {text.why if isinstance(text, Unkept) else 'WRONG VALUE'}")
    for (task_id, what), expected in EXPECTED.items():
        result = plan.tasks[task_id].result
        if plan.tasks[task_id].status is not TaskStatus.COMPLETED:
            continue
        try:
            got: Any = Reference(task_id, what).read(result)
        except InputError as error:
            wrong.append(f"{state}: {error}")
            continue
        if isinstance(expected, bytes):
            got = Path(got).read_bytes() if Path(got).exists() else None
        if got != expected:
            wrong.append(f"{state}: {task_id}.{what}: WRONG VALUE")
    return wrong


def lost(
    root: Path, most: int = 0, seed: int = 1, runs: Iterable[tuple[bool, Durability]] = RUNS
) -> tuple[int, list[str]]:
    """How many states there are of runs, and what is wrong in them; `most` as for `states`, `runs` as `tape` makes them."""
    count, wrong = 0, list[str]()
    for artifacts, durability in runs:
        folder = root / f"{durability}-{artifacts}"
        folder.mkdir()
        recorded = tape(folder, artifacts=artifacts, durability=durability)
        for state in states(recorded, most, seed):
            count += 1
            wrong += [f"{folder.name}: {one}" for one in verdict(recorded, state)]
    return count, wrong
