"""Apps on a phone: `pm`, and `cmd package`, which is the same. An APK is checked as far as naming its package needs."""

from __future__ import annotations

import io
import re
import struct
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from galaxy_core_adb.simulate.builtins import Terminal
from galaxy_core_adb.simulate.commands import command, fail, programs_of, say

if TYPE_CHECKING:
    from galaxy_core_adb.simulate.phone import Phone

__all__ = ["NotApkError", "package_of", "programs_of"]

_TEXT: Final = re.compile(rb"<manifest\b[^>]*?\bpackage\s*=\s*[\"']([\w.]+)[\"']", re.DOTALL)
_NAME: Final = re.compile(r"[A-Za-z]\w*(\.[A-Za-z]\w*)+", re.ASCII)
_LARGEST_MANIFEST: Final = 1 << 20
_STRINGS, _ELEMENT = 0x0001, 0x0102
_UTF_8: Final = 1 << 8


class NotApkError(Exception):
    """It is no APK; the text is what Android calls it."""


def package_of(apk: bytes) -> str:
    """The name of the package in an APK, whose manifest may also be plain XML.

    Raises:
        NotApkError: it is none.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(apk)) as archive:
            about = archive.getinfo("AndroidManifest.xml")
            manifest = archive.read(about) if about.file_size <= _LARGEST_MANIFEST else b""
    except (zipfile.BadZipFile, KeyError, NotImplementedError, RuntimeError, OSError, ValueError) as error:
        raise NotApkError("INSTALL_PARSE_FAILED_NOT_APK: Failed to parse base.apk") from error
    if found := _TEXT.search(manifest):
        return found[1].decode()
    try:
        name = _of_binary(manifest)
    except (struct.error, IndexError, UnicodeDecodeError):
        name = ""
    if not _NAME.fullmatch(name):
        raise NotApkError("INSTALL_PARSE_FAILED_BAD_MANIFEST: Failed to parse base.apk: its manifest names no package")
    return name


def _of_binary(manifest: bytes) -> str:
    """Attribute `package` of the first element of a compiled manifest (AOSP: ResourceTypes.h), or nothing."""
    strings: list[str] = []
    position = 8
    while position < len(manifest):
        kind, head, size = struct.unpack_from("<HHI", manifest, position)
        if kind == _STRINGS:
            strings = _strings(manifest[position : position + size])
        elif kind == _ELEMENT:
            start, width, count = struct.unpack_from("<HHH", manifest, position + head + 8)
            for number in range(count):
                where = position + head + start + number * width
                _space, name, value = struct.unpack_from("<III", manifest, where)
                if strings[name] == "package":
                    return str(strings[value])
            return ""
        position += max(size, 8)
    return ""


def _strings(chunk: bytes) -> list[str]:
    count, _styles, flags, start = struct.unpack_from("<IIII", chunk, 8)
    found = []
    for offset in struct.unpack_from(f"<{count}I", chunk, 28):
        where = start + offset
        if flags & _UTF_8:  # two lengths of one byte each (two for longer ones, which a package's name is not)
            where += 1 + (chunk[where] >> 7)
            length = chunk[where]
            where += 1 + (length >> 7)
            found.append(chunk[where : where + length].decode(errors="replace"))
        else:
            (length,) = struct.unpack_from("<H", chunk, where)
            found.append(chunk[where + 2 : where + 2 + 2 * length].decode("utf-16-le", errors="replace"))
    return found


@command("pm")
async def pm(phone: Phone, words: Sequence[str], terminal: Terminal) -> int:
    match words[1:]:
        case ["install", *options]:
            return await _install(phone, options, terminal)
        case ["uninstall", *options]:
            name = next((word for word in reversed(options) if not word.startswith("-")), "")
            if phone.packages.pop(name, None) is None:
                return 1 - await say(terminal, "Failure [DELETE_FAILED_INTERNAL_ERROR]")
            return await say(terminal, "Success")
        case ["list", "packages" | "package", *options]:
            names = [
                name
                for name, path in sorted(phone.packages.items())
                if not ("-3" in options and path.startswith("/system")) and not ("-s" in options and "/data" in path)
            ]
            wanted = next((word for word in options if not word.startswith("-")), "")
            return await say(terminal, "\n".join(f"package:{name}" for name in names if wanted in name))
        case ["path", name]:
            if name not in phone.packages:
                return 1
            return await say(terminal, f"package:{phone.packages[name]}")
        case ["clear", name]:
            return await say(terminal, "Success" if name in phone.packages else "Failed")
        case ["grant" | "revoke", name, _]:
            return 0 if name in phone.packages else await fail(terminal, f"Unknown package: {name}", 255)
    return await fail(terminal, f"Unknown command: {' '.join(words[1:2])}", 255)


@command("cmd")
async def cmd(phone: Phone, words: Sequence[str], terminal: Terminal) -> int:
    if tuple(words[1:2]) == ("package",):
        return await pm(phone, words[1:], terminal)
    if tuple(words[1:2]) in (("settings",), ("activity",)):
        return await phone.programs["am" if words[1] == "activity" else "settings"](words[1:], terminal)
    return await fail(terminal, f"cmd: Can't find service: {' '.join(words[1:2])}", 20)


async def _install(phone: Phone, options: Sequence[str], terminal: Terminal) -> int:
    size: int | None = None
    path = ""
    rest = list(options)
    while rest:
        option = rest.pop(0)
        if option == "-S" and rest and rest[0].isdecimal():
            size = int(rest.pop(0))
        elif option in ("-i", "--user", "--abi", "--install-location") and rest:
            rest.pop(0)
        elif not option.startswith("-"):
            path = option
    if path:
        place = phone.disk.seen_by_commands(path, terminal.folder)
        apk = _content(place)
        if apk is None:
            return await fail(terminal, f"Error: Unable to open file: {path}\nError: Can't open file: {path}", 255)
    elif size is None:
        return await fail(terminal, "Error: must either specify a package size or an APK file", 1)
    else:
        apk = await _read(terminal, size)
        if len(apk) < size:
            return await fail(terminal, f"Error: failed to write; expected {size} bytes, got {len(apk)}", 255)
    code, said = _installed(phone, apk, replace="-R" not in options)
    await say(terminal, said)
    return code


def _content(place: Path) -> bytes | None:
    try:
        return place.read_bytes()
    except OSError:
        return None


async def _read(terminal: Terminal, size: int) -> bytes:
    data = bytearray()
    while len(data) < size and (piece := await terminal.read(size - len(data))):
        data += piece
    return bytes(data)


def _installed(phone: Phone, apk: bytes, *, replace: bool) -> tuple[int, str]:
    if phone.faults.free_bytes is not None and phone.faults.free_bytes < len(apk):
        return 1, "Failure [INSTALL_FAILED_INSUFFICIENT_STORAGE]"
    try:
        name = package_of(apk)
    except NotApkError as error:
        return 1, f"Failure [{error}]"
    if name in phone.packages and not replace:
        return 1, (f"Failure [INSTALL_FAILED_ALREADY_EXISTS: Attempt to re-install {name} without first uninstalling.]")
    phone.packages[name] = f"/data/app/{name}-1/base.apk"
    return 0, "Success"
