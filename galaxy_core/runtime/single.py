"""One task on one device, outside of any plan."""

from __future__ import annotations

from typing import Any

import anyio

from galaxy_core.errors import DeviceLostError, GalaxyError, NotConnectedError, TaskTimeoutError
from galaxy_core.extension.interfaces import Attempt, Completed, Outcome, Unknown
from galaxy_core.model.graph import Graph
from galaxy_core.model.request import Request
from galaxy_core.model.result import ExecutionResult, TaskStatus
from galaxy_core.model.task import TaskStar
from galaxy_core.runtime.artifacts import Artifacts
from galaxy_core.runtime.clock import Clock
from galaxy_core.runtime.flow import Worker
from galaxy_core.runtime.inputs import prepare_request
from galaxy_core.runtime.lanes import Lane


class _Turn:
    """Stands in a lane's queue as a run does, for one task."""

    def __init__(self) -> None:
        self.came = anyio.Event()
        self.given_up = False

    def accepts(self, task: TaskStar, lane: Lane) -> bool:
        return not self.given_up

    def dispatch(self, task: TaskStar, lane: Lane) -> None:
        self.came.set()


async def execute_on_lane(
    lane: Lane,
    task_id: str,
    description: str,
    task_data: dict[str, Any],
    timeout_s: float,
    request: Request | None,
    clock: Clock,
) -> ExecutionResult:
    """Wait for a slot, execute, give the slot back; a failure is a FAILED result."""
    task = TaskStar(task_id, description=description, task_data=task_data, request=request)
    turn = _Turn()
    lane.offer(turn, task)  # type: ignore[arg-type]  # a lane only ever asks for accepts and dispatch
    try:
        await turn.came.wait()
    except BaseException:
        turn.given_up = True
        if turn.came.is_set():  # the slot came together with the cancellation
            lane.release()
        raise
    worker = Worker()
    worker.task, worker.lane, worker.lease = task, lane, lane.book.next_lease()
    lane.active.add(worker)
    start = clock.wall()
    try:
        outcome = await _attempt(worker, lane, task, timeout_s, request)
    finally:
        lane.active.discard(worker)
        worker.task = None
        lane.release()
    return _as_result(task_id, lane.device_id, outcome, start, clock.wall(), timeout_s)


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
                raise NotConnectedError(lane.device_id, lane.status.value)
            artifacts = Artifacts(f"single-{task.task_id}")
            attempt = Attempt("single", task, lane.device_id, 1, worker.lease, request, timeout_s, artifacts=artifacts)
            outcome = await lane.session.execute(attempt)
        except DeviceLostError as error:
            lane.lost(error)
            outcome = Unknown(error.why)
        except Exception as error:  # whoever asked receives it, as the error of the result
            outcome = Completed(error=error)
    if worker.scope.cancelled_caught and worker.reason is None:
        return TaskTimeoutError(task.task_id, timeout_s)
    return outcome


def _as_result(
    task_id: str, device_id: str, outcome: Outcome | TaskTimeoutError, start: float, end: float, timeout_s: float
) -> ExecutionResult:
    result = ExecutionResult(task_id, TaskStatus.COMPLETED, None, None, None, start, end, device_id=device_id)
    if isinstance(outcome, Completed):
        result.result = outcome.stdout if outcome.value is None else outcome.value
        result.stdout, result.stderr, result.exit_code = outcome.stdout, outcome.stderr, outcome.exit_code
        result.files = outcome.files
        result.metadata = dict(outcome.metadata or {})
        result.error = outcome.error
        if outcome.error is None and outcome.exit_code:
            result.error = f"exit status {outcome.exit_code}"
        if result.error is None:
            return result
        kind, category = "execution_error", "general_error"
        if isinstance(outcome.error, GalaxyError):
            kind = "request_error"
    elif isinstance(outcome, TaskTimeoutError):
        result.error, kind, category = outcome, "timeout", "timeout_error"
        result.metadata["timeout"] = timeout_s
    else:
        result.error = DeviceLostError(device_id, outcome.reason)
        kind, category = "device_disconnection", "connection_error"
        result.metadata["disconnected"] = True
    result.status = TaskStatus.FAILED
    result.metadata |= {"device_id": device_id, "error_type": kind, "error_category": category}
    return result
