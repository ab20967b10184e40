"""Sessions that call Python functions. The first is what the benchmarks measure the kernel with: keep it short."""

from __future__ import annotations

import asyncio
import platform
from collections.abc import Mapping
from inspect import iscoroutinefunction

from anyio import CapacityLimiter, to_thread

from galaxy_core import Call
from galaxy_core.extension.interfaces import Attempt, Completed, Outcome, Refused, Unknown

#: asyncio has one exception for "you are cancelled" and "what you waited for is": on its way up it would end the run.
STRAY = "something that the function awaited was cancelled"
#: Why an attempt in a worker thread may still be at work.
RUNS_ON = "its function runs on in its thread"
#: What becomes of one that nobody waits for any more; nobody hears it.
GIVEN_UP = "it was cancelled before its function was called"


class PythonSession:
    """Calls functions in the event loop, and awaits what they return if it can be awaited."""

    __slots__ = ()

    async def execute(self, attempt: Attempt, /) -> Outcome:
        call = attempt.request
        if not isinstance(call, Call):
            return Refused(f"transport 'python' takes calls, not {type(call).__name__}")
        try:
            value = call.function(*call.args, **call.kwargs)
            if hasattr(type(value), "__await__"):  # a tenth of what inspect.isawaitable costs
                value = await value
        except (Exception, SystemExit) as error:  # the kernel receives it, as the error of the task
            return Completed(error=error)
        except asyncio.CancelledError:
            if _is_cancelled():
                raise
            return Completed(error=STRAY)
        return Completed(value)

    async def probe(self) -> Mapping[str, str]:
        return {"python": platform.python_version(), "implementation": platform.python_implementation()}


class ThreadSession(PythonSession):
    """Calls functions that are not `async def` in worker threads, at most `max_concurrency` at once.

    A thread cannot be stopped: after a cancellation the function runs on to its end, and what it returns is dropped.
    The attempt may still run, then; but what has not begun never will.
    """

    __slots__ = ("_limiter",)

    def __init__(self, max_concurrency: int) -> None:
        # Its own limiter: the default one is shared with everybody else in the process, and has forty places.
        self._limiter = CapacityLimiter(max_concurrency)

    async def execute(self, attempt: Attempt, /) -> Outcome:
        call = attempt.request
        if not isinstance(call, Call) or iscoroutinefunction(call.function):
            return await super().execute(attempt)
        work = _Work(call)
        try:
            outcome = await to_thread.run_sync(work.done, abandon_on_cancel=True, limiter=self._limiter)
        except BaseException:  # goes on
            if work.abandon():
                attempt.partial = Unknown(RUNS_ON)
            raise
        if hasattr(type(outcome.value), "__await__"):
            try:
                outcome.value = await outcome.value
            except (Exception, SystemExit) as error:  # as above
                return Completed(error=error)
            except asyncio.CancelledError:
                if _is_cancelled():
                    raise
                return Completed(error=STRAY)
        return outcome


def _is_cancelled() -> bool:
    """Whether an asyncio.CancelledError is meant for us, and not what became of another task that was awaited."""
    task = asyncio.current_task()
    return task is None or task.cancelling() > 0


class _Work:
    """A call in a worker thread."""

    __slots__ = ("_call", "_has_returned", "_turn")

    def __init__(self, call: Call) -> None:
        self._call = call
        self._turn = [True]  # taken by who begins, or by who gives up before; `pop` of a list is one step
        self._has_returned = False

    def done(self) -> Completed:
        """In the thread, which hands on neither a coroutine nor a StopIteration unharmed: so they are wrapped here."""
        try:
            self._turn.pop()
        except IndexError:
            return Completed(error=GIVEN_UP)
        call = self._call
        try:
            return Completed(call.function(*call.args, **call.kwargs))
        except (Exception, SystemExit) as error:  # as above
            return Completed(error=error)
        finally:
            self._has_returned = True

    def abandon(self) -> bool:
        """Nobody waits for it any more. Whether the function runs on; if it has not begun, it never will."""
        try:
            self._turn.pop()
        except IndexError:
            return not self._has_returned
        return False
