"""The kernel beside other systems that run tasks, each as its own manual would have it used. No-op tasks, in process.

    pip install distributed nornir          # what is missing is left out and said
    python benchmarks/others.py --repeat 3

Wall time, the best of `--repeat` runs, as ratios to the kernel's. Their features differ: none of them runs over
devices with bounded concurrency, deadlines and edits; this says only what a task costs to get done.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from kernel import DEVICES, build, flat, layered  # the folder of scripts is no package

Links = list[tuple[int, int]]


def galaxy_wall(n: int, links: Links) -> float:
    """Wall seconds of the kernel."""
    import anyio
    from kernel import Counter, NoOp, RoundRobin

    from galaxy_core import (
        ConstellationDeviceManager,
        Device,
        EventBus,
        PluginRegistry,
        TaskConstellationOrchestrator,
    )

    constellation = build(n, links)

    async def main() -> float:
        bus = EventBus()
        bus.subscribe(Counter())
        registry = PluginRegistry(discover=False)
        registry.register(NoOp())
        registry.register(RoundRobin())
        async with ConstellationDeviceManager(plugins=registry, event_bus=bus) as devices:
            for i in range(DEVICES):
                devices.add_device(Device(f"d{i}", "noop"))
            await devices.connect_all()
            orchestrator = TaskConstellationOrchestrator(devices, event_bus=bus)
            start = time.perf_counter()
            await orchestrator.orchestrate_constellation(constellation, assignment_strategy="rr")
            return time.perf_counter() - start

    return anyio.run(main)


def dask_graph(n: int, links: Links) -> dict[Any, Any]:
    """The plan as dask's own kind of graph."""
    prerequisites: dict[int, list[int]] = {i: [] for i in range(n)}
    for a, b in links:
        prerequisites[b].append(a)

    def no_op(*_: Any) -> None:
        return None

    return {i: (no_op, *before) for i, before in prerequisites.items()}


def dask_threaded(n: int, links: Links) -> float:
    """Wall seconds of dask's threaded scheduler."""
    from dask.threaded import get

    graph = dask_graph(n, links)
    start = time.perf_counter()
    get(graph, list(graph), num_workers=DEVICES)
    return time.perf_counter() - start


def dask_distributed(n: int, links: Links) -> float:
    """Wall seconds of dask.distributed with a worker in this process."""
    from distributed import Client, LocalCluster

    graph = dask_graph(n, links)
    with (
        LocalCluster(n_workers=1, threads_per_worker=DEVICES, processes=False, dashboard_address=None) as cluster,
        Client(cluster) as client,
    ):
        start = time.perf_counter()
        futures: dict[int, Any] = {}
        for i, (function, *before) in graph.items():
            futures[i] = client.submit(function, *(futures[a] for a in before), pure=False)
        client.gather(list(futures.values()))
        return time.perf_counter() - start


def nornir(n: int, links: Links) -> float:
    """Wall seconds of Nornir: one task over n hosts, by its threaded runner."""
    from nornir.core import Nornir
    from nornir.core.configuration import Config
    from nornir.core.inventory import Host, Hosts, Inventory
    from nornir.core.task import Result, Task
    from nornir.plugins.runners import ThreadedRunner

    def no_op(task: Task) -> Result:
        return Result(host=task.host)

    hosts = Hosts({f"h{i}": Host(f"h{i}") for i in range(n)})
    system = Nornir(Inventory(hosts=hosts), config=Config(), runner=ThreadedRunner(num_workers=DEVICES))
    start = time.perf_counter()
    system.run(task=no_op)
    return time.perf_counter() - start


def main() -> None:
    """Print it all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--small", action="store_true", help="a hundredth of the tasks, to see that it works")
    options = parser.parse_args()
    rows: list[tuple[str, Callable[[int, Links], float], int, Callable[[int], Links]]] = [
        ("Nornir, flat", nornir, 10_000, flat),
        ("dask threaded, layered", dask_threaded, 10_000, layered),
        ("dask.distributed in process, layered", dask_distributed, 1_000, layered),
    ]
    for name, run, size, shape in rows:
        n = size // 100 if options.small else size
        links = shape(n)
        try:
            theirs = min(run(n, links) for _ in range(options.repeat))
        except ImportError as error:
            print(f"{name:<38} N = {n:>6}: left out, {error}")
            continue
        ours = min(galaxy_wall(n, links) for _ in range(options.repeat))
        print(f"{name:<38} N = {n:>6}: {theirs / ours:6.1f} × the time of the kernel")


if __name__ == "__main__":
    main()
