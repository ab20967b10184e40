"""Control sockets: a run that other processes of the same user can ask, watch and edit while it lasts.

The protocol is JSON, one request or answer a line; docs/reference/control-socket.md describes it. Nobody who connects is
trusted to speak it, to read what is sent, or to leave: lines, connections, waiting and queues are bounded, and nothing of
it keeps the run waiting.
"""

from __future__ import annotations

import logging
import math
import os
import socket
import time
from collections import OrderedDict, deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from types import UnionType
from typing import TYPE_CHECKING, Any

import anyio
import anyio.to_thread
from attrs import evolve

from galaxy_core.errors import DocumentError, EditConflictError, EditError, UnknownTaskError
from galaxy_core.model.constellation import TaskConstellation
from galaxy_core.model.edits import Transaction
from galaxy_core.model.events import EventType
from galaxy_core.model.result import new_id
from galaxy_core.runtime.control.connection import Connection, ControlLimits, RefusedError
from galaxy_core.runtime.control.lines import accept
from galaxy_core.runtime.control.place import control_folder, listen, peer_uid, socket_name
from galaxy_core.runtime.control.steering import resolved, status_of, steered
from galaxy_core.runtime.control.watching import Watcher
from galaxy_core.runtime.desk import UNWANTED
from galaxy_core.runtime.drafts import Committed
from galaxy_core.runtime.explain import explain

if TYPE_CHECKING:
    from galaxy_core.runtime.flow import Flow
    from galaxy_core.runtime.orchestrator import TaskConstellationOrchestrator
    from galaxy_core.runtime.synchronizer import ConstellationModificationSynchronizer

logger = logging.getLogger("galaxy_core.control")

#: Edits that can be taken back through the socket.
REMEMBERED = 100
#: Seconds after which connections are taken again when the system refused one.
ACCEPT_AGAIN_S = 1.0


