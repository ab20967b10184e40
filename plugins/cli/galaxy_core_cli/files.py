"""Plans, inventories and plugins as the command line is given them; and files that it writes."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from galaxy_core_cli import say

if TYPE_CHECKING:
    from galaxy_core import Inventory, Plan, PluginRegistry

DEFAULT_STRATEGY = "load_balance"
#: The distribution that keeps runs.
JOURNAL = "galaxy-core-journal"
#: The distributions whose plugins `--no-plugins` leaves in: this command depends on them, or goes with them.
OURS = ("galaxy-core-local", "galaxy-core-strategies", JOURNAL)


def read_plan(path: str) -> Plan:
    """The plan of a file, or of standard input when the path is ``-``: JSON if that begins with a brace, else YAML.

    Raises:
        DocumentError: it is not a plan.
        OSError: it cannot be read.
    """
    from galaxy_core import load_plan, parse_plan

    if not path:
        raise say.WrongValueError("PLAN is an empty text: name a file, or - for standard input")
    if path != "-":
        return load_plan(path)
    text = sys.stdin.read()
    return parse_plan(text, "json" if text.lstrip().startswith("{") else "yaml", "<standard input>")


def read_inventory(path: str | None) -> Inventory:
    """The devices that there are, and where to look for others; without a file this machine.

    Raises:
        DocumentError: it is not an inventory.
        OSError: it cannot be read.
    """
    from galaxy_core import Inventory, load_inventory

    return Inventory() if not path else load_inventory(path)


def only_this_machine(path: str | None) -> str:
    """What is said before a device that is not known: that there is no inventory, if that is so."""
    return "" if path else "without an inventory (--devices FILE, or GALAXY_DEVICES) there is this machine alone: "


def registry(block: Iterable[str] = (), no_plugins: bool = False) -> PluginRegistry:
    """The installed plugins that are wanted; none is imported yet."""
    from galaxy_core import PluginRegistry
    from galaxy_core_cli.loading import watched

    ours = [name for name in OURS if name != JOURNAL or is_installed(JOURNAL)]  # what is not there is warned of
    return PluginRegistry(blocked=block, allowed=ours if no_plugins else None, watch=watched)


def is_installed(distribution: str) -> bool:
    from importlib.metadata import PackageNotFoundError, version

    try:
        version(distribution)
    except PackageNotFoundError:
        return False
    return True


def loaded(block: Iterable[str] = (), no_plugins: bool = False) -> PluginRegistry:
    """The installed plugins that are wanted, imported: in an event loop, Ctrl-C would not end an import."""
    found = registry(block, no_plugins)
    found.load()
    return found


def write(text: str, output: str | None) -> None:
    """To the file, or to standard output."""
    if output is None or output == "-":
        click.echo(text, nl=not text.endswith("\n"))
    else:
        try:
            Path(output).write_text(text if text.endswith("\n") else text + "\n", encoding="utf-8")
        except OSError as problem:
            problem.filename = problem.filename or output  # what the system says of a full disk does not name the file
            raise
