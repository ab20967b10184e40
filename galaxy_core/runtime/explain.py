"""Why a task stands where it stands: the link, the lane, the edit or the back-off that holds it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import frozen

from galaxy_core.errors import UnknownTaskError
from galaxy_core.model.constellation import TaskConstellation
from galaxy_core.model.reasons import message_of
from galaxy_core.model.result import TERMINAL, TaskStatus
from galaxy_core.model.task import TaskStar

if TYPE_CHECKING:
    from galaxy_core.runtime.flow import Flow
    from galaxy_core.runtime.lanes import Lane


@frozen
class Why:
    """`kind` is what holds the task: "ended", "running", "link", "edit", "back-off", "lane", "device", "choice",
    "settling", "paused", "starting" or "not running"; `holders` are the ids of the tasks or devices that do; `text` says it in words.
    """

    task_id: str
    kind: str
    text: str
    holders: tuple[str, ...] = ()

    def __str__(self) -> str:
        return self.text


def explain(constellation: TaskConstellation, task_id: str, run: Flow | None) -> Why:
    """Why a task stands where it stands.

    Raises:
        UnknownTaskError: there is no such task.
    """
    task = constellation.get_task(task_id)
    if task is None:
        raise UnknownTaskError(task_id, constellation._tasks)
    if task._status in TERMINAL:
        cause = f": {task._error}" if task._error is not None else ""
        return Why(task_id, "ended", f"task {task_id!r} ended {task._status.value}{cause}")
    links = [line for line in task._in if line._open]
    if links:
        return _links(task, [line._source for line in links if line._source is not None])
    if run is None:
        return Why(task_id, "not running", f"task {task_id!r} is {task._status.value}, and its plan is not running")
    return _in_run(task, run)


def _links(task: TaskStar, sources: list[TaskStar]) -> Why:
    names = [f"{source._task_id!r} ({source._status.value})" for source in sources[:5]]
    more = f" and {len(sources) - 5} more" if len(sources) > 5 else ""
    text = f"task {task._task_id!r} waits for {', '.join(names)}{more}"
    return Why(task._task_id, "link", text, tuple(source._task_id for source in sources))


def _in_run(task: TaskStar, run: Flow) -> Why:
    task_id = task._task_id
    worker = run.worker_of(task)
    if worker is not None and worker.lane is not None:
        text = f"task {task_id!r} runs on {worker.lane.device_id!r}, attempt {task._attempts}, lease {worker.lease}"
        return Why(task_id, "running", text, (worker.lane.device_id,))
    if task in run.settling:
        case = run.settling[task]
        where = case.lane.device_id
        text = f"nobody knows yet how task {task_id!r} ended on {where!r} ({case.reason}): the run {case.doing}"
        return Why(task_id, "settling", text, (where,))
    if task._status is TaskStatus.RUNNING:
        text = f"task {task_id!r} was started by hand, not by the run: whoever started it has to end it"
        return Why(task_id, "running", text)
    if task in run.held:
        return Why(task_id, "edit", f"task {task_id!r} is held until a pending modification is answered")
    if task in run.parked:
        what = "is being stopped" if run.is_stopping else "is paused"
        return Why(task_id, "paused", f"task {task_id!r} could start, and the run {what}")
    if task in run.backing_off:
        left = max(0.0, run.backing_off[task] - run.wall())
        return Why(
            task_id, "back-off", f"task {task_id!r} is tried again in {left:.1f} s (attempt {task._attempts + 1})"
        )
    if task in run.waiting:
        return Why(task_id, "device", f"task {task_id!r} waits for a device that fits to be connected again")
    if run.placer.waits(task):
        return Why(task_id, "choice", f"task {task_id!r} waits for a free slot on a device that fits")
    lane = run.book.lanes.get(task._target_device_id or "")
    if lane is not None and task._ticket:
        return _lane(task, lane)
    return Why(task_id, "starting", f"task {task_id!r} is about to start")


def _lane(task: TaskStar, lane: Lane) -> Why:
    device_id = lane.device_id
    if lane.session is None:
        reason = f" ({message_of(lane.error)})" if lane.error else ""
        text = f"task {task._task_id!r} waits for device {device_id!r}, which is {lane.status.value}{reason}"
        return Why(task._task_id, "device", text, (device_id,))
    waiting = lane.waiting()
    ahead = waiting.index(task) if task in waiting else 0
    busy = [worker.task._task_id for worker in lane.book.busy(lane) if worker.task is not None]
    text = (
        f"task {task._task_id!r} waits for one of {lane.device.max_concurrency} slots of device {device_id!r}: "
        f"{len(busy)} run ({', '.join(map(repr, busy[:5]))}), {ahead} are ahead of it"
    )
    return Why(task._task_id, "lane", text, (device_id, *busy))
