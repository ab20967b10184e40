"""earliest_finish leaves no slot idle that a ready task could use, and so keeps within the bound of list scheduling."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from heapq import heappop, heappush

from attrs import define, evolve
from hypothesis import given
from hypothesis import strategies as st

from galaxy_core.extension.interfaces import DeviceLoad, Placement, TaskToPlace
from galaxy_core_strategies import EarliestFinish
from galaxy_core_strategies.forecast import upward_ranks

from .placements import SOME_SLOTS, WHOLE, alike, device, devices, placement, placements, seconds, task

#: Tasks that last: what ends in the moment in which it starts can free a task that is ready too late for that moment.
LASTING = st.integers(1, 9).map(float)
Start = Callable[[list[TaskToPlace], dict[str, DeviceLoad]], list[tuple[str, str]]]


def rank(asked: Placement, task_id: str) -> float:
    """Seconds to the end of the longest chain that begins with the task, straight from the definition."""
    dependents = [each for each, sources in asked.prerequisites.items() if task_id in sources]
    cost = {each.task_id: seconds(each) for each in asked.tasks}
    return cost[task_id] + max((rank(asked, each) for each in dependents), default=0.0)


def order(asked: Placement) -> dict[str, tuple[int, int, float, int]]:
    return {
        each.task_id: (-each.priority, len(each.fitting), -rank(asked, each.task_id), number)
        for number, each in enumerate(asked.tasks)
    }


@define
class Ran:
    """When a task became ready, started and ended, and where."""

    device_id: str
    ready: float
    start: float
    end: float


def run(asked: Placement, start: Start) -> dict[str, Ran]:
    """A run on its own clock; `start` is asked, whenever something happened, which ready tasks start where."""
    tasks = {each.task_id: each for each in asked.tasks}
    waits = {task_id: set(asked.prerequisites.get(task_id, ())) for task_id in tasks}
    ready = {task_id: 0.0 for task_id, sources in waits.items() if not sources}
    ran: dict[str, Ran] = {}
    slots = dict.fromkeys(asked.devices, 0)
    ends: list[tuple[float, str, int]] = []
    for device_id, load in asked.devices.items():
        heappush(ends, (load.assigned_s / load.max_concurrency, device_id, load.max_concurrency))
    running: list[tuple[float, str]] = []
    while ends or running:
        now = min(each[0][0] for each in (ends, running) if each)
        while ends and ends[0][0] == now:
            _, device_id, released = heappop(ends)
            slots[device_id] += released
        while running and running[0][0] == now:
            _, ended = heappop(running)
            slots[ran[ended].device_id] += 1
            for task_id, sources in waits.items():
                if ended in sources:
                    sources.remove(ended)
                    if not sources:
                        ready[task_id] = now
        free = {
            device_id: evolve(load, running=load.max_concurrency - slots[device_id])
            for device_id, load in asked.devices.items()
            if slots[device_id]
        }
        offered = [tasks[task_id] for task_id in ready if task_id not in ran]
        for task_id, device_id in start(offered, free):
            assert slots[device_id] > 0
            slots[device_id] -= 1
            ran[task_id] = Ran(device_id, ready[task_id], now, now + seconds(tasks[task_id]))
            heappush(running, (ran[task_id].end, task_id))
    return ran


def kept(asked: Placement, chosen: Mapping[str, str]) -> Start:
    """Start tasks where `chosen` says, on each device in the promised order."""
    rule = order(asked)

    def start(ready: list[TaskToPlace], free: dict[str, DeviceLoad]) -> list[tuple[str, str]]:
        slots = {device_id: load.max_concurrency - load.running for device_id, load in free.items()}
        pairs = []
        for each in sorted(ready, key=lambda each: rule[each.task_id]):
            device_id = chosen[each.task_id]
            if slots.get(device_id):
                slots[device_id] -= 1
                pairs.append((each.task_id, device_id))
        return pairs

    return start


def late(asked: Placement) -> Start:
    """Ask `choose`, with `fitting` narrowed to what is free."""

    def start(ready: list[TaskToPlace], free: dict[str, DeviceLoad]) -> list[tuple[str, str]]:
        narrowed = [evolve(each, fitting=tuple(d for d in each.fitting if d in free)) for each in ready]
        return list(EarliestFinish().choose([each for each in narrowed if each.fitting], free))

    return start


def graham(asked: Placement) -> float:
    """The most seconds that list scheduling can take on slots that fit every task."""
    slots = sum(load.max_concurrency for load in asked.devices.values())
    work = sum(seconds(each) for each in asked.tasks)
    longest = max((rank(asked, each.task_id) for each in asked.tasks), default=0.0)
    return work / slots + (1 - 1 / slots) * longest


def length(ran: dict[str, Ran]) -> float:
    return max((each.end for each in ran.values()), default=0.0)


def idle_slots(asked: Placement, ran: dict[str, Ran], device_id: str, at: float) -> int:
    load = asked.devices[device_id]
    if at < load.assigned_s / load.max_concurrency:
        return 0
    busy = sum(each.device_id == device_id and each.start <= at < each.end for each in ran.values())
    return load.max_concurrency - busy


@given(asked=placements(linked=True))
def test_upward_ranks_are_the_longest_chains(asked: Placement) -> None:
    ranks = upward_ranks(asked)
    assert list(ranks) == [each.task_id for each in asked.tasks]
    for task_id, found in ranks.items():
        assert abs(found - rank(asked, task_id)) <= 1e-9 * found


@given(asked=placements(among=devices(most=4), estimates=WHOLE, most=10, linked=True))
def test_in_a_plan_that_is_kept_no_slot_idles_while_a_task_waits_for_it(asked: Placement) -> None:
    ran = run(asked, kept(asked, EarliestFinish().assign(asked)))
    assert len(ran) == len(asked.tasks)
    moments = {each.start for each in ran.values()} | {each.end for each in ran.values()}
    for each in asked.tasks:
        mine = ran[each.task_id]
        for at in moments:
            if mine.ready <= at < mine.start:
                assert all(idle_slots(asked, ran, device_id, at) == 0 for device_id in each.fitting)


@given(asked=placements(among=devices(most=4), estimates=LASTING, most=10, linked=True))
def test_in_a_plan_that_is_kept_nothing_overtakes_what_comes_before_it(asked: Placement) -> None:
    ran = run(asked, kept(asked, EarliestFinish().assign(asked)))
    rule = order(asked)
    for first in asked.tasks:
        for second in asked.tasks:
            if rule[first.task_id] < rule[second.task_id] and ran[second.task_id].device_id in first.fitting:
                assert not ran[first.task_id].ready <= ran[second.task_id].start < ran[first.task_id].start


@given(asked=placements(among=alike(slots=SOME_SLOTS), estimates=WHOLE, most=12, linked=True))
def test_a_plan_that_is_kept_is_within_the_bound_of_list_scheduling(asked: Placement) -> None:
    assert length(run(asked, kept(asked, EarliestFinish().assign(asked)))) <= graham(asked) + 1e-9


@given(asked=placements(among=alike(slots=SOME_SLOTS), estimates=WHOLE, most=12, linked=True), data=st.data())
def test_tasks_bound_late_are_within_it_even_when_estimates_are_wrong(asked: Placement, data: st.DataObject) -> None:
    truth = run(asked, late(asked))
    assert length(truth) <= graham(asked) + 1e-9
    lies = Placement(
        [evolve(each, estimate_s=data.draw(st.none() | WHOLE)) for each in asked.tasks],
        asked.devices,
        asked.prerequisites,
    )
    told = {each.task_id: each for each in lies.tasks}

    def start(ready: list[TaskToPlace], free: dict[str, DeviceLoad]) -> list[tuple[str, str]]:
        return late(lies)([told[each.task_id] for each in ready], free)

    assert length(run(asked, start)) <= graham(asked) + 1e-9


@st.composite
def moments(draw: st.DrawFn) -> tuple[list[TaskToPlace], dict[str, DeviceLoad]]:
    """Ready tasks, highest priority first, and the devices with a free slot; other devices may fit as well."""
    asked = draw(placements(most=15))
    free = {}
    for device_id, load in asked.devices.items():
        running = draw(st.integers(0, load.max_concurrency))
        if running < load.max_concurrency:
            free[device_id] = evolve(load, running=running)
    return sorted(asked.tasks, key=lambda each: -each.priority), free


class TestChoose:
    @given(moment=moments())
    def test_starts_each_task_once_on_a_free_device_that_fits_and_takes_no_slot_twice(
        self, moment: tuple[list[TaskToPlace], dict[str, DeviceLoad]]
    ) -> None:
        ready, free = moment
        pairs = EarliestFinish().choose(ready, free)
        fitting = {each.task_id: each.fitting for each in ready}
        assert len({task_id for task_id, _ in pairs}) == len(pairs)
        assert all(device_id in free and device_id in fitting[task_id] for task_id, device_id in pairs)
        for device_id, load in free.items():
            assert sum(where == device_id for _, where in pairs) <= load.max_concurrency - load.running

    @given(moment=moments())
    def test_leaves_a_task_only_if_its_slots_go_to_tasks_of_its_priority_or_higher(
        self, moment: tuple[list[TaskToPlace], dict[str, DeviceLoad]]
    ) -> None:
        ready, free = moment
        pairs = EarliestFinish().choose(ready, free)
        priority = {each.task_id: each.priority for each in ready}
        started = {task_id for task_id, _ in pairs}
        for each in ready:
            for device_id in set(each.fitting) & set(free):
                taken = [priority[task_id] for task_id, where in pairs if where == device_id]
                if each.task_id not in started:
                    assert len(taken) == free[device_id].max_concurrency - free[device_id].running
                    assert min(taken) >= each.priority

    def test_takes_the_device_that_is_least_busy_per_slot(self) -> None:
        free = {"a": device("a", slots=2, running=1), "b": device("b", slots=4, running=1)}
        assert EarliestFinish().choose([task("t", "ab")], free) == [("t", "b")]

    def test_takes_of_idle_devices_the_one_that_least_work_waits_for(self) -> None:
        free = {"a": device("a", assigned=1, assigned_s=9.0), "b": device("b")}
        assert EarliestFinish().choose([task("t", "ab")], free) == [("t", "b")]

    def test_does_not_give_the_only_slot_of_a_task_to_one_that_could_go_elsewhere(self) -> None:
        free = {"a": device("a"), "b": device("b")}
        pairs = EarliestFinish().choose([task("anywhere", "ab"), task("only-a", "a")], free)
        assert dict(pairs) == {"only-a": "a", "anywhere": "b"}

    def test_keeps_the_order_in_which_equals_are_offered(self) -> None:
        pairs = EarliestFinish().choose([task("z", "a"), task("y", "a")], {"a": device("a")})
        assert pairs == [("z", "a")]

    def test_has_nothing_to_say_when_nothing_is_ready_or_free(self) -> None:
        assert EarliestFinish().choose([], {"a": device("a")}) == []
        assert EarliestFinish().choose([task("t", "a")], {}) == []


def test_prerequisites_that_are_placed_already_hold_nothing_up() -> None:
    asked = placement([task("t", "a")], [device("a")], {"t": ["gone"]})
    assert EarliestFinish().assign(asked) == {"t": "a"}


def test_the_head_of_a_long_chain_goes_before_what_nothing_waits_for() -> None:
    tasks = [task("alone", "a", 5.0), task("head", "a", 1.0), task("tail", "b", 9.0)]
    asked = placement(tasks, [device("a"), device("b")], {"tail": ["head"]})
    assert length(run(asked, kept(asked, EarliestFinish().assign(asked)))) == 10.0


def test_a_device_that_holds_work_is_planned_for_when_it_is_done() -> None:
    asked = placement(
        [task(f"{i}", "ab", 1.0) for i in range(4)], [device("a", assigned=1, assigned_s=3.0), device("b")]
    )
    assert list(EarliestFinish().assign(asked).values()) == ["b", "b", "b", "a"]


def test_a_plan_fills_devices_in_proportion_to_their_slots() -> None:
    asked = placement([task(f"{i}", "ab") for i in range(3)], [device("a", slots=2), device("b", slots=4)])
    assert list(EarliestFinish().assign(asked).values()) == ["a", "b", "b"]


def test_all_that_happens_in_one_moment_is_known_before_anything_starts_in_it() -> None:
    tasks = [task("on-a", "a"), task("on-b", "b"), task("low", "ab", priority=1), task("high", "a", priority=4)]
    asked = placement(tasks, [device("a"), device("b")], {"low": ["on-a"], "high": ["on-b"]})
    assert EarliestFinish().assign(asked)["low"] == "b"


def test_a_long_chain_needs_no_deep_recursion() -> None:
    tasks = [task(f"{i}", "ab") for i in range(5000)]
    links = {f"{i}": [f"{i - 1}"] for i in range(1, 5000)}
    asked = placement(tasks, [device("a"), device("b")], links)
    assert len(EarliestFinish().assign(asked)) == 5000
    assert upward_ranks(asked)["0"] == 5000.0
