"""Throw-away distributions with real metadata, so that discovery is tested on what pip would leave behind."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterable, Iterator
from importlib.metadata import EntryPoint, distributions
from pathlib import Path

import pytest

from galaxy_core.extension.registry import PluginRegistry


class Site:
    """A folder on the import path. Every module and distribution in it is gone after the test."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.modules: list[str] = []

    def module(self, name: str, source: str) -> None:
        (self.folder / f"{name}.py").write_text(source, encoding="utf-8")
        self.modules.append(name)
        importlib.invalidate_caches()

    def announce(self, distribution: str, entry_points: str, version: str = "1.0") -> None:
        """Write the metadata of a distribution; `entry_points` is the text of its entry_points.txt."""
        info = self.folder / f"{distribution.replace('-', '_')}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n")
        (info / "entry_points.txt").write_text(entry_points)
        importlib.invalidate_caches()

    def install(self, distribution: str, version: str = "1.0", **plugins: str) -> None:
        """A distribution with one plugin per keyword: the entry point's name, and the source of its module."""
        lines = ["[galaxy_core]"]
        for name, source in plugins.items():
            module = f"{distribution.replace('-', '_')}_{name}"
            self.module(module, source)
            lines.append(f"{name} = {module}")
        self.announce(distribution, "\n".join(lines), version)

    def entry_points(self) -> list[EntryPoint]:
        """Of this site alone: what else is installed beside the tests does not matter."""
        found = distributions(path=[str(self.folder)])
        return [one for distribution in found for one in distribution.entry_points if one.group == "galaxy_core"]

    def registry(self, *, blocked: Iterable[str] = (), allowed: Iterable[str] | None = None) -> PluginRegistry:
        return PluginRegistry(blocked=blocked, allowed=allowed, entry_points=self.entry_points)

    def imported(self, module: str) -> bool:
        return module in sys.modules


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(folder)
    found = Site(folder)
    yield found
    for name in found.modules:
        sys.modules.pop(name, None)
