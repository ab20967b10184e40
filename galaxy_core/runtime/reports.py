"""Reports: the events of one run, gathered and posted in batches. No event is made that nobody hears.

All observers get the same event, so its `data` is read-only: what one of them changed, all would see.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import anyio

from galaxy_core.extension.interfaces import Attempt, OutputSink
from galaxy_core.model.constellation import TaskConstellation
from galaxy_core.model.events import ConstellationEvent, Event, EventType, TaskEvent
from galaxy_core.model.result import ExecutionResult, TaskStatus
from galaxy_core.model.task import TaskStar
from galaxy_core.runtime.bus import EventBus

#: Seconds between two batches of events while workers wait for their devices.
FLUSH_S = 0.002

_STARTED = EventType.TASK_STARTED
_TYPES = {
    TaskStatus.COMPLETED: EventType.TASK_COMPLETED,
    TaskStatus.FAILED: EventType.TASK_FAILED,
    TaskStatus.CANCELLED: EventType.TASK_CANCELLED,
    TaskStatus.SKIPPED: EventType.TASK_SKIPPED,
    TaskStatus.UNKNOWN: EventType.TASK_UNKNOWN,
}


def source_of(constellation_id: str) -> str:
    """The source id of the events of a run."""
    return f"orchestrator_{constellation_id}"


class Reports:
    """Tells the bus what happens in a run."""

    def __init__(self, constellation: TaskConstellation, bus: EventBus, wall: Callable[[], float]) -> None:
        self._constellation = constellation
        self._bus = bus
        self._wall = wall
        self._events: list[Event] = []
        self.source_id = source_of(constellation.constellation_id)
        self._about = {"constellation_id": constellation.constellation_id}
        self._stirred = anyio.Event()
        self._version = -1
        self.posted = 0
        self.post: Callable[[Sequence[Event]], None] = bus.post  # at once, or when what they tell of is kept
        self.hears_starts = self.hears_ends = False
        self._heard: dict[TaskStatus, EventType] = {}  # of the ends that somebody listens to
        self._sink: OutputSink | None = None
        self.flush()

    async def run(self) -> None:
        """Post what is gathered while workers wait for their devices: at once, then every `FLUSH_S` at most."""
        while True:
            await self._stirred.wait()
            self.flush()
            self._stirred = anyio.Event()
            if self._events:
                self._stirred.set()
            await anyio.sleep(FLUSH_S)

    def flush(self) -> None:
        """Post what was gathered, and notice who has come to listen."""
        if self._version != self._bus.version:
            self._notice()
        if self._events:
            events, self._events = self._events, []
            self.posted += len(events)
            self.post(events)

    def _notice(self) -> None:
        """Who listens is not who did: look for what."""
        self._version = self._bus.version
        self.hears_starts = self._bus.wants(_STARTED)
        self._heard = {status: kind for status, kind in _TYPES.items() if self._bus.wants(kind)}
        self.hears_ends = bool(self._heard)
        self._sink = self._pass_on if self._bus.wants(EventType.TASK_OUTPUT) else None

    def _add(self, event: Event) -> None:
        if not self._events:
            self._stirred.set()
        self._events.append(event)

    def started(self, task: TaskStar, device_id: str, at: float) -> None:
        """An attempt started."""
        if self.hears_starts:
            data = {"device_id": device_id, "attempt": task._attempts, "constellation_id": self._constellation._id}
            self._add(TaskEvent(_STARTED, self.source_id, at, data, task._task_id, "running"))

    def ended(
        self,
        task: TaskStar,
        status: TaskStatus,
        result: ExecutionResult | None,
        error: BaseException | None,
        ready: Sequence[TaskStar],
        at: float,
    ) -> TaskEvent | None:
        """A task ended; `ready` are the tasks that became ready by it."""
        if self._version != self._bus.version:
            self._notice()
        kind = self._heard.get(status)
        if kind is None:
            return None
        data = {
            "constellation_id": self._constellation._id,
            "newly_ready_tasks": [freed._task_id for freed in ready] if ready else [],
            "constellation": self._constellation,
        }
        event = TaskEvent(kind, self.source_id, at, data, task._task_id, status._value_, result, error)
        self._add(event)
        return event

    def skipped(self, task: TaskStar, at: float) -> None:
        """A task is skipped; its error says why."""
        self._task(EventType.TASK_SKIPPED, task, "skipped", at, {"cause": str(task._error)}, task._error)

    def retrying(
        self, task: TaskStar, device_id: str, wait_s: float, kind: str, error: BaseException, at: float
    ) -> None:
        """A task will be tried again after `wait_s` seconds."""
        more = {"device_id": device_id, "wait_s": wait_s, "reason": kind, "attempts": task._attempts}
        self._task(EventType.TASK_RETRYING, task, "pending", at, more, error)

    def assigned(self, task: TaskStar, device_id: str, at: float) -> None:
        """A task got a device while its run was under way."""
        self._task(EventType.TASK_ASSIGNED, task, "pending", at, {"device_id": device_id}, None)

    def _task(
        self,
        kind: EventType,
        task: TaskStar,
        status: str,
        at: float,
        more: Mapping[str, Any],
        error: BaseException | None,
    ) -> None:
        if self._bus.wants(kind):
            data = {**more, **self._about}
            self._add(TaskEvent(kind, self.source_id, at, data, task._task_id, status, None, error))

    def output_sink(self) -> OutputSink | None:
        """Where an attempt that starts now passes its output on to; None when nobody listens, so that it need not bother."""
        if self._version != self._bus.version:
            self._notice()
        return self._sink

    def _pass_on(self, attempt: Attempt, stream: str, text: str) -> None:
        data = {**self._about, "stream": stream, "text": text, "device_id": attempt.device_id}
        at = self._wall()
        self._add(TaskEvent(EventType.TASK_OUTPUT, self.source_id, at, data, attempt.task_id, "running"))

    def say(self, event: Event) -> None:
        """Post an event after all that was gathered."""
        self._events.append(event)
        self.flush()

    def constellation(self, kind: EventType, state: str, data: Mapping[str, Any]) -> None:
        """The run started or ended."""
        if self._bus.wants(kind):
            now = self._wall()
            constellation_id = self._constellation.constellation_id
            self._events.append(ConstellationEvent(kind, self.source_id, now, dict(data), constellation_id, state))
        self.flush()
