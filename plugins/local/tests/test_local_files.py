"""Files in and out of the working folder, and what may not leave it."""

from __future__ import annotations

import hashlib
import os
import re
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from galaxy_core import Command
from galaxy_core.extension.interfaces import Refused

Execute = Callable[..., Awaitable[Any]]

pytestmark = pytest.mark.anyio


def sh(text: str, **more: Any) -> Command:
    return Command(None, text, **more)


OUTSIDE = ["../secret", "/etc/passwd", "a/../../secret", "a/./b", "a//b", "", ".", "..", "a/", "a\0b"]


@pytest.fixture
def given(artifacts: Path) -> Path:
    """A file that an earlier task has left."""
    given = artifacts / "earlier" / "given"
    given.parent.mkdir(parents=True)
    given.write_text("hunter2")
    return given


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    """A file beside the working folder."""
    secret = tmp_path / "secret"
    secret.write_text("hunter2")
    return secret


def content(path: str | Path) -> str:
    return Path(path).read_text()


def left_in(root: Path) -> set[str]:
    return {path.relative_to(root).as_posix() for path in root.rglob("*")}


async def test_a_file_goes_in_and_a_file_comes_out(execute: Execute, given: Path, artifacts: Path) -> None:
    command = sh("tr a-z A-Z <in/data.txt >out.txt", files={"in/data.txt": str(given)}, outputs=["out.txt"])
    outcome = await execute(command)
    assert outcome.error is None
    assert outcome.files == {"out.txt": str(artifacts / "1" / "out.txt")}
    assert content(outcome.files["out.txt"]) == "HUNTER2"
    assert outcome.metadata["collected"] == {
        "out.txt": {"size_bytes": 7, "sha256": hashlib.sha256(b"HUNTER2").hexdigest()}
    }


async def test_files_go_into_the_working_folder_of_the_task(execute: Execute, root: Path, given: Path) -> None:
    (root / "sub").mkdir()
    outcome = await execute(Command(["cat", "data"], cwd="sub", files={"data": str(given)}, outputs=["data"]))
    assert outcome.stdout == "hunter2"
    assert left_in(root) == {"sub", "sub/data"}


async def test_a_plain_path_is_relative_to_the_root(execute: Execute, root: Path) -> None:
    (root / "tool.sh").write_text("#!/bin/sh\necho used\n")
    (root / "tool.sh").chmod(0o755)
    outcome = await execute(Command(["./copy.sh"], files={"copy.sh": "tool.sh", "tool.sh": "tool.sh"}))
    assert outcome.stdout == "used\n"
    assert left_in(root) == {"copy.sh", "tool.sh"}


@pytest.mark.parametrize("name", OUTSIDE)
@pytest.mark.parametrize("way", ["files", "outputs"])
async def test_no_name_leads_out_of_the_working_folder(
    execute: Execute, root: Path, secret: Path, way: str, name: str
) -> None:
    files = {way: {name: str(root / "own")} if way == "files" else [name]}
    (root / "own").write_text("own")
    outcome = await execute(Command(["touch", "ran"], **files))  # type: ignore[arg-type]
    assert isinstance(outcome, Refused)
    assert outcome.reason.startswith(f"{name!r} is not the name of a file")
    assert content(secret) == "hunter2"
    assert left_in(root) == {"own"}


async def test_a_file_replaces_a_link_and_does_not_follow_it(execute: Execute, root: Path, secret: Path) -> None:
    (root / "new").write_text("new")
    (root / "link").symlink_to(secret)
    outcome = await execute(Command(["cat", "link"], files={"link": str(root / "new")}))
    assert outcome.stdout == "new"
    assert content(secret) == "hunter2"


async def test_a_folder_that_is_a_link_is_not_followed_inwards(
    execute: Execute, root: Path, given: Path, tmp_path: Path
) -> None:
    (root / "link").symlink_to(tmp_path)
    outcome = await execute(Command(["touch", "ran"], files={"link/planted": str(given)}))
    assert isinstance(outcome, Refused)
    assert "symbolic link" in outcome.reason
    assert not (tmp_path / "planted").exists()
    assert left_in(root) == {"link"}


@pytest.mark.parametrize(
    ("source", "why"), [("nowhere", "it does not exist"), ("sub", "it is a folder"), ("fifo", "is not a regular file")]
)
async def test_a_source_that_is_no_file_is_refused(execute: Execute, root: Path, source: str, why: str) -> None:
    os.mkfifo(root / "fifo")
    (root / "sub").mkdir()
    outcome = await execute(Command(["touch", "ran"], files={"data": source}))
    assert isinstance(outcome, Refused)
    assert outcome.reason.startswith(f"{source!r} cannot be put into the working folder as 'data': ")
    assert outcome.reason.endswith(why)
    assert left_in(root) == {"fifo", "sub"}


