"""Journals that cannot be opened, read or gone on with."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from galaxy_core.errors.root import hint, listed, nearest
from galaxy_core.errors.run import RunError


class JournalError(RunError):
    """A journal cannot keep a run, or give one back."""


class UnknownRecordedRunError(JournalError):
    """The journal has no run of that id, or, with `several`, more than one that may be meant; `near` may be meant."""

    def __init__(self, run: str, known: Iterable[str] = (), several: Sequence[str] = (), where: str = "") -> None:
        names = list(known)
        self.run, self.several, self.near = run, tuple(several), nearest(run, names)
        place = f" in {where}" if where else ""
        if several:
            super().__init__(f"{run!r} may mean {listed(several, 'none')}: name more of the id")
        else:
            told = f"recorded are {listed(names, 'none', 5)}" if names else "no run is recorded there at all"
            super().__init__(f"no run {run!r} is recorded{place}; {told}{hint(self.near)}")


class RunLockedError(JournalError):
    """Somebody has the run already; `holder` says who, as far as it is known."""

    def __init__(self, run_id: str, holder: str = "") -> None:
        self.run_id, self.holder = run_id, holder
        by = holder or "another process"
        super().__init__(
            f"run {run_id!r} is being run or changed already, by {by}; no two may write one run. Wait until that ends, "
            "or end it: the lock goes with its process"
        )


class JournalDamagedError(JournalError):
    """What was kept of a run cannot be relied on from record `sound` on: so many are sound before it."""

    def __init__(self, run_id: str, why: str, sound: int, place: str = "") -> None:
        self.run_id, self.why, self.sound, self.place = run_id, why, sound, place
        where = f" ({place})" if place else ""
        super().__init__(
            f"the journal of run {run_id!r}{where} is damaged after its record {sound - 1}: {why}. "
            f"Its first {sound} records are sound: export or replay those; the run cannot be resumed from it"
            if sound
            else f"the journal of run {run_id!r}{where} is damaged from its beginning: {why}. Nothing of it can be relied on; "
            "restore it from a copy"
        )


class JournalVersionError(JournalError):
    """It was written by a newer version, which this one cannot read."""

    def __init__(self, run_id: str, found: object, newest: int, place: str = "") -> None:
        self.run_id, self.found, self.newest, self.place = run_id, found, newest, place
        where = f" ({place})" if place else ""
        super().__init__(
            f"the journal of run {run_id!r}{where} has format {found}; this version reads up to {newest}. "
            "Nothing was changed: install the newer Galaxy that wrote it"
        )


class ResumeError(JournalError):
    """A recorded run cannot go on here; `reasons` say why, each with what to do."""

    def __init__(self, run_id: str, reasons: Sequence[str]) -> None:
        self.run_id, self.reasons = run_id, tuple(reasons)
        super().__init__(f"run {run_id!r} cannot be resumed: {'; '.join(self.reasons)}")
