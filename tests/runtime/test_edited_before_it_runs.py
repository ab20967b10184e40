"""A plan may be edited while its run is prepared: what is added then is checked as well."""

from __future__ import annotations

from typing import Any

import pytest

from galaxy_core import Command, EventType, InvalidPlanError, Reference, TaskStar

from .fakes import plan, rig

pytestmark = pytest.mark.anyio


class Adder:
    """Adds a task as soon as a device has connected."""

    def __init__(self, constellation: Any, task: TaskStar) -> None:
        self.constellation, self.task = constellation, task

    async def on_event(self, event: Any) -> None:
        if event.event_type is EventType.DEVICE_CONNECTED:
            self.constellation.add_task(self.task)


async def test_what_is_added_while_devices_connect_runs() -> None:
    constellation = plan("a")
    async with rig("d1") as house:
        house.bus.subscribe(Adder(constellation, TaskStar("b")))
        result = await house.run(constellation, "round_robin")
    assert {task_id: one.status.value for task_id, one in result["results"].items()} == {
        "a": "completed",
        "b": "completed",
    }


async def test_what_is_added_while_devices_connect_is_checked() -> None:
    constellation = plan("a")
    wrong = TaskStar("b", request=Command(["echo", Reference("a", "stdout")]))
    async with rig("d1") as house:
        house.bus.subscribe(Adder(constellation, wrong))
        with pytest.raises(InvalidPlanError, match="without waiting for it"):
            await house.run(constellation, "round_robin")
        assert house.slots_are_free()
