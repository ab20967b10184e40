"""The Protocols that plugins implement, and the values that pass between them and the kernel.

Nothing here runs. A transport opens sessions, a session executes attempts, a strategy places tasks, an observer hears
events. The hooks through which a plugin hands these objects over are in `hookspecs`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from attrs import define, field, frozen

from galaxy_core.model.device import Device
from galaxy_core.model.events import Event
from galaxy_core.model.request import Request
from galaxy_core.model.task import TaskStar

if TYPE_CHECKING:
    from galaxy_core.errors import EditError
    from galaxy_core.model.constellation import TaskConstellation
    from galaxy_core.model.edits import Transaction
    from galaxy_core.model.preview import Preview

# ------------------------------------------------------------------------------------------------------- transports


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
    """The attempt may have started, and nobody can vouch for how it ended (a lost link, a lost answer)."""

    reason: str


Outcome = Completed | Refused | Unknown


class Attempt:
    """One try of one task on one device, as a session gets it. Read it; do not change it.

    `request` has its references already replaced by values. `lease` is unique among all attempts of a device manager:
    what a device does for one lease is not mistaken for another's. `timeout_s` is what the task allows for one
    attempt, or None; the kernel enforces it by cancelling `execute`, so a session needs it only for its far side.
    A session that is cancelled may leave in `partial` what the attempt had said until then; it stands in the result.
    """

    __slots__ = (
        "_artifacts",
        "_output",
        "device_id",
        "lease",
        "number",
        "partial",
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
    ) -> None:
        self.run_id = run_id
        self.task = task
        self.device_id = device_id
        self.number = number
        self.lease = lease
        self.request = request
        self.timeout_s = timeout_s
        self.partial: Completed | None = None
        self._output = output
        self._artifacts = artifacts

    @property
    def task_id(self) -> str:
        """The task's id."""
        return self.task.task_id

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


@runtime_checkable
class Session(Protocol):
    """An open connection to one device.

    The kernel calls `execute` up to `max_concurrency` times at once, each from its own task.
    """

    async def execute(self, attempt: Attempt, /) -> Outcome:
        """Run one attempt to its end and say how it ended.

        Cancellation must stop the work on the far side and leave nothing behind; the kernel uses it for deadlines,
        too. A failing task is a returned `Completed`, not an exception. `DeviceLostError` counts as `Unknown` and has
        the session closed and opened again; any other exception is a failure of this attempt, with that exception as
        its error (in place of `SystemExit` and the like, a PluginError caused by it). So is an outcome of which a field
        is of another kind than `Completed` says; what was sound in it stands in the result.

        The kernel waits until a cancelled `execute` has ended, however long that takes, and gives nothing away before:
        the slot stays taken, the task running, and its run goes on. Other slots, deadlines and runs are not held up.
        If `execute` swallows the cancellation, what it returns counts only when it is `Completed` with success, or
        `Unknown` after a deadline; otherwise the task ends by what it was cancelled for, such as its deadline. When the
        device was lost, nothing counts but `Refused`.
        """
        ...

    async def probe(self) -> Mapping[str, str]:
        """Ask the device whether it lives; return facts about it (names and values, may be empty).

        Raises whatever it likes when it does not live. Called with a deadline.
        """
        ...


@runtime_checkable
class Transport(Protocol):
    """A way to reach devices.

    `settings_model` is a pydantic model class for a device's `settings`, or None when it takes none.
    `requests` are the kinds it accepts: of "run", "shell", "call" and "none" (a task without a request, whose
    description is all it has). `actions` maps the names of its own requests to pydantic model classes.
    `device_type` is what its devices are unless their inventory says otherwise, or None.
    """

    name: str
    settings_model: Any
    requests: frozenset[str]
    actions: Mapping[str, Any]
    device_type: str | None

    def open(self, device: Device, settings: Any, /) -> AbstractAsyncContextManager[Session]:
        """A session to `device`; `settings` is an instance of `settings_model` (or None).

        Entering connects and may raise anything when it cannot; leaving disconnects. Both happen in one task.
        """
        ...


# ------------------------------------------------------------------------------------------------------- strategies


@define
class TaskToPlace:
    """A task that needs a device. `fitting` are the ids of the devices that can run it, in inventory order, never empty.

    `estimate_s` is the expected duration in seconds, or None when nothing is known.
    """

    task_id: str
    priority: int
    device_type: str | None
    requires: frozenset[str]
    fitting: tuple[str, ...]
    estimate_s: float | None


