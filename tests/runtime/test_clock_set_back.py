"""A run goes on where the clock of the machine says that it is earlier than it was when its records were written."""

from __future__ import annotations

from typing import Any

import anyio
import pytest

from galaxy_core import (
    Completed,
    ConstellationDeviceManager,
    Device,
    Effect,
    EventBus,
    RetryPolicy,
    TaskConstellation,
    TaskConstellationOrchestrator,
)
from galaxy_core.model.records.replay import replay
from galaxy_core.runtime.clock import Clock
from galaxy_core.testing.fakes import FakeTransport, takes
from galaxy_core.testing.journals import KeptRun, MemoryJournal

from .fakes import plan

pytestmark = pytest.mark.anyio
THEN, BACK_S = 1_000_000.0, 1000.0
BACKOFF_S = 5.0


def a_plan() -> TaskConstellation:
    retry = RetryPolicy(backoff_s=BACKOFF_S, max_backoff_s=BACKOFF_S)
    return plan(
        "a b c d", "a>b b>c", constellation_id="p", retry_count=2, retry=retry, timeout=60.0, effect=Effect.IDEMPOTENT
    )


async def life(journal: MemoryJournal, wall: float, constellation: TaskConstellation | None) -> dict[str, Any]:
    """A process, in which each attempt takes 3 s, and the first one at `b` fails; resumes when there is no constellation."""
    transport, clock = (
        FakeTransport(features=frozenset({"settles", "sends"})),
        Clock(wall=lambda: wall, monotonic=anyio.current_time),
    )
    transport.default = takes(3)
    if constellation is not None:
        transport.script("b", takes(3, Completed(error="not yet")), takes(3))
    bus = EventBus(clock)
    async with ConstellationDeviceManager(plugins=[transport], event_bus=bus, clock=clock) as manager:
        manager.add_device(Device("d1", "fake", max_concurrency=4))
        orchestrator = TaskConstellationOrchestrator(manager, event_bus=bus, clock=clock, journal=journal)
        if constellation is None:
            return await orchestrator.resume("p")
        return await orchestrator.orchestrate_constellation(constellation, assignment_strategy="load_balance")


async def test_behind_whichever_record_it_was_left_a_run_goes_on_a_thousand_seconds_earlier() -> None:
    whole, waits = MemoryJournal(), 0
    await life(whole, THEN, a_plan())
    lines = whole.kept["p"].records
    first = next(n for n in range(1, len(lines) + 1) if replay(lines[:n]).is_whole)
    for count in range(first, len(lines)):
        before = replay(lines[:count])
        waits += bool(before.backing_off)
        journal = MemoryJournal()
        journal.kept["p"] = KeptRun(list(lines[:count]), 1)
        began = anyio.current_time()
        result = await life(journal, THEN - BACK_S, None)
        took = anyio.current_time() - began
        assert result["status"] == "completed", count
        assert took <= BACKOFF_S + 4 * 3 + 0.1, f"behind record {count} it waited for {took} s"
        durations = [found.execution_time for found in result["results"].values()]
        assert min(durations) >= 0, f"behind record {count}: {durations}"
        statistics = result["statistics"]
        assert min(value for value in statistics.values() if isinstance(value, float)) >= 0, statistics
        after = replay(journal.kept["p"].records)
        assert after.over == "completed"
        assert after.document()["execution_duration"] >= 0
    assert waits
