"""The command `galaxy` in a process of its own: started as users start it, or forked from a server that has imported it.

A forked one is a process like any other, is killed like any other, and costs a tenth: it does not import.
"""

from __future__ import annotations

import multiprocessing.process
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from multiprocessing import get_context
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

#: What starts the command.
GALAXY = (sys.executable, "-m", "galaxy_core_cli")


_starting = threading.Lock()


def forked(function: Callable[..., None], *arguments: Any) -> ForkServerProcess:
    """A process that calls a function, forked from a server that has everything imported. From any thread."""
    context = get_context("forkserver")
    context.set_forkserver_preload(["tests.crash.preloaded"])
    process = context.Process(target=function, args=arguments)
    with _starting:
        process.start()
        # Whoever starts the next one would ask whether this one has ended, beside the thread that waits for it; and of two who
        # read its exit code at once, one gets none.
        children: set[object] = vars(multiprocessing.process)["_children"]
        children.discard(process)
    return process


class Command:
    """One that runs, and writes what it says to the end of `log`. With `fresh`, as users start it."""

    def __init__(self, arguments: Sequence[str], env: Mapping[str, str], log: Path, *, fresh: bool) -> None:
        self._fresh: subprocess.Popen[bytes] | None = None
        if fresh:
            with log.open("ab") as file:
                self._fresh = subprocess.Popen(
                    [*GALAXY, *arguments], env={**os.environ, **env}, stdin=subprocess.DEVNULL, stdout=file, stderr=file
                )
            return
        self._forked = forked(_galaxy, list(arguments), dict(env), log)

    def is_over(self) -> bool:
        """Whether it has ended."""
        return self._fresh.poll() is not None if self._fresh else not self._forked.is_alive()

    def wait(self, limit_s: float) -> int | None:
        """Its exit code; None when it has not ended by then."""
        if self._fresh:
            try:
                return self._fresh.wait(limit_s)
            except subprocess.TimeoutExpired:
                return None
        self._forked.join(limit_s)
        return self._forked.exitcode

    def kill(self) -> None:
        """End it at once, as nothing can prevent, and wait until it is gone."""
        pid = self._fresh.pid if self._fresh else self._forked.pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        if self._fresh:
            self._fresh.wait()
        else:
            self._forked.join()


def run_to_its_end(arguments: Sequence[str], env: Mapping[str, str], log: Path, limit_s: float) -> int | None:
    """The exit code of a command; None when it had to be killed after its time."""
    command = Command(arguments, env, log, fresh=False)
    code = command.wait(limit_s)
    if code is None:
        command.kill()
    return code


def _galaxy(arguments: list[str], env: dict[str, str], log: Path) -> None:
    os.environ.update(env)
    with open(os.devnull) as nothing, log.open("ab") as file:
        os.dup2(nothing.fileno(), 0)
        for descriptor in (1, 2):
            os.dup2(file.fileno(), descriptor)
    from galaxy_core_cli.main import main

    sys.argv = ["galaxy", *arguments]
    code = main(arguments)
    sys.stdout.flush()
    sys.stderr.flush()
    sys.exit(code)


def seconds(arguments: Sequence[str], env: Mapping[str, str], log: Path, limit_s: float) -> float:
    """How long a command takes here and now."""
    began = time.monotonic()
    assert run_to_its_end(arguments, env, log, limit_s) == 0, log.read_text(errors="replace")[-1500:]
    return time.monotonic() - began
