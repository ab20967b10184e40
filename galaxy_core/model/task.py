"""TaskStar: one task of a plan, its status machine and its progress. What it asks for is in spec.py."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import datetime
from typing import Any, ClassVar, Protocol

from galaxy_core.errors import InvalidPlanError, TransitionError
from galaxy_core.model.result import TERMINAL, UNSTARTED, ExecutionResult, TaskStatus, as_datetime
from galaxy_core.model.spec import TaskSpec

_PENDING, _RUNNING, _WAITING = TaskStatus.PENDING, TaskStatus.RUNNING, TaskStatus.WAITING_DEPENDENCY
_COMPLETED, _FAILED, _CANCELLED = TaskStatus.COMPLETED, TaskStatus.FAILED, TaskStatus.CANCELLED

#: Seconds that `TaskStar.execute` allows when the task says nothing.
DEFAULT_TIMEOUT_S = 1000.0


class TaskRunner(Protocol):
    """What `TaskStar.execute` needs of a device manager."""

    async def assign_task_to_device(
        self, *, task_id: str, device_id: str, task_description: str, task_data: dict[str, Any], timeout: float
    ) -> ExecutionResult: ...


class TaskStar(TaskSpec):
    """One task: what to do, on which kind of device, and how it stands.

    Owned by at most one constellation. Setters guard I3: only a task that has not started can be changed.

    Beside the API document's arguments: `request` is what the device is asked to do (a Command, an Action, a Call);
    `requires` are capabilities that its device must have; `effect` says what a repetition would do; `retry` how long
    to wait between attempts; `estimate_s` is the expected duration in seconds, which strategies may use.
    """

    __slots__ = ()
    SCHEMA: ClassVar = "TaskStarSchema"

    def __repr__(self) -> str:
        device = f" on {self._target_device_id!r}" if self._target_device_id else ""
        return f"<TaskStar {self._task_id!r} {self._status.value}{device}>"

    # ------------------------------------------------------------------------------------------- how it stands
    @property
    def status(self) -> TaskStatus:
        """Where it stands."""
        return self._status

    @property
    def result(self) -> Any:
        """What came of it: an ExecutionResult in an orchestrated run, else what `complete_with_success` was given."""
        return self._result

    @property
    def error(self) -> BaseException | None:
        """Why it failed, was skipped or cancelled; None otherwise."""
        return self._error

    @property
    def attempts(self) -> int:
        """How often it was started."""
        return self._attempts

    @property
    def created_at(self) -> datetime:
        """When the object was made, in UTC."""
        return as_datetime(self._created_at)  # type: ignore[return-value]

    @property
    def updated_at(self) -> datetime:
        """When it last changed, in UTC."""
        return as_datetime(self._updated_at)  # type: ignore[return-value]

    @property
    def execution_start_time(self) -> datetime | None:
        """When the last attempt started, in UTC."""
        return as_datetime(self._started_at)

    @property
    def execution_end_time(self) -> datetime | None:
        """When it ended, in UTC."""
        return as_datetime(self._ended_at)

    @property
    def execution_duration(self) -> float | None:
        """Seconds of the last attempt, 0 if the clock was set back meanwhile; None while either end is missing.

        Of an attempt that began in an earlier process they reach to when its end was found out.
        """
        if self._started_at is None or self._ended_at is None:
            return None
        return max(0.0, self._ended_at - self._started_at)

    @property
    def is_terminal(self) -> bool:
        """Whether it has ended for good."""
        return self._status in TERMINAL

    @property
    def is_ready_to_execute(self) -> bool:
        """Whether nothing that it waits for is left."""
        return self._status in UNSTARTED and not self._pending

    def _changed(self) -> None:
        super()._changed()
        if self._owner is not None:
            self._owner._task_changed(self)

    # ------------------------------------------------------------------------------------------- status machine
    def start_execution(self) -> None:
        """PENDING → RUNNING.

        Raises:
            TransitionError: it is not pending, or waits for prerequisites.
        """
        self._start(time.time())

    def _start(self, at: float) -> None:
        status = self._status
        if status is not _PENDING and status is not _WAITING:
            raise TransitionError("start", self._task_id, status.value)
        if self._pending:
            raise TransitionError(
                "start", self._task_id, status.value, f"Cannot start task {self._task_id} with pending dependencies"
            )
        self._started_at = self._updated_at = at
        self._ended_at = None
        self._attempts += 1
        self._become(_RUNNING)

    def complete_with_success(self, result: Any = None) -> None:
        """RUNNING → COMPLETED.

        Raises:
            TransitionError: it is not running.
        """
        if self._status is not _RUNNING:
            raise TransitionError("complete", self._task_id, self._status.value)
        self._end(_COMPLETED, result, None, time.time())

    def complete_with_failure(self, error: BaseException | None) -> None:
        """RUNNING → FAILED.

        Raises:
            TransitionError: it is not running.
        """
        if self._status is not _RUNNING:
            raise TransitionError("fail", self._task_id, self._status.value)
        self._end(_FAILED, None, error, time.time())

    def cancel(self) -> bool:
        """Any status that is not terminal → CANCELLED. False, and nothing done, when it has ended already."""
        if self._status in TERMINAL:
            return False
        self._end(_CANCELLED, self._result, None, time.time())
        return True

    def should_retry(self) -> bool:
        """Whether it failed and may be tried again."""
        return self._status is _FAILED and self._current_retry < self._retry_count

    def retry(self) -> None:
        """FAILED → PENDING, one attempt on.

        Raises:
            TransitionError: it has not failed, or no retry is left.
        """
        if not self.should_retry():
            raise TransitionError("retry", self._task_id, self._status.value, f"Task {self._task_id} cannot be retried")
        self._again(time.time(), counted=True)

    def _again(self, at: float, counted: bool) -> None:
        """Back to PENDING for another attempt; `counted` takes one of the retries."""
        self._error = None
        self._result = None
        self._started_at = self._ended_at = None
        self._updated_at = at
        if counted:
            self._current_retry += 1
        self._become(_PENDING)

    def _end(self, status: TaskStatus, result: Any, error: BaseException | None, at: float) -> None:
        self._result = result
        self._error = error
        self._updated_at = at
        if self._started_at is not None:
            self._ended_at = at
        self._become(status)

    def _become(self, status: TaskStatus) -> None:
        old = self._status
        self._status = status
        if self._owner is not None:
            self._owner._status_changed(self, old, status)

    # ------------------------------------------------------------------------------------------- for devices
    async def execute(self, device_manager: TaskRunner | None) -> ExecutionResult:
        """Have `device_manager` run this task on its device, outside of any run; its status does not change.

        Waits for ``assign_task_to_device``. A failure there is returned as a FAILED result, not raised.

        Raises:
            ValueError: there is no device manager, or no device is assigned.
        """
        if device_manager is None:
            raise ValueError("Device manager is required for task execution")
        if not self._target_device_id:
            raise ValueError(f"No device assigned to task {self._task_id}")
        if problems := self._unrunnable():
            raise InvalidPlanError(problems, f"Task {self._task_id!r} cannot run")
        more = {} if self._request is None else {"request": self._request}
        start, begun = time.time(), time.perf_counter()  # the wall clock may be set meanwhile
        try:
            result = await device_manager.assign_task_to_device(
                task_id=self._task_id,
                device_id=self._target_device_id,
                task_description=self.to_request_string(),
                task_data=self.task_data,
                timeout=DEFAULT_TIMEOUT_S if self._timeout is None else self._timeout,
                **more,
            )
            result.start_time, result.end_time = start, start + (time.perf_counter() - begun)
        except Exception as error:  # whoever asked receives it, as the error of the result
            result = self._failure(error)
            result.start_time, result.end_time = start, start + (time.perf_counter() - begun)
        return result

    def _failure(self, error: Exception) -> ExecutionResult:
        told: Exception = error
        if isinstance(error, TimeoutError):
            told = TimeoutError(f"Task execution timeout: {error}")
        elif isinstance(error, AttributeError):
            told = AttributeError(f"Configuration error: {error}")
        if told is not error:
            told.__cause__ = error
        return ExecutionResult(self._task_id, _FAILED, None, told, {"device_id": self._target_device_id})

    # ------------------------------------------------------------------------------------------- checks and formats
    def to_dict(self) -> dict[str, Any]:
        """Plain data, with the keys of the API document; see `model.documents`."""
        from galaxy_core.model.documents import task_to_dict  # documents builds tasks, so it imports this module

        return task_to_dict(self)

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> TaskStar:
        """The inverse of `to_dict`. Unknown names of enums fall back to MEDIUM, PENDING and no device type."""
        from galaxy_core.model.documents import task_from_dict

        return task_from_dict(document)
