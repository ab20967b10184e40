"""One connection of an adb server (or of any host) to a phone: who is there, then streams."""

from __future__ import annotations

import secrets
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Protocol

import anyio
from anyio.abc import SocketStream, TaskGroup

from galaxy_core_adb.simulate.faults import WireFaults
from galaxy_core_adb.simulate.keys import PublicKey
from galaxy_core_adb.simulate.stream import Stream
from galaxy_core_adb.simulate.wire import (
    AUTH,
    CLSE,
    CNXN,
    LINK_ERRORS,
    MAX_PAYLOAD,
    OKAY,
    OPEN,
    PUBLIC_KEY,
    SIGNATURE,
    STLS,
    TOKEN,
    VERSION_WITHOUT_CHECKSUMS,
    WRTE,
    Message,
    NotAdbError,
    Reader,
)

Service = Callable[["Link", Stream], Awaitable[None]]


class Owner(Protocol):
    """The phone, as its links see it."""

    version: int
    wire: WireFaults

    def knows(self, token: bytes, signature: bytes) -> bool: ...
    async def agrees(self, key: PublicKey) -> bool: ...
    def asks(self) -> bool: ...
    async def welcome(self, link: Link) -> bool: ...
    async def serve(self, link: Link, stream: Stream) -> None: ...


