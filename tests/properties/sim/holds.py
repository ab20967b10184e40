"""What open edits hold, kept by those who edit rather than by the kernel, and what follows for the run.

Between two steps of an editor it may be open whether it holds something: while its edit is being committed, or at the
very moment of its deadline. So each question is asked twice: whether something is held for sure, and whether it may be.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import anyio
from attrs import define, field

from galaxy_core import EndedTasks, TaskStar, TaskStarLine, TaskStatus
from galaxy_core.testing.virtual_time import EPOCH_S
from tests.properties.oracle import BLINK_S, accepts
from tests.properties.sim.model import leads_to
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


@define(eq=False)
class Asked:
    """An editor that a plugin brings: about what it was asked ever, is asked now, and has answered."""

    ever: set[str] = field(factory=set)
    now: frozenset[str] = frozenset()
    until: float = math.inf
    answered: set[str] = field(factory=set)

    def begin(self, ended: EndedTasks, until: float) -> Iterator[str]:
        """It is asked; what is wrong with that."""
        ids = [task.task_id for task in ended.tasks]
        again = self.ever & set(ids)
        if ended.refused is None and again:
            yield f"an editor was asked twice about {sorted(again)}"
        if not ids or any(not task.is_terminal for task in ended.tasks):
            yield f"an editor was asked about {ids}, which have not all ended"
        self.ever |= set(ids)
        self.answered -= set(ids)
        self.now, self.until = frozenset(ids), until


class Holds:
    """What is held in a world, and the laws about that."""

    def __init__(self, world: SimWorld) -> None:
        self.world = world
        self.scenario = world.scenario
        self.drafts: list[OpenDraft] = []
        self.asked = [Asked() for _ in self.scenario.plugin_editors]
        self.attached = bool(self.scenario.answers)
        self.answered: set[str] = set()
        self.reviews = 0
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

    def by_event(self, *, surely: bool) -> Callable[[str], bool]:
        def awaits(task_id: str) -> bool:
            task = self.world.plan._tasks.get(task_id)
            if not self.attached or task is None or task.status not in ANSWERED or task_id in self.answered:
                return False
            ended_at = (task._ended_at or 0.0) - EPOCH_S
            return self._in_time(ended_at + self.scenario.timeout_s, surely=surely)

        return awaits

    def _by_plugin(self, *, surely: bool) -> Callable[[str], bool]:
        def awaits(task_id: str) -> bool:
            task = self.world.plan._tasks.get(task_id)
            if task is None or task.status not in ASKED:
                return False
            return any(
                task_id not in one.answered and (task_id not in one.now or self._in_time(one.until, surely=surely))
                for one in self.asked
            )

        return awaits

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
            if scope == "footprint" and leads_to(task, awaits):
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
        if self.is_under_way and self._is_held(task, surely=True):
            self.world.problem(f"{task.task_id} was started, and is held")

    def at_rest(self) -> None:
        """Nothing is left to do at this moment: what can start has started, and what cannot be saved is skipped."""
        world = self.world
        world.look("at rest")
        if not self.is_under_way:
            return
        run = world.orchestrator.run_of(RUN)
        assert run is not None
        for task in world.plan.get_all_tasks():
            if task.status is TaskStatus.SKIPPED and task.task_id not in self._skipped:
                self._skipped.add(task.task_id)
                self._check_skipped(task)
            if task.status is not TaskStatus.PENDING:
                continue
            if not task.attempts:
                self._check_withheld(task)
            ready = not world.refusing(RUN, task.task_id) if not task.attempts else True
            is_free = ready and task not in run.backing_off and self._has_slot(task) and not self.reviews
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
        if refusing and all(self._is_awaited(source.task_id, surely=True) for _, source in refusing):
            names = [source.task_id for _, source in refusing]
            self.world.problem(f"{task.task_id} is skipped, and an editor is still to answer the end of {names}")

    def _check_withheld(self, task: TaskStar) -> None:
        for _, source in self._refusing(task):
            if not self.reviews and not self._is_awaited(source.task_id, surely=False):
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
        ended = {task.task_id for task in self.world.plan.get_all_tasks() if task.status in ASKED}
        for number, one in enumerate(self.asked):
            if one.ever != ended:
                yield f"editor {number} was asked about {sorted(one.ever)}; what ended is {sorted(ended)}"


def _holds(hold: str, task: TaskStar, is_one: Callable[[str], bool]) -> bool:
    is_tried_again = task._attempts > (task._status is TaskStatus.RUNNING)  # then no edit can change it any more
    return hold == "all" or (hold == "footprint" and not is_tried_again and leads_to(task, is_one))
