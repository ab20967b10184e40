"""What the kernel sees before anything runs. Settings models and sessions are loaded when they are first asked for."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from galaxy_core import Device, SecretRef
from galaxy_core.errors import DeviceLostError
from galaxy_core.extension.interfaces import Session

if TYPE_CHECKING:
    from galaxy_core_local.settings import LocalSettings, PythonSettings

DEVICE_TYPES = {"linux": "linux", "darwin": "macos", "win32": "windows"}


def _local_settings(_transport: object) -> type[LocalSettings]:
    from galaxy_core_local.settings import LocalSettings  # pydantic is loaded only by those who ask for it

    return LocalSettings


def _python_settings(_transport: object) -> type[PythonSettings]:
    from galaxy_core_local.settings import PythonSettings

    return PythonSettings


class LocalTransport:
    """This machine: commands and shell texts as subprocesses of the orchestrating process, as the same user."""

    settings_model: Any = cached_property(_local_settings)

    def __init__(self) -> None:
        self.name = "local"
        self.requests = frozenset({"run", "shell"})
        self.actions: Mapping[str, Any] = {}
        self.device_type = DEVICE_TYPES.get(sys.platform)

    @asynccontextmanager
    async def open(self, device: Device, settings: LocalSettings | None, /) -> AsyncIterator[Session]:
        """Nothing to connect: entering only makes sure of the working folder.

        Raises:
            DeviceLostError: the working folder is not there.
        """
        from galaxy_core_local.session import LocalSession

        settings = self.settings_model() if settings is None else settings
        try:
            root = _absolute(settings.root or "")
        except FileNotFoundError as error:
            why = "the current folder was removed; change to another one, or make its setting 'root' an absolute path"
            raise DeviceLostError(device.device_id, why) from error
        if not root.is_dir():
            raise DeviceLostError(
                device.device_id,
                f"its working folder {str(root)!r} is no folder; make it, or change its setting 'root'",
            )
        yield LocalSession(settings, root, _secrets(device, settings))


def _absolute(root: str | Path) -> Path:
    return Path(root).absolute()  # asks for the current folder only if `root` is not absolute


def _secrets(device: Device, settings: LocalSettings) -> list[str]:
    """Values that the inventory holds by reference. What it says in clear is no secret, and may be a mere path."""
    env = device.settings.get("env", {})
    return [value.get_secret_value() for name, value in settings.env.items() if isinstance(env.get(name), SecretRef)]


class PythonTransport:
    """Functions of the embedding program, called in its event loop."""

    settings_model: Any = cached_property(_python_settings)

    def __init__(self) -> None:
        self.name = "python"
        self.requests = frozenset({"call"})
        self.actions: Mapping[str, Any] = {}
        self.device_type: str | None = None

    @asynccontextmanager
    async def open(self, device: Device, settings: PythonSettings | None, /) -> AsyncIterator[Session]:
        from galaxy_core_local.python import PythonSession, ThreadSession

        if settings is not None and settings.threads:
            yield ThreadSession(device.max_concurrency)
        else:
            yield PythonSession()
