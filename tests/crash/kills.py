"""The real command, killed at random moments until its run is over, and what must be true of it then.

A trial: `galaxy run` is started and killed with SIGKILL after a random time; `galaxy resume last` goes on, and is killed,
too; after so many kills the last one is let run to its end. Of half of the trials, an edit is committed meanwhile. Where a
task ended `unknown`, the trial does what a person would: it looks at the traces, and resolves it.
"""

from __future__ import annotations

import functools
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from random import Random

from attrs import define, field

from galaxy_core import TaskStatus
from galaxy_core.model.records.replay import Replay
from tests.crash.plans import SHAPES, Workload, task, workload

#: Seconds that a command may take at most, on the busiest machine.
LIMIT_S = 120.0
#: Of how many kills the moment is drawn from the start of the command, not from when it began to write.
EARLY = 0.15
#: Seconds in which a kill comes after that: about as long as the plans take.
PLAN_S = 0.7
GALAXY = (sys.executable, "-m", "galaxy_core_cli")


@functools.cache
def undisturbed_s() -> float:
    """Seconds that a command takes from its start to its end on this machine, as busy as it is now."""
    with tempfile.TemporaryDirectory(prefix="galaxy-crash-") as folder:
        work = workload(Path(folder) / "work", "layered", Random(0))
        began = time.monotonic()
        command = [*GALAXY, "run", str(work.plan), "--devices", str(work.inventory), "--plain"]
        subprocess.run(
            command,
            env={**os.environ, "GALAXY_JOURNAL": folder, "XDG_RUNTIME_DIR": folder},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=LIMIT_S,
            check=True,
        )
        return time.monotonic() - began


@define
class Trial:
    """What came of one trial. `wrong` is empty when all is as it must be."""

    seed: int
    shape: str
    kills: int = 0
    before_any_record: int = 0
    unknown: int = 0
    edited: bool = False
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
        _Crashing(found, workload(folder, found.shape, random), random, kills).run()
    finally:
        if keep is None and not found.wrong:
            shutil.rmtree(folder, ignore_errors=True)
        elif found.wrong:
            found.told.append(f"kept in {folder}")
    return found


