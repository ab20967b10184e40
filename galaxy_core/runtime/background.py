"""Tasks that outlive the call that started them.

Structured concurrency has no place for what the API document promises: a device that stays connected between two runs,
an event that is delivered after the publisher went on. Both need a task that belongs to the event loop rather than to
a caller. This is the only module that starts such tasks; whoever uses it must end them or let them end by themselves,
and the event loop cancels what is left when it closes. See docs/decisions/0007-background-tasks.md.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import anyio

from galaxy_core.model.reasons import is_failure

if TYPE_CHECKING:
    import asyncio

logger = logging.getLogger("galaxy_core")

_kept: set[asyncio.Task[Any]] = set()  # asyncio keeps only weak references to its tasks


def spawn(function: Callable[[], Awaitable[None]], name: str) -> None:
    """Run `function` in a task of the event loop itself. What it raises is logged; it should not raise.

    Raises:
        RuntimeError: no event loop runs.
    """

    async def guarded() -> None:
        try:
            await function()
        except BaseException as error:  # nobody awaits a background task: the log receives it
            if not is_failure(error, anyio.get_cancelled_exc_class()):
                raise
            logger.exception("background task %s failed", name)

    if "trio" in sys.modules and in_trio():
        import trio

        trio.lowlevel.spawn_system_task(guarded, name=name)
        return
    import asyncio  # half of the time that importing the kernel took; whoever comes here has loaded it

    task = asyncio.get_running_loop().create_task(guarded(), name=name)
    _kept.add(task)
    task.add_done_callback(_kept.discard)


def in_trio() -> bool:
    """Whether trio runs in this thread."""
    import trio

    try:
        trio.lowlevel.current_trio_token()
    except RuntimeError:
        return False
    return True
