"""What an edit that is being prepared holds: which tasks may not start before it was answered."""

from __future__ import annotations

from collections.abc import Container
from typing import Literal, get_args

from galaxy_core.model.result import TaskStatus
from galaxy_core.model.task import TaskStar

#: "all": nothing new of the plan starts. "footprint": nothing starts that the edit touches, or that a task which waits
#: for an answer leads to. "none": everything starts as if nobody edited.
HoldScope = Literal["all", "footprint", "none"]
#: What happens when an edit takes longer than it may: "proceed" with the plan as it is, and refuse the edit when it
#: comes; "hold" on, for as long as it takes; "fail" the run.
TimeoutPolicy = Literal["proceed", "hold", "fail"]

#: Ends without an outcome: what follows them was let go by whatever had skipped or cancelled them.
_PASSED = (TaskStatus.SKIPPED, TaskStatus.CANCELLED)


def checked_scope(scope: str) -> HoldScope:
    """A hold scope.

    Raises:
        ValueError: there is none of that name.
    """
    for known in get_args(HoldScope):
        if scope == known:
            return known  # type: ignore[no-any-return]  # get_args does not say so
    raise ValueError(f"{scope!r} is no hold scope; it is one of {', '.join(map(repr, get_args(HoldScope)))}")


def checked_policy(policy: str) -> TimeoutPolicy:
    """A timeout policy.

    Raises:
        ValueError: there is none of that name.
    """
    for known in get_args(TimeoutPolicy):
        if policy == known:
            return known  # type: ignore[no-any-return]  # get_args does not say so
    raise ValueError(f"{policy!r} is no timeout policy; it is one of {', '.join(map(repr, get_args(TimeoutPolicy)))}")


def checked_timeout(timeout_s: float) -> float:
    """Seconds that an edit may take.

    Raises:
        ValueError: it is no positive number.
    """
    if isinstance(timeout_s, bool) or not isinstance(timeout_s, int | float) or not timeout_s > 0:
        raise ValueError(f"Timeout must be positive, not {timeout_s!r}")
    return float(timeout_s)


def is_reached(task: TaskStar, task_ids: Container[str]) -> bool:
    """Whether a task that could start is one of these, or could start because one of these has ended.

    What else they lead to waits for such a task, and need not be held. O(in-degree).
    """
    return task._task_id in task_ids or follows(task, task_ids)


def follows(task: TaskStar, task_ids: Container[str]) -> bool:
    """Whether a task that could start could do so because one of these has ended. O(in-degree)."""
    queue, seen = [task], {task}
    for at in queue:  # it grows
        for line in at._in:
            source = line._source
            if source is None or source in seen:
                continue
            if source._task_id in task_ids:
                return True
            if source._status in _PASSED:
                seen.add(source)
                queue.append(source)
    return False
