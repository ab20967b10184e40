"""``python -m galaxy_core.testing.contract``: every clause of every contract, as the tables of the manual have them."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

from galaxy_core.testing.contract.clause import clauses_of
from galaxy_core.testing.contract.journal import JournalContract
from galaxy_core.testing.contract.observer import ObserverContract
from galaxy_core.testing.contract.plugin import PluginContract
from galaxy_core.testing.contract.strategy import AssignmentStrategyContract
from galaxy_core.testing.contract.transport import TransportContract
from galaxy_core.testing.contract.verdicts import CELLS

CONTRACTS: tuple[type[Any], ...] = (
    TransportContract,
    AssignmentStrategyContract,
    ObserverContract,
    JournalContract,
    PluginContract,
)


def table(contract: type[Any]) -> Iterator[str]:
    """The clauses of one contract, one line each."""
    yield "| clause | asked of | when it fails, look at |"
    yield "| --- | --- | --- |"
    seen = set()
    for clause in clauses_of(contract):
        name = clause.name.partition("[")[0]
        if name not in seen:
            needs = ", ".join(f"`{need}`" for need in clause.needs) or "all"
            yield f"| {clause.says.partition(' [')[0]} | {needs} | {clause.look_at.replace('|', '/')} |"
        seen.add(name)


def matrix() -> Iterator[str]:
    """What may be told in each cell of the fault matrix."""
    phases = list(dict.fromkeys(cell.phase for cell in CELLS))
    yield f"| | {' | '.join(phases)} |"
    yield "| --- " * (len(phases) + 1) + "|"
    for fault in dict.fromkeys(cell.fault for cell in CELLS):
        row = [" or ".join(sorted(cell.allowed)) for cell in CELLS if cell.fault == fault]
        yield f"| {fault} | {' | '.join(row)} |"


def main() -> None:
    """Print them all."""
    for contract in CONTRACTS:
        lines = [f"## {contract.__name__}", "", *table(contract), ""]
        sys.stdout.write("\n".join(lines) + "\n")
    sys.stdout.write("\n".join(["## The fault matrix", "", *matrix(), ""]))


if __name__ == "__main__":
    main()
