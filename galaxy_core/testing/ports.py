"""Ports for servers that a simulator starts as processes of their own."""

from __future__ import annotations

import socket
import sys
import weakref


def port_for(owner: object) -> int:
    """A port of the loopback on which, while `owner` lives, only those can listen who ask for it by its number.

    One that is merely free is drawn by something else before the server starts, one time in 14,000. The server has to set
    SO_REUSEADDR; elsewhere than on Linux the port is merely free.
    """
    held = socket.socket()
    held.setsockopt(
        socket.SOL_SOCKET, socket.SO_REUSEADDR, 1
    )  # on Linux both may have the port then, but not both listen
    held.bind(("127.0.0.1", 0))
    number: int = held.getsockname()[1]
    if sys.platform == "linux":
        weakref.finalize(owner, held.close)
    else:
        held.close()
    return number
