"""Attempts, and how they end: what passes between the kernel and a session of a transport.

Every attempt ends in one of three ways. It is *completed*: the far side said how. It was *refused*: it certainly did not
start. Or it is *unknown*: it may have started, and nobody can vouch for how it ended. Unknown is never turned into success,
nor into a plain failure.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from secrets import token_hex
from typing import TYPE_CHECKING, Any, Literal, Protocol

from attrs import define

from galaxy_core.model.policy import Effect

if TYPE_CHECKING:
    from galaxy_core.model.request import Request
    from galaxy_core.model.task import TaskStar

#: How far an attempt has come, as its session says; see `Attempt.sent` and `Attempt.acknowledged`.
Progress = Literal["new", "sent", "acknowledged"]


@define
class Completed:
    """The attempt ran to its end and the device said how.

    `error` set means that it failed; otherwise a non-zero `exit_code` does. `value` is the payload, by default the
    standard output. `files` maps collected output names to local paths. `truncated` says that output was dropped.
    """

    value: Any = None
    exit_code: int | None = None
    stdout: str | None = None
    stderr: str | None = None
    error: BaseException | str | None = None
    files: Mapping[str, str] | None = None
    metadata: dict[str, Any] | None = None
    truncated: bool = False


@define
class Refused:
    """The attempt certainly did not start; it may be tried again wherever it fits, whatever its effect."""

    reason: str


@define
class Unknown:
    """The attempt may have started, and nobody can vouch for how it ended (a lost link, a lost answer).

    `said` is what it had said until then: it stands in the result, and never makes a success of it.
    """

    reason: str
    said: Completed | None = None


Outcome = Completed | Refused | Unknown


class Attempt:
    """One try of one task on one device, as a session gets it. Read it; do not change it.

    `request` has its references already replaced by values. `lease` is unique among all attempts of a device manager:
    what a device does for one lease is not mistaken for another's. `timeout_s` is what the task allows for one
    attempt, or None; the kernel enforces it by cancelling `execute`, so a session needs it only for its far side.
    A session that is cancelled may leave in `partial` what the attempt had said until then; it stands in the result. If it
    could not make sure that the work has stopped, it leaves `Unknown` there, with what was said in `said`. If the command
    had ended well, and only its files were being fetched, it leaves `Completed` with `not_collected` in the metadata: then
    a deadline has the device asked again, and nothing runs again.

    `leaves_marker` asks a session that settles for a marker on the far side, see `SessionThatSettles`: the run is journalled,
    or its kernel wants to ask, and the task may run once only. `is_let_go` is set before it is cancelled in order to go on without
    us, see `SessionThatSettles.lets_go`. `on_progress` is called with the attempt at each change of
    `progress`; it must not wait or raise.
    """

    __slots__ = (
        "_artifacts",
        "_on_progress",
        "_output",
        "_run_mark",
        "device_id",
        "is_let_go",
        "lease",
        "leaves_marker",
        "number",
        "partial",
        "progress",
        "request",
        "run_id",
        "task",
        "timeout_s",
    )

    def __init__(
        self,
        run_id: str,
        task: TaskStar,
        device_id: str,
        number: int,
        lease: int,
        request: Request | None,
        timeout_s: float | None,
        output: OutputSink | None = None,
        artifacts: ArtifactFolder | None = None,
        run_mark: str = "",
        *,
        leaves_marker: bool = False,
        on_progress: Callable[[Attempt], None] | None = None,
    ) -> None:
        self.run_id = run_id
        self.task = task
        self.device_id = device_id
        self.number = number
        self.lease = lease
        self.request = request
        self.timeout_s = timeout_s
        self.partial: Completed | Unknown | None = None
        self.progress: Progress = "new"
        self._output = output
        self._artifacts = artifacts
        self._run_mark = run_mark
        self.leaves_marker = leaves_marker
        self.is_let_go = False
        self._on_progress = on_progress

    @classmethod
    def restored(
        cls,
        run_id: str,
        task: TaskStar,
        device_id: str,
        number: int,
        lease: int,
        mark: str,
        artifacts: ArtifactFolder | None = None,
    ) -> Attempt:
        """An attempt of a process that is no more, as `settle` and `stop` get it. `mark` is the attempt's own.

        It has no `request`, because what references led to then is not known any more: that of its task has the rest.
        """
        leaves_marker = task.effect is Effect.ONCE
        attempt = cls(
            run_id, task, device_id, number, lease, None, None, artifacts=artifacts, leaves_marker=leaves_marker
        )
        attempt._run_mark = mark.removesuffix(f"-{lease:08x}")
        return attempt

    @property
    def task_id(self) -> str:
        """The task's id."""
        return self.task.task_id

    @property
    def mark(self) -> str:
        """A text by which the far side's processes of this attempt can be told from all others: letters, digits and "-".

        Unlike `lease` it is of this attempt alone, whichever process orchestrates; no mark is the beginning of another.
        """
        if not self._run_mark:
            self._run_mark = token_hex(8)
        return f"{self._run_mark}-{self.lease:08x}"

    def sent(self) -> None:
        """Say that the first byte which may start the work is about to leave.

        From now on an exception of `execute` no longer means that the attempt failed, but that its outcome is unknown.
        Without this call an exception is a failure, as befits work that is done in this process.
        """
        if self.progress == "new":
            self.progress = "sent"
            if self._on_progress is not None:
                self._on_progress(self)

    def acknowledged(self) -> None:
        """Say that the far side has told us that it started the work."""
        if self.progress != "acknowledged":
            self.progress = "acknowledged"
            if self._on_progress is not None:
                self._on_progress(self)

    @property
    def wants_output(self) -> bool:
        """Whether anybody listens to output as it comes."""
        return self._output is not None

    def emit(self, stream: str, text: str) -> None:
        """Pass on output as it comes; `stream` is "stdout" or "stderr". Never waits, never raises."""
        if self._output is not None:
            self._output(self, stream, text)

    def artifact_path(self, name: str) -> Path:
        """Where a file of this attempt is to be kept on this machine; its folder exists.

        Raises:
            ValueError: `name` is not one plain path component.
        """
        if self._artifacts is None:
            raise ValueError(f"task {self.task_id!r} keeps no files: it runs outside of an orchestrated run")
        return self._artifacts(self, name)


class OutputSink(Protocol):
    """Receives output as it comes; see `Attempt.emit`."""

    def __call__(self, attempt: Attempt, stream: str, text: str, /) -> None: ...


class ArtifactFolder(Protocol):
    """Names a place for a file of an attempt; see `Attempt.artifact_path`."""

    def __call__(self, attempt: Attempt, name: str, /) -> Path: ...
