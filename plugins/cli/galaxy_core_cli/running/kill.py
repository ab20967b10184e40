"""The end without ceremony: everything that this process has started is killed, and it is gone."""

from __future__ import annotations

import os
import signal
import subprocess
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from secrets import token_hex
from typing import NoReturn

from attrs import frozen

from galaxy_core.extension.adapter.posix import MARK
from galaxy_core_cli.exits import Exit
from galaxy_core_cli.text import safe_line

PROC = "/proc"
#: What stands before the mark of an attempt in the environment of all that our tasks start on this machine; see `branded`.
BRAND = token_hex(8)
#: Asked for what was left at work and is not killed: by the marks of attempts, the ids of their tasks.
SPARED: list[Callable[[], Mapping[str, str]]] = []
#: Asked for what stands then behind the last word, made before, such as how to go on.
LAST_WORDS: list[Callable[[], str]] = []
#: Who was being started while we looked is found by looking again; so often at most.
ROUNDS = 5
#: Tasks that are named.
NAMED = 5


@frozen
class Process:
    """`session` is the process group where the system does not tell sessions."""

    pid: int
    parent: int
    session: int


def kill_now(code: int, restore: Callable[[], None]) -> NoReturn:
    """Kill all that we have started, see `kill_family`, then leave with `code`. Closes nothing."""
    restore()
    spared = {mark: task_id for each in SPARED for mark, task_id in each().items()}
    kill_family(spared)
    names = ", ".join([safe_line(task_id) for task_id in spared.values()][:NAMED])
    more = f" and {len(spared) - NAMED:,} more" if len(spared) > NAMED else ""
    but = f"; left at work, to be found again by whoever resumes: {names}{more}" if names else ""
    with suppress(OSError):  # past Python's streams, which may be in use just now
        os.write(2, f"killed{but}{''.join(each() for each in LAST_WORDS)}\n".encode(errors="replace"))
    os._exit(code)


def leave_now(code: int, restore: Callable[[], None]) -> NoReturn:
    """Leave with `code` and let what we have started go on, as if we had been killed. Closes nothing."""
    restore()
    with suppress(OSError):
        os.write(2, b"left at once; what runs goes on without us\n")
    os._exit(code)


def kill_family(spared: Iterable[str] = ()) -> None:
    """Kill our descendants, what has our brand, and whoever is left in the sessions of these; see `family`.

    `spared` are marks of attempts that are not killed. Where the system does not show environments (it is not Linux), who has
    lost its parents *and* their session is not found, and if any are spared, nobody can be told from them, or is killed.
    """
    marks = [f"{BRAND}:{mark}" for mark in spared]
    if os.name != "posix" or (marks and not os.path.exists(f"{PROC}/self/environ")):
        return
    killed: set[int] = set()
    for _ in range(ROUNDS):
        everybody = processes()
        kept = _bearing(everybody, marks)
        found = set(family(os.getpid(), everybody, _bearing(everybody, [f"{BRAND}:"]), kept)) - killed
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
def sparing(left: Callable[[], Mapping[str, str]], last_words: Callable[[], str] = str) -> Iterator[None]:
    """Kill nothing meanwhile that `left` names, by the marks of attempts; who kills ends with `last_words`."""
    SPARED.append(left)
    LAST_WORDS.append(last_words)
    try:
        yield
    finally:
        SPARED.remove(left)
        LAST_WORDS.remove(last_words)


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


def _bearing(everybody: Iterable[Process], marks: Iterable[str]) -> list[int]:
    """Those in whose environment one of `marks` stands."""
    wanted, found = [mark.encode() for mark in marks], []
    for process in everybody if wanted else ():
        with suppress(OSError), open(f"{PROC}/{process.pid}/environ", "rb") as file:  # it has ended, or is not ours
            environment = file.read()
            if any(mark in environment for mark in wanted):
                found.append(process.pid)
    return found


def family(root: int, everybody: Iterable[Process], more: Iterable[int] = (), spared: Iterable[int] = ()) -> list[int]:
    """The descendants of `root`, those in `more` and theirs, and all that share a session with one of them; but not `root`
    and its own session, nor those in `spared`, with all that would have come with these.
    """
    processes = list(everybody)
    by_id = {process.pid: process for process in processes}
    children: dict[int, list[Process]] = defaultdict(list)
    for process in processes:
        children[process.parent].append(process)
    own = by_id[root].session if root in by_id else root

    def with_descendants(heads: Iterable[int], but: Collection[int]) -> list[int]:
        found: dict[int, None] = {}
        ahead = [by_id[pid] for pid in heads if pid in by_id]
        while ahead:
            process = ahead.pop()
            if process.pid not in but and process.pid not in found:
                found[process.pid] = None
                ahead += children[process.pid]
        sessions = {by_id[pid].session for pid in found} - {own}
        others = (one.pid for one in processes if one.session in sessions)
        return [*found, *(pid for pid in others if pid not in found and pid not in but)]

    kept = {root, *with_descendants(spared, {root})}
    return with_descendants([*(child.pid for child in children[root]), *more], kept)


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
