"""Which run under way is meant, where several journals may be in use."""

from __future__ import annotations

import os
from collections.abc import Sequence

import anyio
import click

from galaxy_core import ControlError, reachable_runs
from galaxy_core.errors import GalaxyError, UnknownRecordedRunError
from galaxy_core_cli import say
from galaxy_core_cli.kept.finding import LAST, by_id
from galaxy_core_cli.kept.journals import Here, Status, other_journal
from galaxy_core_cli.kept.listing import looked_up
from galaxy_core_cli.text import safe_line


def meant(run: str) -> str:
    """The id of the run that is meant: by `last`, the newest that is kept here or nowhere; by a name, one under way.

    Where that cannot be said it is `run` itself. A run that another journal keeps is meant by its id, or where no other fits.

    Raises:
        ControlError: the only one that `last` may mean is kept in another journal.
    """
    if not run or os.sep in run:
        return run
    here = Here.found()
    if run != LAST and _newest_kept(here, run) == run:
        return run
    try:
        reached = anyio.run(reachable_runs)
    except ControlError:  # there can be none on this system, or its folder is not safe
        reached = []
    return _last(reached, here) if run == LAST else _named(run, reached, here)


def _last(reached: Sequence[Status], here: Here) -> str:
    newest = sorted((one for one in reached if one.get("started")), key=lambda one: float(one["started"]), reverse=True)
    own = next((one for one in newest if here.keeps(one)), None)
    kept = _newest_kept(here, LAST)
    since = 0.0 if kept is None or here.journal is None else looked_up(here.journal, kept).started or 0.0
    chosen = str(own["run"]) if own is not None and float(own["started"]) >= since else kept
    since = max(since, 0.0 if own is None else float(own["started"]))
    other = next((one for one in newest if not here.keeps(one) and float(one["started"]) > since), None)
    if other is None:
        return LAST if chosen is None else chosen  # it may be the name of a plan
    what = f"run {safe_line(other['run'])} of plan {str(other['name'])!r} is under way, and {other_journal(other)}"
    if chosen is None:
        raise ControlError(
            f"no run is kept in {here.place}, nor is one under way that none keeps. But {what}: name it by its id"
        )
    say.note(f"last is {safe_line(chosen)}. A newer {what}")
    return chosen


def _named(run: str, reached: Sequence[Status], here: Here) -> str:
    fits = _fitting(run, reached)
    own = [one for one in fits if here.keeps(one)]
    if len(own) == 1 or len(fits) == 1:
        [found] = own if len(own) == 1 else fits
        if not own and found["run"] != run:
            say.note(f"run {safe_line(found['run'])} is {other_journal(found)}")
        return str(found["run"])
    return run


def _fitting(run: str, reached: Sequence[Status]) -> list[Status]:
    """As `ask_run` finds them: the id, or else the name of a plan and parts of ids."""
    exact = [one for one in reached if one["run"] == run]
    named = [one for one in reached if one.get("name") == run]
    if exact or named:
        return exact or [one for one in reached if one in named or run in str(one["run"])]
    beginning = [one for one in reached if str(one["run"]).startswith(run)]
    return beginning or [one for one in reached if run in str(one["run"])]


def _newest_kept(here: Here, wanted: str) -> str | None:
    """The id of the run of the journal here that is meant; None when there is none, or it cannot be read."""
    if here.journal is None:
        return None
    try:
        return by_id(wanted, here.journal)
    except (UnknownRecordedRunError, click.ClickException):
        return None
    except GalaxyError:
        if wanted == LAST:
            raise
        return None
