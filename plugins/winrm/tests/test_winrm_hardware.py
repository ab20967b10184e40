"""A real Windows host, if there is one: ``pytest -m hardware`` with GALAXY_TEST_WINRM_ENDPOINT, _USERNAME and _PASSWORD set.

Optional: _AUTH (ntlm, kerberos, basic), _CA_FILE. It needs nothing but WinRM, and leaves nothing behind but the folder
%TEMP%\\galaxy. What these tests ask is what was never proved: that our assumptions about real Windows hold.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import anyio
import pytest

from galaxy_core import Action, Command
from galaxy_core.extension.interfaces import Completed, Refused
from galaxy_core_winrm.protocol import WinrmProtocol

Desk = Any
PREFIX = "GALAXY_TEST_WINRM_"
pytestmark = [
    pytest.mark.hardware,
    pytest.mark.anyio,
    pytest.mark.skipif(f"{PREFIX}ENDPOINT" not in os.environ, reason=f"{PREFIX}ENDPOINT names no Windows host"),
]


class Real:
    """What `Desk.open` asks of a host."""

    endpoint = os.environ.get(f"{PREFIX}ENDPOINT", "")
    username = os.environ.get(f"{PREFIX}USERNAME", "")
    password = os.environ.get(f"{PREFIX}PASSWORD") or None
    ca_file = os.environ.get(f"{PREFIX}CA_FILE") or None


MORE: Mapping[str, Any] = {"auth": os.environ.get(f"{PREFIX}AUTH", "ntlm")}
#: Prints its arguments, one per line, in brackets.
SHOW = "param($words)\nforeach ($word in $words) { [Console]::Out.Write('[' + $word + ']' + \"`n\") }"


async def test_it_tells_what_it_is(desk: Desk) -> None:
    async with desk.open(Real, **MORE) as session:
        assert {"windows", "windows_version", "hostname", "root", "powershell"} <= set(session.facts)


async def test_a_shell_text_keeps_its_exit_code_and_its_mark(desk: Desk) -> None:
    async with desk.open(Real, **MORE) as session:
        attempt = desk.attempt(Command(None, "echo %GALAXY_MARK%& exit 259"))
        done = await session.execute(attempt)
        # %GALAXY_MARK% is replaced before `set` has run; what the line starts has it.
        assert done.exit_code == 259
        done = await session.execute(desk.attempt(Command(["cmd.exe", "/d", "/c", "set GALAXY_MARK"])))
        assert "GALAXY_MARK=" in done.stdout


@pytest.mark.parametrize("word", ["two words", "a&b|c", "^<>()", "a%PATH%b", "wow!", "it's"])
async def test_arguments_arrive_as_they_are(desk: Desk, word: str) -> None:
    """`findstr` finds the line that is its argument."""
    async with desk.open(Real, **MORE) as session:
        done = await desk.run(session, Command(["findstr", "/l", "/c:" + word], stdin=f"{word}\nother\n"))
        assert isinstance(done, Completed)
        assert (done.stdout or "").splitlines() == [word]


async def test_parameters_and_long_scripts_arrive(desk: Desk) -> None:
    script = SHOW + "\n# " + "x" * 100_000
    words = ["two words", '"', "%PATH%", "ü🌍", "$(calc)", "line\nbreak"]
    async with desk.open(Real, **MORE) as session:
        done = await desk.run(session, Action("powershell", {"script": script, "parameters": {"words": words}}))
        assert done.stdout.replace("\r\n", "\n") == "".join(f"[{word}]\n" for word in words)


async def test_errors_of_powershell_come_apart(desk: Desk) -> None:
    script = "Write-Warning 'low on paper'; Write-Error 'it broke'; cmd /c exit 7"
    async with desk.open(Real, **MORE) as session:
        done = await desk.run(session, Action("powershell", {"script": script}))
        assert done.exit_code == 7
        assert "it broke" in done.stderr
        assert "CLIXML" not in done.stderr
        assert done.metadata["powershell"]["warning"] == "low on paper\n"


async def test_standard_input_arrives(desk: Desk) -> None:
    text = "line of text\n" * 50_000
    async with desk.open(Real, **MORE) as session:
        done = await desk.run(session, Command(["findstr", "^"], stdin=text))
        assert done.stdout.replace("\r\n", "\n") == text
        done = await desk.run(session, Command(["findstr", "/c:%", "/v"], stdin=text))
        assert done.stdout.replace("\r\n", "\n") == text


async def test_a_cancelled_command_is_gone(desk: Desk) -> None:
    async with desk.open(Real, **MORE) as session:
        attempt = desk.attempt(Command(["ping", "-n", "4321", "127.0.0.1"]))
        with anyio.move_on_after(5):
            await session.execute(attempt)
        assert isinstance(attempt.partial, Completed)
        script = "@(Get-CimInstance Win32_Process | Where-Object { $_.CommandLine -like '*4321*' -and $_.Name -eq 'PING.EXE' }).Count"
        done = await desk.run(session, Action("powershell", {"script": script}))
        assert done.stdout.strip() == "0"


async def test_files_come_back_as_they_went(desk: Desk) -> None:
    (desk.root / "source").write_bytes(os.urandom(1_000_001))
    async with desk.open(Real, **MORE) as session:
        pushed = await desk.run(session, Action("push", {"source": "source", "target": "galaxy-test/ü.bin"}))
        pulled = await desk.run(session, Action("pull", {"path": "galaxy-test/ü.bin", "name": "got"}))
        assert pushed.value == pulled.value
        outcome = await desk.run(session, Action("push", {"source": "source", "target": "../escaped"}))
        assert isinstance(outcome, Refused)


async def test_a_folder_that_is_not_there_is_refused(desk: Desk) -> None:
    async with desk.open(Real, **MORE) as session:
        outcome = await desk.run(session, Command(None, "ver", cwd="C:\\galaxy\\no\\such\\folder"))
        assert isinstance(outcome, Refused)


async def test_no_shell_of_ours_is_left(desk: Desk) -> None:
    async with desk.open(Real, **MORE) as session:
        await desk.run(session, Command(None, "ver"))
        host = session._host
    async with desk.open(Real, **MORE) as session, session._host.conversations.one() as conversation:
        found = await conversation.ask(WinrmProtocol.shells)
        assert sum(name.startswith("galaxy-") for name in found.values()) == 1
    assert not host.shells.debts
