"""Worker threads for a library that blocks: bounded, and given up safely when a host hangs."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

from anyio import CapacityLimiter, get_cancelled_exc_class, to_thread

from galaxy_core_winrm.faults import NotSentError

T = TypeVar("T")


class Threads:
    """At most `limit` calls at a time; and as many more that were given up and have not come back yet.

    anyio frees the place of a call that is given up, although its thread goes on, so those are counted here.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._limiter = CapacityLimiter(limit)
        self._lock = threading.Lock()
        self._given_up = 0

    @property
    def given_up(self) -> int:
        """How many threads still hang in a call that nobody waits for."""
        return self._given_up

    async def call(self, function: Callable[[], T]) -> T:
        """What `function` returns, from a worker thread. Cancelled: at once, and `function` is left to itself.

        Raises:
            NotSentError: too many are left to themselves already.
        """
        if self._given_up >= self._limit:
            raise NotSentError(f"{self._given_up} calls to it hang, and no more are made until they come back")
        state = "waiting"

        def run() -> T:
            nonlocal state
            with self._lock:
                if state == "given up":  # while it waited for a thread to take it
                    raise NotSentError("it was given up before it began")
                state = "running"
            try:
                return function()
            finally:
                with self._lock:
                    if state == "given up":
                        self._given_up -= 1
                    state = "over"

        try:
            return await to_thread.run_sync(run, abandon_on_cancel=True, limiter=self._limiter)
        except get_cancelled_exc_class():
            with self._lock:
                if state == "running":
                    self._given_up += 1
                state = "given up"
            raise
