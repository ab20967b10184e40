"""round_robin is even, and goes round."""

from __future__ import annotations

from hypothesis import given

from galaxy_core.extension.interfaces import Placement
from galaxy_core_strategies import RoundRobin

from .placements import SOME_HELD, SOME_SLOTS, alike, counts, device, placement, placements, task


@given(asked=placements(among=alike(slots=SOME_SLOTS, held=SOME_HELD)))
def test_where_every_device_fits_task_i_goes_to_device_i_modulo_n(asked: Placement) -> None:
    chosen = RoundRobin().assign(asked)
    ids = list(asked.devices)
    assert [chosen[each.task_id] for each in asked.tasks] == [ids[i % len(ids)] for i in range(len(asked.tasks))]


@given(asked=placements())
def test_tasks_of_one_kind_are_shared_to_within_one(asked: Placement) -> None:
    for fitting in {each.fitting for each in asked.tasks}:
        alone = Placement([each for each in asked.tasks if each.fitting == fitting], asked.devices)
        given_to = counts(alone, RoundRobin().assign(alone))
        shares = [given_to[device_id] for device_id in fitting]
        assert max(shares) - min(shares) <= 1


@given(asked=placements(most=20))
def test_nothing_is_given_to_a_device_while_another_that_fits_has_fewer(asked: Placement) -> None:
    chosen = RoundRobin().assign(asked)
    given_to = counts(asked, chosen)
    last = {chosen[each.task_id]: each for each in asked.tasks}
    for device_id, each in last.items():
        assert all(given_to[other] >= given_to[device_id] - 1 for other in each.fitting)


def test_devices_that_fit_little_do_not_upset_the_balance_of_the_others() -> None:
    tasks = [task("pinned-by-need-1", "a"), task("pinned-by-need-2", "a"), *(task(f"any-{i}", "abc") for i in range(4))]
    chosen = RoundRobin().assign(placement(tasks, [device("a"), device("b"), device("c")]))
    assert [chosen[f"any-{i}"] for i in range(4)] == ["b", "c", "b", "c"]


def test_among_equals_the_turn_goes_to_the_one_that_waited_longest() -> None:
    tasks = [task("1", "b"), task("2", "a"), task("3", "ab")]
    assert RoundRobin().assign(placement(tasks, [device("a"), device("b")]))["3"] == "b"
