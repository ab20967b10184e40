"""`galaxy resolve`: what became of a task of which nobody could tell."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import anyio
import click

from galaxy_core import Journal, resolve_recorded
from galaxy_core.errors import TransitionError, UnknownRecordedRunError, UnknownRunError
from galaxy_core_cli import say
from galaxy_core_cli.exits import Exit
from galaxy_core_cli.hints import command, to_resolve
from galaxy_core_cli.kept.finding import LAST, by_id, found
from galaxy_core_cli.kept.journals import journal_of
from galaxy_core_cli.kept.newest import meant
from galaxy_core_cli.kept.reading import Kept, advising, read
from galaxy_core_cli.kept.standing import OPEN, status_of
from galaxy_core_cli.reaching import ask, author, print_json
from galaxy_core_cli.text import safe_line

#: Tasks that are named.
NAMED = 10


def resolve_task(wanted: str, task: str, outcome: str, journal: str | None, as_json: bool) -> int:
    """Resolve a task, of a run under way through its control socket, of any other in its journal."""
    kept_in, run, missing = _meant(wanted, journal)
    try:
        answer: Mapping[str, Any] = ask(
            run, {"do": "resolve", "task": task, "as": outcome, "author": author("galaxy resolve")}
        )
        left = None
    except UnknownRunError as error:
        if kept_in is None:
            raise missing or error from None
        try:
            with advising(kept_in, run):
                answer = anyio.run(_offline, kept_in, run, task, outcome)
                left = read(kept_in, run)
        except TransitionError as refused:
            say.error(str(refused))
            return Exit.NOT_ALL
    # What was opened by this and skipped again by it stands as it did.
    again, opened = set(answer["skipped"]), set(answer["follows"])
    still = [one for one in answer["skipped"] if one in opened]
    answer = {**answer, "follows": [one for one in answer["follows"] if one not in again]}
    if as_json:
        print_json({"run": run, **answer})
        return Exit.OK
    for line in _told(answer, still, left):
        click.echo(line)
    return Exit.OK


def _meant(wanted: str, journal: str | None) -> tuple[Journal | None, str, Exception | None]:
    """The journal, if there is one, the run that is meant, and why that is not among those which are kept."""
    try:
        kept_in = journal_of(journal)
    except click.ClickException as error:
        if journal is not None:
            raise
        return None, wanted, error
    try:
        return kept_in, by_id(meant(wanted) if wanted == LAST and journal is None else wanted, kept_in), None
    except UnknownRecordedRunError as error:
        if error.several:
            raise
        if (live := meant(wanted)) != wanted:
            return None, live, error
        try:
            return kept_in, found(wanted, kept_in), None
        except UnknownRecordedRunError as unknown:  # it may be the path of a socket
            return None, wanted, unknown


def _told(answer: Mapping[str, Any], still: Sequence[str], left: Kept | None) -> Iterator[str]:
    """What is so now, and what follows from it; `still` are tasks that are skipped as before, and `left` is the run as it is
    kept, if nobody runs it.
    """
    task = safe_line(answer["task"])
    yield f"{task} is {'to be run again' if answer['status'] == 'pending' else answer['status']}"
    known = set(still)
    skipped = [one for one in answer["skipped"] if one not in known]
    for names, what in ((answer["follows"], "open again"), (skipped, "skipped"), (still, "still skipped")):
        if names:
            more = f" and {len(names) - NAMED:,} more" if len(names) > NAMED else ""
            yield f"{what}: {', '.join(map(safe_line, names[:NAMED]))}{more}"
    if left is None:
        yield "the run goes on with that"
        return
    if waits := to_resolve(left.constellation, left.journal.name):
        yield waits
    if status_of(left, False) in OPEN:
        yield f"to go on with the run: {command('resume', left.run_id, journal=left.journal.name)}"
    elif not waits:
        yield "nothing is left to be done in this run"


async def _offline(journal: Journal, run: str, task: str, outcome: str) -> dict[str, Any]:
    made = await resolve_recorded(journal, run, task, outcome, by=author("galaxy resolve"))
    return {
        "task": made.task.task_id,
        "status": made.task.status.value,
        "follows": [one.task_id for one in made.opened],
        "ready": [one.task_id for one in made.ready],
        "skipped": [one.task_id for one in made.skipped],
    }
