"""Bringing tasks and devices together: the kernel's hard requirements, then a strategy's choice, checked."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from galaxy_core.errors import NoFittingDeviceError, StrategyError
from galaxy_core.extension.hookimpls import said
from galaxy_core.extension.interfaces import AssignmentStrategy, Placement, TaskToPlace
from galaxy_core.model.graph import Graph
from galaxy_core.model.reasons import is_failure, message_of, shown
from galaxy_core.model.task import TaskStar
from galaxy_core.runtime.lanes import Lane, LaneBook, Requirements, kind_of, needs_of

_LOGGER = logging.getLogger("galaxy_core.assignment")


class _Prerequisites(Mapping[str, Sequence[str]]):
    """The ids that each task waits for, looked up when a strategy asks: most never do."""

    def __init__(self, graph: Graph) -> None:
        self._tasks = graph._tasks

    def __getitem__(self, task_id: str) -> Sequence[str]:
        return [line._from for line in self._tasks[task_id]._in]

    def __iter__(self) -> Iterator[str]:
        return (task_id for task_id, task in self._tasks.items() if task._in)

    def __len__(self) -> int:
        return sum(1 for _ in self)


def describe_needs(needs: Requirements) -> str:
    """A class of requirements in words."""
    device_type, requires, _ = needs
    article = "an" if device_type and device_type[0] in "aeio" else "a"
    parts = [f"{article} {device_type} device"] if device_type else ["a device"]
    if requires:
        parts.append("with " + ", ".join(sorted(requires)))
    return " ".join(parts)


def no_fit(book: LaneBook, needs: Requirements, tasks: Sequence[TaskStar]) -> NoFittingDeviceError:
    """The error that says what was missing on each device."""
    return NoFittingDeviceError([task._task_id for task in tasks], describe_needs(needs), book.missing(needs))


def no_fit_on(lane: Lane, task: TaskStar) -> NoFittingDeviceError:
    """The error that says why a task cannot run on the one device that it has to run on."""
    needs = needs_of(task)
    lack = lane.lacks(needs)
    if lack is None:
        why = message_of(lane.error) if lane.error else f"it is {lane.status.value}"
        lack = f"cannot be reached: {why.removeprefix(f'device {lane.device_id!r} is lost: ')}"
    return NoFittingDeviceError([task._task_id], describe_needs(needs), {lane.device_id: lack}, pinned=lane.device_id)


def as_placeable(task: TaskStar, fitting: tuple[str, ...]) -> TaskToPlace:
    """A task as a strategy sees it."""
    kind = task._device_type
    return TaskToPlace(
        task._task_id,
        task._priority._value_,  # what `value` looks up, at a tenth of the cost
        None if kind is None else kind.value,
        task._requires,
        fitting,
        task._estimate_s,
    )


def ask(
    strategy: AssignmentStrategy,
    book: LaneBook,
    tasks: Sequence[TaskStar],
    graph: Graph,
    extra: Mapping[str, tuple[int, float]] | None = None,
    *,
    available: bool = True,
) -> dict[str, str]:
    """A strategy's device for each of these tasks; `extra` adds (tasks, seconds) to what devices hold.

    Raises:
        NoFittingDeviceError: some task fits nowhere.
        StrategyError: the strategy raised, or returned what cannot be used.
    """
    to_place: list[TaskToPlace] = []
    concerned: dict[str, None] = {}
    fitting: tuple[str, ...] = ()
    device_type, requires = object(), object()  # of the class at hand: neighbours in a plan mostly share it
    kind: object = object()
    for task in tasks:
        request = task._request
        wanted = None if request is None else kind_of(request)
        if task._device_type is not device_type or task._requires is not requires or wanted != kind:
            device_type, requires, kind = task._device_type, task._requires, wanted
            needs = needs_of(task)
            fitting = book.fitting(needs, "connected" if available else "registered")
            if not fitting:
                raise no_fit(book, needs, [other for other in tasks if needs_of(other) == needs])
            concerned.update(dict.fromkeys(fitting))
        to_place.append(as_placeable(task, fitting))
    loads = book.loads(device_id for device_id in book.lanes if device_id in concerned)
    for device_id, (held, held_s) in (extra or {}).items():
        if device_id in loads:
            loads[device_id].assigned += held
            loads[device_id].assigned_s += held_s
    name = name_of(strategy)
    try:
        answer = strategy.assign(Placement(to_place, loads, _Prerequisites(graph)))
        placed = _checked(name, answer, to_place)
        if len(answer) > len(placed) and name not in book.warned_of:
            book.warned_of.add(name)
            _warn_of_strangers(name, answer, placed)
        return placed
    except BaseException as error:  # the caller receives it as the cause: a plugin broke
        if isinstance(error, StrategyError) or not is_failure(error):
            raise
        raise StrategyError(name, f"raised {said(error)}") from error


def name_of(strategy: AssignmentStrategy) -> str:
    """A strategy's name for messages, even if it has none."""
    return str(getattr(strategy, "name", None) or type(strategy).__name__)


def _warn_of_strangers(name: str, answer: Mapping[Any, Any], placed: Mapping[str, str]) -> None:
    """They harm nobody, but whoever wrote the strategy may want to know."""
    strangers = [one for one in answer if one not in placed]
    if strangers:
        _LOGGER.warning(
            "strategy %r gave devices to %d more than the tasks that it was asked about, such as %s: these are passed over",
            name,
            len(strangers),
            shown(strangers[0]),
        )


def _checked(name: str, answer: Any, to_place: Sequence[TaskToPlace]) -> dict[str, str]:
    if not isinstance(answer, Mapping):
        raise StrategyError(name, f"returned {type(answer).__name__}; wanted is a mapping of task ids to device ids")
    placed: dict[str, str] = {}
    fitting: tuple[str, ...] = ()
    allowed: frozenset[str] = frozenset()
    for task in to_place:
        if task.fitting is not fitting:
            fitting, allowed = task.fitting, frozenset(task.fitting)
        device_id = answer.get(task.task_id)
        if not isinstance(device_id, str) or device_id not in allowed:
            fits = ", ".join(map(repr, task.fitting))
            raise StrategyError(
                name,
                f"left task {task.task_id!r} without a device; it fits {fits}"
                if device_id is None
                else f"put task {task.task_id!r} on {device_id!r}, where it does not fit; it fits {fits}",
            )
        placed[task.task_id] = device_id
    return placed
