"""One task: its defaults, its setters, its status machine, what a device manager gets of it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from galaxy_core.errors import GalaxyError, ImmutableError, TransitionError
from galaxy_core.model.constellation import TaskConstellation
from galaxy_core.model.dependency import TaskStarLine
from galaxy_core.model.device import DeviceType
from galaxy_core.model.policy import DEFAULT_RETRY, Effect, RetryPolicy, TaskConfiguration, TaskPriority
from galaxy_core.model.request import Command
from galaxy_core.model.result import ExecutionResult, TaskStatus
from galaxy_core.model.task import TaskStar

STARTED = [
    TaskStatus.RUNNING,
    TaskStatus.COMPLETED,
    TaskStatus.FAILED,
    TaskStatus.CANCELLED,
    TaskStatus.SKIPPED,
    TaskStatus.UNKNOWN,
]
#: What a refusal calls it, and a change of it.
SETTERS: dict[str, tuple[str, Callable[[TaskStar], None]]] = {
    "name": ("name", lambda task: setattr(task, "name", "new")),
    "description": ("description", lambda task: setattr(task, "description", "new")),
    "task_description": ("description", lambda task: setattr(task, "task_description", "new")),
    "tips": ("tips", lambda task: setattr(task, "tips", ["new"])),
    "target_device_id": ("device assignment", lambda task: setattr(task, "target_device_id", "new")),
    "device_type": ("device type", lambda task: setattr(task, "device_type", DeviceType.WEB)),
    "priority": ("priority", lambda task: setattr(task, "priority", TaskPriority.LOW)),
    "requires": ("requirements", lambda task: setattr(task, "requires", {"new"})),
    "effect": ("effect", lambda task: setattr(task, "effect", Effect.READ)),
    "request": ("request", lambda task: setattr(task, "request", Command(["new"]))),
    "task_data": ("task data", lambda task: setattr(task, "task_data", {"new": 1})),
    "update_task_data": ("task data", lambda task: task.update_task_data({"new": 1})),
}


def in_status(status: TaskStatus) -> TaskStar:
    """A task that came to `status` as tasks do."""
    task = TaskStar("a")
    if status in (TaskStatus.SKIPPED, TaskStatus.UNKNOWN):
        plan = TaskConstellation("plan")
        plan.add_task(task)
        if status is TaskStatus.UNKNOWN:
            task.start_execution()
            plan.end(task, TaskStatus.UNKNOWN, None, None, 1.0)
        else:
            plan.add_task(TaskStar("before"))
            plan.add_dependency(TaskStarLine.create_success_only("before", "a"))
            plan.mark_task_completed("before", success=False)
    elif status is TaskStatus.CANCELLED:
        task.cancel()
    elif status is not TaskStatus.PENDING:
        task.start_execution()
        if status is TaskStatus.COMPLETED:
            task.complete_with_success("done")
        elif status is TaskStatus.FAILED:
            task.complete_with_failure(OSError("broke"))
    assert task.status is status
    return task


# ----------------------------------------------------------------------------------------------- what it is
def test_a_task_without_an_id_gets_one_of_36_characters() -> None:
    assert len(TaskStar().task_id) == 36
    assert TaskStar().task_id != TaskStar().task_id


def test_a_task_without_a_name_is_named_after_its_id() -> None:
    assert TaskStar("0123456789").name == "task_01234567"
    assert TaskStar("a", name="Level").name == "Level"


def test_the_arguments_stand_in_the_order_of_the_api_document() -> None:
    config = TaskConfiguration()
    task = TaskStar(
        "a",
        "name",
        "text",
        ["tip"],
        "pixel",
        DeviceType.ANDROID,
        TaskPriority.HIGH,
        5.0,
        2,
        {"key": 1},
        "text/plain",
        config,
    )
    assert (task.task_id, task.name, task.description, task.tips) == ("a", "name", "text", ["tip"])
    assert (task.target_device_id, task.device_type, task.priority) == ("pixel", DeviceType.ANDROID, TaskPriority.HIGH)
    assert (task.timeout, task.retry_count, task.task_data) == (5.0, 2, {"key": 1})
    assert task.expected_output_type == "text/plain"


def test_a_fresh_task_is_pending_of_medium_priority_and_done_at_most_once() -> None:
    task = TaskStar()
    assert (task.status, task.priority, task.effect) == (TaskStatus.PENDING, TaskPriority.MEDIUM, Effect.ONCE)
    assert (task.result, task.error, task.attempts) == (None, None, 0)
    assert (task.execution_start_time, task.execution_end_time, task.execution_duration) == (None, None, None)
    assert (task.tips, task.task_data, task.requires) == ([], {}, frozenset())
    assert task.is_ready_to_execute
    assert not task.is_terminal
    assert not task.is_pinned


def test_moments_are_in_utc() -> None:
    task = TaskStar()
    assert task.created_at.tzinfo is UTC
    assert task.created_at <= task.updated_at <= datetime.now(UTC)


def test_truthy_fields_of_a_configuration_win_and_its_metadata_joins_the_task_data() -> None:
    config = TaskConfiguration(timeout=9.0, priority=TaskPriority.CRITICAL, metadata={"b": 2})
    task = TaskStar("a", timeout=1.0, retry_count=3, task_data={"a": 1}, config=config)
    assert (task.timeout, task.retry_count, task.priority) == (9.0, 3, TaskPriority.CRITICAL)
    assert task.task_data == {"a": 1, "b": 2}


def test_a_configuration_with_retries_says_how_long_to_wait_unless_the_task_does() -> None:
    config = TaskConfiguration(retry_count=2, retry_delay=7.0)
    assert TaskStar(config=config).retry_policy.backoff_s == 7.0
    assert TaskStar(config=config, retry=RetryPolicy(backoff_s=3.0)).retry_policy.backoff_s == 3.0
    assert TaskStar(config=TaskConfiguration()).retry_policy is DEFAULT_RETRY


def test_an_effect_may_be_given_by_its_name() -> None:
    assert TaskStar(effect="read").effect is Effect.READ  # type: ignore[arg-type]


def test_data_and_tips_are_copied_in_and_out() -> None:
    tips, data = ["one"], {"key": 1}
    task = TaskStar("a", tips=tips, task_data=data)
    tips.append("two")
    data["other"] = 2
    task.tips.append("three")
    task.task_data["more"] = 3
    assert (task.tips, task.task_data) == (["one"], {"key": 1})


def test_repr_names_the_task_its_status_and_its_device() -> None:
    assert repr(TaskStar("a")) == "<TaskStar 'a' pending>"
    assert repr(TaskStar("a", target_device_id="pixel")) == "<TaskStar 'a' pending on 'pixel'>"


def test_a_copy_says_the_same_and_has_not_started() -> None:
    task = TaskStar("a", "name", "text", ["tip"], "pixel", requires={"camera"}, effect=Effect.READ, estimate_s=2.0)
    task.start_execution()
    copy = task.copy()
    assert copy.status is TaskStatus.PENDING
    assert (copy.task_id, copy.name, copy.tips, copy.target_device_id) == ("a", "name", ["tip"], "pixel")
    assert (copy.requires, copy.effect, copy.estimate_s) == (frozenset({"camera"}), Effect.READ, 2.0)


def test_a_copy_leaves_out_a_device_that_a_strategy_chose() -> None:
    task = TaskStar("a")
    task._target_device_id = "pixel"
    assert task.copy().target_device_id is None


# ----------------------------------------------------------------------------------------------- I1 and I3
def test_setting_the_device_pins_the_task_and_unsetting_it_unpins() -> None:
    task = TaskStar("a")
    task.target_device_id = "pixel"
    assert task.is_pinned
    task.target_device_id = None
    assert (task.target_device_id, task.is_pinned) == (None, False)


@pytest.mark.parametrize("setter", SETTERS)
def test_a_task_that_has_not_started_can_be_changed(setter: str) -> None:
    task = TaskStar("a")
    SETTERS[setter][1](task)
    attribute = setter.removeprefix("update_")
    assert getattr(task, attribute) != getattr(TaskStar("a"), attribute)


@pytest.mark.parametrize("status", STARTED, ids=str)
@pytest.mark.parametrize("setter", SETTERS)
def test_no_setter_changes_a_task_that_has_started(setter: str, status: TaskStatus) -> None:
    task = in_status(status)
    before = task.to_dict()
    what, change = SETTERS[setter]
    with pytest.raises(ValueError, match=rf"^Cannot modify {what} of {status} task a$") as caught:
        change(task)
    assert isinstance(caught.value, ImmutableError)
    assert (caught.value.what, caught.value.task_id, caught.value.status) == (what, "a", status)
    assert task.to_dict() == before


def test_every_setter_is_listed_above() -> None:
    settable = {
        name
        for kind in TaskStar.__mro__
        for name, found in vars(kind).items()
        if isinstance(found, property) and found.fset is not None
    }
    assert settable | {"update_task_data"} == set(SETTERS)


@pytest.mark.parametrize("setter", SETTERS)
def test_a_task_between_two_attempts_has_started(setter: str) -> None:
    task = TaskStar("a", retry_count=1)
    task.start_execution()
    task.complete_with_failure(OSError("broke"))
    task.retry()
    with pytest.raises(ImmutableError, match=r"of retried task a$"):
        SETTERS[setter][1](task)


def test_a_setter_raises_the_revision_of_the_plan_by_one() -> None:
    plan, task = TaskConstellation("plan"), TaskStar("a")
    plan.add_task(task)
    revision = plan.revision
    task.priority = TaskPriority.HIGH
    assert plan.revision == revision + 1


# ----------------------------------------------------------------------------------------------- status machine
def test_a_task_runs_from_pending_to_completed() -> None:
    task = TaskStar("a")
    task.start_execution()
    assert task.status is TaskStatus.RUNNING
    assert task.execution_start_time is not None
    task.complete_with_success({"answer": 42})
    assert (task.status, task.result, task.error) == (TaskStatus.COMPLETED, {"answer": 42}, None)
    assert task.is_terminal
    assert task.execution_duration is not None
    assert task.execution_duration >= 0


def test_a_failure_keeps_its_error() -> None:
    error = OSError("broke")
    task = TaskStar("a")
    task.start_execution()
    task.complete_with_failure(error)
    assert (task.status, task.error) == (TaskStatus.FAILED, error)


@pytest.mark.parametrize("status", STARTED, ids=str)
def test_only_a_pending_task_starts(status: TaskStatus) -> None:
    with pytest.raises(ValueError, match=f"^Cannot start task a in status {status}$"):
        in_status(status).start_execution()


@pytest.mark.parametrize("status", [TaskStatus.PENDING, *STARTED[1:]], ids=str)
def test_only_a_running_task_completes_or_fails(status: TaskStatus) -> None:
    task = in_status(status)
    with pytest.raises(TransitionError, match=f"^Cannot complete task a in status {status}$"):
        task.complete_with_success()
    with pytest.raises(TransitionError, match=f"^Cannot fail task a in status {status}$"):
        task.complete_with_failure(OSError())
    assert task.status is status


def test_a_task_with_pending_dependencies_does_not_start() -> None:
    plan = TaskConstellation.build([TaskStar("a"), TaskStar("b")], [TaskStarLine("a", "b")])
    task = plan.tasks["b"]
    assert not task.is_ready_to_execute
    with pytest.raises(TransitionError, match=r"^Cannot start task b with pending dependencies$"):
        task.start_execution()


@pytest.mark.parametrize("status", [TaskStatus.PENDING, TaskStatus.RUNNING], ids=str)
def test_what_has_not_ended_can_be_cancelled(status: TaskStatus) -> None:
    task = in_status(status)
    assert task.cancel() is True
    assert task.status is TaskStatus.CANCELLED
    assert (task.execution_end_time is not None) == (status is TaskStatus.RUNNING)


@pytest.mark.parametrize("status", STARTED[1:], ids=str)
def test_cancelling_what_has_ended_changes_nothing(status: TaskStatus) -> None:
    task = in_status(status)
    before = task.to_dict()
    assert task.cancel() is False
    assert task.to_dict() == before


def test_a_failed_task_is_tried_again_as_often_as_it_may() -> None:
    task = TaskStar("a", retry_count=1)
    task.start_execution()
    task.complete_with_failure(OSError("broke"))
    assert task.should_retry()
    task.retry()
    assert (task.status, task.error, task.execution_start_time) == (TaskStatus.PENDING, None, None)
    task.start_execution()
    assert task.attempts == 2
    task.complete_with_failure(OSError("broke"))
    assert not task.should_retry()
    with pytest.raises(TransitionError, match=r"^Task a cannot be retried$"):
        task.retry()


@pytest.mark.parametrize("status", [TaskStatus.PENDING, TaskStatus.RUNNING, TaskStatus.COMPLETED, TaskStatus.CANCELLED])
def test_only_a_failed_task_is_tried_again(status: TaskStatus) -> None:
    task = in_status(status)
    task._retry_count = 5
    with pytest.raises(TransitionError, match="cannot be retried"):
        task.retry()


def test_statuses_compare_equal_to_their_names() -> None:
    assert str(TaskStatus.COMPLETED) == TaskStatus.COMPLETED.value == "completed"
    assert [status.value for status in TaskStatus] == [status.name.lower() for status in TaskStatus]
    assert ExecutionResult("a", TaskStatus.FAILED).status == "failed"


# ----------------------------------------------------------------------------------------------- for devices
def test_the_request_string_lists_the_tips() -> None:
    task = TaskStar("a", description="Read it", tips=["slowly", "twice"])
    assert task.to_request_string() == "Task Description: Read it\nTips for Completion:\n - slowly\n - twice"


def test_the_request_string_says_when_there_are_no_tips() -> None:
    text = TaskStar("a", description="Read it").to_request_string()
    assert text == "Task Description: Read it\nTips for Completion:\nNo tips available."


class Devices:
    """A device manager that records what it is asked, and answers as told."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer
        self.asked: dict[str, Any] = {}

    async def assign_task_to_device(self, **asked: Any) -> ExecutionResult:
        self.asked = asked
        if isinstance(self.answer, Exception):
            raise self.answer
        result: ExecutionResult = self.answer
        return result


