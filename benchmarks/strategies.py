"""How long real plans take under each strategy, as a multiple of a lower bound.

`python benchmarks/strategies.py [FOLDER] [--estimates exact|kind|none] [--speed]`; FOLDER holds plans in the format of
benchmarks/data/README.md, and is that folder unless given. The runs are simulated: eight devices with fifteen slots,
durations as in the trace, nothing lost between tasks. The bound is the largest of the critical path, the work per slot,
and the work per slot of the tasks that fit some devices only; no schedule can be shorter, and the best may be longer.

In "all", every device fits every task; in "kinds", each kind of task asks for capabilities. A strategy knows of
durations what `--estimates` says: the truth, the mean of the task's kind, or nothing. The columns:

round_robin, capability_match, load_balance: each device runs what it was given, oldest ready task first.
plan/age, plan/rank: `earliest_finish.assign`, run oldest first, or in the order that the plan was made in.
late: `earliest_finish.choose`, whenever a slot comes free, with `fitting` narrowed to the free devices.
late*: the same, but told of all devices that fit.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from heapq import heapify, heappop, heappush, nsmallest
from itertools import product
from pathlib import Path
from random import Random
from statistics import geometric_mean
from typing import Protocol

from attrs import define, evolve

from galaxy_core.extension.interfaces import AssignmentStrategy, DeviceLoad, Placement, TaskToPlace
from galaxy_core_strategies import CapabilityMatch, EarliestFinish, LoadBalance, RoundRobin
from galaxy_core_strategies.forecast import upward_ranks

DATA = Path(__file__).parent / "data"
LAB = (
    DeviceLoad("plain-1", None, frozenset(), {}, 1),
    DeviceLoad("plain-2", None, frozenset(), {}, 2),
    DeviceLoad("x-1", None, frozenset("x"), {}, 1),
    DeviceLoad("x-2", None, frozenset("x"), {}, 2),
    DeviceLoad("y-2", None, frozenset("y"), {}, 2),
    DeviceLoad("y-4", None, frozenset("y"), {}, 4),
    DeviceLoad("xy-2", None, frozenset("xy"), {}, 2),
    DeviceLoad("xyz-1", None, frozenset("xyz"), {}, 1),
)
#: What the kinds of task ask for, in turn.
ASKED = tuple(map(frozenset[str], ("", "x", "", "y", "xy", "z")))
#: Seconds that stand for "under the resolution of the trace".
SHORTEST_S = 0.01

Key = tuple[float, ...]
Order = Mapping[str, Key]


@define
class Case:
    """A plan as a strategy sees it, and how long its tasks really take."""

    name: str
    asked: Placement
    takes: dict[str, float]

    def bound(self) -> float:
        """Seconds that no schedule can beat."""
        slots = {device: load.max_concurrency for device, load in self.asked.devices.items()}
        work: dict[frozenset[str], float] = defaultdict(float)
        ends: dict[str, float] = {}
        for task in self.asked.tasks:  # topological
            sources = self.asked.prerequisites.get(task.task_id, ())
            ends[task.task_id] = self.takes[task.task_id] + max((ends[source] for source in sources), default=0.0)
            work[frozenset(task.fitting)] += self.takes[task.task_id]
        unions = set(work)
        for fitting in work:
            unions |= {fitting | union for union in unions}
        return max(
            *ends.values(),
            *(
                sum(each for fitting, each in work.items() if fitting <= union) / sum(slots[device] for device in union)
                for union in unions
            ),
        )


def read(path: Path, *, by_kind: bool, estimates: str) -> Case:
    document = json.loads(path.read_text(encoding="utf-8"))
    runs = [(kind, max(runtime, SHORTEST_S)) for kind, runtime, *_ in document["tasks"]]
    of_kind = defaultdict(list)
    for kind, runtime in runs:
        of_kind[kind].append(runtime)
    tasks = []
    for number, (kind, runtime) in enumerate(runs):
        requires = ASKED[kind % len(ASKED)] if by_kind else frozenset()
        fitting = tuple(device.device_id for device in LAB if requires <= device.capabilities)
        known = {"exact": runtime, "kind": sum(of_kind[kind]) / len(of_kind[kind]), "none": None}[estimates]
        tasks.append(TaskToPlace(str(number), 2, None, requires, fitting, known))
    links = {
        str(number): [str(source) for source, _ in links] for number, links in enumerate(document["deps"]) if links
    }
    devices = {device.device_id: device for device in LAB}
    takes = {str(number): runtime for number, (_, runtime) in enumerate(runs)}
    return Case(document["name"], Placement(tasks, devices, links), takes)


class Dispatch(Protocol):
    """Holds ready tasks, and says which start now; `free` counts the free slots of each device."""

    def add(self, task: str) -> None: ...

    def start(self, free: dict[str, int]) -> Iterable[tuple[str, str]]: ...


class Kept:
    """Each device runs the tasks that it was given, the least in `order` first."""

    def __init__(self, chosen: Mapping[str, str], order: Order) -> None:
        self.chosen = chosen
        self.order = order
        self.queues: dict[str, list[tuple[Key, str]]] = defaultdict(list)

    def add(self, task: str) -> None:
        heappush(self.queues[self.chosen[task]], (self.order[task], task))

    def start(self, free: dict[str, int]) -> Iterable[tuple[str, str]]:
        for device, queue in self.queues.items():
            for _ in range(min(free[device], len(queue))):
                yield heappop(queue)[1], device


class Late:
    """A strategy chooses among the oldest ready tasks of each kind, no more than the kind has free slots."""

    def __init__(self, case: Case, order: Order, *, narrowed: bool) -> None:
        self.tasks = {task.task_id: task for task in case.asked.tasks}
        self.devices = case.asked.devices
        self.order = order
        self.narrowed = narrowed
        self.queues: dict[tuple[str, ...], list[tuple[Key, str]]] = defaultdict(list)

    def add(self, task: str) -> None:
        heappush(self.queues[self.tasks[task].fitting], (self.order[task], task))

    def start(self, free: dict[str, int]) -> Iterable[tuple[str, str]]:
        loads = {
            device: evolve(load, running=load.max_concurrency - free[device])
            for device, load in self.devices.items()
            if free[device]
        }
        offered = []
        for fitting, queue in self.queues.items():
            open_to = tuple(device for device in fitting if device in loads)
            for key, task in nsmallest(sum(free[device] for device in open_to), queue):
                told = self.tasks[task]
                offered.append((key, evolve(told, fitting=open_to) if self.narrowed else told))
        offered.sort(key=lambda offer: offer[0])
        pairs = EarliestFinish().choose([task for _, task in offered], loads)
        for task, _ in pairs:
            queue = self.queues[self.tasks[task].fitting]
            queue.remove((self.order[task], task))
            heapify(queue)
        return pairs


def simulate(case: Case, dispatch: Dispatch) -> float:
    """Seconds until the last task has ended."""
    free = {device: load.max_concurrency for device, load in case.asked.devices.items()}
    waits_for = {task.task_id: len(case.asked.prerequisites.get(task.task_id, ())) for task in case.asked.tasks}
    dependents: dict[str, list[str]] = defaultdict(list)
    for task, sources in case.asked.prerequisites.items():
        for source in sources:
            dependents[source].append(task)
    now, started = 0.0, 0
    running: list[tuple[float, str, str]] = []
    for task, count in waits_for.items():
        if not count:
            dispatch.add(task)
    while True:
        for task, device in list(dispatch.start(free)):
            free[device] -= 1
            started += 1
            heappush(running, (now + case.takes[task], task, device))
        if not running:
            break
        now = running[0][0]
        while running and running[0][0] == now:
            _, task, device = heappop(running)
            free[device] += 1
            for dependent in dependents[task]:
                waits_for[dependent] -= 1
                if not waits_for[dependent]:
                    dispatch.add(dependent)
    assert started == len(waits_for), "a task was never started"
    return now


def lengths(case: Case) -> dict[str, float]:
    """Seconds of the run in each of the ways that the columns name."""
    ranks = upward_ranks(case.asked)
    age: Order = {task.task_id: (number,) for number, task in enumerate(case.asked.tasks)}
    planned: Order = {
        task.task_id: (len(task.fitting), -ranks[task.task_id], number) for number, task in enumerate(case.asked.tasks)
    }
    plan = EarliestFinish().assign(case.asked)
    ways: dict[str, Dispatch] = {
        strategy.name: Kept(strategy.assign(case.asked), age)
        for strategy in (RoundRobin(), CapabilityMatch(), LoadBalance())
    }
    ways["plan/age"] = Kept(plan, age)
    ways["plan/rank"] = Kept(plan, planned)
    ways["late"] = Late(case, age, narrowed=True)
    ways["late*"] = Late(case, age, narrowed=False)
    return {name: simulate(case, dispatch) for name, dispatch in ways.items()}


def print_ratios(paths: Sequence[Path], estimates: str) -> None:
    means: dict[str, list[float]] = defaultdict(list)
    for fits, path in product(("all", "kinds"), paths):
        case = read(path, by_kind=fits == "kinds", estimates=estimates)
        bound = case.bound()
        ratios = {name: seconds / bound for name, seconds in lengths(case).items()}
        if not means:
            print(f"{'plan':24}{'fits':7}{'bound, s':>10}", *(f"{name:>17}" for name in ratios), sep="")
        print(
            f"{case.name:24}{fits:7}{bound:>10.0f}",
            *(f"{ratio:>17.2f}" for ratio in ratios.values()),
            sep="",
            flush=True,
        )
        for name, ratio in ratios.items():
            means[name].append(ratio)
    print(f"{'geometric mean':41}", *(f"{geometric_mean(found):>17.2f}" for found in means.values()), sep="")


def print_speed() -> None:
    """Processor seconds that each strategy takes to place 100,000 tasks of eight kinds on sixteen devices."""
    random = Random(1)
    devices = {
        f"{number}": DeviceLoad(f"{number}", None, frozenset(), {}, random.choice((1, 2, 4))) for number in range(16)
    }
    sets = [tuple(devices), *(tuple(random.sample(sorted(devices), random.randint(2, 15))) for _ in range(7))]
    tasks = [TaskToPlace(f"{i}", 2, None, frozenset(), random.choice(sets), random.random()) for i in range(100_000)]
    strategies: tuple[AssignmentStrategy, ...] = (RoundRobin(), CapabilityMatch(), LoadBalance(), EarliestFinish())
    for strategy in strategies:
        began = time.process_time()
        strategy.assign(Placement(tasks, devices))
        print(f"{strategy.name:24}{time.process_time() - began:6.2f} s for 100,000 tasks on 16 devices")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, default=DATA)
    parser.add_argument("--estimates", choices=("exact", "kind", "none"), default="exact")
    parser.add_argument("--speed", action="store_true", help="also say how long placing takes")
    options = parser.parse_args()
    paths = sorted(options.folder.glob("*.json"))
    if not paths:
        parser.error(f"no plan (*.json) in {options.folder}")
    print_ratios(paths, options.estimates)
    if options.speed:
        print_speed()
    return 0


if __name__ == "__main__":
    sys.exit(main())
