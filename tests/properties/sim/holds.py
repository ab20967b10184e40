"""What open edits hold, kept by those who edit rather than by the kernel, and what follows for the run.

Between two steps of an editor it may be open whether it holds something: while its edit is being committed, or at the
very moment of its deadline. So each question is asked twice: whether something is held for sure, and whether it may be.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import anyio
from attrs import define, field

from galaxy_core import EndedTasks, TaskStar, TaskStarLine, TaskStatus
from tests.properties.oracle import BLINK_S, accepts
from tests.properties.sim.model import follows, leads_to, touched
from tests.properties.sim.world import RUN, SimWorld
from tests.properties.world import condition_of

ANSWERED = (TaskStatus.COMPLETED, TaskStatus.FAILED)
ASKED = (*ANSWERED, TaskStatus.UNKNOWN)


@define(eq=False)
class OpenDraft:
    """A draft as its author knows it; `state` is "open", "closing" (it is being committed) or "closed"."""

    hold: str
    until: float
    ids: set[str]
    state: str = "open"
    around: frozenset[str] = frozenset()


@define(eq=False)
class Asked:
    """An editor that a plugin brings: about what it was asked ever, is asked now, and has answered.

    By task, the number of its ends until then: one that is retried by hand ends again. `reviewed` says that what it
    has answered is under review.
    """

    ever: dict[str, int] = field(factory=dict)
    now: dict[str, int] = field(factory=dict)
    until: float = math.inf
    answered: dict[str, int] = field(factory=dict)
    reviewed: bool = False

    def begin(self, ended: EndedTasks, until: float, ends: Callable[[str], int]) -> Iterator[str]:
        """It is asked; what is wrong with that."""
        now = self.now if ended.refused is not None else {task.task_id: ends(task.task_id) for task in ended.tasks}
        again = [task_id for task_id, number in now.items() if number == self.ever.get(task_id) == 1]
        if ended.refused is None and again:
            yield f"an editor was asked twice about {sorted(again)}"
        if not now or any(not task.is_terminal and not ends(task.task_id) for task in ended.tasks):
            yield f"an editor was asked about {list(now)}, which have not all ended"
        self.ever |= now
        for task_id in now:
            self.answered.pop(task_id, None)
        self.now, self.until = now, until

    def awaits(self, task_id: str, number: int, in_time: Callable[[float], bool]) -> bool:
        """Whether it is still to answer the end of that number of a task."""
        asked = self.now.get(task_id, 0) >= number
        if self.answered.get(task_id, 0) >= number:
            return self.reviewed and asked
        return not asked or in_time(self.until)


class Holds:
    """What is held in a world, and the laws about that."""

    def __init__(self, world: SimWorld) -> None:
        self.world = world
        self.scenario = world.scenario
        self.drafts: list[OpenDraft] = []
        self.asked = [Asked() for _ in self.scenario.plugin_editors]
        self.attached = bool(self.scenario.answers)
        self.answered: dict[str, int] = {}  # by an event: the number of ends until then
        self.drafted: dict[str, OpenDraft] = {}  # by description
        self._answered_at: dict[str, float] = {}
        self._unanswered_since: dict[str, float] = {}  # of what was retried by hand, the first end
        self.host_cancelled = False
        self._skipped: set[str] = set()

    @property
    def is_under_way(self) -> bool:
        """Whether the run goes on, and nobody has cancelled it."""
        run = self.world.orchestrator.run_of(RUN)
        return (
            run is not None and not run.is_over and not run.cancelled and not self.host_cancelled
        ) and self.world.plan._listener is not None

    # ------------------------------------------------------------------------------------------- who waits for whom
    def _in_time(self, until: float, *, surely: bool) -> bool:
        now = anyio.current_time()
        return self.scenario.policy == "hold" or now < (until - BLINK_S if surely else until + BLINK_S)

    def ends(self, task_id: str) -> int:
        """How often a task has ended."""
        task = self.world.plan._tasks.get(task_id)
        return self.world.retried[RUN, task_id] + (task is not None and task.is_terminal)

    def retried(self, task: TaskStar) -> None:
        """A task that has failed is about to be retried by hand: whoever was to answer its end, still is."""
        if self.by_event(surely=False)(task.task_id):
            self._unanswered_since.setdefault(task.task_id, self.world.ended_at(task))

    def answers(self, ids: list[str]) -> None:
        """The editor that answers by events has answered these ends."""
        self.answered |= {task_id: self.ends(task_id) for task_id in ids}
        for task_id in ids:
            self._unanswered_since.pop(task_id, None)
            self._answered_at[task_id] = anyio.current_time()

    def by_event(self, *, surely: bool) -> Callable[[str], bool]:
        def awaits(task_id: str) -> bool:
            number, task = self.ends(task_id), self.world.plan._tasks.get(task_id)
            if not self.attached or task is None or self.answered.get(task_id, 0) >= number:
                return False
            since = self._unanswered_since.get(task_id, math.inf)
            if task.is_terminal:
                if task.status not in ANSWERED and since == math.inf:
                    return False
                ended_at = self.world.ended_at(task)
                if surely and abs(ended_at - self._answered_at.get(task_id, -1.0)) < BLINK_S:
                    return False  # of an end before; it was on its way when the task ended again
                since = ended_at if since == math.inf else min(since, ended_at) if surely else max(since, ended_at)
            return since < math.inf and self._in_time(since + self.scenario.timeout_s, surely=surely)

        return awaits

    def _by_plugin(self, *, surely: bool) -> Callable[[str], bool]:
        def in_time(until: float) -> bool:
            return self._in_time(until, surely=surely)

        def awaits(task_id: str) -> bool:
            number, task = self.ends(task_id), self.world.plan._tasks.get(task_id)
            if task is None or not number:
                return False
            if task.is_terminal and task.status not in ASKED:
                number -= 1  # that end is nobody's business, but one before may be
            return number > 0 and any(one.awaits(task_id, number, in_time) for one in self.asked)

        return awaits

    @contextmanager
    def reviewing(self, name: str, operations: tuple[Any, ...]) -> Iterator[None]:
        """While inside, an edit is under review: what it touches is held, whoever prepared it."""
        held = self.drafted.get(name)
        if held is None:
            held = OpenDraft("footprint", math.inf, touched(operations, self.world.plan), "closed")
            self.drafts.append(held)
        before, held.state = held.state, "open"
        editors = [one for number, one in enumerate(self.asked) if name.startswith(f"p{number}.")]
        for one in editors:
            one.reviewed = True
        try:
            yield
        finally:
            held.state = before
            for one in editors:
                one.reviewed = False

    def _is_held(self, task: TaskStar, *, surely: bool) -> bool:
        for draft in self.drafts:
            counts = draft.state == "open" if surely else draft.state != "closed"
            if (
                counts
                and self._in_time(draft.until, surely=surely)
                and _holds(draft.hold, task, draft.ids.__contains__)
            ):
                return True
        for scope, awaits in self._askers(surely=surely):
            if scope == "all" and any(map(awaits, self.world.plan._tasks)):
                return True
            if scope == "footprint" and follows(task, awaits):
                return True
        return False

    def _askers(self, *, surely: bool) -> list[tuple[str, Callable[[str], bool]]]:
        return [
            (self.scenario.hold, self.by_event(surely=surely)),
            (self.scenario.plugin_hold, self._by_plugin(surely=surely)),
        ]

    def _is_awaited(self, task_id: str, *, surely: bool) -> bool:
        return any(scope != "none" and awaits(task_id) for scope, awaits in self._askers(surely=surely))

    # ------------------------------------------------------------------------------------------- laws
    def began(self, task: TaskStar) -> None:
        """A device was asked to run a task: nothing may hold it."""
        was_let_go = self.scenario.durability == "sync"  # it was decided before its start was kept
        if not was_let_go and self.is_under_way and self._is_held(task, surely=True):
            self.world.problem(f"{task.task_id} was started, and is held")

    def at_rest(self) -> None:
        """Nothing is left to do at this moment: what can start has started, and what cannot be saved is skipped."""
        world = self.world
        world.look("at rest")
        if not self.is_under_way:
            return
        run = world.orchestrator.run_of(RUN)
        assert run is not None
        for one in world.active():
            task_of = world.plan._tasks.get(one.task.task_id)
            if task_of is not None and task_of.is_terminal and one.stopped_at is None:
                world.problem(f"{task_of.task_id} was ended by hand, and its attempt goes on")
        for task in world.plan.get_all_tasks():
            if task.status is TaskStatus.SKIPPED and task.task_id not in self._skipped:
                self._skipped.add(task.task_id)
                self._check_skipped(task)
            if task.status is not TaskStatus.PENDING:
                continue
            if not task.attempts:
                self._check_withheld(task)
            ready = not world.refusing(RUN, task.task_id) if not task.attempts else True
            ready = ready and not any(one.task.task_id == task.task_id for one in world.active())
            is_free = ready and task not in run.backing_off and self._has_slot(task)
            if is_free and not self._is_held(task, surely=False):
                world.problem(f"{task.task_id} could start, nothing holds it, and it does not")

    def _refusing(self, task: TaskStar) -> list[tuple[TaskStarLine, TaskStar]]:
        """The links that a task is, or is to be, skipped by, and what they lead from."""
        found = []
        for line in self.world.plan.get_task_dependencies(task.task_id):
            source = self.world.plan.tasks[line.from_task_id]
            if source.is_terminal:
                ends = self.world.ends_of(RUN, source.task_id)
                if not any(accepts(line.dependency_type, condition_of(line), end) for end in ends):
                    found.append((line, source))
        return found

    def _check_skipped(self, task: TaskStar) -> None:
        refusing, old = self._refusing(task), self.world.waited_for
        if any(("link", line.line_id) not in old for line, _ in refusing):
            return  # a link that comes when its source has ended is judged at once
        links = self.world.plan.get_task_dependencies(task.task_id)
        again = any((RUN, line.from_task_id) in self.world.retried for line in links)  # who knows which end it was
        if refusing and not again and all(self._is_awaited(source.task_id, surely=True) for _, source in refusing):
            names = [source.task_id for _, source in refusing]
            self.world.problem(f"{task.task_id} is skipped, and an editor is still to answer the end of {names}")

    def _check_withheld(self, task: TaskStar) -> None:
        for _, source in self._refusing(task):
            if not self._is_awaited(source.task_id, surely=False):
                self.world.problem(f"{task.task_id} should be skipped by {source.task_id}, and is not")

    def _has_slot(self, task: TaskStar) -> bool:
        """Whether some device could run a task that is ready."""
        world = self.world
        taken = [one.device_id for one in world.active()]
        wanted = [task.target_device_id] if task.target_device_id in world.lanes else list(world.lanes)
        for device_id in wanted:
            lane, fake = world.lanes[device_id or ""], world.fakes[device_id or ""]
            if lane.session is not None and fake.plugged and taken.count(device_id) < lane.device.max_concurrency:
                return True
        return False

    def in_the_end(self) -> Iterator[str]:
        """What is wrong when everything is over."""
        synchronizer = self.world.synchronizer
        if not synchronizer.desk.is_idle:
            yield f"drafts are open: {synchronizer.desk._open}"
        if synchronizer._pending:
            yield f"answers are pending: {list(synchronizer._pending)}"
        if synchronizer._proposals or synchronizer._watching:
            yield "the synchronizer still attends to a run"
        if self.world.plan._withheld:
            yield "links are still withheld"

    def unasked(self) -> Iterator[str]:
        """Ends that some editor was never asked about, in a run that ended by itself."""
        tasks = self.world.plan.get_all_tasks()
        ended = {task.task_id: self.ends(task.task_id) for task in tasks if task.status in ASKED}
        for number, one in enumerate(self.asked):
            asked = {task_id: ends for task_id, ends in one.ever.items() if (RUN, task_id) not in self.world.retried}
            wanted = {task_id: ends for task_id, ends in ended.items() if (RUN, task_id) not in self.world.retried}
            if asked != wanted or any(one.ever.get(task_id) != ends for task_id, ends in ended.items()):
                yield f"editor {number} was asked about {one.ever}; what ended is {ended}"


def _holds(hold: str, task: TaskStar, is_one: Callable[[str], bool]) -> bool:
    is_tried_again = task._attempts > (task._status is TaskStatus.RUNNING)  # then no edit can change it any more
    return hold == "all" or (hold == "footprint" and not is_tried_again and leads_to(task, is_one))
