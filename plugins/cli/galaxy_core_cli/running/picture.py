"""The picture that a terminal shows of a board: one line per task, never more of them than there is room for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Final

from attrs import frozen
from rich.cells import cell_len
from rich.text import Text

from galaxy_core import TaskConstellation, TaskStatus
from galaxy_core.errors import GalaxyError
from galaxy_core_cli.running.board import ASKED, STOPPED, Board, Row, error_line
from galaxy_core_cli.text import count, duration, safe_line

BAR_WIDTH: Final = 24
#: Failed tasks of a large plan that stay in sight, however much ends after them.
FAILED_ROWS: Final = 3
#: Devices that are away and are told of, one a line.
AWAY_ROWS: Final = 3
#: Seconds that a device may be under way before that is told, if nothing is known to be wrong.
PATIENCE_S: Final = 1.0
_UNSTARTED: Final = frozenset({TaskStatus.PENDING, TaskStatus.WAITING_DEPENDENCY})
NARROW: Final = 70
_WORDS: Final = {"completed": "done", "retrying": "retry"}
_STYLES: Final = {
    "completed": "green",
    "failed": "bold red",
    "running": "cyan",
    "retrying": "yellow",
    "skipped": "yellow",
    "cancelled": "yellow",
    "unknown": "bold magenta",
    "not kept": "bold magenta",
    "waiting": "dim",
}


@frozen
class Signs:
    """What statuses, progress and motion look like in the characters that a terminal can show."""

    of: Mapping[str, str]
    spinner: str
    bar: str
    rest: str
    dot: str
    arrow: str


_OF = {
    "completed": "✓",
    "failed": "✗",
    "retrying": "↻",
    "skipped": "↷",
    "cancelled": "⊘",
    "unknown": "?",
    "waiting": "·",
    "left": "…",
    "not kept": "?",
}
_ASCII_OF = {
    "completed": "+",
    "failed": "x",
    "retrying": "~",
    "skipped": "-",
    "cancelled": "#",
    "unknown": "?",
    "waiting": ".",
    "left": ":",
    "not kept": "?",
}
UNICODE: Final = Signs(_OF, "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏", "━", "─", "·", "→")
ASCII: Final = Signs(_ASCII_OF, "|/-\\", "#", "-", "|", "->")


def signs_for(encoding: str | None) -> Signs:
    """Those that can be written in this encoding."""
    try:
        "".join([*UNICODE.of.values(), UNICODE.spinner, UNICODE.bar]).encode(encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return ASCII
    return UNICODE


class Painter:
    """Paints one board again and again. Costs the lines that it shows, whatever the size of the plan.

    `why` says of a task for what it waits, once there is a run that can be asked; what it raises means that it cannot say.
    `is_stopping` says whether that run is to leave as soon as what runs has ended.
    """

    why: Callable[[str], object] | None = None
    is_stopping: Callable[[], bool] | None = None

    def __init__(self, board: Board, signs: Signs) -> None:
        self._board = board
        self._signs = signs
        self._order: list[str] = []
        self._shown: tuple[TaskConstellation, int] | None = None  # of which plan, and which revision of it, that is

    def frame(self, now: float, width: int, height: int) -> list[Text]:
        """The whole picture at a moment, at most `height` lines of `width` cells."""
        away = list(self._away(now))[: max(0, height - 4)]
        room = max(1, height - 3 - len(away))
        rows = self._rows(room)
        columns = _Columns.fitting(rows, width)
        lines = [self._header(now), *(self._line(row, now, columns) for row in rows), *away, self._footer(rows)]
        for line in lines:
            line.no_wrap = True
            line.truncate(width, overflow="ellipsis")
        return lines

    # ------------------------------------------------------------------------------------------- which rows
    def _rows(self, room: int) -> list[Row]:
        board = self._board
        if board.is_small and board.total <= room:
            return [board.rows.get(task_id) or board.fresh(task_id) for task_id in self._ids()]
        if board.phase == "over":
            return []  # the summary tells of what failed
        moving = [*board.retrying.values(), *board.running.values()]
        for_moving = max(room * 2 // 3, room - len(board.recent))
        moving = moving[:for_moving]
        ended = list(board.recent)[-(room - len(moving)) :] if room > len(moving) else []
        failed = [row for row in board.failed if row not in ended][-FAILED_ROWS:]
        return [*failed, *ended[len(failed) :], *moving][-room:]

    def _ids(self) -> list[str]:
        constellation = self._board.constellation
        if self._shown is None or self._shown[0] is not constellation or self._shown[1] != constellation.revision:
            self._shown = constellation, constellation.revision
            self._order = constellation.get_topological_order()
        return self._order

    # ------------------------------------------------------------------------------------------- lines
    def _header(self, now: float) -> Text:
        board, signs = self._board, self._signs
        name = Text(safe_line(board.constellation.name), style="bold")
        if board.phase == "connecting":
            return Text.assemble(name, ("  connecting", "dim"))
        done, total = board.done(), board.total
        full = BAR_WIDTH if not total else BAR_WIDTH * done // total
        counts = board.counts()
        bad = counts["failed"] or counts["unknown"]
        started = board.started if board.started is not None else now
        elapsed = (board.ended if board.ended is not None else now) - started
        eta, held = board.eta_s(now), self._held()
        return Text.assemble(
            name,
            "  ",
            (signs.bar * full, "red" if bad else "green"),
            (signs.rest * (BAR_WIDTH - full), "dim"),
            f"  {done:,}/{total:,}  {duration(elapsed)}",
            (f"  {held}" if held else "", "bold yellow"),
            (f"  about {duration(eta)} left" if eta is not None and not held else "", "dim"),
        )

    def _held(self) -> str:
        """Why nothing more is started."""
        if self._board.phase != "running":
            return ""
        if self.is_stopping is not None and self.is_stopping():
            return "stopping"
        return "paused" if self._board.is_paused else ""

    def _away(self, now: float) -> Iterator[Text]:
        """Devices that are not connected, and who waits for them."""
        away = [one for one in self._board.away.values() if one.why or now - one.since >= PATIENCE_S]
        waiting: dict[str, list[str]] = {}
        if away and self._board.is_small:
            for task in self._board.constellation.get_all_tasks():
                if task.status in _UNSTARTED and task.target_device_id in self._board.away:
                    waiting.setdefault(task.target_device_id or "", []).append(safe_line(task.task_id))
        for device in away[:AWAY_ROWS]:
            failed = device.status == "failed"
            again = "again " if device.why else ""
            words = "cannot be reached" if failed else f"is being reached {again}({duration(now - device.since)})"
            line = Text.assemble(
                "  ", (self._signs.of["failed" if failed else "retrying"], "red" if failed else "yellow"), " device "
            )
            line.append(safe_line(device.device_id), "blue")
            line.append(f" {words}")
            if names := waiting.get(device.device_id):
                more = f" and {len(names) - 3} more" if len(names) > 3 else ""
                line.append(f"; {', '.join(names[:3])}{more} {'waits' if len(names) == 1 else 'wait'}")
            if device.why:
                line.append(f": {device.why}", "dim")
            yield line
        if len(away) > AWAY_ROWS:
            yield Text(f"    and {count(len(away) - AWAY_ROWS, 'more device')}", style="dim")

    def _footer(self, rows: Sequence[Row]) -> Text:
        board = self._board
        counts = board.counts()
        waiting = board.total - board.done() - counts["running"] - counts["retrying"] - counts["not kept"]
        parts = [
            (counts["completed"], "done", "green"),
            (counts["running"], "left at work" if board.phase == "over" else "running", "cyan"),
            (counts["retrying"], "to be retried", "yellow"),
            (max(0, waiting), "waiting", "dim"),
            (counts["skipped"], "skipped", "yellow"),
            (counts["failed"], "failed", "bold red"),
            (counts["unknown"], "unknown", "bold magenta"),
            (counts["not kept"], "ended, which is not kept", "bold magenta"),
            (counts["cancelled"], "cancelled", "yellow"),
        ]
        told = [(f"{number:,} {word}", style) for number, word, style in parts if number]
        footer = Text("  ")
        for place, (word, style) in enumerate(told):
            footer.append(f" {self._signs.dot} " if place else "", "dim")
            footer.append(word, style)
        hidden = len(board.running) + len(board.retrying) - sum(row.status in {"running", "retrying"} for row in rows)
        if hidden > 0:
            footer.append(
                f" {self._signs.dot} {count(hidden, 'more')[:-1] if hidden > 1 else '1 more'} not shown", "dim"
            )
        return footer

    def _line(self, row: Row, now: float, columns: _Columns) -> Text:
        style, signs = _STYLES[row.status], self._signs
        is_left = row.status == "running" and self._board.phase == "over"
        moves = row.status == "running" and not is_left
        mark = (
            signs.spinner[int(now * 10) % len(signs.spinner)] if moves else signs.of["left" if is_left else row.status]
        )
        elapsed = None if is_left else row.elapsed(now)
        line = Text("  ")
        line.append(mark, style)
        line.append(" ")
        line.append(_padded(row.label, columns.task), "dim" if row.status == "waiting" else "")
        if columns.device:
            line.append("  ")
            line.append(_padded(safe_line(row.device), columns.device), "blue")
        line.append("  ")
        line.append(_padded("at work" if is_left else _WORDS.get(row.status, row.status), 9), style)
        took = "" if elapsed is None else f"{'<' if row.is_bound else ''}{duration(elapsed)}"
        line.append(f"{took:>7}  ")
        line.append(*self._says(row, now))
        return line

    def _says(self, row: Row, now: float) -> tuple[str, str]:
        """The last column and its style."""
        if row.status == "waiting":
            return _waits_for(self._board.constellation, row.task_id) or self._waits(row), "dim"
        if row.status == "running" and self._board.phase == "over":
            return f"left at work on {safe_line(row.device)}; a resume asks what became of it", "dim"
        if row.status == "running" and row.found and row.device in self._board.away:
            return f"at work since before; waits for device {safe_line(row.device)!r}", "dim"
        if row.status == "running" and self._held() == "stopping":
            return f"the run waits for its end{': ' if row.line else ''}{row.line}", "dim"
        if row.status == "retrying" and row.note == STOPPED:
            return row.note, "dim"
        if row.status == "retrying":
            left = row.again_at - now
            return f"{f'again in {duration(left)}' if left > 0 else self._waits(row)}: {row.reason}", "dim"
        if row.status == "failed" and row.line:
            return f"{row.note}: {row.line}", "red"
        if row.found and row.status == "running" and not row.line:
            return f"at work since before; {'waits for its end' if row.found == ASKED else 'it is ended first'}", "dim"
        if row.note:
            return row.note, "red" if row.status in {"failed", "unknown", "not kept"} else "dim"
        return row.line, "dim"

    def _waits(self, row: Row) -> str:
        """For which device or slot it waits, all that it follows having ended."""
        if self._board.phase == "over":
            return "not started"
        why = None
        if self.why is not None and self._board.phase == "running":
            with suppress(GalaxyError):  # the run is not there yet, or no more
                why = self.why(row.task_id)
        away = [device_id for device_id in getattr(why, "holders", ()) if device_id in self._board.away]
        if away and getattr(why, "kind", "") == "device":
            return f"waits for device {safe_line(away[0])!r}"  # why it is away stands in a line of its own
        if getattr(why, "kind", "") in {"device", "lane", "choice", "edit", "paused"}:
            return error_line(row.task_id, str(why))
        return "waits for its turn"


@frozen
class _Columns:
    """Widths in cells; `device` is 0 where there is no room for it."""

    task: int
    device: int

    @classmethod
    def fitting(cls, rows: Sequence[Row], width: int) -> _Columns:
        task = max((cell_len(row.label) for row in rows), default=4)
        device = max((cell_len(safe_line(row.device)) for row in rows), default=0)
        return cls(min(task, max(8, width // 3)), 0 if width < NARROW else min(max(device, 4), width // 6))


def _padded(text: str, width: int) -> str:
    """`text` in exactly `width` cells."""
    padded = Text(text)
    padded.truncate(width, overflow="ellipsis", pad=True)
    return padded.plain


def _waits_for(constellation: TaskConstellation, task_id: str) -> str:
    """The prerequisites that have not ended, in words; empty when there are none."""
    waits = []
    for line in constellation.get_task_dependencies(task_id):
        source = constellation.get_task(line.from_task_id)
        if source is not None and not source.is_terminal:
            waits.append(line.from_task_id)
    return f"after {', '.join(map(safe_line, waits[:6]))}{', …' if len(waits) > 6 else ''}" if waits else ""
