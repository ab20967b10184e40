"""A journal that a plugin brings hears every event of a run, in order, and can stop it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest

from galaxy_core import (
    Call,
    ConstellationDeviceManager,
    Device,
    Event,
    EventBus,
    EventType,
    RunError,
    RunInfo,
    TaskConstellation,
    TaskConstellationOrchestrator,
    TaskStar,
    TaskStarLine,
)

pytestmark = pytest.mark.anyio


class Notebook:
    """Keeps events in memory; fails at the `fails_at`-th batch."""

    name = "notebook"

    def __init__(self, fails_at: int | None = None) -> None:
        self.pages: list[Event] = []
        self.closed = 0
        self._fails_at = fails_at
        self._batches = 0

    @asynccontextmanager
    async def open(self, run: RunInfo, /) -> AsyncIterator[Notebook]:
        yield self
        self.closed += 1

    async def write(self, events: Sequence[Event], /) -> None:
        self._batches += 1
        if self._batches == self._fails_at:
            raise OSError("no space left on device")
        self.pages += events


def a_chain() -> TaskConstellation:
    plan = TaskConstellation("chain")
    for name in ("a", "b"):
        plan.add_task(TaskStar(name, request=Call(str)))
    plan.add_dependency(TaskStarLine("a", "b"))
    return plan


async def run_with(notebook: Notebook) -> dict[str, object]:
    bus = EventBus()
    async with ConstellationDeviceManager(event_bus=bus) as devices:
        devices.add_device(Device("here", "python"))
        orchestrator = TaskConstellationOrchestrator(devices, event_bus=bus, plugins=[notebook], journal="notebook")
        return await orchestrator.orchestrate_constellation(a_chain(), assignment_strategy="round_robin")


async def test_a_journal_is_given_every_event_of_a_run_in_order() -> None:
    notebook = Notebook()
    await run_with(notebook)
    assert [(event.event_type, getattr(event, "task_id", None)) for event in notebook.pages] == [
        (EventType.CONSTELLATION_STARTED, None),
        (EventType.TASK_STARTED, "a"),
        (EventType.TASK_COMPLETED, "a"),
        (EventType.TASK_STARTED, "b"),
        (EventType.TASK_COMPLETED, "b"),
        (EventType.CONSTELLATION_COMPLETED, None),
    ]
    assert notebook.closed == 1


async def test_a_run_whose_journal_fails_is_cancelled_and_says_why() -> None:
    with pytest.raises(RunError, match="journal failed: no space left on device"):
        await run_with(Notebook(fails_at=1))
