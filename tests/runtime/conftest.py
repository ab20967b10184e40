"""Every test here runs under virtual time, on asyncio and on trio, and fails when it does not end."""

from __future__ import annotations

from collections.abc import Callable
from inspect import iscoroutinefunction
from typing import Any

import pytest

from galaxy_core.runtime import ledger, resuming
from galaxy_core.testing.virtual_time import ends, virtual_backend


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    return virtual_backend(request.param)


@pytest.fixture(autouse=True)
def _no_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Journals are read, and long texts written, in a thread, which virtual time knows nothing of."""

    async def at_once(function: Callable[..., Any], *args: Any) -> Any:
        return function(*args)

    monkeypatch.setattr(resuming, "in_thread", at_once)
    monkeypatch.setattr(ledger, "in_thread", at_once)


def pytest_runtest_setup(item: pytest.Item) -> None:
    if isinstance(item, pytest.Function) and iscoroutinefunction(item.obj):
        item.obj = ends(item.obj)
