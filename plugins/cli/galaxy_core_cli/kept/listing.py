"""`galaxy runs`: runs under way, and runs that are kept."""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Mapping, Sequence
from typing import Any

import anyio
import click
from attrs import evolve, frozen

from galaxy_core import ControlError, Journal, TaskStatus, reachable_runs
from galaxy_core.errors import GalaxyError, JournalError
from galaxy_core_cli import say
from galaxy_core_cli.exits import Exit
from galaxy_core_cli.kept.ages import ago
from galaxy_core_cli.kept.journals import Here, folder_of, journal_of, other_journal
from galaxy_core_cli.kept.reading import NotBegunError, read
from galaxy_core_cli.kept.standing import NOT_BEGUN, OPEN, UNDER_WAY, UNREADABLE, status_of, words
from galaxy_core_cli.reaching import print_json, show_reached
from galaxy_core_cli.text import safe_line

#: Runs that take more are not replayed for a line in a list.
LARGE_BYTES = 4 * 2**20
#: Runs that are over, and are listed without --all.
RECENT = 10
#: How a journal says who is at a run.
_HOLDER = re.compile(r"process (\d+) on host ('.*?') since ")


@frozen
class Listed:
    """A run that is kept. `last` is when it gave its last sign of life; `holder` says who is at it; `problem` what is wrong.

    `done` tasks have completed; of `unknown` somebody has to say what became of them, before the run can go on with what
    waits for them.
    """

    run_id: str
    name: str
    status: str
    started: float | None = None
    ended: float | None = None
    last: float | None = None
    done: int = 0
    total: int = 0
    size_bytes: int | None = None
    holder: str = ""
    problem: str = ""
    unknown: int = 0

    @property
    def is_open(self) -> bool:
        """Whether it can be resumed."""
        return self.status in OPEN

    @property
    def is_unfinished(self) -> bool:
        """Whether it can be resumed, or could be once somebody has said what became of its unknown tasks."""
        return self.is_open or self.unknown > 0

    @property
    def words(self) -> str:
        return words(self.status, self.unknown)

    @property
    def pid(self) -> int | None:
        """The process of this machine that is at it, if that is known."""
        found = _HOLDER.match(self.holder)
        return int(found[1]) if found is not None and found[2] == repr(socket.gethostname()) else None

    @property
    def age_s(self) -> float | None:
        """Seconds since it was started."""
        return None if self.started is None else time.time() - self.started


def listed(journal: Journal) -> list[Listed]:
    """All runs that a journal keeps, the newest first. One that cannot be read is among them."""
    entries = getattr(journal, "entries", None)
    if entries is not None:
        return [_of_entry(journal, one) for one in entries()]
    return [_replayed(journal, Listed(run_id, "", UNREADABLE)) for run_id in journal.runs()]


def of_plan(journal: Journal, name: str) -> list[Listed]:
    """The runs of plans of that name, the newest first."""
    entries = getattr(journal, "entries", None)
    if entries is None:
        return [run for run in listed(journal) if run.name == name]
    return [_of_entry(journal, one) for one in entries() if one.name == name]


def plans_of(journal: Journal) -> list[str]:
    """The names of the plans of all runs, those of the newest first."""
    entries = getattr(journal, "entries", None)
    names = (run.name for run in (listed(journal) if entries is None else entries()))
    return list(dict.fromkeys(name for name in names if name))


def looked_up(journal: Journal, run_id: str) -> Listed:
    """One of them.

    Raises:
        JournalError: there is none of that id.
    """
    entry = getattr(journal, "entry", None)
    return _replayed(journal, Listed(run_id, "", UNREADABLE)) if entry is None else _of_entry(journal, entry(run_id))


def _of_entry(journal: Journal, entry: Any) -> Listed:
    """What a journal says of a run in a line; of one that is not large, what its records come to."""
    status = {"running": UNDER_WAY, "damaged": UNREADABLE}.get(entry.state, entry.state)
    started, ended, last = (
        None if one is None else one.timestamp() for one in (entry.started, entry.ended, entry.written)
    )
    found = Listed(
        entry.run_id,
        entry.name,
        status,
        started,
        ended,
        last,
        entry.done,
        entry.total,
        entry.size_bytes,
        entry.locked_by or "",
        entry.problem or "",
        getattr(entry, "unknown", 0),
    )
    return found if status == UNREADABLE or entry.size_bytes > LARGE_BYTES else _replayed(journal, found)


