"""Drafts: edits of a plan while they are being prepared. A draft collects operations, holds what they touch, and commits."""

from __future__ import annotations

from collections.abc import Iterable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from attrs import frozen

from galaxy_core.errors import EditError, EditProblem
from galaxy_core.model.constellation import TaskConstellation
from galaxy_core.model.dependency import TaskStarLine
from galaxy_core.model.edits import (
    AddDependency,
    AddTask,
    LinkName,
    Operation,
    RemoveDependency,
    RemoveTask,
    ReplacePlan,
    Transaction,
    UpdateDependency,
    UpdateTask,
    checked_operations,
)
from galaxy_core.model.edits_rebase import fitting
from galaxy_core.model.result import new_id
from galaxy_core.model.snapshot import snapshot
from galaxy_core.model.task import TaskStar
from galaxy_core.runtime.holding import HoldScope, is_reached

if TYPE_CHECKING:
    from galaxy_core.model.preview import Preview
    from galaxy_core.runtime.desk import Desk


@frozen
class Committed:
    """An edit that took effect, at `revision` of the plan. `inverse` takes it back (`synchronizer.undo`)."""

    edit_id: str
    constellation_id: str
    revision: int
    transaction: Transaction
    inverse: Transaction


class Draft:
    """An edit of one plan that is being prepared; made by `synchronizer.edit(…)`, and used in ``async with``.

    It is based on the plan as it was when the draft was opened. Operations are collected and take effect together when
    the block ends, or at `commit`: if something that they touch was edited by somebody else, or has started, the commit
    is refused and nothing is changed. A block that raises, or is cancelled, commits nothing.
    """

    def __init__(
        self,
        plan: TaskConstellation,
        desk: Desk,
        *,
        hold: HoldScope,
        around: Iterable[str] = (),
        timeout_s: float,
        description: str = "",
        author: str = "",
    ) -> None:
        plan.track_edits()
        self.edit_id = new_id()
        self.constellation_id = plan.constellation_id
        self.base_revision = plan.revision
        self.hold = hold
        self.timeout_s = timeout_s
        self.description, self.author = description, author
        self.committed: Committed | None = None
        self._plan, self._desk = plan, desk
        self._snapshot: TaskConstellation | None = None
        self._operations: list[Operation] = []
        if isinstance(around, str):
            raise ValueError(f"around takes ids of tasks, as a list, not the text {around!r}")
        self._around = tuple(around)
        self._held = dict.fromkeys(self._around)
        self._committing = False
        self._over = ""  # why nothing can be committed any more

    def __repr__(self) -> str:
        return f"<Draft {self.edit_id} of {self.constellation_id!r}: {len(self._operations)} operations>"

    # ------------------------------------------------------------------------------------------- the plan
    @property
    def plan(self) -> TaskConstellation:
        """A copy of the plan as it was when this was first asked for: consistent, and free to be changed. O(tasks + links)."""
        if self._snapshot is None:
            self._snapshot = snapshot(self._plan)
            if not self._operations:
                self.base_revision = self._plan.revision  # what is seen here is what the operations will be about
        return self._snapshot

    @property
    def transaction(self) -> Transaction:
        """What would be committed now."""
        return Transaction(self._operations, self.base_revision, self.description, self.author)

    def problems(self) -> list[EditProblem]:
        """Why a commit would be refused now; empty when it would not."""
        return self._desk.problems(self._plan, self.transaction)

    def preview(self) -> Preview:
        """What a commit would change now."""
        return self._desk.preview(self._plan, self.transaction)

    def covers(self, task: TaskStar) -> bool:
        """Whether it holds a task that could start."""
        if self.hold != "footprint":
            return self.hold == "all"
        # What is tried again has started: no edit can change it.
        return bool(self._held) and not task._attempts and is_reached(task, self._held)

    # ------------------------------------------------------------------------------------------- operations
    def add(self, *operations: Operation) -> Self:
        """Add operations. What they touch is held from now on.

        Raises:
            EditError: the draft is over: committed, discarded, or too late; or something is no operation.
        """
        self._check_open()
        for operation in checked_operations(operations):
            self._operations.append(operation)
            self._held.update(dict.fromkeys(self._touches(operation)))
        return self

    def add_task(self, task: TaskStar) -> Self:
        """Add a copy of a task."""
        return self.add(AddTask(task))

    def remove_task(self, task_id: str) -> Self:
        """Take a task out, with its links."""
        return self.add(RemoveTask(task_id))

    def update_task(self, task_id: str, **changes: Any) -> Self:
        """Change fields of a task: those of `TASK_FIELDS`."""
        return self.add(UpdateTask(task_id, changes))

    def add_dependency(self, line: TaskStarLine) -> Self:
        """Add a copy of a link."""
        return self.add(AddDependency(line))

    def remove_dependency(self, link: LinkName) -> Self:
        """Take a link out: by its id, or by the ids of both its tasks."""
        return self.add(RemoveDependency(link))

    def update_dependency(self, link: LinkName, **changes: Any) -> Self:
        """Change fields of a link: those of `LINE_FIELDS`."""
        return self.add(UpdateDependency(link, changes))

    def replace(self, plan: TaskConstellation) -> Self:
        """Make the plan what another one says, by ids, as far as it has not started."""
        return self.add(ReplacePlan(plan))

    def _touches(self, operation: Operation) -> Iterable[str]:
        match operation:
            case AddTask(task):
                return (task.task_id,)
            case RemoveTask(task_id) | UpdateTask(task_id):
                return (task_id,)
            case AddDependency(line):
                return (line.to_task_id,)
            case RemoveDependency(link) | UpdateDependency(link):
                if not isinstance(link, str):
                    return (link[1],)
                found = self._plan.get_dependency(link)
                return () if found is None else (found.to_task_id,)
            case ReplacePlan(proposed):
                return {*self._plan.tasks, *proposed.tasks}

    # ------------------------------------------------------------------------------------------- its end
    @property
    def is_over(self) -> bool:
        """Whether it was committed or discarded, or its time or its run is over."""
        return bool(self._over)

    def _check_open(self) -> None:
        if self._committing:
            what = "it is being reviewed, and what is reviewed cannot change"
            raise EditError([EditProblem("over", what)], f"The edit {str(self.transaction)!r}")
        if self._over:
            raise EditError([EditProblem("over", self._over)], f"The edit {str(self.transaction)!r}")

    def close(self, why: str) -> None:
        """Nothing can be committed from now on, because of `why`; what it held is free."""
        if not self._over:
            self._over = why
            self._desk.closed(self)

    def discard(self) -> None:
        """Commit nothing."""
        self.close("it was discarded")

    async def commit(self) -> Committed:
        """Have all operations take effect at once. Waits only for plugins that review edits.

        Raises:
            EditConflictError: some do not fit any more, because of what happened since the draft was opened; `rebase`
                drops those. The draft stays open.
            EditError: some could never have been, or the draft is over.
        """
        try:
            self._check_open()
        except EditError as error:
            self._desk.refused(self._plan, self.transaction, self.edit_id, error)
            raise
        self._committing = True
        try:
            self.committed = await self._desk.commit(self._plan, self.transaction, self)
        finally:
            self._committing = False
        self.close("it was committed already")
        return self.committed

    def rebase(self) -> list[EditProblem]:
        """Base the draft on the plan as it is now, and drop the operations that do not fit it; why they do not.

        The places of operations in the reasons are those that they had until now.
        """
        self._check_open()
        self._operations, dropped = fitting(self._plan, self.transaction, self._desk.unfeasible)
        self.base_revision, self._snapshot = self._plan.revision, None
        self._held = dict.fromkeys(self._around)
        for operation in self._operations:
            self._held.update(dict.fromkeys(self._touches(operation)))
        self._desk.changed()
        return dropped

    async def __aenter__(self) -> Self:
        self._desk.opened(self)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None and self.committed is None and not (self._over and not self._operations):
                if self._over == "it was discarded":
                    return
                await self.commit()
        finally:
            self.close("its block has ended")


def checked_plan(
    plan: TaskConstellation | None, constellation_id: str | None, known: Iterable[str]
) -> TaskConstellation:
    """The plan that an edit is about.

    Raises:
        EditError: there is none.
    """
    if plan is not None:
        return plan
    running = ", ".join(map(repr, known)) or "none"
    reason = f"constellation {constellation_id!r} neither runs nor is registered; there is: {running}"
    if constellation_id is None:
        reason = f"not exactly one constellation runs; name one of: {running}"
    raise EditError([EditProblem("unknown", reason, None, constellation_id or "")])
