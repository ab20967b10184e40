"""Runs of other processes: what they answer, and how that is shown."""

from __future__ import annotations

import getpass
import json
import sys
import time
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from contextlib import aclosing, suppress
from functools import partial
from typing import Any

import anyio
import click

from galaxy_core import ControlError, ask_run, reachable_runs, watch_run
from galaxy_core.errors import UnknownRunError
from galaxy_core_cli import say
from galaxy_core_cli.exits import Exit
from galaxy_core_cli.reasons import no_task
from galaxy_core_cli.running.following import Follower
from galaxy_core_cli.running.jsonl import encoded
from galaxy_core_cli.streams import Lines
from galaxy_core_cli.text import duration, fitted, room, safe_line, table

#: Seconds that a run may take to answer before it is asked whether it is alive at all, and that it has for that.
PATIENCE_S, ALIVE_S = 10.0, 2.0
#: Seconds between two looks whether a process has gone.
LOOK_S = 0.05
#: Seconds after which an edit is given up, however long plugins review it.
EDIT_S = 600.0
_NONE = "no run can be reached: none is under way that this user has started with a control socket"


def print_json(document: object) -> None:
    click.echo(json.dumps(document, indent=2))


def author(otherwise: str) -> str:
    """Who gives this command; `otherwise` is for a user without a name, as in some containers."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return otherwise


class RefusedError(Exception):
    """A run does not do what it is asked; `answer` says why, in its words."""

    def __init__(self, answer: Mapping[str, Any]) -> None:
        self.answer = answer
        super().__init__(str(answer.get("error")))

    @property
    def code(self) -> Exit:
        """Whether the input, the moment or Galaxy itself is to blame."""
        kind = self.answer.get("code")
        if kind in {"refused", "conflict", "not running", "too late"}:
            return Exit.NOT_ALL
        return Exit.BROKEN if kind == "broken" else Exit.REFUSED


def request(run: str, document: Mapping[str, Any]) -> dict[str, Any]:
    """The answer of a run. An edit that is given up meanwhile is not done later.

    Raises:
        RefusedError: it refuses.
        ControlError: it cannot be reached, or does not answer.
    """
    is_edit = document["do"] in {"edit", "undo"}
    if is_edit:
        document = {**document, "until": time.time() + EDIT_S}
    try:
        answer = anyio.run(_answer, run, document)
    except BaseException as error:  # Ctrl-C, which leaves as it came
        if is_edit and not isinstance(error, Exception):
            say.note("given up: what the run has not done by now, it will not do")
        raise
    if not answer.get("ok"):
        raise RefusedError(answer)
    return answer


async def _answer(run: str, document: Mapping[str, Any]) -> dict[str, Any]:
    """What a run answers, however long it takes, as long as it answers other questions."""
    answer: dict[str, Any] | None = None
    failure: ControlError | None = None
    is_edit = document["do"] in {"edit", "undo"}
    async with anyio.create_task_group() as group:

        async def look() -> None:
            is_told = False
            while True:
                await anyio.sleep(PATIENCE_S)
                if not is_edit or not await _is_alive(run):
                    break
                if not is_told:
                    say.note("waiting: the run has the edit, and plugins may be reviewing it; Ctrl-C gives it up")
                is_told = True
            group.cancel_scope.cancel()

        group.start_soon(look)
        group.cancel_scope.deadline = anyio.current_time() + EDIT_S
        try:
            answer = await ask_run(run, document)
        except ControlError as error:  # raised again below, outside of the group, which would wrap it
            failure = error
        group.cancel_scope.cancel()
    if failure is not None:
        raise failure
    if answer is None:
        raise _silent(run, "; what it has not done by now, it will not do" if is_edit else "")
    return answer


def status_now(run: str) -> Mapping[str, Any]:
    """How a run under way stands; empty when it does not say soon, or cannot be reached."""

    async def status() -> Mapping[str, Any]:
        with anyio.move_on_after(ALIVE_S), suppress(ControlError):
            return await ask_run(run, {"do": "status"})
        return {}

    return anyio.run(status)


async def _is_alive(run: str) -> bool:
    with anyio.move_on_after(ALIVE_S), suppress(ControlError):
        await ask_run(run, {"do": "status"})
        return True
    return False


async def _is_gone(run: str) -> bool:
    """Whether its process has ended; what a process held is closed one after the other, so it may take a moment."""
    with anyio.move_on_after(ALIVE_S):
        while True:
            try:
                await ask_run(run, {"do": "status"})
            except UnknownRunError:
                return True
            except ControlError:
                await anyio.sleep(LOOK_S)
            else:
                return False
    return False


def _silent(run: str, more: str = "") -> ControlError:
    return ControlError(f"the run {run!r} does not answer: its process may be stopped, or busy{more}")


def ask(run: str, document: Mapping[str, Any]) -> dict[str, Any]:
    """The answer of a run; one that refuses ends the command."""
    try:
        return request(run, document)
    except RefusedError as refused:
        say.error(_why(refused, document))
        raise click.exceptions.Exit(refused.code) from None


def _why(refused: RefusedError, document: Mapping[str, Any]) -> str:
    """Why a run refuses; of a task that it does not have, as of one that a kept run does not have."""
    if refused.answer.get("code") != "unknown task" or "task" not in document:
        return str(refused)
    near, known = (
        [str(name) for one in refused.answer.get("problems") or [] for name in one.get(what, ())]
        for what in ("near", "known")
    )
    return no_task(document["task"], near, known)


HEADING = ("RUN", "PLAN", "STATUS", "TASKS", "SINCE", "PID")


#: Characters of the name of a plan that are shown where there is no room for more.
_NAME = 6


def show_reached(
    found: Sequence[Mapping[str, Any]],
    more: Sequence[Sequence[str]] = (),
    known: Mapping[str, Sequence[str]] | None = None,
) -> None:
    """Show runs that can be reached, and rows of others; `known` are rows of runs by id, for those that do not answer."""
    rows: Sequence[Sequence[str]] = [*(reached_row(one, (known or {}).get(str(one["run"]))) for one in found), *more]
    width = room()
    rows = fitted(rows, HEADING, width, (1, _NAME))
    lines = list(table(rows, HEADING))
    if width is not None and max(map(len, lines)) > width:
        lines = list(table([[*row[:3], row[3].removesuffix(" done"), *row[4:]] for row in rows], HEADING))
    for line in lines:
        click.echo(line)
    for one in found:
        if not one["ok"]:
            say.note(f"{safe_line(one['run'])}: {safe_line(one.get('error', ''))}")


def reached_row(one: Mapping[str, Any], known: Sequence[str] | None = None) -> tuple[str, ...]:
    """A run in columns as `HEADING` names them; `known` is the row of one that is kept."""
    if not one["ok"]:
        _, plan, _, *more = known or ("", "?", "", "", "", "")
        return safe_line(one["run"]), plan, "no answer", *more
    since = "" if one["started"] is None else duration(time.time() - one["started"])
    tasks = f"{one['counts'].get('completed', 0):,} of {one['total_tasks']:,} done"
    return safe_line(one["run"]), safe_line(one["name"]), safe_line(one["status"]), tasks, since, str(one["pid"])


def follow_any(output: bool, as_json: bool) -> int:
    """Follow the only run that there is; of several, or none, say so."""
    found = anyio.run(reachable_runs)
    if len(found) == 1:
        from galaxy_core_cli.kept.journals import Here, other_journal

        if not Here.found().keeps(found[0]):
            say.note(f"run {safe_line(found[0]['run'])} is {other_journal(found[0])}")
        return follow(str(found[0]["run"]), output, as_json)
    if found and not as_json:
        show_reached(found)
    several = "several runs can be reached: name one, galaxy watch RUN; the last characters of its id are enough"
    say.error(several if found else _NONE)
    return Exit.REFUSED


def follow(run: str, output: bool, as_json: bool) -> int:
    """Show what happens in a run until it is over."""
    lines, status = Lines(sys.stdout), status_now(run)  # afterwards nobody says where it is kept
    try:
        result = anyio.run(partial(_follow, run, output, as_json, lines))
    except RefusedError as refused:
        if as_json:
            lines.write(
                [encoded({"type": "error", "time": time.time(), "error": str(refused), "error_type": "ControlError"})]
            )
        say.error(str(refused))
        return refused.code
    except UnknownRunError as error:
        from galaxy_core_cli.kept.steering import not_under_way

        raise not_under_way(run, error) from None
    except ControlError as error:
        if status.get("journal") and anyio.run(_is_gone, str(status["run"])):
            from galaxy_core_cli.kept.journals import Here

            error.add_note(f"to go on with it: {Here.found().again(status)}")
        raise
    except KeyboardInterrupt:
        say.note("no longer watching; the run goes on")
        raise
    if lines.is_broken:
        return Exit.NOBODY_READS
    if result is None:
        raise ControlError(f"the run {run!r} ended without a result")
    if result["status"] == "stopped":
        from galaxy_core_cli.kept.journals import Here

        say.note(f"to go on: {Here.found().again({**status, 'run': result['run']})}")
        return Exit.STOPPED
    return Exit.OK if result["status"] == "completed" else Exit.NOT_ALL


async def _follow(run: str, output: bool, as_json: bool, lines: Lines) -> Mapping[str, Any] | None:
    """The last event; None when the run was not started after all."""
    result: Mapping[str, Any] | None = None
    follower: Follower | None = None
    async with aclosing(watch_run(run, output=output)) as documents:
        document = await _first(run, documents)
        while document is not None:
            if document.get("ok") is False:
                raise RefusedError(document)
            if as_json:
                told: Iterator[str] = iter([encoded(_as_event(document))] if "over" not in document else [])
            elif follower is None:
                follower = Follower(document)
                told = follower.beginning()
            else:
                told = follower.lines(document.get("event", {}))
            lines.write(list(told))  # may wait for whoever reads: there is nothing else to do here
            if document.get("event", {}).get("type") == "run_result":
                result = document["event"]
            document = None if lines.is_broken else await anext(documents, None)
    return result


async def _first(run: str, documents: AsyncGenerator[dict[str, Any], None]) -> dict[str, Any] | None:
    """How the run stands. Only that has to come soon: afterwards there may be nothing to tell for hours."""
    with anyio.move_on_after(PATIENCE_S):
        return await anext(documents, None)
    raise _silent(run)


def _as_event(document: Mapping[str, Any]) -> Mapping[str, Any]:
    """An event as it is; how the run stands as one."""
    if "event" in document:
        found: Mapping[str, Any] = document["event"]
        return found
    return {"type": "run_status", "time": time.time(), **{key: document[key] for key in document if key != "ok"}}
