"""What a command is given, and what it gives back."""

from __future__ import annotations

import hashlib
import os
import re
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import anyio
import pytest

from galaxy_core import Command
from galaxy_core.extension.interfaces import Completed
from galaxy_core_local.settings import LocalSettings

Execute = Callable[..., Awaitable[Any]]

pytestmark = pytest.mark.anyio


def sh(text: str, **more: Any) -> Command:
    return Command(None, text, **more)


ECHO_ENV = "import os, sys; [print(f'{name}={os.environ.get(name)}') for name in sys.argv[1:]]"
MEGABYTES_10 = "galaxy " * 1_500_000


def python(code: str, *arguments: str, **more: Any) -> Command:
    return Command([sys.executable, "-c", code, *arguments], **more)


@pytest.mark.parametrize("code", [0, 1, 42, 255])
async def test_the_exit_code_is_that_of_the_command(execute: Execute, code: int) -> None:
    outcome = await execute(python(f"raise SystemExit({code})"))
    assert isinstance(outcome, Completed)
    assert outcome.exit_code == code
    assert outcome.error is None


async def test_output_and_error_output_are_kept_apart(execute: Execute) -> None:
    outcome = await execute(python("import sys; print('out'); print('err', file=sys.stderr)"))
    assert (outcome.stdout, outcome.stderr) == ("out\n", "err\n")
    assert outcome.metadata["stdout_bytes"] == outcome.metadata["stderr_bytes"] == 4
    assert not outcome.truncated
    assert outcome.files is None


async def test_the_process_id_is_told(execute: Execute) -> None:
    outcome = await execute(python("import os; print(os.getpid())"))
    assert outcome.metadata["pid"] == int(outcome.stdout)


async def test_a_command_that_a_signal_killed_says_which(execute: Execute) -> None:
    outcome = await execute(sh("kill -KILL $$"))
    assert outcome.exit_code == -9
    assert outcome.error == "killed by SIGKILL"


async def test_an_argument_list_meets_no_shell(execute: Execute) -> None:
    nasty = ["$HOME", "; echo no", "`id`", "two  spaces", "", "*", "'\"\\", "-n", "new\nline", "Ω"]
    outcome = await execute(python("import sys; print(sys.argv[1:])", *nasty))
    assert outcome.stdout == f"{nasty}\n"


async def test_a_shell_text_is_run_by_the_shell(execute: Execute) -> None:
    outcome = await execute(sh("for n in 1 2; do echo $n; done | tr 1 x", env={"n": "5"}))
    assert outcome.stdout == "x\n2\n"


async def test_the_shell_can_be_chosen(execute: Execute) -> None:
    outcome = await execute(sh("print(6 * 7)"), shell=sys.executable)
    assert outcome.stdout == "42\n"


async def test_environment_of_the_task_wins_over_that_of_the_device_and_that_over_ours(
    execute: Execute, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("OURS", "DEVICES", "TASKS"):
        monkeypatch.setenv(name, "ours")
    outcome = await execute(
        python(ECHO_ENV, "OURS", "DEVICES", "TASKS", env={"TASKS": "tasks"}),
        env={"DEVICES": "devices", "TASKS": "devices"},
    )
    assert outcome.stdout == "OURS=ours\nDEVICES=devices\nTASKS=tasks\n"


async def test_our_environment_can_be_kept_from_tasks(execute: Execute, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OURS", "ours")
    outcome = await execute(python(ECHO_ENV, "OURS", "DEVICES"), env={"DEVICES": "devices"}, inherit_env=False)
    assert outcome.stdout == "OURS=None\nDEVICES=devices\n"


async def test_a_secret_of_the_settings_reaches_the_command_and_no_log(execute: Execute) -> None:
    outcome = await execute(python(ECHO_ENV, "TOKEN"), env={"TOKEN": "hunter2"})
    assert outcome.stdout == "TOKEN=hunter2\n"
    assert "hunter2" not in repr(LocalSettings.model_validate({"env": {"TOKEN": "hunter2"}}))


async def test_a_command_within_a_command_keeps_the_marks_of_both(
    execute: Execute, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GALAXY_MARK", "outer")
    outcome = await execute(python(ECHO_ENV, "GALAXY_MARK"))
    name, _, mark = outcome.stdout.strip().partition("=outer:")
    assert name == "GALAXY_MARK"
    assert re.fullmatch(r"[0-9a-f]{16}-[0-9a-f]{8}", mark)


@pytest.mark.parametrize("inside", [True, False])
async def test_the_working_folder_is_relative_to_the_root_or_anywhere(
    execute: Execute, root: Path, tmp_path: Path, inside: bool
) -> None:
    (root / "sub").mkdir()
    cwd = "sub" if inside else str(tmp_path)
    outcome = await execute(python("import os; print(os.getcwd())", cwd=cwd))
    assert Path(outcome.stdout.strip()) == (root / "sub" if inside else tmp_path)


@pytest.mark.parametrize("stdin", [None, ""])
async def test_without_input_a_command_reads_nothing(execute: Execute, stdin: str | None) -> None:
    outcome = await execute(python("import sys; print(repr(sys.stdin.read()))", stdin=stdin))
    assert outcome.stdout == "''\n"


async def test_ten_megabytes_go_in_and_come_out_at_the_same_time(execute: Execute) -> None:
    outcome = await execute(Command(["cat"], stdin=MEGABYTES_10), output_cap_bytes=20_000_000)
    assert hashlib.sha256(outcome.stdout.encode()).digest() == hashlib.sha256(MEGABYTES_10.encode()).digest()


@pytest.mark.parametrize("code", ["import os; os.close(0); print('bye')", "print('bye')"], ids=["closes", "exits"])
async def test_a_command_need_not_read_its_input(execute: Execute, code: str) -> None:
    outcome = await execute(python(code, stdin=MEGABYTES_10))
    assert (outcome.exit_code, outcome.stdout, outcome.error) == (0, "bye\n", None)


async def test_fifty_commands_at_once_leave_no_file_open(execute: Execute) -> None:
    seen: list[str] = []

    async def one(number: int) -> None:
        outcome = await execute(Command(["cat"], stdin=str(number)))
        seen.append(outcome.stdout)

    await execute(Command(["true"]))  # whatever an event loop opens once is open now
    before = sorted(os.listdir("/proc/self/fd"))
    async with anyio.create_task_group() as tasks:
        for number in range(50):
            tasks.start_soon(one, number)
    await anyio.wait_all_tasks_blocked()
    assert sorted(seen, key=int) == [str(number) for number in range(50)]
    assert sorted(os.listdir("/proc/self/fd")) == before
