"""What a reporter of a run is."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

from galaxy_core import Event, EventType
from galaxy_core.errors import JournalFailedError

#: What is known of each device, by id.
Devices = Mapping[str, Mapping[str, Any]]


class Reporter(Protocol):
    """Tells of a run while it lasts. Entered before the run, left after it.

    It is an observer that hears events in batches. Nothing of it may keep the run waiting: what can block is done in a
    worker thread.
    """

    @property
    def heard(self) -> frozenset[EventType]:
        """The events that it wants."""

    async def on_event(self, event: Event) -> None:
        """Not called: an observer needs it, and events come in batches."""

    async def on_events(self, events: Sequence[Event]) -> None:
        """Tell what happened."""

    async def keep_current(
        self, why: Callable[[str], object], devices: Callable[[], Devices], is_stopping: Callable[[], bool]
    ) -> None:
        """Runs beside the run, and is cancelled when that is over.

        `why` is `TaskConstellationOrchestrator.why`, `devices` `ConstellationDeviceManager.get_all_devices`.
        `is_stopping` says whether the run is to leave as soon as what runs has ended.
        """

    def reachable(self, run: str, socket: Path) -> None:
        """The run can be asked, watched and edited by this name, through this socket. Told before the run starts."""

    def journal_failed(self, error: JournalFailedError) -> None:
        """The run is over because of that: what was told as done may not be kept, and runs again. Called before it is left."""

    def tell(self, text: str) -> None:
        """Say something that is no event, such as what was logged. Called in the event loop's thread, or any other."""

    def restore(self) -> None:
        """Leave the terminal as it was found, at once: the process is about to be gone."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...
