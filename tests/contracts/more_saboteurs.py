"""Strategies, observers and journals that break one clause each of their contract, and no other."""

from __future__ import annotations

import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
from anyio.lowlevel import checkpoint
from attrs import evolve

from galaxy_core import TaskConstellation
from galaxy_core.errors import JournalError
from galaxy_core.extension.interfaces import DeviceLoad, JournalWriter, Placement, RunInfo, TaskToPlace
from galaxy_core.model.events import Event, EventType, TaskEvent
from galaxy_core.testing.contract import Archive, Audience
from galaxy_core.testing.fakes import FirstFit, Recorder
from galaxy_core.testing.journals import KeptRun, MemoryJournal, MemoryWriter

#: For each contract: the name of a clause, and what makes the subject that breaks it.
STRATEGIES: dict[str, Callable[[], Any]] = {}
OBSERVERS: dict[str, Callable[[], Audience]] = {}
JOURNALS: dict[str, Callable[[], Archive]] = {}


def strategy(clause: str) -> Callable[[type[Any]], type[Any]]:
    def register(made: type[Any]) -> type[Any]:
        STRATEGIES[clause] = made
        return made

    return register


def observer(clause: str) -> Callable[[type[Any]], type[Any]]:
    def register(made: type[Any]) -> type[Any]:
        OBSERVERS[clause] = lambda: audience(made)
        return made

    return register


def journal(clause: str) -> Callable[[type[Any]], type[Any]]:
    def register(made: type[Any]) -> type[Any]:
        JOURNALS[clause] = lambda: archive(made())
        return made

    return register


# -------------------------------------------------------------------------------------------------------- strategies


class Choosing(FirstFit):
    """A good strategy, with `choose`."""

    def choose(self, ready: Sequence[TaskToPlace], free: Mapping[str, DeviceLoad], /) -> Iterable[tuple[str, str]]:
        room = {device_id: load.max_concurrency - load.running for device_id, load in free.items()}
        for task in ready:
            for device_id in task.fitting:
                if room.get(device_id, 0) > 0:
                    room[device_id] -= 1
                    yield task.task_id, device_id
                    break


@strategy("test_it_is_a_strategy_with_a_name")
class NamedForPeople(Choosing):
    name = "My Strategy"


@strategy("test_every_task_gets_a_device_that_fits")
class TakesAnyDevice(Choosing):
    def assign(self, placement: Placement, /) -> Mapping[str, str]:
        return {task.task_id: min(placement.devices) for task in placement.tasks}


@strategy("test_the_same_question_gets_the_same_answer")
class ThrowsDice(Choosing):
    def assign(self, placement: Placement, /) -> Mapping[str, str]:
        return {task.task_id: random.choice(task.fitting) for task in placement.tasks}


@strategy("test_what_it_is_shown_stays_as_it_is")
class CountsInPlace(Choosing):
    def assign(self, placement: Placement, /) -> Mapping[str, str]:
        chosen = super().assign(placement)
        for device_id in chosen.values():
            placement.devices[device_id].assigned += 1
        return chosen


@strategy("test_nothing_to_place_is_placed_nowhere")
class NeedsADevice(Choosing):
    def assign(self, placement: Placement, /) -> Mapping[str, str]:
        return super().assign(placement) if min(placement.devices) else {}


@strategy("test_it_does_not_wait")
class ThinksItOver(Choosing):
    def assign(self, placement: Placement, /) -> Mapping[str, str]:
        time.sleep(1e-6)
        return super().assign(placement)


@strategy("test_its_work_grows_with_the_plan_and_not_with_its_square")
class LooksAtAllForEach(Choosing):
    def assign(self, placement: Placement, /) -> Mapping[str, str]:
        for task in placement.tasks:
            for other in placement.tasks:
                if other is task:
                    continue
        return super().assign(placement)


@strategy("test_it_chooses_among_what_is_ready_and_free")
class ChoosesTwice(Choosing):
    def choose(self, ready: Sequence[TaskToPlace], free: Mapping[str, DeviceLoad], /) -> Iterable[tuple[str, str]]:
        return [pair for pair in super().choose(ready, free) for _ in range(2)]


