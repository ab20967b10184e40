"""Sessions and attempts without an orchestrator around them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from itertools import count
from pathlib import Path
from typing import Any

from anyio import fail_after, sleep

from galaxy_core import Device, TaskStar
from galaxy_core.extension.interfaces import Attempt
from galaxy_core_ssh.session import SshSession
from galaxy_core_ssh.simulate.daemon import Daemon
from galaxy_core_ssh.simulate.simulator import device_of
from galaxy_core_ssh.transport import SshTransport


async def until(holds: Callable[[], Any]) -> None:
    """Wait until something holds, or fail."""
    with fail_after(20):
        while not holds():  # noqa: ASYNC110  what is waited for happens in other processes
            await sleep(0.005)


class Lab:
    """One device and its attempts. `artifacts` is where files of attempts are kept."""

    def __init__(self, folder: Path) -> None:
        self.artifacts = folder / "artifacts"
        self.transport = SshTransport()
        self.heard: list[tuple[str, str]] = []
        self._leases = count(1)

    def opened(
        self, daemon: Daemon | None = None, *, device: Device | None = None, **settings: Any
    ) -> AbstractAsyncContextManager[SshSession]:
        """A session to `daemon`; `settings` beside, or in place of, those that lead there."""
        told = {**(device_of("host", daemon).settings if daemon else {}), **settings}
        device = device or Device("host", "ssh", told, max_concurrency=4)
        return self._opened(device, told)

    @asynccontextmanager
    async def _opened(self, device: Device, settings: dict[str, Any]) -> AsyncIterator[SshSession]:
        read = self.transport.settings_model.model_validate(settings)
        async with self.transport.open(device, read) as session:
            assert isinstance(session, SshSession)
            yield session

    def attempt(self, request: Any) -> Attempt:
        """An attempt whose output goes to `heard`."""
        task = TaskStar("task", request=request)
        return Attempt("run", task, "host", 1, next(self._leases), request, None, self._hear, self._keep)

    def file(self, attempt: Attempt, name: str) -> Path:
        """A file that a task has left."""
        return self._keep(attempt, name)

    def _hear(self, _attempt: Attempt, stream: str, text: str) -> None:
        self.heard.append((stream, text))

    def said(self, stream: str = "stdout") -> str:
        return "".join(text for name, text in self.heard if name == stream)

    def _keep(self, attempt: Attempt, name: str) -> Path:
        folder = self.artifacts / str(attempt.lease)
        folder.mkdir(parents=True, exist_ok=True)
        return folder / name
