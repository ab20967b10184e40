"""Which journal keeps runs."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import click
from attrs import frozen

from galaxy_core import Journal, PluginRegistry
from galaxy_core.errors import UnknownJournalError
from galaxy_core_cli import say
from galaxy_core_cli.files import JOURNAL, is_installed, registry
from galaxy_core_cli.hints import DEFAULT_JOURNAL, command
from galaxy_core_cli.text import safe_line

#: The journal that is used when none is named, and what brings it.
DEFAULT = DEFAULT_JOURNAL
NONE = "none"
#: How a run stands, as it answers at its control socket.
Status = Mapping[str, Any]
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


def folder_of(journal: Journal) -> str:
    """The folder below which a journal keeps its runs; empty when it does not say."""
    return str(getattr(journal, "folder", "") or "")


def _known(name: str, plugins: PluginRegistry) -> Journal:
    if not plugins.journals:
        raise say.WrongValueError(MISSING)
    try:
        return plugins.journal(name)
    except UnknownJournalError as error:
        raise say.WrongValueError(str(error)) from None


@frozen
class Here:
    """The journal that commands look into, if there is one."""

    journal: Journal | None

    @classmethod
    def found(cls, name: str | None = None) -> Here:
        """That of a name, or the one that is used when none is named."""
        try:
            return cls(journal_of(name))
        except click.ClickException:
            return cls(None)

    @property
    def place(self) -> str:
        """Its folder, or else its name, in words."""
        if self.journal is None:
            return "no journal"
        return folder_of(self.journal) or repr(self.journal.name)

    def keeps(self, run: Status) -> bool:
        """Whether it may be the one that keeps a run: also of one that none keeps, or that does not say."""
        told = run.get("journal")
        if told is None:
            return True
        if self.journal is None or told["name"] != self.journal.name:
            return False
        folders = told.get("folder"), folder_of(self.journal)
        return None in folders or len({os.path.realpath(str(one)) for one in folders}) == 1

    def again(self, run: Status) -> str:
        """The command that goes on with a run which can be reached."""
        told = run.get("journal") or {}
        folder = None if self.keeps(run) else told.get("folder")
        return command("resume", str(run["run"]), journal=told.get("name"), folder=folder)


def other_journal(run: Status) -> str:
    """That a run is kept in another journal than the one here, and in which."""
    told = run["journal"]
    return f"kept in another journal, {safe_line(told.get('folder') or repr(told['name']))}"
