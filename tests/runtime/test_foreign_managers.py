"""Device managers of somebody else's: any object with the methods that callers of the API document rely on."""

from __future__ import annotations

import gc
import weakref
from types import SimpleNamespace
from typing import Any
from unittest import mock

import anyio
import pytest

from galaxy_core import (
    Command,
    ConstellationDeviceManager,
    ConstellationManager,
    DeviceType,
    EventBus,
    ExecutionResult,
    RetryPolicy,
    TaskConstellationOrchestrator,
    TaskTimeoutError,
)

from .fakes import DeviceInfo, ForeignManager, plan, until

pytestmark = pytest.mark.anyio


def foreign(*device_ids: str) -> ForeignManager:
    return ForeignManager(**{device_id: DeviceInfo() for device_id in device_ids})


def orchestrate(manager: Any, **options: Any) -> TaskConstellationOrchestrator:
    return TaskConstellationOrchestrator(manager, event_bus=EventBus(), **options)


@pytest.mark.parametrize("strategy", ["round_robin", "capability_match", "load_balance", "earliest_finish"])
async def test_a_plan_runs_on_it(strategy: str) -> None:
    manager = foreign("w1", "w2")
    result = await orchestrate(manager).orchestrate_constellation(
        plan("a b c", "a>b a>c"), assignment_strategy=strategy
    )
    assert result["status"] == "completed"
    assert manager.calls[0]["task_id"] == "a"
    assert {call["task_id"] for call in manager.calls} == {"a", "b", "c"}
    assert result["results"]["a"].result == "a done"


async def test_it_is_called_with_the_words_of_the_api_document() -> None:
    manager = foreign("w1")
    await orchestrate(manager).orchestrate_constellation(
        plan("a", tips=["be quick"], task_data={"k": 1}, timeout=30), assignment_strategy="round_robin"
    )
    assert manager.calls == [
        {
            "task_id": "a",
            "device_id": "w1",
            "task_description": "Task Description: do a\nTips for Completion:\n - be quick",
            "task_data": {"k": 1},
            "timeout": 30,
        }
    ]


async def test_without_a_timeout_it_is_told_a_thousand_seconds() -> None:
    manager = foreign("w1")
    await orchestrate(manager).orchestrate_constellation(plan("a"), device_assignments={"a": "w1"})
    assert manager.calls[0]["timeout"] == 1000.0


async def test_a_request_goes_along_when_there_is_one() -> None:
    got: dict[str, Any] = {}

    async def assign(**more: Any) -> ExecutionResult:
        got.update(more)
        return ExecutionResult("a", "completed", 1)

    manager = foreign("w1")
    manager.assign_task_to_device = assign  # type: ignore[method-assign, assignment]
    await orchestrate(manager).orchestrate_constellation(
        plan("a", request=Command(["ls"])), device_assignments={"a": "w1"}
    )
    assert got["request"] == Command(["ls"])


@pytest.mark.parametrize(
    ("answer", "status", "error"),
    [
        (ExecutionResult("a", "completed", {"x": 1}), "completed", None),
        (ExecutionResult("a", "failed", None, "broken"), "failed", "broken"),
        (ExecutionResult("a", "failed"), "failed", "device 'w1' said failed"),
        (ValueError("raised"), "failed", "raised"),
    ],
)
async def test_its_answer_is_the_tasks_outcome(answer: Any, status: str, error: str | None) -> None:
    manager = foreign("w1")
    manager.answers["a"] = answer
    result = await orchestrate(manager).orchestrate_constellation(plan("a"), assignment_strategy="round_robin")
    a = result["results"]["a"]
    assert str(a.status) == status
    assert (None if a.error is None else str(a.error)) == error
    if status == "completed":
        assert a.result == {"x": 1}


async def test_its_devices_take_one_task_at_a_time() -> None:
    manager = foreign("w1")
    manager.takes_s = 3
    await orchestrate(manager).orchestrate_constellation(plan("a b c"), assignment_strategy="round_robin")
    assert anyio.current_time() == pytest.approx(9)
    assert manager.most_running == 1


async def test_retries_and_deadlines_are_the_kernels_here_too() -> None:
    manager = foreign("w1")
    manager.takes_s = 1e6
    result = await orchestrate(manager).orchestrate_constellation(
        plan("a", timeout=10, retry_count=1, retry=RetryPolicy(backoff_s=5, jitter=0)),
        assignment_strategy="round_robin",
    )
    assert anyio.current_time() == pytest.approx(10 + 5 + 10)
    assert isinstance(result["results"]["a"].error, TaskTimeoutError)
    assert len(manager.calls) == 2
    assert manager.running == 0


async def test_its_device_types_and_capabilities_are_hard_requirements() -> None:
    manager = ForeignManager(pc=DeviceInfo("windows"), phone=DeviceInfo("android", ["camera"]))
    constellation = plan("a b", device_type=DeviceType.ANDROID, requires={"camera"})
    await orchestrate(manager).orchestrate_constellation(constellation, assignment_strategy="round_robin")
    assert {call["device_id"] for call in manager.calls} == {"phone"}


