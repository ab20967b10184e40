"""The plan: what it holds, what it refuses, what becomes ready, what is skipped, how it stands."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise

import pytest

from galaxy_core.errors import ConditionError, CycleError, DuplicateIdError, ImmutableError, PlanError, TaskSkippedError
from galaxy_core.model.constellation import ConstellationState, TaskConstellation
from galaxy_core.model.dependency import DependencyType, TaskStarLine
from galaxy_core.model.policy import TaskPriority
from galaxy_core.model.result import ExecutionResult, TaskStatus
from galaxy_core.model.task import TaskStar

UNCONDITIONAL, SUCCESS_ONLY = DependencyType.UNCONDITIONAL, DependencyType.SUCCESS_ONLY
CONDITIONAL, COMPLETION_ONLY = DependencyType.CONDITIONAL, DependencyType.COMPLETION_ONLY
#: How a task that waits for nothing comes to each status that it cannot be changed in.
WAYS: dict[str, Callable[[TaskConstellation, str], object]] = {
    "running": lambda plan, task_id: plan.start_task(task_id),
    "completed": lambda plan, task_id: plan.mark_task_completed(task_id, success=True),
    "failed": lambda plan, task_id: plan.mark_task_completed(task_id, success=False),
    "cancelled": lambda plan, task_id: plan.tasks[task_id].cancel(),
    "unknown": lambda plan, task_id: plan.end(plan.tasks[task_id], TaskStatus.UNKNOWN, None, None, 1.0),
}


def plan_of(tasks: str | Iterable[TaskStar], *links: str, kind: DependencyType = UNCONDITIONAL) -> TaskConstellation:
    """A plan of tasks with one-letter ids, and of links such as "a>b"."""
    plan = TaskConstellation("plan")
    for task in tasks:
        plan.add_task(TaskStar(task) if isinstance(task, str) else task)
    for link in links:
        source, target = link.split(">")
        plan.add_dependency(TaskStarLine(source, target, kind, line_id=link))
    return plan


def ids(tasks: Iterable[TaskStar]) -> str:
    return "".join(task.task_id for task in tasks)


def sound(plan: TaskConstellation) -> bool:
    return plan.validate_dag() == (True, [])


# ----------------------------------------------------------------------------------------------- what it is
def test_a_plan_without_an_id_gets_one_with_its_time_and_is_named_after_it() -> None:
    plan = TaskConstellation()
    prefix, day, time, digits = plan.constellation_id.split("_")
    assert (prefix, len(day), len(time), len(digits)) == ("constellation", 8, 6, 8)
    assert plan.name == plan.constellation_id
    assert TaskConstellation("plan", "Nightly").name == "Nightly"


def test_the_name_can_be_set_and_falls_back_to_the_id() -> None:
    plan = TaskConstellation("plan")
    plan.name = "Nightly"
    assert plan.name == "Nightly"
    plan.name = ""
    assert plan.name == "plan"


def test_the_mappings_are_copies_of_live_objects() -> None:
    plan = plan_of("ab", "a>b")
    plan.tasks.clear()
    plan.dependencies.clear()
    assert (plan.task_count, plan.dependency_count) == (2, 1)
    plan.tasks["a"].target_device_id = "pixel"
    assert plan.tasks["a"].target_device_id == "pixel"


def test_metadata_is_a_copy_and_is_merged() -> None:
    plan = TaskConstellation("plan")
    plan.metadata["lost"] = True
    plan.update_metadata({"owner": "night shift"})
    assert plan.metadata == {"owner": "night shift"}


def test_a_copy_is_the_same_plan_not_started_under_an_id_of_its_own() -> None:
    plan = plan_of("abc", "a>b")
    plan.name = "nightly"
    plan.update_metadata({"k": 1})
    plan.add_dependency(TaskStarLine.create_conditional("b", "c", "it is", bool))
    plan.mark_task_completed("a", True, "x")
    for copy in (plan.copy(), plan.copy("mine")):
        assert (copy.name, copy.metadata, copy.state) == ("nightly", {"k": 1}, ConstellationState.READY)
        assert [task.status for task in copy.get_all_tasks()] == [TaskStatus.PENDING] * 3
        assert [line.to_dict()["condition_description"] for line in copy.get_all_dependencies()][1:] == ["it is"]
        assert copy.get_all_dependencies()[1].condition_evaluator is bool
    assert copy.constellation_id == "mine"
    assert plan.copy().constellation_id not in (plan.constellation_id, plan.copy().constellation_id)


def test_a_copy_of_a_plan_without_a_name_is_named_after_its_own_id() -> None:
    copy = plan_of("a").copy("mine")
    assert (copy.constellation_id, copy.name) == ("mine", "mine")


def test_repr_tells_the_state_and_the_size() -> None:
    assert repr(plan_of("ab", "a>b")) == "<TaskConstellation 'plan' ready: 2 tasks, 1 links>"


def test_tasks_and_links_are_found_by_id() -> None:
    plan = plan_of("abc", "a>b", "a>c")
    assert plan.get_task("a") is plan.tasks["a"]
    assert plan.get_dependency("a>b") is plan.dependencies["a>b"]
    assert plan.get_task("x") is None
    assert plan.get_dependency("x") is None
    assert [line.line_id for line in plan.get_task_dependencies("b")] == ["a>b"]
    assert [line.line_id for line in plan.get_task_dependents("a")] == ["a>b", "a>c"]
    assert plan.get_task_dependencies("x") == plan.get_task_dependents("x") == []


def test_a_link_is_found_by_the_id_that_it_made_later() -> None:
    plan = TaskConstellation.build([TaskStar("a"), TaskStar("b")], [TaskStarLine("a", "b")])
    (line,) = plan.get_all_dependencies()
    assert plan.get_dependency(line.line_id) is line


def test_tasks_are_listed_by_status_in_the_order_of_adding() -> None:
    plan = plan_of("abcdef")
    for task_id, way in zip("abcd", ["running", "completed", "failed", "cancelled"], strict=True):
        WAYS[way](plan, task_id)
    assert ids(plan.get_all_tasks()) == "abcdef"
    assert ids(plan.get_running_tasks()) == "a"
    assert ids(plan.get_completed_tasks()) == "b"
    assert ids(plan.get_failed_tasks()) == "c"
    assert ids(plan.get_pending_tasks()) == ids(plan.get_modifiable_tasks()) == "ef"
    assert plan.count(TaskStatus.CANCELLED) == 1


# ----------------------------------------------------------------------------------------------- editing
def test_an_id_stands_once() -> None:
    plan = plan_of("a")
    with pytest.raises(ValueError, match=r"^Task with ID a already exists$") as caught:
        plan.add_task(TaskStar("a"))
    assert isinstance(caught.value, DuplicateIdError)


def test_a_task_belongs_to_one_plan_and_a_copy_of_it_to_another() -> None:
    task = plan_of("a").tasks["a"]
    other = TaskConstellation("other")
    with pytest.raises(PlanError, match=r"Task 'a' belongs to constellation 'plan' already: add a copy"):
        other.add_task(task)
    other.add_task(task.copy())
    assert other.task_count == 1


def test_a_removed_task_can_be_added_elsewhere() -> None:
    plan = plan_of("ab", "a>b")
    task = plan.tasks["b"]
    plan.remove_task("b")
    assert sound(plan_of([task]))
    assert task.is_ready_to_execute


def test_a_removed_task_can_be_added_again() -> None:
    plan = plan_of("abc", "a>b", "b>c")
    task = plan.tasks["b"]
    plan.remove_task("b")
    plan.add_task(task)
    plan.add_dependency(TaskStarLine("b", "a"))
    assert plan.get_topological_order() == ["c", "b", "a"]
    assert sound(plan)


def test_unknown_ids_are_refused_with_what_may_have_been_meant() -> None:
    plan = plan_of([TaskStar("battery"), TaskStar("report")])
    with pytest.raises(ValueError, match=r"^Task batery not found; did you mean 'battery'\?$"):
        plan.remove_task("batery")
    with pytest.raises(ValueError, match=r"^Source task x not found$"):
        plan.add_dependency(TaskStarLine("x", "report"))
    with pytest.raises(ValueError, match=r"^Target task x not found$"):
        plan.add_dependency(TaskStarLine("report", "x"))
    with pytest.raises(ValueError, match=r"^Task x not found$"):
        plan.mark_task_completed("x", success=True)


def test_removing_a_task_takes_its_links_and_frees_what_only_waited_for_it() -> None:
    plan = plan_of("abc", "a>b", "b>c")
    plan.remove_task("b")
    assert plan.dependency_count == 0
    assert plan.get_dependency("a>b") is None
    assert ids(plan.get_ready_tasks()) == "ac"
    assert sound(plan)


def test_removing_an_unknown_link_does_nothing() -> None:
    plan = plan_of("ab", "a>b")
    revision = plan.revision
    plan.remove_dependency("x")
    assert (plan.dependency_count, plan.revision) == (1, revision)


def test_removing_a_link_frees_its_target() -> None:
    plan = plan_of("ab", "a>b")
    plan.remove_dependency("a>b")
    assert ids(plan.get_ready_tasks()) == "ab"
    assert sound(plan)


def test_a_removed_link_can_be_added_again() -> None:
    plan = plan_of("ab", "a>b")
    line = plan.dependencies["a>b"]
    plan.remove_dependency("a>b")
    plan.add_dependency(line)
    assert ids(plan.get_ready_tasks()) == "a"
    assert sound(plan)


def test_a_link_id_stands_once_and_a_link_belongs_to_one_plan() -> None:
    plan = plan_of("abc", "a>b")
    with pytest.raises(DuplicateIdError, match=r"^Dependency with ID a>b already exists$"):
        plan.add_dependency(TaskStarLine("b", "c", line_id="a>b"))
    with pytest.raises(DuplicateIdError, match=r"^Dependency with ID a>b already exists$"):
        plan.add_dependency(plan.dependencies["a>b"])
    assert plan.dependency_count == 1


def test_every_edit_raises_the_revision_by_one_and_progress_does_not() -> None:
    plan = plan_of("abc", "a>b")
    assert plan.revision == 4
    plan.remove_dependency("a>b")
    plan.remove_task("c")
    assert plan.revision == 6
    plan.mark_task_completed("a", success=True)
    assert plan.revision == 6


# ----------------------------------------------------------------------------------------------- I2
def test_a_task_cannot_wait_for_itself() -> None:
    plan = plan_of("a")
    with pytest.raises(ValueError, match=r"^Adding dependency a -> a would create a cycle: a -> a$"):
        plan.add_dependency(TaskStarLine("a", "a"))


def test_a_cycle_is_refused_and_named_in_full() -> None:
    plan = plan_of("abcd", "a>b", "b>c", "c>d")
    before = plan.to_dict()
    with pytest.raises(CycleError, match=r"^Adding dependency d -> a would create a cycle: d -> a -> b -> c -> d$"):
        plan.add_dependency(TaskStarLine("d", "a"))
    assert plan.to_dict() == before
    assert not plan.has_cycle()


@pytest.mark.parametrize("order", ["abcde", "edcba", "caebd"])
def test_a_named_cycle_follows_links_wherever_its_tasks_stand(order: str) -> None:
    plan = plan_of(order, "d>e", "b>c", "a>b", "c>d", "a>c")
    with pytest.raises(CycleError) as caught:
        plan.add_dependency(TaskStarLine("e", "a"))
    cycle = caught.value.cycle
    links = {(line.from_task_id, line.to_task_id) for line in plan.get_all_dependencies()} | {("e", "a")}
    assert cycle[0] == cycle[-1] == "e"
    assert cycle[1] == "a"
    assert all(step in links for step in pairwise(cycle))


def test_a_plan_built_whole_refuses_a_cycle_and_gives_its_parts_back() -> None:
    tasks = [TaskStar(task_id) for task_id in "abc"]
    lines = [TaskStarLine("a", "b"), TaskStarLine("b", "c"), TaskStarLine("c", "b")]
    with pytest.raises(CycleError, match=r"^DAG contains cycles: (b -> c -> b|c -> b -> c)$"):
        TaskConstellation.build(tasks, lines)
    assert sound(TaskConstellation.build(tasks, lines[:2]))


@pytest.mark.parametrize(
    ("tasks", "lines"),
    [
        (["a", "a"], []),
        (["a"], [("a", "x")]),
        (["a"], [("x", "a")]),
    ],
)
def test_a_plan_built_whole_refuses_what_adding_one_by_one_refuses(
    tasks: Sequence[str], lines: Sequence[tuple[str, str]]
) -> None:
    with pytest.raises(PlanError):
        TaskConstellation.build(map(TaskStar, tasks), [TaskStarLine(*line) for line in lines])


# ----------------------------------------------------------------------------------------------- I3
@pytest.mark.parametrize("status", WAYS)
def test_what_has_started_can_neither_be_removed_nor_get_or_lose_links(status: str) -> None:
    plan = plan_of("abc", "a>b")
    plan.mark_task_completed("a", success=True)
    WAYS[status](plan, "b")
    before = plan.to_dict()
    with pytest.raises(ImmutableError, match=f"^Cannot remove {status} task b$"):
        plan.remove_task("b")
    with pytest.raises(ImmutableError, match=f"^Cannot add a dependency to {status} task b$"):
        plan.add_dependency(TaskStarLine("c", "b"))
    with pytest.raises(ImmutableError, match=f"^Cannot remove a dependency of {status} task b$"):
        plan.remove_dependency("a>b")
    assert plan.to_dict() == before


def test_a_task_between_two_attempts_cannot_be_removed() -> None:
    plan = plan_of([TaskStar("a", retry_count=1)])
    plan.mark_task_completed("a", success=False)
    plan.tasks["a"].retry()
    with pytest.raises(ImmutableError, match=r"^Cannot remove retried task a$"):
        plan.remove_task("a")


def test_modifiable_is_what_has_not_started_and_links_into_it() -> None:
    plan = plan_of("abc", "a>b", "b>c")
    plan.mark_task_completed("a", success=True)
    plan.start_task("b")
    assert [plan.is_task_modifiable(task_id) for task_id in "abcx"] == [False, False, True, False]
    assert [plan.is_dependency_modifiable(line_id) for line_id in ["a>b", "b>c", "x"]] == [False, True, False]
    assert ids(plan.get_modifiable_tasks()) == "c"
    assert [line.line_id for line in plan.get_modifiable_dependencies()] == ["b>c"]


def test_links_out_of_what_has_started_can_be_changed() -> None:
    plan = plan_of("abc", "a>b")
    plan.start_task("a")
    plan.remove_dependency("a>b")
    plan.add_dependency(TaskStarLine("a", "c"))
    assert ids(plan.get_ready_tasks()) == "b"


def test_a_task_can_be_removed_although_another_was_skipped_without_it() -> None:
    plan = plan_of("abc", "a>c", "b>c", kind=SUCCESS_ONLY)
    plan.mark_task_completed("a", success=False)
    plan.remove_task("b")
    assert plan.tasks["c"].status is TaskStatus.SKIPPED
    assert sound(plan)


# ----------------------------------------------------------------------------------------------- the ready frontier
def test_ready_tasks_come_by_priority_then_by_age() -> None:
    order = [TaskPriority.LOW, TaskPriority.HIGH, TaskPriority.MEDIUM, TaskPriority.HIGH, TaskPriority.CRITICAL]
    plan = plan_of(TaskStar(task_id, priority=priority) for task_id, priority in zip("abcde", order, strict=True))
    assert ids(plan.get_ready_tasks()) == "ebdca"


def test_ending_a_task_returns_what_became_ready() -> None:
    plan = plan_of("abcd", "a>b", "a>c", "b>d", "c>d")
    assert ids(plan.mark_task_completed("a", success=True)) == "bc"
    assert ids(plan.mark_task_completed("b", success=True)) == ""
    assert ids(plan.mark_task_completed("c", success=True)) == "d"


def test_a_task_is_started_before_it_is_ended_and_ended_once() -> None:
    plan = plan_of("ab", "a>b")
    with pytest.raises(ValueError, match=r"^Cannot start task b with pending dependencies$"):
        plan.mark_task_completed("b", success=True)
    plan.mark_task_completed("a", success=True, result=7)
    task = plan.tasks["a"]
    assert (task.result, task.attempts) == (7, 1)
    assert task.execution_duration is not None
    with pytest.raises(ValueError, match=r"^Cannot complete task a in status completed$"):
        plan.mark_task_completed("a", success=True)
    with pytest.raises(ValueError, match=r"^Cannot fail task a in status completed$"):
        plan.mark_task_completed("a", success=False)


def test_a_failed_task_keeps_its_result_and_its_error() -> None:
    plan = plan_of("a")
    error = OSError("broke")
    plan.mark_task_completed("a", success=False, result="half", error=error)
    assert (plan.tasks["a"].result, plan.tasks["a"].error) == ("half", error)


def test_parallel_links_count_each_and_list_their_target_once() -> None:
    plan = plan_of("ab")
    for line_id in ["one", "two", "three"]:
        plan.add_dependency(TaskStarLine("a", "b", line_id=line_id))
    plan.remove_dependency("two")
    assert ids(plan.get_ready_tasks()) == "a"
    assert ids(plan.mark_task_completed("a", success=True)) == "b"


def test_of_parallel_links_each_has_to_be_satisfied() -> None:
    plan = plan_of("ab", "a>b")
    plan.add_dependency(TaskStarLine.create_success_only("a", "b"))
    assert plan.mark_task_completed("a", success=False) == []
    assert plan.tasks["b"].status is TaskStatus.SKIPPED


def test_removing_one_of_two_parallel_links_does_not_free_the_target() -> None:
    plan = plan_of("ab", "a>b")
    plan.add_dependency(TaskStarLine("a", "b", line_id="again"))
    plan.remove_dependency("a>b")
    assert ids(plan.get_ready_tasks()) == "a"


def test_a_link_from_a_task_that_has_completed_does_not_hold_its_target() -> None:
    plan = plan_of("abc")
    plan.mark_task_completed("a", success=True)
    plan.add_dependency(TaskStarLine.create_success_only("a", "b"))
    plan.add_dependency(TaskStarLine("a", "c"))
    assert ids(plan.get_ready_tasks()) == "bc"
    assert all(line.is_satisfied() for line in plan.get_all_dependencies())


def test_a_link_from_a_task_that_has_failed_skips_its_target_at_once() -> None:
    plan = plan_of("ab")
    plan.mark_task_completed("a", success=False)
    plan.add_dependency(TaskStarLine.create_success_only("a", "b"))
    assert plan.tasks["b"].status is TaskStatus.SKIPPED
    assert plan.is_complete()


def test_a_plan_built_whole_is_gated_by_the_actual_outcomes() -> None:
    done, failed = TaskStar("a"), TaskStar("b")
    for task in (done, failed):
        task.start_execution()
    done.complete_with_success()
    failed.complete_with_failure(OSError("broke"))
    lines = [TaskStarLine("a", "c"), TaskStarLine.create_success_only("b", "d"), TaskStarLine("d", "e")]
    plan = TaskConstellation.build([done, failed, *map(TaskStar, "cde")], lines)
    assert ids(plan.get_ready_tasks()) == "ce"
    assert plan.tasks["d"].status is TaskStatus.SKIPPED
    assert sound(plan)


def test_a_task_that_is_tried_again_holds_what_has_not_started_once_more() -> None:
    plan = plan_of([TaskStar("a", retry_count=1), TaskStar("b"), TaskStar("c")], "a>b", "a>c")
    plan.mark_task_completed("a", success=False)
    plan.start_task("b")
    plan.tasks["a"].retry()
    assert ids(plan.get_ready_tasks()) == "a"
    assert sound(plan)
    plan.mark_task_completed("a", success=True)
    assert ids(plan.get_ready_tasks()) == "c"
    assert plan.tasks["b"].status is TaskStatus.RUNNING
    assert sound(plan)


def test_a_task_that_is_tried_again_does_not_hold_what_went_on_without_it() -> None:
    plan = plan_of([TaskStar("a", retry_count=1), TaskStar("b", retry_count=1)], "a>b")
    for task_id in "ab":
        plan.mark_task_completed(task_id, success=False)
    for task_id in "ab":
        plan.tasks[task_id].retry()
    assert ids(plan.get_ready_tasks()) == "ab"
    assert sound(plan)


# ----------------------------------------------------------------------------------------------- skipping
@pytest.mark.parametrize("kind", [UNCONDITIONAL, COMPLETION_ONLY])
@pytest.mark.parametrize("status", ["completed", "failed", "cancelled", "unknown"])
def test_a_link_that_follows_any_end_lets_its_target_run(kind: DependencyType, status: str) -> None:
    plan = plan_of("ab", "a>b", kind=kind)
    WAYS[status](plan, "a")
    assert ids(plan.get_ready_tasks()) == "b"


@pytest.mark.parametrize("kind", [SUCCESS_ONLY, CONDITIONAL])
@pytest.mark.parametrize("status", ["failed", "cancelled", "unknown"])
def test_what_needed_the_success_of_a_prerequisite_is_skipped_with_the_cause(kind: DependencyType, status: str) -> None:
    plan = plan_of("ab", "a>b", kind=kind)
    WAYS[status](plan, "a")
    task = plan.tasks["b"]
    assert task.status is TaskStatus.SKIPPED
    assert isinstance(task.error, TaskSkippedError)
    assert task.error.cause_id == "a"
    assert f"prerequisite 'a' ended {status}" in str(task.error)
    assert (task.is_terminal, task.execution_start_time) == (True, None)


@pytest.mark.parametrize("result", [None, 0, "text", OSError("as a value")])
def test_success_with_any_result_satisfies_a_link_that_needs_success(result: object) -> None:
    plan = plan_of("ab", "a>b", kind=SUCCESS_ONLY)
    assert ids(plan.mark_task_completed("a", success=True, result=result)) == "b"


def test_skipping_is_transitive_and_stops_at_links_that_follow_any_end() -> None:
    plan = plan_of("abcde", "a>b", "b>c", kind=SUCCESS_ONLY)
    plan.add_dependency(TaskStarLine("c", "d", COMPLETION_ONLY))
    plan.add_dependency(TaskStarLine("d", "e", SUCCESS_ONLY))
    assert ids(plan.mark_task_completed("a", success=False)) == "d"
    assert [plan.tasks[task_id].status.value for task_id in "bcde"] == ["skipped", "skipped", "pending", "pending"]
    error = plan.tasks["c"].error
    assert isinstance(error, TaskSkippedError)
    assert error.cause_id == "b"
    assert sound(plan)


def test_an_unmet_condition_skips_with_its_description() -> None:
    plan = plan_of("ab")
    plan.add_dependency(TaskStarLine.create_conditional("a", "b", "enough battery", lambda level: level > 50))
    plan.mark_task_completed("a", success=True, result=20)
    assert "(condition not met: enough battery)" in str(plan.tasks["b"].error)


def test_a_condition_gets_the_payload_of_a_wrapped_result_and_the_outcome_beside_it() -> None:
    plan = plan_of("abc")
    plan.add_dependency(TaskStarLine.create_conditional("a", "b", "level", lambda level: level == 80))
    plan.add_dependency(
        TaskStarLine.create_conditional("a", "c", "exit code", lambda level, outcome: outcome.exit_code == 0)
    )
    wrapped = ExecutionResult("a", TaskStatus.COMPLETED, 80, exit_code=0)
    assert ids(plan.mark_task_completed("a", success=True, result=wrapped)) == "bc"


def test_a_condition_on_a_task_ended_by_hand_gets_result_or_error_and_an_outcome() -> None:
    seen: list[object] = []

    def record(payload: object, outcome: ExecutionResult) -> bool:
        seen.append((payload, str(outcome.status)))
        return True

    plan = plan_of("abcd")
    for source, target in [("a", "c"), ("b", "d")]:
        plan.add_dependency(TaskStarLine.create_conditional(source, target, "any", record))
    error = OSError("broke")
    plan.mark_task_completed("a", success=True, result=80)
    plan.mark_task_completed("b", success=False, error=error)
    assert seen == [(80, "completed"), (error, "failed")]


def test_an_evaluator_that_raises_skips_the_dependent_with_its_error() -> None:
    plan = plan_of("ab")
    plan.add_dependency(TaskStarLine.create_conditional("a", "b", "level", lambda result: result["level"]))
    plan.mark_task_completed("a", success=True, result={})
    error = plan.tasks["b"].error
    assert isinstance(error, ConditionError)
    assert isinstance(error.__cause__, KeyError)
    assert sound(plan)


def test_a_skipped_task_is_skipped_by_its_first_cause_alone() -> None:
    plan = plan_of("abc", "a>c", "b>c", kind=SUCCESS_ONLY)
    plan.mark_task_completed("a", success=False)
    plan.mark_task_completed("b", success=False)
    error = plan.tasks["c"].error
    assert isinstance(error, TaskSkippedError)
    assert error.cause_id == "a"
    assert sound(plan)


# ----------------------------------------------------------------------------------------------- the state
def test_an_empty_plan_is_created_and_complete() -> None:
    plan = TaskConstellation("plan")
    assert plan.state is ConstellationState.CREATED
    assert plan.is_complete()


@pytest.mark.parametrize(
    ("ends", "state"),
    [
        ("--", ConstellationState.READY),
        ("r-", ConstellationState.EXECUTING),
        ("c-", ConstellationState.EXECUTING),
        ("f-", ConstellationState.EXECUTING),
        ("cc", ConstellationState.COMPLETED),
        ("cf", ConstellationState.PARTIALLY_FAILED),
        ("cu", ConstellationState.PARTIALLY_FAILED),
        ("ff", ConstellationState.FAILED),
        ("fx", ConstellationState.FAILED),
        ("uu", ConstellationState.FAILED),
        ("xx", ConstellationState.CANCELLED),
        ("cx", ConstellationState.PARTIALLY_FAILED),
    ],
)
def test_the_state_follows_from_the_tasks(ends: str, state: ConstellationState) -> None:
    names = {"r": "running", "c": "completed", "f": "failed", "x": "cancelled", "u": "unknown"}
    plan = plan_of("ab")
    for task_id, end in zip("ab", ends, strict=True):
        if end != "-":
            WAYS[names[end]](plan, task_id)
    plan.update_state()
    assert plan.state is state
    assert plan.is_complete() == (state.name not in {"READY", "EXECUTING"})


def test_tasks_skipped_by_an_unmet_condition_do_not_fail_the_plan() -> None:
    plan = plan_of("ab")
    plan.add_dependency(TaskStarLine.create_conditional("a", "b", "never", lambda payload: False))
    plan.mark_task_completed("a", success=True)
    assert plan.state is ConstellationState.COMPLETED


def test_adding_a_task_while_executing_leaves_it_executing() -> None:
    plan = plan_of("a")
    plan.start_execution()
    plan.add_task(TaskStar("b"))
    assert plan.state is ConstellationState.EXECUTING


def test_a_run_has_a_start_an_end_and_a_duration() -> None:
    plan = TaskConstellation("plan")
    assert (plan.execution_start_time, plan.execution_end_time, plan.execution_duration) == (None, None, None)
    plan.start_execution()
    assert plan.execution_start_time is not None
    assert plan.execution_duration is None
    plan.complete_execution()
    assert plan.execution_duration is not None
    assert plan.execution_duration >= 0
    assert plan.state is ConstellationState.COMPLETED


# ----------------------------------------------------------------------------------------------- who listens
class Run:
    """A listener that writes down what it hears."""

    def __init__(self) -> None:
        self.heard: list[str] = []

    def task_changed(self, task: TaskStar) -> None:
        self.heard.append(f"{task.task_id} says {task.priority.name}")

    def task_ended(self, task: TaskStar, ready: Sequence[TaskStar], skipped: Sequence[TaskStar]) -> None:
        self.heard.append(f"{task.task_id} ended, ready {ids(ready)}, skipped {ids(skipped)}")

    def withholds(self, task: TaskStar, status: TaskStatus) -> bool:
        return False

    def task_freed(self, ready: Sequence[TaskStar], skipped: Sequence[TaskStar]) -> None:
        if ready or skipped:
            self.heard.append(f"ready {ids(ready)}, skipped {ids(skipped)}")

    def task_removed(self, task: TaskStar) -> None:
        self.heard.append(f"{task.task_id} removed")


def heard(plan: TaskConstellation, action: Callable[[], object]) -> list[str]:
    run = Run()
    plan._listener = run
    action()
    plan._listener = None
    return run.heard


def test_a_listener_hears_of_a_setter_after_the_value_is_set() -> None:
    plan = plan_of("a")
    change = heard(plan, lambda: setattr(plan.tasks["a"], "priority", TaskPriority.HIGH))
    assert change == ["a says HIGH"]


def test_a_listener_hears_what_edits_free_skip_and_remove() -> None:
    plan = plan_of("abcd", "a>b")
    assert heard(plan, lambda: plan.add_task(TaskStar("e"))) == ["ready e, skipped "]
    assert heard(plan, lambda: plan.remove_dependency("a>b")) == ["ready b, skipped "]
    assert heard(plan, lambda: plan.remove_task("b")) == ["b removed"]
    plan.mark_task_completed("a", success=False)
    skip = heard(plan, lambda: plan.add_dependency(TaskStarLine.create_success_only("a", "c")))
    assert skip == ["ready , skipped c"]
    free = heard(plan, lambda: plan.add_dependency(TaskStarLine("a", "d")))
    assert free == ["ready d, skipped "]


def test_a_listener_hears_of_ends_that_others_brought_about() -> None:
    plan = plan_of("abc", "a>b")
    plan.add_dependency(TaskStarLine.create_success_only("a", "c"))
    assert heard(plan, plan.tasks["a"].cancel) == ["a ended, ready b, skipped c"]
    assert heard(plan, lambda: plan.mark_task_completed("b", success=True)) == ["b ended, ready , skipped "]


def test_whoever_drives_the_plan_is_told_by_the_return_value_alone() -> None:
    plan = plan_of("ab", "a>b")
    task = plan.tasks["a"]

    def drive() -> None:
        plan.begin(task, 1.0)
        ready, skipped = plan.end(task, TaskStatus.COMPLETED, None, None, 3.5)
        assert (ids(ready), ids(skipped)) == ("b", "")

    assert heard(plan, drive) == []
    assert task.execution_duration == 2.5


# ----------------------------------------------------------------------------------------------- depth
def test_a_chain_of_100_000_tasks_is_built_skipped_and_measured_without_recursion() -> None:
    count = 100_000
    tasks = [TaskStar(str(index)) for index in range(count)]
    lines = [TaskStarLine(str(index), str(index + 1), SUCCESS_ONLY) for index in range(count - 1)]
    plan = TaskConstellation.build(reversed(tasks), lines)
    assert plan.get_longest_path()[0] == count
    with pytest.raises(CycleError) as caught:
        plan.add_dependency(TaskStarLine(str(count - 1), "0"))
    assert len(caught.value.cycle) == count + 1
    plan.mark_task_completed("0", success=False)
    assert plan.count(TaskStatus.SKIPPED) == count - 1
    assert sound(plan)


@pytest.mark.parametrize("backward", [False, True])
def test_a_long_chain_is_linked_one_by_one_from_either_end(backward: bool) -> None:
    count = 20_000
    plan = TaskConstellation("plan")
    for index in range(count):
        plan.add_task(TaskStar(str(index)))
    for index in range(count - 1):
        source, target = (index + 1, index) if backward else (index, index + 1)
        plan.add_dependency(TaskStarLine(str(source), str(target)))
    assert plan.get_topological_order() == [str(index) for index in range(count)][:: -1 if backward else 1]
    assert sound(plan)


def test_a_condition_that_cannot_be_evaluated_is_no_success_of_the_plan() -> None:
    plan = TaskConstellation()
    plan.add_task(TaskStar("a"))
    plan.add_task(TaskStar("b"))
    plan.add_dependency(TaskStarLine.create_conditional("a", "b", "broken", lambda payload: payload["no such key"]))
    plan.mark_task_completed("a", True, {})
    assert plan.tasks["b"].status is TaskStatus.SKIPPED
    assert plan.state is ConstellationState.PARTIALLY_FAILED


# ----------------------------------------------------------------------------------------------- many links of one task
class CountingLink(TaskStarLine):
    """Counts how often it is compared with another one."""

    __slots__ = ()
    compared = 0

    def __eq__(self, other: object) -> bool:
        CountingLink.compared += 1
        return self is other

    __hash__ = TaskStarLine.__hash__


@pytest.mark.parametrize("way", ["out", "in", "whole"])
def test_links_are_taken_off_a_task_with_very_many_without_looking_at_the_others(way: str) -> None:
    number, order = 2_000, random.Random(0)
    ends = [("hub", str(index)) if way != "in" else (str(index), "hub") for index in range(number)]
    lines = [CountingLink(*end, line_id=f"line {index}") for index, end in enumerate(ends)]
    plan = TaskConstellation.build([TaskStar("hub"), *(TaskStar(str(index)) for index in range(number))], lines)
    CountingLink.compared = 0
    if way == "whole":
        plan.remove_task("hub")
    else:
        for index in order.sample(range(number), number):
            plan.remove_dependency(f"line {index}")
    assert CountingLink.compared < 30 * number
    assert plan.dependency_count == 0
    assert len(plan.get_ready_tasks()) == plan.task_count
    assert plan.validate_dag() == (True, [])


def test_a_task_that_had_very_many_links_keeps_the_others_in_their_order_and_takes_new_ones() -> None:
    plan = TaskConstellation.build(
        [TaskStar("hub"), *(TaskStar(str(index)) for index in range(1_000))],
        [TaskStarLine("hub", str(index), line_id=f"line {index}") for index in range(1_000)],
    )
    plan.add_task(TaskStar("first"))
    plan.add_dependency(TaskStarLine("first", "hub"))
    for index in range(0, 1_000, 2):
        plan.remove_dependency(f"line {index}")
    plan.add_dependency(TaskStarLine("hub", "0"))
    wanted = [*map(str, range(1, 1_000, 2)), "0"]
    assert [line.to_task_id for line in plan.get_task_dependents("hub")] == wanted
    with pytest.raises(CycleError):
        plan.add_dependency(TaskStarLine("999", "first"))
    plan.mark_task_completed("first", success=True)
    assert [task.task_id for task in plan.mark_task_completed("hub", success=True)] == wanted
    assert plan.validate_dag() == (True, [])
    assert TaskConstellation.from_dict(plan.to_dict()).to_dict() == plan.to_dict()
