"""What editing a plan costs while it runs, and what holding back no more than an edit touches saves.

    python benchmarks/editing.py                # all; the 100,000-task parts take a minute
    python benchmarks/editing.py --tasks 2000 --repeat 1

Lengths of runs are in virtual time, so they are exact; costs are CPU time of this process, the best of `--repeat`.
"""

from __future__ import annotations

import argparse
import random
import statistics
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import anyio
import anyio.lowlevel

from galaxy_core import (
    AddDependency,
    AddTask,
    Attempt,
    Completed,
    ConstellationDeviceManager,
    ConstellationModificationSynchronizer,
    Device,
    EditError,
    Event,
    EventBus,
    EventType,
    PluginRegistry,
    TaskConstellation,
    TaskConstellationOrchestrator,
    TaskEvent,
    TaskPriority,
    TaskStar,
    TaskStarLine,
    Transaction,
    UpdateTask,
)
from galaxy_core.testing.virtual_time import virtual_backend, virtual_clock

DEEP, WIDE, THINKS_S, EVERY = 40, 8, 15.0, 10


class Steady:
    """A transport, and its session, whose tasks take `seconds`, or nothing at all."""

    name = "steady"
    settings_model = None
    requests = frozenset({"none"})
    actions: Mapping[str, Any] = {}
    device_type = None

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._answer = Completed()

    @asynccontextmanager
    async def open(self, device: Device, settings: Any) -> AsyncIterator[Steady]:
        yield self

    async def execute(self, attempt: Attempt) -> Completed:
        if self._seconds:
            await anyio.sleep(self._seconds)
        return self._answer

    async def probe(self) -> Mapping[str, str]:
        return {}


class RoundRobin:
    """The plain strategy, so that only the kernel is measured."""

    name = "rr"

    def assign(self, placement: Any) -> dict[str, str]:
        ids = list(placement.devices)
        return {task.task_id: ids[i % len(ids)] for i, task in enumerate(placement.tasks)}


def branches() -> TaskConstellation:
    """`WIDE` branches of `DEEP` tasks each."""
    tasks = [TaskStar(f"b{b}-{i}") for b in range(WIDE) for i in range(DEEP)]
    lines = [
        TaskStarLine.create_success_only(f"b{b}-{i}", f"b{b}-{i + 1}") for b in range(WIDE) for i in range(DEEP - 1)
    ]
    return TaskConstellation.build(tasks, lines, constellation_id="branches")


class Thinker:
    """An editor that thinks for a while after every tenth completion, and then adds a task to the end of one branch.

    What ends while it thinks is not thought about a second time. With `names_it`, it says before it thinks what it will
    be about, by a change of the last task of the branch; else its draft holds nothing until it has thought.
    """

    def __init__(self, synchronizer: ConstellationModificationSynchronizer, hold: Any, names_it: bool) -> None:
        self._synchronizer, self._hold, self._names_it = synchronizer, hold, names_it
        self._ended = self._asked = self.edits = 0
        self._more = anyio.Event()
        self.planned_s = 0.0  # when the last of the tasks that were there from the start ended

    async def on_event(self, event: Event) -> None:
        self._ended += 1
        self._more.set()
        if isinstance(event, TaskEvent) and event.task_id.startswith("b"):
            self.planned_s = anyio.current_time()

    async def think(self) -> None:
        """Edit whenever ten more tasks have ended since the last edit, until there is nothing left to wait for."""
        while True:
            while self._ended < self._asked + EVERY:
                self._more = anyio.Event()
                await self._more.wait()
            self._asked = self._ended
            try:
                async with self._synchronizer.edit("branches", hold=self._hold) as draft:
                    if self._names_it:
                        draft.update_task(f"b0-{DEEP - 1}", description=f"last, after {self.edits} edits")
                    await anyio.sleep(THINKS_S)
                    new = f"new-{self.edits}"
                    draft.add_task(TaskStar(new)).add_dependency(
                        TaskStarLine.create_success_only(f"b0-{DEEP - 1}", new)
                    )
                self.edits += 1
            except EditError:
                return  # the run was over before the edit


async def length_s(hold: str | None, names_it: bool) -> tuple[float, float, int]:
    """Virtual seconds of a run with such an editor (None: without): of its own tasks, of all; and how many edits."""
    bus, clock = EventBus(virtual_clock()), virtual_clock()
    registry = PluginRegistry(discover=False)
    registry.register(Steady(1.0))
    registry.register(RoundRobin())
    async with ConstellationDeviceManager(plugins=registry, event_bus=bus, clock=clock) as devices:
        devices.add_device(Device("d", "steady", max_concurrency=WIDE))
        orchestrator = TaskConstellationOrchestrator(devices, event_bus=bus, clock=clock)
        synchronizer = ConstellationModificationSynchronizer(orchestrator)
        orchestrator.set_modification_synchronizer(synchronizer)
        thinker = Thinker(synchronizer, hold, names_it)
        start = anyio.current_time()
        async with anyio.create_task_group() as group:
            bus.subscribe(thinker, {EventType.TASK_COMPLETED})
            group.start_soon(_think_while_it_runs, thinker, orchestrator, hold)
            await orchestrator.orchestrate_constellation(branches(), assignment_strategy="rr")
            seconds = anyio.current_time() - start
            group.cancel_scope.cancel()
    return thinker.planned_s - start, seconds, thinker.edits


async def _think_while_it_runs(thinker: Thinker, orchestrator: TaskConstellationOrchestrator, hold: str | None) -> None:
    if hold is not None:
        while not orchestrator.runs():
            await anyio.lowlevel.checkpoint()
        await thinker.think()


