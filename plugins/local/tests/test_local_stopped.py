"""What a command had printed when it was stopped is kept: that is what one wants to see of a command that hangs."""

from __future__ import annotations

import pytest

from galaxy_core import (
    Command,
    ConstellationDeviceManager,
    Device,
    Event,
    EventBus,
    EventType,
    TaskConstellation,
    TaskConstellationOrchestrator,
    TaskStar,
)

pytestmark = pytest.mark.anyio

TALKS_AND_HANGS = Command(["sh", "-c", "echo before; echo sadly >&2; exec sleep 1000"])


@pytest.mark.parametrize("how", ["deadline", "cancel"])
async def test_what_a_stopped_command_had_printed_stands_in_its_result(how: str) -> None:
    bus = EventBus()
    plan = TaskConstellation()
    plan.add_task(TaskStar("a", request=TALKS_AND_HANGS, timeout=0.5 if how == "deadline" else None))
    async with ConstellationDeviceManager(event_bus=bus) as devices:
        devices.add_device(Device("here", settings={"kill_grace_s": 0.1}))
        orchestrator = TaskConstellationOrchestrator(devices, event_bus=bus)

        class Stopper:
            async def on_event(self, event: Event) -> None:
                if how == "cancel" and "sadly" in event.data.get("text", ""):
                    orchestrator.cancel_task("a")

        bus.subscribe(Stopper(), {EventType.TASK_OUTPUT})
        found = await orchestrator.orchestrate_constellation(plan, assignment_strategy="round_robin")
    result = found["results"]["a"]
    assert str(result.status) == {"deadline": "failed", "cancel": "cancelled"}[how]
    assert (result.stdout, result.stderr, result.device_id) == ("before\n", "sadly\n", "here")
