"""`python -m tests.crash --kills 2000`: kill the real command until so many kills have landed, on every core.

Each trial in which something is wrong is printed with what it is, and its folder is kept; `--from SEED --trials 1` repeats it.
The exit code is 1 if there was any.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from itertools import count

from attrs import define

from tests.crash.kills import Trial, trial

#: Seconds between two lines that say how far it is.
TELL_S = 30.0


@define
class Sum:
    """What all trials came to."""

    kills: int = 0
    trials: int = 0
    bad: int = 0
    before_any_record: int = 0
    unknown: int = 0
    edits: int = 0
    in_doubt: int = 0

    def add(self, found: Trial) -> None:
        """One more."""
        self.trials, self.kills, self.bad = self.trials + 1, self.kills + found.kills, self.bad + bool(found.wrong)
        self.before_any_record += found.before_any_record
        self.unknown, self.edits, self.in_doubt = (
            self.unknown + found.unknown,
            self.edits + found.edits,
            self.in_doubt + found.in_doubt,
        )

    def __str__(self) -> str:
        return (
            f"{self.kills} kills in {self.trials} runs: {self.bad} runs are wrong; {self.before_any_record} kills came before "
            f"anything was recorded, {self.unknown} tasks had to be resolved by hand, {self.edits} edits were committed, and of "
            f"{self.in_doubt} nobody could tell"
        )


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m tests.crash", description=__doc__)
    parser.add_argument("--kills", type=int, default=100, help="how many kills have to land")
    parser.add_argument("--trials", type=int, default=0, help="so many trials instead, however many kills land")
    parser.add_argument("--each", type=int, default=3, help="kills of one run")
    parser.add_argument("--from", type=int, default=0, dest="first", help="the first seed")
    parser.add_argument("--jobs", type=int, default=2 * (os.cpu_count() or 1), help="processes")
    options = parser.parse_args()
    began = told = time.monotonic()
    all_of_them, say = Sum(), sys.stdout.write
    for found in _found(options, all_of_them):
        all_of_them.add(found)
        if found.wrong:
            say(f"{found}\n")
        if found.wrong or time.monotonic() - told > TELL_S:
            told = time.monotonic()
            say(f"{told - began:.0f} s: {all_of_them}\n")
            sys.stdout.flush()
    say(f"{time.monotonic() - began:.0f} s: {all_of_them}\n")
    return 1 if all_of_them.bad else 0


def _found(options: argparse.Namespace, so_far: Sum) -> Iterator[Trial]:
    """Trials as they end, until there are enough."""
    seeds = iter(range(options.first, options.first + options.trials)) if options.trials else count(options.first)
    pending: set[Future[Trial]] = set()
    with ProcessPoolExecutor(options.jobs) as pool:
        while True:
            while len(pending) < options.jobs and (options.trials or so_far.kills < options.kills):
                seed = next(seeds, None)
                if seed is None:
                    break
                pending.add(pool.submit(trial, seed, options.each))
            if not pending:
                return
            done, pending = wait(pending, return_when=FIRST_COMPLETED)
            for one in done:
                yield one.result()


if __name__ == "__main__":
    sys.exit(main())
