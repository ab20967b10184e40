"""WS-Management as pywinrm speaks it, made safe: one connection per object, every answer checked, every error mapped.

Blocks: for worker threads, one at a time. The verbs are those of MS-WSMV 3.1.4.
"""

from __future__ import annotations

import re
import threading
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final
from xml.etree import ElementTree

import requests
import xmltodict  # type: ignore[import-untyped]  # in whose form pywinrm makes headers
from attrs import frozen
from winrm.protocol import Protocol
from winrm.transport import Transport

from galaxy_core_winrm.endpoint import parse
from galaxy_core_winrm.faults import (
    NO_SUCH_SHELL,
    FaultError,
    NoAnswerError,
    NothingYetError,
    NotSentError,
    RefusedByHostError,
    StaleLineError,
    UnauthorizedError,
    mapped,
)
from galaxy_core_winrm.line import Line, harden, reach

SHELL: Final = "http://schemas.microsoft.com/wbem/wsman/1/windows/shell"
CMD: Final = f"{SHELL}/cmd"
_TRANSFER = "http://schemas.xmlsoap.org/ws/2004/09/transfer"
_ENUMERATION = "http://schemas.xmlsoap.org/ws/2004/09/enumeration"
_RSP = f"{{{SHELL}}}"
_OUR_ID = re.compile(r"MessageID>(uuid:[0-9a-fA-F-]{36})<")
_THEIR_ID = re.compile(rb"RelatesTo[^>]*>\s*([^<\s]+)\s*<")
_MAX_PULLS = 50


@frozen
class Access:
    """Everything that a connection needs; `password` is in clear, so this never shows itself."""

    endpoint: str
    username: str
    password: str | None
    auth: str
    ca_file: str | None
    encryption: str
    delegation: bool
    operation_timeout_s: int
    answer_timeout_s: int
    connect_timeout_s: float

    def __repr__(self) -> str:
        return f"Access({self.endpoint!r})"


@frozen
class Received:
    """What one Receive brought. `exit_code` is None while the command runs."""

    stdout: bytes
    stderr: bytes
    exit_code: int | None


class _Transport(Transport):
    """pywinrm's, over one `Line`; its answers are those to the questions asked, and plain XML."""

    def __init__(self, line: Line, connect_timeout_s: float, **named: Any) -> None:
        super().__init__(**named)
        self._line = line
        self._connect_timeout_s = connect_timeout_s
        self._asked: str | None = None

    def send_message(self, message: str | bytes) -> bytes:
        text = message.decode() if isinstance(message, bytes) else message
        found = _OUR_ID.search(text)
        self._asked = found and found[1]
        # XML turns a bare carriage return into a line feed (XML 1.0, 2.11); nothing else in a message has one.
        answer: bytes = super().send_message(text.replace("\r", "&#13;"))
        return answer

    def _send_message_request(self, session: requests.Session, prepared: requests.PreparedRequest) -> requests.Response:
        response: requests.Response = super()._send_message_request(session, prepared)
        if response.status_code >= 300:  # pywinrm takes it for an answer
            raise RefusedByHostError(
                f"what answers there is no WinRM service (HTTP {response.status_code}); check the setting 'endpoint'"
            )
        return response

    def _get_message_response_text(self, response: requests.Response) -> bytes:
        answer: bytes = super()._get_message_response_text(response)
        has_declarations = b"<!" in answer  # a document type, which may hold entities; SOAP 1.2 forbids one
        if not response.ok and (has_declarations or b"Envelope" not in answer):
            return b""  # some page of some server: its status is what counts
        if has_declarations:
            raise NoAnswerError("its answer holds declarations, which SOAP does not have")
        related = _THEIR_ID.search(answer)
        if self._asked and (related is None or not _same(related[1].decode("ascii", "replace"), self._asked)):
            raise NoAnswerError("its answer is to another question")
        return answer

    def build_session(self) -> requests.Session:
        is_new = self.session is None
        session = super().build_session()
        if is_new and self.encryption is None:
            harden(session, self._line, self._connect_timeout_s)
        return session

    def setup_encryption(self, session: requests.Session) -> None:
        # Sends a first message, on the connection that is to be kept, before build_session has come to its end.
        harden(session, self._line, self._connect_timeout_s)
        super().setup_encryption(session)


