"""Files of a simulated phone, asked for byte by byte."""

from __future__ import annotations

import os
import stat
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest

from galaxy_core.errors import SimulatorError
from galaxy_core_adb.simulate.disk import Disk
from galaxy_core_adb.simulate.entries import HOSTILE
from galaxy_core_adb.simulate.phone import Phone
from galaxy_core_adb.simulate.rig import Rig

from .adb_asking import Talk, opened, until

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def sync(rig: Rig) -> AsyncIterator[Talk]:
    talk = await opened(rig.port, rig[0].serial, "sync:")
    async with talk.stream:
        yield talk


async def request(talk: Talk, kind: bytes, path: str | bytes) -> None:
    raw = path.encode() if isinstance(path, str) else path
    await talk.stream.send(struct.pack("<4sI", kind, len(raw)) + raw)


async def answer(talk: Talk) -> tuple[bytes, bytes]:
    """OKAY, FAIL or DATA and what follows."""
    kind, size = struct.unpack("<4sI", await talk.exactly(8))
    return kind, await talk.exactly(size) if kind in (b"FAIL", b"DATA") else b""


async def send(talk: Talk, path: str, data: bytes, mode: int = 0o100640, *, version: int = 1) -> tuple[bytes, bytes]:
    if version == 1:
        await request(talk, b"SEND", f"{path},{mode}")
    else:
        await request(talk, b"SND2", path)
        await talk.stream.send(struct.pack("<4sII", b"SND2", mode, 0))
    for start in range(0, len(data), 65_536):
        piece = data[start : start + 65_536]
        await talk.stream.send(struct.pack("<4sI", b"DATA", len(piece)) + piece)
    await talk.stream.send(struct.pack("<4sI", b"DONE", 1_600_000_000))
    return await answer(talk)


async def receive(talk: Talk, path: str, *, version: int = 1) -> bytes | str:
    await request(talk, b"RECV" if version == 1 else b"RCV2", path)
    if version == 2:
        await talk.stream.send(struct.pack("<4sI", b"RCV2", 0))
    data = b""
    while True:
        kind, piece = await answer(talk)
        if kind == b"FAIL":
            return piece.decode()
        if kind == b"DONE":
            return data
        data += piece


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("size", [0, 1, 65_535, 65_536, 65_537, 3_000_000])
async def test_what_is_sent_comes_back(rig: Rig, size: int, version: int) -> None:
    data = os.urandom(size)
    async with sync(rig) as talk:
        assert (await send(talk, "/sdcard/new/folder/it", data, version=version))[0] == b"OKAY"
        assert await receive(talk, "/storage/emulated/0/new/folder/it", version=version) == data
    found = rig[0].disk.place("/sdcard/new/folder/it").stat()
    assert (stat.S_IMODE(found.st_mode), found.st_mtime) == (0o666 & 0o640 | 0o064, 1_600_000_000)


async def test_stat_tells_what_is_there(rig: Rig, phone: Phone) -> None:
    (phone.disk.shared / "it").write_bytes(b"12345")
    (phone.disk.shared / "link").symlink_to("it")
    async with sync(rig) as talk:
        await request(talk, b"STAT", "/sdcard/it")
        kind, mode, size, mtime = struct.unpack("<4sIII", await talk.exactly(16))
        assert (kind, stat.S_ISREG(mode), size, mtime > 0) == (b"STAT", True, 5, True)
        await request(talk, b"STAT", "/sdcard/none")
        assert struct.unpack("<4sIII", await talk.exactly(16)) == (b"STAT", 0, 0, 0)
        for kind, path, wanted in (
            (b"STA2", "/sdcard/link", (0, True, 5)),
            (b"LST2", "/sdcard/link", (0, False, 2)),
            (b"STA2", "/sdcard/none", (2, False, 0)),
        ):
            await request(talk, kind, path)
            said = struct.unpack("<4sIQQIIIIQqqq", await talk.exactly(72))
            assert (said[0], said[1], stat.S_ISREG(said[4]), said[8]) == (kind, *wanted)


async def listing(talk: Talk, path: str, version: int) -> list[bytes]:
    await request(talk, b"LIST" if version == 1 else b"LIS2", path)
    names: list[bytes] = []
    while True:
        about = await talk.exactly(20 if version == 1 else 76)
        size = int.from_bytes(about[-4:], "little")
        if about[:4] == b"DONE":
            return names
        names.append(await talk.exactly(size))


