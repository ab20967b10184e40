"""A simulated Windows host: WS-Management on a port of this machine, and what stands behind it."""

from __future__ import annotations

import contextlib
import itertools
import json
import secrets
import shutil
import ssl
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import anyio
import anyio.abc
from anyio.abc import SocketAttribute, SocketStream
from anyio.streams.tls import TLSStream

from galaxy_core.testing.contract.faults import Fault, Phase, Truth
from galaxy_core_winrm.simulate.computer import Computer
from galaxy_core_winrm.simulate.connection import Connection
from galaxy_core_winrm.simulate.far_side import CELLS, switch_on
from galaxy_core_winrm.simulate.misbehaviour import Misbehaviour
from galaxy_core_winrm.simulate.powershell.known import CANNED, digest
from galaxy_core_winrm.simulate.processes import JOB, end_job, processes_with
from galaxy_core_winrm.simulate.programs import Programs
from galaxy_core_winrm.simulate.quotas import Quotas
from galaxy_core_winrm.simulate.shells import Shells
from galaxy_core_winrm.simulate.tls import Certificate, Tls, tls
from galaxy_core_winrm.simulate.truths import Truths
from galaxy_core_winrm.simulate.users import Users

_LAST_KILL_S = 5.0


class WindowsHost:
    """One host; made by `windows_host`. A `FarSide`, as the contract kit wants it.

    `misbehaviour` and `quotas` may be changed while it runs, on its event loop.
    """

    cells = CELLS

    def __init__(
        self,
        name: str,
        folder: Path,
        passwords: Mapping[str, str],
        certificate: Tls | None,
        powershell: str | None,
        tasks: anyio.abc.TaskGroup,
    ) -> None:
        self.username, self.password = next(iter(passwords.items()))
        self.name = name
        self.computer = Computer(name, folder, powershell)
        self.computer.build(passwords)
        self.quotas = Quotas()
        self.misbehaviour = Misbehaviour(self.die)
        self.port = 0
        self._canned: dict[str, Any] = {}
        self._users = Users(passwords, name, folder / "users")
        self._tls = certificate
        self._tasks = tasks
        self._truths = Truths(folder / "works")
        self._shells = Shells(
            self.computer, self.quotas, self.misbehaviour, self._truths, tasks, Programs(self.computer)
        )
        self._numbers = itertools.count(1)
        self._connections: dict[int, anyio.CancelScope] = {}
        self._listening: anyio.CancelScope | None = None

    @property
    def endpoint(self) -> str:
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}/wsman"

    @property
    def ca_file(self) -> Path | None:
        return self._tls.ca_file if self._tls else None

    # ------------------------------------------------------------------------------------------------------------ life
    async def listen(self) -> None:
        """Take connections; on the port that it had before, if it had one."""
        listener = await anyio.create_tcp_listener(local_host="127.0.0.1", local_port=self.port)
        self.port = listener.listeners[0].extra(SocketAttribute.local_port)  # noqa: S610  no Django
        self._listening = await self._tasks.start(self._serve, listener)

    async def _serve(
        self,
        listener: anyio.abc.Listener[SocketStream],
        *,
        task_status: anyio.abc.TaskStatus[anyio.CancelScope],
    ) -> None:
        with anyio.CancelScope() as scope:
            async with listener:
                task_status.started(scope)
                await listener.serve(self._connect, self._tasks)

    async def _connect(self, stream: SocketStream) -> None:
        number = next(self._numbers)
        with anyio.CancelScope() as self._connections[number]:
            try:
                await self._talk(stream, number)
            except (anyio.BrokenResourceError, anyio.EndOfStream, anyio.ClosedResourceError, ssl.SSLError, OSError):
                pass
            finally:
                del self._connections[number]
                with anyio.CancelScope(shield=True), contextlib.suppress(OSError):
                    await anyio.aclose_forcefully(stream)

    async def _talk(self, stream: SocketStream, number: int) -> None:
        channel: anyio.abc.ByteStream = stream
        if self._tls is not None:
            await self.misbehaviour.thawed()
            channel = await TLSStream.wrap(
                stream, server_side=True, ssl_context=self._tls.context, standard_compatible=False
            )
        await Connection(
            channel,
            number,
            work=self._shells.answer,
            users=self._users,
            misbehaviour=self.misbehaviour,
            bindings=self._tls.bindings if self._tls else None,
            is_tls=self._tls is not None,
            envelope_bytes=lambda: self.quotas.envelope_kb * 1024,
        ).serve()

    # -------------------------------------------------------------------------------------------------------- far side
    async def inject(self, fault: Fault, phase: Phase) -> None:
        """See `FarSide`; a fault stays until `heal`.

        Raises:
            ValueError: that cell cannot be produced; `cells` says why.
        """
        switch_on(self.misbehaviour, fault, phase)
        if (fault, phase) == ("server_dead", "connect"):
            self.die()

    async def heal(self) -> None:
        self.misbehaviour.heal()
        self.full_disk(on=False)
        if self._listening is None:
            await self.listen()

    async def truth(self, mark: str) -> Truth:
        """What became of that attempt; the mark is the variable GALAXY_MARK of its shell's environment, or stands so
        ("GALAXY_MARK=…", or as a key of JSON) in its command line, or in the first piece that it is sent which has one."""
        return self._truths.of(mark)

    async def remains(self) -> list[str]:
        """Commands that nobody has ended by Signal, their processes, and shells that nobody can still want, because every
        connection that has used them is closed; and temporary files of transfers. A shell that is kept for later by an open
        connection is no remains. Markers of attempts are."""
        self._shells.delete_idle()
        found = []
        for shell in self._shells.shells.values():
            found += [f"command {each} of shell {shell.shell_id}" for each in shell.commands]
            if not shell.connections & self._connections.keys():
                found.append(f"shell {shell.shell_id} {shell.name}".rstrip())
        found += [f"process {each}" for each in processes_with(f"{JOB}={self.computer.job}.")]
        left = [*self.computer.temporary_files(), *self.computer.markers()]
        found += [f"file {self.computer.windows_path(each)}" for each in left]
        return found

    def full_disk(self, *, on: bool) -> None:
        """Our scripts find no room on the drive; for the commands that start from now on."""
        self.computer.environment_of_all["SIMULATED_FULL_DISK"] = "1" if on else ""

    def answers(
        self, script: str, stdout: str = "", *, records: Sequence[tuple[str, str]] = (), exit_code: int = 0
    ) -> None:
        """Answer that PowerShell script so from now on; `records` are (stream, text), such as ("warning", "low on paper")."""
        self._canned[digest(script)] = {"stdout": stdout, "records": list(records), "exit_code": exit_code}
        (self.computer.folder / CANNED).write_text(json.dumps(self._canned), encoding="utf-8")

    @property
    def shells(self) -> list[str]:
        """Ids of the shells that are open."""
        return list(self._shells.shells)

    def die(self) -> None:
        """Stop listening, cut every connection, end every shell: the service is stopped."""
        if self._listening is not None:
            self._listening.cancel()
            self._listening = None
        for scope in list(self._connections.values()):
            scope.cancel()
        self._shells.end_all()


@contextlib.asynccontextmanager
async def windows_host(
    *,
    name: str = "SIMULATED",
    username: str = "lab",
    password: str | None = None,
    certificate: Certificate | None = None,
    folder: Path | None = None,
    powershell: str | None = None,
) -> AsyncIterator[WindowsHost]:
    """A host that listens on 127.0.0.1 while inside; leaving ends its processes and removes its folder.

    With a `certificate` it speaks https, without one http with sealed messages only. `powershell` is a program that is
    started in place of ours, which knows a few lines of PowerShell and nothing more.
    """
    own = Path(tempfile.mkdtemp(prefix="galaxy-windows-")) if folder is None else folder
    try:
        made = None if certificate is None else tls(certificate, own / "tls")
        async with anyio.create_task_group() as tasks:
            host = WindowsHost(name, own, {username: password or secrets.token_urlsafe(12)}, made, powershell, tasks)
            try:
                await host.listen()
                yield host
            finally:
                host.die()
                tasks.cancel_scope.cancel()
                with anyio.move_on_after(_LAST_KILL_S, shield=True):
                    await end_job(f"{host.computer.job}.")
    finally:
        if folder is None:
            shutil.rmtree(own, ignore_errors=True)
