"""What an editor is about to do, before it takes effect: operations, and the plan as they would leave it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from attrs import field, frozen

from galaxy_core.errors import CommandExecutionError, EditProblem
from galaxy_core.model.changes import Changes
from galaxy_core.model.constellation import TaskConstellation
from galaxy_core.model.dependency import TaskStarLine
from galaxy_core.model.edits import (
    AddDependency,
    AddTask,
    Operation,
    RemoveDependency,
    Transaction,
    UpdateDependency,
)
from galaxy_core.model.result import TaskStatus
from galaxy_core.model.task import TaskStar
from galaxy_core.runtime.editor.view import View

_LISTED = 20


@frozen
class Work:
    """What one command asks for. With `replaces` its operations say the whole plan, whatever was asked for before."""

    command: str
    description: str
    operations: Sequence[Operation] = ()
    replaces: bool = False
    name: str | None = None
    metadata: Mapping[str, Any] = field(factory=dict)
    kept: tuple[str, ...] = ()


T = TypeVar("T")
Found = Callable[[Any], Any]


class Pending:
    """The work that belongs together. It is asked for tasks and links as a constellation is."""

    def __init__(self, plan: TaskConstellation) -> None:
        self.plan = plan
        self.work: list[Work] = []
        self.operations: list[Operation] = []
        self.name: str | None = None
        self.metadata: dict[str, Any] | None = None
        self.kept: dict[str, None] = {}
        self._view = View(plan)
        self._told: list[tuple[str, Found]] = []
        self._handed: dict[int, tuple[Any, Found]] = {}  # by the id of the object

    # ------------------------------------------------------------------------------------------- collecting
    def take(self, work: Work) -> None:
        """Add work, without a look at whether it can be."""
        if work.replaces:
            self.operations.clear()
            self.kept.clear()
        self.operations += work.operations
        self.work.append(work)
        self.kept.update(dict.fromkeys(work.kept))
        if work.name is not None:
            self.name = work.name
        if work.metadata:
            current = self.plan.metadata if self.metadata is None else self.metadata
            self.metadata = {**current, **work.metadata}

    def take_checked(self, work: Work) -> None:
        """Add work, unless one of its operations cannot follow what was asked for before. Cycles are found at the end.

        Raises:
            CommandExecutionError: it was not added.
        """
        view = View(self.plan) if work.replaces else self._view
        if not all(view.apply(operation) for operation in work.operations):
            operations = [*(() if work.replaces else self.operations), *work.operations]
            problems = [
                problem
                for problem in Changes(self.plan, Transaction(operations)).problems
                if problem.kind not in ("cycle", "input")
            ]
            view = View.after(self.plan, operations if not problems else self.operations)
            if problems:
                self._view = view
                raise refused(work.description, problems, operations, self.plan)
        self._view = view
        self.take(work)

    def handed(self, command: str | None, result: T, found: Callable[[Any], T]) -> T:
        """Note a result, which `found` finds in the plan when all is done; observers are told of it if `command` says so."""
        if command is not None:
            self._told.append((command, found))
        self._handed[id(result)] = (result, found)
        return result

    def settled(self, result: Any) -> Any:
        """The live object, for one that was handed out before there was one."""
        if id(result) not in self._handed or not isinstance(result, TaskStar | TaskStarLine):
            return result
        live = self._handed[id(result)][1](self.plan)
        return result if live is None else live

    @property
    def news(self) -> list[tuple[str, Any]]:
        """What observers are told now that it has taken effect."""
        return [(command, found(self.plan)) for command, found in self._told]

    # ------------------------------------------------------------------------------------------- savepoints
    def mark(self) -> Pending:
        """A copy, to go back to."""
        copy = Pending(self.plan)
        copy.back_to(self)
        return copy

    def back_to(self, mark: Pending) -> None:
        """Forget what was asked for since."""
        self.work, self.operations, self.kept = list(mark.work), list(mark.operations), dict(mark.kept)
        self.name, self.metadata = mark.name, mark.metadata
        self._view = View.after(self.plan, self.operations)
        self._told, self._handed = list(mark._told), dict(mark._handed)

    # ------------------------------------------------------------------------------------------- as it would be
    def get_task(self, task_id: str) -> TaskStar | None:
        """The task of that id: a live one, or what is to be; None when there is to be none."""
        return self._view.task(task_id)

    def get_all_tasks(self) -> list[TaskStar]:
        """All tasks that are to be."""
        ids = dict.fromkeys([*self.plan._tasks, *self._view.tasks])
        return [task for task_id in ids if (task := self._view.task(task_id)) is not None]

    def get_dependency(self, line_id: str) -> TaskStarLine | None:
        """The link of that id, as `get_task`."""
        return self._view.line(line_id)

    def get_all_dependencies(self) -> list[TaskStarLine]:
        """All links that are to be."""
        ids = dict.fromkeys([*(line.line_id for line in self.plan._lines), *self._view.lines])
        return [line for line_id in ids if (line := self._view.line(line_id)) is not None]

    def get_task_dependencies(self, task_id: str) -> list[TaskStarLine]:
        """The links into a task that are to be."""
        return [line for line in self._view.lines_at(task_id) if line._to == task_id]


# ----------------------------------------------------------------------------------------------- refusals
def refused(
    description: str, problems: Iterable[EditProblem], operations: Sequence[Operation], plan: TaskConstellation
) -> CommandExecutionError:
    """The error that says why a command cannot be."""
    return CommandExecutionError(description, [worded(problem, operations, plan) for problem in problems])


def worded(problem: EditProblem, operations: Sequence[Operation], plan: TaskConstellation) -> EditProblem:
    """A problem in the words of an editor, which the first implementation had."""
    reason, subject = problem.reason, problem.subject
    operation = None if problem.operation is None else operations[problem.operation]
    if problem.kind == "duplicate":
        reason = (
            f"{'Task' if isinstance(operation, AddTask) else 'Dependency'} {subject!r} already exists in constellation"
        )
    elif problem.kind == "unknown":
        named_link = isinstance(operation, RemoveDependency | UpdateDependency)
        ids = [line.line_id for line in plan._lines] if named_link else list(plan._tasks)
        more = f" and {len(ids) - _LISTED} more" if len(ids) > _LISTED else ""
        kind = "dependency" if named_link else "task"
        reason += f": not found in constellation. Existing {kind} IDs: {ids[:_LISTED]}{more}"
    elif problem.kind == "started":
        task = plan.get_task(subject)
        if task is not None and task.status is TaskStatus.RUNNING:
            reason += " (it cannot be changed because it is currently running)"
    elif problem.kind == "cycle":
        reason = reason.replace("the plan would have a cycle", "it would create a cycle")
        if len(operations) == 1 and isinstance(operations[0], AddDependency):
            line = operations[0].line
            reason = f"Adding dependency {line._from} -> {line._to}{reason.removeprefix('it')}"
    return EditProblem(problem.kind, reason, problem.operation, subject, problem.is_conflict)
