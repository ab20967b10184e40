"""How a run stands, and what may be asked of it beside edits: to wait, to go on, to leave, to be told of a task's end."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from galaxy_core.errors import PlanError, UnknownTaskError
from galaxy_core.model.constellation import TaskConstellation
from galaxy_core.model.event_document import own_name
from galaxy_core.model.resolving import Resolution
from galaxy_core.model.result import TaskStatus
from galaxy_core.model.task import TaskStar
from galaxy_core.runtime.control.connection import RefusedError

if TYPE_CHECKING:
    from galaxy_core.runtime.flow import Flow
    from galaxy_core.runtime.run import Run

#: Running tasks that a status names.
NAMED = 100


def state_of(plan: TaskConstellation, run: Flow | None) -> str:
    """The state of the plan, or "stopping" or "paused"."""
    if run is not None and run.is_stopping:
        return "stopping"
    return "paused" if run is not None and run.is_paused else plan.state.value


def status_of(plan: TaskConstellation, run: Flow | None) -> dict[str, Any]:
    """The answer to "status"."""
    started = plan.execution_start_time
    ledger = None if run is None else run.ledger
    return {
        "run": plan.constellation_id,
        "name": plan.name,
        "status": state_of(plan, run),
        "pid": os.getpid(),
        "journal": None if ledger is None else {"name": ledger.name, "folder": ledger.place},
        "revision": plan.revision,
        "started": None if started is None else started.timestamp(),
        "total_tasks": plan.task_count,
        "counts": {status.value: number for status in TaskStatus if (number := plan.count(status))},
        "running": [_running(task) for task in plan.get_running_tasks()[:NAMED]],
    }


def _running(task: TaskStar) -> dict[str, Any]:
    since = task.execution_start_time
    return {
        "task": task.task_id,
        "name": own_name(task),
        "device": task.target_device_id,
        "attempt": task.attempts,
        "since": None if since is None else since.timestamp(),
    }


def steered(run: Run, what: str, by: str) -> dict[str, Any]:
    """The answer to "pause", "continue" or "stop", which is done.

    Raises:
        RefusedError: it cannot be.
    """
    if what == "stop" and run.ledger is None:
        raise RefusedError(
            "refused",
            "the run is kept in no journal, so that nothing could go on with it: pause it, or cancel it for good, with Ctrl-C in "
            f"its terminal, or kill {os.getpid()}",
        )
    if what in ("pause", "continue") and run.is_stopping:
        raise RefusedError("refused", "the run is being stopped: it can be resumed once it has left")
    changed = {"pause": run.pause, "continue": run.proceed, "stop": run.stop}[what](by)
    plan = run.constellation
    return {
        "run": plan.constellation_id,
        "changed": changed,
        "status": state_of(plan, run),
        "running": plan.count(TaskStatus.RUNNING),
    }


def resolved(run: Run, task_id: str, as_: str, by: str) -> dict[str, Any]:
    """The answer to "resolve", which is done.

    Raises:
        UnknownTaskError: there is no such task.
        RefusedError: it cannot be resolved, or not so.
    """
    try:
        return resolution_document(run.constellation.resolve(task_id, as_, by=by))
    except UnknownTaskError:
        raise
    except PlanError as error:
        raise RefusedError("refused", str(error)) from None


def resolution_document(found: Resolution) -> dict[str, Any]:
    """What came of it, as plain data; `follows` are the tasks that are open again, `ready` those that wait for nothing."""
    return {
        "task": found.task.task_id,
        "status": found.task.status.value,
        "follows": [task.task_id for task in found.opened],
        "ready": [task.task_id for task in found.ready],
        "skipped": [task.task_id for task in found.skipped],
    }
