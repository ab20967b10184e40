"""A house in miniature for tests: devices, a bus, somebody who listens, an orchestrator; and plans in one line."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import anyio
import anyio.lowlevel

from galaxy_core import (
    ConstellationDeviceManager,
    DependencyType,
    Device,
    EventBus,
    ExecutionResult,
    TaskConstellation,
    TaskConstellationOrchestrator,
    TaskStar,
    TaskStarLine,
)
from galaxy_core.testing.fakes import FakeDevice, FakeTransport, Recorder
from galaxy_core.testing.virtual_time import virtual_clock

ARROWS = {
    ">": DependencyType.SUCCESS_ONLY,
    "~": DependencyType.COMPLETION_ONLY,
    "-": DependencyType.UNCONDITIONAL,
}


def link(arrow: str) -> TaskStarLine:
    """`a>b`: b after a's success; `a~b`: after its completion; `a-b`: after any end."""
    for sign, kind in ARROWS.items():
        if sign in arrow:
            source, target = arrow.split(sign)
            return TaskStarLine(source, target, kind)
    raise ValueError(arrow)


def plan(tasks: str, links: str = "", constellation_id: str | None = None, **options: Any) -> TaskConstellation:
    """`plan("a b c", "a>b b~c")`; `options` go to each task."""
    constellation = TaskConstellation(constellation_id)
    for task_id in tasks.split():
        constellation.add_task(TaskStar(task_id, description=f"do {task_id}", **options))
    for arrow in links.split():
        constellation.add_dependency(link(arrow))
    return constellation


class Rig:
    """Everything that a run needs."""

    def __init__(
        self, manager: ConstellationDeviceManager, orchestrator: TaskConstellationOrchestrator, transport: FakeTransport
    ) -> None:
        self.manager = manager
        self.orchestrator = orchestrator
        self.transport = transport
        self.bus = orchestrator.event_bus
        self.recorder = Recorder()
        self.bus.subscribe(self.recorder)

    def device(self, device_id: str = "d1") -> FakeDevice:
        return self.transport.device(device_id)

    async def run(
        self, constellation: TaskConstellation, strategy: str | None = "load_balance", **options: Any
    ) -> dict[str, Any]:
        return await self.orchestrator.orchestrate_constellation(constellation, assignment_strategy=strategy, **options)

    def slots_are_free(self) -> bool:
        """Whether no lease is held, nothing waits, and no load is counted."""
        return all(
            lane.free == lane.device.max_concurrency and not lane.waiting() and lane.assigned == 0
            for lane in self.manager.lane_book.lanes.values()
        )


def devices_of(*devices: str | Device, slots: int = 1) -> list[Device]:
    return [
        device if isinstance(device, Device) else Device(device, "fake", max_concurrency=slots) for device in devices
    ]


@asynccontextmanager
async def rig(
    *devices: str | Device,
    slots: int = 1,
    plugins: Iterable[object] = (),
    artifacts: str | None = None,
    **manager_options: Any,
) -> AsyncIterator[Rig]:
    """A rig with these devices (by default `d1`), each with so many slots."""
    transport, clock = FakeTransport(), virtual_clock()
    bus = EventBus(clock)
    options: dict[str, Any] = {"plugins": [transport, *plugins], "event_bus": bus, "clock": clock, **manager_options}
    async with ConstellationDeviceManager(**options) as manager:
        for device in devices_of(*(devices or ("d1",)), slots=slots):
            manager.add_device(device)
        orchestrator = TaskConstellationOrchestrator(manager, event_bus=bus, clock=clock, artifacts=artifacts)
        yield Rig(manager, orchestrator, transport)


async def until(condition: Any) -> None:
    """Let others run until `condition()` holds. Under virtual time this costs none; a day of it fails the test."""
    for _ in range(200):
        if condition():
            return
        await anyio.lowlevel.checkpoint()
    while not condition():  # noqa: ASYNC110  anything may be waited for, and virtual time costs nothing
        await anyio.sleep(0.01)


class DeviceInfo:
    """What a foreign device registry says of a device."""

    def __init__(self, device_type: str = "linux", capabilities: Iterable[str] = (), **metadata: Any) -> None:
        self.device_type = device_type
        self.capabilities = list(capabilities)
        self.metadata = metadata


class ForeignRegistry:
    def __init__(self, infos: Mapping[str, DeviceInfo]) -> None:
        self._infos = infos

    def get_device_info(self, device_id: str) -> DeviceInfo | None:
        return self._infos.get(device_id)


class ForeignManager:
    """A device manager of somebody else's: just the methods that the kernel may call, and a log of the calls."""

    def __init__(self, **infos: DeviceInfo) -> None:
        self.connected = list(infos)
        self.device_registry = ForeignRegistry(infos)
        self.calls: list[dict[str, Any]] = []
        self.answers: dict[str, Any] = {}
        self.takes_s = 0.0
        self.running = 0
        self.most_running = 0

    def get_connected_devices(self) -> list[str]:
        return list(self.connected)

    def get_all_devices(self) -> dict[str, Any]:
        return {device_id: self.device_registry.get_device_info(device_id) for device_id in self.connected}

    async def assign_task_to_device(
        self,
        task_id: str,
        device_id: str,
        task_description: str,
        task_data: dict[str, Any],
        timeout: float = 1000.0,
    ) -> Any:
        self.calls.append(
            {
                "task_id": task_id,
                "device_id": device_id,
                "task_description": task_description,
                "task_data": task_data,
                "timeout": timeout,
            }
        )
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        try:
            await anyio.sleep(self.takes_s)
        finally:
            self.running -= 1
        answer = self.answers.get(task_id, f"{task_id} done")
        if isinstance(answer, Exception):
            raise answer
        return answer if isinstance(answer, ExecutionResult) else ExecutionResult(task_id, "completed", answer)
