"""A rig whose plans are edited while they run: a synchronizer, runs beside the test, and when things happened."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any

import anyio
import anyio.lowlevel

from galaxy_core import ConstellationModificationSynchronizer, EventType, TaskConstellation, TaskStar
from galaxy_core.testing.fakes import takes
from galaxy_core.testing.virtual_time import EPOCH_S

from .fakes import Rig, rig, until


class Study(Rig):
    """A rig with a synchronizer, in which every task takes a second unless the script says otherwise."""

    synchronizer: ConstellationModificationSynchronizer

    def starts(self) -> dict[str, float]:
        """When each task started, the last time if it did several times, in seconds of virtual time."""
        return {one.task_id: at(one.timestamp) for one in self.recorder.of(EventType.TASK_STARTED)}

    def edits(self, *kinds: EventType) -> list[tuple[str, dict[str, Any]]]:
        """The events of edits, as their type and their data; of all kinds, or these."""
        wanted = kinds or [kind for kind in EventType if kind.value.startswith("edit_")]
        return [(one.event_type.value, dict(one.data)) for one in self.recorder.of(*wanted)]

    @asynccontextmanager
    async def running(self, *constellations: TaskConstellation) -> AsyncIterator[list[dict[str, Any]]]:
        """While inside, these run; afterwards they have ended, and their results are in the list."""
        results: list[dict[str, Any]] = []

        async def run(constellation: TaskConstellation) -> None:
            results.append(await self.run(constellation))

        async with anyio.create_task_group() as group:
            for constellation in constellations:
                group.start_soon(run, constellation)
            await until(lambda: all(one.get_running_tasks() for one in constellations))
            for _ in range(50):  # what is ready starts worker by worker
                await anyio.lowlevel.checkpoint()
            yield results


def at(timestamp: float) -> float:
    """Seconds of virtual time, without the errors of adding floats."""
    return round(timestamp - EPOCH_S, 3)


@asynccontextmanager
async def study(*plugins: object, slots: int = 20, attached: bool = True) -> AsyncIterator[Study]:
    """A study with one device. Without `attached`, the orchestrator does not know its synchronizer."""
    async with rig(slots=slots, plugins=plugins) as house:
        house.__class__ = Study
        assert isinstance(house, Study)
        house.transport.default = takes(1)
        house.synchronizer = ConstellationModificationSynchronizer(house.orchestrator)
        house.bus.subscribe(house.synchronizer)
        if attached:
            house.orchestrator.set_modification_synchronizer(house.synchronizer)
        yield house
        house.recorder.events.sort(key=lambda event: event.timestamp)


def new(task_id: str, **options: Any) -> TaskStar:
    """A task."""
    return TaskStar(task_id, description=f"do {task_id}", **options)


def statuses(constellation: TaskConstellation) -> dict[str, str]:
    """How each task stands."""
    return {task_id: task.status.value for task_id, task in constellation.tasks.items()}


def kinds(problems: Iterable[Any]) -> list[tuple[str, str]]:
    """Reasons, as (kind, subject)."""
    return [(problem.kind, problem.subject) for problem in problems]
