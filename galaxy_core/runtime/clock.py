"""Where the runtime gets its time from, so that a simulation can give it another."""

from __future__ import annotations

import random
import time
from collections.abc import Callable

import anyio
from attrs import define, field


@define
class Clock:
    """Four kinds of time, and chance.

    `wall` is seconds since the epoch, for time stamps. `perf` is a cheap clock by which workers notice that they have
    kept the event loop long enough; a simulation gives one that counts calls. `random` feeds the jitter of back-offs.
    `monotonic` never steps: durations are measured by it. A run asks `wall` once, when it begins, and adds what
    `monotonic` says since; so a wall clock that is set meanwhile changes no duration, and the time stamps of a run that
    takes days, or sleeps with its machine (most systems stop this clock then), may differ from what clocks say by then.
    """

    wall: Callable[[], float] = time.time
    perf: Callable[[], float] = time.perf_counter
    random: random.Random = field(factory=random.Random)
    monotonic: Callable[[], float] = time.perf_counter

    def offset_s(self) -> float:
        """What makes the wall time of `monotonic`'s, from now on."""
        return self.wall() - self.monotonic()

    def loop_time(self) -> Callable[[], float]:
        """The running event loop's own clock, by which deadlines are kept.

        `anyio.current_time` looks the back end up at every call, which costs more than starting a task; looking it up
        once per run is the same clock for a tenth of the price.
        """
        now = anyio.current_time()
        try:
            import asyncio

            loop_time = asyncio.get_running_loop().time
        except RuntimeError:
            return anyio.current_time
        return loop_time if abs(loop_time() - now) < 1.0 else anyio.current_time


SYSTEM_CLOCK = Clock()
