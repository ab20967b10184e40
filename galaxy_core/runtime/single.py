"""One task on one device, outside of any plan."""

from __future__ import annotations

from collections.abc import Callable
from logging import Logger
from typing import Any

import anyio

from galaxy_core.errors import (
    DeviceLostError,
    GalaxyError,
    InvalidPlanError,
    PluginError,
    TaskRefusedError,
    TaskTimeoutError,
)
from galaxy_core.extension.interfaces import Attempt, Completed, Outcome, Refused, Unknown
from galaxy_core.model.graph import Graph
from galaxy_core.model.reasons import text_of
from galaxy_core.model.request import Request
from galaxy_core.model.result import ExecutionResult, TaskStatus
from galaxy_core.model.task import TaskStar
from galaxy_core.runtime.answers import (
    MAY_STILL_RUN,
    awaitable,
    broken_off,
    left_behind,
    loss_in,
    sound,
    when_lost,
    why_lost,
)
from galaxy_core.runtime.artifacts import Artifacts
from galaxy_core.runtime.blaming import blamed
from galaxy_core.runtime.clock import Clock
from galaxy_core.runtime.inputs import prepare_request
from galaxy_core.runtime.lanes import Lane
from galaxy_core.runtime.worker import Worker


class _Turn:
    """Stands in a lane's queue as a run does, for one task."""

    def __init__(self, worker: Worker, lane: Lane) -> None:
        self.came = anyio.Event()
        self.has_slot = False
        self._worker = worker
        self._lane = lane

    @property
    def busy(self) -> list[Worker]:
        return [self._worker] if self._worker.task is not None else []

    def dispatch(self, task: TaskStar, lane: Lane, ticket: int) -> None:
        self.has_slot = True
        self.came.set()

    def lane_changed(self, lane: Lane) -> None:
        if lane is self._lane and lane.session is None:
            self._worker.interrupt("lost")
            self.came.set()


async def execute_on_lane(
    lane: Lane,
    task_id: str,
    description: str,
    task_data: dict[str, Any],
    timeout_s: float,
    request: Request | None,
    clock: Clock,
    logger: Logger,
    load_changed: Callable[[Lane], None],
) -> ExecutionResult:
    """Wait for a slot, execute, give the slot back; a failure is a FAILED result.

    Whoever waits for a device that goes is told so, instead of waiting for it to come back.

    Raises:
        InvalidPlanError: the timeout is not positive.
    """
    task = TaskStar(task_id, description=description, timeout=timeout_s, task_data=task_data, request=request)
    if problems := task._unrunnable():
        raise InvalidPlanError(problems, f"Task {task_id} cannot run")
    worker = Worker()
    turn = _Turn(worker, lane)
    task._ticket = lane.book.new_ticket()
    lane.book.runs[turn] = None
    lane.offer(turn, task, task._ticket)
    offset_s = clock.offset_s()
    start = offset_s + clock.monotonic()
    outcome: Outcome | TaskTimeoutError = Unknown(f"it went before task {task_id!r} had its turn")
    try:
        await _wait_for_slot(turn, task, lane)
        if turn.has_slot:
            worker.task, worker.lane, worker.lease = task, lane, lane.book.next_lease()
            load_changed(lane)
            start = offset_s + clock.monotonic()
            try:
                outcome = await _attempt(worker, lane, task, timeout_s, request)
            finally:
                worker.free()
                lane.release()
                load_changed(lane)
    finally:
        lane.book.runs.pop(turn, None)
    end = offset_s + clock.monotonic()
    said: Completed | Unknown | None = None
    if isinstance(outcome, TaskTimeoutError):
        said = left_behind(worker.attempt, lane.device.transport, logger)
    elif isinstance(outcome, Unknown):
        said = outcome.said
    return _as_result(task_id, lane.device_id, outcome, said, start, end, timeout_s)


