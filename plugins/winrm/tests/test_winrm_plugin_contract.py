"""The distribution keeps the contract of plugins."""

from __future__ import annotations

import pytest

from galaxy_core.testing.contract import PluginContract


class TestThisDistribution(PluginContract):
    @pytest.fixture
    def distribution(self) -> str:
        return "galaxy-core-winrm"
