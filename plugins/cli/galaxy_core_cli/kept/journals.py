"""Which journal keeps runs."""

from __future__ import annotations

from galaxy_core import Journal, PluginRegistry
from galaxy_core.errors import UnknownJournalError
from galaxy_core_cli import say
from galaxy_core_cli.files import JOURNAL, is_installed, registry

#: The journal that is used when none is named, and what brings it.
DEFAULT = "sqlite"
NONE = "none"
MISSING = f"no journal is installed: pip install {JOURNAL}"


def chosen(name: str | None, plugins: PluginRegistry) -> str | None:
    """The journal that a new run is to be kept in; None for none. Loads the plugins.

    Raises:
        WrongValueError: there is none of that name.
    """
    if name == NONE:
        return None
    plugins.load()
    if name is None and DEFAULT not in plugins.journals:
        say.note(f"this run is kept nowhere, and cannot go on after a crash: pip install {JOURNAL} (or --journal none)")
        return None
    return _known(name or DEFAULT, plugins).name


def journal_of(name: str | None, plugins: PluginRegistry | None = None) -> Journal:
    """The journal that keeps runs.

    Raises:
        WrongValueError: there is none of that name.
    """
    if plugins is not None:
        plugins.load()
        return _known(name or DEFAULT, plugins)
    if (name is None or name == DEFAULT) and is_installed(JOURNAL):  # without importing every other plugin
        few = PluginRegistry(allowed=(JOURNAL,))
        few.load()
        if DEFAULT in few.journals:
            return few.journals[DEFAULT]
    return journal_of(name, registry())


def _known(name: str, plugins: PluginRegistry) -> Journal:
    if not plugins.journals:
        raise say.WrongValueError(MISSING)
    try:
        return plugins.journal(name)
    except UnknownJournalError as error:
        raise say.WrongValueError(str(error)) from None
