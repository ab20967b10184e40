"""Placer: finds devices for the ready tasks of one run, early or late, and again when devices come."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from galaxy_core.errors import AssignmentError, StrategyError, UnknownDeviceError
from galaxy_core.extension.interfaces import AssignmentStrategy
from galaxy_core.model.result import UNSTARTED
from galaxy_core.model.task import TaskStar
from galaxy_core.runtime.choosing import LateBinding
from galaxy_core.runtime.lanes import needs_of
from galaxy_core.runtime.placing import ask, no_fit, no_fit_on

if TYPE_CHECKING:
    from galaxy_core.runtime.flow import Flow
    from galaxy_core.runtime.lanes import Lane


class Placer:
    """Places the ready tasks of one run, by one strategy (or none, when every task has its device)."""

    def __init__(self, strategy: AssignmentStrategy | None, known: Iterable[str] = ()) -> None:
        self.strategy = strategy
        self._known = set(known)
        choose = getattr(strategy, "choose", None)
        self._late = LateBinding(strategy, choose) if strategy is not None and callable(choose) else None

    @property
    def binds_late(self) -> bool:
        """Whether tasks get their device only when they start."""
        return self._late is not None

    @property
    def first(self) -> tuple[int, int]:
        """Rank and ticket of the best task that waits for a choice; lower is sooner."""
        assert self._late is not None
        return self._late.first

    def waits(self, task: TaskStar) -> bool:
        """Whether a ready task waits for the strategy to choose a device for it."""
        return self._late is not None and self._late.waits(task)

    def place(self, run: Flow, tasks: Sequence[TaskStar]) -> None:
        """Find devices for ready tasks; those that must wait for one wait, those that fit nowhere fail."""
        placeable: list[TaskStar] = []
        for task in tasks:
            error = self._refusal(run, task)
            if error is not None:
                run.fail_unplaced(task, error)
            elif task._pinned or self.strategy is None:
                run.enqueue(task, run.book.lanes[task._target_device_id or ""])
            elif run.book.fitting(needs_of(task)):
                placeable.append(task)
            else:
                run.waiting[task] = None
        if not placeable:
            return
        if self._late is not None:
            self._late.add(run, placeable)
            return
        assert self.strategy is not None
        try:
            placed = ask(self.strategy, run.book, placeable, run.constellation)
        except StrategyError as broken:
            for task in placeable:
                run.fail_unplaced(task, broken)
            return
        at = run.wall()
        for task in placeable:
            lane = run.book.lanes[placed[task._task_id]]
            run.assign(task, lane)
            run.reports.assigned(task, lane.device_id, at)
            run.enqueue(task, lane)

    def _refusal(self, run: Flow, task: TaskStar) -> AssignmentError | None:
        book = run.book
        device_id = task._target_device_id
        if task._pinned or (self.strategy is None and device_id is not None):
            device_id = device_id or ""
            lane = book.lanes.get(device_id)
            if lane is None:
                return UnknownDeviceError(device_id, book.lanes)
            if (lane.gone and lane.session is None) or lane.lacks(needs_of(task)) is not None:
                return no_fit_on(lane, task)
            return None
        if self.strategy is None:
            return AssignmentError(
                f"Task {task._task_id!r} has no device, and the run has no strategy to find one: "
                "set target_device_id, or give assignment_strategy."
            )
        if not book.fitting(needs_of(task), "coming"):
            return no_fit(book, needs_of(task), [task])
        return None

    def rebalance(self, run: Flow, lane: Lane) -> list[TaskStar]:
        """A device came: tasks that should be placed anew because of it. A device seen before changes nothing."""
        if lane.device_id in self._known or self.strategy is None:
            self.choose(run)
            return []
        self._known.add(lane.device_id)
        if self.binds_late:
            self.choose(run)
            return []
        unstarted = [
            task
            for task in run.constellation._tasks.values()
            if task._status in UNSTARTED and not task._pinned and lane.lacks(needs_of(task)) is None
        ]
        queued = [task for task in unstarted if task._ticket]
        before = [task._target_device_id for task in unstarted]
        for task in unstarted:
            run.unassign(task)
        try:
            placed = ask(self.strategy, run.book, unstarted, run.constellation)
        except StrategyError:
            return queued  # each is placed when it is ready, and fails if the strategy is still broken then
        at = run.wall()
        for task, old in zip(unstarted, before, strict=True):
            run.assign(task, run.book.lanes[placed[task._task_id]])
            if task._target_device_id != old:
                run.reports.assigned(task, placed[task._task_id], at)
        return queued

    def choose(self, run: Flow) -> None:
        """A slot came free, or a device came: a late-binding strategy may give it to a ready task."""
        if self._late is not None:
            self._late.choose(run)

    def take(self, run: Flow) -> list[TaskStar]:
        """Take the tasks that wait for a choice, which wait here no longer."""
        return self._late.take(run) if self._late is not None else []

    def recheck(self, run: Flow) -> None:
        """A device was given up: what waits for a choice may fit nowhere any more."""
        if self._late is not None:
            self._late.recheck(run)
