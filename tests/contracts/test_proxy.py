"""The proxy between a transport and its far side passes everything on, and misbehaves exactly as it is told."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import pytest
from anyio import TypedAttributeProvider
from anyio.abc import SocketAttribute, SocketStream
from anyio.lowlevel import checkpoint

from galaxy_core.testing.proxy import Proxy

pytestmark = pytest.mark.anyio
GONE = (anyio.EndOfStream, anyio.BrokenResourceError)


async def echo(stream: SocketStream) -> None:
    """Answers with what it is asked, until nobody asks any more."""
    async with stream:
        try:
            async for chunk in stream:
                await stream.send(chunk)
            await stream.send(b"bye")
        except anyio.BrokenResourceError:
            pass


def port_of(listener: TypedAttributeProvider) -> int:
    return int(listener.extra(SocketAttribute.local_port))  # noqa: S610  no database is near


@asynccontextmanager
async def proxied() -> AsyncIterator[Proxy]:
    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener, anyio.create_task_group() as group:
        group.start_soon(listener.serve, echo)
        async with Proxy(("127.0.0.1", port_of(listener))) as proxy:
            yield proxy
        group.cancel_scope.cancel()


async def received(stream: SocketStream, size: int) -> bytes:
    found = b""
    while len(found) < size:
        found += await stream.receive(size - len(found))
    return found


async def test_what_goes_in_comes_out_whole_and_the_end_too() -> None:
    data = bytes(range(256)) * 2000
    async with proxied() as proxy, await anyio.connect_tcp("127.0.0.1", proxy.port) as stream:
        async with anyio.create_task_group() as group:
            group.start_soon(stream.send, data)
            assert await received(stream, len(data)) == data
        await stream.send_eof()
        assert await received(stream, 3) == b"bye"
        assert proxy.passed("requests") == len(data)
        assert proxy.passed("answers") == len(data) + 3
        assert proxy.accepted == 1


async def test_what_hangs_comes_when_it_is_healed() -> None:
    async with proxied() as proxy, await anyio.connect_tcp("127.0.0.1", proxy.port) as stream:
        proxy.hang("answers")
        await stream.send(b"late")
        while proxy.came("answers") < 4:
            await checkpoint()
        assert proxy.passed("answers") == 0
        proxy.heal()
        assert await received(stream, 4) == b"late"


async def test_what_is_swallowed_never_comes() -> None:
    async with proxied() as proxy, await anyio.connect_tcp("127.0.0.1", proxy.port) as stream:
        proxy.swallow("requests")
        await stream.send(b"lost")
        while proxy.lost("requests") < 4:
            await checkpoint()
        proxy.heal()
        await stream.send(b"found")
        assert await received(stream, 5) == b"found"


async def test_what_trickles_comes_in_small_pieces() -> None:
    async with proxied() as proxy, await anyio.connect_tcp("127.0.0.1", proxy.port) as stream:
        proxy.trickle(1, 0.001, "answers")
        await stream.send(b"abc")
        assert await received(stream, 3) == b"abc"
        proxy.heal()
        proxy.delay(0.001)
        await stream.send(b"abc")
        assert await received(stream, 3) == b"abc"


@pytest.mark.parametrize("after", [0, 2, 5])
async def test_one_byte_is_garbled_and_no_other(after: int) -> None:
    async with proxied() as proxy, await anyio.connect_tcp("127.0.0.1", proxy.port) as stream:
        proxy.garble("answers", after)
        await stream.send(b"abc")
        found = await received(stream, 3)
        await stream.send(b"defg")
        found += await received(stream, 4)
        assert [place for place, byte in enumerate(b"abcdefg") if found[place] != byte] == [after]


@pytest.mark.parametrize("after", [0, 1, 3])
async def test_a_connection_is_cut_at_the_very_byte(after: int) -> None:
    async with proxied() as proxy, await anyio.connect_tcp("127.0.0.1", proxy.port) as stream:
        proxy.cut_at("answers", after)
        await stream.send(b"abcd")
        assert await received(stream, after) == b"abcd"[:after]
        with pytest.raises(GONE):
            await stream.receive()
        assert proxy.connections == 0


async def test_all_connections_are_cut_at_an_event_and_new_ones_are_served() -> None:
    happened = anyio.Event()
    async with proxied() as proxy:
        async with await anyio.connect_tcp("127.0.0.1", proxy.port) as stream:
            proxy.cut_when(happened.wait)
            await stream.send(b"before")
            assert await received(stream, 6) == b"before"
            happened.set()
            with pytest.raises(GONE):
                await stream.receive()
        async with await anyio.connect_tcp("127.0.0.1", proxy.port) as stream:
            await stream.send(b"after")
            assert await received(stream, 5) == b"after"


async def test_new_connections_are_refused_until_it_is_healed() -> None:
    async with proxied() as proxy:
        proxy.refuse()
        async with await anyio.connect_tcp("127.0.0.1", proxy.port) as stream:
            with pytest.raises(GONE):
                await stream.receive()
        proxy.heal()
        async with await anyio.connect_tcp("127.0.0.1", proxy.port) as stream:
            await stream.send(b"hi")
            assert await received(stream, 2) == b"hi"


async def test_a_target_that_is_not_there_ends_the_connection() -> None:
    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener:
        port = port_of(listener)
    async with Proxy(("127.0.0.1", port)) as proxy, await anyio.connect_tcp("127.0.0.1", proxy.port) as stream:
        with pytest.raises(GONE):
            await stream.receive()


async def test_leaving_it_cuts_what_is_open() -> None:
    async with proxied() as proxy:
        stream = await anyio.connect_tcp("127.0.0.1", proxy.port)
        await stream.send(b"x")
        await received(stream, 1)
    async with stream:
        with pytest.raises(GONE):
            await stream.receive()
