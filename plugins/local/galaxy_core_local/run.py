"""One subprocess from its start to its end, whichever way it ends."""

from __future__ import annotations

import asyncio
import logging
import math
import os
import subprocess
import sys
from typing import Any

from anyio import (
    CancelScope,
    Event,
    create_task_group,
    current_effective_deadline,
    get_cancelled_exc_class,
    move_on_after,
    open_process,
)
from anyio.abc import Process
from anyio.lowlevel import checkpoint
from attrs import Factory, define

from galaxy_core.extension.interfaces import Attempt
from galaxy_core_local import family
from galaxy_core_local.child import Child, reap
from galaxy_core_local.launch import Launch
from galaxy_core_local.settings import LocalSettings
from galaxy_core_local.streams import Capture, feed
from galaxy_core_local.tree import Tree
from galaxy_core_local.watched import Pipes

#: Time for reading what is in the pipes of a command that has ended, when there is no time left.
LAST_WORDS_S = 0.5


_log = logging.getLogger(__name__)


async def start(launch: Launch, pipes: Pipes | None = None) -> Process:
    """Start it as the leader of a session of its own, so that signals of our terminal do not reach it.

    Does not stop for cancellation once it has begun: half-way there is a process that nobody could end.

    Raises:
        OSError: it could not be started.
    """
    await checkpoint()
    with CancelScope(shield=True):
        if pipes is None:
            given = (subprocess.PIPE if launch.stdin else subprocess.DEVNULL, subprocess.PIPE, subprocess.PIPE)
            process = await _open(launch, *given)
        else:
            try:
                process = Child.start(launch, pipes.given)
            finally:
                pipes.started()
    return process


if sys.platform == "win32":

    async def _open(launch: Launch, stdin: int, stdout: int, stderr: int) -> Process:
        flags = subprocess.CREATE_NEW_PROCESS_GROUP
        return await open_process(
            launch.command,
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            cwd=launch.cwd,
            env=launch.env,
            creationflags=flags,
        )

else:

    async def _open(launch: Launch, stdin: int, stdout: int, stderr: int) -> Process:
        return await open_process(
            launch.command,
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            cwd=launch.cwd,
            env=launch.env,
            start_new_session=True,
        )


def forget(process: Process) -> None:
    """Have it go on when this process, or its event loop, ends: asyncio kills what it believes to run when it lets go of it."""
    if isinstance(process, Child):
        process.forget()
        return
    inner: Any = getattr(process, "_process", None)  # of asyncio or trio; neither has a way of letting go
    transport = getattr(inner, "_transport", None)
    started = getattr(inner, "_proc", None) if transport is None else transport.get_extra_info("subprocess")
    if started is None or started.returncode is not None:
        return
    started.returncode = 0
    if transport is not None:  # its loop waits for its child as long as it is there; in Python 3.11 a thread does
        transport.close()
        loop = asyncio.get_running_loop()
        reap(process.pid, lambda: not loop.is_closed())
        return
    _ = process.returncode  # asked for it, trio closes the descriptor by which it watches a process
    reap(process.pid)


def _in_cancelled_scope() -> bool:
    """Whether a scope around this task is cancelled. A task of asyncio that is cancelled as such has to end with that."""
    return current_effective_deadline() == -math.inf


