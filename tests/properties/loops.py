"""Virtual event loops that take the same steps in the same order whenever they get the same seed.

`VirtualLoop` shuffles what is ready at once; but the order before the shuffle depends on where objects lie in memory,
because anyio keeps the tasks of a cancel scope in a set. Here tasks are numbered as they are made, and sorted first, as
trio does when hypothesis is imported.
"""

from __future__ import annotations

import asyncio
import functools
import random
from collections.abc import Awaitable, Callable
from itertools import count
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

import anyio

from galaxy_core.testing.virtual_time import VirtualLoop, virtual_backend

T = TypeVar("T")


class SteadyLoop(VirtualLoop):
    """A virtual loop whose order is a function of its seed; it can also stand still when nothing is left to do."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self._numbers: WeakKeyDictionary[asyncio.Task[Any], int] = WeakKeyDictionary()
        self._next_number = count().__next__
        self._resting: list[asyncio.Future[None]] = []

    def create_task(self, coro: Any, **options: Any) -> asyncio.Task[Any]:
        """As always, and the task gets a number."""
        task: asyncio.Task[Any] = super().create_task(coro, **options)
        self._numbers[task] = self._next_number()
        return task

    def _shuffle(self, rng: random.Random) -> None:
        ready: Any = self._ready  # type: ignore[attr-defined]
        tasks = [getattr(handle._callback, "__self__", None) for handle in ready]
        numbers = {place: self._numbers[task] for place, task in enumerate(tasks) if isinstance(task, asyncio.Task)}
        places = list(numbers)
        in_order = sorted(places, key=numbers.__getitem__)
        for place, handle in zip(places, [ready[place] for place in in_order], strict=True):
            ready[place] = handle
        super()._shuffle(rng)

    def select(self, timeout: float | None) -> list[Any]:
        """When nothing is ready, first let those go on who wait for just that."""
        if timeout != 0 and self._resting:
            resting, self._resting = self._resting, []
            for future in resting:
                if not future.done():  # else whoever waited was cancelled
                    future.set_result(None)
            return []
        return super().select(timeout)

    async def rest(self) -> None:
        """Wait until nothing is left to do at this moment."""
        future: asyncio.Future[None] = self.create_future()
        self._resting.append(future)
        await future


def run_steadily(backend: str, seed: int, function: Callable[..., Awaitable[T]], *arguments: Any) -> T:
    """`anyio.run` in a virtual event loop of this seed."""
    name, options = virtual_backend(backend, seed)
    if name == "asyncio":
        options = {"loop_factory": functools.partial(SteadyLoop, seed)}
    return anyio.run(function, *arguments, backend=name, backend_options=options)


async def rest() -> None:
    """Wait until nothing is left to do at this moment of virtual time."""
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        import trio.testing

        await trio.testing.wait_all_tasks_blocked()
    else:
        assert isinstance(loop, SteadyLoop)
        await loop.rest()
