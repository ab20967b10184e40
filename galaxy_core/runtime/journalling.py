"""Keeping a run's events in a journal, when the host asked for one."""

from __future__ import annotations

from collections.abc import Sequence

from galaxy_core.errors import RunError
from galaxy_core.extension.interfaces import JournalWriter
from galaxy_core.model.events import Event
from galaxy_core.runtime.run import Run


class JournalTap:
    """Hears the events of one run, and writes them in order. When writing fails, the run is cancelled."""

    name = "journal"

    def __init__(self, writer: JournalWriter, run: Run) -> None:
        self._writer = writer
        self._run = run
        self._failure: Exception | None = None

    async def on_event(self, event: Event) -> None:
        """One event is a batch of one."""
        await self.on_events((event,))

    async def on_events(self, events: Sequence[Event]) -> None:
        """Write those that are this run's."""
        source_id = self._run.reports.source_id
        mine = [event for event in events if event.source_id == source_id]
        if not mine or self._failure is not None:
            return
        try:
            await self._writer.write(mine)
        except Exception as error:  # the caller of the run receives it, from `check`
            self._failure = error
            self._run.cancel("its journal failed")

    def check(self) -> None:
        """Raise when anything could not be written.

        Raises:
            RunError: the writer raised; its error is chained.
        """
        if self._failure is not None:
            raise RunError(
                f"run of {self._run.constellation.constellation_id!r} was cancelled because its journal failed: "
                f"{self._failure}"
            ) from self._failure
