"""`galaxy prune`: runs that are kept no longer."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence

import click
from attrs import frozen

from galaxy_core_cli import say
from galaxy_core_cli.exits import Exit
from galaxy_core_cli.kept.ages import ago, seconds, size
from galaxy_core_cli.kept.journals import journal_of
from galaxy_core_cli.kept.listing import Listed, listed
from galaxy_core_cli.kept.standing import UNDER_WAY, UNREADABLE
from galaxy_core_cli.reaching import print_json
from galaxy_core_cli.streams import is_terminal
from galaxy_core_cli.text import count, fitted, room, safe_line, table

HEADING = ("RUN", "PLAN", "STATUS", "LAST", "SIZE")


@frozen
class Wanted:
    """What may go: `older_than` is an age as a person writes it."""

    older_than: str | None
    keep: int | None
    unfinished: bool = False

    def of(self, runs: Sequence[Listed], now: float) -> Iterator[Listed]:
        """Those of `runs`, the newest first, that go."""
        age_s = None if self.older_than is None else seconds(self.older_than)
        for place, run in enumerate(runs):
            is_old = age_s is None or (run.last is not None and now - run.last >= age_s)
            is_beyond = self.keep is None or place >= self.keep
            is_over = not run.is_unfinished and run.status != UNREADABLE
            may_go = run.status != UNDER_WAY and not run.holder and (self.unfinished or is_over)
            if is_old and is_beyond and may_go:
                yield run


def prune_runs(wanted: Wanted, journal: str | None, *, dry_run: bool, yes: bool, as_json: bool) -> int:
    """Remove runs, once somebody has said so."""
    kept_in = journal_of(journal)
    remove = getattr(kept_in, "remove", None)
    if remove is None:
        raise say.WrongValueError(f"the journal {kept_in.name!r} removes no runs")
    runs = listed(kept_in)
    going = list(wanted.of(runs, time.time()))
    if not as_json:
        _show(going, len(runs), f"would remove {count(len(going), 'run')}:" if dry_run else "")
    if going and not dry_run and not yes and not _agreed(going, as_json):
        return Exit.REFUSED if not _can_ask(as_json) else Exit.OK
    problems: list[str] = []
    removed: list[str] = []
    if not dry_run:
        for run in going:
            try:
                remove(run.run_id)
            except Exception as error:  # one that cannot go, as because it has been resumed, keeps no other
                problems.append(str(error) if run.run_id in str(error) else f"{run.run_id}: {error}")
            else:
                removed.append(run.run_id)
    if as_json:
        of = {run.run_id: run.size_bytes for run in going}
        print_json(
            {
                "would_remove": list(of),
                "removed": removed,
                "bytes": sum(one or 0 for one in of.values()),
                "kept": len(runs) - len(removed),
            }
        )
    elif removed:
        say.note(f"{count(len(removed), 'run')} removed")
    if problems:
        say.errors("not all could be removed:", problems)
        return Exit.NOT_ALL
    return Exit.OK


def _show(going: Sequence[Listed], total: int, what: str) -> None:
    if not going:
        say.note(f"nothing to remove: {count(total, 'run')} kept")
        return
    now = time.time()
    rows = [
        (
            safe_line(run.run_id),
            safe_line(run.name),
            run.words,
            "" if run.last is None else f"{ago(now - run.last)} ago",
            "" if run.size_bytes is None else size(run.size_bytes),
        )
        for run in going
    ]
    if what:
        say.note(what)
    for line in table(fitted(rows, HEADING, room(), (1, 6)), HEADING):
        click.echo(line)


def _can_ask(as_json: bool) -> bool:
    return not as_json and is_terminal(sys.stdin) and is_terminal(sys.stderr)


def _agreed(going: Sequence[Listed], as_json: bool) -> bool:
    if not _can_ask(as_json):
        say.note("nothing was removed: --yes does it, and --dry-run only says what")
        return False
    total = sum(run.size_bytes or 0 for run in going)
    try:
        agreed = click.confirm(f"Remove {count(len(going), 'run')} ({size(total)})?", err=True)
    except click.Abort:
        say.note("\nnothing was removed")
        raise
    if not agreed:
        say.note("nothing was removed")
    return agreed
