"""What the embedding program is asked about an attempt of which nobody knows what became."""

from __future__ import annotations

import pytest

from galaxy_core import Effect, Unknown
from galaxy_core.extension.interfaces import FEATURES_OF_COMMANDS
from galaxy_core.model.records.replay import InFlight
from galaxy_core.testing.journals import KeptRun, MemoryJournal

from .fakes import plan, rig

pytestmark = pytest.mark.anyio


async def test_the_program_hears_the_mark_that_an_attempt_of_this_process_has_left_on_its_device() -> None:
    whole, asked = MemoryJournal(), list[str]()
    async with rig() as house:
        house.orchestrator._journal = whole
        await house.run(plan("a", "", "p", effect=Effect.ONCE))
    lines = whole.kept["p"].records
    journal = MemoryJournal()
    journal.kept["p"] = KeptRun(lines[: next(n for n, line in enumerate(lines) if ',"start",' in line)], 1)

    def on_unknown(in_flight: InFlight) -> str:
        asked.append(in_flight.mark)
        return "completed"

    async with rig() as house:
        house.orchestrator._journal = journal
        house.transport.features = FEATURES_OF_COMMANDS | {"settles"}
        house.transport.script("a", Unknown("the answer was lost"))
        house.transport.became("a", Unknown("its marker is gone"))
        result = await house.orchestrator.resume("p", on_unknown=on_unknown)
        assert asked == [attempt.mark for attempt in house.device().attempts]
    assert result["status"] == "completed"
