"""Names of files: what may stand below a folder, here or on a far side, and what a run may call a file that it keeps."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable
from typing import Final

#: Where a stream goes that exceeds what is kept in memory; no kept file of a task may be called so.
STREAM_FILES: Final = ("stdout.txt", "stderr.txt")
#: Longest name of a kept file; the end of a longer one is kept, for its suffix.
LONGEST: Final = 100
_DEVICES = re.compile(r"(con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³]|conin\$|conout\$)(\..*)?", re.IGNORECASE)
_CONTROL = re.compile(r"[\0-\x1f\x7f]")


def no_way_up(name: str) -> str:
    r"""The same name, for models of requests: what no far side takes is refused before anything runs.

    Raises:
        ValueError: one of its parts, which '/' and '\' part, is ``..``.
    """
    if ".." in re.split(r"[/\\]", name):
        raise ValueError("give a path without '..'")
    return name


def quoted(name: str) -> str:
    r"""A name for people, as `repr` has it, but with each '\' of Windows once, as it has to be written in a plan."""
    return repr(name[:200]).replace("\\\\", "\\")


def far_parts(name: str) -> tuple[str, ...]:
    """The components of a name below a folder of a far side, which '/' parts.

    Raises:
        ValueError: it is empty, absolute, leads through ``..`` or ``.``, or holds control characters.
    """
    if not name or _CONTROL.search(name):
        raise ValueError(f"{name[:200]!r} is not the name of a file: it is empty, or holds control characters")
    parts = tuple(name.split("/"))
    if any(part in ("", ".", "..") for part in parts):
        raise ValueError(
            f"{name[:200]!r} is not the name of a file below the device's root folder: it is absolute or has a part '..'"
        )
    return parts


def remote_path(root: str, name: str, *, allow_any: bool = False) -> str:
    """The path of a file on a POSIX far side: `name` below `root`, or an absolute one where that is allowed.

    Raises:
        ValueError: it is not below `root`, and has to be; or it is no path at all.
    """
    if name.startswith("/"):
        if _CONTROL.search(name) or ".." in name.split("/"):
            raise ValueError(f"{name[:200]!r} is no path that Galaxy takes: it has a part '..', or control characters")
        path = posixpath.normpath(name)
        if allow_any or path.startswith(root.rstrip("/") + "/"):
            return path
        raise ValueError(
            f"{name[:200]!r} is not below the device's root folder {root!r}: give a path below it, or allow others by the setting 'allow_any_path'"
        )
    return "/".join([root.rstrip("/"), *far_parts(name)])


def windows_path(root: str, name: str, *, allow_any: bool = False) -> str:
    r"""The path of a file on Windows: `name` below `root`, with '/' or '\', or an absolute one where that is allowed.

    Names of devices (``CON``, ``NUL.txt``), streams (``file:stream``), trailing dots and blanks are refused: Windows would
    open something else.

    Raises:
        ValueError: it is not below `root`, and has to be; or it is no path at all.
    """
    text = name.replace("/", "\\")
    absolute = re.match(r"[A-Za-z]:\\", text)
    drive, rest = (text[:3], text[3:]) if absolute else ("", text)
    parts = rest.split("\\")
    for part in parts:
        _windows_part(name, part)
    if not absolute:
        return "\\".join([root.replace("/", "\\").rstrip("\\"), *parts])
    path = drive + "\\".join(parts)
    if allow_any or path.casefold().startswith(root.replace("/", "\\").rstrip("\\").casefold() + "\\"):
        return path
    raise ValueError(
        f"{quoted(name)} is not below the device's root folder {quoted(root)}: give a path below it, or allow others by the setting 'allow_any_path'"
    )


def _windows_part(name: str, part: str) -> None:
    if part in ("", ".", ".."):
        why = "it is empty, absolute, or has a part '..'"
    elif _CONTROL.search(part) or set(part) & set(':*?"<>|'):
        why = "Windows does not take these characters, or opens something else for them"
    elif part[-1] in ". ":
        why = "Windows drops dots and blanks at the end of a name"
    elif _DEVICES.fullmatch(part):
        why = f"{quoted(part)} is a device of Windows"
    else:
        return
    raise ValueError(f"{quoted(name)} is not the name of a file below the device's root folder: {why}")


def plain_names(names: Iterable[str]) -> dict[str, str]:
    """For each name, which may lead through folders, one that every file system takes: ``a/b c.txt``, ``a_b_c.txt``."""
    taken = set(STREAM_FILES)
    plain: dict[str, str] = {}
    for name in names:
        candidate = re.sub(r"^\.|[^A-Za-z0-9._-]", "_", name)[-LONGEST:]
        while candidate.casefold() in taken:  # some file systems do not tell capitals from small letters
            candidate = f"_{candidate}"[:LONGEST]
        taken.add(candidate.casefold())
        plain[name] = candidate
    return plain
