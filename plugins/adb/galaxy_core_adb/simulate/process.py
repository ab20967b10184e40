"""A process of a command: no thread waits for it, so hundreds may run. Linux only (pidfd)."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import anyio

#: What a command may take of this machine: seconds of processor, bytes of memory. A convenience, no security boundary.
LIMITS: Final = ((resource.RLIMIT_CPU, 600), (resource.RLIMIT_AS, 4 << 30), (resource.RLIMIT_CORE, 0))


class Process:
    """A running program in a session of its own. Someone must await `reap`."""

    def __init__(self, words: Sequence[str], environment: Mapping[str, str], folder: Path, *, one_output: bool) -> None:
        self._popen = subprocess.Popen(
            words,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT if one_output else subprocess.PIPE,
            env=environment,
            cwd=folder,
            start_new_session=True,
            bufsize=0,
        )
        self.pid = self._popen.pid
        for limit, most in LIMITS:
            with contextlib.suppress(ProcessLookupError):
                resource.prlimit(self.pid, limit, (most, most))
        self._pidfd = os.pidfd_open(self.pid)
        self._ended = anyio.Event()
        self.pipes = [pipe for pipe in (self._popen.stdin, self._popen.stdout, self._popen.stderr) if pipe is not None]
        for pipe in self.pipes:
            os.set_blocking(pipe.fileno(), False)

    async def reap(self) -> None:
        """Wait until it has ended, and give back what the system keeps for it."""
        try:
            await anyio.wait_readable(self._pidfd)
        finally:
            if self._popen.poll() is None:
                self._popen.kill()
                self._popen.wait()
            os.close(self._pidfd)
            self._ended.set()

    async def wait(self) -> int:
        """How it ended, as a shell says it: 128 + number for a signal."""
        await self._ended.wait()
        code = self._popen.returncode
        return code if code >= 0 else 128 - code

    @property
    def ended(self) -> bool:
        """Whether it is gone."""
        return self._ended.is_set()

    async def read(self, which: int) -> bytes:
        """Some output, of `pipes[which]`; empty at its end."""
        number = self.pipes[which].fileno()
        while True:
            try:
                return os.read(number, 65_536)
            except BlockingIOError:
                await anyio.wait_readable(number)

    async def write(self, data: bytes) -> bool:
        """Its standard input; False when it does not listen any more."""
        number = self.pipes[0].fileno()
        view = memoryview(data)
        while view:
            try:
                view = view[os.write(number, view) :]
            except BlockingIOError:
                await anyio.wait_writable(number)
            except BrokenPipeError:
                return False
        return True

    def close_input(self) -> None:
        """Its standard input ends."""
        self.pipes[0].close()

    def hang_up(self, number: signal.Signals | None = None) -> None:
        """Close its pipes and, unless it has ended, send the signal to it alone. Nobody may be reading from it."""
        for pipe in self.pipes:
            pipe.close()
        if number is not None and not self.ended:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._pidfd, number)
