"""From the options of `galaxy resume` to a run that goes on."""

from __future__ import annotations

from contextlib import suppress

from attrs import frozen

from galaxy_core import TaskConstellation
from galaxy_core.errors import GalaxyError, JournalError, ResumeError
from galaxy_core_cli.files import read_inventory, read_plan, registry
from galaxy_core_cli.hints import to_resolve
from galaxy_core_cli.kept.devices import recorded_inventory
from galaxy_core_cli.kept.finding import found
from galaxy_core_cli.kept.journals import journal_of
from galaxy_core_cli.kept.reading import origin_of, read
from galaxy_core_cli.options import State
from galaxy_core_cli.running.conduct import Order
from galaxy_core_cli.running.folders import gone_to, returning
from galaxy_core_cli.running.performing import View, perform


@frozen
class Again:
    """The options of `galaxy resume` alone, as they were given."""

    run: str
    journal: str | None = None
    plan: str | None = None
    devices: str | None = None
    here: bool = False


def go_on(again: Again, view: View, state: State) -> int:
    """Resume a run; the exit code.

    Raises:
        GalaxyError, OSError: nothing was run. With `json` that has been told on standard output, too.
    """
    with returning(again.here):
        return perform(lambda: _order(again, view), view, state)


def _order(again: Again, view: View) -> Order:
    view.check()
    same_as = None if again.plan is None else read_plan(again.plan).to_constellation()
    inventory = None if again.devices is None else read_inventory(again.devices)
    plugins = registry(view.block, view.no_plugins)
    journal = journal_of(again.journal, plugins)
    run_id = found(again.run, journal, resumable=True)
    origin = origin_of(journal, run_id)
    if inventory is None:
        inventory = recorded_inventory(origin.header, run_id)
    artifacts = None if view.artifacts_folder is None else view.artifacts_folder.absolute()
    remark = "" if again.here else gone_to(origin)  # from here on, nothing that was named is looked at any more

    def explain(error: Exception) -> None:
        if isinstance(error, ResumeError) and any("galaxy resolve" in reason for reason in error.reasons):
            with suppress(GalaxyError, OSError):  # which would say less than what is on its way
                error.add_note(to_resolve(read(journal, run_id).constellation, journal.name))
        if isinstance(error, ResumeError) and again.devices is not None:
            error.add_note(
                f"The devices are those of {again.devices}; without --devices it goes on with those that it began with."
            )
        elif (
            isinstance(error.__cause__, OSError)
            and isinstance(error, JournalError)
            and not any(said in str(error) for said in ("GALAXY_JOURNAL", "make room"))
        ):
            raise JournalError(
                f"{error}. A run that goes on has to be written: make that folder writable, or copy the folder of all runs to "
                "where it is, and set GALAXY_JOURNAL to that"
            ) from error

    return Order(
        TaskConstellation(run_id, run_id),
        inventory,
        "",
        plugins,
        artifacts,
        view.timeout_s,
        view.control,
        journal=journal.name,
        durability="batched" if origin.header.durability == "batched" else "sync",
        resumes=True,
        same_as=same_as,
        remark=remark,
        explain=explain,
    )
