"""How a task stands and what came of it: TaskStatus, ExecutionResult."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, ClassVar, Final

from galaxy_core.model.reasons import message_of, text_of


class TaskStatus(StrEnum):
    """Where a task stands. Members compare equal to their lower-case names."""

    PENDING = "pending"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    WAITING_DEPENDENCY = "waiting_dependency"
    SKIPPED = "skipped"
    UNKNOWN = "unknown"


#: Statuses that never change again within a run.
TERMINAL = frozenset(
    {TaskStatus.COMPLETED, TaskStatus.FAILED, TaskStatus.CANCELLED, TaskStatus.SKIPPED, TaskStatus.UNKNOWN}
)
#: Statuses of a task that has not started: only these may be edited (I3).
UNSTARTED = frozenset({TaskStatus.PENDING, TaskStatus.WAITING_DEPENDENCY})


_last_stamp = 0.0


def stamp() -> float:
    """Seconds since the epoch for a new object, to the millisecond: what is made together shares one float object.

    A plan of 100,000 tasks and 300,000 links would otherwise keep 400,000 of them.
    """
    global _last_stamp  # noqa: PLW0603  # the cache is the point
    now = time.time()
    if not 0.0 <= now - _last_stamp < 0.001:
        _last_stamp = now
    return _last_stamp


def new_id() -> str:
    """A fresh UUID of version 4, as text."""
    import uuid  # asks the platform about itself when it is imported; a plan that names its tasks needs none

    return str(uuid.uuid4())


def as_datetime(moment: float | datetime | None) -> datetime | None:
    """A moment in UTC; seconds since the epoch are what the kernel keeps, because they cost half as much."""
    if moment is None or isinstance(moment, datetime):
        return moment
    return datetime.fromtimestamp(moment, UTC)


#: Of a result that `_is_unheard`, in words.
UNHEARD: Final = "what it printed and returned is lost, or only its beginning is kept: nobody was connected when it ended, and its device was asked afterwards how it did"
#: The same of one of which somebody said that it was done, and not what it left.
UNSAID: Final = "what it printed and returned is lost, or only its beginning is kept: somebody said that it was done (resolved as completed), and not what came of it"
UNSAID_FAILED: Final = UNSAID.replace("was done (resolved as completed)", "had failed (resolved as failed)")
#: The key in the metadata of such a result.
BY_HAND: Final = "resolved_by_hand"
#: The key in the metadata of a result whose end nobody saw: its end is when that was found out.
ENDED_UNSEEN: Final = "ended_unseen"


def by_hand(metadata: Mapping[str, Any] | None, stdout: str | None) -> dict[str, Any]:
    """The metadata of a result whose end nobody knew, and of which somebody says how it was, and not what it left.

    What its device has told afterwards of its output holds, whoever says how it ended.
    """
    told = dict(metadata or {})
    if not (told.get("settled") and stdout is not None):
        told[BY_HAND] = True
    return told


class KeptFiles(dict[str, str]):
    """The files of a recorded result. `kept` has, by path, the size (bytes) and SHA-256 that were recorded.

    `digests` has, by path, what was found when they were read again: whoever can wait enters it.
    """

    __slots__ = ("digests", "kept")

    def __init__(self, files: Mapping[str, str], kept: Mapping[str, tuple[int, str]]) -> None:
        super().__init__(files)
        self.kept = {path: kept[path] for path in files.values() if path in kept}
        self.digests: dict[str, str] = {}

    def lost(self, name: str) -> str | None:
        """What has become of a file since it was recorded; None if it is as it was, as far as anybody has read it."""
        path = self.get(name)
        if path not in self.kept:
            return None
        size, digest = self.kept[path]
        try:
            found = os.stat(path).st_size
        except OSError as error:
            return f"it had {size} bytes, and cannot be read: {error.strerror}"
        if found != size:
            return f"it had {size} bytes, and has {found}"
        return None if self.digests.get(path, digest) == digest else f"its {size} bytes are others"


class ExecutionResult:
    """What came of a task.

    `result` is the payload (`value` is the same): the standard output of a command, the return value of a call.
    `stdout` and `stderr` are text, undecodable bytes replaced; `exit_code`, `stdout` and `stderr` are None for what
    has none. `files` maps the names of collected output files to where they lie. `attempts` counts the starts.
    """

    __slots__ = (
        "_end",
        "_metadata",
        "_start",
        "attempts",
        "device_id",
        "error",
        "exit_code",
        "files",
        "result",
        "status",
        "stderr",
        "stdout",
        "task_id",
    )

    #: The keys of `to_dict`.
    KEYS: ClassVar = frozenset(
        {
            "task_id",
            "status",
            "result",
            "error",
            "metadata",
            "start_time",
            "end_time",
            "stdout",
            "stderr",
            "exit_code",
            "device_id",
            "attempts",
            "files",
        }
    )

    def __init__(
        self,
        task_id: str,
        status: TaskStatus | str,
        result: Any = None,
        error: BaseException | str | None = None,
        metadata: dict[str, Any] | None = None,
        start_time: float | datetime | None = None,
        end_time: float | datetime | None = None,
        *,
        stdout: str | None = None,
        stderr: str | None = None,
        exit_code: int | None = None,
        device_id: str | None = None,
        attempts: int = 1,
        files: Mapping[str, str] | None = None,
    ) -> None:
        self.task_id = task_id
        self.status = status
        self.result = result
        self.error = error
        self._metadata = metadata
        self._start = start_time
        self._end = end_time
        self.stdout = stdout
        self.stderr = stderr
        self.exit_code = exit_code
        self.device_id = device_id
        self.attempts = attempts
        self.files = files

    @property
    def _is_unheard(self) -> bool:
        """Whether it was said afterwards how it ended, by its device or by somebody, and not all that it printed and returned."""
        told = self._metadata
        if told and told.get(BY_HAND):
            return True  # what is there is a beginning: of a lost link nobody knows how much is missing
        if not told or not told.get("settled"):
            return False
        return bool(told.get("truncated")) or (self.stdout is None and self.result is None)

    @property
    def _why_unheard(self) -> str:
        """Why, in words."""
        if not (self._metadata and self._metadata.get(BY_HAND)):
            return UNHEARD
        return UNSAID if self.status == TaskStatus.COMPLETED else UNSAID_FAILED

    @property
    def _why_unfetched(self) -> str:
        """Why none of the files that it may have left is here, in words; empty if it left none."""
        told = self._metadata or {}
        if told.get(BY_HAND):
            return "that task was resolved by hand, so that nobody has fetched what it left"
        if told.get("settled") or told.get(ENDED_UNSEEN):
            return "nobody was there when that task ended, so that nobody has fetched what it left"
        return ""

    @property
    def value(self) -> Any:
        """The payload, under the name that plan files use."""
        return self.result

    @property
    def metadata(self) -> dict[str, Any]:
        """What else the device or the kernel had to say; made when first asked for."""
        if self._metadata is None:
            self._metadata = {}
        return self._metadata

    @metadata.setter
    def metadata(self, metadata: dict[str, Any]) -> None:
        self._metadata = metadata

    @property
    def start_time(self) -> datetime | None:
        """When the last attempt started, in UTC."""
        return as_datetime(self._start)

    @start_time.setter
    def start_time(self, moment: float | datetime | None) -> None:
        self._start = moment

    @property
    def end_time(self) -> datetime | None:
        """When the last attempt ended, in UTC."""
        return as_datetime(self._end)

    @end_time.setter
    def end_time(self, moment: float | datetime | None) -> None:
        self._end = moment

    @property
    def execution_time(self) -> float | None:
        """Seconds of the last attempt, 0 if the clock was set back meanwhile; None while either end is missing."""
        start, end = self.start_time, self.end_time
        return None if start is None or end is None else max(0.0, (end - start).total_seconds())

    @property
    def is_successful(self) -> bool:
        """Whether it completed, without an error."""
        return self.status in ("completed", "success") and self.error is None

    def __repr__(self) -> str:
        error = f", error={message_of(self.error)!r}" if self.error is not None else ""
        return f"<ExecutionResult {self.task_id!r} {self.status!s}{error}>"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, ExecutionResult):
            return NotImplemented
        return self.to_dict() == other.to_dict()

    __hash__ = None  # type: ignore[assignment]  # mutable, and compared by value

    def to_dict(self) -> dict[str, Any]:
        """Plain data. Payloads that JSON cannot hold are described, not followed (see `model.serial.plain`)."""
        from galaxy_core.model.serial import plain  # a cycle otherwise: serial describes results too

        start, end = self.start_time, self.end_time
        return {
            "task_id": self.task_id,
            "status": str(self.status),
            "result": plain(self.result),
            "error": None if self.error is None else text_of(self.error),
            "metadata": plain(self.metadata),
            "start_time": start.isoformat() if start else None,
            "end_time": end.isoformat() if end else None,
            "stdout": self.stdout,
            "stderr": self.stderr,
            "exit_code": self.exit_code,
            "device_id": self.device_id,
            "attempts": self.attempts,
            "files": dict(self.files) if self.files else {},
        }

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> ExecutionResult:
        """The inverse of `to_dict`; an error comes back as an Exception of the same text.

        Raises:
            DocumentError: it is no such dictionary.
        """
        from galaxy_core.model.documents import result_from_dict  # documents builds results, so it imports this module

        return result_from_dict(document)
