"""Android's commands on a simulated phone, with a process and without."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib

import pytest

from galaxy_core_adb.simulate.packages import NotApkError, package_of
from galaxy_core_adb.simulate.phone import Phone
from galaxy_core_adb.simulate.rig import Rig
from galaxy_core_adb.simulate.screen import SIGNATURE, picture

from .adb_asking import Said, Shell, left_alone, opened

pytestmark = pytest.mark.anyio


def apk(manifest: bytes = b'<manifest package="com.example.app"/>') -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("AndroidManifest.xml", manifest)
    return file.getvalue()


def compiled(name: str, *, utf_8: bool) -> bytes:
    """A compiled manifest of one element."""
    strings = ["manifest", "package", name]
    raw, offsets = b"", []
    for text in strings:
        offsets.append(len(raw))
        if utf_8:
            raw += bytes([len(text), len(text)]) + text.encode() + b"\0"
        else:
            raw += struct.pack("<H", len(text)) + text.encode("utf-16-le") + b"\0\0"
    raw += b"\0" * (-len(raw) % 4)
    pool = struct.pack("<IIIII", len(strings), 0, 256 if utf_8 else 0, 28 + 4 * len(strings), 0)
    pool += struct.pack(f"<{len(strings)}I", *offsets) + raw
    pool = struct.pack("<HHI", 0x0001, 28, 8 + len(pool)) + pool
    attribute = struct.pack("<IIIHBBI", 0xFFFF_FFFF, 1, 2, 8, 0, 3, 2)
    element = struct.pack("<HHIII", 0x0102, 16, 36 + len(attribute), 1, 0xFFFF_FFFF)
    element += struct.pack("<IIHHHHHH", 0xFFFF_FFFF, 0, 20, 20, 1, 0, 0, 0) + attribute
    return struct.pack("<HHI", 0x0003, 8, 8 + len(pool) + len(element)) + pool + element


@pytest.mark.parametrize("utf_8", [True, False])
def test_the_package_of_a_compiled_manifest_is_found(utf_8: bool) -> None:
    assert package_of(apk(compiled("org.example.compiled", utf_8=utf_8))) == "org.example.compiled"


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"no apk", "NOT_APK"),
        (b"", "NOT_APK"),
        (apk()[:-30], "NOT_APK"),
        (apk(b"\x03\x00\x08\x00" + b"\xff" * 40), "BAD_MANIFEST"),
        (apk(b"<manifest/>"), "BAD_MANIFEST"),
    ],
)
def test_what_is_no_apk_is_told_apart(content: bytes, why: str) -> None:
    with pytest.raises(NotApkError, match=why):
        package_of(content)


@pytest.mark.parametrize("real", ["", " | cat"], ids=["builtin", "process"])
@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("getprop ro.build.version.release", b"14\n"),
        ("getprop no.such.thing", b"\n"),
        ("getprop no.such.thing other", b"other\n"),
        ("wm size", b"Physical size: 1080x2400\n"),
        ("settings get system x", b"null\n"),
        ("pm list packages", b"package:com.android.settings\n"),
        ("pm path com.android.settings", b"package:/system/app/Settings.apk\n"),
        ("dumpsys battery set level 5; dumpsys battery", b"level: 5"),
        ("settings put global a 'b c'; settings get global a", b"b c\n"),
        ("setprop debug.x y; getprop debug.x", b"y\n"),
        ("cmd package list packages", b"package:com.android.settings\n"),
    ],
)
async def test_commands_answer_as_androids_do(shell: Shell, command: str, said: bytes, real: str) -> None:
    found = await shell(command + real)
    assert said in found.out
    assert (found.err, found.code) == (b"", 0)


@pytest.mark.parametrize(
    ("command", "code", "said"),
    [
        ("input tap 1", 255, b"Unknown command"),
        ("input tap one 2", 255, b"NumberFormatException"),
        ("wm what", 255, b"Unknown command"),
        ("setprop ro.product.model x", 1, b"Failed to set property"),
        ("pm uninstall no.such.app", 1, b"Failure [DELETE_FAILED_INTERNAL_ERROR]"),
        ("am start -n no.such/.App", 1, b"does not exist"),
        ("pm install /sdcard/none.apk", 255, b"Unable to open file"),
        ("dumpsys nothing", 0, b"Can't find service: nothing"),
    ],
)
async def test_mistakes_are_told_as_android_does(shell: Shell, command: str, code: int, said: bytes) -> None:
    found = await shell(command)
    assert said in found.out + found.err
    assert found.code == code


async def test_an_app_is_installed_started_and_removed(shell: Shell, phone: Phone) -> None:
    package = apk()
    assert await shell(f"pm install -r -S {len(package)}", package) == Said(b"Success\n", b"", (0,))
    assert (await shell("am start -W -n com.example.app/.Main --es name 'a b'")).out.startswith(b"Starting: Intent")
    assert phone.activities == ["com.example.app/.Main"]
    assert b"ALREADY_EXISTS" in (await shell(f"pm install -R -S {len(package)}", package)).out
    assert (await shell("am force-stop com.example.app; pm uninstall com.example.app")).out == b"Success\n"
    assert not phone.activities
    (phone.disk.temporary / "x.apk").write_bytes(package)
    for script in ("pm install /data/local/tmp/x.apk", "cd /data/local/tmp; pm install x.apk | cat"):
        assert await shell(script) == Said(b"Success\n", b"", (0,))
    phone.faults.free_bytes = 10
    assert b"INSUFFICIENT_STORAGE" in (await shell(f"pm install -S {len(package)}", package)).out


async def test_input_is_remembered(shell: Shell, phone: Phone) -> None:
    await shell("input tap 1 2; input swipe 1 2 3 4 300; input text 'a b'; input keyevent KEYCODE_HOME | cat")
    assert phone.inputs == [
        ("tap", "1", "2"),
        ("swipe", "1", "2", "3", "4", "300"),
        ("text", "a b"),
        ("keyevent", "KEYCODE_HOME"),
    ]


def pixels(png: bytes) -> tuple[int, int, set[int]]:
    """Width, height and the colours, by number, that a PNG of ours shows; every chunk is checked."""
    assert png.startswith(SIGNATURE)
    position, data, size = 8, b"", (0, 0)
    kinds = []
    while position < len(png):
        length, kind = struct.unpack_from(">I4s", png, position)
        body = png[position + 8 : position + 8 + length]
        assert struct.unpack_from(">I", png, position + 8 + length)[0] == zlib.crc32(kind + body)
        kinds.append(kind)
        if kind == b"IHDR":
            size = struct.unpack_from(">II", body)
        elif kind == b"IDAT":
            data += body
        position += 12 + length
    assert kinds == [b"IHDR", b"PLTE", b"IDAT", b"IEND"]
    rows = zlib.decompress(data)
    assert len(rows) == (size[0] + 1) * size[1]
    return *size, set(rows)


async def test_the_screen_is_a_picture_that_changes(shell: Shell, phone: Phone) -> None:
    first = (await shell("screencap -p")).out
    width, height, colours = pixels(first)
    assert (width, height, len(colours)) == (1080, 2400, 3)
    await shell("input tap 1 2; screencap -p /sdcard/now.png")
    second = (phone.disk.shared / "now.png").read_bytes()
    assert pixels(second)[:2] == (1080, 2400)
    assert first != second


@pytest.mark.parametrize("size", [(1, 1), (10, 3), (64, 64), (4000, 20)])
def test_pictures_of_any_size_are_sound(size: tuple[int, int]) -> None:
    assert pixels(picture(*size, ("a long line of text " * 9, "É?", "")))[:2] == size


async def test_the_log_can_be_read_once_and_followed(rig: Rig, phone: Phone, shell: Shell) -> None:
    phone.log.add("first", "one")
    await shell("log -t second -p w two")
    found = (await shell("logcat -d -v threadtime")).out.decode().splitlines()
    assert found[0] == "--------- beginning of main"
    assert [line.split("  ")[-1].split(" ", 2)[1:] for line in found[1:]] == [["I", "first: one"], ["W", "second: two"]]
    assert len((await shell("logcat -d -t 1")).out.splitlines()) == 1
    talk = await opened(rig.port, phone.serial, "exec:logcat -T 1")
    async with talk.stream:
        assert (await talk.reader.receive_until(b"\n", 200)).endswith(b"second: two")
        phone.log.add("third", "three")
        assert (await talk.reader.receive_until(b"\n", 200)).endswith(b"third: three")
    await left_alone(phone)
