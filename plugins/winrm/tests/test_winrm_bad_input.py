"""Bad input: each kind is refused with the reason, or arrives as it is. Never does it do something else."""

from __future__ import annotations

from typing import Any

import pytest

from galaxy_core import Action, Command
from galaxy_core.extension.interfaces import Completed, Refused
from galaxy_core_winrm.simulate.host import WindowsHost

pytestmark = pytest.mark.anyio
Desk = Any

ARRIVES = {
    "quotes": '"; echo injected; "\'',
    "variable": "%COMPUTERNAME%",
    "separators": "a; b & c | d && e",
    "newlines": "one\ntwo\r\nthree",
    "emoji": "🌍👩‍👩‍👧 schön",
    "substitution": "$(echo injected) `echo injected`",
    "option": "--help",
    "backslashes": "\\\\server\\share\\",
    "control characters": "\x01\x1b[31m\x7f",
    "not XML": "\ufffe",
}


@pytest.mark.parametrize("text", ARRIVES.values(), ids=ARRIVES.keys())
async def test_an_argument_arrives_as_it_is(desk: Desk, host: WindowsHost, text: str) -> None:
    async with desk.open(host) as session:
        done = await desk.run(session, Command(["printf", "%s", text]))
        assert (done.exit_code, done.stdout) == (0, text)


@pytest.mark.parametrize("text", ARRIVES.values(), ids=ARRIVES.keys())
async def test_a_parameter_arrives_as_it_is(desk: Desk, host: WindowsHost, text: str) -> None:
    script = "param($text)\nWrite-Output $text"
    async with desk.open(host) as session:
        done = await desk.run(session, Action("powershell", {"script": script, "parameters": {"text": text}}))
        assert (done.exit_code, done.stdout) == (0, text + "\r\n")


@pytest.mark.parametrize("text", ARRIVES.values(), ids=ARRIVES.keys())
async def test_a_variable_arrives_as_it_is_or_is_refused(desk: Desk, host: WindowsHost, text: str) -> None:
    async with desk.open(host) as session:
        outcome = await desk.run(session, Command(["printenv", "A"], env={"A": text}))
    if isinstance(outcome, Refused):
        assert "control character" in outcome.reason
    elif "%" in text:  # WinRM itself replaces these in a shell's environment; documented
        assert host.name in outcome.stdout
    else:
        assert outcome.stdout == text + "\n"


REFUSED = {
    "NUL": (Command(["printf", "a\0b"]), "NUL"),
    "NUL in a text": (Command(None, "echo a\0b"), "NUL"),
    "half a character": (Command(["printf", "\ud83c"]), "half a character"),
    "60 kB": (Command(["printf", "%s", "x" * 60_000]), "32766"),
    "60 kB of text": (Command(None, "echo " + "x" * 60_000), "8000"),
    "no program": (Command([""]), "empty"),
    "two lines": (Command(None, "echo a\necho b"), "several lines"),
    "batch file": (Command(["deploy.bat", "%PATH%&calc"]), "batch file"),
    "unknown action": (Action("screenshot", {}), "no action 'screenshot'"),
    "call": (None, "takes commands and actions"),
    "push nothing": (Action("push", {"target": "x"}), "source"),
    "push upwards": (Action("push", {"source": "../x", "target": "x"}), ".."),
    "push to nowhere": (Action("push", {"source": "x", "target": "../x"}), ".."),
    "pull upwards": (Action("pull", {"path": "..\\x", "name": "x"}), ".."),
    "pull to elsewhere": (Action("pull", {"path": "x", "name": "../x"}), "name"),
}


@pytest.mark.parametrize(("request_", "why"), REFUSED.values(), ids=REFUSED.keys())
async def test_what_cannot_be_done_is_refused_with_the_reason(
    desk: Desk, host: WindowsHost, request_: Any, why: str
) -> None:
    async with desk.open(host) as session:
        attempt = desk.attempt(request_)
        outcome = await session.execute(attempt)
        assert isinstance(outcome, Refused)
        assert why in outcome.reason
        assert len(outcome.reason) < 600
        assert (attempt.progress, (await host.truth(attempt.mark)).starts) == ("new", 0)
        assert isinstance(await desk.run(session, Command(["true"])), Completed)


async def test_no_secret_is_on_any_command_line_or_in_any_message(
    desk: Desk, host: WindowsHost, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    async with desk.open(host) as session:
        done = await desk.run(session, Command(["sh", "-c", "tr '\\000' ' ' </proc/$$/cmdline; tr '\\000' ' ' </proc/$PPID/cmdline"],
                                               env={"TOKEN": "CANARY-1"}, stdin="CANARY-2"))  # fmt: skip
        await desk.run(session, Action("powershell", {"script": "param($t)", "parameters": {"t": "CANARY-3"}}))
        told = f"{session!r} {session.facts} {session._host!r} {done!r}"
    for canary in ("CANARY", host.password):
        assert canary not in told
        assert canary not in caplog.text
