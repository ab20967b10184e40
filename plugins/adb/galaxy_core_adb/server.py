"""The adb server on one port of this machine, as the tasks of one event loop share it."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Final

from anyio import Lock, fail_after, sleep, to_thread
from anyio.lowlevel import RunVar

from galaxy_core_adb import binary
from galaxy_core_adb.debts import Debts
from galaxy_core_adb.failures import AdbFailureError, GarbledError, ServerGoneError, ServerSaysNoError
from galaxy_core_adb.listing import parse
from galaxy_core_adb.smart import Conversation, conversation
from galaxy_core_adb.tracker import Tracker

#: What `host:version` says of servers that know how to name a device by `host:tport:serial:`; since platform-tools 29.
OLDEST_VERSION: Final = 41
#: More devices than this make a server fail: it cannot watch more than 1,024 files at once, and a device costs several.
MOST_DEVICES: Final = 250
_READY_S: Final = 10.0
_ASK_AGAIN_S: Final = 0.02

_log = logging.getLogger(__name__)
_servers: RunVar[dict[int, Server]] = RunVar("galaxy_core_adb.servers")


def server_at(port: int) -> Server:
    """The one that this event loop shares."""
    try:
        servers = _servers.get()
    except LookupError:
        servers = {}
        _servers.set(servers)
    if port not in servers:
        servers[port] = Server(port)
    return servers[port]


class Server:
    """What is known of the server on `port`. It may be started by us; it is never ended by us.

    `tracker` says who is plugged in, `debts` what earlier attempts have left on devices.
    """

    def __init__(self, port: int) -> None:
        self.port = port
        self.tracker = Tracker(port)
        self.debts: dict[str, Debts] = {}
        #: Network devices that were listed as ready and did not answer.
        self.stale: set[str] = set()
        #: Devices whose working folder has been tidied up since this process began.
        self.tidied: set[str] = set()
        #: How each device was listed when somebody last tried to use it.
        self.tried: dict[str, tuple[int, int] | None] = {}
        #: What `ensure` is waiting for, in words, with what to do when it waits in vain.
        self.awaited = ""
        self._sessions: Counter[str] = Counter()
        self._starting = Lock()
        self._connecting = Lock()

    async def ensure(self, adb: Path | None, *, start: bool) -> bool:
        """Make sure that a server answers that we can talk to. True when it was started for that.

        Raises:
            AdbFailureError: there is none.
        """
        async with self._starting:
            self.awaited = (
                f"an answer from what listens on port {self.port}: if that is an adb server, "
                f"'adb -P {self.port} kill-server' ends it; else choose another server_port"
            )
            try:
                self._check(await self._version())
            except ServerGoneError as error:
                if not start:
                    why = "and the setting 'start_server' says that none is to be started"
                    raise ServerGoneError(f"{error}, {why}") from error
            else:
                return False
            path = await to_thread.run_sync(binary.find, adb)
            self.awaited = (
                f"an answer on port {self.port}, where {str(path)!r} was started as adb server: "
                f"'{path} -P {self.port} start-server' says what is wrong; if something else uses that port, choose another "
                "server_port"
            )
            _log.info("starting the adb server on port %d with %s", self.port, path)
            await to_thread.run_sync(binary.start, path, self.port)
            self._check(await self._until_ready())
            return True

    async def _until_ready(self) -> int:
        try:
            with fail_after(_READY_S):
                while True:
                    try:
                        return await self._version()
                    except ServerGoneError:
                        await sleep(_ASK_AGAIN_S)
        except TimeoutError:
            raise ServerGoneError(f"waited {_READY_S:g} s in vain for {self.awaited}") from None

    async def _version(self) -> int:
        try:
            async with self.conversation() as talk:
                await talk.ask("host:version")
                said = await talk.text()
            return int(said, 16)
        except (ServerSaysNoError, GarbledError, ValueError) as error:
            why = f"its version is {said!r}" if isinstance(error, ValueError) else str(error)
            raise GarbledError(
                f"what answers on port {self.port} is no adb server that Galaxy knows: {why}; choose another server_port"
            ) from error

    def _check(self, version: int) -> None:
        if version < OLDEST_VERSION:
            raise AdbFailureError(
                f"the adb server on port {self.port} is of version {version}, and Galaxy wants {OLDEST_VERSION} or newer "
                f"(platform-tools 29): end it with 'adb -P {self.port} kill-server', or choose another server_port"
            )

    @asynccontextmanager
    async def conversation(self) -> AsyncIterator[Conversation]:
        """A connection to the server.

        Raises:
            ServerGoneError: it does not answer.
        """
        async with conversation(self.port) as talk:
            yield talk

    async def say(self, service: str) -> str:
        """The server's answer to a request that is answered with one text."""
        async with self.conversation() as talk:
            await talk.ask(service)
            return await talk.text()

    async def connect(self, serial: str, *, anew: bool) -> None:
        """Have the server connect to a device in the network; `anew` drops an old connection first. One at a time.

        What the server says to it is no proof of anything: whether it is connected, the tracker knows.

        Raises:
            AdbFailureError: the server is gone, or has enough devices.
        """
        async with self._connecting:
            if anew:
                with suppress(ServerSaysNoError):  # it was not connected
                    await self.say(f"host:disconnect:{serial}")
            listed = parse(await self.say("host:devices-l"))
            if serial not in listed and len(listed) >= MOST_DEVICES:
                raise self._full()
            try:
                said = await self.say(f"host:connect:{serial}")
            except ServerSaysNoError as error:
                said = error.reason
            _log.debug("adb connect %s: %s", serial, said)

    @contextmanager
    def used_by(self, serial: str) -> Iterator[None]:
        """Count a device among those in use.

        Raises:
            AdbFailureError: there are enough.
        """
        if serial not in self._sessions and len(self._sessions) >= MOST_DEVICES:
            raise self._full()
        self._sessions[serial] += 1
        try:
            yield
        finally:
            self._sessions[serial] -= 1
            if not self._sessions[serial]:
                del self._sessions[serial]

    def debts_of(self, serial: str) -> Debts:
        """What earlier attempts have left on a device."""
        return self.debts.setdefault(serial, Debts())

    def _full(self) -> AdbFailureError:
        return AdbFailureError(
            f"the adb server on port {self.port} has {MOST_DEVICES} devices, more than which it may crash: "
            "give this device another server_port"
        )
