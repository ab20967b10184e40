"""Late binding: ready tasks wait in one queue per class of requirements, until a strategy gives them a free slot."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from heapq import heappop, heappush
from itertools import islice
from typing import TYPE_CHECKING

from galaxy_core.errors import StrategyError
from galaxy_core.extension.hookimpls import said
from galaxy_core.extension.interfaces import AssignmentStrategy, DeviceLoad, TaskToPlace
from galaxy_core.model.reasons import is_failure, shown
from galaxy_core.model.task import TaskStar
from galaxy_core.runtime.lanes import Requirements, needs_of
from galaxy_core.runtime.placing import as_placeable, name_of, no_fit

if TYPE_CHECKING:
    from galaxy_core.runtime.flow import Flow

Choose = Callable[[Sequence[TaskToPlace], Mapping[str, DeviceLoad]], Iterable[tuple[str, str]]]

_WANTED = "wanted are pairs (task id, device id)"
#: A task in a queue: its rank, its age in the plan, and the ticket under which it waits.
Entry = tuple[int, int, int, TaskStar]


class LateBinding:
    """The ready tasks of one run that get their device only when they start."""

    def __init__(self, strategy: AssignmentStrategy, choose: Choose) -> None:
        self._name = name_of(strategy)
        self._choose = choose
        self._queues: dict[Requirements, list[Entry]] = {}

    def add(self, run: Flow, tasks: Iterable[TaskStar]) -> None:
        """Have ready tasks wait for a slot, and start what can start."""
        for task in tasks:
            ticket = task._ticket = run.book.new_ticket()
            entry = (-task._priority.value, task._index, ticket, task)
            heappush(self._queues.setdefault(needs_of(task), []), entry)
        run.book.hungry[run] = None
        self.choose(run)

    @property
    def first(self) -> tuple[int, int]:
        """Rank and ticket of the best task that waits, by which runs take turns for a slot; lower is sooner."""
        return min(((queue[0][0], queue[0][2]) for queue in self._queues.values() if queue), default=(0, 0))

    def waits(self, task: TaskStar) -> bool:
        """Whether a task waits here."""
        return any(_is_valid(entry) and entry[3] is task for entry in self._queues.get(needs_of(task), ()))

    def recheck(self, run: Flow) -> None:
        """A device was given up: tasks that no device can run any more have failed."""
        for needs, queue in list(self._queues.items()):
            if not run.book.fitting(needs, "coming"):
                del self._queues[needs]
                tasks = [entry[3] for entry in sorted(queue) if _is_valid(entry)]
                for task in tasks:
                    run.fail_unplaced(task, no_fit(run.book, needs, tasks))

    def take(self, run: Flow) -> list[TaskStar]:
        """Take all tasks that wait, which wait no longer."""
        tasks = [entry[3] for queue in self._queues.values() for entry in queue if _is_valid(entry)]
        for task in tasks:
            task._ticket = 0
        self._queues.clear()
        run.book.hungry.pop(run, None)
        return tasks

    def choose(self, run: Flow) -> None:
        """Have the strategy give free slots to ready tasks, until it gives none."""
        started = True
        while started:
            offered, ready, loads = self._offer(run)
            if not ready:
                break
            try:
                pairs = self._ask(ready, loads)
            except StrategyError as broken:
                self._fail(run, offered.values(), broken)
                return
            started = False
            for task_id, device_id in pairs:
                lane = run.book.lanes[device_id]
                if task_id in offered and lane.free:
                    started = True
                    task = offered.pop(task_id)[3]
                    run.assign(task, lane)
                    lane.free -= 1
                    task._ticket = run.book.new_ticket()
                    run.dispatch(task, lane, task._ticket)
            for entry in offered.values():
                heappush(self._queues[needs_of(entry[3])], entry)
            if not started:
                self._complain_if_stuck(run, len(offered))
        if not any(self._queues.values()):
            run.book.hungry.pop(run, None)

    def _offer(self, run: Flow) -> tuple[dict[str, Entry], list[TaskToPlace], dict[str, DeviceLoad]]:
        """What can start now, taken out of the queues: of each class no more than there are slots for it."""
        book = run.book
        free = {lane.device_id: lane.free for lane in book.available() if lane.free and not lane.queued}
        offered: list[Entry] = []
        fitting: dict[Requirements, tuple[str, ...]] = {}
        for needs, queue in self._queues.items() if free else ():
            fitting[needs] = tuple(device_id for device_id in book.fitting(needs) if device_id in free)
            slots = sum(free[device_id] for device_id in fitting[needs])
            while queue and slots > 0:
                entry = heappop(queue)
                if _is_valid(entry):
                    offered.append(entry)
                    slots -= 1
        offered.sort(key=_rank)
        ready = [as_placeable(entry[3], fitting[needs_of(entry[3])]) for entry in offered]
        return {entry[3]._task_id: entry for entry in offered}, ready, book.loads(free) if offered else {}

    def _ask(self, ready: Sequence[TaskToPlace], loads: Mapping[str, DeviceLoad]) -> list[tuple[str, str]]:
        fitting = {task.task_id: task.fitting for task in ready}
        free = frozenset(loads)
        try:
            answer: object = self._choose(ready, loads)
            if isinstance(answer, str) or not isinstance(answer, Iterable):
                raise StrategyError(self._name, f"returned {shown(answer)} from `choose`; {_WANTED}")
            chosen = islice(answer, len(ready) + 1)  # an endless generator must have an end
            pairs = [self._pair(one) for one in chosen]
        except StrategyError:
            raise
        except BaseException as error:  # the tasks receive it: their strategy broke
            if not is_failure(error):
                raise
            raise StrategyError(self._name, f"raised {said(error)}") from error
        if len(pairs) > len(ready):
            raise StrategyError(self._name, f"chose more than it was offered, which was {len(ready)} tasks")
        for task_id, device_id in pairs:
            if device_id not in free or device_id not in fitting.get(task_id, ()):
                raise StrategyError(self._name, f"chose {device_id!r} for {task_id!r}, which was not among its choices")
        return pairs

    def _pair(self, one: object) -> tuple[str, str]:
        if isinstance(one, tuple | list) and len(one) == 2 and all(isinstance(part, str) for part in one):
            return one[0], one[1]
        raise StrategyError(self._name, f"chose {shown(one)}; {_WANTED}")

    def _complain_if_stuck(self, run: Flow, waiting: int) -> None:
        if not run.has_runnable and not any(lane.running for lane in run.book.lanes.values()):
            why = f"chose none of {waiting} ready tasks while all devices were free"
            self._fail(run, (), StrategyError(self._name, why))

    def _fail(self, run: Flow, offered: Iterable[Entry], error: StrategyError) -> None:
        """The strategy is broken: whatever waits for it has failed."""
        waiting = [*offered, *(entry for queue in self._queues.values() for entry in queue)]
        self._queues.clear()
        run.book.hungry.pop(run, None)
        for entry in sorted(waiting, key=_rank):
            if _is_valid(entry):
                run.fail_unplaced(entry[3], error)


def _rank(entry: Entry) -> tuple[int, int]:
    return entry[0], entry[1]


def _is_valid(entry: Entry) -> bool:
    """Whether the task still waits under this ticket: it has not ended, been edited or gone elsewhere since."""
    return entry[3]._ticket == entry[2]
