"""Files that a command has left on a phone, when whoever ran it is gone, the phone is, or there is no room for them."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path
from typing import Any, BinaryIO

import anyio
import pytest

from galaxy_core import Attempt, Command, Completed, TaskStar, Unknown
from galaxy_core.errors import DeviceLostError
from galaxy_core_adb import files as module

from .adb_bench import Bench

pytestmark = pytest.mark.anyio


def sh(text: str, *outputs: str, **more: Any) -> Command:
    return Command(None, text, outputs=outputs, **more)


def kept_in(folder: Path) -> Any:
    def place(_attempt: Attempt, name: str) -> Path:
        (folder / "kept").mkdir(exist_ok=True)
        return folder / "kept" / name

    return place


def marked(request: Command, folder: Path) -> Attempt:
    given = (1, 7, request, None, None, kept_in(folder), "run")
    return Attempt("run", TaskStar("task", request=request), "phone", *given, leaves_marker=True)


def later(attempt: Attempt, folder: Path) -> Attempt:
    """As the process has it that resumes."""
    return Attempt.restored("run", attempt.task, "phone", 1, 7, attempt.mark, kept_in(folder))


@pytest.mark.parametrize(
    ("script", "outputs"),
    [
        ("echo said; echo made >'of it'", ["of it"]),
        ("mkdir -p in; echo made >in/a; exit 3", ["in/a", "missing"]),
        ("echo made >b", ["b", "missing"]),
    ],
)
async def test_what_was_left_is_settled_as_if_somebody_had_been_there(
    bench: Bench, tmp_path: Path, script: str, outputs: list[str]
) -> None:
    attempt = marked(sh(script, *outputs), tmp_path)
    async with bench.open() as session:
        await session.expect("run")
        done = await session.execute(attempt)
    shutil.rmtree(tmp_path / "kept")
    async with bench.open() as session:
        found = await session.settle(later(attempt, tmp_path))
    assert isinstance(done, Completed)
    assert isinstance(found, Completed)
    assert (found.exit_code, found.error, found.files) == (done.exit_code, done.error, done.files)
    for name in ("collected", "not_collected"):
        assert (found.metadata or {}).get(name) == (done.metadata or {}).get(name)
    assert [one.read_text() for one in (tmp_path / "kept").iterdir()] == ["made\n"]


async def test_a_full_disk_of_this_machine_is_no_failure_of_the_command_and_its_files_are_fetched_later(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def create(_path: Path) -> BinaryIO:
        return open("/dev/full", "wb")

    attempt = marked(sh("echo said; echo made >out", "out"), tmp_path)
    async with bench.open() as session:
        await session.expect("run")
        with monkeypatch.context() as full:
            full.setattr(module, "create", create)
            done = await session.execute(attempt)
            again = await session.settle(later(attempt, tmp_path))
        found = await session.settle(later(attempt, tmp_path))
    for each in (done, again):
        assert isinstance(each, Unknown)
        assert "No space left" in each.reason
        assert each.said is not None
        assert (each.said.exit_code, each.said.error, each.said.stdout) == (0, None, "said\n")
    assert isinstance(found, Completed)
    assert (found.error, set(found.files or ())) == (None, {"out"})


def no_room(_attempt: Attempt, name: str) -> Path:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), name)


@pytest.mark.parametrize("exit_code", [0, 3])
async def test_files_for_which_no_folder_can_be_made_are_fetched_later(
    bench: Bench, tmp_path: Path, exit_code: int
) -> None:
    attempt = marked(sh(f"echo made >out; exit {exit_code}", "out"), tmp_path)
    async with bench.open() as session:
        await session.expect("run")
        await session.execute(attempt)
        without = await session.settle(Attempt.restored("run", attempt.task, "phone", 1, 7, attempt.mark, no_room))
        found = await session.settle(later(attempt, tmp_path))
    assert isinstance(without, Completed if exit_code else Unknown)
    said = without.said if isinstance(without, Unknown) else without
    assert said is not None
    assert (said.exit_code, said.error) == (exit_code, None)
    assert "No space left" in (said.metadata or {})["not_collected"]["out"]
    assert isinstance(found, Completed)
    assert set(found.files or ()) == {"out"}


async def test_a_phone_that_goes_while_its_files_are_fetched_is_no_failure_of_the_command(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetched = module.Files._receive

    async def unplugged(files: Any, *given: Any) -> Any:
        bench.phone.unplug()
        return await fetched(files, *given)

    attempt = marked(sh("echo made >out", "out"), tmp_path)
    async with bench.open() as session:
        await session.expect("run")
        with monkeypatch.context() as patched:
            patched.setattr(module.Files, "_receive", unplugged)
            done = await session.execute(attempt)
    assert isinstance(done, Unknown)
    assert "broke off" in done.reason
    assert done.said is not None
    assert (done.said.exit_code, done.said.error) == (0, None)
    await bench.plug()
    async with bench.open() as session:
        with monkeypatch.context() as patched:
            patched.setattr(module.Files, "_receive", unplugged)
            with pytest.raises(DeviceLostError):
                await session.settle(later(attempt, tmp_path))
    await bench.plug()
    async with bench.open() as session:
        found = await session.settle(later(attempt, tmp_path))
    assert isinstance(found, Completed)
    assert (found.error, set(found.files or ())) == (None, {"out"})


@pytest.mark.parametrize("settled", [False, True])
async def test_whoever_is_cancelled_while_it_fetches_keeps_what_it_knows(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settled: bool
) -> None:
    at_it = anyio.Event()

    async def hang(*_given: Any) -> None:
        at_it.set()
        await anyio.sleep_forever()

    attempt = marked(sh("echo said; echo made >out", "out"), tmp_path)
    async with bench.open() as session:
        await session.expect("run")
        asked = attempt
        if settled:
            await session.execute(attempt)
            asked = later(attempt, tmp_path)
        monkeypatch.setattr(module.Files, "_receive", hang)
        async with anyio.create_task_group() as tasks:
            tasks.cancel_scope.deadline = anyio.current_time() + 20
            tasks.start_soon(session.settle if settled else session.execute, asked)
            await at_it.wait()
            tasks.cancel_scope.cancel()
    assert isinstance(asked.partial, Completed)
    assert (asked.partial.exit_code, asked.partial.stdout) == (0, "said\n")
    assert ("not_collected" in (asked.partial.metadata or {})) is not settled
