"""Metadata of a plan, which may be large, are recorded when they were set, and not with each edit."""

from __future__ import annotations

import json

import anyio
import pytest

from galaxy_core import Completed, TaskStar, replay
from galaxy_core.testing.fakes import takes
from galaxy_core.testing.journals import MemoryJournal

from .fakes import plan, rig, until

pytestmark = pytest.mark.anyio


async def test_metadata_are_recorded_when_they_were_set_and_not_with_each_edit() -> None:
    journal = MemoryJournal()
    constellation = plan("a", constellation_id="p")
    constellation.update_metadata({"large": list(range(1000))})
    async with rig() as house:
        house.orchestrator._journal = journal
        house.transport.script("a", takes(10, Completed()))
        async with anyio.create_task_group() as group:
            group.start_soon(house.run, constellation)
            await until(lambda: house.device().running)
            constellation.add_task(TaskStar("first", description="x"))  # tells what starting the run has changed, too
            await anyio.sleep(0.1)
            before = len(journal.kept["p"].records)
            for number in range(5):
                constellation.add_task(TaskStar(f"new{number}", description="x"))
                await anyio.sleep(0.1)
            constellation.update_metadata({"more": (1, 2)})
            await anyio.sleep(0.1)
            constellation.add_task(TaskStar("last", description="x"))
    lines = journal.kept["p"].records
    large = [json.loads(line)[1] for line in lines[before:] if "998,999" in line]
    assert large == ["image", "over"]
    made = replay(lines)
    assert made.document() == constellation.to_dict()
    assert made.constellation().metadata["more"] == (1, 2)
