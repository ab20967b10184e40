"""A TCP proxy that misbehaves when it is told to: between a transport and its far side, for tests.

It knows nothing of what passes. "requests" go from whoever connects to the target, "answers" come back from there.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from types import TracebackType
from typing import Final, Literal

import anyio
from anyio.abc import SocketAttribute, SocketStream, TaskGroup
from attrs import define, field

Direction = Literal["requests", "answers"]
DIRECTIONS: Final[tuple[Direction, ...]] = ("requests", "answers")
#: How much is read at once.
CHUNK_BYTES: Final = 64 * 1024
#: What one who goes on after a reset, or after the other has gone, may run into.
_GONE: Final = (anyio.BrokenResourceError, anyio.ClosedResourceError, anyio.EndOfStream, OSError)


@define
class _Way:
    """How one direction behaves. `came`, `passed` and `lost` count bytes; the rest is what it was told."""

    came: int = 0
    passed: int = 0
    lost: int = 0
    cut_in: int | None = None
    garble_in: int | None = None
    swallows: bool = False
    delay_s: float = 0.0
    piece_bytes: int = 0
    free: anyio.Event = field(factory=anyio.Event)

    def heal(self) -> None:
        self.cut_in = self.garble_in = None
        self.swallows, self.delay_s, self.piece_bytes = False, 0.0, 0
        self.free.set()


class Proxy:
    """Passes connections on to `target`, from `host` and the `port` that it is given when it is entered.

    What it is told holds for connections that are open and for those to come, until `heal`. Leaving it cuts all.
    """

    def __init__(self, target: tuple[str, int], host: str = "127.0.0.1") -> None:
        self._target = target
        self._host = host
        self._refuses = False
        self._ways: dict[Direction, _Way] = {}
        self._open: set[anyio.CancelScope] = set()
        self._running: AbstractAsyncContextManager[None]
        self._group: TaskGroup | None = None
        self.port = 0
        self.accepted = 0

    @property
    def connections(self) -> int:
        """How many are open."""
        return len(self._open)

    def passed(self, direction: Direction) -> int:
        """How many bytes have been passed on, by all connections together."""
        return self._ways[direction].passed

    def came(self, direction: Direction) -> int:
        """How many bytes have come, whatever became of them."""
        return self._ways[direction].came

    def lost(self, direction: Direction) -> int:
        """How many bytes have been swallowed."""
        return self._ways[direction].lost

    # --------------------------------------------------------------------------------------------- misbehaving
    def hang(self, *directions: Direction) -> None:
        """Pass nothing on, in these directions, or in both. What comes waits, and is passed on after `heal`."""
        for way in self._chosen(directions):
            way.free = anyio.Event()

    def swallow(self, *directions: Direction) -> None:
        """Read what comes, and pass it on never."""
        for way in self._chosen(directions):
            way.swallows = True

    def delay(self, seconds: float, *directions: Direction) -> None:
        """Wait before each piece that is passed on."""
        for way in self._chosen(directions):
            way.delay_s = seconds

    def trickle(self, size_bytes: int, seconds: float, *directions: Direction) -> None:
        """Pass on so many bytes at a time, and wait before each time."""
        for way in self._chosen(directions):
            way.piece_bytes, way.delay_s = size_bytes, seconds

    def garble(self, direction: Direction, after_bytes: int = 0) -> None:
        """Change one byte, that which comes after so many more."""
        self._ways[direction].garble_in = after_bytes

    def cut_at(self, direction: Direction, after_bytes: int) -> None:
        """Cut all connections once so many more bytes have passed, none of those that come after them."""
        self._ways[direction].cut_in = after_bytes

    def cut(self) -> None:
        """Cut all connections that are open, now."""
        for scope in list(self._open):
            scope.cancel()

    def cut_when(self, event: Callable[[], Awaitable[object]]) -> None:
        """Cut all connections that are open as soon as `event` returns."""
        assert self._group is not None, "it is not entered"

        async def wait() -> None:
            await event()
            self.cut()

        self._group.start_soon(wait)

    def refuse(self) -> None:
        """Close each new connection at once."""
        self._refuses = True

    def heal(self) -> None:
        """Behave, and pass on what was held back. What was cut stays cut."""
        self._refuses = False
        for way in self._ways.values():
            way.heal()

    def _chosen(self, directions: tuple[Direction, ...]) -> list[_Way]:
        return [self._ways[direction] for direction in directions or DIRECTIONS]

    # --------------------------------------------------------------------------------------------- passing on
    async def __aenter__(self) -> Proxy:
        self._running = self._run()
        await self._running.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._running.__aexit__(kind, error, trace)

    @asynccontextmanager
    async def _run(self) -> AsyncIterator[None]:
        self._ways = {direction: _Way() for direction in DIRECTIONS}
        self.heal()
        async with await anyio.create_tcp_listener(local_host=self._host) as listener:
            self.port = int(listener.extra(SocketAttribute.local_port))  # noqa: S610  no database is near
            async with anyio.create_task_group() as self._group:
                self._group.start_soon(listener.serve, self._serve)
                try:
                    yield
                finally:
                    self._group.cancel_scope.cancel()

    async def _serve(self, outer: SocketStream) -> None:
        self.accepted += 1
        scope = anyio.CancelScope()
        self._open.add(scope)
        inner: SocketStream | None = None
        try:
            with scope:
                if self._refuses:
                    return
                # Shielded, because a connection that is cancelled half-way is closed by nobody.
                with anyio.CancelScope(shield=True), suppress(OSError):
                    inner = await anyio.connect_tcp(*self._target)
                if inner is not None:
                    await self._pass_on(outer, inner)
        finally:
            self._open.discard(scope)
            await _closed(outer, inner)

    async def _pass_on(self, outer: SocketStream, inner: SocketStream) -> None:
        async with anyio.create_task_group() as both:
            both.start_soon(self._pump, outer, inner, "requests")
            both.start_soon(self._pump, inner, outer, "answers")

    async def _pump(self, origin: SocketStream, target: SocketStream, direction: Direction) -> None:
        way = self._ways[direction]
        with suppress(*_GONE):
            async for chunk in origin:
                rest = chunk
                way.came += len(chunk)
                while rest:
                    await way.free.wait()
                    size = way.piece_bytes or len(rest)
                    if way.delay_s:
                        await anyio.sleep(way.delay_s)
                    await self._send(target, rest[:size], way)
                    rest = rest[size:]
            await way.free.wait()
            await target.send_eof()
            return
        # One who is gone, rather than silent, is gone for the other, too.
        await _closed(origin, target)

    async def _send(self, target: SocketStream, piece: bytes, way: _Way) -> None:
        if way.garble_in is not None and way.garble_in < len(piece):
            place, way.garble_in = way.garble_in, None
            piece = piece[:place] + bytes([piece[place] ^ 0xFF]) + piece[place + 1 :]
        elif way.garble_in is not None:
            way.garble_in -= len(piece)
        cuts = way.cut_in is not None and way.cut_in < len(piece)
        if way.cut_in is not None:
            piece, way.cut_in = piece[: way.cut_in], None if cuts else way.cut_in - len(piece)
        if way.swallows:
            way.lost += len(piece)
        elif piece:
            way.passed += len(piece)
            await target.send(piece)
        if cuts:
            self.cut()


async def _closed(*streams: SocketStream | None) -> None:
    """Close all of them at once, whoever is cancelled meanwhile."""
    with anyio.CancelScope(shield=True):
        for stream in streams:
            if stream is not None:
                await anyio.aclose_forcefully(stream)
