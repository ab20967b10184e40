"""What can be said of a run in one line, from a few of its records."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from attrs import Factory, define, frozen

from galaxy_core.errors import JournalError
from galaxy_core_journal import locks
from galaxy_core_journal.places import Place
from galaxy_core_journal.reading import examine

#: Kinds of records that say how far a run is; see galaxy_core/model/records.
_TOLD = re.compile(r'\[\d+, ?"(ran|over|stop|opened|edit|image|resolve)"')
_OF_TASK = re.compile(r'\[\d+, ?"(end|again)", ?("(?:[^"\\]|\\.)*")(?:, ?\d+, ?\d+, ?"(\w+)")?')
_UNQUOTE = json.JSONDecoder(strict=False).decode
_TASKS = re.compile(r'\[\d+, ?"tasks"')


@frozen
class RunEntry:
    """A run in a list.

    `state` is "running" while somebody writes it; else how it ended ("completed", "failed", …), "stopped", "interrupted"
    when its process went before it was over, "damaged", or "unreadable" with `problem` saying why. `done` of `total` tasks
    have completed, and `unknown` have ended so that somebody has to say what became of them. `written` is when its files were last changed.
    """

    run_id: str
    name: str
    state: str
    started: datetime | None
    ended: datetime | None
    written: datetime | None
    done: int
    total: int
    size_bytes: int
    locked_by: str | None
    problem: str | None = None
    is_over: bool = False
    unknown: int = 0


def entry_of(place: Place, run_id: str) -> RunEntry:
    """What is known of the run in that folder; what is wrong with it is said, and never raised."""
    lines: Sequence[str] = ()
    state = problem = None
    try:
        found = examine(place, run_id)
        lines = found.lines
        if found.problem is not None:
            state, problem = "damaged", str(found.problem)
    except JournalError as error:
        state, problem = "unreadable", str(error)
    holder = (locks.holder(place.lock) or "another process") if locks.is_held(place.lock) else None
    told = _told(lines)
    if state is None:
        state = "running" if holder is not None else told.state
    return RunEntry(
        run_id,
        told.name,
        state,
        told.started,
        told.ended,
        _written(place),
        len(told.done),
        told.total,
        place.size_bytes(),
        holder,
        problem,
        is_over=told.ended is not None and holder is None and problem is None,
        unknown=len(told.unknown),
    )


@define
class _Told:
    name: str = ""
    state: str = "interrupted"
    started: datetime | None = None
    ended: datetime | None = None
    total: int = 0
    done: set[str] = Factory(set)
    unknown: set[str] = Factory(set)
    ids: set[str] | None = None  # of all tasks, once something was edited

    def hear(self, kind: str, parts: list[Any], lines: Sequence[str]) -> None:
        """One record, whose first two parts are its number and kind."""
        match kind, parts[2:]:
            case "ran", [list(attempts), *_]:
                for one in attempts:
                    if isinstance(one, list) and one:
                        self.end(str(one[0]), str(one[6]) if len(one) > 6 else "completed")
            case "over", [status, at, *_]:
                self.state, self.ended = str(status), _time(at)
            case "stop", _:
                self.state, self.ended = "stopped", None
            case "opened", _:
                self.state, self.ended = "interrupted", None
            case "image", [dict(image), *_]:
                self._see(image, lines)
            case "edit" | "resolve", [{"image": dict(image)}, *_]:
                self._see(image, lines)

    def _see(self, image: dict[str, Any], lines: Sequence[str]) -> None:
        """Tasks as they are after an edit, and those that went."""
        if self.ids is None:
            self.ids = {task for line in lines if _TASKS.match(line) for task in _ids(_parts(line, "tasks")[2:3])}
        gone = image.get("gone_tasks")
        for task in gone if isinstance(gone, list) else ():
            self.ids.discard(str(task))
            self.end(str(task), None)
        for task, status in _ids([image.get("tasks")]).items():
            self.ids.add(task)
            self.end(task, status)

    def end(self, task: str, status: str | None) -> None:
        """How a task stands now; None when there is no such task any more, or it is to run again."""
        (self.done.add if status == "completed" else self.done.discard)(task)
        (self.unknown.add if status == "unknown" else self.unknown.discard)(task)


def _ids(lists: list[Any]) -> dict[str, str]:
    """The tasks in lists of documents, each with its status."""
    tasks = [task for one in lists if isinstance(one, list) for task in one if isinstance(task, dict)]
    return {str(task.get("task_id")): str(task.get("status")) for task in tasks}


def _told(lines: Sequence[str]) -> _Told:
    """What the records say; what does not look as it should is left out."""
    told = _Told()
    if lines and (first := _parts(lines[0], "galaxy")[2:]) and isinstance(first[0], dict):
        told.started = _time(first[0].get("at"))
    if len(lines) > 1:
        told.name, told.total = _plan(_parts(lines[1], "plan"))
    for line in lines:
        if (match := _OF_TASK.match(line)) is not None:
            told.end(_text(match.group(2)), match.group(3))
        elif (match := _TOLD.match(line)) is not None:
            told.hear(match.group(1), _parts(line, match.group(1)), lines)
    if told.ids is not None:
        told.total = len(told.ids)
    return told


def _text(quoted: str) -> str:
    """What stands in quotes in JSON; most have nothing to undo."""
    return quoted[1:-1] if "\\" not in quoted else str(_UNQUOTE(quoted))


def _plan(parts: list[Any]) -> tuple[str, int]:
    """Its name, and how many tasks it has."""
    head = parts[2] if len(parts) > 2 and isinstance(parts[2], dict) else {}
    counts = [one for one in parts[3:] if isinstance(one, int)]
    return str(head.get("name", "")), counts[0] if counts else 0


def _parts(line: str, kind: str) -> list[Any]:
    try:
        parts = json.loads(line)
    except (ValueError, RecursionError):
        return []
    return parts if isinstance(parts, list) and parts[1:2] == [kind] else []


def _time(value: object) -> datetime | None:
    """A moment, from seconds since 1970 or ISO 8601."""
    try:
        if isinstance(value, int | float):
            return datetime.fromtimestamp(value, UTC)
        moment = datetime.fromisoformat(str(value))
    except (ValueError, OverflowError, OSError):
        return None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


def _written(place: Place) -> datetime | None:
    stamps = []
    for path in (place.database, place.log):
        try:
            stamps.append(path.stat().st_mtime)
        except OSError:
            continue
    return datetime.fromtimestamp(max(stamps), UTC) if stamps else None
