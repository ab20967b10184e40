"""What can go wrong in a conversation with a host, sorted by what is certain afterwards; and who of the foreign libraries
means what.

::

    HostError
    ├── NotSentError          no whole request has left: nothing was started
    │   └── StaleLineError    the connection was closed before this request; another one will do
    ├── RefusedByHostError    the host has answered that it did not do it
    │   ├── FaultError        with a SOAP fault; `code` is Windows' number
    │   └── UnauthorizedError with 401: it takes none of our credentials
    ├── NothingYetError       the operation timed out on the host, which means: ask again
    └── NoAnswerError         the request has left, and there is no answer that can be believed: nobody knows
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final
from xml.etree.ElementTree import ParseError

import requests
import urllib3
from requests.exceptions import ConnectionError as RequestsConnectionError
from spnego.exceptions import SpnegoError
from winrm.exceptions import (
    AuthenticationError,
    WinRMError,
    WinRMOperationTimeoutError,
    WinRMTransportError,
    WSManFaultError,
)

#: Longest text of a host that is shown to people.
LONGEST = 500

# Codes of wsmerror.h and winerror.h as clients report them.
OPERATION_TIMED_OUT: Final = 2150858793
#: 0x8033805B: the shell is not there (any more); WinRb/WinRM #265.
NO_SUCH_SHELL: Final = 2150858843
#: 0x803381A5: MaxShellsPerUser; hashicorp/vagrant #7489.
TOO_MANY_SHELLS: Final = 2150859173
#: 0x803381A6: MaxConcurrentOperationsPerUser, which Terminate does not give back; ansible/ansible #83656.
TOO_MANY_OPERATIONS: Final = 2150859174
#: 0x803381E9: MaxProcessesPerShell.
TOO_MANY_PROCESSES: Final = 2150859241
#: A new shell may help against these.
WORN_OUT: Final = frozenset({TOO_MANY_OPERATIONS, TOO_MANY_PROCESSES, NO_SUCH_SHELL})

_PLACE_IN_OPENSSL: Final = re.compile(r"^\[[^]]*\] | \(_ssl\.c:\d+\)$")
_TRUST: Final = (
    "if it is right, let 'ca_file' of the settings name it, or the authority that has signed it, as a PEM file"
)
_NAMED: Final = "let 'endpoint' of the settings name the host as its certificate does"
_TIMES: Final = "give the host a new one, or set the clock of this machine, whichever is wrong"
#: By OpenSSL's X509_V_ERR_CERT_NOT_YET_VALID, …_CERT_HAS_EXPIRED, …_HOSTNAME_MISMATCH and …_IP_ADDRESS_MISMATCH.
_CERTIFICATE_REMEDIES: Final = {9: _TIMES, 10: _TIMES, 62: _NAMED, 64: _NAMED}


class HostError(Exception):
    """A conversation with a host went wrong; its text says how, for people."""


class NotSentError(HostError):
    """No whole request has left."""


class StaleLineError(NotSentError):
    """The connection was closed, or holds what nobody asked for, before the request left."""

    def __init__(self) -> None:
        super().__init__("the host has closed the connection")


class RefusedByHostError(HostError):
    """The host has said that it did not do it."""


class FaultError(RefusedByHostError):
    """The host has answered with a SOAP fault; `code` is Windows' number, None when it gave none."""

    def __init__(self, code: int | None, reason: str) -> None:
        self.code = code
        super().__init__(f"the host says: {shown(reason)} (fault {'without a code' if code is None else code})")


class UnauthorizedError(RefusedByHostError):
    """The host takes none of our credentials, or no longer."""


class NothingYetError(HostError):
    """There is no output yet."""


class NoAnswerError(HostError):
    """The request has left, and nobody knows what became of it."""


def shown(text: object) -> str:
    """A foreign text for people: without control characters, and not long. Of an error that says nothing, its kind."""
    try:
        said = str(text)
    except Exception:  # some errors of libraries fail to say what they are, and must not hide what happened
        said = ""
    plain = "".join(character if character.isprintable() else " " for character in said)
    plain = " ".join(plain.split())
    if not plain and isinstance(text, BaseException):
        return type(text).__name__
    return plain if len(plain) <= LONGEST else plain[:LONGEST] + "…"


@contextmanager
def mapped() -> Iterator[None]:
    """Turn what pywinrm and what is below it raise into the errors above. Nothing else leaves, not even StopIteration.

    Interrupts and the like do.
    """
    try:
        yield
    except HostError:
        raise
    except Exception as error:  # the edge of foreign libraries: their errors are those of half a dozen others
        raise meaning(error) from error


def meaning(error: BaseException) -> HostError:
    """What a foreign exception says about the request."""
    for kind in (_of_winrm, _of_requests, _of_the_rest):
        found = kind(error)
        if found is not None:
            return found
    return NoAnswerError(f"its answer could not be understood: {type(error).__name__}: {shown(error)}")


def _of_winrm(error: BaseException) -> HostError | None:
    match error:
        case WinRMOperationTimeoutError():
            return NothingYetError("the operation timed out on the host")
        case WSManFaultError():
            return FaultError(error.wsman_fault_code, str(error.reason))
        case AuthenticationError():
            return UnauthorizedError(
                "the host refuses this username and password, or this kind of authentication; check the settings "
                "'username', 'password' and 'auth'"
            )
        case WinRMTransportError():
            return _of_status(int(error.code))
        case WinRMError():  # such as "message encryption is set to 'always' but …": found before anything is sent
            return NotSentError(shown(error))
    return None


