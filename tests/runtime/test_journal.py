"""A journal that a plugin brings hears every event of a run, in order, and can stop it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import anyio
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
    """Keeps events in memory; fails at the `fails_at`-th batch, and takes `seconds` for each."""

    name = "notebook"

    def __init__(self, fails_at: int | None = None, seconds: float = 0) -> None:
        self.pages: list[Event] = []
        self.closed = 0
        self.written_after_close = False
        self._fails_at = fails_at
        self._seconds = seconds
        self._batches = 0

    @asynccontextmanager
    async def open(self, run: RunInfo, /) -> AsyncIterator[Notebook]:
        try:
            yield self
        finally:
            self.closed += 1

    async def write(self, events: Sequence[Event], /) -> None:
        self._batches += 1
        if self._batches == self._fails_at:
            raise OSError("no space left on device")
        await anyio.sleep(self._seconds)
        self.written_after_close |= self.closed > 0
        self.pages += events


class Locked(Notebook):
    """Cannot be opened, or cannot be closed."""

    def __init__(self, when: str) -> None:
        super().__init__()
        self._when = when

    @asynccontextmanager
    async def open(self, run: RunInfo, /) -> AsyncIterator[Notebook]:
        if self._when == "open":
            raise OSError("it is locked")
        yield self
        raise OSError("it is locked")


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


@pytest.mark.parametrize("when", ["open", "close"])
async def test_a_journal_that_cannot_be_opened_or_closed_is_named_by_the_runs_error(when: str) -> None:
    with pytest.raises(RunError, match=f"cannot {when} journal 'notebook': it is locked") as caught:
        await run_with(Locked(when))
    assert isinstance(caught.value.__cause__, OSError)


async def test_a_journal_that_is_slower_than_an_observer_may_be_is_given_every_event() -> None:
    notebook = Notebook(seconds=25)
    await run_with(notebook)
    assert len(notebook.pages) == 6
    assert not notebook.written_after_close


async def test_a_journal_is_given_the_last_events_of_a_run_that_its_host_cancels() -> None:
    notebook = Notebook(seconds=4)
    with anyio.move_on_after(1) as scope:
        await run_with(notebook)
    assert scope.cancelled_caught
    assert notebook.pages[-1].event_type is EventType.CONSTELLATION_COMPLETED
    assert (notebook.closed, notebook.written_after_close) == (1, False)


async def test_a_run_whose_journal_hangs_says_that_events_are_missing_and_closes_it() -> None:
    notebook = Notebook(seconds=5e3)
    with pytest.raises(RunError, match="journal 'notebook' has not kept all of its events"):
        await run_with(notebook)
    await anyio.sleep(1e4)
    assert (notebook.closed, notebook.pages, notebook.written_after_close) == (1, [], False)
