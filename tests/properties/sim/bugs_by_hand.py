"""Known bugs of what editors, setters, conditions and people do to a plan that runs; see bugs.py."""

from __future__ import annotations

from typing import Any

import pytest

from galaxy_core.model import applying
from galaxy_core.model.changes import Changes
from galaxy_core.model.events import EventType
from galaxy_core.model.graph import Graph
from galaxy_core.model.progress import Progress
from galaxy_core.model.result import UNSTARTED, TaskStatus
from galaxy_core.runtime.desk import Desk
from galaxy_core.runtime.editor import history
from galaxy_core.runtime.flow import Flow
from galaxy_core.runtime.worker import Worker
from tests.properties.sim.bugs import bug


# ----------------------------------------------------------------------------------------------------- an editor
@bug
def an_editor_is_not_reviewed(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Desk, "agreed", lambda self, plan, transaction: self._sound(plan, transaction))


@bug
def an_undo_of_an_editor_does_not_ask_what_has_started(patch: pytest.MonkeyPatch) -> None:
    perform, may_change, outdated = history.perform, Changes._may_change, applying.outdated
    undoing: list[bool] = []

    def careless(plan: Any, step: Any, kind: Any = EventType.EDIT_COMMITTED) -> Any:
        undoing.append(kind is EventType.EDIT_UNDONE)
        try:
            return perform(plan, step, kind)
        finally:
            undoing.pop()

    patch.setattr(history, "perform", careless)
    patch.setattr(Changes, "_may_change", lambda self, *what: undoing[-1:] == [True] or may_change(self, *what))
    patch.setattr(applying, "outdated", lambda *what: () if undoing[-1:] == [True] else outdated(*what))


@bug
def an_undo_of_an_editor_takes_back_what_others_did(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(history.Left, "problems", lambda self, plan: [])


# ----------------------------------------------------------------------------------------------------- by hand
@bug
def an_edit_in_place_is_not_noted(patch: pytest.MonkeyPatch) -> None:
    edited = Graph._edited

    def unnoted(self: Graph, *touched: Any) -> None:
        edited(self, *(touched if self._together else ()))

    patch.setattr(Graph, "_edited", unnoted)


@bug
def an_end_by_hand_frees_nobody(patch: pytest.MonkeyPatch) -> None:
    ended = Flow.task_ended
    patch.setattr(Flow, "task_ended", lambda self, task, ready, skipped: ended(self, task, (), skipped))


@bug
def an_end_by_hand_lets_the_attempt_go_on(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Flow, "worker_of", lambda self, task: None)


def _is_ready(self: Flow, task: Any) -> bool:
    return task in self.constellation._ready and task not in self.backing_off


@bug
def what_is_retried_by_hand_starts_beside_its_old_attempt(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Flow, "_can_start", _is_ready)


@bug
def an_old_attempt_ends_what_was_retried_by_hand(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Flow, "_can_start", _is_ready)
    patch.setattr(Worker, "was_at", lambda self, task: task._status is TaskStatus.RUNNING)


@bug
def a_retry_by_hand_is_not_taken_up(patch: pytest.MonkeyPatch) -> None:
    changed = Progress._status_changed

    def untold(self: Progress, task: Any, old: Any, new: Any) -> None:
        listener = self._listener
        self._listener = None if new in UNSTARTED and old is TaskStatus.FAILED else listener
        try:
            changed(self, task, old, new)
        finally:
            self._listener = listener

    patch.setattr(Progress, "_status_changed", untold)


# ----------------------------------------------------------------------------------------------------- conditions
@bug
def a_condition_is_asked_while_counts_do_not_agree(patch: pytest.MonkeyPatch) -> None:
    ask = Progress._ask

    def hasty(self: Progress, ended: Any, lines: Any, *what: Any) -> Any:
        for line in lines:
            line._target._pending -= 1
        try:
            return ask(self, ended, lines, *what)
        finally:
            for line in lines:
                if line._target is not None:
                    line._target._pending += 1

    patch.setattr(Progress, "_ask", hasty)


@bug
def what_a_condition_takes_out_is_started_all_the_same(patch: pytest.MonkeyPatch) -> None:
    settle = Progress._settle

    def stubborn(self: Progress, ended: Any, *what: Any, **more: Any) -> Any:
        before = [line._target for line in ended._out if line._open]
        ready, skipped = settle(self, ended, *what, **more)
        gone = [task for task in before if task is not None and task._owner is None and not task._pending]
        return [*ready, *gone], skipped

    patch.setattr(Progress, "_settle", stubborn)
    patch.setattr(Flow, "_can_start", lambda self, task: task._owner is None or _is_ready(self, task))


@bug
def an_answer_of_a_condition_counts_for_a_link_that_it_has_changed(patch: pytest.MonkeyPatch) -> None:
    patch.setattr("galaxy_core.model.progress.MAX_JUDGEMENTS", 1)