class WinrmProtocol:
    """One connection to a host. After an error that is no answer of the host it is `broken`, and to be closed."""

    def __init__(self, access: Access) -> None:
        self._access = access
        self._line = Line()
        self._protocol: _Wire | None = None
        self._lock = threading.Lock()
        self._is_busy = False
        self._is_aborted = False
        self._is_closed = False
        self.broken = False

    def abort(self) -> None:
        """Break the connection, whoever waits for it. Does not block; from any thread."""
        self.broken = True
        self._is_aborted = True
        self._line.abort()

    def close(self) -> None:
        """Close the connection, now or as soon as a call that was given up has come back. Does not block for long."""
        self.abort()
        with self._lock:
            self._is_closed = True
            is_busy = self._is_busy
        if not is_busy:
            self._release()

    def _release(self) -> None:
        protocol, self._protocol = self._protocol, None
        if protocol is not None:
            protocol.transport.close_session()
        self._line.close()

    def connect(self) -> None:
        """Make sure that the host is there, before anything is asked of it. Costs nothing on a connection that stands."""
        with self._heard():
            if self._line.is_stale:
                raise StaleLineError
            if not self._line.is_ready:  # over https it connects with the first request
                where = parse(self._access.endpoint)
                reach(where.host, where.port, self._access.connect_timeout_s)

    def create(self, name: str, cwd: str | None, env: Mapping[str, str], idle_timeout_s: int) -> str:
        """A new shell of that name; its id."""
        shell: dict[str, Any] = {"rsp:InputStreams": "stdin", "rsp:OutputStreams": "stdout stderr"}
        if env:
            shell["rsp:Environment"] = {"rsp:Variable": [{"@Name": key, "#text": env[key]} for key in env]}
        shell["rsp:IdleTimeOut"] = f"PT{idle_timeout_s}S"
        shell["rsp:Name"] = name
        if cwd is not None:
            shell["rsp:WorkingDirectory"] = cwd
        options = {"WINRS_NOPROFILE": "FALSE", "WINRS_CODEPAGE": "65001"}
        root = self._ask(CMD, f"{_TRANSFER}/Create", {"rsp:Shell": shell}, options=options)
        for node in root.iter():
            if node.get("Name") == "ShellId" and node.text:
                return node.text
        raise NoAnswerError("its answer names no shell")

    def command(self, shell_id: str, line: str, *, has_stdin: bool) -> str:
        """Start a command line in a shell; the id of the command."""
        # WINRS_SKIP_CMD_SHELL is not used: since Server 2012 R2 it is ignored (docstring of pypsrp's WinRS.command).
        options = {"WINRS_CONSOLEMODE_STDIN": "FALSE" if has_stdin else "TRUE", "WINRS_SKIP_CMD_SHELL": "FALSE"}
        root = self._ask(CMD, f"{SHELL}/Command", {"rsp:CommandLine": {"rsp:Command": line}}, shell_id, options)
        command_id = root.findtext(f".//{_RSP}CommandId")
        if not command_id:
            raise NoAnswerError("its answer names no command")
        return command_id

    def send(self, shell_id: str, command_id: str, data: bytes, *, end: bool) -> None:
        """Write to the standard input of a command. When this fails, nobody knows whether it was written: never repeat it."""
        with self._heard() as protocol:
            protocol.send_command_input(shell_id, command_id, data, end=end)

    def receive(self, shell_id: str, command_id: str) -> Received:
        """Wait for output, or for the end of the command.

        Raises:
            NothingYetError: there is none yet.
        """
        with self._heard(may_wait=True) as protocol:
            stdout, stderr, exit_code, done = protocol.get_command_output_raw(shell_id, command_id)
        return Received(stdout, stderr, exit_code if done else None)

    def terminate(self, shell_id: str, command_id: str) -> None:
        """End a command, or tidy up after one that has ended."""
        with self._heard() as protocol:
            protocol.cleanup_command(shell_id, command_id)

    def delete(self, shell_id: str) -> None:
        """Delete a shell, and with it what runs in it. One that is not there is as good."""
        try:
            with self._heard() as protocol:
                protocol.close_shell(shell_id, close_session=False)
        except FaultError as error:
            if error.code != NO_SUCH_SHELL:
                raise

    def shells(self) -> dict[str, str]:
        """The shells of this user: id → name."""
        body = {"n:Enumerate": {"w:OptimizeEnumeration": None, "w:MaxElements": "100"}}
        root = self._ask(SHELL, f"{_ENUMERATION}/Enumerate", body)
        found = _names(root)
        context = _context(root)
        for _ in range(_MAX_PULLS):
            if context is None:
                break
            body = {"n:Pull": {"n:EnumerationContext": context, "n:MaxElements": "100"}}
            root = self._ask(SHELL, f"{_ENUMERATION}/Pull", body)
            found |= _names(root)
            context = _context(root)
        return found

    def _ask(
        self,
        resource: str,
        action: str,
        body: Mapping[str, Any],
        shell_id: str | None = None,
        options: Mapping[str, str] | None = None,
    ) -> ElementTree.Element:
        with self._heard() as protocol:
            envelope = protocol.build_wsman_header(action=action, resource_uri=resource, shell_id=shell_id)
            if options:
                every = [{"@Name": name, "#text": text} for name, text in options.items()]
                envelope["env:Header"]["w:OptionSet"] = {"w:Option": every}
            envelope["env:Body"] = body
            answer = protocol.send_message(xmltodict.unparse({"env:Envelope": envelope}))
            return ElementTree.fromstring(answer)  # noqa: S314  checked by `_Transport`

    @contextmanager
    def _heard(self, *, may_wait: bool = False) -> Iterator[_Wire]:
        """pywinrm's protocol, connected as far as it goes without asking; errors are mapped by how far the request got."""
        with self._lock:
            if self._is_closed:
                raise NotSentError("it was given up before it was asked")
            self._is_busy = True
        try:
            protocol = self._connected()
            try:
                with mapped():
                    yield protocol
            except NotSentError as error:
                if isinstance(error, StaleLineError) or not self._line.is_ready:
                    raise
                # Found on a connection that was there already, such as a TLS record that is none.
                raise NoAnswerError(str(error)) from error
            except NothingYetError as error:
                if may_wait:
                    raise
                raise NoAnswerError("the operation timed out on the host") from error
        except (NoAnswerError, NotSentError, UnauthorizedError):
            self.broken = True
            raise
        finally:
            with self._lock:
                self._is_busy = False
                is_closed = self._is_closed
            if is_closed:
                self._release()

    def _connected(self) -> _Wire:
        if self._protocol is None:
            try:
                with mapped():
                    self._protocol = _Wire(self._access, self._line)
                    self._protocol.transport.build_session()
            except (NoAnswerError, NothingYetError) as error:  # to the first message, which asks for nothing
                hint = "" if self._access.endpoint.startswith("https:") else "; does the host speak https at this port?"
                raise NotSentError(f"it cannot be connected to: {error}{hint}") from error
        return self._protocol

    def renew(self) -> None:
        """Forget a connection that the host has closed; the next request makes another one."""
        if self._protocol is not None:
            self._protocol.transport.close_session()
        old, self._line, self._protocol = self._line, Line(), None
        old.close()
        if self._is_aborted:  # somebody has given up meanwhile
            self._line.abort()
        self.broken = self._is_aborted


