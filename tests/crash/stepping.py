"""Event loops in virtual time that take one step at a time, and cancel a scope at a given one: at every place where anything waits."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable
from itertools import islice
from typing import Any, TypeVar

import anyio
import trio
from attrs import define

from galaxy_core.testing.virtual_time import virtual_backend
from tests.properties.loops import SteadyLoop

T = TypeVar("T")


@define(eq=False)
class Steps(trio.abc.Instrument):
    """Counts the steps of all tasks from `watch` on, and cancels what it watches at step `fatal`; 0 is never."""

    fatal: int = 0
    count: int = 0
    scope: anyio.CancelScope | None = None

    def watch(self, scope: anyio.CancelScope) -> None:
        """Begin to count."""
        self.scope, self.count = scope, 0

    def rest(self) -> None:
        """What comes now does not count."""
        self.scope = None

    def step(self) -> None:
        """A task goes on."""
        if self.scope is not None:
            self.count += 1
            if self.count == self.fatal:
                self.scope.cancel()

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        """See trio."""
        self.step()


class SteppingLoop(SteadyLoop):
    """An asyncio loop that takes one step in each turn."""

    def __init__(self, seed: int, steps: Steps) -> None:
        super().__init__(seed)
        self._steps, self._rest = steps, list[Any]()

    def select(self, timeout: float | None) -> list[Any]:
        """Keep all but one of those that could go on for the next turns."""
        ready: Any = self._ready  # type: ignore[attr-defined]
        if self._rest:
            ready.extendleft(reversed(self._rest))
            self._rest, timeout = [], 0
        found = super().select(timeout)
        if ready:
            self._steps.step()
        self._rest = list(islice(ready, 1, None))
        while len(ready) > 1:
            ready.pop()
        return found


def run_in_steps(backend: str, seed: int, steps: Steps, function: Callable[..., Awaitable[T]], *arguments: Any) -> T:
    """`anyio.run` in a virtual event loop of this seed that counts its steps."""
    name, options = virtual_backend(backend, seed)
    if name == "asyncio":
        options = {"loop_factory": functools.partial(SteppingLoop, seed, steps)}
    else:
        options["instruments"] = [steps]
    return anyio.run(function, *arguments, backend=name, backend_options=options)
