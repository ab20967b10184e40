"""`python -m tests.golden.make tests/golden/format-1`: make the golden journals of a format, once, when it is released.

They are of simulated runs, with crashes, edits, retries, skipped tasks and answers by hand; what they hold stays as it is for
ever, and every later version has to come to the same plans from them.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path, PurePosixPath
from typing import Any

import anyio

from galaxy_core import (
    Call,
    ConstellationDeviceManager,
    Device,
    RunInfo,
    TaskConstellation,
    TaskConstellationOrchestrator,
    TaskStar,
    TaskStarLine,
    replay,
)
from galaxy_core.runtime import resuming
from galaxy_core.testing.journals import MemoryJournal
from galaxy_core_journal import SqliteJournal
from tests.crash.simulated import Lives, _at_once

VALUES: dict[str, Callable[[], Any]] = {
    "moment": lambda: datetime(2026, 11, 23, 4, 5, tzinfo=UTC),
    "many": lambda: (1, {"a", "b"}, {2: b"\x00\xff"}, [], float("inf")),
    "places": lambda: [PurePosixPath("/a/b"), Decimal("1.10")],
    "odd": object,
    "marked": lambda: {"$python": ["tuple", 1]},
}
SEEDS = (23, 47, 64, 115, 288)


def main() -> None:
    """The command."""
    folder = Path(sys.argv[1]).absolute()
    folder.mkdir(parents=True)
    os.chdir(folder.anchor)  # runs are kept with the folder in which they were, and ours is nobody's business
    resuming.in_thread = _at_once
    for seed in SEEDS:
        lives = Lives(seed, "asyncio")
        trace = lives.play()
        assert not trace.problems
        lines = lives.disk.lines
        (folder / f"{seed}.jsonl").write_text("".join(f"{line}\n" for line in lines))
        halfway = len(lines) // 2
        documents = {str(n): replay(lines, until=n).document() for n in (halfway, len(lines) - 1)}
        (folder / f"{seed}.json").write_text(json.dumps(documents, indent=1))
        anyio.run(_keep, folder / f"{seed}.journal", f"golden-{seed}", lines)
    lines = anyio.run(_values)
    (folder / "values.jsonl").write_text("".join(f"{line}\n" for line in lines))
    documents = {str(len(lines) - 1): replay(lines).document()}
    (folder / "values.json").write_text(json.dumps(documents, indent=1))
    anyio.run(_keep, folder / "values.journal", "golden-values", lines)


async def _values() -> list[str]:
    """The records of a run whose tasks return what JSON does not have."""
    journal, links = MemoryJournal(), [TaskStarLine("moment", "places"), TaskStarLine("many", "places")]
    plan = TaskConstellation.build(
        [TaskStar(name, request=Call(VALUES[name])) for name in VALUES], links, constellation_id="values"
    )
    async with ConstellationDeviceManager() as devices:
        devices.add_device(Device("here", "python"))
        orchestrator = TaskConstellationOrchestrator(devices, journal=journal, durability="batched")
        await orchestrator.orchestrate_constellation(plan, assignment_strategy="round_robin")
    return list(journal.kept["values"].records)


async def _keep(folder: Path, run_id: str, lines: list[str]) -> None:
    async with SqliteJournal(folder).open(RunInfo(run_id, run_id, (), {}, {})) as writer:
        for first in range(0, len(lines), 7):
            await writer.write(lines[first : first + 7])


if __name__ == "__main__":
    main()
