"""Markers of attempts on this machine, and processes that an orchestrator has left which died."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Collection, Iterable
from contextlib import suppress
from pathlib import Path

from anyio import CancelScope, CapacityLimiter, get_cancelled_exc_class, run_process, to_thread
from attrs import define, field

from galaxy_core.extension.adapter import marks
from galaxy_core.extension.adapter.home import own_home
from galaxy_core.extension.adapter.owners import make_folders
from galaxy_core.extension.interfaces import Attempt, Completed, Outcome, Unknown
from galaxy_core_local import family
from galaxy_core_local.signals import signal_text
from galaxy_core_local.tree import Tree

_SWEPT: set[Path] = set()
_NO_MARKER = marks.NO_MARKER.removeprefix("galaxy: ")


def default_folder(root: Path) -> Path:
    """Where markers are unless the settings say otherwise; it outlives a restart of the machine, unlike ``/tmp``."""
    state = os.environ.get("XDG_STATE_HOME", "")
    if os.path.isabs(state):
        return Path(state) / "galaxy" / "marks"
    try:
        return own_home() / ".local" / "state" / "galaxy" / "marks"
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
    output_cap_bytes: int = marks.KEPT_BYTES
    masked: Collection[str] = ()
    _runs: set[Path] = field(factory=set)
    _left: dict[str, list[family.Entry]] = field(factory=dict)

    def place(self, mark: str) -> str:
        """Where the marker of an attempt that is about to start is to be."""
        place = marks.marker(str(self.folder), mark)
        self._runs.add(Path(place).parent)
        return place

    def make_room(self, place: str) -> None:
        """See to it that the marker of an attempt can be made. One system call, or a few.

        Raises:
            ValueError: it cannot.
        """
        folder = os.path.dirname(place)
        if not os.path.isdir(folder):
            try:
                make_folders(self.folder)
                os.makedirs(folder, mode=0o700, exist_ok=True)
            except OSError as error:
                raise ValueError(f"{_NO_MARKER}{place}: {error.strerror}") from None

    def why_not_begun(self, place: str, pid: int) -> str | None:
        """Why the process that was to watch over a command has not made its marker; None if it has, and so has begun with it."""
        try:
            said = Path(f"{place}.pid").read_text()
        except OSError:
            said = ""
        if said.partition("\n")[0] == str(pid):
            return None
        return marks.TAKEN.removeprefix("galaxy: ") if said else f"{_NO_MARKER}{place}"

    async def give(self, place: str, stdin: bytes) -> None:
        """Put its input beside the marker of an attempt, which takes it away from there.

        Raises:
            ValueError: it cannot be kept there.
        """
        try:
            await to_thread.run_sync(_written, f"{place}.in", stdin, limiter=self.threads)
        except FileExistsError:
            raise ValueError(marks.TAKEN.removeprefix("galaxy: ")) from None
        except OSError as error:
            raise ValueError(f"its input cannot be kept at {place}: {error.strerror}") from None

    def take_back(self, place: str) -> None:
        """Remove the input of what has not begun."""
        with suppress(OSError):
            os.unlink(f"{place}.in")

    async def sweep(self) -> None:
        """Remove what is old, once for each folder."""
        if self.folder not in _SWEPT:
            _SWEPT.add(self.folder)
            await to_thread.run_sync(_sweep, self.folder, limiter=self.threads)

    async def expect(self, run_mark: str) -> None:
        """See `SessionThatSettles`."""
        if marks.EXPECTED.has(run_mark, str(self.folder)):
            return
        place = marks.marker(str(self.folder), f"{run_mark}-0")
        self._runs.add(Path(place).parent)
        with suppress(OSError):  # the script finds that out, too
            await to_thread.run_sync(make_folders, self.folder, limiter=self.threads)
        script = marks.expect_script(str(self.folder), run_mark)
        await run_process(["/bin/sh", "-c", script], stdin=subprocess.DEVNULL, check=False, start_new_session=True)
        marks.EXPECTED.note(run_mark, str(self.folder))

    async def settle(self, attempt: Attempt, fetch: Callable[[Attempt, Outcome], Awaitable[Outcome]]) -> Outcome:
        """See `SessionThatSettles.settle`. `fetch` adds the files that it has left."""
        script = marks.settle_script(str(self.folder), attempt.mark)
        self.place(attempt.mark)
        try:
            while True:
                said = await run_process(
                    ["/bin/sh", "-c", script], stdin=subprocess.DEVNULL, check=False, start_new_session=True
                )
                text = said.stdout.decode("utf-8", "replace")
                outcome = marks.settled(text)
                if isinstance(outcome, Completed) and outcome.exit_code is not None:
                    outcome.error = signal_text(outcome.exit_code)  # as for one that somebody was there for
                if isinstance(outcome, Unknown) and outcome.said is None:
                    return await to_thread.run_sync(self._where, attempt.mark, outcome, limiter=self.threads)
                if outcome is not None:
                    outcome = await self._with_output(attempt, outcome, marks.kept(text))
                    if marks.is_past(text):
                        return marks.without_outputs(attempt, outcome, marks.PAST)
                    return await fetch(attempt, outcome)
        except BaseException as error:  # whatever else keeps us from asking is no reason to stop it
            if _is_cancellation(error):
                if attempt.is_let_go:
                    attempt.partial = Unknown(marks.LET_GO)
                else:
                    await self.stop(attempt)
            raise

    def _where(self, mark: str, outcome: Unknown) -> Unknown:
        """With what whoever looks needs to know: where the marker was looked for, and what still runs of it."""
        running = family.find(-1, mark, reaped=True, group_only=False) if _finds_processes() else []
        still = f"; processes that have its mark still run: {', '.join(str(one.pid) for one in running)}"
        return Unknown(f"{outcome.reason} (looked for in {str(self.folder)!r}){still if running else ''}")

    async def _with_output(self, attempt: Attempt, outcome: Outcome, kept: str | None) -> Outcome:
        if kept is None:
            return outcome
        place = marks.marker(str(self.folder), attempt.mark)
        stdout, stderr = await to_thread.run_sync(
            lambda: [_read(f"{place}{suffix}") for suffix in (".out", ".err")], limiter=self.threads
        )
        cap, masked = self.output_cap_bytes, self.masked
        return marks.recovered(outcome, stdout, stderr, whole=kept == "whole", cap_bytes=cap, secrets=masked)

    async def stop(self, attempt: Attempt) -> None:
        """See `SessionThatSettles.stop`."""
        attempt.partial = Unknown(family.NOT_SURE)
        with CancelScope(shield=True):
            attempt.partial = await self._stopped(attempt)

    def could_not_end(self, mark: str, pids: Iterable[int]) -> None:
        """Keep in mind processes of an attempt: those of another user are not found a second time."""
        if left := family.living(pids):
            self._left[mark] = left

    async def _stopped(self, attempt: Attempt) -> Unknown | None:
        place = marks.marker(str(self.folder), attempt.mark)
        pid = await to_thread.run_sync(_fenced, place, attempt.leaves_marker, limiter=self.threads)
        if not await to_thread.run_sync(_finds_processes, limiter=self.threads):
            return Unknown("its processes cannot be looked for on this system")
        tree = Tree(_Gone(pid), attempt.mark, self.threads)  # type: ignore[arg-type]  # it has what a tree needs
        await tree.end(self.grace_s)
        before = {one.pid: one.start for one in self._left.get(attempt.mark, ())}
        there = await to_thread.run_sync(family.living, {*tree.untouchable, *before}, limiter=self.threads)
        left = [one.pid for one in there if one.pid in tree.untouchable or one.start == before[one.pid]]
        return Unknown(family.could_not_be_ended(left)) if left else None

    def release(self, mark: str) -> None:
        """Remove a marker: a handful of system calls. A fence stays: the start that it refuses may be on its way."""
        self._left.pop(mark, None)
        place = marks.marker(str(self.folder), mark)
        self._runs.add(Path(place).parent)
        is_fence = (_read(f"{place}.pid") or b"").startswith(b"refused")
        for suffix in marks.SUFFIXES[1:] if is_fence else marks.SUFFIXES:
            with suppress(OSError):
                os.unlink(f"{place}{suffix}")

    async def aclose(self) -> None:
        """Remove the folders of runs in which nothing is left."""
        if self._runs:
            with CancelScope(shield=True):
                await to_thread.run_sync(_tidy, self._runs, limiter=self.threads)


def _is_cancellation(error: BaseException) -> bool:
    cancelled = get_cancelled_exc_class()
    if isinstance(error, BaseExceptionGroup):
        return error.subgroup(cancelled) is not None
    return isinstance(error, cancelled)


def _finds_processes() -> bool:
    return sys.platform == "linux" and family.is_visible()


def _created(path: str) -> int:
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)


def _written(path: str, data: bytes) -> None:
    with os.fdopen(_created(path), "wb") as file:
        file.write(data)


def _read(path: str) -> bytes | None:
    """What is kept of a stream: nothing was said that is not there; None when it cannot be read."""
    try:
        with open(path, "rb") as file:
            return file.read(marks.KEPT_BYTES + 1)
    except FileNotFoundError:
        return b""
    except OSError:
        return None


def _fenced(place: str, leaves_marker: bool) -> int:
    """Keep it from starting; the number of the process that watches over it, -1 when there is none."""
    if leaves_marker:
        with suppress(OSError):
            os.makedirs(os.path.dirname(place), mode=0o700, exist_ok=True)
            _written(f"{place}.pid", b"refused stopped\n")
    try:
        return int(Path(f"{place}.pid").read_text().partition("\n")[0])
    except (OSError, ValueError):
        return -1


def _tidy(runs: set[Path]) -> None:
    """`rmdir` says no when a marker has come meanwhile; without ``boot``, nothing is concluded from what is not there."""
    for run in runs:
        with suppress(OSError):
            if os.listdir(run) in (["boot"], []):
                (run / "boot").unlink(missing_ok=True)
                run.rmdir()


def _sweep(folder: Path) -> None:
    before = time.time() - marks.KEPT_DAYS * 86400
    with suppress(OSError), os.scandir(folder) as runs:
        for run in runs:
            with suppress(OSError):
                if run.is_dir(follow_symlinks=False) and run.stat(follow_symlinks=False).st_mtime < before:
                    _remove(run.path)


def _remove(run: str) -> None:
    """Whoever asks meanwhile, or after we were killed in the middle of it, must not find ``boot`` without what it vouches for."""
    with suppress(FileNotFoundError):
        os.unlink(os.path.join(run, "boot"))
    shutil.rmtree(run, ignore_errors=True)
