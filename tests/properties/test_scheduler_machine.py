"""A live scheduler driven step by step: after each step every task stands as a naive mirror of its run says.

The loop stands still between two steps, with nothing left to do at that moment; so beside the statuses it can be
checked that each attempt holds one slot, and that no slot is free while a task waits for it.
"""

from __future__ import annotations

from functools import partial
from typing import Any, ClassVar

import pytest
from attrs import evolve
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from galaxy_core import Effect, PlanError, TaskPriority
from tests.properties.draws import ALL_LINKS, INVENTORY, NEEDS, PAIRS, fits
from tests.properties.laws import broken_laws
from tests.properties.mirror import RUNNING, Image, Mirror
from tests.properties.oracle import Try
from tests.properties.stage import Stage
from tests.properties.values import RETRIED, DevicePlan, LinkPlan, Plan, Step, TaskPlan
from tests.properties.world import World, make_link, make_task

FAILED = ("says", "exits", "raises", "refused", "unknown", "drops", "wrong")
VALUES = (None, 0, 1)
#: Deadlines end between the moments at which anything else happens, so that each end has one cause.
DEADLINES = (None, None, 0.75, 1.75)
numbers = st.integers(0, 11)
kinds_of_link = st.sampled_from(ALL_LINKS)
SHAPES = [
    TaskPlan("", (Step("told"),), effect, count, retried, deadline_backoff[1], 0.0, deadline_backoff[0])
    for effect in Effect
    for count in (0, 1, 2)
    for retried in (RETRIED, frozenset({"timeout"}))
    for deadline_backoff in [(None, 1.0), (0.75, 1.0), (1.75, 2.0), (None, 0.0)]
]


@st.composite
def tasks_to_be(draw: st.DrawFn) -> TaskPlan:
    device_type, requires = draw(st.sampled_from(NEEDS))
    return evolve(
        draw(st.sampled_from(SHAPES)),
        priority=draw(st.sampled_from(TaskPriority)),
        device_type=device_type,
        requires=requires,
        pin=draw(st.sampled_from([None, None, None, 0, 1])),
    )


some_tasks = st.lists(tasks_to_be(), min_size=1, max_size=6)
some_links = st.lists(st.tuples(st.integers(0, 14), kinds_of_link), max_size=6)


