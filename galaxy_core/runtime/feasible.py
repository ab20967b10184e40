"""Whether the devices of a run could ever run what an edit adds or changes: asked before it is committed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from galaxy_core.errors import AssignmentError, EditProblem, RequestError, UnknownDeviceError
from galaxy_core.model.changes import Changes
from galaxy_core.model.task import TaskStar
from galaxy_core.runtime.inputs import check_request
from galaxy_core.runtime.lanes import LaneBook, needs_of
from galaxy_core.runtime.placing import no_fit, no_fit_on

if TYPE_CHECKING:
    from galaxy_core.runtime.flow import Flow


def unfeasible(run: Flow, changes: Changes) -> list[EditProblem]:
    """Why some of the tasks that an edit adds or changes would fail without being started.

    Nothing of those of which a change was refused: it may have been what they lack. A device that is registered counts,
    whether or not it is connected. O(tasks), and O(devices) for each that fits none.
    """
    problems = []
    for task in (*changes.new_tasks.values(), *changes.updated_tasks.values()):
        if changes.doubts.about_words(task.task_id):
            continue
        try:
            _check(run, task)
        except (AssignmentError, RequestError) as error:
            problems.append(EditProblem("invalid", str(error), changes.by.get(task.task_id), task.task_id))
    return problems


def _check(run: Flow, task: TaskStar) -> None:
    book: LaneBook = run.book
    if task._pinned:
        device_id = task._target_device_id or ""
        lane = book.lanes.get(device_id)
        if lane is None:
            raise UnknownDeviceError(device_id, book.lanes, f"Task {task.task_id!r}: ")
        if lane.lacks(needs_of(task)) is not None:
            raise no_fit_on(lane, task)
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
