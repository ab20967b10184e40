"""The contract of plugins finds what is wrong with a distribution, by one clause each."""

from __future__ import annotations

import os
from collections.abc import Callable
from importlib import invalidate_caches
from pathlib import Path
from typing import Any

import anyio
import pytest

from galaxy_core.testing.contract import Clause, PluginContract, clauses_of

CLAUSES = clauses_of(PluginContract)
GOOD = """
from galaxy_core import hookimpl


class Mine:
    name = "@NAME@"

    def assign(self, placement, /):
        return {}


@hookimpl
def galaxy_strategies():
    return [Mine()]
"""


def make(
    folder: Path,
    name: str,
    code: str = GOOD,
    *,
    requires: str | None = "galaxy-core>=0.1,<0.2",
    announces: bool = True,
    is_typed: bool = True,
) -> None:
    """A distribution as if it was installed in `folder`."""
    package, metadata = folder / name, folder / f"{name}-1.0.dist-info"
    package.mkdir()
    metadata.mkdir()
    (package / "__init__.py").write_text(code.replace("@NAME@", name))
    if is_typed:
        (package / "py.typed").touch()
    told = f"Metadata-Version: 2.1\nName: {name.replace('_', '-')}\nVersion: 1.0\n"
    (metadata / "METADATA").write_text(told + (f"Requires-Dist: {requires}\n" if requires else ""))
    (metadata / "entry_points.txt").write_text(f"[galaxy_core]\n{name} = {name}\n" if announces else "")


def with_friend(folder: Path, name: str) -> None:
    """Another distribution imports it, blocked or not."""
    make(folder, name)
    make(folder, f"{name}_friend", f"import {name}\n{GOOD}")


Sabotage = Callable[[Path, str], None]
SABOTEURS: dict[str, Sabotage] = {
    "test_it_announces_plugins": lambda folder, name: make(folder, name, announces=False),
    "test_its_plugins_load_without_a_problem": lambda folder, name: make(
        folder, name, GOOD + "\n\n@hookimpl\ndef galaxy_strategees():\n    return []\n"
    ),
    "test_what_it_brings_has_names_that_are_free": lambda folder, name: make(
        folder, name, GOOD.replace("@NAME@", "round_robin")
    ),
    "test_blocking_it_keeps_it_from_being_imported": with_friend,
    "test_importing_it_is_cheap": lambda folder, name: make(folder, name, "import pydantic\n" + GOOD),
    "test_its_types_are_for_everybody": lambda folder, name: make(folder, name, is_typed=False),
    "test_it_says_which_kernel_it_works_with": lambda folder, name: make(folder, name, requires=None),
}


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder from which this process and those that it starts import."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, (str(tmp_path), os.environ.get("PYTHONPATH")))))
    return tmp_path


def broken(name: str, clauses: tuple[Clause, ...] = CLAUSES) -> set[str]:
    async def hold() -> set[str]:
        found = set()
        for clause in clauses:
            try:
                await clause.check(distribution=name.replace("_", "-"))
            except AssertionError:
                found.add(clause.name)
        return found

    invalidate_caches()
    answer: Any = anyio.run(hold)
    return set(answer)


def test_every_clause_has_its_saboteur() -> None:
    assert set(SABOTEURS) == {clause.name for clause in CLAUSES}


def test_what_is_right_breaks_no_clause(site: Path) -> None:
    make(site, "galaxy_core_right")
    assert broken("galaxy_core_right") == set()


@pytest.mark.parametrize("clause", SABOTEURS)
def test_a_saboteur_breaks_its_clause_and_no_other(site: Path, clause: str) -> None:
    name = f"galaxy_core_saboteur_{list(SABOTEURS).index(clause)}"
    SABOTEURS[clause](site, name)
    assert broken(name) == {clause}
