"""Files to a host and from it: whole or not at all, and only where they may be."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

import anyio
import pytest

from galaxy_core import Action, Device, TransferError
from galaxy_core.extension.interfaces import Completed, Refused, Unknown
from galaxy_core_winrm.simulate.host import WindowsHost

pytestmark = pytest.mark.anyio
Desk = Any


def _push(source: str, target: str) -> Action:
    return Action("push", {"source": source, "target": target})


def _pull(path: str, name: str = "got") -> Action:
    return Action("pull", {"path": path, "name": name})


def _there(host: WindowsHost, session: Any, name: str) -> Path:
    return host.computer.path_of(f"{session.facts['root']}\\{name}")


def _content(path: str) -> bytes:
    return Path(path).read_bytes()


def _parts(host: WindowsHost) -> list[Path]:
    return list(host.computer.folder.rglob("*.part"))


@pytest.mark.parametrize("size", [0, 1, (64 << 10) - 1, 64 << 10, (64 << 10) + 1, 5_000_000])
async def test_a_file_comes_back_as_it_went(desk: Desk, host: WindowsHost, size: int) -> None:
    data = os.urandom(size)
    (desk.root / "source.bin").write_bytes(data)
    told = {"size_bytes": size, "sha256": hashlib.sha256(data).hexdigest()}
    async with desk.open(host) as session:
        pushed = await desk.run(session, _push("source.bin", "a/b c/ü.bin"))
        assert pushed.value == told
        assert _there(host, session, "a\\b c\\ü.bin").read_bytes() == data
        pulled = await desk.run(session, _pull("a\\b c\\ü.bin"))
        assert pulled.value == told
        assert _content(pulled.files["got"]) == data
    assert _parts(host) == []


async def test_a_file_is_replaced_by_a_whole_one_only(desk: Desk, host: WindowsHost) -> None:
    (desk.root / "old").write_text("old")
    (desk.root / "new").write_text("new" * 100_000)
    async with desk.open(host) as session:
        await desk.run(session, _push("old", "file"))
        host.misbehaviour.drop_after_work("Send")
        outcome = await desk.run(session, _push("new", "file"))
        assert isinstance(outcome, Unknown | Refused)
        await host.heal()
        await session.probe()
        assert _there(host, session, "file").read_text() == "old"
        assert _parts(host) == []


async def test_a_full_disk_on_the_host_is_told_and_leaves_nothing(desk: Desk, host: WindowsHost) -> None:
    (desk.root / "source").write_bytes(b"x" * 300_000)
    async with desk.open(host) as session:
        host.full_disk(on=True)
        outcome = await desk.run(session, _push("source", "file"))
        host.full_disk(on=False)
        assert isinstance(outcome, Completed)
        assert isinstance(outcome.error, TransferError)
        assert "not enough space" in str(outcome.error)
        assert not _there(host, session, "file").exists()
        assert _parts(host) == []


async def test_a_full_disk_here_is_told_and_leaves_nothing(
    desk: Desk, host: WindowsHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    from galaxy_core_winrm import files

    def full(self: Any, lines: list[bytes]) -> None:
        raise OSError(28, "No space left on device")

    (desk.root / "source").write_bytes(b"x" * 300_000)
    async with desk.open(host) as session:
        await desk.run(session, _push("source", "file"))
        monkeypatch.setattr(files._Writing, "write", full)
        outcome = await desk.run(session, _pull("file"))
        assert isinstance(outcome.error, TransferError)
        assert "it cannot be written here: No space left" in str(outcome.error)
    assert [path for path in (desk.folder / "kept").rglob("*") if path.is_file()] == []


async def test_what_did_not_arrive_as_it_was_sent_is_not_kept(
    desk: Desk, host: WindowsHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    from galaxy_core_winrm import files

    write = files._Writing.write
    (desk.root / "source").write_bytes(b"x" * 300_000)
    async with desk.open(host) as session:
        await desk.run(session, _push("source", "file"))
        monkeypatch.setattr(files._Writing, "write", lambda self, lines: write(self, lines[1:]))
        outcome = await desk.run(session, _pull("file"))
        assert isinstance(outcome.error, TransferError)
        assert "not as it was sent" in str(outcome.error)
    assert [path for path in (desk.folder / "kept").rglob("*") if path.is_file()] == []


async def test_a_source_that_shrinks_while_it_is_pushed_is_an_error_and_leaves_nothing(
    desk: Desk, host: WindowsHost
) -> None:
    source = desk.root / "source"
    source.write_bytes(b"x" * 2_000_000)
    async with desk.open(host) as session:
        outcomes = []

        async def push() -> None:
            outcomes.append(await desk.run(session, _push("source", "file")))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(push)
            await desk.until(lambda: _parts(host))
            os.truncate(source, 1000)
        (outcome,) = outcomes
        if outcome.error is None:  # it was read to its end before
            assert _there(host, session, "file").stat().st_size == 2_000_000
        else:
            assert isinstance(outcome.error, TransferError)
            assert "not as it was sent" in str(outcome.error)
            assert not _there(host, session, "file").exists()
        assert _parts(host) == []


async def test_a_file_that_vanishes_while_it_is_pushed_is_pushed_all_the_same(desk: Desk, host: WindowsHost) -> None:
    source = desk.root / "source"
    source.write_bytes(b"x" * 1_000_000)
    async with desk.open(host) as session, anyio.create_task_group() as tasks:

        async def push() -> None:
            outcome = await desk.run(session, _push("source", "file"))
            assert outcome.value["size_bytes"] == 1_000_000

        tasks.start_soon(push)
        await desk.until(lambda: _parts(host))
        source.unlink()


@pytest.mark.parametrize("source", ["missing", "folder", "../secret", "/etc/passwd", "link", "a\0b"])
async def test_sources_that_may_not_be_read_are_refused(desk: Desk, host: WindowsHost, source: str) -> None:
    (desk.folder / "secret").write_text("secret")
    (desk.root / "folder").mkdir()
    (desk.root / "link").symlink_to(desk.folder / "secret")
    async with desk.open(host) as session:
        outcome = await desk.run(session, _push(source, "file"))
        assert isinstance(outcome, Refused)
        assert not _there(host, session, "file").exists()


HOSTILE = ["../x", "..\\x", "a/../../x", "C:\\Windows\\x", "\\\\server\\share\\x", "/x", "CON", "nul.txt", "a:stream", "x.", "x ",
           "a\0b", "a\nb", "a*b", "~/../x", "a//b", "."]  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
async def test_names_that_lead_elsewhere_are_refused_on_the_far_side(desk: Desk, host: WindowsHost, name: str) -> None:
    (desk.root / "source").write_text("x")
    async with desk.open(host) as session:
        assert isinstance(await desk.run(session, _push("source", name)), Refused)
        assert isinstance(await desk.run(session, _pull(name)), Refused)


@pytest.mark.parametrize("name", ["../got", "a/b", "", ".", "a\0b"])
async def test_names_that_lead_elsewhere_are_refused_here(desk: Desk, host: WindowsHost, name: str) -> None:
    async with desk.open(host) as session:
        assert isinstance(await desk.run(session, _pull("file", name)), Refused)


async def test_a_link_on_the_far_side_is_not_followed(desk: Desk, host: WindowsHost) -> None:
    (desk.root / "source").write_text("x")
    async with desk.open(host) as session:
        await desk.run(session, _push("source", "a/file"))
        outside = host.computer.path_of("C:\\Users")
        _there(host, session, "out").symlink_to(outside)
        for request in (_push("source", "out/file"), _pull("out/file")):
            outcome = await desk.run(session, request)
            assert isinstance(outcome.error, TransferError)
            assert "is a link" in str(outcome.error)
        assert not (outside / "file").exists()


@pytest.mark.parametrize("path", ["missing", "folder"])
async def test_what_is_no_file_on_the_far_side_is_told_as_such(desk: Desk, host: WindowsHost, path: str) -> None:
    (desk.root / "source").write_text("x")
    async with desk.open(host) as session:
        await desk.run(session, _push("source", "folder/file"))
        outcome = await desk.run(session, _pull(path))
        assert isinstance(outcome.error, TransferError)
        assert "the host says" in str(outcome.error)


async def test_absolute_paths_are_taken_where_the_inventory_allows_them(desk: Desk, host: WindowsHost) -> None:
    (desk.root / "source").write_text("x")
    async with desk.open(host, allow_any_path=True) as session:
        assert (await desk.run(session, _push("source", "C:\\Users\\lab\\file"))).value["size_bytes"] == 1
        assert (await desk.run(session, _pull("C:\\Users\\lab\\file"))).value["size_bytes"] == 1
    assert host.computer.path_of("C:\\Users\\lab\\file").read_text() == "x"


async def test_a_push_that_is_stopped_leaves_nothing_in_the_end(desk: Desk, host: WindowsHost) -> None:
    (desk.root / "source").write_bytes(os.urandom(20_000_000))
    async with desk.open(host) as session:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(desk.run, session, _push("source", "file"))
            await desk.until(lambda: _parts(host))
            tasks.cancel_scope.cancel()
        await session.probe()
        assert _parts(host) == []
        assert not _there(host, session, "file").exists()
    assert await host.remains() == []


async def test_a_file_on_its_way_is_no_debt(desk: Desk, host: WindowsHost) -> None:
    (desk.root / "source").write_bytes(os.urandom(3_000_000))
    outcomes = []
    async with desk.open(host) as session:

        async def push() -> None:
            outcomes.append(await desk.run(session, _push("source", "file")))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(push)
            await desk.until(lambda: _parts(host))
            await session.probe()
    assert outcomes[0].value["size_bytes"] == 3_000_000


@pytest.mark.parametrize("setting", [None, "apps"])
async def test_a_file_is_read_below_the_files_root(
    desk: Desk, host: WindowsHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, setting: str | None
) -> None:
    current = tmp_path / "current"
    for folder in (desk.root, current):
        (folder / "apps").mkdir(parents=True)
        for place in (folder, folder / "apps"):
            (place / "source").write_text(str(place))
    monkeypatch.chdir(current)
    for folder in (str(desk.root), None):
        device = Device("office", "winrm", {}, folder=folder)
        root = Path(folder or current) / (setting or "")
        async with desk.transport.open(device, desk.settings(host, files_root=setting)) as session:
            assert (await desk.run(session, _push("source", "file"))).error is None
            assert _there(host, session, "file").read_text() == str(root)
            assert isinstance(await desk.run(session, _push(str(tmp_path / "outside"), "file")), Refused)


async def test_a_push_is_stopped_while_its_source_is_read(
    desk: Desk, host: WindowsHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    from galaxy_core_winrm import files

    read: list[Any] = []

    def endless(file: Any, _digest: Any) -> int:
        read.append(file)
        return 1

    monkeypatch.setattr(files, "_hashed", endless)
    (desk.root / "source").write_bytes(b"x")
    async with desk.open(host) as session:
        with anyio.fail_after(20):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(desk.run, session, _push("source", "file"))
                await desk.until(lambda: len(read) > 3)
                tasks.cancel_scope.cancel()
    assert read[0].closed
