"""What the kernel sees before anything runs. Settings models and sessions are loaded when they are first asked for."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from galaxy_core import Device
from galaxy_core.errors import DeviceLostError
from galaxy_core.extension.interfaces import FEATURES_OF_COMMANDS, Session
from galaxy_core.extension.redaction import secrets_in

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
        self.features = FEATURES_OF_COMMANDS | {"streams", "counts", "stops", "sends", "facts"}
        if sys.platform != "win32":  # there is no shell there that could leave a marker
            self.features |= {"settles"}
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
            root = _absolute(device, settings.root)
        except FileNotFoundError as error:
            why = "the current folder was removed; change to another one, or make its setting 'root' an absolute path"
            raise DeviceLostError(device.device_id, why) from error
        if not root.is_dir():
            raise DeviceLostError(
                device.device_id,
                f"its working folder {str(root)!r} is no folder; make it, or change its setting 'root'",
            )
        session = LocalSession(settings, root, _secrets(device, settings))
        await session.markers.sweep()
        try:
            yield session
        finally:
            await session.markers.aclose()


def _absolute(device: Device, root: Path | None) -> Path:
    """The working folder. Asks for the current one only if nothing says where it is."""
    return Path("" if root is None else Path(device.folder or "", root)).absolute()


def _secrets(device: Device, settings: LocalSettings) -> list[str]:
    """Values that the inventory holds by reference. What it says in clear is no secret, and may be a mere path."""
    env = {name: value.get_secret_value() for name, value in settings.env.items()}
    texts = {"env": env, "root": str(settings.root), "shell": settings.shell}
    told = {name: value for name, value in device.settings.items() if name in texts}
    return list(secrets_in(told, texts))


class PythonTransport:
    """Functions of the embedding program, called in its event loop."""

    settings_model: Any = cached_property(_python_settings)

    def __init__(self) -> None:
        self.name = "python"
        self.requests = frozenset({"call"})
        self.features: frozenset[str] = frozenset()
        self.actions: Mapping[str, Any] = {}
        self.device_type: str | None = None

    @asynccontextmanager
    async def open(self, device: Device, settings: PythonSettings | None, /) -> AsyncIterator[Session]:
        from galaxy_core_local.python import PythonSession, ThreadSession

        if settings is not None and settings.threads:
            yield ThreadSession(device.max_concurrency)
        else:
            yield PythonSession()
