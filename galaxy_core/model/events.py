"""Event values: what happened, to whom, when. Made by the kernel, heard through the event bus, never changed."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Any

from attrs import define, field


class EventType(Enum):
    """What an event is about. The first twelve are the API document's; the rest are added by this kernel."""

    # A member is equal to itself alone; that is hashed at a tenth of the cost of its name, and for each event and observer.
    __hash__ = object.__hash__

    TASK_STARTED = "task_started"
    TASK_COMPLETED = "task_completed"
    TASK_FAILED = "task_failed"
    CONSTELLATION_STARTED = "constellation_started"
    CONSTELLATION_COMPLETED = "constellation_completed"
    CONSTELLATION_FAILED = "constellation_failed"
    CONSTELLATION_MODIFIED = "constellation_modified"
    AGENT_RESPONSE = "agent_response"
    AGENT_ACTION = "agent_action"
    DEVICE_CONNECTED = "device_connected"
    DEVICE_DISCONNECTED = "device_disconnected"
    DEVICE_STATUS_CHANGED = "device_status_changed"
    TASK_OUTPUT = "task_output"
    TASK_RETRYING = "task_retrying"
    TASK_CANCELLED = "task_cancelled"
    TASK_SKIPPED = "task_skipped"
    TASK_UNKNOWN = "task_unknown"
    TASK_ASSIGNED = "task_assigned"
    CONSTELLATION_CANCELLED = "constellation_cancelled"
    CONSTELLATION_PAUSED = "constellation_paused"
    CONSTELLATION_PROCEEDED = "constellation_proceeded"
    CONSTELLATION_STOPPED = "constellation_stopped"
    MODIFICATION_TIMED_OUT = "modification_timed_out"
    MODIFICATION_REFUSED = "modification_refused"
    EDIT_OPENED = "edit_opened"
    EDIT_COMMITTED = "edit_committed"
    EDIT_REFUSED = "edit_refused"
    EDIT_CONFLICTED = "edit_conflicted"
    EDIT_TIMED_OUT = "edit_timed_out"
    EDIT_UNDONE = "edit_undone"


@define
class Event:
    """`timestamp` is seconds since the epoch; `data` belongs to the event type and is described in docs/reference/events.md."""

    event_type: EventType
    source_id: str
    timestamp: float
    data: Mapping[str, Any]


@define
class TaskEvent(Event):
    """Of one task. `status` is the task's new status as a string; `result` the ExecutionResult of an ended task."""

    task_id: str
    status: str
    result: Any = None
    error: BaseException | None = None


@define
class ConstellationEvent(Event):
    """Of a whole plan. `new_ready_tasks` is kept for the API document and is always None."""

    constellation_id: str
    constellation_state: str
    new_ready_tasks: list[str] | None = None


@define
class DeviceEvent(Event):
    """Of a device. `all_devices` is a snapshot of every device's info by id."""

    device_id: str
    device_status: str
    device_info: Mapping[str, Any] = field(factory=dict)
    all_devices: Mapping[str, Any] = field(factory=dict)


@define
class AgentEvent(Event):
    """Of a program that edits plans, such as a language-model agent."""

    agent_name: str
    agent_type: str
    output_type: str
    output_data: Mapping[str, Any] = field(factory=dict)