@pytest.mark.anyio
async def test_execute_hands_the_task_to_its_device_and_stamps_the_result() -> None:
    devices = Devices(ExecutionResult("a", "completed", "fine"))
    task = TaskStar("a", description="Read it", target_device_id="pixel", task_data={"key": 1})
    result = await task.execute(devices)
    assert devices.asked == {
        "task_id": "a",
        "device_id": "pixel",
        "task_description": task.to_request_string(),
        "task_data": {"key": 1},
        "timeout": 1000.0,
    }
    assert result is devices.answer
    assert result.execution_time is not None
    assert task.status is TaskStatus.PENDING


@pytest.mark.anyio
async def test_execute_passes_the_timeout_and_the_request_on() -> None:
    devices = Devices(ExecutionResult("a", "completed"))
    request = Command(["true"])
    await TaskStar("a", target_device_id="pixel", timeout=3.0, request=request).execute(devices)
    assert (devices.asked["timeout"], devices.asked["request"]) == (3.0, request)


@pytest.mark.anyio
async def test_execute_needs_a_device_manager_and_a_device() -> None:
    with pytest.raises(ValueError, match=r"^Device manager is required for task execution$"):
        await TaskStar("a", target_device_id="pixel").execute(None)
    with pytest.raises(ValueError, match=r"^No device assigned to task a$"):
        await TaskStar("a").execute(Devices(None))


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("raised", "kind", "text"),
    [
        (TimeoutError("too long"), TimeoutError, "Task execution timeout: too long"),
        (AttributeError("no port"), AttributeError, "Configuration error: no port"),
        (OSError("cable"), OSError, "cable"),
    ],
)
async def test_execute_returns_errors_of_the_device_as_a_failed_result(
    raised: Exception, kind: type[Exception], text: str
) -> None:
    result = await TaskStar("a", target_device_id="pixel").execute(Devices(raised))
    assert (result.status, str(result.error), result.metadata) == ("failed", text, {"device_id": "pixel"})
    assert isinstance(result.error, kind)
    assert raised in (result.error, result.error.__cause__)
    assert result.execution_time is not None


