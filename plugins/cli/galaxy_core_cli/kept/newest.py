"""Which run under way is meant, where several journals may be in use."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import anyio
import click

from galaxy_core import ControlError, reachable_runs
from galaxy_core.errors import GalaxyError, UnknownRecordedRunError
from galaxy_core_cli import say
from galaxy_core_cli.kept.finding import LAST, by_id, is_part
from galaxy_core_cli.kept.journals import Here, Status, other_journal
from galaxy_core_cli.kept.listing import looked_up, of_plan
from galaxy_core_cli.kept.standing import UNDER_WAY
from galaxy_core_cli.text import safe_line


def meant(run: str, *, of_kept: bool = False) -> str:
    """The id of the run that is meant: by an id, or else by `last`, the newest that is kept here or nowhere, or else by the name
    of a plan, one under way or the newest that is kept here, or else by a part of an id; `of_kept`, of one that is kept first.

    Where that cannot be said it is `run` itself. A run that another journal keeps is meant by its id, or where no other fits.

    Raises:
        ControlError: the only one that `last` may mean is kept in another journal.
    """
    if not run or os.sep in run:
        return run
    here = Here.found()
    if run == LAST:
        return _last(_reached(), here)
    ids = _kept_ids(here)
    if run in ids:
        return run
    reached = _reached()
    if any(one["run"] == run for one in reached):
        return run
    if named := [one for one in reached if one.get("name") == run]:
        return _chosen(run, named, here)
    if (kept := _of_plan(here, run)) is not None:
        return kept
    if of_kept and len(parts := [one for one in ids if is_part(run, one)]) == 1:
        return parts[0]
    return _chosen(run, [one for one in reached if is_part(run, str(one["run"]))], here)


def under_way(plan: str) -> str | None:
    """The id of the run under way that the name of its plan means; None when there is none, or that cannot be said."""
    named = [one for one in _reached() if one.get("name") == plan]
    found = _chosen("", named, Here.found())
    return found or None


def _reached() -> list[dict[str, Any]]:
    try:
        return anyio.run(reachable_runs)
    except ControlError:  # there can be none on this system, or its folder is not safe
        return []


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


def _chosen(run: str, fits: Sequence[Status], here: Here) -> str:
    """The only one, or the only one that is kept here or nowhere; `run` itself where there is none."""
    own = [one for one in fits if here.keeps(one)]
    if len(own) == 1 or len(fits) == 1:
        [found] = own if len(own) == 1 else fits
        if not own and found["run"] != run:
            say.note(f"run {safe_line(found['run'])} is {other_journal(found)}")
        return str(found["run"])
    return run


def _kept_ids(here: Here) -> Sequence[str]:
    with suppress(GalaxyError, OSError):
        return [] if here.journal is None else here.journal.runs()
    return []


def _of_plan(here: Here, name: str) -> str | None:
    """The id of a run of that plan which is kept here: one that somebody is at, or else the newest."""
    with suppress(GalaxyError, OSError):
        runs = [] if here.journal is None else of_plan(here.journal, name)
        return next((one.run_id for one in runs if one.status == UNDER_WAY), runs[0].run_id if runs else None)
    return None


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