class _Control:
    """The server side of one run's socket."""

    def __init__(
        self,
        orchestrator: TaskConstellationOrchestrator,
        synchronizer: ConstellationModificationSynchronizer,
        constellation: TaskConstellation,
        limits: ControlLimits,
    ) -> None:
        self.orchestrator, self.synchronizer = orchestrator, synchronizer
        self._constellation, self.limits = constellation, limits
        self._open = 0
        self._busy = 0
        self._idle = anyio.Event()
        self._watchers: set[Watcher] = set()
        self._committed: OrderedDict[str, Committed] = OrderedDict()
        self._undone: deque[str] = deque(maxlen=REMEMBERED)
        self._do: dict[
            str, tuple[frozenset[str], Callable[[dict[str, Any], Connection], Awaitable[dict[str, Any]]]]
        ] = {
            "status": (frozenset(), self._status),
            "why": (frozenset({"task"}), self._why),
            "preview": (frozenset({"transaction", "mermaid"}), self._preview),
            "edit": (frozenset({"transaction", "revision", "author", "until"}), self._edit),
            "undo": (frozenset({"edit", "until"}), self._undo),
            "pause": (frozenset({"author"}), self._steer),
            "continue": (frozenset({"author"}), self._steer),
            "stop": (frozenset({"author"}), self._steer),
            "resolve": (frozenset({"task", "as", "author"}), self._steer),
        }

    @property
    def constellation(self) -> TaskConstellation:
        """The plan: of a run that goes on, what stands for it until it was made again from its journal."""
        run = self.orchestrator.run_of(self._constellation.constellation_id)
        if run is not None:
            self._constellation = run.constellation
        return self._constellation

    # ------------------------------------------------------------------------------------------- connections
    async def serve(self, listener: socket.socket) -> None:
        """Take connections, for ever."""
        async with anyio.create_task_group() as group:
            while True:
                try:
                    connection = await accept(listener)
                except OSError as error:  # as when the process has no descriptor left
                    logger.warning("a connection to the control socket was lost: %s", error)
                    await anyio.sleep(ACCEPT_AGAIN_S)
                else:
                    has_room = self._open < self.limits.connections  # of several that come at once, the first have
                    self._open += has_room
                    group.start_soon(self._attend, Connection(connection, self.limits), has_room)

    async def _attend(self, connection: Connection, has_room: bool) -> None:
        try:
            self._check_peer(connection)
            if not has_room:
                raise RefusedError("busy", f"there are {self.limits.connections} connections already")
            await self._converse(connection)
        except RefusedError as refused:  # of which the conversation cannot go on
            with suppress(OSError):
                await connection.answer(refused.answer)
        except OSError:
            pass  # it has left without a word
        except Exception:  # a client must not end the run: the log receives it
            logger.exception("a control connection broke")
        finally:
            connection.close()
            self._open -= has_room

    def _check_peer(self, connection: Connection) -> None:
        uid = peer_uid(connection.connection)
        if uid is not None and uid != os.geteuid():
            logger.warning("user %d was refused at the control socket", uid)
            raise RefusedError("another user", f"this run belongs to user {os.geteuid()}, and you are user {uid}")

    async def _converse(self, connection: Connection) -> None:
        while (request := await connection.request()) is not None:
            if request.get("do") == "watch":
                await self._watch(connection, request)
                return
            self._busy += 1
            try:
                await connection.answer(await self._answer(request, connection))
            finally:
                self._busy -= 1
                self._idle.set()

    async def _answer(self, request: dict[str, Any], connection: Connection) -> dict[str, Any]:
        try:
            what = _take(request, "do", str)
            if what not in self._do:
                known = ", ".join([*self._do, "watch"])
                raise RefusedError("garbage", f"there is nothing called {what!r} to do; there is {known}")
            allowed, handler = self._do[what]
            _check_keys(request, {"do", *allowed})
            return {"ok": True, **await handler(request, connection)}
        except RefusedError as refused:
            return refused.answer
        except EditError as error:
            code = "conflict" if isinstance(error, EditConflictError) else "refused"
            problems: list[Any] = [problem.to_dict() for problem in error.problems]
            return RefusedError(code, str(error), problems).answer
        except UnknownTaskError as error:
            return RefusedError(
                "unknown task", str(error), [{"near": list(error.near), "known": list(error.known)}]
            ).answer
        except Exception as error:  # the client hears of it, and the log has the traceback
            logger.exception("a request at the control socket could not be answered")
            return RefusedError("broken", f"Galaxy itself failed: {type(error).__name__}: {error}").answer

    async def farewell(self) -> None:
        """Wait until answers are given and watchers have read the rest."""
        for watcher in self._watchers:
            watcher.finish()
        while self._busy or self._watchers:
            self._idle = anyio.Event()
            await self._idle.wait()

    # ------------------------------------------------------------------------------------------- questions
    async def _status(self, request: Mapping[str, Any], _: Connection) -> dict[str, Any]:
        return self._status_now()

    def _status_now(self) -> dict[str, Any]:
        return status_of(self.constellation, self._run())

    async def _why(self, request: Mapping[str, Any], _: Connection) -> dict[str, Any]:
        why = explain(self.constellation, _take(request, "task", str), self._run())
        return {"task": why.task_id, "kind": why.kind, "text": why.text, "holders": list(why.holders)}

    # ------------------------------------------------------------------------------------------- steering
    async def _steer(self, request: Mapping[str, Any], _: Connection) -> dict[str, Any]:
        run = self.orchestrator.run_of(self.constellation.constellation_id)
        if run is None or run.is_over:
            raise RefusedError("not running", "the plan has not started to run, or its run is over")
        by = _take(request, "author", str) if request.get("author") is not None else ""
        if request["do"] == "resolve":
            return resolved(run, _take(request, "task", str), _take(request, "as", str), by)
        return steered(run, request["do"], by)

    # ------------------------------------------------------------------------------------------- edits
    def _run(self) -> Flow | None:
        run = self.orchestrator.run_of(self.constellation.constellation_id)
        return None if run is None or run.is_over else run

    async def _transaction(self, request: Mapping[str, Any]) -> Transaction:
        """That of the request, once there is a run that it can be about."""
        from galaxy_core.model.edits_file import transaction_from_dict, transaction_from_json  # they need pydantic

        document = request.get("transaction")
        if not isinstance(document, dict | str):
            raise RefusedError("garbage", 'a "transaction" is wanted, as an object or as the text of a file')
        try:
            if isinstance(document, str):
                transaction = await anyio.to_thread.run_sync(transaction_from_json, document)
            else:
                transaction = await anyio.to_thread.run_sync(transaction_from_dict, document)
        except DocumentError as error:
            problems = [{"path": path, "line": line, "reason": why} for path, line, why in error.problems]
            raise RefusedError("unreadable", str(error), problems) from None
        if self._run() is None:
            raise RefusedError(
                "not running", "the plan has not started to run, or its run is over: it cannot be edited"
            )
        author = request.get("author")
        if author is not None and not transaction.author:
            transaction = evolve(transaction, author=_take(request, "author", str))
        return transaction

    async def _preview(self, request: Mapping[str, Any], _: Connection) -> dict[str, Any]:
        transaction = await self._transaction(request)
        self.constellation.track_edits()  # so that the revision which it names can be the base of an edit
        found = self.synchronizer.desk.preview(self.constellation, transaction)
        answer = {"preview": found.to_dict(), "text": found.to_text()}
        if request.get("mermaid"):
            answer["mermaid"] = found.to_mermaid()
        return answer

    async def _edit(self, request: Mapping[str, Any], connection: Connection) -> dict[str, Any]:
        transaction = await self._transaction(request)
        if transaction.base_revision is None and request.get("revision") is not None:
            transaction = evolve(transaction, base_revision=_take(request, "revision", int))
        return self._done(await self._while_wanted(connection, request, transaction, EventType.EDIT_COMMITTED))

    async def _while_wanted(
        self, connection: Connection, request: Mapping[str, Any], transaction: Transaction, kind: EventType
    ) -> Committed:
        """Commit, unless the client has left by then, or the time that it waits is over. Told by an event in any case."""
        until = math.inf
        if request.get("until") is not None:
            until = _take(request, "until", int | float)

        def is_wanted() -> bool:
            return time.time() < until and not connection.has_left()

        desk, plan = self.synchronizer.desk, self.constellation
        committed, failure = None, None
        async with anyio.create_task_group() as group:
            if is_wanted():
                group.cancel_scope.deadline = anyio.current_time() + until - time.time()
                # Only reviews are waited for: else it is done before anything else can happen.
                group.start_soon(connection.cancel_when_left, group.cancel_scope)
                try:
                    committed = await desk.commit(plan, transaction, kind=kind, is_wanted=is_wanted)
                except Exception as error:  # raised again below, outside of the group, which would wrap it
                    failure = error
            group.cancel_scope.cancel()
        if committed is not None:
            return committed
        if failure is None:  # it was not begun, or given up while it was reviewed
            desk.refused(plan, transaction, new_id(), EditError([UNWANTED], f"The edit {str(transaction)!r}"))
        elif not (isinstance(failure, EditError) and UNWANTED in failure.problems):
            raise failure
        raise RefusedError("too late", f"{UNWANTED.reason}; nothing was changed")

    async def _undo(self, request: Mapping[str, Any], connection: Connection) -> dict[str, Any]:
        committed = self._meant(request.get("edit", next(reversed(self._committed), None)))
        if self._run() is None:
            raise RefusedError("not running", "the run is over: nothing can be undone any more")
        undone = await self._while_wanted(connection, request, committed.inverse, EventType.EDIT_UNDONE)
        self._committed.pop(committed.edit_id, None)
        self._undone.append(committed.edit_id)
        return self._done(undone)

    def _meant(self, edit_id: object) -> Committed:
        """The edit of that id, or of the only one that begins so."""
        known = list(self._committed)
        found = [one for one in known if isinstance(edit_id, str) and edit_id and one.startswith(edit_id)]
        if edit_id in known or len(found) == 1:
            return self._committed[edit_id if edit_id in known else found[0]]
        if found:
            why = f"{edit_id!r} may mean the edits {', '.join(found[-5:])}: name more of the id"
        elif taken_back := [
            one for one in self._undone if isinstance(edit_id, str) and edit_id and one.startswith(edit_id)
        ]:
            why = f"the edit {taken_back[-1]!r} was taken back already"
        else:
            why = f"no edit {edit_id!r} was made here that can be undone; the last: {', '.join(known[-5:]) or 'none'}"
        raise RefusedError("unknown edit", why)

    def _done(self, committed: Committed) -> dict[str, Any]:
        is_change = bool(committed.inverse.operations)
        if is_change:  # else there is nothing that could be taken back
            self._committed[committed.edit_id] = committed
        if len(self._committed) > REMEMBERED:
            self._committed.popitem(last=False)
        what = str(committed.transaction)
        return {
            "edit": committed.edit_id,
            "revision": committed.revision,
            "description": what,
            "changed": is_change,
        }

    # ------------------------------------------------------------------------------------------- watching
    async def _watch(self, connection: Connection, request: Mapping[str, Any]) -> None:
        _check_keys(request, {"do", "output"})
        watcher = Watcher(self.constellation, self.limits.queued, bool(request.get("output")))
        bus = self.orchestrator.event_bus
        bus.subscribe(watcher, watcher.heard, where=watcher.concerns)
        self._watchers.add(watcher)
        if self._run() is None and self.constellation.execution_end_time is not None:
            watcher.finish()  # its last event was before
        try:
            await connection.answer({"ok": True, **self._status_now()})
            async with anyio.create_task_group() as group:

                async def leave() -> None:
                    with suppress(OSError):
                        await connection.until_left()
                    group.cancel_scope.cancel()

                group.start_soon(leave)
                with suppress(OSError):
                    await watcher.tell(connection, self.limits.silence_s)
                group.cancel_scope.cancel()
        finally:
            bus.unsubscribe(watcher)
            self._watchers.discard(watcher)
            self._idle.set()


