"""The laws of transactions, under arbitrary operations on plans in arbitrary progress, against a naive oracle."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from itertools import pairwise
from typing import Any

import pytest
from attrs import evolve
from hypothesis import event, given, settings
from hypothesis import strategies as st

from galaxy_core.errors import EditConflictError, EditError, EditProblem, PlanError
from galaxy_core.model.changes import Changes
from galaxy_core.model.constellation import TaskConstellation
from galaxy_core.model.cycles import cycle_through
from galaxy_core.model.dependency import TaskStarLine
from galaxy_core.model.edits import (
    LINE_FIELDS,
    AddDependency,
    AddTask,
    Operation,
    RemoveDependency,
    RemoveTask,
    ReplacePlan,
    Transaction,
    UpdateDependency,
    UpdateTask,
)
from galaxy_core.model.result import UNSTARTED, TaskStatus
from galaxy_core.model.snapshot import snapshot
from galaxy_core.model.task import TaskStar
from tests.properties.transactions import (
    Expected,
    Oracle,
    Scene,
    go_on,
    picture,
    said_by,
    scenes,
    skipped,
    unsettled,
)


def everything(plan: TaskConstellation) -> dict[str, Any]:
    """All that can be seen of a plan, and where its tasks stand in the order that it keeps."""
    return {
        "document": plan.to_dict(),
        "revision": plan.revision,
        "ready": [task.task_id for task in plan.get_ready_tasks()],
        "places": {task.task_id: task._order for task in plan.get_all_tasks()},
        "statistics": plan.get_statistics(),
        "pending": {task.task_id: task._pending for task in plan.get_all_tasks()},
    }


def told(problems: Sequence[EditProblem]) -> set[Expected]:
    """Problems as the oracle has them: it does not know which operation closes a cycle or loses an input."""
    return {(None if one.kind in ("cycle", "input") else one.operation, one.kind) for one in problems}


def is_replacement(batch: Sequence[Operation]) -> bool:
    return any(isinstance(operation, ReplacePlan) for operation in batch)


# ----------------------------------------------------------------------------------------------- against the oracle
@given(scene=scenes())
@settings(max_examples=400)
def test_a_transaction_is_refused_when_the_oracle_says_so_and_else_does_what_it_says(scene: Scene) -> None:
    plan = scene.plan()
    before, oracle = everything(plan), Oracle.of(plan)
    was = oracle.picture()
    started = {task_id: plan.tasks[task_id].to_dict() for task_id in oracle.started}
    changes = Changes(plan, Transaction(scene.batch))
    oracle.read(scene.batch)
    if is_replacement(scene.batch) and oracle.problems and changes.problems:
        whole = {(None, "cycle"), (None, "input")}  # which parts of a new plan are doubtful, the oracle does not know
        assert told(changes.problems) - whole == oracle.problems - whole
    else:
        assert told(changes.problems) == oracle.problems
    assert everything(plan) == before
    event("refused" if oracle.problems else "accepted")
    if oracle.problems:
        with pytest.raises(EditError) as caught:
            changes.apply()
        assert caught.value.problems == tuple(changes.problems)
        assert all(problem.operation in range(len(scene.batch)) and problem.reason for problem in changes.problems)
        assert not isinstance(caught.value, EditConflictError)
        assert everything(plan) == before
        return
    was_skipped = skipped(plan)
    changes.apply()
    assert list(unsettled(plan, skipped(plan) - was_skipped)) == []
    found, expected = picture(plan), oracle.picture()
    assert found.tasks == expected.tasks
    if is_replacement(scene.batch):
        assert Counter(map(repr, found.links.values())) == Counter(map(repr, expected.links.values()))
        assert plan.revision == before["revision"] + (not changes.is_empty)
        assert not (changes.is_empty and found != was)
    else:
        assert found.links == expected.links
        changed = oracle.fresh or oracle.removed or found != was
        assert plan.revision == before["revision"] + bool(changed)
    assert plan.validate_dag() == (True, [])
    for task_id, document in started.items():
        now = plan.tasks[task_id].to_dict()
        del now["dependents"], document["dependents"]
        gone = {task for task in document["dependencies"] if task in oracle.removed}
        assert gone.isdisjoint(now["dependencies"])
        assert set(document.pop("dependencies")) - gone == set(now.pop("dependencies"))
        assert now == document


@given(scene=scenes())
@settings(max_examples=200)
def test_without_the_operations_that_are_named_a_transaction_is_sound(scene: Scene) -> None:
    plan, transaction = scene.plan(), Transaction(scene.batch)
    while problems := Changes(plan, transaction).problems:
        named = {problem.operation for problem in problems}
        assert None not in named
        transaction = transaction.without(place for place in named if place is not None)
    Changes(plan, transaction).apply()
    assert plan.validate_dag() == (True, [])


@given(scene=scenes())
@settings(max_examples=300)
def test_the_inverse_takes_a_transaction_back_and_its_inverse_makes_it_again(scene: Scene) -> None:
    plan = scene.plan()
    before, was_skipped = picture(plan), skipped(plan)
    fixed = {task.task_id for task in plan.get_all_tasks() if not task.is_modifiable}
    transaction = Transaction(scene.batch)
    while problems := Changes(plan, transaction).problems:
        transaction = transaction.without(one.operation for one in problems if one.operation is not None)
    changes = Changes(plan, transaction)
    undo = changes.apply()
    after = picture(plan)
    undoing = Changes(plan, undo)
    if undoing.problems:  # what was skipped by the edit stays, and with it a link that stands for another of that id
        first, *others = undoing.problems
        replaced = changes.new_lines.keys() & changes.removed_lines.keys()
        assert first.kind == "started"
        for problem in (first, *others):
            expected = replaced if problem.kind == "duplicate" else skipped(plan) - was_skipped
            assert problem.kind in ("started", "duplicate")
            assert problem.subject in expected
        return
    redo, was_skipped = undoing.apply(), skipped(plan)
    found = picture(plan)
    lost = {key for key, line in changes.removed_lines.items() if line.to_task_id in fixed}
    assert found.tasks == before.tasks
    assert found.links == {key: link for key, link in before.links.items() if key not in lost}
    assert plan.validate_dag() == (True, [])
    redoing = Changes(plan, redo)
    if not {problem.subject for problem in redoing.problems} & was_skipped:
        redoing.apply()
        assert picture(plan) == after
        assert plan.validate_dag() == (True, [])


# ----------------------------------------------------------------------------------------------- what others do
@given(scene=scenes(others=True))
@settings(max_examples=400)
def test_what_somebody_else_has_edited_since_the_base_revision_is_a_conflict(scene: Scene) -> None:
    plan = scene.plan()
    plan.track_edits()
    base = plan.revision
    undisturbed = snapshot(plan)
    other = Transaction(scene.others)
    while problems := Changes(plan, other).problems:
        other = other.without(one.operation for one in problems if one.operation is not None)
    theirs = Changes(plan, other)
    moved = {*theirs.removed_tasks, *theirs.new_tasks, *theirs.updated_tasks}
    lines = {**theirs.removed_lines, **theirs.new_lines, **theirs.updated_lines}
    theirs.apply()
    gone = [("gone", task_id) for task_id in theirs.removed_tasks]
    oracle = Oracle.of(plan, [*moved, *(("link", key) for key in lines), *gone])
    oracle.read(scene.batch)
    before, seen = everything(plan), picture(plan)
    changes = Changes(plan, Transaction(scene.batch, base))
    if not is_replacement(scene.batch):
        assert told(changes.problems) == oracle.problems
    conflicts = [problem for problem in changes.problems if problem.is_conflict]
    assert all(problem.is_conflict for problem in changes.problems if problem.kind in ("changed", "started"))
    error = changes.refused()
    assert isinstance(error, EditConflictError) == bool(conflicts)
    if error is not None:
        with pytest.raises(type(error)):
            changes.apply()
        assert everything(plan) == before
        if not Changes(undisturbed, Transaction(scene.batch)).problems:
            assert conflicts  # it would not be, had nobody moved the plan
    else:
        changes.apply()
        now = picture(plan)
        assert {key: now.tasks.get(key) for key in moved} == {key: seen.tasks.get(key) for key in moved}
        assert {key: now.links.get(key) for key in lines} == {key: seen.links.get(key) for key in lines}
    event(f"conflict: {bool(conflicts)}")


@given(scene=scenes(more=True))
@settings(max_examples=200)
def test_progress_elsewhere_is_no_conflict(scene: Scene) -> None:
    plan = scene.plan()
    base = plan.revision
    go_on(plan, scene.more)
    based, free = Changes(plan, Transaction(scene.batch, base)), Changes(plan, Transaction(scene.batch))
    assert told(based.problems) == told(free.problems)
    assert {problem.kind for problem in based.problems if problem.is_conflict} <= {"started"}
    based_on_the_future = Changes(plan, Transaction(scene.batch, base + 1))
    assert told(based_on_the_future.problems) == {(None, "future")}


@given(scene=scenes(others=True, more=True))
@settings(max_examples=200)
def test_what_was_checked_is_made_only_while_it_is_still_sound(scene: Scene) -> None:
    plan = scene.plan()
    changes = Changes(plan, Transaction(scene.batch))
    if changes.problems:
        return
    go_on(plan, scene.more)
    with suppress(EditError):
        Changes(plan, Transaction(scene.others)).apply()
    before, was_skipped = everything(plan), skipped(plan)
    fixed = [task for task in plan.get_all_tasks() if not task.is_modifiable]
    was = [(task.to_dict(), list(task._in)) for task in fixed]
    try:
        changes.apply()
    except EditConflictError:
        assert everything(plan) == before
    else:
        for task, (document, links) in zip(fixed, was, strict=True):
            lost = [line.from_task_id for line in links if line not in task._in]
            assert set(lost) <= changes.removed_tasks.keys()
            ends = ("dependencies", "dependents")
            assert task.to_dict() | dict.fromkeys(ends) == document | dict.fromkeys(ends)
        assert plan.validate_dag() == (True, [])
        assert list(unsettled(plan, skipped(plan) - was_skipped)) == []


# ----------------------------------------------------------------------------------------------- who listens
class Queue:
    """A run as far as it matters here: a queue of tickets, of which only a task's last one counts."""

    def __init__(self, plan: TaskConstellation) -> None:
        self.tickets: dict[int, TaskStar] = {}
        self.skipped: set[str] = set()
        plan._listener = self
        for task in plan.get_ready_tasks():
            self.take(task)

    def take(self, task: TaskStar) -> None:
        assert task.is_ready_to_execute
        task._ticket = len(self.tickets) + 1
        self.tickets[task._ticket] = task

    def waiting(self) -> set[str]:
        return {task.task_id for ticket, task in self.tickets.items() if task._ticket == ticket}

    def task_changed(self, task: TaskStar) -> None:
        if task._ticket:
            self.take(task)

    def task_ended(self, task: TaskStar, ready: Sequence[TaskStar], skipped: Sequence[TaskStar]) -> None:
        raise AssertionError("no edit ends a task")

    def withholds(self, task: TaskStar, status: TaskStatus) -> bool:
        return False

    def task_freed(self, ready: Sequence[TaskStar], skipped: Sequence[TaskStar]) -> None:
        for task in skipped:
            task._ticket = 0
            self.skipped.add(task.task_id)
        for task in ready:
            if task.status in UNSTARTED and not task._pending:
                self.take(task)

    def task_removed(self, task: TaskStar) -> None:
        task._ticket = 0


