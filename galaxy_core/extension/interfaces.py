"""The Protocols that plugins implement, and the values that pass between them and the kernel.

Nothing here runs. A transport opens sessions, a session executes attempts, a strategy places tasks, an observer hears
events. The hooks through which a plugin hands these objects over are in `hookspecs`. Attempts and transports have modules
of their own, and are to be imported from here, too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from attrs import define, field, frozen

from galaxy_core.extension.attempts import (
    ArtifactFolder,
    Attempt,
    Completed,
    Outcome,
    OutputSink,
    Progress,
    Refused,
    Unknown,
)
from galaxy_core.extension.journals import Durability, Journal, JournalWriter
from galaxy_core.extension.transports import (
    FEATURES,
    FEATURES_OF_COMMANDS,
    Session,
    SessionThatSettles,
    SessionThatWatches,
    SessionWithFacts,
    Sighting,
    SightingSink,
    Simulator,
    Transport,
    TransportThatDiscovers,
    TransportThatReturns,
)
from galaxy_core.model.events import Event
from galaxy_core.model.task import TaskStar

if TYPE_CHECKING:
    from galaxy_core.errors import EditError
    from galaxy_core.model.constellation import TaskConstellation
    from galaxy_core.model.edits import Transaction
    from galaxy_core.model.preview import Preview

__all__ = [
    "FEATURES",
    "FEATURES_OF_COMMANDS",
    "ArtifactFolder",
    "AssignmentStrategy",
    "Attempt",
    "Completed",
    "DeviceLoad",
    "Durability",
    "EndedTasks",
    "IEventObserver",
    "Journal",
    "JournalWriter",
    "Outcome",
    "OutputSink",
    "Placement",
    "Progress",
    "ProposedEdit",
    "Refused",
    "RunInfo",
    "Session",
    "SessionThatSettles",
    "SessionThatWatches",
    "SessionWithFacts",
    "Sighting",
    "SightingSink",
    "Simulator",
    "TaskToPlace",
    "Transport",
    "TransportThatDiscovers",
    "TransportThatReturns",
    "Unknown",
]

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
    `running` and `queued`); `assigned_s` sums their estimates, 1 second for each that has none. `facts` is what the device
    has told about itself; empty until it is connected, and of a transport that declares no `facts`.
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
    facts: Mapping[str, str] = field(factory=dict)


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
