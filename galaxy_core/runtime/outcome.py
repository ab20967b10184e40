"""What came of a run, as `orchestrate_constellation` returns it."""

from __future__ import annotations

from typing import Any

from galaxy_core.model.constellation import ConstellationState, TaskConstellation
from galaxy_core.model.result import ExecutionResult


def outcome_of(constellation: TaskConstellation) -> dict[str, Any]:
    """The result of each task by its id, the status of the whole, the number of tasks and the statistics."""
    state = constellation.state
    results = {}
    for task_id, task in constellation._tasks.items():
        result = task._result
        if type(result) is not ExecutionResult:
            result = ExecutionResult(task_id, task._status, result, task._error, attempts=task._attempts)
        results[task_id] = result
    return {
        "results": results,
        "status": "completed" if state is ConstellationState.CREATED else state.value,
        "total_tasks": constellation.task_count,
        "statistics": constellation.get_statistics(),
    }