class _Wire(Protocol):
    """pywinrm's Protocol on our transport."""

    def __init__(self, access: Access, line: Line) -> None:
        read_timeout_s = access.operation_timeout_s + access.answer_timeout_s
        named: dict[str, Any] = {
            "endpoint": access.endpoint,
            "username": access.username,
            "password": access.password,
            "ca_trust_path": access.ca_file,
            "server_cert_validation": "validate",
            "kerberos_delegation": access.delegation,
            "message_encryption": access.encryption,
            # None would have requests set `no_proxy` in the environment of this whole process for a moment, whichever
            # threads read it. What pywinrm makes of the environment is thrown away by `harden`.
            "proxy": "",
        }
        super().__init__(
            transport=access.auth,  # type: ignore[arg-type]  # one of those that pywinrm knows: the settings see to that
            read_timeout_sec=read_timeout_s,
            operation_timeout_sec=access.operation_timeout_s,
            **named,
        )
        self.transport = _Transport(
            line,
            access.connect_timeout_s,
            auth_method=access.auth,
            service="HTTP",
            read_timeout_sec=read_timeout_s,
            **named,
        )


def _same(one: str, other: str) -> bool:
    try:
        return uuid.UUID(one.removeprefix("uuid:")) == uuid.UUID(other.removeprefix("uuid:"))
    except ValueError:
        return False


def _names(root: ElementTree.Element) -> dict[str, str]:
    found = {}
    for shell in root.iter(f"{_RSP}Shell"):
        shell_id = shell.findtext(f"{_RSP}ShellId")
        if shell_id:
            found[shell_id] = shell.findtext(f"{_RSP}Name") or ""
    return found


def _context(root: ElementTree.Element) -> str | None:
    """What to go on with; None at the end."""
    if any(node.tag.endswith("}EndOfSequence") for node in root.iter()):
        return None
    return root.findtext(f".//{{{_ENUMERATION}}}EnumerationContext") or None


def with_renewal(protocol: WinrmProtocol, verb: Any, *arguments: Any, **named: Any) -> Any:
    """Ask once more on a new connection, if the host had closed the old one before the request left."""
    try:
        return verb(*arguments, **named)
    except StaleLineError:
        protocol.renew()
        return verb(*arguments, **named)
