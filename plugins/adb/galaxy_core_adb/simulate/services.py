"""What a host can open on a phone, by the beginning of its name."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final

import anyio
from anyio.abc import Listener, SocketAttribute, SocketStream

from galaxy_core_adb.simulate.shell import serve_shell
from galaxy_core_adb.simulate.stream import HungUpError
from galaxy_core_adb.simulate.sync import serve_sync

if TYPE_CHECKING:
    from galaxy_core_adb.simulate.faults import Strike
    from galaxy_core_adb.simulate.link import Link
    from galaxy_core_adb.simulate.phone import Phone
    from galaxy_core_adb.simulate.stream import Stream

ServiceOfPhone = Callable[["Phone", "Link", "Stream", "Strike | None"], Awaitable[None]]


async def serve_tcp(phone: Phone, link: Link, stream: Stream, strike: Strike | None) -> None:
    """`tcp:PORT`: what `adb forward` leads to; on a simulated phone, a port of this machine's loopback."""
    _, _, port = stream.name.partition(":")
    if not port.isdecimal():
        return
    try:
        socket = await anyio.connect_tcp("127.0.0.1", int(port))
    except OSError:
        return
    stream.accept()
    await copy(stream, socket)


async def copy(stream: Stream, socket: SocketStream) -> None:
    """Pass bytes both ways until either side ends."""
    async with socket, anyio.create_task_group() as tasks:

        async def to_host() -> None:
            try:
                async for data in socket:
                    await stream.send(data)
            except (HungUpError, anyio.BrokenResourceError):
                pass
            tasks.cancel_scope.cancel()

        tasks.start_soon(to_host)
        try:
            while data := await stream.receive():
                await socket.send(data)
        except anyio.BrokenResourceError:
            pass
        tasks.cancel_scope.cancel()


async def serve_reverse(phone: Phone, link: Link, stream: Stream, strike: Strike | None) -> None:
    """`reverse:forward:tcp:PORT;TARGET` and the like: ports of the phone that lead to the host while the link lasts."""
    stream.accept()
    order = stream.name.partition(":")[2]
    if order == "list-forward":
        await stream.send(_text("".join(f"host tcp:{port} {target}\n" for port, (target, _) in link.reverse.items())))
    elif found := _REVERSE.fullmatch(order):
        await _reverse(link, stream, int(found["port"]), found["target"], rebind=found["norebind"] is None)
    elif order == "killforward-all" or (found := _KILL.fullmatch(order)):
        ports = list(link.reverse) if found is None else [int(found["port"])]
        if all(port in link.reverse for port in ports):
            for port in ports:
                link.reverse.pop(port)[1].cancel()
            await stream.send(b"OKAY")
        else:
            await stream.send(b"FAIL" + _text(f"listener 'tcp:{ports[0]}' not found"))
    else:
        await stream.send(b"FAIL" + _text(f"a simulated phone cannot do {order!r}"))


_REVERSE: Final = re.compile(r"forward:(?P<norebind>norebind:)?tcp:(?P<port>\d{1,5});(?P<target>[^;]+)")
_KILL: Final = re.compile(r"killforward:tcp:(?P<port>\d{1,5})")


def _text(text: str) -> bytes:
    raw = text.encode()
    return b"%04x%s" % (len(raw), raw)


async def _reverse(link: Link, stream: Stream, port: int, target: str, *, rebind: bool) -> None:
    assert link.tasks is not None, "a link that serves has its tasks"
    if port in link.reverse:
        if not rebind:
            await stream.send(b"FAIL" + _text(f"cannot rebind existing socket tcp:{port}"))
            return
        link.reverse.pop(port)[1].cancel()
    try:
        listener = await anyio.create_tcp_listener(local_host="127.0.0.1", local_port=port)
    except OSError as error:
        await stream.send(b"FAIL" + _text(f"cannot bind listener: {error.strerror}"))
        return
    bound: int = listener.extra(SocketAttribute.local_port)  # noqa: S610  it is no query of Django
    scope = anyio.CancelScope()
    link.reverse[bound] = (target, scope)
    link.tasks.start_soon(_lead_back, link, listener, target, scope)
    await stream.send(b"OKAY" + (_text(str(bound)) if port == 0 else b""))


async def _lead_back(link: Link, listener: Listener[SocketStream], target: str, scope: anyio.CancelScope) -> None:
    async def connected(socket: SocketStream) -> None:
        opened = anyio.Event()
        stream: Stream | None = None

        def answer(found: Stream | None) -> None:
            nonlocal stream
            stream = found
            opened.set()

        link.open_on_host(target, answer)
        await opened.wait()
        if stream is None:
            await anyio.aclose_forcefully(socket)
            return
        await copy(stream, socket)
        stream.close()

    with scope:
        async with listener:
            await listener.serve(connected)


async def serve_reboot(phone: Phone, link: Link, stream: Stream, strike: Strike | None) -> None:
    """`reboot:[MODE]`: the link drops, and comes back after `boot_s`."""
    stream.accept()
    try:
        await link.flushed()
    finally:
        if link.online:  # a host that has its OKAY hangs up, which is no change of its mind
            phone.reboot()


SERVICES: Final[dict[str, ServiceOfPhone]] = {
    "shell": serve_shell,
    "exec": serve_shell,
    "tcp": serve_tcp,
    "reboot": serve_reboot,
    "sync": serve_sync,
    "reverse": serve_reverse,
}


async def serve(phone: Phone, link: Link, stream: Stream) -> None:
    """Serve one stream to its end; one that the phone does not know is refused."""
    strike = phone.faults.take(stream.name)
    if phone.faults.deaf:
        await anyio.sleep_forever()
    kind = stream.name.partition(":")[0].partition(",")[0]
    service = SERVICES.get(kind)
    if service is not None and not (strike is not None and strike.fault == "refuse"):
        await service(phone, link, stream, strike)
