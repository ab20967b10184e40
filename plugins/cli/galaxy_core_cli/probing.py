"""What can be said of devices: without connecting to them, and by asking them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from time import perf_counter
from typing import Any

import anyio
from attrs import define, field

from galaxy_core import ConstellationDeviceManager, Device, GalaxyError, PluginRegistry, UnknownDeviceError
from galaxy_core_cli.reasons import why


def examined(devices: Sequence[Device], registry: PluginRegistry) -> list[tuple[dict[str, Any], Device]]:
    """Each device as plain data, with `problem`: why its transport or its settings cannot be; None when they can."""
    manager = ConstellationDeviceManager(plugins=registry, enable_logging=False)
    found = []
    for device in devices:
        problem = None
        try:
            manager.add_device(device)
        except GalaxyError as error:
            problem = why(error)
        known = manager.device_registry.get_device_info(device.device_id) or device
        info = {
            "device_id": known.device_id,
            "transport": known.transport,
            "device_type": known.device_type,
            "capabilities": sorted(known.capabilities),
            "max_concurrency": known.max_concurrency,
            "metadata": dict(known.metadata),
            "problem": problem,
        }
        found.append((info, known))
    return found


@define
class Probed:
    """What came of asking a device. `error` is None when it answered; times are in seconds."""

    device_id: str
    transport: str
    connect_s: float = 0.0
    probe_s: float = 0.0
    facts: Mapping[str, str] = field(factory=dict)
    error: str | None = None


async def probed(
    devices: Sequence[Device], registry: PluginRegistry, wanted: Sequence[str], timeout_s: float, prefix: str = ""
) -> list[Probed]:
    """Connect to the wanted devices (all when none is named) at once, ask them, and disconnect.

    Raises:
        UnknownDeviceError: one of the wanted is not among them. Its message begins with `prefix`.
    """
    by_id = {device.device_id: device for device in devices}
    for device_id in wanted:
        if device_id not in by_id:
            raise UnknownDeviceError(device_id, by_id, prefix)
    chosen = [by_id[device_id] for device_id in dict.fromkeys(wanted or by_id)]
    answers = [Probed(device.device_id, device.transport) for device in chosen]
    # One try: whoever asks wants to hear of the first failure.
    manager = ConstellationDeviceManager(plugins=registry, max_retries=0, enable_logging=False)
    async with manager, anyio.create_task_group() as group:
        for device, answer in zip(chosen, answers, strict=True):
            try:
                manager.add_device(device)
            except GalaxyError as error:
                answer.error = why(error)
            else:
                group.start_soon(_probe, manager, answer, timeout_s)
    return answers


async def _probe(manager: ConstellationDeviceManager, answer: Probed, timeout_s: float) -> None:
    begin = perf_counter()
    answer.error = f"no answer within {timeout_s:g} s"
    with anyio.move_on_after(timeout_s):
        if not await manager.connect_device(answer.device_id):
            error = manager.lane_book.lane(answer.device_id).error
            answer.error = "it could not be connected" if error is None else why(error)
            return
        answer.connect_s = perf_counter() - begin
        session = manager.lane_book.lane(answer.device_id).session
        if session is None:
            answer.error = "it was lost at once"
            return
        begin = perf_counter()
        try:
            answer.facts = {str(name): str(value) for name, value in (await session.probe()).items()}
        except Exception as error:  # whoever asked receives it: a transport may raise whatever it likes
            answer.error = why(error)
            return
        answer.probe_s = perf_counter() - begin
        answer.error = None
