"""docs/reference/events.md has a heading for each type of event, and says what is in its data, as runs publish it."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from galaxy_core import (
    Attempt,
    Completed,
    ConstellationDeviceManager,
    ConstellationEvent,
    ConstellationModificationSynchronizer,
    Device,
    DeviceLostError,
    EditConflictError,
    EditError,
    Event,
    EventBus,
    EventType,
    RetryPolicy,
    TaskConstellation,
    TaskConstellationOrchestrator,
    TaskEvent,
    TaskStar,
    TaskStarLine,
    Transaction,
    UpdateTask,
)
from galaxy_core.testing.fakes import FakeTransport, Recorder, hang

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "reference" / "events.md").read_text(encoding="utf-8")
TYPES: dict[str, type[Any]] = {
    "str": str,
    "int": int,
    "float": float,
    "list": list,
    "dict": dict,
    "TaskConstellation": TaskConstellation,
}
#: Published by others than the kernel.
NOT_OURS = {
    EventType.CONSTELLATION_MODIFIED,
    EventType.AGENT_RESPONSE,
    EventType.AGENT_ACTION,
}


def sections() -> dict[str, str]:
    parts = re.split(r"^### ", PAGE, flags=re.MULTILINE)[1:]
    return {part.partition("\n")[0]: re.split(r"^## ", part, flags=re.MULTILINE)[0] for part in parts}


def keys(section: str) -> dict[str, str]:
    """The type, as it is written, of each key of `data`."""
    rows = re.findall(r"^\| `(\w+)` \| ([^|]+?) \|", section, re.MULTILINE)
    return {key: kind for key, kind in rows if kind != "type"}


def complaints(event: Event) -> list[str]:
    """What the page says otherwise than an event that was published."""
    section = sections()[event.event_type.name]
    documented = keys(section)
    found = []
    for key, kind in documented.items():
        if key not in event.data:
            if "may be missing" not in kind:
                found.append(f"{key} is missing")
        elif not isinstance(event.data[key], TYPES[kind.partition(",")[0]]):
            found.append(f"{key} is {event.data[key]!r}, not {kind}")
    found += [f"{key} is not documented" for key in event.data if key not in documented]
    if isinstance(event, TaskEvent) and f'`status` "{event.status}"' not in section:
        found.append(f"status {event.status} is not documented")
    states = re.findall(r'"(\w+)"', section.partition("| `data`")[0])
    if isinstance(event, ConstellationEvent) and states and event.constellation_state not in states:
        found.append(f"state {event.constellation_state} is not documented")
    return found


def test_every_type_of_event_has_a_heading_and_every_heading_a_type() -> None:
    assert sorted(sections()) == sorted(kind.name for kind in EventType)


def test_what_the_page_does_not_say_is_found() -> None:
    wrong = TaskEvent(EventType.TASK_ASSIGNED, "somebody", 0.0, {"device_id": 7, "colour": "red"}, "t", "asleep")
    assert complaints(wrong) == [
        "constellation_id is missing",
        "device_id is 7, not str",
        "colour is not documented",
        "status asleep is not documented",
    ]


# -------------------------------------------------------------------------------------------------- what runs publish


@asynccontextmanager
async def house(transport: FakeTransport) -> AsyncIterator[tuple[TaskConstellationOrchestrator, Recorder]]:
    """An orchestrator over two devices, and somebody who hears everything."""
    bus, recorder = EventBus(), Recorder()
    bus.subscribe(recorder)
    async with ConstellationDeviceManager(reconnect_delay=0.0, plugins=[transport], event_bus=bus) as manager:
        for device_id in ("here", "there"):
            manager.add_device(Device(device_id, "fake", max_concurrency=8))
        yield TaskConstellationOrchestrator(manager, event_bus=bus), recorder


def plan(constellation_id: str, *tasks: TaskStar) -> TaskConstellation:
    return TaskConstellation.build(tasks, [], constellation_id=constellation_id)


class Canceller:
    """Cancels a task, or a whole run, as soon as a task of that id has started."""

    def __init__(self, orchestrator: TaskConstellationOrchestrator) -> None:
        self.orchestrator = orchestrator

    async def on_event(self, event: Event) -> None:
        assert isinstance(event, TaskEvent)
        if event.task_id == "stopped":
            self.orchestrator.cancel_task("stopped", event.data["constellation_id"])
        if event.task_id == "stopped with all":
            run = self.orchestrator.run_of(event.data["constellation_id"])
            assert run is not None
            run.cancel()


async def run_eventfully(orchestrator: TaskConstellationOrchestrator, transport: FakeTransport) -> None:
    """Runs in which everything happens that can happen to tasks."""
    mixed = plan(
        "mixed",
        TaskStar("talks"),
        TaskStar("fails", retry_count=1, retry=RetryPolicy(backoff_s=0.0)),
        TaskStar("behind"),
        TaskStar("vanishes"),
        TaskStar("stopped"),
    )
    mixed.add_dependency(TaskStarLine.create_success_only("fails", "behind"))

    def talk(attempt: Attempt) -> Completed:
        attempt.emit("stdout", "hello\n")
        mixed.add_task(TaskStar("added"))
        return Completed()

    transport.script("talks", talk)
    transport.script("fails", Completed(error="no"))
    transport.script("vanishes", DeviceLostError("here", "the link broke"))
    transport.script("stopped", hang)
    transport.script("stopped with all", hang)
    for constellation in (
        mixed,
        plan("fine", TaskStar("talks alone")),
        plan("cancelled", TaskStar("stopped with all"), TaskStar("fine")),
        plan("bad", TaskStar("fails")),
    ):
        await orchestrator.orchestrate_constellation(constellation, assignment_strategy="round_robin")


async def run_with_a_break(orchestrator: TaskConstellationOrchestrator, transport: FakeTransport) -> None:
    """A run that is paused, goes on, and is stopped."""

    def steer(attempt: Attempt) -> Completed:
        assert orchestrator.pause("steered", "me")
        assert orchestrator.proceed("steered", "me")
        run = orchestrator.run_of("steered")
        assert run is not None
        assert run.stop("me")
        return Completed()

    transport.script("steers", steer)
    steered = plan("steered", TaskStar("steers"), TaskStar("is left"))
    steered.add_dependency(TaskStarLine("steers", "is left"))
    await orchestrator.orchestrate_constellation(steered, assignment_strategy="round_robin")


class LateEditor:
    """Answers after its time was over."""

    def __init__(self, synchronizer: ConstellationModificationSynchronizer, bus: EventBus) -> None:
        self.synchronizer = synchronizer
        self.bus = bus

    async def on_event(self, event: Event) -> None:
        assert isinstance(event, TaskEvent)
        await self.synchronizer.wait_for_pending_modifications(timeout=0)
        about, constellation_id = {"on_task_id": event.task_id}, event.data["constellation_id"]
        kind = EventType.CONSTELLATION_MODIFIED
        await self.bus.publish_event(ConstellationEvent(kind, "editor", 0.0, about, constellation_id, "executing"))


async def run_with_a_late_editor(orchestrator: TaskConstellationOrchestrator) -> None:
    synchronizer = ConstellationModificationSynchronizer(orchestrator)
    orchestrator.set_modification_synchronizer(synchronizer)
    orchestrator.event_bus.subscribe(synchronizer)
    orchestrator.event_bus.subscribe(LateEditor(synchronizer, orchestrator.event_bus), {EventType.TASK_COMPLETED})
    with synchronizer.editor("edited"):
        await orchestrator.orchestrate_constellation(plan("edited", TaskStar("one")), assignment_strategy="round_robin")


async def run_with_drafts(orchestrator: TaskConstellationOrchestrator, transport: FakeTransport) -> None:
    """A run in which everything happens that can happen to drafts."""
    synchronizer = ConstellationModificationSynchronizer(orchestrator)
    orchestrator.set_modification_synchronizer(synchronizer)
    rename = UpdateTask("behind", {"name": "after"})

    async def edit(attempt: Attempt) -> Completed:
        async with synchronizer.edit() as draft:
            draft.add(rename)
        assert draft.committed is not None
        await synchronizer.undo(draft.committed)
        async with synchronizer.edit() as draft:
            draft.add(rename)
            await synchronizer.commit(Transaction([rename], draft.base_revision))
            with pytest.raises(EditConflictError):
                await draft.commit()
            draft.discard()
        async with synchronizer.edit() as draft:
            with pytest.raises(EditError):
                await draft.remove_task("nothing").commit()
            draft.discard()
        async with synchronizer.edit(timeout=0.001) as draft:
            while not draft.is_over:
                await anyio.lowlevel.checkpoint()
        return Completed()

    transport.script("edits", edit)
    constellation = plan("drafted", TaskStar("edits"), TaskStar("behind"))
    constellation.add_dependency(TaskStarLine("edits", "behind"))
    await orchestrator.orchestrate_constellation(constellation, assignment_strategy="round_robin")


@pytest.mark.anyio
async def test_events_are_published_as_the_page_says() -> None:
    transport = FakeTransport()
    async with house(transport) as (orchestrator, recorder):
        orchestrator.event_bus.subscribe(Canceller(orchestrator), {EventType.TASK_STARTED})
        await run_eventfully(orchestrator, transport)
        await run_with_a_break(orchestrator, transport)
        await run_with_a_late_editor(orchestrator)
        await run_with_drafts(orchestrator, transport)
    await orchestrator.event_bus.drain()
    assert {event.event_type for event in recorder.events} == set(EventType) - NOT_OURS | {
        EventType.CONSTELLATION_MODIFIED
    }
    ours = [event for event in recorder.events if event.event_type not in NOT_OURS]
    assert {f"{event.event_type.name}: {said}" for event in ours for said in complaints(event)} == set()
