"""What a transaction comes to on one plan: checked whole, applied whole, and taken back.

Checking reads and changes nothing; it costs what the operations touch, not the size of the plan. Each operation is
judged by what those before it have left; cycles and inputs by the plan that the sound ones among them lead to, so that
the order of operations matters only where they name the same thing. What was found sound applies without fail.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

from galaxy_core.errors import EditConflictError, EditError, EditProblem, GalaxyError, nearest
from galaxy_core.model import applying
from galaxy_core.model.constellation import TaskConstellation
from galaxy_core.model.dependency import TaskStarLine
from galaxy_core.model.differences import (
    changed_line,
    changed_task,
    line_differences,
    operations_towards,
    task_differences,
)
from galaxy_core.model.doubts import Doubts
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
    named,
)
from galaxy_core.model.net_plan import all_cycles, cycles, missing_inputs
from galaxy_core.model.result import TERMINAL
from galaxy_core.model.task import TaskStar
from galaxy_core.model.validity import change_problems, line_problems, task_problems

#: Problems up to which near ids are looked for, at the cost of a walk over all of them.
_HINTED = 5

_Lines = dict[str, TaskStarLine]
#: By the revision that an edit made, at which one each thing that it touched had been edited before.
Own = Mapping[int, Mapping[object, int]]
_NO_LINES: _Lines = {}
NO_EDITS: Own = {}


class Changes:
    """What a transaction comes to on `plan` as it is now: sound when there are no `problems`.

    `removed_…` hold live objects, `new_…` and `updated_…` detached ones that say what is to be, all by id. A task that
    is taken out and added anew is in both. The links of a removed task are removed, too.

    Edits at the revisions in `own` are no conflict, because the author of the transaction has made them: what counts is
    what was edited before each of them (`touched_before`).

    Of cycles and inputs, those are left out that may only come of the refusal of other operations. Of many cycles some
    are told, and all with `every_cycle`.
    """

    def __init__(
        self, plan: TaskConstellation, transaction: Transaction, own: Own = NO_EDITS, *, every_cycle: bool = False
    ) -> None:
        self.plan = plan
        self.transaction = transaction
        self.problems: list[EditProblem] = []
        self.removed_tasks: dict[str, TaskStar] = {}
        self.new_tasks: dict[str, TaskStar] = {}
        self.updated_tasks: dict[str, TaskStar] = {}
        self.removed_lines: _Lines = {}
        self.new_lines: _Lines = {}
        self.updated_lines: _Lines = {}
        self._into: dict[str, _Lines] = {}  # new links by the task that they lead to
        self._out_of: dict[str, _Lines] = {}  # and by the one that they lead from
        self._not_added: set[str] = set()  # ids of tasks whose adding was refused: what else names them says no more
        self.doubts = Doubts()
        self._base, self._own = transaction.base_revision, own
        self._checked_at = plan.revision
        self.edit_id: str | None = None  # under which whoever applies them tells of them
        self._place: int | None = None  # of the operation that is being read
        # The places of the operations that added, changed or removed a task, by its id, or a link, by ("link", its id).
        self.by: dict[object, int | None] = {}
        self._read()
        self.problems += [*missing_inputs(self), *(all_cycles if every_cycle else cycles)(self)]

    # ------------------------------------------------------------------------------------------- reading operations
    def _read(self) -> None:
        revision = self.plan.revision
        if self._base is not None and self._base > revision:
            self._refuse("future", f"it is based on revision {self._base}, and the plan is at revision {revision}", "")
            return
        for index, operation in enumerate(self.transaction.operations):
            self._place = self.transaction.place_of(index)
            if isinstance(operation, ReplacePlan):
                self._replace(operation.plan)
            else:
                self._read_one(operation)

    def _read_one(self, operation: Any) -> None:
        before = len(self.problems)
        _READERS[type(operation)](self, operation)
        if len(self.problems) > before:
            self.doubts.note(operation, self)

    def _replace(self, proposed: TaskConstellation) -> None:
        live = self.plan
        ids = proposed._tasks.keys()
        if len(self.transaction.operations) > 1:
            self._refuse("invalid", "replacing the plan excludes other operations in the same transaction", "")
        elif proposed is live:
            self._refuse("invalid", "the plan cannot be replaced by itself: edit a copy of it", live._id)
        elif proposed._id not in ("", live._id) and live._tasks and ids.isdisjoint(live._tasks):
            self._refuse(
                "invalid",
                f"{proposed._id!r} is a plan of another constellation: not one of its tasks is in {live._id!r}",
                proposed._id,
                self._base is not None and self._base < live.revision,
            )
        else:
            for operation in operations_towards(live, proposed):
                self._read_one(operation)

    def _refuse(self, kind: str, reason: str, subject: str, is_conflict: bool = False) -> None:
        self.problems.append(EditProblem(kind, reason, self._place, subject, is_conflict))

    def _moved(self, key: object) -> bool:
        """Whether a task (its id) or link ("link", its name) was, or may have been, edited since the base revision."""
        if self._base is None or not self.plan._touched_after(key, self._base):
            return False
        is_noted = self.plan._touched is not None and self._base >= self.plan._tracked_since
        return not is_noted or self._edited_at(key) > self._base

    def noted(self, key: object) -> bool:
        """Whether it certainly was edited since the base revision."""
        return self._base is not None and self._edited_at(key) > self._base

    def _edited_at(self, key: object) -> int:
        """The revision at which somebody other than the author has edited it last; -1 when nobody is known to have."""
        at = (self.plan._touched or {}).get(key, -1)
        while at in self._own:
            at = self._own[at].get(key, -1)
        return at

    def _unmoved(self, key: object, what: str, subject: str) -> bool:
        if not self._moved(key):
            return True
        if self.noted(key):
            reason = f"{what} was edited by somebody else since revision {self._base}"
        else:
            reason = (
                f"{what}: the plan does not remember what was edited since revision {self._base}; it is at revision "
                f"{self.plan.revision}: look at it again, and take that as the base"
            )
        self._refuse("changed", reason, subject, True)
        return False

    def _is_new(self, key: object, what: str, subject: str) -> bool:
        """Whether what is to be added was not taken out by somebody else."""
        return not self.noted(key) or self._unmoved(key, what, subject)

    def _is_the_same(self, task: TaskStar) -> bool:
        """Whether a task is the one of the base revision, not another that was given its id since."""
        task_id = task._task_id
        if task._owner is None or not self.noted(("gone", task_id)):
            return True
        reason = f"task {task_id!r} was taken out since revision {self._base}, and another one has its id now"
        self._refuse("changed", reason, task_id, True)
        return False

    def _task(self, task_id: str, role: str = "task") -> TaskStar | None:
        """The task of that id as the operations so far leave it: live, or what is new; None when there is none.

        That is refused, but for a task that could not be added, which has been said.
        """
        task = self.new_tasks.get(task_id)
        if task is None and task_id not in self.removed_tasks:
            task = self.plan._tasks.get(task_id)
        if task is not None or task_id in self._not_added:
            return task
        moved = self._moved(task_id)
        if task_id in self.removed_tasks:
            self._refuse("unknown", f"{role} {task_id!r} is taken out by the same transaction", task_id)
        elif self.noted(task_id):
            self._refuse("unknown", f"{role} {task_id!r} was taken out since revision {self._base}", task_id, True)
        else:
            near = nearest(task_id, self.plan._tasks) if len(self.problems) < _HINTED else ()
            meant = f"; did you mean {' or '.join(map(repr, near))}?" if near else ""
            self._refuse("unknown", f"there is no {role} {task_id!r}{meant}", task_id, moved)
        return None

    def _may_change(self, task: TaskStar, what: str) -> bool:
        """Whether I3 lets a task, or the links into it, be changed; refused when not."""
        if task._owner is None or task.is_modifiable:
            return True
        reason = f"{what}: task {task._task_id!r} has started ({task._standing}), and what has started stays as it is"
        if task._status in TERMINAL and not task._attempts:
            reason = f"{what}: task {task._task_id!r} has ended ({task._standing})"
        self._refuse("started", reason, task._task_id, self._base is not None)
        return False

    # ------------------------------------------------------------------------------------------- tasks
    def _add_task(self, operation: AddTask) -> None:
        task = operation.task
        task_id = task._task_id
        if problems := task_problems(task):
            self._refuse("invalid", f"task {task_id!r}: {'; '.join(problems)}", task_id)
        elif task_id in self.new_tasks or (task_id in self.plan._tasks and task_id not in self.removed_tasks):
            self._refuse("duplicate", f"there is a task {task_id!r} already", task_id, self._moved(task_id))
        elif task_id in self.removed_tasks or self._is_new(task_id, f"task {task_id!r}", task_id):
            self.new_tasks[task_id] = task
            self.by[task_id] = self._place
            return
        self._not_added.add(task_id)

    def _remove_task(self, operation: RemoveTask) -> None:
        task_id = operation.task_id
        task = self._task(task_id)
        if task is None:
            return
        if task._owner is None:
            del self.new_tasks[task_id]
        else:
            lines = [line for line in (*task._in, *task._out) if not self._is_removed(line)]
            unmoved = [self._unmoved_line(line) for line in lines] if self._base is not None else []
            if not (
                self._may_change(task, "it cannot be taken out")
                and self._unmoved(task_id, f"task {task_id!r}", task_id)
                and all(unmoved)
            ):
                return
            self.removed_tasks[task_id] = task
            self.updated_tasks.pop(task_id, None)
            for line in lines:
                self._drop_line(line)
        for line in [*self._into.get(task_id, _NO_LINES).values(), *self._out_of.get(task_id, _NO_LINES).values()]:
            self._forget_new(line)

    def _update_task(self, operation: UpdateTask) -> None:
        task_id = operation.task_id
        task = self._task(task_id)
        if task is None or not self._may_change(task, f"{', '.join(operation.changes) or 'it'} cannot be changed"):
            return
        is_live = task._owner is not None
        if is_live and not self._unmoved(task_id, f"task {task_id!r}", task_id):
            return
        problems = change_problems(operation.changes)
        if not problems:
            try:
                changed = changed_task(self.updated_tasks.get(task_id, task), operation.changes)
                problems = task_problems(changed)
            except (GalaxyError, ValueError, TypeError, AttributeError) as error:
                problems = [str(error).replace(f" of task {task_id!r}", "", 1)]  # which is said once
        if problems:
            self._refuse("invalid", f"task {task_id!r}: {'; '.join(problems)}", task_id)
            return
        self.by[task_id] = self._place
        if not is_live:
            self.new_tasks[task_id] = changed
        elif task_differences(task, changed):
            self.updated_tasks[task_id] = changed
        else:
            self.updated_tasks.pop(task_id, None)

    # ------------------------------------------------------------------------------------------- links
    def _line(self, link: LinkName) -> TaskStarLine | None:
        """The link of that name, live or new; None, refused, when there is not exactly one."""
        if isinstance(link, str):
            line = self.new_lines.get(link)
            if line is None and link not in self.removed_lines:
                line = self.plan._lines_by_id.get(link)
            found = [] if line is None else [line]
        else:
            found = self.between(*link)
        if len(found) == 1:
            return found[0]
        name = named(link)
        shown = repr(link) if isinstance(link, str) else name
        if found:
            ids = ", ".join(repr(line.line_id) for line in found)
            moved = any(self.noted(("link", line.line_id)) for line in found)
            self._refuse(
                "unknown", f"there are {len(found)} dependencies {name}: name one by its id ({ids})", name, moved
            )
        elif isinstance(link, str) and link in self.removed_lines:
            self._refuse("unknown", f"dependency {shown} is taken out by the same transaction", name)
        elif self.noted(("link", link)):
            self._refuse("unknown", f"dependency {shown} was taken out since revision {self._base}", name, True)
        else:
            self._refuse("unknown", f"there is no dependency {shown}", name, self._moved(("link", link)))
        return None

    def between(self, source_id: str, target_id: str) -> list[TaskStarLine]:
        """The links from one task to another, as the operations leave them. Costs the smaller one of their degrees."""
        found: list[TaskStarLine] = []
        source, target = self.plan._tasks.get(source_id), self.plan._tasks.get(target_id)
        if source is not None and target is not None:
            lines: Collection[TaskStarLine] = min(source._out, target._in, key=len)
            found = [line for line in lines if line._source is source and line._target is target]
            found = [line for line in found if not self._is_removed(line)]
        new = min(self._out_of.get(source_id, _NO_LINES), self._into.get(target_id, _NO_LINES), key=len)
        return found + [line for line in new.values() if (line._from, line._to) == (source_id, target_id)]

    def _is_removed(self, line: TaskStarLine) -> bool:
        return bool(self.removed_lines) and line._line_id is not None and line._line_id in self.removed_lines

    def _drop_line(self, line: TaskStarLine) -> None:
        line_id = line.line_id
        self.removed_lines[line_id] = line
        self.updated_lines.pop(line_id, None)
        self.by["link", line_id] = self._place

    def _keep_new(self, line: TaskStarLine) -> None:
        for found in (self.new_lines, self._into.setdefault(line._to, {}), self._out_of.setdefault(line._from, {})):
            found[line.line_id] = line

    def _forget_new(self, line: TaskStarLine) -> None:
        for found in (self.new_lines, self._into[line._to], self._out_of[line._from]):
            found.pop(line.line_id, None)

    def _add_dependency(self, operation: AddDependency) -> None:
        line = operation.line
        line_id = line.line_id
        if problems := line_problems(line):
            self._refuse("invalid", f"dependency {line._from} -> {line._to}: {'; '.join(problems)}", str(line_id))
            return
        if line_id in self.new_lines or (line_id in self.plan._lines_by_id and line_id not in self.removed_lines):
            moved = self._moved(("link", line_id))
            self._refuse("duplicate", f"there is a dependency {line_id!r} already", line_id, moved)
            return
        if operation.unless_there and (same := self._same(line)) is not None:
            said = "the same transaction adds it" if same._target is None else f"as {same.line_id!r}"
            reason = f"there is the same dependency {line._from} -> {line._to} already: {said}"
            self._refuse("duplicate", reason, line_id, self._moved(("link", same.line_id)))
            return
        source, target = self._task(line._from, "prerequisite"), self._task(line._to)
        if (
            source is None
            or target is None
            or not self._may_change(target, f"a dependency on {line._from!r} cannot be added")
            or not (self._is_the_same(source) and self._is_the_same(target))
        ):
            return
        if line_id in self.removed_lines or self._is_new(("link", line_id), f"dependency {line_id!r}", line_id):
            self._keep_new(line)
            self.by["link", line_id] = self._place

    def _same(self, line: TaskStarLine) -> TaskStarLine | None:
        """The link between the same tasks that says the same, if there is one."""
        found = self.between(line._from, line._to)
        return next(
            (one for one in found if not line_differences(self.updated_lines.get(one.line_id, one), line)), None
        )

    def _remove_dependency(self, operation: RemoveDependency) -> None:
        line = self._line(operation.link)
        if line is None:
            return
        if line._target is None:
            self._forget_new(line)
        elif self._may_change_line(line, "it cannot be taken out"):
            self._drop_line(line)

    def _update_dependency(self, operation: UpdateDependency) -> None:
        line = self._line(operation.link)
        if line is None or (line._target is not None and not self._may_change_line(line, "it cannot be changed")):
            return
        try:
            changed = changed_line(self.updated_lines.get(line.line_id, line), operation.changes)
            problems = line_problems(changed)
        except (GalaxyError, ValueError, TypeError) as error:
            problems = [str(error)]
        if problems:
            self._refuse("invalid", f"dependency {line._from} -> {line._to}: {'; '.join(problems)}", line.line_id)
        elif line._target is None:
            self._keep_new(changed)
        elif line_differences(line, changed):
            self.updated_lines[line.line_id] = changed
        else:
            self.updated_lines.pop(line.line_id, None)

    def _may_change_line(self, line: TaskStarLine, what: str) -> bool:
        assert line._target is not None
        return self._may_change(line._target, f"dependency {line._from} -> {line._to}: {what}") and self._unmoved_line(
            line
        )

    def _unmoved_line(self, line: TaskStarLine) -> bool:
        return self._unmoved(("link", line.line_id), f"dependency {line._from} -> {line._to}", line.line_id)

    # ------------------------------------------------------------------------------------------- the whole
    @property
    def is_empty(self) -> bool:
        """Whether nothing would change."""
        tasks = self.removed_tasks or self.new_tasks or self.updated_tasks
        return not (tasks or self.removed_lines or self.new_lines or self.updated_lines)

    @property
    def touched(self) -> list[str]:
        """The ids of all tasks that are added, removed or changed, or whose incoming links are; each once."""
        lines = (self.removed_lines, self.new_lines, self.updated_lines)
        targets = [line._to for group in lines for line in group.values()]
        return list(dict.fromkeys([*self.removed_tasks, *self.new_tasks, *self.updated_tasks, *targets]))

    def touched_before(self) -> dict[object, int]:
        """At which revision each thing that is changed was edited last, as far as that was noted; before they are made."""
        return applying.touched_before(self)

    def refused(self, more: Iterable[EditProblem] = ()) -> EditError | None:
        """The error that says why it cannot be, for its own problems and `more`; None when there are none."""
        return self._refusal([*self.problems, *more])

    def _refusal(self, problems: list[EditProblem]) -> EditError | None:
        if not problems:
            return None
        conflict = any(problem.is_conflict for problem in problems)
        return (EditConflictError if conflict else EditError)(problems, f"The edit {str(self.transaction)!r}")

    def apply(self) -> Transaction:
        """Change the plan, raising its revision by one (not at all when nothing changes); returns the inverse.

        Whoever listens to the plan hears of it when all is done.

        Raises:
            EditError: there are problems; nothing was changed.
            EditConflictError: the plan has moved after it was checked.
        """
        error = self.refused() or self._refusal(list(applying.outdated(self, self._checked_at)))
        if error is not None:
            raise error
        operations = list(applying.inverse(self))
        if not self.is_empty:
            applying.make(self)
        what = f"Undo: {self.transaction}"
        return Transaction(operations, self.plan.revision, what, self.transaction.author)


_READERS: Mapping[type[Operation], Callable[[Changes, Any], None]] = {
    AddTask: Changes._add_task,
    RemoveTask: Changes._remove_task,
    UpdateTask: Changes._update_task,
    AddDependency: Changes._add_dependency,
    RemoveDependency: Changes._remove_dependency,
    UpdateDependency: Changes._update_dependency,
}
