"""Live progress in a terminal: the board's picture, painted again ten times a second while something moves."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import anyio
import anyio.to_thread
from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from galaxy_core import ConstellationEvent, Event, EventType, TaskConstellation, TaskEvent
from galaxy_core.errors import JournalFailedError
from galaxy_core_cli.running.board import HEARD, Board
from galaxy_core_cli.running.edits import EDITS, edit_line
from galaxy_core_cli.running.picture import Painter, signs_for
from galaxy_core_cli.running.reporter import Devices
from galaxy_core_cli.text import safe, safe_line

#: Seconds between two pictures.
INTERVAL_S = 0.1
#: So many intervals pass between two pictures while nothing runs, where only the clock and back-offs go on.
IDLE = 10
SHOW_CURSOR = b"\x1b[?25h"


class LiveReporter:
    """Shows a run in a terminal. With `output`, what tasks print scrolls by above the picture."""

    heard = HEARD | EDITS.keys()

    def __init__(self, constellation: TaskConstellation, console: Console, *, output: bool = False) -> None:
        self._board = Board(constellation)
        self._console = console
        self._painter = Painter(self._board, signs_for(console.encoding))
        self._live = Live(
            console=console,
            auto_refresh=False,
            redirect_stdout=False,
            redirect_stderr=False,
            vertical_overflow="crop",
        )
        self._output = output
        self._moved = True
        self._is_gone = False
        self._reachable: list[Text] = []  # how, until it is told

    async def on_event(self, event: Event) -> None:
        await self.on_events([event])

    async def on_events(self, events: Sequence[Event]) -> None:
        self._board.hear(events)
        self._moved = True
        lines = [
            Text(edit_line(event), style="cyan")
            for event in events
            if isinstance(event, ConstellationEvent) and event.event_type in EDITS
        ]
        if self._output:
            lines += [
                Text.assemble((f"{safe_line(event.task_id)} | ", "dim"), safe(line))
                for event in events
                if isinstance(event, TaskEvent) and event.event_type is EventType.TASK_OUTPUT
                for line in str(event.data.get("text", "")).splitlines()
            ]
        if self._board.phase != "connecting":  # of a run that does not begin, nothing is to be watched
            lines, self._reachable = [*self._reachable, *lines], []
        if lines:
            await anyio.to_thread.run_sync(self._print, Group(*lines))

    async def keep_current(
        self, why: Callable[[str], object], devices: Callable[[], Devices], is_stopping: Callable[[], bool]
    ) -> None:
        self._painter.why, self._painter.is_stopping = why, is_stopping
        still = pictures = 0
        while not self._is_gone:
            board = self._board
            still += 1
            if pictures % IDLE == 0 or board.away:
                self._moved |= board.look(devices(), time.time())
            pictures += 1
            idle = board.phase == "running" and still >= IDLE
            if self._moved or board.running or board.phase == "connecting" or idle:
                self._moved, still = False, 0
                # Painted here, where nothing moves meanwhile; shown in a thread, because a stopped terminal blocks.
                await anyio.to_thread.run_sync(self._show, self._picture())
            await anyio.sleep(INTERVAL_S)

    def _picture(self) -> Group:
        width, height = self._console.size
        return Group(*self._painter.frame(time.time(), width, height))

    def _show(self, picture: Group) -> None:
        try:
            self._live.update(picture, refresh=True)
        except OSError:  # the terminal is gone, the run is not
            self._is_gone = True

    def _print(self, what: Group | Text) -> None:
        try:
            self._console.print(what, soft_wrap=True)
        except OSError:  # the terminal is gone, the run is not
            self._is_gone = True

    def reachable(self, run: str, socket: Path) -> None:
        text = f"galaxy watch, why or edit {safe_line(run)}"
        if len(text) < self._console.width:
            self._reachable = [Text(text, style="dim")]

    def journal_failed(self, error: JournalFailedError) -> None:
        self._board.journal_failed(error)

    def tell(self, text: str) -> None:
        if not self._is_gone:
            self._print(Text(text, style="yellow"))

    def restore(self) -> None:
        with suppress(OSError):
            os.write(sys.stderr.fileno(), SHOW_CURSOR + b"\r\n")

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._is_gone:  # of a run that has not begun, there is only what kept it from that
            self._show(Group() if self._board.phase == "connecting" else self._picture())
        with suppress(OSError):
            self._live.stop()
