"""Ends of which how is known, but perhaps not all that the task has printed or left."""

from __future__ import annotations

from typing import TypeGuard

from galaxy_core.extension.interfaces import Completed, Outcome, Unknown
from galaxy_core.model.condition import Expression
from galaxy_core.model.constellation import TaskConstellation
from galaxy_core.model.dependency import DependencyType, TaskStarLine
from galaxy_core.model.result import UNSTARTED
from galaxy_core.model.task import TaskStar


def as_heard(plan: TaskConstellation, task: TaskStar, outcome: Outcome) -> Outcome:
    """A success without its whole output is none for those who still need that: then somebody has to say whether it is done again.

    Looks at every task of the plan, for an attempt whose output is lost or cut.
    """
    if not isinstance(outcome, Completed) or outcome.error is not None or outcome.exit_code:
        return outcome
    if not (outcome.metadata or {}).get("settled") or outcome.value is not None:
        return outcome
    if outcome.stdout is not None and not outcome.truncated:
        return outcome
    lost = "what it printed is lost" if outcome.stdout is None else "only the beginning of what it printed is kept"
    for link in task._out:
        target = link._target
        asks = link._open and target is not None and target._status in UNSTARTED
        if asks and _judges_output(link):
            why = f"it ended well, but {lost}, and the condition of task {link._to!r} looks at it"
            return Unknown(why, outcome)
    for reader in plan._tasks.values():
        if reader._status in UNSTARTED and _reads(reader, task):
            return Unknown(f"it ended well, but {lost}, and task {reader._task_id!r} reads it", outcome)
    return outcome


def is_unfetched(outcome: Outcome | None) -> TypeGuard[Unknown]:
    """Whether it is certain that a command ended well, and only its files are missing here: they may be fetched later."""
    said = outcome.said if isinstance(outcome, Unknown) else None
    return said is not None and said.exit_code == 0 and said.error is None and "not_collected" in (said.metadata or {})


def _reads(task: TaskStar, source: TaskStar) -> bool:
    references = getattr(task._request, "references", None)
    return any(one.task_id == source._task_id and one._is_of_output for one in references or ())


def _judges_output(link: TaskStarLine) -> bool:
    """A function may look at anything."""
    judge = link._evaluator if link._dependency_type is DependencyType.CONDITIONAL else None
    return judge is not None and (not isinstance(judge, Expression) or judge._asks_for_output)
