"""Ports of this machine that lead to a device."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from anyio import CancelScope, fail_after, move_on_after

from galaxy_core.extension.interfaces import Attempt, Completed, Outcome, Unknown
from galaxy_core_adb import requests
from galaxy_core_adb.failures import AdbFailureError, GarbledError, ServerGoneError, ServerSaysNoError

if TYPE_CHECKING:
    from galaxy_core_adb.session import AdbSession

#: How long taking ports back may take, when a session ends.
TAKE_BACK_S = 1.0

_log = logging.getLogger(__name__)


async def forward(session: AdbSession, attempt: Attempt, request: requests.Forward) -> Outcome:
    """Lead a port to the device until the session ends; the value is the port.

    Raises:
        AdbFailureError: nothing was asked for, and nothing can be.
    """
    link = session.link
    number = await link.number()
    try:
        # The server itself answers, at once; whoever gave up in between would leave a port that nobody takes back.
        with CancelScope(shield=True), fail_after(TAKE_BACK_S):
            async with link.server.conversation() as talk:
                attempt.sent()
                local = f"tcp:{request.local_port}"
                await talk.ask(f"host-transport-id:{number}:forward:{local};{request.remote}")
                await talk.agreed()  # once for the request, once for its success
                port = request.local_port or _port(await talk.text())
    except ServerSaysNoError as error:
        return Completed(error=f"the port cannot be led to {request.remote!r}: {error.reason}")
    except TimeoutError:
        if attempt.progress == "new":
            raise ServerGoneError("the adb server takes no connections") from None
        return Unknown(f"the adb server did not answer within {TAKE_BACK_S:g} s, and may forward the port")
    except (ServerGoneError, GarbledError) as error:
        if attempt.progress == "new":
            raise
        return Unknown(f"nobody knows whether the port was forwarded: {error}")
    session.forwards.append((number, port))
    return Completed(value=port)


def _port(text: str) -> int:
    if not (text.isascii() and text.isdecimal()):
        raise GarbledError(f"the adb server says {text[:20]!r} for a port")
    return int(text)


async def take_back(session: AdbSession) -> None:
    """Close the ports, as far as the server can be asked."""
    with CancelScope(shield=True), move_on_after(TAKE_BACK_S):
        for number, port in session.forwards:
            try:
                async with session.link.server.conversation() as talk:
                    await talk.ask(f"host-transport-id:{number}:killforward:tcp:{port}")
                    await talk.agreed()
            except AdbFailureError as error:  # a server that died, or has lost the device, has closed them
                _log.debug("port %d was not taken back: %s", port, error)
