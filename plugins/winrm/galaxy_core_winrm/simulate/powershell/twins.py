"""What each script of the adapter does, in Python: same parameters, same standard input, same output.

A script and its twin are held together by the adapter's own tests, which run the one through the other; that the script
does so in PowerShell, only Windows can prove. A changed script is another text, but its twin is found by its name: the
digest says that a text is one of ours, not which version of it.
"""

from __future__ import annotations

import binascii
import errno
import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

from . import marker_twins
from .command_line import split
from .console import Console, Drive, ExitError, has_room, variable

_PIECE = 196_608


class Process(Protocol):
    """What a twin is given."""

    console: Console
    drive: Drive
    is_silent: bool

    def run(self, script: str, parameters: Mapping[str, Any]) -> None: ...


class _TransferError(Exception):
    """What the script throws."""


Twin = Callable[[Process, Mapping[str, Any]], None]


def bootstrap(process: Process, _parameters: Mapping[str, Any]) -> None:
    process.is_silent = True
    try:
        payload = json.loads(binascii.a2b_base64(process.console.read_line()))
        script, parameters = payload["script"], payload["parameters"]
    except (ValueError, KeyError, TypeError) as error:
        process.console.error(f"Cannot convert value: {error}")
        raise ExitError(1) from None
    process.run(script, parameters)
    raise ExitError(0)


def facts(process: Process, parameters: Mapping[str, Any]) -> None:
    name, user = variable("COMPUTERNAME") or "", variable("USERNAME") or ""
    _json(
        process,
        {
            "hostname": name,
            "powershell": "5.1.20348.1",
            "windows": "Simulated Windows Server",
            "windows_version": "10.0.20348",
            "cpu_count": str(os.cpu_count() or 1),
            "architecture": variable("PROCESSOR_ARCHITECTURE") or "",
            "domain": "WORKGROUP",
            "user": f"{name}\\{user}",
            "root": process.drive.full(str(parameters.get("root", ""))),
        },
    )


def push(process: Process, parameters: Mapping[str, Any]) -> None:
    temporary: Path | None = None
    try:
        base = process.drive.full(str(parameters["root"]))
        target = _below(process.drive, base, parameters)
        folder = process.drive.path(target).parent
        _refuse_links(process.drive, base, folder)
        folder.mkdir(parents=True, exist_ok=True)
        there = process.drive.path(target)
        if there.is_dir():
            raise _TransferError(f"{target} is a folder")
        digest, written = hashlib.sha256(), 0
        part = folder / str(parameters["part"])
        with part.open("xb") as file:
            temporary = part
            for line in _lines(process.console):
                data = binascii.a2b_base64(line, strict_mode=True)
                if not has_room():
                    raise OSError(errno.ENOSPC, "There is not enough space on the disk.")
                file.write(data)
                digest.update(data)
                written += len(data)
        found = digest.hexdigest()
        if written != parameters["size"] or found != parameters["digest"]:
            raise _TransferError(f"it arrived with {written} bytes and SHA-256 {found}, not as it was sent")
        part.replace(there)
        temporary = None
        _json(process, {"size_bytes": written, "sha256": found, "path": target})
    except (OSError, binascii.Error, _TransferError) as error:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
        _json(process, {"error": getattr(error, "strerror", None) or str(error)})
        raise ExitError(1) from None


def pull(process: Process, parameters: Mapping[str, Any]) -> None:
    try:
        base = process.drive.full(str(parameters["root"]))
        name = _below(process.drive, base, parameters)
        source = process.drive.path(name)
        if source.is_dir():
            raise _TransferError(f"{name} is a folder")
        _refuse_links(process.drive, base, source)
        if not source.exists():
            raise _TransferError(f"Could not find file '{name}'.")
        digest, total = hashlib.sha256(), 0
        with source.open("rb") as file:
            _json(process, {"size_bytes": os.fstat(file.fileno()).st_size})
            while data := file.read(_PIECE):
                digest.update(data)
                total += len(data)
                process.console.out(binascii.b2a_base64(data, newline=False).decode("ascii"))
        _json(process, {"size_bytes": total, "sha256": digest.hexdigest()})
    except (OSError, _TransferError) as error:
        _json(process, {"error": getattr(error, "strerror", None) or str(error)})
        raise ExitError(1) from None


def remove(process: Process, parameters: Mapping[str, Any]) -> None:
    base = process.drive.full(str(parameters["root"]))
    left = 0
    for path in parameters.get("paths") or []:
        try:
            name = _below(process.drive, base, {**parameters, "path": path})
        except _TransferError:
            continue
        there = process.drive.path(name)
        if there.suffix == ".part":
            there.unlink(missing_ok=True)
            left += there.exists()
    _json(process, {"left": left})


def run(process: Process, parameters: Mapping[str, Any]) -> None:
    import subprocess

    program, arguments = str(parameters["program"]), str(parameters.get("arguments") or "")
    found = _program(process.drive, program)
    words = split(f"x {arguments}")[1:]
    try:
        if found is None:
            raise FileNotFoundError(errno.ENOENT, "The system cannot find the file specified")
        started = subprocess.Popen([found, *words], stdin=subprocess.PIPE, bufsize=0)
    except OSError as error:
        process.console.error_text(f"galaxy: not started {parameters.get('mark', '')}: {error.strerror}\r\n")
        raise ExitError(126) from None
    assert started.stdin is not None
    try:
        for line in _lines(process.console):
            started.stdin.write(binascii.a2b_base64(line))
        started.stdin.close()
    except BrokenPipeError:
        pass
    code = started.wait()
    raise ExitError(code if code >= 0 else 1)


def marked(process: Process, parameters: Mapping[str, Any]) -> None:
    marker_twins.marked(process, parameters, _program)


twins: dict[str, Twin] = {
    "bootstrap": bootstrap,
    "facts": facts,
    "marked": marked,
    "marks": marker_twins.marks,
    "pull": pull,
    "push": push,
    "remove": remove,
    "run": run,
    "settle": marker_twins.settle,
    "stop": marker_twins.stop,
}


def _json(process: Process, document: Mapping[str, Any]) -> None:
    process.console.out(json.dumps(document, separators=(",", ":")))


def _lines(console: Console) -> Iterator[bytes]:
    """What is left of standard input, without the ends of its lines."""
    while line := console.read_line():
        yield line.rstrip(b"\r\n")


def _below(drive: Drive, base: str, parameters: Mapping[str, Any]) -> str:
    """The full name of `path`, which must be below the root unless any is allowed."""
    path = str(parameters["path"]).replace("/", "\\")
    full = drive.full(path if path[1:2] == ":" or path.startswith("\\") else f"{base}\\{path}")
    if not parameters.get("any") and not full.lower().startswith(base.lower() + "\\"):
        raise _TransferError(f"{full} is not below {base}")
    return full


def _refuse_links(drive: Drive, base: str, path: Path) -> None:
    top = drive.path(base)
    while path != top and path.is_relative_to(top):
        if path.is_symlink():
            raise _TransferError(f"{drive.name(path)} is a link")
        path = path.parent


def _program(drive: Drive, name: str) -> str | None:
    """As CreateProcess looks: ours, one of the drive, one of this machine."""
    import shutil

    plain = name.rpartition("\\")[2]
    ours = drive.folder / "bin" / plain.lower()
    if ours.exists():
        return str(ours)
    there = drive.path(name)
    if there.is_file() and os.access(there, os.X_OK):
        return str(there)
    return shutil.which(name) or shutil.which(plain) or shutil.which(plain.lower().removesuffix(".exe"))
