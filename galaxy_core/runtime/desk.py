"""Desk: where the edits of an orchestrator's plans are opened, reviewed, committed and told of."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import anyio
from attrs import evolve

from galaxy_core.errors import EditConflictError, EditError, EditProblem, HookError
from galaxy_core.extension.interfaces import ProposedEdit
from galaxy_core.model.changes import NO_EDITS, Changes, Own
from galaxy_core.model.constellation import TaskConstellation
from galaxy_core.model.edits import ReplacePlan, Transaction
from galaxy_core.model.events import ConstellationEvent, EventType
from galaxy_core.model.result import new_id
from galaxy_core.model.task import TaskStar
from galaxy_core.runtime.deciding import answer_now, answer_of, refusal_in
from galaxy_core.runtime.drafts import Committed, Draft
from galaxy_core.runtime.feasible import unfeasible

if TYPE_CHECKING:
    from galaxy_core.extension.registry import HookCall, PluginRegistry
    from galaxy_core.model.figures import Loads
    from galaxy_core.model.preview import Preview
    from galaxy_core.runtime.bus import EventBus
    from galaxy_core.runtime.clock import Clock
    from galaxy_core.runtime.flow import Flow

#: Why an edit is refused whose author has given up.
UNWANTED = EditProblem("over", "nobody waited any more when it could have been done")

Say = Callable[[EventType, str, Mapping[str, Any]], None]


def announce(
    bus: EventBus, clock: Clock, run: Flow | None, kind: EventType, constellation_id: str, data: Mapping[str, Any]
) -> None:
    """Publish what became of an edit of a plan, which may run, if anybody listens."""
    if bus.wants(kind):
        state = run.constellation.state.value if run is not None else "unknown"
        more = {**data, "constellation_id": constellation_id}
        at = run.wall() if run is not None else clock.wall()
        event = ConstellationEvent(kind, "synchronizer", at, more, constellation_id, state)
        if run is not None and run.ledger is not None and not run.is_over:
            run.reports.say(event)  # when it is kept, and what was before it
        else:
            bus.post((event,))


class Desk:
    """The open drafts, and what is told of edits.

    `say` publishes, `stir` is called when what is held has changed: with whether it may be less than before; `limit_s` tells how long a review may take,
    `run_of` which run there is of a constellation.
    """

    def __init__(
        self,
        plugins: Callable[[], PluginRegistry | None],
        say: Say,
        stir: Callable[[bool], None],
        limit_s: Callable[[], float],
        run_of: Callable[[str], Flow | None],
    ) -> None:
        self._plugins, self._say, self._stir, self._limit_s, self._run_of = plugins, say, stir, limit_s, run_of
        self._open: dict[str, dict[Draft, float]] = {}  # until when, in the event loop's time, by constellation
        self.statistics = dict.fromkeys(("opened", "committed", "refused", "conflicted", "timed_out", "undone"), 0)

    # ------------------------------------------------------------------------------------------- drafts
    def opened(self, draft: Draft) -> None:
        """A draft is being prepared from now on."""
        self._open.setdefault(draft.constellation_id, {})[draft] = anyio.current_time() + draft.timeout_s
        self._tell(EventType.EDIT_OPENED, draft.edit_id, draft.transaction, draft.constellation_id, hold=draft.hold)
        self._stir(False)

    def closed(self, draft: Draft) -> None:
        """A draft holds nothing any more."""
        drafts = self._open.get(draft.constellation_id, {})
        drafts.pop(draft, None)
        if not drafts:
            self._open.pop(draft.constellation_id, None)
        self._stir(True)

    def changed(self) -> None:
        """Some draft may hold less than before."""
        self._stir(True)

    def over(self, constellation_id: str) -> None:
        """A run is over: what is still being prepared can no longer be committed."""
        for draft in list(self._open.get(constellation_id, ())):
            draft.close(f"the run of {constellation_id!r} is over")

    @property
    def is_idle(self) -> bool:
        """Whether no draft is open."""
        return not self._open

    def holds(self, constellation_id: str, task: TaskStar) -> bool:
        """Whether some draft holds a task that could start."""
        return any(draft.covers(task) for draft in self._open.get(constellation_id, ()))

    def pending(self, constellation_id: str) -> bool:
        """Whether some draft wants its run to go on until it was committed."""
        return any(draft.hold != "none" for draft in self._open.get(constellation_id, ()))

    def deadline(self) -> float:
        """When the next draft has taken too long; infinite when none will."""
        return min((until for drafts in self._open.values() for until in drafts.values()), default=float("inf"))

    def time_out(self, now: float, policy: str, fail: Callable[[str, str], None]) -> int:
        """Do as `policy` says with the drafts that have taken too long; how many there are."""
        late = [draft for drafts in self._open.values() for draft, until in drafts.items() if until <= now]
        for draft in late:  # all of them are told of before any is closed: a run that fails closes the others, too
            self._open[draft.constellation_id][draft] = float("inf")
            self._tell(
                EventType.EDIT_TIMED_OUT, draft.edit_id, draft.transaction, draft.constellation_id, policy=policy
            )
        for draft in late:
            if policy != "hold":
                then = "was ended" if policy == "fail" else "went on without it"
                draft.close(f"it took longer than {draft.timeout_s:g} s, and the run {then}")
            if policy == "fail":
                fail(
                    draft.constellation_id,
                    f"the edit {str(draft.transaction)!r} took longer than {draft.timeout_s:g} s",
                )
        return len(late)

    # ------------------------------------------------------------------------------------------- committing
    def preview(self, plan: TaskConstellation, transaction: Transaction, loads: Loads | None = None) -> Preview:
        """What a transaction would change now; on the devices of the run, if the plan runs and no `loads` are given."""
        from galaxy_core.model.preview import preview  # who never edits does not pay for it

        run = self._run_of(plan.constellation_id)
        if loads is None and run is not None and run.constellation is plan:
            loads = {device_id: lane.device for device_id, lane in run.book.lanes.items()}
        return preview(plan, transaction, loads=loads, check=self.unfeasible)

    def unfeasible(self, changes: Changes) -> list[EditProblem]:
        """Why the devices could never run what an edit adds or changes, if its plan runs."""
        run = self._run_of(changes.plan.constellation_id)
        return unfeasible(run, changes) if run is not None and run.constellation is changes.plan else []

    def problems(self, plan: TaskConstellation, transaction: Transaction) -> list[EditProblem]:
        """Why a transaction would be refused now, before anybody reviews it; empty when it would not."""
        changes = Changes(plan, transaction)
        return [*changes.problems, *self.unfeasible(changes)]

    async def commit(
        self,
        plan: TaskConstellation,
        transaction: Transaction,
        draft: Draft | None = None,
        kind: EventType = EventType.EDIT_COMMITTED,
        is_wanted: Callable[[], bool] | None = None,
    ) -> Committed:
        """Check, have reviewed, and apply; told by an event however it ends.

        `is_wanted` is asked right before: whether somebody still waits for it who could have left meanwhile.

        Raises:
            EditError, EditConflictError: it cannot be, or a review refused it. Nothing was changed.
            JournalError: it was made, and the journal of the run could not keep it, by which the run is over.
        """
        plan.track_edits()
        edit_id, stand_in = draft.edit_id if draft is not None else new_id(), None
        try:
            with self._refusal_told(plan, transaction, edit_id):
                changes = self._sound(plan, transaction)
                if reviews := self._reviews():
                    if draft is None:
                        draft = stand_in = self._stand_in(plan, transaction)
                    await self._review(plan, transaction, reviews, draft)
                    changes = self._sound(plan, transaction)  # a review may take its time, and the plan has gone on
                if is_wanted is not None and not is_wanted():
                    raise EditError([UNWANTED], f"The edit {str(transaction)!r}")
                committed = self._apply(changes, edit_id, kind)
        finally:
            if stand_in is not None:
                stand_in.close("it was reviewed")
        await self._kept(plan)
        return committed

    async def _kept(self, plan: TaskConstellation) -> None:
        """Wait until a journalled run has kept what was just committed: whoever hears of success may rely on it."""
        run = self._run_of(plan.constellation_id)
        if run is None or run.ledger is None or run.constellation is not plan:
            return
        # It has happened: to cancel whoever waits for it would only leave him without knowing.
        with anyio.CancelScope(shield=True):
            await run.ledger.durable()
        run.ledger.check()

    def agreed(self, plan: TaskConstellation, transaction: Transaction) -> Changes:
        """What an edit whose author does not wait comes to, checked and reviewed: `apply` it at once.

        Told by an event when it is refused. A plugin that would answer later has not agreed.

        Raises:
            EditError, EditConflictError: it cannot be, or a review refused it.
        """
        plan.track_edits()
        with self._refusal_told(plan, transaction, new_id()):
            changes = self._sound(plan, transaction)
            reviews, revision = self._reviews(), plan.revision
            if reviews and not changes.is_empty:
                answers = ((call, self._answer_now(call, plan, transaction)) for call in reviews)
                problems = [_refusal(call, answer) for call, answer in answers if answer is not None]
                if problems:
                    raise EditError(problems, f"The edit {str(transaction)!r}")
                if plan.revision != revision and transaction.base_revision is None:
                    # A review is anybody's code. What it has edited, the author has not seen, and does not take back.
                    transaction = evolve(transaction, base_revision=revision)
                changes = self._sound(plan, transaction)
            return changes

    def _answer_now(self, call: HookCall, plan: TaskConstellation, transaction: Transaction) -> Any:
        proposed = ProposedEdit(plan.constellation_id, transaction, self.preview(plan, transaction))
        try:
            return answer_now(call, "galaxy_review_edit", edit=proposed)
        except HookError as error:
            return str(error)

    def apply(self, changes: Changes, kind: EventType) -> Committed:
        """Make the changes that were `agreed`, and tell of them."""
        return self._apply(changes, new_id(), kind)

    def merge(
        self,
        plan: TaskConstellation,
        proposed: TaskConstellation,
        author: str = "",
        base: int | None = None,
        own: dict[int, Mapping[object, int]] | None = None,
    ) -> Committed:
        """Make `plan` what `proposed` says, by ids, as far as it has not started, and tell of it. Nobody reviews it:
        whoever answers by an event cannot wait.

        With `base`, what others have edited since that revision is not taken back. `own` is what the author's earlier
        answers made (see `Changes`); this one is added to it.

        Raises:
            EditConflictError: it would take back what somebody else has edited since `base`. Nothing was changed.
            EditError: the merged plan would break I1 to I3. Nothing was changed.
        """
        what = f"Merge of {proposed.constellation_id}"
        transaction, edit_id = Transaction([ReplacePlan(proposed)], base, what, author), new_id()
        with self._refusal_told(plan, transaction, edit_id):
            changes = self._sound(plan, transaction, own or NO_EDITS)
            before = changes.touched_before()
            committed = self._apply(changes, edit_id, EventType.EDIT_COMMITTED)
            if own is not None and not changes.is_empty:
                own[committed.revision] = before
            return committed

    @contextmanager
    def _refusal_told(self, plan: TaskConstellation, transaction: Transaction, edit_id: str) -> Iterator[None]:
        try:
            yield
        except EditError as error:
            self.refused(plan, transaction, edit_id, error)
            raise

    def refused(self, plan: TaskConstellation, transaction: Transaction, edit_id: str, error: EditError) -> None:
        """Tell that an edit was not committed."""
        conflict = isinstance(error, EditConflictError)
        reasons = [problem.to_dict() for problem in error.problems]
        kind = EventType.EDIT_CONFLICTED if conflict else EventType.EDIT_REFUSED
        self._tell(kind, edit_id, transaction, plan.constellation_id, problems=reasons, reason=str(error))

    def _apply(self, changes: Changes, edit_id: str, kind: EventType) -> Committed:
        from galaxy_core.model.preview import diff_of

        plan, transaction = changes.plan, changes.transaction
        before, diff, changes.edit_id = plan.revision, diff_of(changes), edit_id
        inverse = changes.apply()
        self._tell(kind, edit_id, transaction, plan.constellation_id, before=before, revision=plan.revision, diff=diff)
        return Committed(edit_id, plan.constellation_id, plan.revision, transaction, inverse)

    def _sound(self, plan: TaskConstellation, transaction: Transaction, own: Own = NO_EDITS) -> Changes:
        changes = Changes(plan, transaction, own)
        error = changes.refused(self.unfeasible(changes))
        if error is not None:
            raise error
        return changes

    def _reviews(self) -> Sequence[HookCall]:
        plugins = self._plugins()
        return plugins.implementations("galaxy_review_edit") if plugins is not None else ()

    def _stand_in(self, plan: TaskConstellation, transaction: Transaction) -> Draft:
        """A draft that holds what a transaction touches that nobody has drafted here, while it is reviewed."""
        draft = Draft(plan, self, hold="footprint", timeout_s=self._limit_s()).add(*transaction.operations)
        self._open.setdefault(plan.constellation_id, {})[draft] = float("inf")
        self._stir(False)
        return draft

    async def _review(
        self, plan: TaskConstellation, transaction: Transaction, calls: Sequence[HookCall], draft: Draft
    ) -> None:
        """Ask every `galaxy_review_edit`.

        Raises:
            EditError: some refuse, or it took too long.
        """
        problems = []
        for call in calls:
            proposed = ProposedEdit(plan.constellation_id, transaction, self.preview(plan, transaction))
            try:
                answer = await answer_of(call, "galaxy_review_edit", draft.timeout_s, edit=proposed)
            except HookError as error:
                answer = str(error)
            if answer is not None:
                problems.append(_refusal(call, answer))
            if draft.is_over:
                problems.append(EditProblem("over", "its time was over before it was reviewed"))
                break
        if problems:
            raise EditError(problems, f"The edit {str(transaction)!r}")

    def _tell(
        self, kind: EventType, edit_id: str, transaction: Transaction, constellation_id: str, **more: Any
    ) -> None:
        self.statistics[kind.value.removeprefix("edit_")] += 1
        about = {
            "edit_id": edit_id,
            "description": str(transaction),
            "author": transaction.author,
            "base_revision": transaction.base_revision,
        }
        self._say(kind, constellation_id, {**about, **more})


def _refusal(call: HookCall, answer: Any) -> EditProblem:
    return EditProblem("refused", f"plugin {call.plugin} refuses: {refusal_in(answer)}", None, call.plugin)
