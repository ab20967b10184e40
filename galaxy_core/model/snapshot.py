"""A copy of a plan as it stands: same tasks, same links, same progress, and nobody's but the one who asked for it."""

from __future__ import annotations

from galaxy_core.model.constellation import TaskConstellation
from galaxy_core.model.result import UNSTARTED
from galaxy_core.model.task import TaskStar

_STATE = (
    "_status",
    "_result",
    "_error",
    "_started_at",
    "_ended_at",
    "_created_at",
    "_updated_at",
    "_current_retry",
    "_attempts",
    "_target_device_id",
    "_pinned",
)
_JUDGED = ("_satisfied", "_evaluation", "_evaluated_at", "_created_at", "_updated_at")


def with_state(task: TaskStar, other: TaskStar) -> TaskStar:
    """`task`, with the progress of `other`."""
    for name in _STATE:
        setattr(task, name, getattr(other, name))
    return task


def snapshot(plan: TaskConstellation) -> TaskConstellation:
    """A copy of `plan`, its progress and its revision. O(tasks + links). Nothing is judged anew; results are shared."""
    copy = TaskConstellation(plan._id, plan._name)
    for task in plan._tasks.values():
        copy._admit(with_state(task.copy(), task))
    for line in plan._lines:
        new = line.copy()
        copy._attach(new, copy._tasks[line._from], copy._tasks[line._to])
        if new._open and not line._open:
            new._open = False
            copy._tasks[line._to]._pending -= 1
        for name in _JUDGED:
            setattr(new, name, getattr(line, name))
    copy._renumber()
    copy._ready = {task: None for task in copy._tasks.values() if task._status in UNSTARTED and not task._pending}
    for name in ("_metadata", "_created_at", "_updated_at", "_started_at", "_ended_at", "_executing", "_cancelled"):
        setattr(copy, name, getattr(plan, name))
    copy._metadata = dict(plan._metadata)
    copy._broken, copy._revision = plan._broken, plan._revision
    copy._withheld = {new: None for new, line in zip(copy._lines, plan._lines, strict=True) if line in plan._withheld}
    return copy
