"""What it costs to lose nothing: plans of no-op tasks with the journal off, batched and sync; resuming; sizes.

    python benchmarks/journal.py                          # 10k and 100k tasks on 16 devices, asyncio
    python benchmarks/journal.py --sizes 10000 --backends asyncio,trio --repeat 3

Three parts. *Throughput*: tasks a second of wall-clock time with each durability, as a ratio to "off"; the journal is the
SQLite journal in a folder below `--folder` (give one on the disk that you mean: the temporary folder may be memory), and,
beside it, one that keeps lists in memory. *Group commit*: with "sync", on 1 to 256 devices, how many tasks share a commit.
*Resume*: a run of 100,000 tasks of which half are done, from its id until the first task starts, and the memory that it
takes, beside that of the plan alone and of a run that is not recorded.
"""

from __future__ import annotations

import argparse
import gc
import os
import resource
import subprocess
import sys
import tempfile
import time
import tracemalloc
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
from kernel import NoOp, RoundRobin, build, flat, layered

from galaxy_core import (
    Attempt,
    Completed,
    ConstellationDeviceManager,
    Device,
    EventBus,
    PluginRegistry,
    RunInfo,
    TaskConstellationOrchestrator,
)
from galaxy_core.extension.journals import Durability, JournalWriter
from galaxy_core_journal import SqliteJournal

DURABILITIES: tuple[Durability, ...] = ("off", "batched", "sync")
SHAPES = {"flat": flat, "layered": layered}


class Counting(SqliteJournal):
    """The journal of users, which counts its commits."""

    commits = 0

    @asynccontextmanager
    async def open(self, run: RunInfo, /) -> AsyncIterator[JournalWriter]:
        async with super().open(run) as writer:
            yield _Counted(self, writer)


class _Counted:
    def __init__(self, journal: Counting, writer: JournalWriter) -> None:
        self.journal, self.inner = journal, writer
        self.epoch, self.folder = writer.epoch, writer.folder

    async def write(self, records: Sequence[str], /) -> None:
        self.journal.commits += 1
        await self.inner.write(records)


class Halting(NoOp):  # type: ignore[misc]  # it has no types there: the benchmarks are no package
    """Does nothing so many times, and then stops the run."""

    def __init__(self, after: int) -> None:
        super().__init__()
        self.after = after
        self.orchestrator: TaskConstellationOrchestrator | None = None
        self.first, self.peak = 0.0, 0

    async def execute(self, attempt: Attempt) -> Completed:
        if not self.first:
            self.first, self.peak = time.perf_counter(), _peak_bytes()
        self.after -= 1
        if self.after == 0 and self.orchestrator is not None:
            run = self.orchestrator.run_of(attempt.run_id)
            if run is not None:
                run.stop("the benchmark")
        return Completed()


def _registry(transport: NoOp) -> PluginRegistry:
    registry = PluginRegistry(discover=False)
    registry.register(transport)
    registry.register(RoundRobin())
    return registry


async def _run(
    plan: Any, journal: Any, durability: Durability, devices: int, transport: NoOp, run_id: str | None = None
) -> tuple[dict[str, Any], float]:
    bus = EventBus()
    async with ConstellationDeviceManager(plugins=_registry(transport), event_bus=bus) as manager:
        for number in range(devices):
            manager.add_device(Device(f"d{number}", "noop"))
        await manager.connect_all()
        orchestrator = TaskConstellationOrchestrator(manager, event_bus=bus, journal=journal, durability=durability)
        if isinstance(transport, Halting):
            transport.orchestrator = orchestrator
        began = time.perf_counter()
        if run_id is not None:
            result = await orchestrator.resume(run_id, assignment_strategy="rr")
        else:
            result = await orchestrator.orchestrate_constellation(plan, assignment_strategy="rr")
        return result, time.perf_counter() - began


def throughput(sizes: Sequence[int], backends: Sequence[str], repeat: int, parent: Path) -> None:
    """Tasks a second with each durability, each run in a process of its own, in turns."""
    print("\nThroughput: tasks a second (of wall-clock time), and as a ratio to `off`; 16 devices; the best of", repeat)
    for backend in backends:
        for size in sizes:
            for shape in SHAPES:
                best: dict[str, float] = {}
                kept = 0.0
                for _ in range(repeat):
                    for durability in DURABILITIES:
                        with tempfile.TemporaryDirectory(dir=parent) as folder:
                            took_s = float(_in_process(f"run {durability} {shape} {backend}", size, Path(folder)))
                            best[durability] = min(best.get(durability, took_s), took_s)
                            if durability == "batched":
                                kept = _size(Path(folder)) / (size + 100)
                told = "  ".join(
                    f"{name} {size / took_s:>9,.0f}/s {best['off'] / took_s:5.2f} ×" for name, took_s in best.items()
                )
                print(f"{backend:8}{shape:8}{size:>8,}  {told}  {kept:,.0f} bytes of journal a task", flush=True)


