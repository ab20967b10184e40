"""One JSON object per event and line, for programs. The schema stands in docs/reference/cli.md."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, Self

import anyio.to_thread

from galaxy_core import ConstellationEvent, DeviceEvent, Event, EventType, ExecutionResult, TaskConstellation, TaskEvent
from galaxy_core_cli import say
from galaxy_core_cli.streams import Lines

#: The fields of an ended task that stand in its event, as `ExecutionResult.to_dict` has them.
_OF_RESULT = ("exit_code", "stdout", "stderr", "attempts", "files", "metadata")
_NAMES = {
    EventType.CONSTELLATION_STARTED: "run_started",
    EventType.CONSTELLATION_MODIFIED: "plan_modified",
}
#: What is told by the last line, `run_result`, or is of no use to anybody outside.
_NOT_TOLD = frozenset(
    {
        EventType.CONSTELLATION_COMPLETED,
        EventType.CONSTELLATION_FAILED,
        EventType.CONSTELLATION_CANCELLED,
        EventType.DEVICE_CONNECTED,
        EventType.DEVICE_DISCONNECTED,
        EventType.TASK_OUTPUT,
    }
)


def encoded(document: Mapping[str, Any]) -> str:
    """One line. Nothing but ASCII, so that no terminal and no reader stumbles over it."""
    return json.dumps(document, ensure_ascii=True, allow_nan=False, default=str, separators=(",", ":"))


class JsonReporter:
    """Writes events to `lines`. With `output`, what tasks print is told as they print it, too."""

    def __init__(self, constellation: TaskConstellation, lines: Lines, *, output: bool = False) -> None:
        told = frozenset(EventType) - _NOT_TOLD
        self.heard = told | {EventType.TASK_OUTPUT} if output else told
        self._constellation = constellation
        self._lines = lines

    async def on_event(self, event: Event) -> None:
        await self.on_events([event])

    async def on_events(self, events: Sequence[Event]) -> None:
        await anyio.to_thread.run_sync(self._lines.write, [encoded(self.document(event)) for event in events])

    def document(self, event: Event) -> dict[str, Any]:
        """An event as plain data."""
        kind = _NAMES.get(event.event_type, event.event_type.value)
        found: dict[str, Any] = {"type": kind, "time": event.timestamp}
        if isinstance(event, TaskEvent):
            found |= self._of_task(event)
        elif isinstance(event, ConstellationEvent):
            found |= {
                "run": event.constellation_id,
                "name": self._constellation.name,
                "status": event.constellation_state,
            }
            if event.event_type is EventType.CONSTELLATION_STARTED:
                found["total_tasks"] = event.data.get("total_tasks")
                found["strategy"] = event.data.get("assignment_strategy")
        elif isinstance(event, DeviceEvent):
            found |= {
                "device": event.device_id,
                "status": event.device_status,
                "error": event.data.get("error") or event.device_info.get("error"),
            }
        return found

    def _of_task(self, event: TaskEvent) -> dict[str, Any]:
        data, result = event.data, event.result
        found: dict[str, Any] = {"task": event.task_id, "status": event.status}
        if isinstance(result, ExecutionResult):
            document = result.to_dict()
            found |= {"device": result.device_id, "duration_s": result.execution_time}
            found |= {name: document[name] for name in _OF_RESULT}
            if result.value != result.stdout:
                found["value"] = document["result"]
        elif event.event_type is EventType.TASK_STARTED:
            task = self._constellation.get_task(event.task_id)
            found |= {"device": task.target_device_id if task else None, "attempt": task.attempts if task else None}
        for name in ("device_id", "wait_s", "reason", "attempts", "stream", "text"):
            if name in data:
                found["device" if name == "device_id" else name] = data[name]
        if event.error is not None:
            found |= {"error": str(event.error), "error_type": type(event.error).__name__}
            cause = getattr(event.error, "cause_id", None)
            if cause is not None:
                found["cause"] = cause
        return found

    async def keep_current(self, why: Callable[[str], object]) -> None:
        """Nothing moves here."""

    def tell(self, text: str) -> None:
        say.note(text)

    def restore(self) -> None:
        """Lines leave nothing behind."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Every line is out already."""


def error_document(problem: BaseException) -> dict[str, Any]:
    """What is told when nothing ran."""
    return {"type": "error", "time": time.time(), "error": str(problem), "error_type": type(problem).__name__}
