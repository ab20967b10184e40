"""What the scripts about markers do, in Python; see `twins`.

Where Windows refuses to open a file that another process has open for writing, these lock it. What Windows shows of a process, its
command line with the mark in it and its parent, stands for processes of this machine in their environment: see `_begun_with`.
"""

from __future__ import annotations

import binascii
import fcntl
import json
import os
import re
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

from .command_line import split
from .console import Console, Drive, ExitError, variable

_ROUNDS, _PAUSE_S = 40, 0.025
_DAY_S = 86400


class Process(Protocol):
    """What a twin is given."""

    @property
    def console(self) -> Console: ...

    @property
    def drive(self) -> Drive: ...


def marked(process: Process, parameters: Mapping[str, Any], program_of: Callable[[Drive, str], str | None]) -> None:
    import subprocess

    def refuse(why: str) -> ExitError:
        process.console.error_text(f"galaxy: not started {parameters['mark']}: {why}\r\n")
        return ExitError(126)

    data = bytearray()
    while line := process.console.read_line():
        data += binascii.a2b_base64(line)
    marks = _marks(process.drive)
    _remove(marks, parameters.get("released"))
    place = marks / parameters["run"] / parameters["attempt"]
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        start = os.open(f"{place}.start", os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC)
        fcntl.flock(start, fcntl.LOCK_EX)
        os.write(start, b"started\r\n")
    except OSError as error:
        raise refuse(f"no marker can be made: {error.strerror}") from None
    if len(data) != parameters["bytes"]:
        Path(f"{place}.end").write_bytes(b"refused input\r\n")
        raise refuse("its input did not arrive whole")
    program, arguments = str(parameters["program"]), str(parameters.get("arguments") or "")
    found = program_of(process.drive, program)
    # cmd.exe takes its line apart by rules of its own.
    words = [arguments] if program.lower() == "cmd.exe" else split(f"x {arguments}")[1:]
    try:
        if found is None:
            raise FileNotFoundError("The system cannot find the file specified")
        started = subprocess.Popen([found, *words], stdin=subprocess.PIPE, bufsize=0)
    except OSError as error:
        Path(f"{place}.end").write_bytes(b"refused start\r\n")
        raise refuse(str(error.strerror or error)) from None
    _note(process.drive, str(parameters["mark"]))
    assert started.stdin is not None
    with suppress(BrokenPipeError):
        started.stdin.write(data)
    started.stdin.close()
    code = _code(started.wait())
    Path(f"{place}.end").write_bytes(f"exit {code}\r\n".encode())
    raise ExitError(code)


def marks(process: Process, parameters: Mapping[str, Any]) -> None:
    folder = _marks(process.drive)
    runs = _remove(folder, parameters.get("released"))
    if folder.is_dir():
        for run in list(folder.iterdir()):
            with suppress(OSError):
                if run.stat().st_mtime < time.time() - parameters["days"] * _DAY_S:
                    (run / "boot").unlink(missing_ok=True)
                    for file in list(run.iterdir()):
                        file.unlink(missing_ok=True)
                    run.rmdir()
    for name in runs:
        with suppress(OSError):
            if {file.name for file in (folder / name).iterdir()} <= {"boot"}:
                (folder / name / "boot").unlink(missing_ok=True)
                (folder / name).rmdir()
    expected = False
    if parameters["expect"]:
        run = folder / parameters["expect"]
        if not run.exists():
            run.mkdir(parents=True, exist_ok=True)
            (run / "boot").write_text(_boot(), encoding="ascii", newline="")
        expected = (run / "boot").exists()
    _say(process.console, {"expected": expected})


