"""Keeping a run's events in a journal, when the host asked for one."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager

import anyio

from galaxy_core.errors import RunError
from galaxy_core.extension.interfaces import Journal, JournalWriter, RunInfo
from galaxy_core.model.events import Event
from galaxy_core.model.reasons import text_of
from galaxy_core.runtime.blaming import blamed
from galaxy_core.runtime.bus import STALL_S, EventBus
from galaxy_core.runtime.run import Run

logger = logging.getLogger("galaxy_core.plugins")

#: Seconds that a journal has, once its run is over, to keep what it has not kept yet.
CLOSING_S = 60.0


class JournalTap:
    """Hears the events of one run, and writes them in order. When writing fails, the run is cancelled."""

    name = "journal"

    def __init__(self, journal_name: str, writer: JournalWriter, run: Run) -> None:
        self._journal_name = journal_name
        self._writer = writer
        self._run = run
        self._writing = anyio.CancelScope()
        self._failure: Exception | None = None
        self._closed = self._gave_up = False

    async def on_event(self, event: Event) -> None:
        """One event is a batch of one."""
        await self.on_events((event,))

    async def on_events(self, events: Sequence[Event]) -> None:
        """Write those that are this run's."""
        source_id = self._run.reports.source_id
        mine = [event for event in events if event.source_id == source_id]
        if not mine or self._failure is not None or self._closed:
            return
        try:
            with anyio.CancelScope() as self._writing:
                await self._writer.write(mine)
        except BaseException as error:  # the caller of the run receives it, from `check`
            self._failure = blamed(error, "journal", self._journal_name)
            self._run.cancel("its journal failed")

    async def close(self, bus: EventBus) -> None:
        """Wait until all is written, `CLOSING_S` at most; cancelling does not shorten it. Then nothing is written."""
        with anyio.CancelScope(shield=True):
            with anyio.move_on_after(CLOSING_S) as waiting:
                await bus.settle(self)
            self._closed = True
            if waiting.cancelled_caught:
                self._gave_up = True
                self._writing.cancel()
                with anyio.move_on_after(STALL_S):  # so that the writer is not closed while it cleans up
                    await bus.settle(self)
        bus.unsubscribe(self)

    def check(self) -> None:
        """Raise when anything could not be written.

        Raises:
            RunError: the writer raised; its error is chained. Or it was too slow.
        """
        constellation_id = self._run.constellation.constellation_id
        if self._failure is not None:
            raise RunError(
                f"run of {constellation_id!r} was cancelled because its journal failed: {text_of(self._failure)}"
            ) from self._failure
        if self._gave_up:
            raise RunError(
                f"run of {constellation_id!r} is over, but journal {self._journal_name!r} has not kept all of its events "
                f"within {CLOSING_S:g} s more. What had completed is kept in the constellation."
            )


@asynccontextmanager
async def journalled(journal: Journal, run: Run, info: RunInfo, bus: EventBus) -> AsyncIterator[None]:
    """Keep in `journal` what is posted inside.

    Raises:
        RunError: the journal cannot be opened, written to or closed; its error is chained.
    """
    with _blamed("open", journal, info):
        opened = journal.open(info)
        writer = await opened.__aenter__()
    tap = JournalTap(journal.name, writer, run)
    try:
        bus.subscribe(tap)
        try:
            yield
        finally:
            await tap.close(bus)
        tap.check()
    except BaseException as error:
        try:
            with _blamed("close", journal, info):
                await opened.__aexit__(type(error), error, error.__traceback__)
        except RunError as broken:  # the log receives it: the caller hears of what came first
            logger.error("%s", broken, exc_info=broken)  # noqa: TRY400  the journal's trouble, not the run's
        raise
    with _blamed("close", journal, info):
        await opened.__aexit__(None, None, None)


@contextmanager
def _blamed(what: str, journal: Journal, info: RunInfo) -> Iterator[None]:
    try:
        yield
    except BaseException as error:  # the caller of the run receives it, as the cause
        failure = blamed(error, "journal", journal.name)
        why = f"run of {info.constellation_id!r} cannot {what} journal {journal.name!r}: {text_of(failure)}"
        raise RunError(why) from failure