@pytest.mark.parametrize("version", [1, 2])
async def test_folders_are_listed_and_with_hostile_names_when_told(rig: Rig, phone: Phone, version: int) -> None:
    async with sync(rig) as talk:
        assert await listing(talk, "/sdcard", version) == [b".", b"..", b"DCIM", b"Download"]
        assert await listing(talk, "/none", version) == []
        phone.faults.hostile_names = True
        assert await listing(talk, "/sdcard", version) == [b".", b"..", b"DCIM", b"Download", *HOSTILE]
        await phone.heal()
        assert await listing(talk, "/sdcard", version) == [b".", b"..", b"DCIM", b"Download"]


async def test_what_cannot_be_had_is_said_with_the_reason(rig: Rig, phone: Phone) -> None:
    async with sync(rig) as talk:
        assert await receive(talk, "/sdcard/none") == "open failed: No such file or directory"
        assert await receive(talk, "/sdcard") == "read failed: Is a directory"
        (phone.disk.shared / "file").touch()
        assert await send(talk, "/sdcard/file/below", b"x" * 100_000) == (
            b"FAIL",
            b"couldn't create file: Not a directory",
        )
    async with sync(rig) as talk:
        await request(talk, b"WHAT", "")
        assert (await answer(talk))[1].startswith(b"unknown command")
    async with sync(rig) as talk:
        await request(talk, b"STAT", "x" * 1025)
        assert await answer(talk) == (b"FAIL", b"path too long")
        with pytest.raises((anyio.EndOfStream, anyio.IncompleteRead)):
            await talk.exactly(1)


async def test_a_full_disk_takes_no_part(rig: Rig, phone: Phone) -> None:
    phone.faults.free_bytes = 100_000
    async with sync(rig) as talk:
        assert await send(talk, "/sdcard/big", b"x" * 300_000) == (b"FAIL", b"write failed: No space left on device")
    assert not (phone.disk.shared / "big").exists()
    phone.faults.free_bytes = None
    async with sync(rig) as talk:
        assert (await send(talk, "/sdcard/big", b"x" * 300_000))[0] == b"OKAY"


async def test_a_transfer_that_is_cut_leaves_no_part(rig: Rig, phone: Phone) -> None:
    async with sync(rig) as talk:
        await request(talk, b"SEND", "/sdcard/part,420")
        await talk.stream.send(struct.pack("<4sI", b"DATA", 10) + b"0123456789")
        await until((phone.disk.shared / "part").exists)
    await until(lambda: not (phone.disk.shared / "part").exists())


async def test_links_are_sent_as_links(rig: Rig, phone: Phone) -> None:
    async with sync(rig) as talk:
        assert (await send(talk, "/sdcard/link", b"Download", 0o120777))[0] == b"OKAY"
    assert os.readlink(phone.disk.shared / "link") == "Download"


@pytest.mark.parametrize(
    ("fault", "phase"), [("disconnect", "middle"), ("lost_answer", "exit"), ("garbage", "exit"), ("disconnect", "exit")]
)
async def test_transfers_can_be_struck(rig: Rig, phone: Phone, fault: str, phase: str) -> None:
    phone.misbehave(fault, phase, on="sync:")  # type: ignore[arg-type]
    async with sync(rig) as talk:
        try:
            kind, _ = await send(talk, "/sdcard/it", b"x" * 200_000)
        except (anyio.IncompleteRead, anyio.EndOfStream, anyio.BrokenResourceError):
            kind = b""
        assert kind != b"OKAY"
    whole = (phone.disk.shared / "it").exists()
    assert whole == (phase == "exit")
    await phone.heal()


@pytest.mark.parametrize("path", ["../../../etc/passwd", "/../x", "/sdcard/../../../x", "//etc", "sdcard/x"])
def test_no_path_of_a_phone_leads_out_of_its_folder(tmp_path: Path, path: str) -> None:
    disk = Disk(tmp_path / "disk")
    assert disk.place(path).resolve().is_relative_to((tmp_path / "disk").resolve())


def test_shared_paths_in_scripts_become_those_of_this_machine(tmp_path: Path) -> None:
    disk = Disk(tmp_path / "disk")
    root = str(tmp_path / "disk")
    assert disk.rewritten("cat '/sdcard/a b' >/data/local/tmp/x; cd /mnt/sdcard; /sdcardx /x/sdcard ./sdcard") == (
        f"cat '{root}/sdcard/a b' >{root}/data/local/tmp/x; cd {root}/sdcard; /sdcardx /x/sdcard ./sdcard"
    )


def test_a_script_that_is_sourced_from_the_phone_is_rewritten_too(tmp_path: Path) -> None:
    disk = Disk(tmp_path / "disk")
    (disk.temporary / "m.sh").write_text("cd /sdcard")
    disk.rewritten(". '/data/local/tmp/m.sh'")
    assert (disk.temporary / "m.sh").read_text() == f"cd {disk.shared}"


def test_a_folder_that_needs_quoting_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SimulatorError, match="plain characters"):
        Disk(tmp_path / "a b")
