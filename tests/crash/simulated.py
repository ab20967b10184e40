"""`python -m tests.crash.simulated --seeds 10000`: whole lives of orchestrators in virtual time, which crash at random moments.

A seed draws a plan, edits, faults of devices and of the disk, and the moments of crashes. Devices go on with what they do
when the orchestrator dies; of what it was writing, a beginning survives. The next life resumes. In the last one nothing
goes wrong any more, and everything has to come to an end. What must be true: see `far` and `Lives.judge`.
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from random import Random
from typing import Any, TypeVar

import anyio
from attrs import field, frozen

from galaxy_core import (
    AddDependency,
    AddTask,
    ConstellationDeviceManager,
    ConstellationModificationSynchronizer,
    DependencyType,
    Device,
    Effect,
    Event,
    EventBus,
    EventType,
    GalaxyError,
    PluginRegistry,
    RetryPolicy,
    TaskConstellation,
    TaskConstellationOrchestrator,
    TaskStar,
    TaskStarLine,
    TaskStatus,
    Transaction,
    UpdateTask,
)
from galaxy_core.model.records.replay import Replay
from galaxy_core.runtime import resuming
from galaxy_core.testing.virtual_time import virtual_clock
from tests.crash.far import DeadError, Disk, FarTransport, Life, SimJournal, World
from tests.properties.loops import run_steadily
from tests.properties.seeds import command

T = TypeVar("T")

RUN = "run"
#: Virtual seconds after which a life has to be over.
HORIZON_S = 3000.0
MOST_LIVES = 6
_EFFECTS = (Effect.ONCE, Effect.ONCE, Effect.IDEMPOTENT, Effect.READ)
_TERMINAL = {"completed", "failed", "cancelled", "skipped", "unknown"}


@frozen
class Trace:
    """What a seed came to."""

    seed: int
    backend: str
    problems: tuple[str, ...]
    crashes: int
    story: tuple[str, ...] = field(repr=False)

    def __str__(self) -> str:
        return "\n".join([f"seed {self.seed} on {self.backend}, {self.crashes} crashes:", *self.problems])


class _Strategy:
    name = "spread"

    def assign(self, placement: Any) -> dict[str, str]:
        return {task.task_id: task.fitting[index % len(task.fitting)] for index, task in enumerate(placement.tasks)}


class Lives:
    def __init__(self, seed: int, backend: str) -> None:
        self.seed, self.backend, self.random = seed, backend, Random(seed)
        self.disk = Disk(Random(seed + 1))
        self.world = World(Random(seed + 2), self.disk)
        self.durability = "sync" if self.random.random() < 0.8 else "batched"
        self.world.waits_for_disk = self.durability == "sync"
        apart = Random(seed + 3)
        self.world.tells_progress, self.names_links = apart.random() < 0.6, apart.random() < 0.5
        self.crashes = self.random.randint(0, MOST_LIVES - 2)
        self.heard: dict[str, Any] = {}  # what observers were told to have completed, with its value
        self.acknowledged: list[str] = []  # tasks that committed edits have added
        self.next_edit = 0
        self.draw()

    # ------------------------------------------------------------------------------------------- the plan
    def draw(self) -> None:
        """A plan; the world learns what it may expect."""
        random = self.random
        ids = [f"t{number}" for number in range(random.randint(2, 9))]
        self.retries = {one: random.choice((0, 0, 2)) for one in ids}
        self.links: list[tuple[str, str, DependencyType]] = []
        for place, one in enumerate(ids):
            self.world.effects[one] = random.choice(_EFFECTS)
            self.world.failing[one] = random.choice((0, 0, 1)) if self.retries[one] else int(random.random() < 0.06)
            for other in random.sample(ids[:place], min(place, random.choice((0, 1, 1, 2)))):
                kind = random.choice(
                    (DependencyType.SUCCESS_ONLY, DependencyType.SUCCESS_ONLY, DependencyType.COMPLETION_ONLY)
                )
                self.links.append((other, one, kind))
                if kind is DependencyType.SUCCESS_ONLY:
                    self.world.needs.setdefault(one, set()).add(other)
        self.ids = ids

    def plan(self) -> TaskConstellation:
        """The plan, new."""
        tasks = [self.task(one) for one in self.ids]
        lines = [
            TaskStarLine(a, b, kind, line_id=f"{a}-{b}" if self.names_links else None) for a, b, kind in self.links
        ]
        return TaskConstellation.build(tasks, lines, constellation_id=RUN)

    def task(self, task_id: str) -> TaskStar:
        """One of its tasks."""
        return TaskStar(
            task_id,
            effect=self.world.effects[task_id],
            retry_count=self.retries.get(task_id, 0),
            retry=RetryPolicy(backoff_s=0.05),
        )

    # ------------------------------------------------------------------------------------------- a life
    async def live(self, life: Life, crash_at: float | None) -> str:
        """From a start to the end of the run, or to the crash; the run's status, or "crashed"."""
        status = "crashed"
        with anyio.CancelScope() as everything:
            with anyio.move_on_after(HORIZON_S) as horizon:
                async with anyio.create_task_group() as group:
                    if crash_at is not None:
                        group.start_soon(self._crash, life, crash_at, everything)
                    try:
                        status = await self._orchestrate(life, group)
                    except (GalaxyError, ExceptionGroup) as error:
                        if life.is_dead:
                            raise
                        status = "broken"
                        self.world.note(life, f"the run broke: {error}")
                        if self.world.is_calm or "no space" not in str(error):
                            self.world.problem(life, f"the run broke: {error!r}")
                    group.cancel_scope.cancel()
            if horizon.cancelled_caught:
                self.world.problem(life, "the run never ends")
        return "crashed" if life.is_dead else status

    async def _crash(self, life: Life, at: float, everything: anyio.CancelScope) -> None:
        life.doomed = anyio.Event()
        with anyio.move_on_after(at):
            await life.doomed.wait()
        self.world.note(life, "CRASH")
        life.is_dead = True
        self.disk.crash()
        everything.cancel()

    async def _orchestrate(self, life: Life, group: anyio.abc.TaskGroup) -> str:
        async with self.house(life) as (orchestrator, synchronizer):
            group.start_soon(self.edit, life, orchestrator, synchronizer)
            return await self.begin(life, orchestrator)

    @asynccontextmanager
    async def house(
        self, life: Life
    ) -> AsyncIterator[tuple[TaskConstellationOrchestrator, ConstellationModificationSynchronizer]]:
        """All that a process has while it lives."""
        clock = virtual_clock(self.seed * 10 + life.number)
        registry = PluginRegistry(discover=False, entry_points=tuple)
        for plugin in (
            FarTransport(self.world, life, settles=True),
            FarTransport(self.world, life, settles=False),
            _Strategy(),
        ):
            registry.register(plugin)
        bus = EventBus(clock)
        bus.subscribe(_Ear(self, life), [EventType.TASK_COMPLETED])
        async with ConstellationDeviceManager(
            plugins=registry, event_bus=bus, clock=clock, max_retries=50, enable_logging=False
        ) as devices:
            for name, transport in (("a", "far"), ("b", "far"), ("c", "mute")):
                devices.add_device(Device(name, transport, max_concurrency=2))
            orchestrator = TaskConstellationOrchestrator(
                devices,
                enable_logging=False,
                event_bus=bus,
                clock=clock,
                journal=SimJournal(self.disk, life),
                durability=self.durability,  # type: ignore[arg-type]
            )
            yield orchestrator, ConstellationModificationSynchronizer(orchestrator)

    async def begin(self, life: Life, orchestrator: TaskConstellationOrchestrator) -> str:
        """Go on with the run, or begin it; how it ended."""
        if self._is_begun():
            self.world.left = {flight.mark for flight in self.replay().in_flight.values()}
            result = await orchestrator.resume(RUN, on_unknown=lambda said: self._truth(life, said))
        else:
            result = await orchestrator.orchestrate_constellation(self.plan(), assignment_strategy="spread")
        return str(result["status"])

    def _is_begun(self) -> bool:
        """Whether there is a run to go on with: one whose plan was not recorded whole is started anew."""
        if self.disk.lines and not self.replay().is_whole:
            if self.world.works and self.durability == "sync":
                self.world.problems.append("the plan is not recorded, and something was done")
            self.disk.lines.clear()
        return bool(self.disk.lines)

    def _truth(self, life: Life, said: Any) -> str | None:
        """What a person finds out who looks at the device."""
        life.check()
        works = self.world.works_of(said.task_id)
        last = self.world.works.get(said.mark)
        if last is None:
            return "retry"
        if last.is_running(life.now()):
            self.world.stop(life, said.mark)
        if self.random.random() < 0.3:
            return None
        if last.stopped_s is not None or last.code:
            self.world.pardoned[said.task_id] = len(works)
            return "retry"
        return "completed"

    async def edit(
        self,
        life: Life,
        orchestrator: TaskConstellationOrchestrator,
        synchronizer: ConstellationModificationSynchronizer,
    ) -> None:
        """Edit the run from its beginning on."""
        random = self.random
        while orchestrator.run_of(RUN) is None:  # noqa: ASYNC110  nothing tells when a run can be edited
            await anyio.sleep(0.05)
        for _ in range(random.choice((0, 1, 3, 6))):
            await anyio.sleep(random.choice((0.0, 0.01, 0.3, 1.0)))
            number, self.next_edit = self.next_edit, self.next_edit + 1
            new = f"e{number}"
            self.world.effects[new] = random.choice(_EFFECTS)
            operations: list[Any] = [AddTask(self.task(new))]
            if random.random() < 0.5:
                operations.append(
                    AddDependency(TaskStarLine(random.choice(self.ids), new, DependencyType.COMPLETION_ONLY))
                )
            if random.random() < 0.3:
                operations.append(UpdateTask(random.choice(self.ids), {"description": f"as of {number}"}))
            try:
                await synchronizer.commit(Transaction(operations, description=f"edit {number}"), RUN)
            except GalaxyError as error:
                self.world.note(life, f"edit {number} is refused: {str(error)[:80]}")
            else:
                if not life.is_dead:
                    self.world.note(life, f"edit {number} is committed")
                    self.acknowledged.append(new)
                    if life.doomed is not None and random.random() < 0.5:  # at once, when somebody may rely on it
                        life.doomed.set()
                        return

    def heard_of(self, life: Life, event: Any) -> None:
        """An observer was told that a task has completed."""
        if not life.is_dead:
            self.heard[event.task_id] = getattr(event.result, "value", None)
            self.world.note(life, f"told: {event.task_id} has completed")

    # ------------------------------------------------------------------------------------------- the whole
    def play(self) -> Trace:
        """All lives, one after the other."""
        base_s, crashed, status = 0.0, 0, "crashed"
        for number in range(MOST_LIVES + 2):
            life = Life(number, base_s)
            is_last = number >= self.crashes
            self.world.is_calm = is_last
            self.disk.writes, self.disk.fails_at = 0, self.random.choice((0, 0, 0, 3, 6)) if not is_last else 0
            crash_at = None if is_last else self.random.choice((0.0, 0.01, 0.1, 1.0, 3.0)) * self.random.random()
            status = run_steadily(self.backend, self.seed * 10 + number, self.live, life, crash_at)
            life.is_dead = True
            if status == "crashed" and self._is_over():
                status = "completed"
            base_s += (crash_at or 5.0) + self.random.choice((0.0, 0.2, 5.0))
            crashed += status == "crashed"
            if not self.judge(life, status):
                break
            if status not in ("crashed", "broken"):
                break
        if not self.world.problems:
            self.judge_end(status)
        return Trace(self.seed, self.backend, tuple(self.world.problems), crashed, tuple(self.world.story))

    def judge(self, life: Life, status: str) -> bool:
        """What survived a life."""
        if self.disk.lines and (replay := self.replay()).is_whole:
            tasks = replay.document()["tasks"]
            if self.durability == "sync":
                for task_id, value in self.heard.items():
                    said = tasks.get(task_id, {"status": "gone", "result": {}})
                    if said["status"] != "completed":
                        self.world.problems.append(f"{task_id} was told to have completed, and is {said['status']}")
                    elif json.dumps(value) not in json.dumps(said["result"]):
                        self.world.problems.append(f"{task_id} was told to be {value!r}, and is {said['result']}")
                for task_id in self.acknowledged:
                    if task_id not in tasks:
                        self.world.problems.append(f"the edit that added {task_id} was committed, and is lost")
            if json.loads(json.dumps(replay.constellation().to_dict()["tasks"])) != json.loads(json.dumps(tasks)):
                self.world.problems.append("the constellation that is built says something else than the document")
        elif self.durability == "sync" and (self.heard or self.world.works):
            self.world.problems.append("there is no run, and something was done")
        return not self.world.problems

    def judge_end(self, status: str) -> None:
        """When the last life is over."""
        if status in ("crashed", "broken"):
            self.world.problems.append(f"the last life ended as {status}")
            return
        tasks = self.replay().document()["tasks"]
        for task_id, said in tasks.items():
            if said["status"] not in _TERMINAL:
                self.world.problems.append(f"{task_id} is {said['status']} in the end")
            if "by hand" in json.dumps(said):
                self.world.problems.append(f"{task_id} is taken for one that a person has started")
            done = [work for work in self.world.works_of(task_id) if work.stopped_s is None and not work.code]
            if said["status"] == TaskStatus.COMPLETED.value and not done:
                self.world.problems.append(f"{task_id} is completed, and no device has done it")
            if self.world.effects[task_id] is Effect.ONCE and len(done) > 1 and self.durability == "sync":
                self.world.problems.append(f"{task_id} (once) was done {len(done)} times")

    def replay(self) -> Replay:
        """The run as it is recorded."""
        replay = Replay()
        for line in self.disk.lines:
            replay.take(line)
        return replay

    def _is_over(self) -> bool:
        """Whether the orchestrator died after it had recorded the end of everything."""
        return bool(self.disk.lines) and self.replay().over is not None


