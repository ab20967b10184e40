"""ConstellationModificationSynchronizer: edits against a running plan.

Whoever edits a plan that runs comes through here: editors that answer ends of tasks by an event (modifications.py),
programs that open drafts or commit transactions (desk.py), and editors that plugins bring (proposals.py). What each of
them holds is said here, for the run to ask before it starts a task.
"""

from __future__ import annotations

import logging
from collections.abc import Container, Iterable
from typing import TYPE_CHECKING

from galaxy_core.errors import EditError, EditProblem
from galaxy_core.model.constellation import TaskConstellation
from galaxy_core.model.edits import Transaction, checked_transaction
from galaxy_core.model.events import EventType
from galaxy_core.model.result import TaskStatus
from galaxy_core.runtime.drafts import Committed, Draft, checked_plan
from galaxy_core.runtime.holding import (
    HoldScope,
    TimeoutPolicy,
    checked_policy,
    checked_scope,
    checked_timeout,
    follows,
)
from galaxy_core.runtime.modifications import STATUSES, Key, Modifications
from galaxy_core.runtime.proposals import Proposals

if TYPE_CHECKING:
    from galaxy_core.model.preview import Preview
    from galaxy_core.model.task import TaskStar
    from galaxy_core.runtime.flow import Flow
    from galaxy_core.runtime.orchestrator import TaskConstellationOrchestrator


class _PendingOf:
    """The ids of one constellation's tasks whose ends are to be answered."""

    def __init__(self, constellation_id: str, pending: Container[Key]) -> None:
        self._constellation_id, self._pending = constellation_id, pending

    def __contains__(self, task_id: object) -> bool:
        return (self._constellation_id, task_id) in self._pending


