"""A run as its journal has it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from attrs import frozen

from galaxy_core import Journal, Replay, TaskConstellation, TaskStatus, replay
from galaxy_core.errors import JournalDamagedError, JournalError
from galaxy_core_cli import say

#: Records with which a run begins; of more than so many it is not asked whether the plan is whole.
_PLAN = re.compile(r'\[\d+, ?"(galaxy|plan|tasks|links)"')
FEW = 2000
ENDED = ("completed", "failed", "unknown", "skipped", "cancelled")


class NotBegunError(JournalError):
    """The process of a run went before the plan was kept, and so before anything was started."""

    def __init__(self, run_id: str) -> None:
        self.run_id = run_id
        super().__init__(
            f"run {run_id!r} had not begun when its process ended: its plan was not kept yet, and nothing was started. "
            "Run the plan anew"
        )


@frozen
class Kept:
    """A run as it was after `replay.count` of its `records` records. `damage` is what is wrong after those."""

    journal: Journal
    run_id: str
    replay: Replay
    constellation: TaskConstellation
    records: int
    damage: JournalDamagedError | None = None

    @property
    def name(self) -> str:
        return self.constellation.name

    @property
    def header(self) -> Any:
        """What the run was started with: the header of its replay."""
        assert self.replay.header is not None  # nothing is read of a run without
        return self.replay.header

    @property
    def counts(self) -> dict[str, int]:
        """Of tasks, by status."""
        return {status.value: number for status in TaskStatus if (number := self.constellation.count(status))}

    @property
    def done(self) -> int:
        return sum(self.counts.get(status, 0) for status in ENDED)


def lines_of(journal: Journal, run_id: str, *, sound: bool = False) -> tuple[Sequence[str], JournalDamagedError | None]:
    """The records of a run; with `sound` those of a damaged one before the damage, and what that is.

    Raises:
        JournalError, OSError: they cannot be read.
    """
    try:
        return journal.read(run_id), None
    except JournalDamagedError as error:
        if not sound:
            raise
        salvage = getattr(journal, "salvage", None)
        if salvage is None:
            raise say.WrongValueError(
                f"the journal {journal.name!r} gives nothing back of a run that is damaged"
            ) from error
        found: Sequence[str] = salvage(run_id)
        return found, error


def read(journal: Journal, run_id: str, *, until: int | None = None, sound: bool = False) -> Kept:
    """A run, as it was after its record `until`, counted from 0, or last.

    Raises:
        JournalError, OSError: it cannot be read.
    """
    lines, damage = lines_of(journal, run_id, sound=sound)
    if damage is None:
        check_begun(lines, run_id)
    try:
        found = replay(lines, until, run_id=run_id)
    except JournalDamagedError as error:
        if not sound:
            raise
        damage, lines = error, lines[: error.sound]
        found = replay(lines, until, run_id=run_id)
    return Kept(journal, run_id, found, found.constellation(), len(lines), damage)


def check_begun(lines: Sequence[str], run_id: str) -> None:
    """Raises:
    NotBegunError: the records end before the plan does.
    JournalError: they cannot be read.
    """
    if len(lines) > FEW or any(not _PLAN.match(line) for line in lines):
        return
    if not lines or not replay(lines, run_id=run_id).is_whole:
        raise NotBegunError(run_id)


def header_of(journal: Journal, run_id: str) -> Any:
    """What a run was started with, as its first record says: the header of a replay.

    Raises:
        JournalError, OSError: it cannot be read.
    """
    lines = journal.read(run_id)
    check_begun(lines, run_id)
    header = replay(lines[:1], run_id=run_id).header
    assert header is not None  # the plan would not be whole
    return header
