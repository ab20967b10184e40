"""The real command, killed at random moments until its run is over, and what must be true of it then.

A trial: `galaxy run` is started and killed with SIGKILL after a random time; `galaxy resume last` goes on, and is killed,
too; after so many kills the last one is let run to its end. In half of the trials somebody edits the run as long as it can be
reached. Where a task ended `unknown`, the trial does what a person would: it looks at the traces, and resolves it.
"""

from __future__ import annotations

import functools
import json
import os
import shutil
import tempfile
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from random import Random

import anyio
from attrs import define, field

from galaxy_core import ControlError, ask_run
from galaxy_core_journal import SqliteJournal
from tests.crash.command import Command, run_to_its_end, seconds
from tests.crash.edits import Diary, edit_document
from tests.crash.judging import Done, replayed, wrong_in_the_end, wrong_so_far
from tests.crash.plans import SHAPES, Workload, workload

#: Seconds that a command may take at most, on the busiest machine.
LIMIT_S = 120.0
#: Of how many kills the moment is drawn from the start of the command, not from when it began to write.
EARLY = 0.15
#: Of how many commands there is no forking: they are started as users start them.
FRESH = 0.1
#: Seconds in which a kill comes after that: about as long as the plans take.
PLAN_S = 0.7
#: Edits that are made in a trial, at most.
EDITS = 4


@functools.cache
def undisturbed_s() -> float:
    """Seconds that a command takes from its start to its end on this machine, as busy as it is now."""
    with tempfile.TemporaryDirectory(prefix="galaxy-crash-") as name:
        folder = Path(name)
        work = workload(folder / "work", "layered", Random(0))
        command = ["run", str(work.plan), "--devices", str(work.inventory), "--plain"]
        return seconds(command, {"GALAXY_JOURNAL": name, "XDG_RUNTIME_DIR": name}, folder / "log", LIMIT_S)


@define
class Trial:
    """What came of one trial. `wrong` is empty when all is as it must be."""

    seed: int
    shape: str
    kills: int = 0
    before_any_record: int = 0
    unknown: int = 0
    edits: int = 0
    in_doubt: int = 0
    wrong: list[str] = field(factory=list)
    told: list[str] = field(factory=list)

    def __str__(self) -> str:
        return "\n  ".join([f"seed {self.seed} ({self.shape}), {self.kills} kills:", *self.wrong, *self.told[-40:]])


def trial(seed: int, kills: int = 3, keep: Path | None = None) -> Trial:
    """Run one; the same seed gives the same plan and the same moments, as far as a machine can."""
    random = Random(seed)
    found = Trial(seed, SHAPES[seed % len(SHAPES)])
    folder = Path(tempfile.mkdtemp(prefix="galaxy-crash-")) if keep is None else keep / f"seed-{seed}"
    try:
        _Crashing(found, workload(folder, found.shape, random, spares=EDITS), random, kills).run()
    except Exception as error:  # it is what is reported
        found.wrong.append("".join(traceback.format_exception(error)))
    if keep is None and not found.wrong:
        shutil.rmtree(folder, ignore_errors=True)
    elif found.wrong:
        found.told.append(f"kept in {folder}")
    return found


def written(folder: Path) -> list[tuple[str, int]]:
    """What the files of all runs are called, and their sizes."""
    found = []
    for run in [*folder.glob("*")]:
        with suppress(FileNotFoundError):  # it goes, or gets its name, while we look
            found += [(path.name, path.stat().st_size) for path in run.glob("journal.db*")]
    return sorted(found)