#: Fields that can be set on a task one by one.
SETTABLE = {"priority", "name", "target_device_id", "requires", "effect", "device_type", "task_data", "request"}


def one_by_one(plan: TaskConstellation, operation: Operation) -> None:
    """The same through the methods of the plan.

    Raises:
        LookupError: they have no way of saying it.
    """
    match operation:
        case AddTask(task):
            plan.add_task(task.copy())
        case RemoveTask(task_id):
            plan.remove_task(task_id)
        case UpdateTask(task_id, changes):
            if not changes.keys() <= SETTABLE or changes.get("requires") == "camera":
                raise LookupError
            for name, value in changes.items():
                if value != getattr(plan.tasks[task_id], name):
                    setattr(plan.tasks[task_id], name, value)
        case AddDependency(line):
            plan.add_dependency(line.copy())
        case RemoveDependency(name) | UpdateDependency(name):
            line = found(plan, name)
            if isinstance(operation, RemoveDependency):
                plan.remove_dependency(line.line_id)
                return
            for field, value in operation.changes.items():
                if field == "metadata":
                    raise LookupError
                if value != getattr(line, LINE_FIELDS[field]):
                    setattr(line, field, value)
        case ReplacePlan():
            raise LookupError


def found(plan: TaskConstellation, name: Any) -> TaskStarLine:
    lines = plan.get_all_dependencies()
    (line,) = (line for line in lines if name in (line.line_id, (line.from_task_id, line.to_task_id)))
    return line


