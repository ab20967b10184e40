"""Recorder: hears all that becomes of a running constellation, and notes it in the ledger.

What a run does by itself has records of its own: starts, ends, skips, back-offs, withdrawals. Of everything else, edits and
what is done by hand, it is only noted *what* was touched; how that is then is read when the next record is noted or the
ledger writes, whichever is first. Both are moments at which nothing is half-changed, because a run changes its plan
between two awaits alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from threading import get_ident
from typing import TYPE_CHECKING

from galaxy_core.model.constellation import TaskConstellation
from galaxy_core.model.dependency import TaskStarLine
from galaxy_core.model.edits import Transaction
from galaxy_core.model.records import encode
from galaxy_core.model.result import TERMINAL, ExecutionResult, TaskStatus
from galaxy_core.model.task import TaskStar

if TYPE_CHECKING:
    from galaxy_core.extension.interfaces import Attempt
    from galaxy_core.runtime.ledger import Ledger

_start, _end, _ran = encode.start, encode.end, encode.ran
_SKIPPED = TaskStatus.SKIPPED


class Recorder:
    """Of one run of one constellation; see `model.listener.Recorder`."""

    def __init__(self, plan: TaskConstellation, ledger: Ledger) -> None:
        self._plan, self._ledger = plan, ledger
        self._leases: dict[TaskStar, int] = {}
        self._thread = get_ident()
        self._own: TaskStar | None = None
        self.on_progress = self.progressed  # bound once, for all attempts
        self.on_resolved: Callable[[str], None] | None = None  # called when it was noted that a task was resolved
        self._revision = plan._revision
        self.is_stirred = False  # whether any of the following says something
        self._told = False
        self._tasks: dict[str, None] = {}
        self._lines: dict[str, None] = {}
        self._judged: dict[TaskStarLine, None] = {}
        self._new_tasks: dict[str, None] = {}
        self._new_lines: dict[str, None] = {}
        self._shown: set[TaskStar] = set()  # tasks that were skipped when something else of them was noted
        self._gone_tasks: dict[str, None] = {}
        self._gone_lines: dict[str, None] = {}

    def hear(self) -> None:
        """From now on; the plan as it is now was noted."""
        self._revision = self._plan._revision
        self._plan._recorder = self

    # ------------------------------------------------------------------------------------------- what the run does
    def started(self, task: TaskStar, lease: int, device_id: str) -> None:
        """An attempt is about to be sent, or was to be."""
        if self.is_stirred:
            self.flush()
        self._leases[task] = lease
        ledger, at = self._ledger, task._started_at
        assert at is not None
        if not ledger.sync:
            if not ledger.lines:
                ledger.stir()
            ledger.starting[task] = (lease, task._attempts, device_id, at)
            return
        n, lines = ledger.count, ledger.lines  # as `note` does, at half the cost
        ledger.count = n + 1
        if not lines:
            ledger.stir()
        lines.append(_start(n, task._task_id, lease, task._attempts, device_id, at))

    def progressed(self, attempt: Attempt) -> None:
        """An attempt has come further."""
        task = attempt.task
        if self._leases.get(task) == attempt.lease and get_ident() == self._thread:  # a session may have threads
            encoder = encode.sent if attempt.progress == "sent" else encode.ack
            self._ledger.note(encoder, task._task_id, attempt.lease)

    def restored(self, task: TaskStar, lease: int) -> None:
        """An attempt of an earlier epoch is to be settled."""
        self._leases[task] = lease

    def ended(self, task: TaskStar, held: bool) -> None:
        """See `model.listener.Recorder`."""
        lease = self._leases.pop(task, 0)
        result = task._result
        if type(result) is ExecutionResult and result.files:
            self._ledger.hold(result.files)
        if self.is_stirred:
            if self._plan._together or task._task_id in self._tasks or task._task_id in self._new_tasks:
                self._touch_ended(task)  # what it is part of is one record
                return
            self.flush()
        ledger = self._ledger
        if lease and not ledger.sync and (began := ledger.starting.pop(task, None)) is not None:
            ledger.ran.append(_ran(task, began, held, ledger.keeper))
            return
        n, lines = ledger.count, ledger.lines
        ledger.count = n + 1
        if not lines:
            ledger.stir()
        lines.append(_end(n, task, lease, held, ledger.keeper))

    def skipped(self, task: TaskStar) -> None:
        """See `model.listener.Recorder`."""
        if self.is_stirred:
            if self._has_touched or self._plan._together:
                self._touch_ended(task)
                return
            self.flush()
        if task in self._shown:
            self._touch_ended(task)
        else:
            self._ledger.note(encode.skip, task)

    def again(
        self, task: TaskStar, at: float, wait_s: float, kind: str, error: BaseException, *, counted: bool
    ) -> None:
        """Have a task try again, and note it."""
        self._leases.pop(task, None)
        self._own = task
        try:
            task._again(at, counted=counted)
        finally:
            self._own = None
        if self.is_stirred:
            self.flush()
        self._ledger.note(encode.again, task, kind, wait_s, error)

    def withdrawn(self, tasks: Sequence[TaskStar], at: float, why: str, *, run: bool) -> None:
        """Tasks were withdrawn, after a `flush`; `run`: because the run is cancelled."""
        ids = [task._task_id for task in tasks]
        for first in range(0, len(ids), encode.CHUNK) or (0,):
            self._ledger.note(encode.cancel, ids[first : first + encode.CHUNK], at, why, run)

    def left(self, status: str, at: float, by: str) -> None:
        """The run is over, or was stopped: nothing is heard from now on."""
        self._told = False  # which the last record says anyway
        self.flush()
        plan, ledger = self._plan, self._ledger
        plan._recorder = None
        if status == "stopped":
            ledger.note(encode.image, plan, (), (), (), (), ledger.keeper)
            ledger.note(encode.stop, at, by)
        else:
            ledger.note(encode.over, plan, status, at, ledger.keeper)

    # ------------------------------------------------------------------------------------------- what others do
    def changed_status(self, task: TaskStar) -> None:
        """See `model.listener.Recorder`."""
        if task is self._own:
            self._own = None
        elif task._status in TERMINAL:
            self._leases.pop(task, None)
            self._touch_ended(task)
        else:
            self.touched(task._task_id)

    def _touch_ended(self, task: TaskStar) -> None:
        self.touched(task._task_id, *task._out)

    def judged(self, line: TaskStarLine) -> None:
        """See `model.listener.Recorder`."""
        self._judged[line] = None
        self._stir()

    def touched(self, *keys: str | TaskStarLine) -> None:
        """See `model.listener.Recorder`."""
        for key in keys:
            if isinstance(key, str):
                if key not in self._new_tasks:
                    self._tasks[key] = None
            elif key.line_id not in self._new_lines:
                self._lines[key.line_id] = None
        self._stir()

    def told(self) -> None:
        """See `model.listener.Recorder`."""
        self._told = True
        self._stir()

    def admitted(self, task: TaskStar) -> None:
        """See `model.listener.Recorder`."""
        self._tasks.pop(task._task_id, None)
        self._new_tasks[task._task_id] = None
        self._stir()

    def dropped(self, task: TaskStar) -> None:
        """See `model.listener.Recorder`."""
        task_id = task._task_id
        self._tasks.pop(task_id, None)
        if task_id in self._new_tasks:
            del self._new_tasks[task_id]
        else:
            self._gone_tasks[task_id] = None
        self._stir()

    def attached(self, line: TaskStarLine) -> None:
        """See `model.listener.Recorder`."""
        self._lines.pop(line.line_id, None)
        self._new_lines[line.line_id] = None
        self._stir()

    def detached(self, line: TaskStarLine) -> None:
        """See `model.listener.Recorder`."""
        line_id = line.line_id
        self._lines.pop(line_id, None)
        if line_id in self._new_lines:
            del self._new_lines[line_id]
        else:
            self._gone_lines[line_id] = None
        self._stir()

    def edited(self, edit_id: str | None, transaction: Transaction) -> None:
        """See `model.listener.Recorder`."""
        self._note_edit(edit_id, str(transaction), transaction.author, transaction)

    def resolved(self, task_id: str, as_: str, by: str, at: float) -> None:
        """See `model.listener.Recorder`."""
        if self._gone_tasks or self._gone_lines or self._plan._revision != self._revision:
            self.flush()  # what that record has no place for
            self._tasks[task_id] = None
        tasks, lines = self._take_changed()
        ledger = self._ledger
        ledger.note(encode.resolve, self._plan, task_id, as_, by, at, tasks, lines, ledger.keeper, self._told)
        self._forget()
        if self.on_resolved is not None:
            self.on_resolved(task_id)

    # ------------------------------------------------------------------------------------------- noting it
    def _stir(self) -> None:
        if not self.is_stirred:
            self.is_stirred = True
            self._ledger.stir()

    @property
    def _has_touched(self) -> bool:
        """Whether there is more than links that were judged."""
        return bool(
            self._told
            or self._tasks
            or self._lines
            or self._new_tasks
            or self._new_lines
            or self._gone_tasks
            or self._gone_lines
        )

    def flush(self) -> None:
        """Note what was touched, as it is now."""
        if not self.is_stirred:
            return
        plan, ledger = self._plan, self._ledger
        if plan._revision != self._revision:
            self._note_edit(None, "", "", None)
        elif not self._has_touched:
            judged, self._judged, self.is_stirred = self._judged, {}, False
            for line in judged:
                if line in plan._lines:
                    ledger.note(encode.link, line, ledger.keeper)
        else:
            tasks, lines = self._take_changed()
            gone = list(self._gone_tasks), list(self._gone_lines)
            ledger.note(encode.image, plan, tasks, lines, *gone, ledger.keeper, self._told)
            self._forget()

    def _note_edit(self, edit_id: str | None, description: str, author: str, transaction: Transaction | None) -> None:
        tasks, lines = self._take_changed()
        ledger = self._ledger
        gone_tasks, gone_links = list(self._gone_tasks), list(self._gone_lines)

        def edit(n: int) -> str:
            return encode.edit(
                n,
                self._plan,
                id=edit_id,
                description=description,
                author=author,
                transaction=transaction,
                tasks=tasks,
                links=lines,
                gone_tasks=gone_tasks,
                gone_links=gone_links,
                keeper=ledger.keeper,
                with_metadata=self._told,
            )

        ledger.note(edit)
        self._revision = self._plan._revision
        self._forget()

    def _take_changed(self) -> tuple[list[TaskStar], list[TaskStarLine]]:
        """What was touched and is there: first what was there before, then what was added, in the order of adding."""
        plan = self._plan
        tasks = [plan._tasks[key] for key in (*self._tasks, *self._new_tasks) if key in plan._tasks]
        self._shown.update(task for task in tasks if task._status is _SKIPPED)
        judged = [line.line_id for line in self._judged if line in plan._lines]
        keys = dict.fromkeys((*self._lines, *(key for key in judged if key not in self._new_lines), *self._new_lines))
        lines = [plan._lines_by_id[key] for key in keys if key in plan._lines_by_id]
        return tasks, lines

    def _forget(self) -> None:
        self.is_stirred = self._told = False
        for found in (self._tasks, self._lines, self._judged, self._new_tasks, self._new_lines):
            found.clear()
        self._gone_tasks.clear()
        self._gone_lines.clear()
