"""Lanes: what the scheduler knows of devices. A device is a counter of free slots and a queue, nothing more.

Lanes are shared by all runs over the same devices. A slot is taken before a task becomes runnable; each attempt holds
it under a lease, whose number no other attempt ever has.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from itertools import count
from typing import TYPE_CHECKING, Any, Literal, Protocol

from galaxy_core.errors import UnknownDeviceError
from galaxy_core.extension.interfaces import DeviceLoad, Session, Transport
from galaxy_core.model.device import Device, DeviceStatus
from galaxy_core.model.reasons import message_of
from galaxy_core.model.request import Call, Command, Request

if TYPE_CHECKING:
    from galaxy_core.model.task import TaskStar
    from galaxy_core.runtime.flow import Flow
from galaxy_core.runtime.worker import Worker

#: Seconds that a task without an estimate counts for in a device's load.
DEFAULT_ESTIMATE_S = 1.0


class Holder(Protocol):
    """Whoever queues tasks on lanes: a run, or a single task on its own."""

    def dispatch(self, task: TaskStar, lane: Lane, ticket: int) -> None:
        """A task got a slot."""

    def lane_changed(self, lane: Lane) -> None:
        """A device came, went or was given up."""

    @property
    def busy(self) -> list[Worker]:
        """The workers that are at an attempt."""


class Lane:
    """One device: its session while it has one, its free slots, and what is queued for it.

    Tickets only ever grow, so a queue per priority is in order without being sorted. `queued` counts their entries.
    `gone` means that nobody tries to reach the device any more; a lane without session that is not gone may come back.
    """

    __slots__ = (
        "_queues",
        "assigned",
        "assigned_s",
        "book",
        "device",
        "error",
        "facts",
        "free",
        "gone",
        "lost",
        "queued",
        "session",
        "status",
        "transport",
    )

    def __init__(self, device: Device, book: LaneBook) -> None:
        self.device = device
        self.book = book
        self.transport: Transport | None = None
        self.session: Session | None = None
        self.status = DeviceStatus.DISCONNECTED
        self.error: BaseException | None = None
        self.facts: Mapping[str, str] = {}  # what the device has told about itself; replaced, never changed
        self.gone = True
        self.lost: Callable[[BaseException], None] = _nobody_cares
        self.free = device.max_concurrency
        self.queued = 0
        self._queues: dict[int, deque[tuple[int, Holder, TaskStar]]] = {}  # by rank, the most urgent first
        self.assigned = 0
        self.assigned_s = 0.0

    @property
    def device_id(self) -> str:
        """The device's id."""
        return self.device.device_id

    @property
    def running(self) -> int:
        """The number of slots that are taken."""
        return self.device.max_concurrency - self.free

    def lacks(self, needs: Requirements) -> str | None:
        """What the device is missing for such tasks, in words; None when it fits. See `takes`, too."""
        return self.device.lacks(needs[0], needs[1])

    def why_away(self) -> str:
        """Why it has no session, in words that follow its name."""
        why = message_of(self.error).removeprefix(f"device {self.device_id!r} is lost: ") if self.error else ""
        return f"is {self.status.value}" + (f" ({why})" if why else "")

    def takes(self, kind: str | None) -> bool:
        """Whether the transport takes requests of that kind, as far as the kind tells."""
        transport = self.transport
        return transport is None or takes(transport, kind)

    def offer(self, run: Holder, task: TaskStar, ticket: int) -> None:
        """Queue a task, or hand it to its run with a slot when one is free."""
        if self.free and self.session is not None and not self.queued:
            self.free -= 1
            run.dispatch(task, self, ticket)
        else:
            self.push(run, task, ticket)
            if self.free:
                self.pump()

    def push(self, run: Holder, task: TaskStar, ticket: int) -> None:
        """Queue a task under its ticket, which no other task has had."""
        rank = -task._priority._value_
        queue = self._queues.get(rank)
        if queue is None:
            queue = self._queues[rank] = deque()
            self._queues = dict(sorted(self._queues.items()))
        queue.append((ticket, run, task))
        self.queued += 1

    def release(self) -> None:
        """Give a slot back; the next in the queue gets it."""
        self.free += 1
        if self.queued:
            self.pump()
        if self.book.hungry and self.free:
            for run in sorted(self.book.hungry, key=lambda run: run.placer.first):
                run.placer.choose(run)

    def pump(self) -> None:
        """Hand out free slots to what is queued."""
        while self.free and self.queued and self.session is not None:
            for queue in self._queues.values():
                if queue:
                    break
            ticket, run, task = queue.popleft()
            self.queued -= 1
            if task._ticket == ticket:
                self.free -= 1
                run.dispatch(task, self, ticket)

    def waiting(self) -> list[TaskStar]:
        """What is queued, in the order in which it will start."""
        return [task for queue in self._queues.values() for ticket, _, task in queue if task._ticket == ticket]

    def take_queue(self, run: Holder) -> list[TaskStar]:
        """Take a run's tasks out of the queue, with the void entries that it has left there."""
        taken = []
        for rank, queue in self._queues.items():
            others = deque(entry for entry in queue if entry[1] is not run)
            if len(others) == len(queue):
                continue
            for ticket, holder, task in queue:
                if holder is run and task._ticket == ticket:
                    task._ticket = 0
                    taken.append(task)
            self.queued += len(others) - len(queue)
            self._queues[rank] = others
        return taken

    def count_in(self, estimate_s: float | None) -> None:
        """A task of that estimate was assigned to this device."""
        self.assigned += 1
        self.assigned_s += DEFAULT_ESTIMATE_S if estimate_s is None else estimate_s

    def count_out(self, estimate_s: float | None) -> None:
        """A task that was counted in with that estimate ended, or went elsewhere."""
        self.assigned -= 1
        self.assigned_s -= DEFAULT_ESTIMATE_S if estimate_s is None else estimate_s

    def load(self) -> DeviceLoad:
        """The device as a strategy sees it."""
        device = self.device
        return DeviceLoad(
            device.device_id,
            device.device_type,
            device.capabilities,
            dict(device.metadata),
            device.max_concurrency,
            self.running,
            self.queued,
            self.assigned,
            max(0.0, self.assigned_s),
            self.facts,
        )


