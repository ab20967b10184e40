"""Which run is meant."""

from __future__ import annotations

from collections.abc import Sequence

from galaxy_core import Journal
from galaxy_core.errors import UnknownRecordedRunError
from galaxy_core_cli import say

#: The newest one.
LAST = "last"


def found(wanted: str, journal: Journal) -> str:
    """The id of the run of a journal that is meant by an id, a part of it, or `last`.

    Raises:
        UnknownRecordedRunError: there is none, or there are several.
        GalaxyError, OSError: the journal cannot be read.
    """
    if not wanted:
        raise say.WrongValueError("RUN is an empty text: name a run, or last; galaxy runs --all lists them")
    return among(wanted, journal.runs())


def among(wanted: str, ids: Sequence[str]) -> str:
    """The one of `ids`, which are the newest first, that is meant.

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
            raise UnknownRecordedRunError(wanted, ids, meant)
    raise UnknownRecordedRunError(wanted, ids)
