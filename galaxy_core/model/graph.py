"""The graph of a plan: its ready frontier, its invariants, its revision.

Three invariants hold whoever edits, at any time: I1, a task has at most one device; I2, the graph is acyclic; I3, only
what has not started, and links into it, can be changed or removed.

The counters that make a run fast live on the tasks (`_pending`, the number of links into a task whose source has not
ended, and `_order`) and are kept here alone. Ending a task costs its out-degree, adding a link its affected region
(see order.py), and nothing that a run calls looks at the whole plan.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Self

from galaxy_core.errors import (
    ConditionError,
    CycleError,
    DuplicateIdError,
    ImmutableError,
    PlanError,
    TaskSkippedError,
    TransitionError,
    UnknownTaskError,
)
from galaxy_core.model.dependency import DependencyType, TaskStarLine
from galaxy_core.model.listener import Listener
from galaxy_core.model.order import Order
from galaxy_core.model.result import TERMINAL, UNSTARTED, TaskStatus
from galaxy_core.model.task import TaskStar

_PENDING, _RUNNING, _WAITING = TaskStatus.PENDING, TaskStatus.RUNNING, TaskStatus.WAITING_DEPENDENCY
_COMPLETED, _FAILED = TaskStatus.COMPLETED, TaskStatus.FAILED
_SKIPPED, _CANCELLED = TaskStatus.SKIPPED, TaskStatus.CANCELLED
_UNCONDITIONAL, _COMPLETION_ONLY = DependencyType.UNCONDITIONAL, DependencyType.COMPLETION_ONLY
_SUCCESS_ONLY = DependencyType.SUCCESS_ONLY
_NONE: tuple[TaskStar, ...] = ()


class Graph:
    """Tasks, links, and what follows from them. `TaskConstellation` is its public face."""

    __slots__ = (
        "__weakref__",
        "_cancelled",
        "_counts",
        "_created_at",
        "_ended_at",
        "_executing",
        "_id",
        "_lines",
        "_lines_by_id",
        "_listener",
        "_metadata",
        "_name",
        "_next_index",
        "_order",
        "_ready",
        "_revision",
        "_started_at",
        "_tasks",
        "_together",
        "_updated_at",
    )

    def __init__(self, constellation_id: str | None = None, name: str | None = None) -> None:
        now = time.time()
        if constellation_id is None:
            stamp = time.strftime("%Y%m%d_%H%M%S", time.localtime(now))
            constellation_id = f"constellation_{stamp}_{uuid.uuid4().hex[:8]}"
        self._id = constellation_id
        self._name = name or constellation_id
        self._tasks: dict[str, TaskStar] = {}
        self._lines: dict[TaskStarLine, None] = {}  # in the order of adding; ids are made only when asked for
        self._lines_by_id: dict[str, TaskStarLine] = {}
        self._metadata: dict[str, Any] = {}
        self._created_at = self._updated_at = now
        self._started_at: float | None = None
        self._ended_at: float | None = None
        self._executing = False
        self._cancelled = False
        self._counts: dict[TaskStatus, int] = dict.fromkeys(TaskStatus, 0)
        self._ready: dict[TaskStar, None] = {}
        self._revision = 0
        self._together = False
        self._next_index = 0
        self._order = Order()
        self._listener: Listener | None = None

    @classmethod
    def build(
        cls,
        tasks: Iterable[TaskStar],
        lines: Iterable[TaskStarLine],
        *,
        constellation_id: str | None = None,
        name: str | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> Self:
        """A constellation of all these at once, checked once: O(tasks + links).

        Statuses are taken as they are, and links are gated by the actual outcomes.

        Raises:
            DuplicateIdError, UnknownTaskError, CycleError: as when adding one by one.
        """
        built = cls(constellation_id, name)
        built._metadata = dict(metadata or {})
        try:
            for task in tasks:
                built._admit(task)
            for line in lines:
                built._attach(line, *built._ends(line))
            cycle = built._renumber()
            if cycle is not None:
                raise CycleError(cycle)
        except PlanError:
            built._release()
            raise
        for task in list(built._tasks.values()):
            if task._status in TERMINAL:
                built._settle(task, built._updated_at)
        built._revision = 1
        return built

    def _renumber(self) -> list[str] | None:
        """Order all tasks anew, after links were attached unchecked; or return a cycle's ids."""
        return self._order.number(self._tasks.values())

    def _release(self) -> None:
        """Give tasks and links back as they came, because the plan that they were given for cannot be."""
        for line in self._lines:
            line._source = line._target = None
        for task in self._tasks.values():
            task._owner = task._before = task._after = None
            task._pending = 0
            task._in.clear()
            task._out.clear()

    # ------------------------------------------------------------------------------------------- editing
    def add_task(self, task: TaskStar) -> None:
        """Add a task, in O(1).

        Raises:
            DuplicateIdError: there is one of that id.
            PlanError: the task belongs to a constellation already; add a copy of it.
        """
        self._admit(task)
        self._edited()
        if self._listener is not None and task in self._ready:
            self._listener.task_freed((task,), ())

    def remove_task(self, task_id: str) -> None:
        """Take a task that has not started out, with its links. Tasks that only waited for it become ready.

        Its links into tasks that were skipped or cancelled without it go with it.

        Raises:
            UnknownTaskError: there is no such task.
            ImmutableError: I3.
        """
        task = self._known(task_id)
        if not task.is_modifiable:
            raise ImmutableError("", task_id, task._standing, verb="remove")
        ready: list[TaskStar] = []
        for line in [*task._in, *task._out]:
            ready += self._detach(line)
        del self._tasks[task_id]
        self._order.remove(task)
        self._ready.pop(task, None)
        self._counts[task._status] -= 1
        task._owner = None
        self._edited()
        if self._listener is not None:
            self._listener.task_removed(task)
            self._listener.task_freed([freed for freed in ready if freed is not task], ())

    def add_dependency(self, dependency: TaskStarLine) -> None:
        """Add a link into a task that has not started. When its source has ended, it is judged at once.

        Costs the affected region of the topological order.

        Raises:
            DuplicateIdError: there is a link of that id.
            UnknownTaskError: its source or target is not in this constellation.
            ImmutableError: I3, the target has started.
            CycleError: I2.
        """
        source, target = self._ends(dependency)
        if not target.is_modifiable:
            raise ImmutableError("", target._task_id, target._standing, verb="add a dependency to")
        cycle = self._order.admit(source, target)
        if cycle is not None:
            raise CycleError(cycle, (dependency._from, dependency._to))
        self._attach(dependency, source, target)
        self._edited()
        if source._status in TERMINAL:
            ready, skipped = self._settle(source, self._updated_at)
            if self._listener is not None:
                self._listener.task_freed(ready, skipped)

    def remove_dependency(self, line_id: str) -> None:
        """Take a link out; nothing happens when there is none of that id.

        Raises:
            ImmutableError: I3, its target has started.
        """
        line = self._lines_by_id.get(line_id)
        if line is None:
            return
        assert line._target is not None
        if not line._target.is_modifiable:
            raise ImmutableError("", line._to, line._target._standing, verb="remove a dependency of")
        ready = self._detach(line)
        self._edited()
        if self._listener is not None:
            self._listener.task_freed(ready, ())

    def _known(self, task_id: str) -> TaskStar:
        task = self._tasks.get(task_id)
        if task is None:
            raise UnknownTaskError(task_id, self._tasks)
        return task

    def _ends(self, line: TaskStarLine) -> tuple[TaskStar, TaskStar]:
        """The live source and target of a link that is about to be added."""
        if line._source is not None or (line._line_id is not None and line._line_id in self._lines_by_id):
            raise DuplicateIdError("Dependency", line.line_id)
        source, target = self._tasks.get(line._from), self._tasks.get(line._to)
        if source is None:
            raise UnknownTaskError(line._from, self._tasks, "Source task")
        if target is None:
            raise UnknownTaskError(line._to, self._tasks, "Target task")
        return source, target

    def _admit(self, task: TaskStar) -> None:
        if task._task_id in self._tasks:
            raise DuplicateIdError("Task", task._task_id)
        if task._owner is not None:
            raise PlanError(
                f"Task {task._task_id} belongs to constellation {task._owner._id} already: add a copy of it (task.copy())"
            )
        task._owner = self
        task._index = self._next_index
        self._order.append(task)
        task._pending = 0
        self._next_index += 1
        self._tasks[task._task_id] = task
        self._counts[task._status] += 1
        if task._status in UNSTARTED:
            self._ready[task] = None

    def _attach(self, line: TaskStarLine, source: TaskStar, target: TaskStar) -> None:
        line._source, line._target = source, target
        source._out.append(line)
        target._in.append(line)
        line._open = target.is_modifiable  # what has started, in a plan that is built whole, waits for nothing
        if line._open:
            target._pending += 1
            target._ticket = 0
            self._ready.pop(target, None)
        self._lines[line] = None
        if line._line_id is not None:
            self._lines_by_id[line._line_id] = line

    def _detach(self, line: TaskStarLine) -> list[TaskStar]:
        """Take a link out; its target, if that became ready by it."""
        source, target = line._source, line._target
        assert source is not None
        assert target is not None
        source._out.remove(line)
        target._in.remove(line)
        del self._lines[line]
        if line._line_id is not None:
            self._lines_by_id.pop(line._line_id, None)
        line._source = line._target = None
        if line._open:
            target._pending -= 1
            if not target._pending and target._status in UNSTARTED:
                self._ready[target] = None
                return [target]
        return []

    def _edited(self) -> None:
        self._updated_at = time.time()
        if not self._together:
            self._revision += 1

    @contextmanager
    def _as_one_edit(self) -> Iterator[None]:
        """What is edited inside raises the revision once."""
        self._together = True
        try:
            yield
        finally:
            self._together = False
            self._revision += 1

    def _task_changed(self, task: TaskStar) -> None:
        """A setter of a task was used."""
        self._edited()
        if self._listener is not None:
            self._listener.task_changed(task)

    def _line_changed(self, line: TaskStarLine) -> None:
        """A link's type or condition was set; if its source has ended it is judged again."""
        self._edited()
        source, target = line._source, line._target
        assert source is not None
        assert target is not None
        if not line._open:
            line._open = True
            target._pending += 1
            target._ticket = 0
            self._ready.pop(target, None)
            ready, skipped = self._settle(source, self._updated_at)
            if self._listener is not None:
                self._listener.task_freed(ready, skipped)

    # ------------------------------------------------------------------------------------------- progress
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
        self, task: TaskStar, status: TaskStatus, result: Any, error: BaseException | None, at: float
    ) -> tuple[Sequence[TaskStar], Sequence[TaskStar]]:
        """End a task for good; returns the tasks that became ready and those that are skipped now. O(out-degree).

        For whoever drives the constellation (it is not called back). `task` must not have ended.
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
        return self._settle(task, at) if task._out else (_NONE, _NONE)

    def withdraw(self, task: TaskStar, error: BaseException, at: float) -> None:
        """Cancel a task that has not started without judging the links out of it, as when the whole run ends."""
        self._counts[task._status] -= 1
        self._counts[_CANCELLED] += 1
        self._ready.pop(task, None)
        task._status = _CANCELLED
        task._error = error
        task._updated_at = at

    def _settle(self, ended: TaskStar, at: float) -> tuple[Sequence[TaskStar], Sequence[TaskStar]]:
        """Judge the open links out of a task that has ended, and of those that are skipped by it, transitively."""
        ready: list[TaskStar] = []
        skipped: list[TaskStar] = []
        queue = [ended]
        for task in queue:
            succeeded = task._status is _COMPLETED
            for line in task._out:
                if not line._open:
                    continue
                line._open = False
                target = line._target
                assert target is not None
                target._pending -= 1
                kind = line._dependency_type
                if kind is _UNCONDITIONAL or kind is _COMPLETION_ONLY or (succeeded and kind is _SUCCESS_ONLY):
                    line._satisfied = line._evaluation = True
                    line._evaluated_at = at
                elif (cause := line.refusal(task)) is not None:
                    if target._status in UNSTARTED:
                        self._skip(target, cause, at)
                        skipped.append(target)
                        queue.append(target)
                    continue
                if not target._pending and target._status in UNSTARTED:
                    self._ready[target] = None
                    ready.append(target)
        return ready, skipped

    def _skip(self, task: TaskStar, cause: TaskSkippedError | ConditionError, at: float) -> None:
        self._counts[task._status] -= 1
        self._counts[_SKIPPED] += 1
        self._ready.pop(task, None)
        task._status = _SKIPPED
        task._error = cause
        task._updated_at = at

    def _status_changed(self, task: TaskStar, old: TaskStatus, new: TaskStatus) -> None:
        """A method of the task changed its status."""
        self._counts[old] -= 1
        self._counts[new] += 1
        self._updated_at = task._updated_at
        if new in UNSTARTED:
            self._reopen(task)
            if not task._pending:
                self._ready[task] = None
            return
        self._ready.pop(task, None)
        if new in TERMINAL:
            ready, skipped = self._settle(task, task._updated_at)
            if self._listener is not None:
                self._listener.task_ended(task, ready, skipped)

    def _reopen(self, task: TaskStar) -> None:
        """A task will run again: what has not started waits for it again. What it had skipped stays skipped."""
        for line in task._out:
            target = line._target
            assert target is not None
            if not line._open and target.is_modifiable:
                line._open = True
                line.reset_satisfaction()
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
        ready, skipped = self.end(task, status, result, None if success else error, time.time())
        if self._listener is not None:
            self._listener.task_ended(task, ready, skipped)
        return list(ready)
