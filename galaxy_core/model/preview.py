"""What a transaction would do to a plan, said before anything is done: as data, as text, as a picture.

A preview reads the plan and changes nothing. What a transaction touches is found in O(what it touches); the figures
before and after look at every task and link. Nothing is awaited, so a preview is of one moment: the plan may have moved
on when it is read, and carries the revision that it was made at.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from operator import attrgetter
from types import MappingProxyType
from typing import Any

import attrs
from attrs import field, frozen

from galaxy_core.errors import EditProblem
from galaxy_core.model.changes import Changes
from galaxy_core.model.condition import Expression, LostCondition, is_function
from galaxy_core.model.constellation import TaskConstellation
from galaxy_core.model.cycles import cycle_through
from galaxy_core.model.dependency import DependencyType, TaskStarLine
from galaxy_core.model.differences import line_differences, said, task_differences
from galaxy_core.model.edits import LINE_FIELDS, Transaction, checked_transaction
from galaxy_core.model.figures import Figures, Loads, figures_after, figures_now, slots_of
from galaxy_core.model.policy import TaskPriority
from galaxy_core.model.result import TERMINAL, UNSTARTED
from galaxy_core.model.serial import plain
from galaxy_core.model.sketch import Sketch, sketch_of
from galaxy_core.model.task import TaskStar

#: The invariants that a transaction can offend against, in words. That a task has one device at most (I1) is not among
#: them: a transaction has no way of saying otherwise.
INVARIANTS: Mapping[str, str] = MappingProxyType({"I2": "a plan has no cycle", "I3": "what has started stays as it is"})
_OFFENCES = {"cycle": "I2", "started": "I3"}
_NEW = TaskStar("new")


@frozen
class FieldChange:
    """One field, by the name that `UpdateTask` and `UpdateDependency` have for it; values are plain data.

    Priorities are the words of plan files, conditions their text, functions their names.
    """

    name: str
    before: Any
    after: Any


@frozen
class TaskChange:
    """A task that is added, removed or changed; `name` is what its author called it, or nothing.

    Of one that is added or removed `fields` are those that say something, with None on the other side. `is_replaced`:
    it is taken out and another one of the same id added.
    """

    task_id: str
    name: str
    fields: tuple[FieldChange, ...]
    is_replaced: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {"task_id": self.task_id, "name": self.name, "fields": _fields(self), "is_replaced": self.is_replaced}


@frozen
class LinkChange:
    """A link that is added, removed or changed; ends and `kind` (a `DependencyType`'s value) are the new ones, if any.

    `fields` and `is_replaced` are as a `TaskChange` has them; a link that is replaced may have other ends, too.
    """

    line_id: str
    from_task_id: str
    to_task_id: str
    kind: str
    fields: tuple[FieldChange, ...]
    is_replaced: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "line_id": self.line_id,
            "from_task_id": self.from_task_id,
            "to_task_id": self.to_task_id,
            "kind": self.kind,
            "fields": _fields(self),
            "is_replaced": self.is_replaced,
        }


def _fields(change: TaskChange | LinkChange) -> dict[str, dict[str, Any]]:
    return {one.name: {"before": one.before, "after": one.after} for one in change.fields}


@frozen
class Preview:
    """What a transaction would do to a plan at one moment.

    `problems` are the reasons why it cannot be committed as it is, none when it can; the rest then says what those of
    its operations come to that are sound. `cycle` are the ids around a cycle that the plan would have by those, the
    first repeated last; it is no problem where only what was refused leads to it.

    `holds` are the tasks, not started, that the transaction touches, and that an open edit with the scope "footprint"
    keeps from starting; `behind` those that wait for them, over any number of links. Both are in the order of the plan.
    `skips` are the tasks that would be skipped at once, because a new or changed link does not accept how its
    prerequisite ended; conditions that are Python functions are not called, and so are not known to be met or not.

    `revision` is the plan's, `base_revision` the transaction's.
    """

    constellation_id: str
    constellation_name: str
    revision: int
    base_revision: int | None
    description: str
    author: str
    problems: tuple[EditProblem, ...]
    cycle: tuple[str, ...]
    tasks_added: tuple[TaskChange, ...]
    tasks_removed: tuple[TaskChange, ...]
    tasks_changed: tuple[TaskChange, ...]
    links_added: tuple[LinkChange, ...]
    links_removed: tuple[LinkChange, ...]
    links_changed: tuple[LinkChange, ...]
    holds: tuple[str, ...]
    behind: tuple[str, ...]
    skips: tuple[str, ...]
    before: Figures
    after: Figures
    slots: int | None
    sketch: Sketch = field(repr=False)

    @property
    def is_sound(self) -> bool:
        """Whether it could be committed."""
        return not self.problems

    @property
    def is_empty(self) -> bool:
        """Whether nothing would change."""
        tasks = self.tasks_added or self.tasks_removed or self.tasks_changed
        return not (tasks or self.links_added or self.links_removed or self.links_changed)

    @property
    def violated(self) -> tuple[str, ...]:
        """The invariants, of `INVARIANTS`, that it offends against."""
        return tuple(sorted({_OFFENCES[one.kind] for one in self.problems if one.kind in _OFFENCES}))

    def to_dict(self) -> dict[str, Any]:
        """Plain data, as JSON can hold it."""

        def each(changes: tuple[TaskChange, ...] | tuple[LinkChange, ...]) -> list[dict[str, Any]]:
            return [change.to_dict() for change in changes]

        document = {
            "constellation_id": self.constellation_id,
            "name": self.constellation_name,
            "revision": self.revision,
            "base_revision": self.base_revision,
            "description": self.description,
            "author": self.author,
            "is_sound": self.is_sound,
            "problems": [problem.to_dict() for problem in self.problems],
            "violated": list(self.violated),
            "cycle": list(self.cycle),
            "tasks": {
                "added": each(self.tasks_added),
                "removed": each(self.tasks_removed),
                "changed": each(self.tasks_changed),
            },
            "links": {
                "added": each(self.links_added),
                "removed": each(self.links_removed),
                "changed": each(self.links_changed),
            },
            "holds": list(self.holds),
            "behind": list(self.behind),
            "skips": list(self.skips),
            "slots": self.slots,
            "before": self.before.to_dict(),
            "after": self.after.to_dict(),
        }
        found: dict[str, Any] = plain(document)
        return found

    def to_text(self) -> str:
        """For people, in at most 40 lines of at most 120 characters; what comes from elsewhere is made harmless."""
        from galaxy_core.model.preview_text import text  # it reads previews, so it knows this module

        return text(self)

    def to_mermaid(self) -> str:
        """A Mermaid flowchart with all that is added, removed or changed marked; no id or name can break it."""
        from galaxy_core.model.preview_mermaid import mermaid

        return mermaid(self)


def preview(
    plan: TaskConstellation,
    transaction: Transaction,
    *,
    loads: Loads | None = None,
    check: Callable[[Changes], Iterable[EditProblem]] | None = None,
) -> Preview:
    """Say what `transaction` would do to `plan` as it is now, without changing it.

    `loads` maps the ids of devices to how many tasks each runs at a time, or to what has that as `max_concurrency`;
    without any, the lower bounds are those of unlimited slots. `check` finds more problems, such as devices that could
    never run what is added; synchronizers have one. O(tasks + links).

    Raises:
        EditError: the transaction is none.
        ValueError: a number of slots that cannot be.
    """
    slots = slots_of(loads)
    changes = Changes(plan, checked_transaction(transaction))
    problems = [*changes.problems, *(() if check is None else check(changes))]
    cycle = cycle_through(plan, changes.new_tasks, changes.new_lines, changes.removed_lines) or ()
    replaced = changes.removed_tasks.keys() & changes.new_tasks.keys()
    replaced_lines = changes.removed_lines.keys() & changes.new_lines.keys()
    holds = _in_order(plan._tasks[task_id] for task_id in changes.touched if task_id in plan._tasks)
    skips = _skipped(changes)
    return Preview(
        plan.constellation_id,
        plan.name,
        plan.revision,
        transaction.base_revision,
        str(transaction),
        transaction.author,
        tuple(problems),
        tuple(cycle),
        tuple(_task_change(task, _NEW, task) for key, task in changes.new_tasks.items() if key not in replaced),
        tuple(_task_change(task, task, _NEW) for key, task in changes.removed_tasks.items() if key not in replaced),
        tuple(_changed_tasks(changes)),
        tuple(_link_change(None, line) for key, line in changes.new_lines.items() if key not in replaced_lines),
        tuple(_link_change(line, None) for key, line in changes.removed_lines.items() if key not in replaced_lines),
        tuple(_changed_links(changes)),
        tuple(task._task_id for task in holds),
        tuple(task._task_id for task in _behind(holds)),
        skips,
        figures_now(plan, slots),
        figures_after(changes, set(skips), slots),
        sum(slots.values()) or None,
        sketch_of(changes, tuple(cycle)),
    )


# ------------------------------------------------------------------------------------------------- what differs
def _data(value: Any) -> Any:
    """A field's value as plain data, in the words of plan files where they have some."""
    if isinstance(value, TaskPriority):
        return value.name.lower()
    if isinstance(value, Expression):
        return value.text
    if isinstance(value, LostCondition):
        return "a Python function, which was lost"
    if callable(value) and not isinstance(value, type):
        name = getattr(value, "__qualname__", type(value).__qualname__)
        return f"{getattr(value, '__module__', '?')}:{name}"
    if attrs.has(type(value)) and not hasattr(value, "to_dict"):
        return plain(attrs.asdict(value, recurse=False))
    return plain(value)


def _task_change(task: TaskStar, before: TaskStar, after: TaskStar) -> TaskChange:
    """Of a task that is added (`before` is `_NEW`), or removed (`after` is)."""
    names = task_differences(before, after)
    fields = [
        FieldChange(name, None if before is _NEW else _data(said(before, name)), None)
        if after is _NEW
        else FieldChange(name, None, _data(said(after, name)))
        for name in names
    ]
    return TaskChange(task._task_id, _text(task._name), tuple(fields))


def _changed_tasks(changes: Changes) -> Iterator[TaskChange]:
    for task_id, after in changes.updated_tasks.items():
        yield _both(changes.plan._tasks[task_id], after)
    for task_id, before in changes.removed_tasks.items():
        if task_id in changes.new_tasks:
            yield attrs.evolve(_both(before, changes.new_tasks[task_id]), is_replaced=True)


def _both(before: TaskStar, after: TaskStar) -> TaskChange:
    fields = [
        FieldChange(name, _data(said(before, name)), _data(said(after, name)))
        for name in task_differences(before, after)
    ]
    return TaskChange(after._task_id, _text(after._name), tuple(fields))


def _text(name: Any) -> str:
    return name if isinstance(name, str) else str(plain(name))


def _said(line: TaskStarLine | None, name: str) -> Any:
    return None if line is None else _data(getattr(line, LINE_FIELDS[name]))


def _link_change(before: TaskStarLine | None, after: TaskStarLine | None, is_replaced: bool = False) -> LinkChange:
    line = after or before
    assert line is not None
    if before is not None and after is not None:
        names = list(line_differences(before, after))
    else:
        names = [name for name in LINE_FIELDS if _said(line, name) is not None]
    fields = [FieldChange(name, _said(before, name), _said(after, name)) for name in names]
    if before is not None and after is not None:
        ends = ("from_task_id", before._from, after._from), ("to_task_id", before._to, after._to)
        fields += [FieldChange(*end) for end in ends if end[1] != end[2]]
    kind = line._dependency_type.value
    return LinkChange(line.line_id, line._from, line._to, kind, tuple(fields), is_replaced)


def _changed_links(changes: Changes) -> Iterator[LinkChange]:
    for line_id, after in changes.updated_lines.items():
        yield _link_change(changes.plan._lines_by_id[line_id], after)
    for line_id, before in changes.removed_lines.items():
        if line_id in changes.new_lines:
            yield _link_change(before, changes.new_lines[line_id], is_replaced=True)


# ------------------------------------------------------------------------------------------------- what follows
def _in_order(tasks: Iterable[TaskStar]) -> list[TaskStar]:
    """Those of them that have not started, in the order of the plan."""
    return sorted((task for task in tasks if task._status in UNSTARTED), key=attrgetter("_index"))


def _behind(holds: list[TaskStar]) -> list[TaskStar]:
    """Tasks, not started, that wait for these over any number of links."""
    seen = set(holds)
    queue = list(holds)
    for task in queue:  # it grows
        for line in task._out:
            target = line._target
            if line._open and target is not None and target not in seen:
                seen.add(target)
                queue.append(target)
    return _in_order(queue[len(holds) :])


def _skipped(changes: Changes) -> tuple[str, ...]:
    """The tasks that would be skipped as soon as the changes are made, in the order in which they would."""
    plan = changes.plan
    found: dict[str, None] = {}
    for line in (*changes.new_lines.values(), *_judged_anew(changes)):
        source = None if line._from in changes.new_tasks else plan._tasks.get(line._from)
        if source is None or source._status not in TERMINAL or line._to in found:
            continue
        if line._dependency_type is DependencyType.CONDITIONAL and is_function(line._evaluator):
            continue
        if line._refused(source, note=False) is not None:
            found[line._to] = None
    new_out: dict[str, list[TaskStarLine]] = {}
    for line in changes.new_lines.values():
        new_out.setdefault(line._from, []).append(line)
    queue = list(found)
    for task_id in queue:  # it grows
        for target in (*_refusing(changes, task_id), *filter(_refuses, new_out.get(task_id, ()))):
            if target._to not in found:
                found[target._to] = None
                queue.append(target._to)
    return tuple(found)


def _judged_anew(changes: Changes) -> Iterator[TaskStarLine]:
    for line_id, line in changes.updated_lines.items():
        differences = line_differences(changes.plan._lines_by_id[line_id], line)
        if "dependency_type" in differences or "condition_evaluator" in differences:
            yield line


def _refuses(line: TaskStarLine) -> bool:
    """Whether a link does not accept that its prerequisite was skipped."""
    return line._dependency_type in (DependencyType.SUCCESS_ONLY, DependencyType.CONDITIONAL)


def _refusing(changes: Changes, task_id: str) -> Iterator[TaskStarLine]:
    """The links of the plan, as they would be, out of a task that is skipped, into tasks that are skipped by that."""
    task = None if task_id in changes.new_tasks else changes.plan._tasks.get(task_id)
    for line in () if task is None else task._out:
        target, line_id = line._target, line._line_id
        if line_id in changes.removed_lines:
            continue
        as_said = changes.updated_lines.get(line_id, line) if isinstance(line_id, str) else line
        if line._open and target is not None and target._status in UNSTARTED and _refuses(as_said):
            yield as_said


def diff_of(changes: Changes) -> dict[str, Any]:
    """What a sound transaction changes, as plain data: `tasks` and `links`, each `added`, `removed` and `changed`.

    O(what it touches), in the shapes of `Preview.to_dict`.
    """
    replaced = changes.removed_tasks.keys() & changes.new_tasks.keys()
    replaced_lines = changes.removed_lines.keys() & changes.new_lines.keys()
    new, gone = changes.new_tasks.items(), changes.removed_tasks.items()
    new_lines, gone_lines = changes.new_lines.items(), changes.removed_lines.items()
    return {
        "tasks": {
            "added": [_task_change(task, _NEW, task).to_dict() for key, task in new if key not in replaced],
            "removed": [_task_change(task, task, _NEW).to_dict() for key, task in gone if key not in replaced],
            "changed": [change.to_dict() for change in _changed_tasks(changes)],
        },
        "links": {
            "added": [_link_change(None, line).to_dict() for key, line in new_lines if key not in replaced_lines],
            "removed": [_link_change(line, None).to_dict() for key, line in gone_lines if key not in replaced_lines],
            "changed": [change.to_dict() for change in _changed_links(changes)],
        },
    }
