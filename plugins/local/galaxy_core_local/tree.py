"""Ending a command with everything that it has started.

A process group is not enough: a shell with job control gives each job a group of its own, and `setsid` leaves the
session, too. So on Linux the processes are found in /proc, and are signalled and waited for through pidfds, which never
hit a process that has got the same number since. See docs/decisions/0011-local-process-trees.md.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress

from anyio import CancelScope, CapacityLimiter, create_task_group, move_on_after, run_process, to_thread, wait_readable
from anyio.abc import Process
from attrs import Factory, define

from galaxy_core_local import family

#: How long processes may take to be gone after SIGKILL. One that waits for a dead disk never goes.
KILL_BOUND_S = 5.0


@define
class Tree:
    """The processes of one command. `process` was started as the leader of a session, with `mark` in its environment."""

    process: Process
    mark: str
    threads: CapacityLimiter
    #: Whether anybody was there to be signalled.
    found: bool = False
    #: Processes of other users, which we may not signal (through sudo, say).
    untouchable: set[int] = Factory(set)
    #: Called when `process` has ended: for who does not mind signals, and waits for that.
    over: Callable[[], None] | None = None

    async def end(self, grace_s: float, *, group_only: bool = False) -> None:
        """Ask all to end, wait at most `grace_s`, kill what is left.

        `group_only` leaves those alone that have left the command's process group: they are meant to outlive it.
        Does not stop for cancellation, and takes at most `grace_s` and KILL_BOUND_S.
        """
        with CancelScope(shield=True):
            if sys.platform == "win32":
                await self._end_on_windows()
            elif sys.platform == "linux" and await to_thread.run_sync(family.is_visible, limiter=self.threads):
                await self._end_family(grace_s, group_only)
            else:
                await self._end_group(grace_s)

    if sys.platform == "win32":

        async def _end_on_windows(self) -> None:
            # Windows has no way of asking a tree of console programs to end, so there is no grace.
            if self.process.returncode is None:
                self.found = True
                with move_on_after(KILL_BOUND_S):
                    await run_process(["taskkill", "/PID", str(self.process.pid), "/T", "/F"], check=False)
                    await self.process.wait()

    else:

        async def _end_group(self, grace_s: float) -> None:
            """Where processes cannot be found: the group, without knowing who is in it."""
            group = self.process.pid
            if _signal_group(group, signal.SIGTERM, signal.SIGCONT):
                self.found = True
                with move_on_after(grace_s):
                    await self.process.wait()
                _signal_group(group, signal.SIGKILL)
            with move_on_after(KILL_BOUND_S):
                await self.process.wait()

    if sys.platform == "linux":

        async def _end_family(self, grace_s: float, group_only: bool) -> None:
            # Each step again and again, because somebody may have been started between our look and our signal.
            with move_on_after(grace_s):
                # A stopped process acts on SIGTERM only once it goes on.
                while await self._round((signal.SIGTERM, signal.SIGCONT), group_only):
                    pass
            with move_on_after(KILL_BOUND_S):
                while await self._round((signal.SIGKILL,), group_only):
                    pass
                await self.process.wait()

        async def _round(self, signals: tuple[signal.Signals, ...], group_only: bool) -> bool:
            """Signal everybody and wait until all are gone. Whether there was anybody."""
            watched: list[int] = []
            reaped = self.process.returncode is not None
            try:
                await to_thread.run_sync(self._signal, signals, reaped, group_only, watched, limiter=self.threads)
                async with create_task_group() as waiting:
                    for fd in watched:
                        waiting.start_soon(_readable, fd)
                    waiting.start_soon(self._until_over)
            finally:
                for fd in watched:
                    os.close(fd)
            return bool(watched)

        async def _until_over(self) -> None:
            await self.process.wait()
            if self.over is not None:
                self.over()

        def _signal(
            self, signals: tuple[signal.Signals, ...], reaped: bool, group_only: bool, watched: list[int]
        ) -> None:
            """In a worker thread. Fills `watched` with a pidfd for each process that was signalled."""
            for entry in family.find(self.process.pid, self.mark, reaped=reaped, group_only=group_only):
                if entry.pid in self.untouchable:
                    continue
                try:
                    fd = family.watch(entry)
                except OSError:  # no descriptor to be had: signal it by number, and do not wait for it
                    with suppress(OSError):
                        os.kill(entry.pid, signals[0])
                    continue
                if fd is not None:
                    watched.append(fd)
                    if not family.send(fd, signals):
                        self.untouchable.add(entry.pid)
                        os.close(watched.pop())
            self.found = self.found or bool(watched)


async def _readable(fd: int) -> None:
    await wait_readable(fd)


if sys.platform != "win32":

    def _signal_group(group: int, *numbers: signal.Signals) -> bool:
        """Whether there was such a group."""
        with suppress(ProcessLookupError, PermissionError):
            for number in numbers:
                os.killpg(group, number)
            return True
        return False