class _Crashing:
    def __init__(self, found: Trial, work: Workload, random: Random, kills: int) -> None:
        self.found, self.work, self.random, self.kills = found, work, random, kills
        self.journal = SqliteJournal(work.folder / "journal")
        self.env = {"GALAXY_JOURNAL": str(self.journal.folder), "XDG_RUNTIME_DIR": str(work.folder)}
        self.log = work.folder / "log"
        self.done = Done()
        self.edits = EDITS if random.random() < 0.5 else 0
        self.span_s = undisturbed_s()

    def run(self) -> None:
        """Until the run is over."""
        for _ in range(20 + self.kills):
            replay = replayed(self.journal)
            if replay is not None and replay.over is not None and not self.found.unknown:
                break  # it was killed when all of it was over
            if replay is not None and not replay.is_whole:  # nothing of it has begun: it is run anew
                self.journal.remove(replay.run_id)
            code = self._go(killed=self.found.kills < self.kills)
            replay = replayed(self.journal)
            self.found.before_any_record += replay is None
            self.found.wrong += [*wrong_so_far(self.work, replay), *self.done.wrong(self.work, replay)]
            if self.found.wrong or (code is not None and not self._resolve()):
                break
        else:
            self.found.wrong.append("it never came to an end")
        if not self.found.wrong:
            self.found.wrong += wrong_in_the_end(self.work, replayed(self.journal))
        self.found.edits = len(Diary(self.work.folder).committed)

    def _go(self, *, killed: bool) -> int | None:
        """Run or resume, and perhaps kill: the exit code, or None when it was killed."""
        arguments = ["run", str(self.work.plan), "--devices", str(self.work.inventory), "--plain"]
        if self.journal.runs():
            arguments = ["resume", "last", "--plain"]
        began = time.monotonic()
        before = written(self.journal.folder)
        command = Command(arguments, self.env, self.log, fresh=self.random.random() < FRESH)
        with self._edited(command):
            if killed:
                if early := self.random.random() < EARLY:
                    wait_s = self.random.uniform(0.0, self.span_s)
                else:
                    while not command.is_over() and written(self.journal.folder) == before:  # until it is at work
                        time.sleep(0.005)
                    wait_s = time.monotonic() - began + self.random.uniform(0.0, PLAN_S)
                code = command.wait(max(0.0, began + wait_s - time.monotonic()))
                if code is None:
                    command.kill()
                    self.found.kills += 1
                    self.found.told.append(f"{arguments[0]}: killed after {wait_s:.3f} s{' (early)' if early else ''}")
                    return None
            else:
                code = command.wait(LIMIT_S)
                if code is None:
                    command.kill()
        self.found.told.append(f"{arguments[0]}: exit code {code}")
        if code not in (0, 1):
            log = self.log.read_text(errors="replace")[-1500:]
            self.found.wrong.append(f"{arguments[0]} ended with exit code {code}: {log}")
        return code

    @contextmanager
    def _edited(self, command: Command) -> Iterator[None]:
        """Have somebody edit the run meanwhile."""
        os.environ["XDG_RUNTIME_DIR"] = str(self.work.folder)  # where the run is looked for
        waits = [self.random.uniform(0.0, 0.3) for _ in range(EDITS)]
        editing = threading.Thread(target=self._edit, args=(command, waits))
        editing.start()
        try:
            yield
        finally:
            editing.join()

    def _edit(self, command: Command, waits: list[float]) -> None:
        diary = Diary(self.work.folder)
        for number in range(1, self.edits + 1):
            if number not in diary.asked:
                time.sleep(waits[number - 1])
                if not self._one_edit(command, diary, number):
                    return

    def _one_edit(self, command: Command, diary: Diary, number: int) -> bool:
        """Ask as long as there is nobody; False when the run is gone."""
        document = json.dumps(edit_document(self.work, number))
        request = {"do": "edit", "transaction": document, "author": "crash"}
        while not command.is_over():
            try:
                anyio.run(ask_run, f"crash-{self.found.shape}", {"do": "status"})
            except ControlError:  # not yet
                time.sleep(0.02)
                continue
            diary.asks(number)
            try:
                answer = anyio.run(ask_run, f"crash-{self.found.shape}", request)
            except ControlError:  # it is gone, or does not hear us yet; nobody can tell whether it has done it
                self.found.in_doubt += 1
                return True
            if answer.get("ok"):
                diary.is_told(number)
            self.found.told.append(f"edit {number}: {'committed' if answer.get('ok') else answer.get('error')}")
            return True
        return False

    def _resolve(self) -> bool:
        """Say of what is unknown what the traces say; whether there was any."""
        replay = replayed(self.journal)
        if replay is None:
            return False
        unknown = [one for one, said in replay.document()["tasks"].items() if said["status"] == "unknown"]
        for task_id in unknown:
            self.found.unknown += 1
            as_ = "completed" if self.work.began(task_id) > self.work.failed(task_id) else "retry"
            code = run_to_its_end(["resolve", "last", task_id, "--as", as_], self.env, self.log, LIMIT_S)
            self.found.told.append(f"resolve {task_id} as {as_}: exit code {code}")
            if code:
                self.found.wrong.append(f"resolve {task_id}: {self.log.read_text(errors='replace')[-1500:]}")
                return False
        return bool(unknown)
