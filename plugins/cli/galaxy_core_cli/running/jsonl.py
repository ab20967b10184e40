"""One JSON object per event and line, for programs. The schema stands in docs/reference/cli.md."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import anyio.to_thread
import click

from galaxy_core import Event, EventType, TaskConstellation, event_document
from galaxy_core.errors import JournalFailedError
from galaxy_core_cli import say
from galaxy_core_cli.reasons import single, why
from galaxy_core_cli.running.reporter import Devices
from galaxy_core_cli.streams import Lines

#: What is told by the last line, `run_result`, or is of no use to anybody outside.
_NOT_TOLD = frozenset(
    {
        EventType.CONSTELLATION_COMPLETED,
        EventType.CONSTELLATION_FAILED,
        EventType.CONSTELLATION_CANCELLED,
        EventType.CONSTELLATION_STOPPED,
        EventType.DEVICE_CONNECTED,
        EventType.DEVICE_DISCONNECTED,
        EventType.TASK_OUTPUT,
    }
)


def encoded(document: Mapping[str, Any]) -> str:
    """One line. Nothing but ASCII, so that no terminal and no reader stumbles over it."""
    return json.dumps(document, ensure_ascii=True, allow_nan=False, default=str, separators=(",", ":"))


class JsonReporter:
    """Writes events to `lines`. With `output`, what tasks print is told as they print it, too."""

    def __init__(self, constellation: TaskConstellation, lines: Lines, *, output: bool = False) -> None:
        told = frozenset(EventType) - _NOT_TOLD
        self.heard = told | {EventType.TASK_OUTPUT} if output else told
        self._constellation = constellation
        self._lines = lines
        self._socket: str | None = None

    async def on_event(self, event: Event) -> None:
        await self.on_events([event])

    async def on_events(self, events: Sequence[Event]) -> None:
        await anyio.to_thread.run_sync(self._lines.write, [encoded(self.document(event)) for event in events])

    def document(self, event: Event) -> dict[str, Any]:
        """An event as plain data."""
        if event.event_type is EventType.CONSTELLATION_STARTED:
            # Of a run that goes on, the plan is known only now.
            self._constellation = event.data.get("constellation", self._constellation)
        found = event_document(event, self._constellation)
        if event.event_type is EventType.CONSTELLATION_STARTED:
            found["control"] = self._socket
        return found

    def reachable(self, run: str, socket: Path) -> None:
        self._socket = str(socket)

    async def keep_current(
        self, why: Callable[[str], object], devices: Callable[[], Devices], is_stopping: Callable[[], bool]
    ) -> None:
        """Nothing moves here."""

    def journal_failed(self, error: JournalFailedError) -> None:
        """The error is told."""

    def tell(self, text: str) -> None:
        say.note(text)

    def restore(self) -> None:
        """Lines leave nothing behind."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Every line is out already."""


def error_document(problem: BaseException) -> dict[str, Any]:
    """What is told when nothing ran."""
    text = problem.format_message() if isinstance(problem, click.ClickException) else why(problem)
    return {"type": "error", "time": time.time(), "error": text, "error_type": type(single(problem)).__name__}
