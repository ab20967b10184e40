"""Clauses that hang: who they are is told while they do, past whatever captures output, and past a blocked event loop."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext

import pytest

#: After how many seconds a clause that goes on is named.
HANGS_S = 10.0
#: After how many seconds a clause is cancelled, and fails. What swallows cancellation, or blocks, goes on all the same.
CLAUSE_S = 300.0

_STDERR = pytest.StashKey[int]()
#: The standard error of whoever started pytest; None outside of it, where nobody captures.
_outside: int | None = None


def hear(config: pytest.Config) -> None:
    """From now on tell it to the standard error that pytest was started with. Costs one descriptor for each pytest."""
    global _outside  # noqa: PLW0603  what is told comes from a thread that knows no test
    if _STDERR not in config.stash:
        capturing = config.pluginmanager.getplugin("capturemanager")
        with nullcontext() if capturing is None else capturing.global_and_fixture_disabled():
            config.stash[_STDERR] = os.dup(2)
        config.add_cleanup(lambda: _forget(config))
    _outside = config.stash[_STDERR]


def _forget(config: pytest.Config) -> None:
    global _outside
    descriptor, _outside = config.stash[_STDERR], None
    del config.stash[_STDERR]
    os.close(descriptor)


@contextmanager
def told_when_it_hangs(clause: str, seen: Callable[[], str], look_at: str) -> Iterator[None]:
    """What is done inside is named once when it has not ended after `HANGS_S`. Costs one thread."""

    def tell() -> None:
        _say(
            f"\nnot ended after {HANGS_S:g} s, and goes on:\n"
            f"clause: {clause} | seen: {seen()} | look at: {look_at}; and what swallows a cancellation, shields "
            f"something that does not end, or blocks the event loop\n"
        )

    timer = threading.Timer(HANGS_S, tell)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _say(text: str) -> None:
    if _outside is None:
        sys.stderr.write(text)
    else:
        os.write(_outside, text.encode())
