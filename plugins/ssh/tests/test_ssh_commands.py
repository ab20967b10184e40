"""Commands over SSH: what they get, what they give back, and how they end."""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path
from secrets import token_hex
from typing import Any

import anyio
import pytest

from galaxy_core import Command, TaskStar
from galaxy_core.extension.interfaces import Attempt, Completed, Outcome, Refused, Unknown
from galaxy_core_ssh.remote.helper import Helper
from galaxy_core_ssh.simulate.daemon import Daemon
from galaxy_core_ssh.simulate.far_side import processes_with

from .ssh_lab import Lab, until

pytestmark = pytest.mark.anyio

#: By name: arguments that a shell, or whoever takes them to one, may take for something else.
STRANGE = {
    "quotes": ["'", '"', "it's", "''", "\"'\"'"],
    "percent": ["%VAR%", "%PATH%", "%%", "%n%s"],
    "semicolon": [";", "; touch pwned", "&& touch pwned", "| touch pwned", "& touch pwned &"],
    "substitution": ["$(touch pwned)", "`touch pwned`", "$HOME", "${IFS}", "$((1+1))", "!!", "!touch"],
    "line breaks": ["a\nb", "\n", "a\r\nb", "touch pwned\n"],
    "emoji": ["🌍", "schön", "e\u0301", "\u202e"],
    "blanks": ["", " ", "\t", " a  b "],
    "backslashes": ["\\", "\\\\", "\\n", "a\\", "\\'", "\\0134"],
    "globs": ["*", "?", "[a-z]", "~", "~root", "{a,b}"],
    "dashes": ["-", "--", "-n", "-rf"],
    "control": ["\x01\x1b[31m", "\x7f"],
}
SHOW = [sys.executable, "-c", "import json, sys; print(json.dumps(sys.argv[1:]))"]


def sh(text: str, **more: Any) -> Command:
    return Command(None, text, **more)


async def run(lab: Lab, daemon: Daemon, request: Any, **settings: Any) -> Outcome:
    async with lab.opened(daemon, **settings) as session:
        return await session.execute(lab.attempt(request))


async def completed(lab: Lab, daemon: Daemon, request: Any, **settings: Any) -> Completed:
    outcome = await run(lab, daemon, request, **settings)
    assert isinstance(outcome, Completed), outcome
    return outcome


@pytest.mark.parametrize("env", [{}, {"COVERED": "yes"}], ids=["through the login shell", "on standard input"])
async def test_arguments_arrive_as_they_are(lab: Lab, daemon: Daemon, env: dict[str, str]) -> None:
    async with lab.opened(daemon) as session:
        for name, words in STRANGE.items():
            outcome = await session.execute(lab.attempt(Command([*SHOW, *words], env=env)))
            assert isinstance(outcome, Completed), (name, outcome)
            assert json.loads(outcome.stdout or "null") == words, name
    assert not list(daemon.home.rglob("pwned"))


async def test_an_argument_of_60_kb_arrives_whole(lab: Lab, daemon: Daemon) -> None:
    words = ["x" * 60_000, "'\n\\" * 20_000]
    outcome = await completed(lab, daemon, Command([*SHOW, *words]))
    assert json.loads(outcome.stdout or "null") == words


@pytest.mark.parametrize(
    "command",
    [
        Command(["echo", "a\0b"]),
        sh("echo \0"),
        Command(["true"], env={"X": "\0"}),
        Command(["true"], cwd="a\0b"),
        Command(["true"], env={"X Y": "1"}),
        Command(["true"], env={"X;Y": "1"}),
        Command(["echo", "\ud800"]),
        Command(["true"], outputs=("../x",)),
        Command(["true"], files={"/etc/x": "a"}),
        Command(["true"], cwd="no/such/folder"),
    ],
    ids=repr,
)
async def test_what_no_program_can_be_given_is_refused(lab: Lab, daemon: Daemon, command: Command) -> None:
    attempt = lab.attempt(command)
    async with lab.opened(daemon) as session:
        outcome = await session.execute(attempt)
    assert isinstance(outcome, Refused), outcome
    if command.cwd is None or "\0" in command.cwd:
        assert attempt.progress == "new"


