"""Transports and their sessions: how devices are reached, found, and watched.

What is optional here is declared in `Transport.features`, once: the kernel checks plans by it before anything runs, and
the contract kit (`galaxy_core.testing.contract`) proves what is declared, and nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol, runtime_checkable

from attrs import field, frozen

from galaxy_core.extension.attempts import Attempt, Outcome

if TYPE_CHECKING:
    from galaxy_core.model.device import Device

#: The keys of a command, beside the command itself, that a transport may take.
FEATURES_OF_COMMANDS: Final = frozenset({"cwd", "env", "stdin", "files", "outputs"})
#: What else a transport may declare, and what it promises by that.
FEATURES: Final[Mapping[str, str]] = {
    "cwd": "a command's working folder is respected",
    "env": "a command's environment variables are set",
    "stdin": "a command gets its standard input, byte for byte",
    "files": "files are put into a command's working folder before it starts",
    "outputs": "files that a command leaves are collected",
    "streams": "output is passed on while it is made (Attempt.emit)",
    "counts": "output is capped in memory, the rest goes to a file, and all of it is counted (metadata stdout_bytes, …)",
    "stops": "a cancelled attempt is stopped on the far side, with all that it started",
    "sends": "attempts say when they are sent and acknowledged (Attempt.sent)",
    "settles": "a session finds out what became of an attempt of an earlier session (Session.settle, stop, release)",
    "facts": "a session knows facts of its device once it is open (Session.facts)",
    "watches": "a session says by itself that its link is gone (Session.until_lost)",
    "returns": "the transport says when a device is worth another try (Transport.until_back)",
    "discovers": "the transport finds devices by itself (Transport.discover)",
}


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
        its error (in place of `SystemExit` and the like, a PluginError caused by it), unless the attempt was `sent`: then
        its outcome is unknown. So is an outcome of which a field
        is of another kind than `Completed` says; what was sound in it stands in the result.

        Return `Refused` only while nothing has left that may start the work. An attempt that is cancelled should be over
        within a second: either the far side has confirmed that the work is gone, or `partial` is `Unknown`.

        The kernel waits until a cancelled `execute` has ended, however long that takes, and gives nothing away before:
        the slot stays taken, the task running, and its run goes on. Other slots, deadlines and runs are not held up.
        If `execute` swallows the cancellation, what it returns counts only when it is `Completed` with success, or
        `Unknown` after a deadline; otherwise the task ends by what it was cancelled for, such as its deadline. When the
        device was lost, nothing counts but `Refused`.
        """
        ...

    async def probe(self) -> Mapping[str, str]:
        """Ask the device whether it lives; return facts about it (names and values, may be empty).

        Raises whatever it likes when it does not live. Called with a deadline. It asks the device, not what stands
        before it: a frozen phone still has a server that lists it.
        """
        ...


class SessionWithFacts(Session, Protocol):
    """A session of a transport that declares `facts`."""

    #: What is known of the device since it was connected, such as its model or its system; names and values are text.
    facts: Mapping[str, str]


class SessionThatWatches(Session, Protocol):
    """A session of a transport that declares `watches`."""

    async def until_lost(self) -> str:
        """Wait until the link is gone, and return why. Cancelled when the session is closed."""
        ...


