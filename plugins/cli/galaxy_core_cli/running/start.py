"""From the options of `galaxy run` to what is to be run."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from pathlib import Path
from typing import Any

from attrs import frozen

from galaxy_core import AssignmentError, DeviceError, PlanError
from galaxy_core.errors import JournalError
from galaxy_core.extension.interfaces import Durability
from galaxy_core_cli import say
from galaxy_core_cli.checks import Case
from galaxy_core_cli.files import DEFAULT_STRATEGY, read_inventory, read_plan, registry
from galaxy_core_cli.kept.journals import NONE, chosen
from galaxy_core_cli.options import State
from galaxy_core_cli.running.conduct import Order
from galaxy_core_cli.running.performing import View, perform


@frozen
class Options:
    """Those of `galaxy run` alone, as they were given."""

    plan: str
    devices: str | None = None
    strategy: str | None = None
    journal: str | None = None
    durability: Durability = "sync"


def start(options: Options, view: View, state: State) -> int:
    """Run a plan; the exit code.

    Raises:
        GalaxyError, OSError: nothing was run. With `json` that has been told on standard output, too.
    """
    return perform(lambda: _order(options, view), view, state)


def _order(options: Options, view: View) -> Order:
    plan, inventory = read_plan(options.plan), read_inventory(options.devices)
    view.check()
    constellation = plan.to_constellation()
    if plan.name is None and options.plan != "-":
        constellation.name = Path(options.plan).stem
    plugins = registry(view.block, view.no_plugins)
    strategy = options.strategy or plan.strategy or DEFAULT_STRATEGY

    def explain(error: Exception) -> None:
        """The kernel says what is wrong; the files say where."""
        if isinstance(error, PlanError | AssignmentError | DeviceError):
            Case(plan, options.plan, inventory, options.devices, plugins, strategy).refuse()
        import sqlite3  # takes a while, and is there already where a journal has failed

        if isinstance(error, JournalError) and isinstance(error.__cause__, OSError | sqlite3.Error):
            where = "" if "GALAXY_JOURNAL" in str(error) else "Set GALAXY_JOURNAL to a folder that can be written. "
            more = "Or keep this run nowhere, so that it cannot go on after a crash: --journal none"
            raise JournalError(f"{error}. {where}{more}") from error

    journal = None if options.durability == "off" else chosen(options.journal, plugins)
    if options.durability == "off" and options.journal != NONE and not view.json:
        say.note("nothing of this run is kept (--durability off): it cannot go on after a crash")
    return Order(
        constellation,
        inventory,
        strategy,
        plugins,
        view.artifacts_folder,
        view.timeout_s,
        view.control,
        journal=journal,
        durability=options.durability,
        metadata=_metadata(options.plan),
        explain=explain,
    )


def _metadata(path: str) -> dict[str, Any]:
    """Which file the plan is from; nothing of one that came through a pipe."""
    place = Path(path)
    with suppress(OSError):
        if place.is_file():
            return {"source": {"path": str(place.absolute()), "sha256": hashlib.sha256(place.read_bytes()).hexdigest()}}
    return {}
