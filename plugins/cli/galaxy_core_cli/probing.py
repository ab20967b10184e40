"""What can be said of devices: without connecting to them, and by asking them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from time import perf_counter
from typing import Any

import anyio
import anyio.abc
from attrs import define, field

from galaxy_core import (
    ConstellationDeviceManager,
    Device,
    Discovery,
    GalaxyError,
    Inventory,
    PluginRegistry,
    UnknownDeviceError,
)
from galaxy_core.extension.models import with_paths
from galaxy_core_cli.discovering import Place, expected, finder_of, refusals
from galaxy_core_cli.reasons import why


def examined(inventory: Inventory, registry: PluginRegistry) -> list[dict[str, Any]]:
    """Each device as plain data, and then each search.

    `problem` says why its transport or its settings cannot be; None when they can. Of a search `device_id` is None, of a
    device `discovery`.
    """
    manager = ConstellationDeviceManager(plugins=registry, enable_logging=False)
    found = []
    for device in inventory.devices:
        problem = None
        try:
            manager.add_device(device)
        except GalaxyError as error:
            problem = why(error)
        known = manager.device_registry.get_device_info(device.device_id) or device
        found.append({"device_id": device.device_id, "discovery": None, **_told(known), "problem": problem})
    for one in inventory.discoveries:
        problem = _joined(refusals(manager, one)) or None
        found.append(
            {
                "device_id": None,
                "discovery": one.name,
                **_told(expected(one, registry)),
                "match": dict(one.match),
                "wait_s": one.wait_s,
                "problem": problem,
            }
        )
    return found


def _joined(refused: Sequence[tuple[Place, str]]) -> str:
    return "; ".join(text if path in {"", "transport"} else f"{path}: {text}" for path, text in with_paths(refused))


def _told(device: Device) -> dict[str, Any]:
    return {
        "transport": device.transport,
        "device_type": device.device_type,
        "capabilities": sorted(device.capabilities),
        "max_concurrency": device.max_concurrency,
        "metadata": dict(device.metadata),
    }


@define
class Probed:
    """What came of asking a device. `error` is None when it answered; times are in seconds.

    Of one that was found, `discovery` names the search, and how long it took to connect is not known. Of one that was only
    seen, `device_id` is None, and `seen` what its transport knows it by; of a search that has found nothing both are None.
    """

    device_id: str | None
    transport: str
    connect_s: float | None = 0.0
    probe_s: float = 0.0
    facts: Mapping[str, str] = field(factory=dict)
    error: str | None = None
    discovery: str | None = None
    seen: str | None = None


@define
class Questions:
    """Which devices are to be asked: all of the inventory when none is `wanted`, by its id or that of its discovery."""

    inventory: Inventory
    registry: PluginRegistry
    wanted: Sequence[str] = ()
    timeout_s: float = 30.0
    find_s: float = 2.0
    prefix: str = ""  # of what is said of a device that is not known
    answers: list[Probed] = field(factory=list, init=False)
    _manager: ConstellationDeviceManager = field(init=False)

    async def asked(self) -> list[Probed]:
        """Connect to the wanted devices at once, look for those that are to be found, ask them, and disconnect.

        Raises:
            UnknownDeviceError: one of the wanted is not among them. Its message begins with `prefix`.
        """
        # One try: whoever asks wants to hear of the first failure.
        self._manager = ConstellationDeviceManager(plugins=self.registry, max_retries=0, enable_logging=False)
        named = {device.device_id: device for device in self.inventory.devices}
        open_ids = [one for one in dict.fromkeys(self.wanted) if one not in named]
        searches = self._searches(open_ids)
        if open_ids and not searches:
            raise self._unknown(open_ids[0])
        async with self._manager:
            async with anyio.create_task_group() as group:
                for device_id in self._wanted_of(named):
                    self._begin(named[device_id], group)
                if searches:
                    await self._look(searches)
            async with anyio.create_task_group() as group:
                self._found(searches, open_ids, group)
        return self.answers

    def _wanted_of(self, named: Mapping[str, Device]) -> list[str]:
        return [one for one in dict.fromkeys(self.wanted or named) if one in named]

    def _searches(self, open_ids: Sequence[str]) -> list[Discovery]:
        """Those that may find what is wanted."""
        every = self.inventory.discoveries
        if not self.wanted:
            return list(every)
        return [one for one in every if any(one.name in {name, finder_of(name, every)} for name in open_ids)]

    def _unknown(self, device_id: str) -> UnknownDeviceError:
        known = [device.device_id for device in self.inventory.devices]
        known += [one.name for one in self.inventory.discoveries]
        known += [one for one in self._manager.lane_book.lanes if one not in known]
        return UnknownDeviceError(device_id, known, self.prefix)

    def _begin(self, device: Device, group: anyio.abc.TaskGroup) -> None:
        answer = Probed(device.device_id, device.transport)
        self.answers.append(answer)
        try:
            self._manager.add_device(device)
        except GalaxyError as error:
            answer.error = why(error)
        else:
            group.start_soon(_probe, self._manager, answer, self.timeout_s)

    async def _look(self, searches: Sequence[Discovery]) -> None:
        """For `find_s` seconds; what is found is connected meanwhile."""
        for one in searches:
            if refused := refusals(self._manager, one):
                self.answers.append(Probed(None, one.transport, error=_joined(refused), discovery=one.name))
        if self._manager.discoveries:
            self._manager.start_connecting()
            await anyio.sleep(self.find_s)

    def _found(self, searches: Sequence[Discovery], open_ids: Sequence[str], group: anyio.abc.TaskGroup) -> None:
        """Ask what was found, and say what was seen, or that nothing was."""
        manager, every = self._manager, self.inventory.discoveries
        named = {device.device_id for device in self.inventory.devices}
        found = {one: finder_of(one, every) for one in manager.lane_book.lanes if one not in named}
        names = {one.name for one in every}
        for device_id in open_ids:
            if device_id not in names and device_id not in found:
                raise self._unknown(device_id)
        sightings, failing = manager.sightings(), manager.failing_discoveries()
        for one in searches:
            if one.name not in manager.discoveries:  # it was refused
                continue
            mine = [device_id for device_id, name in found.items() if name == one.name]
            if open_ids and one.name not in open_ids:
                mine = [device_id for device_id in mine if device_id in open_ids]
            for device_id in mine:
                answer = Probed(device_id, one.transport, None, discovery=one.name)
                self.answers.append(answer)
                group.start_soon(_probe, manager, answer, self.timeout_s)
            if open_ids and one.name not in open_ids:
                continue
            for key, problem in sightings.get(one.name, {}).items():
                self.answers.append(Probed(None, one.transport, error=problem, discovery=one.name, seen=key))
            if one.name in failing or not mine:
                nothing = f"no device was found within {self.find_s:g} s"
                self.answers.append(
                    Probed(None, one.transport, error=failing.get(one.name, nothing), discovery=one.name)
                )


async def _probe(manager: ConstellationDeviceManager, answer: Probed, timeout_s: float) -> None:
    assert answer.device_id is not None
    begin = perf_counter()
    answer.error = f"no answer within {timeout_s:g} s"
    with anyio.move_on_after(timeout_s):
        if not await manager.connect_device(answer.device_id):
            error = manager.lane_book.lane(answer.device_id).error
            answer.error = "it could not be connected" if error is None else _why(answer.device_id, error)
            return
        if answer.discovery is None:
            answer.connect_s = perf_counter() - begin
        lane = manager.lane_book.lane(answer.device_id)
        if lane.session is None:
            answer.error = "it was lost at once"
            return
        begin = perf_counter()
        try:
            probed = {str(name): str(value) for name, value in (await lane.session.probe()).items()}
        except Exception as error:  # whoever asked receives it: a transport may raise whatever it likes
            answer.error = _why(answer.device_id, error)
            return
        answer.facts = {**lane.facts, **probed}
        answer.probe_s = perf_counter() - begin
        answer.error = None


def _why(device_id: str, error: BaseException) -> str:
    """Without what the line says already: that it is about this device, which does not answer."""
    return why(error).removeprefix(f"device {device_id!r} is lost: ")
