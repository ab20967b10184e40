"""Progress: what follows when tasks start and end. The ready frontier, the counts, the links that are judged.

Ending a task costs its out-degree, and nothing here looks at the whole plan.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from galaxy_core.errors import ConditionError, TaskSkippedError, TransitionError, UnknownTaskError
from galaxy_core.model.dependency import DependencyType, TaskStarLine
from galaxy_core.model.listener import Listener, Recorder
from galaxy_core.model.result import TERMINAL, UNSTARTED, TaskStatus
from galaxy_core.model.task import TaskStar

_PENDING, _RUNNING, _WAITING = TaskStatus.PENDING, TaskStatus.RUNNING, TaskStatus.WAITING_DEPENDENCY
_COMPLETED, _FAILED = TaskStatus.COMPLETED, TaskStatus.FAILED
_SKIPPED, _CANCELLED = TaskStatus.SKIPPED, TaskStatus.CANCELLED
_UNCONDITIONAL, _COMPLETION_ONLY = DependencyType.UNCONDITIONAL, DependencyType.COMPLETION_ONLY
_SUCCESS_ONLY = DependencyType.SUCCESS_ONLY
_NONE: tuple[TaskStar, ...] = ()
#: How often a link is judged by one end whose condition changes that link each time.
MAX_JUDGEMENTS = 10


class Progress:
    """The tasks of a plan as a run sees them. `Graph` adds what edits the plan."""

    __slots__ = (
        "__weakref__",
        "_broken",
        "_cancelled",
        "_counts",
        "_listener",
        "_ready",
        "_recorder",
        "_tasks",
        "_updated_at",
        "_withheld",
    )

    def __init__(self, now: float) -> None:
        self._tasks: dict[str, TaskStar] = {}
        self._counts: dict[TaskStatus, int] = dict.fromkeys(TaskStatus, 0)
        self._ready: dict[TaskStar, None] = {}
        self._listener: Listener | None = None
        self._recorder: Recorder | None = None
        self._cancelled = False
        self._broken = 0  # tasks that are skipped because a condition could not be evaluated
        self._updated_at = now
        # Links whose source has ended in a way that they do not accept, while an editor may still change that.
        self._withheld: dict[TaskStarLine, None] = {}

    def _known(self, task_id: str) -> TaskStar:
        task = self._tasks.get(task_id)
        if task is None:
            raise UnknownTaskError(task_id, self._tasks)
        return task

    def begin(self, task: TaskStar, at: float) -> None:
        """Start a ready task at `at` (seconds since the epoch).

        Raises:
            TransitionError: it is not pending, or waits for prerequisites.
        """
        if task._pending or (task._status is not _PENDING and task._status is not _WAITING):
            task._start(at)  # it has the words for the error
        counts = self._counts
        counts[task._status] -= 1
        counts[_RUNNING] += 1
        self._ready.pop(task, None)
        task._status = _RUNNING
        task._started_at = task._updated_at = self._updated_at = at
        task._ended_at = None
        task._attempts += 1

    def end(
        self,
        task: TaskStar,
        status: TaskStatus,
        result: Any,
        error: BaseException | None,
        at: float,
        withhold: bool = False,
    ) -> tuple[Sequence[TaskStar], Sequence[TaskStar]]:
        """End a task for good; returns the tasks that became ready and those that are skipped now. O(out-degree).

        For whoever drives the constellation (it is not called back). `task` must not have ended. With `withhold`,
        nothing is skipped by this end before `judge_withheld`: somebody may still find another way for it.
        """
        old = task._status
        task._status = status
        task._result = result
        task._error = error
        task._ended_at = task._updated_at = self._updated_at = at
        counts = self._counts
        counts[old] -= 1
        counts[status] += 1
        if old is not _RUNNING:
            self._ready.pop(task, None)
        if self._recorder is not None:
            self._recorder.ended(task, withhold)
        return self._settle(task, at, withhold=withhold) if task._out else (_NONE, _NONE)

    def judge_withheld(self, lines: Sequence[TaskStarLine], at: float) -> tuple[Sequence[TaskStar], Sequence[TaskStar]]:
        """Judge links that were withheld, as they are by now; the tasks that became ready, and those that are skipped."""
        ready: list[TaskStar] = []
        skipped: list[TaskStar] = []
        for line in lines:
            if line not in self._withheld:
                continue  # a condition that was judged just now has removed it
            del self._withheld[line]
            source = line._source
            if self._recorder is not None:
                self._recorder.touched(line)
            if source is not None and line._open and source._status in TERMINAL:
                freed, without = self._settle(source, at, line)
                ready += freed
                skipped += without
        return [task for task in ready if task in self._ready], skipped  # what a condition did since may count, too

    def withdraw(self, task: TaskStar, error: BaseException, at: float) -> None:
        """Cancel a task that has not started without judging the links out of it, as when the whole run ends."""
        self._counts[task._status] -= 1
        self._counts[_CANCELLED] += 1
        self._ready.pop(task, None)
        task._status = _CANCELLED
        task._error = error
        task._updated_at = at

    def _settle(
        self, ended: TaskStar, at: float, only: TaskStarLine | None = None, withhold: bool = False
    ) -> tuple[Sequence[TaskStar], Sequence[TaskStar]]:
        """Judge the open links out of a task that has ended, and of those that are skipped by it, transitively.

        With `only`, of the links out of the ended task just that one. With `withhold`, those that refuse stay open.
        """
        ready: list[TaskStar] = []
        queue = [ended]
        uncertain: list[TaskStarLine] | None = None
        asked = False
        for task in queue:
            before = len(ready)
            succeeded = task._status is _COMPLETED
            if asked and self._recorder is not None:
                self._recorder.skipped(task)
            for line in task._out if only is None or task is not ended else (only,):
                if not line._open:
                    continue
                kind = line._dependency_type
                if kind is _UNCONDITIONAL or (succeeded and kind is _SUCCESS_ONLY) or kind is _COMPLETION_ONLY:
                    line._open = False
                    line._satisfied = line._evaluation = True
                    line._evaluated_at = at
                    target: TaskStar = line._target  # type: ignore[assignment]  # a link of a plan has both its ends
                    left = target._pending = target._pending - 1
                    if not left and (target._status is _PENDING or target._status is _WAITING):
                        self._ready[target] = None
                        ready.append(target)
                elif uncertain is None:
                    uncertain = [line]
                else:
                    uncertain.append(line)
            if uncertain is not None:
                place = {line._target: index for index, line in enumerate(task._out)}
                queue += self._ask(task, uncertain, ready, at, withhold)
                ready[before:] = sorted(
                    ready[before:], key=place.__getitem__
                )  # as if the links were judged in their order
                uncertain, asked = None, True
        if not asked:
            return ready, _NONE
        return [task for task in ready if task in self._ready], queue[1:]

    def _ask(
        self, ended: TaskStar, lines: Sequence[TaskStarLine], ready: list[TaskStar], at: float, withhold: bool
    ) -> list[TaskStar]:
        """Judge links whose type alone does not decide; adds to `ready`, and returns the tasks that are skipped.

        Conditions are anybody's code, which may even edit this very plan. So all counts agree whenever one is asked,
        and its answer counts only for a link that still stands afterwards.
        """
        skipped, withheld = [], []
        for line in lines:
            if not _stands(line, ended):
                continue
            cause = _judged(line, ended)
            if not _stands(line, ended):
                continue
            target = line._target
            assert target is not None
            waits = target._status in UNSTARTED
            if cause is not None and waits and withhold:
                withheld.append(line)
                continue
            line._open = False
            target._pending -= 1
            if self._recorder is not None:
                self._recorder.judged(line)
            if waits and cause is not None:
                self._skip(target, cause, at)
                skipped.append(target)
            elif waits and not target._pending:
                self._ready[target] = None
                ready.append(target)
        # Not before: what a condition does may have them judged that nobody waits for, and nobody knows of this end yet.
        self._withheld.update(dict.fromkeys(line for line in withheld if _stands(line, ended)))
        return skipped

    def _skip(self, task: TaskStar, cause: TaskSkippedError | ConditionError, at: float) -> None:
        self._counts[task._status] -= 1
        self._counts[_SKIPPED] += 1
        self._ready.pop(task, None)
        task._status = _SKIPPED
        task._error = cause
        task._updated_at = at
        if isinstance(cause, ConditionError):
            self._broken += 1

    def _status_changed(self, task: TaskStar, old: TaskStatus, new: TaskStatus) -> None:
        """A method of the task changed its status."""
        self._counts[old] -= 1
        self._counts[new] += 1
        self._updated_at = task._updated_at
        if self._recorder is not None:
            self._recorder.changed_status(task)
        if new in UNSTARTED:
            self._reopen(task)
            if not task._pending:
                self._ready[task] = None
                if self._listener is not None:
                    self._listener.task_freed((task,), ())
            return
        task._ticket = 0
        self._ready.pop(task, None)
        if new in TERMINAL:
            ready, skipped = self._settle(task, task._updated_at, withhold=self._withholds(task, new))
            if self._listener is not None:
                self._listener.task_ended(task, ready, skipped)

    def _withholds(self, task: TaskStar, status: TaskStatus) -> bool:
        return self._listener is not None and self._listener.withholds(task, status)

    def _reopen(self, task: TaskStar) -> None:
        """A task will run again: what has not started waits for it again. What it had skipped stays skipped."""
        for line in task._out:
            target = line._target
            assert target is not None
            self._withheld.pop(line, None)
            if not line._open and target.is_modifiable:
                line._open = True
                line._forget()
                if self._recorder is not None:
                    self._recorder.touched(line)
                target._pending += 1
                target._ticket = 0
                self._ready.pop(target, None)

    def mark_task_completed(
        self, task_id: str, success: bool, result: Any = None, error: BaseException | None = None
    ) -> list[TaskStar]:
        """End a task, starting it first if it is pending; the tasks that became ready by it, each once.

        Raises:
            UnknownTaskError: there is no such task.
            TransitionError: it has ended already, or waits for prerequisites.
        """
        task = self._known(task_id)
        if task._status in UNSTARTED:
            task.start_execution()
        if task._status is not _RUNNING:
            raise TransitionError("complete" if success else "fail", task_id, task._status.value)
        status = _COMPLETED if success else _FAILED
        withhold = self._withholds(task, status)
        ready, skipped = self.end(task, status, result, None if success else error, time.time(), withhold)
        if self._listener is not None:
            self._listener.task_ended(task, ready, skipped)
        return list(ready)


def _judged(line: TaskStarLine, source: TaskStar) -> TaskSkippedError | ConditionError | None:
    """Why a link does not let its target run; judged anew, within reason, when its condition has changed the very link."""
    cause = None
    for _ in range(MAX_JUDGEMENTS):
        kind, evaluator = line._dependency_type, line._evaluator
        cause = line._refused(source)
        if not _stands(line, source) or (line._dependency_type is kind and line._evaluator is evaluator):
            break
    return cause


def _stands(line: TaskStarLine, source: TaskStar) -> bool:
    """Whether a link is still to be judged by the end of its source."""
    return line._open and line._source is source and source._status in TERMINAL
