"""AssignmentStrategyContract: what the kernel asks of every strategy."""

from __future__ import annotations

import random
import re
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from inspect import isawaitable
from types import FrameType
from typing import Any, Final

import pytest

from galaxy_core.extension.interfaces import AssignmentStrategy, DeviceLoad, Placement, TaskToPlace
from galaxy_core.testing.contract.clause import Contract, NotAskedError, clause

SEEDS: Final = range(40)
FEW, MANY = 250, 1000
#: How many times as much work four times as many tasks may be. Sorting makes it a little more than four; looking at all
#: tasks for each task makes it sixteen.
GROWTH: Final = 7.0
_NAME = re.compile(r"[a-z][a-z0-9_.-]*")


class AssignmentStrategyContract(Contract):
    """Subclass it, and supply the fixture `strategy`::

    class TestMine(AssignmentStrategyContract):
        @pytest.fixture
        def strategy(self) -> AssignmentStrategy:
            return Mine()
    """

    @pytest.fixture
    def strategy(self) -> AssignmentStrategy:
        """The subclass supplies it."""
        raise pytest.UsageError(f"{type(self).__name__} has to supply the fixture 'strategy'")

    @clause("the attributes of your strategy: `name`, text; `assign`")
    def test_it_is_a_strategy_with_a_name(self, strategy: AssignmentStrategy) -> None:
        assert isinstance(strategy, AssignmentStrategy), (
            "it lacks `name` or `assign` of the Protocol AssignmentStrategy"
        )
        assert isinstance(strategy.name, str), f"its name is {strategy.name!r}"
        assert _NAME.fullmatch(strategy.name), f"its name {strategy.name!r} is not small letters, digits, '_', '-', '.'"

    @clause(
        "which tasks `assign` leaves out, and from where it takes devices: `task.fitting`, never `placement.devices`"
    )
    def test_every_task_gets_a_device_that_fits(self, strategy: AssignmentStrategy) -> None:
        for seed in SEEDS:
            asked = placement(seed)
            chosen = _assigned(strategy, asked)
            missing = {task.task_id for task in asked.tasks} ^ set(chosen)
            assert not missing, f"left out, or made up: {sorted(missing)}"
            for task in asked.tasks:
                got = chosen[task.task_id]
                assert got in task.fitting, f"{task.task_id!r} was given {got!r}; fitting are {task.fitting}"

    @clause("what your strategy remembers or draws: sets have no order, `random` and `hash` differ from run to run")
    def test_the_same_question_gets_the_same_answer(self, strategy: AssignmentStrategy) -> None:
        for seed in SEEDS:
            first, second = (_assigned(strategy, placement(seed)) for _ in range(2))
            assert dict(first) == dict(second), "asked twice, it answered twice otherwise"

    @clause("what `assign` and `choose` do with what they are given: work on copies of your own")
    def test_what_it_is_shown_stays_as_it_is(self, strategy: AssignmentStrategy) -> None:
        for seed in SEEDS:
            asked = placement(seed)
            before = deepcopy(asked)
            _assigned(strategy, asked)
            assert asked == before, "it changed the tasks or devices that it was shown"

    @clause("loops, `min` and `max` in `assign` when there is nothing to place")
    def test_nothing_to_place_is_placed_nowhere(self, strategy: AssignmentStrategy) -> None:
        loads = placement(1).devices
        for devices in (loads, {}):
            chosen = _assigned(strategy, Placement([], devices, {}))
            assert len(chosen) == 0, f"of no tasks it placed {dict(chosen)}"

    @clause("what `assign` waits for: it is called in the event loop, and everything stands still meanwhile")
    def test_it_does_not_wait(self, strategy: AssignmentStrategy) -> None:
        slept: list[float] = []
        for seed in SEEDS[:5]:
            with pytest.MonkeyPatch.context() as patches:
                patches.setattr(time, "sleep", slept.append)
                answer: Any = strategy.assign(placement(seed))
            assert not isawaitable(answer), "`assign` is to be `def`, not `async def`"
        assert not slept, f"it slept for {sum(slept):g} s"

    @clause("loops over all tasks, or all that were placed, for each task: they make large plans impossible")
    def test_its_work_grows_with_the_plan_and_not_with_its_square(self, strategy: AssignmentStrategy) -> None:
        few, many = (_lines_run(strategy, placement(3, size)) for size in (FEW, MANY))
        assert many <= GROWTH * few, f"{MANY} tasks took {many / few:.1f} times as much as {FEW}"

    @clause(
        "`choose`: of the ready tasks, each once; of the free devices, those in `fitting`, and no more than have room"
    )
    def test_it_chooses_among_what_is_ready_and_free(self, strategy: AssignmentStrategy) -> None:
        choose = _choose(strategy)
        for seed in SEEDS:
            ready, free = ready_and_free(seed)
            pairs = list(choose(ready, free))
            by_id = {task.task_id: task for task in ready}
            tasks = Counter(task_id for task_id, _ in pairs)
            assert all(number == 1 for number in tasks.values()), f"it chose a task twice: {pairs}"
            for task_id, device_id in pairs:
                assert task_id in by_id, f"it chose {task_id!r}, which is not ready"
                assert device_id in free, f"it chose {device_id!r}, which has no free slot"
                assert device_id in by_id[task_id].fitting, f"{device_id!r} does not fit {task_id!r}"
            for device_id, number in Counter(device_id for _, device_id in pairs).items():
                room = free[device_id].max_concurrency - free[device_id].running
                assert number <= room, f"it chose {device_id!r} {number} times; it has room for {room}"

    @clause("`choose`: what it waits for, when everything is free; nobody asks again before something ends")
    def test_it_starts_something_when_everything_is_free(self, strategy: AssignmentStrategy) -> None:
        choose = _choose(strategy)
        for seed in SEEDS:
            ready, _ = ready_and_free(seed)
            idle = {load.device_id: _idle(load) for load in placement(seed).devices.values()}
            assert not ready or list(choose(ready, idle)), (
                f"{len(ready)} tasks were ready, all was idle; it chose nothing"
            )


