"""One service that the host has opened on a phone: bytes both ways, with one unacknowledged piece each way."""

from __future__ import annotations

from collections import deque
from typing import Protocol

import anyio

from galaxy_core_adb.simulate.wire import CLSE, OKAY, WRTE


class HungUpError(Exception):
    """The host has closed the stream, or the link is gone."""


class Sender(Protocol):
    """The link, as a stream sees it."""

    peer_max: int

    def send(self, command: int, arg0: int, arg1: int, payload: bytes = b"") -> None: ...
    def forget(self, stream: Stream) -> None: ...


class Stream:
    """`name` is the service with its arguments, such as "shell,v2,raw:true". Numbered by both sides.

    The phone acknowledges a piece when a service has taken it, not when it arrives: so a slow service slows the host.
    """

    def __init__(self, link: Sender, local: int, remote: int, name: str) -> None:
        self._link = link
        self.local = local
        self.remote = remote
        self.name = name
        self.closed = False
        self.accepted = False
        self._taken = anyio.Event()
        self._taken.set()
        self._came = anyio.Event()
        self._pieces: deque[bytes] = deque()
        self._eof = False
        self.scope = anyio.CancelScope()

    # ------------------------------------------------------------------------------------------ for services

    def accept(self) -> None:
        """Tell the host that the service is there."""
        self.accepted = True
        self._link.send(OKAY, self.local, self.remote)

    async def send(self, data: bytes) -> None:
        """Send, each piece once the host has taken the one before.

        Raises:
            HungUpError: the host does not want more.
        """
        for start in range(0, len(data), self._link.peer_max):
            await self.taken()
            self._taken = anyio.Event()
            self._link.send(WRTE, self.local, self.remote, data[start : start + self._link.peer_max])

    async def taken(self) -> None:
        """Wait until the host has taken all that was sent.

        Raises:
            HungUpError: the host does not want more.
        """
        while not self._taken.is_set():  # of several who were waiting, one may have sent again
            await self._taken.wait()
        if self.closed:
            raise HungUpError

    async def receive(self) -> bytes:
        """The next piece from the host; empty when there will be none."""
        while not self._pieces:
            if self._eof:
                return b""
            self._came = anyio.Event()
            await self._came.wait()
        piece = self._pieces.popleft()
        if not self.closed:
            self._link.send(OKAY, self.local, self.remote)
        return piece

    def close(self) -> None:
        """End it; what was sent before arrives before. One that was not accepted is refused by that."""
        if not self.closed:
            # A host that waits for its OPEN to be answered knows no number of ours: it would not hear a CLSE that has one.
            self._link.send(CLSE, self.local if self.accepted else 0, self.remote)
            self._end()

    # ------------------------------------------------------------------------------------------ for the link

    def okay(self) -> None:
        """The host has taken the last piece."""
        self._taken.set()

    def came(self, data: bytes) -> None:
        """A piece from the host."""
        self._pieces.append(data)
        self._came.set()

    def hung_up(self) -> None:
        """The host has closed it: services are told by HungUpError and by the end of input, then cancelled."""
        self._end()
        self.scope.cancel()

    def _end(self) -> None:
        self.closed = self._eof = True
        self._link.forget(self)
        self._came.set()
        self._taken.set()
