"""The end without ceremony: everything that this process has started is killed, and it is gone."""

from __future__ import annotations

import os
import signal
import subprocess
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import NoReturn

from attrs import frozen

from galaxy_core_cli.exits import Exit

PROC = "/proc"
#: Who was being started while we looked is found by looking again; so often at most.
ROUNDS = 5


@frozen
class Process:
    """`session` is the process group where the system does not tell sessions."""

    pid: int
    parent: int
    session: int


def kill_now(code: int, restore: Callable[[], None]) -> NoReturn:
    """Kill our descendants and whoever is left in their sessions, then leave with `code`. Closes nothing.

    A process that has left both its parents and their session is not found.
    """
    restore()
    kill_family()
    with suppress(OSError):  # past Python's streams, which may be in use just now
        os.write(2, b"killed\n")
    os._exit(code)


def kill_family() -> None:
    """Kill our descendants and whoever is left in their sessions; see `family`."""
    if os.name != "posix":
        return
    killed: set[int] = set()
    for _ in range(ROUNDS):
        found = set(family(os.getpid(), processes())) - killed
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


def family(root: int, everybody: Iterable[Process]) -> list[int]:
    """The descendants of `root` and all that share a session with one of them, but not `root` and its own session."""
    processes = list(everybody)
    children: dict[int, list[Process]] = defaultdict(list)
    for process in processes:
        children[process.parent].append(process)
    own = next((process.session for process in processes if process.pid == root), root)
    found: dict[int, Process] = {}
    ahead = [*children[root]]
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
