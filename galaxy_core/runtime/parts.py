"""What each part of the runtime gets: the plugins that are meant, and a logger of its own."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from galaxy_core.extension.registry import PluginRegistry


def registry_of(plugins: PluginRegistry | Iterable[object] | None) -> PluginRegistry:
    """The registry that is meant: a given one, one with these plugins beside the installed ones, or a fresh one."""
    if isinstance(plugins, PluginRegistry):
        return plugins
    registry = PluginRegistry()
    for plugin in plugins or ():
        registry.register(plugin)
    return registry


def component_logger(component: str, enabled: bool) -> logging.Logger:
    """The logger of a component; silent when logging is switched off, which changes nothing else."""
    if enabled:
        return logging.getLogger(f"galaxy_core.{component}")
    silent = logging.Logger(f"galaxy_core.{component}.silent")
    silent.disabled = True
    return silent
