"""The remote shells of a host, and the operations on them (MS-WSMV 3.1.4)."""

from __future__ import annotations

import base64
import re
import uuid
from collections.abc import Callable
from typing import Protocol

import anyio
import anyio.abc
from attrs import define, field

from galaxy_core_winrm.simulate import fault_codes, soap
from galaxy_core_winrm.simulate.computer import Computer
from galaxy_core_winrm.simulate.misbehaviour import Misbehaviour
from galaxy_core_winrm.simulate.processes import SHOWN_MARK, Program, Running, end_job, kill_job
from galaxy_core_winrm.simulate.quotas import Quotas
from galaxy_core_winrm.simulate.soap import RSP, Request
from galaxy_core_winrm.simulate.truths import Truths

#: An attempt's mark, however it comes: in the environment, in the text of a command, or in what it reads.
_MARK = re.compile(rb"""GALAXY_MARK["']?\s*[=:]\s*["']?([0-9A-Za-z_.-]+)""")
#: The envelope around output, without the output.
_OVERHEAD = 2048


class Starter(Protocol):
    """How a command line becomes a program."""

    def __call__(self, line: str, shell: Shell, *, skip_cmd: bool, job: str, command_id: str) -> Program:
        """Read a command line.

        Raises:
            FaultError: there is no such program, or the line is too long.
        """
        ...


@define
class Command:
    """One command of a shell. `operation` is given back when its shell is deleted."""

    running: Running
    mark: str | None
    aborted: anyio.Event = field(factory=anyio.Event)


@define
class Shell:
    """`environment` is that of its commands, by upper-case name; `connections` are those that have used it."""

    shell_id: str
    owner: str
    name: str
    environment: dict[str, str]
    folder: str
    codepage: int
    idle_timeout_s: float
    used_at: float
    commands: dict[str, Command] = field(factory=dict)
    connections: set[int] = field(factory=set)
    operations: int = 1

    def described(self, resource: str) -> dict[str, str]:
        idle = f"PT{self.idle_timeout_s:.3f}S"
        return {
            "ShellId": self.shell_id,
            "Name": self.name,
            "ResourceUri": resource,
            "Owner": self.owner,
            "ClientIP": "127.0.0.1",
            "IdleTimeOut": idle,
            "InputStreams": "stdin",
            "OutputStreams": "stdout stderr",
            "State": "Connected",
            "ShellRunTime": "P0DT0H0M0S",
            "ShellInactivity": "P0DT0H0M0S",
        }


