"""Calling the hooks that decide and observe: one implementation at a time, each under a guard and a deadline."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Mapping
from typing import Any

import anyio

from galaxy_core.errors import HookError
from galaxy_core.extension.interfaces import RunInfo
from galaxy_core.extension.registry import HookCall, PluginRegistry
from galaxy_core.model.reasons import shown
from galaxy_core.runtime.blaming import how_it_failed

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
            refusals.append((call.plugin, refusal_in(answer)))
    return refusals


def refusal_in(answer: Any) -> str:
    """The reason in the answer of a policy that has not agreed."""
    if not issubclass(type(answer), str):
        return f"returned {shown(answer)} instead of None or a reason"
    return str.strip(answer) or "without a reason (it returned an empty text)"


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
        except BaseException as error:  # the caller receives it as the cause: a plugin broke
            raise HookError(call.plugin, hook, how_it_failed(error)) from error
    if scope.cancelled_caught:
        raise HookError(call.plugin, hook, f"did not answer within {limit_s:g} s")
    return answer


def answer_now(call: HookCall, hook: str, **arguments: Any) -> Any:
    """What one implementation answers to somebody who does not wait.

    Raises:
        HookError: it raised, or would answer later.
    """
    try:
        answer = call.function(**arguments)
    except BaseException as error:  # the caller receives it as the cause: a plugin broke
        raise HookError(call.plugin, hook, how_it_failed(error)) from error
    if inspect.isawaitable(answer):
        if inspect.iscoroutine(answer):
            answer.close()
        raise HookError(
            call.plugin, hook, "has to be waited for, and whoever asks cannot wait; use synchronizer.edit(…)"
        )
    return answer
