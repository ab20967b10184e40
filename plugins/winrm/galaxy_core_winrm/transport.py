"""What the kernel sees before anything runs. Models, pywinrm and sessions are loaded when they are first asked for."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from galaxy_core import Device, DeviceLostError
from galaxy_core.extension.interfaces import Session

if TYPE_CHECKING:
    from galaxy_core_winrm.debts import Debts
    from galaxy_core_winrm.protocol import Access
    from galaxy_core_winrm.settings import WinrmSettings


def _settings(_transport: object) -> type[WinrmSettings]:
    from galaxy_core_winrm.settings import WinrmSettings  # pydantic is loaded only by those who ask for it

    return WinrmSettings


def _actions(_transport: object) -> Mapping[str, Any]:
    from galaxy_core_winrm.actions import PowerShell, Pull, Push

    return {"powershell": PowerShell, "pull": Pull, "push": Push}


class WinrmTransport:
    """Windows hosts behind WinRM. Keeps what was left on hosts, so that a later session takes it back."""

    settings_model: Any = cached_property(_settings)
    actions: Any = cached_property(_actions)

    def __init__(self) -> None:
        self.name = "winrm"
        self.requests = frozenset({"run", "shell"})
        self.features = frozenset({"cwd", "env", "stdin", "streams", "counts", "stops", "sends", "facts", "settles"})
        self.device_type: str | None = "windows"
        self._debts: dict[tuple[str, str], Debts] = {}

    @asynccontextmanager
    async def open(self, device: Device, settings: WinrmSettings, /) -> AsyncIterator[Session]:
        """Connect, make sure that commands run there, and ask what it is.

        Raises:
            DeviceLostError: it cannot be reached, or does not take us.
        """
        from galaxy_core_winrm.conversations import Conversations
        from galaxy_core_winrm.debts import Debts
        from galaxy_core_winrm.host import Host
        from galaxy_core_winrm.session import WinrmSession
        from galaxy_core_winrm.shells import Shells
        from galaxy_core_winrm.threads import Threads

        access = _access(device, settings)
        shells = settings.max_shells or device.max_concurrency + 1
        debts = self._debts.setdefault((settings.endpoint, settings.username), Debts())
        # Each command listens, may send, and may have to be stopped; one more for probes.
        conversations = Conversations(access, Threads(3 * device.max_concurrency + 3), device.max_concurrency + 1)
        kept, idle_s = settings.commands_per_shell, settings.shell_idle_s
        host = Host(conversations, Shells(conversations, debts, shells, kept, idle_s, device.device_id))
        session = WinrmSession(device, settings, host)
        is_connected = False
        try:
            await session.connect()
            is_connected = True
            yield session
        finally:
            if is_connected:
                await session.markers.aclose()
            await host.aclose(hastily=not is_connected)


def _access(device: Device, settings: WinrmSettings) -> Access:
    from galaxy_core_winrm.protocol import Access

    ca_file = None
    if settings.ca_file is not None:
        path = Path(device.folder or "", settings.ca_file)
        if not path.is_file():
            raise DeviceLostError(device.device_id, f"its setting 'ca_file' names {str(path)!r}, which is no file")
        ca_file = str(path)
    is_sealed = settings.auth != "basic" and (settings.encrypt == "always" or not settings.where.is_encrypted)
    return Access(
        endpoint=settings.endpoint,
        username=settings.username,
        password=None if settings.password is None else settings.password.get_secret_value(),
        auth=settings.auth,
        ca_file=ca_file,
        encryption="always" if is_sealed else "auto",
        delegation=settings.kerberos_delegation,
        operation_timeout_s=settings.operation_timeout_s,
        answer_timeout_s=settings.answer_timeout_s,
        connect_timeout_s=settings.connect_timeout_s,
    )