@pytest.mark.parametrize("keep", [True, False])
@pytest.mark.parametrize(
    "source", ["../secret", "sub/../../secret", "{outside}/secret", "{root}/../secret", "link", "up/secret"]
)
async def test_a_source_outside_of_the_root_and_of_the_run_is_refused(
    execute: Execute, root: Path, secret: Path, source: str, keep: bool
) -> None:
    (root / "sub").mkdir()
    (root / "link").symlink_to(secret)
    (root / "up").symlink_to(secret.parent)
    given = source.format(outside=secret.parent, root=root)
    outcome = await execute(Command(["touch", "ran"], files={"data": given}), keep=keep)
    assert isinstance(outcome, Refused)
    assert outcome.reason.startswith(f"{given!r} cannot be put into the working folder as 'data': ")
    assert left_in(root) == {"sub", "link", "up"}


async def test_the_refusal_of_a_source_says_where_it_may_be(execute: Execute, root: Path, secret: Path) -> None:
    outcome = await execute(Command(["true"], files={"data": str(secret)}))
    assert f"neither in the root folder {str(root)!r} nor a file that a task of this run has left" in outcome.reason
    assert "{from: TASK, value: file.NAME}" in outcome.reason


async def test_a_place_that_is_taken_by_a_folder_is_refused_and_nothing_is_left(
    execute: Execute, root: Path, given: Path
) -> None:
    (root / "data").mkdir()
    outcome = await execute(Command(["touch", "ran"], files={"data": str(given)}))
    assert isinstance(outcome, Refused)
    assert "as 'data'" in outcome.reason
    assert left_in(root) == {"data"}


@pytest.mark.parametrize(
    ("make", "name", "why"),
    [
        ("true", "out", "it does not exist"),
        ("ln -s ../secret out", "out", "it is a symbolic link"),
        ("ln -s .. up", "up/secret", "the way to it leads through one"),
        ("mkdir out", "out", "it is a folder"),
        ("mkfifo out", "out", "'out' is not a regular file"),
    ],
)
@pytest.mark.usefixtures("secret")
async def test_an_output_that_cannot_be_collected_makes_a_good_command_fail(
    execute: Execute, artifacts: Path, make: str, name: str, why: str
) -> None:
    outcome = await execute(sh(f"{make}; echo kept > other", outputs=[name, "other"]))
    assert outcome.exit_code == 0
    assert outcome.error.startswith("the command ended well, but not every output could be collected")
    assert repr(name) in outcome.error
    assert why in outcome.error
    assert set(outcome.files) == {"other"}
    assert left_in(artifacts / "1") == {"other"}


async def test_a_command_that_fails_keeps_its_exit_code_and_the_outputs_that_it_left(execute: Execute) -> None:
    outcome = await execute(sh("echo log > log; exit 3", outputs=["log", "result"]))
    assert (outcome.exit_code, outcome.error) == (3, None)
    assert content(outcome.files["log"]) == "log\n"
    assert outcome.metadata["not_collected"] == {"result": "it does not exist"}


async def test_outputs_with_like_or_strange_names_are_kept_apart(execute: Execute, root: Path) -> None:
    names = ["a/b", "a_b", "A_B", "stdout.txt", ".hidden", "_hidden", "with space", "Ω", "x" * 200, "y" + "x" * 199]
    code = "import sys; [open(name, 'w').write(name) for name in sys.argv[1:]]; print('1234567890')"
    (root / "a").mkdir()
    command = Command([sys.executable, "-c", code, *names], outputs=names)
    outcome = await execute(command, output_cap_bytes=5)
    assert {name: content(outcome.files[name]).strip() for name in names} == {name: name for name in names}
    kept = [Path(path).name for path in outcome.files.values()]
    assert all(re.fullmatch("[A-Za-z0-9_-][A-Za-z0-9._-]{0,127}", name) for name in kept)
    assert len({name.casefold() for name in kept}) == len(names)
    assert outcome.metadata["stdout_file_bytes"] == 11


async def test_outputs_without_a_place_for_them_are_refused_before_anything_runs(execute: Execute, root: Path) -> None:
    outcome = await execute(Command(["touch", "ran"], outputs=["ran"]), keep=False)
    assert isinstance(outcome, Refused)
    assert "keeps no files" in outcome.reason
    assert left_in(root) == set()


async def test_files_leave_no_descriptor_open(execute: Execute, given: Path) -> None:
    command = sh("cp in/data out", files={"in/data": str(given)}, outputs=["out", "missing", "in/data"])
    await execute(command)
    before = sorted(os.listdir("/proc/self/fd"))
    await execute(command)
    await execute(Command(["true"], files={"in": str(given)}))
    assert sorted(os.listdir("/proc/self/fd")) == before