def group_commit(size: int, parent: Path) -> None:
    """How many tasks share a commit, by the number of devices."""
    print(f"\nGroup commit: `sync`, {size:,} tasks without links")
    alone = 0.0
    for devices in (1, 4, 16, 64, 256):
        with tempfile.TemporaryDirectory(dir=parent) as folder:
            journal = Counting(Path(folder))
            _, took_s = anyio.run(_run, build(size, []), journal, "sync", devices, NoOp())
            alone = alone or took_s
            print(
                f"{devices:>4} devices: {size / took_s:>8,.0f} tasks/s, {alone / took_s:5.1f} × one device; "
                f"{journal.commits:,} commits, {size / journal.commits:.1f} tasks each"
            )


def resume(size: int, parent: Path) -> None:
    """Resume a run of which half is done; each step in a process of its own."""
    print(f"\nResume: {size:,} tasks, half of them done; memory in bytes a task")
    for shape in SHAPES:
        with tempfile.TemporaryDirectory(dir=parent) as folder:
            for step in ("plan", "fresh", "half", "traced", "rest"):
                if told := _in_process(f"{step} {shape}", size, Path(folder)):
                    print(f"{shape:8}{told}", flush=True)


def _in_process(step: str, size: int, folder: Path) -> str:
    command = [sys.executable, __file__, "--step", step, "--sizes", str(size), "--folder", str(folder)]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


def _step(step: str, size: int, folder: Path) -> None:
    """What one process does: it prints what it found."""
    name, *said = step.split()
    journal = SqliteJournal(folder / "runs")
    if name == "run":
        shape, backend = said[1:]
        durability: Any = said[0]
        kept = None if durability == "off" else journal
        anyio.run(_run, build(100, []), kept, durability, 16, NoOp(), backend=backend)  # loads what is loaded once
        plan = build(size, SHAPES[shape](size))
        gc.collect()
        print(_completed(anyio.run(_run, plan, kept, durability, 16, NoOp(), backend=backend)))
        return
    links = SHAPES[said[0]]
    if name == "half":
        result, _ = anyio.run(_run, build(size, links(size)), journal, "batched", 16, Halting(size // 2))
        if result["status"] != "stopped":
            raise SystemExit(f"the benchmark is broken: {result['status']}")
        return
    gc.collect()
    before = _peak_bytes()
    if name == "plan":
        plan = build(size, links(size))
        print(f"the plan alone, built by a program: {(_peak_bytes() - before) / size:,.0f} bytes")
        return
    halting, began = Halting(-1 if name != "traced" else 1), time.perf_counter()
    if name == "fresh":
        _completed(anyio.run(_run, build(size, links(size)), None, "off", 16, halting))
        print(f"a run without a journal, from its beginning: {(_peak_bytes() - before) / size:,.0f} bytes at most")
        return
    if name == "traced":
        tracemalloc.start()
        anyio.run(_run, None, journal, "batched", 16, halting, journal.runs()[0])
        print(
            f"resumed: {halting.peak / size:,.0f} bytes at most of objects, without what the allocator keeps and libraries take"
        )
        return
    _completed(anyio.run(_run, None, journal, "batched", 16, halting, journal.runs()[0]))
    print(
        f"resumed: {halting.first - began:.1f} s until the first task starts, {(halting.peak - before) / size:,.0f} "
        f"bytes at most until then; journal {_size(folder) / size:,.0f} bytes a task in the end"
    )


def _completed(run: tuple[dict[str, Any], float]) -> float:
    """How long it took, if it is as it has to be."""
    result, took_s = run
    if result["status"] != "completed":
        raise SystemExit(f"the benchmark is broken: {result['status']}")
    return took_s


def _peak_bytes() -> int:
    """The most memory that this process has had; where the system does not say, its parent's may be in it. If its objects
    are traced, the most that these had.
    """
    if tracemalloc.is_tracing():
        return tracemalloc.get_traced_memory()[1]
    try:
        (line,) = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")]
    except (OSError, ValueError):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return int(line.split()[1]) * 1024


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def main() -> None:
    """Print it all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", default="10000,100000")
    parser.add_argument("--backends", default="asyncio")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--folder", type=Path, default=Path.cwd(), help="where journals are kept meanwhile")
    parser.add_argument("--only", choices=("throughput", "group", "resume"))
    parser.add_argument("--step", help=argparse.SUPPRESS)
    options = parser.parse_args()
    sizes = [int(size) for size in options.sizes.split(",")]
    if options.step:
        _step(options.step, sizes[0], options.folder)
        return
    print(f"Python {sys.version.split()[0]}, {os.cpu_count()} cores")
    if options.only in (None, "throughput"):
        throughput(sizes, options.backends.split(","), options.repeat, options.folder)
    if options.only in (None, "group"):
        group_commit(min(sizes), options.folder)
    if options.only in (None, "resume"):
        resume(max(sizes), options.folder)


if __name__ == "__main__":
    main()
