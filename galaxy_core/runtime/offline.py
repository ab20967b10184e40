"""Runs that nobody runs: what can be done to them in their journal."""

from __future__ import annotations

import time

import anyio
from attrs import frozen

from galaxy_core.errors import OutcomeUnknownError
from galaxy_core.extension.interfaces import Journal
from galaxy_core.model.constellation import TaskConstellation
from galaxy_core.model.resolving import Resolution
from galaxy_core.model.result import ENDED_UNSEEN, ExecutionResult, TaskStatus
from galaxy_core.model.task import TaskStar
from galaxy_core.runtime.ledger import Ledger
from galaxy_core.runtime.recorder import Recorder
from galaxy_core.runtime.recording import opening
from galaxy_core.runtime.resuming import read_run


@frozen
class _RecordedCall:
    """Stands for the function that a task calls, so that what is recorded of the task still names it."""

    name: str
    references: tuple[()] = ()
    has_references: bool = False

    def to_dict(self) -> dict[str, str]:
        return {"call": self.name}


async def resolve_recorded(
    journal: Journal, run_id: str, task_id: str, as_: str, *, by: str = "", result: object = None
) -> Resolution:
    """Say in the journal of a run that nobody runs how a task ended; see `TaskConstellation.resolve`.

    `by` is who says so. What is open again runs when the run is resumed. A task that is under way may be resolved, too, if its
    device has said that it has ended, and what it has left could not be kept.

    Raises:
        UnknownTaskError: there is no such task.
        TransitionError: nobody doubts how it ended.
        PlanError: it cannot be resolved so.
        JournalError: the run cannot be read or written, or somebody is at it.
    """
    async with opening(journal, lambda: journal.reopen(run_id), run_id) as writer:
        found = await read_run(journal, run_id, writer.folder)
        ledger = Ledger(journal.name, run_id, writer, "sync", first=found.count)
        plan = found.replay.constellation()
        for name, function in found.replay.calls.items():
            if name in plan._tasks:
                plan._tasks[name]._request = _RecordedCall(function)  # type: ignore[assignment]  # nothing runs it
        recorder = Recorder(plan, ledger)
        recorder.hear()
        flight = found.replay.in_flight.get(task_id)
        if flight is not None and flight.has_ended:
            recorder.restored(plan._tasks[task_id], flight.lease)
            _end_unknown(plan, plan._tasks[task_id], flight.device_id)
        resolution = plan.resolve(task_id, as_, result, by=by)
        recorder.flush()
        plan._recorder = None
        async with anyio.create_task_group() as group:
            group.start_soon(ledger.run)
            await ledger.close()
        ledger.check()
    return resolution


def _end_unknown(plan: TaskConstellation, task: TaskStar, device_id: str) -> None:
    """As a run ends what nobody can tell of. Nothing is skipped by that: what follows is judged by what is said next."""
    why = f"it cannot be said whether task {task._task_id!r} has done all that it was to do: what it has left was not kept"
    error, at = OutcomeUnknownError(task._task_id, why), max(time.time(), task._started_at or 0.0)
    result = ExecutionResult(
        task._task_id,
        TaskStatus.UNKNOWN,
        None,
        error,
        {ENDED_UNSEEN: True},
        task._started_at,
        at,
        device_id=device_id,
        attempts=task._attempts,
    )
    plan.end(task, TaskStatus.UNKNOWN, result, error, at, withhold=True)
    for line in plan._withheld:
        if line._source is task:
            line._forget()
