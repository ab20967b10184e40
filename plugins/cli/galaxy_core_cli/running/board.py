"""The board: how a run stands, kept up to date by its events. What it costs does not grow with the plan."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

from attrs import define, field

from galaxy_core import Effect, Event, EventType, ExecutionResult, TaskConstellation, TaskEvent, TaskStar, TaskStatus
from galaxy_core.errors import JournalFailedError
from galaxy_core_cli.reasons import why
from galaxy_core_cli.text import found_out, label, safe_line

#: Plans with at most so many tasks have a row for each of them; of larger ones only what moves is remembered.
SMALL = 200
#: Ended tasks of a larger plan that are remembered.
RECENT = 100
#: Characters of an unfinished line of output that are kept.
LINE_CHARACTERS = 400

HEARD = frozenset(
    {
        EventType.TASK_STARTED,
        EventType.TASK_COMPLETED,
        EventType.TASK_FAILED,
        EventType.TASK_CANCELLED,
        EventType.TASK_SKIPPED,
        EventType.TASK_UNKNOWN,
        EventType.TASK_RETRYING,
        EventType.TASK_OUTPUT,
        EventType.CONSTELLATION_STARTED,
        EventType.CONSTELLATION_COMPLETED,
        EventType.CONSTELLATION_FAILED,
        EventType.CONSTELLATION_CANCELLED,
        EventType.CONSTELLATION_STOPPED,
        EventType.CONSTELLATION_PAUSED,
        EventType.CONSTELLATION_PROCEEDED,
    }
)
ENDED = frozenset(
    {
        EventType.TASK_COMPLETED,
        EventType.TASK_FAILED,
        EventType.TASK_CANCELLED,
        EventType.TASK_SKIPPED,
        EventType.TASK_UNKNOWN,
    }
)
_OVER = frozenset(
    {
        EventType.CONSTELLATION_COMPLETED,
        EventType.CONSTELLATION_FAILED,
        EventType.CONSTELLATION_CANCELLED,
        EventType.CONSTELLATION_STOPPED,
    }
)
#: What they are told as.
PAUSES = {EventType.CONSTELLATION_PAUSED: "paused", EventType.CONSTELLATION_PROCEEDED: "continued"}
#: Of an attempt that was ended because the run is being stopped.
STOPPED = "runs when the run is resumed"
_STATUSES = ("completed", "failed", "unknown", "skipped", "cancelled")
#: Of an attempt whose end came when the journal had failed.
_ASKS = "how it ended is not kept; a resume asks what became of it"
#: What stands behind the last line of an output of which only the beginning is known.
CUT = " …"
#: Of an attempt that an earlier process has begun.
ASKED, ENDED_FIRST = "asking what became of it", "ending what is found of it, and running it again"
#: Of a device.
_AWAY = frozenset({"connecting", "disconnected", "failed"})
_BREAK = re.compile(r"[\r\n]+")


@define(eq=False)
class Row:
    """A task that has moved. `line` is the last that it printed; `note` says why it stands where it stands."""

    task_id: str
    label: str  # its id, and its name if that is another
    status: str = "waiting"
    device: str = ""
    started: float | None = None
    ended: float | None = None
    attempts: int = 0
    line: str = ""
    note: str = ""
    partial: str = ""  # the line that it is printing
    reason: str = ""  # why it is tried again,
    again_at: float = 0.0  # and when, in seconds since the epoch
    is_bound: bool = False  # whether it took less than what lies between its start and its end
    found: str = ""  # of an attempt of an earlier process, what becomes of it

    def elapsed(self, now: float) -> float | None:
        """Seconds of its attempt so far; None before the first."""
        if self.started is None:
            return None
        return max(0.0, (now if self.ended is None else self.ended) - self.started)

    def hear(self, text: str) -> None:
        """It printed something."""
        lines = _BREAK.split(self.partial + text)
        self.partial = lines[-1][-LINE_CHARACTERS:]
        last = next((line for line in reversed(lines) if line.strip()), "")
        if last:
            self.line = safe_line(last[:LINE_CHARACTERS]).strip()


@define
class Away:
    """A device that is not connected. `since` is seconds since the epoch; `why` what broke it, as far as that is known."""

    device_id: str
    status: str
    since: float
    why: str = ""


@define
class Board:
    """`running` and `retrying` in the order of their starts, `recent` and `failed` in that of their ends."""

    constellation: TaskConstellation
    rows: dict[str, Row] = field(factory=dict)
    running: dict[str, Row] = field(factory=dict)
    retrying: dict[str, Row] = field(factory=dict)
    recent: deque[Row] = field(factory=lambda: deque(maxlen=RECENT))
    failed: deque[Row] = field(factory=lambda: deque(maxlen=RECENT))
    away: dict[str, Away] = field(factory=dict)
    phase: str = "connecting"
    started: float | None = None
    ended: float | None = None
    last_end: float = 0.0
    is_paused: bool = False
    done_before: int = 0  # of a run that goes on, the tasks that had ended when it did
    completed_before: int = 0  # and those of them that had completed
    kept_counts: dict[str, int] | None = None  # of a run whose journal has failed

    @property
    def total(self) -> int:
        """The number of tasks; an edit may change it."""
        return self.constellation.task_count

    @property
    def is_small(self) -> bool:
        """Whether there is a row for each task."""
        return self.total <= SMALL

    def counts(self) -> dict[str, int]:
        """How many tasks ended in which way, are running, are to be tried again, and have ended without that being kept."""
        if self.kept_counts is not None:
            return self.kept_counts
        found = {status: self.constellation.count(TaskStatus(status)) for status in _STATUSES}
        running = self.constellation.count(TaskStatus.RUNNING)
        return {**found, "running": running, "retrying": len(self.retrying), "not kept": 0}

    def done(self) -> int:
        """The number of tasks that have ended."""
        counts = self.counts()
        return sum(counts[status] for status in _STATUSES)

    def eta_s(self, now: float) -> float | None:
        """Seconds that are left if the rest goes as fast as what has ended; None when too little is known.

        Reckoned when a task ends, and counted down until the next one does: it does not rise while time passes. When all of
        it is over and no task has ended, nothing is known any more.
        """
        left_over, total = self.total - self.done(), self.total
        done = self.done() - self.done_before
        if self.started is None or self.ended is not None or done < 3 or left_over <= 0 or total < 8:
            return None
        left = (self.last_end - self.started) / done * left_over - (now - self.last_end)
        return left if left > 0 else None

    def look(self, devices: Mapping[str, Mapping[str, Any]], now: float) -> bool:
        """Note which devices are not connected; whether that is new."""
        found = {}
        for device_id, info in devices.items():
            if info["status"] in _AWAY and self.phase != "over":
                known = self.away.get(device_id)
                since = now if known is None else known.since
                found[device_id] = Away(device_id, info["status"], since, _lost_for(device_id, info["error"]))
        before, self.away = self.away, found
        return before != found

    def hear(self, events: Sequence[Event]) -> None:
        """Note what happened."""
        for event in events:
            if isinstance(event, TaskEvent):
                self._task(event)
            elif event.event_type is EventType.CONSTELLATION_STARTED:
                self.phase, self.started = "running", event.timestamp
                self._take_over(event.data.get("constellation"), event.timestamp)
            elif event.event_type in PAUSES:
                self.is_paused = event.event_type is EventType.CONSTELLATION_PAUSED
            elif event.event_type in _OVER:
                self.phase, self.ended = "over", event.timestamp
                self.away = {}

    def journal_failed(self, error: JournalFailedError) -> list[Row]:
        """The run is over because of `error`: show and count as ended only what is kept as that.

        Gives rows of those that began, may have been told as ended, and run again all the same, in the order of their starts.
        """
        counts = self.counts()
        for task_id in error.unkept | error.ended.keys():
            task = self.constellation.get_task(task_id)
            if task is not None and task.status.value in _STATUSES:
                counts[task.status.value] -= 1
        for task_id, words in error.ended.items():
            self._leave(self._row(task_id), "not kept", f"{words}; kept nowhere")
        moved = error.unkept | self.running.keys() | self.retrying.keys()
        again = {
            task_id for task_id in moved - error.left.keys() - error.ended.keys() if self._show_kept(task_id, error)
        }
        unkept = sum(row.status == "not kept" for row in self.rows.values())
        more = {"running": len(error.left), "retrying": len(self.retrying), "not kept": unkept}
        self.kept_counts = {**counts, **more}
        return [row for task_id, row in self.rows.items() if task_id in again]

    def _show_kept(self, task_id: str, error: JournalFailedError) -> bool:
        """Show a task as whoever resumes finds it; whether it began, and nothing was told of that yet."""
        task, row = self.constellation.get_task(task_id), self.rows.get(task_id)
        if row is None:  # of a large plan, it may have ended
            row = self._row(task_id)
            has_begun = not self.is_small and task is not None and task.attempts > 0
        else:
            has_begun = row.started is not None
        if not has_begun:
            self._leave(row, "waiting", "")
        elif row.status != "retrying" or task_id in error.unkept or not error.is_kept:
            is_once = task is not None and task.effect == Effect.ONCE
            if not error.is_kept:
                self._leave(row, "not kept", "that it ran is kept nowhere")
            else:
                self._leave(row, *(("not kept", _ASKS) if is_once else ("retrying", STOPPED)))
            return True
        return False

    def _leave(self, row: Row, status: str, note: str) -> None:
        row.status, row.note, row.line, row.partial = status, note, "", ""
        row.started = row.ended = None  # how long it took, nobody has kept
        self.running.pop(row.task_id, None)
        self.retrying.pop(row.task_id, None)
        if status == "retrying":
            self.retrying[row.task_id] = row

    def _take_over(self, constellation: object, at: float) -> None:
        """Of a run that goes on, the plan is known when it starts, and what had ended by then is there already."""
        if isinstance(constellation, TaskConstellation) and constellation is not self.constellation:
            self.constellation = constellation
            for task in constellation.get_all_tasks():
                ended = task.execution_end_time or task.updated_at  # who is skipped has no end
                if task.status.value in _STATUSES and ended.timestamp() <= at:
                    self.done_before += 1
                    self.completed_before += task.status is TaskStatus.COMPLETED
                    self._recall(task)
                elif task.status is TaskStatus.RUNNING:
                    self._find(task, at)

    def _find(self, task: TaskStar, at: float) -> None:
        """Show it as at work, if it was under way before."""
        began = task.execution_start_time
        if began is None or began.timestamp() > at:
            return
        row = Row(task.task_id, label(task), "running", task.target_device_id or "", attempts=task.attempts)
        row.started = began.timestamp()
        row.found = ASKED if task.effect == "once" else ENDED_FIRST
        self.rows[task.task_id] = self.running[task.task_id] = row

    def _recall(self, task: TaskStar) -> None:
        if not self.is_small and task.status.value not in {"failed", "unknown"}:
            return
        result, began, ended = task.result, task.execution_start_time, task.execution_end_time
        row = Row(task.task_id, label(task), task.status.value, task.target_device_id or "", attempts=task.attempts)
        row.started = None if began is None else began.timestamp()
        row.ended = None if ended is None else ended.timestamp()
        if isinstance(result, ExecutionResult):
            row.device, row.is_bound = result.device_id or row.device, found_out(result)
            _show_last(row, result)
        if task.error is not None:
            row.note = error_line(task.task_id, task.error)
        if row.status in {"failed", "unknown"}:
            self.failed.append(row)
        if self.is_small:
            self.rows[task.task_id] = row

    def fresh(self, task_id: str) -> Row:
        """A row of a task that has not moved."""
        task = self.constellation.get_task(task_id)  # None when an edit has taken it away
        return Row(task_id, safe_line(task_id) if task is None else label(task))

    def _row(self, task_id: str) -> Row:
        row = self.rows.get(task_id)
        if row is None:
            row = self.rows[task_id] = self.fresh(task_id)
        return row

    def _task(self, event: TaskEvent) -> None:
        kind, row = event.event_type, self._row(event.task_id)
        if kind is EventType.TASK_OUTPUT:
            row.hear(str(event.data.get("text", "")))
        elif kind is EventType.TASK_STARTED:
            task = self.constellation.get_task(event.task_id)
            row.status, row.started, row.ended, row.note = "running", event.timestamp, None, ""
            row.device = (task.target_device_id if task is not None else None) or ""
            row.attempts = event.data.get("attempt") or row.attempts + 1  # of a run that goes on, not all were heard of
            self.away.pop(row.device, None)
            row.line = row.partial = row.found = ""
            self.retrying.pop(event.task_id, None)
            self.running[event.task_id] = row
        elif kind is EventType.TASK_RETRYING:
            row.status, row.ended = "retrying", event.timestamp
            wait_s = float(event.data.get("wait_s", 0.0))
            row.reason, row.again_at = reason(event), event.timestamp + wait_s
            row.note = STOPPED if is_stopped(event) else f"again in {wait_s:.1f}s: {row.reason}"
            self.running.pop(event.task_id, None)
            self.retrying[event.task_id] = row
        elif kind in ENDED:
            self._end(row, event)

    def _end(self, row: Row, event: TaskEvent) -> None:
        row.status, row.ended = event.status, event.timestamp
        self.last_end = max(self.last_end, event.timestamp)
        row.note = "" if event.event_type is EventType.TASK_COMPLETED else reason(event)
        result = event.result
        if isinstance(result, ExecutionResult):
            row.device = result.device_id or row.device
            row.attempts, row.is_bound = result.attempts, found_out(result)
            if not row.line:
                _show_last(row, result)
        row.partial = ""
        self.running.pop(row.task_id, None)
        self.retrying.pop(row.task_id, None)
        self.recent.append(row)
        if row.status in {"failed", "unknown"}:
            self.failed.append(row)
        if not self.is_small:
            self.rows.pop(row.task_id, None)


def _show_last(row: Row, result: ExecutionResult) -> None:
    """The last line that it printed, as far as the result has it."""
    row.hear((result.stdout or "")[-LINE_CHARACTERS:])
    row.partial = ""
    if row.line and is_cut(result, "stdout"):
        row.line += CUT


def is_cut(result: ExecutionResult, stream: str) -> bool:
    """Whether only the beginning of "stdout" or "stderr" is there; what does not say which of them it is may be either."""
    told = result.metadata
    if f"{stream}_kept_bytes" in told:
        return True
    return bool(told.get("truncated")) and not any(f"{name}_kept_bytes" in told for name in ("stdout", "stderr"))


def is_stopped(event: TaskEvent) -> bool:
    """Whether a task is to be tried again not by this run, but by whoever resumes it."""
    return bool(event.data.get("reason") == "stopped")


def _lost_for(device_id: str, error: object) -> str:
    return safe_line(error or "").removeprefix(f"device {device_id!r} is lost: ")


def reason(event: TaskEvent) -> str:
    """Why, in one line that is safe to show."""
    error = event.error
    return "" if error is None else error_line(event.task_id, error)


def error_line(task_id: str, error: BaseException | str) -> str:
    """An error in one safe line, without the words "task 'x'" that its place says already."""
    text = safe_line(why(error))
    for beginning in (f"task {task_id!r} was skipped: ", f"task {task_id!r}: ", f"task {task_id!r} "):
        text = text.removeprefix(beginning)
    return text
