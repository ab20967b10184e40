"""From the options of `galaxy resume` to a run that goes on."""

from __future__ import annotations

from attrs import frozen

from galaxy_core import TaskConstellation
from galaxy_core.errors import JournalError, ResumeError
from galaxy_core_cli.files import read_inventory, read_plan, registry
from galaxy_core_cli.kept.devices import recorded_inventory
from galaxy_core_cli.kept.finding import found
from galaxy_core_cli.kept.journals import journal_of
from galaxy_core_cli.kept.reading import header_of
from galaxy_core_cli.options import State
from galaxy_core_cli.running.conduct import Order
from galaxy_core_cli.running.performing import View, perform


@frozen
class Again:
    """The options of `galaxy resume` alone, as they were given."""

    run: str
    journal: str | None = None
    plan: str | None = None
    devices: str | None = None


def go_on(again: Again, view: View, state: State) -> int:
    """Resume a run; the exit code.

    Raises:
        GalaxyError, OSError: nothing was run. With `json` that has been told on standard output, too.
    """
    return perform(lambda: _order(again, view), view, state)


def _order(again: Again, view: View) -> Order:
    view.check()
    same_as = None if again.plan is None else read_plan(again.plan).to_constellation()
    inventory = None if again.devices is None else read_inventory(again.devices)
    plugins = registry(view.block, view.no_plugins)
    journal = journal_of(again.journal, plugins)
    run_id = found(again.run, journal, resumable=True)
    header = header_of(journal, run_id)
    if inventory is None:
        inventory = recorded_inventory(header, run_id)

    def explain(error: Exception) -> None:
        if isinstance(error, ResumeError) and again.devices is not None:
            error.add_note(
                f"The devices are those of {again.devices}; without --devices it goes on with those that it began with."
            )
        elif isinstance(error, JournalError) and isinstance(error.__cause__, OSError):
            raise JournalError(
                f"{error}. A run that goes on has to be written: make that folder writable, or copy the folder of all runs to "
                "where it is, and set GALAXY_JOURNAL to that"
            ) from error

    return Order(
        TaskConstellation(run_id, run_id),
        inventory,
        "",
        plugins,
        view.artifacts_folder,
        view.timeout_s,
        view.control,
        journal=journal.name,
        durability="batched" if header.durability == "batched" else "sync",
        resumes=True,
        same_as=same_as,
        explain=explain,
    )
