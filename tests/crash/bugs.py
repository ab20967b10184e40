"""Bugs of the kinds that durable execution is lost by, to be planted one at a time: the simulation has to notice each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from galaxy_core import Attempt, Completed, Event, Refused, Unknown
from galaxy_core.model.records import encode, fold
from galaxy_core.model.records.fold import Fold
from galaxy_core.runtime import flow
from galaxy_core.runtime.desk import Desk
from galaxy_core.runtime.ledger import Ledger
from galaxy_core.runtime.recorder import Recorder
from galaxy_core.runtime.settler import Settler
from tests.crash.far import FarSession, SimWriter

Plant = Callable[[pytest.MonkeyPatch], None]


def a_start_is_not_waited_for(patch: pytest.MonkeyPatch) -> None:
    """The device hears of a task before its start is kept."""

    async def at_once(self: Ledger) -> None:
        return None

    patch.setattr(Ledger, "durable", at_once)


def a_write_is_acknowledged_before_it_is_kept(patch: pytest.MonkeyPatch) -> None:
    """A journal that skips the fsync."""

    async def write(self: SimWriter, records: Sequence[str], /) -> None:
        self.life.check()
        self.disk.keep(self.disk.in_flight)
        self.disk.in_flight = list(records)

    patch.setattr(SimWriter, "write", write)


def completions_are_told_before_they_are_kept(patch: pytest.MonkeyPatch) -> None:
    """Somebody relies on what may be lost."""

    def tell(self: Ledger, events: Sequence[Event]) -> None:
        self.post(events)

    patch.setattr(Ledger, "tell", tell)


def an_edit_is_acknowledged_before_it_is_kept(patch: pytest.MonkeyPatch) -> None:
    """An editor goes on from an edit that may be lost."""

    async def kept(self: Desk, plan: Any) -> None:
        return None

    patch.setattr(Desk, "_kept", kept)


def a_failed_write_is_passed_over(patch: pytest.MonkeyPatch) -> None:
    """After an error of the disk, the run goes on as if nothing had happened."""
    write = SimWriter.write

    async def careless(self: SimWriter, records: Sequence[str], /) -> None:
        try:
            await write(self, records)
        except Exception:
            self.life.check()

    patch.setattr(SimWriter, "write", careless)


def an_attempt_number_is_used_again(patch: pytest.MonkeyPatch) -> None:
    """Replay forgets how many attempts there were."""
    take = Fold._start

    def start(self: Fold, task_id: str, *more: Any) -> None:
        take(self, task_id, *more)
        self._task(task_id)._attempts -= 1

    patch.setattr(Fold, "_start", start)
    patch.setitem(fold.READERS, "start", start)


def two_epochs_share_a_mark(patch: pytest.MonkeyPatch) -> None:
    """A marker of a dead process is taken for one's own."""
    patch.setattr(flow, "token_hex", lambda length: "0" * 2 * length)


def what_is_unknown_runs_again(patch: pytest.MonkeyPatch) -> None:
    """Nobody knows what it did, and it is done once more."""
    found_out = Settler._found_out

    async def guessed(self: Settler, case: Any) -> Any:
        outcome = await found_out(self, case)
        return Refused("it will not have started") if isinstance(outcome, Unknown) else outcome

    patch.setattr(Settler, "_found_out", guessed)


def what_is_unknown_counts_as_done(patch: pytest.MonkeyPatch) -> None:
    """Nobody knows what it did, and what waits for it goes on."""
    found_out = Settler._found_out

    async def guessed(self: Settler, case: Any) -> Any:
        outcome = await found_out(self, case)
        return Completed(exit_code=0) if isinstance(outcome, Unknown) else outcome

    patch.setattr(Settler, "_found_out", guessed)


def what_a_dead_process_began_is_not_stopped(patch: pytest.MonkeyPatch) -> None:
    """A task that may run again does so beside itself."""

    async def stop(self: FarSession, attempt: Attempt) -> None:
        await anyio.lowlevel.checkpoint()

    patch.setattr(FarSession, "stop", stop)


def the_end_of_a_task_is_not_recorded(patch: pytest.MonkeyPatch) -> None:
    """What completed runs again after a crash."""

    def ended(self: Recorder, task: Any, held: bool) -> None:
        self._leases.pop(task, None)

    patch.setattr(Recorder, "ended", ended)


def a_skip_is_not_recorded(patch: pytest.MonkeyPatch) -> None:
    """What was skipped is pending after a crash, and waits for what has ended."""
    patch.setattr(Recorder, "skipped", lambda self, task: None)


def the_order_of_records_is_not_kept(patch: pytest.MonkeyPatch) -> None:
    """An end stands behind the starts that follow from it."""
    write = SimWriter.write

    async def shuffled(self: SimWriter, records: Sequence[str], /) -> None:
        await write(self, [*records[1:], *records[:1]])

    patch.setattr(SimWriter, "write", shuffled)


def other_records_go_before_attempts_that_were_put_off(patch: pytest.MonkeyPatch) -> None:
    """What follows from the end of an attempt stands before it."""

    def note(self: Ledger, encode: Callable[..., str], *args: object) -> None:
        if not self.lines:
            self._stirred.set()
        n = self.count
        self.count = n + 1
        self.lines.append(encode(n, *args))

    patch.setattr(Ledger, "note", note)


def the_last_of_many_attempts_is_lost(patch: pytest.MonkeyPatch) -> None:
    """A record of all that has begun and ended leaves out the last of them."""
    rans = encode.rans
    patch.setattr(encode, "rans", lambda n, attempts: rans(n, attempts[:-1]))


def links_without_names_are_numbered_from_one(patch: pytest.MonkeyPatch) -> None:
    """After a replay, a link has the id of its neighbour."""
    take = Fold._links

    def links(self: Fold, parts: list[Any], created_at: float, number: int = 0) -> None:
        take(self, parts, created_at, number + 1)

    patch.setattr(Fold, "_links", links)
    patch.setitem(fold.READERS, "links", links)


BUGS: dict[str, Plant] = {
    plant.__name__: plant
    for plant in (
        a_start_is_not_waited_for,
        a_write_is_acknowledged_before_it_is_kept,
        completions_are_told_before_they_are_kept,
        an_edit_is_acknowledged_before_it_is_kept,
        a_failed_write_is_passed_over,
        an_attempt_number_is_used_again,
        two_epochs_share_a_mark,
        what_is_unknown_runs_again,
        what_is_unknown_counts_as_done,
        what_a_dead_process_began_is_not_stopped,
        the_end_of_a_task_is_not_recorded,
        a_skip_is_not_recorded,
        the_order_of_records_is_not_kept,
        other_records_go_before_attempts_that_were_put_off,
        the_last_of_many_attempts_is_lost,
        links_without_names_are_numbered_from_one,
    )
}
