"""Two orchestrators in one process do not see each other's plugins; and they can share devices."""

from __future__ import annotations

from collections.abc import Mapping

import anyio
import pytest

from galaxy_core import (
    ConstellationDeviceManager,
    ConstellationEvent,
    ConstellationModificationSynchronizer,
    Device,
    Event,
    EventBus,
    EventType,
    InvalidPlanError,
    Placement,
    RunError,
    RunInfo,
    RunRefusedError,
    TaskConstellation,
    TaskConstellationOrchestrator,
    TaskEvent,
    UnknownStrategyError,
    UnknownTransportError,
    hookimpl,
)
from galaxy_core.testing.fakes import FakeTransport, Recorder, takes

from .fakes import plan, rig

pytestmark = pytest.mark.anyio


class Plugin:
    """A strategy, a policy and an observer in one."""

    name = "mine"

    def __init__(self) -> None:
        self.recorder = Recorder()

    @hookimpl
    def galaxy_strategies(self) -> list[Plugin]:
        return [self]

    @hookimpl
    def galaxy_observers(self) -> list[Recorder]:
        return [self.recorder]

    @hookimpl
    def galaxy_review_run(self, run: RunInfo) -> str | None:
        return "the word" if run.name == "forbidden" else None

    def assign(self, placement: Placement, /) -> Mapping[str, str]:
        return {task.task_id: task.fitting[-1] for task in placement.tasks}


async def orchestrator(
    *plugins: object, bus: EventBus | None = None
) -> tuple[TaskConstellationOrchestrator, FakeTransport]:
    transport = FakeTransport()
    manager = ConstellationDeviceManager(plugins=[transport, *plugins], event_bus=bus or EventBus())
    for device_id in ("d1", "d2"):
        manager.add_device(Device(device_id, "fake"))
    return TaskConstellationOrchestrator(manager, event_bus=manager.event_bus), transport


async def test_strategies_hooks_and_transports_are_each_ones_own() -> None:
    with_plugin, _ = await orchestrator(Plugin())
    without, _ = await orchestrator()
    assert (await with_plugin.orchestrate_constellation(plan("a"), assignment_strategy="mine"))["status"] == "completed"
    with pytest.raises(UnknownStrategyError, match="mine"):
        await without.orchestrate_constellation(plan("a"), assignment_strategy="mine")
    with pytest.raises(RunRefusedError, match="the word"):
        await with_plugin.orchestrate_constellation(plan("a", constellation_id="forbidden"), None, "mine")
    result = await without.orchestrate_constellation(plan("a", constellation_id="forbidden"), None, "round_robin")
    assert result["status"] == "completed"


async def test_transports_of_one_name_do_not_meet() -> None:
    one, first = await orchestrator()
    other, second = await orchestrator()
    await one.orchestrate_constellation(plan("a"), assignment_strategy="round_robin")
    await other.orchestrate_constellation(plan("b"), assignment_strategy="round_robin")
    assert (first.device("d1").started, second.device("d1").started) == (["a"], ["b"])
    with pytest.raises(UnknownTransportError):
        ConstellationDeviceManager(event_bus=EventBus()).add_device(Device("x", "fake"))


async def test_a_plugins_observer_hears_only_the_runs_of_its_own_orchestrator_on_a_shared_bus() -> None:
    bus, plugin = EventBus(), Plugin()
    with_plugin, _ = await orchestrator(plugin, bus=bus)
    without, _ = await orchestrator(bus=bus)
    everything = Recorder()
    bus.subscribe(everything)
    await with_plugin.orchestrate_constellation(plan("mine"), assignment_strategy="mine")
    await without.orchestrate_constellation(plan("theirs"), assignment_strategy="round_robin")
    assert plugin.recorder.story_of("mine") == ["task_started", "task_completed"]
    assert plugin.recorder.story_of("theirs") == []
    assert everything.story_of("theirs") == ["task_started", "task_completed"]


@pytest.mark.parametrize(
    ("name", "strategy", "why"),
    [
        ("forbidden", "mine", RunRefusedError),
        ("good", "nobody's", UnknownStrategyError),
        ("good", None, InvalidPlanError),
    ],
)
async def test_a_run_that_is_refused_leaves_no_observer_of_a_plugin_on_the_bus(
    name: str, strategy: str | None, why: type[Exception]
) -> None:
    bus, plugin = EventBus(), Plugin()
    with_plugin, transport = await orchestrator(plugin, bus=bus)
    refused = plan("a", constellation_id=name)
    if strategy is None:
        refused.start_task("a")
    with pytest.raises(why):
        await with_plugin.orchestrate_constellation(refused, assignment_strategy=strategy)
    assert not bus.wants(EventType.TASK_STARTED)

    transport.script("good", takes(2))
    async with anyio.create_task_group() as group:  # nor does it take them away from a run that goes on
        group.start_soon(with_plugin.orchestrate_constellation, plan("good"), None, "mine")
        await anyio.sleep(1)
        with pytest.raises(RunRefusedError):
            await with_plugin.orchestrate_constellation(plan("a", constellation_id="forbidden"), None, "mine")
        assert bus.is_subscribed(plugin.recorder, EventType.TASK_COMPLETED)
    assert plugin.recorder.story_of("good") == ["task_started", "task_completed"]
    assert not bus.wants(EventType.TASK_STARTED)


