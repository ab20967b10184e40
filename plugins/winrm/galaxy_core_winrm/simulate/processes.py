"""The processes of commands: real ones, on pipes, found again in /proc by what stands in their environment.

Windows keeps what a command starts in a job, which ends as a whole. Here, a job is a variable in the environment, which
children inherit: one that clears its environment *and* leaves its session escapes.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

import anyio
from attrs import define, field

JOB = "SIMULATED_JOB"
EXIT_FILE = "SIMULATED_EXIT"
#: The mark in the command line with which a command began; only of the leader of its session does it count.
SHOWN_MARK = "SIMULATED_SHOWN_MARK"
#: Read from a pipe at a time, and kept of what nobody has asked for yet: a command that says more is held up.
_PIECE, _BACKLOG = 1 << 16, 1 << 20
_LOOK_AGAIN_S = 0.002
#: What the element around a piece of output costs in a message.
_ELEMENT = 256


def processes_with(entry: str) -> list[int]:
    """Ids of processes in whose environment `entry` ("NAME=" or "NAME=value") stands, with what it begins; Linux only."""
    # The environment is a sequence of entries that end with NUL; a whole value is asked for by giving the NUL with it.
    wanted = b"\0" + entry.encode()
    found = []
    for folder in os.listdir("/proc"):
        if not folder.isdigit():
            continue
        with contextlib.suppress(OSError), open(f"/proc/{folder}/environ", "rb") as file:
            if wanted in b"\0" + file.read() and not _is_dead(folder):
                found.append(int(folder))
    return found


def _is_dead(process_id: str) -> bool:
    with open(f"/proc/{process_id}/stat", "rb") as file:
        return file.read().rpartition(b")")[2].split()[0] in b"ZX"


@define
class Program:
    """What is to be started: the words, of which the first is a path; and what may be gone back to if it exits so."""

    words: Sequence[str | bytes]
    environment: Mapping[str, str]
    folder: Path
    job: str
    exit_file: Path


@define
class Running:
    """One started program. `stirred` is set when there is more to tell."""

    program: Program
    process: subprocess.Popen[bytes]
    chunks: list[tuple[str, bytes]] = field(factory=list)
    exit_code: int | None = None
    by_force: bool = False
    _stirred: anyio.Event = field(factory=anyio.Event)
    _drained: anyio.Event = field(factory=anyio.Event)
    _sending: anyio.Lock = field(factory=anyio.Lock)

    @classmethod
    def start(cls, program: Program) -> Running:
        """Start it; `serve` has to be running for it to be heard.

        Raises:
            OSError: it cannot be started.
        """
        words, script = list(program.words), None
        if words[:2] == ["/bin/sh", "-c"]:
            # What cmd.exe replaces within a line, secrets among it, Windows shows to nobody: it must not stand in a list
            # of processes here either.
            script = os.memfd_create("script")
            os.write(script, os.fsencode(words[2]) + b"\n")
            words = ["/bin/sh", f"/proc/self/fd/{script}"]
        try:
            process = subprocess.Popen(
                words,
                env=dict(program.environment) | {JOB: program.job, EXIT_FILE: str(program.exit_file)},
                cwd=program.folder,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                bufsize=0,
                start_new_session=True,
                pass_fds=() if script is None else (script,),
            )
        finally:
            if script is not None:
                os.close(script)
        for pipe in (process.stdin, process.stdout, process.stderr):
            assert pipe is not None
            os.set_blocking(pipe.fileno(), False)
        return cls(program, process)

    async def serve(self) -> None:
        """Read until both pipes are closed and the program has ended, then know its exit code.

        As on Windows, a child that keeps the pipes open keeps the command going. Cancelling it kills everything.
        """
        handle = os.pidfd_open(self.process.pid)
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._read, "stdout", self.process.stdout)
                tasks.start_soon(self._read, "stderr", self.process.stderr)
            await anyio.wait_readable(handle)
            self.exit_code = self._code(self.process.wait())
        finally:
            if self.exit_code is None:
                self.kill()
                self.exit_code = self._code(self.process.wait())
            os.close(handle)
            self._close_input()
            for pipe in (self.process.stdout, self.process.stderr):
                assert pipe is not None
                pipe.close()
            # Commands are remembered longer than what they were started with.
            self.program.environment = {}
            self._stirred.set()

    def _code(self, status: int) -> int:
        """Windows' codes have 32 bits, those of processes here 8: a larger one is left in a file by what exits with it."""
        with contextlib.suppress(OSError, ValueError):
            text = self.program.exit_file.read_text(encoding="ascii")
            self.program.exit_file.unlink()
            return int(text)
        # A process that is ended by another one ends with 1 on Windows; there are no signals.
        return status if status >= 0 else 1

    async def _read(self, name: str, pipe: object) -> None:
        file = pipe.fileno()  # type: ignore[attr-defined]  # typed as an optional stream, which it is not with PIPE
        while True:
            await anyio.wait_readable(file)
            while sum(len(data) for _, data in self.chunks) > _BACKLOG and not self.by_force:
                if self._drained.is_set():
                    self._drained = anyio.Event()
                await self._drained.wait()
            try:
                data = os.read(file, _PIECE)
            except BlockingIOError:
                continue
            if not data:
                return
            self.chunks.append((name, data))
            self._stirred.set()

    async def wait_for_more(self) -> None:
        """Until there is output, or the exit code is known."""
        while not self.chunks and self.exit_code is None:
            if self._stirred.is_set():
                self._stirred = anyio.Event()
            await self._stirred.wait()

    def take(self, limit: int) -> list[tuple[str, bytes]]:
        """What has been said and not been taken, about `limit` bytes of it once it stands in a message."""
        taken: list[tuple[str, bytes]] = []
        while self.chunks and limit > 0:
            name, data = self.chunks.pop(0)
            if len(data) > limit:
                self.chunks.insert(0, (name, data[limit:]))
                data = data[:limit]
            if taken and taken[-1][0] == name:
                taken[-1] = (name, taken[-1][1] + data)
            else:
                taken.append((name, data))
                limit -= _ELEMENT
            limit -= len(data)
        self._drained.set()
        return taken

    async def send(self, data: bytes, *, end: bool) -> bool:
        """Write to its standard input, waiting while its pipe is full; False when it does not read any more."""
        async with self._sending:
            pipe = self.process.stdin
            if pipe is None or pipe.closed:
                return False
            left = memoryview(data)
            while left:
                try:
                    left = left[os.write(pipe.fileno(), left) :]
                except BlockingIOError:
                    try:
                        await anyio.wait_writable(pipe.fileno())
                    except anyio.ClosedResourceError:
                        return False
                    if pipe.closed:
                        return False
                except BrokenPipeError:
                    self._close_input()
                    return False
            if end:
                self._close_input()
        return True

    def _close_input(self) -> None:
        pipe = self.process.stdin
        if pipe is not None and not pipe.closed:
            anyio.notify_closing(pipe.fileno())
            pipe.close()

    def kill(self) -> None:
        """End it and everything that it has started; costs a look at every process of the machine."""
        self.by_force = self.by_force or self.exit_code is None
        self._drained.set()
        if self.process.returncode is None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.process.pid, signal.SIGKILL)
        kill_job(self.program.job)


def kill_job(job: str) -> bool:
    """End every process whose job begins so; True when there was none. One that is killed takes a moment to be gone."""
    left = processes_with(f"{JOB}={job}")
    for process_id in left:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process_id, signal.SIGKILL)
    return not left


async def end_job(job: str) -> None:
    """The same, until none is left: a process that was about to fork may leave a child that was not there when we looked."""
    while not kill_job(job):  # noqa: ASYNC110  /proc tells nobody when a process is gone
        await anyio.sleep(_LOOK_AGAIN_S)
