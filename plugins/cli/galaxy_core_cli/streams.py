"""Standard output and standard error: whether a person watches, and what happens when nobody does any more."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from typing import TextIO


def is_terminal(stream: TextIO) -> bool:
    """Whether somebody sits there who can be shown what moves."""
    return stream.isatty() and (os.name == "nt" or os.environ.get("TERM", "dumb") != "dumb")


def close_quietly(stream: TextIO) -> None:
    """Have what is still written to a pipe that nobody reads go nowhere, without a word."""
    with suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


class Lines:
    """Writes lines. When nobody reads any more, they are dropped in silence, and `is_broken` says so."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self.is_broken = False

    def write(self, lines: Sequence[str]) -> None:
        """Blocks while the reader of a pipe does not read."""
        if self.is_broken or not lines:
            return
        try:
            self._stream.write("".join(f"{line}\n" for line in lines))
            self._stream.flush()
        except (OSError, ValueError):  # the pipe or the terminal is gone, or somebody closed the stream
            self.is_broken = True
            close_quietly(self._stream)