def in_virtual_time(hold: str | None, names_it: bool = False) -> tuple[float, float, int]:
    """`length_s`, with a clock that jumps."""
    backend, options = virtual_backend("asyncio")
    return anyio.run(length_s, hold, names_it, backend=backend, backend_options=options)


def holding() -> None:
    """Lengths of runs by hold scope."""
    alone, _, _ = in_virtual_time(None)
    print(f"\n## {DEEP} tasks deep, {WIDE} wide, 1 s each; an editor thinks {THINKS_S:g} s after every {EVERY}th end")
    print(f"no editor        {alone:6.1f} s")
    cases = [
        ("none", False, "holds nothing"),
        ("footprint", False, "a draft that names nothing before it has thought"),
        ("footprint", True, "a draft that names the end of a branch before it thinks"),
        ("all", False, "as the API document has it"),
    ]
    for hold, names_it, what in cases:
        planned, whole, edits = in_virtual_time(hold, names_it)
        print(
            f"hold={hold:<10}  {planned:6.1f} s ({planned / alone:.2f} × no editor) for the tasks of the plan, "
            f"{whole:6.1f} s with the last answer and what {edits} edits added: {what}"
        )


def large(n: int) -> TaskConstellation:
    """A plan of `n` tasks, three random prerequisites each."""
    chance = random.Random(0)
    names = [f"t{i}" for i in range(n)]
    lines = [TaskStarLine(names[chance.randrange(i)], names[i]) for i in range(1, n) for _ in range(3)]
    return TaskConstellation.build([TaskStar(name) for name in names], lines, constellation_id="large")


def ten_operations(n: int, chance: random.Random, mark: int) -> Transaction:
    """Two tasks more, with three links each, and two that change."""
    operations: list[Any] = []
    for k in range(2):
        first, second = sorted(chance.sample(range(n // 2, n), 2))
        new = f"new-{mark}-{k}"
        operations += [
            AddTask(TaskStar(new)),
            AddDependency(TaskStarLine(f"t{first}", new)),
            AddDependency(TaskStarLine(new, f"t{second}")),
            AddDependency(TaskStarLine(f"t{first}", f"t{second}")),
            UpdateTask(f"t{second}", {"priority": chance.choice(list(TaskPriority))}),
        ]
    return Transaction(operations)


async def transactions(n: int, count: int) -> list[float]:
    """CPU seconds of each of `count` transactions of ten operations on a plan of `n` tasks."""
    plan = large(n)
    orchestrator = TaskConstellationOrchestrator(ConstellationDeviceManager(event_bus=EventBus()), event_bus=EventBus())
    orchestrator.manager.register_constellation(plan)
    synchronizer = ConstellationModificationSynchronizer(orchestrator)
    chance, times = random.Random(1), []
    for mark in range(count):
        transaction = ten_operations(n, chance, mark)
        start = time.process_time()
        await synchronizer.commit(transaction, "large")
        times.append(time.process_time() - start)
    return times


def committing(n: int) -> None:
    """What a transaction costs."""
    print("\n## a transaction of 10 operations on a plan of N tasks, three links each")
    for size in (n // 10, n):
        times = sorted(anyio.run(transactions, size, 200))
        p99 = times[len(times) * 99 // 100]
        print(f"N = {size:<8} median {statistics.median(times) * 1e3:.2f} ms, p99 {p99 * 1e3:.2f} ms")


async def run_edited(n: int, per_s: float) -> tuple[float, int]:
    """CPU seconds of a run of `n` no-op tasks while so many edits a second are committed; and how many there were."""
    plan = large(n)
    bus = EventBus()
    registry = PluginRegistry(discover=False)
    registry.register(Steady(0.0))
    registry.register(RoundRobin())
    edits = 0
    async with ConstellationDeviceManager(plugins=registry, event_bus=bus) as devices:
        for i in range(16):
            devices.add_device(Device(f"d{i}", "steady"))
        orchestrator = TaskConstellationOrchestrator(devices, event_bus=bus)
        synchronizer = ConstellationModificationSynchronizer(orchestrator)
        orchestrator.set_modification_synchronizer(synchronizer)

        async def edit() -> None:
            nonlocal edits
            chance, started = random.Random(2), time.perf_counter()
            while True:
                await anyio.sleep(0.002)
                while per_s and edits < (time.perf_counter() - started) * per_s:
                    target = f"t{chance.randrange(n)}"
                    edits += 1
                    try:
                        change = {"priority": chance.choice(list(TaskPriority))}
                        await synchronizer.commit(Transaction([UpdateTask(target, change)]), "large")
                    except EditError:
                        continue  # it has started: most have, towards the end

        start = time.process_time()
        async with anyio.create_task_group() as group:
            group.start_soon(edit)
            await orchestrator.orchestrate_constellation(plan, assignment_strategy="rr")
            group.cancel_scope.cancel()
        return time.process_time() - start, edits


def throughput(n: int, repeat: int) -> None:
    """What edits take from a run's throughput."""
    print(f"\n## a run of {n} no-op tasks while it is edited")
    quiet = min(anyio.run(run_edited, n, 0.0)[0] for _ in range(repeat))
    for per_s in (100.0, 1000.0):
        seconds, edits = min(anyio.run(run_edited, n, per_s) for _ in range(repeat))
        print(f"{per_s:6g} edits/s ({edits:>5} of them)  {quiet / seconds:.2f} × the throughput without")


def main() -> None:
    """Print it all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", type=int, default=100_000)
    parser.add_argument("--repeat", type=int, default=3)
    options = parser.parse_args()
    holding()
    committing(options.tasks)
    throughput(options.tasks, options.repeat)


if __name__ == "__main__":
    main()
