"""Every exception of the libraries below is given a meaning, and the meaning says what is certain afterwards."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Iterator
from types import ModuleType
from xml.etree.ElementTree import ParseError

import pytest
import requests
import requests.exceptions
import spnego.exceptions
import urllib3
import urllib3.exceptions
import winrm
import winrm.exceptions

from galaxy_core_winrm.faults import (
    FaultError,
    HostError,
    NoAnswerError,
    NothingYetError,
    NotSentError,
    RefusedByHostError,
    UnauthorizedError,
    mapped,
    shown,
)


def _exceptions(module: ModuleType) -> Iterator[type[Exception]]:
    for _, found in inspect.getmembers(module, inspect.isclass):
        if issubclass(found, Exception) and not issubclass(found, Warning) and found.__module__ == module.__name__:
            yield found


def _every() -> list[type[Exception]]:
    """All that the libraries define, in whichever of winrm's modules."""
    modules = [winrm.exceptions, requests.exceptions, urllib3.exceptions, spnego.exceptions]
    names = (
        name for _, name, _ in pkgutil.iter_modules(winrm.__path__, "winrm.") if not name.startswith("winrm.tests")
    )
    modules += [importlib.import_module(name) for name in names]
    found = {each for module in modules for each in _exceptions(module)}
    plain = {
        StopIteration,
        AssertionError,
        ParseError,
        OSError,
        KeyError,
        AttributeError,
        TypeError,
        ValueError,
        UnicodeError,
    }
    return sorted(found | plain, key=lambda kind: f"{kind.__module__}.{kind.__qualname__}")


def _made(kind: type[Exception]) -> Exception:
    """One of that kind, without the trouble of its constructor."""
    error = kind.__new__(kind)
    error.args = ("http", 500, "") if kind is winrm.exceptions.WinRMTransportError else ()
    for name, value in {"reason": "no", "wsman_fault_code": 5, "code": 500}.items():
        if issubclass(kind, winrm.exceptions.WSManFaultError):
            setattr(error, name, value)
    return error


@pytest.mark.parametrize("kind", _every(), ids=lambda kind: f"{kind.__module__}.{kind.__qualname__}")
def test_every_foreign_exception_leaves_as_one_of_ours(kind: type[Exception]) -> None:
    with pytest.raises(HostError) as caught, mapped():
        raise _made(kind)
    assert str(caught.value)
    assert isinstance(caught.value.__cause__, kind)


def test_interrupts_are_nobodys_errors() -> None:
    with pytest.raises(KeyboardInterrupt), mapped():
        raise KeyboardInterrupt


FAULT = winrm.exceptions.WSManFaultError(500, "", "", "no\x1b[31m more", "s:Receiver", "w:QuotaLimit", 2150859173)


@pytest.mark.parametrize(
    ("error", "kind", "text"),
    [
        (FAULT, FaultError, r"no \[31m more \(fault 2150859173\)"),
        (winrm.exceptions.InvalidCredentialsError("rejected"), UnauthorizedError, "check the settings"),
        (winrm.exceptions.WinRMOperationTimeoutError(), NothingYetError, "timed out"),
        (winrm.exceptions.WinRMTransportError("http", 401, ""), UnauthorizedError, "HTTP 401"),
        (winrm.exceptions.WinRMTransportError("http", 404, ""), RefusedByHostError, "no WinRM service"),
        (winrm.exceptions.WinRMTransportError("http", 302, ""), RefusedByHostError, "no WinRM service"),
        (winrm.exceptions.WinRMTransportError("http", 503, ""), NoAnswerError, "HTTP 503"),
        (requests.exceptions.ReadTimeout(), NoAnswerError, "did not answer in time"),
        (requests.exceptions.ConnectTimeout(), NotSentError, "cannot be reached"),
        (requests.exceptions.SSLError("expired"), NotSentError, "TLS failed"),
        (requests.exceptions.TooManyRedirects(), RefusedByHostError, "redirects"),
        (requests.exceptions.ConnectionError(), NoAnswerError, "broke"),
        (requests.exceptions.ChunkedEncodingError(), NoAnswerError, "broke"),
        (spnego.exceptions.BadMICError(), NoAnswerError, "protection"),
        (StopIteration(), NoAnswerError, "StopIteration"),
        (AssertionError(), NoAnswerError, "AssertionError"),
        (ParseError("no element found"), NoAnswerError, "ParseError"),
    ],
)
def test_what_an_exception_means(error: Exception, kind: type[HostError], text: str) -> None:
    with pytest.raises(kind, match=text), mapped():
        raise error


def test_texts_of_a_host_are_shown_plain_and_short() -> None:
    assert shown("a\x1b]0;title\x07b\r\n  c\u202e") == "a ]0;title b c"
    assert len(shown("x" * 10_000)) == 501
