"""Restarting a device, which makes it go away for a while."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from anyio import move_on_after, sleep

from galaxy_core.extension.interfaces import Attempt, Completed, Outcome, Refused, Unknown
from galaxy_core_adb import requests
from galaxy_core_adb.failures import AdbFailureError, ServerSaysNoError
from galaxy_core_adb.tracker import Seen

if TYPE_CHECKING:
    from galaxy_core_adb.session import AdbSession

#: Pause between questions whether it has booted, and between tries to connect to one in the network.
_AGAIN_S: Final = 0.3
_CONNECT_AGAIN_S: Final = 1.0
_ANSWER_S: Final = 3.0


async def reboot(session: AdbSession, attempt: Attempt, request: requests.Reboot) -> Outcome:
    """Restart it, see it go and, if that is wanted, come back and boot. Its deadline is that of the task.

    Raises:
        AdbFailureError: nothing was sent, and nothing can be.
    """
    waits = request.wait and request.mode == "system"
    with _absent(session):
        try:
            refusal = await _ask(session, attempt, request.mode)
            if refusal is not None:
                return refusal
            await _until_gone(session)
            if waits:
                await _until_booted(session)
        except AdbFailureError as error:
            if attempt.progress == "new":
                raise
            return Unknown(f"it may be restarting: {error}")
        except BaseException:  # goes on to the kernel
            if attempt.progress != "new":
                attempt.partial = Unknown("it may be restarting")
            raise
    return Completed(value="booted" if waits else "gone")


@contextmanager
def _absent(session: AdbSession) -> Iterator[None]:
    """While the device may be away without being lost."""
    try:
        with session.place.absence():
            yield
    finally:
        session.link.server.tracker.nudge(session.link.serial)


async def _ask(session: AdbSession, attempt: Attempt, mode: str) -> Refused | None:
    async with session.link.transport() as talk:
        attempt.sent()
        try:
            await talk.ask(f"reboot:{'' if mode == 'system' else mode}")
        except ServerSaysNoError as error:
            if not error.closed:
                return Refused(f"the device does not restart: {error.reason}")
        else:
            attempt.acknowledged()
    return None


async def _until_gone(session: AdbSession) -> None:
    serial, version = session.link.serial, session.place.version

    def gone(devices: Mapping[str, Seen]) -> bool | None:
        seen = devices.get(serial)
        return True if seen is None or not seen.listed.is_ready or seen.version != version else None

    await session.link.server.tracker.until(gone, serial)


async def _until_booted(session: AdbSession) -> None:
    """Whatever comes between is part of a restart; only the task's deadline ends it."""
    link = session.link
    while True:
        seen = await _listed(session)
        try:
            said = await link.within(_ANSWER_S, "getprop sys.boot_completed")
        except (AdbFailureError, TimeoutError):
            await sleep(_AGAIN_S)
            continue
        if said.text.strip() == "1":
            session.place.version = seen.version
            return
        await sleep(_AGAIN_S)


async def _listed(session: AdbSession) -> Seen:
    """How it is listed once it is back."""
    link, settings, version = session.link, session.settings, session.place.version

    def back(devices: Mapping[str, Seen]) -> Seen | None:
        seen = devices.get(link.serial)
        return seen if seen is not None and seen.listed.is_ready and seen.version != version else None

    while True:
        try:
            with move_on_after(_CONNECT_AGAIN_S):
                return await link.server.tracker.until(back, link.serial)
            if settings.connect:
                await link.server.connect(link.serial, anew=False)
        except AdbFailureError:
            await sleep(_AGAIN_S)
            await link.server.ensure(settings.adb, start=settings.start_server)
