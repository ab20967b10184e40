"""A world for schedulers: its devices, its runs, and what devices were asked to do.

What must hold at any moment is checked here, at the begin and end of each attempt; what must hold in the end is in
laws.py. Both are kept as texts in `World.problems`: an exception in a session would only be that attempt's failure.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import anyio

from galaxy_core import (
    AssignmentError,
    Attempt,
    ConstellationDeviceManager,
    Device,
    DeviceType,
    Event,
    EventBus,
    RetryPolicy,
    TaskConstellation,
    TaskConstellationOrchestrator,
    TaskStar,
    TaskStarLine,
    TaskStatus,
)
from galaxy_core.testing.fakes import FakeDevice
from galaxy_core.testing.virtual_time import virtual_clock
from tests.properties.devices import REGISTRY, WatchedSession
from tests.properties.oracle import BLINK_S, COMPLETED, CONDITIONS, FAILED, End, Try, accepts
from tests.properties.values import DevicePlan, LinkPlan, Plan, Step, TaskPlan


def _exit_3(payload: Any, outcome: Any) -> bool:
    return CONDITIONS["exit 3"](End(FAILED, payload, outcome.exit_code))


EVALUATORS: dict[str, Any] = {
    "yes": lambda payload: CONDITIONS["yes"](End(COMPLETED, payload)),
    "no": lambda payload: CONDITIONS["no"](End(COMPLETED, payload)),
    "raises": lambda payload: CONDITIONS["raises"](End(COMPLETED, payload)),
    "positive": lambda payload: CONDITIONS["positive"](End(COMPLETED, payload)),
    "exit 3": _exit_3,
}
NAMES = {id(evaluator): name for name, evaluator in EVALUATORS.items()}


def condition_of(line: TaskStarLine) -> str | None:
    """The name of a link's condition."""
    return None if line.condition_evaluator is None else NAMES[id(line.condition_evaluator)]


def make_link(link: LinkPlan, line_id: str | None = None) -> TaskStarLine:
    """The link of a plan."""
    evaluator = None if link.condition is None else EVALUATORS[link.condition]
    return TaskStarLine(link.source, link.target, link.kind, condition_evaluator=evaluator, line_id=line_id)


def make_task(task: TaskPlan) -> TaskStar:
    """The task of a plan."""
    return TaskStar(
        task.task_id,
        target_device_id=None if task.pin is None else f"d{task.pin}",
        device_type=None if task.device_type is None else DeviceType(task.device_type),
        priority=task.priority,
        timeout=task.timeout_s,
        retry_count=task.retry_count,
        requires=task.requires,
        effect=task.effect,
        retry=RetryPolicy(task.backoff_s, jitter=task.jitter, on=task.retried),
    )


def make_constellation(plan: Plan, run_id: str) -> TaskConstellation:
    """The constellation of a plan."""
    return TaskConstellation.build(map(make_task, plan.tasks), map(make_link, plan.links), constellation_id=run_id)


