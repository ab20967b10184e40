"""Commands on a simulated host: what they get, and what comes back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from galaxy_core import Action, Command, Device, SecretRef
from galaxy_core.extension.interfaces import Completed, Refused
from galaxy_core.extension.models import settings_problems
from galaxy_core_winrm.simulate.host import WindowsHost
from galaxy_core_winrm.transport import WinrmTransport

pytestmark = pytest.mark.anyio
Desk = Any

HOSTILE = ["two words", 'say "hi"', "%PATH%", "50%", "a;b", "a&b|c", "<x>", "^", "(", "!x!", "$(x)", "`x`", "it's", "", "-n",
           "a\\b\\", 'end\\"', "line\nbreak", "schön 🌍", "*", "nul", "\t"]  # fmt: skip


def _content(path: str) -> bytes:
    return Path(path).read_bytes()


async def test_arguments_arrive_as_they_are(desk: Desk, host: WindowsHost) -> None:
    async with desk.open(host) as session:
        done = await desk.run(session, Command(["printf", "[%s]\\n", *HOSTILE]))
        assert done.stdout == "".join(f"[{word}]\n" for word in HOSTILE)
        for word in HOSTILE:
            done = await desk.run(session, Command(["printf", "[%s]\\n", word]))
            assert done.stdout == f"[{word}]\n"


async def test_arguments_of_sixty_thousand_bytes_are_refused_with_a_way_out(desk: Desk, host: WindowsHost) -> None:
    async with desk.open(host) as session:
        outcome = await desk.run(session, Command(["printf", "%s", "x" * 60_000]))
        assert isinstance(outcome, Refused)
        assert "pass them on standard input" in outcome.reason
        done = await desk.run(session, Command(["printf", "%s", "x" * 20_000]))
        assert done.stdout == "x" * 20_000


async def test_a_shell_text_is_run_by_cmd(desk: Desk, host: WindowsHost) -> None:
    async with desk.open(host) as session:
        done = await desk.run(session, Command(None, "echo %COMPUTERNAME%& exit 3"))
    assert (done.stdout, done.exit_code) == (f"{host.name}\r\n", 3)


@pytest.mark.parametrize("size", [0, 1, 4096, 4097, 300_000])
async def test_standard_input_arrives_whole_and_ends(desk: Desk, host: WindowsHost, size: int) -> None:
    text = ("schön 🌍\n" * size)[:size]
    async with desk.open(host) as session:
        done = await desk.run(session, Command(["cat"], stdin=text))
        assert done.stdout == text
        # Words that cmd.exe would not leave alone go another way, and so does their input.
        done = await desk.run(session, Command(["sh", "-c", 'cat; printf %s "$1"', "sh", "%x%"], stdin=text))
        assert done.stdout == text + "%x%"


async def test_a_program_without_input_does_not_wait_for_any(desk: Desk, host: WindowsHost) -> None:
    async with desk.open(host) as session:
        assert (await desk.run(session, Command(["cat"]))).stdout == ""
        assert (await desk.run(session, Command(None, "cat"))).stdout == ""
        assert (await desk.run(session, Command(["sh", "-c", "cat", "sh", "%x%"]))).stdout == ""


async def test_input_that_nobody_reads_does_not_hold_up_the_command(desk: Desk, host: WindowsHost) -> None:
    async with desk.open(host) as session:
        done = await desk.run(session, Command(None, "exit 7", stdin="x" * 500_000))
    assert done.exit_code == 7


async def test_a_command_that_answers_while_it_reads_is_heard(desk: Desk, host: WindowsHost) -> None:
    text = "line of text\n" * 100_000
    async with desk.open(host, output_cap_bytes=4 << 20) as session:
        done = await desk.run(session, Command(["cat"], stdin=text))
    assert done.stdout == text


async def test_environment_and_folder_are_those_asked_for(desk: Desk, host: WindowsHost) -> None:
    async with desk.open(host) as session:
        done = await desk.run(session, Command(None, "echo %LEVEL%", env={"LEVEL": "a=b & c"}))
        assert done.stdout == "a=b & c\r\n" or "a=b" in done.stdout
        done = await desk.run(session, Command(["sh", "-c", 'printf %s "$LEVEL"'], env={"LEVEL": 'q"%&\nü'}))
        assert done.stdout == 'q"%&\nü'
        done = await desk.run(session, Command(None, "cd", cwd="C:\\"))
        assert done.stdout == "C:\\\r\n"
        done = await desk.run(session, Command(None, "echo %LEVEL%"))
        assert "a=b" not in done.stdout


@pytest.mark.parametrize(
    ("request_", "why"),
    [
        (Command(["true"], cwd="C:\\no\\such"), "invalid"),
        (Command(["true"], env={"A=B": "c"}), "not the name of an environment variable"),
        (Command(["true"], env={"A": "b\0c"}), "NUL"),
        (Command(["true"], env={"A": "b\x01c"}), "control character"),
        (Command(["no-such-program", '"']), "cannot find"),
        (Command(["true", "a\0b"]), "NUL"),
        (Command(None, "echo a\necho b"), "several lines"),
    ],
)
async def test_what_cannot_be_started_is_refused(desk: Desk, host: WindowsHost, request_: Command, why: str) -> None:
    async with desk.open(host) as session:
        outcome = await desk.run(session, request_)
    assert isinstance(outcome, Refused)
    assert why in outcome.reason


async def test_output_over_the_cap_is_cut_counted_and_whole_in_a_file(desk: Desk, host: WindowsHost) -> None:
    async with desk.open(host, output_cap_bytes=1000, artifact_cap_bytes=200_000) as session:
        done = await desk.run(session, Command(["sh", "-c", "head -c 300000 /dev/zero | tr '\\000' x; echo err >&2"]))
    assert isinstance(done, Completed)
    assert (len(done.stdout or ""), done.truncated, done.stderr) == (1000, True, "err\n")
    assert done.metadata == {
        "stdout_bytes": 300_000, "stdout_kept_bytes": 1000, "stdout_file_bytes": 200_000, "stderr_bytes": 4,
    }  # fmt: skip
    assert done.files is not None
    assert _content(done.files["stdout.txt"]) == b"x" * 200_000


async def test_output_is_heard_as_it_comes_and_apart(desk: Desk, host: WindowsHost) -> None:
    async with desk.open(host) as session:
        await desk.run(session, Command(["sh", "-c", "echo out; echo err >&2"]))
    assert sorted(desk.heard) == [("stderr", "err\n"), ("stdout", "out\n")]


async def test_the_mark_is_in_the_environment_of_what_runs(desk: Desk, host: WindowsHost) -> None:
    requests = [
        Command(["printenv", "GALAXY_MARK"]),
        Command(None, "echo %GALAXY_MARK%x& printenv GALAXY_MARK"),
        Command(["sh", "-c", "printenv GALAXY_MARK", "sh", "%x%"]),
    ]
    async with desk.open(host) as session:
        for request in requests:
            attempt = desk.attempt(request)
            done = await session.execute(attempt)
            assert done.stdout.split()[-1] == attempt.mark
            assert (await host.truth(attempt.mark)).starts == 1


async def test_an_attempt_says_how_far_it_has_come(desk: Desk, host: WindowsHost) -> None:
    async with desk.open(host) as session:
        refused, done = desk.attempt(Command(["a\0b"])), desk.attempt(Command(["true"]))
        await session.execute(refused)
        await session.execute(done)
    assert (refused.progress, done.progress) == ("new", "acknowledged")


async def test_exit_codes_of_thirty_two_bits_come_back(desk: Desk, host: WindowsHost) -> None:
    async with desk.open(host) as session:
        assert (await desk.run(session, Command(None, "exit 259"))).exit_code == 259
        assert (await desk.run(session, Command(None, "exit -1073741510"))).exit_code == -1073741510


async def test_variables_of_the_settings_are_in_every_command_and_script(desk: Desk, host: WindowsHost) -> None:
    async with desk.open(host, env={"TOKEN": "of the device", "Other": "x"}) as session:
        for request in (
            Command(["printenv", "TOKEN"]),
            Command(["sh", "-c", 'printenv TOKEN; : "$1"', "sh", "%x%"]),
            Command(None, "echo %TOKEN%"),
            Action("powershell", {"script": "Write-Output $env:TOKEN"}),
        ):
            done = await desk.run(session, request)
            assert (done.stdout.strip(), done.exit_code) == ("of the device", 0), request
        own = await desk.run(session, Command(None, "echo %TOKEN% %OTHER%", env={"Token": "of the task"}))
        assert own.stdout.strip() == "of the task x"


@pytest.mark.parametrize("env", [{"A=B": "c"}, {"": "c"}, {"A": "hidden\0"}, {"A": "hidden\x01"}, {"a": "b", "A": "c"}])
def test_variables_that_windows_cannot_have_are_refused_without_being_shown(env: dict[str, str]) -> None:
    device = Device("office", "winrm", {"endpoint": "https://x", "username": "u", "password": "p", "env": env})
    problems = settings_problems(WinrmTransport(), device)
    assert len(problems) == 1
    assert "hidden" not in str(problems)


async def test_a_secret_that_the_cap_cuts_in_two_is_left_out(desk: Desk, host: WindowsHost) -> None:
    device = Device("office", "winrm", {"env": {"TOKEN": SecretRef(env="X")}})
    settings = desk.settings(host, env={"TOKEN": "canary-4711"}, output_cap_bytes=8)
    async with desk.transport.open(device, settings) as session:
        done = await desk.run(session, Command(["sh", "-c", 'printf "it %s" "$TOKEN"']))
    assert done.truncated
    assert "can" not in done.stdout