def placement(seed: int, tasks: int | None = None) -> Placement:
    """Some tasks and devices, the same for the same seed: not all fit everywhere, not all devices are idle."""
    chance = random.Random(seed)  # noqa: S311  not for secrets
    devices = {
        f"device-{number}": DeviceLoad(
            f"device-{number}",
            chance.choice([None, "linux", "android"]),
            frozenset(chance.sample("abcd", chance.randint(0, 4))),
            {},
            chance.randint(1, 4),
            assigned=(held := chance.randint(0, 5)),
            assigned_s=float(held * chance.randint(0, 9)),
        )
        for number in range(chance.randint(1, 6) if tasks is None else 8)
    }
    count = chance.randint(0, 30) if tasks is None else tasks
    ids = [f"task-{number}" for number in range(count)]
    placed = [_task(chance, task_id, devices) for task_id in ids]
    links = {
        ids[number]: sorted(chance.sample(ids[max(0, number - 20) : number], min(number, chance.randint(1, 3))))
        for number in range(1, count)
        if chance.random() < 0.5
    }
    return Placement(placed, devices, links)


def _task(chance: random.Random, task_id: str, devices: Mapping[str, DeviceLoad]) -> TaskToPlace:
    """A task that fits one device at least."""
    model = devices[chance.choice(sorted(devices))]
    able = sorted(model.capabilities)
    requires = frozenset(chance.sample(able, chance.randint(0, len(able))))
    kind = chance.choice([None, model.device_type])
    fitting = tuple(
        load.device_id
        for load in devices.values()
        if requires <= load.capabilities and kind in (None, load.device_type)
    )
    return TaskToPlace(task_id, chance.randint(1, 4), kind, requires, fitting, chance.choice([None, 0.0, 1.5, 60.0]))


def ready_and_free(seed: int) -> tuple[list[TaskToPlace], dict[str, DeviceLoad]]:
    """What `choose` is asked: tasks by priority, and devices with at least one free slot."""
    asked = placement(seed)
    free = {}
    for number, load in enumerate(asked.devices.values()):
        if number % 3 != 2:
            load.running = min(load.assigned, load.max_concurrency - 1)
            free[load.device_id] = load
    return sorted(asked.tasks, key=lambda task: -task.priority), free


def _idle(load: DeviceLoad) -> DeviceLoad:
    load.running = load.queued = load.assigned = 0
    load.assigned_s = 0.0
    return load


def _assigned(strategy: AssignmentStrategy, asked: Placement) -> Mapping[str, str]:
    chosen = strategy.assign(asked)
    assert isinstance(chosen, Mapping), f"`assign` returned {type(chosen).__name__} in place of a mapping"
    return chosen


def _choose(strategy: AssignmentStrategy) -> Callable[[Sequence[TaskToPlace], Mapping[str, DeviceLoad]], Any]:
    choose: Any = getattr(strategy, "choose", None)
    if choose is None:
        raise NotAskedError("it has no `choose`")
    return choose  # type: ignore[no-any-return]


def _lines_run(strategy: AssignmentStrategy, asked: Placement) -> int:
    """How many lines of Python an assignment takes; nothing depends on how fast the machine is."""
    lines = 0

    def trace(_frame: FrameType, event: str, _arg: Any) -> Any:
        nonlocal lines
        lines += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        strategy.assign(asked)
    finally:
        sys.settrace(before)
    return max(lines, 1)
