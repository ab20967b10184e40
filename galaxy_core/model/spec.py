"""What a task asks for, and the guard on changing it."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Self

from galaxy_core.errors import ImmutableError, PlanError
from galaxy_core.model.device import DeviceType
from galaxy_core.model.policy import DEFAULT_RETRY, Effect, RetryPolicy, TaskConfiguration, TaskPriority
from galaxy_core.model.request import Command, Request
from galaxy_core.model.result import UNSTARTED, TaskStatus, new_id, stamp
from galaxy_core.model.serial import Document
from galaxy_core.model.spec_kinds import (
    check_request,
    check_retry,
    check_text_or_none,
    check_texts,
    checked_data,
    checked_effect,
    checked_texts,
    is_count,
    is_number,
    unfit,
)
from galaxy_core.model.values import copied

if TYPE_CHECKING:
    from galaxy_core.model.dependency import TaskStarLine
    from galaxy_core.model.graph import Fan, Graph
    from galaxy_core.model.task import TaskStar

_PENDING, _ONCE = TaskStatus.PENDING, Effect.ONCE
#: Seconds with which arithmetic can be done: an integer can be larger than any float.
_MOST_S = sys.float_info.max
_NONE: frozenset[str] = frozenset()


class TaskSpec(Document):
    """The part of a `TaskStar` that its author writes. Setters guard I3: what has started cannot be changed.

    Nor from outside: data is copied when it is given and when it is asked for (see `values.copied`), and requests are
    read-only (see request.py).
    """

    __slots__ = (
        "_after",
        "_attempts",
        "_before",
        "_counted",
        "_created_at",
        "_current_retry",
        "_description",
        "_device_type",
        "_effect",
        "_ended_at",
        "_error",
        "_estimate_s",
        "_expected_output_type",
        "_in",
        "_index",
        "_name",
        "_order",
        "_out",
        "_owner",
        "_pending",
        "_pinned",
        "_priority",
        "_request",
        "_requires",
        "_result",
        "_retry",
        "_retry_count",
        "_started_at",
        "_status",
        "_target_device_id",
        "_task_data",
        "_task_id",
        "_ticket",
        "_timeout",
        "_tips",
        "_updated_at",
    )

    _result: Any
    _error: BaseException | None
    _started_at: float | None
    _ended_at: float | None
    # What follows belongs to the constellation that owns the task (see constellation.py).
    _owner: Graph | None
    _index: int  # age in the plan
    _order: int  # position in a topological order, which the next two make a list
    _before: TaskStar | None
    _after: TaskStar | None
    _pending: int  # links into it whose source has not ended
    _ticket: int  # its place in a lane's queue; 0 when it has none
    _counted: Any  # the lane in whose load it is counted
    _in: list[TaskStarLine] | Fan
    _out: list[TaskStarLine] | Fan

    def __init__(
        self,
        task_id: str | None = None,
        name: str = "",
        description: str = "",
        tips: list[str] | None = None,
        target_device_id: str | None = None,
        device_type: DeviceType | None = None,
        priority: TaskPriority = TaskPriority.MEDIUM,
        timeout: float | None = None,
        retry_count: int = 0,
        task_data: Mapping[str, Any] | None = None,
        expected_output_type: str | None = None,
        config: TaskConfiguration | None = None,
        *,
        request: Request | None = None,
        requires: Iterable[str] = (),
        effect: Effect = Effect.ONCE,
        retry: RetryPolicy = DEFAULT_RETRY,
        estimate_s: float | None = None,
    ) -> None:
        self._task_id = new_id() if task_id is None else task_id
        # The classes alone, because this is asked of each of 100,000 tasks.
        if description.__class__ is not str or (name and name.__class__ is not str):
            check_texts(self._task_id, name=name, description=description)
        if target_device_id is not None and target_device_id.__class__ is not str:
            check_text_or_none(self._task_id, "target device", target_device_id)
        if expected_output_type is not None:
            check_text_or_none(self._task_id, "expected output type", expected_output_type)
        if request is not None and request.__class__ is not Command:
            check_request(self._task_id, request)
        if retry is not DEFAULT_RETRY:
            check_retry(self._task_id, retry)
        self._name = name
        self._description = description
        self._tips = checked_texts(self._task_id, "tips", tips) if tips else None
        self._target_device_id = target_device_id
        self._pinned = target_device_id is not None
        self._device_type = device_type
        self._priority = priority
        self._timeout = timeout
        self._retry_count = retry_count
        self._task_data = checked_data(self._task_id, task_data) if task_data else None
        self._expected_output_type = expected_output_type
        self._request = request
        self._requires = frozenset(checked_texts(self._task_id, "requirements", requires)) if requires else _NONE
        self._effect = effect if effect is _ONCE else checked_effect(self._task_id, effect)
        self._retry = retry
        self._estimate_s = estimate_s
        self._status = _PENDING
        self._created_at = self._updated_at = stamp()
        self._result = self._error = self._started_at = self._ended_at = None
        self._owner = self._before = self._after = self._counted = None
        self._attempts = self._current_retry = self._index = self._order = self._pending = self._ticket = 0
        self._in = []
        self._out = []
        if config is not None:
            self._configure(config)

    def _configure(self, config: TaskConfiguration) -> None:
        if not isinstance(config, TaskConfiguration):
            raise unfit(self._task_id, "config", "a TaskConfiguration", config)
        self._timeout = config.timeout or self._timeout
        self._retry_count = config.retry_count or self._retry_count
        self._priority = config.priority or self._priority
        if config.metadata:
            self._task_data = {**(self._task_data or {}), **checked_data(self._task_id, config.metadata)}
        if config.retry_count and self._retry is DEFAULT_RETRY:
            self._retry = RetryPolicy(backoff_s=config.retry_delay)

    @property
    def task_id(self) -> str:
        """Unique in its constellation."""
        return self._task_id

    @property
    def name(self) -> str:
        """By default ``task_`` and the first eight characters of the id."""
        return self._name or f"task_{self._task_id[:8]}"

    @name.setter
    def name(self, name: str) -> None:
        self._guard("name")
        check_texts(self._task_id, name=name)
        self._name = name
        self._changed()

    @property
    def description(self) -> str:
        """What to do, in words."""
        return self._description

    @description.setter
    def description(self, description: str) -> None:
        self._guard("description")
        check_texts(self._task_id, description=description)
        self._description = description
        self._changed()

    @property
    def task_description(self) -> str:
        """The description, under the name that devices know it by."""
        return self._description

    @task_description.setter
    def task_description(self, description: str) -> None:
        self.description = description

    @property
    def tips(self) -> list[str]:
        """Hints for whoever does it."""
        return list(self._tips) if self._tips else []

    @tips.setter
    def tips(self, tips: list[str] | None) -> None:
        self._guard("tips")
        self._tips = checked_texts(self._task_id, "tips", tips) if tips else None
        self._changed()

    @property
    def target_device_id(self) -> str | None:
        """The device it is pinned to, or was assigned to by a strategy (see `is_pinned`); None while it has none."""
        return self._target_device_id

    @target_device_id.setter
    def target_device_id(self, device_id: str | None) -> None:
        self._guard("device assignment")
        check_text_or_none(self._task_id, "target device", device_id)
        self._target_device_id = device_id
        self._pinned = device_id is not None
        self._changed()

    @property
    def is_pinned(self) -> bool:
        """Whether a person or program chose the device; strategies then leave it alone."""
        return self._pinned

    @property
    def device_type(self) -> DeviceType | None:
        """The platform that it needs; None when any will do."""
        return self._device_type

    @device_type.setter
    def device_type(self, device_type: DeviceType | None) -> None:
        self._guard("device type")
        if device_type is not None and not isinstance(device_type, DeviceType):
            raise PlanError(f"device type of task {self._task_id!r} must be a DeviceType or None, not {device_type!r}")
        self._device_type = device_type
        self._changed()

    @property
    def requires(self) -> frozenset[str]:
        """Capabilities that its device must have."""
        return self._requires

    @requires.setter
    def requires(self, capabilities: Iterable[str]) -> None:
        self._guard("requirements")
        self._requires = frozenset(checked_texts(self._task_id, "requirements", capabilities))
        self._changed()

    @property
    def priority(self) -> TaskPriority:
        """Among ready tasks, higher ones start first."""
        return self._priority

    @priority.setter
    def priority(self, priority: TaskPriority) -> None:
        self._guard("priority")
        if not isinstance(priority, TaskPriority):
            raise PlanError(f"priority of task {self._task_id!r} must be a TaskPriority, not {priority!r}")
        self._priority = priority
        self._changed()

    @property
    def effect(self) -> Effect:
        """What a repetition would do."""
        return self._effect

    @effect.setter
    def effect(self, effect: Effect) -> None:
        self._guard("effect")
        self._effect = checked_effect(self._task_id, effect)
        self._changed()

    @property
    def request(self) -> Request | None:
        """What the device is asked to do; None when the description is all there is."""
        return self._request

    @request.setter
    def request(self, request: Request | None) -> None:
        self._guard("request")
        if request is not None:
            check_request(self._task_id, request)
        self._request = request
        self._changed()

    @property
    def retry_policy(self) -> RetryPolicy:
        """How long to wait between attempts, and after which ends."""
        return self._retry

    @property
    def estimate_s(self) -> float | None:
        """Expected duration in seconds; None when nothing is known."""
        return self._estimate_s

    @property
    def expected_output_type(self) -> str | None:
        """What kind of result is expected, in words of the plan's author."""
        return self._expected_output_type

    @property
    def task_data(self) -> dict[str, Any]:
        """A copy of the data that goes to the device with the description, to the depth of `values.copied`."""
        return copied(self._task_data) if self._task_data else {}

    @task_data.setter
    def task_data(self, data: Mapping[str, Any] | None) -> None:
        self._guard("task data")
        self._task_data = checked_data(self._task_id, data) if data else None
        self._changed()

    def update_task_data(self, data: Mapping[str, Any]) -> None:
        """Merge a copy of `data` into the task data."""
        self._guard("task data")
        self._task_data = {**(self._task_data or {}), **checked_data(self._task_id, data)}
        self._changed()

    @property
    def timeout(self) -> float | None:
        """Seconds that one attempt may take; None when there is no limit."""
        return self._timeout

    @property
    def retry_count(self) -> int:
        """How often it may be tried again after its first attempt."""
        return self._retry_count

    @property
    def is_modifiable(self) -> bool:
        """I3: whether it, and the links into it, may be changed. A task between two attempts has started."""
        return self._status in UNSTARTED and not self._attempts

    def _guard(self, what: str) -> None:
        if not self.is_modifiable:
            raise ImmutableError(what, self._task_id, self._standing)

    @property
    def _standing(self) -> str:
        """The status, as a refusal names it: between two attempts a task is pending, but no longer to be changed."""
        return "retried" if self._attempts and self._status in UNSTARTED else self._status.value

    def _changed(self) -> None:
        """A setter was used."""
        self._updated_at = time.time()

    def to_request_string(self) -> str:
        """Description and tips as text, for devices that read."""
        tips = "\n".join(f" - {tip}" for tip in self._tips) if self._tips else "No tips available."
        return f"Task Description: {self._description}\nTips for Completion:\n{tips}"

    def validate(self) -> bool:
        """Whether `get_validation_errors` finds nothing."""
        return not self.get_validation_errors()

    def get_validation_errors(self) -> list[str]:
        """What is wrong with the task by itself."""
        problems = []
        if not isinstance(self._task_id, str) or not self._task_id.strip():
            problems.append("Task ID must be a non-empty string")
        if not isinstance(self.name, str) or not self.name.strip():
            problems.append("Task name must be a non-empty string")
        if self._request is None and (not isinstance(self._description, str) or not self._description.strip()):
            problems.append("Task description must be a non-empty string")
        return problems + self._unrunnable()

    def _unrunnable(self) -> list[str]:
        """What no run could work with, whatever it is called."""
        problems = []
        timeout = self._timeout
        if timeout is not None and not (is_number(timeout) and (0 < timeout <= _MOST_S or timeout == math.inf)):
            problems.append("Timeout must be a positive number")
        if not is_count(self._retry_count):
            problems.append("Retry count must be a non-negative integer")
        if not isinstance(self._priority, TaskPriority):
            problems.append("Priority must be a TaskPriority enum value")
        if self._device_type is not None and not isinstance(self._device_type, DeviceType):
            problems.append("Device type must be a DeviceType enum value")
        if self._estimate_s is not None and not (is_number(self._estimate_s) and 0 <= self._estimate_s <= _MOST_S):
            problems.append("Estimate must be a number of seconds, from 0")
        if not isinstance(self._effect, Effect):
            problems.append("Effect must be an Effect enum value")
        if not isinstance(self._retry, RetryPolicy):
            problems.append("Retry must be a RetryPolicy")
        if not is_count(self._attempts) or not is_count(self._current_retry):
            problems.append("Attempts and current retry must be non-negative integers")
        return problems

    def copy(self) -> Self:
        """A task that says the same, not started, of no constellation."""
        return type(self)(
            self._task_id,
            self._name,
            self._description,
            self._tips,
            self._target_device_id if self._pinned else None,
            self._device_type,
            self._priority,
            self._timeout,
            self._retry_count,
            self._task_data,
            self._expected_output_type,
            request=self._request,
            requires=self._requires,
            effect=self._effect,
            retry=self._retry,
            estimate_s=self._estimate_s,
        )
