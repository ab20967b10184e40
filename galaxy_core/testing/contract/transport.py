"""TransportContract: what the kernel asks of every transport."""

from __future__ import annotations

from typing import Any

import pytest

from galaxy_core.testing.contract.bench import Bench
from galaxy_core.testing.contract.transport_discovery import DiscoveryClauses
from galaxy_core.testing.contract.transport_ends import EndsClauses
from galaxy_core.testing.contract.transport_faults import FaultClauses
from galaxy_core.testing.contract.transport_files import FileClauses
from galaxy_core.testing.contract.transport_health import HealthClauses
from galaxy_core.testing.contract.transport_life import LifeClauses
from galaxy_core.testing.contract.transport_running import RunningClauses, StreamingClauses
from galaxy_core.testing.contract.transport_shape import ShapeClauses


@pytest.mark.anyio
class TransportContract(
    FaultClauses,
    DiscoveryClauses,
    FileClauses,
    HealthClauses,
    EndsClauses,
    StreamingClauses,
    RunningClauses,
    LifeClauses,
    ShapeClauses,
):
    """Subclass it, and supply the fixture `bench`::

        class TestMine(TransportContract):
            @pytest.fixture
            async def bench(self) -> AsyncIterator[Bench]:
                async with my_far_side() as far:
                    yield Bench(MyTransport(), settings={"address": far.address}, work=POSIX, faults=far)

    Each clause is a test, on asyncio and on trio. Which of them are asked follows from what the transport declares
    (`requests`, `actions`, `features`); the others are skipped, and say why.
    """

    @pytest.fixture(params=["asyncio", "trio"])
    def anyio_backend(self, request: pytest.FixtureRequest) -> Any:
        """Every clause is asked twice."""
        return request.param

    @pytest.fixture
    def bench(self) -> Bench:
        """The subclass supplies it; `async def` and `yield` are fine."""
        raise pytest.UsageError(f"{type(self).__name__} has to supply the fixture 'bench', which gives a Bench")
