"""How fast the kernel runs plans of no-op tasks, beside what one would write by hand, and others.

    python benchmarks/kernel.py                      # the default: N = 1k, 10k, 100k on asyncio and trio
    python benchmarks/kernel.py --sizes 10000 --backends asyncio --repeat 3
    python benchmarks/kernel.py --only scale --repeat 1     # a million tasks against ten thousand

Every figure is CPU time of this process, the best of `--repeat` runs, the competitors interleaved. Ratios are against
"by hand": graphlib.TopologicalSorter and one asyncio task per node. Shapes: flat (no links), chain, wide (1→N→1),
layered (width 50, three random prerequisites in the layer before).
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import graphlib
import math
import random
import time
import tracemalloc
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import anyio
import trio

from galaxy_core import (
    Attempt,
    Completed,
    ConstellationDeviceManager,
    Device,
    Event,
    EventBus,
    PluginRegistry,
    TaskConstellation,
    TaskConstellationOrchestrator,
    TaskStar,
    TaskStarLine,
)

Links = list[tuple[int, int]]
DEVICES = 16


def flat(n: int) -> Links:
    """No links."""
    return []


def chain(n: int) -> Links:
    """Each task waits for the one before."""
    return [(i, i + 1) for i in range(n - 1)]


def wide(n: int) -> Links:
    """1 → N - 2 → 1."""
    return [(0, i) for i in range(1, n - 1)] + [(i, n - 1) for i in range(1, n - 1)]


def layered(n: int, width: int = 50) -> Links:
    """Layers of `width`; each task has three random prerequisites in the layer before."""
    chance = random.Random(0)
    links = []
    for i in range(width, n):
        start = (i // width - 1) * width
        links += [(source, i) for source in chance.sample(range(start, start + width), 3)]
    return links


SHAPES: Mapping[str, Callable[[int], Links]] = {"flat": flat, "chain": chain, "wide": wide, "layered": layered}


class NoOp:
    """A transport, and its session, that does nothing; with `suspend`, a back end, after giving way once."""

    name = "noop"
    settings_model = None
    requests = frozenset({"none", "run", "shell", "call"})
    actions: Mapping[str, Any] = {}
    device_type = None

    def __init__(self, suspend: str | None = None) -> None:
        self._answer = Completed()
        # Each back end's own way of giving way once: what is measured is the kernel, not anyio's checkpoint.
        if suspend == "asyncio":
            self.execute = self._on_asyncio  # type: ignore[method-assign]
        elif suspend == "trio":
            self.execute = self._on_trio  # type: ignore[method-assign]

    @asynccontextmanager
    async def open(self, device: Device, settings: Any) -> AsyncIterator[NoOp]:
        yield self

    async def execute(self, attempt: Attempt) -> Completed:
        return self._answer

    async def _on_asyncio(self, attempt: Attempt) -> Completed:
        await asyncio.sleep(0)
        return self._answer

    async def _on_trio(self, attempt: Attempt) -> Completed:
        await trio.lowlevel.checkpoint()
        return self._answer

    async def probe(self) -> Mapping[str, str]:
        return {}


class Counter:
    """An observer that counts what it hears, in batches."""

    def __init__(self) -> None:
        self.heard = 0

    async def on_event(self, event: Event) -> None:
        self.heard += 1

    async def on_events(self, events: Sequence[Event]) -> None:
        self.heard += len(events)


class EachCounter:
    """An observer that counts what it hears, one by one."""

    def __init__(self) -> None:
        self.heard = 0

    async def on_event(self, event: Event) -> None:
        self.heard += 1


class RoundRobin:
    """The plain strategy, so that only the kernel is measured."""

    name = "rr"

    def assign(self, placement: Any) -> dict[str, str]:
        ids = list(placement.devices)
        return {task.task_id: ids[i % len(ids)] for i, task in enumerate(placement.tasks)}


def build(n: int, links: Links, timeout_s: float | None = None, *, distinct: bool = False) -> TaskConstellation:
    """The constellation of a shape, built at once; with `distinct`, no two timeouts are equal."""
    names = [f"t{i}" for i in range(n)]
    more_s: Sequence[float] = random.Random(0).sample([i / n for i in range(n)], n) if distinct else ()
    return TaskConstellation.build(
        [
            TaskStar(name, timeout=timeout_s + more_s[i] if timeout_s and distinct else timeout_s)
            for i, name in enumerate(names)
        ],
        [TaskStarLine(names[a], names[b]) for a, b in links],
        name="benchmark",
    )


def galaxy(
    n: int,
    links: Links,
    backend: str = "asyncio",
    *,
    suspend: bool = False,
    timeout_s: float | None = None,
    distinct: bool = False,
    observers: int = 1,
    batches: bool = True,
) -> float:
    """CPU seconds that the kernel needs for a plan, from a built constellation to its result."""
    constellation = build(n, links, timeout_s, distinct=distinct)

    async def main() -> float:
        bus = EventBus()
        for _ in range(observers):
            bus.subscribe(Counter() if batches else EachCounter())
        registry = PluginRegistry(discover=False)
        registry.register(NoOp(backend if suspend else None))
        registry.register(RoundRobin())
        async with ConstellationDeviceManager(plugins=registry, event_bus=bus) as devices:
            for i in range(DEVICES):
                devices.add_device(Device(f"d{i}", "noop"))
            await devices.connect_all()
            orchestrator = TaskConstellationOrchestrator(devices, event_bus=bus)
            start = time.process_time()
            result = await orchestrator.orchestrate_constellation(constellation, assignment_strategy="rr")
            seconds = time.process_time() - start
        if result["status"] != "completed" or len(result["results"]) != n:
            raise SystemExit(f"the benchmark is broken: {result['status']}")
        return seconds

    return anyio.run(main, backend=backend)


def by_hand(n: int, links: Links, suspend: bool = False, hops: list[float] | None = None) -> float:
    """CPU seconds of graphlib and one asyncio task per node; `hops` takes the seconds from each task to the next."""
    last = 0.0
    prerequisites: dict[int, list[int]] = {i: [] for i in range(n)}
    for a, b in links:
        prerequisites[b].append(a)

    async def node(sorter: graphlib.TopologicalSorter[int], i: int, done: asyncio.Queue[int]) -> None:
        nonlocal last
        if hops is not None:
            hops.append(time.perf_counter() - last)
            last = time.perf_counter()
        if suspend:
            await asyncio.sleep(0)
        done.put_nowait(i)

    async def main() -> float:
        start = time.process_time()
        sorter = graphlib.TopologicalSorter(prerequisites)
        sorter.prepare()
        done: asyncio.Queue[int] = asyncio.Queue()
        running = set()
        while sorter.is_active():
            for i in sorter.get_ready():
                task = asyncio.create_task(node(sorter, i, done))
                running.add(task)
                task.add_done_callback(running.discard)
            sorter.done(await done.get())
        return time.process_time() - start

    return asyncio.run(main())


def floor(n: int, links: Links) -> float:
    """CPU seconds of an in-degree walk that awaits a no-op: what nobody can beat in Python."""

    async def no_op() -> None:
        return None

    async def main() -> float:
        start = time.process_time()
        successors: dict[int, list[int]] = defaultdict(list)
        waiting = [0] * n
        for a, b in links:
            successors[a].append(b)
            waiting[b] += 1
        ready = [i for i in range(n) if not waiting[i]]
        for i in ready:
            await no_op()
            for b in successors[i]:
                waiting[b] -= 1
                if not waiting[b]:
                    ready.append(b)
        return time.process_time() - start

    return asyncio.run(main())


def best(repeat: int, *runs: Callable[[], float]) -> list[float]:
    """The best time of each, interleaved."""
    times: list[list[float]] = [[] for _ in runs]
    for _ in range(repeat):
        for found, run in zip(times, runs, strict=True):
            gc.collect()
            found.append(run())
    return [min(found) for found in times]


def mean(values: Sequence[float]) -> float:
    """The geometric mean."""
    return math.exp(sum(map(math.log, values)) / len(values))


def throughput(sizes: Sequence[int], backends: Sequence[str], repeat: int, suspend: bool) -> None:
    """Tasks per second by shape, and the ratio against by hand."""
    what = "one real suspension per task" if suspend else "no-op tasks"
    print(f"\n## {what}, {DEVICES} devices, one observer: thousand tasks per CPU second (ratio to by hand)")
    heads = "".join(f"{'galaxy ' + b:>22}" for b in backends)
    print(f"{'N':>8} {'shape':<8}{heads}{'by hand':>10}{'floor':>9}")
    for n in sizes:
        ratios: dict[str, list[float]] = {b: [] for b in backends}
        rates: dict[str, list[float]] = {b: [] for b in backends}
        for shape, make in SHAPES.items():
            links = make(n)
            runs = [partial(galaxy, n, links, backend, suspend=suspend) for backend in backends]
            *ours, hand, lowest = best(repeat, *runs, partial(by_hand, n, links, suspend), partial(floor, n, links))
            cells = ""
            for backend, seconds in zip(backends, ours, strict=True):
                ratios[backend].append(hand / seconds)
                rates[backend].append(n / seconds)
                cells += f"{n / seconds / 1e3:>12.0f}k ({hand / seconds:>4.2f} ×)"
            print(f"{n:>8} {shape:<8}{cells}{n / hand / 1e3:>9.0f}k{n / lowest / 1e3:>8.0f}k")
        cells = "".join(f"{mean(rates[b]) / 1e3:>12.0f}k ({mean(ratios[b]):>4.2f} ×)" for b in backends)
        print(f"{n:>8} {'geomean':<8}{cells}")


def variations(n: int, backend: str, repeat: int) -> None:
    """What a deadline on every task and more observers cost."""
    links = layered(n)
    plain, deadline, distinct, many, single, many_single = best(
        repeat,
        lambda: galaxy(n, links, backend),
        lambda: galaxy(n, links, backend, timeout_s=60.0),
        lambda: galaxy(n, links, backend, timeout_s=60.0, distinct=True),
        lambda: galaxy(n, links, backend, observers=50),
        lambda: galaxy(n, links, backend, batches=False),
        lambda: galaxy(n, links, backend, observers=50, batches=False),
    )
    silent = best(repeat, lambda: galaxy(n, links, backend, observers=0))[0]
    print(f"\n## variations on layered, N = {n}, {backend}")
    print(f"no observer                          {silent / plain:5.2f} × the time with one")
    print(f"a deadline on every task             {deadline / plain:5.2f} × the time without")
    print(f"a distinct deadline on every task    {distinct / plain:5.2f} × the time without")
    print(f"50 observers, in batches             {many / plain:5.2f} × the time with one")
    print(f"one observer, event by event         {single / plain:5.2f} × the time with one, in batches")
    print(f"50 observers, event by event         {many_single / plain:5.2f} × the time with one, in batches")


def hop_latency(n: int, backend: str) -> None:
    """From the end of a prerequisite to the start of its dependent, in a chain."""
    constellation = build(n, chain(n))
    by_hands: list[float] = []
    by_hand(n, chain(n), hops=by_hands)
    by_hands.sort()
    hand = by_hands[len(by_hands) // 2] * 1e6, by_hands[len(by_hands) * 99 // 100] * 1e6

    async def main() -> None:
        bus = EventBus()
        registry = PluginRegistry(discover=False)
        ends: list[float] = []
        hops: list[float] = []

        class Stamping(NoOp):
            async def execute(self, attempt: Attempt) -> Completed:
                now = time.perf_counter()
                if ends:
                    hops.append(now - ends[-1])
                ends.append(time.perf_counter())
                return self._answer

        registry.register(Stamping())
        registry.register(RoundRobin())
        async with ConstellationDeviceManager(plugins=registry, event_bus=bus) as devices:
            for i in range(DEVICES):
                devices.add_device(Device(f"d{i}", "noop"))
            bus.subscribe(Counter())
            orchestrator = TaskConstellationOrchestrator(devices, event_bus=bus)
            await orchestrator.orchestrate_constellation(constellation, assignment_strategy="rr")
        hops.sort()
        p50, p99 = hops[len(hops) // 2] * 1e6, hops[len(hops) * 99 // 100] * 1e6
        print(
            f"hop in a chain of {n}, {backend}: p50 {p50:.1f} µs, p99 {p99:.1f} µs; "
            f"by hand {hand[0] / p50:.2f} and {hand[1] / p99:.2f} × that"
        )

    anyio.run(main, backend=backend)


def scale(small: int, large: int, repeat: int) -> None:
    """What a task costs in a large plan, over what it costs in a small one; caches let nobody off, hence both."""
    print(f"\n## cost of a no-op task, N = {large} over N = {small}, asyncio")
    found: dict[str, list[float]] = {"galaxy": [], "by hand": []}
    for shape, make in SHAPES.items():
        cells = ""
        for who, run in (("galaxy", galaxy), ("by hand", by_hand)):
            few, many = (best(repeat, partial(run, n, make(n)))[0] / n for n in (small, large))
            found[who].append(many / few)
            cells += f"{who:>12} {few * 1e6:5.1f} -> {many * 1e6:5.1f} µs ({many / few:.2f} ×)"
        print(f"{shape:<8}{cells}")
    print(f"{'geomean':<8}" + "".join(f"{who:>12} {mean(ratios):.2f} ×" for who, ratios in found.items()))


def memory(n: int) -> None:
    """Bytes per task, with links and result, after a run."""
    links = layered(n)
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    constellation = build(n, links)
    built = tracemalloc.get_traced_memory()[0]

    async def main() -> int:
        registry = PluginRegistry(discover=False)
        registry.register(NoOp())
        registry.register(RoundRobin())
        bus = EventBus()
        async with ConstellationDeviceManager(plugins=registry, event_bus=bus) as devices:
            for i in range(DEVICES):
                devices.add_device(Device(f"d{i}", "noop"))
            orchestrator = TaskConstellationOrchestrator(devices, event_bus=bus)
            result = await orchestrator.orchestrate_constellation(constellation, assignment_strategy="rr")
            gc.collect()
            return tracemalloc.get_traced_memory()[0] if result else 0

    ran = anyio.run(main)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    tracemalloc.start()
    by_hand(n, links)
    hand = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    print(
        f"memory, layered N = {n}, 3 links a task: {(built - before) / n:.0f} B a task built, "
        f"{(ran - before) / n:.0f} B with results, {(peak - before) / n:.0f} B at the peak; by hand, which keeps no result, {hand / n:.0f} B at the peak"
    )


def main() -> None:
    """Print it all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[1_000, 10_000, 100_000])
    parser.add_argument("--backends", nargs="+", default=["asyncio", "trio"])
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--only", choices=["throughput", "suspend", "variations", "latency", "memory", "scale"])
    parser.add_argument("--scale", type=int, nargs=2, default=[10_000, 1_000_000], metavar=("SMALL", "LARGE"))
    options = parser.parse_args()
    only, top = options.only, max(options.sizes)
    if only in (None, "throughput"):
        throughput(options.sizes, options.backends, options.repeat, suspend=False)
    if only in (None, "suspend"):
        throughput(options.sizes, options.backends, options.repeat, suspend=True)
    if only in (None, "variations"):
        variations(top, options.backends[0], options.repeat)
    print()
    for backend in options.backends:
        if only in (None, "latency"):
            hop_latency(min(top, 20_000), backend)
    if only in (None, "memory"):
        memory(top)
    if only == "scale":  # takes minutes, hence only when asked for
        small, large = options.scale
        scale(small, large, options.repeat)


if __name__ == "__main__":
    main()