def settle(process: Process, parameters: Mapping[str, Any]) -> None:
    run = _marks(process.drive) / parameters["run"]
    place = run / parameters["attempt"]

    def say(word: str, about: str) -> ExitError:
        _say(process.console, {"word": word, "about": about})
        return ExitError(0)

    def say_end() -> None:
        if found := re.fullmatch(r"(exit|refused) (\S+)\r\n", _text(Path(f"{place}.end"))):
            raise say(found[1], found[2])

    start = Path(f"{place}.start")
    if not start.exists():
        if _text(run / "boot") == _boot():
            with suppress(FileExistsError), start.open("xb") as file:
                file.write(b"refused asked\r\n")
        if not start.exists():
            raise say("unknown", "absent")
    until = time.monotonic() + parameters["wait"]
    while True:
        say_end()
        said = _text(start)
        if found := re.fullmatch(r"refused (\S+)\r\n", said):
            if found[1] == "stopped" and _text(run / "boot") != _boot():
                raise say("unknown", "absent")
            raise say("refused", found[1])
        if not _is_held(start):
            say_end()
            raise say("unknown", "ended" if said else "began")
        if time.monotonic() >= until:
            raise say("running", "")
        time.sleep(_PAUSE_S)


def stop(process: Process, parameters: Mapping[str, Any]) -> None:
    place = _marks(process.drive) / parameters["run"] / parameters["attempt"]
    if parameters["fence"]:
        with suppress(OSError):
            place.parent.mkdir(parents=True, exist_ok=True)
            with Path(f"{place}.start").open("xb") as file:
                file.write(b"refused stopped\r\n")
    known: dict[int, str] = {}
    ours: dict[int, str] = {}
    for _ in range(_ROUNDS):
        everybody = {number: (parent, begun) for number, parent, begun in _processes()}
        ours = {
            number: begun
            for number, (_, begun) in everybody.items()
            if known.get(number) == begun or _begun_with(number, str(parameters["mark"]))
        }
        known.update(ours)
        while more := {
            number: begun
            for number, (parent, begun) in everybody.items()
            if number not in ours and parent in known and int(begun) >= int(known[parent])
        }:
            ours.update(more)
            known.update(more)
        if not ours:
            break
        for number in ours:
            with suppress(ProcessLookupError):
                os.kill(number, signal.SIGKILL)
        time.sleep(_PAUSE_S)
    _say(process.console, {"left": len(ours)})


def _marks(drive: Drive) -> Path:
    return drive.path(variable("LOCALAPPDATA") or variable("TEMP") or "C:\\") / "galaxy" / "marks"


def _remove(folder: Path, released: object) -> set[str]:
    """Remove what may go; the runs that it was of."""
    names = [str(name) for name in released] if isinstance(released, list) else []
    for name in names:
        for suffix in (".start", ".end"):
            folder.joinpath(*f"{name}{suffix}".split("\\")).unlink(missing_ok=True)
    return {name.partition("\\")[0] for name in names}


def _boot() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip() + "\r\n"


def _text(path: Path) -> str:
    try:
        return path.read_bytes().decode("ascii", "replace")
    except OSError:
        return ""


def _is_held(path: Path) -> bool:
    """Whether who made it still has it open."""
    try:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:  # removed meanwhile: it cannot be opened, as one that is held
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(file)
    return False


def _note(drive: Drive, mark: str) -> None:
    """For those who want to know what really happened: the work has started."""
    works = drive.folder / "works"
    works.mkdir(exist_ok=True)
    with (works / mark).open("a", encoding="ascii") as file:
        file.write("start\n")


def _code(status: int) -> int:
    """Codes of more than 8 bits are left in a file, which is for who started us, too."""
    with suppress(OSError, ValueError, KeyError):
        return int(Path(os.environ["SIMULATED_EXIT"]).read_text(encoding="ascii"))
    return status if status >= 0 else 1


def _processes() -> Iterator[tuple[int, int, str]]:
    """The living ones: number, parent, when it began."""
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        with suppress(OSError, IndexError), open(f"/proc/{name}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
            if fields[0] not in b"ZX":
                yield int(name), int(fields[1]), fields[19].decode()


def _begun_with(number: int, mark: str) -> bool:
    """Whether a command whose line has the mark in it began with that process: the leader of a session of its own."""
    with suppress(OSError), open(f"/proc/{number}/environ", "rb") as file:
        return f"SIMULATED_SHOWN_MARK={mark}".encode() in file.read().split(b"\0") and os.getsid(number) == number
    return False


def _say(console: Console, document: Mapping[str, Any]) -> None:
    console.out(json.dumps(document, separators=(",", ":")))
