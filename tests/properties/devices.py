"""What the devices of a world are: sessions that play the steps of tasks and are watched, and two strategies over them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import anyio

from galaxy_core import (
    Attempt,
    Completed,
    Device,
    DeviceLoad,
    DeviceLostError,
    Placement,
    PluginRegistry,
    Refused,
    Session,
    TaskToPlace,
    Unknown,
)
from galaxy_core.testing.fakes import FakeDevice, FakeTransport
from tests.properties.oracle import Try
from tests.properties.values import Step

if TYPE_CHECKING:
    from tests.properties.world import World


class Static:
    """The device that holds least; the whole plan at the start."""

    name = "static"

    def assign(self, placement: Placement) -> Mapping[str, str]:
        held = {device_id: load.assigned for device_id, load in placement.devices.items()}
        placed = {}
        for task in placement.tasks:
            placed[task.task_id] = min(task.fitting, key=lambda device_id: held[device_id])
            held[placed[task.task_id]] += 1
        return placed


class Late(Static):
    """The first task that is ready gets the first device that is free and fits."""

    name = "late"

    def choose(self, ready: Sequence[TaskToPlace], free: Mapping[str, DeviceLoad]) -> list[tuple[str, str]]:
        slots = {device_id: load.max_concurrency - load.running for device_id, load in free.items()}
        chosen = []
        for task in ready:
            device_id = next((device_id for device_id in task.fitting if slots.get(device_id)), None)
            if device_id is not None:
                slots[device_id] -= 1
                chosen.append((task.task_id, device_id))
        return chosen


# ----------------------------------------------------------------------------------------------------- devices


class WorldTransport(FakeTransport):
    """Every world's transport: a device knows its world by its metadata, so that one registry serves all of them."""

    @asynccontextmanager
    async def open(self, device: Device, settings: Any, /) -> AsyncIterator[Session]:
        world: World = device.metadata["world"]
        fake = world.fakes[device.device_id]
        await fake.connect()
        fake.sessions += 1
        try:
            yield WatchedSession(world, fake)
        finally:
            fake.sessions -= 1


REGISTRY = PluginRegistry(discover=False)
for plugin in (WorldTransport(), Static(), Late()):
    REGISTRY.register(plugin)

RESULTS: Mapping[str, Any] = {
    "says": Completed(error="it says so"),
    "wrong": "no outcome at all",
    "refused": Refused("busy"),
    "unknown": Unknown("no answer"),
}


class WatchedSession:
    """Plays the steps of tasks, and tells the world of each attempt when it begins and when it ends."""

    def __init__(self, world: World, fake: FakeDevice) -> None:
        self.world = world
        self.fake = fake
        self.broken = False

    async def execute(self, attempt: Attempt, /) -> Any:
        one = self.world.began(attempt, self)
        step = one.task.step(one.number - 1)
        try:
            outcome = await self.fake.run(attempt, lambda _: self._play(one, step))
        except DeviceLostError:
            self.broken = True
            self.world.ended(one, "drops" if "drops" in (step.end, one.told) else "lost", self)
            raise
        except Exception:
            self.world.ended(one, "raises", self)
            raise
        except BaseException:
            self.world.ended(one, "cancelled", self)
            raise
        self.world.ended(one, one.told or step.end, self)
        return outcome

    async def _play(self, one: Try, step: Step) -> Any:
        if step.end == "told":
            step = await self.world.told(one)
        with anyio.CancelScope(shield=step.deaf):
            try:
                if step.end == "hangs":
                    await anyio.sleep_forever()
                elif step.takes_s:
                    await anyio.sleep(step.takes_s)
            except anyio.get_cancelled_exc_class():
                one.stopped_at = anyio.current_time()
                if step.cleanup_s:
                    with anyio.CancelScope(shield=True):
                        await anyio.sleep(step.cleanup_s)
                raise
        if step.end == "raises":
            raise RuntimeError("the session raised")
        if step.end == "drops":
            raise DeviceLostError(self.fake.device_id, "the connection dropped")
        if step.end == "exits":
            return Completed(step.value, exit_code=3)
        return Completed(step.value) if step.end == "done" else RESULTS[step.end]

    async def probe(self) -> Mapping[str, str]:
        return await self.fake.probe()
