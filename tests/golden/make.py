"""`python -m tests.golden.make tests/golden/format-1`: make the golden journals of a format, once, when it is released.

They are of simulated runs, with crashes, edits, retries, skipped tasks and answers by hand; what they hold stays as it is for
ever, and every later version has to come to the same plans from them.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import anyio

from galaxy_core import RunInfo, replay
from galaxy_core.runtime import resuming
from galaxy_core_journal import SqliteJournal
from tests.crash.simulated import _at_once, _Lives

SEEDS = (23, 47, 64, 115, 288)


def main() -> None:
    """The command."""
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True)
    resuming.in_thread = _at_once
    for seed in SEEDS:
        lives = _Lives(seed, "asyncio")
        trace = lives.play()
        assert not trace.problems
        lines = lives.disk.lines
        (folder / f"{seed}.jsonl").write_text("".join(f"{line}\n" for line in lines))
        halfway = len(lines) // 2
        documents = {str(n): replay(lines, until=n).document() for n in (halfway, len(lines) - 1)}
        (folder / f"{seed}.json").write_text(json.dumps(documents, indent=1))
        anyio.run(_keep, folder / f"{seed}.journal", f"golden-{seed}", lines)


async def _keep(folder: Path, run_id: str, lines: list[str]) -> None:
    async with SqliteJournal(folder).open(RunInfo(run_id, run_id, (), {}, {})) as writer:
        for first in range(0, len(lines), 7):
            await writer.write(lines[first : first + 7])


if __name__ == "__main__":
    main()
