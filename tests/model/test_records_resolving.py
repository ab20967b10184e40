"""Saying how a task ended of which nobody knew: what was skipped because of it, and of nothing else, may run after all."""

from __future__ import annotations

import json
from typing import Any

import pytest

from galaxy_core import (
    ConditionError,
    DependencyType,
    ExecutionResult,
    Expression,
    OutcomeUnknownError,
    PlanError,
    TaskCancelledError,
    TaskConstellation,
    TaskSkippedError,
    TaskStar,
    TaskStarLine,
    TaskStatus,
    TransitionError,
    UnknownTaskError,
)

SUCCESS, ANY = DependencyType.SUCCESS_ONLY, DependencyType.COMPLETION_ONLY
CONDITIONAL = DependencyType.CONDITIONAL


def plan_of(links: str, **conditions: Any) -> TaskConstellation:
    """A plan such as ``a>b b~c``: ">" success only, "~" any end, "?" conditional."""
    kinds = {">": SUCCESS, "~": ANY, "?": CONDITIONAL}
    lines = [
        TaskStarLine(
            one[0], one[2], kinds[one[1]], "it is so", conditions.get(one[0] + one[2]), line_id=one[0] + one[2]
        )
        for one in links.split()
    ]
    ids = sorted({end for line in lines for end in (line.from_task_id, line.to_task_id)})
    return TaskConstellation.build([TaskStar(task_id, description="x") for task_id in ids], lines)


def end(plan: TaskConstellation, task_id: str, status: TaskStatus = TaskStatus.COMPLETED, value: Any = None) -> None:
    task = plan._tasks[task_id]
    plan.begin(task, 10.0)
    error = OutcomeUnknownError(task_id, "nobody knows") if status is TaskStatus.UNKNOWN else None
    plan.end(task, status, ExecutionResult(task_id, status, value, error, stdout="so far"), error, 11.0)


def lost(plan: TaskConstellation, task_id: str) -> None:
    end(plan, task_id, TaskStatus.UNKNOWN)


def standing(plan: TaskConstellation) -> dict[str, str]:
    return {task.task_id: task.status.value for task in plan.get_all_tasks()}


def reread(plan: TaskConstellation) -> TaskConstellation:
    return TaskConstellation.from_dict(json.loads(json.dumps(plan.to_dict())))


@pytest.fixture(params=[False, True], ids=["live", "loaded"])
def loaded(request: pytest.FixtureRequest) -> Any:
    """Whether the plan is the live one, or was loaded from its document."""
    return reread if request.param else lambda plan: plan


def test_what_was_skipped_because_of_it_is_ready_when_it_had_completed(loaded: Any) -> None:
    plan = plan_of("a>b b>c a>d")
    lost(plan, "a")
    assert standing(plan) == {"a": "unknown", "b": "skipped", "c": "skipped", "d": "skipped"}
    plan = loaded(plan)
    made = plan.resolve("a", "completed", "it did")
    assert standing(plan) == {"a": "completed", "b": "pending", "c": "pending", "d": "pending"}
    assert [task.task_id for task in made.ready] == ["b", "d"]
    assert [task.task_id for task in made.opened] == ["b", "d", "c"]
    assert [task.task_id for task in plan.get_ready_tasks()] == ["b", "d"]
    assert plan._tasks["a"].result.result == "it did"
    assert plan._tasks["a"].result.stdout == "it did"  # not the beginning that was heard
    assert plan._tasks["a"].error is plan._tasks["b"].error is None
    assert plan.validate_dag() == (True, [])


def test_what_was_skipped_because_of_it_is_skipped_again_when_it_had_failed(loaded: Any) -> None:
    plan = plan_of("a>b b>c a~d")
    lost(plan, "a")
    plan = loaded(plan)
    made = plan.resolve("a", "failed")
    assert standing(plan) == {"a": "failed", "b": "skipped", "c": "skipped", "d": "pending"}
    assert [task.task_id for task in made.skipped] == ["b", "c"]
    error = plan._tasks["b"].error
    assert isinstance(error, TaskSkippedError)
    assert "ended failed" in str(error)
    assert "resolved as failed" in str(plan._tasks["a"].error)


def test_what_waits_for_it_waits_again_when_it_is_to_be_tried_again(loaded: Any) -> None:
    plan = plan_of("a>b b>c a~d")
    lost(plan, "a")
    plan = loaded(plan)
    retries = plan._tasks["a"].retry_count
    plan.resolve("a", "retry")
    assert set(standing(plan).values()) == {"pending"}
    assert [task.task_id for task in plan.get_ready_tasks()] == ["a"]
    assert (plan._tasks["a"].attempts, plan._tasks["a"].retry_count) == (1, retries)
    for task_id in "abcd":
        end(plan, task_id)
    assert plan.is_complete()


def test_what_was_skipped_because_of_something_else_as_well_stays_skipped(loaded: Any) -> None:
    plan = plan_of("a>c b>c c>d a>e")
    end(plan, "b", TaskStatus.FAILED)
    lost(plan, "a")
    plan = loaded(plan)
    plan.resolve("a", "completed")
    assert standing(plan) == {"a": "completed", "b": "failed", "c": "skipped", "d": "skipped", "e": "pending"}