@define
class DeviceLoad:
    """A device as a strategy sees it, and what it already holds of all constellations.

    `running` and `queued` count attempts now; `assigned` counts tasks placed on it that have not ended (it includes
    `running` and `queued`); `assigned_s` sums their estimates, 1 second for each that has none.
    """

    device_id: str
    device_type: str | None
    capabilities: frozenset[str]
    metadata: Mapping[str, Any]
    max_concurrency: int
    running: int = 0
    queued: int = 0
    assigned: int = 0
    assigned_s: float = 0.0


@frozen
class Placement:
    """What a strategy is asked: place `tasks` on `devices`.

    `tasks` are in plan order. `prerequisites` maps a task id to the ids it waits for (only for tasks that wait for
    any). Everything here is the strategy's own copy.
    """

    tasks: Sequence[TaskToPlace]
    devices: Mapping[str, DeviceLoad]
    prerequisites: Mapping[str, Sequence[str]] = field(factory=dict)


@runtime_checkable
class AssignmentStrategy(Protocol):
    """Decides which device runs which task, among those that fit.

    Optionally a strategy has ``choose(ready, free)``: given ready tasks (`Sequence[TaskToPlace]`, highest priority
    first, then oldest; of each class no more than there are slots) and the devices that have a free slot
    (`Mapping[str, DeviceLoad]`), it returns `(task_id, device_id)` pairs to start now. `fitting` is as for `assign`;
    only devices in `free` may be chosen. With `choose`, tasks are bound late, at dispatch, and `assign` serves only
    callers who ask for a whole assignment.
    """

    name: str

    def assign(self, placement: Placement, /) -> Mapping[str, str]:
        """A device id for every task of `placement.tasks`, each among that task's `fitting`.

        Called for the whole plan at the start, and again for tasks not yet started when devices come or go or tasks
        are added. Must be deterministic and must not wait; a task left out or placed elsewhere is an error.
        """
        ...


# -------------------------------------------------------------------------------------------------------- observers


@runtime_checkable
class IEventObserver(Protocol):
    """Hears events. Whatever it raises is logged under its name and harms nobody.

    An observer that also has ``async def on_events(self, events: Sequence[Event])`` gets events in batches, in order,
    through that method alone: cheaper by far when there are many.
    """

    async def on_event(self, event: Event) -> None:
        """Called once for each event, one at a time, in order."""
        ...


# ---------------------------------------------------------------------------------------------------------- journal


@runtime_checkable
class Journal(Protocol):
    """Keeps what happened. A run that has a journal opens it at the start and writes to it before it goes on."""

    name: str

    def open(self, run: RunInfo, /) -> AbstractAsyncContextManager[JournalWriter]:
        """A writer for one run. Entering may raise to refuse the run; leaving makes what was written durable."""
        ...


@runtime_checkable
class JournalWriter(Protocol):
    """Writes one run's events."""

    async def write(self, events: Sequence[Event], /) -> None:
        """Keep `events`: each event of the run once, in order, in batches, a little after it happened.

        Raising cancels the run, which then raises RunError with that error as its cause.
        """
        ...


# ------------------------------------------------------------------------------------------------------------- runs


@frozen
class RunInfo:
    """A run, as deciding and observing hooks see it. `assignments` maps task ids to device ids.

    `metadata` is what its caller noted; `extensions` what the plan tells plugins, by the plugin's name.
    """

    constellation_id: str
    name: str
    tasks: Sequence[TaskStar]
    assignments: Mapping[str, str]
    metadata: Mapping[str, Any]
    extensions: Mapping[str, Any] = field(factory=dict)


@frozen
class ProposedEdit:
    """An edit that is about to be committed, as reviewing hooks see it. `preview` says what it would change."""

    constellation_id: str
    transaction: Transaction
    preview: Preview


@frozen
class EndedTasks:
    """Tasks that have ended since an editor was last asked, in the order of their ends.

    `plan` and `tasks` are the live ones: read them, and propose what is to change. `revision` is what a proposal is
    based on. `refused` says why the last proposal about these ends could not be committed; None the first time.
    """

    constellation_id: str
    plan: TaskConstellation
    tasks: tuple[TaskStar, ...]
    revision: int
    refused: EditError | None = None
