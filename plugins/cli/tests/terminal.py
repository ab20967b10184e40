"""A command in a terminal of its own, as a person has one."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from .asking import TIMEOUT_S, command

#: Takes the terminal for its own, so that Ctrl-C means this process, and becomes the command.
_TAKE = "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execv(sys.argv[1], sys.argv[1:])"
CTRL_C = b"\x03"
CTRL_BACKSLASH = b"\x1c"
_SEQUENCE = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")
HIDE_CURSOR, SHOW_CURSOR = "\x1b[?25l", "\x1b[?25h"
ERASE_LINE = "\x1b[2K"
# Both the shell and what it starts hold the pipe; the shell would not end when asked to.
STUBBORN = """
    name: stubborn
    tasks:
      stay: {shell: "trap '' TERM; exec 3> alive; sleep 1000 & echo here I am; wait; wait"}
      next: {run: [echo], needs: [stay]}
"""
# Who is asked to end does, and leaves somebody behind who does not.
ORPHANS = """
    name: orphans
    tasks:
      stay: {shell: "exec 3> alive; (trap '' TERM; exec sleep 1000) & echo here I am; wait"}
"""
WILLING = """
    name: willing
    tasks:
      stay: {shell: "exec 3> alive; echo here I am; sleep 1000"}
      next: {run: [echo], needs: [stay]}
"""


class Terminal:
    """`shown` is everything that was written to it so far."""

    def __init__(
        self, *arguments: str, width: int = 100, height: int = 30, program: Sequence[str] | None = None
    ) -> None:
        """`program` is another one than the command."""
        self.shown = ""
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))
        environment = {**os.environ, "TERM": "xterm-256color", "PYTHONIOENCODING": "utf-8"}
        for name in ("NO_COLOR", "COLUMNS", "LINES"):  # the size is that of the terminal, not of where the tests run
            environment.pop(name, None)
        self.process = subprocess.Popen(
            [sys.executable, "-c", _TAKE, *(command(*arguments) if program is None else [*program, *arguments])],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
            env=environment,
        )
        os.close(slave)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.process.kill()
        self.process.wait(TIMEOUT_S)
        self.close()

    def close(self) -> None:
        """Take the terminal away from whoever sits in it."""
        if self._master >= 0:
            os.close(self._master)
            self._master = -1

    def press(self, keys: bytes) -> None:
        os.write(self._master, keys)

    @property
    def text(self) -> str:
        """What was shown, without colours and without what moves the cursor."""
        return _SEQUENCE.sub("", self.shown)

    def until(self, pattern: str) -> re.Match[str]:
        """Read until the pattern was shown; what it found in `text`."""
        deadline = time.monotonic() + TIMEOUT_S
        while (found := re.search(pattern, self.text)) is None:
            assert time.monotonic() < deadline, f"{pattern!r} was not shown in time, but {self.shown!r}"
            assert self._read(), f"{pattern!r} was never shown, but {self.shown!r}"
        return found

    def to_the_end(self) -> int:
        """Read until nobody has the terminal any more; the exit code."""
        while self._read():
            pass
        return self.process.wait(TIMEOUT_S)

    def _read(self) -> bool:
        readable, _, _ = select.select([self._master], [], [], TIMEOUT_S)
        assert readable, f"nothing more was shown after {self.shown!r}"
        try:
            data = os.read(self._master, 1 << 16)
        except OSError:  # Linux says so when nobody has the other end any more
            return False
        self.shown += data.decode("utf-8", "replace")
        return bool(data)


class Witness:
    """A named pipe that processes hold open while they live."""

    def __init__(self, path: Path) -> None:
        os.mkfifo(path)
        self._reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)

    def all_gone(self) -> bool:
        """Wait until every process that has opened it for writing has ended, and say that it has."""
        readable, _, _ = select.select([self._reader], [], [], TIMEOUT_S)
        if not readable:
            return False
        while os.read(self._reader, 1 << 16):
            pass
        os.close(self._reader)
        return True
