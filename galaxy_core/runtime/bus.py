"""EventBus: who hears what, in order, harming nobody.

Each observer has a mailbox. Publishing puts events into mailboxes and is never slowed by who reads them; a mailbox that
has events is emptied by a task of its own, one event (or one batch) after the other. Nothing is dropped. See
docs/decisions/0009-mailboxes.md.
"""

from __future__ import annotations

import inspect
import logging
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Union

import anyio
import anyio.lowlevel

from galaxy_core.extension.interfaces import IEventObserver
from galaxy_core.model.events import Event, EventType
from galaxy_core.model.reasons import is_failure
from galaxy_core.runtime.background import spawn
from galaxy_core.runtime.blaming import how_it_failed
from galaxy_core.runtime.clock import SYSTEM_CLOCK, Clock

logger = logging.getLogger("galaxy_core.bus")

#: Seconds for which an observer may make no progress before those who wait for it go on without it.
STALL_S = 10.0
#: Seconds after which a mailbox that is being emptied lets others run.
YIELD_S = 0.002

Types = frozenset[EventType] | None
Where = Callable[[Event], bool] | None
Awaited = Union["Mailbox", anyio.Event]  # the event is set when a run is over

_inside: ContextVar[Mailbox | None] = ContextVar("galaxy_mailbox", default=None)

_UNFILTERED: frozenset[Where] = frozenset({None})


class Mailbox:
    """One observer's events, in order."""

    __slots__ = (
        "_clock",
        "_on_event",
        "_on_events",
        "_waiters",
        "busy",
        "done",
        "events",
        "observer",
        "posted",
        "subscriptions",
        "types",
        "waits_for",
    )

    def __init__(self, observer: IEventObserver, clock: Clock) -> None:
        self.observer = observer
        self.subscriptions: dict[Where, Types] = {}
        self.types: Types = frozenset()  # of all subscriptions
        self.events: deque[Event] = deque()
        self.posted = 0
        self.done = 0
        self.busy = False
        self.waits_for: list[Awaited] = []  # whom its observer's handler waits for, so that rings are noticed
        self._clock = clock
        self._on_event: Callable[[Event], Any] = observer.on_event
        self._on_events: Callable[[Sequence[Event]], Any] | None = getattr(observer, "on_events", None)
        self._waiters: list[tuple[int, anyio.Event]] = []

    @property
    def name(self) -> str:
        """The observer's name for messages, even if it has none."""
        try:
            return str(getattr(self.observer, "name", None) or type(self.observer).__name__)
        except BaseException as error:  # whoever reads the message gets the type
            if not is_failure(error):
                raise
            return type(self.observer).__name__

    def add(self, where: Where, types: Types) -> None:
        """Hear events of these types, too, where `where` agrees."""
        before = self.subscriptions.get(where, frozenset())
        self.subscriptions[where] = None if types is None or before is None else before | types
        self._unite()

    def remove(self, where: Where) -> None:
        """Hear no longer what was added with `where`."""
        self.subscriptions.pop(where, None)
        self._unite()

    def _unite(self) -> None:
        types: Types = frozenset()
        for more in self.subscriptions.values():
            types = None if types is None or more is None else types | more
        self.types = types

    def _wants(self, event: Event) -> bool:
        return any(
            (types is None or event.event_type in types) and (where is None or where(event))
            for where, types in self.subscriptions.items()
        )

    def put(self, events: Sequence[Event]) -> None:
        """Add events that this observer wants, and have them delivered."""
        types = self.types
        wanted = events if types is None else [event for event in events if event.event_type in types]
        if self.subscriptions.keys() != _UNFILTERED:
            wanted = [event for event in wanted if self._wants(event)]
        if wanted:
            self.events.extend(wanted)
            self.posted += len(wanted)
            if not self.busy:
                self.busy = True
                spawn(self._empty, f"galaxy events for {self.name}")

    async def _empty(self) -> None:
        _inside.set(self)
        perf = self._clock.perf
        until = perf() + YIELD_S
        try:
            while self.events:
                if self._on_events is not None:
                    batch = list(self.events)
                    self.events.clear()
                    await self._hand_over(self._on_events, batch)
                    self.done += len(batch)
                else:
                    await self._hand_over(self._on_event, self.events.popleft())
                    self.done += 1
                if self._waiters:
                    self._tell_waiters()
                if perf() > until:
                    await anyio.lowlevel.checkpoint()
                    until = perf() + YIELD_S
        finally:
            self.busy = False

    async def _hand_over(self, deliver: Callable[[Any], Any], what: Any) -> None:
        try:
            answer = deliver(what)
            if answer is not None and inspect.isawaitable(answer):
                await answer
        except BaseException as error:  # the observer's own error: the log receives it, under the observer's name
            how = how_it_failed(error)
            logger.exception("observer %s %s, while hearing %s", self.name, how, _named(what))

    def _tell_waiters(self, *, all_of_them: bool = False) -> None:
        left = []
        for target, event in self._waiters:
            if all_of_them or self.done >= target:
                event.set()
            else:
                left.append((target, event))
        self._waiters = left

    def look_again(self) -> None:
        """Have those who wait for this observer see whether it waits for them by now."""
        self._tell_waiters(all_of_them=True)

    async def heard(self, stall_s: float | None = None, over: anyio.Event | None = None) -> bool:
        """Wait until everything put so far was handled; False when the observer made no progress for `stall_s`.

        Ends, too, when the observer's handler waits for `over`.
        """
        target = self.posted
        while self.done < target and (over is None or not _closes_ring(self, over)):
            before = self.done
            event = anyio.Event()
            self._waiters.append((target if stall_s is None else self.done + 1, event))
            with anyio.move_on_after(stall_s):
                await event.wait()
            if self.done == before and not event.is_set():
                return False
        return True


