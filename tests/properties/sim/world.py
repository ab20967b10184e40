"""The world of a simulation: that of the scheduler's tests, with a plan that is edited and looked at all the time.

`look` compares the plan with what it was: whatever changed without a committed edit, or under what has started, is a
problem. It is called at every begin and end of an attempt, at every edit, and whenever nothing is left to do.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import anyio

from galaxy_core import (
    Attempt,
    ConstellationDeviceManager,
    ConstellationModificationSynchronizer,
    Event,
    EventBus,
    EventType,
    PluginRegistry,
    ReplacePlan,
    TaskConstellation,
    TaskConstellationOrchestrator,
    TaskStar,
)
from galaxy_core.testing.virtual_time import virtual_clock
from tests.properties.devices import Late, Static, WatchedSession, WorldTransport
from tests.properties.oracle import Try
from tests.properties.sim.draws import Scenario
from tests.properties.sim.model import Key, Picture, applied, cycle_in, differences, is_started, picture, shown
from tests.properties.values import TaskPlan
from tests.properties.world import World, make_constellation

RUN = "run0"
_EDITED = (EventType.EDIT_COMMITTED, EventType.EDIT_UNDONE)


class WatchedBus(EventBus):
    """Shows every event to the world at once, before anything else can happen."""

    def __init__(self, world: SimWorld, clock: Any) -> None:
        super().__init__(clock)
        self._world = world

    def post(self, events: Sequence[Event]) -> None:
        for event in events:
            self._world.heard(event)
        super().post(events)


class SimWorld(World):
    """One run, edited by whomever; `operations` are those of each edit that somebody has proposed, by its description."""

    def __init__(self, scenario: Scenario, registry: PluginRegistry) -> None:
        self.clock = virtual_clock(scenario.seed)
        self.bus = WatchedBus(self, self.clock)
        self.manager = ConstellationDeviceManager(
            plugins=registry, event_bus=self.bus, clock=self.clock, max_retries=3, enable_logging=False
        )
        self.orchestrator = TaskConstellationOrchestrator(
            self.manager, enable_logging=False, event_bus=self.bus, clock=self.clock
        )
        self._start_empty()
        self.scenario = scenario
        self.synchronizer = ConstellationModificationSynchronizer(self.orchestrator)
        self.bus.subscribe(self.synchronizer)
        self.bus.subscribe(self)
        self.plans = {(RUN, task.task_id): task for task in scenario.plan.tasks}
        self.plan: TaskConstellation = make_constellation(scenario.plan, RUN)
        self.plan.update_metadata({"world": self})
        self.constellations[RUN] = self.plan
        self.operations: dict[str, tuple[Any, ...]] = {}
        self.bases: dict[str, int | None] = {}
        self.changed: dict[str, tuple[Picture, Picture]] = {}  # before and after each edit, by its description
        self.history: list[tuple[int, set[Key]]] = []
        self.seen, self.revision = picture(self.plan), self.plan.revision
        self.links_ever = {key: said["to"] for key, said in self.seen.items() if key[0] == "link"}
        self.waited_for: set[Key] = set()  # links that were as they are when their source had not ended
        self.late: set[str] = set()  # edits that have to be refused, because nobody waits for them any more
        self.started: dict[str, Picture] = {}
        self.ended_as: dict[str, tuple[Any, ...]] = {}
        self.shown_to: dict[int, tuple[Any, ...]] = {}
        self.stirred = anyio.Event()
        self.story: list[str] = []
        self.attempted = 0

    def _start_empty(self) -> None:
        self.models, self.fakes, self.lanes = [], {}, {}
        self.constellations, self.tries, self.events = {}, [], []
        self.by_hand, self.cancelled, self.problems = {}, set(), []
        self._leases, self._waiting = set(), {}

    def note(self, text: str) -> None:
        """Note what somebody did."""
        self.story.append(f"{anyio.current_time():g} {text}")
        self.stirred.set()

    # ------------------------------------------------------------------------------------------- what is heard
    async def on_event(self, event: Event) -> None:
        """Keep it, with when it was heard."""
        self.events.append((anyio.current_time(), event))

    def heard(self, event: Event) -> None:
        """An event is about to be delivered."""
        kind = event.event_type
        names = [str(getattr(event, name, "")) for name in ("task_id", "device_id", "status")]
        if kind.value.startswith(("edit_", "modification_")):
            names += [str(event.data.get(name, "")) for name in ("description", "on_task_id", "revision", "policy")]
        self.note(" ".join(filter(None, (kind.value, *names))))
        if event.data.get("policy") == "fail":
            self.cancelled.add(RUN)
        if kind in _EDITED:
            self._edited(event)
        elif kind is EventType.EDIT_CONFLICTED:
            self._conflicted(event)

    def _edited(self, event: Event) -> None:
        name, now = event.data["description"], picture(self.plan)
        run = self.orchestrator.run_of(RUN)
        if run is None or run.is_over:
            self.problem(f"{name} was committed when the run was over")
        if event.data["before"] != self.revision:
            self.problem(f"{name}: the plan was at revision {self.revision}, and was changed by nobody")
        if name in self.late:
            self.problem(f"{name} came too late, and was committed")
        keys = differences(self.seen, now)
        if event.data["revision"] != self.plan.revision or self.plan.revision != event.data["before"] + bool(keys):
            self.problem(f"{name} led from revision {event.data['before']} to {self.plan.revision}: {sorted(keys)}")
        if name in self.operations:
            expected = self._applied(name, now)
        else:
            before, after = self.changed[name.removeprefix("Undo: ")]
            expected = dict(self.seen)
            for key in differences(before, after):
                expected.pop(key, None)
                if key in before:
                    expected[key] = before[key]
        if wrong := {
            key for key in differences(expected, now) if name in self.operations or not self._is_lost(key, now)
        }:
            self.problem(f"{name} was not seen whole: wanted {shown(expected, wrong)}; there is {shown(now, wrong)}")
        self._check_touched(name, event.data["base_revision"], keys)
        if cycle_in(now):
            self.problem(f"{name} closed a cycle")
        self.changed[name] = (self.seen, now)
        self._keep(now, keys)
        return self.look(name)

    def _applied(self, name: str, now: Picture) -> Picture:
        """What the operations of that name make of the plan.

        What is skipped by now may have been before, and stayed as it was, or by this very edit.
        """
        fixed = {task_id for task_id, task in self.plan._tasks.items() if is_started(task)}
        expected = applied(self.seen, self.operations[name], fixed)
        if expected != now:
            either = {one for one in fixed if one not in self.started and not self.plan._tasks[one]._attempts}
            expected = applied(self.seen, self.operations[name], fixed - either)
            for key in differences(expected, now):
                if (key[1] if key[0] == "task" else self.links_ever.get(key)) in either and key in now:
                    expected[key] = now[key]
        return expected

    def _is_lost(self, key: Key, now: Picture) -> bool:
        """Whether an undo may leave a link out: one into what was skipped or cancelled when it was taken away."""
        if key[0] == "task" or key in now:
            return False
        target = self.plan._tasks.get(self.links_ever[key])
        return target is None or is_started(target)

    def _check_touched(self, name: str, base: int | None, keys: set[Key]) -> None:
        """The compare-and-swap, done again: nothing of what was there may have been edited since the base revision."""
        if name in self.bases and self.bases[name] != base:
            self.problem(f"{name} was based on {self.bases[name]}, and is said to be based on {base}")
        stale = {key for key in keys if key in self.seen and base is not None and self._edited_since(key, base)}
        gone = {key for key in stale if key[0] == "link" and self._goes_with_a_task(key, keys)}
        if stale - gone:
            self.problem(f"{name}, based on {base}, overwrites {sorted(stale - gone)}, which somebody edited since")

    def _goes_with_a_task(self, key: Key, keys: set[Key]) -> bool:
        ends = self.seen[key]["from"], self.seen[key]["to"]
        return any(("task", end) in keys and ("task", end) not in picture(self.plan) for end in ends)

    def _edited_since(self, key: Key, base: int) -> bool:
        return any(revision > base and key in keys for revision, keys in self.history)

    def _conflicted(self, event: Event) -> None:
        """A conflict has to be one: somebody has edited it, or it has started."""
        base = event.data["base_revision"]
        self.look("a conflict")
        if base is None or base < self.plan._tracked_since:
            return  # what was edited when nobody kept track may have been anything
        for problem in event.data["problems"]:
            if problem["kind"] == "changed" and not self._edited_since_any(problem["subject"], base):
                self.problem(f"{event.data['description']} conflicts over {problem['subject']}, which nobody edited")

    def _edited_since_any(self, name: str, base: int) -> bool:
        return any(self._edited_since((kind, name), base) for kind in ("task", "link"))

    # ------------------------------------------------------------------------------------------- what is seen
    def _keep(self, now: Picture, keys: set[Key]) -> None:
        if keys:
            self.history.append((self.plan.revision, keys))
        self.seen, self.revision = now, self.plan.revision
        self.links_ever |= {key: said["to"] for key, said in now.items() if key[0] == "link"}
        self.waited_for -= keys

    def look(self, when: str) -> None:
        """Compare the plan with what it was."""
        now = picture(self.plan)
        keys = differences(self.seen, now)
        if keys:
            self.problem(f"{when}: {shown(now, keys)} changed from {shown(self.seen, keys)} without an edit")
        elif self.plan.revision != self.revision:
            self.problem(f"{when}: revision {self.revision} became {self.plan.revision} by nobody")
        if keys or self.plan.revision != self.revision:
            self._keep(now, keys)
        for task_id, said in self.started.items():
            for key in [key for key in said if self._went_with_its_source(key, said, now)]:
                del said[key]
            if wrong := {key for key, value in said.items() if now.get(key) != value}:
                self.problem(f"{when}: {task_id} has started, and {shown(now, wrong)} changed under it")
            if ("task", task_id) in now and self._links_into(task_id, now).keys() - said.keys():
                self.problem(f"{when}: {task_id} has started, and got a link")
        for line in self.plan._lines:
            if line._source is not None and not line._source.is_terminal:
                self.waited_for.add(("link", line.line_id))
        for task_id, task in self.plan._tasks.items():
            self._look_at(task_id, task, now, when)
        for task_id in self.ended_as.keys() - self.plan._tasks.keys():
            self.problem(f"{when}: {task_id} has ended, and is gone")

    def _went_with_its_source(self, key: Key, said: Picture, now: Picture) -> bool:
        """Whether a link into what never ran is gone, with the task that it led from."""
        if key[0] == "task" or key in now:
            return False
        source = self.plan._tasks.get(said[key]["from"])  # if it is there, it is another one of that id
        if source is not None and is_started(source):
            return False
        return not self.plan._tasks[said[key]["to"]]._attempts

    def _look_at(self, task_id: str, task: TaskStar, now: Picture, when: str) -> None:
        if task_id not in self.started and is_started(task):
            self.started[task_id] = {("task", task_id): now["task", task_id], **self._links_into(task_id, now)}
        if task.is_terminal:
            how = (task.status, task.result, task.error)
            if self.ended_as.setdefault(task_id, how) != how:
                self.problem(f"{when}: {task_id} ended as {self.ended_as[task_id]}, and is {how}")
        elif task_id in self.ended_as:
            self.problem(f"{when}: {task_id} had ended, and is {task.status.value}")

    def _links_into(self, task_id: str, plan: Picture) -> Picture:
        return {key: said for key, said in plan.items() if key[0] == "link" and said["to"] == task_id}

    # ------------------------------------------------------------------------------------------- attempts
    def began(self, attempt: Attempt, session: WatchedSession) -> Try:
        """See `World.began`; what it was given must stay as it is."""
        self.look(f"{attempt.task_id} began")
        one = super().began(attempt, session)
        self.shown_to[one.lease] = (attempt.task, self._what(attempt.task))
        self.note(f"began {attempt.task_id} on {one.device_id}")
        return one

    def ended(self, one: Try, end: str, session: WatchedSession) -> None:
        """See `World.ended`."""
        super().ended(one, end, session)
        task, what = self.shown_to.pop(one.lease)
        if self._what(task) != what or self.plan._tasks.get(one.task.task_id) is not task:
            self.problem(f"{one.task.task_id} was {what} when it started, and is {self._what(task)}")
        self.note(f"ended {one.task.task_id}: {end}")

    def _what(self, task: TaskStar) -> tuple[Any, ...]:
        return task._task_id, task._attempts, task._request, task._target_device_id, task._description, task._priority

    def add_task_plan(self, task: TaskPlan) -> None:
        """Somebody is about to add a task: what its attempts come to."""
        self.plans[RUN, task.task_id] = task

    def propose(self, name: str, operations: Iterable[Any], base: int | None) -> None:
        """Somebody is about to commit these, under that description."""
        self.operations[name], self.bases[name] = tuple(operations), base

    def propose_merge(self, plan: TaskConstellation, *, is_late: bool) -> None:
        """An editor answers with a plan; with `is_late` it has to be refused."""
        name = f"Merge of {plan.constellation_id}"
        self.operations[name] = (ReplacePlan(plan),)
        if is_late:
            self.late.add(name)


def registry(*editors: object) -> PluginRegistry:
    """The plugins of a world, with these beside."""
    found = PluginRegistry(discover=False)
    for plugin in (WorldTransport(), Static(), Late(), *editors):
        found.register(plugin)
    return found
