"""The entry point: checks the rules of a plan before its run, and proposes what they say when tasks have failed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from galaxy_core.extension.hookspecs import hookimpl
from galaxy_core.extension.interfaces import EndedTasks, RunInfo

if TYPE_CHECKING:
    from galaxy_core import TaskConstellation, Transaction
    from galaxy_core_replan.rules import Rule

# What follows loads pydantic and more, for plans that have rules.

#: The configurations that were read, with their rules: a plan may have very many tasks that fail.
_read: WeakKeyDictionary[TaskConstellation, tuple[Any, list[Rule]]] = WeakKeyDictionary()


@hookimpl
def galaxy_review_run(run: RunInfo) -> str | None:
    if "replan" not in run.extensions:
        return None
    from galaxy_core_replan.checks import problems_of, read, told

    rules, problems = read(run.extensions["replan"])
    problems += problems_of(rules, [task.task_id for task in run.tasks])
    return f"its rules cannot be used: {told(problems)}" if problems else None


@hookimpl
def galaxy_wants_end(plan: TaskConstellation, status: str) -> bool:
    # No rule is about success, and most plans have none: nothing else is held up for this plugin.
    return status != "completed" and "replan" in (plan.metadata.get("extensions") or {})


@hookimpl
def galaxy_propose_edit(ended: EndedTasks) -> Transaction | None:
    configuration = (ended.plan.metadata.get("extensions") or {}).get("replan")
    if configuration is None:
        return None
    from galaxy_core_replan.checks import read
    from galaxy_core_replan.proposals import proposal

    known = _read.get(ended.plan)
    if known is None or known[0] is not configuration:
        known = _read[ended.plan] = (configuration, read(configuration)[0])
    return proposal(known[1], ended)
