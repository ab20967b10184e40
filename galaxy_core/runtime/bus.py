"""EventBus: who hears what, in order, harming nobody.

Each observer has a mailbox. Publishing puts events into mailboxes and is never slowed by who reads them; a mailbox that
has events is emptied by a task of its own, one event (or one batch) after the other. Nothing is dropped. See
docs/decisions/0009-mailboxes.md.
"""

from __future__ import annotations

import inspect
import logging
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from contextvars import ContextVar
from typing import Any

import anyio
import anyio.lowlevel

from galaxy_core.extension.interfaces import IEventObserver
from galaxy_core.model.events import Event, EventType
from galaxy_core.runtime.background import is_cancelled, spawn
from galaxy_core.runtime.clock import SYSTEM_CLOCK, Clock

logger = logging.getLogger("galaxy_core.bus")

#: Seconds for which an observer may make no progress before those who wait for it go on without it.
STALL_S = 10.0
#: Seconds after which a mailbox that is being emptied lets others run.
YIELD_S = 0.002

_inside: ContextVar[Mailbox | None] = ContextVar("galaxy_mailbox", default=None)


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
        "types",
        "waits_for",
        "where",
    )

    def __init__(
        self,
        observer: IEventObserver,
        types: frozenset[EventType] | None,
        where: Callable[[Event], bool] | None,
        clock: Clock,
    ) -> None:
        self.observer = observer
        self.types = types
        self.where = where
        self.events: deque[Event] = deque()
        self.posted = 0
        self.done = 0
        self.busy = False
        self.waits_for: Mailbox | None = None  # whom its observer's handler waits for, so that rings are noticed
        self._clock = clock
        self._on_event: Callable[[Event], Any] = observer.on_event
        self._on_events: Callable[[Sequence[Event]], Any] | None = getattr(observer, "on_events", None)
        self._waiters: list[tuple[int, anyio.Event]] = []

    @property
    def name(self) -> str:
        """The observer's name for messages."""
        return str(getattr(self.observer, "name", None) or type(self.observer).__name__)

    def put(self, events: Sequence[Event]) -> None:
        """Add events that this observer wants, and have them delivered."""
        types = self.types
        wanted = events if types is None else [event for event in events if event.event_type in types]
        if self.where is not None:
            wanted = [event for event in wanted if self.where(event)]
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
        except Exception:  # the observer's own error: the log receives it, under the observer's name
            logger.exception("observer %s raised while hearing %s", self.name, _named(what))
        except anyio.get_cancelled_exc_class():
            if is_cancelled():
                raise
            logger.exception("observer %s was cancelled from within while hearing %s", self.name, _named(what))

    def _tell_waiters(self) -> None:
        left = []
        for target, event in self._waiters:
            if self.done >= target:
                event.set()
            else:
                left.append((target, event))
        self._waiters = left

    async def heard(self, stall_s: float | None = None) -> bool:
        """Wait until everything put so far was handled; False when the observer made no progress for `stall_s`."""
        target = self.posted
        while self.done < target:
            before = self.done
            event = anyio.Event()
            self._waiters.append((target if stall_s is None else self.done + 1, event))
            with anyio.move_on_after(stall_s):
                await event.wait()
            if stall_s is not None and self.done == before:
                return False
        return True


def _named(what: Event | Sequence[Event]) -> str:
    return what.event_type.value if isinstance(what, Event) else f"{len(what)} events"


def _closes_ring(mailbox: Mailbox, me: Mailbox) -> bool:
    """Whether waiting for `mailbox` inside the handler of `me` would wait for oneself."""
    waiting: Mailbox | None = mailbox
    while waiting is not None:
        if waiting is me:
            return True
        waiting = waiting.waits_for
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
        where: Callable[[Event], bool] | None = None,
    ) -> None:
        """Have `observer` hear events of these types; None means all, an empty set none. Adds to what it hears already.

        Of an observer that subscribes for the first time, `where` is asked about each event when that is posted.

        Raises:
            TypeError: it has no `on_event`.
        """
        if not callable(getattr(observer, "on_event", None)):
            raise TypeError(f"{observer!r} is no observer: it needs a method on_event(event)")
        types = None if event_types is None else frozenset(event_types)
        mailbox = self._mailboxes.get(id(observer))
        if mailbox is None:
            self._mailboxes[id(observer)] = Mailbox(observer, types, where, self._clock)
        else:
            mailbox.types = None if types is None or mailbox.types is None else mailbox.types | types
        self._index()

    def unsubscribe(self, observer: IEventObserver) -> None:
        """Have `observer` hear nothing more; what is in its mailbox already is still delivered."""
        self._mailboxes.pop(id(observer), None)
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

    async def drain(self, stall_s: float = STALL_S) -> None:
        """Wait until every event posted so far was handled; an observer without progress for `stall_s` is left behind."""
        me = _inside.get()
        for mailbox in self._each:
            if not await self._wait_for(mailbox, me, stall_s):
                logger.warning(
                    "observer %s has not moved for %g s; %d events are still in its mailbox",
                    mailbox.name,
                    stall_s,
                    mailbox.posted - mailbox.done,
                )

    async def _wait_for(self, mailbox: Mailbox, me: Mailbox | None, stall_s: float | None) -> bool:
        if me is None:
            return await mailbox.heard(stall_s)
        if _closes_ring(mailbox, me):
            return True
        me.waits_for = mailbox
        try:
            return await mailbox.heard(stall_s)
        finally:
            me.waits_for = None


_process_bus: EventBus | None = None


def get_event_bus() -> EventBus:
    """The bus of this process, for those who want one; a bus of one's own may be passed everywhere instead."""
    global _process_bus  # noqa: PLW0603  # the API document promises one bus per process
    if _process_bus is None:
        _process_bus = EventBus()
    return _process_bus
