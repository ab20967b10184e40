"""ConstellationManager: the facts that callers of its API rely on, and rows 16 to 19 of the table of behaviours."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import anyio
import pytest

from galaxy_core import (
    AssignmentError,
    Command,
    ConstellationDeviceManager,
    ConstellationManager,
    Device,
    DeviceType,
    EventBus,
    EventType,
    ImmutableError,
    NoDevicesError,
    NoFittingDeviceError,
    Placement,
    StrategyError,
    TaskConstellation,
    TaskStar,
    UnknownDeviceError,
    UnknownStrategyError,
    UnknownTaskError,
)
from galaxy_core.testing.fakes import FakeTransport, Recorder, takes

from .fakes import DeviceInfo, ForeignManager, Rig, plan, rig, until

pytestmark = pytest.mark.anyio
STRATEGIES = ["round_robin", "capability_match", "load_balance"]


async def connected(house: Rig) -> ConstellationManager:
    await house.manager.connect_all()
    return house.orchestrator.manager


def device(device_id: str, kind: str | None = None, *capabilities: str, slots: int = 1) -> Device:
    return Device(device_id, "fake", device_type=kind, capabilities=frozenset(capabilities), max_concurrency=slots)


class Fixed:
    """A strategy that says what it is told to say."""

    def __init__(self, answer: Any, name: str = "fixed") -> None:
        self.name, self.answer = name, answer
        self.asked: list[Placement] = []

    def assign(self, placement: Placement, /) -> Mapping[str, str]:
        self.asked.append(placement)
        answer: Mapping[str, str] = self.answer(placement) if callable(self.answer) else self.answer
        return answer


class TestAssigning:
    @pytest.mark.parametrize("strategy", STRATEGIES)
    async def test_every_strategy_works_with_the_real_device_manager(self, strategy: str) -> None:  # row 16
        async with rig("d1", "d2") as house:
            constellation = plan("a b c d")
            assignments = await (await connected(house)).assign_devices_automatically(constellation, strategy)
        assert Counter(assignments.values()) == {"d1": 2, "d2": 2}
        assert {task_id: task.target_device_id for task_id, task in constellation.tasks.items()} == assignments

    async def test_the_default_is_round_robin_in_the_order_of_registration(self) -> None:
        async with rig("d1", "d2", "d3") as house:
            assignments = await (await connected(house)).assign_devices_automatically(plan("a b c d"))
        assert assignments == {"a": "d1", "b": "d2", "c": "d3", "d": "d1"}

    async def test_busy_devices_are_available_and_their_load_is_what_a_strategy_sees(self) -> None:  # row 16
        async with rig("d1", "d2") as house:
            manager = await connected(house)
            running = plan("x", target_device_id="d1")
            house.transport.script("x", takes(5))
            async with anyio.create_task_group() as group:
                group.start_soon(house.run, running, None)
                await until(running.get_running_tasks)
                assignments = await manager.assign_devices_automatically(plan("a b c"), "load_balance")
        assert Counter(assignments.values()) == {"d1": 1, "d2": 2}

    @pytest.mark.parametrize("strategy", STRATEGIES)
    async def test_no_strategy_is_kept_from_a_busy_device(self, strategy: str) -> None:  # row 16
        async with rig() as house:
            manager = await connected(house)
            running = plan("x", target_device_id="d1")
            house.transport.script("x", takes(5))
            async with anyio.create_task_group() as group:
                group.start_soon(house.run, running, None)
                await until(running.get_running_tasks)
                assert await manager.assign_devices_automatically(plan("a"), strategy) == {"a": "d1"}

    async def test_hard_requirements_hold_with_every_strategy(self) -> None:  # row 17
        devices = (device("phone", "android", "camera"), device("pc", "windows"), device("old", "android"))
        async with rig(*devices) as house:
            for strategy in STRATEGIES:
                constellation = TaskConstellation()
                constellation.add_task(TaskStar("photo", requires={"camera"}))
                constellation.add_task(TaskStar("any android", device_type=DeviceType.ANDROID))
                constellation.add_task(TaskStar("excel", device_type=DeviceType.WINDOWS))
                placed = await (await connected(house)).assign_devices_automatically(constellation, strategy)
                assert placed["photo"] == "phone"
                assert placed["any android"] in {"phone", "old"}
                assert placed["excel"] == "pc"

    async def test_capability_match_takes_the_closest_fit_and_spreads_evenly(self) -> None:  # row 17
        devices = [device(f"w{i}", "windows") for i in (1, 2)] + [device("rich", "windows", "gpu", "camera")]
        async with rig(*devices) as house:
            constellation = plan("a b c d", device_type=DeviceType.WINDOWS)
            placed = await (await connected(house)).assign_devices_automatically(constellation, "capability_match")
        assert Counter(placed.values()) == {"w1": 2, "w2": 2}

    async def test_what_fits_nowhere_is_an_error_that_says_what_each_device_lacks(self) -> None:  # row 17
        async with rig(device("pc", "windows", "camera"), device("phone", "android")) as house:
            constellation = plan("a", device_type=DeviceType.ANDROID, requires={"camera"})
            with pytest.raises(NoFittingDeviceError) as caught:
                await (await connected(house)).assign_devices_automatically(constellation, "round_robin")
        assert caught.value.missing == {"pc": "is windows, not android", "phone": "lacks camera"}
        assert "'a'" in str(caught.value)
        assert constellation.tasks["a"].target_device_id is None

    async def test_load_balance_counts_what_other_plans_hold(self) -> None:  # row 18
        async with rig("d1", "d2") as house:
            manager = await connected(house)
            first = plan("a b c", target_device_id="d1")
            manager.register_constellation(first)
            placed = await manager.assign_devices_automatically(plan("d e"), "load_balance")
            assert placed == {"d": "d2", "e": "d2"}

    async def test_load_balance_counts_what_it_assigned_before(self) -> None:  # row 18
        async with rig("d1", "d2") as house:
            manager = await connected(house)
            plans = [plan("a"), plan("b"), plan("c"), plan("d")]
            for constellation in plans:
                await manager.assign_devices_automatically(constellation, "load_balance")
            assert Counter(one.tasks[one.get_topological_order()[0]].target_device_id for one in plans) == {
                "d1": 2,
                "d2": 2,
            }

    async def test_load_balance_weighs_by_known_costs(self) -> None:  # row 18
        async with rig("d1", "d2") as house:
            constellation = plan("a b c d")
            constellation.add_task(TaskStar("long", description="x", estimate_s=4.0))
            placed = await (await connected(house)).assign_devices_automatically(constellation, "load_balance")
        alone = placed["long"]
        assert [task_id for task_id, device_id in placed.items() if device_id == alone] == ["long"]

    async def test_pins_hold(self) -> None:  # row 19
        async with rig("d1", "d2") as house:
            constellation = plan("a b c")
            constellation.tasks["b"].target_device_id = "d2"
            for strategy in STRATEGIES:
                placed = await (await connected(house)).assign_devices_automatically(constellation, strategy)
                assert placed["b"] == "d2"

    async def test_a_pin_on_an_unknown_device_is_an_error(self) -> None:
        async with rig() as house:
            with pytest.raises(UnknownDeviceError, match="Task 'a' is pinned to it: Device d9 is not registered"):
                await (await connected(house)).assign_devices_automatically(plan("a", target_device_id="d9"))

    async def test_preferences_are_kept(self) -> None:
        async with rig("d1", "d2") as house:
            placed = await (await connected(house)).assign_devices_automatically(
                plan("a b c"), "round_robin", {"c": "d2"}
            )
        assert placed["c"] == "d2"

    @pytest.mark.parametrize(
        ("preferences", "error", "says"),
        [
            ({"b": "d1", "a": "d9"}, UnknownDeviceError, "Preference of task 'a': Device d9"),
            ({"b": "d1", "a": "off"}, AssignmentError, "prefers device 'off', which is disconnected"),
            ({"b": "d1", "a": "pc"}, AssignmentError, "prefers device 'pc', which is windows, not android"),
            ({"b": "d1", "nobody": "d1"}, UnknownTaskError, "nobody"),
        ],
    )
    async def test_a_preference_that_cannot_be_is_an_error_and_nothing_is_assigned(  # row 19
        self, preferences: dict[str, str], error: type[Exception], says: str
    ) -> None:
        async with rig(device("d1", "android"), device("off", "android"), device("pc", "windows")) as house:
            manager = await connected(house)
            await house.manager.disconnect_device("off")
            constellation = plan("b a", device_type=DeviceType.ANDROID)
            with pytest.raises(error, match=says):
                await manager.assign_devices_automatically(constellation, "round_robin", preferences)
            assert [task.target_device_id for task in constellation.tasks.values()] == [None, None]

    @pytest.mark.parametrize(
        ("preferred", "why"),
        [
            ("off", "is disconnected"),
            ("pc", "is windows, not android"),
            ("d9", "is not registered"),
        ],
    )
    async def test_a_preference_that_cannot_be_is_an_event_if_that_is_asked_for(  # row 19
        self, preferred: str, why: str
    ) -> None:
        async with rig(device("d1", "android"), device("off", "android"), device("pc", "windows")) as house:
            await connected(house)
            await house.manager.disconnect_device("off")
            constellation = plan("a b", device_type=DeviceType.ANDROID, constellation_id="c1")
            placed = await house.orchestrator.assign_devices_automatically(
                constellation, "round_robin", {"a": preferred, "b": "d1"}, insist=False
            )
            await house.bus.drain()
        assert placed == {"a": "d1", "b": "d1"}
        (event,) = house.recorder.of(EventType.TASK_ASSIGNED)
        assert (event.task_id, event.status, event.source_id) == ("a", "pending", "constellation_manager")
        assert event.data == {
            "constellation_id": "c1",
            "device_id": "d1",
            "preferred_device_id": preferred,
            "reason": why,
        }

    async def test_a_manager_of_ones_own_tells_that_on_the_bus_of_its_devices_or_its_own(self) -> None:
        async with rig() as house:
            await house.manager.connect_all()
            bus, recorder = EventBus(), Recorder()
            bus.subscribe(recorder)
            for manager in (ConstellationManager(house.manager), ConstellationManager(house.manager, event_bus=bus)):
                await manager.assign_devices_automatically(plan("a"), "round_robin", {"a": "d9"}, insist=False)
            await house.bus.drain()
            await bus.drain()
        assert len(house.recorder.of(EventType.TASK_ASSIGNED)) == len(recorder.of(EventType.TASK_ASSIGNED)) == 1

    async def test_what_is_preferred_does_not_move_a_pin(self) -> None:  # row 19
        async with rig("d1", "d2") as house:
            manager = await connected(house)
            constellation = plan("a b", target_device_id="d2")
            with pytest.raises(
                AssignmentError, match="prefers device 'd1', which is not 'd2', to which the task is pin"
            ):
                await manager.assign_devices_automatically(constellation, "round_robin", {"b": "d1"})
            assert constellation.tasks["b"].target_device_id == "d2"
            placed = await manager.assign_devices_automatically(
                constellation, "round_robin", {"b": "d1", "a": "d2"}, insist=False
            )
            await house.bus.drain()
        assert placed == {"a": "d2", "b": "d2"}
        assert [event.task_id for event in house.recorder.of(EventType.TASK_ASSIGNED)] == ["b"]

    async def test_started_tasks_are_left_alone(self) -> None:  # row 19
        async with rig("d1", "d2") as house:
            constellation = plan("a b c")
            constellation.tasks["a"].start_execution()
            constellation.mark_task_completed("b", True)
            placed = await (await connected(house)).assign_devices_automatically(constellation)
        assert placed == {"c": "d1"}
        assert constellation.tasks["a"].target_device_id is None

    async def test_assigning_again_places_anew_what_a_strategy_placed(self) -> None:
        async with rig("d1", "d2") as house:
            manager = await connected(house)
            constellation = plan("a b c d")
            await manager.assign_devices_automatically(constellation, "round_robin")
            await house.manager.disconnect_device("d1")
            placed = await manager.assign_devices_automatically(constellation, "round_robin")
        assert set(placed.values()) == {"d2"}

    async def test_a_preview_counts_devices_that_are_registered_but_not_connected(self) -> None:
        async with rig("d1", "d2") as house:
            placed = await house.orchestrator.manager.assign_devices_automatically(plan("a b"), available=False)
        assert placed == {"a": "d1", "b": "d2"}
        assert house.device("d1").connects == 0


class TestErrors:
    async def test_without_a_device_manager(self) -> None:
        with pytest.raises(NoDevicesError, match="Device manager not available for device assignment"):
            await ConstellationManager().assign_devices_automatically(plan("a"))

    async def test_without_devices(self) -> None:
        manager = ConstellationManager(ConstellationDeviceManager(event_bus=EventBus()))
        with pytest.raises(ValueError, match="No available devices for assignment"):
            await manager.assign_devices_automatically(plan("a"))

    async def test_devices_that_cannot_be_reached_are_told_with_the_reason_whatever_their_transport_takes(self) -> None:
        transport = FakeTransport("afar", requests=frozenset({"run"}))  # as remote ones: no task without a request
        transport.device("d").plugged = False
        async with rig(Device("d", "afar"), plugins=[transport]) as house:
            with pytest.raises(NoDevicesError, match=r"assignment: device 'd' is \w+ \(") as caught:
                await house.run(plan("a", request=Command(["true"])))
        assert "take" not in str(caught.value)
        assert str(caught.value).count("'d'") == 1

    async def test_an_unknown_strategy(self) -> None:
        async with rig() as house:
            with pytest.raises(UnknownStrategyError, match="Unknown assignment strategy: fastest"):
                await (await connected(house)).assign_devices_automatically(plan("a"), "fastest")

    async def test_the_strategy_is_looked_at_last(self) -> None:
        with pytest.raises(ValueError, match="Device manager not available"):
            await ConstellationManager().assign_devices_automatically(plan("a"), "fastest")

    async def test_a_device_manager_that_raises_is_the_cause(self) -> None:
        foreign = ForeignManager()
        broken = OSError("registry down")

        def raises() -> list[str]:
            raise broken

        foreign.get_connected_devices = raises  # type: ignore[method-assign]
        with pytest.raises(ValueError, match="No available devices") as caught:
            await ConstellationManager(foreign).assign_devices_automatically(plan("a"))
        assert caught.value.__cause__ is broken

    @pytest.mark.parametrize(
        ("answer", "says"),
        [
            ({}, "left task 'a' without a device"),
            ({"a": "elsewhere"}, "put task 'a' on 'elsewhere', where it does not fit"),
            ("d1", "returned str"),
            (None, "returned NoneType"),
        ],
    )
    async def test_a_strategy_that_returns_rubbish_is_named_and_nothing_is_assigned(
        self, answer: Any, says: str
    ) -> None:
        async with rig(plugins=[Fixed(answer)]) as house:
            constellation = plan("a")
            with pytest.raises(StrategyError, match=f"strategy 'fixed' {says}"):
                await (await connected(house)).assign_devices_automatically(constellation, "fixed")
            assert constellation.tasks["a"].target_device_id is None

    async def test_a_strategy_that_raises_is_named_and_its_error_chained(self) -> None:
        boom = ZeroDivisionError("of course")

        def explode(placement: Placement) -> Mapping[str, str]:
            raise boom

        async with rig(plugins=[Fixed(explode)]) as house:
            with pytest.raises(RuntimeError, match="strategy 'fixed' raised ZeroDivisionError") as caught:
                await (await connected(house)).assign_devices_automatically(plan("a"), "fixed")
        assert caught.value.__cause__ is boom


class TestWhatAStrategySees:
    async def test_tasks_devices_loads_and_links(self) -> None:
        strategy = Fixed(lambda placement: {task.task_id: task.fitting[0] for task in placement.tasks})
        devices = (device("phone", "android", "camera", slots=2), device("pc", "windows"))
        async with rig(*devices, plugins=[strategy]) as house:
            constellation = plan("a b", "a>b", device_type=DeviceType.ANDROID, requires={"camera"}, estimate_s=3.0)
            await (await connected(house)).assign_devices_automatically(constellation, "fixed")
        (placement,) = strategy.asked
        assert [(task.task_id, task.fitting, task.estimate_s) for task in placement.tasks] == [
            ("a", ("phone",), 3.0),
            ("b", ("phone",), 3.0),
        ]
        assert list(placement.devices) == ["phone"]
        load = placement.devices["phone"]
        assert (load.device_type, load.capabilities, load.max_concurrency) == ("android", frozenset({"camera"}), 2)
        assert (load.running, load.queued, load.assigned, load.assigned_s) == (0, 0, 0, 0.0)
        assert dict(placement.prerequisites) == {"b": ["a"]}

    async def test_pinned_tasks_of_the_plan_are_load_and_not_offered(self) -> None:
        strategy = Fixed(lambda placement: {task.task_id: task.fitting[0] for task in placement.tasks})
        async with rig("d1", plugins=[strategy]) as house:
            constellation = plan("a b")
            constellation.tasks["a"].target_device_id = "d1"
            await (await connected(house)).assign_devices_automatically(constellation, "fixed")
        (placement,) = strategy.asked
        assert [task.task_id for task in placement.tasks] == ["b"]
        assert placement.devices["d1"].assigned == 1


class TestSingleAssignments:
    def test_reassigning_pins(self) -> None:
        manager, constellation = ConstellationManager(), plan("a")
        assert manager.reassign_task_device(constellation, "a", "wherever") is True
        assert constellation.tasks["a"].target_device_id == "wherever"
        assert constellation.tasks["a"].is_pinned
        assert manager.reassign_task_device(constellation, "nobody", "d1") is False

    def test_a_started_task_is_not_reassigned(self) -> None:
        constellation = plan("a")
        constellation.tasks["a"].start_execution()
        with pytest.raises(ImmutableError, match="Cannot modify device assignment of running task a"):
            ConstellationManager().reassign_task_device(constellation, "a", "d1")

    def test_clearing_counts(self) -> None:
        constellation = plan("a b c")
        constellation.tasks["a"].target_device_id = constellation.tasks["b"].target_device_id = "d1"
        manager = ConstellationManager()
        assert manager.clear_device_assignments(constellation) == 2
        assert manager.clear_device_assignments(constellation) == 0

    def test_validation_says_which_tasks_have_no_device(self) -> None:
        constellation = plan("a b", target_device_id="d1")
        manager = ConstellationManager()
        assert manager.validate_constellation_assignments(constellation) == (True, [])
        constellation.tasks["b"].target_device_id = None
        assert manager.validate_constellation_assignments(constellation) == (
            False,
            ["Task 'b' has no device assignment"],
        )

    async def test_validation_says_which_devices_are_unknown(self) -> None:
        async with rig("d1") as house:
            valid, errors = house.orchestrator.manager.validate_constellation_assignments(
                plan("a", target_device_id="d9")
            )
        assert not valid
        assert "'a'" in errors[0]
        assert "'d9'" in errors[0]

    def test_utilization_counts_tasks_by_device(self) -> None:
        constellation = plan("a b c d")
        for task_id, device_id in {"a": "d1", "b": "d1", "c": "d2"}.items():
            constellation.tasks[task_id].target_device_id = device_id
        assert ConstellationManager().get_device_utilization(constellation) == {"d1": 2, "d2": 1}

    async def test_the_info_of_a_tasks_device(self) -> None:
        async with rig(device("phone", "android", "gps", "camera")) as house:
            manager = house.orchestrator.manager
            constellation = plan("a b", target_device_id="phone")
            constellation.tasks["b"].target_device_id = "d9"
            assert manager.get_task_device_info(constellation, "a") == {
                "device_id": "phone",
                "device_type": "android",
                "capabilities": ["camera", "gps"],
                "metadata": {},
            }
            assert manager.get_task_device_info(constellation, "b") is None
            assert manager.get_task_device_info(constellation, "nobody") is None
            constellation.tasks["a"].target_device_id = None
            assert manager.get_task_device_info(constellation, "a") is None


class TestManaging:
    async def test_a_constellation_is_registered_listed_and_forgotten(self) -> None:
        manager, constellation = ConstellationManager(), plan("a b", "a>b", constellation_id="c1")
        assert manager.register_constellation(constellation, {"owner": "me"}) == "c1"
        assert manager.get_constellation("c1") is constellation
        assert manager.list_constellations() == [
            {
                "constellation_id": "c1",
                "name": "c1",
                "state": "ready",
                "task_count": 2,
                "dependency_count": 1,
                "metadata": {"owner": "me"},
            }
        ]
        assert manager.unregister_constellation("c1") is True
        assert manager.unregister_constellation("c1") is False
        assert manager.get_constellation("c1") is None
        assert await manager.get_constellation_status("c1") is None
        assert manager.list_constellations() == []

    async def test_a_status_lists_the_ids_of_tasks(self) -> None:
        manager, constellation = ConstellationManager(), plan("a b c d", constellation_id="c1")
        constellation.mark_task_completed("a", True)
        constellation.mark_task_completed("b", False)
        constellation.tasks["c"].start_execution()
        manager.register_constellation(constellation)
        status = await manager.get_constellation_status("c1")
        assert status is not None
        statistics = status.pop("statistics")
        assert statistics["total_tasks"] == 4
        assert status == {
            "constellation_id": "c1",
            "name": "c1",
            "state": "executing",
            "ready_tasks": ["d"],
            "running_tasks": ["c"],
            "completed_tasks": ["a"],
            "failed_tasks": ["b"],
            "metadata": {},
        }

    async def test_available_devices_are_those_that_are_connected(self) -> None:
        async with rig(device("phone", "android", "gps"), "d2") as house:
            manager = house.orchestrator.manager
            assert await manager.get_available_devices() == []
            await house.manager.connect_device("phone")
            assert await manager.get_available_devices() == [
                {
                    "device_id": "phone",
                    "device_type": "android",
                    "capabilities": ["gps"],
                    "status": "connected",
                    "metadata": {},
                }
            ]
            assert await house.orchestrator.get_available_devices() == await manager.get_available_devices()
        assert await ConstellationManager().get_available_devices() == []

    async def test_the_type_of_an_available_device_is_always_text(self) -> None:
        async with rig("untyped") as house:
            await house.manager.connect_all()
            (info,) = await house.orchestrator.get_available_devices()
        assert info["device_type"] == "unknown"

    async def test_the_order_is_that_of_the_foreign_manager(self) -> None:
        foreign = ForeignManager(z=DeviceInfo("linux"), a=DeviceInfo("android", ["gps"], room=1))
        devices = await ConstellationManager(foreign).get_available_devices()
        assert [one["device_id"] for one in devices] == ["z", "a"]
        assert devices[1] == {
            "device_id": "a",
            "device_type": "android",
            "capabilities": ["gps"],
            "status": "connected",
            "metadata": {"room": 1},
        }
