"""The world of a simulation: that of the scheduler's tests, with a plan that is edited and looked at all the time.

`look` compares the plan with what it was: whatever changed without a committed edit, or under what has started, is a
problem. It is called at every begin and end of an attempt, at every edit, and whenever nothing is left to do.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import anyio

from galaxy_core import (
    Attempt,
    ConstellationDeviceManager,
    ConstellationModificationSynchronizer,
    Event,
    EventBus,
    EventType,
    PlanError,
    PluginRegistry,
    ReplacePlan,
    TaskConstellation,
    TaskConstellationOrchestrator,
    TaskStar,
)
from galaxy_core.testing.journals import MemoryJournal
from galaxy_core.testing.virtual_time import EPOCH_S, virtual_clock
from tests.properties.devices import WatchedSession
from tests.properties.oracle import Try
from tests.properties.sim.draws import Scenario
from tests.properties.sim.model import Key, Picture, applied, cycle_in, differences, is_started, key_of, picture, shown
from tests.properties.values import TaskPlan
from tests.properties.world import World, make_link, make_task

RUN = "run0"
_EDITED = (EventType.EDIT_COMMITTED, EventType.EDIT_UNDONE)


class WatchedBus(EventBus):
    """Shows every event to the world at once, before anything else can happen."""

    def __init__(self, world: SimWorld, clock: Any) -> None:
        super().__init__(clock)
        self._world = world

    def post(self, events: Sequence[Event]) -> None:
        for event in events:
            if any(
                event is one for one in self._world.heard_before
            ):  # it is about an edit, and told only when that is kept
                continue
            try:
                self._world.heard(event)
            except Exception as error:  # whoever posts it may swallow that
                self._world.problem(f"the world broke: {error!r}")
                raise
        super().post(events)


class SimWorld(World):
    """One run, edited by whomever; `operations` are those of each edit that somebody has proposed, by its description."""

    def __init__(self, scenario: Scenario, registry: PluginRegistry) -> None:
        self.clock = virtual_clock(scenario.seed)
        self.bus = WatchedBus(self, self.clock)
        self.journal = MemoryJournal()
        self.manager = ConstellationDeviceManager(
            plugins=registry, event_bus=self.bus, clock=self.clock, max_retries=3, enable_logging=False
        )
        self.orchestrator = TaskConstellationOrchestrator(
            self.manager,
            enable_logging=False,
            event_bus=self.bus,
            clock=self.clock,
            journal=self.journal,
            durability=scenario.durability,
        )
        self._start_empty()
        self.scenario = scenario
        self.synchronizer = ConstellationModificationSynchronizer(self.orchestrator)
        self.bus.subscribe(self.synchronizer)
        self.bus.subscribe(self)
        self.plans = {(RUN, task.task_id): task for task in scenario.plan.tasks}
        lines = [make_link(link, f"l{number}") for number, link in enumerate(scenario.plan.links)]
        self.plan = TaskConstellation.build(map(make_task, scenario.plan.tasks), lines, constellation_id=RUN)
        self.plan.update_metadata({"world": self})
        self.constellations[RUN] = self.plan
        self.operations: dict[str, tuple[Any, ...]] = {}
        self.bases: dict[str, int | None] = {}
        self.changed: dict[str, tuple[Picture, Picture]] = {}  # before and after each edit, by its description
        self.turns: dict[str, tuple[Picture, Picture]] = {}  # what an editor's undo or redo leads from and to
        self.history: list[tuple[int, set[Key], bool]] = []  # the last says whether it was an answer by an event
        self.copied: dict[str, int] = {}  # by answer, the revision of the copy that it was made of
        self.agreed: set[str] = set()  # what a review has agreed to
        self.meddled: list[Any] = []  # what conditions have edited in the middle of an edit that is not done yet
        self.turned: set[Key] = set()  # what they have edited so, ever: it belongs to that edit
        self.is_editing = False
        self.seen, self.revision = picture(self.plan), self.plan.revision
        self.links_ever = {key: said["to"] for key, said in self.seen.items() if key[0] == "link"}
        self.waited_for: set[Key] = set()  # links that were as they are when their source had not ended
        self.late: set[str] = set()  # edits that have to be refused, because nobody waits for them any more
        self.started: dict[str, Picture] = {}
        self.ended_as: dict[str, tuple[Any, ...]] = {}
        self.shown_to: dict[int, tuple[Any, ...]] = {}
        self.stirred = anyio.Event()
        self.heard_before: list[Event] = []
        self._listen_to_edits()
        self.story: list[str] = []
        self.attempted = 0

    def _listen_to_edits(self) -> None:
        """Have every edit heard when it is made: of a run that is recorded, others hear of it when it is kept."""
        prepare = self.orchestrator._prepare

        async def prepared(*args: Any, **more: Any) -> Any:
            run, info = await prepare(*args, **more)
            say = run.reports.say

            def said(event: Event) -> None:
                self.heard(event)
                self.heard_before.append(event)
                say(event)

            interrupted = run._interrupted

            def noted(worker: Any, reason: str) -> None:
                self.unsent[worker.task.task_id] += worker.is_held
                interrupted(worker, reason)

            give_back = run._give_back

            def given_back() -> None:
                self.unsent.update(worker.task.task_id for worker in run.busy if worker.task and worker.is_held)
                give_back()

            run.reports.say, run._interrupted, run._give_back = said, noted, given_back  # type: ignore[method-assign]
            return run, info

        self.orchestrator._prepare = prepared  # type: ignore[method-assign]

    def to_dict(self) -> str:
        """In records, which hold the metadata of the plan and of its devices, and are not to hold all of this."""
        return "the world"

    def _start_empty(self) -> None:
        self.models, self.fakes, self.lanes = [], {}, {}
        self.constellations, self.tries, self.events = {}, [], []
        self.by_hand, self.cancelled, self.problems = {}, set(), []
        self.handled, self.retried, self.unsent = set(), Counter(), Counter()
        self.ended_by_hand: dict[str, float] = {}  # when: the model itself knows no clock but that of the house
        self._leases, self._waiting = set(), {}

    def is_misnumbered(self, attempt: Attempt, number: int) -> bool:
        """In `sync`, a device may be lost while a start is being kept: that attempt has a number, and was never sent."""
        if self.scenario.durability == "sync":
            return attempt.number < number
        return super().is_misnumbered(attempt, number)

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
        if event.data["revision"] != self.plan.revision or self.plan.revision != event.data["before"] + bool(
            keys or self.meddled
        ):
            self.problem(f"{name} led from revision {event.data['before']} to {self.plan.revision}: {sorted(keys)}")
        expected = self._expected(name, now)
        self.changed[name] = (self.seen, expected)
        others = set(map(key_of, self.meddled))
        self.turned |= others
        if self.meddled:
            expected, self.meddled = applied(expected, self.meddled, ()), []
        if wrong := {
            key
            for key in differences(expected, now)
            if name in self.operations or not (self._is_lost(key, now) or key in self.turned)
        }:
            self.problem(f"{name} was not seen whole: wanted {shown(expected, wrong)}; there is {shown(now, wrong)}")
        if self.scenario.review and name not in self.agreed and name not in self.copied:
            self.problem(f"{name} was committed, and no review has agreed to it")
        self.agreed.discard(name)
        self._check_touched(name, event.data["base_revision"], keys, others)
        if cycle_in(now):
            self.problem(f"{name} closed a cycle")
        self._keep(now, keys | others, by_answer=name in self.copied)
        return self.look(name)

    def _expected(self, name: str, now: Picture) -> Picture:
        """What an edit is to make of the plan."""
        if name in self.operations:
            return self._applied(name, now)
        if name in self.turns:
            before, after = self.turns[name]
            if taken := {key for key in differences(before, after) if self._is_taken_back(key, before)}:
                self.problem(f"{name} takes back what somebody else has made of {shown(self.seen, taken)}")
        else:
            after, before = self.changed[name.removeprefix("Undo: ")]
        expected = dict(self.seen)
        for key in differences(before, after):
            expected.pop(key, None)
            if key in after:
                expected[key] = after[key]
        return expected

    def _is_taken_back(self, key: Key, before: Picture) -> bool:
        """Whether something is not as an editor has left it."""
        if key in self.turned or (key[0] == "link" and self._is_lost(key, self.seen)):
            return False
        return self.seen.get(key) != before.get(key)

    def _applied(self, name: str, now: Picture) -> Picture:
        """What the operations of that name make of the plan.

        What is skipped by now may have been before, and stayed as it was, or by this very edit.
        """
        tasks = self.plan._tasks
        fixed = {task_id for task_id, task in tasks.items() if is_started(task) and ("task", task_id) in self.seen}
        expected = applied(self.seen, self.operations[name], fixed)
        if expected != now:
            either = {one for one in fixed if one not in self.started}
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

    def _check_touched(self, name: str, base: int | None, keys: set[Key], others: set[Key]) -> None:
        """The compare-and-swap, done again: nothing of what was there may have been edited since the base revision.

        `others` were edited by conditions that it had judged.
        """
        told = self.bases.get(name, base)
        if told != base and not (told is None and self.scenario.is_reviewed_at_once):  # what a review edits, nobody saw
            self.problem(f"{name} was based on {told}, and is said to be based on {base}")
        if name in self.copied:
            self._check_unseen(name, keys, others)
        own = name in self.copied
        stale = {
            key for key in keys if key in self.seen and base is not None and self._edited_since(key, base, own=own)
        }
        if stale := {key for key in stale - others if not self._goes_with_a_task(key, keys)}:
            self.problem(f"{name}, based on {base}, overwrites {sorted(stale)}, which somebody edited since")

    def _check_unseen(self, name: str, keys: set[Key], others: set[Key]) -> None:
        """An answer may take nothing back that somebody else has edited since the copy that it was made of."""
        unseen = {key for key in keys - others if self._edited_since(key, self.copied[name], own=True)}
        if unseen := {key for key in unseen if key not in self.seen or not self._goes_with_a_task(key, keys)}:
            self.problem(
                f"{name} had seen revision {self.copied[name]}, and takes back what became of {sorted(unseen)}"
            )

    def _goes_with_a_task(self, key: Key, keys: set[Key]) -> bool:
        if key[0] == "task":
            return False
        ends = self.seen[key]["from"], self.seen[key]["to"]
        return any(("task", end) in keys and ("task", end) not in picture(self.plan) for end in ends)

    def _edited_since(self, key: Key, base: int, *, own: bool = False) -> bool:
        """Whether somebody has edited it; with `own`, somebody else than the editor that answers by events."""
        return any(revision > base and key in keys and not (own and by) for revision, keys, by in self.history)

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
    def _keep(self, now: Picture, keys: set[Key], *, by_answer: bool = False) -> None:
        if keys:
            self.history.append((self.plan.revision, keys, by_answer))
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

    def edit_in_place(self, operations: Sequence[Any], deed: Callable[[], Any]) -> bool:
        """Somebody edits the plan itself, once, as one operation says; whether it let him."""
        if self.plan._together or self.is_editing:  # a condition does, in the middle of another edit
            deed()
            self.meddled += operations
            return True
        self.look("before an edit in place")
        before, revision, self.is_editing = self.seen, self.revision, True
        try:
            deed()
        except PlanError as error:
            self.note(f"an edit in place is refused: {type(error).__name__}")
            self.look("an edit in place was refused")
            return False
        finally:
            self.is_editing = False
        done, self.meddled = [*operations, *self.meddled], []
        expected, now = applied(before, done, ()), picture(self.plan)
        if wrong := differences(expected, now):
            self.problem(f"{done} in place: wanted {shown(expected, wrong)}; there is {shown(now, wrong)}")
        if self.plan.revision != revision + len(done):
            self.problem(f"{done} in place led from revision {revision} to {self.plan.revision}")
        self._keep(now, differences(before, now) | set(map(key_of, done)))
        self.note(f"in place: {[type(one).__name__ for one in done]}")
        self.look("edited in place")
        return True

    def ended_at(self, task: TaskStar) -> float:
        """When a task ended."""
        return self.ended_by_hand.get(task.task_id, (task._ended_at or 0.0) - EPOCH_S)

    def is_as_seen(self) -> bool:
        """Whether nobody is in the middle of an edit."""
        return picture(self.plan) == self.seen

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

    def refusing(self, run_id: str, task_id: str, *, surely: bool = True) -> list[str]:
        """See `World.refusing`; what was retried by hand counts for what it was, too."""
        found = super().refusing(run_id, task_id, surely=surely)
        again = [task_id for _, task_id in self.retried]
        if not surely:
            return [*found, *(f"{task_id} ended failed, and was retried" for task_id in again)]
        if self.plan.tasks[task_id].attempts > 1:  # it was let run once
            found = [text for text in found if text.split(" ")[0] not in again]
        return found

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
        now = self._what(task)
        if (RUN, one.task.task_id) in self.handled:
            now = (now[0], what[1], *now[2:])  # whoever has ended it by hand may have begun it again
        if now != what or self.plan._tasks.get(one.task.task_id) is not task:
            self.problem(f"{one.task.task_id} was {what} when it started, and is {now}")
        self.note(f"ended {one.task.task_id}: {end}")

    def _what(self, task: TaskStar) -> tuple[Any, ...]:
        return task._task_id, task._attempts, task._request, task._target_device_id, task._description, task._priority

    def add_task_plan(self, task: TaskPlan) -> None:
        """Somebody is about to add a task: what its attempts come to."""
        self.plans[RUN, task.task_id] = task

    def propose(self, name: str, operations: Iterable[Any], base: int | None) -> None:
        """Somebody is about to commit these, under that description."""
        self.operations[name], self.bases[name] = tuple(operations), base

    def propose_merge(self, plan: TaskConstellation, revision: int, *, is_late: bool) -> None:
        """An editor answers with a plan, made of a copy of that revision; with `is_late` it has to be refused."""
        name = f"Merge of {plan.constellation_id}"
        self.operations[name] = (ReplacePlan(plan),)
        self.copied[name] = revision
        if is_late:
            self.late.add(name)
