"""The kernel finds the strategies, installed or passed, and has nothing to say against them."""

from __future__ import annotations

from galaxy_core import PluginRegistry
from galaxy_core_strategies import plugin

NAMES = {"round_robin", "capability_match", "load_balance", "earliest_finish"}


def test_the_installed_distribution_is_found() -> None:
    registry = PluginRegistry(allowed=["galaxy-core-strategies"])
    assert set(registry.strategies) == NAMES
    assert not registry.problems


def test_the_module_can_be_passed_by_a_program() -> None:
    registry = PluginRegistry(discover=False)
    registry.register(plugin)
    assert set(registry.strategies) == NAMES
