"""Strategies, observers and journals that break one clause each of their contract, and no other."""

from __future__ import annotations

import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import anyio
from anyio.lowlevel import checkpoint

from galaxy_core import TaskConstellation
from galaxy_core.extension.interfaces import DeviceLoad, Placement, RunInfo, TaskToPlace
from galaxy_core.model.events import Event, EventType, TaskEvent
from galaxy_core.testing.contract import Archive, Audience
from galaxy_core.testing.fakes import FirstFit, Recorder
from galaxy_core.testing.journals import MemoryJournal, MemoryWriter, line_of

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
    return Archive(made, made.read, line_of)


@journal("test_it_is_a_journal_with_a_name")
class NamedForPeopleToo(MemoryJournal):
    def __init__(self) -> None:
        super().__init__("My Journal")


class WritingJournal(MemoryJournal):
    """A journal with a writer of its own."""

    writer: Callable[[list[Event]], MemoryWriter]

    @asynccontextmanager
    async def open(self, run: RunInfo, /) -> AsyncIterator[MemoryWriter]:
        async with super().open(run):
            yield type(self).writer(self.runs[run.constellation_id])


class ForgetsLongBatches(MemoryWriter):
    async def write(self, events: Sequence[Event], /) -> None:
        await super().write(events[:10])


@journal("test_what_was_written_is_read_back_in_order")
class Forgetful(WritingJournal):
    writer = ForgetsLongBatches


@journal("test_a_second_writer_of_the_same_run_is_refused")
class TakesAnybody(MemoryJournal):
    @asynccontextmanager
    async def open(self, run: RunInfo, /) -> AsyncIterator[MemoryWriter]:
        self._open.clear()
        async with super().open(run) as writer:
            yield writer


@journal("test_after_an_error_what_was_written_is_whole")
class RollsBack(MemoryJournal):
    @asynccontextmanager
    async def open(self, run: RunInfo, /) -> AsyncIterator[MemoryWriter]:
        async with super().open(run) as writer:
            try:
                yield writer
            except Exception:
                self.runs[run.constellation_id].clear()
                raise


@journal("test_runs_beside_each_other_do_not_mix")
class OneBufferForAll(MemoryJournal):
    @asynccontextmanager
    async def open(self, run: RunInfo, /) -> AsyncIterator[MemoryWriter]:
        async with super().open(run):
            yield MemoryWriter(self.runs[min(self._open)])


class OneByOne(MemoryWriter):
    async def write(self, events: Sequence[Event], /) -> None:
        for event in events:
            await super().write([event])


@journal("test_a_cancelled_write_leaves_the_events_before_it_whole")
class HalfABatch(WritingJournal):
    writer = OneByOne
