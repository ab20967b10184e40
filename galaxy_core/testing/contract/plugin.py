"""PluginContract: what is asked of every distribution with plugins, installed as users have it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from importlib.metadata import Distribution, PackageNotFoundError, distribution, packages_distributions
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import pytest

from galaxy_core.extension.registry import PluginInfo, PluginRegistry
from galaxy_core.testing.contract.clause import Contract, clause

GROUP: Final = "galaxy_core"
#: What every plugin may load when it is imported.
CHEAP: Final = frozenset({"galaxy-core", "anyio", "attrs", "pluggy", "click"})
TIMEOUT_S: Final = 60

_LOADED = """
import json, sys
from importlib.metadata import distribution
before = set(sys.modules)
for entry in distribution(sys.argv[1]).entry_points:
    if entry.group == "galaxy_core":
        entry.load()
print(json.dumps(sorted({name.partition(".")[0] for name in set(sys.modules) - before})))
"""
_BLOCKED = """
import json, sys
from galaxy_core.extension.registry import PluginRegistry
PluginRegistry(blocked=[sys.argv[1]]).load()
print(json.dumps(sorted({name.partition(".")[0] for name in sys.modules})))
"""


class PluginContract(Contract):
    """Subclass it, and supply the fixture `distribution`::

    class TestMyPlugin(PluginContract):
        @pytest.fixture
        def distribution(self) -> str:
            return "galaxy-core-mine"
    """

    @pytest.fixture
    def distribution(self) -> str:
        """The subclass supplies it: the name of an installed distribution."""
        raise pytest.UsageError(f"{type(self).__name__} has to supply the fixture 'distribution', which gives its name")

    @clause("[project.entry-points.galaxy_core] in pyproject.toml, and whether it is installed (pip install -e .)")
    def test_it_announces_plugins(self, distribution: str) -> None:
        assert _entries(distribution), f"{distribution!r} has no entry point in the group {GROUP!r}"

    @clause("what importing your plugin raises, and the names, marks and arguments of its hooks")
    def test_its_plugins_load_without_a_problem(self, distribution: str) -> None:
        registry = PluginRegistry(allowed=[distribution])
        registry.load()
        assert not registry.problems, "; ".join(str(problem) for problem in registry.problems)

    @clause("the names of your strategies, transports and journals: nobody else may have them")
    def test_what_it_brings_has_names_that_are_free(self, distribution: str) -> None:
        registry = PluginRegistry()
        contested = [
            one.problem for one in _described(registry, distribution) if one.status == "loaded" and one.problem
        ]
        assert not contested, f"beside what else is installed: {contested}"

    @clause("what else imports your plugin: whoever blocks it wants none of it to run")
    def test_blocking_it_keeps_it_from_being_imported(self, distribution: str) -> None:
        packages = _packages(distribution)
        loaded = set(_asked(_BLOCKED, distribution)) & packages
        assert not loaded, f"it was blocked, and {sorted(loaded)} were imported"

    @clause("imports at the top of your modules: load pydantic and your library when they are first used")
    def test_importing_it_is_cheap(self, distribution: str) -> None:
        dear = set(_asked(_LOADED, distribution)) & _libraries(distribution)
        assert not dear, f"importing the plugin imports {sorted(dear)}"

    @clause("an empty file `py.typed` in your package, and whether it is in the wheel")
    def test_its_types_are_for_everybody(self, distribution: str) -> None:
        for package in _packages(distribution):
            spec = find_spec(package)
            places = [] if spec is None else list(spec.submodule_search_locations or ())
            assert not places or any(Path(place, "py.typed").is_file() for place in places), (
                f"{package} has no py.typed"
            )

    @clause("`dependencies` in pyproject.toml: galaxy-core, with the versions that it was made for")
    def test_it_says_which_kernel_it_works_with(self, distribution: str) -> None:
        wanted = [told for told in _installed(distribution).requires or () if _name(told) == "galaxy-core"]
        assert wanted, "it does not depend on galaxy-core"
        assert any(sign in told for told in wanted for sign in "<=~"), f"{wanted[0]!r} takes any version"


def _installed(name: str) -> Distribution:
    try:
        return distribution(name)
    except PackageNotFoundError:
        raise AssertionError(f"no distribution {name!r} is installed: pip install -e .") from None


def _entries(name: str) -> list[Any]:
    return [entry for entry in _installed(name).entry_points if entry.group == GROUP]


def _packages(name: str) -> set[str]:
    """The top packages of its plugins."""
    return {entry.module.partition(".")[0] for entry in _entries(name)}


def _described(registry: PluginRegistry, name: str) -> list[PluginInfo]:
    registry.load()
    return [one for one in registry.describe() if _name(one.distribution or "") == _name(name)]


def _name(requirement: str) -> str:
    """The name in a requirement, in its normal form."""
    return re.sub(r"[-_.]+", "-", re.split(r"[^A-Za-z0-9._-]", requirement.strip(), maxsplit=1)[0]).lower()


def _libraries(name: str) -> set[str]:
    """Packages that it needs, and that are dear to import."""
    needs = {_name(told) for told in _installed(name).requires or () if "extra ==" not in told} - CHEAP
    found = {package for package, owners in packages_distributions().items() if needs & {_name(one) for one in owners}}
    return {one for one in found if not one.startswith("galaxy_core")} | {"pydantic"}


def _asked(code: str, name: str) -> list[str]:
    """What a fresh interpreter says."""
    command = [sys.executable, "-c", code, name]
    done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    assert done.returncode == 0, f"a fresh interpreter could not load it: {done.stderr[-2000:]}"
    return list(json.loads(done.stdout))
