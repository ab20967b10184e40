"""Which run is meant."""

from __future__ import annotations

from collections.abc import Sequence

from galaxy_core import Journal
from galaxy_core.errors import UnknownRecordedRunError
from galaxy_core_cli import say
from galaxy_core_cli.hints import command
from galaxy_core_cli.kept.ages import ago
from galaxy_core_cli.kept.journals import folder_of
from galaxy_core_cli.kept.listing import Listed, of_plan, plans_of
from galaxy_core_cli.kept.standing import UNDER_WAY
from galaxy_core_cli.text import count, safe_line

#: The newest one.
LAST = "last"


#: Characters of a part of an id that can mean a run: shorter ones, as names of plans, are in many ids by chance.
SHORTEST_PART = 4
#: Runs that are named.
NAMED = 5


def found(wanted: str, journal: Journal, *, resumable: bool = False) -> str:
    """The id of the run of a journal that is meant by an id, `last`, the name of its plan, or else a part of its id.

    Of a plan with several runs, `resumable` says that only those are meant that can be resumed.

    Raises:
        UnknownRecordedRunError: there is none, or there are several.
        WrongValueError: there are several of that plan, or none that can be resumed.
        GalaxyError, OSError: the journal cannot be read.
    """
    ids = _ids(wanted, journal)
    if (known := _exactly(wanted, ids)) is not None:
        return known
    runs = of_plan(journal, wanted)
    if not runs:
        try:
            return among(wanted, ids, folder_of(journal))
        except UnknownRecordedRunError as error:
            if error.several:
                raise
            raise UnknownRecordedRunError(wanted, ids, where=error.where, plans=plans_of(journal)) from None
    fitting = [run for run in runs if run.is_open] if resumable else runs
    if len(fitting) == 1:
        return fitting[0].run_id
    plan = f"of plan {wanted!r}"
    if not fitting:
        others = f"the newest of {len(runs):,}" if len(runs) > 1 else "the only one"
        at_work = next((run.run_id for run in runs if run.status == UNDER_WAY), None)
        watch = "" if at_work is None else f"; to follow it: {command('watch', at_work)}"
        raise say.WrongValueError(f"no run {plan} can be resumed: {others} is {_told(runs[0])}{watch}")
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
    return among(wanted, _ids(wanted, journal), folder_of(journal))


def _ids(wanted: str, journal: Journal) -> Sequence[str]:
    if not wanted:
        raise say.WrongValueError("RUN is an empty text: name a run, or last; galaxy runs --all lists them")
    return journal.runs()


def among(wanted: str, ids: Sequence[str], where: str = "") -> str:
    """The one of `ids`, which are the newest first, that is meant; `where` they are, for messages.

    Raises:
        UnknownRecordedRunError: there is none, or there are several.
    """
    if (known := _exactly(wanted, ids)) is not None:
        return known
    meant = [one for one in ids if is_part(wanted, one)]
    if len(meant) == 1:
        return meant[0]
    raise UnknownRecordedRunError(wanted, ids, meant, where)


def _exactly(wanted: str, ids: Sequence[str]) -> str | None:
    """An id that is there; `last` is the first of them."""
    if wanted in ids:
        return wanted
    return ids[0] if wanted == LAST and ids else None


def is_part(wanted: str, run: str) -> bool:
    """Whether a text is enough of an id to mean its run, as for control sockets: its beginning or its end."""
    return len(wanted) >= SHORTEST_PART and (run.startswith(wanted) or run.endswith(wanted))
