"""Saying how a task ended of which nobody knew, and what follows: what was skipped because of it may run after all."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, Final

from attrs import frozen

from galaxy_core.errors import ConditionError, PlanError, TaskFailedError, TransitionError, nearest
from galaxy_core.errors.root import hint
from galaxy_core.model.constellation import TaskConstellation
from galaxy_core.model.dependency import TaskStarLine
from galaxy_core.model.reasons import shown
from galaxy_core.model.request import Action, Command
from galaxy_core.model.result import TERMINAL, ExecutionResult, TaskStatus, by_hand
from galaxy_core.model.task import TaskStar

_PENDING, _SKIPPED, _UNKNOWN = TaskStatus.PENDING, TaskStatus.SKIPPED, TaskStatus.UNKNOWN
_ENDS: Final = {"completed": TaskStatus.COMPLETED, "failed": TaskStatus.FAILED}
#: What may be said of a task whose end nobody knows.
RESOLVED_AS: Final = ("completed", "failed", "retry")


@frozen
class Resolution:
    """What came of it. `opened` are tasks that had been skipped and are not any more, `skipped` those that are skipped now.

    `tasks` and `links` are all that was touched.
    """

    task: TaskStar
    opened: Sequence[TaskStar]
    ready: Sequence[TaskStar]
    skipped: Sequence[TaskStar]
    links: Sequence[TaskStarLine]

    @property
    def tasks(self) -> list[TaskStar]:
        """Every task that stands otherwise now, each once."""
        return list(dict.fromkeys((self.task, *self.opened, *self.skipped)))


def resolve(plan: TaskConstellation, task_id: str, as_: str, result: Any = None, by: str = "") -> Resolution:
    """See `TaskConstellation.resolve`."""
    task = plan._known(task_id)
    if as_ not in RESOLVED_AS:
        near = hint(nearest(as_, RESOLVED_AS))
        raise PlanError(f"a task can be resolved as {', '.join(RESOLVED_AS)}, not as {shown(as_)}{near}")
    if task._status is not _UNKNOWN:
        why = f"task {task_id!r} is {task._status.value}: only what ended unknown can be resolved"
        raise TransitionError("resolve", task_id, task._status.value, why)
    at = time.time()
    withhold = as_ != "retry" and plan._withholds(task, _ENDS[as_])
    # Who records is told of all this as one, and who runs it only when that is done.
    listener, recorder = plan._listener, plan._recorder
    plan._listener = plan._recorder = None
    try:
        made = _resolved(plan, task, as_, result, at, withhold)
    finally:
        plan._listener, plan._recorder = listener, recorder
    if recorder is not None:
        recorder.touched(*(one._task_id for one in made.tasks), *made.links)
        recorder.resolved(task_id, as_, by, at)
    if listener is not None:
        if as_ == "retry":
            listener.task_freed(made.ready, ())
        else:
            listener.task_ended(task, made.ready, made.skipped)
    return made


def _resolved(plan: TaskConstellation, task: TaskStar, as_: str, result: Any, at: float, withhold: bool) -> Resolution:
    opened = _freed_of(task)
    again = set(opened)
    links = dict.fromkeys(line for one in (task, *opened) for line in (*one._out, *one._in))
    for line in links:
        if line._source is task or line._source in again:
            plan._withheld.pop(line, None)  # it is judged, or waits, by what follows
    for one in opened:
        _open_again(plan, one, at)
    for line in links:
        target = line._target
        assert target is not None
        # What waited for a skipped task and has not started waits for it again, as for one that is retried. And of what
        # stays skipped it is known afterwards whether that is because of this one.
        waits = target.is_modifiable or target._status is _SKIPPED
        if not line._open and waits and (line._source in again or (line._source is task and not line._satisfied)):
            _wait_again(plan, line)
    ready: list[TaskStar] = []
    skipped: list[TaskStar] = []
    if as_ == "retry":
        task._again(at, counted=False)
    else:
        status, error = _ENDS[as_], None
        if status is TaskStatus.FAILED:
            error = TaskFailedError(task._task_id, f"task {task._task_id!r} was resolved as failed")
        ended_at, outcome = task._ended_at, _outcome(task, status, error, result)
        freed, without = plan.end(task, status, outcome, error, at, withhold)
        task._ended_at = ended_at  # it ended when it did, and not when that became known
        ready += freed
        skipped += without
    for line in links:
        source = line._source
        # Of what was cancelled with the whole run nothing was judged, and nobody else comes to it.
        if source is not None and line._open and source._status in TERMINAL and line not in plan._withheld:
            freed, without = plan._settle(source, at, line)
            ready += freed
            skipped += without
    links.update(dict.fromkeys(line for one in skipped for line in (*one._in, *one._out)))
    free = [one for one in dict.fromkeys((task, *opened, *ready)) if one in plan._ready]
    return Resolution(task, opened, free, skipped, list(links))


def _outcome(task: TaskStar, status: TaskStatus, error: BaseException | None, result: Any) -> Any:
    """What is known of a task's outcome: what it had said until nobody knew any more, or what is given."""
    if isinstance(result, ExecutionResult):
        return result
    said = task._result
    if not isinstance(said, ExecutionResult):
        return said if result is None else result
    told = by_hand(said._metadata, said.stdout) if result is None else dict(said._metadata or {})
    stdout, stderr = said.stdout, said.stderr
    if result is not None:  # what is given stands for all that it left, of which this may be a beginning
        stdout, stderr = result if isinstance(result, str) else None, None
    return ExecutionResult(
        said.task_id,
        status,
        said.result if result is None else result,
        error,
        told or None,
        said._start,
        said._end,
        stdout=stdout,
        stderr=stderr,
        exit_code=exit_code_by_hand(task._request, status.value, said.exit_code),
        device_id=said.device_id,
        attempts=said.attempts,
        files=said.files,
    )


def exit_code_by_hand(request: object, as_: str, said: int | None) -> int | None:
    """What counts as the exit code of what was resolved by hand: 0 of a command or an action of which somebody says that it was
    done; of one that failed never 0, even if its device has said so.
    """
    if as_ == "completed":
        return 0 if isinstance(request, Command | Action) else said
    return said or None


def _refused(line: TaskStarLine) -> bool:
    return not line._open and not line._satisfied


def _freed_of(task: TaskStar) -> list[TaskStar]:
    """What was skipped because of a task, directly or through others, and because of nothing else; each after its causes."""
    opened: dict[TaskStar, None] = {}
    queue = [task]
    for cause in queue:
        for line in cause._out:
            target = line._target
            assert target is not None
            if target in opened or target._status is not _SKIPPED or not _refused(line):
                continue
            refusals = [found._source for found in target._in if _refused(found)]
            if all(source is task or source in opened for source in refusals):
                opened[target] = None
                queue.append(target)
    return list(opened)


def _open_again(plan: TaskConstellation, task: TaskStar, at: float) -> None:
    if isinstance(task._error, ConditionError):
        plan._broken = max(0, plan._broken - 1)
    task._status, task._error, task._updated_at = _PENDING, None, at
    plan._counts[_SKIPPED] -= 1
    plan._counts[_PENDING] += 1
    if not task._pending:
        plan._ready[task] = None


def _wait_again(plan: TaskConstellation, line: TaskStarLine) -> None:
    target = line._target
    assert target is not None
    line._open = True
    line._forget()
    target._pending += 1
    target._ticket = 0
    plan._ready.pop(target, None)
