"""Who waits for the same server shares one conversation, which goes on whoever leaves."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from functools import partial

import anyio
import pytest
from anyio.abc import SocketStream

from galaxy_core_adb.failures import ServerGoneError
from galaxy_core_adb.tracker import Seen, Tracker

from .adb_bench import port_of, until

pytestmark = pytest.mark.anyio


class FakeServer:
    """Says to everybody who tracks what `list` is told."""

    def __init__(self) -> None:
        self.port = 0
        self.conversations = 0
        self._open: list[SocketStream] = []
        self._listed = ""

    async def serve(self, stream: SocketStream) -> None:
        async with stream:
            await stream.receive()
            self.conversations += 1
            await stream.send(b"OKAY")
            await stream.send(self._message())
            self._open.append(stream)
            with suppress(anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError):
                await stream.receive()
            self._open.remove(stream)

    def _message(self) -> bytes:
        return b"%04x%s" % (len(self._listed), self._listed.encode())

    async def list(self, *lines: str) -> None:
        self._listed = "".join(f"{line}\n" for line in lines)
        for stream in self._open:
            await stream.send(self._message())

    async def die(self) -> None:
        for stream in list(self._open):
            await stream.aclose()

    @property
    def listeners(self) -> int:
        return len(self._open)


@asynccontextmanager
async def serving() -> AsyncIterator[FakeServer]:
    server = FakeServer()
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    server.port = port_of(listener)
    async with listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, server.serve)
        yield server
        tasks.cancel_scope.cancel()


def _are(found: list[str], count: int) -> bool:
    return len(found) == count


def ready(serial: str) -> Callable[[Mapping[str, Seen]], Seen | None]:
    def check(devices: Mapping[str, Seen]) -> Seen | None:
        seen = devices.get(serial)
        return seen if seen is not None and seen.listed.is_ready else None

    return check


async def test_many_share_one_conversation_and_it_ends_with_the_last() -> None:
    found: list[str] = []
    async with serving() as server:
        tracker = Tracker(server.port)

        async def wait(serial: str) -> None:
            found.append((await tracker.until(ready(serial), serial)).listed.serial)

        async with anyio.create_task_group() as tasks:
            for number in range(250):
                tasks.start_soon(wait, f"s{number}")
            await until(lambda: server.listeners == 1)
            for number in range(250):
                await server.list(f"s{number}  device transport_id:1")
                await until(partial(_are, found, number + 1))
        assert found == [f"s{number}" for number in range(250)]
        assert server.conversations == 1
        await until(lambda: server.listeners == 0)


async def test_when_the_one_who_reads_is_cancelled_another_goes_on_and_nothing_is_lost() -> None:
    async with serving() as server:
        tracker = Tracker(server.port)
        scopes: list[anyio.CancelScope] = []
        found: list[Seen] = []

        async def wait() -> None:
            with anyio.CancelScope() as scope:
                scopes.append(scope)
                found.append(await tracker.until(ready("a"), "a"))

        async with anyio.create_task_group() as tasks:
            for _ in range(5):
                tasks.start_soon(wait)
            await until(lambda: len(scopes) == 5 and server.listeners == 1)
            for scope in scopes[:4]:
                scope.cancel()
                await server.list("b  device transport_id:1")
                await anyio.wait_all_tasks_blocked()
            await server.list("a  device transport_id:2")
        assert len(found) == 1
        assert server.conversations == 1


async def test_a_server_that_dies_is_told_to_all() -> None:
    async with serving() as server:
        tracker = Tracker(server.port)
        told: list[str] = []

        async def wait() -> None:
            with pytest.raises(ServerGoneError):
                await tracker.until(ready("a"), "a")
            told.append("gone")

        async with anyio.create_task_group() as tasks:
            for _ in range(5):
                tasks.start_soon(wait)
            await until(lambda: server.listeners == 1)
            await server.die()
        assert told == ["gone"] * 5
        await server.list("a  device transport_id:1")
        assert (await tracker.until(ready("a"), "a")).listed.transport_id == "1"


async def test_without_a_server_nobody_waits() -> None:
    async with serving() as server:
        port = server.port
    with pytest.raises(ServerGoneError, match=str(port)):
        await Tracker(port).until(ready("a"), "a")


async def test_a_device_that_comes_back_is_another_version_also_when_nobody_looked() -> None:
    async with serving() as server:
        tracker = Tracker(server.port)
        await server.list("a  device transport_id:1", "b  device transport_id:2")
        first = await tracker.until(ready("a"), "a")
        assert await tracker.until(ready("a"), "a") == first
        await until(lambda: server.listeners == 0)
        await server.list("a  device transport_id:3", "b  device transport_id:2")
        second = await tracker.until(ready("a"), "a")
        assert second.version != first.version


async def test_who_waits_for_one_device_is_not_woken_for_another() -> None:
    asked: list[str] = []
    async with serving() as server:
        tracker = Tracker(server.port)

        def check(devices: Mapping[str, Seen]) -> bool | None:
            asked.append(",".join(devices))
            return True if "a" in devices else None

        async def other() -> None:
            await tracker.until(ready("z"), "z")

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(other)  # it reads
            await until(lambda: server.listeners == 1)
            tasks.start_soon(tracker.until, check, "a")
            await anyio.wait_all_tasks_blocked()
            for number in range(20):
                await server.list(f"b  device transport_id:{number}")
                await anyio.wait_all_tasks_blocked()
            await server.list("a  device transport_id:1", "z  device transport_id:2")
        assert len(asked) <= 2
