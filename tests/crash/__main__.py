"""`python -m tests.crash --kills 2000`: kill the real command until so many kills have landed, on every core.

Each trial in which something is wrong is printed with what it is, and its folder is kept; `--from SEED --trials 1` repeats it.
The exit code is 1 if there was any.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from concurrent.futures import ProcessPoolExecutor

from tests.crash.kills import trial


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m tests.crash", description=__doc__)
    parser.add_argument("--kills", type=int, default=100, help="how many kills have to land")
    parser.add_argument("--trials", type=int, default=0, help="so many trials instead, however many kills land")
    parser.add_argument("--each", type=int, default=3, help="kills of one run")
    parser.add_argument("--from", type=int, default=0, dest="first", help="the first seed")
    parser.add_argument("--jobs", type=int, default=2 * (os.cpu_count() or 1), help="processes")
    options = parser.parse_args()
    began = time.monotonic()
    kills = trials = bad = unknown = unrecorded = edits = 0
    with ProcessPoolExecutor(options.jobs) as pool:
        seed = options.first
        while (trials < options.trials) if options.trials else (kills < options.kills):
            batch = range(seed, seed + (options.trials or 4 * options.jobs))
            seed = batch.stop
            for found in pool.map(trial, batch, [options.each] * len(batch)):
                trials, kills, unknown = trials + 1, kills + found.kills, unknown + found.unknown
                unrecorded, edits = unrecorded + found.before_any_record, edits + found.edited
                if found.wrong:
                    bad += 1
                    sys.stdout.write(f"{found}\n")
                    sys.stdout.flush()
    sys.stdout.write(
        f"{kills} kills in {trials} runs, {time.monotonic() - began:.0f} s: {bad} runs are wrong; {unrecorded} kills came "
        f"before anything was recorded, {unknown} tasks had to be resolved by hand, {edits} edits were committed\n"
    )
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