@pytest.mark.anyio
async def test_execute_returns_a_failed_result_when_the_device_returns_nonsense() -> None:
    result = await TaskStar("a", target_device_id="pixel").execute(Devices(None))
    assert result.status == "failed"
    assert str(result.error).startswith("Configuration error: ")


# ----------------------------------------------------------------------------------------------- validation
@pytest.mark.parametrize(
    ("task", "problem"),
    [
        (TaskStar("", description="d"), "Task ID must be a non-empty string"),
        (TaskStar("a", name=" ", description="d"), "Task name must be a non-empty string"),
        (TaskStar("a"), "Task description must be a non-empty string"),
        (TaskStar("a", description="d", timeout=0), "Timeout must be a positive number"),
        (TaskStar("a", description="d", timeout=-1.5), "Timeout must be a positive number"),
        (TaskStar("a", description="d", timeout=float("nan")), "Timeout must be a positive number"),
        (TaskStar("a", description="d", timeout=True), "Timeout must be a positive number"),
        (TaskStar("a", description="d", retry_count=-1), "Retry count must be a non-negative integer"),
        (TaskStar("a", description="d", priority=3), "Priority must be a TaskPriority enum value"),  # type: ignore[arg-type]
    ],
)
def test_validation_names_what_is_wrong(task: TaskStar, problem: str) -> None:
    assert task.get_validation_errors() == [problem]
    assert not task.validate()


def test_a_sound_task_is_valid_and_one_with_a_request_needs_no_description() -> None:
    assert TaskStar("a", description="d", timeout=1, retry_count=2).validate()
    assert TaskStar("a", request=Command(["true"])).validate()


def test_errors_of_the_model_are_value_errors_of_one_tree() -> None:
    with pytest.raises(GalaxyError) as caught:
        TaskStar("a").complete_with_success()
    assert isinstance(caught.value, ValueError)
