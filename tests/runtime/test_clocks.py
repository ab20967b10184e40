"""Durations are measured by a clock that never steps, whatever becomes of the wall clock."""

from __future__ import annotations

from typing import Any

import anyio
import pytest

from galaxy_core import Clock, ConstellationDeviceManager, Device, EventBus, TaskConstellationOrchestrator, TaskStar
from galaxy_core.testing.fakes import FakeTransport, Recorder, takes

from .fakes import plan

pytestmark = pytest.mark.anyio


class Backwards:
    """A wall clock that is set back by ten seconds whenever somebody looks at it."""

    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        self.now -= 10
        return self.now


async def ran(clock: Clock) -> tuple[dict[str, Any], Recorder]:
    transport, bus, recorder = FakeTransport(), EventBus(), Recorder()
    transport.default = takes(3)
    bus.subscribe(recorder)
    async with ConstellationDeviceManager(plugins=[transport], event_bus=bus, clock=clock) as manager:
        manager.add_device(Device("d", "fake"))
        orchestrator = TaskConstellationOrchestrator(manager, event_bus=bus, clock=clock)
        result = await orchestrator.orchestrate_constellation(plan("a b"), assignment_strategy="load_balance")
        single = await manager.assign_task_to_device("s", "d", "")
        assert single.execution_time == pytest.approx(3)
    return result, recorder


async def test_a_wall_clock_that_is_set_back_changes_no_duration() -> None:
    result, recorder = await ran(Clock(wall=Backwards(), monotonic=anyio.current_time))
    assert result["results"]["a"].execution_time == pytest.approx(3)
    assert result["statistics"]["total_work"] == pytest.approx(6)
    assert result["statistics"]["execution_duration"] == pytest.approx(6)
    told = [event.timestamp for event in recorder.events if event.source_id.startswith("orchestrator_")]
    assert told == sorted(told)


async def test_time_stamps_begin_with_what_the_wall_clock_says() -> None:
    result, _ = await ran(Clock(wall=lambda: 1_000_000.0, monotonic=anyio.current_time))
    started = result["results"]["a"].start_time
    assert started is not None
    assert started.timestamp() == pytest.approx(1_000_000)
    assert result["results"]["b"].end_time.timestamp() == pytest.approx(1_000_006)


async def test_a_task_that_executes_by_itself_takes_no_negative_time(monkeypatch: pytest.MonkeyPatch) -> None:
    transport = FakeTransport()
    async with ConstellationDeviceManager(plugins=[transport], event_bus=EventBus()) as manager:
        manager.add_device(Device("d", "fake"))
        monkeypatch.setattr("time.time", Backwards())
        result = await TaskStar("s", target_device_id="d").execute(manager)
    assert result.execution_time is not None
    assert result.execution_time >= 0
