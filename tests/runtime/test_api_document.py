"""The API document, as written: names, signatures, defaults, what comes back, what is raised, and its examples.

Every test of an example does what the document's example does, under `galaxy_core`.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Callable
from typing import Any

import anyio
import pytest

import galaxy_core
from galaxy_core import (
    Completed,
    ConstellationDeviceManager,
    ConstellationManager,
    ConstellationModificationSynchronizer,
    Device,
    DeviceType,
    Event,
    EventBus,
    EventType,
    ExecutionResult,
    IEventObserver,
    TaskConstellation,
    TaskConstellationOrchestrator,
    TaskStar,
    get_event_bus,
)
from galaxy_core.testing.fakes import FakeTransport, hang, takes

from .fakes import plan, rig, until

anyio_test = pytest.mark.anyio
REQUIRED = inspect.Parameter.empty


@pytest.mark.parametrize(
    ("function", "parameters", "is_async"),
    [
        (
            TaskConstellationOrchestrator.__init__,
            {"device_manager": None, "enable_logging": True, "event_bus": None},
            False,
        ),
        (
            TaskConstellationOrchestrator.orchestrate_constellation,
            {"constellation": REQUIRED, "device_assignments": None, "assignment_strategy": None, "metadata": None},
            True,
        ),
        (TaskConstellationOrchestrator.execute_single_task, {"task": REQUIRED, "target_device_id": None}, True),
        (TaskConstellationOrchestrator.get_constellation_status, {"constellation": REQUIRED}, True),
        (TaskConstellationOrchestrator.get_available_devices, {}, True),
        (TaskConstellationOrchestrator.set_device_manager, {"device_manager": REQUIRED}, False),
        (TaskConstellationOrchestrator.set_modification_synchronizer, {"synchronizer": REQUIRED}, False),
        (TaskConstellationOrchestrator.cancel_execution, {"constellation_id": REQUIRED}, True),
        (
            TaskConstellationOrchestrator.assign_devices_automatically,
            {"constellation": REQUIRED, "strategy": "round_robin", "device_preferences": None},
            True,
        ),
        (ConstellationManager.__init__, {"device_manager": None, "enable_logging": True}, False),
        (
            ConstellationManager.assign_devices_automatically,
            {"constellation": REQUIRED, "strategy": "round_robin", "device_preferences": None},
            True,
        ),
        (
            ConstellationManager.reassign_task_device,
            {"constellation": REQUIRED, "task_id": REQUIRED, "new_device_id": REQUIRED},
            False,
        ),
        (ConstellationManager.clear_device_assignments, {"constellation": REQUIRED}, False),
        (ConstellationManager.validate_constellation_assignments, {"constellation": REQUIRED}, False),
        (ConstellationManager.register_constellation, {"constellation": REQUIRED, "metadata": None}, False),
        (ConstellationManager.unregister_constellation, {"constellation_id": REQUIRED}, False),
        (ConstellationManager.get_constellation, {"constellation_id": REQUIRED}, False),
        (ConstellationManager.list_constellations, {}, False),
        (ConstellationManager.get_constellation_status, {"constellation_id": REQUIRED}, True),
        (ConstellationManager.get_available_devices, {}, True),
        (ConstellationManager.get_device_utilization, {"constellation": REQUIRED}, False),
        (ConstellationManager.get_task_device_info, {"constellation": REQUIRED, "task_id": REQUIRED}, False),
        (ConstellationModificationSynchronizer.__init__, {"orchestrator": REQUIRED, "logger": None}, False),
        (ConstellationModificationSynchronizer.on_event, {"event": REQUIRED}, True),
        (ConstellationModificationSynchronizer.wait_for_pending_modifications, {"timeout": None}, True),
        (
            ConstellationModificationSynchronizer.merge_and_sync_constellation_states,
            {"orchestrator_constellation": REQUIRED},
            False,
        ),
        (ConstellationModificationSynchronizer.set_modification_timeout, {"timeout": REQUIRED}, False),
        (ConstellationModificationSynchronizer.has_pending_modifications, {}, False),
        (ConstellationModificationSynchronizer.get_pending_count, {}, False),
        (ConstellationModificationSynchronizer.get_pending_task_ids, {}, False),
        (ConstellationModificationSynchronizer.get_current_constellation, {}, False),
        (ConstellationModificationSynchronizer.get_statistics, {}, False),
        (ConstellationModificationSynchronizer.clear_pending_modifications, {}, False),
        (ConstellationDeviceManager.disconnect_all, {}, True),
        (EventBus.__init__, {}, False),
        (EventBus.subscribe, {"observer": REQUIRED, "event_types": None}, False),
        (EventBus.unsubscribe, {"observer": REQUIRED}, False),
        (EventBus.publish_event, {"event": REQUIRED}, True),
        (IEventObserver.on_event, {"event": REQUIRED}, True),
        (get_event_bus, {}, False),
    ],
    ids=lambda value: getattr(value, "__qualname__", ""),
)
def test_a_signature_is_that_of_the_document(
    function: Callable[..., Any], parameters: dict[str, Any], is_async: bool
) -> None:
    """Ours may take more, but only by name or with a default, so that every call of the document works."""
    own = [p for name, p in inspect.signature(function).parameters.items() if name != "self"]
    documented, more = own[: len(parameters)], own[len(parameters) :]
    assert {p.name: p.default for p in documented} == parameters
    assert all(p.kind is p.POSITIONAL_OR_KEYWORD for p in documented)
    assert all(p.default is not REQUIRED for p in more)
    assert inspect.iscoroutinefunction(function) is is_async


@pytest.mark.parametrize(
    "name",
    [
        "TaskConstellationOrchestrator",
        "ConstellationDeviceManager",
        "ConstellationManager",
        "ConstellationModificationSynchronizer",
        "TaskConstellation",
        "TaskStar",
        "TaskStarLine",
        "EventBus",
        "IEventObserver",
        "Event",
        "EventType",
        "get_event_bus",
    ],
)
def test_every_name_of_the_document_comes_from_the_facade(name: str) -> None:
    assert name in galaxy_core.__all__
    assert getattr(galaxy_core, name) is not None


def test_the_modules_that_the_document_names_exist() -> None:  # row 35
    from galaxy_core.runtime.bus import get_event_bus as from_bus
    from galaxy_core.runtime.devices import ConstellationDeviceManager as FromDevices
    from galaxy_core.runtime.manager import ConstellationManager as FromManager
    from galaxy_core.runtime.orchestrator import TaskConstellationOrchestrator as FromOrchestrator
    from galaxy_core.runtime.synchronizer import ConstellationModificationSynchronizer as FromSynchronizer

    assert from_bus is get_event_bus
    assert FromDevices is ConstellationDeviceManager
    assert FromManager is ConstellationManager
    assert FromOrchestrator is TaskConstellationOrchestrator
    assert FromSynchronizer is ConstellationModificationSynchronizer


@pytest.mark.parametrize(
    "name",
    [
        "TASK_STARTED",
        "TASK_COMPLETED",
        "TASK_FAILED",
        "CONSTELLATION_STARTED",
        "CONSTELLATION_COMPLETED",
        "CONSTELLATION_FAILED",
        "CONSTELLATION_MODIFIED",
    ],
)
def test_event_types_have_their_lower_case_names_as_values(name: str) -> None:
    assert EventType[name].value == name.lower()


class Shop:
    """The devices of the document's examples, faked, behind a manager that the document's code builds."""

    def __init__(self) -> None:
        self.transport = FakeTransport()
        self.device_manager = ConstellationDeviceManager(plugins=[self.transport])
        for device in (
            Device("windows_main", "fake", device_type="windows", max_concurrency=2),
            Device("android_device", "fake", device_type="android"),
            Device("android_backup", "fake", device_type="android"),
        ):
            self.device_manager.add_device(device)

    @staticmethod
    def constellation() -> TaskConstellation:
        constellation = TaskConstellation(name="MyWorkflow")
        for number in range(1, 4):
            constellation.add_task(TaskStar(f"task_{number}", description=f"on windows, step {number}"))
        constellation.add_task(TaskStar("critical_task", description="on android"))
        return constellation


@pytest.fixture
def shop() -> Shop:
    return Shop()


@pytest.mark.anyio
class TestTheOrchestrator:
    async def test_constructing_it(self) -> None:
        device_manager = ConstellationDeviceManager()
        orchestrator = TaskConstellationOrchestrator(device_manager=device_manager, enable_logging=True)
        assert orchestrator.event_bus is get_event_bus()
        assert await orchestrator.get_available_devices() == []

    async def test_automatic_assignment(self, shop: Shop) -> None:
        orchestrator = TaskConstellationOrchestrator(shop.device_manager)
        results = await orchestrator.orchestrate_constellation(
            constellation=shop.constellation(), assignment_strategy="capability_match"
        )
        assert set(results) == {"results", "status", "total_tasks", "statistics"}
        assert (results["status"], results["total_tasks"]) == ("completed", 4)
        assert all(isinstance(result, ExecutionResult) for result in results["results"].values())
        await shop.device_manager.disconnect_all()

    @pytest.mark.parametrize("strategy", ["round_robin", "capability_match", "load_balance"])
    async def test_the_strategies_by_their_names(self, shop: Shop, strategy: str) -> None:
        orchestrator = TaskConstellationOrchestrator(shop.device_manager)
        results = await orchestrator.orchestrate_constellation(shop.constellation(), assignment_strategy=strategy)
        assert f"Status: {results['status']}" == "Status: completed"
        assert f"Total tasks: {results['total_tasks']}" == "Total tasks: 4"

    async def test_manual_assignment(self, shop: Shop) -> None:
        device_assignments = {
            "task_1": "windows_main",
            "task_2": "android_device",
            "task_3": "windows_main",
            "critical_task": "android_backup",
        }
        orchestrator = TaskConstellationOrchestrator(shop.device_manager)
        results = await orchestrator.orchestrate_constellation(
            constellation=shop.constellation(), device_assignments=device_assignments
        )
        assert {task_id: result.device_id for task_id, result in results["results"].items()} == device_assignments

    async def test_assignment_through_the_tasks(self, shop: Shop) -> None:
        constellation = shop.constellation()
        for task in constellation.get_all_tasks():
            if "windows" in task.description.lower():
                task.target_device_id = "windows_main"
            elif "android" in task.description.lower():
                task.target_device_id = "android_device"
        orchestrator = TaskConstellationOrchestrator(shop.device_manager)
        results = await orchestrator.orchestrate_constellation(constellation)
        assert results["results"]["critical_task"].device_id == "android_device"

        again = shop.constellation()
        device_assignments = {
            task.task_id: constellation.tasks[task.task_id].target_device_id or "" for task in again.get_all_tasks()
        }
        results = await orchestrator.orchestrate_constellation(again, device_assignments=device_assignments)
        assert results["status"] == "completed"

    async def test_a_single_task(self, shop: Shop) -> None:
        shop.transport.script("standalone_task", Completed({"os": "11"}))
        await shop.device_manager.connect_all()
        orchestrator = TaskConstellationOrchestrator(shop.device_manager)
        task = TaskStar(task_id="standalone_task", description="Collect system information")
        result = await orchestrator.execute_single_task(task=task, target_device_id="windows_main")
        assert result == {"os": "11"}
        assert shop.transport.device("windows_main").started == ["standalone_task"]
        assert task.status == "pending"

    async def test_a_single_task_finds_a_device_that_fits(self, shop: Shop) -> None:
        orchestrator = TaskConstellationOrchestrator(shop.device_manager)
        task = TaskStar("t", description="x", device_type=DeviceType.ANDROID)
        shop.transport.script("t", Completed("done"))
        assert await orchestrator.execute_single_task(task) == "done"
        assert shop.transport.device("android_device").started == ["t"]

    @pytest.mark.parametrize("manager", [None, "empty"])
    async def test_a_single_task_without_devices_is_a_value_error(self, manager: str | None) -> None:
        device_manager = None if manager is None else ConstellationDeviceManager()
        orchestrator = TaskConstellationOrchestrator(device_manager)
        with pytest.raises(ValueError, match="No available devices for task execution"):
            await orchestrator.execute_single_task(TaskStar("t", description="x"))

    async def test_a_single_task_returns_what_its_own_execute_brings(self, shop: Shop) -> None:
        class Mine(TaskStar):
            async def execute(self, device_manager: Any) -> ExecutionResult:
                return ExecutionResult(self.task_id, "completed", f"by {type(device_manager).__name__}")

        await shop.device_manager.connect_all()
        orchestrator = TaskConstellationOrchestrator(shop.device_manager)
        assert await orchestrator.execute_single_task(Mine("t")) == "by ConstellationDeviceManager"

    async def test_the_status_while_it_runs(self, shop: Shop) -> None:
        orchestrator = TaskConstellationOrchestrator(shop.device_manager)
        constellation = shop.constellation()
        shop.transport.default = takes(1)
        async with anyio.create_task_group() as group:
            group.start_soon(orchestrator.orchestrate_constellation, constellation, None, "round_robin")
            await until(constellation.get_running_tasks)
            status = await orchestrator.get_constellation_status(constellation)
        assert status is not None
        assert status["state"] == "executing"
        assert len(status["running_tasks"]) >= 1
        assert set(status) == {
            "constellation_id",
            "name",
            "state",
            "statistics",
            "ready_tasks",
            "running_tasks",
            "completed_tasks",
            "failed_tasks",
            "metadata",
        }

    async def test_the_available_devices(self, shop: Shop) -> None:
        await shop.device_manager.connect_all()
        orchestrator = TaskConstellationOrchestrator(shop.device_manager)
        lines = [f"{one['device_id']}: {one['device_type']}" for one in await orchestrator.get_available_devices()]
        assert lines == ["windows_main: windows", "android_device: android", "android_backup: android"]
        for device in await orchestrator.get_available_devices():
            assert {name: type(value) for name, value in device.items()} == {
                "device_id": str,
                "device_type": str,
                "capabilities": list,
                "status": str,
                "metadata": dict,
            }

    async def test_setting_the_device_manager_later(self, shop: Shop) -> None:
        orchestrator = TaskConstellationOrchestrator()
        with pytest.raises(ValueError, match="not set"):
            await orchestrator.orchestrate_constellation(shop.constellation(), assignment_strategy="round_robin")
        orchestrator.set_device_manager(shop.device_manager)
        # The strategies are found by the registry of the orchestrator, the transports by that of the device manager.
        results = await orchestrator.orchestrate_constellation(shop.constellation(), assignment_strategy="round_robin")
        assert results["status"] == "completed"
        assert len(await orchestrator.get_available_devices()) == 3


@pytest.mark.anyio
class TestTheManager:
    async def test_its_examples(self, shop: Shop) -> None:
        await shop.device_manager.connect_all()
        manager = ConstellationManager(shop.device_manager)
        constellation = shop.constellation()
        assignments = await manager.assign_devices_automatically(
            constellation, strategy="capability_match", device_preferences={"critical_task": "windows_main"}
        )
        assert assignments["critical_task"] == "windows_main"
        success = manager.reassign_task_device(constellation, task_id="task_2", new_device_id="android_backup")
        assert success is True
        is_valid, errors = manager.validate_constellation_assignments(constellation)
        assert (is_valid, errors) == (True, [])
        assert sum(manager.get_device_utilization(constellation).values()) == 4
        info = manager.get_task_device_info(constellation, "task_2")
        assert info is not None
        assert info["device_id"] == "android_backup"
        assert manager.clear_device_assignments(constellation) == 4
        assert not manager.validate_constellation_assignments(constellation)[0]

    async def test_its_lifecycle(self) -> None:
        manager, constellation = ConstellationManager(), TaskConstellation(name="MyWorkflow")
        constellation_id = manager.register_constellation(constellation, metadata={"owner": "me"})
        assert constellation_id == constellation.constellation_id
        assert manager.get_constellation(constellation_id) is constellation
        assert [one["constellation_id"] for one in manager.list_constellations()] == [constellation_id]
        assert manager.unregister_constellation(constellation_id) is True


@pytest.mark.anyio
class TestTheSynchronizer:
    async def test_constructing_and_attaching_it(self, shop: Shop) -> None:
        orchestrator = TaskConstellationOrchestrator(shop.device_manager)
        synchronizer = ConstellationModificationSynchronizer(
            orchestrator=orchestrator, logger=logging.getLogger(__name__)
        )
        orchestrator.set_modification_synchronizer(synchronizer)
        event_bus = get_event_bus()
        event_bus.subscribe(synchronizer)
        try:
            results = await orchestrator.orchestrate_constellation(
                shop.constellation(), assignment_strategy="round_robin"
            )
        finally:
            event_bus.unsubscribe(synchronizer)
        assert results["status"] == "completed"
        assert anyio.current_time() < 60
        completed = await synchronizer.wait_for_pending_modifications(timeout=300.0)
        assert completed is True
        synchronizer.set_modification_timeout(1800.0)
        assert set(synchronizer.get_statistics()) == {
            "total_modifications",
            "completed_modifications",
            "timeout_modifications",
        }

    def test_it_can_be_made_where_no_event_loop_runs(self) -> None:
        orchestrator = TaskConstellationOrchestrator(ConstellationDeviceManager())
        synchronizer = ConstellationModificationSynchronizer(orchestrator)
        orchestrator.set_modification_synchronizer(synchronizer)
        merged = synchronizer.merge_and_sync_constellation_states(orchestrator_constellation=TaskConstellation("c"))
        assert merged.constellation_id == "c"


@pytest.mark.anyio
class TestEvents:
    async def test_a_tracker_of_progress(self, shop: Shop) -> None:
        said: list[str] = []

        class ProgressTracker(IEventObserver):
            async def on_event(self, event: Event) -> None:
                if event.event_type == EventType.TASK_COMPLETED:
                    said.append(f"✓ {event.task_id} completed")  # type: ignore[attr-defined]
                elif event.event_type == EventType.TASK_FAILED:
                    said.append(f"✗ {event.task_id} failed")  # type: ignore[attr-defined]

        shop.transport.script("task_2", Completed(exit_code=1))
        event_bus = get_event_bus()
        tracker = ProgressTracker()
        event_bus.subscribe(tracker, {EventType.TASK_COMPLETED, EventType.TASK_FAILED})
        orchestrator = TaskConstellationOrchestrator(shop.device_manager)
        try:
            await orchestrator.orchestrate_constellation(shop.constellation(), assignment_strategy="round_robin")
        finally:
            event_bus.unsubscribe(tracker)
        assert sorted(said) == [
            "✓ critical_task completed",
            "✓ task_1 completed",
            "✓ task_3 completed",
            "✗ task_2 failed",
        ]


@pytest.mark.anyio
class TestExceptions:
    async def handled(self, house: Any, constellation: TaskConstellation, strategy: str = "capability_match") -> str:
        """The document's example of error handling; what it would have logged."""
        try:
            results = await house.orchestrator.orchestrate_constellation(constellation, assignment_strategy=strategy)
        except ValueError as error:
            return f"Invalid constellation: {error}"
        except RuntimeError as error:
            return f"Execution failed: {error}"
        except anyio.get_cancelled_exc_class():
            house.said = "Orchestration cancelled"
            raise
        finally:
            with anyio.CancelScope(shield=True):
                await house.manager.disconnect_all()
        return str(results["status"])

    async def test_success(self) -> None:
        async with rig() as house:
            assert await self.handled(house, plan("a")) == "completed"
            assert house.device().sessions == 0

    async def test_what_cannot_run_is_a_value_error(self) -> None:
        async with rig() as house:
            said = await self.handled(house, plan("a", device_type=DeviceType.WINDOWS))
        assert said.startswith("Invalid constellation: No device fits task 'a', which needs a windows device")

    async def test_what_breaks_is_a_runtime_error(self) -> None:
        class Broken:
            name = "broken"

            def assign(self, placement: Any, /) -> dict[str, str]:
                raise KeyError("oh")

        async with rig(plugins=[Broken()]) as house:
            said = await self.handled(house, plan("a"), "broken")
        assert said.startswith("Execution failed: strategy 'broken' raised KeyError")

    async def test_cancellation_comes_through_and_resources_can_be_cleaned_up(self) -> None:
        async with rig() as house:
            house.transport.script("a", hang)
            constellation = plan("a")
            async with anyio.create_task_group() as group:
                group.start_soon(self.handled, house, constellation)
                await until(constellation.get_running_tasks)
                group.cancel_scope.cancel()
            assert getattr(house, "said", None) == "Orchestration cancelled"
            assert house.device().sessions == 0
        assert constellation.tasks["a"].status == "cancelled"

    @pytest.mark.parametrize("anyio_backend", ["asyncio"], indirect=True)  # the document's own words
    async def test_a_cancelled_task_of_asyncio_raises_what_asyncio_raises(self) -> None:
        async with rig() as house:
            house.transport.script("a", hang)
            constellation = plan("a")
            call = asyncio.ensure_future(house.run(constellation))
            await until(constellation.get_running_tasks)
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
            assert constellation.tasks["a"].status == "cancelled"
            again = plan("a")
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(house.run(again), 5)
            assert again.tasks["a"].status == "cancelled"
            assert house.slots_are_free()

    async def test_a_task_that_times_out_is_a_timeout_error_on_its_result(self) -> None:
        async with rig() as house:
            house.transport.script("a", hang)
            result = await house.run(plan("a", timeout=5))
        assert isinstance(result["results"]["a"].error, TimeoutError)