@define
class Run:
    """A started process and what reads its output. `background` says that something outlived it, None when not.

    `left` are processes that could not be ended, `doubt` says why it may still be at work, after it was to be ended. `pipes` are those of a command that is watched. `is_marked` says that a shell leaves a marker of it, `was_cut_short` that a cancellation came when the command itself had ended, and was not passed on.
    """

    attempt: Attempt
    process: Process
    tree: Tree
    stdout: Capture
    stderr: Capture
    settings: LocalSettings
    background: str | None = None
    was_cut_short: bool = False
    is_marked: bool = False
    pipes: Pipes | None = None
    left: list[int] = Factory(list)
    doubt: str | None = None

    async def to_its_end(self, stdin: bytes | None) -> int:
        """The exit code. When cancelled, ends the process and all its descendants first, unless the attempt is let go.

        A process that has ended by then has an exit code that stands: a deadline, or the cancellation of a scope, only
        cuts short the time that its output has to come to an end.
        """
        try:
            await self._converse(stdin)
        except BaseException as error:  # goes on to the kernel, unless it is the cancellation of what has ended
            if not (isinstance(error, get_cancelled_exc_class()) and self._has_ended() and _in_cancelled_scope()):
                if self.attempt.is_let_go:
                    forget(self.process)
                else:
                    await self._abandon()
                raise
            self.was_cut_short = True
            await self._cut_short()
        finally:
            await self._release()
        assert self.process.returncode is not None
        return self.process.returncode

    async def _converse(self, stdin: bytes | None) -> None:
        async with create_task_group() as tasks:
            if stdin and self.process.stdin is not None:
                tasks.start_soon(feed, self.process.stdin, stdin)
            silent = Event()
            tasks.start_soon(self._read, silent)
            await self.process.wait()
            await self._let_go(silent)
            tasks.cancel_scope.cancel()

    async def _read(self, silent: Event | None = None) -> None:
        """Both streams until nobody holds them any more, then set `silent`."""
        ends = self.process if self.pipes is None else self.pipes
        assert ends.stdout is not None
        assert ends.stderr is not None
        async with create_task_group() as tasks:
            tasks.start_soon(self.stdout.read, ends.stdout)
            tasks.start_soon(self.stderr.read, ends.stderr)
        if silent is not None:
            silent.set()

    async def _let_go(self, silent: Event) -> None:
        """The command has ended. Its output ends with it, unless it left somebody behind who holds on to that."""
        with move_on_after(self.settings.drain_s):
            await silent.wait()
        if silent.is_set():
            return
        await self.tree.end(self.settings.kill_grace_s, group_only=True)
        with move_on_after(self.settings.drain_s):
            await silent.wait()
        self._describe_background(silent)

    def _has_ended(self) -> bool:
        """Whether the process itself has, and was not ended by us; also when the event loop has not noticed yet."""
        if self.process.returncode is not None or sys.platform != "linux":
            return self.process.returncode is not None
        try:
            return os.waitid(os.P_PID, self.process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
        except ChildProcessError:  # the event loop has fetched its exit code, and is about to say so
            return True

    async def _cut_short(self) -> None:
        """As `_let_go`, but with no time for those who hold the output."""
        with CancelScope(shield=True):
            await self.process.wait()
            silent = Event()
            async with create_task_group() as tasks:
                tasks.start_soon(self._read, silent)
                await self.tree.end(self.settings.kill_grace_s, group_only=True)
                with move_on_after(min(self.settings.drain_s, LAST_WORDS_S)):
                    await silent.wait()
                tasks.cancel_scope.cancel()
            self._describe_background(silent)

    def _describe_background(self, silent: Event) -> None:
        if self.tree.found:
            self.background = "background processes that held the output open after the command were ended"
        if not silent.is_set():
            self.background = "background processes in a session of their own held the output open, and were left alone"

    async def _abandon(self) -> None:
        self.doubt = family.NOT_SURE
        with CancelScope(shield=True):
            async with create_task_group() as tasks:
                # A process that is asked to end may have something to say, and must not block on saying it.
                tasks.start_soon(self._read)
                await self.tree.end(self.settings.kill_grace_s)
                tasks.cancel_scope.cancel()
        leader = [self.process.pid] if self.process.returncode is None else []
        self.left = sorted({*leader, *(one.pid for one in family.living(self.tree.untouchable))})
        self.doubt = family.could_not_be_ended(self.left) if self.left else None
        if self.doubt is not None:
            _log.warning("%s", self.doubt)

    async def _release(self) -> None:
        process = self.process
        with CancelScope(shield=True):
            await self.stdout.aclose()
            await self.stderr.aclose()
            if process.returncode is not None:
                await process.aclose()
            else:  # it could not be ended, and would be waited for
                forget(process)
                for stream in (process.stdin, process.stdout, process.stderr):
                    if stream is not None:
                        await stream.aclose()
