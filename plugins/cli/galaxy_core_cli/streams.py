"""Standard output and standard error: whether a person watches, and what happens when nobody does any more."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import TextIO


def is_terminal(stream: TextIO) -> bool:
    """Whether somebody sits there who can be shown what moves."""
    return stream.isatty() and (os.name == "nt" or os.environ.get("TERM", "dumb") != "dumb")


def replace_closed() -> None:
    """Put the null device where the caller closed a standard stream, as in ``galaxy run plan.yaml >&-``.

    Python has None there, and the next file or pipe that anything opens would get the number of the stream.
    """
    for number, (name, mode) in enumerate((("stdin", "r"), ("stdout", "w"), ("stderr", "w"))):
        if getattr(sys, name) is None:
            # For the rest of the process, so that nothing closes it.
            setattr(sys, name, open(_nowhere(number), mode, encoding="utf-8", errors="backslashreplace", closefd=False))  # noqa: SIM115


def _nowhere(number: int) -> int:
    """A descriptor of the null device that child processes inherit: this number, if nothing else has it by now."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    try:
        os.fstat(number)
    except OSError:
        os.dup2(nowhere, number)
        os.close(nowhere)
        return number
    os.set_inheritable(nowhere, True)
    return nowhere


def flush_or_drop(stream: TextIO) -> None:
    """Write out what is left, or have it go nowhere: the interpreter would stumble over it when it ends."""
    try:
        stream.flush()
    except (OSError, ValueError):
        close_quietly(stream)


def close_quietly(stream: TextIO) -> None:
    """Have what is still written to a pipe that nobody reads go nowhere, without a word."""
    with suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


class Lines:
    """Writes lines. Once that fails, they are dropped in silence, and `is_broken` says so.

    `lost` is why, when somebody misses what was dropped: the disk is full, say. It is None when a pipe or terminal is gone.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self.is_broken = False
        self.lost: OSError | None = None
        self._is_terminal = stream.isatty()

    def write(self, lines: Sequence[str]) -> None:
        """Blocks while the reader of a pipe does not read."""
        if self.is_broken or not lines:
            return
        try:
            self._stream.write("".join(f"{line}\n" for line in lines))
            self._stream.flush()
        except (OSError, ValueError) as problem:  # ValueError: somebody closed the stream
            self.is_broken = True
            if isinstance(problem, OSError) and problem.errno != errno.EPIPE and not self._is_terminal:
                self.lost = problem
            close_quietly(self._stream)
