"""Calling the hooks that decide and observe: one implementation at a time, each under a guard and a deadline."""

from __future__ import annotations

import inspect
import logging
import math
from collections.abc import Mapping
from typing import Any

import anyio

from galaxy_core.errors import HookError
from galaxy_core.extension.hookimpls import said
from galaxy_core.extension.interfaces import RunInfo
from galaxy_core.extension.registry import HookCall, PluginRegistry

logger = logging.getLogger("galaxy_core.plugins")

#: Seconds that one implementation of a hook may take.
HOOK_TIMEOUT_S = 30.0


async def review_run(plugins: PluginRegistry, run: RunInfo) -> list[tuple[str, str]]:
    """Ask every `galaxy_review_run`; the refusals as (plugin, reason). One that cannot answer has refused."""
    refusals: list[tuple[str, str]] = []
    for call in plugins.implementations("galaxy_review_run"):
        try:
            answer = await answer_of(call, "galaxy_review_run", run=run)
        except HookError as error:
            refusals.append((call.plugin, str(error)))
            continue
        if answer is not None:
            reason = answer if isinstance(answer, str) else f"returned {answer!r} instead of None or a reason"
            refusals.append((call.plugin, reason))
    return refusals


async def tell_finished(plugins: PluginRegistry, run: RunInfo, result: Mapping[str, Any]) -> None:
    """Tell every `galaxy_run_finished`. One that breaks is logged under its name."""
    for call in plugins.implementations("galaxy_run_finished"):
        try:
            await answer_of(call, "galaxy_run_finished", run=run, result=result)
        except HookError:
            logger.exception("plugin %s", call.plugin)


async def answer_of(call: HookCall, hook: str, timeout_s: float | None = None, **arguments: Any) -> Any:
    """What one implementation answers, awaited if it has to be, for `timeout_s` seconds or `HOOK_TIMEOUT_S`.

    Raises:
        HookError: it raised, or took too long.
    """
    answer: Any = None
    limit_s = HOOK_TIMEOUT_S if timeout_s is None else timeout_s
    with anyio.CancelScope(deadline=anyio.current_time() + limit_s) as scope:
        try:
            answer = call.function(**arguments)
            if inspect.isawaitable(answer):
                answer = await answer
        except Exception as error:  # the caller receives it as the cause: a plugin broke
            raise HookError(call.plugin, hook, f"raised {said(error)}") from error
        except anyio.get_cancelled_exc_class() as error:
            if anyio.current_effective_deadline() == -math.inf:
                raise
            # Nobody cancelled this call: a task of the plugin's own was, and the plugin let the exception out.
            raise HookError(call.plugin, hook, "was cancelled from within") from error
    if scope.cancelled_caught:
        raise HookError(call.plugin, hook, f"did not answer within {limit_s:g} s")
    return answer
