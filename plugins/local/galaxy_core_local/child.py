"""A process that can be let go: what asyncio has started dies with its loop, or stays behind as a dead child."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from threading import Thread

from anyio import sleep, wait_readable
from anyio.abc import Process
from attrs import define

from galaxy_core_local.launch import Launch

#: Seconds between two looks at a process for which there was no descriptor.
LOOK_S = 0.02
#: Stands for the exit code of a process whose own somebody else has fetched, as asyncio has it, too.
FETCHED = 255


@define(eq=False)
class Child(Process):
    """A process without streams of its own. Nothing of it is held open while nobody waits for it.

    `is_unheard` says that it has ended, and that somebody else has fetched its exit code: a signal handler or a thread of the
    program, or the system itself where SIGCHLD is ignored.
    """

    _popen: subprocess.Popen[bytes]
    is_unheard: bool = False

    @classmethod
    def start(cls, launch: Launch, given: Sequence[int]) -> Child:
        """Start it as the leader of a session of its own. `given` are its input, output and error output.

        Raises:
            OSError: it could not be started.
        """
        stdin, stdout, stderr = given
        return cls(
            subprocess.Popen(
                launch.command,
                stdin=stdin,
                stdout=stdout,
                stderr=stderr,
                cwd=launch.cwd,
                env=launch.env,
                start_new_session=True,
            )
        )

    async def wait(self) -> int:
        if self._popen.returncode is None:
            await self._until_ended()
            self._fetch()
        return self._popen.returncode

    async def _until_ended(self) -> None:
        try:
            fd = os.pidfd_open(self.pid) if sys.platform == "linux" else -1
        except OSError:  # an old system, or no descriptor to be had
            fd = -1
        if fd < 0:
            while not self._has_ended():  # noqa: ASYNC110  nobody tells when
                await sleep(LOOK_S)
            return
        try:
            await wait_readable(fd)
        finally:
            os.close(fd)

    def _has_ended(self) -> bool:
        if sys.platform == "win32":
            return self._popen.poll() is not None
        try:
            return os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
        except ChildProcessError:
            return True

    def _fetch(self) -> None:
        """Does not block: it has ended. `Popen.wait` would take one whose exit code is not to be had for a success."""
        if self._popen.returncode is not None:
            return
        try:
            self._popen.returncode = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        except ChildProcessError:
            self._popen.returncode, self.is_unheard = FETCHED, True

    def forget(self) -> None:
        """It goes on, whatever becomes of us. `wait` is over; no dead child stays in a program that lives on."""
        if self._popen.returncode is None:
            self._popen.returncode = 0
            reap(self.pid)

    async def aclose(self) -> None:
        """Nothing to close."""

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.Signals(9))  # which Windows does not name

    def send_signal(self, signal: signal.Signals) -> None:
        if self._popen.returncode is None:  # `Popen` would look first, and fetch the exit code, or make one up
            with suppress(ProcessLookupError):
                os.kill(self.pid, signal)

    @property
    def pid(self) -> int:
        return self._popen.pid

    @property
    def returncode(self) -> int | None:
        return self._popen.returncode

    @property
    def stdin(self) -> None:
        return None

    @property
    def stdout(self) -> None:
        return None

    @property
    def stderr(self) -> None:
        return None


def is_unheard(process: Process) -> bool:
    """Whether the exit code of a process that has ended is not its own. Of what asyncio or trio has started, they do not say it."""
    if isinstance(process, Child):
        return process.is_unheard
    return sys.platform != "win32" and signal.getsignal(signal.SIGCHLD) == signal.SIG_IGN


def _nobody() -> bool:
    return False


def reap(pid: int, somebody_else_does: Callable[[], bool] = _nobody) -> None:
    """Have a thread wait for a child, and fetch its exit code unless somebody else is to; the thread ends with the program."""

    def wait() -> None:
        with suppress(ChildProcessError):  # it has been fetched
            if sys.platform != "win32":
                os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
                while somebody_else_does():
                    time.sleep(LOOK_S)
                    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            os.waitpid(pid, 0)

    with suppress(RuntimeError):  # no thread to be had: then a dead child it is, until the program ends
        Thread(target=wait, name=f"galaxy: process {pid}", daemon=True).start()
