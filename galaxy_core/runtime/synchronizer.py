"""ConstellationModificationSynchronizer: edits against a running plan.

When a task ends, an editor may want to change what comes after it. While its answer is pending, nothing new of that
constellation starts; the answer is the event CONSTELLATION_MODIFIED. A run tells its synchronizer of every end before it
submits what became ready by it, so no task slips through between the two.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import anyio

from galaxy_core.errors import PlanError
from galaxy_core.model.constellation import TaskConstellation
from galaxy_core.model.events import ConstellationEvent, Event, EventType, TaskEvent
from galaxy_core.model.result import TaskStatus
from galaxy_core.runtime.background import spawn
from galaxy_core.runtime.merging import merge_into_live, merge_states

if TYPE_CHECKING:
    from galaxy_core.model.task import TaskStar
    from galaxy_core.runtime.flow import Flow
    from galaxy_core.runtime.orchestrator import TaskConstellationOrchestrator

#: Seconds that a modification may take, unless `set_modification_timeout` says otherwise.
DEFAULT_TIMEOUT_S = 600.0

#: A constellation's id, and a task's id in it.
Key = tuple[str, str]

_ENDS = (EventType.TASK_COMPLETED, EventType.TASK_FAILED)
_STATUSES = (TaskStatus.COMPLETED, TaskStatus.FAILED)


class ConstellationModificationSynchronizer:
    """Holds a run while an editor answers a completion, and merges the answer.

    Attach it with `orchestrator.set_modification_synchronizer`, and subscribe it to the event bus. A run waits only
    for constellations that have an editor: one registered with `editor(…)`, or one that has published
    CONSTELLATION_MODIFIED for it before.
    """

    def __init__(self, orchestrator: TaskConstellationOrchestrator, logger: logging.Logger | None = None) -> None:
        self._orchestrator = orchestrator
        self._logger = logger or logging.getLogger("galaxy_core.synchronizer")
        self._timeout_s = DEFAULT_TIMEOUT_S
        self._pending: dict[Key, float] = {}  # until when each is waited for, in the event loop's time
        self._late: set[Key] = set()  # timed out: an answer that still comes is refused
        self._told_by: set[str] = set()  # sources whose ends were told by their runs; the bus brings them again
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
            self._stir()

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
        if kind in _ENDS and isinstance(event, TaskEvent):
            if event.source_id in self._told_by:
                return
            constellation_id = event.data.get("constellation_id") if event.data else None
            if constellation_id:
                self._register((constellation_id, event.task_id))
        elif kind is EventType.CONSTELLATION_MODIFIED:
            self._modified(event)
        elif kind is EventType.CONSTELLATION_STARTED:
            self._current = event.data.get("constellation")

    def _register(self, key: Key) -> None:
        if key in self._pending:
            return
        self._late.discard(key)
        self._pending[key] = anyio.current_time() + self._timeout_s
        self._statistics["total_modifications"] += 1
        self._stir()
        if not self._watching:
            self._watching = True
            spawn(self._watch, "galaxy modification timeouts")

    async def _watch(self) -> None:
        """Time modifications out; lives only while some are pending."""
        try:
            while self._pending:
                with anyio.CancelScope(deadline=min(self._pending.values())):
                    await self._next_change()
                now = anyio.current_time()
                self._time_out([key for key, until in self._pending.items() if until <= now])
        finally:
            self._watching = False

    def _time_out(self, keys: Iterable[Key]) -> None:
        for key in keys:
            del self._pending[key]
            self._late.add(key)
            self._statistics["timeout_modifications"] += 1
            self._logger.warning(
                "no modification came for task %s of %s within %g s: the run goes on with the plan as it is",
                key[1],
                key[0],
                self._timeout_s,
            )
            self._say(EventType.MODIFICATION_TIMED_OUT, key[0], {"on_task_id": [key[1]]})
        self._stir()

    def _say(self, kind: EventType, constellation_id: str, data: Mapping[str, Any]) -> None:
        orchestrator = self._orchestrator
        bus = getattr(orchestrator, "event_bus", None)
        if bus is None or not bus.wants(kind):
            return
        run = self._run_of(constellation_id)
        state = run.constellation.state.value if run is not None else "unknown"
        at = orchestrator.clock.wall()
        more = {**data, "constellation_id": constellation_id}
        bus.post((ConstellationEvent(kind, "synchronizer", at, more, constellation_id, state),))

    def _modified(self, event: Event) -> None:
        data = event.data or {}
        task_ids = data.get("on_task_id")
        if task_ids is None:
            self._logger.warning("CONSTELLATION_MODIFIED without on_task_id: nothing is completed by it")
            return
        if isinstance(task_ids, str):
            task_ids = [task_ids]
        new = data.get("new_constellation")
        constellation_id = self._meant(event, new, task_ids)
        if constellation_id is None:
            return
        self._editors.setdefault(constellation_id, 0)  # who answers once is an editor from now on
        keys = [(constellation_id, task_id) for task_id in task_ids]
        answered = [key for key in keys if key in self._pending]
        late = [key[1] for key in keys if key in self._late]
        try:
            if late and not answered:
                self._late.difference_update(keys)
                self._refuse(constellation_id, late, "it came after its time was over")
            elif new is not None:
                self._propose(constellation_id, new, [key[1] for key in keys])
        finally:
            for key in answered:
                del self._pending[key]
                self._statistics["completed_modifications"] += 1
            self._stir()

    def _meant(self, event: Event, new: Any, task_ids: Iterable[str]) -> str | None:
        """Which constellation an answer is about. The event says it; failing that, whoever waits for such a task.

        What an event says is not known here when an editor answers with a plan built afresh, under an id of its own.
        """
        named = getattr(event, "constellation_id", None) or (event.data or {}).get("constellation_id")
        asked = {key[0] for key in (*self._pending, *self._late)}
        if named and (named in asked or self._run_of(named) is not None):
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

    def _propose(self, constellation_id: str, new: Any, task_ids: list[str]) -> None:
        run = self._run_of(constellation_id)
        if not isinstance(new, TaskConstellation):
            what = f"its new_constellation is of type {type(new).__name__}; wanted is a TaskConstellation"
            self._refuse(constellation_id, task_ids, what)
        elif run is None:
            self._proposed[constellation_id] = new
            self._current = new
        elif new is not run.constellation:
            try:
                merge_into_live(run.constellation, new)
            except PlanError as error:
                self._refuse(constellation_id, task_ids, str(error))

    def _refuse(self, constellation_id: str, task_ids: list[str], why: str) -> None:
        self.refused_modifications += 1
        self._logger.warning("a modification of %s after %s was refused: %s", constellation_id, task_ids, why)
        self._say(EventType.MODIFICATION_REFUSED, constellation_id, {"on_task_id": task_ids, "reason": why})

    def _stir(self) -> None:
        """Something that is waited for may have changed."""
        self._changed.set()
        for run in self._runs():
            if run.held and not self.holds(run):
                run.release_held()

    def _runs(self) -> Sequence[Flow]:
        """What the orchestrator runs now; nothing, when it is a stand-in that runs nothing."""
        runs = self._orchestrator.runs()
        return [run for run in runs if not run.is_over] if isinstance(runs, list) else []

    def _run_of(self, constellation_id: str) -> Flow | None:
        for run in self._runs():
            if run.constellation.constellation_id == constellation_id:
                return run
        return None

    # ------------------------------------------------------------------------------------------- for runs
    def holds(self, run: Flow) -> bool:
        """Whether nothing new of this run may start: an answer to some completion of it is pending."""
        return bool(self._pending) and self.pending(run)

    def pending(self, run: Flow) -> bool:
        """Whether an answer to some completion of this run is pending."""
        constellation_id = run.constellation.constellation_id
        return any(key[0] == constellation_id for key in self._pending)

    def ended(self, run: Flow, task: TaskStar) -> None:
        """A task of a run ended; called before what became ready by it is submitted."""
        self._told_by.add(run.reports.source_id)
        if task._status not in _STATUSES or run.cancelled:
            return
        constellation_id = run.constellation.constellation_id
        if self._has_editor(constellation_id):
            self._register((constellation_id, task.task_id))
        elif constellation_id not in self._warned:
            self._warned.add(constellation_id)
            self._logger.info("no editor is registered for %s: its completions are not waited for", constellation_id)

    def over(self, run: Flow) -> None:
        """A run is over or cancelled: what is pending of it is no longer waited for, and refused if it still comes."""
        constellation_id = run.constellation.constellation_id
        given_up = [key for key in self._pending if key[0] == constellation_id]
        for key in given_up:
            del self._pending[key]
        self._late.update(given_up)
        self._warned.discard(constellation_id)
        if self._editors.get(constellation_id) == 0:
            del self._editors[constellation_id]
        self._stir()

    async def settle(self, run: Flow) -> None:
        """Wait until nothing of this run is pending: answered, or timed out."""
        while self.pending(run):
            await self._next_change()

    async def _next_change(self) -> None:
        if self._changed.is_set():  # everybody waits for one event: a fresh one each would be missed by the others
            self._changed = anyio.Event()
        await self._changed.wait()

    # ------------------------------------------------------------------------------------------- waiting
    async def wait_for_pending_modifications(self, timeout: float | None = None) -> bool:
        """Wait until nothing is pending, at most `timeout` seconds (None: the modification timeout; 0: do not wait).

        True when all completed. False when the time was over: what was pending is given up, and counted as timed out.
        """
        limit = self._timeout_s if timeout is None else timeout
        timed_out = self._statistics["timeout_modifications"]
        with anyio.move_on_after(limit):
            while self._pending:
                await self._next_change()
        self._time_out(list(self._pending))
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
            merge_into_live(orchestrator_constellation, proposed)
            self._current = orchestrator_constellation
            return orchestrator_constellation
        return merge_states(proposed, orchestrator_constellation)

    # ------------------------------------------------------------------------------------------- settings, questions
    def set_modification_timeout(self, timeout: float) -> None:
        """Seconds that a modification may take from now on.

        Raises:
            ValueError: it is not positive.
        """
        if timeout <= 0:
            raise ValueError(f"Timeout must be positive, not {timeout!r}")
        self._timeout_s = timeout

    def has_pending_modifications(self) -> bool:
        """Whether any answer is pending."""
        return bool(self._pending)

    def get_pending_count(self) -> int:
        """The number of answers that are pending."""
        return len(self._pending)

    def get_pending_task_ids(self) -> list[str]:
        """Ids of the tasks whose completion has not been answered."""
        return [task_id for _, task_id in self._pending]

    def get_current_constellation(self) -> TaskConstellation | None:
        """The constellation that started last or was proposed last; None before any."""
        return self._current

    def get_statistics(self) -> dict[str, int]:
        """Counts of registered, completed and timed-out modifications."""
        return dict(self._statistics)

    def clear_pending_modifications(self) -> None:
        """For emergencies: wait for nothing that is pending now. Not counted as completed or timed out."""
        if self._pending:
            self._logger.warning("%d pending modifications are cleared", len(self._pending))
        self._late.update(self._pending)
        self._pending.clear()
        self._stir()