def _nobody_cares(error: BaseException) -> None:
    return None


#: Which devices count: those with a session; those that somebody tries to reach, too; all that are registered.
Reach = Literal["connected", "coming", "registered"]

#: Device type, capabilities, and the kind of the request (`kind_of`), None for a task without one.
Requirements = tuple[str | None, frozenset[str], str | None]


class LaneBook:
    """All lanes of a device manager, and which of them fit which requirements.

    `fitting` is remembered per class of requirements until a device comes or goes, so that it is O(1) per task.
    """

    def __init__(self) -> None:
        self.lanes: dict[str, Lane] = {}
        # Dictionaries as sets that keep their order: who comes first must not depend on where objects lie in memory.
        self.runs: dict[Holder, None] = {}
        self.hungry: dict[Flow, None] = {}  # runs with ready tasks that get their device only when a slot is free
        self.next_lease = count(1).__next__
        self.new_ticket = count(1).__next__
        # Of all lanes that there ever were: a lane that is taken out may have attempts that still clean up.
        self.most_slots = 0
        self.warned_of: set[str] = set()  # strategies that gave devices to tasks that do not exist
        self.may_be_found: Callable[[Requirements], bool] = _nothing_is_found
        self._fitting: dict[Any, tuple[str, ...]] = {}

    def add(self, device: Device) -> Lane:
        """A lane for a new device."""
        lane = self.lanes[device.device_id] = Lane(device, self)
        self.most_slots += device.max_concurrency
        self._fitting.clear()
        return lane

    def forget(self) -> None:
        """What fits has to be found out anew."""
        self._fitting.clear()

    def remove(self, device_id: str) -> Lane:
        """Forget a device; whoever waits for it is told."""
        lane = self.lanes.pop(device_id)
        lane.gone = True
        self.changed(lane)
        return lane

    def lane(self, device_id: str) -> Lane:
        """The lane of a device.

        Raises:
            UnknownDeviceError: it is not registered.
        """
        lane = self.lanes.get(device_id)
        if lane is None:
            raise UnknownDeviceError(device_id, self.lanes)
        return lane

    def available(self) -> list[Lane]:
        """Lanes with a session, in the order of registration."""
        return [lane for lane in self.lanes.values() if lane.session is not None]

    def fitting(self, needs: Requirements, reach: Reach = "connected") -> tuple[str, ...]:
        """Ids of the devices that meet `needs`: those with a session, those that may still come too, or all."""
        key = (needs, reach)
        found = self._fitting.get(key)
        if found is None:
            fits = {device_id: lane for device_id, lane in self.lanes.items() if lane.lacks(needs) is None}
            takers = {device_id: lane for device_id, lane in fits.items() if lane.takes(needs[2])}
            # When none takes such a request, each says so in its own words, before anything runs.
            fits = takers if takers or self.may_be_found(needs) else fits
            found = self._fitting[key] = tuple(
                device_id
                for device_id, lane in fits.items()
                if lane.session is not None or (reach == "coming" and not lane.gone) or reach == "registered"
            )
        return found

    def missing(self, needs: Requirements) -> dict[str, str]:
        """For each device what it lacks for `needs`, in words."""
        found = {}
        for device_id, lane in self.lanes.items():
            lack = lane.lacks(needs)
            if lack is None and not lane.takes(needs[2]):
                lack = f"does not take {needs[2] or 'a task without a request'} (transport {lane.device.transport!r})"
            if lack is None and lane.session is None:
                lack = f"fits, but {lane.why_away()}"
            if lack is not None:
                found[device_id] = lack
        return found

    def loads(self, device_ids: Iterable[str]) -> dict[str, DeviceLoad]:
        """These devices as a strategy sees them."""
        return {device_id: self.lanes[device_id].load() for device_id in device_ids}

    def busy(self, lane: Lane) -> list[Worker]:
        """The workers, of all runs, that are at an attempt on a device."""
        return [worker for run in self.runs for worker in run.busy if worker.lane is lane]

    def changed(self, lane: Lane) -> None:
        """A device came, went or changed; runs that are under way look at what waits for it."""
        self._fitting.clear()
        lane.pump()  # first what is queued for this very device: void entries would hide its free slots
        for run in list(self.runs):
            run.lane_changed(lane)


def _nothing_is_found(needs: Requirements) -> bool:
    return False


def kind_of(request: Request) -> str:
    """What kind of request it is: "run", "shell", "call", or "action NAME"."""
    if isinstance(request, Command):
        return "run" if request.argv is not None else "shell"
    return "call" if isinstance(request, Call) else f"action {request.name}"


def takes(transport: Transport, kind: str | None) -> bool:
    """Whether a transport takes requests of that kind (`kind_of`); None: tasks that only have a description."""
    if kind is not None and kind.startswith("action "):
        return kind.removeprefix("action ") in transport.actions
    return (kind or "none") in transport.requests


def needs_of(task: TaskStar) -> Requirements:
    """The class of requirements that a task belongs to."""
    kind, request = task._device_type, task._request
    return (None if kind is None else kind.value, task._requires, None if request is None else kind_of(request))