class _Crashing:
    def __init__(self, found: Trial, work: Workload, random: Random, kills: int) -> None:
        self.found, self.work, self.random, self.kills = found, work, random, kills
        self.journal = work.folder / "journal"
        self.env = {**os.environ, "GALAXY_JOURNAL": str(self.journal), "XDG_RUNTIME_DIR": str(work.folder)}
        self.edit: subprocess.Popen[bytes] | None = None
        self.span_s = undisturbed_s()

    def run(self) -> None:
        """Until the run is over."""
        for _ in range(20 + self.kills):
            if (kept := self._replayed()) is not None and kept.over is not None and not self.found.unknown:
                break  # it was killed when all of it was over
            code = self._go(killed=self.found.kills < self.kills)
            self._check_unbegun()
            if code is not None and not self._resolve():
                break
        else:
            self.found.wrong.append("it never came to an end")
        if not self.found.wrong:
            self._check()

    def _command(self) -> list[str]:
        if self._recorded():
            return [*GALAXY, "resume", "last", "--plain"]
        return [*GALAXY, "run", str(self.work.plan), "--devices", str(self.work.inventory), "--plain"]

    def _go(self, *, killed: bool) -> int | None:
        """Run or resume, and perhaps kill: the exit code, or None when it was killed."""
        command = self._command()
        began = time.monotonic()
        with (self.work.folder / "log").open("ab") as log:
            process = subprocess.Popen(command, env=self.env, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        if killed:
            if self.random.random() < 0.5 and not self.found.edited:
                self._edit()
            if early := self.random.random() < EARLY:
                wait_s = self.random.uniform(0.0, undisturbed_s())
            else:
                self._until_recorded(process)
                wait_s = time.monotonic() - began + self.random.uniform(0.0, PLAN_S)
            try:
                code = process.wait(max(0.0, began + wait_s - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGKILL)
                process.wait()
                self.found.kills += 1
                self.found.told.append(f"{command[3]}: killed after {wait_s:.3f} s{' (early)' if early else ''}")
                self._edited()
                return None
        else:
            code = process.wait(LIMIT_S)
        self._edited()
        self.found.told.append(f"{command[3]}: exit code {code}")
        if code not in (0, 1):
            self.found.wrong.append(f"{command[3]} ended with exit code {code}: {self._log()}")
        return code

    def _until_recorded(self, process: subprocess.Popen[bytes]) -> None:
        """Wait until it is at work: it has written to its journal since it was started."""
        before = self._written()
        while process.poll() is None and self._written() == before:
            time.sleep(0.005)

    def _written(self) -> list[tuple[str, int]]:
        return sorted((str(path), path.stat().st_size) for path in self.journal.glob("*/journal.db*") if path.exists())

    def _edit(self) -> None:
        """Commit an edit somewhere in the next seconds, if there is a run to edit by then."""
        path = self.work.folder / "edit.json"
        added = task(self.work.folder, "added", 0.01, "once")
        path.write_text(json.dumps({"operations": [{"add_task": {"id": "added", **added}}]}))
        delay = self.random.uniform(0, undisturbed_s())
        shell = f'sleep {delay:.3f}; exec "$@"'
        command = ["sh", "-c", shell, "sh", *GALAXY, "edit", "crash-" + self.found.shape, str(path), "--apply"]
        self.edit = subprocess.Popen(
            command, env=self.env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )

    def _edited(self) -> None:
        if self.edit is not None:
            if self.edit.wait(LIMIT_S) == 0:
                self.found.edited = True
                self.work.effects["added"] = "once"
                self.found.told.append("the edit was committed")
            self.edit = None

    def _resolve(self) -> bool:
        """Say of what is unknown what the traces say; whether there was any."""
        replay = self._replayed()
        if replay is None:
            return False
        unknown = [one for one, said in replay.document()["tasks"].items() if said["status"] == "unknown"]
        for task_id in unknown:
            self.found.unknown += 1
            known = self.work.failed(task_id)
            as_ = "completed" if self.work.began(task_id) > known else "retry"
            done = subprocess.run(
                [*GALAXY, "resolve", "last", task_id, "--as", as_],
                env=self.env,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=LIMIT_S,
                check=False,
            )
            self.found.told.append(f"resolve {task_id} as {as_}: exit code {done.returncode}")
            if done.returncode:
                self.found.wrong.append(f"resolve {task_id}: {done.stderr}")
                return False
        return bool(unknown)

    # ------------------------------------------------------------------------------------------- what must be
    def _check_unbegun(self) -> None:
        """Nothing may have begun of which there is no record."""
        if not self._recorded():
            self.found.before_any_record += 1
            begun = [one for one in self.work.effects if self.work.began(one)]
            if begun:
                self.found.wrong.append(f"no run is recorded, but {begun} have begun")
            return
        replay = self._replayed()
        if replay is None:
            return
        for task_id, said in replay.document()["tasks"].items():
            began = self.work.began(task_id)
            attempts = said.get("attempts", 0) or (1 if said["status"] not in ("pending", "waiting_dependency") else 0)
            if (
                began
                and not attempts
                and said["status"] in ("pending", "waiting_dependency")
                and not said["current_retry"]
            ):
                self.found.wrong.append(f"{task_id} has begun {began} times, and the journal says {said['status']}")

    def _check(self) -> None:
        replay = self._replayed()
        if replay is None:
            self.found.wrong.append("no run is recorded")
            return
        plan = replay.constellation()
        for task_id, effect in self.work.effects.items():
            found = plan.get_task(task_id)
            if found is None:
                self.found.wrong.append(f"{task_id} is lost")
                continue
            fails = self.work.failures.get(task_id, 0)
            began, ended, failed = self.work.began(task_id), self.work.ended(task_id), self.work.failed(task_id)
            if found.status is not TaskStatus.COMPLETED:
                self.found.wrong.append(f"{task_id} is {found.status.value}: {found.error}")
            if effect == "once" and began > fails + 1:
                self.found.wrong.append(f"{task_id} ({effect}) has begun {began} times, with {failed} failures")
            if effect == "once" and ended > 1:
                self.found.wrong.append(f"{task_id} ({effect}) has come to its end {ended} times")
            if not began:
                self.found.wrong.append(f"{task_id} is completed, and has never begun")

    def _recorded(self) -> bool:
        from galaxy_core_journal import SqliteJournal

        return bool(SqliteJournal(self.journal).runs())

    def _replayed(self) -> Replay | None:
        from galaxy_core_journal import SqliteJournal

        journal = SqliteJournal(self.journal)
        runs = journal.runs()
        if len(runs) > 1:
            self.found.wrong.append(f"{len(runs)} runs are recorded")
        if not runs:
            return None
        replay = Replay()
        for line in journal.read(runs[0]):
            replay.take(line)
        return replay

    def _log(self) -> str:
        return (self.work.folder / "log").read_text(errors="replace")[-1500:]
