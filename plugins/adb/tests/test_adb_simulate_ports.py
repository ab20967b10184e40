"""The port of a simulated adb server is its own from the beginning, and a foreign one there is not waited for without end."""

from __future__ import annotations

import gc
import socket
import sys
from pathlib import Path

import anyio
import pytest

from galaxy_core.errors import SimulatorError
from galaxy_core_adb.simulate import server as module
from galaxy_core_adb.simulate.server import Server


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere two sockets cannot have a port of which one listens")
def test_a_port_is_drawn_by_nobody_else_while_its_server_is_there(tmp_path: Path) -> None:
    server = Server(tmp_path)
    place = ("127.0.0.1", server.port)
    with socket.socket() as other, pytest.raises(OSError, match="in use"):
        other.bind(place)
    del server
    gc.collect()
    with socket.socket() as other:
        other.bind(place)


@pytest.mark.anyio
async def test_who_listens_there_and_says_nothing_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "STARTED_WITHIN_S", 0.1)
    server = Server(tmp_path)
    with socket.socket() as mute:
        mute.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        mute.bind(("127.0.0.1", server.port))
        mute.listen()
        with anyio.fail_after(60), pytest.raises(SimulatorError, match="does not answer"):
            await server.start()
