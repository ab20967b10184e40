"""What a server of processes imports before it forks them: all that a run needs, so that none imports it anew."""

from __future__ import annotations

import importlib
import pkgutil

import anyio._backends._asyncio  # noqa: F401  loaded by name when a loop starts

#: Packages of which everything is loaded.
_WHOLE = ("galaxy_core", "galaxy_core_cli", "galaxy_core_journal", "galaxy_core_local", "galaxy_core_strategies")

for _package in _WHOLE:
    for _module in pkgutil.walk_packages(importlib.import_module(_package).__path__, f"{_package}."):
        if not _module.name.endswith("__main__") and "testing" not in _module.name:
            importlib.import_module(_module.name)

# What the plugins say of themselves is looked at once, too.
from galaxy_core import PluginRegistry  # noqa: E402

PluginRegistry().load()
importlib.import_module("tests.crash.boundaries")
