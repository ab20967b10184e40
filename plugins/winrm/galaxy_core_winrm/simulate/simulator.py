"""`galaxy simulate windows`: hosts with an inventory that reaches them."""

from __future__ import annotations

import contextlib
import secrets
import sys
from collections.abc import AsyncIterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from galaxy_core.errors import SimulatorError

if TYPE_CHECKING:
    from galaxy_core import Device

_NEEDED = {"cryptography": "cryptography", "h11": "h11", "spnego": "pyspnego"}


class WindowsSimulator:
    """A `Simulator`. Hosts speak http with NTLM and sealed messages, and each runs in the process that asks for it."""

    name = "windows"

    @contextlib.asynccontextmanager
    async def simulate(self, count: int, folder: Path, /) -> AsyncIterator[Sequence[Device]]:
        """Start `count` hosts below `folder`; see `Simulator`.

        Raises:
            SimulatorError: the extra `simulate` is not installed, or this is no Linux.
        """
        if missing := [package for module, package in _NEEDED.items() if find_spec(module) is None]:
            raise SimulatorError(self.name, f"{', '.join(missing)} missing: pip install 'galaxy-core-winrm[simulate]'")
        if sys.platform != "linux":
            raise SimulatorError(self.name, "commands are found again in /proc, which only Linux has")
        from galaxy_core import Device, SecretRef
        from galaxy_core_winrm.simulate.host import windows_host

        async with contextlib.AsyncExitStack() as stack:
            devices = []
            for number in range(1, count + 1):
                name, own = f"windows-{number}", folder / f"windows-{number}"
                own.mkdir(mode=0o700)
                password = own / "password"
                password.touch(mode=0o600)
                password.write_text(secrets.token_urlsafe(12), encoding="ascii")
                host = await stack.enter_async_context(
                    windows_host(name=name.upper(), password=password.read_text(encoding="ascii"), folder=own / "host")
                )
                settings = {
                    "endpoint": host.endpoint,
                    "username": host.username,
                    "password": SecretRef(file=str(password)),
                }
                devices.append(
                    Device(name, "winrm", settings, "windows", frozenset({"powershell"}), {"simulated": True}, 4)
                )
            yield devices
