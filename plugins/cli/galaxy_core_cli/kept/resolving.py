"""`galaxy resolve`: what became of a task of which nobody could tell."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

import anyio
import click

from galaxy_core import ExecutionResult, Journal, Reference, TaskStar, resolve_recorded
from galaxy_core.errors import GalaxyError, InputError, TransitionError, UnknownRecordedRunError, UnknownRunError
from galaxy_core_cli import say
from galaxy_core_cli.exits import Exit
from galaxy_core_cli.hints import to_resolve
from galaxy_core_cli.kept.finding import LAST, by_id, found
from galaxy_core_cli.kept.journals import journal_of
from galaxy_core_cli.kept.newest import meant, under_way
from galaxy_core_cli.kept.reading import Kept, advising, read
from galaxy_core_cli.kept.standing import status_of, to_go_on
from galaxy_core_cli.reaching import ask, author, print_json
from galaxy_core_cli.text import safe_line

#: What is known of a task that somebody has said to be completed.
_TOLD_BY_HAND = frozenset({"status", "exit_code"})
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
                left = read(kept_in, run, whole=answer["status"] == "completed")
        except TransitionError as refused:
            say.error(str(refused))
            return Exit.NOT_ALL
    # What was opened by this and skipped again by it stands as it did.
    again, opened = set(answer["skipped"]), set(answer["follows"])
    still = [one for one in answer["skipped"] if one in opened]
    answer = {**answer, "follows": [one for one in answer["follows"] if one not in again]}
    answer["fails"] = _bound_to_fail(answer, left if left is not None or kept_in is None else _now(kept_in, run))
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
        if wanted == LAST and journal is None:
            return kept_in, by_id(meant(wanted), kept_in), None
        ids = kept_in.runs()
        if wanted not in {LAST, *ids} and (live := under_way(wanted)) is not None:
            return kept_in if live in ids else None, live, None
        return kept_in, found(wanted, kept_in), None
    except UnknownRecordedRunError as error:  # it may be the path of a socket
        if error.several:
            raise
        return None, meant(wanted), error


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
    if fails := answer["fails"]:
        yield _why_they_fail(task, list(map(safe_line, fails)))
    if left is None:
        yield "the run goes on with that"
        return
    if waits := to_resolve(left.constellation, left.journal.name):
        yield waits
    if how := to_go_on(left, status_of(left, False)):
        yield how.replace("with it", "with the run", 1)
    elif not waits:
        yield "nothing is left to be done in this run"


def _bound_to_fail(answer: Mapping[str, Any], kept: Kept | None) -> list[str]:
    """Those of the tasks that are open again which read something of the resolved one that nobody has."""
    source = None if kept is None else kept.constellation.get_task(answer["task"])
    if kept is None or source is None or answer["status"] != "completed":
        return []
    readers = [one for one in map(kept.constellation.get_task, answer["follows"]) if one is not None]
    return [one.task_id for one in readers if any(_is_lost(each, source) for each in _read_of(one, source.task_id))]


def _read_of(reader: TaskStar, task_id: str) -> Iterator[Reference]:
    return (one for one in getattr(reader.request, "references", ()) if one.task_id == task_id)


def _is_lost(reference: Reference, source: TaskStar) -> bool:
    """Whether nobody has what this refers to, of a task that has been resolved as completed, which may not be kept yet."""
    if reference.value in _TOLD_BY_HAND:
        return False
    if source.status.value != "completed" and not reference.value.startswith("file."):
        return True
    try:
        reference.read(source.result if isinstance(source.result, ExecutionResult) else None)
    except InputError:
        return True
    return False


def _now(kept_in: Journal, run: str) -> Kept | None:
    """A run under way, as far as it is kept by now."""
    with suppress(GalaxyError, OSError):
        return read(kept_in, run, whole=True)
    return None


def _why_they_fail(task: str, fails: Sequence[str]) -> str:
    more = f" and {len(fails) - NAMED:,} more" if len(fails) > NAMED else ""
    read, they = ("reads", "it") if len(fails) == 1 else ("read", "they")
    return (
        f"{', '.join(fails[:NAMED])}{more} {read} what {task} left, which nobody has: {they} will fail. "
        f"--as retry would have run {task} again"
    )


async def _offline(journal: Journal, run: str, task: str, outcome: str) -> dict[str, Any]:
    made = await resolve_recorded(journal, run, task, outcome, by=author("galaxy resolve"))
    return {
        "task": made.task.task_id,
        "status": made.task.status.value,
        "follows": [one.task_id for one in made.opened],
        "ready": [one.task_id for one in made.ready],
        "skipped": [one.task_id for one in made.skipped],
    }
