"""Every test here runs under virtual time, on asyncio and on trio, and fails when it does not end."""

from __future__ import annotations

from inspect import iscoroutinefunction
from typing import Any

import pytest

from galaxy_core.testing.virtual_time import ends, virtual_backend


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    return virtual_backend(request.param)


def pytest_runtest_setup(item: pytest.Item) -> None:
    if isinstance(item, pytest.Function) and iscoroutinefunction(item.obj):
        item.obj = ends(item.obj)