async def test_standard_input_arrives_byte_for_byte(lab: Lab, daemon: Daemon) -> None:
    text = "ä\n\0\x01'\"\\ \r\n" * 50_000
    for env in ({}, {"X": "1"}):
        outcome = await completed(lab, daemon, Command(["sha256sum"], stdin=text, env=env))
        assert (outcome.stdout or "").split()[0] == hashlib.sha256(text.encode()).hexdigest()


async def test_a_command_that_does_not_read_its_input_is_not_at_fault(lab: Lab, daemon: Daemon) -> None:
    outcome = await completed(lab, daemon, Command(["true"], stdin="x" * 3_000_000))
    assert outcome.exit_code == 0


@pytest.mark.parametrize(("text", "code"), [("exit 0", 0), ("exit 7", 7), ("exit 255", 255), ("nosuchprogram", 127)])
async def test_exit_codes_come_back(lab: Lab, daemon: Daemon, text: str, code: int) -> None:
    outcome = await completed(lab, daemon, sh(text))
    assert (outcome.exit_code, outcome.error) == (code, None)


async def test_a_signal_that_ends_a_command_is_named(lab: Lab, daemon: Daemon) -> None:
    outcome = await completed(lab, daemon, sh("kill -SEGV $$"))
    assert (outcome.exit_code, outcome.error) == (-11, "killed by SIGSEGV")


async def test_the_variables_of_the_device_are_those_of_a_task_unless_it_has_its_own(lab: Lab, daemon: Daemon) -> None:
    request = sh('printf "%s|%s" "$A" "$B"', env={"B": "task's"})
    outcome = await completed(lab, daemon, request, env={"A": "device's\n", "B": "device's"})
    assert outcome.stdout == "device's\n|task's"


async def test_no_variable_shows_in_a_process_list(lab: Lab, daemon: Daemon) -> None:
    look = 'cat /proc/[0-9]*/cmdline | tr "\\0" "\\n"; printf "%s" "$SECRET" | wc -c'
    outcome = await completed(lab, daemon, sh(look), env={"SECRET": "CANARY-5a81"})
    assert "CANARY" not in (outcome.stdout or "")
    assert (outcome.stdout or "").rstrip().endswith("11")


async def test_a_background_process_that_holds_the_output_does_not_hold_the_task(lab: Lab, daemon: Daemon) -> None:
    outcome = await completed(lab, daemon, sh("echo done; sleep 47 & exit 0"), drain_s=0.1)
    assert outcome.stdout == "done\n"
    assert "left alone" in (outcome.metadata or {})["background"]


async def test_a_relative_working_folder_is_below_the_root(lab: Lab, daemon: Daemon) -> None:
    async with lab.opened(daemon) as session:
        await session.execute(lab.attempt(sh("mkdir -p 'a b/c'")))
        inner = await session.execute(lab.attempt(Command(["pwd"], cwd="a b/c")))
        outer = await session.execute(lab.attempt(Command(["pwd"], cwd="/")))
    assert isinstance(inner, Completed)
    assert isinstance(outer, Completed)
    assert (inner.stdout or "").rstrip().endswith("home/work/a b/c")
    assert outer.stdout == "/\n"


async def test_output_is_heard_as_it_comes_and_kept_to_the_cap(lab: Lab, daemon: Daemon) -> None:
    outcome = await completed(
        lab, daemon, sh("echo begin; head -c 3000000 /dev/zero; echo end >&2"), output_cap_bytes=1000
    )
    told = outcome.metadata or {}
    assert outcome.truncated
    assert (told["stdout_bytes"], told["stdout_kept_bytes"], told["stdout_file_bytes"]) == (3000006, 1000, 3000006)
    assert await anyio.Path((outcome.files or {})["stdout.txt"]).read_bytes() == b"begin\n" + bytes(3000000)
    assert lab.said().startswith("begin\n")
    assert lab.said("stderr") == "end\n"


