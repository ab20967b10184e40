"""The hooks of Galaxy, typed and documented. A plugin implements those it wants, marked with `hookimpl`.

Contribution hooks are called once, synchronously, when a plugin is loaded, and return objects. The deciding and
observing hooks may be ``def`` or ``async def``; the kernel walks their implementations in pluggy's order (last
registered first, ``tryfirst`` and ``trylast`` respected), awaits one at a time, each under its own deadline and guard.
"""

from __future__ import annotations

from collections.abc import Awaitable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import pluggy

from galaxy_core.extension.interfaces import (
    AssignmentStrategy,
    EndedTasks,
    IEventObserver,
    Journal,
    ProposedEdit,
    RunInfo,
    Simulator,
    Transport,
)

if TYPE_CHECKING:
    from galaxy_core.model.constellation import TaskConstellation
    from galaxy_core.model.edits import Operation, Transaction
    from galaxy_core.model.task import TaskStar

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
def galaxy_simulators() -> Iterable[Simulator]:  # type: ignore[empty-body]
    """Contribute simulated devices, for `galaxy simulate`.

    When: once, when the plugin is loaded. Mode: all implementations, synchronous. Returns simulators; nothing is started
    yet, and what they need need not be installed: they say so when they are asked to start.
    """


@hookspec
def galaxy_extension_models() -> Mapping[str, type]:  # type: ignore[empty-body]
    """Declare what plans may say to this plugin under `extensions`.

    When: once, when first a plan says something under `extensions`, or the JSON Schema of plans is asked for with the
    plugins in it; pydantic need not be imported before. Mode: all implementations, synchronous. Returns pydantic models by
    the key under `extensions` that they describe, which by convention is the plugin's name; two plugins that declare one
    key are an error naming both. What a plan says there is checked before it runs, and by whoever validates it.
    """


@hookspec
def galaxy_check_extension(  # type: ignore[empty-body]
    name: str, section: Any, plan: TaskConstellation
) -> Iterable[tuple[tuple[str | int, ...], str]]:
    """Say what of a section of `extensions` does not fit the plan that it stands in, such as names of tasks.

    When: before a run, and when a plan is validated, of each section that the plugin's own model has accepted: `section`
    is the instance of that model, `name` its key. Mode: the one plugin that declared the model, synchronous. Returns the
    problems, each with its place in the section (keys of mappings, indices of lists) and a sentence; nothing when there
    are none. One that raises refuses the run.
    """


@hookspec
def galaxy_review_run(run: RunInfo) -> str | Awaitable[str | None] | None:
    """Decide whether a run may start.

    When: after assignment and validation, before anything is published or started. Mode: each implementation in turn,
    ``def`` or ``async def``, all are asked. Returns None to agree, or the reason for refusing; an empty text refuses
    without a reason. One that raises, returns something else or does not answer within its deadline refuses, too: a
    policy that cannot answer has not agreed.
    """


@hookspec
def galaxy_propose_edit(
    ended: EndedTasks,
) -> Transaction | Iterable[Operation] | Operation | Awaitable[Any] | None:
    """Propose an edit of a running plan, now that tasks of it have ended.

    When: after tasks completed, failed or ended unknown; what ends while an implementation thinks is in its next call.
    Mode: all implementations side by side, ``def`` or ``async def``, each about one batch after the other. Until it has
    answered, nothing starts that those ends lead to, and nothing is skipped because of them; the rest goes on. Returns
    None to leave the plan as it is, or operations, which are committed as one transaction in the name of the plugin. If
    that no longer fits, because another editor came first, it is asked again, with the reasons in `ended.refused`, up to
    three times. One that raises is reported and harms nobody; one that takes longer than the modification timeout is
    treated as the synchronizer's timeout policy says.
    """


@hookspec
def galaxy_wants_end(plan: TaskConstellation, task: TaskStar, status: str) -> bool:  # type: ignore[empty-body]
    """Say whether this plugin's `galaxy_propose_edit` is to be asked about a task of `plan` that is about to end in `status`.

    When: at each end that could be asked about, before anything follows from it. Mode: synchronous, and quick: it stands
    in the loop of the scheduler. Returns whether to ask; a plugin without this hook is asked about every end. What it
    is not asked about is not held for it. One that raises is reported, and asked.
    """


@hookspec
def galaxy_review_edit(edit: ProposedEdit) -> str | Awaitable[str | None] | None:
    """Decide whether an edit may be committed; ask a person, if need be.

    When: before each commit but that of an answer by event, which cannot wait; what the edit touches is held meanwhile.
    A `ConstellationEditor` cannot wait either: of a plan that runs it asks, and takes an awaitable for a refusal. Mode:
    each implementation in turn, ``def`` or ``async def``, all are asked. Returns None to agree, or the reason for refusing; an empty text refuses
    without a reason. One that raises, returns something else or does not answer within its deadline refuses, too.
    """


@hookspec
def galaxy_run_finished(run: RunInfo, result: Mapping[str, Any]) -> Awaitable[None] | None:
    """Observe the end of a run.

    When: after the last event of the run was delivered. Mode: each implementation in turn, ``def`` or ``async def``;
    `result` is what `orchestrate_constellation` is about to return. One that raises or hangs is reported and harms
    nobody.
    """
