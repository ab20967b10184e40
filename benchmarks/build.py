"""How long it takes to build a plan link by link, the order kept all the while: 100,000 tasks and 300,000 links.

    python benchmarks/build.py
    python benchmarks/build.py --tasks 10000 --links 30000 --shapes random chain-backward --repeat 3

Shapes, all with tasks added in random order but `chain-backward`: `random` links two random tasks, the earlier one of a
random permutation first; `band` links neighbours of a permutation at most 50 apart; `layers` links each of 100-wide
layers to three of the next; `chain` and `chain-backward` link one after the other, in random order and from the end.

Beside it: the same links in graphlib.TopologicalSorter, ordered once at the end, and in a networkx.DiGraph where that
is installed, with one acyclicity check at the end. Neither can refuse a cycle when it is added: to ask networkx at
every link would cost links × (tasks + links). Figures are CPU seconds, the best of `--repeat`, interleaved.
"""

from __future__ import annotations

import argparse
import graphlib
import importlib
import random
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import Any

from galaxy_core.model.constellation import TaskConstellation
from galaxy_core.model.dependency import TaskStarLine
from galaxy_core.model.task import TaskStar

Pairs = Sequence[tuple[int, int]]


def random_pairs(dice: random.Random, tasks: int, links: int) -> Iterator[tuple[int, int]]:
    place = dice.sample(range(tasks), tasks)
    while links:
        one, other = dice.randrange(tasks), dice.randrange(tasks)
        if one != other:
            links -= 1
            yield (one, other) if place[one] < place[other] else (other, one)


def band_pairs(dice: random.Random, tasks: int, links: int) -> list[tuple[int, int]]:
    at = dice.sample(range(tasks), tasks)
    pairs = []
    for _ in range(links):
        here = dice.randrange(tasks - 1)
        pairs.append((at[here], at[min(tasks - 1, here + dice.randint(1, 50))]))
    return pairs


def layer_pairs(dice: random.Random, tasks: int, links: int) -> list[tuple[int, int]]:
    at = dice.sample(range(tasks), tasks)
    pairs = []
    for _ in range(links):
        here = dice.randrange(max(1, tasks - 100))
        pairs.append((at[here], at[min(tasks - 1, (here // 100 + 1) * 100 + dice.randrange(100))]))
    return pairs


def chain_pairs(dice: random.Random, tasks: int, links: int) -> list[tuple[int, int]]:
    at = dice.sample(range(tasks), tasks)
    pairs = list(pairwise(at))
    dice.shuffle(pairs)
    return pairs


def chain_backward_pairs(dice: random.Random, tasks: int, links: int) -> list[tuple[int, int]]:
    return [(index + 1, index) for index in range(tasks - 1)]


SHAPES: dict[str, Callable[[random.Random, int, int], Any]] = {
    "random": random_pairs,
    "band": band_pairs,
    "layers": layer_pairs,
    "chain": chain_pairs,
    "chain-backward": chain_backward_pairs,
}


def galaxy(tasks: int, pairs: Pairs) -> None:
    plan = TaskConstellation("plan")
    for index in range(tasks):
        plan.add_task(TaskStar(str(index)))
    for source, target in pairs:
        plan.add_dependency(TaskStarLine(str(source), str(target)))


def galaxy_whole(tasks: int, pairs: Pairs) -> None:
    TaskConstellation.build(
        (TaskStar(str(index)) for index in range(tasks)),
        (TaskStarLine(str(source), str(target)) for source, target in pairs),
    )


def by_graphlib(tasks: int, pairs: Pairs) -> None:
    sorter: graphlib.TopologicalSorter[str] = graphlib.TopologicalSorter()
    for index in range(tasks):
        sorter.add(str(index))
    for source, target in pairs:
        sorter.add(str(target), str(source))
    for _ in sorter.static_order():
        pass


def by_networkx(tasks: int, pairs: Pairs) -> None:
    networkx = importlib.import_module("networkx")
    graph = networkx.DiGraph()
    for index in range(tasks):
        graph.add_node(str(index))
    for source, target in pairs:
        graph.add_edge(str(source), str(target))
    assert networkx.is_directed_acyclic_graph(graph)


def competitors() -> dict[str, Callable[[int, Pairs], None]]:
    """Ours first: the others are compared with it."""
    found: dict[str, Callable[[int, Pairs], None]] = {
        "link by link": galaxy,
        "built whole": galaxy_whole,
        "graphlib, at the end": by_graphlib,
    }
    try:
        importlib.import_module("networkx")
    except ImportError:
        print("networkx is not installed: compared without it")
    else:
        found["networkx, at the end"] = by_networkx
    return found


def cpu_s(build: Callable[[int, Pairs], None], tasks: int, pairs: Pairs) -> float:
    start = time.process_time()
    build(tasks, pairs)
    return time.process_time() - start


def main() -> None:
    """Print it all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", type=int, default=100_000)
    parser.add_argument("--links", type=int, default=300_000)
    parser.add_argument("--shapes", nargs="+", choices=SHAPES, default=["random"])
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    builders = competitors()
    for shape in options.shapes:
        pairs = list(SHAPES[shape](random.Random(options.seed), options.tasks, options.links))
        best = dict.fromkeys(builders, float("inf"))
        for _ in range(options.repeat):
            for name, build in builders.items():
                best[name] = min(best[name], cpu_s(build, options.tasks, pairs))
        print(f"{shape}: {options.tasks} tasks, {len(pairs)} links")
        for name, seconds in best.items():
            print(f"  {name:<22} {seconds:7.2f} s  {seconds / best['link by link']:6.3f} ×")


if __name__ == "__main__":
    main()
