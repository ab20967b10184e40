"""Commands that cannot be started: each is refused with a reason that helps, and nothing has run."""

from __future__ import annotations

import os
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from galaxy_core import Action, Call, Command, Device
from galaxy_core.errors import DeviceLostError
from galaxy_core.extension.interfaces import Refused
from galaxy_core_local.settings import LocalSettings
from galaxy_core_local.transports import LocalTransport

Execute = Callable[..., Awaitable[Any]]

pytestmark = pytest.mark.anyio


def sh(text: str, **more: Any) -> Command:
    return Command(None, text, **more)


def has_children() -> bool:
    try:
        os.waitpid(-1, os.WNOHANG)
    except ChildProcessError:
        return False
    return True


async def refused(execute: Execute, command: Any, **settings: Any) -> str:
    outcome = await execute(command, **settings)
    assert isinstance(outcome, Refused)
    return outcome.reason


@pytest.fixture
def tools(tmp_path: Path) -> Path:
    """A folder for PATH, with one program in it."""
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "frobnicate").write_text("#!/bin/sh\necho frobnicated\n")
    (tools / "frobnicate").chmod(0o755)
    return tools


async def test_an_unknown_command_is_named_with_where_it_was_sought_and_what_was_meant(
    execute: Execute, tools: Path
) -> None:
    reason = await refused(execute, Command(["frobnicat"], env={"PATH": f"{tools}:/nowhere"}))
    assert reason == f"command 'frobnicat' was not found in PATH ({tools}:/nowhere); did you mean 'frobnicate'?"


async def test_a_command_by_path_is_sought_in_its_folder_alone(execute: Execute, tools: Path, root: Path) -> None:
    reason = await refused(execute, Command(["./frobnicate"], env={"PATH": str(tools)}))
    assert reason == f"command './frobnicate' was not found in {str(root)!r}"


async def test_a_command_by_path_is_found_from_the_working_folder(execute: Execute, tools: Path) -> None:
    outcome = await execute(Command(["./frobnicate"], cwd=str(tools)))
    assert outcome.stdout == "frobnicated\n"


async def test_a_file_without_permission_is_refused_with_what_to_do(execute: Execute, tools: Path) -> None:
    (tools / "frobnicate").chmod(0o644)
    reason = await refused(execute, Command(["frobnicate"], env={"PATH": str(tools)}))
    assert reason == (
        f"command 'frobnicate' may not be executed: {str(tools / 'frobnicate')!r} has no permission for it (chmod +x)"
    )


async def test_a_folder_is_no_command(execute: Execute, tools: Path, root: Path) -> None:
    (root / "bin").mkdir()
    for folder in (str(tools), "./bin", "bin/"):
        assert await refused(execute, Command([folder])) == f"command {folder!r} is a folder; name a program in it"


async def test_a_file_by_path_without_permission_is_refused_with_what_to_do(execute: Execute, root: Path) -> None:
    (root / "notes.txt").touch(mode=0o644)
    reason = await refused(execute, Command(["./notes.txt"]))
    assert reason == (
        f"command './notes.txt' may not be executed: {str(root / 'notes.txt')!r} has no permission for it (chmod +x)"
    )


async def test_a_path_that_is_secret_is_not_shown_and_nor_is_what_is_in_it(execute: Execute, tools: Path) -> None:
    async def reason(program: str) -> str:
        return await refused(execute, Command([program]), env={"PATH": f"here:{tools}"}, secrets=["PATH"])

    assert await reason("frobnicat") == "command 'frobnicat' was not found in PATH; did you mean 'frobnicate'?"
    (tools / "frobnicate").write_text("#!/no/such/python\n")
    assert (await reason("frobnicate")).endswith("'/no/such/python', which 'frobnicate' asks for, is not there")
    (tools / "frobnicate").chmod(0o644)
    assert (await reason("frobnicate")).endswith("it has no permission for it (chmod +x)")


async def test_a_script_whose_interpreter_is_missing_names_the_interpreter(execute: Execute, tools: Path) -> None:
    (tools / "frobnicate").write_text("#!/no/such/python -u\n")
    reason = await refused(execute, Command([str(tools / "frobnicate")]))
    assert "the interpreter '/no/such/python -u'" in reason


async def test_a_file_that_is_no_program_is_refused(execute: Execute, tools: Path) -> None:
    (tools / "frobnicate").write_text("hello\n")
    reason = await refused(execute, Command([str(tools / "frobnicate")]))
    assert "is no program of this machine" in reason