def _take(request: Mapping[str, Any], key: str, kind: type[Any] | UnionType) -> Any:
    value = request.get(key)
    if not isinstance(value, kind) or isinstance(value, bool):
        raise RefusedError("garbage", f"{key!r} has to be {'a text' if kind is str else 'a number'}, not {value!r:.80}")
    return value


def _check_keys(request: Mapping[str, Any], allowed: set[str]) -> None:
    if wrong := request.keys() - allowed:
        raise RefusedError("garbage", f"a request to {request['do']} has no key {', '.join(map(repr, sorted(wrong)))}")


@asynccontextmanager
async def control_socket(
    orchestrator: TaskConstellationOrchestrator,
    synchronizer: ConstellationModificationSynchronizer,
    constellation: TaskConstellation,
    path: str | os.PathLike[str] | None = None,
    *,
    limits: ControlLimits | None = None,
) -> AsyncIterator[Path]:
    """While inside, other processes of this user can ask, watch and edit the run of `constellation`; where, is yielded.

    The orchestrator has to have the synchronizer when the run starts. By default the socket stands where `galaxy runs`
    looks. On leaving, watchers get a moment to read the rest, and the socket is taken away.

    Raises:
        ControlError: it cannot be opened safely there, it is there already, or this system has none.
        OSError: the system does not let us.
    """
    place_at = control_folder() / socket_name(constellation.constellation_id) if path is None else Path(path)
    listener, place = await listen(place_at)
    control = _Control(orchestrator, synchronizer, constellation, limits or ControlLimits())
    failure: Exception | None = None
    with listener:
        async with anyio.create_task_group() as group:
            group.start_soon(control.serve, listener)
            try:
                yield place.path
            except Exception as error:  # raised again below, outside of the group, which would wrap it
                failure = error
            finally:
                place.leave()
                with anyio.move_on_after(control.limits.farewell_s, shield=True):
                    await control.farewell()
            group.cancel_scope.cancel()
    if failure is not None:
        raise failure
