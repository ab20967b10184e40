"""capability_match takes the closest fit, and spreads evenly among equals (behaviours.md, part 2, row 17)."""

from __future__ import annotations

from hypothesis import given

from galaxy_core.extension.interfaces import Placement
from galaxy_core_strategies import CapabilityMatch

from .placements import NOTHING_HELD, counts, device, devices, placement, placements, task


@given(asked=placements())
def test_a_device_is_never_taken_while_a_closer_one_fits(asked: Placement) -> None:
    chosen = CapabilityMatch().assign(asked)
    for each in asked.tasks:
        surplus = {device_id: len(asked.devices[device_id].capabilities - each.requires) for device_id in each.fitting}
        assert surplus[chosen[each.task_id]] == min(surplus.values())


@given(asked=placements(among=devices(held=NOTHING_HELD), most=20))
def test_equally_close_devices_share_the_tasks_of_one_kind_to_within_one(asked: Placement) -> None:
    for kind in {(each.requires, each.fitting) for each in asked.tasks}:
        alone = Placement([each for each in asked.tasks if (each.requires, each.fitting) == kind], asked.devices)
        given_to = counts(alone, CapabilityMatch().assign(alone))
        sizes = {device_id: len(asked.devices[device_id].capabilities) for device_id in kind[1]}
        shares = [given_to[device_id] for device_id, size in sizes.items() if size == min(sizes.values())]
        assert max(shares) - min(shares) <= 1


@given(asked=placements(most=20))
def test_nothing_is_given_to_a_device_while_an_equally_close_one_holds_less(asked: Placement) -> None:
    chosen = CapabilityMatch().assign(asked)
    given_to = counts(asked, chosen)
    holds = {device_id: load.assigned + given_to[device_id] for device_id, load in asked.devices.items()}
    last = {chosen[each.task_id]: each for each in asked.tasks}
    for device_id, each in last.items():
        size = len(asked.devices[device_id].capabilities)
        close = [other for other in each.fitting if len(asked.devices[other].capabilities) == size]
        assert all(holds[other] >= holds[device_id] - 1 for other in close)


def test_a_device_that_can_do_much_is_left_to_the_tasks_that_need_it() -> None:
    loads = [device("studio", "camera"), device("plain")]
    tasks = [
        task("photo", ["studio"], requires=frozenset("camera")),
        *(task(f"{i}", ["studio", "plain"]) for i in range(3)),
    ]
    chosen = CapabilityMatch().assign(placement(tasks, loads))
    assert chosen == {"photo": "studio", "0": "plain", "1": "plain", "2": "plain"}


def test_five_equal_tasks_do_not_all_go_to_the_first_of_two_devices_that_match() -> None:
    tasks = [task(f"{i}", ["w1", "w2"]) for i in range(5)]
    chosen = CapabilityMatch().assign(placement(tasks, [device("l1"), device("w1"), device("w2")]))
    assert list(chosen.values()) == ["w1", "w2", "w1", "w2", "w1"]


def test_what_devices_hold_already_counts() -> None:
    tasks = [task(f"{i}", "ab") for i in range(4)]
    chosen = CapabilityMatch().assign(placement(tasks, [device("a", assigned=3), device("b")]))
    assert list(chosen.values()) == ["b", "b", "b", "a"]
