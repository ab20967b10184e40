"""How a run that was kept stands: over, under way in some process, or open."""

from __future__ import annotations

from galaxy_core import TaskStatus
from galaxy_core_cli.hints import command
from galaxy_core_cli.kept.reading import Kept

#: Of a run that is not over, or was over before somebody resolved a task of it.
UNDER_WAY, INTERRUPTED, STOPPED, REOPENED = "under_way", "interrupted", "stopped", "reopened"
#: Of those that can be resumed.
OPEN = frozenset({INTERRUPTED, STOPPED, REOPENED})
#: Its process went before it had kept the plan: nothing was started.
NOT_BEGUN = "not_begun"
UNREADABLE = "unreadable"
_SILENT = frozenset({UNDER_WAY, NOT_BEGUN, UNREADABLE})


def status_of(kept: Kept, is_held: bool) -> str:
    """One of the constants above, or how it ended: completed, partially_failed, failed, cancelled."""
    if is_held:
        return UNDER_WAY
    if kept.replay.over is not None:
        waits = kept.constellation.count(TaskStatus.PENDING) + kept.constellation.count(TaskStatus.WAITING_DEPENDENCY)
        return REOPENED if waits else kept.replay.over
    return STOPPED if kept.replay.stopped_by is not None else INTERRUPTED


def words(status: str, unknown: int = 0) -> str:
    """``partially failed, 1 unknown``: of so many tasks somebody has to say what became of them."""
    waits = f", {unknown:,} unknown" if unknown and status not in _SILENT else ""
    return f"{status.replace('_', ' ')}{waits}"


def to_go_on(kept: Kept, status: str) -> str:
    """What goes on with a run that stands so; empty when nothing does."""
    hint = advice(status, kept.run_id, kept.journal.name)
    calls = [task for task in kept.constellation.get_all_tasks() if task.task_id in kept.replay.calls]
    if not hint or all(task.is_terminal for task in calls):
        return hint
    return "to go on with it: have the program that made it resume it, because tasks of it call Python functions"


def advice(status: str, run_id: str, journal: str | None = None) -> str:
    """What can be done about it, in that journal; empty when there is nothing to be done."""
    if status in OPEN:
        return f"to go on with it: {command('resume', run_id, journal=journal)}"
    return ""
