"""Conversations with a host: one `WinrmProtocol` for each thing that is done at a time, kept for the next one."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, TypeVar

from anyio import get_cancelled_exc_class

from galaxy_core_winrm.protocol import Access, WinrmProtocol, with_renewal
from galaxy_core_winrm.threads import Threads

T = TypeVar("T")


class Conversation:
    """A `WinrmProtocol` whose verbs do not block the event loop. Used by one task at a time."""

    def __init__(self, protocol: WinrmProtocol, threads: Threads) -> None:
        self._protocol = protocol
        self._threads = threads

    @property
    def is_broken(self) -> bool:
        """Whether it can be used no more."""
        return self._protocol.broken

    async def ask(self, verb: Callable[..., T], *arguments: Any, **named: Any) -> T:
        """What `verb`, a method of `WinrmProtocol`, says. Cancelled: the connection is broken, at once.

        Raises:
            HostError: see there.
        """
        protocol = self._protocol
        question = partial(with_renewal, protocol, partial(verb, protocol), *arguments, **named)
        try:
            answer: T = await self._threads.call(question)
        except get_cancelled_exc_class():
            protocol.abort()
            raise
        return answer

    def abort(self) -> None:
        """Break the connection. Does not block."""
        self._protocol.abort()

    def close(self) -> None:
        """Close it; nobody may be using it."""
        self._protocol.close()


class Conversations:
    """Those with one host. Idle ones are kept for the next use, connected and authenticated."""

    def __init__(self, access: Access, threads: Threads, most_idle: int) -> None:
        self._access = access
        self._threads = threads
        self._most_idle = most_idle
        self._idle: list[Conversation] = []
        self._is_closed = False

    @asynccontextmanager
    async def one(self, *, fresh: bool = False) -> AsyncIterator[Conversation]:
        """One that nobody else uses; a `fresh` one was never used before."""
        conversation = self.take(fresh=fresh)
        try:
            yield conversation
        finally:
            self.give_back(conversation)

    def take(self, *, fresh: bool = False) -> Conversation:
        """One that nobody else uses. It connects when it is first asked something."""
        if self._idle and not fresh:
            return self._idle.pop()
        return Conversation(WinrmProtocol(self._access), self._threads)

    def give_back(self, conversation: Conversation) -> None:
        """Keep it for the next use, or close it."""
        if conversation.is_broken or self._is_closed or len(self._idle) >= self._most_idle:
            conversation.close()
        else:
            self._idle.append(conversation)

    def close(self) -> None:
        """Close the idle ones, and those given back from now on."""
        self._is_closed = True
        while self._idle:
            self._idle.pop().close()