async def _wait_for_slot(turn: _Turn, task: TaskStar, lane: Lane) -> None:
    try:
        await turn.came.wait()
    except BaseException:
        if turn.has_slot:  # it came together with the cancellation
            lane.release()
        raise
    finally:
        task._ticket = 0


async def _attempt(
    worker: Worker, lane: Lane, task: TaskStar, timeout_s: float, request: Request | None
) -> Outcome | TaskTimeoutError:
    outcome: Outcome | TaskTimeoutError = Unknown(f"device {lane.device_id!r} went")
    deadline = anyio.current_time() + timeout_s
    with anyio.CancelScope(deadline=deadline) as worker.scope:
        try:
            if request is not None:
                request = prepare_request(request, task, lane, Graph())
            if lane.session is None:
                return outcome
            artifacts = Artifacts(f"single-{task.task_id}")
            lease = worker.lease
            worker.attempt = Attempt("single", task, lane.device_id, 1, lease, request, timeout_s, artifacts=artifacts)
            transport = lane.device.transport
            outcome = sound(await awaitable(lane.session.execute(worker.attempt), transport), transport)
        except BaseException as error:  # whoever asked receives it, as the error of the result
            name, loss = lane.device.transport, loss_in(error)
            if loss is not None:
                if worker.reason is None:
                    lane.lost(loss)
                outcome = when_lost(worker.attempt, why_lost(loss), lane.transport)
            elif worker.attempt is None:
                outcome = Completed(error=blamed(error, "transport", name))
            else:
                outcome = broken_off(worker.attempt, error, name, device_id=lane.device_id)
    if worker.scope.cancelled_caught and worker.reason is None:
        return TaskTimeoutError(task.task_id, timeout_s)
    return outcome


def _as_result(
    task_id: str,
    device_id: str,
    outcome: Outcome | TaskTimeoutError,
    said: Completed | Unknown | None,
    start: float,
    end: float,
    timeout_s: float,
) -> ExecutionResult:
    """`said` is what an attempt that was stopped had said until then; `Unknown` when it may still run."""
    result = ExecutionResult(task_id, TaskStatus.COMPLETED, None, None, None, start, end, device_id=device_id)
    doubt = said.reason if isinstance(said, Unknown) else None
    said = said.said if isinstance(said, Unknown) else said
    if isinstance(outcome, Completed):
        said = outcome
        result.result = outcome.stdout if outcome.value is None else outcome.value
    if said is not None:
        result.stdout, result.stderr, result.exit_code = said.stdout, said.stderr, said.exit_code
        result.files = said.files
        result.metadata = dict(said.metadata or {})
        if said.truncated:
            result.metadata["truncated"] = True
    if isinstance(outcome, Completed):
        result.error = outcome.error
        if outcome.error is None and outcome.exit_code:
            result.error = f"exit status {outcome.exit_code}"
        if result.error is None:
            return result
        kind, category = "execution_error", "general_error"
        if isinstance(outcome.error, GalaxyError) and not isinstance(outcome.error, PluginError):
            kind = "request_error"
    elif isinstance(outcome, TaskTimeoutError):
        result.error, kind, category = outcome, "timeout", "timeout_error"
        result.metadata["timeout"] = timeout_s
    elif isinstance(outcome, Refused):
        result.error = TaskRefusedError(task_id, f"task {task_id!r} was not started: {outcome.reason}")
        kind, category = "refused", "general_error"
    else:
        result.error = DeviceLostError(device_id, outcome.reason)
        kind, category = "device_disconnection", "connection_error"
        result.metadata["disconnected"] = True
        result.metadata["outcome"] = "unknown"
    if doubt is not None:
        result.metadata[MAY_STILL_RUN] = doubt
    result.status = TaskStatus.FAILED
    result.metadata |= {"device_id": device_id, "error_type": kind, "error_category": category}
    if result.result is None:
        result.result = {
            "error_type": kind,
            "message": text_of(result.error),
            "device_id": device_id,
            "task_id": task_id,
        }
    return result
