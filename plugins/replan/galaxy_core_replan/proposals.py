"""What is proposed about tasks that have ended: which rules fit, and the transaction of what they do."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence

from galaxy_core import (
    DocumentError,
    EditConflictError,
    EndedTasks,
    ExecutionResult,
    Expression,
    TaskConstellation,
    TaskRefusedError,
    TaskStar,
    TaskStatus,
    TaskTimeoutError,
    Transaction,
    preview,
)
from galaxy_core_replan import actions
from galaxy_core_replan.marks import history_of
from galaxy_core_replan.rules import End, Rule
from galaxy_core_replan.sketch import Sketch

logger = logging.getLogger("galaxy_core.plugins.replan")


def end_of(task: TaskStar) -> End | None:
    """How a task has ended, as rules name it; None when it has not failed."""
    if task.status is TaskStatus.UNKNOWN:
        return "unknown"
    if task.status is not TaskStatus.FAILED:
        return None
    if isinstance(task.error, TaskTimeoutError):
        return "timeout"
    return "refused" if isinstance(task.error, TaskRefusedError) else "failed"


def proposal(rules: Sequence[Rule], ended: EndedTasks) -> Transaction | None:
    """What the rules do about tasks that have ended; None when that is nothing.

    Proposed again, it leaves out what the plan cannot take. What somebody else refuses is not proposed again.
    """
    tasks: Iterable[TaskStar] = ended.tasks
    if ended.refused is not None and not isinstance(ended.refused, EditConflictError):
        tasks = [task for task in ended.tasks if _is_sound(rules, ended.plan, task)]
        if len(tasks) == len(ended.tasks):
            return None
    return _of(rules, ended.plan, tasks)


def _is_sound(rules: Sequence[Rule], plan: TaskConstellation, task: TaskStar) -> bool:
    alone = _of(rules, plan, [task])
    if alone is None:
        return True
    problems = preview(plan, alone).problems
    for problem in problems:
        logger.warning("no rule is applied to task %r: %s", task.task_id, problem.reason)
    return not problems


def _of(rules: Sequence[Rule], plan: TaskConstellation, tasks: Iterable[TaskStar]) -> Transaction | None:
    sketch = Sketch(plan)
    for task in tasks:
        end = end_of(task)
        if end is not None:
            _apply(rules, sketch, task, end)
    return None if sketch.is_empty else sketch.transaction()


def _apply(rules: Sequence[Rule], sketch: Sketch, task: TaskStar, end: End) -> None:
    """Apply the first rule that fits; those before it that only diagnose, too."""
    history = history_of(sketch.plan, task.task_id)
    if history.is_added:
        return
    for index, rule in enumerate(rules):
        if (
            end in rule.when
            and history.applied[index] < rule.at_most
            and actions.matches(history.origin, rule.on)
            and _is_met(rule, task)
        ):
            try:
                _act(index, rule, sketch, task, history.origin)
            except DocumentError as error:  # the plan's author hears of it: the rule fitted the plan when the run began
                logger.warning("rule %d is not applied to task %r: %s", index, task.task_id, error)
            if rule.retry is not None or rule.skip is not None:
                return


def _act(index: int, rule: Rule, sketch: Sketch, task: TaskStar, origin: str) -> None:
    if rule.diagnose is not None:
        actions.diagnose(sketch, index, rule.diagnose, task)
    if rule.retry is not None:
        actions.retry(sketch, index, rule.retry, task, origin)
    if rule.skip is not None:
        actions.skip(sketch, rule.skip, task)


def _is_met(rule: Rule, task: TaskStar) -> bool:
    """Whether the condition of a rule is met; one that cannot be evaluated is not."""
    if rule.condition is None:
        return True
    outcome = task.result if isinstance(task.result, ExecutionResult) else None
    try:
        return Expression(rule.condition)(None if outcome is None else outcome.result, outcome)
    except ValueError as error:  # the plan's author hears of it
        logger.warning("the condition of a rule on task %r cannot be evaluated: %s", task.task_id, error)
        return False
