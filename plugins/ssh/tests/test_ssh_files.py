"""Files to and from a host: whole or not at all, and nowhere but where they may be."""

from __future__ import annotations

import gc
import hashlib
import os
import stat
from pathlib import Path
from typing import Any

import anyio
import asyncssh
import pytest

from galaxy_core import Action, Command, Device
from galaxy_core.errors import TransferError
from galaxy_core.extension.interfaces import Attempt, Completed, Outcome, Refused, Unknown
from galaxy_core_ssh import scripts
from galaxy_core_ssh.remote import files as module
from galaxy_core_ssh.session import SshSession
from galaxy_core_ssh.simulate.daemon import Daemon
from galaxy_core_ssh.simulate.far_side import SshFarSide
from galaxy_core_ssh.simulate.simulator import device_of

from .ssh_lab import Lab, until

pytestmark = pytest.mark.anyio

HOSTILE = ["it's", "-rf", "a b", "$(touch pwned)", "`x`", "*", "schön 🌍", ";x", "%PATH%", "\\", "~", "x" * 200]


@pytest.fixture
def work(daemon: Daemon) -> Path:
    """The working folder of the host."""
    folder = daemon.home / "work"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    """What this machine lets be read."""
    folder = tmp_path / "mine"
    folder.mkdir()
    return folder


def push(source: object, target: str, **more: Any) -> Action:
    return Action("push", {"source": str(source), "target": target, **more})


def pull(path: str, name: str = "got") -> Action:
    return Action("pull", {"path": path, "name": name})


async def ends(lab: Lab, session: SshSession, request: Any) -> Completed:
    outcome = await session.execute(lab.attempt(request))
    assert isinstance(outcome, Completed), outcome
    return outcome


def failed(outcome: Outcome) -> str:
    assert isinstance(outcome, Completed), outcome
    assert isinstance(outcome.error, TransferError), outcome
    return outcome.error.why


def content(done: Completed, name: str) -> bytes:
    return Path((done.files or {})[name]).read_bytes()


def parts(folder: Path) -> list[str]:
    return [path.name for path in folder.rglob("*part")]


@pytest.mark.parametrize("size", [0, 1, 65535, 65536, 65537, 5_000_000])
async def test_what_is_pushed_and_pulled_is_the_same(
    lab: Lab, daemon: Daemon, mine: Path, work: Path, size: int
) -> None:
    data = os.urandom(size)
    (mine / "source").write_bytes(data)
    told = {"size_bytes": size, "sha256": hashlib.sha256(data).hexdigest()}
    async with lab.opened(daemon, files_root=str(mine)) as session:
        there = await ends(lab, session, push("source", "new/folder/there", mode="0750"))
        back = await ends(lab, session, pull("new/folder/there"))
    assert there.value == back.value == told
    found = work / "new/folder/there"
    assert found.read_bytes() == data
    assert stat.S_IMODE(found.stat().st_mode) == 0o750
    assert content(back, "got") == data
    assert not parts(work)


async def test_names_are_names_whatever_they_hold(lab: Lab, daemon: Daemon, mine: Path, work: Path) -> None:
    async with lab.opened(daemon, files_root=str(mine)) as session:
        for number, name in enumerate(HOSTILE):
            (mine / name).write_text(name)
            await ends(lab, session, push(name, f"names/{name}"))
            got = await ends(lab, session, pull(f"names/{name}", f"got-{number}"))
            assert content(got, f"got-{number}") == name.encode()
        listed = await ends(lab, session, Command(["ls", "-1", "names"]))
        for name in (listed.stdout or "").splitlines():  # what a host lists may be given back to it
            assert (await ends(lab, session, pull(f"names/{name}"))).error is None
    assert sorted(path.name for path in (work / "names").iterdir()) == sorted(HOSTILE)
    assert not list(daemon.home.rglob("pwned"))


@pytest.mark.parametrize("path", ["../x", "a/../../x", "a//b", "./a", "/etc/passwd", "a\0b", "a\nb", "/", "..", "a/"])
async def test_a_path_that_leaves_the_root_is_refused(
    lab: Lab, daemon: Daemon, mine: Path, work: Path, path: str
) -> None:
    (mine / "source").touch()
    async with lab.opened(daemon, files_root=str(mine)) as session:
        for request in (push("source", path), pull(path)):
            attempt = lab.attempt(request)
            refused = await session.execute(attempt)
            assert isinstance(refused, Refused), request
            assert "pydantic" not in refused.reason
            assert attempt.progress == "new"


async def test_paths_outside_of_the_root_can_be_allowed(lab: Lab, daemon: Daemon, mine: Path, tmp_path: Path) -> None:
    (mine / "source").write_text("x")
    async with lab.opened(daemon, files_root=str(mine), allow_any_path=True) as session:
        await ends(lab, session, push("source", str(tmp_path / "elsewhere")))
        assert (tmp_path / "elsewhere").read_text() == "x"
        assert isinstance(await session.execute(lab.attempt(push("source", f"{tmp_path}/../x"))), Refused)


