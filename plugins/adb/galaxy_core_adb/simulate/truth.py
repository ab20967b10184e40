"""What a phone knows about the attempts that ran on it: how often each began, how it ended, what is still there."""

from __future__ import annotations

import contextlib
import os
import re
import signal
from collections.abc import Iterator
from typing import Final

from attrs import define, evolve, field

from galaxy_core.extension.adapter.marks import TAKEN
from galaxy_core.extension.adapter.posix import NOT_STARTED
from galaxy_core.testing.contract.faults import Truth
from galaxy_core_adb.simulate.builtins import unquoted
from galaxy_core_adb.simulate.disk import Disk

_VALUE: Final = r"(?:'[^']*'|\"[^\"]*\"|\\.|[^\s'\"\\;&|])*"
#: A script that begins an attempt sets its mark for what it starts; one that looks for the mark only mentions it.
_MARK: Final = re.compile(
    rf"(?:^|[\n;&({{])\s*(?:(?:export|env)\s+)?(?:[A-Za-z_]\w*={_VALUE}\s+)*GALAXY_MARK=['\"]?([\w-]+)['\"]?", re.DOTALL
)
#: The folder that such a script enters before it starts anything.
_FOLDER: Final = re.compile(rf"(?:\s+[A-Za-z_]\w*={_VALUE})*\s*(?:;|&&|\n)\s*cd\s+(?:--\s+)?({_VALUE})", re.DOTALL)


def mark_of(script: str, disk: Disk) -> str | None:
    """The mark of the attempt that `script` begins, if it begins one.

    Nothing begins where the folder is missing that the script enters first.
    """
    found = _MARK.search(script) if "GALAXY_MARK=" in script else None
    if found is None:
        return None
    folder = _FOLDER.match(script, found.end())
    if folder is not None and not disk.seen_by_commands(unquoted(folder[1]), disk.root).is_dir():
        return None
    return found[1]


def processes_with(variable: str) -> Iterator[tuple[int, str]]:
    """Number and command line of each living process that was started with `variable`, such as "NAME=value"."""
    wanted = variable.encode() + b"\0"
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            with open(f"/proc/{name}/environ", "rb") as file:
                environment = file.read()
            if not (environment.startswith(wanted) or b"\0" + wanted in environment):
                continue
            with open(f"/proc/{name}/cmdline", "rb") as file:
                words = file.read().rstrip(b"\0").replace(b"\0", b" ")
        except OSError:
            continue
        yield int(name), words.decode(errors="replace")


def sessions(leaders: frozenset[int]) -> Iterator[int]:
    """The living processes of the sessions that these began."""
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            with open(f"/proc/{name}/stat", "rb") as file:
                state, *numbers = file.read().rpartition(b")")[2].split()[:4]
        except OSError:
            continue
        if state != b"Z" and int(numbers[2]) in leaders:
            yield int(name)


def kill(number: int) -> None:
    """End a process, if it is still there."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(number, signal.SIGKILL)


def was_refused(script: str, code: int | None) -> bool:
    """Whether a script that leaves a marker has ended before it began with the work."""
    return code == NOT_STARTED and TAKEN in script


@define
class Attempts:
    """The truth about each mark."""

    _known: dict[str, Truth] = field(factory=dict)
    _sessions: dict[str, set[int]] = field(factory=dict)

    def started(self, mark: str | None, leader: int | None = None) -> None:
        """One more start; `leader` is the process that it began with, if it has one."""
        if mark is not None:
            self._known[mark] = Truth(starts=self._known.get(mark, Truth()).starts + 1, running=True)
            if leader is not None:
                self._sessions.setdefault(mark, set()).add(leader)

    def refused(self, mark: str | None) -> None:
        """The script has ended without beginning with the work, because the attempt's marker was there."""
        if mark is not None:
            known = self._known[mark]
            self._known[mark] = evolve(known, starts=known.starts - 1)

    def ended(self, mark: str | None, exit_code: int | None) -> None:
        """Its last start has ended; None: by force."""
        if mark is not None:
            self._known[mark] = evolve(self._known[mark], running=False, exit_code=exit_code)

    def of(self, mark: str) -> Truth:
        """What is so now."""
        known = self._known.get(mark, Truth())
        leaders = frozenset(self._sessions.get(mark, ()))
        alive = any(processes_with(f"GALAXY_MARK={mark}")) or (bool(leaders) and any(sessions(leaders)))
        return evolve(known, running=known.running or alive)
