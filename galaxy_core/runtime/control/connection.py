"""The server's end of one connection to a control socket: requests come in, answers go out, both bounded."""

from __future__ import annotations

import json
import select
import socket
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import anyio
import anyio.to_thread
from attrs import frozen

from galaxy_core.runtime.control.lines import LineSocket, LineTooLongError
from galaxy_core.runtime.control.watching import encoded


@frozen
class ControlLimits:
    """How much of a control socket's process others may take up.

    `line_bytes` is the longest request; `connections` how many there may be at a time; `silence_s` how long a request may
    take to come, and an answer to be read; `queued` how many events (or KiB of output) may wait for a watcher to read
    them; `farewell_s` how long the end of a run waits for watchers to read the rest.
    """

    line_bytes: int = 10 * 1024 * 1024
    connections: int = 32
    silence_s: float = 30.0
    queued: int = 10_000
    farewell_s: float = 1.0


class RefusedError(Exception):
    """A request that is answered with a reason; leaves this package no further than the server."""

    def __init__(self, code: str, error: str, problems: list[Any] | None = None) -> None:
        self.answer = {"ok": False, "code": code, "error": error, "problems": problems or []}
        super().__init__(error)


class Connection(LineSocket):
    """One client. Reading and writing are bounded in time."""

    def __init__(self, connection: socket.socket, limits: ControlLimits) -> None:
        super().__init__(connection)
        self.limits = limits

    async def request(self) -> dict[str, Any] | None:
        """The next one; None when the client is done."""
        try:
            with anyio.fail_after(self.limits.silence_s):
                line = await self.line(self.limits.line_bytes)
        except LineTooLongError:
            raise RefusedError("too long", f"a request has {self.limits.line_bytes:,} bytes at most") from None
        except TimeoutError:
            raise RefusedError("silent", f"no whole request came within {self.limits.silence_s:g} s") from None
        # Text of such a length is not read in the event loop's thread, where the run waits for it.
        return None if line is None else await anyio.to_thread.run_sync(_parsed, line)

    async def answer(self, answer: Mapping[str, Any]) -> None:
        """Write it; one that is not read in time is dropped."""
        with anyio.move_on_after(self.limits.silence_s):
            await self.send(encoded(answer))

    def has_left(self) -> bool:
        """Whether the client is gone. One that will only say nothing more has not left: it may still read."""
        poll = select.poll()
        poll.register(self.connection, 0)  # hanging up and errors are always told
        return bool(poll.poll(0))

    async def cancel_when_left(self, scope: anyio.CancelScope) -> None:
        """Cancel `scope` when the client is gone. Keeps what it says meanwhile, up to the length of a request."""
        with suppress(OSError):
            while data := await self._receive():
                self._buffer += data
                if len(self._buffer) > self.limits.line_bytes:
                    return
            if not self.has_left():
                return
        scope.cancel()


def _parsed(line: bytes) -> dict[str, Any]:
    try:
        request = json.loads(line)
    except RecursionError:
        raise RefusedError("garbage", "the request is nested too deeply") from None
    except ValueError as error:
        raise RefusedError("garbage", f"the request is no line of JSON: {error}") from None
    if not isinstance(request, dict):
        raise RefusedError("garbage", 'a request is a JSON object such as {"do": "status"}')
    return request
