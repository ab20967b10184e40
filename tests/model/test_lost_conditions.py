"""Conditions that were Python functions: a document says that there was one, and what is read of it is no silent yes."""

from __future__ import annotations

import pytest

from galaxy_core.errors import ConditionError, EditError
from galaxy_core.model.changes import Changes
from galaxy_core.model.condition import Expression, LostCondition
from galaxy_core.model.constellation import ConstellationState, TaskConstellation
from galaxy_core.model.dependency import DependencyType, TaskStarLine
from galaxy_core.model.edits import AddDependency, ReplacePlan, Transaction, UpdateDependency
from galaxy_core.model.edits_fields import transaction_to_dict
from galaxy_core.model.edits_file import transaction_from_dict
from galaxy_core.model.preview import preview
from galaxy_core.model.result import TaskStatus
from galaxy_core.model.task import TaskStar


def never(payload: object) -> bool:
    return False


def plan_of(condition: object = never, kind: DependencyType = DependencyType.CONDITIONAL) -> TaskConstellation:
    line = TaskStarLine("a", "b", kind, "never", condition, "l")  # type: ignore[arg-type]
    return TaskConstellation.build([TaskStar("a"), TaskStar("b")], [line])


def reloaded(plan: TaskConstellation) -> list[TaskConstellation]:
    read = TaskConstellation.from_json(plan.to_json())
    return [read, TaskConstellation.from_basemodel(plan.to_basemodel()), TaskConstellation.from_json(read.to_json())]


@pytest.mark.parametrize("number", range(3))
def test_a_dependent_whose_condition_was_lost_is_skipped_visibly(number: int) -> None:
    plan = reloaded(plan_of())[number]
    plan.mark_task_completed("a", True, "out")
    skipped = plan.tasks["b"]
    assert skipped.status is TaskStatus.SKIPPED
    assert isinstance(skipped.error, ConditionError)
    assert "the condition 'never' was a Python function, which a document cannot keep: set condition_evaluator" in str(
        skipped.error
    )
    assert plan.state is ConstellationState.PARTIALLY_FAILED


def test_a_condition_that_is_set_again_decides() -> None:
    plan = reloaded(plan_of())[0]
    plan.get_all_dependencies()[0].condition_evaluator = bool
    plan.mark_task_completed("a", True, "out")
    assert [task.task_id for task in plan.get_ready_tasks()] == ["b"]


def test_a_document_without_the_mark_means_what_it_meant() -> None:
    written = plan_of().to_dict()
    del written["dependencies"]["l"]["condition_lost"]
    plan = TaskConstellation.from_dict(written)
    assert plan.get_all_dependencies()[0].condition_evaluator is None
    plan.mark_task_completed("a", True, "out")
    assert [task.task_id for task in plan.get_ready_tasks()] == ["b"]


@pytest.mark.parametrize("condition", [None, Expression("value")])
def test_only_a_lost_condition_is_marked(condition: Expression | None) -> None:
    assert "condition_lost" not in plan_of(condition).to_dict()["dependencies"]["l"]


def test_a_plan_that_comes_back_from_a_document_does_not_take_the_function_out() -> None:
    live = plan_of()
    edited = reloaded(live)[0]
    edited.tasks["b"].description = "new"
    changes = Changes(live, Transaction([ReplacePlan(edited)]))
    assert not changes.problems
    assert (list(changes.updated_tasks), list(changes.updated_lines)) == (["b"], [])


@pytest.mark.parametrize("condition", [None, Expression("value")])
def test_a_condition_that_was_lost_is_not_taken_for_what_the_live_plan_has(condition: Expression | None) -> None:
    live = plan_of(condition)
    changes = Changes(live, Transaction([ReplacePlan(reloaded(plan_of())[0])]))
    assert list(changes.updated_lines) == ["l"]


def test_a_live_condition_that_is_lost_is_that_of_any_other_document() -> None:
    live = reloaded(plan_of())[0]
    changes = Changes(live, Transaction([ReplacePlan(reloaded(plan_of())[1])]))
    assert not changes.problems
    assert not changes.updated_lines


def test_a_transaction_writes_that_a_condition_was_lost() -> None:
    line = reloaded(plan_of())[0].get_all_dependencies()[0]
    document = transaction_to_dict(Transaction([AddDependency(line)]))
    (read,) = transaction_from_dict(document).operations
    assert isinstance(read, AddDependency)
    assert isinstance(read.line.condition_evaluator, LostCondition)
    with pytest.raises(EditError, match="a condition that was a function and is lost cannot be written down"):
        transaction_to_dict(Transaction([UpdateDependency("l", {"condition_evaluator": line.condition_evaluator})]))


def test_a_preview_tells_what_a_lost_condition_would_skip() -> None:
    live = TaskConstellation.build([TaskStar("a"), TaskStar("b")], [])
    live.mark_task_completed("a", True, "out")
    line = reloaded(plan_of())[0].get_all_dependencies()[0]
    assert preview(live, Transaction([AddDependency(line)])).skips == ("b",)
