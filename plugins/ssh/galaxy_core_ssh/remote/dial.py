"""Connecting and logging in, through other hosts if need be."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, TypeVar

import asyncssh
from anyio import CancelScope, move_on_after, to_thread

from galaxy_core.errors import DeviceLostError
from galaxy_core_ssh.remote.faults import explain
from galaxy_core_ssh.remote.host_keys import Client, Known
from galaxy_core_ssh.settings import SshHop, SshSettings

#: Signs of life that may stay unanswered before a connection counts as lost.
UNANSWERED = 2
#: How long closing a connection may take before it is cut.
CLOSE_S = 1.0
#: By how far the connection has come: what is said when the time is over.
_TOO_LATE: Final = {
    "nothing": "no connection came about within {}",
    "connected": "something listens there, but it did not say within {} that it speaks SSH; is it the right port?",
    "greeted": "it did not let us in within {}",
}
T = TypeVar("T")


async def dial(
    device_id: str, settings: SshSettings, folder: Path, lost: Callable[[BaseException | None], None]
) -> list[asyncssh.SSHClientConnection]:
    """A connection, the last in the list, and before it those that lead to it. `lost` hears of the end of any.

    Raises:
        DeviceLostError: it did not come about.
    """
    made: list[asyncssh.SSHClientConnection] = []
    hop: SshHop = settings
    client: Client | None = None
    try:
        with move_on_after(settings.connect_timeout_s):
            for hop in (*settings.jump, settings):
                client = None
                client = Client(await to_thread.run_sync(Known, hop, folder), lost)
                made.append(await _checked(hop, settings, folder, client, made[-1] if made else None))
            return made
    except BaseException as error:  # cancellation goes on; of the rest the device's keeper is told
        await hang_up(made)
        if isinstance(error, (OSError, ValueError, asyncssh.Error, asyncssh.PasswordChangeRequired)):
            raise DeviceLostError(device_id, _why(hop, settings, error)) from error
        raise
    await hang_up(made)
    why = _TOO_LATE["nothing" if client is None else client.progress].format(f"{settings.connect_timeout_s:g} s")
    raise DeviceLostError(device_id, f"{_where(hop, settings)}: {why}")


async def _checked(
    hop: SshHop,
    settings: SshSettings,
    folder: Path,
    client: Client,
    tunnel: asyncssh.SSHClientConnection | None,
) -> asyncssh.SSHClientConnection:
    """A connection to a host that is the one that it should be."""
    known = client.known
    try:
        return await _to(hop, settings, folder, client, tunnel)
    except asyncssh.HostKeyNotVerifiable:
        raise ValueError(known.why_not(client.address)) from None
    except asyncssh.KeyExchangeFailed as error:
        if "host key" not in str(error):  # of which both sides have none in common: it has another kind than before
            raise
        raise ValueError(known.why_not(client.address)) from None


def _where(hop: SshHop, settings: SshSettings) -> str:
    where = f"host {hop.host!r}, port {hop.port}"
    return where if hop is settings else f"{where}, on the way to it"


def _why(hop: SshHop, settings: SshSettings, error: BaseException) -> str:
    where = _where(hop, settings)
    if isinstance(error, asyncssh.PermissionDenied):
        ways = {"keys": hop.keys, "the agent's keys": hop.agent, "a password": hop.password}
        offered = " and ".join(name for name, has in ways.items() if has)
        return f"{where}: it refuses user {hop.username!r} with {offered}; check them, and what the host allows"
    if type(error) is ValueError:  # our own words, which may be longer than those of a host
        return f"{where}: {error}"
    return f"{where}: {explain(error)}"


async def _to(
    hop: SshHop, settings: SshSettings, folder: Path, client: Client, tunnel: asyncssh.SSHClientConnection | None
) -> asyncssh.SSHClientConnection:
    agent, keys = None, await to_thread.run_sync(_keys, hop, folder)
    try:
        if hop.agent:
            agent, found = await _from_agent()
            keys += found
        return await owned(
            asyncssh.connect(
                hop.host,
                hop.port,
                tunnel=tunnel,
                config=None,
                client_factory=lambda: client,
                username=hop.username,
                password=hop.password.get_secret_value() if hop.password else None,
                client_keys=keys or None,
                passphrase=hop.passphrase.get_secret_value() if hop.passphrase else None,
                known_hosts=client.known.keys,
                server_host_key_algs=client.known.algorithms(),
                agent_path=None,
                agent_forwarding=False,
                x509_trusted_certs=None,
                gss_kex=False,
                gss_auth=False,
                compression_algs=None,
                login_timeout=settings.connect_timeout_s,
                keepalive_interval=settings.keepalive_s,
                keepalive_count_max=UNANSWERED,
            ),
            lambda made: made.abort(),
        )
    finally:
        if agent is not None:
            agent.close()


def _keys(hop: SshHop, folder: Path) -> list[Any]:
    """In a worker thread: reads files, and opening an encrypted key takes its time.

    Raises:
        ValueError: one of them cannot be read.
    """
    passphrase = hop.passphrase.get_secret_value() if hop.passphrase else None
    found: list[Any] = []
    for number, key in enumerate(hop.keys):
        name = f"keys[{number}]"
        try:
            if isinstance(key, Path):
                path = folder / key.expanduser()
                name += f" {str(path)!r}"
                found += asyncssh.load_keypairs([str(path)], passphrase)
            else:
                found += asyncssh.load_keypairs([asyncssh.import_private_key(key.get_secret_value(), passphrase)])
        except OSError as error:
            raise ValueError(f"{name} cannot be read: {error.strerror or error}") from None
        except asyncssh.KeyEncryptionError as error:
            raise ValueError(f"{name}: {explain(error)}") from None
        except asyncssh.KeyImportError as error:
            is_locked = "assphrase" in str(error)
            raise ValueError(f"{name}: {explain(asyncssh.KeyEncryptionError() if is_locked else error)}") from None
    return found


async def _from_agent() -> tuple[asyncssh.SSHAgentClient, list[Any]]:
    path = os.environ.get("SSH_AUTH_SOCK")
    if not path:
        raise ValueError("agent: SSH_AUTH_SOCK is not set; start ssh-agent before Galaxy, or give keys")
    try:
        agent = await asyncssh.connect_agent(path)
        return agent, list(await agent.get_keys())
    except (OSError, ValueError, asyncssh.Error) as error:
        raise ValueError(f"agent: the one at {path!r} does not answer ({explain(error)})") from error


async def owned(work: Awaitable[T], undo: Callable[[T], None]) -> T:
    """Await what has to be told of a cancellation once, and not at every await, as scopes of anyio do.

    What it comes to in spite of its cancellation is undone.
    """
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        task.cancel()
        with CancelScope(shield=True):
            await asyncio.wait([task], timeout=CLOSE_S)
        if task.done() and not task.cancelled() and task.exception() is None:
            undo(task.result())
        raise


async def hang_up(connections: Sequence[asyncssh.SSHClientConnection]) -> None:
    """End connections, the last one first. Does not stop for cancellation, and does not wait for a frozen host."""
    with CancelScope(shield=True):
        for connection in reversed(connections):
            connection.close()
            with move_on_after(CLOSE_S):
                await connection.wait_closed()
                continue
            connection.abort()
            with suppress(Exception), move_on_after(CLOSE_S):
                await connection.wait_closed()
        # A socket is closed some steps after its connection is said to be, and the loop may end now.
        for _ in range(3):
            await asyncio.sleep(0)
