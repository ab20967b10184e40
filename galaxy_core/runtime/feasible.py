"""Whether the devices of a run could ever run what an edit adds or changes: asked before it is committed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from galaxy_core.errors import AssignmentError, EditProblem, RequestError, UnknownDeviceError
from galaxy_core.model.task import TaskStar
from galaxy_core.runtime.inputs import check_request
from galaxy_core.runtime.lanes import LaneBook, needs_of
from galaxy_core.runtime.placing import no_fit

if TYPE_CHECKING:
    from galaxy_core.runtime.flow import Flow


def unfeasible(run: Flow, tasks: Iterable[TaskStar]) -> list[EditProblem]:
    """Why some of these tasks, which are not of the plan yet, would fail without being started.

    A device that is registered counts, whether or not it is connected. O(tasks), and O(devices) for each that fits none.
    """
    problems = []
    for task in tasks:
        try:
            _check(run, task)
        except (AssignmentError, RequestError) as error:
            problems.append(EditProblem("invalid", str(error), None, task.task_id))
    return problems


def _check(run: Flow, task: TaskStar) -> None:
    book: LaneBook = run.book
    if task._pinned:
        device_id = task._target_device_id or ""
        lane = book.lanes.get(device_id)
        if lane is None:
            raise UnknownDeviceError(device_id, book.lanes, f"Task {task.task_id!r}: ")
        if lane.device.lacks(*needs_of(task)) is not None:
            raise no_fit(book, needs_of(task), [task])
        candidates: tuple[str, ...] = (device_id,)
    elif run.placer.strategy is None:
        raise AssignmentError(
            f"Task {task.task_id!r} has no device, and the run has no strategy to find one: set target_device_id."
        )
    else:
        candidates = book.fitting(needs_of(task), "registered")
        if not candidates:
            raise no_fit(book, needs_of(task), [task])
    refused: RequestError | None = None
    for device_id in candidates:
        transport = book.lanes[device_id].transport
        if transport is None:
            return
        try:
            check_request(transport, task._request, task, device_id)
        except RequestError as error:
            refused = refused or error
        else:
            return
    if refused is not None:
        raise refused
