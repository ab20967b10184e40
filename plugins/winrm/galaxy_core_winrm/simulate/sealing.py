"""NTLM over HTTP as WinRM uses it: the handshake of one connection, then every body sealed (MS-WSMV 2.2.9.1)."""

from __future__ import annotations

import base64
import re
import struct
from typing import Any

import spnego
from spnego.channel_bindings import GssChannelBindings
from spnego.exceptions import SpnegoError

from galaxy_core_winrm.simulate.users import Users

SCHEMES = ("negotiate", "ntlm")
_BOUNDARY = b"--Encrypted Boundary"
_PROTOCOL = "application/HTTP-SPNEGO-session-encrypted"
CONTENT_TYPE = f'multipart/encrypted;protocol="{_PROTOCOL}";boundary="Encrypted Boundary"'
# What pyspnego and base64 say of tokens that are none, found with random ones; beside ValueError.
_NO_TOKEN = (LookupError, ArithmeticError, StopIteration, TypeError, struct.error)
_PART = re.compile(rb"Length=(\d+)\r\n--Encrypted Boundary\r\n\s*Content-Type: application/octet-stream\r\n", re.ASCII)


class Sealing:
    """What one connection has agreed on. Authentication belongs to the connection, and so do the keys, which count
    messages: a message that is sealed must be sent, and each only once.

    `bindings` are those of the TLS channel (RFC 5929, tls-server-end-point): a client that sends others is refused, as
    CbtHardeningLevel=Relaxed does; one that sends none is not.
    """

    def __init__(self, users: Users, bindings: GssChannelBindings | None = None) -> None:
        self._users = users
        self._bindings = bindings
        self._context: Any = None

    @property
    def complete(self) -> bool:
        return self._context is not None and bool(self._context.complete)

    @property
    def user(self) -> str:
        """Whose connection it is, without domain, folded to lower case."""
        return str(self._context.client_principal).rpartition("\\")[2].casefold()

    def step(self, authorization: str) -> str | None:
        """The header value to answer with, None when there is no token to send; see `complete`.

        Raises:
            SpnegoError: it is not one of our users.
            ValueError: it is no token.
        """
        scheme, _, token = authorization.partition(" ")
        try:
            data = base64.b64decode(token, validate=True)
            with self._users.known_to_ntlm():
                if self._context is None or self._context.complete:
                    self._context = spnego.server(**_kind(data))
                answer = self._answer(data)
        except _NO_TOKEN as error:
            raise ValueError(f"not a token: {error!r}") from error
        return None if answer is None else f"{scheme} {base64.b64encode(answer).decode()}"

    def _answer(self, data: bytes) -> bytes | None:
        try:
            answer: bytes | None = self._context.step(data, channel_bindings=self._bindings)
        except SpnegoError as error:
            # pyspnego asks for bindings of everyone once it knows ours; the relaxed level asks only for true ones.
            if "not present" not in str(error):
                raise
            answer = self._context.step(data)
        return answer

    def open(self, body: bytes) -> bytes:
        """The message in a sealed body.

        Raises:
            ValueError: it is no sealed body.
            SpnegoError: its signature is wrong.
        """
        found = _PART.search(body)
        if found is None or not body.rstrip().endswith(_BOUNDARY + b"--"):
            raise ValueError("not a sealed body")
        data = body[found.end() : body.rindex(_BOUNDARY + b"--")]
        if len(data) < 4:
            raise ValueError("a sealed body without a signature")
        (size,) = struct.unpack_from("<i", data)
        message: bytes = self._context.unwrap_winrm(data[4 : 4 + size], data[4 + size :])
        if len(message) != int(found[1]):
            raise ValueError("not of the length that it says")
        return message

    def seal(self, message: bytes, *, forged: bool = False) -> bytes:
        """A sealed body; `forged` has a signature that is wrong."""
        wrapped = self._context.wrap_winrm(message)
        header: bytes = wrapped.header
        if forged:
            header = header[:4] + bytes(byte ^ 0xFF for byte in header[4:12]) + header[12:]
        head = (
            f"\tContent-Type: {_PROTOCOL}\r\n"
            f"\tOriginalContent: type=application/soap+xml;charset=UTF-8;Length={len(message)}\r\n"
        )
        return b"".join(
            (
                *(_BOUNDARY, b"\r\n", head.encode()),
                *(_BOUNDARY, b"\r\n\tContent-Type: application/octet-stream\r\n"),
                *(struct.pack("<i", len(header)), header, wrapped.data),
                *(_BOUNDARY, b"--\r\n"),
            )
        )


def _kind(token: bytes) -> dict[str, Any]:
    """Under "Negotiate", clients send bare NTLM (requests-ntlm) or NTLM inside SPNEGO (pypsrp, Windows)."""
    if token.startswith(b"NTLMSSP\0"):
        return {"protocol": "ntlm", "options": spnego.NegotiateOptions.use_ntlm}
    return {"protocol": "negotiate", "options": spnego.NegotiateOptions.use_negotiate}
