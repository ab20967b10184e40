"""The other end of control sockets: ask, edit and watch runs of other processes."""

from __future__ import annotations

import json
import os
import socket
import stat
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread

from galaxy_core.errors import ControlError, UnknownRunError
from galaxy_core.runtime.control.lines import LineSocket, LineTooLongError
from galaxy_core.runtime.control.place import (
    SUFFIX,
    check_available,
    check_folder,
    clear_away,
    find_socket,
    peer_uid,
    socket_name,
    sockets,
)
from galaxy_core.runtime.control.watching import encoded

#: Bytes of an answer, or of an event: a task's output is in it, and the changes of a large edit.
LONGEST_ANSWER = 1 << 28
#: Seconds in which a run has to say how it stands before it is listed as one that does not answer.
PATIENCE_S = 2.0


async def ask_run(run: str, request: Mapping[str, Any]) -> dict[str, Any]:
    """Send one request to a run in another process of this user; its answer, whether `ok` or not.

    `run` is the constellation's id, or else the plan's name if only one run has it, or else the beginning or the end of an
    id, of 4 characters or more, that no other has; or the path of a socket. Requests and answers are those of
    docs/reference/control-socket.md.

    Raises:
        UnknownRunError: there is none that can be reached, or there are several.
        ControlError: it cannot be reached safely, or has gone without an answer.
    """
    async with _connected(await _place_of(run), run) as lines:
        return await _asked(lines, request)


async def watch_run(run: str, *, output: bool = False) -> AsyncGenerator[dict[str, Any], None]:
    """Follow a run: first how it stands, then each event as `{"event": …}`, and at its end `{"over": true}`.

    With `output`, what tasks print is told, too, by tasks that start from now on. Otherwise as `ask_run`.
    """
    async with _connected(await _place_of(run), run) as lines:
        first = await _asked(lines, {"do": "watch", "output": output})
        yield first
        while first["ok"]:
            document = await _answer(lines)
            yield document
            if "event" not in document:
                return


async def reachable_runs() -> list[dict[str, Any]]:
    """How each run stands that this user can reach, as answers to `status`, by id.

    Of one that does not answer it is `{"ok": False, "run": …, "error": …}`, with `"is_silent": True` when that may be
    because its process is stopped, or busy. What dead processes have left is removed.

    Raises:
        ControlError: there can be none, because the folder is not safe, or the system has no such sockets.
    """
    found: list[dict[str, Any]] = []

    async def ask(path: Path) -> None:
        name = path.name.removesuffix(SUFFIX)
        why = f"it has not answered within {PATIENCE_S:g} s: its process may be stopped, or busy"
        answer: dict[str, Any] = {"ok": False, "error": why, "is_silent": True}
        try:
            with anyio.move_on_after(PATIENCE_S):
                async with _connected(path, name) as lines:
                    answer = await _asked(lines, {"do": "status"})
        except UnknownRunError:
            return
        except ControlError as error:
            answer = {"ok": False, "error": str(error)}
        found.append({"run": name, **answer})

    async with anyio.create_task_group() as group:
        for path in sockets():
            group.start_soon(ask, path)
    return sorted(found, key=lambda answer: str(answer["run"]))


async def _place_of(run: str) -> Path:
    check_available()
    if os.sep in run:
        return Path(run)
    paths = {path.name.removesuffix(SUFFIX): path for path in sockets()}
    if (exact := socket_name(run).removesuffix(SUFFIX)) in paths:
        return paths[exact]
    plans, silent = {}, []
    for answer in await reachable_runs():
        name = socket_name(answer["run"]).removesuffix(SUFFIX)
        plans[name] = str(answer.get("name", ""))
        if answer.get("is_silent") or answer.get("code") == "busy":
            silent.append(name)
    named = sorted(name for name, plan in plans.items() if run and plan == run)
    if not named:
        return find_socket(run, plans=plans, silent=silent)
    if len(named) > 1:
        raise UnknownRunError(run, plans, named, plans)
    return paths.get(named[0]) or find_socket(named[0])


@asynccontextmanager
async def _connected(path: Path, run: str) -> AsyncIterator[LineSocket]:
    try:
        check_folder(path.parent)
        found = os.lstat(path)
    except FileNotFoundError:
        raise UnknownRunError(run) from None
    if not stat.S_ISSOCK(found.st_mode):
        raise ControlError(f"{str(path)!r} is no socket")
    if found.st_uid != os.geteuid():
        raise ControlError(f"the run {run!r} belongs to user {found.st_uid}, and you are user {os.geteuid()}")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        try:
            # In a thread, because it blocks while many wait to be taken; one that is left behind harms nobody.
            await anyio.to_thread.run_sync(connection.connect, os.fspath(path), abandon_on_cancel=True)
        except ConnectionRefusedError:
            await anyio.to_thread.run_sync(clear_away, path)
            raise UnknownRunError(run, is_gone=True) from None
        except FileNotFoundError:  # it has ended just now
            raise UnknownRunError(run, is_gone=True) from None
        except OSError as error:
            raise ControlError(f"the run {run!r} cannot be reached: {error.strerror or error}") from error
        uid = peer_uid(connection)
        if uid is not None and uid != os.geteuid():
            raise ControlError(f"user {uid} answers at {str(path)!r}, and you are user {os.geteuid()}")
        yield LineSocket(connection)


async def _asked(lines: LineSocket, request: Mapping[str, Any]) -> dict[str, Any]:
    with suppress(OSError):  # it may have said why before it left
        await lines.send(encoded(request))
    return await _answer(lines)


async def _answer(lines: LineSocket) -> dict[str, Any]:
    try:
        line = await lines.line(LONGEST_ANSWER)
        document = None if line is None else json.loads(line)
    except OSError:
        document = None
    except (LineTooLongError, ValueError) as error:
        raise ControlError(f"what the run's process says is not understood: {error}") from error
    if document is None:
        raise ControlError("the run's process has gone, or has closed the connection, without an answer")
    if not isinstance(document, dict) or not document.keys() & {"ok", "event", "over"}:
        raise ControlError(f"what the run's process says is not understood: {document!r:.80}")
    return document
