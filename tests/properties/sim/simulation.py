"""One simulation: a seed decides everything, and the same seed is the same story to the last word."""

from __future__ import annotations

import functools
import logging
import random
from collections.abc import Iterator
from typing import Any

import anyio
from attrs import field, frozen

from galaxy_core import AssignmentError, Committed, EventType, GalaxyError, PluginRegistry, TaskStatus
from tests.properties.devices import Late, Static, WorldTransport
from tests.properties.laws import _of_task, leaks
from tests.properties.loops import rest, run_steadily
from tests.properties.oracle import Try
from tests.properties.sim.actors import Answering, Author, PluginEditor, PromptReviewer, Reviewer, happen
from tests.properties.sim.draws import Scenario, scenario
from tests.properties.sim.editing import Editing
from tests.properties.sim.hands import InPlace, Meddler, by_hand, ran_twice
from tests.properties.sim.holds import Holds
from tests.properties.sim.proposing import Proposer
from tests.properties.sim.records import unlike_its_records
from tests.properties.sim.stage import Stage
from tests.properties.sim.world import RUN, SimWorld

#: Virtual seconds after which a run that may hang by its own plan is cancelled, and after which any run has to be over.
PATIENCE_S = 150.0
HORIZON_S = 1500.0
#: How long authors may go on when the run is over.
AFTER_S = 12.0


@frozen
class Trace:
    """What a seed came to: what happened, in words, and what was wrong with it."""

    seed: int
    backend: str
    problems: tuple[str, ...]
    story: tuple[str, ...] = field(repr=False)

    def __str__(self) -> str:
        return "\n".join([f"seed {self.seed} on {self.backend}:", *self.problems])


