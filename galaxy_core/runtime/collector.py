"""Python's cyclic garbage collector, relaxed while large plans run.

A run keeps what it makes (a result per task), so the collector, which expects most new objects to die, walks over all of
a large plan again and again for nothing: half of the time of 100,000 no-op tasks (benchmarks/kernel.py). While any large
plan runs it is asked to look less often. It is never switched off. See docs/decisions/0008-relaxed-collector.md.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

#: Plans of fewer tasks leave the collector alone.
LARGE = 5_000
#: New objects between two young collections while a large plan runs, at least; Python's own default is 700. A larger
#: plan allows one per task: what the collector walks over grows with the plan, and so may the garbage that it finds.
RELAXED = 100_000

_before: list[tuple[int, int, int]] = []
_users = 0


@contextmanager
def relaxed_collector(tasks: int) -> Iterator[None]:
    """Have the collector look less often while inside, if the plan is large. The last one out restores what was set."""
    global _users  # noqa: PLW0603  # the collector is the process's, and so is the count of those who relaxed it
    if tasks < LARGE or not gc.isenabled() or gc.get_threshold()[0] == 0:
        yield
        return
    if _users == 0:
        _before[:] = [gc.get_threshold()]
    gc.set_threshold(max(RELAXED, tasks, gc.get_threshold()[0]), *_before[0][1:])
    _users += 1
    try:
        yield
    finally:
        _users -= 1
        if _users == 0:
            gc.set_threshold(*_before[0])