class World:
    """Devices, runs, what happened to them, and what was wrong with it."""

    def __init__(self, seed: int = 0, *, max_retries: int = 3) -> None:
        self.clock = virtual_clock(seed)
        self.bus = EventBus(self.clock)
        self.manager = ConstellationDeviceManager(
            plugins=REGISTRY, event_bus=self.bus, clock=self.clock, max_retries=max_retries, enable_logging=False
        )
        self.orchestrator = TaskConstellationOrchestrator(
            self.manager, enable_logging=False, event_bus=self.bus, clock=self.clock
        )
        self.models: list[DevicePlan] = []
        self.fakes: dict[str, FakeDevice] = {}
        self.lanes: dict[str, Any] = {}
        self.plans: dict[tuple[str, str], TaskPlan] = {}
        self.constellations: dict[str, TaskConstellation] = {}
        self.tries: list[Try] = []
        self.events: list[tuple[float, Event]] = []
        self.by_hand: dict[tuple[str, str], End] = {}
        self.handled: set[tuple[str, str]] = set()  # tasks whose status somebody has changed by hand, ever
        self.retried: Counter[tuple[str, str]] = Counter()  # how often somebody had them tried again
        self.unsent: Counter[str] = Counter()  # how often one was interrupted before its device heard of it
        self.cancelled: set[str] = set()
        self.problems: list[str] = []
        self._leases: set[int] = set()
        self._waiting: dict[int, anyio.Event] = {}
        self.bus.subscribe(self)

    def problem(self, text: str) -> None:
        """Something is wrong."""
        self.problems.append(f"at {anyio.current_time():g} s: {text}")

    async def on_event(self, event: Event) -> None:
        """Keep it, with when it was heard."""
        self.events.append((anyio.current_time(), event))

    def add_device(self, plan: DevicePlan) -> str:
        """Register a device; connecting it is somebody else's business."""
        device_id = f"d{len(self.fakes)}"
        self.models.append(plan)
        fake = self.fakes[device_id] = FakeDevice(device_id)
        fake.plugged, fake.connect_s = plan.plugged, plan.connect_s
        self.manager.add_device(
            Device(
                device_id,
                "fake",
                device_type=plan.device_type,
                capabilities=plan.capabilities,
                metadata={"world": self},
                max_concurrency=plan.slots,
            )
        )
        self.lanes[device_id] = self.manager.lane_book.lanes[device_id]
        return device_id

    def add_plan(self, plan: Plan, run_id: str) -> TaskConstellation:
        """A constellation that this world can play."""
        self.plans |= {(run_id, task.task_id): task for task in plan.tasks}
        constellation = self.constellations[run_id] = make_constellation(plan, run_id)
        return constellation

    # ------------------------------------------------------------------------------------------- what devices do
    async def told(self, one: Try) -> Step:
        """Wait until somebody says what an attempt comes to."""
        event = self._waiting[one.lease] = anyio.Event()
        await event.wait()
        assert one.told is not None
        return Step(one.told, 0.0, one.value)

    def tell(self, one: Try, end: str, value: int | None = None) -> None:
        """Say what an attempt comes to that waits to be told."""
        one.told, one.value = end, value
        self._waiting[one.lease].set()

    # ------------------------------------------------------------------------------------------- what devices see
    def tries_of(self, run_id: str, task_id: str) -> list[Try]:
        """The attempts at a task, in order."""
        return [one for one in self.tries if one.run_id == run_id and one.task.task_id == task_id]

    def active(self) -> list[Try]:
        """The attempts that have not ended."""
        return [one for one in self.tries if one.end is None]

    def ends_of(self, run_id: str, task_id: str) -> list[End]:
        """How a task ended, as a condition may see it: two ways when it failed at the moment of its deadline."""
        if (run_id, task_id) in self.by_hand:
            return [self.by_hand[run_id, task_id]]
        task, tries = self.constellations[run_id].tasks[task_id], self.tries_of(run_id, task_id)
        status = task.status
        if isinstance(task.error, AssignmentError):
            return [End(status)]  # for want of a device, whatever its last attempt said
        if status is COMPLETED and tries:
            return [End(status, tries[-1].payload)]
        if status is FAILED and tries and tries[-1].end == "exits":
            ends = {"failed": End(status, tries[-1].payload, 3)}
            return [ends.get(kind, End(status)) for kind in tries[-1].kinds()]
        return [End(status)]

    def refusing(self, run_id: str, task_id: str, *, surely: bool = True) -> list[str]:
        """Prerequisites of a task that have not ended, or (surely, or possibly) not as the link demands."""
        constellation = self.constellations[run_id]
        found = []
        for line in constellation.get_task_dependencies(task_id):
            source = constellation.tasks[line.from_task_id]
            if not source.is_terminal:
                found.append(f"{source.task_id} is {source.status.value}")
                continue
            ends = self.ends_of(run_id, source.task_id)
            answers = [accepts(line.dependency_type, condition_of(line), end) for end in ends]
            if not (any(answers) if surely else all(answers)):
                found.append(f"{source.task_id} ended {source.status.value}")
        return found

    def is_misnumbered(self, attempt: Attempt, number: int) -> bool:
        """Whether an attempt has another number than the device's count says."""
        return attempt.number != number

    def began(self, attempt: Attempt, session: WatchedSession) -> Try:
        """A device was asked to start an attempt: whatever forbids that is a problem."""
        task, run_id, device_id = attempt.task, attempt.run_id, session.fake.device_id
        before = self.tries_of(run_id, attempt.task_id)
        plan = self.plans[run_id, attempt.task_id]
        one = Try(run_id, plan, device_id, len(before) + 1, attempt.lease, anyio.current_time())
        who = f"attempt {one.number} at {run_id}/{attempt.task_id} on {device_id}"
        device, lane = self.lanes[device_id].device, self.lanes[device_id]
        on_device = [other for other in self.active() if other.device_id == device_id]
        wrong = {
            "the last attempt has not ended": any(other.end is None for other in before),
            f"{len(on_device)} run there already": len(on_device) >= device.max_concurrency,
            f"{lane.running} slots are taken": lane.running < len(on_device) + 1,
            "its lease is not its own": attempt.lease in self._leases,
            f"it is called number {attempt.number}": self.is_misnumbered(attempt, one.number)
            and not {(run_id, attempt.task_id)} & (self.by_hand.keys() | self.handled),
            f"it is called on {attempt.device_id}": attempt.device_id != device_id,
            "the session broke before": session.broken,
            "the session is not the lane's": lane.session is not session,
            f"the task is {task.status.value}": task.status is not TaskStatus.RUNNING,
            f"the device lacks {device.lacks(plan.device_type, plan.requires)}": device.lacks(
                task.device_type and task.device_type.value, task.requires
            )
            is not None,
            f"it is pinned to {task.target_device_id}": task.is_pinned and task.target_device_id != device_id,
            f"it waits: {self.refusing(run_id, attempt.task_id)}": bool(self.refusing(run_id, attempt.task_id)),
            "its run was cancelled": run_id in self.cancelled,
            "its constellation has no run": self.orchestrator.run_of(run_id) is None,
        }
        for why, is_so in wrong.items():
            if is_so:
                self.problem(f"{who}: {why}")
        self._leases.add(attempt.lease)
        self.tries.append(one)
        self.check_graphs()
        return one

    def ended(self, one: Try, end: str, session: WatchedSession) -> None:
        """What an attempt came to."""
        one.end, one.ended_at = end, anyio.current_time()
        one.stale = self.lanes[one.device_id].session is not session
        if one.task.timeout_s is not None:
            stopped_at = one.ended_at if one.stopped_at is None else one.stopped_at
            deaf = one.task.step(one.number - 1).deaf
            if stopped_at > one.began_at + one.task.timeout_s + BLINK_S and not deaf:
                self.problem(f"{one.run_id}/{one.task.task_id} ran until {stopped_at}, past its deadline")

    def homeless(self, run_id: str, *, late: bool) -> list[str]:
        """Tasks that no device can run as things stand; pinned ones, and with `late` all, that no device will."""
        lanes = self.manager.lane_book.lanes
        if not late and not self.manager.get_connected_devices():
            return list(self.constellations[run_id].tasks)
        found = []
        for task in self.constellations[run_id].get_all_tasks():
            plan = self.plans[run_id, task.task_id]
            pinned = task.is_pinned
            wanted = [lanes[task.target_device_id]] if task.target_device_id in lanes else []
            wanted = [
                lane
                for lane in (wanted if pinned else lanes.values())
                if lane.session is not None or ((late or pinned) and not lane.gone)
            ]
            if not any(lane.device.lacks(plan.device_type, plan.requires) is None for lane in wanted):
                found.append(task.task_id)
        return found

    def check_graphs(self) -> None:
        """The counters of every constellation equal a recomputation."""
        for run_id, constellation in self.constellations.items():
            for problem in constellation.validate_dag()[1]:
                self.problem(f"{run_id}: {problem}")
