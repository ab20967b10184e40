"""Deadlines and delayed work of one run, in one task.

Deadlines stand in one heap. Most attempts end before their deadline, and their entries are not looked for: when the
heap has grown to three times what the last sweep left, they are swept out all at once. So setting a deadline costs
O(log n) amortised, however many different timeouts there are, and a comparison when it is the latest, as with one
timeout for all: a tenth of a cancel scope's own deadline. What is kept is in proportion to the attempts that run.
"""

from __future__ import annotations

from collections.abc import Callable
from heapq import heapify, heappop, heappush
from itertools import count
from typing import TYPE_CHECKING

import anyio

if TYPE_CHECKING:
    from galaxy_core.runtime.worker import Worker

_NEVER = float("inf")
#: Entries below which sweeping is not worth it.
_FEW = 64


class Timers:
    """Interrupts attempts at their deadlines and calls functions when they are due."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._deadlines: list[tuple[float, int, Worker]] = []  # by time, then by lease; leases are unique
        self._sweep_at = _FEW
        self._delayed: list[tuple[float, int, Callable[[], None]]] = []
        self._age = count()
        self._wakes_at = _NEVER
        self._stirred = anyio.Event()

    def set_deadline(self, timeout_s: float, worker: Worker) -> None:
        """Interrupt the worker's present attempt after `timeout_s` seconds, unless it has ended."""
        deadlines = self._deadlines
        if len(deadlines) >= self._sweep_at:
            self._sweep()
        when = self._now() + timeout_s
        heappush(deadlines, (when, worker.lease, worker))
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

    def _sweep(self) -> None:
        """Drop the entries of attempts that have ended."""
        deadlines = self._deadlines
        deadlines[:] = [entry for entry in deadlines if entry[2].lease == entry[1]]
        heapify(deadlines)
        self._sweep_at = max(_FEW, 3 * len(deadlines))

    def _next(self) -> float:
        deadlines = self._deadlines
        while deadlines and deadlines[0][2].lease != deadlines[0][1]:
            heappop(deadlines)
        soonest = deadlines[0][0] if deadlines else _NEVER
        return min(soonest, self._delayed[0][0]) if self._delayed else soonest

    def _fire(self) -> None:
        now = self._now()
        deadlines = self._deadlines
        while deadlines and deadlines[0][0] <= now:
            _, lease, worker = heappop(deadlines)
            if worker.lease == lease:
                worker.interrupt("timeout")
        while self._delayed and self._delayed[0][0] <= now:
            heappop(self._delayed)[2]()
