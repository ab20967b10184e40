"""Finds, isolates, validates, blocks and describes plugins. One registry per orchestrator; nothing here is global."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import pluggy
from attrs import frozen

from galaxy_core.errors import (
    GalaxyError,
    HookError,
    PluginConflictError,
    PluginError,
    PluginLoadError,
    UnknownJournalError,
    UnknownStrategyError,
    UnknownTransportError,
)
from galaxy_core.extension import hookspecs
from galaxy_core.extension.contributions import JOURNAL, OBSERVER, SIMULATOR, STRATEGY, TRANSPORT, Kind
from galaxy_core.extension.discovery import InstalledPlugin, installed_plugins, warning_when_slow
from galaxy_core.extension.hookimpls import SPECS, blame, did_you_mean
from galaxy_core.extension.interfaces import AssignmentStrategy, IEventObserver, Journal, Simulator, Transport
from galaxy_core.extension.plugin import Plugin, PluginInfo, default_name, examine, info_of, module_of, origin_of

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

__all__ = ["HookCall", "PluginInfo", "PluginRegistry"]

_log = logging.getLogger(__name__)


@frozen
class HookCall:
    """One plugin's implementation of a hook.

    `function` takes all arguments of the hook by name. What it returns may be awaitable: the kernel awaits it.
    """

    plugin: str
    function: Callable[..., Any]


class _Calls:
    """What pluggy gets to see of a plugin: its hooks alone, so that no property and no `__eq__` of the plugin is run."""


class PluginRegistry:
    """The plugins of one orchestrator.

    Installed plugins are those that distributions announce in the entry-point group ``galaxy_core``. They are imported
    when the first contribution or hook is asked for, each in a guard of its own: one that fails is kept in `problems`
    and logged, and harms no other. `discover=False` leaves them alone. `blocked` and, when it is not None, `allowed`
    hold names of entry points or distributions, or "distribution:entry point"; an installed plugin that is blocked, or
    not allowed, is not even imported. `allowed` does not concern plugins that are passed to `register`. `entry_points`
    replaces the metadata of installed distributions as the source of entry points. `watch` is entered around the loading
    of each installed plugin, in the thread that loads it; by default it logs a warning while one takes long.

    Not safe for use from several threads at once.
    """

    def __init__(
        self,
        *,
        discover: bool = True,
        blocked: Iterable[str] = (),
        allowed: Iterable[str] | None = None,
        entry_points: Callable[[], Iterable[EntryPoint]] | None = None,
        watch: Callable[[InstalledPlugin], AbstractContextManager[object]] = warning_when_slow,
    ) -> None:
        self._discover = discover
        self._source = entry_points
        self._watch = watch
        self._blocked = set(_names(blocked))
        self._allowed = None if allowed is None else frozenset(_names(allowed))
        self._order = pluggy.PluginManager(hookspecs.PROJECT)
        self._order.add_hookspecs(hookspecs)
        self._plugins: dict[str, Plugin] = {}
        self._failed: dict[str, PluginError] = {}
        self._withheld: dict[str, PluginInfo] = {}  # plugins that were passed to `register`, but are blocked
        self._installed: list[InstalledPlugin] | None = None
        self._unreadable: list[PluginLoadError] = []
        self._pending: list[InstalledPlugin] | None = None
        self._claims: dict[str, dict[str, list[tuple[str, Any]]]] = {}
        self._calls: dict[str, tuple[HookCall, ...]] = {}

    # -------------------------------------------------------------------------------------------------- registering

    def register(self, plugin: object, name: str | None = None) -> str:
        """Take a plugin from the embedding program, and return the name that it is known by from now on.

        `plugin` is a module or an instance that implements hooks, or an object that is itself a strategy, transport,
        journal or observer. Without `name` it is called after its module, or its class. A plugin of a blocked name is
        noted and left out. If anything is wrong with a plugin, nothing of it is registered.

        Raises:
            HookError: a hook is misspelt, not marked, a wrapper, takes unknown arguments, raised, or returned rubbish.
            PluginConflictError: another registered plugin has brought something of the same name, or is called `name`.
            PluginLoadError: it is no plugin at all, or registered already.
        """
        if name is None:
            name = default_name(plugin, self._plugins)
        if name in list(self._blocked):  # a list, because nobody has checked yet that the name is a string
            self._withhold(name, plugin)
            return name
        found = self._examine(plugin, name, None)
        for one in found.contributions:
            if one.kind.named and (claims := self._claimed(one.kind).get(one.name)):
                raise PluginConflictError(one.kind.singular, one.name, claims[0][0], name)
        self._admit(found)
        return name

    def block(self, name: str) -> None:
        """Take out the plugins of that name (see the class for what it may be), and keep them from coming back."""
        self._blocked.add(name)
        for plugin in list(self._plugins.values()):
            if plugin.name == name or (plugin.installed is not None and plugin.installed.is_among([name])):
                self._remove(plugin)
        for installed in self._installed or ():
            if self._refusal(installed) is not None:
                self._failed.pop(installed.name, None)

    def _examine(self, plugin: object, name: str, installed: InstalledPlugin | None) -> Plugin:
        distribution = None if installed is None else installed.distribution
        for other in self._plugins.values():
            if other.value is plugin:
                raise PluginLoadError(name, distribution, f"it is registered already, as {other.name!r}")
        if (taken := self._plugins.get(name)) is not None:
            raise PluginConflictError("plugin name", name, taken.origin, origin_of(plugin, installed))
        return examine(plugin, name, installed)

    def _admit(self, plugin: Plugin) -> None:
        calls = _Calls()
        for number, one in enumerate(plugin.implementations):
            mark = hookspecs.hookimpl(specname=one.hook, tryfirst=one.tryfirst, trylast=one.trylast)
            setattr(calls, f"call_{number}", mark(one.function))
        self._order.register(calls, plugin.name)
        self._plugins[plugin.name] = plugin
        self._forget()

    def _remove(self, plugin: Plugin) -> None:
        self._order.unregister(name=plugin.name)
        del self._plugins[plugin.name]
        if plugin.installed is None:
            self._withhold(plugin.name, plugin.value)
        self._forget()

    def _withhold(self, name: str, plugin: object) -> None:
        self._withheld[name] = PluginInfo(name, None, None, module_of(plugin), "blocked", problem="it is blocked")

    def _forget(self) -> None:
        self._claims.clear()
        self._calls.clear()

    # ---------------------------------------------------------------------------------------------------- discovery

    def load(self) -> None:
        """Import the installed plugins that are wanted, unless that was done before. Never raises for a broken one."""
        if not self._discover:
            return
        if self._pending is None:
            self._pending = list(self._list_installed())
            self._warn_of_unknown_names()
        while self._pending:
            installed = self._pending.pop(0)  # first, so that a plugin that gets here again does not load itself
            if self._refusal(installed) is None:
                self._load(installed)

    def _load(self, installed: InstalledPlugin) -> None:
        def error(why: str) -> PluginLoadError:
            return PluginLoadError(installed.name, installed.distribution, f"importing {installed.value}: {why}")

        try:
            with self._watch(installed):
                with blame(error):
                    plugin = installed.entry_point.load()
                self._admit(self._examine(plugin, installed.name, installed))
        except PluginError as problem:  # whoever asks for `problems` receives it
            self._failed[installed.name] = problem
            _log.warning("%s", problem)
        for conflict in self._conflicts():
            if conflict.second == installed.name:
                _log.warning("%s", conflict)

    def _list_installed(self) -> list[InstalledPlugin]:
        if self._installed is None:
            self._installed, self._unreadable = installed_plugins(self._source)
            for problem in self._unreadable:
                _log.warning("%s", problem)
        return self._installed

    def _refusal(self, installed: InstalledPlugin) -> str | None:
        if installed.is_among(self._blocked):
            return "it is blocked"
        if self._allowed is not None and not installed.is_among(self._allowed):
            return "it is not among the plugins that are allowed"
        return None

    def _warn_of_unknown_names(self) -> None:
        installed = self._list_installed()
        known = {*(one.name for one in installed), *self._plugins, *self._withheld}
        for what, names in (("block", self._blocked), ("allow", self._allowed or ())):
            for name in sorted(names):
                if name not in known and not any(one.is_among([name]) for one in installed):
                    hint = did_you_mean(name, known)
                    _log.warning("asked to %s plugin %r, but no plugin is called that%s", what, name, hint)

    @property
    def problems(self) -> list[GalaxyError]:
        """What went wrong while installed plugins were loaded, and each name that more than one plugin claims."""
        self.load()
        return [*self._unreadable, *self._failed.values(), *self._conflicts()]

    # ------------------------------------------------------------------------------------------------ contributions

    def _claimed(self, kind: Kind) -> dict[str, list[tuple[str, Any]]]:
        """Who brings what of that kind: pairs of plugin and object by name, in order of registration."""
        if (claims := self._claims.get(kind.hook)) is None:
            claims = self._claims[kind.hook] = {}
            for plugin in self._plugins.values():
                for one in plugin.contributions:
                    if one.kind is kind:
                        claims.setdefault(one.name, []).append((plugin.name, one.value))
        return claims

    def _conflicts(self) -> list[PluginConflictError]:
        return [
            PluginConflictError(kind.singular, name, claims[0][0], other)
            for kind in (STRATEGY, TRANSPORT, JOURNAL, SIMULATOR)
            for name, claims in self._claimed(kind).items()
            for other, _ in claims[1:]
        ]

    def _find(self, kind: Kind, name: str) -> Any:
        """What one plugin brings under that name, or None.

        Raises:
            PluginConflictError: several plugins claim it, and nobody said which one is meant.
        """
        self.load()
        claims = self._claimed(kind).get(name, ())
        if len(claims) > 1:
            raise PluginConflictError(kind.singular, name, claims[0][0], claims[1][0])
        return claims[0][1] if claims else None

    def _usable(self, kind: Kind) -> Mapping[str, Any]:
        self.load()
        claimed = sorted(self._claimed(kind).items(), key=lambda item: item[0])
        return MappingProxyType({name: claims[0][1] for name, claims in claimed if len(claims) == 1})

    @property
    def strategies(self) -> Mapping[str, AssignmentStrategy]:
        """The strategies by name, without contested names."""
        return self._usable(STRATEGY)

    @property
    def transports(self) -> Mapping[str, Transport]:
        """The transports by name, without contested names."""
        return self._usable(TRANSPORT)

    @property
    def journals(self) -> Mapping[str, Journal]:
        """The journals by name, without contested names."""
        return self._usable(JOURNAL)

    @property
    def simulators(self) -> Mapping[str, Simulator]:
        """What starts simulated devices, by name, without contested names."""
        return self._usable(SIMULATOR)

    @property
    def observers(self) -> list[IEventObserver]:
        """The observers, in the order in which their plugins were registered."""
        self.load()
        return [value for _, value in self._claimed(OBSERVER).get("", ())]

    def strategy(self, name: str) -> AssignmentStrategy:
        """The strategy of that name.

        Raises:
            UnknownStrategyError: no plugin brings it.
            PluginConflictError: more than one does.
        """
        found: AssignmentStrategy | None = self._find(STRATEGY, name) if isinstance(name, str) else None
        if found is None:
            raise UnknownStrategyError(name, self.strategies, self._broken())
        return found

    def transport(self, name: str, device_id: str) -> Transport:
        """The transport of that name, for a device that asks for it.

        Raises:
            UnknownTransportError: no plugin brings it; the error names `device_id`.
            PluginConflictError: more than one does.
        """
        found: Transport | None = self._find(TRANSPORT, name)
        if found is None:
            raise UnknownTransportError(device_id, name, self.transports, self._broken())
        return found

    def _broken(self) -> dict[str, str]:
        """Plugins that are installed, wanted and could not be loaded, with why."""
        return {
            name: problem.why if isinstance(problem, PluginLoadError) else str(problem)
            for name, problem in self._failed.items()
        }

    def journal(self, name: str) -> Journal:
        """The journal of that name.

        Raises:
            UnknownJournalError: no plugin brings it.
            PluginConflictError: more than one does.
        """
        found: Journal | None = self._find(JOURNAL, name)
        if found is None:
            raise UnknownJournalError(name, self.journals)
        return found

    def implementations(self, hook: str) -> tuple[HookCall, ...]:
        """The implementations of a hook, in the order in which they are to be called.

        Resolved once, and kept until a plugin comes or goes.

        Raises:
            HookError: there is no such hook.
        """
        self.load()
        if (calls := self._calls.get(hook)) is None:
            if hook not in SPECS:
                raise HookError("galaxy_core", hook, f"there is no such hook; hooks are {', '.join(SPECS)}")
            found = reversed(getattr(self._order.hook, hook).get_hookimpls())  # pluggy keeps the first to call last
            calls = self._calls[hook] = tuple(HookCall(one.plugin_name, one.function) for one in found)
        return calls

    # -------------------------------------------------------------------------------------------------- description

    def describe(self, *, absent: bool = True) -> list[PluginInfo]:
        """Every plugin, by name: loaded, blocked, failed, and, if `absent` ones are asked for, those installed but not loaded.

        Imports nothing: before `load`, installed plugins are described from their metadata alone.
        """
        found = list(self._withheld.values())
        conflicts = self._conflicts()
        for plugin in self._plugins.values():
            contested = [str(one) for one in conflicts if plugin.name in {one.first, one.second}]
            found.append(plugin.info("; ".join(contested) or None))
        loaded = {plugin.name for plugin in self._plugins.values() if plugin.installed is not None}
        if absent:
            found += [self._absent(one) for one in self._list_installed() if one.name not in loaded]
        return sorted(found, key=lambda info: (info.name, info.status))

    def _absent(self, installed: InstalledPlugin) -> PluginInfo:
        if (refusal := self._refusal(installed)) is not None:
            return info_of(installed, "blocked", refusal)
        if (problem := self._failed.get(installed.name)) is not None:
            return info_of(installed, "failed", str(problem))
        return info_of(installed, "not loaded")


def _names(names: Iterable[str]) -> Iterable[str]:
    return (names,) if isinstance(names, str) else names
