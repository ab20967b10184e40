"""Plugins that are wrong."""

from __future__ import annotations

from galaxy_core.errors.root import GalaxyError


class PluginError(GalaxyError, RuntimeError):
    """A plugin is wrong; `plugin` is its name."""

    def __init__(self, plugin: str, message: str) -> None:
        self.plugin = plugin
        super().__init__(message)


class PluginLoadError(PluginError):
    """It could not be imported or registered. The cause is chained."""

    def __init__(self, plugin: str, distribution: str | None, why: str) -> None:
        self.distribution, self.why = distribution, why
        origin = f" of distribution {distribution!r}" if distribution else ""
        remedy = "Repair or uninstall it, or block it by name." if distribution else "Correct it, or leave it out."
        super().__init__(plugin, f"plugin {plugin!r}{origin} could not be loaded: {why}. {remedy}")


class PluginConflictError(PluginError):
    """Two plugins claim one name of one kind ("strategy", "transport", …)."""

    def __init__(self, kind: str, name: str, first: str, second: str) -> None:
        self.kind, self.name, self.first, self.second = kind, name, first, second
        super().__init__(
            second,
            f"{kind} {name!r} is claimed by plugin {first!r} and by plugin {second!r}: block or rename one of them.",
        )


class HookError(PluginError):
    """A hook is misspelt, raised, returned what it may not, or took too long."""

    def __init__(self, plugin: str, hook: str, why: str) -> None:
        self.hook, self.why = hook, why
        super().__init__(plugin, f"hook {hook!r} of plugin {plugin!r}: {why}")


class StrategyError(PluginError):
    """A strategy raised, or returned an assignment that cannot be used."""

    def __init__(self, strategy: str, why: str) -> None:
        self.strategy, self.why = strategy, why
        super().__init__(strategy, f"strategy {strategy!r} {why}")
