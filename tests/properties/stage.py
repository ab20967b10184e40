"""A virtual event loop that can be driven from outside, one step at a time."""

from __future__ import annotations

from collections.abc import Callable
from inspect import isawaitable
from queue import SimpleQueue
from threading import Thread
from typing import Any

import anyio
import anyio.abc

from tests.properties.loops import rest, run_steadily

#: Real seconds after which whoever waits for the loop gives it up: it spins without end.
PATIENCE_S = 60.0


class Stage:
    """A virtual event loop in a thread of its own, which stands still, at rest, but for calls of `do`."""

    def __init__(self, backend: str, seed: int) -> None:
        self._calls: SimpleQueue[Callable[[], Any] | None] = SimpleQueue()
        self._answers: SimpleQueue[tuple[Any, BaseException | None]] = SimpleQueue()
        self._thread = Thread(target=self._run, args=(backend, seed), daemon=True)
        self._thread.start()
        self.group: anyio.abc.TaskGroup = self.do(lambda: self.group)

    def _run(self, backend: str, seed: int) -> None:
        try:
            run_steadily(backend, seed, self._serve)
        except BaseException as error:  # whoever waits for an answer receives it
            self._answers.put((None, error))

    async def _serve(self) -> None:
        async with anyio.create_task_group() as self.group:
            while (call := self._calls.get()) is not None:
                try:
                    value = call()
                    if isawaitable(value):
                        value = await value
                except Exception as error:  # the caller receives it
                    self._answers.put((None, error))
                    continue
                await rest()
                self._answers.put((value, None))
            self.group.cancel_scope.cancel()

    def do(self, call: Callable[[], Any]) -> Any:
        """Have the loop call a function, wait until nothing is left to do at that moment, and return its answer."""
        self._calls.put(call)
        value, error = self._answers.get(timeout=PATIENCE_S)
        if error is not None:
            raise error
        return value

    def advance(self, seconds: float) -> None:
        """Let virtual time pass."""
        self.do(lambda: anyio.sleep(seconds))

    def stop(self) -> None:
        """End the loop, and wait until it has ended."""
        self._calls.put(None)
        self._thread.join(PATIENCE_S)
