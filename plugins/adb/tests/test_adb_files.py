"""Files go to the phone and come from it whole, proved equal, and inside of its folder; or not at all."""

from __future__ import annotations

import hashlib
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest

from galaxy_core import Action, Device
from galaxy_core.errors import DeviceLostError, TransferError
from galaxy_core.extension.interfaces import Completed, Outcome, Refused, Unknown
from galaxy_core_adb.files import CHUNK_BYTES

from .adb_bench import Bench, kept

pytestmark = pytest.mark.anyio


def push(source: str, target: str, **more: Any) -> Action:
    return Action("push", {"source": source, "target": target, **more})


def pull(path: str, name: str = "pulled") -> Action:
    return Action("pull", {"path": path, "name": name})


def failure(outcome: Outcome) -> str:
    """Why a file was not transferred."""
    assert isinstance(outcome, Completed), outcome
    assert isinstance(outcome.error, TransferError)
    return outcome.error.why


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@pytest.mark.parametrize("size", [0, 1, 65_535, 65_536, 65_537, 5_000_000])
async def test_what_was_pushed_and_pulled_is_the_same(bench: Bench, size: int) -> None:
    data = os.urandom(size)
    value = {"size_bytes": size, "sha256": sha256(data)}
    async with bench.open() as session:
        pushed = await session.execute(bench.attempt(push(bench.source("a", data), "in/folders/b", mode="0600")))
        assert isinstance(pushed, Completed)
        assert pushed.value == value
        assert bench.far("in/folders/b").read_bytes() == data
        pulled = await session.execute(bench.attempt(pull("in/folders/b")))
    assert isinstance(pulled, Completed)
    assert pulled.value == value
    assert pulled.files is not None
    assert kept(pulled, "pulled") == data
    assert await bench.phone.remains() == []


async def test_an_old_file_is_replaced(bench: Bench) -> None:
    async with bench.open() as session:
        for content in (b"old and long", b"new"):
            await session.execute(bench.attempt(push(bench.source("a", content), "b")))
    assert bench.far("b").read_bytes() == b"new"


@pytest.mark.parametrize(
    "name", ["../escaped", "a/../../escaped", "/data/local/tmp/escaped", "/etc/hosts", "a//b", "./a", "a\nb", "a\0b"]
)
async def test_names_that_lead_out_of_the_folder_are_refused(bench: Bench, name: str) -> None:
    async with bench.open() as session:
        for action in (push(bench.source("a", b"x"), name), pull(name)):
            outcome = await session.execute(bench.attempt(action))
            assert isinstance(outcome, Refused), outcome


async def test_names_of_any_other_kind_are_names(bench: Bench) -> None:
    name = 'it\'s; rm -rf $HOME `x` "é😀" %PATH%'
    async with bench.open() as session:
        assert isinstance(await session.execute(bench.attempt(push(bench.source("a", b"x"), name))), Completed)
        assert bench.far(name).read_bytes() == b"x"
        assert isinstance(await session.execute(bench.attempt(pull(name))), Completed)


async def test_where_it_is_allowed_an_absolute_path_may_be_anywhere(bench: Bench) -> None:
    async with bench.open(allow_any_path=True) as session:
        done = await session.execute(bench.attempt(push(bench.source("a", b"x"), "/sdcard/Download/b")))
        assert isinstance(done, Completed)
        assert done.error is None
        assert (bench.phone.disk.place("/sdcard/Download/b")).read_bytes() == b"x"
        assert isinstance(await session.execute(bench.attempt(pull("/sdcard/../x"))), Refused)


async def test_no_link_on_the_phone_is_followed(bench: Bench) -> None:
    outside = bench.far("").parent / "outside"
    outside.mkdir(parents=True)
    (outside / "secret").write_bytes(b"secret")
    async with bench.open() as session:
        bench.far("link").symlink_to(outside)
        bench.far("file").symlink_to(outside / "secret")
        for action in (push(bench.source("a", b"x"), "link/b"), push("a", "file"), pull("link/secret"), pull("file")):
            assert "symbolic link" in failure(await session.execute(bench.attempt(action)))
    assert (outside / "secret").read_bytes() == b"secret"
    assert not (outside / "b").exists()


async def test_what_is_no_file_on_the_phone_is_said(bench: Bench) -> None:
    async with bench.open() as session:
        bench.far("folder").mkdir()
        bench.far("file").touch()
        attempts = {
            "does not exist": pull("missing"),
            "it is a folder": pull("folder"),
            "no regular file": push(bench.source("a", b"x"), "folder"),
            "is no folder": push("a", "file/b"),
        }
        for why, action in attempts.items():
            assert why in failure(await session.execute(bench.attempt(action)))


async def test_what_may_not_be_read_here_is_refused(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"secret")
    (bench.sources / "link").symlink_to(tmp_path / "secret")
    (bench.sources / "folder").mkdir()
    async with bench.open() as session:
        for source in (str(tmp_path / "secret"), "../secret", "/etc/passwd"):
            assert isinstance(await session.execute(bench.attempt(push(source, "b"))), Refused), source
        assert "link" in failure(await session.execute(bench.attempt(push("link", "b"))))
        assert f"does not exist in folder {str(bench.sources)!r}" in failure(
            await session.execute(bench.attempt(push("missing", "b")))
        )
        assert isinstance(await session.execute(bench.attempt(push("folder", "b"))), Refused | Completed)
    assert not bench.far("b").exists()


