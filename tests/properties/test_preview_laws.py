"""Laws of previews, on any plan at any moment and any transaction, sound or not."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from galaxy_core import DependencyType, TaskConstellation, TaskPriority, TaskStar, TaskStarLine
from galaxy_core.errors import EditError
from galaxy_core.model import analysis
from galaxy_core.model.changes import Changes
from galaxy_core.model.differences import said
from galaxy_core.model.edits import (
    LINE_FIELDS,
    TASK_FIELDS,
    AddDependency,
    AddTask,
    Operation,
    RemoveDependency,
    RemoveTask,
    Transaction,
    UpdateDependency,
    UpdateTask,
)
from galaxy_core.model.preview import Preview, TaskChange, preview
from galaxy_core.model.result import TaskStatus

IDS = ("a", "b", "c", "d", "e", "f")
PAIRS = [(source, target) for index, source in enumerate(IDS) for target in IDS[index + 1 :]]
_kinds = st.sampled_from(DependencyType)
_estimates = st.sampled_from([None, 0.0, 1.0, 2.5])


@st.composite
def plans(draw: st.DrawFn) -> TaskConstellation:
    """Up to six tasks, some of which have run, been skipped, or run now."""
    count = draw(st.integers(0, len(IDS)))
    plan = TaskConstellation("p")
    plan.track_edits()
    for task_id in IDS[:count]:
        device_id = draw(st.sampled_from([None, "x"]))
        plan.add_task(TaskStar(task_id, target_device_id=device_id, estimate_s=draw(_estimates)))
    pairs = [pair for pair in PAIRS if pair[1] in IDS[:count]]
    drawn = draw(st.lists(st.sampled_from(pairs), max_size=8)) if pairs else []
    for number, (source, target) in enumerate(drawn):
        plan.add_dependency(TaskStarLine(source, target, draw(_kinds), line_id=f"l{number}"))
    for _ in range(draw(st.integers(0, 3))):
        ready = plan.get_ready_tasks()
        if ready:
            plan.start_task(ready[0].task_id)
            end = draw(st.sampled_from(["succeeds", "fails", "runs"]))
            if end != "runs":
                plan.mark_task_completed(ready[0].task_id, end == "succeeds", 1)
    return plan


_changes = st.sampled_from(
    [
        {"name": "other"},
        {"timeout": 3.0, "priority": TaskPriority.HIGH},
        {"estimate_s": 9.0},
        {"target_device_id": "y"},
        {"target_device_id": None},
        {"requires": {"x"}},
        {"timeout": -1},
        {},
    ]
)
_specs = st.tuples(st.integers(0, 9), st.integers(0, 20), st.integers(0, 20), _kinds, _estimates, _changes)
_bases = st.sampled_from([None] * 5 + [0, 8, 99])
Spec = tuple[int, int, int, DependencyType, float | None, dict[str, Any]]


def operation(plan: TaskConstellation, spec: Spec) -> Iterator[Operation]:
    """What a spec comes to on a plan: mostly something that can be, now and then something that cannot."""
    what, first, second, kind, estimate_s, changes = spec
    free = [task.task_id for task in plan.get_modifiable_tasks()] or ["a"]
    lines = [line.line_id for line in plan.get_modifiable_dependencies()] or ["l0"]
    some, other = free[first % len(free)], IDS[second % len(IDS)]
    line_id = lines[first % len(lines)]
    if what in (0, 1):
        yield UpdateTask(some, changes)
    elif what == 2:
        yield RemoveTask(some)
    elif what == 3:
        yield RemoveTask(some)
        yield AddTask(TaskStar(some, estimate_s=estimate_s))
    elif what == 4:
        yield AddTask(TaskStar("ghij"[first % 4], estimate_s=estimate_s))
        if second % 2:
            yield AddDependency(TaskStarLine(other, "ghij"[first % 4], kind, line_id=f"n{first}"))
    elif what in (5, 6):
        yield AddDependency(TaskStarLine(other, some, kind, line_id=f"m{second}"))
    elif what == 7:
        yield UpdateDependency(line_id, {"dependency_type": kind})
    elif what == 8:
        yield RemoveDependency(line_id)
        if second % 2:
            yield AddDependency(TaskStarLine(other, some, kind, line_id=line_id))
    else:  # with no regard to what there is
        yield UpdateTask(IDS[first % len(IDS)], changes) if second % 2 else RemoveDependency((other, some))


@st.composite
def cases(draw: st.DrawFn) -> tuple[TaskConstellation, Transaction]:
    """A plan at some moment, and a transaction for it."""
    plan = draw(plans())
    specs = draw(st.lists(_specs, max_size=4))
    return plan, Transaction([one for spec in specs for one in operation(plan, spec)], draw(_bases))


Case = tuple[TaskConstellation, Transaction]


def state(plan: TaskConstellation) -> dict[str, Any]:
    """What the plan's parts say and how they stand, by id, with the objects themselves."""
    tasks = {
        task_id: (task, {name: said(task, name) for name in TASK_FIELDS}, task.status)
        for task_id, task in plan.tasks.items()
    }
    lines = {
        line_id: (line, {name: getattr(line, slot) for name, slot in LINE_FIELDS.items()}, (line._from, line._to))
        for line_id, line in plan.dependencies.items()
    }
    return {"tasks": tasks, "lines": lines}


