"""The end without ceremony: everything that this process has started is killed, and it is gone."""

from __future__ import annotations

import os
import signal
import subprocess
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from secrets import token_hex
from typing import NoReturn

from attrs import frozen

from galaxy_core.extension.adapter.posix import MARK
from galaxy_core_cli.exits import Exit

PROC = "/proc"
#: What stands before the mark of an attempt in the environment of all that our tasks start on this machine; see `branded`.
BRAND = token_hex(8)
#: Who was being started while we looked is found by looking again; so often at most.
ROUNDS = 5


@frozen
class Process:
    """`session` is the process group where the system does not tell sessions."""

    pid: int
    parent: int
    session: int


def kill_now(code: int, restore: Callable[[], None]) -> NoReturn:
    """Kill all that we have started, see `kill_family`, then leave with `code`. Closes nothing."""
    restore()
    kill_family()
    with suppress(OSError):  # past Python's streams, which may be in use just now
        os.write(2, b"killed\n")
    os._exit(code)


def leave_now(code: int, restore: Callable[[], None]) -> NoReturn:
    """Leave with `code` and let what we have started go on, as if we had been killed. Closes nothing."""
    restore()
    with suppress(OSError):
        os.write(2, b"left at once; what runs goes on without us\n")
    os._exit(code)


def kill_family() -> None:
    """Kill our descendants, what has our brand, and whoever is left in the sessions of these; see `family`.

    Where the system does not show environments (it is not Linux), who has lost its parents *and* their session is not found.
    """
    if os.name != "posix":
        return
    killed: set[int] = set()
    for _ in range(ROUNDS):
        everybody = processes()
        found = set(family(os.getpid(), everybody, _branded(everybody))) - killed
        if not found:
            break
        for pid in found:
            with suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        killed |= found


@contextmanager
def dying_at_quit(restore: Callable[[], None]) -> Iterator[None]:
    """Have SIGQUIT (Ctrl-\\) kill at once meanwhile, unless it is ignored."""
    number = getattr(signal, "SIGQUIT", None)
    before = signal.SIG_IGN if number is None else signal.getsignal(number)
    if number is None or before is signal.SIG_IGN:
        yield
        return
    signal.signal(number, lambda *_: kill_now(Exit.QUIT, restore))
    try:
        yield
    finally:
        signal.signal(number, before)


@contextmanager
def branded() -> Iterator[None]:
    """Have all that tasks start on this machine meanwhile bear our brand, by which it is found when its parents are gone.

    So it is while a run is being cancelled: a command ends when asked to, and leaves somebody behind who does not. The mark
    of an attempt stands behind that of an outer orchestrator, and we take that place. What we start ourselves, such as an
    adb server, has the brand with no mark behind it, and is not taken for ours: others may use it.
    """
    before = os.environ.get(MARK)
    os.environ[MARK] = f"{before}:{BRAND}" if before else BRAND
    try:
        yield
    finally:
        if before is None:
            os.environ.pop(MARK, None)
        else:
            os.environ[MARK] = before


def _branded(everybody: Iterable[Process]) -> Iterator[int]:
    wanted = f"{BRAND}:".encode()
    for process in everybody:
        with suppress(OSError), open(f"{PROC}/{process.pid}/environ", "rb") as file:  # it has ended, or is not ours
            if wanted in file.read():
                yield process.pid


def family(root: int, everybody: Iterable[Process], more: Iterable[int] = ()) -> list[int]:
    """The descendants of `root`, those in `more` and theirs, and all that share a session with one of them; but not `root`
    and its own session.
    """
    processes, known = list(everybody), frozenset(more)
    children: dict[int, list[Process]] = defaultdict(list)
    for process in processes:
        children[process.parent].append(process)
    own = next((process.session for process in processes if process.pid == root), root)
    found: dict[int, Process] = {}
    ahead = [*children[root], *(process for process in processes if process.pid in known)]
    while ahead:
        process = ahead.pop()
        if process.pid != root and process.pid not in found:
            found[process.pid] = process
            ahead += children[process.pid]
    sessions = {process.session for process in found.values()} - {own}
    return [*found, *(one.pid for one in processes if one.session in sessions and one.pid not in found)]


def processes() -> list[Process]:
    """Every process of this machine that we can see."""
    if os.path.exists(f"{PROC}/self/stat"):
        return [process for name in os.listdir(PROC) if name.isdigit() and (process := _read(name)) is not None]
    listed = subprocess.run(["ps", "-A", "-o", "pid=,ppid=,pgid="], capture_output=True, text=True, check=False)  # noqa: S607 - `ps` is where the system has it
    return [Process(*map(int, line.split())) for line in listed.stdout.splitlines() if len(line.split()) == 3]


def _read(pid: str) -> Process | None:
    try:
        with open(f"{PROC}/{pid}/stat", "rb") as file:
            # The name, in parentheses, may hold anything; after it come state, parent, group and session.
            fields = file.read().rpartition(b")")[2].split()
    except OSError:  # it has ended meanwhile
        return None
    return Process(int(pid), int(fields[1]), int(fields[3]))
