"""An edit that comes while a resumed run begins: before it is known what became of the work of the process that is gone."""

from __future__ import annotations

from typing import Any

import anyio
import pytest

from galaxy_core import (
    AddTask,
    Completed,
    ConstellationModificationSynchronizer,
    Effect,
    EventType,
    RetryPolicy,
    TaskStar,
    Transaction,
)
from galaxy_core.extension.interfaces import FEATURES_OF_COMMANDS
from galaxy_core.model.records.replay import replay
from galaxy_core.testing.fakes import hang
from galaxy_core.testing.journals import KeptRun, MemoryJournal

from .fakes import Rig, plan, rig, until

pytestmark = pytest.mark.anyio


async def a_journal(last: str, *, retry_s: float = 0.0) -> MemoryJournal:
    """Of a run of task `a`, whose process died behind the first record of the kind `last`."""
    whole = MemoryJournal()
    async with rig() as house, anyio.create_task_group() as group:
        house.orchestrator._journal = whole
        house.transport.script("a", RuntimeError("it failed"), hang)
        constellation = plan("a", "", "p", retry_count=1, retry=RetryPolicy(backoff_s=retry_s, max_backoff_s=retry_s))
        group.start_soon(house.run, constellation)
        await until(lambda: any(f',"{last}",' in line for line in whole.kept["p"].records) if whole.kept else False)
        lines = list(whole.kept["p"].records)
        group.cancel_scope.cancel()
    end = next(n for n, line in enumerate(lines, 1) if f',"{last}",' in line)
    journal = MemoryJournal()
    journal.kept["p"] = KeptRun(lines[:end], 1)
    return journal


class Begins:
    """Notes that a run has begun, at once."""

    def __init__(self) -> None:
        self.begun = anyio.Event()

    async def on_event(self, event: Any) -> None:
        self.begun.set()


async def resumed_and_edited(house: Rig, journal: MemoryJournal, *operations: Any) -> dict[str, Any]:
    """Resume on devices that take long to hear which markers to expect; the edit comes meanwhile."""
    house.transport.features = FEATURES_OF_COMMANDS | {"settles"}
    house.orchestrator._journal = journal
    synchronizer = ConstellationModificationSynchronizer(house.orchestrator)
    begins, may_expect, may_end, result = Begins(), anyio.Event(), anyio.Event(), dict[str, Any]()

    async def long(attempt: Any) -> Completed:
        await may_end.wait()
        return Completed()

    house.transport.script("new", long)
    house.bus.subscribe(begins, [EventType.CONSTELLATION_STARTED])

    async def expect(mark: str) -> None:
        await may_expect.wait()

    async def resume() -> None:
        result.update(await house.orchestrator.resume("p"))

    await house.manager.connect_all()
    session: Any = house.manager.lane_book.lanes["d1"].session
    session.expect = expect
    async with anyio.create_task_group() as group:
        group.start_soon(resume)
        await begins.begun.wait()
        await synchronizer.commit(Transaction(operations), "p")
        await anyio.sleep(1.0)  # in virtual time: until nothing happens any more
        may_expect.set()
        await anyio.sleep(1.0)  # in virtual time: until nothing happens any more
        may_end.set()
    return result


async def test_what_an_edit_adds_while_a_run_resumes_is_not_taken_for_work_of_the_process_that_is_gone() -> None:
    journal = await a_journal("tasks")
    async with rig(slots=2) as house:
        result = await resumed_and_edited(house, journal, AddTask(TaskStar("new", effect=Effect.ONCE)))
        assert house.slots_are_free()
        assert sorted(house.device().started) == ["a", "new"]
    assert {name: one.status.value for name, one in result["results"].items()} == {"a": "completed", "new": "completed"}
    assert replay(journal.kept["p"].records).over == "completed"


async def test_what_waits_to_be_tried_again_still_waits_when_somebody_edits_while_a_run_resumes() -> None:
    journal = await a_journal("again", retry_s=5.0)
    until_s = replay(journal.kept["p"].records).backing_off["a"]
    async with rig(slots=2) as house:
        started: list[float] = []

        def noted(attempt: Any) -> Completed:
            started.append(house.orchestrator.clock.wall())
            return Completed()

        house.transport.script("a", noted)
        result = await resumed_and_edited(house, journal, AddTask(TaskStar("new")))
    assert result["results"]["a"].attempts == 2
    assert started[0] >= until_s