async def test_devices_that_come_and_go_between_runs_are_noticed() -> None:
    manager = foreign("w1", "w2")
    orchestrator = orchestrate(manager)
    manager.connected = ["w1"]
    await orchestrator.orchestrate_constellation(plan("a b"), assignment_strategy="round_robin")
    assert {call["device_id"] for call in manager.calls} == {"w1"}
    manager.connected = ["w2"]
    manager.calls.clear()
    await orchestrator.orchestrate_constellation(plan("a b"), assignment_strategy="round_robin")
    assert {call["device_id"] for call in manager.calls} == {"w2"}


async def test_two_runs_share_its_devices() -> None:
    manager = foreign("w1")
    manager.takes_s = 1
    orchestrator = orchestrate(manager)
    async with anyio.create_task_group() as group:
        for name in ("one", "two"):
            constellation = plan("a b", constellation_id=name)
            group.start_soon(orchestrator.orchestrate_constellation, constellation, None, "round_robin")
    assert manager.most_running == 1
    assert len(manager.calls) == 4


async def test_cancelling_reaches_it() -> None:
    manager = foreign("w1")
    manager.takes_s = 1e6
    orchestrator = orchestrate(manager)
    constellation = plan("a b", constellation_id="c1")
    async with anyio.create_task_group() as group:
        group.start_soon(orchestrator.orchestrate_constellation, constellation, None, "round_robin")
        await until(lambda: manager.running)
        await orchestrator.cancel_execution("c1")
    assert manager.running == 0
    assert {str(task.status) for task in constellation.tasks.values()} == {"cancelled"}


async def test_a_single_task_runs_on_its_first_device() -> None:
    manager = foreign("w1", "w2")
    task = plan("a").tasks["a"].copy()
    assert await orchestrate(manager).execute_single_task(task) == "a done"
    assert (manager.calls[0]["device_id"], task.status) == ("w1", "pending")


async def test_it_needs_no_weak_references_and_no_hash() -> None:
    class Slotted:
        __slots__ = ("_inner",)
        __hash__ = None  # type: ignore[assignment]

        def __init__(self, inner: ForeignManager) -> None:
            self._inner = inner

        def __getattr__(self, name: str) -> Any:
            return getattr(self._inner, name)

    manager = foreign("w1")
    result = await orchestrate(Slotted(manager)).orchestrate_constellation(plan("a"), assignment_strategy="round_robin")
    assert result["status"] == "completed"


class TestMocks:
    @staticmethod
    def manager(kind: type[mock.Mock] = mock.Mock, **options: Any) -> Any:
        found = kind(**options)
        found.get_connected_devices = mock.Mock(return_value=["w1"])
        found.get_all_devices = mock.Mock(return_value={})
        found.assign_task_to_device = mock.AsyncMock(return_value=ExecutionResult("a", "completed", "mocked"))
        return found

    @pytest.mark.parametrize("kind", [mock.Mock, mock.MagicMock])
    async def test_a_plain_mock_is_a_device_manager(self, kind: type[mock.Mock]) -> None:
        manager = self.manager(kind)
        result = await orchestrate(manager).orchestrate_constellation(plan("a"), assignment_strategy="round_robin")
        assert result["results"]["a"].result == "mocked"
        manager.assign_task_to_device.assert_awaited_once()

    async def test_a_mock_that_passes_for_our_own_class_is_one_too(self) -> None:
        manager = self.manager(spec=ConstellationDeviceManager)
        result = await orchestrate(manager).orchestrate_constellation(plan("a"), assignment_strategy="round_robin")
        assert result["status"] == "completed"
        assert await orchestrate(manager).execute_single_task(plan("b").tasks["b"].copy()) == "mocked"

    async def test_what_a_mocked_registry_says_of_a_device_counts(self) -> None:
        manager = self.manager()
        info = mock.Mock(device_type="android", capabilities=["camera"], metadata={"room": 1})
        manager.device_registry.get_device_info = mock.Mock(return_value=info)
        assert await ConstellationManager(manager).get_available_devices() == [
            {
                "device_id": "w1",
                "device_type": "android",
                "capabilities": ["camera"],
                "status": "connected",
                "metadata": {"room": 1},
            }
        ]

    async def test_a_registry_is_not_needed(self) -> None:
        async def assign(**more: Any) -> str:
            return f"{more['task_id']} on {more['device_id']}"

        manager = SimpleNamespace(get_connected_devices=lambda: ["w1"], assign_task_to_device=assign)
        result = await orchestrate(manager).orchestrate_constellation(plan("a"), assignment_strategy="round_robin")
        assert result["results"]["a"].result == "a on w1"

    async def test_a_mocked_answer_that_is_no_success_is_a_failure(self) -> None:
        manager = self.manager()
        manager.assign_task_to_device = mock.AsyncMock(return_value=mock.Mock(status="failed", error="said so"))
        result = await orchestrate(manager).orchestrate_constellation(plan("a"), assignment_strategy="round_robin")
        assert (result["status"], str(result["results"]["a"].error)) == ("failed", "said so")


async def test_a_forgotten_device_manager_is_not_kept_alive() -> None:
    manager = foreign("w1")
    await orchestrate(manager).orchestrate_constellation(plan("a"), assignment_strategy="round_robin")
    gone = weakref.ref(manager)
    del manager
    gc.collect()
    assert gone() is None
