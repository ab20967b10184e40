"""Our strategies keep the contract of strategies."""

from __future__ import annotations

import pytest

from galaxy_core.extension.interfaces import AssignmentStrategy
from galaxy_core.testing.contract import AssignmentStrategyContract
from galaxy_core_strategies import plugin


@pytest.mark.parametrize("name", [strategy.name for strategy in plugin.galaxy_strategies()])
class TestOurs(AssignmentStrategyContract):
    @pytest.fixture
    def strategy(self, name: str) -> AssignmentStrategy:
        return next(strategy for strategy in plugin.galaxy_strategies() if strategy.name == name)
