"""The processes of one command, as Linux shows them in /proc. Everything here blocks for a short while.

Finding costs one small file per process of the machine, and one more for each that is younger than the command.
"""

from __future__ import annotations

import os
import signal
import sys
from collections import defaultdict
from collections.abc import Iterable

from attrs import frozen

PROC = "/proc"
#: Why an attempt may still be at work when ending it has failed.
NOT_SURE = "it could not be made sure that its processes have ended"


@frozen
class Entry:
    """One process. `start` is in ticks since the machine started; with `pid` it tells a process from any other."""

    pid: int
    parent: int
    group: int
    session: int
    start: int
    is_zombie: bool


def is_visible() -> bool:
    """Whether this machine shows its processes in the way that is needed here."""
    return hasattr(os, "pidfd_open") and read_entry(os.getpid()) is not None


def read_entry(pid: int) -> Entry | None:
    """The process of that number; None when there is none."""
    try:
        with open(f"{PROC}/{pid}/stat", "rb") as file:
            # The second field is the program's name in brackets, and may itself contain brackets and spaces.
            fields = file.read().rpartition(b")")[2].split()
        return Entry(pid, int(fields[1]), int(fields[2]), int(fields[3]), int(fields[19]), fields[0] in b"ZXx")
    except (OSError, IndexError, ValueError):
        return None


def living(pids: Iterable[int]) -> list[Entry]:
    """Those of them that there are, and have not ended."""
    entries = [read_entry(pid) for pid in pids]
    return [entry for entry in entries if entry is not None and not entry.is_zombie]


def could_not_be_ended(pids: Iterable[int]) -> str:
    """Why an attempt may still be at work, in words."""
    return f"processes {sorted(pids)} could not be ended: they are another user's, or hang in the system"


def find(leader: int, mark: str, *, reaped: bool, group_only: bool) -> list[Entry]:
    """The living processes of the command that was started as `leader`, itself included.

    They are those of its session (it was started as the leader of one), those with `mark` in their environment, and the
    descendants of all these. `reaped` says that the leader has ended and been waited for, so that its number may belong
    to a stranger: then the session counts only if somebody in it has the mark, because a number is not given away
    while a session or a group has it.
    """
    entries = [entry for name in os.listdir(PROC) if name.isdigit() and (entry := read_entry(int(name))) is not None]
    oldest = next((entry.start for entry in entries if entry.pid == leader and not reaped), 0)
    session = {entry.pid: entry for entry in entries if entry.session == leader}
    within = session.values() if group_only else entries
    members = {entry.pid for entry in within if entry.start >= oldest and _has_mark(entry.pid, mark)}
    is_ours = not reaped or not members.isdisjoint(session)
    if group_only:
        members = {entry.pid for entry in within if is_ours and entry.group == leader}
    else:
        members.update(session if is_ours else ())
        members.update(_descendants(members, entries))
    return [entry for entry in entries if entry.pid in members and not entry.is_zombie]


def _has_mark(pid: int, mark: str) -> bool:
    try:
        with open(f"{PROC}/{pid}/environ", "rb") as file:
            return mark.encode() in file.read()
    except OSError:  # gone, or another user's
        return False


def _descendants(of: Iterable[int], entries: Iterable[Entry]) -> set[int]:
    children: dict[int, list[int]] = defaultdict(list)
    for entry in entries:
        children[entry.parent].append(entry.pid)
    found: set[int] = set()
    ahead = list(of)
    while ahead:
        new = [child for child in children[ahead.pop()] if child not in found]
        found.update(new)
        ahead.extend(new)
    return found


if sys.platform == "linux":

    def watch(entry: Entry) -> int | None:
        """A pidfd of exactly this process, readable when it has ended; None when it has ended already.

        Raises:
            OSError: this system or this process has no more of them.
        """
        try:
            fd = os.pidfd_open(entry.pid)
        except ProcessLookupError:
            return None
        now = read_entry(entry.pid)
        if now is None or now.start != entry.start:
            os.close(fd)
            return None
        return fd

    def send(fd: int, signals: Iterable[signal.Signals]) -> bool:
        """Send `signals` to the process of a pidfd. False when that is not allowed."""
        try:
            for number in signals:
                signal.pidfd_send_signal(fd, number)
        except ProcessLookupError:
            pass
        except PermissionError:
            return False
        return True
