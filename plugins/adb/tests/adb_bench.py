"""Sessions of transport `adb` to simulated phones, without an orchestrator around them."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from itertools import count
from pathlib import Path
from typing import Any

import anyio
import anyio.abc

from galaxy_core import Device, TaskStar
from galaxy_core.extension.interfaces import Attempt, Completed, Outcome
from galaxy_core_adb.session import AdbSession
from galaxy_core_adb.settings import AdbSettings
from galaxy_core_adb.simulate.phone import Phone
from galaxy_core_adb.simulate.rig import Rig
from galaxy_core_adb.transport import AdbTransport


class Bench:
    """Attempts on the phones of a rig. `heard` is the output of them all; `sources` may be sent to phones."""

    def __init__(self, rig: Rig, folder: Path) -> None:
        self.rig = rig
        self.transport = AdbTransport()
        self.heard: list[tuple[str, str]] = []
        self.on_output: Callable[[], object] = lambda: None
        self.sources = folder / "sources"
        self.sources.mkdir()
        self._folder = folder
        self._leases = count(1)

    @property
    def phone(self) -> Phone:
        """The first."""
        return self.rig[0]

    def settings(self, phone: Phone | None = None, /, **more: Any) -> AdbSettings:
        """Those with which a phone is reached."""
        serial = (phone or self.phone).serial
        base = {"serial": serial, "server_port": self.rig.port, "start_server": False, "files_root": self.sources}
        return AdbSettings.model_validate({**base, **more})

    def attempt(self, request: Any, *, keep: bool = True) -> Attempt:
        """One attempt with a folder for its files, unless `keep` is false."""

        def hear(_attempt: Attempt, stream: str, text: str) -> None:
            self.heard.append((stream, text))
            self.on_output()

        def place(attempt: Attempt, name: str) -> Path:
            folder = self._folder / "artifacts" / str(attempt.lease)
            folder.mkdir(parents=True, exist_ok=True)
            return folder / name

        task = TaskStar("task", request=request)
        lease = next(self._leases)
        return Attempt("run", task, "phone", 1, lease, request, None, hear, place if keep else None)

    def open(self, phone: Phone | None = None, /, **settings: Any) -> AbstractAsyncContextManager[AdbSession]:
        """A session."""
        return self._open(self.settings(phone, **settings))

    @asynccontextmanager
    async def _open(self, settings: AdbSettings) -> AsyncIterator[AdbSession]:
        async with self.transport.open(Device("phone"), settings) as session:
            assert isinstance(session, AdbSession)
            yield session

    async def execute(self, request: Any, **settings: Any) -> Outcome:
        """One attempt in a session of its own."""
        async with self.open(**settings) as session:
            return await session.execute(self.attempt(request))

    def far(self, name: str) -> Path:
        """Where a file of the phone's working folder is on this machine."""
        return self.phone.disk.place(f"/data/local/tmp/galaxy/{name}")

    async def plug(self) -> None:
        """The first phone is plugged in again, and its server has noticed."""
        self.phone.plug()
        await self.rig.server.restore(self.phone.serial)

    def source(self, name: str, content: bytes) -> str:
        """A file that may be sent to phones; its name."""
        (self.sources / name).write_bytes(content)
        return name


async def until(holds: Callable[[], object], limit_s: float = 10) -> None:
    """Wait for something that no event tells of."""
    with anyio.fail_after(limit_s):
        while True:
            found = holds()
            if await found if inspect.isawaitable(found) else found:
                return
            await anyio.sleep(0.002)


def port_of(listener: anyio.abc.SocketListener | anyio.abc.Listener[anyio.abc.SocketStream]) -> int:
    """Where it listens."""
    port: int = listener.extra(anyio.abc.SocketAttribute.local_port)  # noqa: S610  which has nothing to do with SQL
    return port


def kept(done: Completed, name: str) -> bytes:
    """What is in a file of a result."""
    return Path((done.files or {})[name]).read_bytes()
