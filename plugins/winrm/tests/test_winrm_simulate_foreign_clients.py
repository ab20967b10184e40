"""The simulated host serves clients that were not written for it, and agrees with all of them."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import anyio.to_thread
import pytest

from galaxy_core_winrm.simulate.host import WindowsHost

pytestmark = pytest.mark.anyio
LINE = "echo grüße&echo err>&2&exit 3"


async def in_thread(work: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
    return await anyio.to_thread.run_sync(functools.partial(work, *arguments, **options))


async def test_pywinrm_opens_a_session_per_call(host: WindowsHost) -> None:
    winrm = pytest.importorskip("winrm")
    session = winrm.Session(
        host.endpoint,
        auth=(host.username, host.password),
        transport="ntlm",
        message_encryption="always",
        proxy=None,
        ca_trust_path=None,
    )
    answer = await in_thread(session.run_cmd, "echo in&exit 3")
    assert (answer.std_out, answer.status_code) == (b"in\r\n", 3)
    answer = await in_thread(session.run_ps, "Write-Output 'script'")
    assert (answer.std_out, answer.status_code) == (b"script\r\n", 0)
    assert host.shells == []


@pytest.mark.parametrize("auth", ["ntlm", "negotiate"])
async def test_pypsrp_seals_with_ntlm_bare_and_inside_spnego(host: WindowsHost, auth: str) -> None:
    client = pytest.importorskip("pypsrp.client")
    found = await in_thread(_pypsrp, client, host, auth=auth, encryption="always")
    assert found == ("grüße\r\n", "err\r\n", 3)
    assert host.shells == []


@pytest.mark.parametrize(("auth", "encryption"), [("negotiate", "auto"), ("negotiate", "always"), ("basic", "auto")])
async def test_pypsrp_trusts_the_certificate_and_binds_to_it(
    https_host: WindowsHost, auth: str, encryption: str
) -> None:
    client = pytest.importorskip("pypsrp.client")
    ca_file = str(https_host.ca_file)
    found = await in_thread(_pypsrp, client, https_host, auth=auth, encryption=encryption, cert_validation=ca_file)
    assert found == ("grüße\r\n", "err\r\n", 3)


def _pypsrp(client: Any, host: WindowsHost, **options: Any) -> Any:
    is_tls = host.endpoint.startswith("https")
    with client.Client(
        "127.0.0.1", port=host.port, ssl=is_tls, username=host.username, password=host.password, **options
    ) as made:
        return made.execute_cmd(LINE, encoding="cp437")


async def test_pypsrp_reads_the_hosts_configuration_and_its_shells(host: WindowsHost) -> None:
    wsman = pytest.importorskip("pypsrp.wsman")
    shell = pytest.importorskip("pypsrp.shell")

    def work() -> Any:
        made = wsman.WSMan(
            "127.0.0.1", port=host.port, ssl=False, username=host.username, password=host.password, encryption="always"
        )
        with made:
            made.update_max_payload_size()
            with shell.WinRS(made, name="named") as opened:
                state = opened._get_shell()
                listed = made.enumerate("http://schemas.microsoft.com/wbem/wsman/1/windows/shell")
                return made.max_envelope_size, state["Name"], state["Owner"], len(listed)

    assert await in_thread(work) == (500 * 1024, "named", "lab", 1)


async def test_awinrm_speaks_from_an_event_loop_of_its_own(host: WindowsHost, anyio_backend: tuple[str, Any]) -> None:
    if anyio_backend[0] != "asyncio":
        pytest.skip("awinrm is for asyncio only")
    awinrm = pytest.importorskip("awinrm")
    url = f"http+ntlm-password://{host.username}:{quote(host.password)}@127.0.0.1:{host.port}"
    async with awinrm.Session(url) as session:
        stdout, stderr, code = await session.run_cmd("echo in&echo err>&2&exit 3")
    assert (stdout, stderr, code) == (b"in\r\n", b"err\r\n", 3)