@define
class Shells:
    """Every shell of a host. `tasks` runs what outlives a request."""

    computer: Computer
    quotas: Quotas
    misbehaviour: Misbehaviour
    truths: Truths
    tasks: anyio.abc.TaskGroup
    start: Starter
    shells: dict[str, Shell] = field(factory=dict)

    async def answer(self, request: Request, user: str, connection: int) -> tuple[str, bool]:
        """The body of the answer, and whether it tells the end of a command.

        Raises:
            FaultError: it is to be answered with a fault.
        """
        self.delete_idle()
        work: dict[str, Callable[[Request, str], object]] = {
            "Create": self._create,
            "Command": self._command,
            "Enumerate": self._enumerate,
            "Pull": self._pull,
            "Get": self._get,
            "Identify": self._identify,
        }
        if request.verb == "Receive":
            return await self._receive(request, user, connection)
        waiting = {"Send": self._send, "Signal": self._signal, "Delete": self._delete}
        if request.verb in waiting:
            return await waiting[request.verb](request, user, connection), False
        if request.verb not in work:
            raise fault_codes.not_understood(request.verb)
        if request.shell_id in self.shells:
            self.shells[request.shell_id].connections.add(connection)
        body = str(work[request.verb](request, user))
        if request.verb == "Create":
            next(reversed(self.shells.values())).connections.add(connection)
        return body, False

    def _of(self, request: Request, user: str) -> Shell:
        shell = self.shells.get(request.shell_id)
        if shell is None:
            raise fault_codes.no_such_shell(request.shell_id)
        if shell.owner != user:
            raise fault_codes.not_yours()
        shell.used_at = anyio.current_time()
        return shell

    # ------------------------------------------------------------------------------------------------------- of shells
    def _create(self, request: Request, user: str) -> str:
        if request.resource != soap.CMD:
            raise fault_codes.no_such_resource(request.resource)
        owned = [shell for shell in self.shells.values() if shell.owner == user]
        if len(owned) >= self.quotas.shells:
            raise fault_codes.too_many_shells(self.quotas.shells)
        self._charge(user)
        wanted = request.body.find(f"{RSP}Shell")
        if wanted is None:
            raise soap.NotWsManagementError("no rsp:Shell")
        environment = dict(self.computer.environment(user))
        for variable in wanted.iterfind(f"{RSP}Environment/{RSP}Variable"):
            environment[variable.get("Name", "").upper()] = self.computer.expanded(variable.text or "", environment)
        folder = self.computer.expanded(wanted.findtext(f"{RSP}WorkingDirectory", ""), environment)
        folder = folder or environment["USERPROFILE"]
        if not self.computer.path_of(folder, environment["USERPROFILE"]).is_dir():
            raise fault_codes.not_a_folder(folder)
        shell = Shell(
            (wanted.get("ShellId") or str(uuid.uuid4())).upper(),
            user,
            wanted.findtext(f"{RSP}Name", ""),
            environment,
            folder,
            _codepage(request.options.get("WINRS_CODEPAGE", "437")),
            soap.seconds(wanted.findtext(f"{RSP}IdleTimeOut", f"PT{self.quotas.idle_timeout_s}S")),
            anyio.current_time(),
        )
        self.shells[shell.shell_id] = shell
        return soap.created(shell.shell_id, soap.shell_element(shell.described(soap.CMD)))

    def _charge(self, user: str) -> None:
        used = sum(shell.operations for shell in self.shells.values() if shell.owner == user)
        if used >= self.quotas.operations:
            raise fault_codes.too_many_operations(self.quotas.operations)

    async def _delete(self, request: Request, user: str, _connection: int) -> str:
        shell = self._of(request, user)
        self._end(shell)
        if shell.operations > 1:
            await end_job(self._job_of(shell))
        return ""

    def _job_of(self, shell: Shell) -> str:
        return f"{self.computer.job}.{shell.shell_id}."

    def _end(self, shell: Shell) -> None:
        """Without waiting for its processes to be gone."""
        del self.shells[shell.shell_id]
        for command in shell.commands.values():
            command.aborted.set()
            if command.running.exit_code is None:
                # By its process group: one that was started just now does not show its environment yet.
                command.running.kill()
        if shell.operations > 1:
            kill_job(self._job_of(shell))
            self.tasks.start_soon(end_job, self._job_of(shell))

    def end_all(self) -> None:
        """As a stop of the service does."""
        for shell in list(self.shells.values()):
            self._end(shell)

    def delete_idle(self) -> None:
        """Shells that nobody has asked for longer than their idle timeout; looked at when a request comes."""
        now = anyio.current_time()
        for shell in list(self.shells.values()):
            if now - shell.used_at > shell.idle_timeout_s:
                self._end(shell)

    def _enumerate(self, request: Request, user: str) -> str:
        optimized = request.body.find(f".//{soap.W}OptimizeEnumeration") is not None
        return soap.enumerated(self._items(request, user), optimized=optimized, context=str(uuid.uuid4()))

    def _pull(self, request: Request, user: str) -> str:
        return soap.pulled(self._items(request, user))

    def _items(self, request: Request, user: str) -> list[str]:
        if request.resource not in {soap.SHELL, soap.CMD}:
            raise fault_codes.no_such_resource(request.resource)
        owned = (shell for shell in self.shells.values() if shell.owner == user)
        return [soap.shell_element(shell.described(soap.CMD)) for shell in owned]

    def _get(self, request: Request, user: str) -> str:
        if request.resource.startswith(soap.CONFIG):
            quotas = self.quotas
            return soap.configured(quotas.envelope_kb, quotas.shells, quotas.processes_per_shell, quotas.operations)
        if request.resource not in {soap.SHELL, soap.CMD}:
            raise fault_codes.no_such_resource(request.resource)
        return soap.shell_element(self._of(request, user).described(soap.CMD))

    def _identify(self, _request: Request, _user: str) -> str:
        return soap.IDENTIFIED

    # ----------------------------------------------------------------------------------------------------- of commands
    def _command(self, request: Request, user: str) -> str:
        shell = self._of(request, user)
        busy = sum(command.running.exit_code is None for command in shell.commands.values())
        if busy >= self.quotas.processes_per_shell:
            raise fault_codes.too_many_processes(self.quotas.processes_per_shell)
        self._charge(user)
        wanted = request.body.find(f"{RSP}CommandLine")
        if wanted is None:
            raise soap.NotWsManagementError("no rsp:CommandLine")
        words = [
            wanted.findtext(f"{RSP}Command", ""),
            *(each.text or "" for each in wanted.iterfind(f"{RSP}Arguments")),
        ]
        line = " ".join(word for word in words if word)
        command_id = (wanted.get("CommandId") or str(uuid.uuid4())).upper()
        job = f"{self.computer.job}.{shell.shell_id}.{command_id}"
        skip = request.is_set("WINRS_SKIP_CMD_SHELL")
        program = self.start(line, shell, skip_cmd=skip, job=job, command_id=command_id)
        mark = shell.environment.get("GALAXY_MARK") or _mark_in(line.encode())
        if mark:  # what stands in its command line, Windows shows to all processes of its user
            program.environment = {**program.environment, SHOWN_MARK: mark}
        try:
            running = Running.start(program)
        except OSError as error:
            raise fault_codes.not_found(line[:80]) from error
        shell.operations += 1
        shell.commands[command_id] = Command(running, mark)
        if mark:
            self.truths.began(mark, running, leaves_marker="GALAXY_MARKER=1" in line)
        self.tasks.start_soon(running.serve)
        return soap.commanded(command_id)

    def _find(self, shell: Shell, command_id: str) -> Command:
        try:
            return shell.commands[command_id.upper()]
        except KeyError:
            raise fault_codes.no_such_command(command_id) from None

    async def _send(self, request: Request, user: str, connection: int) -> str:
        shell = self._of(request, user)
        shell.connections.add(connection)
        stream = request.body.find(f"{RSP}Send/{RSP}Stream")
        if stream is None:
            raise soap.NotWsManagementError("no rsp:Stream")
        command = self._find(shell, stream.get("CommandId", ""))
        data = base64.b64decode(stream.text or "")
        if command.mark is None and (mark := _mark_in(data)):
            command.mark = mark
            self.truths.began(mark, command.running)
        with anyio.move_on_after(request.timeout_s) as waited:
            await command.running.send(data, end=stream.get("End", "").casefold() in {"true", "1"})
        if waited.cancelled_caught:
            # How much of it has arrived, nobody can say: it must not be sent again.
            raise fault_codes.timed_out()
        return "<rsp:SendResponse/>"

    async def _receive(self, request: Request, user: str, connection: int) -> tuple[str, bool]:
        shell = self._of(request, user)
        shell.connections.add(connection)
        wanted = request.body.find(f"{RSP}Receive/{RSP}DesiredStream")
        command_id = "" if wanted is None else wanted.get("CommandId", "")
        command = self._find(shell, command_id)
        running = command.running
        with anyio.move_on_after(request.timeout_s):
            await running.wait_for_more()
        shell.used_at = anyio.current_time()
        if command.aborted.is_set() or shell.shell_id not in self.shells:
            raise fault_codes.aborted()
        if noise := self.misbehaviour.noise(done=running.exit_code is not None):
            running.chunks.append(("stdout", noise))
        limit = min(request.max_envelope_bytes, self.quotas.envelope_kb * 1024) - _OVERHEAD
        chunks = running.take(limit * 3 // 4)
        if not chunks and running.exit_code is None:
            raise fault_codes.timed_out()
        # A host that misbehaves tells the end apart from the output, so that there is a middle and an exit to strike.
        done = running.exit_code is not None and not running.chunks and not (chunks and self.misbehaviour.is_on)
        told = [(name, base64.b64encode(data).decode()) for name, data in chunks]
        return soap.received(command_id, told, running.exit_code if done else None), done

    async def _signal(self, request: Request, user: str, connection: int) -> str:
        shell = self._of(request, user)
        shell.connections.add(connection)
        signalled = request.body.find(f"{RSP}Signal")
        if signalled is None:
            raise soap.NotWsManagementError("no rsp:Signal")
        command_id = signalled.get("CommandId", "").upper()
        command = self._find(shell, command_id)
        # Every code ends the command: what Ctrl+C does to it is its own affair on Windows, and there is none here.
        command.aborted.set()
        if signalled.findtext(f"{RSP}Code", "").casefold().endswith("/terminate"):
            del shell.commands[command_id]
        if command.running.exit_code is None:
            command.running.kill()
            await end_job(command.running.program.job)
        return "<rsp:SignalResponse/>"


def _codepage(text: str) -> int:
    try:
        "".encode("utf-8" if text == "65001" else f"cp{text}")
    except LookupError:
        raise fault_codes.no_such_codepage(text) from None
    return int(text)


def _mark_in(data: bytes) -> str | None:
    found = _MARK.search(data)
    return None if found is None else found[1].decode("ascii")
