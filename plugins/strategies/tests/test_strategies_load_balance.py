"""load_balance keeps the largest load within the bounds that are proved of it (behaviours.md, part 2, row 18).

The optimum is found by trying every assignment, so these plans are small.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil, log2

import pytest
from hypothesis import given
from hypothesis import strategies as st

from galaxy_core.extension.interfaces import DeviceLoad, Placement, TaskToPlace
from galaxy_core_strategies import LoadBalance

from .placements import (
    NO_TYPE,
    ONE_SLOT,
    SOME_HELD,
    SOME_SLOTS,
    WHOLE,
    alike,
    counts,
    device,
    devices,
    largest_load,
    least_largest_load,
    placement,
    placements,
    seconds,
    task,
)

UNIT = st.sampled_from([None, 1.0])


@given(asked=placements(among=alike(slots=st.just(2)), estimates=UNIT, most=40))
def test_equal_tasks_are_shared_to_within_one_where_all_devices_are_alike(asked: Placement) -> None:
    shares = counts(asked, LoadBalance().assign(asked)).values()
    assert max(shares) - min(shares) <= 1


@given(asked=placements(among=alike(slots=SOME_SLOTS, held=SOME_HELD, most=4), estimates=UNIT, most=7))
def test_equal_tasks_that_fit_everywhere_are_placed_optimally_whatever_devices_hold(asked: Placement) -> None:
    assert largest_load(asked, LoadBalance().assign(asked)) == least_largest_load(asked)


@st.composite
def nested(draw: st.DrawFn) -> Placement:
    """Equal tasks whose sets of fitting devices are each inside the other or apart: halves of halves of the devices."""
    sets = ["abcd", "ab", "cd", "a", "b", "c", "d"]
    tasks = [task(f"{i}", draw(st.sampled_from(sets))) for i in range(draw(st.integers(0, 8)))]
    return placement(tasks, [device(device_id) for device_id in "abcd"])


@given(asked=nested())
def test_equal_tasks_are_placed_optimally_where_their_sets_of_devices_are_nested(asked: Placement) -> None:
    assert largest_load(asked, LoadBalance().assign(asked)) == least_largest_load(asked)


@given(asked=placements(among=alike(most=4), estimates=WHOLE, most=9))
def test_on_devices_alike_the_largest_load_is_within_four_thirds_of_the_optimum(asked: Placement) -> None:
    bound = 4 / 3 - 1 / (3 * len(asked.devices))
    assert largest_load(asked, LoadBalance().assign(asked)) <= bound * least_largest_load(asked) + 1e-9


@given(asked=placements(among=alike(held=SOME_HELD, most=4), estimates=WHOLE, most=8))
def test_with_work_held_before_it_is_within_three_halves(asked: Placement) -> None:
    bound = 3 / 2 - 1 / (2 * len(asked.devices))
    assert largest_load(asked, LoadBalance().assign(asked)) <= bound * least_largest_load(asked) + 1e-9


@given(asked=placements(among=alike(slots=SOME_SLOTS, most=4), estimates=WHOLE, most=8))
def test_with_unequal_numbers_of_slots_it_is_within_twice_the_optimum(asked: Placement) -> None:
    bound = 2 - 2 / (len(asked.devices) + 1)
    assert largest_load(asked, LoadBalance().assign(asked)) <= bound * least_largest_load(asked) + 1e-9


@given(asked=placements(among=devices(slots=ONE_SLOT, held=SOME_HELD, types=NO_TYPE, most=4), estimates=WHOLE, most=8))
def test_where_tasks_fit_some_devices_only_it_is_within_the_bound_of_greedy_assignment(asked: Placement) -> None:
    bound = ceil(log2(len(asked.devices))) + 1
    assert largest_load(asked, LoadBalance().assign(asked)) <= bound * least_largest_load(asked) + 1e-9


def no_better_off_elsewhere(asked: Placement, chosen: Mapping[str, str], order: list[TaskToPlace]) -> bool:
    """Whether the task that came last to each device, if tasks were placed in `order`, ends up with the least load there."""
    work = {device_id: load.assigned_s for device_id, load in asked.devices.items()}
    last = {}
    for each in order:
        work[chosen[each.task_id]] += seconds(each)
        last[chosen[each.task_id]] = each
    for mine, each in last.items():
        here = work[mine] / asked.devices[mine].max_concurrency
        for other in set(each.fitting) - {mine}:
            there = (work[other] + seconds(each)) / asked.devices[other].max_concurrency
            if here > there and here != pytest.approx(there):
                return False
    return True


@given(asked=placements(most=20))
def test_the_last_task_of_a_device_would_have_been_no_better_off_elsewhere(asked: Placement) -> None:
    chosen = LoadBalance().assign(asked)
    longest_first = sorted(asked.tasks, key=lambda each: (-seconds(each), len(each.fitting)))
    fewest_first = sorted(asked.tasks, key=lambda each: (len(each.fitting), -seconds(each)))
    assert any(no_better_off_elsewhere(asked, chosen, order) for order in (longest_first, fewest_first))


def test_long_tasks_that_fit_anywhere_do_not_fill_the_device_that_short_ones_need() -> None:
    tasks = [*(task(f"anywhere-{i}", "az", 5.0) for i in range(2)), *(task(f"only-z-{i}", "z", 1.0) for i in range(10))]
    asked = placement(tasks, [device("a"), device("z")])
    assert largest_load(asked, LoadBalance().assign(asked)) == 10.0


def test_a_short_task_that_fits_little_does_not_upset_the_long_ones() -> None:
    tasks = [task("only-a", "a", 1.0), *(task(f"{cost}", "ab", cost) for cost in (2.0, 3.0)), task("2", "ab", 2.0)]
    asked = placement(tasks, [device("a"), device("b")])
    assert largest_load(asked, LoadBalance().assign(asked)) == 4.0


def test_what_devices_hold_already_counts_by_its_seconds() -> None:
    loads = [device("a", assigned=1, assigned_s=10.0), device("b", assigned=4, assigned_s=4.0)]
    chosen = LoadBalance().assign(placement([task("t", "ab", 5.0)], loads))
    assert chosen == {"t": "b"}


def test_a_device_of_four_slots_is_given_four_times_as_much() -> None:
    loads = [device("one"), device("four", slots=4)]
    asked = placement([task(f"{i}", ["one", "four"]) for i in range(20)], loads)
    assert counts(asked, LoadBalance().assign(asked)) == {"one": 4, "four": 16}


def test_a_long_task_goes_where_it_ends_up_lightest_not_where_least_is_held() -> None:
    loads = [device("idle"), device("wide", slots=10, assigned=1, assigned_s=1.0)]
    assert LoadBalance().assign(placement([task("t", ["idle", "wide"], 10.0)], loads)) == {"t": "wide"}


def test_long_tasks_are_placed_before_short_ones_whatever_the_plan_says() -> None:
    tasks = [task("s1", "ab", 1.0), task("s2", "ab", 1.0), task("s3", "ab", 1.0), task("long", "ab", 3.0)]
    asked = placement(tasks, [device("a"), device("b")])
    assert largest_load(asked, LoadBalance().assign(asked)) == 3.0


def test_a_task_without_an_estimate_counts_one_second() -> None:
    tasks = [task("known", "ab", 2.0), *(task(f"unknown-{i}", "ab") for i in range(2))]
    chosen = LoadBalance().assign(placement(tasks, [device("a"), device("b")]))
    assert chosen == {"known": "a", "unknown-0": "b", "unknown-1": "b"}


def test_tasks_that_cost_nothing_are_spread_all_the_same() -> None:
    asked = placement([task(f"{i}", "abc", 0.0) for i in range(9)], [device(name) for name in "abc"])
    assert counts(asked, LoadBalance().assign(asked)) == {"a": 3, "b": 3, "c": 3}


def test_tasks_that_cost_nothing_are_spread_by_slots_where_those_differ() -> None:
    loads: list[DeviceLoad] = [device("one"), device("two", slots=2)]
    asked = placement([task(f"{i}", ["one", "two"], 0.0) for i in range(9)], loads)
    assert counts(asked, LoadBalance().assign(asked)) == {"one": 3, "two": 6}
