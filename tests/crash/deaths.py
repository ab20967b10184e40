"""`python -m tests.crash.deaths`: a death at every boundary of the journal, on plans of five shapes with edits and retries.

A trial: a process dies at one boundary; the next one resumes and, perhaps, dies at a boundary of its own; the last one resumes
and comes to the end. After each death, and at the end, the traces, what editors were told and the journal are held against
each other. The exit code is 1 if anything was wrong.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random

from attrs import field, frozen

from galaxy_core_journal import SqliteJournal
from tests.crash.boundaries import KINDS, Kind, run
from tests.crash.judging import Done, replayed, wrong_in_the_end, wrong_so_far
from tests.crash.plans import SHAPES, Workload, workload


@frozen
class Scale:
    """How large the plans are: tasks, and edits that are made while they run; seconds that a task takes at most."""

    tasks: int = 3
    edits: int = 2
    most_s: float = 0.02


@frozen
class Death:
    """Where processes die: the first one at boundary `at` (from 1) of a kind, the next one as `then` says."""

    shape: str
    kind: Kind
    at: int
    then: tuple[Kind, int] | None = None

    def __str__(self) -> str:
        more = f", then {self.then[0]} {self.then[1]}" if self.then else ""
        return f"{self.shape}: {self.kind} {self.at}{more}"


@frozen
class Found:
    """What came of a trial. `deaths` processes died: none when there is no such boundary; `unknown` attempts had to be looked at
    by a person."""

    death: Death
    deaths: int = 0
    unknown: int = 0
    wrong: list[str] = field(factory=list)

    def __str__(self) -> str:
        return "\n  ".join([str(self.death), *self.wrong])


def boundaries(shape: str, kind: Kind, scale: Scale, folder: Path) -> int:
    """How many there are of a kind when nobody dies; nearly: how many writes a run needs depends on how they are gathered."""
    work = _workload(folder / f"{shape}-{kind}", shape, scale)
    status, count = run(work, 0, kind, scale.edits)
    assert status == "completed", status
    assert not (wrong := wrong_in_the_end(work, replayed(SqliteJournal(work.folder / "journal")))), wrong
    return count


def trial(death: Death, scale: Scale, folder: Path | None = None) -> Found:
    """Die there, go on, and look."""
    own = Path(tempfile.mkdtemp(prefix="galaxy-death-")) if folder is None else folder
    work = _workload(own / str(death).replace(": ", "-").replace(" ", "-"), death.shape, scale)
    deaths, unknown, wrong = 0, 0, list[str]()
    try:
        deaths, wrong = _died(work, death, scale)
    except Exception as error:  # it is what is reported
        wrong = [repr(error)]
    if (looked_at := work.folder / "unknown").exists():
        unknown = len(looked_at.read_text().split())
    if folder is None:
        if wrong:
            wrong.append(f"kept in {own}")
        else:
            shutil.rmtree(own, ignore_errors=True)
    return Found(death, deaths, unknown, wrong)


def _died(work: Workload, death: Death, scale: Scale) -> tuple[int, list[str]]:
    journal, deaths, done = SqliteJournal(work.folder / "journal"), 0, Done()
    for kind, at in ((death.kind, death.at), *((death.then,) if death.then else ())):
        status, _ = run(work, at, kind, scale.edits)
        if status == "completed":
            break
        if status != "killed":
            return deaths, [f"the process that was to die {kind} {at}: {status}"]
        deaths += 1
        if wrong := [*wrong_so_far(work, found := replayed(journal)), *done.wrong(work, found)]:
            return deaths, wrong
    else:
        status, _ = run(work, edits=scale.edits)
    if status != "completed":
        return deaths, [f"the last process ended {status}"]
    found = replayed(journal)
    return deaths, [*wrong_in_the_end(work, found), *done.wrong(work, found)]


def _workload(folder: Path, shape: str, scale: Scale) -> Workload:
    return workload(folder, shape, Random(7), scale.tasks, spares=scale.edits, most_s=scale.most_s)


def some(shape: str, counts: dict[Kind, int]) -> Iterator[Death]:
    """Every write once, in one manner each: they take turns, in another order for each shape, so that all shapes together have every
    write in every manner. Of half of them, the process that resumes dies, too."""
    turn = SHAPES.index(shape)
    for at in range(1, counts["before"] + 1):
        kind = KINDS[(at + turn) % len(KINDS)]
        yield Death(shape, kind, at, _then(at + turn) if at % 2 else None)


def _then(number: int) -> tuple[Kind, int]:
    """Where the process that resumes dies: at one of its first boundaries."""
    return KINDS[number // 2 % len(KINDS)], 1 + number * 7 % 11


def every(shape: str, counts: dict[Kind, int]) -> Iterator[Death]:
    """Every boundary in every manner."""
    for kind, count in counts.items():
        for at in range(1, count + 1):
            yield Death(shape, kind, at, _then(at) if at % 2 else None)


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m tests.crash.deaths", description=__doc__)
    parser.add_argument("--tasks", type=int, default=8, help="tasks of a plan")
    parser.add_argument("--edits", type=int, default=4, help="edits while it runs")
    parser.add_argument("--shape", choices=SHAPES, action="append", help="of these shapes only")
    parser.add_argument(
        "--jobs",
        type=int,
        default=2 * (os.cpu_count() or 1),
        help="trials at a time: they wait for processes most of the time",
    )
    options = parser.parse_args()
    scale, began = Scale(options.tasks, options.edits, 0.05), time.monotonic()
    deaths = bad = trials = unknown = 0
    with tempfile.TemporaryDirectory(prefix="galaxy-deaths-") as folder, ThreadPoolExecutor(options.jobs) as pool:
        for shape in options.shape or SHAPES:
            counts = {kind: boundaries(shape, kind, scale, Path(folder)) for kind in ("before", "statement")}
            all_of_them = list(
                every(shape, {**dict.fromkeys(KINDS, counts["before"]), "statement": counts["statement"]})
            )
            for found in pool.map(trial, all_of_them, [scale] * len(all_of_them)):
                trials, deaths, unknown = trials + 1, deaths + found.deaths, unknown + found.unknown
                if found.wrong:
                    bad += 1
                    sys.stdout.write(f"{found}\n")
            sys.stdout.write(f"{shape}: {len(all_of_them)} trials, {time.monotonic() - began:.0f} s\n")
            sys.stdout.flush()
    sys.stdout.write(
        f"{deaths} deaths in {trials} trials, {time.monotonic() - began:.0f} s: {bad} are wrong; {unknown} attempts had to be "
        "looked at by a person\n"
    )
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