class Simulation:
    """A scenario that is played."""

    def __init__(self, drawn: Scenario) -> None:
        self.scenario = drawn
        reviewer = PromptReviewer if drawn.is_reviewed_at_once else Reviewer
        self.world = SimWorld(drawn, _registry(len(drawn.plugin_editors), reviewer if drawn.review else None))
        self.holds = Holds(self.world)
        self.host = anyio.CancelScope()
        self.results: dict[str, Any] = {}
        self.refused: Exception | None = None
        self.over = anyio.Event()
        Stage.world, Stage.holds = self.world, self.holds
        Stage.proposers = [
            Proposer(self.world, f"p{number}", random.Random(drawn.seed * 1000 + 500 + number))
            for number in range(len(drawn.plugin_editors) + 1)
        ]
        Stage.meddler = Meddler(self.world)

    async def play(self) -> Trace:
        """From the first to the last moment."""
        world, drawn = self.world, self.scenario
        began = world.began

        def watched(attempt: Any, session: Any) -> Try:
            self.holds.began(attempt.task)
            return began(attempt, session)

        world.began = watched  # type: ignore[method-assign]
        async with world.manager:
            for device in drawn.devices:
                world.add_device(device)
            world.synchronizer.set_hold_scope(drawn.hold, plugins=drawn.plugin_hold)  # type: ignore[arg-type]
            world.synchronizer.set_timeout_policy(drawn.policy)  # type: ignore[arg-type]
            world.synchronizer.set_modification_timeout(drawn.timeout_s)
            world.orchestrator.set_modification_synchronizer(world.synchronizer)
            with anyio.move_on_after(HORIZON_S) as horizon:
                async with anyio.create_task_group() as group:
                    self._start(group)
                    await self.over.wait()
                    await anyio.sleep(AFTER_S)
                    group.cancel_scope.cancel()
            if horizon.cancelled_caught:
                world.problem("the run never ends")
            else:
                await world.bus.drain()
                await rest()
                self._judge()
        return Trace(drawn.seed, "", tuple(world.problems), tuple(world.story))

    def _start(self, group: anyio.abc.TaskGroup) -> None:
        world, holds, drawn = self.world, self.holds, self.scenario
        commits: list[Committed] = []
        group.start_soon(self._run)
        group.start_soon(self._watch)
        for number, kind in enumerate(drawn.authors):
            author: Any = {"editor": Editing, "in place": InPlace}.get(kind)
            made = author(world, number) if author else Author(world, holds, number, kind, commits)
            group.start_soon(made.work)
        if drawn.answers:
            editor = Answering(world, holds)
            world.bus.subscribe(editor, [EventType.TASK_COMPLETED, EventType.TASK_FAILED])
            world.synchronizer.add_editor(RUN)
            group.start_soon(editor.work)
        happenings = list(drawn.happenings)
        if drawn.may_hang:
            happenings.append((PATIENCE_S, "cancel_run", 0))
        for happening in happenings:
            group.start_soon(self._happen, group, *happening)

    async def _happen(self, group: anyio.abc.TaskGroup, at: float, what: str, number: int) -> None:
        await anyio.sleep_until(at)
        if what.endswith(" by hand"):
            soon = by_hand(self.world, self.holds, what.removesuffix(" by hand"), number)
        else:
            soon = happen(self.world, self.holds, what, number, self.host)
        if soon is not None:
            await soon

    async def _run(self) -> None:
        with self.host:
            try:
                self.results[RUN] = await self.world.orchestrator.orchestrate_constellation(
                    self.world.plan, assignment_strategy=self.scenario.strategy
                )
            except AssignmentError as error:
                self.refused = error
            except (GalaxyError, ValueError) as error:
                self.world.problem(f"the run was refused: {error!r}")
                self.refused = error
        self.world.note("the run is over")
        self.over.set()

    async def _watch(self) -> None:
        """Look whenever something has happened, and nothing is left to do."""
        while True:
            await self.world.stirred.wait()
            await rest()
            self.world.stirred = anyio.Event()
            self.holds.at_rest()

    # ------------------------------------------------------------------------------------------- the end
    def _judge(self) -> None:
        world = self.world
        world.look("in the end")
        world.problems += [*leaks(world), *self.holds.in_the_end()]
        world.problems += world.plan.validate_dag()[1]
        if self.refused is not None or not world.plan.execution_start_time:
            return
        cancels = self.scenario.cancels or bool(world.cancelled)
        for task in world.plan.get_all_tasks():
            world.problems += [f"{task.task_id}: {text}" for text in _of_task(world, RUN, task, cancels=cancels)]
        world.problems += ran_twice(world)
        world.problems += unlike_its_records(world)
        world.problems += self._of_result(cancels=cancels)
        if not cancels:
            world.problems += self.holds.unasked()

    def _of_result(self, *, cancels: bool) -> Iterator[str]:
        if RUN not in self.results:
            if not self.holds.host_cancelled:
                yield "the run has no result"
            return
        results, tasks = self.results[RUN]["results"], self.world.plan.tasks
        if list(results) != list(tasks):
            yield f"results of {list(results)}; the tasks are {list(tasks)}"
        for task_id, result in results.items():
            if task_id in tasks and result.status is not tasks[task_id].status:
                yield f"the result of {task_id} says {result.status}"
        some_completed = any(task.status is TaskStatus.COMPLETED for task in tasks.values())
        if self.results[RUN]["status"] in ("cancelled", "failed") and not cancels and some_completed:
            yield f"the run is {self.results[RUN]['status']}, though tasks completed"


@functools.cache
def _registry(editors: int, reviewer: type[object] | None) -> PluginRegistry:
    found = PluginRegistry(discover=False)
    plugins = [PluginEditor(number) for number in range(editors)]
    for plugin in (WorldTransport(), Static(), Late(), *plugins, *([reviewer()] if reviewer else [])):
        found.register(plugin)
    return found


async def _simulate(seed: int) -> Trace:
    return await Simulation(scenario(seed)).play()


def simulate(seed: int, backend: str) -> Trace:
    """Play one seed on "asyncio" or "trio", in an event loop of its own in which nothing may be left."""
    logging.disable(logging.CRITICAL)  # what goes wrong is meant to, and there is much of it
    try:
        if backend == "trio":
            from trio._core import _run

            _run._ALLOW_DETERMINISTIC_SCHEDULING = True  # type: ignore[misc]  # trio has no public way
        trace = run_steadily(backend, seed, _simulate, seed)
    except BaseException as error:
        raise AssertionError(f"seed {seed} on {backend} broke: {error!r}") from error
    finally:
        logging.disable(logging.NOTSET)
    return Trace(seed, backend, trace.problems, trace.story)
