"""Watchers: who follows a run from another process. What they have not read yet waits in a queue that is bounded."""

from __future__ import annotations

import json
import math
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

import anyio

from galaxy_core.model.constellation import TaskConstellation
from galaxy_core.model.event_document import FINAL, event_document
from galaxy_core.model.events import ConstellationEvent, DeviceEvent, Event, EventType, TaskEvent
from galaxy_core.runtime.control.lines import LineSocket

#: Of no use to anybody outside, or told by DEVICE_STATUS_CHANGED.
_NOT_TOLD = frozenset({EventType.DEVICE_CONNECTED, EventType.DEVICE_DISCONNECTED, EventType.TASK_OUTPUT})
#: Bytes that are written at a time.
_CHUNK = 1 << 16


def encoded(document: Mapping[str, Any]) -> bytes:
    """One line of JSON. Nothing but ASCII, so that nothing in it can break it."""
    return json.dumps(document, ensure_ascii=True, default=str, separators=(",", ":")).encode("ascii") + b"\n"


class Watcher:
    """An observer that hears a run's events without ever waiting, and tells them to somebody who may be slow.

    At most `most` events wait; output counts by the KiB. When there are more, all of them are dropped, and the watcher
    is told so and left.
    """

    name = "watcher at the control socket"

    def __init__(self, constellation: TaskConstellation, most: int, output: bool) -> None:
        told = frozenset(EventType) - _NOT_TOLD
        self.heard = told | {EventType.TASK_OUTPUT} if output else told
        self._constellation, self._most = constellation, most
        self._queue: deque[tuple[Event, int]] = deque()  # with how much room it takes
        self._waiting = 0
        self._stirred = anyio.Event()
        self._too_slow = self._over = False
        self._scope = anyio.CancelScope()
        self._patience_s = math.inf

    def concerns(self, event: Event) -> bool:
        """Whether an event is about this run, or about a device."""
        if isinstance(event, ConstellationEvent):
            return event.constellation_id == self._constellation.constellation_id
        about = event.data.get("constellation_id") if isinstance(event, TaskEvent) else None
        return isinstance(event, DeviceEvent) or about == self._constellation.constellation_id

    async def on_event(self, event: Event) -> None:
        """Not called: events come in batches."""

    async def on_events(self, events: Sequence[Event]) -> None:
        """Queue them."""
        if self._too_slow or self._over:
            return
        for event in events:
            if event.event_type is EventType.CONSTELLATION_STARTED:
                # Of a run that goes on, the plan is known only now.
                self._constellation = event.data.get("constellation", self._constellation)
            room = 1 + len(str(event.data.get("text", ""))) // 1024
            self._queue.append((event, room))
            self._waiting += room
            self._over = self._over or event.event_type in FINAL
        if self._waiting > self._most:
            self._too_slow = True
            self._queue.clear()
            # Whoever does not read at all is not waited for until it does.
            self._scope.deadline = anyio.current_time() + self._patience_s
        self._stirred.set()

    def finish(self) -> None:
        """Nothing more will come."""
        self._over = True
        self._stirred.set()

    async def tell(self, client: LineSocket, patience_s: float) -> None:
        """Write what is queued, and what comes, until the run is over. Who is too slow has `patience_s` to take it.

        Raises:
            OSError: nobody reads any more.
        """
        self._patience_s = patience_s
        with self._scope:
            while not self._too_slow and (self._queue or not self._over):
                await self._stirred.wait()
                self._stirred = anyio.Event()
                await self._tell_queued(client)
            if self._too_slow:
                why = f"more than {self._most:,} events were waiting to be read: too slow to follow this run"
                await client.send(encoded({"ok": False, "code": "too slow", "error": why, "problems": []}))
            else:
                await client.send(encoded({"over": True}))

    async def _tell_queued(self, client: LineSocket) -> None:
        while self._queue:
            chunk = b""
            while self._queue and len(chunk) < _CHUNK:
                event, room = self._queue.popleft()
                self._waiting -= room
                chunk += encoded({"event": event_document(event, self._constellation)})
            await client.send(chunk)
