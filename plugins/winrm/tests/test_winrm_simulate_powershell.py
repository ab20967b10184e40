"""What the simulated host has in place of PowerShell. No PowerShell is proved here."""

from __future__ import annotations

import base64
import contextlib
import json
from collections.abc import Callable
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from galaxy_core_winrm.simulate.host import WindowsHost, windows_host
from galaxy_core_winrm.simulate.powershell import clixml
from galaxy_core_winrm.simulate.powershell.known import known_scripts
from galaxy_core_winrm.simulate.powershell.lines import statements
from galaxy_core_winrm.simulate.powershell.twins import twins

Dial = Callable[..., Any]
NS = "{http://schemas.microsoft.com/powershell/2004/04}"


def encoded(script: str) -> str:
    return "powershell.exe -NoProfile -EncodedCommand " + base64.b64encode(script.encode("utf-16-le")).decode()


def streams(stderr: bytes) -> dict[str, list[str]]:
    head, _, document = stderr.decode().partition("\r\n")
    assert head == "#< CLIXML"
    found: dict[str, list[str]] = {}
    for element in ElementTree.fromstring(document):  # noqa: S314  our own
        found.setdefault(element.get("S", ""), []).append("".join(element.itertext()))
    return found


def test_every_script_of_the_adapter_has_a_twin() -> None:
    assert set(known_scripts().values()) == twins.keys()


@given(st.lists(st.tuples(st.sampled_from(["error", "warning", "verbose", "progress"]), st.text())))
def test_any_text_makes_xml(records: list[tuple[str, str]]) -> None:
    document = clixml.document(records).partition("\r\n")[2]
    assert len(ElementTree.fromstring(document)) == len(records)  # noqa: S314  our own


def test_what_looks_like_an_escape_is_escaped() -> None:
    assert clixml.escaped("_x000A_\n_y") == "_x005F_x000A__x000A__y"


@given(st.text(alphabet="ab'\"`;\n#$ @", max_size=30))
def test_any_script_is_split_or_refused(script: str) -> None:
    with contextlib.suppress(ValueError):
        statements(script)


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("script", "stdout", "code"),
    [
        ("Write-Output 'it''s'", "it's\r\n", 0),
        ('"on $env:COMPUTERNAME as ${env:USERNAME}"', "on SIMULATED as lab\r\n", 0),
        ("$a = 'x'; $b = \"$a`t$($a.Length + 1)\"\n$b", "x\t2\r\n", 0),
        ("# only a comment\n", "", 0),
        ("param([string]$name = 'nobody', [int]$n)\nWrite-Output \"$name $n\"", "nobody \r\n", 0),
        ("@'\nline 'one'\nline two\n'@", "line 'one'\nline two\r\n", 0),
        ("[Console]::Out.Write('no end')", "no end", 0),
        ("Write-Output 1 2", "1\r\n2\r\n", 0),
        ("'a','b'", "a\r\nb\r\n", 0),
        ("exit 70000", "", 70000),
        ("throw 'bad'", "", 1),
        (
            "Set-Content -Path C:\\x.txt -Value 'saved'; Get-Content C:\\x.txt; Test-Path 'C:\\y.txt'",
            "saved\r\nFalse\r\n",
            0,
        ),
        ("Get-Process | Sort-Object CPU", "", 1),
    ],
)
async def test_a_few_lines_of_powershell_are_known(
    host: WindowsHost, dial: Dial, script: str, stdout: str, code: int
) -> None:
    found, _, exit_code = await dial(host).run(encoded(script))
    assert (found.decode(), exit_code) == (stdout, code)


@pytest.mark.anyio
async def test_records_come_as_clixml_with_the_progress_that_everybody_forgets(host: WindowsHost, dial: Dial) -> None:
    script = "Write-Error \"bad`nworse\"; Write-Warning 'careful'; Write-Verbose 'silent'"
    _, stderr, exit_code = await dial(host).run(encoded(script))
    found = streams(stderr)
    assert found["Error"] == ["bad_x000D__x000A_", "worse_x000D__x000A_"]
    assert found["warning"] == ["careful"]
    assert "Preparing modules for first use." in found["progress"][0]
    assert "verbose" not in found
    assert exit_code == 1


@pytest.mark.anyio
async def test_a_script_that_is_not_known_says_so(host: WindowsHost, dial: Dial) -> None:
    _, stderr, exit_code = await dial(host).run("powershell -Command Restart-Computer")
    assert exit_code == 1
    assert b"The simulated PowerShell does not know this: restart-computer" in stderr


@pytest.mark.anyio
async def test_a_canned_answer_stands_for_a_script(host: WindowsHost, dial: Dial) -> None:
    host.answers("Get-Report", "report\r\n", records=[("warning", "low on paper")], exit_code=3)
    stdout, stderr, exit_code = await dial(host).run(encoded("Get-Report"))
    assert (stdout, exit_code) == (b"report\r\n", 3)
    assert streams(stderr)["warning"] == ["low on paper"]


@pytest.mark.anyio
async def test_another_powershell_can_be_put_in_its_place(dial: Dial) -> None:
    async with windows_host(powershell="/bin/echo") as host:
        assert (await dial(host).run("powershell -Command x"))[0] == b"-Command x\n"


@pytest.mark.anyio
async def test_parameters_are_data_whatever_they_say(host: WindowsHost, dial: Dial) -> None:
    hostile = "$(throw 1) `n '; exit 9 #\n€"
    payload = {"script": "param($x)\nWrite-Output $x", "parameters": {"x": hostile}}
    bootstrap = next(text for text in _texts() if "$payload" in text)
    data = base64.b64encode(json.dumps(payload).encode()) + b"\n"
    stdout, stderr, exit_code = await dial(host).run(encoded(bootstrap), data=data)
    assert (stdout.decode(), stderr, exit_code) == (hostile + "\r\n", b"", 0)


def _texts() -> list[str]:
    from importlib.resources import files

    scripts = (files("galaxy_core_winrm") / "scripts").iterdir()
    return [script.read_text(encoding="utf-8") for script in scripts if script.name.endswith(".ps1")]
