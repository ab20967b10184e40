"""The entry point: declares and checks the rules of a plan, and proposes what they say when tasks have failed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from galaxy_core.extension.hookspecs import hookimpl
from galaxy_core.extension.interfaces import EndedTasks

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pydantic import BaseModel

    from galaxy_core import TaskConstellation, Transaction
    from galaxy_core_replan.rules import Rule, Rules

# What follows loads pydantic and more, for plans that have rules.

#: The configurations that were read, with their rules: a plan may have very many tasks that fail.
_read: WeakKeyDictionary[TaskConstellation, tuple[Any, list[Rule]]] = WeakKeyDictionary()


@hookimpl
def galaxy_extension_models() -> Mapping[str, type[BaseModel]]:
    from galaxy_core_replan.rules import Rules

    return {"replan": Rules}


@hookimpl
def galaxy_check_extension(section: Rules, plan: TaskConstellation) -> Iterator[tuple[tuple[str | int, ...], str]]:
    from galaxy_core_replan.checks import problems_of

    return problems_of(section.rules, [task.task_id for task in plan.get_all_tasks()])


@hookimpl
def galaxy_wants_end(plan: TaskConstellation, status: str) -> bool:
    # No rule is about success, and most plans have none: nothing else is held up for this plugin.
    return status != "completed" and "replan" in (plan.metadata.get("extensions") or {})


@hookimpl
def galaxy_propose_edit(ended: EndedTasks) -> Transaction | None:
    configuration = (ended.plan.metadata.get("extensions") or {}).get("replan")
    if configuration is None:
        return None
    from galaxy_core_replan.checks import rules_of
    from galaxy_core_replan.proposals import proposal

    known = _read.get(ended.plan)
    if known is None or known[0] is not configuration:
        known = _read[ended.plan] = (configuration, rules_of(configuration))
    return proposal(known[1], ended)
