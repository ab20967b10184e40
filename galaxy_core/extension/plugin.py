"""What a registry knows of one plugin: what it implements, what it brings, and how it is shown to people."""

from __future__ import annotations

import os
from collections.abc import Iterable
from types import ModuleType

from attrs import evolve, field, frozen

from galaxy_core.errors import PluginError, PluginLoadError
from galaxy_core.extension.contributions import (
    JOURNAL,
    OBSERVER,
    SIMULATOR,
    STRATEGY,
    TRANSPORT,
    Contribution,
    Kind,
    contributions_of,
)
from galaxy_core.extension.discovery import InstalledPlugin, unique
from galaxy_core.extension.hookimpls import SPECS, Implementation, blame, implementations_of


@frozen
class PluginInfo:
    """A plugin as `PluginRegistry.describe` shows it.

    `status` is "loaded", "blocked", "failed" or "not loaded". `module` is where an entry point leads, such as
    "package.module:object", or the module of a plugin that was passed as an object. `problem` says why it failed or is
    blocked, or which of its names is contested.
    """

    name: str
    distribution: str | None
    version: str | None
    module: str
    status: str
    hooks: tuple[str, ...] = ()
    strategies: tuple[str, ...] = ()
    transports: tuple[str, ...] = ()
    journals: tuple[str, ...] = ()
    simulators: tuple[str, ...] = ()
    observers: int = 0
    problem: str | None = None


@frozen
class Plugin:
    """A plugin that was examined and found right; `installed` is the entry point that it came from, if it did."""

    name: str
    value: object = field(repr=False)
    installed: InstalledPlugin | None
    implementations: list[Implementation]
    contributions: list[Contribution]

    @property
    def origin(self) -> str:
        """Whose it is, for people: its distribution, or the module that it was passed from."""
        return origin_of(self.value, self.installed)

    def info(self, problem: str | None) -> PluginInfo:
        """What `describe` shows."""
        empty = PluginInfo(self.name, None, None, module_of(self.value), "loaded")
        return evolve(
            empty if self.installed is None else info_of(self.installed, "loaded"),
            hooks=tuple(sorted({one.hook for one in self.implementations})),
            strategies=self._names(STRATEGY),
            transports=self._names(TRANSPORT),
            journals=self._names(JOURNAL),
            simulators=self._names(SIMULATOR),
            observers=len(self._names(OBSERVER)),
            problem=problem,
        )

    def _names(self, kind: Kind) -> tuple[str, ...]:
        return tuple(sorted(one.name for one in self.contributions if one.kind is kind))


def info_of(installed: InstalledPlugin, status: str, problem: str | None = None) -> PluginInfo:
    """What is known of an installed plugin without importing it."""
    name, distribution, version = installed.name, installed.distribution, installed.version
    return PluginInfo(name, distribution, version, installed.value, status, problem=problem)


def examine(plugin: object, name: str, installed: InstalledPlugin | None = None) -> Plugin:
    """Find what `plugin` implements, and have its contributing hooks called.

    Raises:
        HookError: one of its hooks is wrong, raised, or returned rubbish.
        PluginLoadError: it is no plugin, or examining it raised.
    """

    def error(why: str) -> PluginLoadError:
        return PluginLoadError(name, None if installed is None else installed.distribution, why)

    if not isinstance(name, str) or not name:
        raise error("a plugin's name is a string that is not empty")
    if isinstance(plugin, str | bytes | os.PathLike):  # a path has `name` and `open`, as a journal does
        raise error("this names a plugin; import it and pass the module or object itself")
    if isinstance(plugin, type):
        raise error(f"{plugin.__name__} is a class; make an instance of it and pass that")
    with blame(lambda why: error(f"it cannot be examined: {why}"), PluginError):
        implementations = implementations_of(plugin, name)
        contributions = contributions_of(plugin, name, implementations)
    if not implementations and not contributions:
        hooks = ", ".join(SPECS)
        raise error(f"it implements no hook ({hooks}) and is no strategy, transport, journal or observer itself")
    return Plugin(name, plugin, installed, implementations, contributions)


def default_name(plugin: object, taken: Iterable[str]) -> str:
    """The module's name, or that of the class; with `#2` and so on behind it when it is taken."""
    name = plugin.__name__ if isinstance(plugin, ModuleType) else f"{module_of(plugin)}.{type(plugin).__name__}"
    return unique(name, taken)


def module_of(plugin: object) -> str:
    """The name of the module that a plugin is, or whose class it is of."""
    return plugin.__name__ if isinstance(plugin, ModuleType) else type(plugin).__module__


def origin_of(plugin: object, installed: InstalledPlugin | None) -> str:
    """Whose a plugin is, for people."""
    return module_of(plugin) if installed is None else installed.distribution or installed.value
