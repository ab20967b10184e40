"""Lists installed plugins from the metadata of their distributions, without importing any of them."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from threading import Timer
from typing import TYPE_CHECKING

from attrs import field, frozen

from galaxy_core.errors import PluginLoadError
from galaxy_core.extension.hookimpls import said
from galaxy_core.model.reasons import is_failure

if TYPE_CHECKING:
    from importlib.metadata import Distribution, EntryPoint

#: The entry-point group in which distributions announce their plugins.
GROUP = "galaxy_core"
#: Seconds that an installed plugin may take to be loaded before that is told.
SLOW_S = 5.0

_log = logging.getLogger(__name__)


@frozen
class InstalledPlugin:
    """One entry point. `name` is unique in a listing; `value` is where it leads, such as "package.module:object"."""

    name: str
    value: str
    distribution: str | None
    version: str | None
    entry_point: EntryPoint = field(repr=False, eq=False)

    @property
    def title(self) -> str:
        """What it is called, and whose it is, for messages."""
        return f"plugin {self.name!r}" + (f" of distribution {self.distribution!r}" if self.distribution else "")

    def is_among(self, names: Iterable[str]) -> bool:
        """Whether one of `names` means it: its own, its distribution's, or both joined as "distribution:name"."""
        mine = {self.name, self.entry_point.name}
        distribution = None if self.distribution is None else canonical(self.distribution)
        for name in names:
            owner, _, rest = name.partition(":")
            if name in mine or (canonical(owner) == distribution and rest in {"", self.entry_point.name}):
                return True
        return False


@contextmanager
def warning_when_slow(plugin: InstalledPlugin) -> Iterator[None]:
    """Log a warning, once, if the plugin is still being loaded after `SLOW_S`: nobody can stop an import that hangs."""
    text = "%s is still being loaded after %g s (%s), and nothing goes on before that is done; to do without it, block it: %r"
    timer = Timer(SLOW_S, _log.warning, (text, plugin.title, SLOW_S, plugin.value, plugin.name))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def canonical(distribution: str) -> str:
    """A distribution's name as pip compares it."""
    return re.sub(r"[-_.]+", "-", distribution).lower()


def installed_plugins(
    source: Callable[[], Iterable[EntryPoint]] | None,
) -> tuple[list[InstalledPlugin], list[PluginLoadError]]:
    """The installed plugins, by name, and an error for each distribution whose announcement cannot be read.

    `source` yields entry points; None reads those of the installed distributions. An entry point whose name is taken
    by another distribution's is listed as "distribution:name".
    """
    entry_points, problems = _read(source)
    plugins: dict[str, InstalledPlugin] = {}
    described = [(_description(entry_point), entry_point) for entry_point in entry_points]
    described.sort(key=lambda pair: (pair[1].name, pair[0][0] or ""))
    for (distribution, version), entry_point in described:
        name = entry_point.name
        if name in plugins and distribution is not None:
            name = f"{canonical(distribution)}:{name}"
        name = unique(name, plugins)
        plugins[name] = InstalledPlugin(name, entry_point.value, distribution, version, entry_point)
    return list(plugins.values()), problems


def unique(name: str, taken: Iterable[str]) -> str:
    """`name`, or `name#2` and so on when it is taken."""
    names = frozenset(taken)
    found, number = name, 1
    while found in names:
        number += 1
        found = f"{name}#{number}"
    return found


def _read(source: Callable[[], Iterable[EntryPoint]] | None) -> tuple[list[EntryPoint], list[PluginLoadError]]:
    from importlib.metadata import distributions, entry_points

    try:
        return list(entry_points(group=GROUP) if source is None else source()), []
    except BaseException as error:  # `problems` receives it, below or as found distribution by distribution
        if not is_failure(error):
            raise
        if source is not None:
            return [], [_unreadable(None, error)]
    found: dict[tuple[str, str], EntryPoint] = {}
    problems = []
    for distribution in distributions():
        try:
            for entry_point in distribution.entry_points:
                if entry_point.group == GROUP:  # of a distribution that is there twice, the first on the path counts
                    found.setdefault((canonical(distribution.name), entry_point.name), entry_point)
        except BaseException as error:  # `problems` receives it: one broken distribution does not hide the others
            if not is_failure(error):
                raise
            problems.append(_unreadable(distribution, error))
    return list(found.values()), problems


def _unreadable(distribution: Distribution | None, error: BaseException) -> PluginLoadError:
    name = None if distribution is None else _name_and_version(distribution)[0]
    problem = PluginLoadError("(entry points)", name, f"the list of entry points cannot be read: {said(error)}")
    problem.__cause__ = error
    return problem


def _description(entry_point: EntryPoint) -> tuple[str | None, str | None]:
    return (None, None) if entry_point.dist is None else _name_and_version(entry_point.dist)


def _name_and_version(distribution: Distribution) -> tuple[str | None, str | None]:
    try:
        return distribution.name, distribution.version
    except Exception as error:  # the plugin may work all the same; its distribution is shown as unknown
        _log.debug("the metadata of a distribution cannot be read", exc_info=error)
        return None, None