@given(scene=scenes())
@settings(max_examples=300)
def test_a_run_hears_what_it_would_hear_of_the_same_edits_one_by_one(scene: Scene) -> None:
    plan = scene.plan()
    twin, was_skipped = snapshot(plan), skipped(plan)
    queue = Queue(plan)
    changes = Changes(plan, Transaction(scene.batch))
    if changes.problems:
        return
    changes.apply()
    assert queue.waiting() == {task.task_id for task in plan.get_ready_tasks()}
    assert queue.skipped == skipped(plan) - was_skipped
    twin_queue = Queue(twin)
    try:
        for operation in scene.batch:
            one_by_one(twin, operation)
    except (PlanError, LookupError):
        return  # the order matters there, or there is no such method
    event("compared")
    assert twin_queue.waiting() == queue.waiting()
    assert twin_queue.skipped == queue.skipped
    assert {key: (task.status, said_by(task)) for key, task in twin.tasks.items()} == {
        key: (task.status, said_by(task)) for key, task in plan.tasks.items()
    }


# ----------------------------------------------------------------------------------------------- I2, many links at once
numbers = st.sampled_from(range(12))
pairs = st.tuples(numbers, numbers)


@given(
    old=st.lists(pairs, min_size=5, max_size=25),
    new=st.lists(pairs, min_size=1, max_size=6),
    gone=st.sets(st.integers(0, 24), max_size=12),
)
@settings(max_examples=500)
def test_a_cycle_is_found_exactly_when_there_is_one_and_is_one(
    old: list[tuple[int, int]], new: list[tuple[int, int]], gone: set[int]
) -> None:
    plan = TaskConstellation("plan")
    for number in range(8):  # the rest is new
        plan.add_task(TaskStar(str(number)))
    for number, (source, target) in enumerate(old):
        if source < 8 and target < 8:
            with suppress(PlanError):
                plan.add_dependency(TaskStarLine(str(source), str(target), line_id=f"old{number}"))
    fresh = {str(number) for number in range(8, 12)}
    removed = {key: line for key, line in plan.dependencies.items() if int(key.removeprefix("old")) in gone}
    lines = {f"new{number}": TaskStarLine(str(source), str(target)) for number, (source, target) in enumerate(new)}
    cycle = cycle_through(plan, fresh, lines, removed)
    left = [line for key, line in plan.dependencies.items() if key not in removed] + list(lines.values())
    links = {(line.from_task_id, line.to_task_id) for line in left}
    nodes = {node for link in links for node in link}
    while free := {node for node in nodes if not any(target == node and source in nodes for source, target in links)}:
        nodes -= free
    assert (cycle is not None) == bool(nodes)
    if cycle is not None:
        assert cycle[0] == cycle[-1]
        assert len(set(cycle)) == len(cycle) - 1
        assert all(link in links for link in pairwise(cycle))


@given(scene=scenes())
@settings(max_examples=100)
def test_a_plan_that_is_replaced_by_a_copy_of_itself_stays_as_it_is(scene: Scene) -> None:
    plan = scene.plan()
    before = everything(plan)
    copies = [snapshot(plan), evolve(scene.spec, plan_id="").build()]
    strange = [link.make(f"another {key}") for key, link in scene.spec.links.items()]
    if len({(line.from_task_id, line.to_task_id) for line in strange}) == len(strange):  # else any may be any
        tasks = [TaskStar(task_id, **said) for task_id, said in scene.spec.tasks.items()]
        copies.append(TaskConstellation.build(tasks, strange, constellation_id="plan"))
    for copy in copies:
        changes = Changes(plan, Transaction([ReplacePlan(copy)]))
        assert changes.problems == []
        assert changes.is_empty
        changes.apply()
        assert everything(plan) == before
