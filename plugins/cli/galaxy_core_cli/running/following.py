"""A run of another process in the plain look: its events are made again of what its control socket tells of them."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Any

from galaxy_core import (
    ConstellationEvent,
    Event,
    EventType,
    ExecutionResult,
    GalaxyError,
    TaskConstellation,
    TaskEvent,
    TaskStar,
)
from galaxy_core_cli.running.board import HEARD
from galaxy_core_cli.running.edits import EDITS
from galaxy_core_cli.running.plain import PlainLines
from galaxy_core_cli.text import count, duration, safe_line

_KINDS = {kind.value: kind for kind in EventType} | {
    "run_started": EventType.CONSTELLATION_STARTED,
    "run_paused": EventType.CONSTELLATION_PAUSED,
    "run_continued": EventType.CONSTELLATION_PROCEEDED,
}
_TOLD = HEARD | EDITS.keys()
_ENDS = ("completed", "failed", "unknown", "skipped", "cancelled")


class Follower:
    """Of a run that stands as `status` says: lines for what happens in it from now on."""

    def __init__(self, status: Mapping[str, Any]) -> None:
        self._status = status
        self._run = str(status["run"])
        # Only tasks of which something was heard are in it, for their names.
        self._mirror = TaskConstellation(self._run, status["name"])
        self._plain = PlainLines(self._mirror)
        self._plain.board.started = status["started"]

    def beginning(self) -> Iterator[str]:
        """How the run stands."""
        status = self._status
        if status["started"] is None:
            yield f"{safe_line(status['name'])} has not started yet"
            return
        done = [f"{status['counts'][name]:,} {name}" for name in _ENDS if status["counts"].get(name)]
        held = [status["status"]] if status.get("status") in ("paused", "stopping") else []
        yield f"{safe_line(status['name'])}: {', '.join([count(status['total_tasks'], 'task'), *done, *held])}"
        for task in status["running"]:
            event = self._task(
                {"type": "task_started", "status": "running", "time": task["since"] or time.time(), **task}
            )
            yield from (line.replace("] start     ", "] running   ", 1) for line in self._plain.of([event]))

    def lines(self, document: Mapping[str, Any]) -> Iterator[str]:
        """What is told of an event."""
        kind = _KINDS.get(document.get("type", ""))
        if document.get("type") == "run_result":
            yield self._verdict(document)
        elif kind in _TOLD:
            yield from self._plain.of([self._event(kind, document)])

    def _event(self, kind: EventType, document: Mapping[str, Any]) -> Event:
        if "task" in document:
            return self._task(document)
        if "run" in document:
            return ConstellationEvent(
                kind, "control", document["time"], document, document["run"], str(document.get("status"))
            )
        return Event(kind, "control", document["time"], document)

    def _task(self, document: Mapping[str, Any]) -> TaskEvent:
        task_id, status = document["task"], document["status"]
        task = self._mirror.get_task(task_id)
        if task is None:
            task = TaskStar(task_id, document.get("name") or "")
            self._mirror.add_task(task)
        if document["type"] == "task_started":
            task.target_device_id = document.get("device")
        result = None
        if "exit_code" in document:
            stdout, device = document.get("stdout"), document.get("device")
            result = ExecutionResult(
                task_id, status, stdout=stdout, device_id=device, attempts=document.get("attempts") or 1
            )
        error = GalaxyError(document["error"]) if document.get("error") else None
        kind = _KINDS[document["type"]]
        return TaskEvent(kind, "control", document["time"], document, task_id, status, result, error)

    def _verdict(self, result: Mapping[str, Any]) -> str:
        counts, status = result["counts"], result["status"]
        words = "failed" if status == "partially_failed" else status
        done = counts.get("completed", 0)
        parts = [f"{done:,} of {count(result['total_tasks'], 'task')} done"]
        parts += [f"{counts[name]:,} {name}" for name in _ENDS[1:] if counts.get(name)]
        took = f" in {duration(result['duration_s'])}" if result.get("duration_s") is not None else ""
        return f"{safe_line(self._status['name'])} {safe_line(words)}: {', '.join(parts)}{took}"
