"""Modifications: the ends of tasks that wait for an editor's answer, and the answers, as the API document has them.

When a task ends, an editor may want to change what comes after it. The answer is the event CONSTELLATION_MODIFIED. A run
tells of every end before it submits what became ready by it, so no task slips through between the two.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import anyio

from galaxy_core.errors import PlanError
from galaxy_core.model.constellation import TaskConstellation
from galaxy_core.model.events import Event, EventType, TaskEvent
from galaxy_core.model.result import TaskStatus
from galaxy_core.runtime.background import spawn
from galaxy_core.runtime.desk import Desk, announce
from galaxy_core.runtime.holding import TimeoutPolicy
from galaxy_core.runtime.merging import merge_states
from galaxy_core.runtime.reports import source_of

if TYPE_CHECKING:
    from galaxy_core.runtime.flow import Flow
    from galaxy_core.runtime.orchestrator import TaskConstellationOrchestrator

#: Seconds that a modification may take, unless `set_modification_timeout` says otherwise.
DEFAULT_TIMEOUT_S = 600.0

#: Of so many constellations that do not run, something is remembered: answers that would be late, proposals.
REMEMBERED = 100

#: A constellation's id, and a task's id in it.
Key = tuple[str, str]

_ENDS = (EventType.TASK_COMPLETED, EventType.TASK_FAILED)
STATUSES = (TaskStatus.COMPLETED, TaskStatus.FAILED)
#: Keys of an event's data under which live plans are told.
_PLANS = ("constellation", "new_constellation", "old_constellation")


class Modifications:
    """What `ConstellationModificationSynchronizer` is to editors that speak in events."""

    def __init__(self, orchestrator: TaskConstellationOrchestrator, logger: logging.Logger | None = None) -> None:
        self._orchestrator = orchestrator
        self._logger = logger or logging.getLogger("galaxy_core.synchronizer")
        self.timeout_s = DEFAULT_TIMEOUT_S
        self._policy: TimeoutPolicy = "proceed"
        self.desk = Desk(
            lambda: getattr(orchestrator, "plugins", None), self._say, self.stir, lambda: self.timeout_s, self._run_of
        )
        self._pending: dict[Key, float] = {}  # until when each is waited for, in the event loop's time
        # By constellation and task: the revision at which its end was told, which is what an answer to it has to know.
        self._told_at: dict[str, dict[str, int]] = {}
        # By constellation and author: what their answers made; see Changes.
        self._own: dict[tuple[str, str], dict[int, Mapping[object, int]]] = {}
        self._late: dict[str, set[str]] = {}  # tasks by constellation: given up, an answer that still comes is refused
        self._told_by: dict[str, str] = {}  # by constellation: as which source its run told ends; the bus repeats them
        self._at_rest: dict[str, None] = {}  # constellations that do not run, of which something is kept, oldest first
        self._editors: dict[str | None, int] = {}
        self._proposed: dict[str, TaskConstellation] = {}
        self._current: TaskConstellation | None = None
        self._warned: set[str] = set()
        self._changed = anyio.Event()
        self._watching = False
        self.refused_modifications = 0  # answers that came too late, or could not be merged
        self._statistics = {
            "total_modifications": 0,
            "completed_modifications": 0,
            "timeout_modifications": 0,
        }

    # ------------------------------------------------------------------------------------------- editors
    @contextmanager
    def editor(self, constellation_id: str | None = None) -> Iterator[None]:
        """While inside, completions of this constellation (None: of every one) wait for CONSTELLATION_MODIFIED."""
        self.add_editor(constellation_id)
        try:
            yield
        finally:
            self.remove_editor(constellation_id)

    def add_editor(self, constellation_id: str | None = None) -> None:
        """From now on an editor answers the completions of this constellation (None: of every one)."""
        self._editors[constellation_id] = self._editors.get(constellation_id, 0) + 1

    def remove_editor(self, constellation_id: str | None = None) -> None:
        """One editor fewer. Without any, what is pending is no longer waited for."""
        left = self._editors.get(constellation_id, 0) - 1
        if left > 0:
            self._editors[constellation_id] = left
        else:
            self._editors.pop(constellation_id, None)
            for key in [key for key in self._pending if not self._has_editor(key[0])]:
                del self._pending[key]
            self.stir()

    def _has_editor(self, constellation_id: str) -> bool:
        return None in self._editors or constellation_id in self._editors

    # ------------------------------------------------------------------------------------------- events
    async def on_event(self, event: Event) -> None:
        """Register, complete or note, as the event says. Whatever is wrong with an event is logged, not raised."""
        try:
            self._hear(event)
        except Exception:  # the API document: handlers swallow; the log receives it
            self._logger.exception("could not handle %s", event.event_type.value)

    def _hear(self, event: Event) -> None:
        kind = event.event_type
        if self._is_anothers(event):
            return
        if kind in _ENDS and isinstance(event, TaskEvent):
            constellation_id = event.data.get("constellation_id") if event.data else None
            if constellation_id and self._told_by.get(constellation_id) != event.source_id:
                self._register((constellation_id, event.task_id))
        elif kind is EventType.CONSTELLATION_MODIFIED:
            self._modified(event)
        elif kind is EventType.CONSTELLATION_STARTED:
            self._current = event.data.get("constellation")

    def _is_anothers(self, event: Event) -> bool:
        """Whether an event is about a plan that another orchestrator runs, such as a copy under the same id.

        The live plan in its data says so; of an event that names an id alone nobody can tell.
        """
        data = event.data or {}
        named = [data.get(key) for key in _PLANS]
        plans = [plan for plan in named if isinstance(plan, TaskConstellation)]
        if not plans:
            return False
        runs = self._orchestrator.runs()
        if not isinstance(runs, list):  # a stand-in that runs nothing
            return False
        if any(run.constellation is plan for run in runs for plan in plans):
            return False
        # Of a run that is over by now, its own source is left: mine was told of when it ended something.
        return any(plan._listener is not None or event.source_id == source_of(plan._id) for plan in plans)

    def _register(self, key: Key) -> None:
        if key in self._pending:
            return
        self._late.get(key[0], set()).discard(key[1])
        self._pending[key] = anyio.current_time() + self.timeout_s
        run = self._run_of(key[0])
        if run is not None:
            run.constellation.track_edits()
            self._told_at.setdefault(key[0], {})[key[1]] = run.constellation.revision
        self._statistics["total_modifications"] += 1
        self.stir(False)

    def _deadline(self) -> float:
        return min(self.desk.deadline(), min(self._pending.values(), default=math.inf))

    async def _watch(self) -> None:
        """Time edits out; lives only while some are waited for."""
        try:
            while (deadline := self._deadline()) < math.inf:
                with anyio.CancelScope(deadline=deadline):
                    await self._next_change()
                now = anyio.current_time()
                self._time_out([key for key, until in self._pending.items() if until <= now], self._policy)
                late = self.desk.time_out(now, self._policy, self._fail)
                self._statistics["timeout_modifications"] += late
        finally:
            self._watching = False

    def _time_out(self, keys: Sequence[Key], policy: TimeoutPolicy) -> None:
        if policy == "hold":
            self._pending.update(dict.fromkeys(keys, math.inf))
        else:
            self._give_up(keys)
        for constellation_id, task_id in keys:
            self.overdue(constellation_id, [task_id], policy=policy)
        if keys:
            self.stir()

    def overdue(
        self, constellation_id: str, task_ids: list[str], plugin: str = "", policy: TimeoutPolicy | None = None
    ) -> bool:
        """Tell that nobody has answered the ends of these tasks in time; whether they are no longer waited for."""
        policy = policy or self._policy
        self._statistics["timeout_modifications"] += 1
        what = {
            "proceed": "the run goes on with the plan as it is",
            "hold": "it is waited for all the same",
            "fail": "the run is ended",
        }[policy]
        who = f" of plugin {plugin}" if plugin else ""
        tasks = ", ".join(task_ids)
        message = f"no modification{who} came for task {tasks} of {constellation_id} within {self.timeout_s:g} s"
        self._logger.warning("%s: %s", message, what)
        data = {"on_task_id": task_ids, "policy": policy, "author": plugin}
        self._say(EventType.MODIFICATION_TIMED_OUT, constellation_id, data)
        if policy == "fail":
            self._fail(constellation_id, message)
        return policy != "hold"

    def _fail(self, constellation_id: str, why: str) -> None:
        run = self._run_of(constellation_id)
        if run is not None:
            run.fail(why)

    def _give_up(self, keys: Iterable[Key]) -> None:
        """Wait for these no longer; an answer that still comes is refused."""
        for constellation_id, task_id in keys:
            del self._pending[constellation_id, task_id]
            self._late.setdefault(constellation_id, set()).add(task_id)
        for constellation_id in {key[0] for key in keys}:
            self._remember(constellation_id)

    def _remember(self, constellation_id: str) -> None:
        """Keep what is known of this constellation while it runs, or else until enough others have come after it."""
        at_rest = self._at_rest
        at_rest.pop(constellation_id, None)
        if self._run_of(constellation_id) is not None:
            return
        at_rest[constellation_id] = None
        if len(at_rest) > REMEMBERED:
            oldest = next(iter(at_rest))
            del at_rest[oldest]
            if self._run_of(oldest) is None:
                self._forget(oldest)

    def _forget(self, constellation_id: str) -> None:
        self._late.pop(constellation_id, None)
        self._told_at.pop(constellation_id, None)
        for key in [key for key in self._own if key[0] == constellation_id]:
            del self._own[key]
        self._told_by.pop(constellation_id, None)
        self._proposed.pop(constellation_id, None)
        if self._editors.get(constellation_id) == 0:
            del self._editors[constellation_id]

    def _say(self, kind: EventType, constellation_id: str, data: Mapping[str, Any]) -> None:
        bus = getattr(self._orchestrator, "event_bus", None)
        if bus is not None:
            announce(bus, self._orchestrator.clock, self._run_of(constellation_id), kind, constellation_id, data)

    def _modified(self, event: Event) -> None:
        data = event.data or {}
        task_ids = data.get("on_task_id")
        if task_ids is None:
            self._logger.warning("CONSTELLATION_MODIFIED without on_task_id: nothing is completed by it")
            return
        if isinstance(task_ids, str):
            task_ids = [task_ids]
        if not isinstance(task_ids, list | tuple | set | frozenset) or not all(
            isinstance(one, str) for one in task_ids
        ):
            named = getattr(event, "constellation_id", None) or data.get("constellation_id") or ""
            what = f"its on_task_id is {task_ids!r:.80}; wanted are ids of tasks, so nothing is completed by it"
            self.refuse(str(named), [], what)
            return
        new = data.get("new_constellation")
        constellation_id = self._meant(event, new, task_ids)
        if constellation_id is None:
            return
        keys = list(dict.fromkeys((constellation_id, task_id) for task_id in task_ids))
        answered = [key for key in keys if key in self._pending]
        given_up = self._late.get(constellation_id, set())
        late = [key[1] for key in keys if key[1] in given_up]
        too_late = bool(late) and not answered
        if not too_late or self._run_of(constellation_id) is not None:
            self._editors.setdefault(constellation_id, 0)  # who answers once is an editor from now on
        self._remember(constellation_id)
        try:
            if too_late:
                given_up.difference_update(late)
                self.refuse(constellation_id, late, "it came after its time was over")
            elif new is not None:
                base = data.get("base_revision", self._told_of(keys))
                self._propose(constellation_id, new, [key[1] for key in keys], event.source_id, base)
        finally:
            for key in answered:
                del self._pending[key]
                self._statistics["completed_modifications"] += 1
            self.stir()

    def _meant(self, event: Event, new: Any, task_ids: Iterable[str]) -> str | None:
        """Which constellation an answer is about. The event says it; failing that, whoever waits for such a task.

        What an event says is not known here when an editor answers with a plan built afresh, under an id of its own.
        """
        named = getattr(event, "constellation_id", None) or (event.data or {}).get("constellation_id")
        if named and (self._late.get(named) or self._run_of(named) is not None or self._waits_for(named)):
            return str(named)
        wanted = set(task_ids)
        waiting = {key[0] for key in self._pending if key[1] in wanted}
        if len(waiting) == 1:
            return waiting.pop()
        if named:
            return str(named)
        if isinstance(new, TaskConstellation):
            return new.constellation_id
        self._logger.warning("CONSTELLATION_MODIFIED does not say for which constellation: give constellation_id")
        return None

    def _told_of(self, keys: Iterable[Key]) -> int | None:
        """The revision of the plan when the first of these ends was told; None when none was."""
        revisions = (self._told_at.get(constellation_id, {}).get(task_id) for constellation_id, task_id in keys)
        return min((revision for revision in revisions if revision is not None), default=None)

    def _propose(self, constellation_id: str, new: Any, task_ids: list[str], author: str, base: int | None) -> None:
        run = self._run_of(constellation_id)
        if not isinstance(new, TaskConstellation):
            what = f"its new_constellation is of type {type(new).__name__}; wanted is a TaskConstellation"
            self.refuse(constellation_id, task_ids, what)
        elif run is None:
            self._proposed[constellation_id] = new
            self._current = new
        elif base is not None and (isinstance(base, bool) or not isinstance(base, int)):
            self.refuse(constellation_id, task_ids, f"its base_revision is {base!r:.80}; wanted is a whole number")
        elif new is not run.constellation:
            own = self._own.setdefault((constellation_id, author), {})
            try:
                self.desk.merge(run.constellation, new, author, base, own)
            except PlanError as error:
                self.refuse(constellation_id, task_ids, str(error))

    def refuse(self, constellation_id: str, task_ids: list[str], why: str, author: str = "") -> None:
        """Tell that an answer to the ends of these tasks was of no use."""
        self.refused_modifications += 1
        self._logger.warning("a modification of %s after %s was refused: %s", constellation_id, task_ids, why)
        self._say(
            EventType.MODIFICATION_REFUSED, constellation_id, {"on_task_id": task_ids, "reason": why, "author": author}
        )

    def stir(self, frees: bool = True) -> None:
        """Something that is held, or waited for, may have changed; unless `frees`, nothing of it can be let go."""
        self._changed.set()
        if not self._watching and self._deadline() < math.inf:
            self._watching = True
            spawn(self._watch, "galaxy modification timeouts")
        if not frees:  # to look at all that is held costs what is held
            return
        for run in self._runs():
            if run.held or run.constellation._withheld:
                run.release()

    def _runs(self) -> Sequence[Flow]:
        """What the orchestrator runs now; nothing, when it is a stand-in that runs nothing."""
        runs = self._orchestrator.runs()
        return [run for run in runs if not run.is_over] if isinstance(runs, list) else []

    def _run_of(self, constellation_id: str) -> Flow | None:
        for run in self._runs():
            if run.constellation.constellation_id == constellation_id:
                return run
        return None

    def _waits_for(self, constellation_id: str) -> bool:
        return any(key[0] == constellation_id for key in self._pending)

    async def _next_change(self) -> None:
        if self._changed.is_set():  # everybody waits for one event: a fresh one each would be missed by the others
            self._changed = anyio.Event()
        await self._changed.wait()

    # ------------------------------------------------------------------------------------------- waiting
    async def wait_for_pending_modifications(self, timeout: float | None = None) -> bool:
        """Wait until nothing is pending, at most `timeout` seconds (None: the modification timeout; 0: do not wait).

        True when all completed. False when the time was over: what was pending is given up, and counted as timed out.
        """
        limit = self.timeout_s if timeout is None else timeout
        timed_out = self._statistics["timeout_modifications"]
        with anyio.move_on_after(limit):
            while self._pending:
                await self._next_change()
        self._time_out(list(self._pending), "proceed")
        return self._statistics["timeout_modifications"] == timed_out

    def merge_and_sync_constellation_states(self, orchestrator_constellation: TaskConstellation) -> TaskConstellation:
        """Bring an editor's constellation and the orchestrator's together.

        Of each task the most advanced state counts; a task that has started is never dropped, nor is a result. While
        the constellation runs, the edits go into it, and it is returned: there is one live constellation. Otherwise the
        editor's object is brought up to date and returned. Without an editor's object, the orchestrator's is returned.

        Raises:
            PlanError: the editor's object would break I1–I3.
        """
        constellation_id = orchestrator_constellation.constellation_id
        proposed = self._proposed.pop(constellation_id, None)
        current = self._current
        if proposed is None and current is not None and current.constellation_id == constellation_id:
            proposed = current
        if proposed is None or proposed is orchestrator_constellation:
            return orchestrator_constellation
        if self._run_of(constellation_id) is not None:
            self.desk.merge(orchestrator_constellation, proposed)
            self._current = orchestrator_constellation
            return orchestrator_constellation
        return merge_states(proposed, orchestrator_constellation)
