"""One connection to a host, with its helper, and how many channels it has left."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import asyncssh
from anyio import CancelScope, Event, create_task_group, fail_after, move_on_after

from galaxy_core.errors import DeviceLostError
from galaxy_core_ssh import scripts
from galaxy_core_ssh.remote.channel import Channel, ChannelRefusedError
from galaxy_core_ssh.remote.dial import dial, hang_up, owned
from galaxy_core_ssh.remote.faults import LinkLostError, explain
from galaxy_core_ssh.remote.helper import Helper
from galaxy_core_ssh.settings import SshSettings

#: How long a login shell may take to show that it is one of POSIX, once the helper is there.
LOGIN_TEST_S = 1.0


class Link:
    """An open connection. `used` of its `room` channels are taken, one by the helper.

    `is_posix` says whether texts may be handed to the login shell as they are.
    """

    def __init__(self, settings: SshSettings) -> None:
        self._settings = settings
        self._connections: list[asyncssh.SSHClientConnection] = []
        self.helper = Helper()
        self.used = 1
        self.room = settings.max_channels
        self.is_posix = False
        self.why_lost: str | None = None
        self._on_lost: Callable[[Link], None] = lambda link: None

    @property
    def connection(self) -> asyncssh.SSHClientConnection:
        return self._connections[-1]

    @property
    def version(self) -> str:
        """What the server calls itself."""
        return str(self.connection.get_extra_info("server_version", ""))

    async def open(self, device_id: str, folder: Path, root: str, on_lost: Callable[[Link], None]) -> None:
        """Connect, and start the helper.

        Raises:
            DeviceLostError: it did not come about.
        """
        self._on_lost = on_lost
        self._connections = await dial(device_id, self._settings, folder, self._lost)
        why = ""
        try:
            with fail_after(self._settings.connect_timeout_s):
                why = await self._greet(root)
        except TimeoutError:
            why = f"it let us in, and then no shell answered within {self._settings.connect_timeout_s:g} s"
        except BaseException:
            await self.close()
            raise
        if why:
            await self.close()
            raise DeviceLostError(device_id, f"host {self._settings.host!r}: {why}")

    async def _greet(self, root: str) -> str:
        """Start the helper and look at the login shell at the same time. Returns why that is not possible, or nothing."""
        tested = Event()
        why = ""
        async with create_task_group() as both:
            both.start_soon(self._test_login_shell, tested)
            try:
                await self.helper.open(self.connection, root)
            except (ChannelRefusedError, LinkLostError) as error:
                why = str(error)
            else:
                with move_on_after(LOGIN_TEST_S):
                    await tested.wait()
            both.cancel_scope.cancel()
        return why

    async def _test_login_shell(self, tested: Event) -> None:
        """A host that allows few channels at once, or has a strange shell, gets all its texts through the helper's way."""
        answer = bytearray()

        def take(stream: str, data: bytes) -> None:
            answer.extend(data[:1024])
            self.is_posix = self.is_posix or b"galaxy-posix\n" in answer

        channel = Channel(take)
        try:
            await channel.open(self.connection, scripts.login_test())
            channel.write_eof()
            while not channel.is_gone:
                await channel.changed()
        except (ChannelRefusedError, LinkLostError):
            return
        finally:
            tested.set()
            channel.close()

    async def said(self, text: str, most_bytes: int) -> tuple[bytes, bytes]:
        """The first `most_bytes` of what a text for /bin/sh prints, on each of its streams.

        Raises:
            ChannelRefusedError: the host opens no channel.
            LinkLostError: the connection is gone.
        """
        heard = {"stdout": bytearray(), "stderr": bytearray()}

        def take(stream: str, data: bytes) -> None:
            heard[stream].extend(data[: max(0, most_bytes - len(heard[stream]))])

        channel = Channel(take)
        try:
            await channel.open(self.connection, scripts.LAUNCH)
            await channel.write(scripts.line(text))
            channel.write_eof()
            while not channel.is_gone:
                await channel.changed()
        finally:
            channel.close()
        if channel.why_gone is not None or self.why_lost is not None:
            raise LinkLostError(self.why_lost or "the connection was lost")
        return bytes(heard["stdout"]), bytes(heard["stderr"])

    def is_full(self) -> None:
        """The host has refused another channel: from now on there is room for those that it has granted.

        When only the helper is open, the reason is another one, and may pass.
        """
        self.room = min(self.room, max(self.used - 1, 2))

    async def sftp(self) -> asyncssh.SFTPClient:
        """A conversation with the host's file server, on a channel of its own. Its `exit` ends it.

        Raises:
            ChannelRefusedError: there is none.
            LinkLostError: the connection is gone.
        """
        try:
            return await owned(self.connection.start_sftp_client(), lambda made: made.exit())
        except asyncssh.ChannelOpenError as error:
            if self.connection.is_closed():
                raise LinkLostError("the connection was lost") from error
            raise ChannelRefusedError(f"the host offers no files (sftp): {explain(error)}") from error
        except (asyncssh.Error, OSError) as error:
            if self.connection.is_closed():
                raise LinkLostError("the connection was lost") from error
            raise ChannelRefusedError(f"the host's file server does not start: {explain(error)}") from error

    async def answer(self, text: str, within_s: float) -> tuple[int, str] | None:
        """As `Helper.run`; None when there was no answer, for whatever reason."""
        with move_on_after(within_s):
            try:
                return await self.helper.run(text)
            except LinkLostError:
                return None
        return None

    def cut(self, why: str) -> None:
        """It is of no use any more: end it at once."""
        self.why_lost = self.why_lost or why
        for connection in reversed(self._connections):
            connection.abort()

    async def close(self) -> None:
        """Does not stop for cancellation."""
        self._on_lost = lambda link: None
        self.helper.close()
        with CancelScope(shield=True):
            await hang_up(self._connections)

    def _lost(self, error: BaseException | None) -> None:
        """Also of a host on the way: then the others follow."""
        if self.why_lost is None:
            self.why_lost = explain(error) if error is not None else "the connection was closed"
        self._on_lost(self)
