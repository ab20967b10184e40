"""The contract of transports finds what is wrong: each of its clauses, one kind of wrong, and nothing else."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import suppress

import anyio
import pytest

from galaxy_core.testing.contract import Clause, NotAskedError, TransportContract, clauses_of
from galaxy_core.testing.far_side import FakeFarSide
from galaxy_core.testing.virtual_time import virtual_backend

from . import settling_saboteurs, trouble_saboteurs  # noqa: F401  they register their own
from .benches import bench_of, fake_transport
from .saboteurs import SABOTEURS, Saboteur

CLAUSES = clauses_of(TransportContract)
CELLS = [clause for clause in CLAUSES if clause.given]
PLAIN = [clause for clause in CLAUSES if not clause.given]
TROUBLED = [clause for clause in PLAIN if "faults" in clause.needs]
BACKENDS = ("asyncio", "trio")
#: Of the many cells, each saboteur is asked these beside its own; all of them together are asked all of them.
SAMPLE = 5


def broken(saboteur: Saboteur | None, clauses: Iterable[Clause], backend: str) -> set[str]:
    """The names of the clauses that do not hold."""
    return {clause.name for clause in clauses if not holds(saboteur, clause, backend)}


def holds(saboteur: Saboteur | None, clause: Clause, backend: str) -> bool:
    async def ask() -> None:
        async with FakeFarSide() as far:
            bench = bench_of(far, fake_transport(far)) if saboteur is None else saboteur.bench(far)
            with suppress(NotAskedError):
                await clause.check(bench=bench)

    name, options = virtual_backend(backend, 1)
    try:
        anyio.run(ask, backend=name, backend_options=options)
    except Exception:
        return False
    return True


def some(number: int, cells: Sequence[Clause]) -> list[Clause]:
    """Another part of the cells for each number."""
    return [cells[(number * SAMPLE + step) % len(cells)] for step in range(SAMPLE)]


def test_every_clause_has_its_saboteur() -> None:
    assert Counter(saboteur.breaks for saboteur in SABOTEURS) == Counter(clause.name for clause in CLAUSES)


@pytest.mark.parametrize("backend", BACKENDS)
def test_what_is_right_breaks_no_clause(backend: str) -> None:
    assert broken(None, CLAUSES, backend) == set()


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    ("number", "saboteur"),
    list(enumerate(SABOTEURS)),
    ids=[saboteur.breaks.removeprefix("test_") for saboteur in SABOTEURS],
)
def test_a_saboteur_breaks_its_clause_and_no_other(number: int, saboteur: Saboteur, backend: str) -> None:
    own = [clause for clause in CLAUSES if clause.name == saboteur.breaks]
    asked = {clause.name: clause for clause in [*own, *some(number, CELLS)]}
    if not own[0].given:
        asked |= {clause.name: clause for clause in PLAIN}
    else:
        # Faults strike outside of the cells, too, and to lie about one there is for another saboteur.
        asked |= {clause.name: clause for clause in [*some(number, PLAIN), *TROUBLED]}
    assert broken(saboteur, asked.values(), backend) == {saboteur.breaks}