def _named(what: Event | Sequence[Event]) -> str:
    return what.event_type.value if isinstance(what, Event) else f"{len(what)} events"


def _closes_ring(mailbox: Mailbox, me: Awaited) -> bool:
    """Whether waiting for `mailbox`, inside the handler of `me` or in the run that `me` ends, would wait for oneself."""
    found: list[Awaited] = [mailbox]
    for waiting in found:  # and for whom those wait: a handler may publish several events at once
        if waiting is me:
            return True
        if isinstance(waiting, Mailbox):
            found += [other for other in waiting.waits_for if other not in found]
    return False


class EventBus:
    """Passes events to observers, to each in order; a slow or raising observer harms nobody."""

    def __init__(self, clock: Clock = SYSTEM_CLOCK) -> None:
        self._clock = clock
        self._mailboxes: dict[int, Mailbox] = {}
        self._each: tuple[Mailbox, ...] = ()
        self._wants_all = False
        self.version = 0  # rises when somebody comes or goes
        self._wanted: frozenset[EventType] = frozenset()

    def subscribe(
        self,
        observer: IEventObserver,
        event_types: Iterable[EventType] | None = None,
        *,
        where: Where = None,
    ) -> None:
        """Have `observer` hear events of these types; None means all, an empty set none. Adds to what it hears already.

        `where` is asked about each event when that is posted. An observer hears once what several subscriptions want.

        Raises:
            TypeError: it has no `on_event`.
        """
        if not callable(getattr(observer, "on_event", None)):
            raise TypeError(f"{observer!r} is no observer: it needs a method on_event(event)")
        types = None if event_types is None else frozenset(event_types)
        mailbox = self._mailboxes.get(id(observer))
        if mailbox is None:
            mailbox = self._mailboxes[id(observer)] = Mailbox(observer, self._clock)
        mailbox.add(where, types)
        self._index()

    def unsubscribe(self, observer: IEventObserver, *, where: Where = None) -> None:
        """Have `observer` hear nothing more; what is in its mailbox already is still delivered.

        With `where`, what was subscribed with another one, or without, is still heard.
        """
        mailbox = self._mailboxes.get(id(observer))
        if mailbox is None:
            return
        if where is not None:
            mailbox.remove(where)
        if where is None or not mailbox.subscriptions:
            del self._mailboxes[id(observer)]
        self._index()

    def _index(self) -> None:
        self.version += 1
        self._each = tuple(self._mailboxes.values())
        self._wants_all = any(mailbox.types is None for mailbox in self._each)
        self._wanted = frozenset().union(*(mailbox.types or () for mailbox in self._each))

    def wants(self, event_type: EventType) -> bool:
        """Whether anybody hears events of this type; if not, none need be made."""
        return self._wants_all or event_type in self._wanted

    def is_subscribed(self, observer: object, event_type: EventType) -> bool:
        """Whether this observer hears events of this type."""
        mailbox = self._mailboxes.get(id(observer))
        return mailbox is not None and (mailbox.types is None or event_type in mailbox.types)

    def post(self, events: Sequence[Event]) -> None:
        """Put events into the mailboxes and go on. Must be called where an event loop runs."""
        for mailbox in self._each:
            mailbox.put(events)

    async def publish_event(self, event: Event) -> None:
        """Put an event into the mailboxes and wait until every observer has handled it.

        Inside an observer's handler, observers that wait for that handler are not waited for.
        """
        me = _inside.get()
        reached = [mailbox for mailbox in self._each if mailbox.types is None or event.event_type in mailbox.types]
        self.post((event,))
        for mailbox in reached:
            await self._wait_for(mailbox, me, None)
        await anyio.lowlevel.checkpoint()

    async def drain(self, stall_s: float = STALL_S, *, over: anyio.Event | None = None) -> None:
        """Wait until every event posted so far was handled; an observer without progress for `stall_s` is left behind.

        A run that waits passes its `over`: it does not wait for observers whose handlers wait for its end.
        """
        me = _inside.get()
        for mailbox in self._each:
            if not await self._wait_for(mailbox, me, stall_s, over):
                logger.warning(
                    "observer %s has not moved for %g s; %d events are still in its mailbox",
                    mailbox.name,
                    stall_s,
                    mailbox.posted - mailbox.done,
                )

    async def settle(self, observer: IEventObserver) -> None:
        """Wait until one observer has handled everything posted to it so far, however long it takes."""
        mailbox = self._mailboxes.get(id(observer))
        if mailbox is not None:
            await self._wait_for(mailbox, _inside.get(), None)

    async def wait_for_end(self, over: anyio.Event) -> None:
        """Wait for the end of a run, which does not wait for the observer in whose handler this is called."""
        me = _inside.get()
        with _waiting(me, over):
            if me is not None:
                for mailbox in (*self._each, me):
                    mailbox.look_again()
            await over.wait()

    async def _wait_for(
        self, mailbox: Mailbox, me: Mailbox | None, stall_s: float | None, over: anyio.Event | None = None
    ) -> bool:
        if me is not None and _closes_ring(mailbox, me):
            return True
        with _waiting(me, mailbox):
            return await mailbox.heard(stall_s, over)


@contextmanager
def _waiting(me: Mailbox | None, whom: Awaited) -> Iterator[None]:
    """Note that the handler of `me` waits for `whom`, so that rings are noticed."""
    if me is None:
        yield
        return
    me.waits_for.append(whom)
    try:
        yield
    finally:
        me.waits_for.remove(whom)


_process_bus: EventBus | None = None


def get_event_bus() -> EventBus:
    """The bus of this process, for those who want one; a bus of one's own may be passed everywhere instead."""
    global _process_bus  # noqa: PLW0603  # the API document promises one bus per process
    if _process_bus is None:
        _process_bus = EventBus()
    return _process_bus
