"""Who is let in by a simulated host, and who lets a simulated host pass for what it is not."""

from __future__ import annotations

import base64
import contextlib
import functools
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio.to_thread
import pytest
import requests
import spnego
from hypothesis import given
from hypothesis import strategies as st
from spnego.channel_bindings import GssChannelBindings
from spnego.exceptions import SpnegoError
from winrm.exceptions import InvalidCredentialsError, WinRMTransportError

from galaxy_core_winrm.simulate.host import WindowsHost, windows_host
from galaxy_core_winrm.simulate.sealing import Sealing
from galaxy_core_winrm.simulate.tls import Certificate
from galaxy_core_winrm.simulate.users import Users

Dial = Callable[..., Any]


@pytest.mark.anyio
async def test_a_wrong_password_and_an_unknown_user_are_refused(host: WindowsHost, dial: Dial) -> None:
    for wrong in ({"password": "wrong"}, {"username": "nobody"}):
        with pytest.raises(InvalidCredentialsError):
            await dial(host, **wrong).open()


@pytest.mark.anyio
async def test_a_user_may_come_with_the_name_of_the_computer(host: WindowsHost, dial: Dial) -> None:
    for name in (f"SIMULATED\\{host.username}", f".\\{host.username}", host.username.upper()):
        assert await dial(host, username=name).run("echo in") == (b"in\r\n", b"", 0)


@pytest.mark.anyio
async def test_hosts_of_one_process_have_users_of_their_own(host: WindowsHost, dial: Dial) -> None:
    async with windows_host() as other:
        assert other.password != host.password
        await dial(other).run("rem")
        with pytest.raises(InvalidCredentialsError):
            await dial(other, password=host.password).open()
    await dial(host).run("rem")


@pytest.mark.anyio
async def test_the_password_stands_in_no_environment_and_no_command_line(host: WindowsHost, dial: Dial) -> None:
    script = "import os, sys; print(os.environ, open('/proc/self/cmdline').read())"
    stdout, _, _ = await dial(host).run(f'python -c "{script}"', skip=True)
    assert host.password.encode() not in stdout
    assert not os.environ.get("NTLM_USER_FILE")


@pytest.mark.anyio
async def test_basic_over_http_is_refused_and_not_offered(host: WindowsHost, dial: Dial) -> None:
    with pytest.raises(InvalidCredentialsError):
        await dial(host, transport="plaintext", message_encryption="never").open()
    answer = await anyio.to_thread.run_sync(functools.partial(requests.post, host.endpoint, timeout=10))
    assert answer.status_code == 401
    assert "basic" not in answer.headers["www-authenticate"].lower()


@pytest.mark.anyio
async def test_messages_over_http_that_are_not_sealed_are_refused(host: WindowsHost, dial: Dial) -> None:
    with pytest.raises(WinRMTransportError):
        await dial(host, message_encryption="never").open()


@pytest.mark.anyio
@pytest.mark.parametrize("options", [{}, {"transport": "ssl"}, {"message_encryption": "always"}], ids=str)
async def test_over_https_ntlm_and_basic_are_accepted_sealed_or_not(
    https_host: WindowsHost, dial: Dial, options: dict[str, str]
) -> None:
    assert await dial(https_host, **options).run("echo in") == (b"in\r\n", b"", 0)


@pytest.mark.anyio
async def test_a_wrong_password_over_https_is_refused(https_host: WindowsHost, dial: Dial) -> None:
    for options in ({}, {"transport": "ssl"}):
        with pytest.raises(InvalidCredentialsError):
            await dial(https_host, password="wrong", **options).open()


@pytest.mark.anyio
@pytest.mark.parametrize("certificate", ["expired", "self-signed", "wrong-name"])
async def test_a_certificate_that_is_wrong_is_not_trusted(certificate: Certificate, dial: Dial) -> None:
    async with windows_host(certificate=certificate) as host:
        with pytest.raises(requests.exceptions.SSLError):
            await dial(host).open()


@pytest.mark.anyio
async def test_a_self_signed_certificate_is_trusted_by_who_has_it(dial: Dial) -> None:
    async with windows_host(certificate="self-signed") as host:
        own = host.computer.folder / "tls" / "own.pem"
        assert (await dial(host, ca_trust_path=str(own)).run("echo in"))[0] == b"in\r\n"


@pytest.mark.anyio
async def test_what_is_no_web_service_management_is_refused_and_the_host_lives_on(
    https_host: WindowsHost, dial: Dial
) -> None:
    def post(body: bytes) -> int:
        answer = requests.post(
            https_host.endpoint,
            data=body,
            auth=(https_host.username, https_host.password),
            verify=str(https_host.ca_file),
            timeout=10,
        )
        return answer.status_code

    for body in (b"", b"<", b"<a/>", b"\xff\xfe"):
        assert await anyio.to_thread.run_sync(post, body) == 400
    await dial(https_host).run("rem")


@pytest.mark.parametrize(("bindings", "is_let_in"), [("right", True), ("wrong", False), ("none", True)])
def test_a_token_that_is_bound_to_another_channel_is_refused(tmp_path: Path, bindings: str, is_let_in: bool) -> None:
    """What someone in the middle, with a certificate of his own, would hand on."""
    known = {name: GssChannelBindings(application_data=name.encode()) for name in ("right", "wrong")}
    users = Users({"lab": "secret"}, "COMPUTER", tmp_path / "users")
    sealing = Sealing(users, known["right"])
    client = spnego.client(
        "lab",
        "secret",
        protocol="ntlm",
        channel_bindings=known.get(bindings),
        options=spnego.NegotiateOptions.use_ntlm,
    )
    token = client.step()
    while not client.complete:
        answer = sealing.step(f"Negotiate {base64.b64encode(token or b'').decode()}")
        assert answer is not None
        token = client.step(base64.b64decode(answer.partition(" ")[2]))
    last = f"Negotiate {base64.b64encode(token or b'').decode()}"
    if is_let_in:
        sealing.step(last)
        assert (sealing.complete, sealing.user) == (True, "lab")
    else:
        with pytest.raises(SpnegoError):
            sealing.step(last)


@given(st.data())
def test_a_token_of_any_bytes_is_refused_as_none(data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder:
        sealing = Sealing(Users({"lab": "secret"}, "COMPUTER", Path(folder) / "users"))
        client = spnego.client("lab", "secret", protocol="ntlm", options=spnego.NegotiateOptions.use_ntlm)
        token = bytearray(client.step() or b"")
        if data.draw(st.booleans()):
            answer = sealing.step(f"NTLM {base64.b64encode(token).decode()}")
            assert answer is not None
            token = bytearray(client.step(base64.b64decode(answer.partition(" ")[2])) or b"")
        for _ in range(data.draw(st.integers(1, 4))):
            token[data.draw(st.integers(0, len(token) - 1))] = data.draw(st.integers(0, 255))
        del token[data.draw(st.integers(1, len(token))) :]
        with contextlib.suppress(SpnegoError, ValueError):
            sealing.step(f"NTLM {base64.b64encode(token).decode()}")
