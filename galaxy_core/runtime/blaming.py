"""Blaming: what foreign code raised, as its own failure. See docs/decisions/0023-what-counts-as-a-failure.md."""

from __future__ import annotations

import math

import anyio

from galaxy_core.errors import PluginError
from galaxy_core.extension.hookimpls import said
from galaxy_core.model.reasons import is_failure, leaves


def blamed(error: BaseException, what: str, name: str, *, native: bool = True) -> Exception:
    """What foreign code raised, as whoever has to hear of it may be given it; `what` and `name` say whose code it is.

    An Exception is that itself. Anything else would end the program of whoever raises it once more: in its place
    stands a PluginError, with it as the cause.

    Raises:
        BaseException: it is no failure, but meant for us; see `how_it_failed`.
    """
    how = how_it_failed(error, native=native)
    if isinstance(error, Exception):
        return error
    failure = PluginError(name, f"{what} {name!r} {how}")
    failure.__cause__ = error
    return failure


def how_it_failed(error: BaseException, *, native: bool = True) -> str:
    """What foreign code did wrong, to be put after its name.

    `native` False says that nobody but this kernel can cancel the task that asks; then nothing that foreign code did
    with its own tasks of asyncio can be mistaken for that.

    Raises:
        BaseException: Ctrl-C, the end of a generator, and the cancellation of the task that asks, are for us.
    """
    cancelled = anyio.get_cancelled_exc_class()
    if is_failure(error, cancelled):
        return f"raised {said(error)}"
    if not is_failure(error):
        raise error
    if _is_told_to_stop(native=native):
        # Alone: what came together with it would otherwise go on after a scope has taken the cancellation out.
        raise next(one for one in leaves(error) if isinstance(one, cancelled))
    return "was cancelled from within"  # a task of its own was, and it let the exception out


def _is_told_to_stop(*, native: bool) -> bool:
    """Whether the task that asks was cancelled, by a scope around it or, on asyncio, as a task."""
    if anyio.current_effective_deadline() == -math.inf:
        return True
    import asyncio  # half of the time that importing the kernel took

    if not native or anyio.get_cancelled_exc_class() is not asyncio.CancelledError:
        return False
    task = asyncio.current_task()
    return task is None or task.cancelling() > 0
