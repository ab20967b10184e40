"""Simulations of many seeds: the command that plays them on every core, and the search for one in which something is wrong."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from itertools import islice
from typing import Protocol

#: Seeds that a process takes at once.
BATCH = 25


class Trace(Protocol):
    """What a seed came to; its text tells the problems."""

    @property
    def problems(self) -> tuple[str, ...]: ...
    @property
    def story(self) -> tuple[str, ...]: ...


#: Plays a seed on a back end. What it raises is something wrong, too.
Simulate = Callable[[int, str], Trace]


def first_wrong(simulate: Simulate, seeds: range, backend: str) -> int | None:
    """The first of these seeds in which something is wrong."""
    return next((seed for seed in seeds if _wrong(simulate, seed, backend)[0]), None)


def _wrong(simulate: Simulate, seed: int, backend: str) -> tuple[str, int]:
    """What is wrong, and how many crashes there were; nothing is an empty text."""
    try:
        trace = simulate(seed, backend)
    except Exception as error:  # it is what is reported
        return f"seed {seed} on {backend}: {error!r}", 0
    return str(trace) if trace.problems else "", getattr(trace, "crashes", 0)


def _batch(simulate: Simulate, seeds: range, backend: str) -> tuple[list[str], int]:
    found = [_wrong(simulate, seed, backend) for seed in seeds]
    return [text for text, _ in found if text], sum(crashes for _, crashes in found)


def _backend(backend: str, place: int) -> str:
    return ("asyncio", "trio")[place % 2] if backend == "both" else backend


def run(simulate: Simulate, seeds: range, backend: str, jobs: int) -> Iterator[tuple[list[str], int]]:
    """What is wrong with these seeds, in their order, and crashes; with "both", batches alternate between the back ends."""
    batches = [seeds[at : at + BATCH] for at in range(0, len(seeds), BATCH)]
    work = ((simulate, batch, _backend(backend, place)) for place, batch in enumerate(batches))
    with ProcessPoolExecutor(jobs) as pool:
        while some := list(islice(work, 20 * jobs)):  # a million seeds are not all submitted at once
            yield from pool.map(_batch, *zip(*some, strict=True))


def command(prog: str, description: str | None, simulate: Simulate) -> int:
    """Play as many seeds as the command line says; 1 if something was wrong in any."""
    parser = argparse.ArgumentParser(prog=prog, description=description)
    parser.add_argument("--seeds", type=int, default=1000, help="how many")
    parser.add_argument("--from", type=int, default=0, dest="first", help="the first one")
    parser.add_argument("--backend", choices=("asyncio", "trio", "both"), default="both")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes")
    parser.add_argument("--story", action="store_true", help="tell what happens, too")
    options = parser.parse_args()
    say, seeds = sys.stdout.write, range(options.first, options.first + options.seeds)
    if options.story:
        for seed in seeds:
            trace = simulate(seed, _backend(options.backend, 0))
            say("\n".join([*trace.story, str(trace), ""]))
        return 0
    began, bad, crashes = time.monotonic(), 0, 0
    for texts, more in run(simulate, seeds, options.backend, options.jobs):
        bad, crashes = bad + len(texts), crashes + more
        for text in texts:
            say(text[:4000] + "\n")
    took_s = time.monotonic() - began
    with_crashes = f" with {crashes} crashes" if crashes else ""
    pace = f"{60 * len(seeds) / took_s:.0f} a minute"
    say(f"{len(seeds)} seeds{with_crashes} in {took_s:.0f} s ({pace}): {bad} are wrong\n")
    return 1 if bad else 0
