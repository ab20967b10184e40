"""A link that an earlier run has left to its editors, who do not answer any more: whoever runs the plan next judges it."""

from __future__ import annotations

from typing import Any

import anyio
import pytest

from galaxy_core import EventType, TaskConstellation

from .editing import statuses, study
from .fakes import plan, rig, until

pytestmark = pytest.mark.anyio


async def fails_after_a_while(attempt: Any) -> Any:
    await anyio.sleep(1)
    raise RuntimeError("it failed")


async def left_in_the_middle() -> TaskConstellation:
    """A plan as it stands when `a` has failed, and somebody still thinks about what is to follow from that."""
    async with study() as house:
        house.transport.script("a", fails_after_a_while)
        constellation = plan("a b c", "a>b b>c", "p")
        with house.synchronizer.editor("p"):
            async with house.running(constellation):
                await until(lambda: constellation.get_task("a").is_terminal)  # type: ignore[union-attr]
                assert house.synchronizer.has_pending_modifications()
                left = TaskConstellation.from_dict(constellation.to_dict())
                await house.orchestrator.cancel_execution(constellation.constellation_id)
    return left


async def test_what_waits_for_an_answer_that_nobody_gives_any_more_is_skipped_when_the_plan_is_run_again() -> None:
    constellation = await left_in_the_middle()
    async with rig() as house:
        result = await house.run(constellation)
        assert house.slots_are_free()
        assert house.device().started == []
        told = [event.task_id for event in house.recorder.of(EventType.TASK_SKIPPED)]
    assert statuses(constellation) == {"a": "failed", "b": "skipped", "c": "skipped"}
    assert sorted(told) == ["b", "c"]
    assert result["status"] == "failed"