class ConstellationModificationSynchronizer(Modifications):
    """Holds a run while an editor answers a completion, and merges the answer.

    Attach it with `orchestrator.set_modification_synchronizer`, and subscribe it to the event bus. A run waits only
    for constellations that have an editor: one registered with `editor(…)`, or one that has published
    CONSTELLATION_MODIFIED for it before.
    """

    def __init__(self, orchestrator: TaskConstellationOrchestrator, logger: logging.Logger | None = None) -> None:
        super().__init__(orchestrator, logger)
        self._scope: HoldScope = "all"
        self._plugin_scope: HoldScope = "footprint"
        self._proposals: dict[Flow, Proposals] = {}

    # ------------------------------------------------------------------------------------------- transactions
    def edit(
        self,
        constellation_id: str | None = None,
        *,
        hold: HoldScope = "footprint",
        around: Iterable[str] = (),
        timeout: float | None = None,
        description: str = "",
        author: str = "",
    ) -> Draft:
        """A draft of an edit, for ``async with``: what is added to it takes effect at once when the block ends.

        Of the plan that runs (or is registered) under that id; without one, of the only one that runs. `hold` says what
        may not start meanwhile: with "footprint" what the draft touches, and what could start because tasks in `around`
        (ids) end. After `timeout` seconds, by default those of `set_modification_timeout`, the timeout policy applies.

        Raises:
            EditError: there is no such plan.
            ValueError: another hold scope, a time that is no positive number, or `around` is one text.
        """
        plan = self._plan_of(constellation_id)
        limit_s = self.timeout_s if timeout is None else checked_timeout(timeout)
        return Draft(
            plan,
            self.desk,
            hold=checked_scope(hold),
            around=around,
            timeout_s=limit_s,
            description=description,
            author=author,
        )

    async def commit(self, transaction: Transaction, constellation_id: str | None = None) -> Committed:
        """Commit a transaction that somebody has prepared elsewhere. Waits only for plugins that review edits.

        Raises:
            EditConflictError: it does not fit any more, because the plan has moved since its base revision.
            EditError: it could never have been, or is no transaction, or there is no such plan.
        """
        checked_transaction(transaction)
        return await self.desk.commit(self._plan_of(constellation_id), transaction)

    async def undo(self, committed: Committed) -> Committed:
        """Take an edit back, by its inverse. What has started since is not un-run: then the undo is refused.

        Raises:
            EditError, EditConflictError: it cannot be taken back any more, with the reasons.
        """
        if not isinstance(committed, Committed):
            what = f"what is undone is a Committed, as commits return it, not {committed!r:.80}"
            raise EditError([EditProblem("invalid", what)])
        plan = self._plan_of(committed.constellation_id)
        return await self.desk.commit(plan, committed.inverse, kind=EventType.EDIT_UNDONE)

    def preview(self, transaction: Transaction, constellation_id: str | None = None) -> Preview:
        """What a transaction would change now.

        Raises:
            EditError: there is no such plan, or the transaction is none.
        """
        return self.desk.preview(self._plan_of(constellation_id), transaction)

    def edit_statistics(self) -> dict[str, int]:
        """How many edits were opened, committed, refused, conflicted, timed out and undone."""
        return dict(self.desk.statistics)

    def _plan_of(self, constellation_id: str | None) -> TaskConstellation:
        runs = {run.constellation.constellation_id: run.constellation for run in self._runs()}
        if constellation_id is None:
            found = next(iter(runs.values())) if len(runs) == 1 else None
            return checked_plan(found, None, runs)
        if constellation_id not in runs and self._orchestrator.run_of(constellation_id) is not None:
            reason = f"the run of {constellation_id!r} is over"  # it tells its end yet, and starts nothing any more
            raise EditError([EditProblem("over", reason, None, constellation_id)])
        registered = self._orchestrator.manager.get_constellation(constellation_id)
        return checked_plan(runs.get(constellation_id, registered), constellation_id, runs)

    # ------------------------------------------------------------------------------------------- for runs
    def holding(self, run: Flow) -> bool:
        """Whether some edit is being prepared that may hold tasks."""
        proposals = self._proposals.get(run)
        return bool(self._pending) or not self.desk.is_idle or (proposals is not None and proposals.pending)

    def holds(self, run: Flow, task: TaskStar) -> bool:
        """Whether this task, which could start, may not start now."""
        constellation_id = run.constellation.constellation_id
        if self._pending and self._scope != "none":
            if self._scope == "all":
                if self._waits_for(constellation_id):
                    return True
            elif follows(task, _PendingOf(constellation_id, self._pending)):
                return True
        proposals = self._proposals.get(run)
        if proposals is not None and proposals.holds(task, self._plugin_scope):
            return True
        return self.desk.holds(constellation_id, task)

    def withholds(self, run: Flow, task: TaskStar, status: TaskStatus) -> bool:
        """Whether an editor may still change what follows a task that ends so."""
        proposals = self._proposals.get(run)
        if proposals is not None and proposals.asks_about(task, status) and self._plugin_scope != "none":
            return True
        return self._scope != "none" and status in STATUSES and self._has_editor(run.constellation.constellation_id)

    def awaits(self, run: Flow, task: TaskStar) -> bool:
        """Whether an answer to the end of this task is still to come."""
        proposals = self._proposals.get(run)
        if proposals is not None and self._plugin_scope != "none" and proposals.awaits(task._task_id):
            return True
        return self._scope != "none" and (run.constellation.constellation_id, task._task_id) in self._pending

    def pending(self, run: Flow) -> bool:
        """Whether the run has to wait for some edit before it may be over."""
        constellation_id = run.constellation.constellation_id
        proposals = self._proposals.get(run)
        if proposals is not None and proposals.pending:
            return True
        return self._waits_for(constellation_id) or self.desk.pending(constellation_id)

    def ended(self, run: Flow, task: TaskStar) -> None:
        """A task of a run ended; called before what became ready by it is submitted."""
        constellation_id = run.constellation.constellation_id
        self._told_by[constellation_id] = run.reports.source_id
        if run in self._proposals and not run.cancelled:
            self._proposals[run].ended(task)
        if task._status not in STATUSES or run.cancelled:
            return
        if self._has_editor(constellation_id):
            self._register((constellation_id, task.task_id))
        elif constellation_id not in self._warned:
            self._warned.add(constellation_id)
            self._logger.info("no editor is registered for %s: its completions are not waited for", constellation_id)

    async def serve(self, run: Flow) -> None:
        """Ask the editors that plugins bring about what ends in this run."""
        if run in self._proposals:
            await self._proposals[run].serve()

    def attend(self, run: Flow, *, is_wanted: bool = True) -> None:
        """A run is about to start: from now on the editors that plugins bring are asked about it.

        Unless somebody has asked for this synchronizer, that nobody else edits is not worth a word.
        """
        run.constellation.track_edits()  # an answer may be about the plan as it is now
        if not is_wanted:
            self._warned.add(run.constellation.constellation_id)
        calls = self._orchestrator.plugins.implementations("galaxy_propose_edit")
        if calls:
            wants = self._orchestrator.plugins.implementations("galaxy_wants_end")
            self._proposals[run] = Proposals(run, calls, wants, self)

    def over(self, run: Flow) -> None:
        """A run is over or cancelled: what is pending of it is no longer waited for, and refused if it still comes."""
        constellation_id = run.constellation.constellation_id
        given_up = [key for key in self._pending if key[0] == constellation_id]
        self._give_up(given_up)
        self._remember(constellation_id)
        self._warned.discard(constellation_id)
        self._proposals.pop(run, None)
        self.desk.over(constellation_id)
        if self._editors.get(constellation_id) == 0:
            del self._editors[constellation_id]
        self.stir()

    async def settle(self, run: Flow) -> None:
        """Wait until nothing of this run is pending: answered, or timed out."""
        while self.pending(run):
            await self._next_change()

    # ------------------------------------------------------------------------------------------- settings, questions
    def set_modification_timeout(self, timeout: float) -> None:
        """Seconds that a modification may take from now on.

        Raises:
            ValueError: it is not positive.
        """
        self.timeout_s = checked_timeout(timeout)

    def set_hold_scope(self, scope: HoldScope, plugins: HoldScope | None = None) -> None:
        """What a completion that waits for its modification holds: "all" (the default), "footprint" or "none".

        `plugins` is the same for the editors that plugins bring, by default "footprint".

        Raises:
            ValueError: another scope.
        """
        self._scope = checked_scope(scope)
        if plugins is not None:
            self._plugin_scope = checked_scope(plugins)
        self.stir()

    def set_timeout_policy(self, policy: TimeoutPolicy) -> None:
        """What happens when an edit takes too long: "proceed" (the default), "hold" or "fail".

        Raises:
            ValueError: another policy.
        """
        self._policy = checked_policy(policy)

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
        self._give_up(list(self._pending))
        self.stir()
