"""What a task is taken to cost."""

from __future__ import annotations

from galaxy_core.extension.interfaces import TaskToPlace

#: Seconds that a task without an estimate counts; `DeviceLoad.assigned_s` counts the same.
UNKNOWN_S = 1.0


def seconds(task: TaskToPlace) -> float:
    """The estimate of `task`, in seconds; `UNKNOWN_S` where nothing is known."""
    return UNKNOWN_S if task.estimate_s is None else task.estimate_s
