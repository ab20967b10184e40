"""What the kernel asks of strategies while a plan runs, early and late binding, and what it does when they break."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import anyio
import pytest

from galaxy_core import (
    Completed,
    Device,
    DeviceLoad,
    DeviceLostError,
    Effect,
    EventType,
    NoFittingDeviceError,
    Placement,
    StrategyError,
    TaskPriority,
    TaskStar,
    TaskToPlace,
)
from galaxy_core.testing.fakes import takes

from .fakes import link, plan, rig, until

pytestmark = pytest.mark.anyio


class First:
    """Puts everything on the first device that fits, and keeps what it was asked."""

    name = "first"

    def __init__(self) -> None:
        self.asked: list[list[str]] = []

    def assign(self, placement: Placement, /) -> Mapping[str, str]:
        self.asked.append([task.task_id for task in placement.tasks])
        return {task.task_id: task.fitting[0] for task in placement.tasks}


class Late(First):
    """Binds late: each ready task gets the first of its free devices."""

    name = "late"

    def __init__(self) -> None:
        super().__init__()
        self.offers: list[list[tuple[str, tuple[str, ...]]]] = []
        self.loads: list[dict[str, int]] = []

    def choose(self, ready: Sequence[TaskToPlace], free: Mapping[str, DeviceLoad], /) -> Sequence[tuple[str, str]]:
        self.offers.append([(task.task_id, task.fitting) for task in ready])
        self.loads.append({device_id: load.running for device_id, load in free.items()})
        taken = {device_id: load.max_concurrency - load.running for device_id, load in free.items()}
        pairs = []
        for task in ready:
            for device_id in task.fitting:
                if taken[device_id]:
                    taken[device_id] -= 1
                    pairs.append((task.task_id, device_id))
                    break
        return pairs


class Saying(Late):
    """A late-binding strategy that says what it is told to say."""

    def __init__(self, say: Any) -> None:
        super().__init__()
        self.say = say

    def choose(self, ready: Sequence[TaskToPlace], free: Mapping[str, DeviceLoad], /) -> Sequence[tuple[str, str]]:
        answer: Sequence[tuple[str, str]] = self.say(ready, free)
        return answer


class TestEarly:
    async def test_the_whole_plan_is_placed_at_the_start_in_one_call(self) -> None:
        strategy = First()
        async with rig("d1", plugins=[strategy]) as house:
            await house.run(plan("a b c", "a>b b>c"), "first")
        assert strategy.asked == [["a", "b", "c"]]

    async def test_tasks_that_an_editor_adds_are_placed_when_they_are_ready(self) -> None:
        strategy = First()
        async with rig("d1", plugins=[strategy]) as house:
            house.transport.script("a", takes(1))
            constellation = plan("a")
            async with anyio.create_task_group() as group:
                group.start_soon(house.run, constellation, "first")
                await until(constellation.get_running_tasks)
                for task_id in ("b", "c"):
                    constellation.add_task(TaskStar(task_id, description="x"))
                constellation.add_dependency(link("b>c"))
        assert strategy.asked[0] == ["a"]
        assert sorted(task_id for asked in strategy.asked[1:] for task_id in asked) == ["b", "c"]
        assert house.device().started == ["a", "b", "c"]

    async def test_an_added_task_that_fits_nowhere_fails_and_says_what_is_missing(self) -> None:
        async with rig("d1", plugins=[First()]) as house:
            house.transport.script("a", takes(1))
            constellation = plan("a b", "a>b")
            async with anyio.create_task_group() as group:
                group.start_soon(house.run, constellation, "first")
                await until(constellation.get_running_tasks)
                constellation.add_task(TaskStar("odd", description="x", requires={"wings"}))
        error = constellation.tasks["odd"].error
        assert isinstance(error, NoFittingDeviceError)
        assert error.missing == {"d1": "lacks wings"}
        assert constellation.tasks["b"].status == "completed"

    async def test_devices_for_tasks_that_do_not_exist_are_passed_over_with_one_warning(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        class Generous(First):
            def assign(self, placement: Placement, /) -> Mapping[str, str]:
                return {**super().assign(placement), "nobody": "d1"}

        async with rig("d1", plugins=[Generous()]) as house:
            for name in ("one", "two"):
                result = await house.run(plan("a b", "a>b", constellation_id=name), "first")
                assert result["status"] == "completed"
        told = [text for text in caplog.messages if "'nobody'" in text]
        (warning,) = told
        assert warning == (
            "strategy 'first' gave devices to 1 more than the tasks that it was asked about, such as 'nobody': "
            "these are passed over"
        )

    async def test_a_strategy_that_breaks_in_the_middle_fails_what_it_was_asked_for_alone(self) -> None:
        class Breaking(First):
            def assign(self, placement: Placement, /) -> Mapping[str, str]:
                if self.asked:
                    raise ValueError("no more")
                return super().assign(placement)

        async with rig("d1", plugins=[Breaking()]) as house:
            house.transport.script("a", takes(1))
            constellation = plan("a b", "a>b")
            async with anyio.create_task_group() as group:
                group.start_soon(house.run, constellation, "first")
                await until(constellation.get_running_tasks)
                constellation.add_task(TaskStar("added", description="x"))
        assert isinstance(constellation.tasks["added"].error, StrategyError)
        assert constellation.tasks["b"].status == "completed"

    async def test_a_broken_strategy_refuses_the_run_before_anything_is_published(self) -> None:
        class Broken(First):
            def assign(self, placement: Placement, /) -> Mapping[str, str]:
                raise ValueError("at once")

        async with rig("d1", plugins=[Broken()]) as house:
            with pytest.raises(StrategyError, match="at once"):
                await house.run(plan("a"), "first")
        assert house.recorder.of(EventType.CONSTELLATION_STARTED) == []


class TestLate:
    async def test_ready_tasks_are_offered_with_the_devices_that_are_free(self) -> None:
        strategy = Late()
        async with rig("d1", "d2", plugins=[strategy]) as house:
            house.transport.default = takes(1)
            result = await house.run(plan("a b c d e"), "late")
            assert anyio.current_time() == pytest.approx(3)
        assert result["status"] == "completed"
        assert strategy.asked == []
        assert strategy.offers[0] == [("a", ("d1", "d2")), ("b", ("d1", "d2"))]
        assert all(len(offer) <= 2 for offer in strategy.offers)

    async def test_fitting_holds_free_devices_only(self) -> None:
        strategy = Late()
        async with rig("d1", "d2", plugins=[strategy]) as house:
            house.transport.script("long", takes(10))
            await house.run(plan("long a b c"), "late")
        assert all(fitting for offer in strategy.offers for _, fitting in offer)
        for offer, loads in zip(strategy.offers, strategy.loads, strict=True):
            assert all(set(fitting) <= set(loads) for _, fitting in offer)
        assert house.device("d1").started == ["long"]

    async def test_the_highest_priority_is_offered_first(self) -> None:
        strategy = Late()
        async with rig("d1", plugins=[strategy]) as house:
            constellation = plan("low1 low2")
            constellation.add_task(TaskStar("high", description="x", priority=TaskPriority.HIGH))
            await house.run(constellation, "late")
        assert house.device().started == ["high", "low1", "low2"]

    async def test_hard_requirements_hold(self) -> None:
        strategy = Late()
        camera = Device("cam", "fake", capabilities=frozenset({"camera"}))
        async with rig("d1", camera, plugins=[strategy]) as house:
            constellation = plan("a b")
            constellation.add_task(TaskStar("photo", description="x", requires={"camera"}))
            result = await house.run(constellation, "late")
        assert result["results"]["photo"].device_id == "cam"

    async def test_a_task_that_fits_nowhere_refuses_the_run(self) -> None:
        async with rig("d1", plugins=[Late()]) as house:
            with pytest.raises(NoFittingDeviceError, match="lacks wings"):
                await house.run(plan("a", requires={"wings"}), "late")
        assert house.recorder.of(EventType.CONSTELLATION_STARTED) == []

    async def test_pins_hold(self) -> None:
        async with rig("d1", "d2", plugins=[Late()]) as house:
            result = await house.run(plan("a b c", target_device_id="d2"), "late")
        assert {one.device_id for one in result["results"].values()} == {"d2"}

    async def test_two_runs_share_the_slots(self) -> None:
        async with rig("d1", "d2", plugins=[Late()]) as house:
            house.transport.default = takes(1)
            async with anyio.create_task_group() as group:
                for name in ("one", "two"):
                    group.start_soon(house.run, plan("a b c d", constellation_id=name), "late")
            assert anyio.current_time() == pytest.approx(4)
            assert house.slots_are_free()
        assert (house.device("d1").most_running, house.device("d2").most_running) == (1, 1)

    async def test_a_run_may_be_idle_while_another_has_all_slots(self) -> None:
        strategy = Late()
        async with rig("d1", plugins=[strategy]) as house:
            house.transport.script("long", takes(10))
            async with anyio.create_task_group() as group:
                group.start_soon(house.run, plan("long", constellation_id="one"), "late")
                await until(lambda: house.device().running)
                result = await house.run(plan("a", constellation_id="two"), "late")
        assert result["status"] == "completed"

    async def test_retries_and_lost_devices_work_as_with_early_binding(self) -> None:
        async with rig("d1", "d2", plugins=[Late()], reconnect_delay=3600) as house:
            house.transport.script("a", DeviceLostError("d1", "cable"), Completed(exit_code=1), Completed("at last"))
            result = await house.run(plan("a", retry_count=1, effect=Effect.READ), "late")
        assert (result["status"], result["results"]["a"].attempts) == ("completed", 3)

    @pytest.mark.parametrize(
        ("say", "why"),
        [
            (lambda ready, free: 1 / 0, "raised ZeroDivisionError"),
            (lambda ready, free: [("a", "elsewhere")], "chose 'elsewhere' for 'a'"),
            (lambda ready, free: [("nobody", "d1")], "chose 'd1' for 'nobody'"),
            (lambda ready, free: ["ab"], "chose 'ab'; wanted are pairs (task id, device id)"),
            (lambda ready, free: "ab", "returned 'ab' from `choose`; wanted are pairs"),
            (lambda ready, free: None, "returned None from `choose`; wanted are pairs"),
            (lambda ready, free: [("a", 1)], "chose ('a', 1); wanted are pairs"),
            (lambda ready, free: [("a",)], "chose ('a',); wanted are pairs"),
            (lambda ready, free: [], "chose none of"),
        ],
    )
    async def test_a_strategy_that_breaks_fails_the_tasks_that_wait_for_it(self, say: Any, why: str) -> None:
        async with rig("d1", plugins=[Saying(say)]) as house:
            result = await house.run(plan("a b c", "a~c"), "late")
            assert house.slots_are_free()
        assert result["status"] == "failed"
        for one in result["results"].values():
            assert isinstance(one.error, StrategyError)
            assert why in str(one.error)

    async def test_choosing_a_task_twice_starts_it_once(self) -> None:
        twice = Saying(lambda ready, free: [(ready[0].task_id, device_id) for device_id in free])
        async with rig("d1", "d2", plugins=[twice]) as house:
            await house.run(plan("a b"), "late")
        assert sorted(house.device("d1").started + house.device("d2").started) == ["a", "b"]

    async def test_a_strategy_may_leave_a_device_idle_while_another_works(self) -> None:
        def only_d1(ready: Sequence[TaskToPlace], free: Mapping[str, DeviceLoad]) -> list[tuple[str, str]]:
            return [(ready[0].task_id, "d1")] if "d1" in free else []

        async with rig("d1", "d2", plugins=[Saying(only_d1)]) as house:
            house.transport.default = takes(1)
            result = await house.run(plan("a b c"), "late")
        assert result["status"] == "completed"
        assert (house.device("d1").started, house.device("d2").started) == (["a", "b", "c"], [])