@pytest.mark.parametrize("env", [{}, {"COVERED": "yes"}], ids=["through the login shell", "on standard input"])
@pytest.mark.parametrize(
    "text",
    [
        "echo up; sleep 1001",
        "echo up; sleep 1001 & sleep 1001 & wait",
        "(setsid sleep 1001 &) ; echo up; sleep 1001",
        "trap '' TERM; echo up; while :; do sleep 1001; done",
        "echo up; kill -STOP $$",
    ],
)
async def test_a_cancelled_command_is_gone_with_all_that_it_started(
    lab: Lab, daemon: Daemon, text: str, env: dict[str, str]
) -> None:
    attempt = lab.attempt(sh(text, env=env))
    async with lab.opened(daemon, kill_grace_s=0.05) as session, anyio.create_task_group() as group:
        group.start_soon(session.execute, attempt)
        await until(lambda: "up" in lab.said())
        group.cancel_scope.cancel()
    assert isinstance(attempt.partial, Completed), attempt.partial
    assert attempt.partial.stdout == "up\n"
    assert processes_with(f"GALAXY_MARK={attempt.mark}") == []


async def test_a_slow_login_shell_does_not_let_a_cancelled_command_slip_through(lab: Lab, daemon: Daemon) -> None:
    """While the login shell is still at its own files, nothing has the mark yet."""
    rc = daemon.home / ".bashrc"
    async with lab.opened(daemon) as session:
        rc.write_text("sleep 0.3\n")
        try:
            attempt = lab.attempt(sh("touch slipped; sleep 1001"))
            with anyio.move_on_after(0.1):
                await session.execute(attempt)
        finally:
            rc.unlink()
        assert attempt.partial is not None
        if isinstance(attempt.partial, Unknown):  # a busy machine: then it is owed, and paid before the next attempt
            await session.probe()
        ended = await session.execute(lab.attempt(Command(["true"])))
        assert isinstance(ended, Completed)
    assert processes_with(f"GALAXY_MARK={attempt.mark}") == []


async def test_a_command_that_says_what_we_say_of_a_missing_folder_has_run(lab: Lab, daemon: Daemon) -> None:
    async with lab.opened(daemon) as session:
        outcome = await session.execute(lab.attempt(Command(None, "echo 'galaxy: no such folder: /x' >&2; exit 126")))
    assert isinstance(outcome, Completed)
    assert outcome.exit_code == 126


async def test_when_asking_about_a_command_fails_it_goes_on(
    lab: Lab, daemon: Daemon, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def run(helper: Helper, text: str) -> tuple[int, str]:
        if "galaxy-settled" in text:
            raise OSError(24, "Too many open files")
        return await ask(helper, text)

    ask, on, go, run_mark = Helper.run, tmp_path / "on", tmp_path / "go", token_hex(8)
    request = sh(f"touch {on}; while [ ! -e {go} ]; do sleep 0.02; done; exit 3")
    task = TaskStar("task", request=request)
    attempt = Attempt("run", task, "host", 1, 7, request, None, None, None, run_mark, leaves_marker=True)
    async with lab.opened(daemon) as session, anyio.create_task_group() as group:
        await session.expect(run_mark)
        group.start_soon(session.execute, attempt)
        await until(on.exists)
        asked = Attempt.restored("run", task, "host", 1, 7, attempt.mark)
        with monkeypatch.context() as patched:
            patched.setattr(Helper, "run", run)
            with pytest.raises(OSError, match="open files"):
                await session.settle(asked)
        assert asked.partial is None
        assert processes_with(f"GALAXY_MARK={attempt.mark}")
        go.touch()
        assert await session.settle(asked) == Completed(exit_code=3, stdout="", stderr="", metadata={"settled": True})
