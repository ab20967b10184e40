"""Bringing tasks and devices together: the kernel's hard requirements, then a strategy's choice, checked."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from heapq import heappop, heappush, nsmallest
from typing import TYPE_CHECKING, Any

from galaxy_core.errors import AssignmentError, NoFittingDeviceError, StrategyError, UnknownDeviceError
from galaxy_core.extension.interfaces import AssignmentStrategy, DeviceLoad, Placement, TaskToPlace
from galaxy_core.model.graph import Graph
from galaxy_core.model.result import UNSTARTED
from galaxy_core.model.task import TaskStar
from galaxy_core.runtime.lanes import LaneBook, Requirements, needs_of

if TYPE_CHECKING:
    from galaxy_core.runtime.flow import Flow
    from galaxy_core.runtime.lanes import Lane

Choose = Callable[[Sequence[TaskToPlace], Mapping[str, DeviceLoad]], Iterable[tuple[str, str]]]


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
    device_type, requires = needs
    parts = [f"a {device_type} device"] if device_type else ["a device"]
    if requires:
        parts.append("with " + ", ".join(sorted(requires)))
    return " ".join(parts)


def no_fit(book: LaneBook, needs: Requirements, tasks: Sequence[TaskStar]) -> NoFittingDeviceError:
    """The error that says what was missing on each device."""
    return NoFittingDeviceError([task._task_id for task in tasks], describe_needs(needs), book.missing(needs))


def as_placeable(task: TaskStar, fitting: tuple[str, ...]) -> TaskToPlace:
    """A task as a strategy sees it."""
    kind = task._device_type
    return TaskToPlace(
        task._task_id,
        task._priority.value,
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
    for task in tasks:
        if task._device_type is not device_type or task._requires is not requires:
            device_type, requires = task._device_type, task._requires
            needs = needs_of(task)
            fitting = book.fitting(needs, available=available)
            if not fitting:
                raise no_fit(book, needs, [other for other in tasks if needs_of(other) == needs])
            concerned.update(dict.fromkeys(fitting))
        to_place.append(as_placeable(task, fitting))
    loads = book.loads(device_id for device_id in book.lanes if device_id in concerned)
    for device_id, (held, held_s) in (extra or {}).items():
        if device_id in loads:
            loads[device_id].assigned += held
            loads[device_id].assigned_s += held_s
    name = _name_of(strategy)
    try:
        answer = strategy.assign(Placement(to_place, loads, _Prerequisites(graph)))
    except Exception as error:  # the caller receives it as the cause: a plugin broke
        raise StrategyError(name, f"raised {type(error).__name__}: {error}") from error
    return _checked(name, answer, to_place)


def _name_of(strategy: AssignmentStrategy) -> str:
    return str(getattr(strategy, "name", None) or type(strategy).__name__)


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
        if device_id not in allowed:
            fits = ", ".join(map(repr, task.fitting))
            raise StrategyError(
                name,
                f"left task {task.task_id!r} without a device; it fits {fits}"
                if device_id is None
                else f"put task {task.task_id!r} on {device_id!r}, where it does not fit; it fits {fits}",
            )
        placed[task.task_id] = device_id
    return placed


class Placer:
    """Places the ready tasks of one run, by one strategy (or none, when every task has its device)."""

    def __init__(self, strategy: AssignmentStrategy | None, known: Iterable[str] = ()) -> None:
        self.strategy = strategy
        self._known = set(known)
        self._choose: Choose | None = getattr(strategy, "choose", None)
        self._ready: dict[Requirements, list[tuple[int, int, int, TaskStar]]] = {}  # rank, age, ticket, task

    @property
    def binds_late(self) -> bool:
        """Whether tasks get their device only when they start."""
        return callable(self._choose)

    def waits(self, task: TaskStar) -> bool:
        """Whether a ready task waits for the strategy to choose a device for it."""
        return any(_is_valid(entry) and entry[3] is task for entry in self._ready.get(needs_of(task), ()))

    def place(self, run: Flow, tasks: Sequence[TaskStar]) -> None:
        """Find devices for ready tasks; those that must wait for one wait, those that fit nowhere fail."""
        placeable: list[TaskStar] = []
        for task in tasks:
            error = self._refusal(run, task)
            if error is not None:
                run.fail_unplaced(task, error)
            elif task._pinned:
                lane = run.book.lanes[task._target_device_id or ""]
                run.enqueue(task, lane)
            elif run.book.fitting(needs_of(task)):
                placeable.append(task)
            else:
                run.waiting[task] = None
        if not placeable:
            return
        if self.binds_late:
            for task in placeable:
                ticket = task._ticket = run.book.new_ticket()
                heappush(self._ready.setdefault(needs_of(task), []), (-task._priority.value, task._index, ticket, task))
            run.book.hungry.add(run)
            self.choose(run)
            return
        assert self.strategy is not None
        try:
            placed = ask(self.strategy, run.book, placeable, run.constellation)
        except StrategyError as broken:
            for task in placeable:
                run.fail_unplaced(task, broken)
            return
        at = run.clock.wall()
        for task in placeable:
            lane = run.book.lanes[placed[task._task_id]]
            run.assign(task, lane)
            run.reports.assigned(task, lane.device_id, at)
            run.enqueue(task, lane)

    def _refusal(self, run: Flow, task: TaskStar) -> AssignmentError | None:
        book = run.book
        if task._pinned:
            device_id = task._target_device_id or ""
            lane = book.lanes.get(device_id)
            if lane is None:
                return UnknownDeviceError(device_id, book.lanes)
            if (lane.gone and lane.session is None) or lane.device.lacks(*needs_of(task)) is not None:
                return no_fit(book, needs_of(task), [task])
            return None
        if self.strategy is None:
            return AssignmentError(
                f"Task {task._task_id!r} has no device, and the run has no strategy to find one: "
                "set target_device_id, or give assignment_strategy."
            )
        if not book.fitting(needs_of(task), available=False):
            return no_fit(book, needs_of(task), [task])
        return None

    def rebalance(self, run: Flow, lane: Lane) -> list[TaskStar]:
        """A device came: tasks that should be placed anew because of it. A device seen before changes nothing."""
        if lane.device_id in self._known or self.strategy is None:
            self.choose(run)
            return []
        self._known.add(lane.device_id)
        if self.binds_late:
            self.choose(run)
            return []
        unstarted = [
            task
            for task in run.constellation._tasks.values()
            if task._status in UNSTARTED and not task._pinned and lane.device.lacks(*needs_of(task)) is None
        ]
        queued = [task for task in unstarted if task._ticket]
        before = [task._target_device_id for task in unstarted]
        for task in unstarted:
            run.unassign(task)
        try:
            placed = ask(self.strategy, run.book, unstarted, run.constellation)
        except StrategyError:
            return queued  # each is placed when it is ready, and fails if the strategy is still broken then
        at = run.clock.wall()
        for task, old in zip(unstarted, before, strict=True):
            run.assign(task, run.book.lanes[placed[task._task_id]])
            if task._target_device_id != old:
                run.reports.assigned(task, placed[task._task_id], at)
        return queued

    def choose(self, run: Flow) -> None:
        """Have a late-binding strategy give free slots to ready tasks."""
        if self._choose is None:
            return
        while True:
            ready, loads, tasks = self._offers(run)
            if not ready:
                break
            started = 0
            for task_id, device_id in self._chosen(run, ready, loads):
                started += self._start(run, tasks, task_id, device_id)
            if not started:
                self._complain_if_stuck(run, tasks)
                break
        if not any(self._ready.values()):
            run.book.hungry.discard(run)

    def _offers(self, run: Flow) -> tuple[list[TaskToPlace], dict[str, DeviceLoad], dict[str, TaskStar]]:
        """What can start now: of each class the first few tasks, no more than there are slots for them."""
        book = run.book
        free = {lane.device_id: lane for lane in book.available() if lane.free and not lane.queue}
        ready: list[tuple[tuple[int, int], TaskToPlace]] = []
        tasks: dict[str, TaskStar] = {}
        for needs, heap in self._ready.items():
            while heap and not _is_valid(heap[0]):
                heappop(heap)
            fitting = tuple(device_id for device_id in book.fitting(needs) if device_id in free)
            slots = sum(free[device_id].free for device_id in fitting)
            for entry in nsmallest(slots, heap) if slots < len(heap) else sorted(heap):
                if _is_valid(entry):
                    task = entry[3]
                    ready.append((entry[:2], as_placeable(task, fitting)))
                    tasks[task._task_id] = task
        ready = [offer for offer in ready if offer[1].fitting]
        ready.sort(key=lambda offer: offer[0])
        return [offer[1] for offer in ready], book.loads(free), tasks

    def _chosen(
        self, run: Flow, ready: Sequence[TaskToPlace], loads: Mapping[str, DeviceLoad]
    ) -> list[tuple[str, str]]:
        assert self._choose is not None
        assert self.strategy is not None
        name = _name_of(self.strategy)
        try:
            pairs = [(task_id, device_id) for task_id, device_id in self._choose(ready, loads)]
            fitting = {task.task_id: task.fitting for task in ready}
            for task_id, device_id in pairs:
                if device_id not in fitting.get(task_id, ()):
                    raise StrategyError(name, f"chose {device_id!r} for {task_id!r}, which was not among its choices")
        except Exception as error:  # the tasks receive it: their strategy broke
            broken = error if isinstance(error, StrategyError) else StrategyError(name, f"raised {error!r}")
            broken.__cause__ = error if broken is not error else None
            self._fail_all(run, broken)
            return []
        return pairs

    def _start(self, run: Flow, tasks: Mapping[str, TaskStar], task_id: str, device_id: str) -> int:
        task, lane = tasks[task_id], run.book.lanes[device_id]
        heap = self._ready[needs_of(task)]
        entry = next((entry for entry in heap if entry[3] is task and _is_valid(entry)), None)
        if entry is None or not lane.free:
            return 0
        if heap[0] is entry:
            heappop(heap)
        else:
            heap.remove(entry)
            heap.sort()
        run.assign(task, lane)
        lane.free -= 1
        task._ticket = run.book.new_ticket()
        run.dispatch(task, lane, task._ticket)
        return 1

    def _complain_if_stuck(self, run: Flow, tasks: Mapping[str, TaskStar]) -> None:
        if tasks and not any(lane.running for lane in run.book.lanes.values()) and not run.has_runnable:
            assert self.strategy is not None
            name = _name_of(self.strategy)
            self._fail_all(
                run, StrategyError(name, f"chose none of {len(tasks)} ready tasks while all devices were free")
            )

    def _fail_all(self, run: Flow, error: StrategyError) -> None:
        heaps, self._ready = self._ready, {}
        for heap in heaps.values():
            for entry in sorted(heap):
                if _is_valid(entry):
                    run.fail_unplaced(entry[3], error)


def _is_valid(entry: tuple[int, int, int, TaskStar]) -> bool:
    """Whether the task still waits under this ticket: it has not ended, been edited or gone elsewhere since."""
    return entry[3]._ticket == entry[2]
