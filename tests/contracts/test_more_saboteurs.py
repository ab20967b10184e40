"""The contracts of strategies, observers and journals find what is wrong, by one clause each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import anyio
import pytest

from galaxy_core.testing.contract import (
    AssignmentStrategyContract,
    JournalContract,
    NotAskedError,
    ObserverContract,
    clauses_of,
)
from galaxy_core.testing.journals import MemoryJournal
from galaxy_core.testing.virtual_time import virtual_backend

from .more_saboteurs import JOURNALS, OBSERVERS, STRATEGIES, Choosing, Teller, archive, audience

CONTRACTS: dict[str, tuple[type[Any], Mapping[str, Callable[[], Any]], Callable[[], Any]]] = {
    "strategy": (AssignmentStrategyContract, STRATEGIES, Choosing),
    "observer": (ObserverContract, OBSERVERS, lambda: audience(Teller)),
    "journal": (JournalContract, JOURNALS, lambda: archive(MemoryJournal())),
}


def broken(kind: str, make: Callable[[], Any], backend: str) -> set[str]:
    async def hold() -> set[str]:
        found = set()
        for clause in clauses_of(CONTRACTS[kind][0]):
            try:
                with anyio.fail_after(30):
                    await clause.check(**{kind: make()})
            except NotAskedError as why:
                raise AssertionError(f"{clause.name} was not asked: {why}") from None
            except Exception:
                found.add(clause.name)
        return found

    name, options = virtual_backend(backend, 1)
    return anyio.run(hold, backend=name, backend_options=options)


@pytest.mark.parametrize("kind", CONTRACTS)
def test_every_clause_has_its_saboteur(kind: str) -> None:
    contract, saboteurs, _ = CONTRACTS[kind]
    assert set(saboteurs) == {clause.name for clause in clauses_of(contract)}


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@pytest.mark.parametrize("kind", CONTRACTS)
def test_what_is_right_breaks_no_clause(kind: str, backend: str) -> None:
    assert broken(kind, CONTRACTS[kind][2], backend) == set()


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@pytest.mark.parametrize(
    ("kind", "clause"), [(kind, clause) for kind, (_, saboteurs, _) in CONTRACTS.items() for clause in saboteurs]
)
def test_a_saboteur_breaks_its_clause_and_no_other(kind: str, clause: str, backend: str) -> None:
    assert broken(kind, CONTRACTS[kind][1][clause], backend) == {clause}
