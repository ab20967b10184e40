"""A host in a process of its own, which takes orders as lines of JSON: for figures, and to be frozen from outside.

Usage: python -m galaxy_core_winrm.simulate.child '{"hosts": 2, "certificate": "valid"}'

It first prints {"hosts": [{"endpoint", "username", "password", "ca_file", "folder"}, …]}. An order is an object with one
key, and "host", the number of the host it is for (0 when left out); its answer is one line, {"answer": …} or {"error": …}:

    {"inject": ["hang", "middle"]}   {"heal": null}      {"truth": "MARK"}    {"remains": null}    {"shells": null}
    {"switch": ["late", "Receive", 0.2]}   a method of `Misbehaviour` with its arguments
    {"quota": {"shells": 5}}         {"full_disk": true}

It ends when its standard input does.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Any

import anyio
import anyio.abc
from anyio.streams.buffered import BufferedByteReceiveStream
from attrs import asdict, define, field

from galaxy_core.testing.contract.faults import Fault, Phase, Truth
from galaxy_core_winrm.simulate.far_side import CELLS
from galaxy_core_winrm.simulate.host import WindowsHost, windows_host

_LONGEST_LINE = 1 << 20


async def _obey(host: WindowsHost, order: Mapping[str, Any]) -> Any:
    match order:
        case {"inject": [fault, phase]}:
            await host.inject(fault, phase)
        case {"heal": _}:
            await host.heal()
        case {"truth": str(mark)}:
            return asdict(await host.truth(mark))
        case {"remains": _}:
            return await host.remains()
        case {"shells": _}:
            return host.shells
        case {"switch": [str(name), *arguments]}:
            getattr(host.misbehaviour, name)(*arguments)
        case {"quota": dict(quotas)}:
            for name, value in quotas.items():
                setattr(host.quotas, name, value)
        case {"full_disk": bool(on)}:
            host.full_disk(on=on)
        case _:
            raise ValueError(f"no such order: {order}")
    return None


async def serve(hosts: int, options: Mapping[str, Any]) -> None:
    """Run so many hosts until standard input ends."""
    async with AsyncExitStack() as stack:
        made = [
            await stack.enter_async_context(windows_host(name=f"SIM{number}", **options)) for number in range(hosts)
        ]
        _tell({"hosts": [_described(host) for host in made]})
        orders = anyio.wrap_file(sys.stdin)
        async for line in orders:
            try:
                order = json.loads(line)
                answer = await _obey(made[order.pop("host", 0)], order)
            except (ValueError, KeyError, IndexError, AttributeError, TypeError) as error:
                _tell({"error": f"{type(error).__name__}: {error}"})
            else:
                _tell({"answer": answer})


def _described(host: WindowsHost) -> dict[str, Any]:
    return {
        "endpoint": host.endpoint,
        "username": host.username,
        "password": host.password,
        "ca_file": None if host.ca_file is None else str(host.ca_file),
        "folder": str(host.computer.folder),
    }


def _tell(document: Mapping[str, Any]) -> None:
    sys.stdout.write(json.dumps(document) + "\n")
    sys.stdout.flush()


@define
class ChildHost:
    """One host of a child process, as seen from the parent. A `FarSide`, too."""

    endpoint: str
    username: str
    password: str
    ca_file: str | None
    folder: str
    number: int
    _children: Children
    cells: Mapping[tuple[Fault, Phase], str | None] = CELLS

    async def order(self, order: Mapping[str, Any]) -> Any:
        """Give one order and wait for its answer.

        Raises:
            ValueError: it is none, or cannot be obeyed.
        """
        return await self._children.order({**order, "host": self.number})

    async def inject(self, fault: Fault, phase: Phase) -> None:
        await self.order({"inject": [fault, phase]})

    async def heal(self) -> None:
        self._children.thaw()
        await self.order({"heal": None})

    async def truth(self, mark: str) -> Truth:
        return Truth(**await self.order({"truth": mark}))

    async def remains(self) -> Sequence[str]:
        found: list[str] = await self.order({"remains": None})
        return found

    async def shells(self) -> Sequence[str]:
        found: list[str] = await self.order({"shells": None})
        return found


@define
class Children:
    """A child process and its hosts."""

    process: anyio.abc.Process
    hosts: list[ChildHost] = field(factory=list)
    _lines: BufferedByteReceiveStream = field(init=False)
    _lock: anyio.Lock = field(factory=anyio.Lock)

    def __attrs_post_init__(self) -> None:
        assert self.process.stdout is not None
        self._lines = BufferedByteReceiveStream(self.process.stdout)

    async def line(self) -> Any:
        return json.loads(await self._lines.receive_until(b"\n", _LONGEST_LINE))

    async def order(self, order: Mapping[str, Any]) -> Any:
        assert self.process.stdin is not None
        async with self._lock:
            await self.process.stdin.send(json.dumps(order).encode() + b"\n")
            answer = await self.line()
        if "error" in answer:
            raise ValueError(answer["error"])
        return answer["answer"]

    def freeze(self) -> None:
        """Stop the whole process: nothing of it moves, connections are still taken by the machine. Orders wait."""
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        with suppress(ProcessLookupError):
            self.process.send_signal(signal.SIGCONT)


@asynccontextmanager
async def windows_children(hosts: int = 1, **options: Any) -> AsyncIterator[Children]:
    """Hosts in a process of their own; `options` are those of `windows_host`, as JSON has them."""
    words = [sys.executable, "-m", __name__, json.dumps({"hosts": hosts, **options})]
    async with await anyio.open_process(words, stderr=None, stdin=subprocess.PIPE) as process:
        children = Children(process)
        try:
            told = await children.line()
            children.hosts = [
                ChildHost(**each, number=number, children=children) for number, each in enumerate(told["hosts"])
            ]
            yield children
        finally:
            with anyio.CancelScope(shield=True):
                children.thaw()
                assert process.stdin is not None
                await process.stdin.aclose()
                await process.wait()


def main() -> None:
    """Read the options from the command line and run."""
    options = json.loads(sys.argv[1]) if len(sys.argv) > 1 else {}
    anyio.run(serve, options.pop("hosts", 1), options, backend=options.pop("backend", "asyncio"))


if __name__ == "__main__":
    main()
