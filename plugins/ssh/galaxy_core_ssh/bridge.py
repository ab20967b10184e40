"""Between the event loop of the program, asyncio or trio, and asyncio, which asyncssh needs.

On asyncio both are the same loop, and a bridge passes everything through. On trio a bridge is a thread of its own with a
loop of asyncio. What is called *over there* in this package runs in that loop; *here* is the program's.

Over there may wait for here, see `Bridge.ask`; so here never waits for there but as a task that others run beside.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any, Generic, TypeVar

from anyio import CancelScope, Event, from_thread, to_thread
from anyio.from_thread import start_blocking_portal
from anyio.lowlevel import EventLoopToken, current_token

T = TypeVar("T")


class Bridge:
    """`run` awaits a coroutine function over there; over there, `tell` and `ask` call a function here."""

    def __init__(self, there: asyncio.AbstractEventLoop | None, token: EventLoopToken) -> None:
        self._there = there
        self._token = token

    async def run(self, function: Callable[..., Awaitable[T]], *args: Any) -> T:
        """Await it over there. Cancellation crosses over, and is waited for; what was faster than it is returned."""
        if self._there is None:
            return await function(*args)
        crossing: _Crossing[T] = _Crossing()
        done = Event()
        self._send(crossing.start, function, args, lambda: self.tell(done.set))
        try:
            await done.wait()
        except BaseException:  # goes on, unless there is an answer in spite of it
            self._send(crossing.cancel)
            with CancelScope(shield=True):
                await done.wait()
            if not crossing.answers:
                raise
        if crossing.error is not None:
            raise crossing.error
        if not crossing.answers:
            raise ConnectionError("the loop of asyncio ended before there was an answer")
        return crossing.answers[0]

    def _send(self, function: Callable[..., Any], *args: Any) -> None:
        """Have `function` called over there, in the order of the calls. Does not wait, as a portal would."""
        assert self._there is not None
        try:
            # Without the context of here, in which it stands that the loop is one of trio.
            self._there.call_soon_threadsafe(function, *args, context=contextvars.Context())
        except RuntimeError as error:  # it has ended
            raise ConnectionError(str(error)) from error

    def tell(self, function: Callable[..., Any], *args: Any) -> None:
        """Have `function` called here, in the order of the calls. From over there; does not wait."""
        if self._there is None:
            function(*args)
        else:
            # RuntimeError: the program's loop has ended, and nobody listens any more.
            with suppress(RuntimeError):
                self._token.native_token.run_sync_soon(function, *args)  # type: ignore[attr-defined]  # a token of trio

    def ask(self, function: Callable[..., T], *args: Any) -> T:
        """The answer of `function`, called here. From over there, whose loop stands still meanwhile."""
        if self._there is None:
            return function(*args)
        return from_thread.run_sync(function, *args, token=self._token)


class _Crossing(Generic[T]):
    """One call over there. Neither `answers` nor `error`: it was cancelled, and has cleaned up."""

    def __init__(self) -> None:
        self.answers: list[T] = []
        self.error: BaseException | None = None
        self._scope: CancelScope | None = None
        self._is_cancelled = False
        self._task: asyncio.Task[None] | None = None

    def start(self, function: Callable[..., Awaitable[T]], args: Any, done: Callable[[], None]) -> None:
        self._task = asyncio.get_running_loop().create_task(self.run(function, args, done))

    async def run(self, function: Callable[..., Awaitable[T]], args: Any, done: Callable[[], None]) -> None:
        try:
            with CancelScope() as self._scope:  # made here, because a scope belongs to the loop that it is made in
                if self._is_cancelled:
                    self._scope.cancel()
                self.answers.append(await function(*args))
        except asyncio.CancelledError as error:  # not by us: of that the scope has heard
            self.error = ConnectionError("what was waited for over there was cancelled")
            self.error.__cause__ = error
        except BaseException as error:  # whoever awaits `Bridge.run` receives it
            self.error = error
            if isinstance(error, KeyboardInterrupt | SystemExit):
                raise
        finally:
            done()

    def cancel(self) -> None:
        self._is_cancelled = True
        if self._scope is not None:
            self._scope.cancel()


@asynccontextmanager
async def bridge() -> AsyncIterator[Bridge]:
    """A bridge from the loop that this is entered in. Leaving it ends its thread, if it has one."""
    token = current_token()
    if isinstance(token.native_token, asyncio.AbstractEventLoop):
        yield Bridge(None, token)
        return
    portal = start_blocking_portal("asyncio")
    # Starting and ending a thread with a loop blocks for a millisecond or more.
    with CancelScope(shield=True):
        opened = await to_thread.run_sync(portal.__enter__)
        there = await to_thread.run_sync(opened.call, asyncio.get_running_loop)
    try:
        yield Bridge(there, token)
    finally:
        with CancelScope(shield=True):
            await to_thread.run_sync(portal.__exit__, None, None, None)
