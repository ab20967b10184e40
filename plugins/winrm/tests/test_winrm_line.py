"""The connection below a conversation: one, known, without redirections, and with an end to what is read from it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import requests

from galaxy_core_winrm import line as line_module
from galaxy_core_winrm.faults import NoAnswerError, NotSentError, StaleLineError, mapped
from galaxy_core_winrm.line import Line, harden, reach


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if self.path == "/redirects":
            self.send_response(307)
            self.send_header("Location", "/there")
        else:
            self.send_response(200)
        body = b"x" * (100_000 if self.path == "/long" else 10)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_arguments: object) -> None:
        """Nobody reads it."""


class _Server(ThreadingHTTPServer):
    block_on_close = False


@pytest.fixture
def address() -> Iterator[str]:
    with _Server(("127.0.0.1", 0), _Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture
def line() -> Iterator[Line]:
    line = Line()
    yield line
    line.close()


@pytest.fixture
def session(line: Line) -> Iterator[requests.Session]:
    with requests.Session() as session:
        harden(session, line, 5.0)
        yield session


def test_requests_share_one_connection(session: requests.Session, address: str, line: Line) -> None:
    assert [session.get(address, timeout=5).content for _ in range(3)] == [b"x" * 10] * 3
    assert line.is_ready
    assert not line.is_stale


def test_a_redirection_is_not_followed(session: requests.Session, address: str) -> None:
    with pytest.raises(requests.TooManyRedirects):
        session.get(f"{address}/redirects", timeout=5)


def test_an_answer_without_an_end_is_not_read_to_it(
    session: requests.Session, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(line_module, "ANSWER_CAP_BYTES", 50_000)
    with pytest.raises(NoAnswerError, match="longer than 50000 bytes"):
        session.get(f"{address}/long", timeout=5)


def test_there_is_no_second_connection_for_what_was_authenticated_on_the_first(line: Line) -> None:
    line.connecting()
    with pytest.raises(StaleLineError):
        line.connecting()


def test_there_is_no_connection_for_what_was_given_up(session: requests.Session, address: str, line: Line) -> None:
    line.abort()
    with pytest.raises(NotSentError, match="given up"):
        session.get(address, timeout=5)


def test_a_line_that_is_aborted_breaks_its_connection(session: requests.Session, address: str, line: Line) -> None:
    session.get(address, timeout=5)
    line.abort()
    with pytest.raises((requests.ConnectionError, NotSentError)):
        session.get(address, timeout=5)


@pytest.mark.parametrize(("host", "port"), [("127.0.0.1", 1), ("no-such-host.invalid", 5985)])
def test_a_host_that_is_not_there_is_named_with_its_port(session: requests.Session, host: str, port: int) -> None:
    with pytest.raises(NotSentError) as found, mapped():
        session.get(f"http://{host}:{port}", timeout=5)
    with pytest.raises(NotSentError) as sooner:
        reach(host, port, 5.0)
    for error in (found.value, sooner.value):
        assert f"it cannot be reached at host {host!r}, port {port}: " in str(error)
        assert "(host=" not in str(error)
