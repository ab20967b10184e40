"""What every strategy of this distribution promises."""

from __future__ import annotations

from copy import deepcopy

import pytest
from hypothesis import given

from galaxy_core.extension.interfaces import AssignmentStrategy, Placement
from galaxy_core_strategies import plugin

from .placements import devices, placements

STRATEGIES = list(plugin.galaxy_strategies())


def test_the_plugin_brings_the_strategies_of_the_manual() -> None:
    names = [strategy.name for strategy in STRATEGIES]
    assert names == ["round_robin", "capability_match", "load_balance", "earliest_finish"]


def test_only_earliest_finish_binds_late() -> None:
    assert [strategy.name for strategy in STRATEGIES if hasattr(strategy, "choose")] == ["earliest_finish"]


@pytest.mark.parametrize("strategy", STRATEGIES, ids=lambda strategy: strategy.name)
class TestEveryStrategy:
    def test_is_what_the_kernel_asks_for(self, strategy: AssignmentStrategy) -> None:
        assert isinstance(strategy, AssignmentStrategy)

    @given(asked=placements(linked=True))
    def test_places_every_task_on_a_device_that_fits(self, strategy: AssignmentStrategy, asked: Placement) -> None:
        chosen = strategy.assign(asked)
        assert set(chosen) == {task.task_id for task in asked.tasks}
        assert all(chosen[task.task_id] in task.fitting for task in asked.tasks)

    @given(asked=placements(linked=True))
    def test_answers_the_same_to_the_same(self, strategy: AssignmentStrategy, asked: Placement) -> None:
        first = strategy.assign(asked)
        assert strategy.assign(deepcopy(asked)) == first

    @given(asked=placements(linked=True))
    def test_leaves_what_it_was_given_alone(self, strategy: AssignmentStrategy, asked: Placement) -> None:
        before = deepcopy(asked)
        strategy.assign(asked)
        assert asked == before

    @given(loads=devices())
    def test_has_no_answer_to_no_tasks(self, strategy: AssignmentStrategy, loads: dict[str, object]) -> None:
        assert strategy.assign(Placement([], loads)) == {}  # type: ignore[arg-type]
        assert strategy.assign(Placement([], {})) == {}
