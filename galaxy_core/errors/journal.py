"""Journals that cannot be opened, read or gone on with."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence

from galaxy_core.errors.root import hint, listed, nearest, nearest_ids
from galaxy_core.errors.run import RunError


class JournalError(RunError):
    """A journal cannot keep a run, or give one back."""


class JournalFailedError(JournalError):
    """The journal of a run could not be written any more, and the run was stopped.

    `left` are the tasks that are still at work, by id the device: they leave markers, and are found again. `ended` are those that
    were waited for, by id how they ended, in words: nothing has kept that. `unkept` are the ids of all of whose end that is so,
    whatever becomes of them. `is_kept`: there is something to go on from.
    """

    def __init__(
        self,
        run_id: str,
        why: str,
        left: Mapping[str, str] | None = None,
        ended: Mapping[str, str] | None = None,
        *,
        is_kept: bool = True,
        unkept: Iterable[str] = (),
    ) -> None:
        self.run_id, self.why, self.left, self.ended = run_id, why, dict(left or {}), dict(ended or {})
        self.unkept, self.is_kept = frozenset(unkept), is_kept
        said = [f"run {run_id!r} was stopped, because its journal failed: {why}"]
        if self.left:
            tasks = listed(self.left, "", show=lambda task_id: f"{task_id!r} on {self.left[task_id]!r}")
            said.append(f"Left at work, to be found again by whoever resumes: {tasks}")
        if self.ended:
            tasks = listed(self.ended, "", show=lambda task_id: f"{task_id!r} {self.ended[task_id]}")
            said.append(f"Ended since, which is kept nowhere: {tasks}")
        again = f"What was kept stands: when the journal can be written again, galaxy resume {shlex.quote(run_id)}"
        said.append(again if is_kept else "Nothing of it was kept")
        super().__init__(". ".join(said))


class UnknownRecordedRunError(JournalError):
    """The journal has no run of that id, or, with `several`, more than one that may be meant; `near` may be meant.

    `known` and `several` are ids, the newest first; `plans` names of plans, which may be meant, too.
    """

    def __init__(
        self,
        run: str,
        known: Iterable[str] = (),
        several: Sequence[str] = (),
        where: str = "",
        plans: Iterable[str] = (),
    ) -> None:
        names = list(known)
        self.run, self.several, self.where = run, tuple(several), where
        self.near = tuple(dict.fromkeys((*nearest_ids(run, names), *nearest(run, plans))))[:3]
        place = f" in {where}" if where else ""
        if several:
            super().__init__(f"{run!r} may mean {_newest(self.several, 20)}: name more of the id")
        elif not names:
            super().__init__(f"no run {run!r} is recorded{place}, nor any other")
        else:
            what = "the only one there:" if len(names) == 1 else "the newest there:"
            super().__init__(f"no run {run!r} is recorded{place}{hint(self.near)}; {what} {_newest(names, 5)}")


def _newest(ids: Sequence[str], most: int) -> str:
    more = f" and {len(ids) - most:,} more" if len(ids) > most else ""
    return ", ".join(map(repr, ids[:most])) + more


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
            f"Its first {'record is' if sound == 1 else f'{sound:,} records are'} sound, and can be shown and exported; the run "
            "cannot be resumed. What happened afterwards is not known: tasks that are pending there may have been done, or be at work. Look "
            "before you run the plan anew"
            if sound
            else f"the journal of run {run_id!r}{where} is damaged from its beginning: {why}. Nothing of it can be relied on: "
            "tasks may have been done, or be at work. Restore it from a copy, or look before you run the plan anew; "
            "galaxy prune --unfinished, with --older-than or --keep, removes it"
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
