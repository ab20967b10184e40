"""ObserverContract: what is asked of whoever hears events."""

from __future__ import annotations

from collections.abc import Callable
from inspect import iscoroutinefunction
from typing import Any, Final

import anyio
import pytest
from anyio.lowlevel import checkpoint
from attrs import asdict, define

from galaxy_core.extension.interfaces import IEventObserver
from galaxy_core.model.constellation import TaskConstellation
from galaxy_core.model.events import Event, EventType
from galaxy_core.testing.contract.clause import Contract, NotAskedError, clause
from galaxy_core.testing.contract.story import story

STEPS: Final = (0, 1, 2, 3, 5, 8)


@define
class Audience:
    """An observer to be tried: `make` makes one for a plan.

    `told` says what it has made of the events that it heard, such as the lines that it has written; without it, what
    depends on that is skipped. `heard` are the types of events that it subscribes to.
    """

    make: Callable[[TaskConstellation], IEventObserver]
    told: Callable[[Any], Any] | None = None
    heard: frozenset[EventType] = frozenset(EventType)

    def lacks(self, need: str) -> str | None:
        """Why a clause with that need cannot be asked."""
        return f"its audience has no {need!r}" if getattr(self, need) is None else None

    def of(self, events: Any) -> list[Event]:
        """The events that it subscribes to."""
        return [event for event in events if event.event_type in self.heard]


@pytest.mark.anyio
class ObserverContract(Contract):
    """Subclass it, and supply the fixture `observer`::

    class TestMine(ObserverContract):
        @pytest.fixture
        def observer(self) -> Audience:
            return Audience(lambda plan: Mine(), told=lambda mine: mine.lines)
    """

    @pytest.fixture(params=["asyncio", "trio"])
    def anyio_backend(self, request: pytest.FixtureRequest) -> Any:
        """Every clause is asked twice."""
        return request.param

    @pytest.fixture
    def observer(self) -> Audience:
        """The subclass supplies it."""
        raise pytest.UsageError(f"{type(self).__name__} has to supply the fixture 'observer', which gives an Audience")

    @clause("`async def on_event(self, event)`, and `async def on_events(self, events)` if it has that")
    async def test_it_hears_as_an_observer_does(self, observer: Audience) -> None:
        made = observer.make((await story()).plan)
        assert isinstance(made, IEventObserver), "it has no `on_event`"
        for name in ("on_event", "on_events"):
            method = getattr(made, name, None)
            assert method is None or iscoroutinefunction(method), f"`{name}` is to be `async def`"

    @clause("what it expects of an event: fields and data that are not always there (docs/reference/events.md)")
    async def test_it_takes_every_event_of_a_run(self, observer: Audience) -> None:
        told = await story()
        made = observer.make(told.plan)
        for event in observer.of(told.events):
            await made.on_event(event)

    @clause(
        "`on_events`: it has to come to the same however the events are parted into batches",
        needs=["told"],
    )
    async def test_batches_come_to_the_same_as_batches_of_one(self, observer: Audience) -> None:
        assert observer.told is not None
        told = await story()
        events = observer.of(told.events)
        found = []
        for size in (1, 3, len(events)):
            made: Any = observer.make(told.plan)
            if getattr(made, "on_events", None) is None:
                raise NotAskedError("it has no `on_events`")
            for start in range(0, len(events), size):
                await made.on_events(events[start : start + size])
            found.append(observer.told(made))
        for batched in found[1:]:
            assert batched == found[0], f"in batches: {batched!r}; one by one: {found[0]!r}"

    @clause("what it does with what it hears: events belong to everybody, so it changes nothing in them")
    async def test_events_stay_as_they_are(self, observer: Audience) -> None:
        told = await story()
        events = observer.of(told.events)
        before = [_shown(event) for event in events]
        await _deliver(observer.make(told.plan), events)
        for event, was in zip(events, before, strict=True):
            assert _shown(event) == was, f"it changed {event!r}, which was {was}"

    @clause("each await of `on_event`: a cancelled delivery must not leave a lock taken, or a file half open")
    async def test_a_cancelled_delivery_leaves_it_usable(self, observer: Audience) -> None:
        told = await story()
        events = observer.of(told.events)
        for steps in STEPS:
            made = observer.make(told.plan)
            with anyio.fail_after(10):
                await _cancelled(made, events[:1], steps)
                await _deliver(made, events[1:])


async def _deliver(made: Any, events: list[Event]) -> None:
    if getattr(made, "on_events", None) is not None:
        await made.on_events(events)
    else:
        for event in events:
            await made.on_event(event)


async def _cancelled(made: Any, events: list[Event], steps: int) -> None:
    async with anyio.create_task_group() as group:

        async def cancel() -> None:
            for _ in range(steps - 1):
                await checkpoint()
            group.cancel_scope.cancel()

        if steps == 0:
            group.cancel_scope.cancel()
        else:
            group.start_soon(cancel)
        await _deliver(made, events)
        group.cancel_scope.cancel()


def _shown(event: Event) -> str:
    """Everything of an event, as it is now."""
    return repr(
        {name: dict(value) if name == "data" else value for name, value in asdict(event, recurse=False).items()}
    )
