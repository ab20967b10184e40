"""The graph of a plan: its ready frontier, its invariants, its revision.

Three invariants hold whoever edits, at any time: I1, a task has at most one device; I2, the graph is acyclic; I3, only
what has not started, and links into it, can be changed or removed.

The counters that make a run fast live on the tasks (`_pending`, the number of links into a task whose source has not
ended, and `_order`) and are kept here alone. Ending a task costs its out-degree, adding a link its affected region
(see order.py), and nothing that a run calls looks at the whole plan.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Self

from galaxy_core.errors import (
    CycleError,
    DuplicateIdError,
    ImmutableError,
    InvalidPlanError,
    PlanError,
    UnknownTaskError,
)
from galaxy_core.model.dependency import TaskStarLine
from galaxy_core.model.listener import Deferred
from galaxy_core.model.naming import LineIndex
from galaxy_core.model.order import Order
from galaxy_core.model.progress import Progress
from galaxy_core.model.result import TERMINAL, UNSTARTED, new_id
from galaxy_core.model.task import TaskStar

if TYPE_CHECKING:
    from galaxy_core.model.edits import Transaction

#: Links on one side of a task up to which a list is quicker to remove one from.
_MANY = 256


class Fan(dict[TaskStarLine, None]):
    """The links on one side of a task that has very many, in the order of adding; each is removed in O(1).

    A list takes a sixth of the memory and is as quick to walk, so a side becomes a fan only when it is long and a link
    is removed from it: to take 100,000 links off one task takes 0.3 s instead of 30.
    """

    __slots__ = ()

    def append(self, line: TaskStarLine) -> None:
        self[line] = None

    def remove(self, line: TaskStarLine) -> None:
        del self[line]


class Graph(Progress):
    """Tasks, links, and what follows from them. `TaskConstellation` is its public face."""

    __slots__ = (
        "_created_at",
        "_ended_at",
        "_executing",
        "_id",
        "_lines",
        "_lines_by_id",
        "_metadata",
        "_name",
        "_next_index",
        "_order",
        "_revision",
        "_started_at",
        "_together",
        "_touched",
        "_tracked_since",
    )

    def __init__(self, constellation_id: str | None = None, name: str | None = None) -> None:
        now = time.time()
        super().__init__(now)
        if constellation_id is None:
            stamp = time.strftime("%Y%m%d_%H%M%S", time.localtime(now))
            constellation_id = f"constellation_{stamp}_{new_id()[:8]}"
        self._id = constellation_id
        self._name = name or constellation_id
        self._lines: dict[TaskStarLine, None] = {}  # in the order of adding; ids are made only when asked for
        self._lines_by_id = LineIndex(self._lines)
        self._metadata: dict[str, Any] = {}
        self._created_at = now
        self._started_at: float | None = None
        self._ended_at: float | None = None
        self._executing = False
        self._revision = 0
        self._together = False
        # What was edited at which revision, once somebody asked to be told (`track_edits`).
        self._touched: dict[object, int] | None = None
        self._tracked_since = 0
        self._next_index = 0
        self._order = Order()

    @classmethod
    def build(
        cls,
        tasks: Iterable[TaskStar],
        lines: Iterable[TaskStarLine],
        *,
        constellation_id: str | None = None,
        name: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        withheld: Iterable[TaskStarLine] = (),
    ) -> Self:
        """A constellation of all these at once, checked once: O(tasks + links).

        Statuses are taken as they are, and links are gated by the actual outcomes; those of the links that are `withheld`
        wait to be judged (see `judge_withheld`).

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
        waiting = [line for line in withheld if line._open and line._source is not None]
        for line in waiting:
            line._open = False  # so that it is not judged now
        for task in list(built._tasks.values()):
            if task._status in TERMINAL:
                built._settle(task, built._updated_at)
        for line in waiting:
            line._open = True
            if line._source is not None and line._source._status in TERMINAL:
                built._withheld[line] = None
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
            InvalidPlanError: the plan is running, and the task says what no run could work with.
        """
        if self._listener is not None and (problems := task._unrunnable()):
            raise InvalidPlanError(problems, f"Task {task._task_id!r} cannot be added to a running plan")
        self._admit(task)
        self._edited(task._task_id)
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
        lines = [*task._in, *task._out]
        for line in lines:
            ready += self._detach(line)
        self._drop(task)
        self._edited(task_id, *lines)
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
        self._edited(dependency)
        if source._status in TERMINAL:
            ready, skipped = self._settle(source, self._updated_at, dependency)
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
        self._edited(line)
        if self._listener is not None:
            self._listener.task_freed(ready, ())

    def _ends(self, line: TaskStarLine) -> tuple[TaskStar, TaskStar]:
        """The live source and target of a link that is about to be added."""
        if line._source is not None or (isinstance(line._line_id, str) and line._line_id in self._lines_by_id):
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
                f"Task {task._task_id!r} belongs to constellation {task._owner._id!r} already: add a copy of it (task.copy())"
            )
        task._owner = self
        task._index = self._next_index
        self._order.append(task)
        task._pending = 0
        self._next_index += 1
        self._tasks[task._task_id] = task
        if self._recorder is not None:
            self._recorder.admitted(task)
        self._counts[task._status] += 1
        if task._status in UNSTARTED:
            self._ready[task] = None

    def _drop(self, task: TaskStar) -> None:
        """Take out a task that has no links any more."""
        del self._tasks[task._task_id]
        self._order.remove(task)
        self._ready.pop(task, None)
        self._counts[task._status] -= 1
        task._owner = None
        if self._recorder is not None:
            self._recorder.dropped(task)
        if self._touched is not None:
            self._touched["gone", task._task_id] = self._revision + 1

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
        if isinstance(line._line_id, str):
            self._lines_by_id[line._line_id] = line
        if self._recorder is not None:
            self._recorder.attached(line)

    def _detach(self, line: TaskStarLine) -> list[TaskStar]:
        """Take a link out; its target, if that became ready by it."""
        source, target = line._source, line._target
        assert source is not None
        assert target is not None
        if len(source._out) > _MANY and type(source._out) is list:
            source._out = Fan(dict.fromkeys(source._out))
        if len(target._in) > _MANY and type(target._in) is list:
            target._in = Fan(dict.fromkeys(target._in))
        source._out.remove(line)
        target._in.remove(line)
        del self._lines[line]
        if self._withheld:
            self._withheld.pop(line, None)
        if line._line_id is not None:
            self._lines_by_id.pop(line.line_id, None)  # a number is its id from now on: it is of this plan
        if self._recorder is not None:
            self._recorder.detached(line)
        line._source = line._target = None
        if line._open:
            target._pending -= 1
            if not target._pending and target._status in UNSTARTED:
                self._ready[target] = None
                return [target]
        return []

    def _edited(self, *touched: str | TaskStarLine) -> None:
        """Something was edited: tasks, by their ids, and links."""
        self._updated_at = time.time()
        if not self._together:
            self._revision += 1
        if self._recorder is not None:
            self._recorder.touched(*touched)
        if self._touched is not None:
            revision = self._revision + self._together
            for key in touched:
                if isinstance(key, str):
                    self._touched[key] = revision
                else:  # both names that a transaction may have for it
                    self._touched["link", key.line_id] = self._touched["link", (key._from, key._to)] = revision

    def track_edits(self) -> None:
        """From now on note what is edited at which revision, so that transactions can be based on one. O(edits) memory."""
        if self._touched is None:
            self._touched, self._tracked_since = {}, self._revision

    def _touched_after(self, key: object, revision: int) -> bool:
        """Whether something was, or may have been, edited after `revision`.

        A task by its id, a link by "link" and its id or both ends, the taking out of a task by "gone" and its id.
        """
        if self._touched is None or revision < self._tracked_since:
            return self._revision > revision
        return self._touched.get(key, -1) > revision

    @contextmanager
    def _as_one_edit(self, transaction: Transaction, edit_id: str | None) -> Iterator[None]:
        """What is edited inside raises the revision once, and whoever listens hears of it when all is done."""
        listener = self._listener
        deferred = Deferred(listener)
        self._together = True
        self._listener = deferred if listener is not None else None
        try:
            yield
        finally:
            self._together = False
            self._listener = listener
            self._revision += 1
            if self._recorder is not None:
                self._recorder.edited(edit_id, transaction)
            deferred.tell()

    def _task_changed(self, task: TaskStar) -> None:
        """A setter of a task was used."""
        self._edited(task._task_id)
        if self._listener is not None:
            self._listener.task_changed(task)

    def _line_changed(self, line: TaskStarLine) -> None:
        """A link's type or condition was set; if its source has ended it is judged again."""
        self._edited(line)
        assert line._source is not None
        if not line._open:
            self._unsettle(line)
            ready, skipped = self._settle(line._source, self._updated_at, line)
            if self._listener is not None:
                self._listener.task_freed(ready, skipped)

    def _unsettle(self, line: TaskStarLine) -> None:
        """Have the target of a link wait for it (again)."""
        target = line._target
        assert target is not None
        if not line._open:
            line._open = True
            if self._recorder is not None:
                self._recorder.touched(line)
            target._pending += 1
            target._ticket = 0
            self._ready.pop(target, None)
