"""Edits as values: operations on a plan, and transactions of them.

An operation says what is to change and nothing of how; a transaction is a number of them that take effect together or
not at all. What a transaction comes to on a certain plan, whether it can, and how it is taken back, is in changes.py.
All of them can be written as JSON (edits_file.py), as far as the tasks in them can.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any

from attrs import evolve, field, frozen

from galaxy_core.errors import EditError, EditProblem, nearest
from galaxy_core.model.constellation import TaskConstellation
from galaxy_core.model.dependency import TaskStarLine
from galaxy_core.model.task import TaskStar
from galaxy_core.model.values import frozen_deep

#: What `UpdateTask` can change, and where a task keeps it. The names are those of `TaskStar`'s arguments.
TASK_FIELDS: Mapping[str, str] = MappingProxyType(
    {
        "name": "_name",
        "description": "_description",
        "tips": "_tips",
        "target_device_id": "_target_device_id",
        "device_type": "_device_type",
        "priority": "_priority",
        "timeout": "_timeout",
        "retry_count": "_retry_count",
        "task_data": "_task_data",
        "expected_output_type": "_expected_output_type",
        "request": "_request",
        "requires": "_requires",
        "effect": "_effect",
        "retry": "_retry",
        "estimate_s": "_estimate_s",
    }
)
#: What `UpdateDependency` can change, and where a link keeps it.
LINE_FIELDS: Mapping[str, str] = MappingProxyType(
    {
        "dependency_type": "_dependency_type",
        "condition_description": "_condition_description",
        "condition_evaluator": "_evaluator",
        "metadata": "_metadata",
    }
)

#: A link: by its id, or by the ids of the tasks that it leads from and to, when it is the only one between them.
LinkName = str | tuple[str, str]


def _invalid(reason: str) -> EditError:
    return EditError([EditProblem("invalid", reason)])


def _copied_task(task: TaskStar) -> TaskStar:
    if not isinstance(task, TaskStar):
        raise _invalid(f"a task is added as a TaskStar, not as {task!r}")
    return task.copy()


def _copied_line(line: TaskStarLine) -> TaskStarLine:
    if not isinstance(line, TaskStarLine):
        raise _invalid(f"a dependency is added as a TaskStarLine, not as {line!r}")
    return line.copy()


def _task_id(task_id: str) -> str:
    if not isinstance(task_id, str):
        raise _invalid(f"a task is named by its id, a text, not by {task_id!r}")
    return task_id


def _link_name(link: LinkName) -> LinkName:
    ends = isinstance(link, tuple) and len(link) == 2 and all(isinstance(part, str) for part in link)
    if not ends and not isinstance(link, str):
        raise _invalid(f"a dependency is named by its id, or by the ids of its two tasks, not by {link!r}")
    return link


def _whole_plan(plan: TaskConstellation) -> TaskConstellation:
    if not isinstance(plan, TaskConstellation):
        raise _invalid(f"a plan is replaced by a TaskConstellation, not by {plan!r}")
    return plan


def _known_fields(changes: Mapping[str, Any], known: Mapping[str, str], what: str) -> Mapping[str, Any]:
    problems = []
    for name in changes:
        if name not in known:
            near = nearest(name, known)
            meant = f"; did you mean {' or '.join(map(repr, near))}?" if near else ""
            allowed = ", ".join(map(repr, known))
            problems.append(
                EditProblem("invalid", f"a {what} has no field {name!r}{meant}; what can be changed is {allowed}")
            )
    if problems:
        raise EditError(problems, f"Changing a {what}")
    return frozen_deep(changes)


def _task_changes(changes: Mapping[str, Any]) -> Mapping[str, Any]:
    return _known_fields(changes, TASK_FIELDS, "task")


def _line_changes(changes: Mapping[str, Any]) -> Mapping[str, Any]:
    return _known_fields(changes, LINE_FIELDS, "dependency")


@frozen
class AddTask:
    """Add a copy of `task`, not started, whatever the status of the original."""

    task: TaskStar = field(converter=_copied_task)

    def __str__(self) -> str:
        return f"Add task: {self.task.task_id}"


@frozen
class RemoveTask:
    """Take a task that has not started out, with its links."""

    task_id: str = field(converter=_task_id)

    def __str__(self) -> str:
        return f"Remove task: {self.task_id}"


@frozen
class UpdateTask:
    """Change fields (`TASK_FIELDS`) of a task that has not started.

    Raises:
        EditError: a field that there is not.
    """

    task_id: str = field(converter=_task_id)
    changes: Mapping[str, Any] = field(converter=_task_changes)

    def __str__(self) -> str:
        return f"Update task: {self.task_id}"


@frozen
class AddDependency:
    """Add a copy of `line`, with its id. When its source has ended, it is judged at once.

    With `unless_there`, it is refused where a link that says the same leads between the same tasks already: its author
    gave it no id, and so has not said that there are to be two.
    """

    line: TaskStarLine = field(converter=_copied_line)
    unless_there: bool = field(default=False, eq=False, kw_only=True)

    def __str__(self) -> str:
        return f"Add dependency: {self.line.from_task_id} -> {self.line.to_task_id}"


@frozen
class RemoveDependency:
    """Take a link into a task that has not started out."""

    link: LinkName = field(converter=_link_name)

    def __str__(self) -> str:
        return f"Remove dependency: {named(self.link)}"


@frozen
class UpdateDependency:
    """Change fields (`LINE_FIELDS`) of a link into a task that has not started.

    Raises:
        EditError: a field that there is not.
    """

    link: LinkName = field(converter=_link_name)
    changes: Mapping[str, Any] = field(converter=_line_changes)

    def __str__(self) -> str:
        return f"Update dependency: {named(self.link)}"


@frozen
class ReplacePlan:
    """Make the plan what `plan` says, by the ids of tasks and links, as far as it has not started.

    What has started stays as it is, with the links into it, whether `plan` has it or not. The plan is not copied:
    do not change it until the transaction was committed. One of another constellation, with no task of this one, is
    refused, unless its id is the empty text.
    """

    plan: TaskConstellation = field(converter=_whole_plan)

    def __str__(self) -> str:
        return f"Replace the plan by {self.plan.name or self.plan.constellation_id or 'another one'}"


Operation = AddTask | RemoveTask | UpdateTask | AddDependency | RemoveDependency | UpdateDependency | ReplacePlan


def checked_operations(operations: Iterable[Operation]) -> tuple[Operation, ...]:
    """All of them, in their order.

    Raises:
        EditError: something among them is none.
    """
    found = tuple(operations)
    wrong = [
        EditProblem("invalid", f"{one!r} is no operation", place)
        for place, one in enumerate(found)
        if not isinstance(one, Operation)
    ]
    if wrong:
        raise EditError(wrong)
    return found


def _whole_number(revision: int | None) -> int | None:
    if revision is not None and (isinstance(revision, bool) or not isinstance(revision, int)):
        raise _invalid(f"a base revision is a whole number, or None, not {revision!r:.80}")
    return revision


def checked_transaction(transaction: Transaction) -> Transaction:
    """A transaction.

    Raises:
        EditError: it is none.
    """
    if not isinstance(transaction, Transaction):
        raise _invalid(f"an edit is a Transaction, not {transaction!r:.80}: Transaction([...]) makes one of operations")
    return transaction


def _each_place(places: Iterable[int]) -> tuple[int, ...]:
    return tuple(places)


@frozen
class Transaction:
    """Operations that take effect together, or not at all.

    With `base_revision`, what the operations touch must not have been edited since that revision of the plan; without
    one they are judged against the plan as it is. `description` and `author` are for people and for the history.

    `places` says of each operation where in its author's own list it came from, such as a document in which one entry
    stands for a task and its links; without any, operations are counted as they are. Problems name those places.

    Raises:
        EditError: something among the operations is none, or the base revision is no whole number.
        ValueError: there are places, and not one for each operation.
    """

    operations: tuple[Operation, ...] = field(converter=checked_operations)
    base_revision: int | None = field(default=None, converter=_whole_number)
    description: str = ""
    author: str = ""
    places: tuple[int, ...] = field(default=(), converter=_each_place, eq=False, repr=False, kw_only=True)

    @places.validator
    def _one_each(self, _: object, places: tuple[int, ...]) -> None:
        if places and len(places) != len(self.operations):
            raise ValueError(f"{len(places)} places for {len(self.operations)} operations: give one for each, or none")

    def place_of(self, index: int) -> int:
        """Where in its author's list the operation at `index` came from."""
        return self.places[index] if self.places else index

    def __str__(self) -> str:
        if self.description:
            return self.description
        if len(self.operations) == 1:
            return str(self.operations[0])
        return f"{len(self.operations)} operations"

    def without(self, places: Iterable[int], base_revision: int | None = None) -> Transaction:
        """The same but for the operations at those places, as problems name them, based on another revision."""
        dropped = set(places)
        kept = [index for index in range(len(self.operations)) if self.place_of(index) not in dropped]
        return evolve(
            self,
            operations=[self.operations[index] for index in kept],
            base_revision=base_revision,
            places=[self.places[index] for index in kept] if self.places else (),
        )


def named(link: LinkName) -> str:
    """A link's name for messages."""
    return link if isinstance(link, str) else f"{link[0]} -> {link[1]}"
