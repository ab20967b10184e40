"""`python -m tests.properties.sim --seeds 10000 --from 0 --backend both`: simulate many seeds, on every core.

Each seed in which something is wrong is printed with what it is; `--seeds 1 --from SEED --story` tells it whole. The exit
code is 1 if there was any.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from itertools import islice

from tests.properties.sim.simulation import simulate

#: Seeds that a process takes at once.
BATCH = 50


def _batch(seeds: range, backend: str) -> list[str]:
    found = []
    for seed in seeds:
        try:
            trace = simulate(seed, backend)
        except AssertionError as error:
            found.append(str(error))
        else:
            if trace.problems:
                found.append(str(trace))
    return found


def _backends(backend: str, place: int) -> str:
    return ("asyncio", "trio")[place % 2] if backend == "both" else backend


def run(first: int, count: int, backend: str, jobs: int) -> Iterator[str]:
    """What is wrong with these seeds, in their order; with "both", batches alternate between the back ends."""
    batches = [range(at, min(at + BATCH, first + count)) for at in range(first, first + count, BATCH)]
    work = ((seeds, _backends(backend, place)) for place, seeds in enumerate(batches))
    with ProcessPoolExecutor(jobs) as pool:
        while some := list(islice(work, 20 * jobs)):  # a million seeds are not all submitted at once
            for found in pool.map(_batch, *zip(*some, strict=True)):
                yield from found


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m tests.properties.sim", description=__doc__)
    parser.add_argument("--seeds", type=int, default=1000, help="how many")
    parser.add_argument("--from", type=int, default=0, dest="first", help="the first one")
    parser.add_argument("--backend", choices=("asyncio", "trio", "both"), default="both")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes")
    parser.add_argument("--story", action="store_true", help="tell what happens, too")
    options = parser.parse_args()
    say = sys.stdout.write
    if options.story:
        for seed in range(options.first, options.first + options.seeds):
            trace = simulate(seed, _backends(options.backend, 0))
            say("\n".join([*trace.story, str(trace), ""]))
        return 0
    began, bad = time.monotonic(), 0
    for text in run(options.first, options.seeds, options.backend, options.jobs):
        bad += 1
        say(text[:4000] + "\n")
    took_s = time.monotonic() - began
    say(f"{options.seeds} seeds in {took_s:.0f} s ({60 * options.seeds / took_s:.0f} a minute): {bad} are wrong\n")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
