"""Virtual time: an hour of waiting takes no time, and a run is the same each time.

Time stands still while anything can run, and jumps to the next timer when nothing can. That works on asyncio by an event
loop of our own, and on trio by its `MockClock`. Real threads, sockets and processes are invisible to such a clock: what
runs under it must be a fake that waits for timers and events alone.

With pytest::

    @pytest.fixture(params=["asyncio", "trio"])
    def anyio_backend(request):
        return virtual_backend(request.param)
"""

from __future__ import annotations

import asyncio
import functools
import random
from collections.abc import Awaitable, Callable
from itertools import count
from typing import Any, ParamSpec

import anyio

from galaxy_core.runtime.clock import Clock

P = ParamSpec("P")

#: What `Clock.wall` of a virtual clock says when the event loop's clock says 0: the start of 2030, UTC.
EPOCH_S = 1_893_456_000.0
#: Virtual seconds after which `ends` gives a test up.
DAY_S = 86_400.0


class VirtualLoop(asyncio.BaseEventLoop):
    """An asyncio event loop whose time jumps to the next timer when nothing is ready.

    With a `seed`, tasks that are ready at the same time take their steps in a random order, the same for each seed.
    When nothing is ready and no timer is set, nothing can ever happen again: `RuntimeError` names who waits.
    """

    def __init__(self, seed: int | None = None) -> None:
        super().__init__()
        self._now = 0.0
        self._random = None if seed is None else random.Random(seed)  # noqa: S311  not for secrets
        self._selector = self  # the base class asks its selector what can be read, and waits there
        self._clock_resolution = 1e-6  # with the default, sums of floats keep timers past some weeks from firing

    def time(self) -> float:
        """Seconds since the loop was made."""
        return self._now

    def select(self, timeout: float | None) -> list[Any]:
        """Called once per turn: jump instead of waiting `timeout` seconds."""
        if timeout is None:
            raise RuntimeError(f"deadlock: nothing is ready and no timer is set; waiting: {', '.join(self._waiting())}")
        self._now += timeout
        if self._random is not None:
            self._shuffle(self._random)
        return []

    def _waiting(self) -> list[str]:
        return sorted(f"{task.get_name()} ({task.get_coro()})" for task in asyncio.all_tasks(self)) or ["nobody"]

    def _shuffle(self, rng: random.Random) -> None:
        # Other callbacks keep their places: only the order of tasks is nobody's promise.
        ready: Any = self._ready  # type: ignore[attr-defined]
        is_step = [isinstance(getattr(handle._callback, "__self__", None), asyncio.Task) for handle in ready]
        steps = [handle for handle, step in zip(ready, is_step, strict=True) if step]
        rng.shuffle(steps)
        for place, step in enumerate(is_step):
            if step:
                ready[place] = steps.pop()

    def _process_events(self, events: list[Any]) -> None:
        """There are none."""

    def _write_to_self(self) -> None:
        """There is nobody to wake."""


def virtual_backend(name: str, seed: int | None = None) -> tuple[str, dict[str, Any]]:
    """Back end "asyncio" or "trio" with its options, for `anyio.run` or the fixture `anyio_backend`; for one run each.

    `seed` fixes the order in which tasks run that are ready at the same time. Without one, asyncio keeps its own order,
    and trio draws one.
    """
    if name == "asyncio":
        return name, {"loop_factory": functools.partial(VirtualLoop, seed)}
    import trio.testing
    from trio._core import _run

    if seed is not None:
        _run._r.seed(seed)  # trio has no public way to have the same order twice
    return name, {"clock": trio.testing.MockClock(autojump_threshold=0)}


def virtual_clock(seed: int = 0, perf_step_s: float = 1e-4) -> Clock:
    """A clock for orchestrators and device managers under virtual time.

    `wall` follows the event loop's clock (outside of one it is `EPOCH_S`); `perf` advances by `perf_step_s` seconds
    with each call, so that workers yield after the same number of tasks in every run; `random` is seeded.
    """
    calls = count()

    def wall() -> float:
        try:
            return EPOCH_S + anyio.current_time()
        except RuntimeError:  # no event loop runs
            return EPOCH_S

    return Clock(wall, lambda: next(calls) * perf_step_s, random.Random(seed), wall)  # noqa: S311  not for secrets


def ends(test: Callable[P, Awaitable[None]], within_s: float = DAY_S) -> Callable[P, Awaitable[None]]:
    """The same test, failing with `TimeoutError` when it has not ended after `within_s` virtual seconds.

    A heartbeat keeps virtual time going for ever, so that a run that never ends would not be noticed otherwise.
    """

    @functools.wraps(test)
    async def ending(*args: P.args, **kwargs: P.kwargs) -> None:
        with anyio.fail_after(within_s):
            await test(*args, **kwargs)

    return ending
