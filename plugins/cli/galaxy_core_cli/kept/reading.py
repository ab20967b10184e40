"""A run as its journal has it."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from attrs import frozen

from galaxy_core import Journal, Replay, TaskConstellation, TaskStatus, replay
from galaxy_core.errors import JournalDamagedError, JournalError
from galaxy_core_cli import say
from galaxy_core_cli.hints import command

#: Records with which a run begins; of more than so many it is not asked whether the plan is whole.
_PLAN = re.compile(r'\[\d+, ?"(galaxy|plan|tasks|links)"')
FEW = 2000
#: The record with which another process goes on.
_OPENED = re.compile(r'\[\d+, ?"opened"')


class NotBegunError(JournalError):
    """The process of a run went before the plan was kept, and so before anything was started."""

    def __init__(self, run_id: str) -> None:
        self.run_id = run_id
        super().__init__(
            f"run {run_id!r} had not begun when its process ended: its plan was not kept yet, and nothing was started. "
            "Run the plan anew"
        )


class Beginning(str):
    """The beginning of a text of `length` characters; `where` is the file that has all of it, or why there is none."""

    length: int
    where: str

    @classmethod
    def of(cls, text: Any, where: str) -> Beginning:
        """Of a text that is not in its record."""
        found = cls(text.head)
        found.length, found.where = text.length, where
        return found


def _beginnings(folder: Path | None) -> Callable[[Any], str]:
    """How texts are shown that are not in their records: by how they begin, and where they are."""

    def read(text: Any) -> str:
        if text.file is None:
            return Beginning.of(text, "the rest was not kept")
        return Beginning.of(text, text.file if folder is None else str(folder / text.file))

    return read


def _whole(folder: Path | None) -> Callable[[Any], str]:
    """How texts are shown that are not in their records: whole, if they are where they should be."""

    def read(text: Any) -> str:
        if folder is None or text.file is None:
            return _beginnings(folder)(text)
        place = (folder / text.file).resolve()
        try:
            found = place.read_bytes() if place.is_relative_to(folder.resolve()) else b""
        except OSError as problem:
            return Beginning.of(text, f"{place} cannot be read: {problem.strerror or problem}")
        if hashlib.sha256(found).hexdigest() != text.sha256:
            return Beginning.of(text, f"{place} is not what was kept")
        return found.decode("utf-8", "surrogatepass")

    return read


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
        """Tasks that have completed."""
        return self.counts.get("completed", 0)


@contextmanager
def advising(journal: Journal, run_id: str) -> Iterator[None]:
    """Where a journal is found to be damaged inside, the error says how to come by what is sound."""
    try:
        yield
    except JournalDamagedError as error:
        if error.sound and hasattr(journal, "salvage"):
            show = command("replay", run_id, journal=journal.name, options="--sound")
            export = command("export", run_id, journal=journal.name, options="--sound -o sound.jsonl")
            error.add_note(f"to see what is sound: {show}\nto write it to a file: {export}")
        raise


def lines_of(journal: Journal, run_id: str, *, sound: bool = False) -> tuple[Sequence[str], JournalDamagedError | None]:
    """The records of a run; with `sound` those of a damaged one before the damage, and what that is.

    Raises:
        JournalError, OSError: they cannot be read.
    """
    try:
        with advising(journal, run_id):
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


def read(journal: Journal, run_id: str, *, until: int | None = None, sound: bool = False, whole: bool = False) -> Kept:
    """A run, as it was after its record `until`, counted from 0, or last.

    Long texts are not in the records: with `whole` they are read, else they are each a `Beginning`.

    Raises:
        JournalError, OSError: it cannot be read.
    """
    lines, damage = lines_of(journal, run_id, sound=sound)
    if damage is None:
        check_begun(lines, run_id)
    folder = getattr(journal, "folder_of", lambda _: None)(run_id)
    texts = _whole(folder) if whole else _beginnings(folder)
    try:
        with advising(journal, run_id):
            found = replay(lines, until, read=texts, run_id=run_id)
    except JournalDamagedError as error:
        if not sound:
            raise
        damage, lines = error, lines[: error.sound]
        found = replay(lines, until, read=texts, run_id=run_id)
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


@frozen
class Origin:
    """What a run was started with: `header` is that of its replay. `folder` is where it was under way last, if that is known."""

    run_id: str
    header: Any
    folder: str | None
    _lines: Sequence[str]

    def is_over(self) -> bool:
        """Whether it has ended, with nothing left to do. Reads all of it."""
        found = replay(self._lines, run_id=self.run_id)
        return found.over is not None and found.constellation().is_complete()


def origin_of(journal: Journal, run_id: str) -> Origin:
    """What a run was started with, and where, as those of its records say with which a process began.

    Raises:
        JournalError, OSError: it cannot be read.
    """
    with advising(journal, run_id):
        lines = journal.read(run_id)
    check_begun(lines, run_id)
    header = replay(lines[:1], run_id=run_id).header
    assert header is not None  # the plan would not be whole
    folders = [json.loads(line)[2].get("folder") for line in lines if _OPENED.match(line)]
    return Origin(run_id, header, next(filter(None, reversed(folders)), header.folder), lines)
