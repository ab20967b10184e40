"""The WS-Management messages of remote shells (DSP0226, MS-WSMV 3.1.4), read from and written as XML text."""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping, Sequence
from xml.etree import ElementTree
from xml.sax.saxutils import escape, quoteattr

from attrs import frozen

S = "{http://www.w3.org/2003/05/soap-envelope}"
A = "{http://schemas.xmlsoap.org/ws/2004/08/addressing}"
W = "{http://schemas.dmtf.org/wbem/wsman/1/wsman.xsd}"
RSP = "{http://schemas.microsoft.com/wbem/wsman/1/windows/shell}"
N = "{http://schemas.xmlsoap.org/ws/2004/09/enumeration}"
SHELL = "http://schemas.microsoft.com/wbem/wsman/1/windows/shell"
CMD = f"{SHELL}/cmd"
CONFIG = "http://schemas.microsoft.com/wbem/wsman/1/config"
_IDENTIFY = "{http://schemas.dmtf.org/wbem/wsman/identity/1/wsmanidentity.xsd}Identify"
_DURATION = re.compile(r"P(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+(?:\.\d+)?)S)?)?")


class NotWsManagementError(ValueError):
    """The body is no envelope of WS-Management."""


def seconds(duration: str) -> float:
    """Of an `xs:duration` such as "PT1M30.5S", without years and months.

    Raises:
        NotWsManagementError: it is none.
    """
    found = _DURATION.fullmatch(duration.strip())
    if found is None:
        raise NotWsManagementError(f"not a duration: {duration!r}")
    return sum(float(part or 0) * unit for part, unit in zip(found.groups(), (86_400, 3_600, 60, 1), strict=True))


@frozen
class Request:
    """`verb` is the last part of the action: Create, Command, Send, Receive, Signal, Delete, Enumerate, Pull, Get; or
    Identify, which has no action."""

    verb: str
    message_id: str
    resource: str
    shell_id: str
    timeout_s: float
    max_envelope_bytes: int
    options: Mapping[str, str]
    body: ElementTree.Element

    @classmethod
    def parse(cls, text: bytes) -> Request:
        """Read an envelope.

        Raises:
            NotWsManagementError: it is none.
        """
        try:
            root = ElementTree.fromstring(text)  # noqa: S314  a simulator, whose clients are tests and tutorials
        except ElementTree.ParseError as error:
            raise NotWsManagementError(f"no XML: {error}") from error
        head, body = root.find(f"{S}Header"), root.find(f"{S}Body")
        if head is None or body is None:
            raise NotWsManagementError("no SOAP envelope with header and body")
        if body.find(_IDENTIFY) is not None:
            return cls("Identify", "", "", "", 60.0, 0, {}, body)
        selectors = {found.get("Name", ""): found.text or "" for found in head.iterfind(f"{W}SelectorSet/{W}Selector")}
        return cls(
            verb=head.findtext(f"{A}Action", "").rpartition("/")[2],
            message_id=head.findtext(f"{A}MessageID", ""),
            resource=head.findtext(f"{W}ResourceURI", "").strip(),
            shell_id=selectors.get("ShellId", "").upper(),
            timeout_s=seconds(head.findtext(f"{W}OperationTimeout", "PT60S")),
            max_envelope_bytes=int(head.findtext(f"{W}MaxEnvelopeSize", "153600")),
            options={each.get("Name", ""): each.text or "" for each in head.iterfind(f"{W}OptionSet/{W}Option")},
            body=body,
        )

    def is_set(self, option: str) -> bool:
        return self.options.get(option, "").strip().upper() in {"TRUE", "1"}


def envelope(verb: str, relates_to: str, body: str) -> bytes:
    """An answer to the request whose MessageID is `relates_to`."""
    return (
        '<s:Envelope xml:lang="en-US" xmlns:s="http://www.w3.org/2003/05/soap-envelope" '
        'xmlns:a="http://schemas.xmlsoap.org/ws/2004/08/addressing" '
        'xmlns:w="http://schemas.dmtf.org/wbem/wsman/1/wsman.xsd" '
        'xmlns:n="http://schemas.xmlsoap.org/ws/2004/09/enumeration" '
        'xmlns:x="http://schemas.xmlsoap.org/ws/2004/09/transfer" '
        f'xmlns:rsp="{SHELL}"><s:Header><a:Action>{escape(verb)}Response</a:Action>'
        f"<a:MessageID>uuid:{str(uuid.uuid4()).upper()}</a:MessageID>"
        "<a:To>http://schemas.xmlsoap.org/ws/2004/08/addressing/role/anonymous</a:To>"
        f"<a:RelatesTo>{escape(relates_to)}</a:RelatesTo></s:Header><s:Body>{body}</s:Body></s:Envelope>"
    ).encode()


