"""The fakes of the kit keep the contract that they are there to prove."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from galaxy_core.testing.contract import CALLS, Bench, TransportContract
from galaxy_core.testing.fakes import FakeTransport
from galaxy_core.testing.virtual_time import virtual_backend

from .benches import far_bench


class TestFakeTransportWithAFarSide(TransportContract):
    @pytest.fixture(params=["asyncio", "trio"])
    def anyio_backend(self, request: pytest.FixtureRequest) -> Any:
        return virtual_backend(request.param, 1)

    @pytest.fixture
    async def bench(self) -> AsyncIterator[Bench]:
        async with far_bench() as bench:
            yield bench


class TestFakeTransportWithScripts(TransportContract):
    has_far_side = False

    @pytest.fixture
    def bench(self) -> Bench:
        return Bench(FakeTransport(requests=frozenset({"call"}), features=frozenset({"stops"})), work=CALLS)
