"""The house stands as its plan says: the top level, the layers, and one distribution per plugin folder."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
PLUGINS = sorted(path.parent for path in ROOT.glob("plugins/*/pyproject.toml"))
TOP_LEVEL = [
    "benchmarks",
    "changes",
    "docs",
    "examples",
    "galaxy_core",
    "plugins",
    "tests",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "LICENSE",
    "README.md",
    "SECURITY.md",
    "pyproject.toml",
]
KERNEL = [
    "__init__.py",
    "errors/__init__.py",
    "extension/hookspecs.py",
    "extension/interfaces.py",
    "extension/registry.py",
    "model/analysis.py",
    "model/constellation.py",
    "model/dependency.py",
    "model/device.py",
    "model/events.py",
    "model/schema.py",
    "model/task.py",
    "py.typed",
    "runtime/bus.py",
    "runtime/devices.py",
    "runtime/manager.py",
    "runtime/orchestrator.py",
    "runtime/synchronizer.py",
    "testing/__init__.py",
]


def _toml(path: Path) -> dict[str, Any]:
    return tomllib.loads(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", TOP_LEVEL)
def test_the_top_level_has(name: str) -> None:
    assert (ROOT / name).exists()


@pytest.mark.parametrize("name", KERNEL)
def test_the_kernel_has(name: str) -> None:
    assert (ROOT / "galaxy_core" / name).is_file()


@pytest.mark.parametrize("part", ["tutorial", "how-to", "reference", "explanation", "decisions"])
def test_each_part_of_the_documentation_has_a_page(part: str) -> None:
    assert list((ROOT / "docs" / part).glob("*.md"))


def test_every_folder_of_plugins_is_a_distribution() -> None:
    folders = sorted(path for path in (ROOT / "plugins").iterdir() if path.is_dir() and path.name != "__pycache__")
    assert folders == PLUGINS


@pytest.mark.parametrize("folder", PLUGINS, ids=lambda folder: folder.name)
class TestAPluginFolder:
    def test_is_named_after_its_distribution_and_package(self, folder: Path) -> None:
        assert _toml(folder / "pyproject.toml")["project"]["name"] == f"galaxy-core-{folder.name}"
        assert (folder / f"galaxy_core_{folder.name}" / "__init__.py").is_file()

    def test_is_typed_licensed_described_and_tested(self, folder: Path) -> None:
        assert (folder / f"galaxy_core_{folder.name}" / "py.typed").is_file()
        assert (folder / "LICENSE").read_bytes() == (ROOT / "LICENSE").read_bytes()
        assert (folder / "README.md").is_file()
        assert list((folder / "tests").glob("test_*.py"))

    def test_asks_for_a_kernel_that_it_works_with(self, folder: Path) -> None:
        assert "galaxy-core>=0.1,<0.2" in _toml(folder / "pyproject.toml")["project"]["dependencies"]

    def test_has_entry_points_that_lead_to_a_module(self, folder: Path) -> None:
        for target in (
            _toml(folder / "pyproject.toml")["project"].get("entry-points", {}).get("galaxy_core", {}).values()
        ):
            module = folder.joinpath(*target.split("."))
            assert module.with_suffix(".py").is_file() or (module / "__init__.py").is_file(), target

    def test_is_known_to_the_checks(self, folder: Path) -> None:
        """To the workspace, to the sorting of imports, and to the contracts about what a plugin may import."""
        tools = _toml(ROOT / "pyproject.toml")["tool"]
        package = f"galaxy_core_{folder.name}"
        assert f"galaxy-core-{folder.name}" in tools["uv"]["sources"]
        assert package in tools["ruff"]["lint"]["isort"]["known-first-party"]
        assert package in tools["importlinter"]["root_packages"]
        about_plugins = [
            contract
            for contract in tools["importlinter"]["contracts"]
            if contract["type"] == "forbidden" and "galaxy_core_local" in contract["source_modules"]
        ]
        assert about_plugins
        assert all(package in contract["source_modules"] for contract in about_plugins)


def test_every_distribution_has_the_version_of_the_kernel() -> None:
    versions = {_toml(folder / "pyproject.toml")["project"]["version"] for folder in [ROOT, *PLUGINS]}
    assert len(versions) == 1