def created(shell_id: str, described: str) -> str:
    """`described` is the rsp:Shell element."""
    return (
        "<x:ResourceCreated><a:Address>http://schemas.xmlsoap.org/ws/2004/08/addressing/role/anonymous</a:Address>"
        f"<a:ReferenceParameters><w:ResourceURI>{CMD}</w:ResourceURI><w:SelectorSet>"
        f'<w:Selector Name="ShellId">{shell_id}</w:Selector>'
        f"</w:SelectorSet></a:ReferenceParameters></x:ResourceCreated>{described}"
    )


def shell_element(fields: Mapping[str, str]) -> str:
    """The description of a shell (MS-WSMV 2.2.4.37): name of a field → text."""
    inner = "".join(f"<rsp:{name}>{escape(text)}</rsp:{name}>" for name, text in fields.items())
    return f"<rsp:Shell>{inner}</rsp:Shell>"


def enumerated(items: Sequence[str], *, optimized: bool, context: str) -> str:
    """The answer to Enumerate: everything at once when the client asked for that, else a context to Pull from."""
    if not optimized:
        return f"<n:EnumerateResponse><n:EnumerationContext>{context}</n:EnumerationContext></n:EnumerateResponse>"
    return (
        f"<n:EnumerateResponse><n:EnumerationContext/><w:Items>{''.join(items)}</w:Items>"
        "<w:EndOfSequence/></n:EnumerateResponse>"
    )


def pulled(items: Sequence[str]) -> str:
    return f"<n:PullResponse><n:Items>{''.join(items)}</n:Items><n:EndOfSequence/></n:PullResponse>"


def commanded(command_id: str) -> str:
    return f"<rsp:CommandResponse><rsp:CommandId>{command_id}</rsp:CommandId></rsp:CommandResponse>"


def received(command_id: str, chunks: Sequence[tuple[str, str]], exit_code: int | None) -> str:
    """`chunks` are (stream, base64) pairs; with an exit code, they are the last ones."""
    about = f"CommandId={quoteattr(command_id)}"
    streams = "".join(f"<rsp:Stream Name={quoteattr(name)} {about}>{data}</rsp:Stream>" for name, data in chunks)
    if exit_code is None:
        return (
            f"<rsp:ReceiveResponse>{streams}"
            f'<rsp:CommandState {about} State="{SHELL}/CommandState/Running"/></rsp:ReceiveResponse>'
        )
    ends = "".join(f'<rsp:Stream Name="{name}" {about} End="true"/>' for name in ("stdout", "stderr"))
    return (
        f'<rsp:ReceiveResponse>{streams}{ends}<rsp:CommandState {about} State="{SHELL}/CommandState/Done">'
        f"<rsp:ExitCode>{exit_code}</rsp:ExitCode></rsp:CommandState></rsp:ReceiveResponse>"
    )


def configured(max_envelope_kb: int, max_shells: int, max_processes: int, max_operations: int) -> str:
    return (
        f'<cfg:Config xmlns:cfg="{CONFIG}"><cfg:MaxEnvelopeSizekb>{max_envelope_kb}</cfg:MaxEnvelopeSizekb>'
        "<cfg:Service><cfg:AllowUnencrypted>false</cfg:AllowUnencrypted>"
        f"<cfg:MaxConcurrentOperationsPerUser>{max_operations}</cfg:MaxConcurrentOperationsPerUser></cfg:Service>"
        f"<cfg:Winrs><cfg:MaxProcessesPerShell>{max_processes}</cfg:MaxProcessesPerShell>"
        f"<cfg:MaxShellsPerUser>{max_shells}</cfg:MaxShellsPerUser></cfg:Winrs></cfg:Config>"
    )


IDENTIFIED = (
    '<wsmid:IdentifyResponse xmlns:wsmid="http://schemas.dmtf.org/wbem/wsman/identity/1/wsmanidentity.xsd">'
    "<wsmid:ProtocolVersion>http://schemas.dmtf.org/wbem/wsman/1/wsman.xsd</wsmid:ProtocolVersion>"
    "<wsmid:ProductVendor>Microsoft Corporation</wsmid:ProductVendor>"
    "<wsmid:ProductVersion>OS: 10.0.20348 SP: 0.0 Stack: 3.0</wsmid:ProductVersion></wsmid:IdentifyResponse>"
)
