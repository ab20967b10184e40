"""Plain lines, one per event, for logs and for everything that is not a terminal."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import anyio.to_thread

from galaxy_core import ConstellationEvent, Event, EventType, TaskConstellation, TaskEvent
from galaxy_core.errors import JournalFailedError
from galaxy_core_cli.running.board import ENDED, HEARD, PAUSES, Board, is_stopped
from galaxy_core_cli.running.edits import EDITS, edit_line
from galaxy_core_cli.running.reporter import Devices
from galaxy_core_cli.streams import Lines
from galaxy_core_cli.text import count, duration, safe, safe_line

#: Tasks that were under way before, or of which is not kept how they ended, and that are told of, one a line.
FOUND = 20
_WORDS = {
    "completed": "done",
    "failed": "FAILED",
    "cancelled": "cancelled",
    "skipped": "skipped",
    "unknown": "UNKNOWN",
}


class PlainLines:
    """Events as lines such as ``[  1.2s] done      build on here (0.4s)``."""

    def __init__(self, constellation: TaskConstellation) -> None:
        self.board = Board(constellation)
        self._partial: dict[tuple[str, str], str] = {}
        self._told: dict[str, str] = {}  # by task that is tried again, why

    def of(self, events: Sequence[Event]) -> Iterator[str]:
        """What is told of these, the next ones."""
        for event in events:
            if isinstance(event, TaskEvent) and event.event_type is EventType.TASK_OUTPUT:
                yield from self._output(event)
            else:
                self.board.hear([event])
                yield from self._lines_of(event)

    def _lines_of(self, event: Event) -> Iterator[str]:
        if isinstance(event, ConstellationEvent):
            if event.event_type is EventType.CONSTELLATION_STARTED:
                name = safe_line(self.board.constellation.name)
                yield f"{name}: {count(event.data.get('total_tasks', self.board.total), 'task')}{self._before()}"
                yield from self._found()
            elif event.event_type in PAUSES:
                by = f"by {safe_line(event.data['by'])}" if event.data.get("by") else ""
                yield f"{self._since_start(event)}{PAUSES[event.event_type]:<9} {by}".rstrip()
            elif event.event_type in EDITS:
                yield f"{self._since_start(event)}{edit_line(event)}"
        elif isinstance(event, TaskEvent):
            if event.event_type in ENDED:
                yield from self._rest(event.task_id)
            yield f"{self._since_start(event)}{self._line_of(event)}"

    def journal_failed(self, error: JournalFailedError) -> Iterator[str]:
        """What runs again, though it may have been told as done."""
        again = self.board.journal_failed(error)
        for row in again[:FOUND]:
            where = f" on {safe_line(row.device)}" if row.device else ""
            yield f"not kept  {row.label}{where}: {row.note}"
        if len(again) > FOUND:
            yield f"and {count(len(again) - FOUND, 'more task')}"

    def _found(self) -> Iterator[str]:
        """What was under way when the run went on."""
        found = [row for row in self.board.running.values() if row.found]
        for row in found[:FOUND]:
            yield f"was under way: {row.label} on {safe_line(row.device)} ({row.found})"
        if len(found) > FOUND:
            yield f"and {count(len(found) - FOUND, 'more task')}"

    def _before(self) -> str:
        """What had ended before, of a run that goes on."""
        done, others = self.board.completed_before, self.board.done_before - self.board.completed_before
        told = f", {done:,} of them done before" if done else ""
        return f"{told}, {others:,} ended otherwise before" if others else told

    def _since_start(self, event: Event) -> str:
        started = self.board.started
        return "" if started is None else f"[{duration(event.timestamp - started):>7}] "

    def _line_of(self, event: TaskEvent) -> str:
        # The board has heard the event already, and forgets ended tasks of a large plan only after they were recent.
        rows, recent = self.board.rows, self.board.recent
        row = rows.get(event.task_id) or recent[-1]
        where = f" on {safe_line(row.device)}" if row.device else ""
        task = row.label
        if event.event_type is EventType.TASK_STARTED:
            again = f" (attempt {row.attempts})" if row.attempts > 1 else ""
            return f"start     {task}{where}{again}"
        if event.event_type is EventType.TASK_RETRYING:
            if is_stopped(event):
                word = "waiting" if row.started is None else "stopped"  # it was about to start
                return f"{word:<9} {task}{where}: {row.note}"
            if self._told.get(event.task_id) == row.reason:
                return f"retry     {task}{where} again in {row.again_at - event.timestamp:.1f}s: the same once more"
            self._told[event.task_id] = row.reason
            return f"retry     {task}{where} {row.note}"
        elapsed = row.elapsed(event.timestamp)
        took = "" if elapsed is None else f" ({'at most ' if row.is_bound else ''}{duration(elapsed)})"
        told = self._told.pop(event.task_id, None)
        why = f": {'the same once more' if row.note == told else row.note}" if row.note else ""
        return f"{_WORDS[event.status]:<9} {task}{where}{took}{why}"

    def _output(self, event: TaskEvent) -> Iterator[str]:
        key = (event.task_id, str(event.data.get("stream", "")))
        *whole, rest = (self._partial.pop(key, "") + str(event.data.get("text", ""))).split("\n")
        for line in whole:
            yield f"{safe_line(event.task_id)} | {safe(line.rstrip(chr(13)))}"
        if rest:
            self._partial[key] = rest

    def _rest(self, task_id: str) -> Iterator[str]:
        for stream in ("stdout", "stderr"):
            if rest := self._partial.pop((task_id, stream), ""):
                yield f"{safe_line(task_id)} | {safe(rest)}"


class PlainReporter:
    """Writes `PlainLines`. With `output`, what tasks print is told, too."""

    def __init__(self, constellation: TaskConstellation, lines: Lines, *, output: bool = False) -> None:
        heard = HEARD | EDITS.keys()
        self.heard = heard if output else heard - {EventType.TASK_OUTPUT}
        self._plain = PlainLines(constellation)
        self._lines = lines

    async def on_event(self, event: Event) -> None:
        await self.on_events([event])

    async def on_events(self, events: Sequence[Event]) -> None:
        await anyio.to_thread.run_sync(self._lines.write, list(self._plain.of(events)))

    async def keep_current(
        self, why: Callable[[str], object], devices: Callable[[], Devices], is_stopping: Callable[[], bool]
    ) -> None:
        """Nothing moves here."""

    def reachable(self, run: str, socket: Path) -> None:
        """`galaxy runs` tells of it: a log need not."""

    def journal_failed(self, error: JournalFailedError) -> None:
        self._lines.write(list(self._plain.journal_failed(error)))

    def tell(self, text: str) -> None:
        started = self._plain.board.started
        since = "" if started is None else f"[{duration(time.time() - started):>7}] "
        self._lines.write([f"{since}{line}" for line in text.split("\n")])

    def restore(self) -> None:
        """Lines leave nothing behind."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Every line is out already."""
