"""Edits of workloads while they run, which show whether they are there whole, in part, or not at all.

Edit `n` adds the task `e<n>`, removes the spare task `x<n>`, changes the description of the task `y`, and links `e<n>` to it: all
of that, or nothing. Whoever edits writes down that it asks, and, when it was told so, that the edit was committed.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from galaxy_core import TaskConstellation
from tests.crash.plans import Workload, task

#: The task that each edit changes; it and the spare ones wait for the last task of the plan, so that there is time to edit them.
CHANGED = "y"


def edit_document(work: Workload, number: int) -> dict[str, Any]:
    """The edit of that number, as a file of `galaxy edit` has it."""
    added = {"id": f"e{number}", **task(work.folder, f"e{number}", 0.01, "once")}
    return {
        "operations": [
            {"add_task": added},
            {"remove_task": f"x{number}"},
            {"update_task": {"id": CHANGED, "description": f"edit {number}"}},
            {"add_dependency": {"from": f"e{number}", "to": CHANGED}},
        ]
    }


class Diary:
    """Which edits were asked for, and which were committed; it outlives whoever writes it."""

    def __init__(self, folder: Path) -> None:
        self._asked, self._committed = folder / "edits.asked", folder / "edits.committed"

    def asks(self, number: int) -> None:
        """Somebody is about to ask for an edit."""
        _add(self._asked, number)

    def is_told(self, number: int) -> None:
        """Somebody was told that it is committed."""
        _add(self._committed, number)

    @property
    def asked(self) -> set[int]:
        """The numbers of all edits that were asked for."""
        return _numbers(self._asked)

    @property
    def committed(self) -> set[int]:
        """The numbers of those that somebody relies on."""
        return _numbers(self._committed)


def wrong_edits(plan: TaskConstellation, diary: Diary) -> list[str]:
    """What of a plan contradicts what editors were told; an edit that is there in part."""
    wrong, asked, committed = [], diary.asked, diary.committed
    there = {number for number in asked if plan.get_task(f"e{number}") is not None}
    linked = {line.from_task_id for line in plan.get_all_dependencies() if line.to_task_id == CHANGED}
    for number in sorted(asked):
        parts = (number in there, plan.get_task(f"x{number}") is None, f"e{number}" in linked)
        if len(set(parts)) > 1:
            wrong.append(f"edit {number} is there in part: added, removed, linked is {parts}")
        if number in committed and number not in there:
            wrong.append(f"edit {number} was committed, and is lost")
    changed = plan.get_task(CHANGED)
    said = "" if changed is None else changed.description
    expected = f"edit {max(there)}" if there else said
    if changed is None or said != expected or (not there and said.startswith("edit ")):
        wrong.append(f"{CHANGED} is described as {said!r}, and the edits that are there are {sorted(there)}")
    strangers = {one for one in plan.tasks if one.startswith("e")} - {f"e{number}" for number in asked}
    if strangers:
        wrong.append(f"nobody has asked for {sorted(strangers)}")
    return wrong


def expected_effects(work: Workload, plan: TaskConstellation, diary: Diary) -> dict[str, str]:
    """The effects of all tasks that have to be done, when edits have done their part."""
    there = [number for number in diary.asked if plan.get_task(f"e{number}") is not None]
    added = {f"e{number}": "once" for number in there}
    return {one: effect for one, effect in work.effects.items() if one not in {f"x{n}" for n in there}} | added


def _add(path: Path, number: int) -> None:
    with path.open("a") as file:
        file.write(f"{number}\n")


def _numbers(path: Path) -> set[int]:
    return {int(line) for line in path.read_text().split()} if path.exists() else set()