class SessionThatSettles(Session, Protocol):
    """A session of a transport that declares `settles`.

    For an attempt whose `leaves_marker` is set, `execute` leaves something on the far side that outlives the session, under
    the attempt's `mark`: that the attempt is about to start, *before* anything of it starts and in a way that cannot
    succeed twice (such as making a folder), and how it ended, as soon as it has. A second start under a mark that is
    there is `Refused`. Such an attempt goes on to its end when its session is lost, if the far side lets it.

    The attempts given to `settle` and `stop` may be of a process that has died since: `mark`, `lease`, `number`, `task_id`
    and `leaves_marker` are as they were, while `request` may be None or hold references that nobody has replaced.

    Optionally it has ``async def expect(self, run_mark: str, /) -> None``, called before the start of any attempt whose mark
    begins with `run_mark` is recorded, as far as the session is there by then: what it leaves on the far side shows later
    that markers of this run would be there, had there been any, so that a missing one means that nothing has started.

    And optionally it has ``def lets_go(self, attempt: Attempt, /) -> bool``, which never waits or raises: whether an attempt that
    is in `execute` or `settle` has a marker, and can go on to its end without us. If so, the kernel may set `attempt.is_let_go`
    and cancel: then nothing is stopped on the far side, as when the link is lost, now or when the session is closed; `partial`
    is left `Unknown`, unless nothing was sent; and a later session settles it. That is done when the journal of a run has
    failed: how the attempt ends could not be kept. Attempts that are not let go are waited for then.
    """

    async def settle(self, attempt: Attempt, /) -> Outcome:
        """Find out what became of an attempt of an earlier session, and wait for its end while it still runs.

        `Completed`: it has ended, and how is certain; output only if it was kept, and `metadata["settled"]` is True. With the
        `outputs` of its command, fetched now, if the transport declares these. What is known of an end is left in
        `attempt.partial` when it is cancelled meanwhile, and is in `Unknown.said` when they cannot be kept on this machine.
        `Refused`: it has not started, and never will: from now on nothing can start under this mark. `Unknown`: anything
        else, such as an attempt that left no marker. May be asked again, with the same answer. Once cancelled, it has
        stopped the work, or has left `Unknown` in `attempt.partial`; as with `execute`. When its link is lost it
        raises `DeviceLostError`, is asked again in another session, and the work goes on meanwhile.
        """
        ...

    async def stop(self, attempt: Attempt, /) -> None:
        """End whatever still runs of an attempt of an earlier session, marker or not; one with a marker is kept from starting.

        Leaves `Unknown` in `attempt.partial`, with the reason, if that cannot be made sure. Of what was
        stopped in its middle `settle` says `Unknown`, or the exit status that being stopped gave it.
        """
        ...

    def release(self, mark: str, /) -> None:
        """What became of the attempt with this `mark` is known for good: its marker may go, soon. Never waits or raises.

        What keeps an attempt from starting that has not started has to stay for a while: on a slow link, its start may be on its way.
        """
        ...


@runtime_checkable
class Transport(Protocol):
    """A way to reach devices.

    `settings_model` is a pydantic model class for a device's `settings`, or None when it takes none.
    `requests` are the kinds it accepts: of "run", "shell", "call" and "none" (a task without a request, whose
    description is all it has). `actions` maps the names of its own requests to pydantic model classes.
    `device_type` is what its devices are unless their inventory says otherwise, or None.

    Optionally a transport has `features: frozenset[str]`, names from `FEATURES`; one that has none takes every key of a
    command (`FEATURES_OF_COMMANDS`) and promises nothing else. A plan that gives one of its tasks a key that is not
    declared is refused before it runs.
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


def features_of(transport: Transport | None) -> frozenset[str]:
    """What a transport declares; see `FEATURES`."""
    features: frozenset[str] = getattr(transport, "features", FEATURES_OF_COMMANDS)
    return features


class TransportThatReturns(Transport, Protocol):
    """A transport that declares `returns`."""

    async def until_back(self, device: Device, settings: Any, /) -> None:
        """Wait until there is a reason to connect to a lost device again, such as that it was plugged in.

        May return too early, or not at all: the kernel tries again by itself after a while, too.
        """
        ...


@frozen
class Sighting:
    """What a transport that discovers has seen of one device.

    `key` is what the transport knows it by, such as a serial number: any text, a hostile one, too. `settings` are those
    with which a device of this transport would reach it, never secrets. `problem` says why it is present and cannot be
    used ("unauthorized: agree on the phone's screen").
    """

    key: str
    present: bool
    settings: Mapping[str, Any] = field(factory=dict)
    facts: Mapping[str, str] = field(factory=dict)
    problem: str | None = None


class SightingSink(Protocol):
    """Receives sightings; see `TransportThatDiscovers.discover`. Never waits, never raises."""

    def __call__(self, sighting: Sighting, /) -> None: ...


class TransportThatDiscovers(Transport, Protocol):
    """A transport that declares `discovers`.

    `discovery_model` is a pydantic model class for the `settings` of an entry below `discover` in an inventory, or None.
    """

    discovery_model: Any

    async def discover(self, settings: Any, seen: SightingSink, /) -> None:
        """Call `seen` for each device that is there, and for each that comes, changes or goes, until cancelled.

        It survives the loss of what it asks, such as a server that is restarted, by itself; what it raises is reported,
        and it is called again after a while.
        """
        ...


# -------------------------------------------------------------------------------------------------------- simulators


@runtime_checkable
class Simulator(Protocol):
    """Simulated devices, for `galaxy simulate NAME` and for tests. `name` is what they are, such as "phone"."""

    name: str

    def simulate(self, count: int, folder: Path, /) -> AbstractAsyncContextManager[Sequence[Device]]:
        """Start `count` of them and yield how an inventory reaches them; leaving ends them, and leaves nothing behind.

        `folder` exists, belongs to this simulator alone and is removed by the caller. Settings that are secret refer to
        files in it.

        Raises:
            SimulatorError: they cannot be started here, such as for want of a program.
        """
        ...