def names(changes: tuple[Any, ...], attribute: str = "task_id") -> list[str]:
    return sorted(getattr(change, attribute) for change in changes)


@given(cases())
def test_a_preview_never_changes_the_plan(case: Case) -> None:
    plan, transaction = case
    before, figures = plan.to_dict(), [line.to_dict() for line in plan.get_all_dependencies()]
    view = preview(plan, transaction, loads={"x": 2})
    for form in (view.to_text(), view.to_mermaid(), json.dumps(view.to_dict(), allow_nan=False)):
        assert form
    assert len(view.to_text().splitlines()) <= 40
    assert plan.to_dict() == before
    assert [line.to_dict() for line in plan.get_all_dependencies()] == figures
    assert plan.validate_dag() == (True, [])


@given(cases())
def test_it_finds_no_problem_where_applying_succeeds_and_one_where_it_does_not(case: Case) -> None:
    plan, transaction = case
    view = preview(plan, transaction)
    refused: EditError | None = None
    try:
        Changes(plan, transaction).apply()
    except EditError as error:
        refused = error
    assert bool(view.problems) == (refused is not None)
    if refused is None:
        assert view.cycle == ()
    else:
        kinds = [problem.kind for problem in refused.problems]
        assert [problem.kind for problem in view.problems][: len(kinds)] == kinds


@given(cases())
def test_its_difference_is_what_applying_really_changes(case: Case) -> None:
    plan, transaction = case
    view = preview(plan, transaction)
    before = state(plan)
    revision = plan.revision
    if view.problems:
        return
    Changes(plan, transaction).apply()
    after = state(plan)
    assert view.revision == revision
    assert view.is_empty == (plan.revision == revision)
    tasks = before["tasks"], after["tasks"]
    assert names(view.tasks_added) == sorted(tasks[1].keys() - tasks[0].keys())
    assert names(view.tasks_removed) == sorted(tasks[0].keys() - tasks[1].keys())
    _check_changed(view.tasks_changed, *tasks)
    lines = before["lines"], after["lines"]
    assert names(view.links_added, "line_id") == sorted(lines[1].keys() - lines[0].keys())
    assert names(view.links_removed, "line_id") == sorted(lines[0].keys() - lines[1].keys())
    changed = {change.line_id for change in view.links_changed}
    both = lines[0].keys() & lines[1].keys()
    assert changed == {one for one in both if lines[0][one] != lines[1][one]}
    skipped = {
        task_id for task_id, (task, _, status) in tasks[1].items()
        if status is TaskStatus.SKIPPED and tasks[0].get(task_id, (None, None, None))[2] is not status
    }  # fmt: skip
    assert set(view.skips) == skipped


def _check_changed(changed: tuple[TaskChange, ...], before: dict[str, Any], after: dict[str, Any]) -> None:
    both = before.keys() & after.keys()
    differ = {one for one in both if before[one][0] is not after[one][0] or before[one][1] != after[one][1]}
    assert {change.task_id for change in changed} == differ
    for change in changed:
        old, new = before[change.task_id], after[change.task_id]
        assert change.is_replaced == (old[0] is not new[0])
        assert {field.name for field in change.fields} == {name for name in TASK_FIELDS if old[1][name] != new[1][name]}


@given(cases())
def test_its_figures_are_those_of_the_plan_before_and_after(case: Case) -> None:
    plan, transaction = case
    view = preview(plan, transaction, loads={"x": 1, "y": 1})
    _check_figures(plan, view, is_after=False)
    if not view.problems:
        Changes(plan, transaction).apply()
        _check_figures(plan, view, is_after=True)
        assert view.after == preview(plan, Transaction(()), loads={"x": 1, "y": 1}).before


def _check_figures(plan: TaskConstellation, view: Preview, *, is_after: bool) -> None:
    figures = view.after if is_after else view.before
    assert (figures.tasks, figures.links) == (plan.task_count, plan.dependency_count)
    assert figures.critical_path_s == analysis.estimated_critical_path(plan)[0]
    assert figures.width == plan.get_max_width()
    assert figures.lower_bound_s == analysis.lower_bound_s(plan, 2)


@given(cases())
def test_what_it_holds_has_not_started_and_what_is_behind_waits_for_it(case: Case) -> None:
    plan, transaction = case
    view = preview(plan, transaction)
    order = list(plan.tasks)
    assert list(view.holds) == sorted(view.holds, key=order.index)
    assert list(view.behind) == sorted(view.behind, key=order.index)
    assert not set(view.holds) & set(view.behind)
    held = {*view.holds, *view.behind}
    assert all(plan.tasks[task_id].is_modifiable for task_id in held)
    for task_id in view.behind:
        assert any(line.from_task_id in held for line in plan.get_task_dependencies(task_id))
    for task_id in held:
        followers = [line.to_task_id for line in plan.get_task_dependents(task_id)]
        assert all(one in held for one in followers if plan.tasks[one].is_modifiable)
