"""The TCP connection below one conversation: known, so that a blocked call can be freed; used once, because NTLM belongs to it.

Everything here is called from worker threads, `abort` from anywhere.
"""

from __future__ import annotations

import ipaddress
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from requests import PreparedRequest, Response, Session
from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.util.wait import wait_for_read

from galaxy_core_winrm.endpoint import why_not
from galaxy_core_winrm.faults import NoAnswerError, NotSentError, StaleLineError, shown

#: Most of one answer that is read. A host is asked for 150 KiB at most; answers are read whole before they are parsed.
ANSWER_CAP_BYTES = 4 << 20


class Line:
    """At most one connection. A second one for the same `Line` is refused: what was authenticated is gone with the first."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._handle: socket.socket | None = None
        self._connection: HTTPConnection | None = None
        self._was_used = False
        self._is_aborted = False
        #: Whether it is connected, TLS included: from now on requests may have left.
        self.is_ready = False

    def connecting(self) -> None:
        """Before a connection is made.

        Raises:
            StaleLineError: there was one already, and it is closed.
            NotSentError: nobody wants one any more.
        """
        with self._lock:
            if self._is_aborted:
                raise NotSentError("it was given up before it was connected")
            if self._was_used:
                raise StaleLineError
            self._was_used = True

    def connected(self, connection: socket.socket) -> None:
        """With the new connection, before anything is sent on it, TLS included.

        Raises:
            NotSentError: it must not be used, or nobody wants it any more.
        """
        _check_peer(connection)
        # A duplicate, because TLS takes the first one away; shutting it down shuts down both.
        handle = connection.dup()
        with self._lock:
            self._handle = handle
            aborted = self._is_aborted
        if aborted:
            self.abort()
            connection.close()
            raise NotSentError("it was given up while it was connected")

    def ready(self, connection: HTTPConnection) -> None:
        """It is connected, TLS included."""
        self._connection = connection
        self.is_ready = True

    @property
    def is_stale(self) -> bool:
        """Whether the host has closed it, or has said something that nobody asked for."""
        with self._lock:
            handle = self._handle
        return handle is not None and wait_for_read(handle, timeout=0)

    def close(self) -> None:
        """Close it; nobody may be using it. urllib3 leaves that to the garbage collector."""
        self.abort()
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def abort(self) -> None:
        """Break the connection at once, whoever waits for it; there will be no other. Does not block."""
        with self._lock:
            self._is_aborted = True
            handle, self._handle = self._handle, None
        if handle is not None:
            with suppress(OSError):
                handle.shutdown(socket.SHUT_RDWR)
            handle.close()


def _check_peer(connection: socket.socket) -> None:
    """A name may have led to where no device is; see `endpoint.why_not`."""
    try:
        address = ipaddress.ip_address(str(connection.getpeername()[0]).partition("%")[0])
    except (OSError, ValueError):
        return
    why = why_not(address)
    if why:
        connection.close()
        raise NotSentError(f"its name leads to {address}, {why}, where no device is")


def reach(host: str, port: int, timeout_s: float) -> None:
    """Make sure that somebody listens there.

    Raises:
        NotSentError: nobody does.
    """
    try:
        socket.create_connection((host, port), timeout_s).close()
    except OSError as error:
        raise NotSentError(
            f"it cannot be reached at host {host!r}, port {port}: {shown(error.strerror or error)}"
        ) from error


def harden(session: Session, line: Line, connect_timeout_s: float) -> None:
    """Have `session` use `line` alone: no proxy, no redirection, nothing from the environment, no retry, a cap."""
    session.trust_env = False
    session.proxies = {}
    session.max_redirects = 0
    for scheme in ("http://", "https://"):
        session.mount(scheme, _Adapter(line, connect_timeout_s))


class _Adapter(HTTPAdapter):
    """Makes connections known to the line, and reads no answer without an end."""

    def __init__(self, line: Line, connect_timeout_s: float) -> None:
        self._line = line
        self._connect_timeout_s = connect_timeout_s
        super().__init__(pool_connections=1, pool_maxsize=1, max_retries=0)

    def init_poolmanager(self, *arguments: Any, **named: Any) -> None:
        super().init_poolmanager(*arguments, **named)
        self.poolmanager.pool_classes_by_scheme = _pools(self._line)

    def send(self, request: PreparedRequest, *arguments: Any, **named: Any) -> Response:
        named["timeout"] = (self._connect_timeout_s, named.get("timeout"))
        response: Response = super().send(request, *arguments, **named)
        # Not by wrapping a method of it: that would be a cycle, and urllib3 closes connections when they are forgotten.
        response.__class__ = _Capped
        return response


class _Capped(Response):
    """An answer that has an end."""

    def iter_content(self, *arguments: Any, **named: Any) -> Iterator[bytes]:
        size = 0
        for chunk in super().iter_content(*arguments, **named):
            size += len(chunk)
            if size > ANSWER_CAP_BYTES:
                raise NoAnswerError(f"its answer is longer than {ANSWER_CAP_BYTES} bytes")
            yield chunk


def _pools(line: Line) -> dict[str, Any]:
    """urllib3's pools, with connections that tell `line`."""

    class Plain(HTTPConnection):
        def _new_conn(self) -> socket.socket:
            line.connecting()
            connection: socket.socket = super()._new_conn()
            line.connected(connection)
            return connection

        def connect(self) -> None:
            super().connect()
            line.ready(self)

    class Secure(HTTPSConnection):
        def _new_conn(self) -> socket.socket:
            line.connecting()
            connection: socket.socket = super()._new_conn()
            line.connected(connection)
            return connection

        def connect(self) -> None:
            super().connect()
            line.ready(self)

    class PlainPool(HTTPConnectionPool):
        ConnectionCls = Plain

    class SecurePool(HTTPSConnectionPool):
        ConnectionCls = Secure

    return {"http": PlainPool, "https": SecurePool}
