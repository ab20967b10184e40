"""Tasks, links, plans and results as dictionaries and JSON, and back."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from enum import Enum
from pathlib import Path
from typing import Any

import pytest

from galaxy_core.errors import CycleError, DuplicateIdError, PlanError, UnknownTaskError
from galaxy_core.model.condition import Expression, LostCondition
from galaxy_core.model.constellation import ConstellationState, TaskConstellation
from galaxy_core.model.dependency import DependencyType, TaskStarLine
from galaxy_core.model.device import DeviceType
from galaxy_core.model.policy import Effect, RetryPolicy, TaskPriority
from galaxy_core.model.request import Action, Call, Command, Reference
from galaxy_core.model.result import ExecutionResult, TaskStatus
from galaxy_core.model.serial import MAX_DEPTH, plain
from galaxy_core.model.task import TaskStar

TASK_KEYS = {
    "task_id",
    "name",
    "description",
    "tips",
    "task_description",
    "target_device_id",
    "device_type",
    "priority",
    "status",
    "result",
    "error",
    "timeout",
    "retry_count",
    "current_retry",
    "task_data",
    "expected_output_type",
    "created_at",
    "updated_at",
    "execution_start_time",
    "execution_end_time",
    "execution_duration",
    "dependencies",
    "dependents",
}
LINE_KEYS = {
    "line_id",
    "from_task_id",
    "to_task_id",
    "dependency_type",
    "condition_description",
    "metadata",
    "is_satisfied",
    "last_evaluation_result",
    "last_evaluation_time",
    "created_at",
    "updated_at",
}
PLAN_KEYS = {
    "constellation_id",
    "name",
    "state",
    "tasks",
    "dependencies",
    "metadata",
    "created_at",
    "updated_at",
    "execution_start_time",
    "execution_end_time",
    "execution_duration",
    "revision",
}


def again(task: TaskStar) -> TaskStar:
    """The task, written and read, through JSON text."""
    return TaskStar.from_json(task.to_json())


def plan_of(*links: TaskStarLine) -> TaskConstellation:
    """A plan of tasks a, b and c, and of `links`."""
    return TaskConstellation.build(map(TaskStar, "abc"), links, constellation_id="plan")


def reloaded(plan: TaskConstellation) -> TaskConstellation:
    """The plan, written and read through JSON text; it says the same and is sound."""
    found = TaskConstellation.from_json(plan.to_json())
    assert found.to_dict() == plan.to_dict()
    assert found.validate_dag() == (True, [])
    return found


# ----------------------------------------------------------------------------------------------- tasks
def test_a_task_is_written_with_exactly_the_documented_keys() -> None:
    assert set(TaskStar("a").to_dict()) == TASK_KEYS
    assert len(TASK_KEYS) == 23


def test_a_fresh_task_is_written_plainly() -> None:
    task = TaskStar("a")
    written = task.to_dict()
    assert written["created_at"] == written["updated_at"] == task.created_at.isoformat()
    assert {key: value for key, value in written.items() if not key.endswith("ed_at")} == {
        "task_id": "a",
        "name": "task_a",
        "description": "",
        "tips": [],
        "task_description": "",
        "target_device_id": None,
        "device_type": None,
        "priority": 2,
        "status": "pending",
        "result": None,
        "error": None,
        "timeout": None,
        "retry_count": 0,
        "current_retry": 0,
        "task_data": {},
        "expected_output_type": None,
        "execution_start_time": None,
        "execution_end_time": None,
        "execution_duration": None,
        "dependencies": [],
        "dependents": [],
    }


EXTRAS: dict[str, tuple[TaskStar, object]] = {
    "effect": (TaskStar("a", effect=Effect.READ), "read"),
    "requires": (TaskStar("a", requires={"gps", "camera"}), ["camera", "gps"]),
    "request": (
        TaskStar("a", request=Command(["ls", Reference("b")])),
        {"run": ["ls", {"from": "b", "value": "stdout"}]},
    ),
    "retry": (
        TaskStar("a", retry=RetryPolicy(backoff_s=3, on={"timeout"})),
        {"backoff_s": 3, "factor": 2.0, "max_backoff_s": 60.0, "jitter": 0.1, "on": ["timeout"]},
    ),
    "estimate_s": (TaskStar("a", estimate_s=4.5), 4.5),
}


@pytest.mark.parametrize("key", EXTRAS)
def test_what_the_api_document_does_not_know_is_written_only_when_it_is_there(key: str) -> None:
    task, value = EXTRAS[key]
    written = task.to_dict()
    assert set(written) == TASK_KEYS | {key}
    assert written[key] == value
    assert again(task).to_dict() == written


def test_a_device_that_a_strategy_chose_is_read_as_one_that_is_no_pin() -> None:
    pinned = TaskStar("a", target_device_id="pixel")
    assert "pinned" not in pinned.to_dict()
    assert again(pinned).is_pinned
    placed = TaskStar("a")
    placed._target_device_id = "pixel"
    assert placed.to_dict()["pinned"] is False
    assert (again(placed).target_device_id, again(placed).is_pinned) == ("pixel", False)


def test_a_whole_task_comes_back() -> None:
    task = TaskStar(
        "a",
        "name",
        "text",
        ["tip"],
        "pixel",
        DeviceType.ANDROID,
        TaskPriority.CRITICAL,
        2.5,
        3,
        {"key": [1]},
        "text/plain",
        request=Action("battery", {"level": Reference("b", "json.level")}),
    )
    task.start_execution()
    task.complete_with_failure(OSError("broke"))
    found = again(task)
    assert found.to_dict() == task.to_dict()
    assert (found.priority, found.device_type, found.status) == (task.priority, task.device_type, task.status)
    assert (found.timeout, found.retry_count, found.attempts) == (2.5, 3, 1)
    assert found.request == task.request
    assert type(found.error) is Exception
    assert str(found.error) == "broke"


def test_a_task_between_two_attempts_comes_back_as_one_that_has_started() -> None:
    task = TaskStar("a", retry_count=1)
    task.start_execution()
    task.complete_with_failure(OSError("broke"))
    task.retry()
    assert "attempts" not in task.to_dict()
    assert (again(task).attempts, again(task).is_modifiable) == (1, False)


def test_an_attempt_that_did_not_count_is_written() -> None:
    task = TaskStar("a")
    task.start_execution()
    task._again(1.0, counted=False)
    assert task.to_dict()["attempts"] == 1
    assert not again(task).is_modifiable


def test_a_call_is_named_and_read_as_no_request() -> None:
    task = TaskStar("a", request=Call(len, ("text",)))
    assert task.to_dict()["request"] == {"call": "builtins:len"}
    assert again(task).request is None


@pytest.mark.parametrize("written", ["high", "HIGH", "High", 3, TaskPriority.HIGH])
def test_a_priority_is_read_by_name_or_number(written: object) -> None:
    assert TaskStar.from_dict({"priority": written}).priority is TaskPriority.HIGH


@pytest.mark.parametrize("written", ["running", "RUNNING", TaskStatus.RUNNING])
def test_a_status_is_read_in_any_case(written: object) -> None:
    assert TaskStar.from_dict({"status": written}).status is TaskStatus.RUNNING


@pytest.mark.parametrize("written", ["android", "ANDROID", DeviceType.ANDROID])
def test_a_device_type_is_read_in_any_case(written: object) -> None:
    assert TaskStar.from_dict({"device_type": written}).device_type is DeviceType.ANDROID


@pytest.mark.parametrize("written", ["vital", 9, None, "", [], 2.5])
def test_unknown_names_fall_back(written: object) -> None:
    task = TaskStar.from_dict({"priority": written, "status": written, "device_type": written, "effect": written})
    assert (task.priority, task.status) == (TaskPriority.MEDIUM, TaskStatus.PENDING)
    assert (task.device_type, task.effect) == (None, Effect.ONCE)


def test_a_document_may_say_as_little_as_it_likes() -> None:
    task = TaskStar.from_dict({})
    assert len(task.task_id) == 36
    assert TaskStar.from_dict({"task_description": "text"}).description == "text"


# ----------------------------------------------------------------------------------------------- results
def test_an_execution_result_comes_back_as_one() -> None:
    task = TaskStar("a")
    result = ExecutionResult(
        "a",
        TaskStatus.COMPLETED,
        {"level": 80},
        None,
        {"why": ("tuple",)},
        1.5,
        2.75,
        stdout="out",
        stderr="err",
        exit_code=0,
        device_id="pixel",
        attempts=2,
        files={"report.txt": "/tmp/report.txt"},
    )
    task.start_execution()
    task.complete_with_success(result)
    found = again(task).result
    assert isinstance(found, ExecutionResult)
    assert found == result
    assert (found.status, found.execution_time, found.files) == (TaskStatus.COMPLETED, 1.25, result.files)
    assert again(task).to_dict() == task.to_dict()


def test_the_error_of_a_result_comes_back_as_an_exception_of_its_text() -> None:
    found = ExecutionResult.from_dict(ExecutionResult("a", "odd", error=OSError("broke")).to_dict())
    assert (found.status, repr(found.error)) == ("odd", "Exception('broke')")


@pytest.mark.parametrize(
    "change",
    [
        lambda written: written.pop("files"),
        lambda written: written.update(more=1),
        lambda written: written.update(task_id="b"),
    ],
)
def test_a_dictionary_that_is_not_exactly_a_result_stays_one(change: Callable[[dict[str, Any]], object]) -> None:
    written = ExecutionResult("a", "completed").to_dict()
    change(written)
    assert TaskStar.from_dict({"task_id": "a", "result": written}).result == written


class Colour(Enum):
    RED = "red"


class Reading:
    def __init__(self) -> None:
        self.level = 80
        self.colour = Colour.RED


class Hostile:
    def __init__(self) -> None:
        self.part = 1

    def to_dict(self) -> dict[str, Any]:
        raise OSError("no")

    def __repr__(self) -> str:
        raise OSError("no")


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ((1, 2.5, True, None, "text"), [1, 2.5, True, None, "text"]),
        ({3, 1, 2}, [1, 2, 3]),
        ({1: "one", None: "none"}, {"1": "one", "None": "none"}),
        (b"a\xff", "a\N{REPLACEMENT CHARACTER}"),
        (float("nan"), "nan"),
        (float("-inf"), "-inf"),
        (Colour.RED, "red"),
        (Reading(), {"level": 80, "colour": "red"}),
        (OSError("broke"), "broke"),
        (len, "<built-in function len>"),
        (Reading, "<class '.*Reading'>"),
        (json, "<module 'json' from .*>"),
        (Hostile(), "<Hostile>|<Hostile instance at 0x.*>"),
        (object(), "<object object at 0x.*>"),
    ],
)
def test_what_json_cannot_hold_is_described(value: object, written: object) -> None:
    found = plain(value)
    if isinstance(written, str) and isinstance(found, str):
        assert found == written or re.fullmatch(written, found)
    else:
        assert found == written
    json.dumps(found, allow_nan=False)


def test_a_result_that_refers_to_itself_is_described_not_followed() -> None:
    cyclic: dict[str, Any] = {"level": 80}
    cyclic["self"] = cyclic
    task = TaskStar("a")
    task.start_execution()
    task.complete_with_success(cyclic)
    written = task.to_dict()["result"]
    assert written["level"] == 80
    assert isinstance(written["self"], str)
    assert again(task).to_dict() == task.to_dict()


def test_a_very_deep_result_is_described_below_a_limit() -> None:
    deep: Any = "bottom"
    for _ in range(100_000):
        deep = [deep]
    found, depth = plain(deep), 0
    while isinstance(found, list):
        (found,), depth = found, depth + 1
    assert depth == MAX_DEPTH
    assert isinstance(found, str)


def test_a_value_that_shares_its_parts_without_end_is_cut_off() -> None:
    shared: Any = "leaf"
    for _ in range(40):
        shared = [shared, shared]
    written = json.dumps(plain(shared))
    assert len(written) < 100_000_000


# ----------------------------------------------------------------------------------------------- links
def test_a_link_is_written_with_exactly_the_documented_keys() -> None:
    assert set(TaskStarLine("a", "b").to_dict()) == LINE_KEYS
    of_function = TaskStarLine("a", "b", DependencyType.CONDITIONAL, None, bool).to_dict()
    assert set(of_function) == LINE_KEYS | {"condition_lost"}
    assert of_function["condition_lost"] is True


def test_an_expression_comes_back_and_of_other_evaluators_that_they_were_lost() -> None:
    line = TaskStarLine("a", "b", DependencyType.CONDITIONAL, "fine", Expression("exit_code == `0`"), "l", {"key": 1})
    written = line.to_dict()
    assert set(written) == LINE_KEYS | {"condition_expression"}
    found = TaskStarLine.from_json(line.to_json())
    assert found.condition_evaluator == line.condition_evaluator
    assert found.to_dict() == written
    line.condition_evaluator = bool
    for lost in (TaskStarLine.from_json(line.to_json()), TaskStarLine.from_basemodel(line.to_basemodel())):
        assert lost.to_dict() == line.to_dict()
        evaluator = lost.condition_evaluator
        assert evaluator is not None
        with pytest.raises(
            PlanError, match=r"^the condition 'fine' was a Python function, which a document cannot keep:"
        ):
            evaluator(1)
        assert lost.evaluate_condition(1) is False
        lost.condition_evaluator = Expression("value")
        assert "condition_lost" not in lost.to_dict()


def test_an_evaluated_link_comes_back_with_its_answer() -> None:
    line = TaskStarLine("a", "b", DependencyType.CONDITIONAL, condition_evaluator=lambda payload: payload)
    line.evaluate_condition({"level": (1, 2)})
    found = TaskStarLine.from_json(line.to_json())
    assert (found.is_satisfied(), found.last_evaluation_result) == (True, {"level": [1, 2]})
    assert found.to_dict() == line.to_dict()


@pytest.mark.parametrize("written", ["success_only", "SUCCESS_ONLY", DependencyType.SUCCESS_ONLY])
def test_a_link_type_is_read_in_any_case(written: object) -> None:
    line = TaskStarLine.from_dict({"from_task_id": "a", "to_task_id": "b", "dependency_type": written})
    assert line.dependency_type is DependencyType.SUCCESS_ONLY


@pytest.mark.parametrize(
    ("written", "why"),
    [
        (
            {"from_task_id": "a", "to_task_id": "b", "dependency_type": "maybe"},
            r"'maybe': it is one of unconditional, ",
        ),
        ({"from_task_id": "a"}, r"^<data>: A dependency needs to_task_id$"),
        ({}, r"^<data>: A dependency needs from_task_id and to_task_id$"),
        ({"from_task_id": "a", "to_task_id": "b", "condition_expression": "["}, r"not a JMESPath expression"),
    ],
)
def test_a_link_that_cannot_be_is_refused(written: dict[str, Any], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        TaskStarLine.from_dict(written)


# ----------------------------------------------------------------------------------------------- plans
def test_a_plan_is_written_with_exactly_the_documented_keys() -> None:
    assert set(plan_of().to_dict()) == PLAN_KEYS
    assert set(TaskConstellation("plan").to_dict()) == PLAN_KEYS - {"revision"}


def test_an_empty_plan_comes_back() -> None:
    assert reloaded(TaskConstellation("plan", "Nightly")).name == "Nightly"


def test_a_plan_that_has_not_started_comes_back() -> None:
    plan = plan_of(TaskStarLine("a", "b", metadata={"why": 1}), TaskStarLine("a", "b"), TaskStarLine("b", "c"))
    plan.update_metadata({"owner": "night shift"})
    found = reloaded(plan)
    assert [task.task_id for task in found.get_ready_tasks()] == ["a"]
    assert (found.revision, found.metadata) == (plan.revision, {"owner": "night shift"})


def test_gating_comes_back() -> None:
    plan = plan_of(TaskStarLine("a", "c"), TaskStarLine("b", "c"))
    plan.start_execution()
    plan.mark_task_completed("a", success=True)
    plan.start_task("b")
    found = reloaded(plan)
    assert found.state is ConstellationState.EXECUTING
    assert found.tasks["b"].status is TaskStatus.RUNNING
    assert found.get_ready_tasks() == []
    assert [task.task_id for task in found.mark_task_completed("b", success=True)] == ["c"]


def test_a_skipped_task_stays_skipped_with_its_cause_in_words() -> None:
    plan = plan_of(TaskStarLine.create_success_only("a", "b"), TaskStarLine.create_success_only("b", "c"))
    plan.mark_task_completed("a", success=False, error=OSError("broke"))
    found = reloaded(plan)
    assert found.tasks["c"].status is TaskStatus.SKIPPED
    assert str(found.tasks["c"].error) == "task 'c' was skipped: prerequisite 'b' ended skipped (it had to succeed)"


def test_a_cancelled_plan_comes_back_cancelled() -> None:
    plan = plan_of(TaskStarLine("a", "b"))
    plan.start_execution()
    plan.mark_task_completed("a", success=True)
    for task_id in "bc":
        plan.withdraw(plan.tasks[task_id], OSError("the run ends"), 1.0)
    plan._cancelled = True
    plan.complete_execution()
    assert reloaded(plan).state is ConstellationState.CANCELLED


def test_links_that_a_cancelled_run_left_open_come_back_as_they_were() -> None:
    plan = plan_of(TaskStarLine("a", "b"), TaskStarLine.create_success_only("b", "c"))
    for task in plan.get_all_tasks():
        plan.withdraw(task, OSError("the run ends"), 1.0)
    reloaded(plan)


@pytest.mark.parametrize("answer", [True, False])
def test_what_a_lost_evaluator_said_still_counts(answer: bool) -> None:
    plan = plan_of(
        TaskStarLine.create_conditional("a", "c", "any", lambda payload: answer),
        TaskStarLine("b", "c"),
    )
    plan.mark_task_completed("a", success=not answer)
    found = reloaded(plan)
    assert found.tasks["c"].status is (TaskStatus.PENDING if answer else TaskStatus.SKIPPED)
    assert isinstance(found.get_all_dependencies()[0].condition_evaluator, LostCondition)


def test_a_link_that_was_never_judged_is_judged_by_the_actual_outcome() -> None:
    written = plan_of(TaskStarLine.create_success_only("a", "b"), TaskStarLine("a", "c")).to_dict()
    written["tasks"]["a"]["status"] = "failed"
    found = TaskConstellation.from_dict(written)
    assert found.tasks["b"].status is TaskStatus.SKIPPED
    assert [task.task_id for task in found.get_ready_tasks()] == ["c"]


def test_what_a_document_says_of_success_against_the_outcome_is_put_right() -> None:
    plan = plan_of(TaskStarLine("b", "c"), TaskStarLine.create_success_only("a", "c"))
    plan.mark_task_completed("a", success=True)
    written = plan.to_dict()
    written["tasks"]["a"]["status"] = "failed"
    found = TaskConstellation.from_dict(written)
    assert found.tasks["c"].status is TaskStatus.SKIPPED
    line = found.get_all_dependencies()[1]
    assert (line.is_satisfied(), line.last_evaluation_result) == (False, False)


def test_tasks_and_links_may_also_be_lists() -> None:
    written = plan_of(TaskStarLine("a", "b")).to_dict()
    as_lists = {**written, "tasks": list(written["tasks"].values())}
    as_lists["dependencies"] = list(written["dependencies"].values())
    assert TaskConstellation.from_dict(as_lists).to_dict() == written


def test_an_entry_takes_its_id_from_its_key() -> None:
    found = TaskConstellation.from_dict(
        {"tasks": {"a": {}, "b": {}}, "dependencies": {"l": {"from_task_id": "a", "to_task_id": "b"}}}
    )
    assert list(found.tasks) == ["a", "b"]
    assert list(found.dependencies) == ["l"]
    assert found.revision == 1


def link(source: str, target: str) -> dict[str, str]:
    return {"from_task_id": source, "to_task_id": target, "line_id": f"{source}>{target}"}


@pytest.mark.parametrize(
    ("tasks", "links", "error", "why"),
    [
        (
            {"a": {}, "b": {}},
            [link("a", "b"), link("b", "a")],
            CycleError,
            r"DAG contains cycles: (a -> b -> a|b -> a -> b)$",
        ),
        ({"a": {}}, [link("a", "x")], UnknownTaskError, r"^Target task x not found$"),
        ({"a": {}}, [link("x", "a")], UnknownTaskError, r"^Source task x not found$"),
        ([{"task_id": "a"}, {"task_id": "a"}], [], DuplicateIdError, r"^Task with ID a already exists$"),
        (
            {"a": {}, "b": {}},
            [link("a", "b"), link("a", "b")],
            DuplicateIdError,
            r"^Dependency with ID a>b already exists$",
        ),
        ({"a": {"task_id": "b"}}, [], PlanError, r"^'a' stands for an entry whose task_id is 'b': make them equal$"),
    ],
)
def test_an_invalid_document_is_refused(tasks: Any, links: Any, error: type[PlanError], why: str) -> None:
    with pytest.raises(error, match=why):
        TaskConstellation.from_dict({"tasks": tasks, "dependencies": links})


# ----------------------------------------------------------------------------------------------- JSON
@pytest.mark.parametrize("kind", [TaskStar, TaskStarLine, TaskConstellation])
def test_json_is_read_from_exactly_one_place(kind: Any, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"^Either json_data or file_path must be provided$"):
        kind.from_json()
    with pytest.raises(ValueError, match=r"^Only one of json_data or file_path should be provided$"):
        kind.from_json("{}", tmp_path / "plan.json")


def test_json_that_is_no_object_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^JSON data must represent a dictionary/object$"):
        TaskStar.from_json("[1]")
    with pytest.raises(ValueError, match=r"^JSON data must represent a dictionary/object$"):
        TaskStar.from_json(7)  # type: ignore[arg-type]
    with pytest.raises(json.JSONDecodeError):
        TaskStar.from_json("{")
    with pytest.raises(ValueError, match="nested too deeply"):
        TaskStar.from_json("[" * 100_000)


def test_a_json_file_is_written_and_read(tmp_path: Path) -> None:
    path = tmp_path / "task.json"
    task = TaskStar("a", description="Größe messen")
    assert task.to_json(path) == path.read_text(encoding="utf-8")
    assert "Größe" in path.read_text(encoding="utf-8")
    assert TaskStar.from_json(file_path=path).to_dict() == task.to_dict()
    assert task.to_json().startswith('{\n  "task_id": "a"')


def test_half_a_surrogate_pair_is_escaped(tmp_path: Path) -> None:
    path = tmp_path / "task.json"
    task = TaskStar("a", description="\ud800")
    task.to_json(path)
    assert TaskStar.from_json(file_path=path).description == "\ud800"


def test_a_file_that_cannot_be_read_or_written_is_an_os_error(tmp_path: Path) -> None:
    missing = tmp_path / "missing" / "task.json"
    with pytest.raises(FileNotFoundError, match=f"^JSON file not found: {re.escape(str(missing))}$"):
        TaskStar.from_json(file_path=missing)
    with pytest.raises(OSError, match="missing"):
        TaskStar("a").to_json(missing)
