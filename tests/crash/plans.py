"""Plans of five shapes, whose tasks are real processes that leave traces, and what must be true of the traces.

Each task writes a line to `TASK.began` before it does anything else, and one to `TASK.ended` as the last thing. What a
plan may have done is read from these files alone: they are the truth that journals and results are held against.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from random import Random
from typing import Any

from attrs import field, frozen

#: What each task runs: `sh work.sh FOLDER TASK SECONDS FAILURES`. It fails in its first FAILURES attempts.
WORK = """\
echo "$$" >> "$1/$2.began"
sleep "$3"
if [ "$(wc -l < "$1/$2.began")" -le "$4" ]; then echo "$$" >> "$1/$2.failed"; exit 3; fi
echo "$$" >> "$1/$2.ended"
echo "out of $2"
"""

#: How the command says that a task has completed.
_DONE = re.compile(r"\] done +(\S+) on ")

SHAPES = ("chain", "wide", "layered", "diamond", "retries")


@frozen
class Workload:
    """A plan file, the folder of its traces, and for each task its effect and how many of its attempts fail."""

    folder: Path
    plan: Path
    inventory: Path
    effects: dict[str, str]
    failures: dict[str, int] = field(factory=dict)

    @property
    def traces(self) -> Path:
        """Where its tasks write."""
        return self.folder / "traces"

    def began(self, task_id: str) -> int:
        """How often a task has really begun."""
        return _lines(self.traces / f"{task_id}.began")

    def ended(self, task_id: str) -> int:
        """How often a task has really come to its good end."""
        return _lines(self.traces / f"{task_id}.ended")

    def tells(self, task_id: str) -> None:
        """Somebody was told that a task has completed."""
        with (self.folder / "told").open("a") as file:
            file.write(f"{task_id}\n")

    def told(self) -> set[str]:
        """The tasks that somebody was told to have completed: by events, or by the command, in `log`."""
        told, log = self.folder / "told", self.folder / "log"
        heard = set(told.read_text().split()) if told.exists() else set[str]()
        return heard | (set(_DONE.findall(log.read_text(errors="replace"))) if log.exists() else set())

    def failed(self, task_id: str) -> int:
        """How often a task has really failed by itself."""
        return _lines(self.traces / f"{task_id}.failed")


def workload(
    folder: Path, shape: str, random: Random, size: int = 12, *, spares: int = 0, most_s: float = 0.15
) -> Workload:
    """A plan of that shape, with tasks of 0 to `most_s` seconds and of every effect, in a new folder.

    Some fail at first, and are tried again. With `spares`, that many tasks `x1`, … and one `y` wait for the last one; edits
    are about them, see `edits`.
    """
    (folder / "traces").mkdir(parents=True)
    script = folder / "work.sh"
    script.write_text(WORK)
    needs = _needs(shape, size)
    last = (list(needs)[-1],)
    needs |= {f"x{number + 1}": last for number in range(spares)} | ({"y": last} if spares else {})
    effects, failures, tasks = {}, {}, {}
    for number, (task_id, before) in enumerate(needs.items()):
        effect = random.choices(("once", "idempotent", "read"), (6, 2, 1))[0]
        fails = random.randint(1, 2) if shape == "retries" and number % 3 == 1 else int(number % 4 == 1)
        effects[task_id], failures[task_id] = effect, fails
        tasks[task_id] = task(folder, task_id, random.uniform(0, most_s), effect, fails, before)
    plan, inventory = folder / "plan.json", folder / "devices.json"
    plan.write_text(json.dumps({"name": f"crash-{shape}", "tasks": tasks}))
    inventory.write_text(json.dumps({"devices": {"here": {"transport": "local", "max_concurrency": 4}}}))
    return Workload(folder, plan, inventory, effects, failures)


def task(
    folder: Path, task_id: str, seconds: float, effect: str, fails: int = 0, before: tuple[str, ...] = ()
) -> dict[str, Any]:
    """A task as a plan file has it."""
    argv = ["sh", str(folder / "work.sh"), str(folder / "traces"), task_id, f"{seconds:.3f}", str(fails)]
    said: dict[str, Any] = {"run": argv, "effect": effect}
    if before:
        said["needs"] = list(before)
    if fails:
        said["retry"] = {"count": fails, "backoff_s": 0.01}
    return said


def _needs(shape: str, size: int) -> dict[str, tuple[str, ...]]:
    ids = [f"t{number:02}" for number in range(size)]
    if shape == "chain":
        return {one: (ids[number - 1],) if number else () for number, one in enumerate(ids)}
    if shape in ("wide", "retries"):
        last = ids[-1]
        return {**dict.fromkeys(ids[:-1], ()), last: tuple(ids[:-1])}
    if shape == "layered":
        width = 3
        return {
            one: tuple(ids[number // width * width - width : number // width * width]) if number >= width else ()
            for number, one in enumerate(ids)
        }
    middle = tuple(ids[1:-1])
    return {ids[0]: (), **dict.fromkeys(middle, (ids[0],)), ids[-1]: middle}


def _lines(path: Path) -> int:
    try:
        return path.read_bytes().count(b"\n")
    except FileNotFoundError:
        return 0
