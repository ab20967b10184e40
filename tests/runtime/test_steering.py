"""Pausing a run, having it go on, and leaving it for somebody else."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest

from galaxy_core import (
    Call,
    ConstellationDeviceManager,
    Device,
    Event,
    EventBus,
    EventType,
    TaskConstellation,
    TaskConstellationOrchestrator,
    TaskStar,
    TaskStarLine,
    TaskStatus,
)
from galaxy_core.model.records.replay import replay
from galaxy_core.testing.journals import MemoryJournal

pytestmark = pytest.mark.anyio


class Steps:
    """Tasks that end when they are let."""

    def __init__(self) -> None:
        self.began: list[str] = []
        self.may_end: dict[str, anyio.Event] = {}

    async def do(self, task_id: str) -> None:
        self.began.append(task_id)
        await self.may_end.setdefault(task_id, anyio.Event()).wait()

    def let(self, task_id: str) -> None:
        self.may_end.setdefault(task_id, anyio.Event()).set()

    def plan(self, *task_ids: str, links: tuple[tuple[str, str], ...] = ()) -> TaskConstellation:
        tasks = [TaskStar(task_id, request=Call(self.do, (task_id,))) for task_id in task_ids]
        return TaskConstellation.build(tasks, [TaskStarLine(*link) for link in links], constellation_id="p")


class Kinds:
    def __init__(self) -> None:
        self.heard: list[tuple[EventType, object]] = []

    async def on_event(self, event: Event) -> None:
        self.heard.append((event.event_type, event.data.get("by")))


@asynccontextmanager
async def running(
    plan: TaskConstellation, results: list[dict[str, Any]], *, strategy: str = "round_robin", journal: Any = None
) -> AsyncIterator[tuple[TaskConstellationOrchestrator, Kinds]]:
    bus, kinds = EventBus(), Kinds()
    bus.subscribe(kinds)
    async with ConstellationDeviceManager(event_bus=bus) as devices:
        devices.add_device(Device("here", "python", max_concurrency=1))
        orchestrator = TaskConstellationOrchestrator(devices, event_bus=bus, journal=journal)
        async with anyio.create_task_group() as group:

            async def go() -> None:
                results.append(await orchestrator.orchestrate_constellation(plan, assignment_strategy=strategy))

            group.start_soon(go)
            await anyio.wait_all_tasks_blocked()
            yield orchestrator, kinds


@pytest.mark.parametrize("strategy", ["round_robin", "load_balance"])
async def test_a_paused_run_starts_nothing_until_it_goes_on(strategy: str) -> None:
    steps, results = Steps(), list[dict[str, Any]]()
    plan = steps.plan("a", "b", "c", "d", links=(("a", "d"),))
    async with running(plan, results, strategy=strategy) as (orchestrator, kinds):
        assert orchestrator.pause("p", "me")
        assert not orchestrator.pause("p")
        for task_id in plan.tasks:
            steps.let(task_id)
        await anyio.wait_all_tasks_blocked()
        assert steps.began == ["a"]
        assert plan.get_task("a").status is TaskStatus.COMPLETED  # type: ignore[union-attr]
        assert orchestrator.why("b", "p").kind == "paused"
        assert orchestrator.proceed("p", "you")
        assert not orchestrator.proceed("p")
    assert sorted(steps.began) == ["a", "b", "c", "d"]
    assert results[0]["status"] == "completed"
    assert (EventType.CONSTELLATION_PAUSED, "me") in kinds.heard
    assert (EventType.CONSTELLATION_PROCEEDED, "you") in kinds.heard


async def test_a_paused_run_can_be_cancelled() -> None:
    steps, results = Steps(), list[dict[str, Any]]()
    async with running(steps.plan("a", "b"), results) as (orchestrator, _):
        orchestrator.pause("p")
        await orchestrator.cancel_execution("p")
    assert results[0]["status"] == "cancelled"


async def test_a_paused_run_leaves_its_slots_to_others() -> None:
    steps, results = Steps(), list[dict[str, Any]]()
    async with running(steps.plan("a", "b"), results) as (orchestrator, _):
        orchestrator.pause("p")
        steps.let("a")
        other = TaskConstellation.build([TaskStar("x", request=Call(str))], [], constellation_id="q")
        result = await orchestrator.orchestrate_constellation(other, assignment_strategy="round_robin")
        assert result["status"] == "completed"
        steps.let("b")
        orchestrator.proceed("p")
    assert results[0]["status"] == "completed"


async def test_a_run_that_is_stopped_lets_what_runs_end_and_leaves_the_rest() -> None:
    steps, results, journal = Steps(), list[dict[str, Any]](), MemoryJournal()
    plan = steps.plan("a", "b", "c", links=(("a", "b"),))
    async with running(plan, results, journal=journal) as (orchestrator, kinds), anyio.create_task_group() as group:
        group.start_soon(orchestrator.stop, "p", "me")
        await anyio.wait_all_tasks_blocked()
        assert not results, "a is still running"
        steps.let("a")
    assert results[0]["status"] == "stopped"
    assert [task.status.value for task in plan.get_all_tasks()] == ["completed", "pending", "pending"]
    assert kinds.heard.count((EventType.CONSTELLATION_STOPPED, None)) == 1
    found = replay(journal.kept["p"].records)
    assert (found.over, found.stopped_by, found.in_flight) == (None, "me", {})
    assert found.document() == plan.to_dict()


async def test_a_run_that_was_stopped_goes_on_elsewhere() -> None:
    steps, results, journal = Steps(), list[dict[str, Any]](), MemoryJournal()
    links = (("a", "b"), ("b", "c"))
    plan = steps.plan("a", "b", "c", links=links)
    async with running(plan, results, journal=journal) as (orchestrator, _), anyio.create_task_group() as group:
        group.start_soon(orchestrator.stop, "p")
        await anyio.wait_all_tasks_blocked()
        for task_id in ("a", "b", "c"):
            steps.let(task_id)
    assert (results[0]["status"], steps.began) == ("stopped", ["a"])
    bus = EventBus()
    async with ConstellationDeviceManager(event_bus=bus) as devices:
        devices.add_device(Device("elsewhere", "python"))
        orchestrator = TaskConstellationOrchestrator(devices, event_bus=bus, journal=journal)
        result = await orchestrator.resume("p", constellation=steps.plan("a", "b", "c", links=links))
    assert (result["status"], steps.began) == ("completed", ["a", "b", "c"])


async def test_what_does_not_run_cannot_be_paused_or_stopped() -> None:
    async with ConstellationDeviceManager() as devices:
        orchestrator = TaskConstellationOrchestrator(devices)
        assert not orchestrator.pause("p")
        assert not orchestrator.proceed("p")
        assert not await orchestrator.stop("p")
