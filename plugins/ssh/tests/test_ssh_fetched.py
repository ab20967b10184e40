"""Files that a command has left, when whoever ran it is gone, its link is, or there is no room for them."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from secrets import token_hex
from typing import Any, BinaryIO

import anyio
import pytest

from galaxy_core import Attempt, Command, Completed, TaskStar, Unknown
from galaxy_core.errors import DeviceLostError
from galaxy_core_ssh.remote import files as module
from galaxy_core_ssh.simulate.daemon import Daemon, find_sftp_server
from galaxy_core_ssh.simulate.far_side import SshFarSide

from .ssh_lab import Lab, until

pytestmark = pytest.mark.anyio


def sh(script: str, *outputs: str, **more: Any) -> Command:
    return Command(["sh", "-c", script], outputs=outputs, **more)


def marked(lab: Lab, request: Command) -> Attempt:
    task = TaskStar("task", request=request)
    return Attempt("run", task, "host", 1, 7, request, None, None, lab._keep, token_hex(8), leaves_marker=True)


def later(lab: Lab, attempt: Attempt) -> Attempt:
    """As the process has it that resumes."""
    return Attempt.restored("run", attempt.task, "host", 1, attempt.lease, attempt.mark, lab._keep)


@pytest.fixture
def full(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Every copy goes to a device that is always full, until this is undone."""

    def create(_path: Path) -> BinaryIO:
        return open("/dev/full", "wb")

    monkeypatch.setattr(module, "create", create)
    return monkeypatch


@pytest.mark.parametrize(
    ("script", "outputs"),
    [
        ("echo said; echo made >'of it'", ["of it"]),
        ("mkdir -p in; echo made >in/a; exit 3", ["in/a", "missing"]),
        ("echo made >b", ["b", "missing"]),
    ],
)
async def test_what_was_left_is_settled_as_if_somebody_had_been_there(
    lab: Lab, daemon: Daemon, script: str, outputs: list[str]
) -> None:
    attempt = marked(lab, sh(script, *outputs, cwd="sub"))
    (daemon.home / "work" / "sub").mkdir(parents=True, exist_ok=True)
    async with lab.opened(daemon) as session:
        done = await session.execute(attempt)
        for one in lab.artifacts.rglob("*"):
            if one.is_file():
                one.unlink()
    async with lab.opened(daemon) as session:
        found = await session.settle(later(lab, attempt))
    assert isinstance(done, Completed)
    assert isinstance(found, Completed)
    assert (found.exit_code, found.error, found.files) == (done.exit_code, done.error, done.files)
    for name in ("collected", "not_collected"):
        assert (found.metadata or {}).get(name) == (done.metadata or {}).get(name)
    assert [one.read_text() for one in lab.artifacts.rglob("*") if one.is_file()] == ["made\n"]


async def test_a_full_disk_of_this_machine_is_no_failure_of_the_command_and_its_files_are_fetched_later(
    lab: Lab, daemon: Daemon, full: pytest.MonkeyPatch
) -> None:
    attempt = marked(lab, sh("echo said; echo made >out", "out"))
    async with lab.opened(daemon) as session:
        done = await session.execute(attempt)
        again = await session.settle(later(lab, attempt))
        full.undo()
        found = await session.settle(later(lab, attempt))
    for each in (done, again):
        assert isinstance(each, Unknown)
        assert "disk of this machine is full" in each.reason
        assert each.said is not None
        assert (each.said.exit_code, each.said.error, each.said.stdout) == (0, None, "said\n")
    assert isinstance(found, Completed)
    assert (found.error, set(found.files or ())) == (None, {"out"})


def no_room(_attempt: Attempt, name: str) -> Path:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), name)


@pytest.mark.parametrize("exit_code", [0, 3])
async def test_files_for_which_no_folder_can_be_made_are_fetched_later(
    lab: Lab, daemon: Daemon, exit_code: int
) -> None:
    attempt = marked(lab, sh(f"echo made >out; exit {exit_code}", "out"))
    async with lab.opened(daemon) as session:
        await session.execute(attempt)
        asked = Attempt.restored("run", attempt.task, "host", 1, attempt.lease, attempt.mark, no_room)
        without = await session.settle(asked)
        found = await session.settle(later(lab, attempt))
    assert isinstance(without, Completed if exit_code else Unknown)
    said = without.said if isinstance(without, Unknown) else without
    assert said is not None
    assert (said.exit_code, said.error) == (exit_code, None)
    assert "No space left" in (said.metadata or {})["not_collected"]["out"]
    assert isinstance(found, Completed)
    assert set(found.files or ()) == {"out"}


