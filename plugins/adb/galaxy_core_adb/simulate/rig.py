"""Simulated phones behind an adb server of their own, in this process, on asyncio or trio.

async with phones(3) as rig:
    rig[0].serial, rig.port
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Final

from galaxy_core.errors import SimulatorError
from galaxy_core_adb.simulate.keys import PublicKey
from galaxy_core_adb.simulate.phone import Phone
from galaxy_core_adb.simulate.server import MOST_PHONES, Server


class Rig:
    """Phones and their server. Index it for a phone."""

    def __init__(self, server: Server, phones: list[Phone], folder: Path) -> None:
        self.server = server
        self.phones = phones
        self.folder = folder

    def __getitem__(self, number: int) -> Phone:
        return self.phones[number]

    def __len__(self) -> int:
        return len(self.phones)

    def __iter__(self) -> Iterator[Phone]:
        return iter(self.phones)

    @property
    def port(self) -> int:
        """That of the adb server."""
        return self.server.port


@asynccontextmanager
async def phones(
    count: int = 1, *, folder: Path | None = None, connect: bool = True, trusted: bool = True, **options: Any
) -> AsyncIterator[Rig]:
    """Start `count` phones, at most 250, and a server that has them all (`connect`), with a key that they trust (`trusted`).

    `options` are those of `Phone`. `folder` must be new or empty; it is left as it is, a temporary one is removed.

    Raises:
        SimulatorError: they cannot be started here.
    """
    if count > MOST_PHONES:
        raise ValueError(f"{count} phones are too many for one adb server; it takes {MOST_PHONES}")
    place = Path(tempfile.mkdtemp(prefix="galaxy-phones-")) if folder is None else folder
    async with AsyncExitStack() as stack:
        if folder is None:
            stack.callback(shutil.rmtree, place, ignore_errors=True)
        server = Server(place / "home")
        stack.callback(server.kill)
        key = await make_key(server)
        rig = Rig(server, [], place)
        for number in range(count):
            phone = Phone(place / f"phone-{number + 1}", f"sim-{number + 1}", **options)
            if trusted and phone.authentication == "accepts":
                phone.keys.add(key)
            rig.phones.append(await stack.enter_async_context(phone.running()))
            phone.behind(server)
        await server.start()
        if connect:
            await server.connect([phone.serial for phone in rig])
            if all(phone.authentication in ("open", "accepts") for phone in rig):
                await server.until({phone.serial: "device" for phone in rig})
        yield rig


async def make_key(server: Server) -> PublicKey:
    """A key for the server, which finds it when it starts."""
    place = server.home / ".android"
    place.mkdir(parents=True)
    if not _KEY:  # it takes adb up to half a second, so all rigs of a process use one
        made = await server.run("keygen", str(place / "adbkey"))
        try:
            PublicKey.parse((place / "adbkey.pub").read_bytes())
        except (OSError, ValueError) as error:
            said = made.stderr.decode(errors="replace")
            raise SimulatorError("phone", f"adb made no key ({error}): {said}") from error
        _KEY.update({path.name: path.read_bytes() for path in place.iterdir()})
    for name, content in _KEY.items():
        (place / name).touch(mode=0o600)
        (place / name).write_bytes(content)
    return PublicKey.parse(_KEY["adbkey.pub"])


#: The files of the key.
_KEY: Final[dict[str, bytes]] = {}
