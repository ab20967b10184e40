"""Two orchestrators in one process do not see each other's plugins; and they can share devices."""

from __future__ import annotations

from collections.abc import Mapping

import anyio
import pytest

from galaxy_core import (
    ConstellationDeviceManager,
    Device,
    EventBus,
    EventType,
    InvalidPlanError,
    Placement,
    RunInfo,
    RunRefusedError,
    TaskConstellationOrchestrator,
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