async def test_a_file_server_that_does_not_start_is_no_failure_of_the_command(
    lab: Lab, own_daemon: Callable[..., Daemon], tmp_path: Path
) -> None:
    broken, server = tmp_path / "broken", tmp_path / "server"
    server.write_text(f"#!/bin/sh\n[ -e '{broken}' ] || exec {find_sftp_server()}\n")
    server.chmod(0o755)
    daemon = own_daemon(sftp=str(server))
    attempt = marked(lab, sh("echo made >out", "out"))
    async with lab.opened(daemon) as session:
        broken.touch()
        done = await session.execute(attempt)
        broken.unlink()
        found = await session.settle(later(lab, attempt))
    assert isinstance(done, Unknown)
    assert "file server does not start" in done.reason
    assert done.said is not None
    assert (done.said.exit_code, done.said.error) == (0, None)
    assert isinstance(found, Completed)
    assert (found.error, set(found.files or ())) == (None, {"out"})


async def test_a_link_that_goes_while_files_are_fetched_is_no_failure_of_the_command(lab: Lab, far: SshFarSide) -> None:
    attempt = marked(lab, sh("head -c 3000000 /dev/zero >big", "big"))
    found: list[Any] = []
    async with lab.opened(**far.settings()) as session, anyio.create_task_group() as tasks:

        async def run() -> None:
            found.append(await session.execute(attempt))

        tasks.start_soon(run)
        await until((far.daemon.home / "work" / "big").exists)
        far.proxy.trickle(256, 0.01)
        await until(lambda: list(lab.artifacts.rglob("*.part")))
        far.proxy.cut()
    far.proxy.heal()
    assert isinstance(found[0], Unknown)
    assert found[0].said is not None
    assert (found[0].said.exit_code, found[0].said.error) == (0, None)
    async with lab.opened(**far.settings()) as session:
        after = await session.settle(later(lab, attempt))
    assert isinstance(after, Completed)
    assert (after.error, set(after.files or ())) == (None, {"big"})


async def test_a_command_that_is_cancelled_while_its_files_are_fetched_says_that_it_had_ended(
    lab: Lab, far: SshFarSide
) -> None:
    attempt = marked(lab, sh("head -c 3000000 /dev/zero >big; echo made", "big"))
    async with lab.opened(**far.settings()) as session:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(session.execute, attempt)
            await until((far.daemon.home / "work" / "big").exists)
            far.proxy.trickle(4096, 0.005)
            await until(lambda: list(lab.artifacts.rglob("*.part")))
            tasks.cancel_scope.cancel()
        far.proxy.heal()
    assert isinstance(attempt.partial, Completed)
    assert (attempt.partial.exit_code, attempt.partial.error) == (0, None)
    assert (attempt.partial.metadata or {})["not_collected"].keys() == {"big"}


async def test_settling_that_is_cancelled_while_it_fetches_keeps_what_it_knows(lab: Lab, far: SshFarSide) -> None:
    attempt = marked(lab, sh("head -c 3000000 /dev/zero >big; echo made", "big"))
    async with lab.opened(**far.settings()) as session:
        assert isinstance(await session.execute(attempt), Completed)
        asked = later(lab, attempt)
        far.proxy.trickle(4096, 0.005)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(session.settle, asked)
            await until(lambda: list(lab.artifacts.rglob("*.part")))
            tasks.cancel_scope.cancel()
        far.proxy.heal()
    assert isinstance(asked.partial, Completed)
    assert (asked.partial.exit_code, asked.partial.stdout) == (0, "made\n")


async def test_a_link_that_goes_while_what_was_settled_is_fetched_has_the_next_session_asked(
    lab: Lab, far: SshFarSide
) -> None:
    attempt = marked(lab, sh("head -c 3000000 /dev/zero >big", "big"))
    lost: list[DeviceLostError] = []
    async with lab.opened(**far.settings()) as session, anyio.create_task_group() as tasks:
        assert isinstance(await session.execute(attempt), Completed)

        async def settle() -> None:
            with pytest.raises(DeviceLostError) as caught:
                await session.settle(later(lab, attempt))
            lost.append(caught.value)

        far.proxy.trickle(4096, 0.005)
        tasks.start_soon(settle)
        await until(lambda: list(lab.artifacts.rglob("*.part")))
        far.proxy.cut()
    assert lost
