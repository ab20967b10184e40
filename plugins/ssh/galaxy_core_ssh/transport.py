"""What the kernel sees before anything runs. Settings models and sessions are loaded when they are first asked for."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any

from galaxy_core import Device
from galaxy_core.extension.interfaces import FEATURES_OF_COMMANDS, Session

if TYPE_CHECKING:
    from galaxy_core_ssh.settings import SshSettings

FEATURES = FEATURES_OF_COMMANDS | {"streams", "counts", "stops", "sends", "facts", "watches", "settles"}


def _settings(_transport: object) -> type[SshSettings]:
    from galaxy_core_ssh.settings import SshSettings  # pydantic is loaded only by those who ask for it

    return SshSettings


def _actions(_transport: object) -> Mapping[str, Any]:
    from galaxy_core_ssh.requests import Pull, Push

    return {"push": Push, "pull": Pull}


class SshTransport:
    """POSIX hosts behind SSH: commands, shell texts and files, as the user that one logs in as."""

    settings_model: Any = cached_property(_settings)
    actions: Any = cached_property(_actions)

    def __init__(self) -> None:
        self.name = "ssh"
        self.requests = frozenset({"run", "shell"})
        self.features = FEATURES
        self.device_type: str | None = "linux"
        # By device: what attempts have left on a host whose link was lost, as texts that end it. See remote/debts.py.
        self._debts: dict[str, dict[str, str]] = {}

    @asynccontextmanager
    async def open(self, device: Device, settings: SshSettings, /) -> AsyncIterator[Session]:
        """Connect, log in and learn about the host.

        Raises:
            DeviceLostError: it cannot be reached, does not know us, or is not the host that it should be.
        """
        from galaxy_core_ssh.session import opened

        async with opened(device, settings, self._debts.setdefault(device.device_id, {})) as session:
            yield session
