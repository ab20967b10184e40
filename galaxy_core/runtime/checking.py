"""What can be wrong with a plan before anything of it runs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, get_args

from galaxy_core.errors import (
    KEPT_PROBLEMS,
    AssignmentError,
    GalaxyError,
    InvalidPlanError,
    NoDevicesError,
    UnknownDeviceError,
    UnknownTaskError,
)
from galaxy_core.extension.journals import Durability
from galaxy_core.extension.models import with_paths
from galaxy_core.extension.registry import PluginRegistry
from galaxy_core.extension.sections import extension_problems
from galaxy_core.model.constellation import TaskConstellation
from galaxy_core.model.policy import DEFAULT_RETRY, TaskPriority
from galaxy_core.model.request import Reference
from galaxy_core.model.result import TERMINAL, UNSTARTED, TaskStatus
from galaxy_core.model.task import TaskStar
from galaxy_core.runtime.foreign import lanes_of
from galaxy_core.runtime.inputs import check_request
from galaxy_core.runtime.lanes import LaneBook, Requirements, needs_of
from galaxy_core.runtime.placing import no_fit, no_fit_on


def checked_durability(durability: str) -> Durability:
    """How well a run is to be recorded.

    Raises:
        ValueError: it is none of the three.
    """
    for known in get_args(Durability):
        if durability == known:
            return known  # type: ignore[no-any-return]  # get_args does not say so
    raise ValueError(f"{durability!r} is no durability; it is one of {', '.join(map(repr, get_args(Durability)))}")


def check_tasks(constellation: TaskConstellation, *, may_run: bool = False) -> None:
    """What the graph's invariants do not cover: numbers of single tasks, and what they take from each other."""
    problems: list[str] = []
    paths: dict[str, str | None] = {}  # by their text, because many tasks look at the same place
    for task_id, task in constellation._tasks.items():
        request = task._request
        if len(problems) > KEPT_PROBLEMS:
            break  # nobody reads more, and a plan may be wrong in each of 200,000 tasks
        if task._status is TaskStatus.RUNNING and not may_run:
            problems.append(
                f"task {task_id!r} is running already, for nobody: end it first (mark_task_completed, or task.cancel())"
            )
        plain = (
            (task._timeout is None and task._device_type is None and task._estimate_s is None)
            and (task._retry_count == 0 and task._attempts == 0 and task._current_retry == 0)
            and task._retry is DEFAULT_RETRY
        )
        if not plain or type(task._priority) is not TaskPriority:  # most tasks are plain, and this is asked of each
            problems += [f"task {task_id!r}: {problem}" for problem in task._unrunnable()]
        if request is not None and request.has_references and task._status not in TERMINAL:
            sources = {line._from for line in task._in}
            problems += [
                f"task {task_id!r} takes {reference} without waiting for it: add a dependency on {reference.task_id!r}"
                for reference in request.references
                if reference.task_id not in sources
            ]
            problems += _wrong_paths(task_id, request.references, paths)
    if problems:
        raise InvalidPlanError(problems)


def check_extensions(constellation: TaskConstellation, plugins: PluginRegistry) -> None:
    """What the plan tells plugins is what they have declared. Plugins are asked, and loaded, only if it tells any."""
    if constellation.metadata.get("extensions"):
        problems = with_paths(extension_problems(plugins, constellation))
        if problems:
            raise InvalidPlanError([f"{path}: {text}" for path, text in problems])


def _wrong_paths(task_id: str, references: Iterable[Reference], paths: dict[str, str | None]) -> Iterator[str]:
    """References to places in the output of another task that are no JMESPath, or none that could ever be found."""
    for reference in references:
        kind, _, path = reference.value.partition(".")
        if kind == "json" and path:
            if path not in paths:
                from galaxy_core.model.plan_links import path_problem  # loads much, for the few plans that have a path

                paths[path] = path_problem(path)
            if (problem := paths[path]) is not None:
                yield f"task {task_id!r} takes {reference}: {problem}"


@contextmanager
def pinned(constellation: TaskConstellation, book: LaneBook, device_assignments: Mapping[str, str]) -> Iterator[None]:
    """Pin tasks to the devices that they are assigned to; not at all, when what is done inside fails."""
    check_assignments(constellation, book, device_assignments)
    tasks = [task for task in map(constellation._tasks.__getitem__, device_assignments) if task._status in UNSTARTED]
    before = [(task, task._target_device_id, task._pinned) for task in tasks]
    for task in tasks:
        task._target_device_id, task._pinned = device_assignments[task._task_id], True
    try:
        yield
    except BaseException:
        for task, device_id, pinned in before:
            task._target_device_id, task._pinned = device_id, pinned
        raise


