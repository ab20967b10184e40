"""ConstellationManager: assignment, and the constellations under management."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import Any
from weakref import WeakSet

from galaxy_core.errors import AssignmentError, NoDevicesError, UnknownDeviceError
from galaxy_core.extension.registry import PluginRegistry
from galaxy_core.model.constellation import TaskConstellation
from galaxy_core.model.events import EventType, TaskEvent
from galaxy_core.model.result import UNSTARTED
from galaxy_core.model.task import TaskStar
from galaxy_core.runtime.bus import EventBus, get_event_bus
from galaxy_core.runtime.checking import check_pins_alone
from galaxy_core.runtime.foreign import is_ours, lanes_of
from galaxy_core.runtime.lanes import DEFAULT_ESTIMATE_S, LaneBook, needs_of
from galaxy_core.runtime.parts import component_logger, registry_of
from galaxy_core.runtime.placing import ask, no_fit_on


class ConstellationManager:
    """Assigns devices to tasks by strategies that plugins bring, and keeps track of constellations.

    `device_manager` may be any object with ``get_connected_devices()``, ``device_registry.get_device_info(id)`` and
    ``assign_task_to_device(…)``. `plugins` is a registry, or plugin objects to use beside the installed ones;
    `event_bus` by default that of our own device managers, else the one of the process.
    """

    def __init__(
        self,
        device_manager: Any = None,
        enable_logging: bool = True,
        *,
        plugins: PluginRegistry | Iterable[object] | None = None,
        event_bus: EventBus | None = None,
    ) -> None:
        self.device_manager = device_manager
        self._event_bus = event_bus
        theirs = getattr(device_manager, "plugins", None)  # a foreign manager may have something else of that name
        shared = theirs if plugins is None and isinstance(theirs, PluginRegistry) else plugins
        self.plugins: PluginRegistry = registry_of(shared)
        self._constellations: dict[str, TaskConstellation] = {}
        self._metadata: dict[str, dict[str, Any]] = {}
        self._assigned: WeakSet[TaskConstellation] = WeakSet()  # assigned here and not running: they hold devices, too
        self._logger = component_logger("manager", enable_logging)

    def set_device_manager(self, device_manager: Any) -> None:
        """Use these devices from now on."""
        self.device_manager = device_manager

    def lanes(self) -> LaneBook:
        """The lanes of the device manager.

        Raises:
            NoDevicesError: there is no device manager, or it raised.
        """
        if self.device_manager is None:
            raise NoDevicesError("Device manager not available for device assignment")
        return lanes_of(self.device_manager)

    # ------------------------------------------------------------------------------------------- assignment
    async def assign_devices_automatically(
        self,
        constellation: TaskConstellation,
        strategy: str = "round_robin",
        device_preferences: Mapping[str, str] | None = None,
        *,
        available: bool = True,
        insist: bool = True,
    ) -> dict[str, str]:
        """Assign a device to every task that has not started and is not pinned; all of them, or none.

        Preferences are kept to the letter. With ``insist=False`` one that cannot be kept is dropped: the strategy
        places the task, and a TASK_ASSIGNED event tells where, and why. With ``available=False`` devices count that are
        registered but not connected, as for a preview. Returns the device id of every task that has one.

        Raises:
            ValueError: no device manager or device, an unknown strategy, a preference that is unavailable, does not fit
                or contradicts a pin, a pin on an unknown device, or a task that fits nowhere.
            StrategyError: the strategy raised, or returned what cannot be used.
        """
        book = self.lanes()
        if not (book.available() if available else book.lanes):
            check_pins_alone(constellation, book)
            raise NoDevicesError(
                "No available devices for assignment: "
                + (
                    "; ".join(f"device {device_id!r} {lane.why_away()}" for device_id, lane in book.lanes.items())
                    or "; ".join(("none is registered", *self._searches()))
                )
            )
        chosen = self.plugins.strategy(strategy)
        placed, dropped = self._preferred(constellation, book, device_preferences or {}, available, insist)
        open_tasks, pins = [], []
        for task in constellation._tasks.values():
            if task._status in UNSTARTED:
                if task._pinned:
                    pins.append(task)
                if task._task_id not in placed:
                    if task._pinned:
                        self._check_pin(task, book)
                    else:
                        open_tasks.append(task)
        extra = self._held_elsewhere(constellation, pins, placed.values(), book)
        found = ask(chosen, book, open_tasks, constellation, extra, available=available) if open_tasks else {}
        for task in open_tasks:
            task._target_device_id = found[task._task_id]
        for task_id, device_id in placed.items():
            constellation._tasks[task_id]._target_device_id = device_id
        self._assigned.add(constellation)
        self._tell_dropped(constellation, dropped)
        count = len(found) + len(placed)
        self._logger.info("assigned %d tasks of %s by %s", count, constellation.constellation_id, strategy)
        if len(found) == len(constellation._tasks):
            return found  # of a large plan each walk over all of it is felt
        return {
            task._task_id: task._target_device_id
            for task in constellation._tasks.values()
            if task._target_device_id is not None
        }

    def _searches(self) -> Iterable[str]:
        """What discoveries saw and did not take, in sentences; none of foreign device managers."""
        if not is_ours(self.device_manager):
            return
        sightings, broken = self.device_manager.sightings(), self.device_manager.failing_discoveries()
        for name in self.device_manager.discoveries:
            seen = sightings.get(name)
            said = []
            if seen:
                reasons = [f"{key!r} ({why})" for key, why in list(seen.items())[:5]]
                more = f" and {len(seen) - 5} more" if len(seen) > 5 else ""
                said.append(f"sees, and cannot take, {', '.join(reasons)}{more}")
            if name in broken:
                said.append(f"does not work: {broken[name]}")
            yield f"discovery {name!r} {' and '.join(said) or 'has seen nothing'}"

    def _preferred(
        self,
        constellation: TaskConstellation,
        book: LaneBook,
        preferences: Mapping[str, str],
        available: bool,
        insist: bool,
    ) -> tuple[dict[str, str], dict[str, tuple[str, str]]]:
        """The device of each task whose preference is kept; of the others, which one it was, and why not."""
        placed, dropped = {}, {}
        for task_id, device_id in preferences.items():
            task = constellation._known(task_id)
            if task._status not in UNSTARTED:
                continue
            if not isinstance(device_id, str):
                raise UnknownDeviceError(device_id, book.lanes, f"Preference of task {task_id!r}: ")
            lack = _unavailable(task, device_id, book, available)
            if lack is None:
                placed[task_id] = device_id
            elif not insist:
                dropped[task_id] = device_id, lack
            elif device_id not in book.lanes:
                raise UnknownDeviceError(device_id, book.lanes, f"Preference of task {task_id!r}: ")
            else:
                raise AssignmentError(
                    f"Task {task_id!r} prefers device {device_id!r}, which {lack}. "
                    "Drop the preference, or make the device available."
                )
        return placed, dropped

    def _tell_dropped(self, constellation: TaskConstellation, dropped: Mapping[str, tuple[str, str]]) -> None:
        theirs = self.device_manager.event_bus if is_ours(self.device_manager) else None
        bus = self._event_bus or theirs or get_event_bus()
        if dropped and bus.wants(EventType.TASK_ASSIGNED):
            about, now = {"constellation_id": constellation.constellation_id}, time.time()
            for task_id, (preferred, why) in dropped.items():
                device_id = constellation._tasks[task_id]._target_device_id
                data = {**about, "device_id": device_id, "preferred_device_id": preferred, "reason": why}
                kind, source_id = EventType.TASK_ASSIGNED, "constellation_manager"
                bus.post((TaskEvent(kind, source_id, now, data, task_id, "pending"),))

    def _check_pin(self, task: TaskStar, book: LaneBook) -> None:
        device_id = task._target_device_id or ""
        lane = book.lanes.get(device_id)
        if lane is None:
            raise UnknownDeviceError(device_id, book.lanes, f"Task {task._task_id!r} is pinned to it: ")
        if lane.lacks(needs_of(task)) is not None:
            raise no_fit_on(lane, task)

    def _held_elsewhere(
        self, constellation: TaskConstellation, pins: Iterable[TaskStar], placed: Iterable[str], book: LaneBook
    ) -> dict[str, tuple[int, float]]:
        """Tasks and seconds by device that lanes do not count: assigned but not running, pinned, preferred."""
        held: dict[str, tuple[int, float]] = {}

        def add(device_id: str, seconds: float) -> None:
            tasks, total = held.get(device_id, (0, 0.0))
            held[device_id] = (tasks + 1, total + seconds)

        running = {getattr(run, "constellation", None) for run in book.runs}
        for other in {*self._assigned, *self._constellations.values()} - running - {constellation}:
            for task in other._tasks.values():
                if task._target_device_id and not task.is_terminal:
                    add(task._target_device_id, _estimate(task))
        for task in pins:
            if task._target_device_id:
                add(task._target_device_id, _estimate(task))
        for device_id in placed:
            add(device_id, DEFAULT_ESTIMATE_S)
        return held

    def reassign_task_device(self, constellation: TaskConstellation, task_id: str, new_device_id: str) -> bool:
        """Pin a task to another device; False when there is no such task.

        Raises:
            ImmutableError: I3, it has started.
        """
        task = constellation.get_task(task_id)
        if task is None:
            return False
        task.target_device_id = new_device_id
        return True

    def clear_device_assignments(self, constellation: TaskConstellation) -> int:
        """Take the device of every task that has not started; how many had one."""
        cleared = 0
        for task in constellation.get_modifiable_tasks():
            if task.target_device_id is not None:
                task.target_device_id = None
                cleared += 1
        self._assigned.discard(constellation)
        return cleared

    def validate_constellation_assignments(self, constellation: TaskConstellation) -> tuple[bool, list[str]]:
        """Whether every task has a device that is registered, and what is wrong."""
        known = self.lanes().lanes if self.device_manager is not None else None
        errors = []
        for task in constellation.get_all_tasks():
            if not task.target_device_id:
                errors.append(f"Task '{task.task_id}' has no device assignment")
            elif known is not None and task.target_device_id not in known and not task.is_terminal:
                errors.append(f"Task '{task.task_id}' is assigned to unknown device '{task.target_device_id}'")
        return not errors, errors

    # ------------------------------------------------------------------------------------------- management
    def register_constellation(
        self, constellation: TaskConstellation, metadata: Mapping[str, Any] | None = None
    ) -> str:
        """Keep track of a constellation; its id."""
        self._constellations[constellation.constellation_id] = constellation
        self._metadata[constellation.constellation_id] = dict(metadata or {})
        return constellation.constellation_id

    def unregister_constellation(self, constellation_id: str) -> bool:
        """Forget a constellation; False when it is not known."""
        found = self._constellations.pop(constellation_id, None)
        self._metadata.pop(constellation_id, None)
        if found is not None:
            self._assigned.discard(found)
        return found is not None

    def get_constellation(self, constellation_id: str) -> TaskConstellation | None:
        """A managed constellation, or None."""
        return self._constellations.get(constellation_id)

    def list_constellations(self) -> list[dict[str, Any]]:
        """Info of every managed constellation."""
        return [
            {
                "constellation_id": constellation_id,
                "name": constellation.name,
                "state": constellation.state.value,
                "task_count": constellation.task_count,
                "dependency_count": constellation.dependency_count,
                "metadata": dict(self._metadata[constellation_id]),
            }
            for constellation_id, constellation in self._constellations.items()
        ]

    async def get_constellation_status(self, constellation_id: str) -> dict[str, Any] | None:
        """Where a managed constellation stands, with lists of task ids; None when it is not known."""
        constellation = self._constellations.get(constellation_id)
        if constellation is None:
            return None
        return {
            "constellation_id": constellation_id,
            "name": constellation.name,
            "state": constellation.state.value,
            "statistics": constellation.get_statistics(),
            "ready_tasks": [task.task_id for task in constellation.get_ready_tasks()],
            "running_tasks": [task.task_id for task in constellation.get_running_tasks()],
            "completed_tasks": [task.task_id for task in constellation.get_completed_tasks()],
            "failed_tasks": [task.task_id for task in constellation.get_failed_tasks()],
            "metadata": dict(self._metadata[constellation_id]),
        }

    # ------------------------------------------------------------------------------------------- devices
    async def get_available_devices(self) -> list[dict[str, Any]]:
        """Info of every device that is connected; none without a device manager."""
        if self.device_manager is None:
            return []
        return [
            {
                "device_id": lane.device_id,
                "device_type": lane.device.device_type or "unknown",
                "capabilities": sorted(lane.device.capabilities),
                "status": "connected",
                "metadata": dict(lane.device.metadata),
            }
            for lane in lanes_of(self.device_manager).available()
        ]

    def get_device_utilization(self, constellation: TaskConstellation) -> dict[str, int]:
        """The number of tasks of a constellation on each device that has any."""
        counts: dict[str, int] = {}
        for task in constellation.get_all_tasks():
            if task.target_device_id:
                counts[task.target_device_id] = counts.get(task.target_device_id, 0) + 1
        return counts

    def get_task_device_info(self, constellation: TaskConstellation, task_id: str) -> dict[str, Any] | None:
        """Info of a task's device; None when the task, its device or the device manager is missing."""
        task = constellation.get_task(task_id)
        if task is None or not task.target_device_id or self.device_manager is None:
            return None
        lane = lanes_of(self.device_manager).lanes.get(task.target_device_id)
        if lane is None:
            return None
        return {
            "device_id": lane.device_id,
            "device_type": lane.device.device_type or "unknown",
            "capabilities": sorted(lane.device.capabilities),
            "metadata": dict(lane.device.metadata),
        }


def _estimate(task: TaskStar) -> float:
    return DEFAULT_ESTIMATE_S if task._estimate_s is None else task._estimate_s


def _unavailable(task: TaskStar, device_id: str, book: LaneBook, available: bool) -> str | None:
    """Why a task cannot have the device that it prefers, as a verb and what follows; None when it can."""
    lane = book.lanes.get(device_id)
    if lane is None:
        return "is not registered"
    if task._pinned and task._target_device_id != device_id:
        return f"is not {task._target_device_id!r}, to which the task is pinned"
    if (lack := lane.lacks(needs_of(task))) is not None:
        return lack
    return f"is {lane.status.value}" if available and lane.session is None else None
