"""One channel of a connection: a text that a host runs, what it says, and how it ends."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import asyncssh
from anyio import Event

from galaxy_core_ssh.remote.faults import LinkLostError, explain

#: How much is given to a channel at once.
PIECE_BYTES = 32 * 1024
#: How much a host may send before we have taken it.
WINDOW_BYTES = 512 * 1024


class _AbandonedError(Exception):
    """Nobody waits for this channel any more, and so it asks for nothing."""


class ChannelRefusedError(Exception):
    """The host did not open the channel, or did not run the text: nothing has started."""


class Channel(asyncssh.SSHClientSession[bytes]):
    """What is asked for and what comes back. Everything here happens over there, in one thread.

    `stir` is called whenever anything has changed; `take` gets "stdout" or "stderr" and what came. `asked` is called just
    before the request leaves that may start the work, `acknowledged` when the host has granted it.
    """

    def __init__(
        self,
        take: Callable[[str, bytes], None],
        *,
        stir: Callable[[], None] = lambda: None,
        asked: Callable[[], None] = lambda: None,
        acknowledged: Callable[[], None] = lambda: None,
    ) -> None:
        self._take = take
        self._on_stir = stir
        self._stirred = Event()
        self._asked = asked
        self._acknowledged = acknowledged
        self._is_abandoned = False
        self._may_write = Event()
        self._may_write.set()
        self._chan: asyncssh.SSHClientChannel[bytes] | None = None
        self.exit_code: int | None = None
        self.exit_signal: str | None = None
        self.is_silent = False  # all output has come
        self.is_gone = False
        self.why_gone: BaseException | None = None

    @property
    def has_exited(self) -> bool:
        """Whether the host has said how the program ended."""
        return self.exit_code is not None or self.exit_signal is not None

    async def changed(self) -> None:
        """Wait until something has changed since this was awaited last. For one task at a time."""
        await self._stirred.wait()
        self._stirred = Event()

    def stir(self) -> None:
        """Have `changed` return."""
        self._stirred.set()
        self._on_stir()

    async def open(self, connection: asyncssh.SSHClientConnection, text: str) -> None:
        """Have the host run `text`. Cancelled before that was asked for, it is never asked for.

        Raises:
            ChannelRefusedError: the host does not.
            LinkLostError: the connection is gone; whether the work has started, `asked` knows.
        """
        opening = asyncio.ensure_future(
            connection.create_session(lambda: self, text, encoding=None, request_pty=False, window=WINDOW_BYTES)
        )
        try:
            await asyncio.shield(opening)
        except asyncio.CancelledError:
            self._is_abandoned = True
            opening.add_done_callback(_heard)
            raise
        except asyncssh.ChannelOpenError as error:
            # asyncssh says the same when the connection ends while the host is asked.
            if self.is_gone or connection.is_closed() or "connection closed" in error.reason:
                raise LinkLostError(f"the connection was lost ({explain(self.why_gone or error)})") from error
            raise ChannelRefusedError(explain(error)) from error
        except (asyncssh.Error, OSError) as error:
            raise LinkLostError(explain(error)) from error

    async def write(self, data: bytes) -> None:
        """Give it to the program's standard input, as fast as it takes it. A program that takes no more is not at fault."""
        for start in range(0, len(data), PIECE_BYTES):
            await self._may_write.wait()
            if self._chan is None or self.is_gone:
                return
            try:
                self._chan.write(data[start : start + PIECE_BYTES])
            except OSError:
                return

    def write_at_once(self, data: bytes) -> None:
        """Likewise, for a short text, without waiting."""
        if self._chan is None or self.is_gone:
            raise LinkLostError("the connection was lost")
        try:
            self._chan.write(data)
        except OSError as error:
            raise LinkLostError("the connection was lost") from error

    def write_eof(self) -> None:
        if self._chan is not None and not self.is_gone:
            self._chan.write_eof()

    def hold(self) -> None:
        """Let the host wait with what it has to say, until `go_on`."""
        if self._chan is not None:
            self._chan.pause_reading()

    def go_on(self) -> None:
        if self._chan is not None:
            self._chan.resume_reading()

    def signal(self, name: str) -> None:
        """Have the server send a signal to the program's process group; some servers do not."""
        if self._chan is not None and not self.is_gone:
            self._chan.send_signal(name)

    def close(self) -> None:
        """Whatever the program does. It is not ended by that."""
        self._is_abandoned = True
        if self._chan is not None and not self.is_gone:
            self._chan.abort()

    # ------------------------------------------------------------------------------------- called by asyncssh
    def connection_made(self, chan: asyncssh.SSHClientChannel[bytes]) -> None:
        if self._is_abandoned:
            chan.abort()
            raise _AbandonedError
        self._chan = chan
        self._asked()

    def session_started(self) -> None:
        self._acknowledged()

    def data_received(self, data: bytes, datatype: asyncssh.DataType) -> None:
        self._take("stdout" if datatype is None else "stderr", data)

    def eof_received(self) -> bool:
        self.is_silent = True
        self.stir()
        return True  # there is more to come: how it ended

    def exit_status_received(self, status: int) -> None:
        self.exit_code = status
        self.stir()

    def exit_signal_received(self, signal: str, core_dumped: bool, msg: str, lang: str) -> None:
        self.exit_signal = signal
        self.stir()

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_gone, self.why_gone = True, exc
        self._may_write.set()
        self.stir()

    def pause_writing(self) -> None:
        self._may_write = Event()

    def resume_writing(self) -> None:
        self._may_write.set()


def _heard(opening: asyncio.Task[Any]) -> None:
    """Nobody is interested in why a channel did not open that nobody waits for."""
    if not opening.cancelled():
        opening.exception()
