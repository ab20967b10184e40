"""Servers that OpenSSH cannot be made to be: with passwords, without a shell, silent. Each has a thread with a loop of its own."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import asyncssh

Handler = Callable[["asyncssh.SSHServerProcess[bytes]"], Coroutine[Any, Any, None]]


class PasswordServer(asyncssh.SSHServer):
    """Lets `user` in with `password`; None for nobody."""

    user, password = "lab", "correct horse"

    def begin_auth(self, username: str) -> bool:
        return True

    def password_auth_supported(self) -> bool:
        return True

    def validate_password(self, username: str, password: str) -> bool:
        return (username, password) == (self.user, self.password)


async def run_really(process: asyncssh.SSHServerProcess[bytes]) -> None:
    """As sshd does: the command in a shell, with the streams of the channel."""
    child = await asyncio.create_subprocess_exec(
        "/bin/sh",
        "-c",
        process.command or "",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    assert child.stdin is not None
    assert child.stdout is not None
    assert child.stderr is not None
    try:
        async with asyncio.TaskGroup() as tasks:
            feeding = tasks.create_task(_copied(process.stdin, child.stdin))
            for origin, target in ((child.stdout, process.stdout), (child.stderr, process.stderr)):
                tasks.create_task(_copied(origin, target, close=False))
            code = await child.wait()
            feeding.cancel()
        process.exit(code)
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()


async def _copied(origin: Any, target: Any, *, close: bool = True) -> None:
    with suppress(OSError, asyncssh.Error):
        while chunk := await origin.read(65536):
            target.write(chunk)
            await target.drain()
        if close:
            target.close()


@contextmanager
def stub(folder: Path, handler: Handler = run_really, **more: Any) -> Iterator[dict[str, Any]]:
    """Settings that lead to a server which runs every command by `handler`."""
    key = asyncssh.generate_private_key("ssh-ed25519")
    started: Any = threading.Event()
    told: dict[str, Any] = {}

    async def serve() -> None:
        stop = asyncio.Event()
        told["loop"], told["stop"] = asyncio.get_running_loop(), stop
        server = await asyncssh.create_server(
            PasswordServer, "127.0.0.1", 0, server_host_keys=[key], process_factory=handler, encoding=None, **more
        )
        told["port"] = server.get_port()
        started.set()
        await stop.wait()
        server.close()
        server.close_all() if hasattr(server, "close_all") else None
        await server.wait_closed()

    thread = threading.Thread(target=lambda: asyncio.run(serve()), name="ssh stub")
    thread.start()
    try:
        assert started.wait(10), "the stub did not start"
        line = key.export_public_key().decode().strip()
        known = folder / f"known-{told['port']}"
        known.write_text(f"[127.0.0.1]:{told['port']} {line}\n")
        yield {
            "host": "127.0.0.1",
            "port": told["port"],
            "username": PasswordServer.user,
            "password": PasswordServer.password,
            "known_hosts": str(known),
            "root": str(folder / "work"),
        }
    finally:
        told["loop"].call_soon_threadsafe(told["stop"].set)
        thread.join()


@contextmanager
def listening(say: bytes = b"") -> Iterator[int]:
    """A port on which somebody says `say` and then nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        taken: list[socket.socket] = []

        def serve() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                taken.append(connection)
                connection.sendall(say)

        thread = threading.Thread(target=serve, name="silent stub")
        thread.start()
        try:
            yield server.getsockname()[1]
        finally:
            server.shutdown(socket.SHUT_RDWR)
            thread.join()
            for connection in taken:
                connection.close()