async def test_without_a_setting_files_are_below_the_inventory_or_the_current_folder(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("inventory", "current"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a").write_text(name)
    monkeypatch.chdir(tmp_path / "current")
    settings = bench.settings(files_root=None)
    for folder, found in ((str(tmp_path / "inventory"), "inventory"), (None, "current")):
        async with bench.transport.open(Device("phone", folder=folder), settings) as session:
            done = await session.execute(bench.attempt(push("a", "b")))
            assert isinstance(done, Completed), done
            assert bench.far("b").read_text() == found
            outside = await session.execute(bench.attempt(push(str(tmp_path / "outside"), "b")))
            assert isinstance(outside, Refused)


async def test_what_a_task_of_the_run_has_left_may_be_sent(bench: Bench) -> None:
    attempt = bench.attempt(None)
    kept = attempt.artifact_path("left")
    kept.write_bytes(b"left")
    async with bench.open() as session:
        done = await session.execute(bench.attempt(push(str(kept), "b")))
    assert isinstance(done, Completed), done
    assert bench.far("b").read_bytes() == b"left"


class Meddler:
    """Does something to a source once its first part has been read."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, meddle: Any) -> None:
        from galaxy_core_adb import sync

        send = sync.Sync.send

        async def meddling(self: sync.Sync, path: str, mode: int, pieces: Any) -> int:
            count = 0

            async def meddled() -> bytes:
                nonlocal count
                data: bytes = await pieces()
                count += 1
                if count == 1:
                    meddle()
                return data

            return await send(self, path, mode, meddled)

        monkeypatch.setattr(sync.Sync, "send", meddling)


@pytest.mark.parametrize(
    ("what", "why"), [("vanishes", "removed while it was read"), ("grows", "it changed"), ("shrinks", "it changed")]
)
async def test_a_source_that_changes_while_it_is_pushed_is_no_success(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, what: str, why: str
) -> None:
    source = bench.sources / bench.source("a", b"x" * 3 * CHUNK_BYTES)

    def meddle() -> None:
        if what == "vanishes":
            source.unlink()
        elif what == "grows":
            source.write_bytes(b"y" * 4 * CHUNK_BYTES)
        else:
            os.truncate(source, 10)

    Meddler(monkeypatch, meddle)
    async with bench.open() as session:
        bench.far("b").write_bytes(b"old")
        assert why in failure(await session.execute(bench.attempt(push("a", "b"))))
    assert bench.far("b").read_bytes() == b"old"
    assert await bench.phone.remains() == []


async def test_a_full_disk_on_the_phone_is_said_and_leaves_no_part(bench: Bench) -> None:
    async with bench.open() as session:
        bench.far("b").write_bytes(b"old")
        bench.phone.faults.free_bytes = 100_000
        why = failure(await session.execute(bench.attempt(push(bench.source("a", b"x" * 3_000_000), "b"))))
    assert "No space left" in why
    assert bench.far("b").read_bytes() == b"old"
    assert await bench.phone.remains() == []


@contextmanager
def full_disk(free_bytes: int) -> Iterator[None]:
    """No file of this process may grow beyond that."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (free_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


async def test_a_full_disk_here_is_said_and_leaves_no_part(bench: Bench) -> None:
    async with bench.open() as session:
        bench.far("b").write_bytes(b"x" * 3_000_000)
        attempt = bench.attempt(pull("b"))
        with full_disk(100_000):
            why = failure(await session.execute(attempt))
    assert "cannot be written here" in why
    assert list(attempt.artifact_path("pulled").parent.iterdir()) == []


async def test_what_arrives_damaged_is_not_put_in_place(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    from galaxy_core_adb import files

    real = files._move_script

    def damage(part: str, target: str, sha256: str | None) -> str:
        return f"printf x >>{part}\n{real(part, target, sha256)}"

    monkeypatch.setattr(files, "_move_script", damage)
    async with bench.open() as session:
        bench.far("b").write_bytes(b"old")
        why = failure(await session.execute(bench.attempt(push(bench.source("a", b"new"), "b"))))
    assert "what arrived is not what was sent" in why
    assert bench.far("b").read_bytes() == b"old"
    assert await bench.phone.remains() == []


async def test_a_phone_that_knows_no_hash_is_read_back(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    from galaxy_core_adb import files

    real = files._move_script
    monkeypatch.setattr(files, "_move_script", lambda *args: real(*args).replace("sha256sum", "no-such-program"))
    async with bench.open() as session:
        done = await session.execute(bench.attempt(push(bench.source("a", b"new"), "b")))
    assert isinstance(done, Completed)
    assert done.error is None
    assert bench.far("b").read_bytes() == b"new"


async def test_a_link_lost_while_pushing_means_that_nothing_happened(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    Meddler(monkeypatch, bench.phone.unplug)
    async with bench.open() as session:
        bench.far("b").write_bytes(b"old")
        attempt = bench.attempt(push(bench.source("a", b"x" * 3 * CHUNK_BYTES), "b"))
        with pytest.raises(DeviceLostError):
            await session.execute(attempt)
        assert attempt.progress == "new"
    assert bench.far("b").read_bytes() == b"old"
    await bench.plug()
    async with bench.open():
        assert await bench.phone.remains() == []


async def test_a_link_lost_when_the_file_is_put_in_place_is_unknown(bench: Bench) -> None:
    async with bench.open() as session:
        bench.phone.misbehave("disconnect", "middle", on="mv -f")
        outcome = await session.execute(bench.attempt(push(bench.source("a", b"x"), "b")))
    assert isinstance(outcome, Unknown | Completed), outcome
    if isinstance(outcome, Completed):
        assert bench.far("b").read_bytes() == b"x"


async def test_a_cancelled_push_leaves_no_part(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    scope = anyio.CancelScope()
    Meddler(monkeypatch, scope.cancel)
    async with bench.open() as session:
        with scope:
            await session.execute(bench.attempt(push(bench.source("a", b"x" * 3 * CHUNK_BYTES), "b")))
        assert scope.cancelled_caught
        assert await bench.phone.remains() == []
    assert not bench.far("b").exists()