class SchedulerMachine(RuleBasedStateMachine):
    backend: ClassVar[str]

    def __init__(self) -> None:
        super().__init__()
        self.mirrors: dict[str, Mirror] = {}
        self.strategies: dict[str, str] = {}
        self.results: dict[str, dict[str, Any]] = {}
        self.seen: dict[int, bool] = {}  # lease → whether its end was seen as well
        self.now = 0.0

    @initialize(
        seed=st.integers(0, 99),
        inventory=st.lists(st.sampled_from(INVENTORY), min_size=1, max_size=4),
        tasks=some_tasks,
        links=some_links,
        late=st.booleans(),
    )
    def open(
        self, seed: int, inventory: list[DevicePlan], tasks: list[TaskPlan], links: list[tuple[int, Any]], late: bool
    ) -> None:
        self.stage = Stage(self.backend, seed)
        self.world = self.stage.do(lambda: World(seed))
        for device in inventory:
            self.register(device)
        self.start(tasks, links, late)

    # ------------------------------------------------------------------------------------------- runs
    @precondition(lambda self: len(self.mirrors) < 3)
    @rule(tasks=some_tasks, links=some_links, late=st.booleans())
    def start(self, tasks: list[TaskPlan], links: list[tuple[int, Any]], late: bool) -> None:
        run_id = f"run{len(self.mirrors)}"
        housed = [self._housed(evolve(task, task_id=f"t{number}")) for number, task in enumerate(tasks)]
        pairs = PAIRS[len(tasks)] if len(tasks) > 1 else []
        named = [(*pairs[one % len(pairs)], kind) for one, kind in links] if pairs else []
        plan = Plan(tuple(housed), tuple(LinkPlan(f"t{low}", f"t{high}", *kind) for low, high, kind in named))
        if not self.world.manager.get_connected_devices() or not all(self._has_home(task) for task in housed):
            return  # it would be refused
        self.mirrors[run_id] = Mirror.of(plan)
        self.strategies[run_id] = "late" if late else "static"
        self.stage.do(lambda: self._start(run_id, plan))
        self.settle()

    def _start(self, run_id: str, plan: Plan) -> None:
        constellation = self.world.add_plan(plan, run_id)

        async def run() -> None:
            self.results[run_id] = await self.world.orchestrator.orchestrate_constellation(
                constellation, assignment_strategy=self.strategies[run_id]
            )

        self.stage.group.start_soon(run)

    def _housed(self, task: TaskPlan) -> TaskPlan:
        """The same task, asking for no more than there is."""
        if task.pin is not None:
            number = task.pin % len(self.world.fakes)
            task = evolve(task, pin=number if fits(task, self.world.models[number]) else None)
        return task if self._has_home(task) else evolve(task, pin=None, device_type=None, requires=frozenset())

    def _has_home(self, task: TaskPlan, *, available: bool = True) -> bool:
        """Whether a task can be placed: now, or (not `available`) as long as nobody gives its devices up."""
        lanes = self.world.manager.lane_book.lanes
        if task.pin is not None:
            lane = lanes.get(f"d{task.pin}")
            return lane is not None and (lane.session is not None or not lane.gone)
        return any(
            lane.device.lacks(task.device_type, task.requires) is None
            and (lane.session is not None if available else lane.session is not None or not lane.gone)
            for lane in lanes.values()
        )

    def _pick(self, run: int) -> tuple[str, Mirror]:
        run_id = list(self.mirrors)[run % len(self.mirrors)]
        return run_id, self.mirrors[run_id]

    def _task(self, mirror: Mirror, number: int) -> Image | None:
        tasks = list(mirror.tasks.values())
        return tasks[number % len(tasks)] if tasks else None

    # ------------------------------------------------------------------------------------------- time and devices
    @rule(seconds=st.sampled_from([0.5, 1.0, 3.0, 30.0]))
    def advance(self, seconds: float) -> None:
        for _ in range(int(seconds / 0.25)):  # in small steps, so that all that happens at once has one cause
            self.stage.advance(0.25)
            self.now = round(self.now + 0.25, 2)
            self.settle()

    @precondition(lambda self: self.active())
    @rule(number=numbers, value=st.sampled_from(VALUES))
    def succeed(self, number: int, value: int | None) -> None:
        self._tell(number, "done", value)

    @precondition(lambda self: self.active())
    @rule(number=numbers, end=st.sampled_from(FAILED), value=st.sampled_from(VALUES))
    def fail(self, number: int, end: str, value: int | None) -> None:
        self._tell(number, end, value if end == "exits" else None)

    @precondition(lambda self: self.active())
    @rule()
    def let_all_succeed(self) -> None:
        for _ in self.active():
            self._tell(0, "done", None)

    def _tell(self, number: int, end: str, value: int | None) -> None:
        active = self.active()
        one = active[number % len(active)]
        self.stage.do(lambda: self.world.tell(one, end, value))
        self.settle()

    def active(self) -> list[Try]:
        found: list[Try] = self.world.active()
        return found

    @rule(number=numbers, why=st.sampled_from(["unplugged", "unplugged", "disconnected"]))
    def lose_a_device(self, number: int, why: str) -> None:
        fake = self._fake(number)
        if why == "unplugged":
            self.stage.do(fake.unplug)
        else:
            self.stage.do(lambda: self.world.manager.disconnect_device(fake.device_id))
        self.settle()

    @rule(number=numbers)
    def bring_a_device_back(self, number: int) -> None:
        fake = self._fake(number)
        fake.plug_in()
        self.stage.do(lambda: self.world.manager.connect_device(fake.device_id))
        self.settle()

    @rule(device=st.sampled_from(INVENTORY))
    def register(self, device: DevicePlan) -> None:
        if len(self.world.fakes) < 6:
            device_id = self.stage.do(lambda: self.world.add_device(evolve(device, connect_s=0.0)))
            self.stage.do(lambda: self.world.manager.connect_device(device_id))
            self.settle()

    def _fake(self, number: int) -> Any:
        return list(self.world.fakes.values())[number % len(self.world.fakes)]

    # ------------------------------------------------------------------------------------------- cancelling, editing
    @precondition(lambda self: self.mirrors)
    @rule(run=numbers, number=numbers)
    def cancel_task(self, run: int, number: int) -> None:
        run_id, mirror = self._pick(run)
        task = self._task(mirror, number)
        if task is not None and self._runs(run_id):
            expected = task.end is None
            mirror.cancel_task(task)
            assert self.stage.do(lambda: self.world.orchestrator.cancel_task(task.plan.task_id, run_id)) is expected
            self.settle()

    @precondition(lambda self: self.mirrors)
    @rule(run=numbers, sure=numbers)
    def cancel_run(self, run: int, sure: int) -> None:
        run_id, mirror = self._pick(run)
        if self._runs(run_id) and sure == 0:
            mirror.cancel()
            assert self.stage.do(lambda: self.world.orchestrator.cancel_execution(run_id)) is True
            self.settle()

    def _runs(self, run_id: str) -> bool:
        return self.world.orchestrator.run_of(run_id) is not None

    def _edit(self, call: Any, *, allowed: bool) -> None:
        try:
            self.stage.do(call)
            done = True
        except PlanError:
            done = False
        assert done is allowed
        self.settle()

    @precondition(lambda self: self.mirrors)
    @rule(run=numbers, task=tasks_to_be())
    def add_task(self, run: int, task: TaskPlan) -> None:
        run_id, mirror = self._pick(run)
        if self._runs(run_id):
            plan = self._housed(evolve(task, task_id=f"new{len(self.world.plans)}"))
            self.world.plans[run_id, plan.task_id] = plan
            mirror.tasks[plan.task_id] = Image(plan)
            self._edit(lambda: self.world.constellations[run_id].add_task(make_task(plan)), allowed=True)

    @precondition(lambda self: self.mirrors)
    @rule(run=numbers, low=numbers, high=numbers, kind=kinds_of_link)
    def add_link(self, run: int, low: int, high: int, kind: Any) -> None:
        run_id, mirror = self._pick(run)
        one, other = self._task(mirror, low), self._task(mirror, high)
        if one is not None and other is not None and self._runs(run_id):
            link = LinkPlan(one.plan.task_id, other.plan.task_id, *kind)
            allowed = mirror.can_link(link.source, link.target)
            if allowed:
                mirror.links.append(link)
            self._edit(lambda: self.world.constellations[run_id].add_dependency(make_link(link)), allowed=allowed)

    @precondition(lambda self: self.mirrors)
    @rule(run=numbers, number=numbers)
    def remove_task(self, run: int, number: int) -> None:
        run_id, mirror = self._pick(run)
        task = self._task(mirror, number)
        if task is not None and self._runs(run_id):
            task_id, allowed = task.plan.task_id, task.is_modifiable
            if allowed:
                mirror.remove(task_id)
            self._edit(lambda: self.world.constellations[run_id].remove_task(task_id), allowed=allowed)

    @precondition(lambda self: self.mirrors)
    @rule(run=numbers, number=numbers, priority=st.sampled_from(TaskPriority))
    def set_priority(self, run: int, number: int, priority: TaskPriority) -> None:
        run_id, mirror = self._pick(run)
        task = self._task(mirror, number)
        if task is not None and self._runs(run_id):
            live = self.world.constellations[run_id].tasks[task.plan.task_id]
            self._edit(lambda: setattr(live, "priority", priority), allowed=task.is_modifiable)

    # ------------------------------------------------------------------------------------------- the mirror
    def settle(self) -> None:
        """Tell the mirrors what devices saw, and have them work out what follows."""
        for one in self.world.tries:
            if one.lease not in self.seen:
                self.seen[one.lease] = False
                self.mirrors[one.run_id].began(one)
            if one.end is not None and not self.seen[one.lease]:
                self.seen[one.lease] = True
                self.mirrors[one.run_id].ended(one)
        for mirror in self.mirrors.values():
            mirror.settle(lambda task: self._has_home(task.plan, available=False), self.now)

    @invariant()
    def nothing_forbidden_was_seen(self) -> None:
        assert not self.world.problems, "\n".join(self.world.problems)

    @invariant()
    def every_task_stands_as_the_mirror_says(self) -> None:
        for run_id, mirror in self.mirrors.items():
            constellation = self.world.constellations[run_id]
            actual = {task.task_id: task.status for task in constellation.get_all_tasks()}
            assert actual == {task_id: task.status for task_id, task in mirror.tasks.items()}
            ready = {task.task_id for task in constellation.get_ready_tasks()}
            assert ready == {task_id for task_id in mirror.tasks if mirror.is_ready(task_id)}
            assert not constellation.validate_dag()[1]
            assert self._runs(run_id) is not mirror.is_over
            assert (run_id in self.results) is mirror.is_over

    @invariant()
    def each_attempt_holds_one_slot_and_no_other_is_taken(self) -> None:
        for device_id, lane in self.world.lanes.items():
            here = [one for one in self.active() if one.device_id == device_id]
            assert len(here) == lane.running <= lane.device.max_concurrency
            assert not here or lane.session is not None
        running = sorted((one.run_id, one.task.task_id) for one in self.active())
        assert running == sorted(
            (run_id, task_id)
            for run_id, mirror in self.mirrors.items()
            for task_id, task in mirror.tasks.items()
            if task.status is RUNNING
        )

    @invariant()
    def no_slot_is_free_while_a_task_waits_for_it(self) -> None:
        lanes = self.world.manager.lane_book.lanes
        for run_id, mirror in self.mirrors.items():
            for task_id, task in mirror.tasks.items():
                if not mirror.may_run(task_id, self.now):
                    continue
                live = self.world.constellations[run_id].tasks[task_id]
                late = self.strategies[run_id] == "late" and live.target_device_id is None
                for lane in lanes.values():
                    fitting = lane.device.lacks(task.plan.device_type, task.plan.requires) is None
                    if (
                        lane.session is not None
                        and lane.free
                        and (fitting if late else lane.device_id == live.target_device_id)
                    ):
                        raise AssertionError(f"{run_id}/{task_id} waits, and {lane.device_id} has a free slot")

    # ------------------------------------------------------------------------------------------- the end
    def teardown(self) -> None:
        try:
            if hasattr(self, "world"):
                self._finish()
        finally:
            if hasattr(self, "stage"):
                self.stage.stop()

    def _finish(self) -> None:
        """Everything is there again and succeeds: then everything ends."""
        for fake in self.world.fakes.values():
            self.stage.do(fake.plug_in)
        for _ in range(100):
            for one in self.active():
                self.stage.do(partial(self.world.tell, one, "done"))
            if not self.world.orchestrator.runs():
                break
            self.stage.advance(60.0)
        self.stage.do(self.world.bus.drain)
        problems = [*self.world.problems, *broken_laws(self.world, self.results, lambda _: True)]
        assert not problems, "\n".join(problems)
        self.stage.do(self.world.manager.disconnect_all)


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_live_scheduler_stands_as_its_mirror_says(backend: str) -> None:
    from hypothesis.stateful import run_state_machine_as_test

    machine = type("Machine", (SchedulerMachine,), {"backend": backend})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=30,
            stateful_step_count=25,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
        ),
    )
