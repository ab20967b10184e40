"""ConstellationDeviceManager: the inventory, its sessions, their health.

A session lives in a keeper: one background task per device that opens it, probes it, and opens it again with back-off
when it broke. What a device can run at a time is its lane's business (lanes.py).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from types import TracebackType
from typing import Any, Self

import anyio

from galaxy_core.errors import (
    AssignmentError,
    DeviceLostError,
    DuplicateIdError,
    NotConnectedError,
    UnknownDeviceError,
)
from galaxy_core.extension.redaction import Redactor
from galaxy_core.extension.registry import PluginRegistry
from galaxy_core.model.device import AVAILABLE, Device, DeviceStatus, DeviceType, Discovery
from galaxy_core.model.events import DeviceEvent, EventType
from galaxy_core.model.policy import RetryPolicy
from galaxy_core.model.reasons import message_of, shown
from galaxy_core.model.request import Request
from galaxy_core.model.result import ExecutionResult
from galaxy_core.runtime.background import spawn
from galaxy_core.runtime.bus import EventBus, get_event_bus
from galaxy_core.runtime.clock import SYSTEM_CLOCK, Clock
from galaxy_core.runtime.finder import Finder, may_bring, worth_waiting
from galaxy_core.runtime.keeper import Keeper
from galaxy_core.runtime.lanes import Lane, LaneBook, Requirements
from galaxy_core.runtime.parts import component_logger, registry_of
from galaxy_core.runtime.settings import check_discovery, check_settings, settings_to_open, with_type
from galaxy_core.runtime.single import execute_on_lane

#: Seconds that a run waits for all of its devices to answer; after that, those must do that it cannot start without.
PATIENCE_S = 1.0


class DeviceRegistry:
    """What is known of each device, for callers of the API document."""

    def __init__(self, book: LaneBook) -> None:
        self._book = book

    def get_device_info(self, device_id: str) -> Device | None:
        """The device, or None when it is not registered."""
        lane = self._book.lanes.get(device_id)
        return lane.device if lane is not None else None

    def get_all_devices(self) -> dict[str, Device]:
        """All registered devices by id."""
        return {device_id: lane.device for device_id, lane in self._book.lanes.items()}


class ConstellationDeviceManager:
    """The devices of a host: registered, connected, watched, shared by all runs.

    Devices stay connected between runs until `disconnect_all`; ``async with`` does that at its end. `heartbeat_interval`
    is the time between two probes of a device, `reconnect_delay` the first wait before another try to connect (it
    doubles, up to a minute), both in seconds; after `max_retries` tries in a row a device counts as failed.
    """

    def __init__(
        self,
        task_name: str = "test_task",
        heartbeat_interval: float = 30.0,
        reconnect_delay: float = 5.0,
        *,
        max_retries: int = 5,
        plugins: PluginRegistry | Iterable[object] | None = None,
        event_bus: EventBus | None = None,
        clock: Clock = SYSTEM_CLOCK,
        enable_logging: bool = True,
    ) -> None:
        self.task_name = task_name
        self.heartbeat_interval = heartbeat_interval
        self.reconnect_delay = reconnect_delay
        self.max_retries = max_retries
        self.backoff = RetryPolicy(backoff_s=reconnect_delay)
        self.plugins = registry_of(plugins)
        self.event_bus = event_bus or get_event_bus()
        self.clock = clock
        self.lane_book = LaneBook()
        self.lane_book.may_be_found = self._may_be_found
        self.device_registry = DeviceRegistry(self.lane_book)
        self.discoveries: dict[str, Discovery] = {}
        self._keepers: dict[str, Keeper] = {}
        self._finders: dict[str, Finder] = {}
        self._told: dict[str, str] = {}  # by device, what was logged of its error
        self._came = anyio.Event()
        self._logger = component_logger("devices", enable_logging)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.disconnect_all()

    # ------------------------------------------------------------------------------------------- inventory
    def add_device(self, device: Device) -> None:
        """Register a device without connecting it; runs connect what is registered.

        Raises:
            DuplicateIdError: there is one of that id.
            UnknownTransportError, SettingsError: its transport is unknown, or refuses its settings.
            AssignmentError: it is no device.
        """
        if not isinstance(device, Device):
            raise AssignmentError(
                f"a Device is wanted, not {shown(device)}: Device('an id', 'local'), or the `devices` of load_inventory(…)"
            )
        if device.device_id in self.lane_book.lanes:
            raise DuplicateIdError("Device", device.device_id)
        transport = self.plugins.transport(device.transport, device.device_id)
        check_settings(transport, device)
        if device.device_type is None and transport.device_type is not None:
            device = with_type(device, transport.device_type)
        lane = self.lane_book.add(device)
        lane.transport = transport

    def add_discovery(self, discovery: Discovery) -> None:
        """Register a search for devices; runs start it, as they connect what is registered.

        Raises:
            DuplicateIdError: there is one of that name.
            UnknownTransportError: no plugin brings its transport.
            SettingsError: its transport finds nothing by itself, or refuses its settings.
        """
        name = discovery.name
        if name in self.discoveries:
            raise DuplicateIdError("Discovery", name)
        transport = self.plugins.transport(discovery.transport, name)
        check_discovery(transport, discovery)
        self.discoveries[name] = discovery
        self.lane_book.forget()

    async def register_device(
        self,
        device_id: str,
        transport: str = "local",
        settings: Mapping[str, Any] | None = None,
        os: str | None = None,
        capabilities: Iterable[str] | None = None,
        metadata: Mapping[str, Any] | None = None,
        auto_connect: bool = True,
        *,
        device_type: DeviceType | str | None = None,
        max_concurrency: int = 1,
    ) -> bool:
        """Register a device and, unless told not to, connect it. Whether it is connected (or was not asked to be).

        Raises:
            DuplicateIdError, UnknownTransportError, SettingsError: as `add_device`.
        """
        device = Device(
            device_id,
            transport,
            settings or {},
            device_type or os,
            list(capabilities or ()),
            metadata or {},
            max_concurrency,
        )
        self.add_device(device)
        return await self.connect_device(device_id) if auto_connect else True

    async def remove_device(self, device_id: str) -> bool:
        """Disconnect and forget a device; False when it is not registered."""
        lane = self.lane_book.lanes.get(device_id)
        if lane is None:
            return False
        while device_id in self._keepers:  # a run that starts meanwhile may connect it once more
            await self.disconnect_device(device_id)
        if self.lane_book.lanes.get(device_id) is not lane:  # somebody else has removed it meanwhile
            return False
        self.lane_book.remove(device_id)
        self._told.pop(device_id, None)
        return True

    # ------------------------------------------------------------------------------------------- connections
    async def connect_device(self, device_id: str) -> bool:
        """Connect a device, and keep it connected. Waits for the first success or failure; says which it was.

        Raises:
            UnknownDeviceError: it is not registered.
        """
        lane = self.lane_book.lane(device_id)
        await self._keep(lane).settled.wait()
        return lane.session is not None

    def start_connecting(self) -> None:
        """Connect every registered device that is not connected, and look for others, without waiting for any."""
        self._find()
        for lane in self.lane_book.lanes.values():
            self._keep(lane)

    def _keep(self, lane: Lane) -> Keeper:
        keeper = self._keepers.get(lane.device_id)
        if keeper is None:
            lane.gone = False
            self.lane_book.changed(lane)  # what it fits may be reached again
            keeper = self._keepers[lane.device_id] = Keeper(lane, self)
            spawn(keeper.run, f"galaxy device {lane.device_id}")
        keeper.revive()
        return keeper

    def _find(self) -> None:
        for name, discovery in self.discoveries.items():
            if name not in self._finders:
                finder = Finder(discovery, self.plugins.transport(discovery.transport, name), self)
                self._finders[name] = finder
                spawn(finder.run, f"galaxy discovery {name}")

    def _may_be_found(self, needs: Requirements) -> bool:
        """Whether some discovery may bring a device that meets these requirements."""
        return any(
            may_bring(discovery, self.plugins.transport(discovery.transport, name), needs)
            for name, discovery in self.discoveries.items()
        )

    def sightings(self) -> dict[str, dict[str, str]]:
        """What discoveries see and cannot use, with the reasons: by discovery, by what its transport knows it by."""
        return {name: dict(finder.problems) for name, finder in self._finders.items()}

    def failing_discoveries(self) -> dict[str, str]:
        """Discoveries that do not work just now, with the reasons."""
        return {name: message_of(finder.error) for name, finder in self._finders.items() if finder.error is not None}

    def _here(self, device_id: str) -> None:
        """For finders: a device is there, perhaps again."""
        lane = self.lane_book.lanes.get(device_id)
        if lane is not None:
            self._keep(lane).stir()

    def _gone(self, device_id: str, error: DeviceLostError) -> None:
        """For finders: a device is not there any more."""
        keeper = self._keepers.get(device_id)
        if keeper is not None:
            keeper.lost(error)

    async def connect_all(self) -> list[str]:
        """Connect every registered device that is not connected, at once; the ids of those that are now."""
        self._find()
        async with anyio.create_task_group() as group:
            for device_id, lane in self.lane_book.lanes.items():
                if lane.session is None:
                    group.start_soon(self._connect_if_there, device_id)
        return self.get_connected_devices()

    async def connect_enough(self, enough: Callable[[], bool], needs: Collection[Requirements] = ()) -> None:
        """Connect every registered device; after `PATIENCE_S` do not wait for the slow ones once `enough` says so.

        They go on connecting, and join what runs by then. For what fits none of them, devices that may still be found are
        waited for, as long as their discovery says (`Discovery.wait_s`).
        """
        self._find()
        await self._connect_registered(enough)
        begin = anyio.current_time()
        while (wait_s := worth_waiting(self._finders.values(), needs, self.lane_book)) > 0 and not enough():
            came = self._came
            with anyio.move_on_after(begin + wait_s - anyio.current_time()) as waiting:
                await came.wait()
            if waiting.cancelled_caught:
                break

    async def _connect_registered(self, enough: Callable[[], bool]) -> None:
        patient = True

        async def connect(device_id: str) -> None:
            await self._connect_if_there(device_id)
            if not patient and enough():
                waiting.cancel_scope.cancel()

        async def lose_patience() -> None:
            nonlocal patient
            await anyio.sleep(PATIENCE_S)
            patient = False
            while not enough():
                await self._came.wait()  # also by a later try, when the first has failed
            waiting.cancel_scope.cancel()

        async with anyio.create_task_group() as waiting:
            waiting.start_soon(lose_patience)
            async with anyio.create_task_group() as group:
                for device_id, lane in self.lane_book.lanes.items():
                    if lane.session is None:
                        group.start_soon(connect, device_id)
            waiting.cancel_scope.cancel()

    def attached(self) -> None:
        """For keepers: some device has a session now."""
        self._came.set()
        self._came = anyio.Event()

    async def _connect_if_there(self, device_id: str) -> None:
        if device_id in self.lane_book.lanes:  # else it was removed before this task had its first turn
            await self.connect_device(device_id)

    async def disconnect_device(self, device_id: str) -> None:
        """Disconnect a device and wait until its session is closed. Attempts that run on it end as lost."""
        keeper = self._keepers.get(device_id)
        if keeper is not None:
            keeper.stop()
            await keeper.ended.wait()

    async def disconnect_all(self) -> None:
        """Disconnect every device and wait until all sessions are closed."""
        async with anyio.create_task_group() as group:
            for finder in list(self._finders.values()):
                finder.stop()
                group.start_soon(finder.ended.wait)
        async with anyio.create_task_group() as group:
            for device_id in list(self._keepers):
                group.start_soon(self.disconnect_device, device_id)

    async def _prepare(self, device: Device) -> tuple[Any, Any, Redactor | None]:
        transport = self.plugins.transport(device.transport, device.device_id)
        return transport, *await settings_to_open(transport, device)

    def _status(self, lane: Lane, status: DeviceStatus, event_type: EventType | None = None) -> None:
        lane.status = status
        if self.event_bus.wants(EventType.DEVICE_STATUS_CHANGED) or (event_type and self.event_bus.wants(event_type)):
            info, everything = self._info(lane), self.get_all_devices()
            now, source = self.clock.wall(), "device_manager"
            error = {"error": message_of(lane.error)} if lane.error else {}
            self.event_bus.post(
                [
                    DeviceEvent(kind, source, now, dict(error), lane.device_id, info["status"], info, everything)
                    for kind in (event_type, EventType.DEVICE_STATUS_CHANGED)
                    if kind is not None
                ]
            )
        self._log_status(lane, status)

    def _log_status(self, lane: Lane, status: DeviceStatus) -> None:
        """What is wrong with a device is told once, however often it is tried in vain."""
        device_id, error = lane.device_id, lane.error
        if status not in (DeviceStatus.DISCONNECTED, DeviceStatus.FAILED) or error is None:
            if error is None:
                self._told.pop(device_id, None)
            self._logger.debug("device %r: %s", device_id, status.value)
            return
        text = message_of(error).removeprefix(f"device {device_id!r} is lost: ")
        if self._told.get(device_id) != text:
            self._told[device_id] = text
            self._logger.warning("device %r: %s (%s)", device_id, status.value, text)
        elif status is DeviceStatus.FAILED:
            again = "it is tried again when it is back" if device_id in self._keepers else "it is not tried again"
            self._logger.warning("device %r: failed; %s", device_id, again)
        else:
            self._logger.debug("device %r: %s (%s)", device_id, status.value, text)

    # ------------------------------------------------------------------------------------------- questions
    def get_connected_devices(self) -> list[str]:
        """Ids of the devices that have a session."""
        return [lane.device_id for lane in self.lane_book.available()]

    def get_all_devices(self, connected: bool = False) -> dict[str, dict[str, Any]]:
        """Info of every device by id; with `connected`, only of those that are connected, idle or busy."""
        return {
            device_id: self._info(lane)
            for device_id, lane in self.lane_book.lanes.items()
            if not connected or lane.status in AVAILABLE
        }

    def _info(self, lane: Lane) -> dict[str, Any]:
        device = lane.device
        status = lane.status
        if status in AVAILABLE:
            status = DeviceStatus.BUSY if lane.running else DeviceStatus.IDLE
        return {
            "device_id": device.device_id,
            "device_type": device.device_type,
            "transport": device.transport,
            "capabilities": sorted(device.capabilities),
            "metadata": dict(device.metadata),
            "status": status.value,
            "max_concurrency": device.max_concurrency,
            "error": message_of(lane.error) if lane.error else None,
            "facts": dict(lane.facts),
        }

    def get_device_status(self, device_id: str) -> dict[str, Any]:
        """Info of one device; ``{"error": …}`` when it is not registered."""
        lane = self.lane_book.lanes.get(device_id)
        return {"error": f"Device {device_id} not found"} if lane is None else self._info(lane)

    def get_task_queue_status(self, device_id: str) -> dict[str, Any]:
        """What runs on a device and what waits for it."""
        lane = self.lane_book.lanes.get(device_id)
        if lane is None:
            return {"error": f"Device {device_id} not found"}
        running = [worker.task.task_id for worker in self.lane_book.busy(lane) if worker.task is not None]
        queued = [task.task_id for task in lane.waiting()]
        return {
            "device_id": device_id,
            "is_busy": bool(running),
            "current_task_id": running[0] if running else None,
            "queue_size": len(queued),
            "queued_task_ids": queued,
            "pending_task_ids": running + queued,
        }

    # ------------------------------------------------------------------------------------------- single tasks
    async def assign_task_to_device(
        self,
        task_id: str,
        device_id: str,
        task_description: str,
        task_data: Mapping[str, Any] | None = None,
        timeout: float = 1000.0,
        *,
        request: Request | None = None,
    ) -> ExecutionResult:
        """Run one task outside of any plan: wait for a slot, execute once, and say how it ended.

        Whether the device is one for it is for the caller to know; `execute_single_task` looks at what a task requires.
        A failing task is a FAILED result, whose `metadata` says in `error_category` whether the device was lost
        ("connection_error"), the `timeout` seconds passed ("timeout_error") or it failed ("general_error").

        Raises:
            ValueError: the device is not registered, or not connected; the timeout is not positive.
        """
        lane = self.lane_book.lanes.get(device_id)
        if lane is None:
            raise UnknownDeviceError(device_id, self.lane_book.lanes)
        if lane.session is None:
            raise NotConnectedError(device_id, lane.status.value)
        data = dict(task_data or {})
        return await execute_on_lane(
            lane, task_id, task_description, data, timeout, request, self.clock, self._logger, self._load_changed
        )

    def _load_changed(self, lane: Lane) -> None:
        """A single task took a slot or gave it back. Runs do not tell that: they have events for each task."""
        status = DeviceStatus.BUSY if lane.running else DeviceStatus.IDLE
        if lane.status in AVAILABLE and lane.status is not status:
            self._status(lane, status)
