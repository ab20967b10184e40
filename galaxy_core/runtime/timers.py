"""Deadlines and delayed work of one run, in one task.

Deadlines of one length expire in the order in which they were set, so each length has a queue, and setting one costs
an append: a tenth of a cancel scope's own deadline. Entries of attempts that have ended are dropped when they are met.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from heapq import heappop, heappush
from itertools import count
from typing import TYPE_CHECKING

import anyio

if TYPE_CHECKING:
    from galaxy_core.runtime.flow import Worker

_NEVER = float("inf")


class Timers:
    """Interrupts attempts at their deadlines and calls functions when they are due."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._deadlines: dict[float, deque[tuple[float, Worker, int]]] = {}
        self._delayed: list[tuple[float, int, Callable[[], None]]] = []
        self._age = count()
        self._wakes_at = _NEVER
        self._stirred = anyio.Event()

    def set_deadline(self, timeout_s: float, worker: Worker) -> None:
        """Interrupt the worker's present attempt after `timeout_s` seconds, unless it has ended."""
        queue = self._deadlines.get(timeout_s)
        if queue is None:
            queue = self._deadlines[timeout_s] = deque()
        while queue and queue[0][1].lease != queue[0][2]:
            queue.popleft()
        when = self._now() + timeout_s
        queue.append((when, worker, worker.lease))
        if when < self._wakes_at:
            self._wakes_at = when
            self._stirred.set()

    def call_later(self, wait_s: float, function: Callable[[], None]) -> None:
        """Call `function` after `wait_s` seconds."""
        when = self._now() + wait_s
        heappush(self._delayed, (when, next(self._age), function))
        if when < self._wakes_at:
            self._wakes_at = when
            self._stirred.set()

    async def run(self) -> None:
        """Serve until cancelled."""
        while True:
            self._stirred = anyio.Event()
            self._wakes_at = self._next()
            with anyio.CancelScope(deadline=self._wakes_at):
                await self._stirred.wait()
            self._fire()

    def _next(self) -> float:
        soonest = self._delayed[0][0] if self._delayed else _NEVER
        for queue in self._deadlines.values():
            while queue and queue[0][1].lease != queue[0][2]:
                queue.popleft()
            if queue:
                soonest = min(soonest, queue[0][0])
        return soonest

    def _fire(self) -> None:
        now = self._now()
        for queue in self._deadlines.values():
            while queue and queue[0][0] <= now:
                _, worker, lease = queue.popleft()
                if worker.lease == lease:
                    worker.interrupt("timeout")
        while self._delayed and self._delayed[0][0] <= now:
            heappop(self._delayed)[2]()
