"""PowerShell scripts: of any length, with parameters as data. The simulated host runs twins of our scripts, in Python."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any

import pytest

from galaxy_core import Action
from galaxy_core.extension.interfaces import Completed, Refused
from galaxy_core_winrm import powershell
from galaxy_core_winrm.actions import PowerShell
from galaxy_core_winrm.simulate.host import WindowsHost
from galaxy_core_winrm.simulate.powershell.known import digest, known_scripts
from galaxy_core_winrm.simulate.powershell.twins import twins

Desk = Any
SCRIPTS = sorted(file.name for file in (files("galaxy_core_winrm") / "scripts").iterdir() if file.name.endswith(".ps1"))


def _script(script: str, /, **parameters: Any) -> Action:
    return Action("powershell", {"script": script, "parameters": parameters})


@pytest.mark.anyio
async def test_parameters_are_data_whatever_they_hold(desk: Desk, host: WindowsHost) -> None:
    hostile = '\'; Remove-Item C:\\ -Recurse #" $(calc) `n %PATH% 🌍\n"@ '
    async with desk.open(host) as session:
        done = await desk.run(session, _script("param($text)\nWrite-Output $text", text=hostile))
    assert done.exit_code == 0
    assert done.stdout.replace("\r\n", "\n") == hostile + "\n"


def test_what_only_looks_a_little_like_a_secret_is_a_parameter() -> None:
    parameters: dict[str, Any] = {
        "a": {"env": "test"},
        "b": {"env": "A", "more": 1},
        "c": {"file": "C:/x"},
        "d": ["env"],
        "e": {"env": 1},
    }
    assert PowerShell(script="x", parameters=parameters).parameters == parameters


@pytest.mark.anyio
async def test_a_script_may_be_far_longer_than_a_command_line(desk: Desk, host: WindowsHost) -> None:
    long = "# " + "x" * 200_000 + "\nWrite-Output done"
    host.answers(long, stdout="done\r\n")
    async with desk.open(host) as session:
        done = await desk.run(session, _script(long))
    assert (done.exit_code, done.stdout) == (0, "done\r\n")


@pytest.mark.anyio
async def test_streams_come_apart_and_the_exit_code_is_kept(desk: Desk, host: WindowsHost) -> None:
    script = "something that only Windows knows"
    records = [("error", "it broke\r\n"), ("warning", "low on paper"), ("verbose", "looking"), ("progress", "50 %")]
    host.answers(script, stdout="out\r\n", records=records, exit_code=7)
    async with desk.open(host) as session:
        done = await desk.run(session, _script(script))
    assert isinstance(done, Completed)
    assert (done.exit_code, done.stdout, done.stderr) == (7, "out\r\n", "it broke\nWARNING: low on paper\n")
    assert done.metadata is not None
    assert done.metadata["powershell"]["verbose"] == "looking\n"
    assert ("stderr", done.stderr) in desk.heard


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ({"script": ""}, "script"),
        ({"script": "x", "parameters": {"a b": 1}}, "not the name of a parameter"),
        ({"script": "x", "parameters": {"a;b": 1}}, "not the name of a parameter"),
        ({"script": "x", "parameters": {"password": {"env": "OFFICE_PASSWORD"}}}, "the script read $env:NAME"),
        ({"script": "x", "parameters": {"password": {"keyring": "office/robot"}}}, "the script read $env:NAME"),
        ({"script": "x", "command": "y"}, "command"),
        ({"script": "x" * 2_100_000}, "push a file"),
    ],
)
async def test_what_is_no_script_is_refused(desk: Desk, host: WindowsHost, arguments: dict[str, Any], why: str) -> None:
    async with desk.open(host) as session:
        outcome = await desk.run(session, Action("powershell", arguments))
    assert isinstance(outcome, Refused)
    assert why in outcome.reason


@pytest.mark.anyio
async def test_facts_are_known_once_a_session_is_open(desk: Desk, host: WindowsHost) -> None:
    async with desk.open(host) as session:
        assert session.facts["hostname"] == host.name
        assert {"windows", "windows_version", "domain", "root", "platform"} <= set(session.facts)
        assert await session.probe() == session.facts


@pytest.mark.anyio
async def test_a_host_without_powershell_is_used_all_the_same(desk: Desk, host: WindowsHost) -> None:
    host.answers(powershell.script("bootstrap"), stdout="no PowerShell here", exit_code=1)
    async with desk.open(host, powershell="pwsh.exe") as session:
        assert session.facts["platform"]
        assert (await session.execute(desk.attempt(_script("x")))).exit_code != 0


@pytest.mark.parametrize("name", SCRIPTS)
def test_each_script_is_plain_and_has_a_twin(name: str) -> None:
    text = powershell.script(name.removesuffix(".ps1"))
    assert text.isascii()
    assert "\r" not in text
    assert known_scripts()[digest(text)] in twins
    assert all(text.count(one) == text.count(other) for one, other in ("()", "{}", "[]"))


def test_parameters_travel_as_json() -> None:
    import base64

    payload = json.loads(base64.b64decode(powershell.payload("s", {"a": [1, {"b": None}]})))
    assert payload == {"script": "s", "parameters": {"a": [1, {"b": None}]}}
