"""Who is talked to: certificates, passwords, and hosts that are not what they should be."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Any

import pytest

from galaxy_core import Command, DeviceLostError
from galaxy_core_winrm.simulate.host import WindowsHost, windows_host

pytestmark = pytest.mark.anyio
Desk = Any


@pytest.mark.parametrize("auth", ["ntlm", "basic"])
async def test_a_host_with_a_good_certificate_is_used(desk: Desk, https_host: WindowsHost, auth: str) -> None:
    async with desk.open(https_host, auth=auth) as session:
        assert (await desk.run(session, Command(["echo", "hi"]))).stdout.strip() == "hi"
        assert (await desk.run(session, Command(["cat"], stdin="x" * 100_000))).stdout == "x" * 100_000
    assert https_host.shells == []


async def test_messages_may_be_sealed_over_https_too(desk: Desk, https_host: WindowsHost) -> None:
    async with desk.open(https_host, encrypt="always") as session:
        assert (await desk.run(session, Command(["echo", "hi"]))).stdout.strip() == "hi"


@pytest.mark.parametrize(
    ("certificate", "why", "remedy"),
    [
        ("expired", "trusted: certificate has expired; ", "give the host a new one, or set the clock"),
        ("self-signed", "trusted: self-signed certificate; ", "'ca_file' of the settings"),
        ("wrong-name", "not valid for '127.0.0.1'; ", "'endpoint' of the settings"),
    ],
)
async def test_a_host_whose_certificate_is_not_right_is_not_talked_to(
    desk: Desk, certificate: Any, why: str, remedy: str
) -> None:
    async with windows_host(certificate=certificate) as host:
        with pytest.raises(DeviceLostError, match="certificate is not to be trusted") as caught:
            async with desk.open(host):
                pass
        assert host.shells == []
    assert why in str(caught.value)
    assert remedy in str(caught.value)
    assert "ssl" not in str(caught.value).casefold()  # OpenSSL's own code is nobody's remedy


async def test_http_and_https_that_are_mixed_up_are_told_as_such(
    desk: Desk, host: WindowsHost, https_host: WindowsHost
) -> None:
    for asked, hint in ((host, "port at which the host speaks https"), (https_host, "does the host speak https")):
        scheme, _, rest = asked.endpoint.partition(":")
        with pytest.raises(DeviceLostError, match=hint):
            async with desk.open(asked, endpoint=f"{'http' if scheme == 'https' else 'https'}:{rest}"):
                pass


async def test_a_self_signed_host_is_used_when_its_very_certificate_is_trusted(desk: Desk) -> None:
    async with windows_host(certificate="self-signed") as host:
        assert host.ca_file is not None
        async with desk.open(host, ca_file=host.ca_file.with_name("own.pem")) as session:
            assert (await desk.run(session, Command(["echo", "hi"]))).stdout.strip() == "hi"


async def test_an_authority_of_the_environment_is_not_trusted(
    desk: Desk, https_host: WindowsHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(https_host.ca_file))
    with pytest.raises(DeviceLostError, match="certificate is not to be trusted"):
        async with desk.open(https_host, ca_file=None):
            pass


async def test_a_proxy_of_the_environment_is_not_asked(
    desk: Desk, host: WindowsHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    async with desk.open(host) as session:
        assert (await desk.run(session, Command(["echo", "hi"]))).stdout.strip() == "hi"


@pytest.mark.parametrize("more", [{"password": "wrong"}, {"username": "nobody"}])
async def test_a_wrong_password_is_told_as_such(desk: Desk, host: WindowsHost, more: dict[str, Any]) -> None:
    with pytest.raises(DeviceLostError, match="refuses this username and password") as caught:
        async with desk.open(host, **more):
            pass
    assert host.password not in str(caught.value)
    assert "wrong" not in str(caught.value)


async def test_basic_over_http_is_refused_before_anything_is_sent(desk: Desk, host: WindowsHost) -> None:
    with pytest.raises(ValueError, match="sends the password in clear"):
        async with desk.open(host, auth="basic"):
            pass
    assert not host._connections


async def test_a_host_that_is_not_there_is_told_as_such(desk: Desk, host: WindowsHost) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    with pytest.raises(DeviceLostError, match="cannot be reached"):
        async with desk.open(host, endpoint=f"http://127.0.0.1:{port}"):
            pass


async def test_a_host_of_an_unknown_name_is_told_as_such(desk: Desk, host: WindowsHost) -> None:
    with pytest.raises(DeviceLostError, match="cannot be reached"):
        async with desk.open(host, endpoint="http://no-such-host.invalid"):
            pass


async def test_a_certificate_file_that_is_not_there_is_told_as_such(desk: Desk, host: WindowsHost) -> None:
    with pytest.raises(DeviceLostError, match=r"'ca_file' names .* which is no file"):
        async with desk.open(host, ca_file=Path("nowhere.pem")):
            pass


async def test_a_certificate_file_without_a_certificate_is_told_as_such(
    desk: Desk, https_host: WindowsHost, tmp_path: Path
) -> None:
    other = tmp_path / "key.pem"
    other.write_text("no certificate", encoding="ascii")
    with pytest.raises(DeviceLostError, match="'ca_file' names holds no certificate"):
        async with desk.open(https_host, ca_file=other):
            pass


async def test_a_service_that_is_no_winrm_is_told_as_such(desk: Desk, host: WindowsHost) -> None:
    host.misbehaviour.http(404)
    with pytest.raises(DeviceLostError, match="no WinRM service"):
        async with desk.open(host):
            pass


async def test_redirections_are_not_followed(desk: Desk, host: WindowsHost) -> None:
    host.misbehaviour.http(307)
    with pytest.raises(DeviceLostError, match="endpoint"):
        async with desk.open(host):
            pass


async def test_a_name_that_leads_to_a_link_local_address_is_not_talked_to(monkeypatch: pytest.MonkeyPatch) -> None:
    from galaxy_core_winrm.faults import NotSentError
    from galaxy_core_winrm.line import Line

    class Elsewhere(socket.socket):
        def getpeername(self) -> Any:
            return ("169.254.169.254", 80)

    with Elsewhere() as connection, pytest.raises(NotSentError, match="link-local"):
        Line().connected(connection)


async def test_connecting_changes_nothing_in_the_environment_of_this_process(
    desk: Desk, host: WindowsHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    changed: list[str] = []
    kind = type(os.environ)
    set_item = kind.__setitem__

    def noted(self: Any, name: str, value: str) -> None:
        changed.append(name)
        set_item(self, name, value)

    monkeypatch.setattr(kind, "__setitem__", noted)
    async with desk.open(host) as session:
        await desk.run(session, Command(["true"]))
    assert "no_proxy" not in changed
