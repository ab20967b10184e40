"""Device managers other than ours: anything with the methods that callers of the API document rely on.

Such an object says which devices are connected and runs a task on one. It gets lanes like any other, so that bounded
concurrency, deadlines, retries and cancellation are the kernel's here too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from weakref import WeakKeyDictionary, ref

from galaxy_core.errors import NoDevicesError
from galaxy_core.extension.interfaces import Attempt, Completed, Outcome
from galaxy_core.model.device import Device, DeviceStatus, DeviceType
from galaxy_core.model.reasons import message_of
from galaxy_core.model.task import DEFAULT_TIMEOUT_S
from galaxy_core.runtime.lanes import LaneBook


def _of(thing: Any, name: str, *types: type) -> Any:
    """An attribute of a foreign object, if it is there and of these types; None otherwise."""
    found = getattr(thing, name, None)
    return found if isinstance(found, types) else None


def _reference(manager: Any) -> Callable[[], Any]:
    """A way to the manager that does not keep it alive, if it allows that: what leads here is kept beside it."""
    try:
        return ref(manager)
    except TypeError:
        return lambda: manager


class ForeignSession:
    """One device of a foreign manager."""

    def __init__(self, manager: Any, device_id: str) -> None:
        self._manager = _reference(manager)
        self._device_id = device_id

    async def execute(self, attempt: Attempt) -> Outcome:
        """Have the manager run the task, and take its result for the outcome."""
        task = attempt.task
        more = {} if attempt.request is None else {"request": attempt.request}
        result = await self._manager().assign_task_to_device(
            task_id=task.task_id,
            device_id=self._device_id,
            task_description=task.to_request_string(),
            task_data=task.task_data,
            timeout=attempt.timeout_s or DEFAULT_TIMEOUT_S,
            **more,
        )
        error = _of(result, "error", BaseException, str)
        if error is None and str(getattr(result, "status", "completed")) not in ("completed", "success"):
            error = f"device {self._device_id!r} said {result.status!s}"
        return Completed(
            value=getattr(result, "result", result),
            exit_code=_of(result, "exit_code", int),
            stdout=_of(result, "stdout", str),
            stderr=_of(result, "stderr", str),
            error=error,
            metadata=_of(result, "metadata", dict) or None,
        )

    async def probe(self) -> Mapping[str, str]:
        """The manager looks after its own devices."""
        return {}


class ForeignLanes(LaneBook):
    """Lanes over a foreign device manager, brought up to date by `refresh`."""

    def __init__(self, manager: Any) -> None:
        super().__init__()
        self._manager = _reference(manager)

    def refresh(self) -> None:
        """Ask the manager which devices are connected, and what they are.

        Raises:
            NoDevicesError: the manager raised; its error is chained.
        """
        manager = self._manager()
        try:
            connected = list(manager.get_connected_devices())
        except Exception as error:  # the caller receives it, as the cause
            why = f"the device manager raised {message_of(error)}"
            raise NoDevicesError(f"No available devices for assignment: {why}") from error
        for device_id in connected:
            lane = self.lanes.get(device_id) or self.add(self._describe(device_id))
            if lane.session is None:
                lane.session, lane.gone = ForeignSession(manager, device_id), False
                lane.status = DeviceStatus.CONNECTED
                self.changed(lane)
                lane.pump()
        for device_id, lane in self.lanes.items():
            if device_id not in connected and lane.session is not None:
                lane.session, lane.gone = None, True  # it is for the manager to bring it back
                lane.status = DeviceStatus.DISCONNECTED
                self.changed(lane)

    def _describe(self, device_id: str) -> Device:
        registry = getattr(self._manager(), "device_registry", None)
        info = registry.get_device_info(device_id) if registry is not None else None
        return Device(
            device_id,
            "foreign",
            device_type=_of(info, "device_type", str, DeviceType),
            capabilities=_of(info, "capabilities", list, tuple, set, frozenset) or (),
            metadata=_of(info, "metadata", dict) or {},
            max_concurrency=max(1, _of(info, "max_concurrency", int) or 1),
        )


_foreign: WeakKeyDictionary[Any, ForeignLanes] = WeakKeyDictionary()


def is_ours(manager: Any) -> bool:
    """Whether it has lanes of its own; a mock that passes for our class has none."""
    return isinstance(getattr(manager, "lane_book", None), LaneBook)


def lanes_of(manager: Any) -> LaneBook:
    """The lanes over a device manager: its own, or those kept for a foreign one, brought up to date."""
    if is_ours(manager):
        book: LaneBook = manager.lane_book
        return book
    try:
        foreign = _foreign.get(manager)
        if foreign is None:
            foreign = _foreign[manager] = ForeignLanes(manager)
    except TypeError:  # no weak references, or no hash: such an object gets lanes for this call
        foreign = ForeignLanes(manager)
    foreign.refresh()
    return foreign