@strategy("test_it_starts_something_when_everything_is_free")
class Hesitates(Choosing):
    def choose(self, ready: Sequence[TaskToPlace], free: Mapping[str, DeviceLoad], /) -> Iterable[tuple[str, str]]:
        return []


# --------------------------------------------------------------------------------------------------------- observers


class Teller(Recorder):
    """A good observer that takes batches."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    async def on_event(self, event: Event) -> None:
        await checkpoint()
        self.lines.append(event.event_type.value)

    async def on_events(self, events: Sequence[Event]) -> None:
        for event in events:
            await self.on_event(event)


def audience(made: Callable[[], Any]) -> Audience:
    def make(_plan: TaskConstellation) -> Any:
        return made()

    return Audience(make, lambda one: one.lines)


@observer("test_it_hears_as_an_observer_does")
class AwaitableByHand(Teller):
    def on_event(self, event: Event) -> Awaitable[None]:  # type: ignore[override]
        return super().on_event(event)


@observer("test_it_takes_every_event_of_a_run")
class WantsAnExitCode(Teller):
    async def on_event(self, event: Event) -> None:
        if isinstance(event, TaskEvent) and event.event_type is EventType.TASK_SKIPPED:
            raise KeyError("exit_code")
        await super().on_event(event)

    async def on_events(self, events: Sequence[Event]) -> None:
        for event in events:
            await Teller.on_event(self, event)


@observer("test_batches_come_to_the_same_as_batches_of_one")
class TellsTheLastOfABatch(Teller):
    async def on_events(self, events: Sequence[Event]) -> None:
        await self.on_event(events[-1])


@observer("test_events_stay_as_they_are")
class Stamps(Teller):
    async def on_event(self, event: Event) -> None:
        event.source_id = "mine"
        await super().on_event(event)


@observer("test_a_cancelled_delivery_leaves_it_usable")
class KeepsItsLock(Teller):
    is_locked = False

    async def on_event(self, event: Event) -> None:
        if self.is_locked:
            await anyio.sleep_forever()
        self.is_locked = True
        await super().on_event(event)
        self.is_locked = False


# ---------------------------------------------------------------------------------------------------------- journals


def archive(made: MemoryJournal) -> Archive:
    def breaks(writer: JournalWriter) -> None:
        made.broken = JournalError("no space left")

    return Archive(made, lambda: made, breaks)


@journal("test_it_is_a_journal_with_a_name")
class NamedForPeopleToo(MemoryJournal):
    def __init__(self) -> None:
        super().__init__("My Journal")


class WritingJournal(MemoryJournal):
    """A journal with a writer of its own."""

    writer: Callable[[MemoryJournal, KeptRun], MemoryWriter]

    @asynccontextmanager
    async def reopen(self, run_id: str, /) -> AsyncIterator[MemoryWriter]:
        async with super().reopen(run_id):
            yield type(self).writer(self, self.kept[run_id])


class ForgetsLongBatches(MemoryWriter):
    async def write(self, records: Sequence[str], /) -> None:
        await super().write(records[:10])


@journal("test_what_was_written_is_read_back_in_order")
class Forgetful(WritingJournal):
    writer = ForgetsLongBatches


class WritesTheDayAfter(MemoryWriter):
    """Keeps a batch with the next one, or when it is closed."""

    def __init__(self, journal: MemoryJournal, run: KeptRun) -> None:
        super().__init__(journal, run)
        self._late: list[str] = []

    async def write(self, records: Sequence[str], /) -> None:
        await super().write(self._late)
        self._late = list(records)

    def flush(self) -> None:
        self._run.records += self._late


@journal("test_what_write_has_returned_for_is_there_at_once")
class Buffered(MemoryJournal):
    @asynccontextmanager
    async def reopen(self, run_id: str, /) -> AsyncIterator[MemoryWriter]:
        async with super().reopen(run_id):
            writer = WritesTheDayAfter(self, self.kept[run_id])
            try:
                yield writer
            finally:
                writer.flush()


@journal("test_a_record_comes_back_as_it_was")
class SplitsLines(MemoryJournal):
    def read(self, run_id: str, /) -> Sequence[str]:
        return "\n".join(super().read(run_id)).splitlines()


@journal("test_a_run_that_is_there_is_not_begun_anew")
class BeginsAnew(MemoryJournal):
    @asynccontextmanager
    async def open(self, run: RunInfo, /) -> AsyncIterator[MemoryWriter]:
        if (there := self.kept.get(run.constellation_id)) is not None and not there.is_open:
            del self.kept[run.constellation_id]
        async with super().open(run) as writer:
            yield writer


@journal("test_a_second_writer_of_a_run_is_refused")
class TakesAnybody(MemoryJournal):
    @asynccontextmanager
    async def reopen(self, run_id: str, /) -> AsyncIterator[MemoryWriter]:
        self._run(run_id).is_open = False
        async with super().reopen(run_id) as writer:
            yield writer


@journal("test_a_run_is_gone_on_with")
class EachIsTheFirst(MemoryJournal):
    @asynccontextmanager
    async def reopen(self, run_id: str, /) -> AsyncIterator[MemoryWriter]:
        async with super().reopen(run_id) as writer:
            writer.epoch = 1
            yield writer


@journal("test_a_run_that_is_not_there_is_unknown")
class MakesWhatItIsAskedFor(MemoryJournal):
    def read(self, run_id: str, /) -> Sequence[str]:
        return list(self.kept[run_id].records) if run_id in self.kept else []


@journal("test_runs_are_listed_the_newest_first")
class Sorts(MemoryJournal):
    def runs(self) -> Sequence[str]:
        return sorted(self.kept)


@journal("test_every_id_is_a_run_of_its_own")
class AsOnWindows(MemoryJournal):
    """Takes ids for names of files that do not tell capitals from small letters."""

    @asynccontextmanager
    async def open(self, run: RunInfo, /) -> AsyncIterator[MemoryWriter]:
        folded = evolve(run, constellation_id=run.constellation_id.casefold())
        async with super().open(folded) as writer:
            yield writer


@journal("test_runs_beside_each_other_do_not_mix")
class OneBufferForAll(WritingJournal):
    @asynccontextmanager
    async def reopen(self, run_id: str, /) -> AsyncIterator[MemoryWriter]:
        async with super().reopen(run_id):
            first = next(run for run in self.kept.values() if run.is_open)
            yield MemoryWriter(self, first)

    writer = MemoryWriter


@journal("test_after_an_error_what_was_written_is_whole")
class RollsBack(MemoryJournal):
    @asynccontextmanager
    async def reopen(self, run_id: str, /) -> AsyncIterator[MemoryWriter]:
        async with super().reopen(run_id) as writer:
            try:
                yield writer
            except Exception:
                self.kept[run_id].records.clear()
                raise


class FromTheEnd(MemoryWriter):
    """Writes one by one, and the last first."""

    async def write(self, records: Sequence[str], /) -> None:
        at = len(self._run.records)
        await checkpoint()
        if self._journal.broken is not None:
            raise self._journal.broken
        for number, record in enumerate(reversed(records)):
            self._run.records.insert(at, record)
            if number < 5:
                await checkpoint()


@journal("test_of_a_cancelled_write_a_beginning_is_kept")
class HalfABatch(WritingJournal):
    writer = FromTheEnd


class TriesAgain(MemoryWriter):
    """Loses what a failure met, and goes on behind it."""

    async def write(self, records: Sequence[str], /) -> None:
        await checkpoint()
        broken, self._journal.broken = self._journal.broken, None
        if broken is not None:
            raise broken
        self._run.records += records


@journal("test_after_a_failed_write_nothing_is_written")
class Tireless(WritingJournal):
    writer = TriesAgain


@journal("test_its_folder_keeps_the_files_of_one_run")
class OneFolderForAll(MemoryJournal):
    @asynccontextmanager
    async def reopen(self, run_id: str, /) -> AsyncIterator[MemoryWriter]:
        async with super().reopen(run_id) as writer:
            writer.folder = Path.cwd()
            yield writer