def _of_status(code: int) -> HostError:
    if code in (401, 403):
        return UnauthorizedError(f"the host refuses access (HTTP {code}): may this user use WinRM?")
    if 300 <= code < 500:
        return RefusedByHostError(f"what answers there is no WinRM service (HTTP {code}); check the setting 'endpoint'")
    return NoAnswerError(f"the host answered with HTTP {code}, which says nothing about the request")


def _of_requests(error: BaseException) -> HostError | None:
    match error:
        case requests.exceptions.SSLError():
            return NotSentError(_of_tls(_innermost(error)))
        case requests.exceptions.ProxyError() | requests.exceptions.ConnectTimeout():
            return NotSentError(_unreached(error))
        case requests.exceptions.TooManyRedirects():
            return RefusedByHostError(
                "it redirects to another address, which is not followed; check the setting 'endpoint'"
            )
        case requests.exceptions.Timeout():
            return NoAnswerError("it did not answer in time")
        case RequestsConnectionError() if _never_connected(error):
            return NotSentError(_unreached(error))
        case RequestsConnectionError() | requests.exceptions.ChunkedEncodingError():
            return NoAnswerError("the connection broke before the answer was whole")
        case (
            requests.exceptions.InvalidURL()
            | requests.exceptions.MissingSchema()
            | requests.exceptions.InvalidSchema()
            | requests.exceptions.InvalidHeader()
            | requests.exceptions.InvalidProxyURL()
        ):
            return NotSentError(shown(error))
    return None


def _of_tls(error: BaseException) -> str:
    """Why there is no TLS, and what to do; without where in OpenSSL's own code that was seen."""
    why = _PLACE_IN_OPENSSL.sub("", shown(error)).rstrip(" .")
    if isinstance(error, ssl.SSLError) and error.reason == "NO_CERTIFICATE_OR_CRL_FOUND":
        return "the file that its setting 'ca_file' names holds no certificate in PEM (-----BEGIN CERTIFICATE-----)"
    if not isinstance(error, ssl.SSLCertVerificationError):
        return f"TLS failed: {why}; check that the setting 'endpoint' has the port at which the host speaks https"
    why = why.removeprefix("certificate verify failed: ")
    return f"its certificate is not to be trusted: {why}; {_CERTIFICATE_REMEDIES.get(error.verify_code, _TRUST)}"


def _of_the_rest(error: BaseException) -> HostError | None:
    match error:
        case urllib3.exceptions.LocationValueError() | urllib3.exceptions.NewConnectionError():
            return NotSentError(_unreached(error))
        case urllib3.exceptions.HTTPError():
            return NoAnswerError(f"the connection broke before the answer was whole: {_without_repr(error)}")
        case SpnegoError():
            return NoAnswerError(f"the protection of its answer is broken: {shown(error)}")
        case PermissionError():  # requests_ntlm: no challenge in the answer
            return UnauthorizedError("the host does not take NTLM; check the setting 'auth'")
        case ParseError() | AssertionError() | StopIteration() | UnicodeError() | KeyError() | ValueError():
            return NoAnswerError(f"its answer is not what WS-Management says: {type(error).__name__}, {shown(error)}")
        case ImportError():
            return NotSentError(f"{shown(error)}; install what is missing, such as galaxy-core-winrm[kerberos]")
        case OSError():
            return NoAnswerError(f"the connection broke: {shown(error)}")
    return None


def _never_connected(error: BaseException) -> bool:
    return any(
        isinstance(each, urllib3.exceptions.NewConnectionError | urllib3.exceptions.ConnectTimeoutError)
        for each in _causes(error)
    )


def _unreached(error: BaseException) -> str:
    """That nothing could be connected to, with host and port, and why; urllib3's own text names an object instead."""
    where, why = "", shown(_innermost(error))
    for each in _causes(error):
        # A time-out has the connection as its first argument, other failures as an attribute.
        connection = getattr(each, "conn", None) or (each.args[0] if each.args else None)
        host, port = getattr(connection, "host", None), getattr(connection, "port", None)
        if isinstance(each, urllib3.exceptions.HTTPError) and isinstance(host, str):
            where = f" at host {host!r}, port {port}"
            cause = each.__cause__
            if isinstance(cause, OSError) and cause.strerror:
                why = shown(cause.strerror)
            elif isinstance(each, urllib3.exceptions.NewConnectionError):
                why = _without_repr(each)
            else:
                why = "it took too long"
    return f"it cannot be reached{where}: {why}"


def _without_repr(error: BaseException) -> str:
    """The text of an error of urllib3, which begins with the object that it is about."""
    about = getattr(error, "conn", None) or getattr(error, "pool", None)
    return shown(str(error).removeprefix(f"{about}: ")) if about is not None else shown(error)


def _innermost(error: BaseException) -> BaseException:
    return list(_causes(error))[-1]


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error and what it wraps: requests and urllib3 keep that in `args[0]` and in `reason`."""
    seen: list[BaseException] = []
    now: object = error
    while isinstance(now, BaseException) and now not in seen:
        seen.append(now)
        yield now
        now = getattr(now, "reason", None) or (now.args[0] if now.args else None)
