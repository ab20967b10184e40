"""The hooks of Galaxy, typed and documented. A plugin implements those it wants, marked with `hookimpl`.

Contribution hooks are called once, synchronously, when a plugin is loaded, and return objects. The deciding and
observing hooks may be ``def`` or ``async def``; the kernel walks their implementations in pluggy's order (last
registered first, ``tryfirst`` and ``trylast`` respected), awaits one at a time, each under its own deadline and guard.
"""

from __future__ import annotations

from collections.abc import Awaitable, Iterable, Mapping
from typing import Any

import pluggy

from galaxy_core.extension.interfaces import AssignmentStrategy, IEventObserver, Journal, RunInfo, Transport

PROJECT = "galaxy_core"

hookspec = pluggy.HookspecMarker(PROJECT)
#: Marks a function of a plugin as the implementation of the hook of the same name.
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def galaxy_strategies() -> Iterable[AssignmentStrategy]:  # type: ignore[empty-body]
    """Contribute assignment strategies.

    When: once, when the plugin is loaded. Mode: all implementations, synchronous. Returns strategies; two plugins that
    bring one name are an error naming both.
    """


@hookspec
def galaxy_transports() -> Iterable[Transport]:  # type: ignore[empty-body]
    """Contribute device transports.

    When: once, when the plugin is loaded. Mode: all implementations, synchronous. Returns transports, not sessions:
    nothing is connected yet.
    """


@hookspec
def galaxy_journals() -> Iterable[Journal]:  # type: ignore[empty-body]
    """Contribute run journals.

    When: once, when the plugin is loaded. Mode: all implementations, synchronous. A journal is used only by runs that
    ask for it by name.
    """


@hookspec
def galaxy_observers() -> Iterable[IEventObserver]:  # type: ignore[empty-body]
    """Contribute observers, which hear the events of every run of the orchestrator that loaded the plugin.

    When: once, when the plugin is loaded. Mode: all implementations, synchronous.
    """


@hookspec
def galaxy_review_run(run: RunInfo) -> str | Awaitable[str | None] | None:
    """Decide whether a run may start.

    When: after assignment and validation, before anything is published or started. Mode: each implementation in turn,
    ``def`` or ``async def``, all are asked. Returns None to agree, or the reason for refusing. One that raises or does
    not answer within its deadline refuses, too: a policy that cannot answer has not agreed.
    """


@hookspec
def galaxy_run_finished(run: RunInfo, result: Mapping[str, Any]) -> Awaitable[None] | None:
    """Observe the end of a run.

    When: after the last event of the run was delivered. Mode: each implementation in turn, ``def`` or ``async def``;
    `result` is what `orchestrate_constellation` is about to return. One that raises or hangs is reported and harms
    nobody.
    """