async def test_links_on_the_host_are_not_followed(
    lab: Lab, daemon: Daemon, mine: Path, work: Path, tmp_path: Path
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_text("secret")
    (mine / "source").write_text("new")
    for name, target in (("folder", outside), ("file", outside / "secret")):
        (work / name).unlink(missing_ok=True)
        (work / name).symlink_to(target)
    async with lab.opened(daemon, files_root=str(mine)) as session:
        for path in ("folder/secret", "file"):
            assert "symbolic link" in failed(await session.execute(lab.attempt(pull(path))))
        assert "symbolic link" in failed(await session.execute(lab.attempt(push("source", "folder/new"))))
        await ends(lab, session, push("source", "file"))  # a link of that name is replaced
    assert (outside / "secret").read_text() == "secret"
    assert not (work / "file").is_symlink()
    assert [path.name for path in outside.iterdir()] == ["secret"]


async def test_links_on_this_machine_are_not_followed(lab: Lab, daemon: Daemon, mine: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    (mine / "link").symlink_to(tmp_path / "secret")
    async with lab.opened(daemon, files_root=str(mine)) as session:
        assert "symbolic link" in failed(await session.execute(lab.attempt(push("link", "x"))))
        for source in (tmp_path / "secret", "../secret"):
            outcome = await session.execute(lab.attempt(push(source, "x")))
            assert isinstance(outcome, Refused) or failed(outcome)
    async with lab.opened(daemon) as session:
        outcome = await session.execute(lab.attempt(push(mine / "link", "x")))
        assert isinstance(outcome, Refused)
        assert "file that a task of this run has left" in outcome.reason


async def test_what_is_not_there_or_no_file_is_said(lab: Lab, daemon: Daemon, mine: Path, work: Path) -> None:
    (mine / "folder").mkdir()
    (mine / "source").touch()
    (work / "dir").mkdir(exist_ok=True)
    os.mkfifo(work / "pipe")
    async with lab.opened(daemon, files_root=str(mine)) as session:
        for request, part in (
            (push("none", "x"), "does not exist in folder"),
            (push("folder", "x"), "it is a folder"),
            (push("source", "dir"), "folder of that name"),
            (pull("none"), "does not exist in folder"),
            (pull("dir"), "a folder"),
            (pull("pipe"), "no regular file"),
            (pull("source/below"), "does not exist"),
        ):
            assert part in failed(await session.execute(lab.attempt(request)))
    (work / "pipe").unlink()
    assert not parts(work)


async def test_a_file_of_another_task_can_be_pushed(lab: Lab, daemon: Daemon, work: Path) -> None:
    async with lab.opened(daemon) as session:
        left = await ends(lab, session, Command(None, "echo made >out", outputs=["out"]))
        await ends(lab, session, push((left.files or {})["out"], "again"))
    assert (work / "again").read_text() == "made\n"


@pytest.mark.parametrize("what", ["grown", "removed"])
async def test_a_file_that_changes_or_vanishes_while_it_is_pushed_is_an_error(
    lab: Lab, daemon: Daemon, mine: Path, work: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    source = mine / "source"
    source.write_bytes(b"x" * 3_000_000)
    (work / "target").write_text("old")
    read = module._chunk

    def meanwhile(origin: Any) -> bytes:
        if source.exists():
            if what == "removed":
                source.unlink()
            else:
                with source.open("ab") as file:
                    file.write(b"more")
        return read(origin)

    monkeypatch.setattr(module, "_chunk", meanwhile)
    async with lab.opened(daemon, files_root=str(mine)) as session:
        why = failed(await session.execute(lab.attempt(push("source", "target"))))
    assert ("changed" if what == "grown" else "removed") in why
    assert (work / "target").read_text() == "old"
    assert not parts(work)


async def test_a_file_that_grows_while_it_is_pulled_is_an_error(lab: Lab, daemon: Daemon, work: Path) -> None:
    (work / "log").write_bytes(b"x" * 2_000_000)
    async with lab.opened(daemon) as session, anyio.create_task_group() as group:
        group.start_soon(session.execute, lab.attempt(Command(None, "while :; do head -c 99999 /dev/zero; done >>log")))
        before = (work / "log").stat().st_size
        await until(lambda: (work / "log").stat().st_size > before)
        why = failed(await session.execute(lab.attempt(pull("log"))))
        group.cancel_scope.cancel()
    (work / "log").unlink()
    assert "changed while it was copied" in why
    assert not parts(lab.artifacts)


async def test_a_full_disk_of_the_host_is_an_error_and_leaves_no_part(lab: Lab, own_daemon: Any, mine: Path) -> None:
    daemon = own_daemon(options=['ForceCommand ulimit -f 1000; exec $SHELL -c "$SSH_ORIGINAL_COMMAND"'], sftp=_sftp())
    (mine / "source").write_bytes(b"x" * 3_000_000)
    async with lab.opened(daemon, files_root=str(mine)) as session:
        (daemon.home / "work" / "target").write_text("old")
        outcome = await session.execute(lab.attempt(push("source", "target")))
        # A file server that the limit has ended is a lost channel, one that survives it tells.
        assert isinstance(outcome, Unknown) or failed(outcome)
        await session.probe()
    assert (daemon.home / "work" / "target").read_text() == "old"
    assert not parts(daemon.home)


def _sftp() -> str:
    from galaxy_core_ssh.simulate.daemon import find_sftp_server

    return f"sh -c 'trap \"\" XFSZ; exec {find_sftp_server()}'"


async def test_a_full_disk_of_this_machine_is_an_error_and_leaves_no_part(
    lab: Lab, daemon: Daemon, work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (work / "big").write_bytes(b"x" * 3_000_000)

    class Full:
        def __init__(self, path: Path) -> None:
            path.touch()

        def close(self) -> None: ...

        def write(self, _data: bytes) -> int:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(module, "create", Full)
    attempt = lab.attempt(pull("big"))
    lab.file(attempt, "got").write_text("old")
    async with lab.opened(daemon) as session:
        why = failed(await session.execute(attempt))
    assert "disk of this machine is full" in why
    assert lab.file(attempt, "got").read_text() == "old"
    assert not parts(lab.artifacts)


async def test_a_copy_that_is_not_the_same_is_an_error(
    lab: Lab, daemon: Daemon, mine: Path, work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (mine / "source").write_text("right")
    (work / "target").write_text("old")
    monkeypatch.setattr(scripts, "hash_of", lambda path: "echo 00ff  -")
    async with lab.opened(daemon, files_root=str(mine)) as session:
        assert "another one" in failed(await session.execute(lab.attempt(push("source", "target"))))
        assert "another one" in failed(await session.execute(lab.attempt(pull("target"))))
    assert (work / "target").read_text() == "old"
    assert not parts(work)


async def test_a_host_without_a_program_for_hashing_is_read_back(
    lab: Lab, daemon: Daemon, mine: Path, work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (mine / "source").write_bytes(b"x" * 200_000)
    monkeypatch.setattr(scripts, "hash_of", lambda path: "exit 3")
    async with lab.opened(daemon, files_root=str(mine)) as session:
        done = await ends(lab, session, push("source", "target"))
    assert done.error is None
    assert (done.metadata or {})["check"] == "read back"


async def test_a_link_that_is_lost_while_a_file_is_pushed_leaves_the_old_one_whole_and_no_part(
    lab: Lab, far: SshFarSide, mine: Path
) -> None:
    (mine / "source").write_bytes(os.urandom(4_000_000))
    target = far.daemon.home / "work" / "target"
    async with lab.opened(**far.settings(files_root=str(mine))) as session:
        target.write_text("old")
        far.proxy.cut_at("requests", 1_500_000)
        outcome = await session.execute(lab.attempt(push("source", "target")))
        assert isinstance(outcome, Unknown), outcome
    assert target.read_text() == "old"
    async with lab.opened(**far.settings(files_root=str(mine))) as session:
        assert not parts(far.daemon.home)
        await ends(lab, session, push("source", "target"))
    assert target.stat().st_size == 4_000_000


async def test_a_cancelled_push_leaves_the_old_file_whole_and_no_part(lab: Lab, far: SshFarSide, mine: Path) -> None:
    (mine / "source").write_bytes(os.urandom(3_000_000))
    target = far.daemon.home / "work" / "target"
    async with lab.opened(**far.settings(files_root=str(mine))) as session:
        target.write_text("old")
        far.proxy.trickle(16384, 0.01, "requests")
        async with anyio.create_task_group() as group:
            group.start_soon(session.execute, lab.attempt(push("source", "target")))
            await until(lambda: parts(far.daemon.home))
            far.proxy.heal()
            group.cancel_scope.cancel()
        await session.probe()
        assert not parts(far.daemon.home)
        assert isinstance(await session.execute(lab.attempt(Command(["true"]))), Completed)
    assert target.read_text() == "old"


async def test_files_and_outputs_of_a_command_go_through_its_folder(
    lab: Lab, daemon: Daemon, mine: Path, work: Path
) -> None:
    (mine / "tool").write_text('#!/bin/sh\necho $1 >"made here"\n')
    (mine / "tool").chmod(0o755)
    (work / "sub").mkdir(exist_ok=True)
    request = Command(
        ["./in/tool", "x"], cwd="sub", files={"in/tool": "tool"}, outputs=["made here", "none", "in/tool"]
    )
    async with lab.opened(daemon, files_root=str(mine)) as session:
        done = await ends(lab, session, request)
    assert done.exit_code == 0
    assert "'none': it does not exist" in str(done.error)
    assert content(done, "made here") == b"x\n"
    told = done.metadata or {}
    assert told["collected"]["made here"]["size_bytes"] == 2
    assert list(told["not_collected"]) == ["none"]


async def test_a_command_whose_file_is_missing_does_not_start(lab: Lab, daemon: Daemon, mine: Path) -> None:
    attempt: Attempt = lab.attempt(Command(["true"], files={"x": "none"}))
    async with lab.opened(daemon, files_root=str(mine)) as session:
        outcome = await session.execute(attempt)
    assert isinstance(outcome, Refused)
    assert "'none' cannot be put into the working folder as 'x': it does not exist" in outcome.reason
    assert attempt.progress == "new"


async def test_a_host_without_a_file_server_says_so(lab: Lab, own_daemon: Any, mine: Path) -> None:
    (mine / "source").touch()
    async with lab.opened(own_daemon(sftp="/no/such/server"), files_root=str(mine)) as session:
        outcome = await session.execute(lab.attempt(push("source", "x")))
        assert isinstance(outcome, Refused), outcome
        assert isinstance(await session.execute(lab.attempt(Command(["true"]))), Completed)


async def test_without_a_setting_files_are_below_the_inventory_or_the_current_folder(
    lab: Lab, daemon: Daemon, work: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("inventory", "current"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "source").write_text(name)
    monkeypatch.chdir(tmp_path / "current")
    settings = device_of("host", daemon).settings
    for folder, found in ((str(tmp_path / "inventory"), "inventory"), (None, "current")):
        async with lab.opened(daemon, device=Device("host", "ssh", settings, folder=folder)) as session:
            await ends(lab, session, push("source", "there"))
            assert (work / "there").read_text() == found
            assert isinstance(await session.execute(lab.attempt(push(tmp_path / "outside", "there"))), Refused)


async def test_collecting_does_not_outlast_a_cancellation(lab: Lab, far: SshFarSide) -> None:
    request = Command(["sh", "-c", "head -c 3000000 /dev/zero >big; echo made"], outputs=["big"])
    attempt = lab.attempt(request)
    async with lab.opened(**far.settings()) as session:
        with anyio.fail_after(30), anyio.CancelScope() as scope:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(session.execute, attempt)
                await until((far.daemon.home / "work" / "big").exists)
                far.proxy.trickle(256, 0.01)
                await until(lambda: list(lab.artifacts.rglob("*.part")))
                scope.cancel()
        far.proxy.heal()
    said = attempt.partial
    assert isinstance(said, Completed)
    assert (said.exit_code, said.stdout, said.files) == (0, "made\n", None)
    assert "stopped" in (said.metadata or {})["not_collected"]["big"]
    assert not list(lab.artifacts.rglob("*.part"))


@pytest.mark.parametrize("direction", ["push", "pull"])
async def test_requests_of_a_transfer_that_is_stopped_are_not_left_to_themselves(
    lab: Lab, far: SshFarSide, mine: Path, caplog: pytest.LogCaptureFixture, direction: str
) -> None:
    work = far.daemon.home / "work"
    work.mkdir(exist_ok=True)
    for folder in (mine, work):
        (folder / "big").write_bytes(bytes(3_000_000))
    request = push("big", "copy") if direction == "push" else pull("big")
    async with lab.opened(**far.settings(files_root=str(mine))) as session:
        far.proxy.trickle(4096, 0.005)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(session.execute, lab.attempt(request))
            await until(lambda: [*lab.artifacts.rglob("*.part"), *work.rglob("*part")])
            tasks.cancel_scope.cancel()
        far.proxy.heal()
    gc.collect()
    assert "never retrieved" not in caplog.text


async def test_a_push_that_is_stopped_while_it_replaces_is_unknown(
    lab: Lab, daemon: Daemon, mine: Path, work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (mine / "source").write_text("new")
    (work / "put").unlink(missing_ok=True)
    rename = asyncssh.SFTPClient.posix_rename

    async def renamed(self: asyncssh.SFTPClient, old: Any, new: Any) -> None:
        await rename(self, old, new)
        await anyio.sleep_forever()  # its answer does not come

    monkeypatch.setattr(asyncssh.SFTPClient, "posix_rename", renamed)
    attempt = lab.attempt(push("source", "put"))
    async with lab.opened(daemon, files_root=str(mine)) as session, anyio.create_task_group() as tasks:
        tasks.start_soon(session.execute, attempt)
        await until((work / "put").exists)
        tasks.cancel_scope.cancel()
    assert isinstance(attempt.partial, Unknown)
    assert (work / "put").read_text() == "new"