def test_what_two_of_unknown_end_had_skipped_waits_for_the_second_answer(loaded: Any) -> None:
    plan = plan_of("a>c b>c")
    lost(plan, "a")
    lost(plan, "b")
    plan = loaded(plan)
    plan.resolve("a", "completed")
    assert standing(plan)["c"] == "skipped"
    plan.resolve("b", "completed")
    assert standing(plan)["c"] == "pending"


def test_what_has_started_after_it_stays_as_it_is(loaded: Any) -> None:
    plan = plan_of("a>b b~c a~d")
    lost(plan, "a")
    end(plan, "c")
    end(plan, "d")
    plan = loaded(plan)
    plan.resolve("a", "completed")
    assert standing(plan) == {"a": "completed", "b": "pending", "c": "completed", "d": "completed"}


def test_what_waited_for_the_skipped_and_has_not_started_waits_again(loaded: Any) -> None:
    plan = plan_of("a>b b~c")
    lost(plan, "a")
    plan = loaded(plan)
    assert [task.task_id for task in plan.get_ready_tasks()] == ["c"]
    plan.resolve("a", "completed")
    assert [task.task_id for task in plan.get_ready_tasks()] == ["b"]


def test_a_condition_is_judged_anew_by_the_end_that_it_had(loaded: Any) -> None:
    asked = Expression("status == 'completed' && value == `3`")
    plan = plan_of("a?b a?c", ab=asked, ac=asked)
    lost(plan, "a")
    plan = loaded(plan)
    plan.resolve("a", "completed", 3)
    assert standing(plan)["b"] == "pending"
    other = plan_of("a?b", ab=asked)
    lost(other, "a")
    other = loaded(other)
    other.resolve("a", "completed", 4)
    assert standing(other)["b"] == "skipped"


def test_a_condition_that_broke_no_longer_makes_the_run_wrong() -> None:
    plan = plan_of("a?b", ab=lambda value: value["key"])
    end(plan, "a", TaskStatus.FAILED)
    assert isinstance(plan._tasks["b"].error, ConditionError)
    assert plan._broken == 1
    plan._tasks["a"]._status = TaskStatus.UNKNOWN
    plan._counts[TaskStatus.FAILED] -= 1
    plan._counts[TaskStatus.UNKNOWN] += 1
    plan.resolve("a", "completed", {"key": True})
    assert (plan._broken, standing(plan)["b"]) == (0, "pending")


def test_it_can_be_given_a_whole_result() -> None:
    plan = plan_of("a>b")
    lost(plan, "a")
    result = ExecutionResult("a", TaskStatus.COMPLETED, 5)
    plan.resolve("a", "completed", result)
    assert plan._tasks["a"].result is result


@pytest.mark.parametrize(
    ("task_id", "as_", "error", "why"),
    [
        ("x", "completed", UnknownTaskError, "x not found"),
        ("b", "completed", TransitionError, "only what ended unknown can be"),
        ("a", "complete", PlanError, "completed, failed, retry, not as 'complete'; did you mean 'completed'"),
        ("a", 5, PlanError, "not as 5"),
    ],
)
def test_what_cannot_be_resolved_is_refused_and_nothing_is_changed(
    task_id: str, as_: str, error: type[Exception], why: str
) -> None:
    plan = plan_of("a>b")
    lost(plan, "a")
    before = plan.to_dict()
    with pytest.raises(error, match=why):
        plan.resolve(task_id, as_)
    assert plan.to_dict() == before


# ----------------------------------------------------------------------------------------------- documents
def test_a_document_brings_back_the_errors_that_say_why_a_task_did_not_run() -> None:
    plan = plan_of("a>b c>d")
    lost(plan, "a")
    plan.withdraw(plan._tasks["c"], TaskCancelledError("c", "task 'c': the run was cancelled"), 12.0)
    made = reread(plan)
    assert isinstance(made._tasks["a"].error, OutcomeUnknownError)
    skipped = made._tasks["b"].error
    assert isinstance(skipped, TaskSkippedError)
    assert (skipped.cause_id, str(skipped)) == ("a", str(plan._tasks["b"].error))
    assert isinstance(made._tasks["c"].error, TaskCancelledError)


def test_a_document_keeps_a_link_withheld_and_says_no_more_than_that() -> None:
    plan = plan_of("a>b b>c")
    task = plan._tasks["a"]
    plan.begin(task, 10.0)
    plan.end(task, TaskStatus.FAILED, None, ValueError("x"), 11.0, withhold=True)
    document = plan.to_dict()
    assert document["dependencies"]["ab"]["withheld"] is True
    assert "withheld" not in document["dependencies"]["bc"]
    made = reread(plan)
    assert made.to_dict() == document
    assert standing(made) == {"a": "failed", "b": "pending", "c": "pending"}
    assert made.get_ready_tasks() == []
    made.judge_withheld(list(made._withheld), 12.0)
    assert standing(made) == {"a": "failed", "b": "skipped", "c": "skipped"}
    assert TaskConstellation.from_basemodel(plan.to_basemodel()).to_dict() == document