async def test_a_shell_that_is_missing_is_named(execute: Execute) -> None:
    missing = "/bin/nosh"
    assert repr(missing) in await refused(execute, sh("true"), shell=missing)


@pytest.mark.parametrize(("cwd", "why"), [("nowhere", "does not exist"), ("file", "is no folder")])
async def test_a_working_folder_that_is_none_is_named(execute: Execute, root: Path, cwd: str, why: str) -> None:
    (root / "file").touch()
    reason = await refused(execute, Command(["true"], cwd=cwd))
    assert reason == f"the working folder {str(root / cwd)!r} {why}"


@pytest.mark.parametrize(
    ("command", "what"),
    [
        (Command(["echo", "secret\0"]), "argument 1 contains a NUL character"),
        (Command(["ec\0ho"]), "argument 0 contains a NUL character"),
        (Command(["echo", "\ud800"]), "argument 1 contains a character that cannot be encoded"),
        (sh("echo secret\0"), "the shell text contains a NUL character"),
        (Command(["true"], env={"A": "secret\0"}), "environment variable 'A' contains a NUL character"),
        (Command(["true"], env={"A\0": ""}), "the name of environment variable 'A\\x00' contains a NUL"),
        (Command(["true"], env={"A=B": ""}), "'A=B' cannot be the name of an environment variable"),
        (Command(["true"], env={"": ""}), "'' cannot be the name of an environment variable"),
        (Command(["true"], cwd="a\0b"), "the working folder contains a NUL character"),
        (Command(["cat"], stdin="\ud800"), "standard input cannot be written as UTF-8"),
        (Command(["echo", 5]), "argument 1 is int, not text"),  # type: ignore[list-item]
        (Command(["cat"], stdin=5), "standard input is int, not text"),  # type: ignore[arg-type]
    ],
)
async def test_what_no_program_can_be_given_is_refused_and_not_shown(
    execute: Execute, command: Command, what: str
) -> None:
    reason = await refused(execute, command)
    assert reason.startswith(what)
    assert "secret" not in reason


async def test_a_file_name_that_is_no_text_can_still_be_an_argument(execute: Execute, root: Path) -> None:
    name = os.fsdecode(b"caf\xe9")
    (root / name).write_text("hello")
    outcome = await execute(Command(["cat", name]))
    assert outcome.stdout == "hello"


async def test_too_many_arguments_are_refused_with_what_to_do(execute: Execute) -> None:
    reason = await refused(execute, Command(["true", *["x" * 100_000] * 100]))
    assert "too long for this system: use standard input or a file" in reason


@pytest.mark.parametrize("request_", [Call(print), Action("reboot"), None])
async def test_only_commands_are_taken(execute: Execute, request_: Any) -> None:
    assert await refused(execute, request_) == f"transport 'local' takes commands, not {type(request_).__name__}"


async def test_a_device_whose_working_folder_is_missing_cannot_be_opened(tmp_path: Path) -> None:
    settings = LocalSettings(root=tmp_path / "nowhere")
    with pytest.raises(DeviceLostError, match=r"device 'here' is lost: its working folder .*nowhere' is no folder"):
        async with LocalTransport().open(Device("here"), settings):
            pass


async def test_a_relative_working_folder_is_seen_from_the_folder_of_the_inventory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "inventory" / "work").mkdir(parents=True)
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path)
    for folder, root, found in [
        (str(tmp_path / "inventory"), "work", tmp_path / "inventory" / "work"),
        (str(tmp_path / "inventory"), str(tmp_path / "work"), tmp_path / "work"),
        (str(tmp_path / "inventory"), None, tmp_path),
        (None, "work", tmp_path / "work"),
    ]:
        settings = LocalSettings.model_validate({"root": root})
        async with LocalTransport().open(Device("here", folder=folder), settings) as session:
            assert (await session.probe())["root"] == str(found)


async def test_refusals_leave_no_file_open_and_no_child(execute: Execute) -> None:
    await execute(Command([sys.executable, "-c", ""]))
    await execute(Command(["no-such-command"]))
    before = sorted(os.listdir("/proc/self/fd"))
    for _ in range(10):
        await execute(Command(["no-such-command"], stdin="x"))
    assert sorted(os.listdir("/proc/self/fd")) == before
    assert not has_children()
