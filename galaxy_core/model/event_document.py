"""Events as plain data, as `galaxy run --json` prints them: docs/reference/cli.md has the fields."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from galaxy_core.model.constellation import TaskConstellation
from galaxy_core.model.events import ConstellationEvent, DeviceEvent, Event, EventType, TaskEvent
from galaxy_core.model.reasons import leaves, message_of
from galaxy_core.model.result import ExecutionResult
from galaxy_core.model.serial import plain
from galaxy_core.model.task import TaskStar

#: The last events of a run; their documents are called `run_result`.
FINAL = frozenset(
    {
        EventType.CONSTELLATION_COMPLETED,
        EventType.CONSTELLATION_FAILED,
        EventType.CONSTELLATION_CANCELLED,
        EventType.CONSTELLATION_STOPPED,
    }
)
_NAMES: Mapping[EventType, str] = MappingProxyType(
    {
        EventType.CONSTELLATION_STARTED: "run_started",
        EventType.CONSTELLATION_PAUSED: "run_paused",
        EventType.CONSTELLATION_PROCEEDED: "run_continued",
        EventType.CONSTELLATION_MODIFIED: "plan_modified",
        **dict.fromkeys(FINAL, "run_result"),
    }
)
#: The fields of an ended task that stand in its event, as `ExecutionResult.to_dict` has them.
_OF_RESULT = ("exit_code", "stdout", "stderr", "attempts", "files", "metadata")
_OF_TASK = MappingProxyType(
    {name: name for name in ("wait_s", "reason", "attempts", "stream", "text")} | {"device_id": "device"}
)
#: Of edits, modifications and pauses.
_OF_EDIT = MappingProxyType(
    {
        name: name
        for name in (
            *("edit_id", "description", "author", "base_revision", "before", "revision", "diff"),
            *("problems", "reason", "policy", "hold", "by"),
        )
    }
    | {"on_task_id": "tasks"}
)


def event_document(event: Event, constellation: TaskConstellation) -> dict[str, Any]:
    """An event of a run of `constellation`, or of its devices, as plain data that JSON can hold."""
    found: dict[str, Any] = {
        "type": _NAMES.get(event.event_type, event.event_type.value),
        "time": event.timestamp,
    }
    if isinstance(event, TaskEvent):
        found |= _task(event, constellation.get_task(event.task_id))
    elif isinstance(event, ConstellationEvent):
        found |= {
            "run": event.constellation_id,
            "name": constellation.name,
            "status": event.constellation_state,
        }
        if event.event_type is EventType.CONSTELLATION_STARTED:
            found["total_tasks"] = event.data.get("total_tasks")
            found["strategy"] = event.data.get("assignment_strategy")
        elif event.event_type in FINAL:
            found |= _result(event, constellation)
        else:
            found |= {key: plain(event.data[name]) for name, key in _OF_EDIT.items() if name in event.data}
    elif isinstance(event, DeviceEvent):
        found |= {
            "device": event.device_id,
            "status": event.device_status,
            "error": event.data.get("error") or event.device_info.get("error"),
        }
    return found


def _task(event: TaskEvent, task: TaskStar | None) -> dict[str, Any]:
    data, result = event.data, event.result
    found: dict[str, Any] = {"task": event.task_id, "status": event.status}
    if task is not None and (name := own_name(task)) is not None:
        found["name"] = name
    if isinstance(result, ExecutionResult):
        document = result.to_dict()
        found |= {"device": result.device_id, "duration_s": result.execution_time}
        found |= {name: document[name] for name in _OF_RESULT}
        # Only a text can be the same as another: what a foreign value's own comparison does is not known.
        if result.value is not result.stdout and (type(result.value) is not str or result.value != result.stdout):
            found["value"] = document["result"]
    elif event.event_type is EventType.TASK_STARTED:
        found |= {"device": task.target_device_id if task else None, "attempt": task.attempts if task else None}
    found |= {key: plain(data[name]) for name, key in _OF_TASK.items() if name in data}
    if event.error is not None:
        errors = list(leaves(event.error))
        kind = errors[0] if len(errors) == 1 else event.error
        found |= {"error": message_of(event.error), "error_type": type(kind).__name__}
        cause = getattr(event.error, "cause_id", None)
        if cause is not None:
            found["cause"] = cause
    return found


def _result(event: ConstellationEvent, constellation: TaskConstellation) -> dict[str, Any]:
    statistics = event.data.get("statistics") or {}
    return {
        "total_tasks": constellation.task_count,
        "counts": statistics.get("task_status_counts", {}),
        "duration_s": constellation.execution_duration,
        "critical_path_s": statistics.get("critical_path_length"),
        "critical_path": statistics.get("critical_path_tasks", []),
        "total_work_s": statistics.get("total_work"),
        "parallelism": statistics.get("parallelism_ratio"),
    }


def own_name(task: TaskStar) -> str | None:
    """The name that somebody gave it; None when there is none, or it is the id."""
    task_id, name = task.task_id, task.name  # where there is none, the kernel makes one of the id
    return None if name in {task_id, f"task_{task_id[:8]}"} else name
