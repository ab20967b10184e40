"""Simulated Windows hosts for tests, and a foreign client that talks to them from a worker thread."""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest
from winrm.protocol import Protocol

from galaxy_core import Device, TaskStar
from galaxy_core.extension.interfaces import Attempt
from galaxy_core_winrm.simulate.host import WindowsHost, windows_host
from galaxy_core_winrm.transport import WinrmTransport


@pytest.fixture
async def host(anyio_backend: object) -> AsyncIterator[WindowsHost]:
    """A host that speaks http with sealed messages, on whichever back end the test runs."""
    async with windows_host() as made:
        yield made


@pytest.fixture
async def https_host(anyio_backend: object) -> AsyncIterator[WindowsHost]:
    """A host that speaks https; `ca_file` is what to trust."""
    async with windows_host(certificate="valid") as made:
        yield made


class Client:
    """pywinrm with one connection: each method is one request, made in a worker thread."""

    def __init__(self, host: Any, **options: Any) -> None:
        given = {
            "transport": "ntlm",
            "username": host.username,
            "password": host.password,
            "message_encryption": "always" if host.endpoint.startswith("http:") else "auto",
            "proxy": None,
            "ca_trust_path": None if host.ca_file is None else str(host.ca_file),
            "operation_timeout_sec": 2,
            "read_timeout_sec": 5,
        }
        self.protocol = Protocol(host.endpoint, **(given | options))
        self.shell_id = ""

    async def call(self, name: str, *arguments: Any, **options: Any) -> Any:
        work = functools.partial(getattr(self.protocol, name), *arguments, **options)
        return await anyio.to_thread.run_sync(work, abandon_on_cancel=True)

    async def open(self, *, codepage: int = 65001, **options: Any) -> str:
        self.shell_id = await self.call("open_shell", codepage=codepage, **options)
        return self.shell_id

    async def start(self, line: str, *, data: bytes | None = None, skip: bool = False) -> str:
        if not self.shell_id:
            await self.open()
        command_id: str = await self.call("run_command", self.shell_id, line, skip_cmd_shell=skip)
        if data is not None:
            await self.call("send_command_input", self.shell_id, command_id, data, end=True)
        return command_id

    async def output(self, command_id: str) -> tuple[bytes, bytes, int]:
        found: tuple[bytes, bytes, int] = await self.call("get_command_output", self.shell_id, command_id)
        return found

    async def piece(self, command_id: str) -> tuple[bytes, bytes, int, bool]:
        found: tuple[bytes, bytes, int, bool]
        found = await self.call("get_command_output_raw", self.shell_id, command_id)
        return found

    async def end(self, command_id: str) -> None:
        await self.call("cleanup_command", self.shell_id, command_id)

    async def run(self, line: str, *, data: bytes | None = None, skip: bool = False) -> tuple[bytes, bytes, int]:
        """Standard output, standard error and exit code of a command that is ended properly."""
        command_id = await self.start(line, data=data, skip=skip)
        found = await self.output(command_id)
        await self.end(command_id)
        return found

    async def close(self) -> None:
        await self.call("close_shell", self.shell_id)

    def hang_up(self) -> None:
        self.protocol.transport.close_session()


@pytest.fixture
def dial() -> Iterator[Callable[..., Client]]:
    """Makes clients of hosts; their connections are closed after the test."""
    made: list[Client] = []

    def client(host: Any, **options: Any) -> Client:
        made.append(Client(host, **options))
        return made[-1]

    yield client
    for each in made:
        each.hang_up()


class Desk:
    """The adapter without an orchestrator around it: sessions, and attempts in them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.root = folder / "inventory"
        self.root.mkdir()
        self.transport = WinrmTransport()
        self.heard: list[tuple[str, str]] = []
        self._leases = count(1)

    def settings(self, host: Any, **more: Any) -> Any:
        told = {"endpoint": host.endpoint, "username": host.username, "password": host.password}
        if host.ca_file is not None:
            told["ca_file"] = host.ca_file
        return self.transport.settings_model.model_validate({**told, **more})

    @asynccontextmanager
    async def open(self, host: Any, *, max_concurrency: int = 4, **more: Any) -> AsyncIterator[Any]:
        device = Device("office", "winrm", {}, max_concurrency=max_concurrency, folder=str(self.root))
        async with self.transport.open(device, self.settings(host, **more)) as session:
            yield session

    def attempt(self, request: Any) -> Attempt:
        task, lease = TaskStar("task", request=request), next(self._leases)
        return Attempt("run", task, "office", 1, lease, request, None, self._hear, self._keep)

    async def run(self, session: Any, request: Any) -> Any:
        """How one attempt ends."""
        return await session.execute(self.attempt(request))

    @staticmethod
    async def until(holds: Callable[[], Any]) -> None:
        """Wait until something holds, which the far side tells nobody; at most ten seconds."""
        with anyio.fail_after(10):
            while not holds():  # noqa: ASYNC110  nothing to wait for but the thing itself
                await anyio.sleep(0.002)

    def _hear(self, _attempt: Attempt, stream: str, text: str) -> None:
        self.heard.append((stream, text))

    def _keep(self, attempt: Attempt, name: str) -> Path:
        if Path(name).name != name or name in ("", ".", ".."):
            raise ValueError(f"{name!r} is not one plain path component")
        folder = self.folder / "kept" / str(attempt.lease)
        folder.mkdir(parents=True, exist_ok=True)
        return folder / name


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    """Opens sessions of the adapter, and makes attempts in them."""
    return Desk(tmp_path)
