"""Tasks, links and results made of the lean documents of records: the inverse of lean.py.

Whatever a document lacks or has of a wrong kind raises one of `BROKEN`.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any, Final

from galaxy_core.errors import GalaxyError
from galaxy_core.model.condition import Expression, LostCondition
from galaxy_core.model.constellation import TaskConstellation
from galaxy_core.model.dependency import DependencyType, TaskStarLine
from galaxy_core.model.device import DeviceType
from galaxy_core.model.policy import DEFAULT_RETRY, Effect, TaskPriority
from galaxy_core.model.records.faults import error_from
from galaxy_core.model.records.unkept import Beginning, LongText, Unkept, left_of, restored
from galaxy_core.model.request import Action, Command, Reference, Request
from galaxy_core.model.result import ExecutionResult, TaskStatus
from galaxy_core.model.spec_documents import request_from_dict, retry_from_dict
from galaxy_core.model.task import TaskStar
from galaxy_core.model.values import EMPTY

#: The keys of a task whose rarer ones are as usual.
_PROGRESS: Final = ("status", "attempts", "current_retry", "started_at", "ended_at", "error", "result")
_USUAL: Final = ("task_id", "created_at", "updated_at", "name", "description", "target_device_id", "pinned", "request")
_COMMON: Final = frozenset((*_USUAL, *_PROGRESS))
_COMMAND_KEYS: Final = frozenset(("run", "shell", "cwd", "env", "stdin", "files", "outputs"))
#: What a document that is not as it has to be may raise.
BROKEN: Final = (
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    AttributeError,
    OverflowError,
    RecursionError,
    GalaxyError,
)
_STATUSES: Final = {status.value: status for status in TaskStatus}
_KINDS: Final = {kind.value: kind for kind in DependencyType}
#: What belongs to the plan that a task is in, not to what it says.
_PLACED: Final = frozenset(
    {"_owner", "_index", "_order", "_before", "_after", "_pending", "_ticket", "_counted", "_in", "_out"}
)
_SAID: Final = tuple(
    name for kind in TaskStar.__mro__ for name in getattr(kind, "__slots__", ()) if name not in _PLACED
)
_SAID_OF_LINE: Final = tuple(
    name for name in TaskStarLine.__slots__ if name not in ("_source", "_target", "_line_id", "_from", "_to")
)

#: Gives the whole of a text that is not in its record, or raises OSError or ValueError.
Read = Callable[[LongText], str]


class Restorer:
    """Makes live objects of lean documents. `read` gives long texts that were kept in files.

    Of a text that cannot be had the beginning is left in an `Unkept`; of what a task printed, as a `Beginning`. The result
    that it is in is marked as truncated. `calls` are the names of the functions that tasks called, by the tasks' ids.
    """

    def __init__(self, read: Read | None = None) -> None:
        self._read = read
        self._cut = False
        self.calls: dict[str, str] = {}

    def _long(self, text: LongText) -> str | Unkept:
        if text.file is not None and self._read is not None:
            try:
                return self._read(text)
            except (OSError, ValueError):  # the file is gone or another: what it held is marked as cut
                pass
        self._cut = True
        return left_of(text)

    def value(self, kept: Any) -> Any:
        """A value as it was, or what stands for it."""
        return restored(kept, self._long)

    def _stream(self, kept: Any) -> Any:
        found = self.value(kept)
        return Beginning(found) if type(found) is Unkept and found.cut is not None else found

    # ------------------------------------------------------------------------------------------- tasks
    def task(self, found: dict[str, Any], otherwise: float | None = None) -> TaskStar:
        """A task of no plan; `otherwise` is when it was created, if it does not say so."""
        take = found.get
        task_id = found["task_id"]
        request, device = take("request"), take("target_device_id")
        task = TaskStar(_text(task_id), take("name", ""), take("description", ""), None, device)
        task._created_at = created = _seconds(take("created_at", otherwise))
        task._updated_at = _seconds(take("updated_at", created))
        if device is not None:
            task._pinned = take("pinned", True) is True
        if request is not None:
            task._request = self._request(task_id, request)
        elif task_id in self.calls:
            del self.calls[task_id]
        if not found.keys() <= _COMMON:
            self._rarer(task, found)
        if "status" in found:
            self._progress(task, found)
        return task

    def _rarer(self, task: TaskStar, found: dict[str, Any]) -> None:
        if "tips" in found:
            task._tips = [_text(tip) for tip in found["tips"]]
        if "timeout" in found:
            task._timeout = self.number(found["timeout"])
        if "retry_count" in found:
            task._retry_count = self.value(found["retry_count"])
        if "task_data" in found:
            task._task_data = self.value(found["task_data"])
        if "requires" in found:
            task._requires = frozenset(map(_text, found["requires"]))
        if "effect" in found:
            task._effect = Effect(found["effect"])
        if "priority" in found:
            task._priority = TaskPriority[found["priority"]]
        if "device_type" in found:
            task._device_type = DeviceType(found["device_type"])
        if "expected_output_type" in found:
            task._expected_output_type = _text(found["expected_output_type"])
        task._retry = retry_from_dict(found["retry"]) if "retry" in found else DEFAULT_RETRY
        if "estimate_s" in found:
            task._estimate_s = self.number(found["estimate_s"])

    def _progress(self, task: TaskStar, found: dict[str, Any]) -> None:
        task._status = _STATUSES[found["status"]]
        task._attempts = _count(found["attempts"])
        task._current_retry = _count(found.get("current_retry", 0))
        started, ended = found.get("started_at"), found.get("ended_at")
        task._started_at = None if started is None else _seconds(started)
        task._ended_at = None if ended is None else _seconds(ended)
        task._error = error_from(found.get("error"))
        if found.get("result") is not None:
            task._result = self.result(found["result"], task)

    def number(self, kept: Any) -> Any:
        """A number, which may be one that is not finite."""
        return float(kept[0]) if type(kept) is list else self.value(kept)

    def _request(self, task_id: str, found: dict[str, Any]) -> Request | None:
        if "call" in found:
            self.calls[task_id] = _text(found["call"])
            return None
        if "action" not in found:
            return _command(found) if found.keys() <= _COMMAND_KEYS else request_from_dict(found)
        ((name, arguments),) = found["action"].items()
        return Action(_text(name), {key: self._argument(value) for key, value in arguments.items()})

    def _argument(self, value: Any) -> Any:
        if isinstance(value, dict) and value.keys() == {"from", "value"}:
            return Reference(_text(value["from"]), _text(value["value"]))
        return self.value(value)

    # ------------------------------------------------------------------------------------------- results
    def result(self, found: dict[str, Any], task: TaskStar) -> Any:
        """What came of a task, whose other fields are as they were."""
        if not found:
            return ExecutionResult(
                task._task_id,
                task._status,
                None,
                task._error,
                None,
                task._started_at,
                task._ended_at,
                device_id=task._target_device_id,
                attempts=task._attempts,
            )
        if "$value" in found:
            return self.value(found["$value"])
        take = found.get
        self._cut = False
        status = take("status", task._status)
        stdout = self._stream(take("stdout"))
        error = task._error if "error" not in found else error_from(found["error"])
        metadata = self.value(take("metadata"))
        result = ExecutionResult(
            self.value(take("task_id", task._task_id)),
            _STATUSES.get(status, status),
            self.value(found["result"]) if "result" in found else stdout.lost if type(stdout) is Beginning else stdout,
            error,
            metadata,
            _moment(found["start_time"]) if "start_time" in found else task._started_at,
            _moment(found["end_time"]) if "end_time" in found else task._ended_at,
            stdout=stdout,
            stderr=self._stream(take("stderr")),
            exit_code=self.value(take("exit_code")),
            device_id=self.value(found["device_id"]) if "device_id" in found else task._target_device_id,
            attempts=self.value(take("attempts", task._attempts)),
            files=self.value(take("files")),
        )
        if self._cut:
            _tell_cut(result)
        return result

    # ------------------------------------------------------------------------------------------- links
    def line(self, found: dict[str, Any], otherwise: float | None = None) -> TaskStarLine:
        """A link of no plan; `otherwise` as of a task."""
        take = found.get
        line = TaskStarLine(_text(found["from"]), _text(found["to"]), line_id=_text(found["line_id"]))
        line._created_at = created = _seconds(take("created_at", otherwise))
        line._updated_at = _seconds(take("updated_at", created))
        if "type" in found:
            line._dependency_type = _KINDS[found["type"]]
        if "description" in found:
            line._condition_description = _text(found["description"])
        if "expression" in found:
            line._evaluator = Expression(_text(found["expression"]))
        elif "lost" in found:
            line._evaluator = LostCondition(line._condition_description)
        if "metadata" in found:
            line._metadata = self.value(found["metadata"])
        line._satisfied = take("satisfied", False) is True
        line._evaluation = self.value(take("evaluation"))
        if take("evaluated_at") is not None:
            line._evaluated_at = _seconds(found["evaluated_at"])
        line._open = take("open", True) is True
        return line

    # ------------------------------------------------------------------------------------------- the head
    def head(self, plan: TaskConstellation, found: dict[str, Any]) -> None:
        """What a plan says apart from its tasks and links."""
        started, ended = found["started_at"], found["ended_at"]
        plan._name = _text(found["name"])
        if "metadata" in found:  # else they are as before
            plan._metadata = self.value(found["metadata"])
        plan._created_at, plan._updated_at = _seconds(found["created_at"]), _seconds(found["updated_at"])
        plan._started_at = None if started is None else _seconds(started)
        plan._ended_at = None if ended is None else _seconds(ended)
        plan._executing, plan._cancelled = found["executing"] is True, found["cancelled"] is True
        plan._broken, plan._revision = _count(found["broken"]), _count(found["revision"])


def take_over(task: TaskStar, said: TaskStar) -> None:
    """Have a live task say what another says."""
    for name in _SAID:
        setattr(task, name, getattr(said, name))


def take_over_line(line: TaskStarLine, said: TaskStarLine) -> None:
    """Have a live link say what another says."""
    for name in _SAID_OF_LINE:
        setattr(line, name, getattr(said, name))


def _command(found: dict[str, Any]) -> Command:
    take = found.get
    argv, shell, cwd, outputs = take("run"), take("shell"), take("cwd"), take("outputs", ())
    return Command(
        None if argv is None else [_part(part) for part in argv],
        None if shell is None else _text(shell),
        None if cwd is None else _text(cwd),
        {name: _part(value) for name, value in found["env"].items()} if "env" in found else EMPTY,
        None if take("stdin") is None else _part(found["stdin"]),
        {name: _part(value) for name, value in found["files"].items()} if "files" in found else EMPTY,
        [_text(name) for name in outputs],
    )


def _part(value: Any) -> str | Reference:
    if type(value) is str:
        return value
    return Reference(_text(value["from"]), _text(value["value"]))


def _tell_cut(result: ExecutionResult) -> None:
    """Which stream was cut is told where that of another is told: else that one would pass for the only one."""
    told = result.metadata
    told["truncated"] = True
    if "stdout_kept_bytes" in told or "stderr_kept_bytes" in told:
        for name in ("stdout", "stderr"):
            text = getattr(result, name)
            if type(text) is Beginning:
                told[f"{name}_kept_bytes"] = len(text.encode("utf-8", "surrogatepass"))


def _text(value: Any) -> str:
    if type(value) is str:
        return value
    raise ValueError(f"found {str(value)[:40]!r} where a text has to be")


def _seconds(value: Any) -> float:
    if type(value) in (float, int):
        return value  # type: ignore[no-any-return]
    raise ValueError(f"found {str(value)[:40]!r} where a moment has to be")


def _count(value: Any) -> int:
    if type(value) is int and value >= 0:
        return value
    raise ValueError(f"found {str(value)[:40]!r} where a whole number has to be")


def _moment(value: Any) -> float | datetime | None:
    if isinstance(value, str):
        return datetime.fromisoformat(value)
    return None if value is None else _seconds(value)
