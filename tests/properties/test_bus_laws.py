"""Laws of the event bus: whatever observers do, each hears everything it asked for, once and in order, and nobody hangs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import anyio
import pytest
from attrs import frozen
from hypothesis import given, settings
from hypothesis import strategies as st

from galaxy_core import Event, EventBus, EventType
from galaxy_core.testing.virtual_time import DAY_S, virtual_clock
from tests.properties.loops import run_steadily
from tests.properties.values import Brief

TYPES = (EventType.AGENT_ACTION, EventType.AGENT_RESPONSE, EventType.TASK_OUTPUT)
#: Events that are published because of an event go this deep.
DEPTH = 2

both = pytest.mark.parametrize("backend", ["asyncio", "trio"])


@frozen(repr=False)
class Habit(Brief):
    """What an observer does with each event: it takes its time, reacts, and may raise; or it hears them in batches."""

    takes_s: float = 0.0
    reaction: str = "nothing"
    raises: bool = False
    batches: bool = False
    types: frozenset[EventType] | None = None


@frozen(repr=False)
class Publisher(Brief):
    """Somebody who publishes events of these types, one after the other, after so many seconds each."""

    waits: bool = False
    pause_s: float = 0.0
    types: tuple[EventType, ...] = ()


@frozen(repr=False)
class BusScript(Brief):
    """`subscribed` observers are there from the start, the others come when somebody invites them."""

    observers: tuple[Habit, ...]
    publishers: tuple[Publisher, ...]
    subscribed: int = 9
    seed: int = 0


class Scripted:
    """An observer of some habit, and what it heard."""

    def __init__(self, number: int, habit: Habit, stage: BusStage) -> None:
        self.name = f"observer {number}"
        self.number = number
        self.habit = habit
        self.stage = stage
        self.heard: list[int] = []
        self.handled: set[int] = set()
        self.inside = 0
        if habit.batches:
            self.on_events = self._on_events

    async def on_event(self, event: Event) -> None:
        await self._hear([event])

    async def _on_events(self, events: Sequence[Event]) -> None:
        await self._hear(events)

    async def _hear(self, events: Sequence[Event]) -> None:
        self.inside += 1
        assert self.inside == 1, f"{self.name} heard two things at once"
        try:
            self.heard += [event.data["serial"] for event in events]
            if self.habit.takes_s:
                await anyio.sleep(self.habit.takes_s)
            if events[0].data["depth"] < DEPTH:
                await self.stage.react(self, events[0])
            if self.habit.raises:
                raise RuntimeError(self.name)
        finally:
            self.handled.update(event.data["serial"] for event in events)
            self.inside -= 1


class BusStage:
    """A bus, its observers, and what was posted while who listened."""

    def __init__(self, script: BusScript) -> None:
        self.script = script
        self.bus = EventBus(virtual_clock(script.seed))
        self.observers = [Scripted(number, habit, self) for number, habit in enumerate(script.observers)]
        self.listening: set[int] = set()
        self.expected: list[list[int]] = [[] for _ in self.observers]
        self.serial = 0
        for observer in self.observers[: script.subscribed]:
            self.subscribe(observer)

    def subscribe(self, observer: Scripted) -> None:
        self.listening.add(observer.number)
        self.bus.subscribe(observer, observer.habit.types)

    def unsubscribe(self, observer: Scripted) -> None:
        self.listening.discard(observer.number)
        self.bus.unsubscribe(observer)

    def next_event(self, kind: EventType, depth: int) -> tuple[Event, list[Scripted]]:
        """An event that is posted at once, and who is to hear it."""
        self.serial += 1
        reached = [
            observer
            for observer in self.observers
            if observer.number in self.listening and (observer.habit.types is None or kind in observer.habit.types)
        ]
        for observer in reached:
            self.expected[observer.number].append(self.serial)
        return Event(kind, "test", 0.0, {"serial": self.serial, "depth": depth}), reached

    def post(self, kind: EventType, depth: int = 0) -> None:
        self.bus.post((self.next_event(kind, depth)[0],))

    async def publish(self, kind: EventType, depth: int) -> None:
        await self.bus.publish_event(self.next_event(kind, depth)[0])

    async def react(self, observer: Scripted, event: Event) -> None:
        """What an observer does, inside its handler."""
        kind, depth = TYPES[self.serial % len(TYPES)], event.data["depth"] + 1
        match observer.habit.reaction:
            case "posts":
                self.post(kind, depth)
            case "publishes":
                await self.publish(kind, depth)
            case "publishes twice at once":
                async with anyio.create_task_group() as group:
                    group.start_soon(self.publish, kind, depth)
                    group.start_soon(self.publish, event.event_type, depth)
            case "leaves":
                self.unsubscribe(observer)
            case "throws another out":
                self.unsubscribe(self.observers[(observer.number + 1) % len(self.observers)])
            case "invites another":
                self.subscribe(self.observers[(observer.number + 1) % len(self.observers)])
            case "drains":
                await self.bus.drain()

    async def run(self, publisher: Publisher) -> None:
        for kind in publisher.types:
            await anyio.sleep(publisher.pause_s)
            if publisher.waits:
                event, reached = self.next_event(kind, 0)
                await self.bus.publish_event(event)
                for observer in reached:
                    assert event.data["serial"] in observer.handled, (
                        f"{observer.name} had not handled what was published"
                    )
            else:
                self.post(kind)

    async def play(self) -> None:
        with anyio.fail_after(DAY_S):
            async with anyio.create_task_group() as group:
                for publisher in self.script.publishers:
                    group.start_soon(self.run, publisher)
            await self.bus.drain(stall_s=DAY_S)
            await anyio.sleep(DAY_S / 2)  # those who were thrown out have still to hear what was posted before
        for observer in self.observers:
            assert observer.heard == self.expected[observer.number], observer.name


REACTIONS = (
    "nothing",
    "posts",
    "publishes",
    "publishes twice at once",
    "leaves",
    "throws another out",
    "invites another",
    "drains",
)
some_types = st.sampled_from([None, None, frozenset(TYPES[:1]), frozenset(TYPES[1:]), frozenset[Any]()])
habits = st.builds(
    Habit,
    st.sampled_from([0.0, 0.0, 1.0, 3.0]),
    st.sampled_from(REACTIONS),
    st.booleans(),
    st.booleans(),
    some_types,
)
publishers = st.builds(
    Publisher, st.booleans(), st.sampled_from([0.0, 1.0]), st.lists(st.sampled_from(TYPES), max_size=3).map(tuple)
)
scripts = st.builds(
    BusScript,
    st.lists(habits, min_size=1, max_size=4).map(tuple),
    st.lists(publishers, min_size=1, max_size=3).map(tuple),
    st.sampled_from([9, 9, 2, 1]),
    st.integers(0, 99),
)


@both
@settings(max_examples=100)
@given(script=scripts)
@pytest.mark.filterwarnings("ignore")
def test_each_observer_hears_all_it_asked_for_once_and_in_order_whatever_others_do(
    backend: str, script: BusScript
) -> None:
    async def play() -> None:
        await BusStage(script).play()

    run_steadily(backend, script.seed, play)
