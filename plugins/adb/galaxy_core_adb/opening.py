"""From settings to a session, and why there is none."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from difflib import get_close_matches
from pathlib import Path

from anyio import fail_after, move_on_after

from galaxy_core import Device
from galaxy_core.errors import DeviceLostError
from galaxy_core.extension.adapter.sources import files_root
from galaxy_core.extension.redaction import secrets_in
from galaxy_core_adb import facts
from galaxy_core_adb.failures import AdbFailureError
from galaxy_core_adb.link import Link
from galaxy_core_adb.listing import OFFLINE
from galaxy_core_adb.server import Server, server_at
from galaxy_core_adb.session import AdbSession, Place, marks_folder
from galaxy_core_adb.settings import AdbSettings
from galaxy_core_adb.texts import name_of_state
from galaxy_core_adb.tracker import Seen

#: How long a device may take to be listed when its server has just come up, or to be trusted when it was just connected.
SETTLING_S = 3.0
#: How long after adb was told to connect to a device it is told again.
AGAIN_S = 1.0
#: What a device must be able to do; since Android 7.
NEEDED = "shell_v2"


@asynccontextmanager
async def opened(device: Device, settings: AdbSettings) -> AsyncIterator[AdbSession]:
    """A session to a device that has answered.

    Raises:
        DeviceLostError: there is none, and why.
    """
    server = server_at(settings.server_port)
    try:
        with server.used_by(settings.serial):
            session = await _connect(server, device, settings)
            try:
                yield session
            finally:
                await session.aclose()
    except AdbFailureError as error:
        raise DeviceLostError(device.device_id, str(error)) from error


async def _connect(server: Server, device: Device, settings: AdbSettings) -> AdbSession:
    limit_s, serial = settings.connect_timeout_s, settings.serial
    adb = None if settings.adb is None else _seen_from(device, settings.adb)
    doing = ""
    try:
        with fail_after(limit_s):
            is_new = await server.ensure(adb, start=settings.start_server)
            doing = "adb to list it"
            if settings.connect:
                await _connect_network(server, serial)
            seen = await _ready(server, settings, is_new=is_new)
            doing = "its answer to a first command: if it does not react, restart it, or plug it in again"
            link = Link(server, serial, settings.kill_grace_s)
            features = await link.host("features")
            if NEEDED not in features.split(","):
                raise AdbFailureError(
                    f"its adb has no {NEEDED}, without which nobody can tell how a command ends: Android 7 or newer has it"
                )
            said = await link.run(facts.opening_script(settings.root))
            if not facts.was_made(said.text) or serial not in server.tidied:
                made = await link.run(facts.making_script(settings.root, marks_folder(settings.root)))
                if not facts.was_made(made.text):
                    raise AdbFailureError(f"its working folder {settings.root!r} cannot be made: {made.complaint}")
                server.tidied.add(serial)
            await link.pay()
    except TimeoutError:
        server.stale.add(serial)
        raise AdbFailureError(f"waited {limit_s:g} s in vain for {doing or server.awaited}") from None
    server.stale.discard(serial)
    known = facts.parse(said.text, features)
    root = files_root(device.folder, settings.files_root)
    return AdbSession(device, settings, link, known, Place(seen.version), root, _masked(device, settings))


def _seen_from(device: Device, path: Path) -> Path:
    """A path of the settings, which is seen from the folder of the inventory file."""
    return Path(device.folder or "", path).absolute()


def _masked(device: Device, settings: AdbSettings) -> tuple[str, ...]:
    """Values that the inventory holds by reference. What it says in clear is no secret."""
    env = {name: value.get_secret_value() for name, value in settings.env.items()}
    told = {"env": device.settings.get("env", {})}
    return tuple(secrets_in(told, {"env": env}))


async def _connect_network(server: Server, serial: str) -> None:
    (entry,) = await server.tracker.until(lambda devices: (devices.get(serial),), serial)
    if entry is not None and entry.listed.is_ready and serial not in server.stale:
        return
    await server.connect(serial, anew=entry is not None)


async def _ready(server: Server, settings: AdbSettings, *, is_new: bool) -> Seen:
    """The device once it is listed as ready.

    Raises:
        AdbFailureError: it is not, and why.
    """
    serial = settings.serial
    last: Seen | None = None
    others: list[str] = []

    def ready(devices: Mapping[str, Seen]) -> Seen | None:
        nonlocal last
        last = devices.get(serial)
        others[:] = list(devices)
        return last if last is not None and last.listed.is_ready else None

    def gave_up(devices: Mapping[str, Seen]) -> tuple[Seen | None] | None:
        return (ready(devices),)

    try:
        if not (is_new or settings.connect):
            (found,) = await server.tracker.until(gave_up, serial)
            if found is not None:
                return found
        patience_s = SETTLING_S if is_new or settings.connect or last is not None else 0.0
        with move_on_after(patience_s):
            while True:
                with move_on_after(AGAIN_S if settings.connect else patience_s):
                    return await server.tracker.until(ready, serial)
                if settings.connect and (last is None or last.listed.state == OFFLINE):
                    await server.connect(serial, anew=last is not None)
    finally:
        server.tried[serial] = last.version if last is not None else None
    if last is not None:
        raise AdbFailureError(f"{name_of_state(last.listed.state)} (adb: {last.listed.state})")
    raise AdbFailureError(_not_listed(settings, others))


def _not_listed(settings: AdbSettings, others: list[str]) -> str:
    serial = settings.serial
    near = [] if ":" in serial else get_close_matches(serial, others, 1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    there = ", ".join(repr(other) for other in others[:10]) or "none"
    more = f" and {len(others) - 10} more" if len(others) > 10 else ""
    if settings.connect:
        what = f"adb cannot connect to {serial!r}: see that it is on, in this network, and takes adb over the network"
    else:
        what = f"no device {serial!r} is plugged in{hint}"
        if ":" in serial:
            what += " (for a device in the network, set 'connect: true')"
    return f"{what}. Devices of the adb server on port {settings.server_port}: {there}{more}"