async def _at_once(function: Callable[..., T], *arguments: Any) -> T:
    """In place of a thread, which virtual time knows nothing of."""
    return function(*arguments)


class _Ear:
    def __init__(self, lives: Lives, life: Life) -> None:
        self.lives, self.life = lives, life

    async def on_event(self, event: Event) -> None:
        self.lives.heard_of(self.life, event)


@contextmanager
def without_threads(backend: str) -> Iterator[None]:
    """Nothing is done in threads, and trio has the same order for the same seed."""
    logging.disable(logging.CRITICAL)
    in_thread, resuming.in_thread = resuming.in_thread, _at_once
    try:
        if backend == "trio":
            from trio._core import _run

            _run._ALLOW_DETERMINISTIC_SCHEDULING = True  # type: ignore[misc]  # trio has no public way
        yield
    finally:
        resuming.in_thread = in_thread
        logging.disable(logging.NOTSET)


def simulate(seed: int, backend: str) -> Trace:
    """Play one seed on "asyncio" or "trio"."""
    with without_threads(backend):
        try:
            return Lives(seed, backend).play()
        except (DeadError, AssertionError):
            raise
        except BaseException as error:
            raise AssertionError(f"seed {seed} on {backend} broke: {error!r}") from error


if __name__ == "__main__":
    sys.exit(command("python -m tests.crash.simulated", __doc__, simulate))
