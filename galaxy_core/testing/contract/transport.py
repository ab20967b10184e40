"""TransportContract: what the kernel asks of every transport."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import pytest

from galaxy_core.testing.contract.bench import Bench
from galaxy_core.testing.contract.clause import Contract
from galaxy_core.testing.contract.transport_discovery import DiscoveryClauses
from galaxy_core.testing.contract.transport_ends import EndsClauses
from galaxy_core.testing.contract.transport_faults import ALL, FaultClauses
from galaxy_core.testing.contract.transport_files import FileClauses
from galaxy_core.testing.contract.transport_health import HealthClauses
from galaxy_core.testing.contract.transport_life import LifeClauses
from galaxy_core.testing.contract.transport_running import RunningClauses, StreamingClauses
from galaxy_core.testing.contract.transport_settling import SettlingClauses
from galaxy_core.testing.contract.transport_shape import ShapeClauses
from galaxy_core.testing.contract.transport_trouble import TroubleClauses


@pytest.mark.anyio
class TransportContract(
    FaultClauses,
    DiscoveryClauses,
    SettlingClauses,
    TroubleClauses,
    FileClauses,
    HealthClauses,
    EndsClauses,
    StreamingClauses,
    RunningClauses,
    LifeClauses,
    ShapeClauses,
    Contract,
):
    """Subclass it, and supply the fixture `bench`::

        class TestMine(TransportContract):
            @pytest.fixture
            async def bench(self) -> AsyncIterator[Bench]:
                async with my_far_side() as far:
                    yield Bench(MyTransport(), settings={"address": far.address}, work=POSIX, faults=far)

    Each clause is a test, on asyncio and on trio. Which of them are asked follows from what the transport declares
    (`requests`, `actions`, `features`); the others are skipped, and say why.

    `has_far_side = False` makes one test of the fault matrix, which is skipped: for benches without `faults`.
    """

    has_far_side: ClassVar[bool] = True

    def cases_of(self, argument: str, values: Sequence[Any]) -> Sequence[Any]:
        """See `Contract.cases_of`."""
        return values if self.has_far_side else [ALL]

    @pytest.fixture(params=["asyncio", "trio"])
    def anyio_backend(self, request: pytest.FixtureRequest) -> Any:
        """Every clause is asked twice."""
        return request.param

    @pytest.fixture
    def bench(self) -> Bench:
        """The subclass supplies it; `async def` and `yield` are fine."""
        raise pytest.UsageError(f"{type(self).__name__} has to supply the fixture 'bench', which gives a Bench")
