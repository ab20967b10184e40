"""What each kind of record does to a constellation in the making, and to what is known beside it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from attrs import define, field, frozen

from galaxy_core.errors import ConditionError, JournalVersionError, TaskCancelledError
from galaxy_core.model.constellation import TaskConstellation
from galaxy_core.model.dependency import DependencyType
from galaxy_core.model.reasons import shown
from galaxy_core.model.records.encode import FORMAT, TICKS
from galaxy_core.model.records.faults import error_from
from galaxy_core.model.records.header import Header
from galaxy_core.model.records.making import add_line, add_numbered, add_task, close_plain
from galaxy_core.model.records.restore import Read, Restorer, take_over, take_over_line
from galaxy_core.model.result import TERMINAL, UNSTARTED, TaskStatus
from galaxy_core.model.task import TaskStar

_PENDING, _RUNNING, _COMPLETED = TaskStatus.PENDING, TaskStatus.RUNNING, TaskStatus.COMPLETED
_SKIPPED, _CANCELLED = TaskStatus.SKIPPED, TaskStatus.CANCELLED
_PLAIN_SUCCESS: Final[tuple[Any, ...]] = ("completed", {}, None, False)
_ENDS: Final = {status.value: status for status in TERMINAL}
#: The outcome that is kept of an attempt which has ended, for all that its device knows.
ENDED: Final = "Completed"


@define
class InFlight:
    """An attempt whose end no record tells. `mark` is `Attempt.mark`; `progress` is "started", "sent" or "acknowledged".

    `has_ended`: its device has said so, and what it has left could not be kept.
    """

    task_id: str
    attempt: int
    lease: int
    mark: str
    device_id: str
    at: float
    progress: str = "started"
    has_ended: bool = False


@frozen
class Epoch:
    """One process that wrote the run; `folder` is the one in which it did, None when that is not known."""

    epoch: int
    mark: str
    at: float
    version: str
    plugins: Mapping[str, str] = field(factory=dict)
    folder: str | None = None


class Fold:
    """What has come of the records so far; see `Replay`. A reader raises one of `restore.BROKEN` for what cannot be."""

    def __init__(self, read: Read | None = None, run_id: str = "") -> None:
        """`read` gives texts that are in files of the run, `run_id` names the run in errors before its header does."""
        self.run_id = run_id
        self.count = 0
        self.header: Header | None = None
        self.epochs: list[Epoch] = []
        self.in_flight: dict[str, InFlight] = {}
        self.doubtful: dict[str, InFlight] = {}
        self.resolved: list[InFlight] = []
        self.backing_off: dict[str, float] = {}
        self.over: str | None = None
        self.is_paused = False
        self.stopped_by: str | None = None
        self.resolutions: list[dict[str, Any]] = []
        self.edits: list[dict[str, Any]] = []
        self.settlements: list[dict[str, Any]] = []
        self.files: dict[str, tuple[int, str]] = {}
        self._restorer = Restorer(read)
        self._plan: TaskConstellation | None = None
        self._mark = ""
        self._missing = (0, 0)  # tasks and links of the plan that are still to come
        self._places: list[TaskStar] = []  # its tasks, while links are to come that name them by their places

    def _task(self, task_id: str) -> TaskStar:
        task = self._plan._tasks.get(task_id)  # type: ignore[union-attr]  # record 1 is the plan
        if task is None:
            raise ValueError(f"there is no task {shown(task_id)}")
        return task

    # ------------------------------------------------------------------------------------------- the plan
    def _header(self, document: dict[str, Any]) -> None:
        self._check_format(document)
        self.header = header = Header.from_dict(document)
        self.run_id, self._mark = header.run_id, header.mark
        self.epochs.append(Epoch(1, header.mark, header.at, header.version, header.plugins, header.folder))

    def _check_format(self, document: dict[str, Any]) -> None:
        found = document["format"]
        if type(found) is not int or found < 1:
            raise ValueError(f"its format is {shown(found)}")
        if found > FORMAT:
            raise JournalVersionError(str(document.get("run_id") or self.run_id), found, FORMAT)

    def _head(self, head: dict[str, Any], tasks: int, links: int, prefix: str | None = None, numbered: int = 0) -> None:
        plan = TaskConstellation(str(head["constellation_id"]))
        plan._lines_by_id.prefix = None if prefix is None else str(prefix)
        plan._lines_by_id.numbered = int(numbered)
        self._restorer.head(plan, head)
        self._missing = (int(tasks), int(links))
        self._plan = plan

    def _tasks(self, documents: list[dict[str, Any]], created_at: float) -> None:
        plan, make = self._plan, self._restorer.task
        assert plan is not None
        for document in documents:
            task = make(document, created_at)
            add_task(plan, task)
            self._places.append(task)
        self._missing = (self._missing[0] - len(documents), self._missing[1])

    def _links(self, parts: list[Any], created_at: float, number: int = 0) -> None:
        """Documents, places of tasks in pairs, and the types of those that follow."""
        plan, places, make = self._plan, self._places, self._restorer.line
        assert plan is not None
        kind, count, index = DependencyType.UNCONDITIONAL, len(plan._lines), plan._lines_by_id
        rest = iter(parts)
        for part in rest:
            if type(part) is int:
                other = next(rest, None)
                if type(other) is not int or part < 0 or other < 0 or index.prefix is None:
                    raise ValueError(f"link {number} leads from {shown(part)} to {shown(other)}")
                add_numbered(plan, places[part], places[other], kind, number, created_at)
                number += 1
            elif type(part) is str:
                kind = DependencyType(part)
            else:
                add_line(plan, make(part, created_at))
        index.numbered, index.is_named = max(index.numbered, number), False
        self._missing = (self._missing[0], self._missing[1] - (len(plan._lines) - count))
        if not self._missing[1]:
            self._places = []

    def _opened(self, document: dict[str, Any]) -> None:
        self._check_format(document)
        epoch, last = document["epoch"], self.epochs[-1].epoch
        if type(epoch) is not int or epoch <= last:
            raise ValueError(f"epoch {shown(epoch)} cannot follow epoch {last}")
        self._mark = str(document["mark"])
        if self._mark in [one.mark for one in self.epochs]:
            raise ValueError(f"its mark {self._mark!r} is that of an epoch before it")
        version, folder = str(document["version"]), document.get("folder")
        if not isinstance(folder, str | None):
            raise ValueError(f"its folder is {shown(folder)}")
        self.epochs.append(Epoch(epoch, self._mark, document["at"], version, dict(document["plugins"]), folder))
        assert self._plan is not None
        self._restorer.head(self._plan, document["head"])
        self.over = self.stopped_by = None
        self.is_paused = False

    # ------------------------------------------------------------------------------------------- attempts
    def _start(self, task_id: str, attempt: int, lease: int, device_id: str, at: float) -> None:
        task = self._task(task_id)
        if task._status not in UNSTARTED:
            raise ValueError(f"task {task_id!r} starts, and is {task._status.value}")
        if attempt != task._attempts + 1:
            raise ValueError(f"attempt {attempt} of task {task_id!r} follows its attempt {task._attempts}")
        for line in task._in:
            if line._open:
                raise ValueError(f"task {task_id!r} starts, and waits for {line._from!r}")
        if type(at) is not float and type(at) is not int:
            raise ValueError(f"it is said to be at {shown(at)}")
        task._status = _RUNNING
        task._attempts = attempt
        task._started_at = task._updated_at = self._plan._updated_at = at  # type: ignore[union-attr]
        task._ended_at = None
        if not task._pinned:
            task._target_device_id = device_id
        self.backing_off.pop(task_id, None)
        self.in_flight[task_id] = InFlight(task_id, attempt, lease, f"{self._mark}-{lease:08x}", device_id, at)

    def _sent(self, task_id: str, lease: int) -> None:
        self._went_on(task_id, lease, "sent")

    def _acknowledged(self, task_id: str, lease: int) -> None:
        self._went_on(task_id, lease, "acknowledged")

    def _went_on(self, task_id: str, lease: int, progress: str) -> None:
        """Of an attempt that somebody has ended by hand nothing is to be noted any more."""
        flight = self.in_flight.get(task_id)
        if flight is None:
            self._task(task_id)
        elif flight.lease == lease:
            flight.progress = progress

    def _end(
        self,
        task_id: str,
        attempt: int,
        lease: int,
        status: str,
        at: float,
        result: Any,
        error: Any,
        held: bool,
        more: dict[str, Any] | None = None,
    ) -> None:
        task = self._task(task_id)
        flight = self.in_flight.pop(task_id, None)
        if lease and (flight is None or flight.lease != lease or flight.attempt != attempt):
            runs = f"attempt {flight.attempt} with lease {flight.lease}" if flight else "no attempt"
            raise ValueError(f"attempt {attempt} of task {task_id!r} with lease {lease} ends, and {runs} runs")
        if task._status in TERMINAL:
            raise ValueError(f"task {task_id!r} ends, and has ended ({task._status.value})")
        plan = self._plan
        assert plan is not None
        task._status = ended = _ENDS[status]
        if flight is not None and ended is TaskStatus.UNKNOWN:
            self.doubtful[task_id] = flight
        task._attempts = attempt
        task._ended_at = task._updated_at = plan._updated_at = at + 0.0
        if more is not None:
            task._started_at, task._ended_at = more["started"], more["ended"]
            task._current_retry = more["retries"]
            if not task._pinned:
                task._target_device_id = more["device"]
        task._error = None if error is None else error_from(error)
        task._result = None if result is None else self._restorer.result(result, task)
        if self.backing_off:
            self.backing_off.pop(task_id, None)
        close_plain(task, ended is _COMPLETED, at)

    def _ran(self, attempts: list[Any]) -> None:
        """See `encode.ran`."""
        for task_id, attempt, lease, device_id, started, ended, *said in attempts:
            status, result, error, held = said or _PLAIN_SUCCESS
            began = started / TICKS if type(started) is int else started
            self._start(task_id, attempt, lease, device_id, began)
            over = ended / TICKS if type(ended) is int else ended
            self._end(task_id, attempt, lease, status, over, result, error, held)

    def _again(
        self, task_id: str, attempt: int, kind: str, wait_s: float, at: float, current_retry: int, error: Any
    ) -> None:
        task = self._task(task_id)
        if task._status is not _RUNNING and task._status not in UNSTARTED:
            raise ValueError(f"task {task_id!r} is to run again, and has ended ({task._status.value})")
        self.in_flight.pop(task_id, None)
        task._status = _PENDING
        task._attempts, task._current_retry = int(attempt), int(current_retry)
        task._error = task._result = task._started_at = task._ended_at = None
        task._updated_at = self._plan._updated_at = at + 0.0  # type: ignore[union-attr]
        self.backing_off[task_id] = at + wait_s

    def _settled(self, task_id: str, lease: int, outcome: str, said: str) -> None:
        self._task(task_id)
        flight = self.in_flight.get(task_id)
        if flight is not None and flight.lease == lease and outcome == ENDED:
            flight.has_ended = True
        self.settlements.append({"n": self.count, "task": task_id, "lease": lease, "outcome": outcome, "said": said})

    # ------------------------------------------------------------------------------------------- what follows
    def _link(
        self, line_id: str, satisfied: bool, evaluation: Any, evaluated_at: float | None, is_open: bool, at: float
    ) -> None:
        line = self._plan._lines_by_id.get(line_id)  # type: ignore[union-attr]
        if line is None:
            raise ValueError(f"there is no link {shown(line_id)}")
        line._satisfied, line._open = satisfied is True, is_open is True
        line._evaluation = self._restorer.value(evaluation)
        line._evaluated_at = None if evaluated_at is None else evaluated_at + 0.0
        line._updated_at = at + 0.0

    def _skip(self, task_id: str, at: float, error: Any) -> None:
        task = self._task(task_id)
        if task._status not in UNSTARTED:
            raise ValueError(f"task {task_id!r} is skipped, and is {task._status.value}")
        task._status, task._error, task._updated_at = _SKIPPED, error_from(error), at + 0.0
        self.backing_off.pop(task_id, None)
        if isinstance(task._error, ConditionError):
            self._plan._broken += 1  # type: ignore[union-attr]
        close_plain(task, False, at)

    def _cancel(self, task_ids: list[str], at: float, why: str, run: bool) -> None:
        for task_id in task_ids:
            task = self._task(task_id)
            if task._status not in UNSTARTED:
                raise ValueError(f"task {task_id!r} is withdrawn, and is {task._status.value}")
            task._status, task._updated_at = _CANCELLED, at + 0.0
            task._error = TaskCancelledError(task_id, f"task {task_id!r}: {why}")
            self.backing_off.pop(task_id, None)
        if run is True:
            self._plan._cancelled = True  # type: ignore[union-attr]

    # ------------------------------------------------------------------------------------------- changes by hand
    def _edit(self, document: dict[str, Any]) -> None:
        self._image(document["image"])
        self.edits.append({"n": self.count, **{key: value for key, value in document.items() if key != "image"}})

    def _resolve(self, document: dict[str, Any]) -> None:
        self._task(document["task"])
        self._image(document["image"])
        if (flight := self.doubtful.pop(document["task"], None)) is not None:
            self.resolved.append(flight)
        self.resolutions.append({"n": self.count, **{key: value for key, value in document.items() if key != "image"}})

    def _image(self, image: dict[str, Any]) -> None:
        plan, make = self._plan, self._restorer
        assert plan is not None
        for line_id in image["gone_links"]:
            line = plan._lines_by_id.get(line_id)
            if line is None:
                raise ValueError(f"link {shown(line_id)} is taken out, and there is none")
            plan._detach(line)
        for task_id in image["gone_tasks"]:
            task = self._task(task_id)
            for line in [*task._in, *task._out]:
                plan._detach(line)
            del plan._tasks[task_id]
            task._owner = None
            self._left(task_id)
        for document in image["tasks"]:
            said = make.task(document)
            known = plan._tasks.get(said._task_id)
            if known is None:
                add_task(plan, said)
            else:
                take_over(known, said)
            if said._status is not _RUNNING:
                if said._status is TaskStatus.UNKNOWN and said._task_id in self.in_flight:
                    self.doubtful[said._task_id] = self.in_flight[said._task_id]
                self._left(said._task_id)
        for document in image["links"]:
            line = make.line(document)
            old = plan._lines_by_id.get(line._line_id)  # type: ignore[arg-type]  # it has its id
            if old is not None and (old._from, old._to) == (line._from, line._to):
                take_over_line(old, line)
                continue
            if old is not None:
                plan._detach(old)
            add_line(plan, line)
        make.head(plan, image["head"])

    def _left(self, task_id: str) -> None:
        self.in_flight.pop(task_id, None)
        self.backing_off.pop(task_id, None)

    def _files(self, found: dict[str, list[Any]]) -> None:
        self.files |= {path: (int(size), str(digest)) for path, (size, digest) in found.items()}

    # ------------------------------------------------------------------------------------------- the run
    def _pause(self, at: float, by: str) -> None:
        self.is_paused = True

    def _go(self, at: float, by: str) -> None:
        self.is_paused = False

    def _stop(self, at: float, by: str) -> None:
        self.stopped_by = str(by)

    def _over(self, status: str, at: float, head: dict[str, Any]) -> None:
        self.over = str(status)
        self._restorer.head(self._plan, head)  # type: ignore[arg-type]


#: By the kind of record, what reads the parts that follow.
READERS: Final[Mapping[str, Callable[..., None]]] = {
    "galaxy": Fold._header,
    "plan": Fold._head,
    "tasks": Fold._tasks,
    "links": Fold._links,
    "opened": Fold._opened,
    "start": Fold._start,
    "sent": Fold._sent,
    "ack": Fold._acknowledged,
    "end": Fold._end,
    "ran": Fold._ran,
    "files": Fold._files,
    "again": Fold._again,
    "settled": Fold._settled,
    "link": Fold._link,
    "skip": Fold._skip,
    "cancel": Fold._cancel,
    "edit": Fold._edit,
    "image": Fold._image,
    "resolve": Fold._resolve,
    "pause": Fold._pause,
    "go": Fold._go,
    "stop": Fold._stop,
    "over": Fold._over,
}
