"""Those who meddle with a plan that runs: by its methods and setters, in conditions, and with its tasks by hand."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from typing import Any

import anyio

from galaxy_core import (
    AddDependency,
    AddTask,
    DependencyType,
    PlanError,
    RemoveDependency,
    RemoveTask,
    TaskStar,
    TaskStatus,
    TransitionError,
    UpdateDependency,
    UpdateTask,
)
from galaxy_core.model.analysis import graph_problems
from tests.properties.oracle import COMPLETED, FAILED, End, _taken_up_again
from tests.properties.sim.draws import MEDDLING, grid
from tests.properties.sim.holds import Holds
from tests.properties.sim.model import is_started
from tests.properties.sim.proposing import Proposer
from tests.properties.sim.stage import Stage
from tests.properties.sim.world import RUN, SimWorld
from tests.properties.world import EVALUATORS, NAMES

#: So often conditions may edit the plan of one run.
MEDDLINGS = 4
#: The setters of tasks that there are.
_SETTERS = ("description", "priority", "target_device_id")


def is_running(world: SimWorld) -> bool:
    """Whether the plan is being run at this moment."""
    return world.plan._listener is not None


# ----------------------------------------------------------------------------------------------------- in place
class InPlace:
    """Somebody who edits the live plan itself: its methods, and the setters of its tasks and links."""

    def __init__(self, world: SimWorld, number: int) -> None:
        self.world = world
        self.rng = random.Random(world.scenario.seed * 1000 + number)
        self.proposer = Proposer(world, f"a{number}", self.rng)

    async def work(self) -> None:
        """What it does, from the start of the run."""
        await anyio.sleep(grid(self.rng, 6.0))
        for _ in range(self.rng.choice((1, 2, 4))):
            for operation in self.proposer.operations(self.world.plan):
                for one, deed in in_place(self.world, operation):
                    if is_running(self.world):
                        self.world.edit_in_place([one], deed)
            await anyio.sleep(grid(self.rng, 3.0))


def in_place(world: SimWorld, operation: Any) -> Iterator[tuple[Any, Callable[[], Any]]]:
    """What an operation is in terms of the plan itself: single edits, and what they come to."""
    plan = world.plan
    match operation:
        case AddTask(task):
            yield operation, partial(plan.add_task, task)
        case RemoveTask(task_id):
            yield operation, partial(plan.remove_task, task_id)
        case UpdateTask(task_id, changes):
            for name in [name for name in _SETTERS if name in changes]:
                here = plan.get_task(task_id)
                if here is not None:
                    yield UpdateTask(task_id, {name: changes[name]}), partial(setattr, here, name, changes[name])
        case AddDependency(line):
            yield operation, partial(plan.add_dependency, line)
        case _:
            yield from _of_link(world, operation)


def _of_link(world: SimWorld, operation: Any) -> Iterator[tuple[Any, Callable[[], Any]]]:
    plan, link = world.plan, operation.link
    lines = [line for line in plan._lines if link in (line.line_id, (line._from, line._to))]
    for line in lines[:1]:
        if isinstance(operation, RemoveDependency):
            yield RemoveDependency(line.line_id), partial(plan.remove_dependency, line.line_id)
            return
        for name, value in operation.changes.items():
            if line._source is not None:
                yield UpdateDependency(line.line_id, {name: value}), partial(setattr, line, name, value)


# ----------------------------------------------------------------------------------------------------- conditions
class Meddler:
    """What conditions do that edit the plan while they are asked."""

    def __init__(self, world: SimWorld) -> None:
        self.world = world
        self.rng = random.Random(world.scenario.seed * 1000 + 998)
        self.proposer = Proposer(world, "m", self.rng)
        self.left = MEDDLINGS
        self._is_busy = False

    def meddle(self) -> None:
        """Edit the plan, or end one of its tasks; all that is counted in it agrees at this moment."""
        world = self.world
        if not is_running(world) or self._is_busy:
            return
        for problem in graph_problems(world.plan):
            if "is open, but its source" not in problem:  # it is being judged, and so are those after it
                world.problem(f"when a condition is asked: {problem}")
        if not self.left or not (world.plan._together or world.is_editing or world.is_as_seen()):
            return
        self.left -= 1
        self._is_busy = True
        try:
            self._do()
        except PlanError as error:
            world.note(f"a condition is refused: {type(error).__name__}")
        finally:
            self._is_busy = False

    def _do(self) -> None:
        world, rng = self.world, self.rng
        drawn = rng.choice(("edits", "edits", "removes", "turns", "ends", "ends"))
        world.note(f"a condition {drawn}")
        if drawn == "ends":
            tasks = [task for task in world.plan.get_all_tasks() if _can_end(task)]
            if tasks:
                end_by_hand(world, rng.choice(tasks), rng.choice(("complete", "fail", "cancel")))
            return
        operations = self.proposer.operations(world.plan)
        if drawn == "removes":
            ids = [task.task_id for task in world.plan.get_all_tasks() if not is_started(task)]
            operations = [RemoveTask(task_id) for task_id in rng.sample(ids, min(1, len(ids)))]
        if drawn == "turns":
            links = [
                one for one in world.plan._lines if one._open and one._source is not None and one._source.is_terminal
            ]
            kind = rng.choice(tuple(DependencyType))
            operations = [UpdateDependency(one.line_id, {"dependency_type": kind}) for one in links]
        for operation in operations:
            for one, deed in in_place(world, operation):
                world.edit_in_place([one], deed)


def _judge(answer: bool) -> Callable[[Any], bool]:
    def judge(payload: Any) -> bool:
        Stage.meddler.meddle()
        return answer

    return judge


for _name, _answer in MEDDLING.items():
    EVALUATORS[_name] = _judge(_answer == "yes")
    NAMES[id(EVALUATORS[_name])] = _answer  # the oracle need not know that it does more than answer


# ----------------------------------------------------------------------------------------------------- by hand
def _can_end(task: TaskStar) -> bool:
    return task.status is TaskStatus.RUNNING or task.is_ready_to_execute


def end_by_hand(world: SimWorld, task: TaskStar, how: str) -> None:
    """Somebody ends a task, which can be ended so."""
    key, error = (RUN, task.task_id), LookupError("it was not found")
    world.by_hand[key] = {"complete": End(COMPLETED, 1), "fail": End(FAILED, error)}.get(how, End(TaskStatus.CANCELLED))
    world.handled.add(key)
    world.ended_by_hand[task.task_id] = anyio.current_time()
    world.note(f"{task.task_id} is ended by hand: {how}")
    if how == "cancel":
        task.cancel()
    elif task.status is TaskStatus.RUNNING and world.attempted % 2:
        task.complete_with_success(1) if how == "complete" else task.complete_with_failure(error)
    else:
        world.plan.mark_task_completed(task.task_id, how == "complete", 1 if how == "complete" else None, error)
    if not (world.plan._together or world.is_editing):
        world.look("ended by hand")


def by_hand(world: SimWorld, holds: Holds, what: str, number: int) -> Awaitable[Any] | None:
    """Somebody starts, ends or retries a task by hand; what has to be awaited of it."""
    fits: Callable[[TaskStar], bool] = {
        "start": lambda task: task.is_ready_to_execute,
        "cancel": lambda task: not task.is_terminal,
        "retry": lambda task: task.should_retry(),
    }.get(what, lambda task: not task.is_terminal)
    tasks = [task for task in world.plan.get_all_tasks() if fits(task)] if is_running(world) else []
    world.attempted += 1
    if not tasks:
        return None
    task = tasks[number % len(tasks)]
    if what == "start":
        return _start(world, task, number)
    if what == "retry":
        _retry(world, holds, task)
    elif what == "cancel" or _can_end(task):
        end_by_hand(world, task, what)
    else:
        _end_what_waits(world, task)
    return None


def _end_what_waits(world: SimWorld, task: TaskStar) -> None:
    try:
        world.plan.mark_task_completed(task.task_id, True)
    except TransitionError:
        world.look("not ended by hand")
    else:
        world.problem(f"{task.task_id} waits, and could be ended by hand")


def _retry(world: SimWorld, holds: Holds, task: TaskStar) -> None:
    key = RUN, task.task_id
    holds.retried(task)
    world.note(f"{task.task_id} is retried by hand")
    world.retried[key] += 1
    world.handled.add(key)
    world.by_hand.pop(key, None)
    world.ended_by_hand.pop(task.task_id, None)
    world.ended_as.pop(task.task_id, None)
    task.retry()
    world.look("retried by hand")


def _start(world: SimWorld, task: TaskStar, number: int) -> Awaitable[None]:
    """Start a task by hand; what is then awaited ends it, unless somebody else does."""
    world.note(f"{task.task_id} is started by hand")
    world.handled.add((RUN, task.task_id))
    task.start_execution()
    world.look("started by hand")

    async def end() -> None:
        await anyio.sleep(number % 7 * 0.5)
        if task.status is TaskStatus.RUNNING:
            end_by_hand(world, task, ("complete", "complete", "fail", "cancel")[number % 4])

    return end()


def ran_twice(world: SimWorld) -> Iterator[str]:
    """Tasks whose status somebody changed by hand, and that ran again though nothing asked for it."""
    for run_id, task_id in sorted(world.handled):
        plan, tries = world.plans[run_id, task_id], world.tries_of(run_id, task_id)
        more = [one for one in tries[:-1] if not any(_taken_up_again(kind, plan) for kind in one.kinds())]
        if len(more) > world.retried[run_id, task_id]:
            yield f"{task_id} ran {len(tries)} times, and was retried {world.retried[run_id, task_id]} times by hand"