def _replayed(journal: Journal, known: Listed) -> Listed:
    try:
        kept = read(journal, known.run_id)
    except NotBegunError as error:
        return evolve(known, status=UNDER_WAY if known.holder else NOT_BEGUN, problem=str(error))
    except JournalError as error:
        return evolve(known, status=UNREADABLE, problem=str(error))
    plan = kept.constellation
    ended = plan.execution_end_time if kept.replay.over is not None else None
    return evolve(
        known,
        name=kept.name,
        status=status_of(kept, bool(known.holder)),
        started=kept.header.at,
        ended=None if ended is None else ended.timestamp(),
        last=plan.updated_at.timestamp() if known.last is None else known.last,
        done=kept.done,
        total=plan.task_count,
        unknown=plan.count(TaskStatus.UNKNOWN),
    )


def list_runs(journal: str | None, everything: bool, as_json: bool) -> int:
    """Show the runs that can be reached, and those that are kept."""
    try:
        reached = {str(one["run"]): one for one in anyio.run(reachable_runs)}
    except (
        ControlError
    ) as error:  # there can be none on this system, or its folder is not safe: what is kept is, anyhow
        say.warning(str(error))
        reached = {}
    kept = _kept(journal)
    shown = kept if everything else _recent(kept, reached)
    if as_json:
        print_json(_documents(reached, shown))
        return Exit.OK
    if not reached and not shown:
        say.note(f"no run is under way that can be reached, and none is kept{_in_folder(journal)}")
        return Exit.OK
    show_reached(
        list(reached.values()),
        [_row(run) for run in shown if run.run_id not in reached],
        {run.run_id: _row(run) for run in shown if run.run_id in reached},
    )
    here = Here.found(journal)
    for one in reached.values():
        if not here.keeps(one):
            say.note(f"{safe_line(one['run'])}: {other_journal(one)}")
    if len(shown) < len(kept):
        say.note(f"and {len(kept) - len(shown):,} more that are over: galaxy runs --all")
    return Exit.OK


def _kept(journal: str | None) -> list[Listed]:
    """What is kept; nothing where nothing keeps runs, and nobody has asked for that."""
    try:
        return listed(journal_of(journal))
    except click.ClickException:
        if journal is not None:
            raise
        return []
    except (GalaxyError, OSError) as error:  # what is under way is listed nevertheless
        if journal is not None:
            raise
        say.warning(str(error))
        return []


def _in_folder(journal: str | None) -> str:
    """Where was looked for runs that are kept, if that can be said."""
    found = Here.found(journal).journal
    return "" if found is None or not folder_of(found) else f" in {safe_line(folder_of(found))}"


def _recent(kept: Sequence[Listed], reached: Mapping[str, Any]) -> list[Listed]:
    over = [
        run.run_id for run in kept if not run.is_unfinished and run.status != UNDER_WAY and run.run_id not in reached
    ]
    dropped = set(over[RECENT:])
    return [run for run in kept if run.run_id not in dropped]


def _documents(reached: Mapping[str, Mapping[str, Any]], shown: Sequence[Listed]) -> list[dict[str, Any]]:
    known = {run.run_id for run in shown}
    found = [{**one, "kept": False} for name, one in reached.items() if name not in known]
    for run in shown:
        document = {
            "run": run.run_id,
            "name": run.name,
            "status": run.status,
            "started": run.started,
            "ended": run.ended,
            "total_tasks": run.total,
            "done": run.done,
            "unknown": run.unknown,
            "kept": True,
            "resumable": run.is_open and run.run_id not in reached,
            "size_bytes": run.size_bytes,
            "holder": run.holder or None,
        }
        if run.problem:
            document["error"] = run.problem
        found.append({**document, **reached.get(run.run_id, {})})
    return found


def _row(run: Listed) -> tuple[str, ...]:
    tasks = "" if run.status == UNREADABLE else f"{run.done:,} of {run.total:,} done"
    since = "" if run.age_s is None else ago(run.age_s)
    pid = "" if run.pid is None else str(run.pid)
    return safe_line(run.run_id), safe_line(run.name) or "?", run.words, tasks, since, pid