class Link:
    """Serves one connection until either side ends it.

    All that leaves goes through one queue and one task, so that no cancelled service can cut a message in two.
    """

    def __init__(self, socket: SocketStream, owner: Owner) -> None:
        self._socket = socket
        self._owner = owner
        self._reader = Reader(socket)
        self._outbox: deque[bytes] = deque()
        self._filled = anyio.Event()
        self._emptied = anyio.Event()
        self._thawed = anyio.Event()
        self._thawed.set()
        #: Sent until the host says that it looks at none. Looked at only by an old phone: a host that connects again
        #: remembers that this one does not, and leaves them out at once.
        self._checksums = True
        self._scope = anyio.CancelScope()
        self._next = 1
        self.online = False
        self.peer_max = 4096
        self.streams: dict[int, Stream] = {}
        #: What the phone has asked the host to open.
        self.waiting: dict[int, Callable[[Stream | None], None]] = {}
        #: The phone's ports that lead to the host (`adb reverse`), and what stops each.
        self.reverse: dict[int, tuple[str, anyio.CancelScope]] = {}
        self.tasks: TaskGroup | None = None

    # ------------------------------------------------------------------------------------------------ sending

    def send(self, command: int, arg0: int, arg1: int, payload: bytes = b"") -> None:
        """Queue one message. What is queued is bounded by the flow control of the streams."""
        self.send_raw(Message(command, arg0, arg1, payload).encode(checksum=self._checksums))

    def send_raw(self, data: bytes) -> None:
        """Queue bytes that need be no message."""
        self._outbox.append(data)
        self._filled.set()

    async def flushed(self) -> None:
        """Wait until all that was queued has left."""
        while self._outbox:
            self._emptied = anyio.Event()
            await self._emptied.wait()

    async def _write(self) -> None:
        while True:
            while not self._outbox:
                self._filled = anyio.Event()
                await self._filled.wait()
            await self._thawed.wait()
            data = b"".join(self._outbox) if len(self._outbox) > 1 else self._outbox[0]
            sent = len(self._outbox)
            if not await self._owner.wire.pass_on(data, self._socket.send):
                self.drop()
            for _ in range(sent):
                self._outbox.popleft()
            if not self._outbox:
                self._emptied.set()

    # ------------------------------------------------------------------------------------------ ends and faults

    def drop(self) -> None:
        """Cut the connection at once: what is queued does not leave."""
        self.online = False
        self._scope.cancel()

    def freeze(self) -> None:
        """Neither read nor write from now on."""
        self._thawed = anyio.Event()

    def thaw(self) -> None:
        """Go on as if nothing had been."""
        self._thawed.set()

    # ------------------------------------------------------------------------------------------------ serving

    async def serve(self) -> None:
        """Serve until it ends; all its services have ended then, too."""
        try:
            with self._scope:
                async with anyio.create_task_group() as self.tasks:
                    try:
                        self.tasks.start_soon(self._write_until_lost)
                        await self._read(self.tasks)
                    except LINK_ERRORS:
                        pass
                    finally:
                        self.tasks.cancel_scope.cancel()
        finally:
            self.online = False
            for stream in list(self.streams.values()):
                stream.hung_up()
            for answer in list(self.waiting.values()):
                answer(None)
            await anyio.aclose_forcefully(self._socket)

    async def _write_until_lost(self) -> None:
        try:
            await self._write()
        except LINK_ERRORS:
            self.drop()

    async def _read(self, tasks: TaskGroup) -> None:
        token = b""
        while True:
            message = await self._reader.read(checksum=self._owner.version < VERSION_WITHOUT_CHECKSUMS)
            await self._thawed.wait()
            command = message.command
            if self.online and command in (OKAY, WRTE, CLSE):
                self._of_stream(message, tasks)
            elif self.online and command == OPEN:
                self._open(message, tasks)
            elif command == CNXN:
                token = await self._greeted(message)
            elif command == AUTH:
                token = await self._authenticate(message, token, tasks)
            elif command == STLS or not self.online:
                raise NotAdbError(f"not now: {message}")

    async def _greeted(self, message: Message) -> bytes:
        self.peer_max = max(1, min(message.arg1, MAX_PAYLOAD))
        self._checksums = min(message.arg0, self._owner.version) < VERSION_WITHOUT_CHECKSUMS
        if self._owner.asks():
            return self._challenge()
        await self._welcome()
        return b""

    async def _welcome(self) -> None:
        self.online = await self._owner.welcome(self)

    def _challenge(self) -> bytes:
        token = secrets.token_bytes(20)
        self.send(AUTH, TOKEN, 0, token)
        return token

    async def _authenticate(self, message: Message, token: bytes, tasks: TaskGroup) -> bytes:
        if message.arg0 == SIGNATURE:
            if token and self._owner.knows(token, message.payload):
                await self._welcome()
                return b""
            return self._challenge()
        if message.arg0 == PUBLIC_KEY:
            try:
                key = PublicKey.parse(message.payload)
            except ValueError as error:
                raise NotAdbError(str(error)) from None
            # In a task: a person may take long to answer, and the host may hang up meanwhile.
            tasks.start_soon(self._introduced, key)
        return b""

    async def _introduced(self, key: PublicKey) -> None:
        if await self._owner.agrees(key):
            await self._welcome()

    # ------------------------------------------------------------------------------------------------- streams

    def forget(self, stream: Stream) -> None:
        """The stream has ended."""
        self.streams.pop(stream.local, None)

    def _open(self, message: Message, tasks: TaskGroup) -> None:
        name = message.payload.rstrip(b"\0").decode(errors="surrogateescape")
        stream = Stream(self, self._number(), message.arg0, name)
        self.streams[stream.local] = stream
        tasks.start_soon(self._run, stream)

    def _number(self) -> int:
        self._next += 1
        return self._next

    async def _run(self, stream: Stream) -> None:
        with stream.scope:
            await self._owner.serve(self, stream)
        stream.close()

    def open_on_host(self, name: str, answer: Callable[[Stream | None], None]) -> None:
        """Open a service of the host, such as "tcp:8080"; `answer` gets the stream, or None if it was refused."""
        number = self._number()
        self.waiting[number] = answer
        self.send(OPEN, number, 0, name.encode() + b"\0")

    def _of_stream(self, message: Message, tasks: TaskGroup) -> None:
        if answer := self.waiting.pop(message.arg1, None):
            if message.command != OKAY:
                answer(None)
                return
            stream = Stream(self, message.arg1, message.arg0, "")
            stream.accepted = True
            self.streams[stream.local] = stream
            answer(stream)
        elif stream_or_none := self.streams.get(message.arg1):
            if message.command == OKAY:
                stream_or_none.okay()
            elif message.command == WRTE:
                stream_or_none.came(message.payload)
            else:
                self.send(CLSE, message.arg1, message.arg0)  # as adbd does: some hosts wait for it
                stream_or_none.hung_up()
        elif message.command == WRTE:
            self.send(CLSE, 0, message.arg0)
