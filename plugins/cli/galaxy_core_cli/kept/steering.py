"""`galaxy pause`, `continue` and `stop`: runs of other processes that are told to wait, to go on, and to leave."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import aclosing, contextmanager, suppress
from typing import Any

import anyio
import click

from galaxy_core import ControlError, Journal, watch_run
from galaxy_core.errors import GalaxyError, UnknownRunError
from galaxy_core_cli import say
from galaxy_core_cli.exits import Exit
from galaxy_core_cli.hints import command
from galaxy_core_cli.kept.finding import found
from galaxy_core_cli.kept.journals import Here, journal_of
from galaxy_core_cli.kept.listing import looked_up
from galaxy_core_cli.kept.newest import meant
from galaxy_core_cli.kept.standing import NOT_BEGUN, UNDER_WAY, UNREADABLE, advice
from galaxy_core_cli.reaching import RefusedError, ask, author, print_json, status_now
from galaxy_core_cli.text import count, safe_line


def steer(what: str, wanted: str, as_json: bool) -> int:
    """Ask a run for it, and say what comes of it."""
    run, answer = _asked(what, wanted)
    if as_json:
        print_json(answer)
    else:
        click.echo(_told(what, run, answer))
    return Exit.OK


def _asked(what: str, wanted: str) -> tuple[str, Mapping[str, Any]]:
    run = _reachable(wanted)
    with reaching(run):
        answer = ask(run, {"do": what, "author": author(f"galaxy {what}")})
    return str(answer["run"]), answer


def _reachable(wanted: str) -> str:
    """By what a run under way is reached: what was wanted, or the id of the run that it may mean."""
    return meant(wanted, of_kept=True)


def not_under_way(run: str, error: UnknownRunError) -> Exception:
    """Of a run that is kept, how it stands says more than that it cannot be reached."""
    if error.several or error.silent:
        return error
    try:
        kept_in = journal_of(None)
        one = looked_up(kept_in, found(run, kept_in))
        owner = _owner(kept_in, one.run_id)
    except (GalaxyError, click.ClickException, OSError):
        return error
    run = one.run_id
    if one.status == UNDER_WAY and owner is not None:
        kill = f", or kill {one.pid}" if one.pid is not None else ""
        return ControlError(
            f"run {run!r} is under way in {one.holder}, and belongs to user {owner}: do it as that user{kill}"
        )
    if one.status == UNDER_WAY:
        kill = f". kill {one.pid} stops it, so that it can be resumed" if one.pid is not None else ""
        return ControlError(
            f"run {run!r} is under way in {one.holder}, and has no control socket: it cannot be reached{kill}"
        )
    hint = advice(one.status, run)
    if not hint and one.status not in {NOT_BEGUN, UNREADABLE}:
        hint = f"what is kept of it: {command('show', run)}"
    return ControlError(f"run {run!r} is not under way: {one.words}{'; ' if hint else ''}{hint}")


def _owner(journal: Journal, run: str) -> str | None:
    """Whose run it is, if that is another user than this one, and is known."""
    folder = getattr(journal, "folder_of", lambda _: None)(run)
    if folder is None or sys.platform == "win32":
        return None
    uid = os.stat(folder if folder.exists() else folder.parent).st_uid
    if uid == os.geteuid():
        return None
    import pwd

    try:
        return repr(pwd.getpwuid(uid).pw_name)
    except KeyError:
        return str(uid)


@contextmanager
def reaching(run: str) -> Iterator[None]:
    """Where a run that is kept cannot be reached, the error says how it stands."""
    try:
        yield
    except UnknownRunError as error:
        raise not_under_way(run, error) from None


def _told(what: str, run: str, answer: Mapping[str, Any]) -> str:
    number = answer.get("running", 0)
    still = f"; {count(number, 'task')} still run{'s' if number == 1 else ''}" if number else ""
    name = safe_line(run)
    if what == "pause":
        paused = "paused" if answer.get("changed", True) else "was paused already"
        return f"{paused}: {name}{still}; to go on: {command('continue', run)}"
    if what == "continue":
        return f"goes on: {name}" if answer.get("changed", True) else f"was not paused: {name}"
    return f"stopping: {name}{still}"


def stop_run(wanted: str, as_json: bool) -> int:
    """Ask a run to leave, and wait until it has."""
    run = _reachable(wanted)
    again = _again(run)
    run, answer = _asked("stop", run)
    if not as_json:
        say.note(_told("stop", run, answer))
    began = time.time()
    try:
        status = anyio.run(_left, run)
    except KeyboardInterrupt:
        say.note("no longer waiting; the run still stops")
        raise
    if status is None:  # it left before it could be watched: what it has kept says how
        with suppress(GalaxyError, click.ClickException):
            status = looked_up(journal_of(None), run).status
    if as_json:
        print_json({**answer, "status": status, "waited_s": time.time() - began})
    elif status == "stopped":
        click.echo(f"stopped: {safe_line(run)}; to go on: {again}")
    else:
        click.echo(f"over before it could be stopped: {safe_line(run)}: {safe_line(status or 'its process is gone')}")
    return Exit.OK


def _again(run: str) -> str:
    """The command that goes on with a run under way, once it has left."""
    return Here.found().again({**status_now(run), "run": run})


async def _left(run: str) -> str | None:
    """How the run ended, once it has; None when that cannot be known."""
    status: str | None = None
    try:
        async with aclosing(watch_run(run)) as documents:
            async for document in documents:
                if document.get("ok") is False:
                    raise RefusedError(document)
                event = document.get("event", {})
                if event.get("type") in {"run_result", "run_stopped"}:
                    status = str(event.get("status"))
    except ControlError:  # it has left meanwhile, and its socket with it
        return status
    return status
