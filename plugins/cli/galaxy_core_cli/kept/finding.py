"""Which run is meant."""

from __future__ import annotations

from collections.abc import Sequence

from galaxy_core import Journal
from galaxy_core.errors import UnknownRecordedRunError
from galaxy_core_cli import say
from galaxy_core_cli.kept.ages import ago
from galaxy_core_cli.kept.journals import folder_of
from galaxy_core_cli.kept.listing import Listed, of_plan, plans_of
from galaxy_core_cli.text import count, safe_line

#: The newest one.
LAST = "last"


#: Runs that are named.
NAMED = 5


def found(wanted: str, journal: Journal, *, resumable: bool = False) -> str:
    """The id of the run of a journal that is meant by an id, a part of it, `last`, or the name of its plan.

    Of a plan with several runs, `resumable` says that only those are meant that can be resumed.

    Raises:
        UnknownRecordedRunError: there is none, or there are several.
        WrongValueError: there are several of that plan, or none that can be resumed.
        GalaxyError, OSError: the journal cannot be read.
    """
    try:
        return by_id(wanted, journal)
    except UnknownRecordedRunError as error:
        runs = of_plan(journal, wanted)
        if error.several and not runs:
            raise
        if not runs:
            raise UnknownRecordedRunError(
                wanted, journal.runs(), where=folder_of(journal), plans=plans_of(journal)
            ) from None
    fitting = [run for run in runs if run.is_open] if resumable else runs
    if len(fitting) == 1:
        return fitting[0].run_id
    plan = f"of plan {wanted!r}"
    if not fitting:
        others = f"the newest of {len(runs):,}" if len(runs) > 1 else "the only one"
        raise say.WrongValueError(f"no run {plan} can be resumed: {others} is {_told(runs[0])}")
    more = f" and {len(fitting) - NAMED:,} more" if len(fitting) > NAMED else ""
    names = "; ".join(map(_told, fitting[:NAMED]))
    what = "can be resumed" if resumable else "are kept"
    raise say.WrongValueError(f"{count(len(fitting), 'run')} {plan} {what}: {names}{more}. Name one of them")


def _told(run: Listed) -> str:
    age = "" if run.age_s is None else f", started {ago(run.age_s)} ago"
    return f"{safe_line(run.run_id)} ({run.words}, {run.done:,} of {run.total:,} done{age})"


def by_id(wanted: str, journal: Journal) -> str:
    """The id of the run of a journal that is meant by an id, a part of it, or `last`.

    Raises:
        UnknownRecordedRunError: there is none, or there are several.
        GalaxyError, OSError: the journal cannot be read.
    """
    if not wanted:
        raise say.WrongValueError("RUN is an empty text: name a run, or last; galaxy runs --all lists them")
    return among(wanted, journal.runs(), folder_of(journal))


def among(wanted: str, ids: Sequence[str], where: str = "") -> str:
    """The one of `ids`, which are the newest first, that is meant; `where` they are, for messages.

    Raises:
        UnknownRecordedRunError: there is none, or there are several.
    """
    if wanted in ids:
        return wanted
    if wanted == LAST and ids:
        return ids[0]
    for fits in (str.startswith, str.__contains__):
        meant = [one for one in ids if fits(one, wanted)]
        if len(meant) == 1:
            return meant[0]
        if meant:
            raise UnknownRecordedRunError(wanted, ids, meant, where)
    raise UnknownRecordedRunError(wanted, ids, where=where)