def check_assignments(constellation: TaskConstellation, book: LaneBook, device_assignments: Mapping[str, str]) -> None:
    """Every assignment names a task and a device that are there, and fit."""
    for task_id, device_id in device_assignments.items():
        task = constellation._tasks.get(task_id)
        if task is None:
            raise UnknownTaskError(task_id, constellation._tasks)
        lane = book.lanes.get(device_id) if isinstance(device_id, str) else None
        if lane is None:
            raise UnknownDeviceError(device_id, book.lanes, f"Device assignment of task {task_id!r}: ")
        if lane.lacks(needs_of(task)) is not None:
            raise no_fit_on(lane, task)


def check_fit(manager: Any, task: TaskStar, device_id: str | None) -> None:
    """A device that is named for a single task meets what the task requires; one that is not known is not judged."""
    needs = needs_of(task)
    if needs[:2] == (None, frozenset()):
        return
    try:
        book = lanes_of(manager)
    except NoDevicesError:  # somebody else's manager that cannot say what there is: it will say what it thinks of it
        return
    lane = book.lanes.get(device_id or "")
    if lane is not None and lane.lacks(needs) is not None:
        raise no_fit_on(lane, task)


def check_all_assigned(constellation: TaskConstellation, book: LaneBook) -> None:
    """Without a strategy, every task needs a device of its own that is there, and fits."""
    without, invalid = [], []
    for task_id, task in constellation._tasks.items():
        if task._status in UNSTARTED:
            if task._target_device_id is None:
                without.append(task_id)
            elif task._target_device_id not in book.lanes:
                invalid.append(f"{task_id} -> {task._target_device_id}")
            elif book.lanes[task._target_device_id].lacks(needs_of(task)) is not None:
                raise no_fit_on(book.lanes[task._target_device_id], task)
    if without or invalid:
        raise AssignmentError(
            "Device assignment validation failed:\n"
            + (f"Tasks without device assignment: {_listed(without)}\n" if without else "")
            + (f"Tasks with invalid device IDs: {_listed(invalid)}\n" if invalid else "")
            + f"Available devices: {list(book.lanes)}\n"
            "Please provide either 'device_assignments' or 'assignment_strategy' parameter."
        )


def _listed(names: list[str]) -> str:
    """A list as text, not longer than anybody reads."""
    return f"{names[:20]} and {len(names) - 20} more" if len(names) > 20 else str(names)


def check_pins_alone(constellation: TaskConstellation, book: LaneBook) -> None:
    """When every task has to run on a device of its own, no other device matters.

    Raises:
        NoFittingDeviceError: that is so; of the first task, because none of them can be reached.
    """
    tasks = [task for task in constellation._tasks.values() if task._status in UNSTARTED]
    if tasks and all(task._pinned and task._target_device_id in book.lanes for task in tasks):
        raise no_fit_on(book.lanes[tasks[0]._target_device_id or ""], tasks[0])


def check_fits(constellation: TaskConstellation, book: LaneBook) -> None:
    """For strategies that bind late: every task must fit somewhere before anything starts."""
    if all(lane.gone and lane.session is None for lane in book.lanes.values()):
        check_pins_alone(constellation, book)
    by_needs: dict[Any, list[TaskStar]] = {}
    for task in constellation._tasks.values():
        if task._status in UNSTARTED:
            if task._pinned:
                device_id = task._target_device_id or ""
                if device_id not in book.lanes:
                    raise UnknownDeviceError(device_id, book.lanes, f"Task {task._task_id!r} is pinned to it: ")
                if book.lanes[device_id].lacks(needs_of(task)) is not None:
                    raise no_fit_on(book.lanes[device_id], task)
                continue
            by_needs.setdefault(needs_of(task), []).append(task)
    for needs, tasks in by_needs.items():
        if not book.fitting(needs, "coming"):
            raise no_fit(book, needs, tasks)


def classes_to_place(constellation: TaskConstellation, device_assignments: Mapping[str, str]) -> set[Requirements]:
    """The classes of requirements of the tasks that a strategy has to find devices for."""
    return {
        needs_of(task)
        for task_id, task in constellation._tasks.items()
        if task._status in UNSTARTED and not task._pinned and task_id not in device_assignments
    }


def check_requests(constellation: TaskConstellation, book: LaneBook) -> None:
    """Before anything runs: the transport of each task's device takes its request."""
    problems: list[str] = []
    for task in constellation._tasks.values():
        lane = book.lanes.get(task._target_device_id or "")
        if lane is None or lane.transport is None or task._status not in UNSTARTED:
            continue
        if task._request is None and "none" in lane.transport.requests:
            continue
        try:
            check_request(lane.transport, task._request, task, lane.device_id)
        except GalaxyError as error:
            problems.append(str(error))
            if len(problems) > KEPT_PROBLEMS:
                break  # as above
    if problems:
        raise InvalidPlanError(problems)
