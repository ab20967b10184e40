"""Known bugs, to be planted one at a time: what the simulation has to notice."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from galaxy_core.model import applying, changes
from galaxy_core.model.changes import Changes
from galaxy_core.model.constellation import TaskConstellation
from galaxy_core.model.progress import Progress
from galaxy_core.model.result import TaskStatus
from galaxy_core.runtime.desk import Desk
from galaxy_core.runtime.drafts import Committed, Draft
from galaxy_core.runtime.flow import Flow
from galaxy_core.runtime.modifications import Modifications
from galaxy_core.runtime.proposals import Proposals
from galaxy_core.runtime.synchronizer import ConstellationModificationSynchronizer as Synchronizer

Plant = Callable[[pytest.MonkeyPatch], None]
BUGS: dict[str, Plant] = {}


def bug(plant: Plant) -> Plant:
    """Count a function among the bugs, under its name."""
    BUGS[plant.__name__] = plant
    return plant


# ----------------------------------------------------------------------------------------------------- transactions
@bug
def the_compare_and_swap_is_skipped(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Changes, "_moved", lambda self, key: False)


@bug
def the_base_revision_is_ignored_for_links(patch: pytest.MonkeyPatch) -> None:
    moved = Changes._moved
    patch.setattr(Changes, "_moved", lambda self, key: isinstance(key, str) and moved(self, key))


@bug
def half_a_batch_is_applied(patch: pytest.MonkeyPatch) -> None:
    make = applying.make

    def half(all_of_them: Changes) -> None:
        if all_of_them.new_tasks or all_of_them.new_lines or all_of_them.removed_tasks:
            all_of_them.updated_tasks.clear()
        make(all_of_them)

    patch.setattr(applying, "make", half)


@bug
def the_revision_is_not_raised(patch: pytest.MonkeyPatch) -> None:
    make = applying.make

    def made(sound: Changes) -> None:
        make(sound)
        sound.plan._revision -= 1

    patch.setattr(applying, "make", made)


@bug
def the_cycle_check_is_skipped(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(changes, "cycles", lambda sound: ())


@bug
def what_has_started_may_be_changed(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Changes, "_may_change", lambda self, task, what: True)
    patch.setattr(applying, "outdated", lambda sound, checked_at: ())


@bug
def an_undo_un_runs(patch: pytest.MonkeyPatch) -> None:
    may_change = Changes._may_change

    def may(self: Changes, task: Any, what: str) -> bool:
        return self.transaction.description.startswith("Undo: ") or may_change(self, task, what)

    patch.setattr(Changes, "_may_change", may)
    patch.setattr(applying, "outdated", lambda sound, checked_at: ())


@bug
def what_a_review_saw_is_applied_whatever_happened_meanwhile(patch: pytest.MonkeyPatch) -> None:
    sound, seen = Desk._sound, dict[int, Changes]()

    def once(self: Desk, plan: Any, transaction: Any) -> Changes:
        found = seen.get(id(transaction))
        if found is None or found.transaction is not transaction:
            found = seen[id(transaction)] = sound(self, plan, transaction)
        return found

    patch.setattr(Desk, "_sound", once)
    patch.setattr(applying, "outdated", lambda sound, checked_at: ())


# ----------------------------------------------------------------------------------------------------- holding
@bug
def a_footprint_holds_nothing(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Draft, "covers", lambda self, task: self.hold == "all")


@bug
def a_footprint_holds_everything(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Draft, "covers", lambda self, task: self.hold != "none")


@bug
def a_draft_of_another_plan_holds_this_one(patch: pytest.MonkeyPatch) -> None:
    def holds(self: Desk, constellation_id: str, task: Any) -> bool:
        return any(draft.covers(task) for drafts in self._open.values() for draft in drafts)

    patch.setattr(Desk, "holds", holds)


@bug
def a_wake_up_is_lost_on_release(patch: pytest.MonkeyPatch) -> None:
    def closed(self: Desk, draft: Draft) -> None:
        drafts = self._open.get(draft.constellation_id, {})
        drafts.pop(draft, None)
        if not drafts:
            self._open.pop(draft.constellation_id, None)

    patch.setattr(Desk, "closed", closed)


@bug
def a_task_that_has_its_slot_is_not_held(patch: pytest.MonkeyPatch) -> None:
    accepts = Flow.accepts

    def hasty(self: Flow, *what: Any) -> bool:
        editing, self.editing = self.editing, None
        try:
            return accepts(self, *what)
        finally:
            self.editing = editing

    patch.setattr(Flow, "accepts", hasty)


@bug
def a_stale_ticket_is_accepted(patch: pytest.MonkeyPatch) -> None:
    accepts = Flow.accepts

    def gullible(self: Flow, task: Any, lane: Any, ticket: int) -> bool:
        return accepts(self, task, lane, task._ticket)

    patch.setattr(Flow, "accepts", gullible)


@bug
def a_removed_task_starts_from_the_queue(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Flow, "task_removed", lambda self, task: self._check_complete())


# ----------------------------------------------------------------------------------------------------- drafts that end
@bug
def a_draft_that_breaks_off_is_not_released(patch: pytest.MonkeyPatch) -> None:
    leave = Draft.__aexit__

    async def forgetful(self: Draft, kind: Any, error: Any, trace: Any) -> None:
        if error is None:
            await leave(self, kind, error, trace)

    patch.setattr(Draft, "__aexit__", forgetful)


@bug
def a_draft_is_committed_when_its_time_is_over(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Draft, "_check_open", lambda self: None)


@bug
def drafts_never_time_out(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Desk, "deadline", lambda self: math.inf)


# ----------------------------------------------------------------------------------------------------- editors
@bug
def withheld_links_are_judged_at_once(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Synchronizer, "withholds", lambda self, *what: False)


@bug
def withheld_links_are_dropped(patch: pytest.MonkeyPatch) -> None:
    def dropped(self: Progress, lines: Sequence[Any], at: float) -> tuple[Sequence[Any], Sequence[Any]]:
        for line in lines:
            del self._withheld[line]
        return (), ()

    patch.setattr(Progress, "judge_withheld", dropped)


@bug
def a_late_answer_is_accepted(patch: pytest.MonkeyPatch) -> None:
    def give_up(self: Modifications, keys: Any) -> None:
        for key in keys:
            del self._pending[key]

    patch.setattr(Modifications, "_give_up", give_up)


@bug
def results_are_dropped_at_a_merge(patch: pytest.MonkeyPatch) -> None:
    merge = Desk.merge

    def careless(self: Desk, live: TaskConstellation, *what: Any) -> Committed:
        committed = merge(self, live, *what)
        for task in live.get_all_tasks():
            if task.status is TaskStatus.COMPLETED:
                task._result = None
        return committed

    patch.setattr(Desk, "merge", careless)


@bug
def what_ends_while_an_editor_thinks_is_lost(patch: pytest.MonkeyPatch) -> None:
    ask = Proposals._ask_and_commit

    async def forgetful(self: Proposals, editor: Any, batch: Any) -> None:
        await ask(self, editor, batch)
        for task in editor.inbox:
            left = self._unanswered.pop(task._task_id) - 1
            if left:
                self._unanswered[task._task_id] = left
        editor.inbox.clear()

    patch.setattr(Proposals, "_ask_and_commit", forgetful)


@bug
def an_editor_is_asked_twice_about_one_end(patch: pytest.MonkeyPatch) -> None:
    ask = Proposals._ask_and_commit

    async def twice(self: Proposals, editor: Any, batch: Any) -> None:
        await ask(self, editor, batch)
        await ask(self, editor, batch)

    patch.setattr(Proposals, "_ask_and_commit", twice)


@bug
def the_answer_about_one_task_is_counted_for_all(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Proposals, "awaits", lambda self, task_id: False)


@bug
def an_answer_is_merged_without_its_base(patch: pytest.MonkeyPatch) -> None:
    merge = Desk.merge

    def baseless(
        self: Desk, plan: Any, proposed: Any, author: str = "", base: Any = None, own: Any = None
    ) -> Committed:
        return merge(self, plan, proposed, author)

    patch.setattr(Desk, "merge", baseless)


@bug
def what_lies_under_an_answer_of_ones_own_is_forgotten(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Changes, "touched_before", lambda self: {})


# ----------------------------------------------------------------------------------------------------- reviews
@bug
def a_review_holds_nothing(patch: pytest.MonkeyPatch) -> None:
    _stand_in_that_holds(patch, "none")


@bug
def a_review_holds_everything(patch: pytest.MonkeyPatch) -> None:
    _stand_in_that_holds(patch, "all")


def _stand_in_that_holds(patch: pytest.MonkeyPatch, scope: Any) -> None:
    stand_in = Desk._stand_in

    def held(self: Desk, plan: Any, transaction: Any) -> Draft:
        draft = stand_in(self, plan, transaction)
        draft.hold = scope
        return draft

    patch.setattr(Desk, "_stand_in", held)
