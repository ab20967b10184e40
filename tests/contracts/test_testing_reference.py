"""docs/reference/testing.md has every clause, every cell of the matrix and every feature, as they are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from galaxy_core.extension.interfaces import FEATURES
from galaxy_core.testing.contract.__main__ import CONTRACTS, matrix, table

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "reference" / "testing.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("contract", CONTRACTS)
def test_the_manual_has_the_clauses_of_a_contract(contract: type[Any]) -> None:
    section = PAGE.partition(f"\n### {contract.__name__}\n")[2].partition("\n#")[0]
    rows = [line for line in section.splitlines() if line.startswith("|")]
    assert rows == list(table(contract)), "take them from `python -m galaxy_core.testing.contract`"


def test_the_manual_has_the_fault_matrix() -> None:
    section = PAGE.partition("\n### The fault matrix\n")[2].partition("\n#")[0]
    assert [line for line in section.splitlines() if line.startswith("|")] == list(matrix())


def test_the_manual_has_every_feature() -> None:
    section = PAGE.partition("\n### Features\n")[2].partition("\n#")[0]
    assert [feature for feature in FEATURES if f"`{feature}`" not in section] == []
