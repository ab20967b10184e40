"""Markers of attempts on this machine, and processes that an orchestrator has left which died."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

from anyio import CancelScope, CapacityLimiter, run_process, to_thread
from attrs import define, field

from galaxy_core.extension.adapter import marks
from galaxy_core.extension.interfaces import Attempt, Outcome, Unknown
from galaxy_core_local import family
from galaxy_core_local.tree import Tree

#: The files of a marker, most of which are there.
_FILES = ("pid", "end", "o", "r", "in")
_SWEPT: set[Path] = set()


def default_folder(root: Path) -> Path:
    """Where markers are unless the settings say otherwise; it outlives a restart of the machine, unlike ``/tmp``."""
    state = os.environ.get("XDG_STATE_HOME", "")
    if os.path.isabs(state):
        return Path(state) / "galaxy" / "marks"
    try:
        return Path.home() / ".local" / "state" / "galaxy" / "marks"
    except RuntimeError:  # this user has no home
        return root / marks.FOLDER


@define
class _Gone:
    """A process that was not started here; `pid` was its number."""

    pid: int
    returncode: int = 0

    async def wait(self) -> int:
        """It was waited for, by somebody else."""
        return self.returncode


@define
class Markers:
    """The markers below `folder`, as one session uses them."""

    folder: Path
    grace_s: float
    threads: CapacityLimiter
    _runs: set[Path] = field(factory=set)

    def place(self, mark: str) -> str:
        """Where the marker of an attempt that is about to start is to be."""
        place = marks.marker(str(self.folder), mark)
        self._runs.add(Path(place).parent)
        return place

    async def sweep(self) -> None:
        """Remove what is old, once for each folder."""
        if self.folder not in _SWEPT:
            _SWEPT.add(self.folder)
            await to_thread.run_sync(_sweep, self.folder, limiter=self.threads)

    async def expect(self, run_mark: str) -> None:
        """See `SessionThatSettles`."""
        place = marks.marker(str(self.folder), f"{run_mark}-0")
        self._runs.add(Path(place).parent)
        script = marks.expect_script(str(self.folder), run_mark)
        await run_process(["/bin/sh", "-c", script], stdin=subprocess.DEVNULL, check=False, start_new_session=True)

    async def settle(self, attempt: Attempt) -> Outcome:
        """See `SessionThatSettles.settle`."""
        script = marks.settle_script(str(self.folder), attempt.mark)
        self.place(attempt.mark)
        try:
            while True:
                said = await run_process(
                    ["/bin/sh", "-c", script], stdin=subprocess.DEVNULL, check=False, start_new_session=True
                )
                outcome = marks.settled(said.stdout.decode("utf-8", "replace"))
                if outcome is not None:
                    return marks.without_outputs(attempt, outcome)
        except BaseException:
            await self.stop(attempt)
            raise

    async def stop(self, attempt: Attempt) -> None:
        """See `SessionThatSettles.stop`."""
        with CancelScope(shield=True):
            attempt.partial = await self._stopped(attempt)

    async def _stopped(self, attempt: Attempt) -> Unknown | None:
        place = Path(marks.marker(str(self.folder), attempt.mark))
        pid = await to_thread.run_sync(_fenced, place, attempt.leaves_marker, limiter=self.threads)
        if sys.platform != "linux" or not await to_thread.run_sync(family.is_visible, limiter=self.threads):
            return Unknown("its processes cannot be looked for on this system")
        tree = Tree(_Gone(pid), attempt.mark, self.threads)  # type: ignore[arg-type]  # it has what a tree needs
        await tree.end(self.grace_s)
        if tree.untouchable:
            return Unknown(f"processes {sorted(tree.untouchable)} could not be ended: they are another user's")
        return None

    def release(self, mark: str) -> None:
        """Remove a marker: a handful of system calls."""
        place = marks.marker(str(self.folder), mark)
        self._runs.add(Path(place).parent)
        with suppress(OSError):
            for name in _FILES:
                with suppress(FileNotFoundError):
                    os.unlink(f"{place}/{name}")
            os.rmdir(place)

    async def aclose(self) -> None:
        """Remove the folders of runs in which nothing is left."""
        if self._runs:
            with CancelScope(shield=True):
                await to_thread.run_sync(_tidy, self._runs, limiter=self.threads)


def _fenced(place: Path, leaves_marker: bool) -> int:
    """Keep it from starting; the number of the process that watches over it, -1 when there is none."""
    if leaves_marker:
        with suppress(OSError):
            place.mkdir(mode=0o700)
            (place / "end").write_text("refused asked\n")
    try:
        return int((place / "pid").read_text())
    except (OSError, ValueError):
        return -1


def _tidy(runs: set[Path]) -> None:
    for run in runs:
        with suppress(OSError):
            if os.listdir(run) == ["boot"]:
                shutil.rmtree(run, ignore_errors=True)


def _sweep(folder: Path) -> None:
    before = time.time() - marks.KEPT_DAYS * 86400
    with suppress(OSError), os.scandir(folder) as runs:
        for run in runs:
            if run.is_dir(follow_symlinks=False) and run.stat(follow_symlinks=False).st_mtime < before:
                shutil.rmtree(run.path, ignore_errors=True)