async def test_two_orchestrators_over_one_device_manager_share_its_slots() -> None:
    async with rig("d1") as house:
        house.transport.default = takes(1)
        other = TaskConstellationOrchestrator(house.manager, event_bus=EventBus())
        async with anyio.create_task_group() as group:
            group.start_soon(house.run, plan("a b", constellation_id="one"))
            group.start_soon(other.orchestrate_constellation, plan("c d", constellation_id="two"), None, "round_robin")
        assert anyio.current_time() == pytest.approx(4)
        assert house.slots_are_free()
    assert house.device().most_running == 1


class TestTwoRunsOfOneId:
    """On one bus, each with a synchronizer that hears both."""

    async def pair(
        self, bus: EventBus
    ) -> list[tuple[TaskConstellationOrchestrator, FakeTransport, ConstellationModificationSynchronizer]]:
        houses = []
        for _ in range(2):
            one, transport = await orchestrator(bus=bus)
            synchronizer = ConstellationModificationSynchronizer(one)
            one.set_modification_synchronizer(synchronizer)
            bus.subscribe(synchronizer)
            houses.append((one, transport, synchronizer))
        return houses

    @pytest.mark.parametrize("later", [0, 5], ids=["together", "one after the other"])
    async def test_do_not_wait_for_each_others_ends(self, later: float) -> None:
        (one, fast, first), (other, slow, second) = await self.pair(EventBus())
        fast.script("a", takes(1))
        slow.script("a", takes(50))
        mine = plan("a b", "a>b", constellation_id="same")
        theirs = TaskConstellation.from_dict(mine.to_dict())
        async with anyio.create_task_group() as group:
            group.start_soon(one.orchestrate_constellation, mine, None, "round_robin")
            await anyio.sleep(later)
            group.start_soon(other.orchestrate_constellation, theirs, None, "round_robin")
            await anyio.sleep(10)
            assert not first.has_pending_modifications()
            assert not second.has_pending_modifications()
            assert (second.get_current_constellation() is theirs, first.get_current_constellation() is mine) == (
                True,
            ) * 2
        assert anyio.current_time() == pytest.approx(50 + later)
        assert second.get_statistics()["total_modifications"] == 0

    async def test_are_edited_each_by_its_own_answers(self) -> None:
        (one, fast, first), (other, slow, second) = await self.pair(bus := EventBus())
        fast.default = slow.default = takes(1)
        mine = plan("a b", "a>b", constellation_id="same")
        theirs = TaskConstellation.from_dict(mine.to_dict())

        async def answer(event: TaskEvent) -> None:
            data = {"on_task_id": [event.task_id], "new_constellation": mine}
            kind = EventType.CONSTELLATION_MODIFIED
            await bus.publish_event(ConstellationEvent(kind, "agent", 0.0, data, "same", "executing"))

        class Agent:
            async def on_event(self, event: Event) -> None:
                if isinstance(event, TaskEvent) and event.data["constellation"] is mine:
                    await answer(event)

        bus.subscribe(Agent(), {EventType.TASK_COMPLETED})
        with first.editor("same"):
            async with anyio.create_task_group() as group:
                group.start_soon(one.orchestrate_constellation, mine, None, "round_robin")
                group.start_soon(other.orchestrate_constellation, theirs, None, "round_robin")
        assert anyio.current_time() == pytest.approx(2)
        assert (first.get_statistics()["completed_modifications"], second.get_statistics()["total_modifications"]) == (
            2,
            0,
        )

    async def test_of_a_publisher_that_names_the_id_alone_each_synchronizer_hears(self) -> None:
        (_, _, first), (_, _, second) = await self.pair(bus := EventBus())
        data = {"constellation_id": "same"}
        await bus.publish_event(TaskEvent(EventType.TASK_COMPLETED, "orchestrator_same", 0.0, data, "a", "completed"))
        assert first.get_pending_task_ids() == second.get_pending_task_ids() == ["a"]

    async def test_a_plan_that_nobody_runs_may_be_told_of_by_anybody(self) -> None:
        (_, _, first), _ = await self.pair(bus := EventBus())
        data = {"constellation_id": "same", "constellation": plan("a", constellation_id="same")}
        await bus.publish_event(TaskEvent(EventType.TASK_COMPLETED, "test", 0.0, data, "a", "completed"))
        assert first.get_pending_task_ids() == ["a"]


async def test_a_plan_that_runs_already_can_be_run_as_a_copy() -> None:
    one, transport = await orchestrator()
    other, _ = await orchestrator()
    transport.default = takes(5)
    running = plan("a b", "a>b")
    async with anyio.create_task_group() as group:
        group.start_soon(one.orchestrate_constellation, running, None, "round_robin")
        await anyio.sleep(6)
        for again in (one, other):
            with pytest.raises(RunError, match=r"an id of its own: constellation\.copy\(\)"):
                await again.orchestrate_constellation(running, None, "round_robin")
        copy = running.copy()
        result = await other.orchestrate_constellation(copy, None, "round_robin")
    assert copy.constellation_id != running.constellation_id
    assert (result["status"], list(result["results"])) == ("completed", ["a", "b"])
