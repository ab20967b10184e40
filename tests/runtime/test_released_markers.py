"""Markers of attempts of which nobody knew how they ended, until somebody said it."""

from __future__ import annotations

from typing import Any

import anyio
import pytest

from galaxy_core import Effect, TaskStatus, Unknown
from galaxy_core.extension.interfaces import FEATURES_OF_COMMANDS
from galaxy_core.runtime.offline import resolve_recorded
from galaxy_core.testing.fakes import hang
from galaxy_core.testing.journals import MemoryJournal

from .fakes import Rig, plan, rig, until

pytestmark = pytest.mark.anyio

LOST = Unknown("the answer was lost")
AS = pytest.mark.parametrize("as_", ["completed", "failed", "retry"])


def settling(house: Rig, journal: MemoryJournal) -> None:
    """Task `a` is lost at its first attempt, and its device does not know how it ended."""
    house.transport.features = FEATURES_OF_COMMANDS | {"settles"}
    house.orchestrator._journal = journal
    house.transport.script("a", LOST)
    house.transport.became("a", Unknown("its marker is gone"))


def kept_of(journal: MemoryJournal, house: Rig) -> list[int]:
    """How many records were kept when each marker was released."""
    counts: list[int] = []
    released = house.device().released

    class Noted(list[str]):
        def append(self, mark: str) -> None:
            counts.append(len(journal.kept["p"].records))
            super().append(mark)

    house.device().released = Noted(released)
    return counts


def resolution(journal: MemoryJournal) -> int:
    """Where the record of it is, counted from 1."""
    return next(n for n, line in enumerate(journal.kept["p"].records, 1) if ',"resolve",' in line)


async def until_unknown(task: Any) -> None:
    await until(lambda: task.status is TaskStatus.UNKNOWN)


@AS
async def test_what_is_resolved_while_the_run_is_under_way_leaves_no_marker_when_that_is_kept(as_: str) -> None:
    journal = MemoryJournal()
    async with rig(slots=2) as house:
        settling(house, journal)
        house.transport.script("b", hang)
        constellation = plan("a b", "", "p", target_device_id="d1", effect=Effect.ONCE)
        counts = kept_of(journal, house)
        async with anyio.create_task_group() as group:
            group.start_soon(house.run, constellation, None)
            await until_unknown(constellation.get_task("a"))
            await anyio.sleep(1.0)  # in virtual time: until nothing happens any more
            mark = next(one.mark for one in house.device().attempts if one.task_id == "a")
            assert house.device().released == []
            constellation.resolve("a", as_)
            await until(lambda: house.device().released)
            group.cancel_scope.cancel()
        assert house.device().released[0] == mark
        assert counts[0] >= resolution(journal)
        assert house.device().released.count(mark) == 1


@AS
async def test_what_is_resolved_while_its_device_is_away_leaves_no_marker_when_it_comes(as_: str) -> None:
    journal = MemoryJournal()
    async with rig(slots=2, reconnect_delay=1.0, max_retries=20) as house:
        settling(house, journal)
        house.transport.script("b", hang)
        constellation = plan("a b", "", "p", target_device_id="d1", effect=Effect.ONCE)
        async with anyio.create_task_group() as group:
            group.start_soon(house.run, constellation, None)
            await until_unknown(constellation.get_task("a"))
            mark = next(one.mark for one in house.device().attempts if one.task_id == "a")
            house.device().unplug()
            await until(lambda: house.manager.lane_book.lanes["d1"].session is None)
            constellation.resolve("a", as_)
            await anyio.sleep(0.1)
            assert mark not in house.device().released
            house.device().plug_in()
            await until(lambda: mark in house.device().released)
            group.cancel_scope.cancel()


@AS
@pytest.mark.parametrize("stopped", [True, False])
async def test_what_is_resolved_when_nobody_runs_it_leaves_no_marker_when_it_goes_on(as_: str, stopped: bool) -> None:
    """Or is resolved in the process that goes on."""
    journal = MemoryJournal()
    async with rig(slots=2) as house:
        settling(house, journal)
        constellation = plan("a b", "", "p", target_device_id="d1", effect=Effect.ONCE)
        house.transport.script("b", hang)
        async with anyio.create_task_group() as group:
            group.start_soon(house.run, constellation, None)
            await until_unknown(constellation.get_task("a"))
            await until(lambda: any(',"end","a"' in line for line in journal.kept["p"].records))
            await until(lambda: house.device().running)
            lines = list(journal.kept["p"].records)
            mark = next(one.mark for one in house.device().attempts if one.task_id == "a")
            group.cancel_scope.cancel()
    kept = journal.kept["p"]
    kept.records[:] = lines  # as if the process had died then
    if stopped:
        await resolve_recorded(journal, "p", "a", as_)
    async with rig() as house:
        house.transport.features = FEATURES_OF_COMMANDS | {"settles"}
        house.orchestrator._journal = journal
        house.transport.became("b", hang)
        house.transport.script("a", hang)
        async with anyio.create_task_group() as group:
            group.start_soon(house.orchestrator.resume, "p")
            if not stopped:
                await until(lambda: house.device().asked)
                assert house.device().released == []
                house.orchestrator._runs["p"].constellation.resolve("a", as_)
            await until(lambda: mark in house.device().released)
            group.cancel_scope.cancel()


async def test_what_nobody_resolves_keeps_its_marker() -> None:
    journal = MemoryJournal()
    async with rig() as house:
        settling(house, journal)
        await house.run(plan("a", "", "p", target_device_id="d1", effect=Effect.ONCE), None)
        assert house.device().released == []


async def test_what_is_ended_by_hand_while_it_is_settled_leaves_no_marker() -> None:
    """It is stopped, and that is certain."""
    journal = MemoryJournal()
    async with rig() as house:
        settling(house, journal)
        house.transport.became("a", hang)
        constellation = plan("a", "", "p", target_device_id="d1", effect=Effect.ONCE)
        async with anyio.create_task_group() as group:
            group.start_soon(house.run, constellation, None)
            await until(lambda: house.device().asked)
            constellation.mark_task_completed("a", True, "I looked")
        assert house.device().released == [house.device().attempts[0].mark]


async def test_what_is_ended_by_hand_while_it_runs_leaves_no_marker() -> None:
    journal = MemoryJournal()
    async with rig() as house:
        settling(house, journal)
        house.transport.script("b", hang)
        constellation = plan("b", "", "p", target_device_id="d1", effect=Effect.ONCE)
        async with anyio.create_task_group() as group:
            group.start_soon(house.run, constellation, None)
            await until(lambda: house.device().running)
            constellation.mark_task_completed("b", True, "I looked")
        assert house.device().released == [house.device().attempts[0].mark]


@pytest.mark.parametrize("durability", ["sync", "batched"])
async def test_no_marker_stays_of_a_run_that_is_over(durability: Any) -> None:
    """What has ended last is kept only when the journal is closed."""
    journal = MemoryJournal()
    async with rig(slots=2) as house:
        house.transport.features = FEATURES_OF_COMMANDS | {"settles"}
        house.orchestrator._journal, house.orchestrator._durability = journal, durability
        await house.run(plan("a b", "a>b", "p", target_device_id="d1", effect=Effect.ONCE), None)
        assert sorted(house.device().released) == sorted(one.mark for one in house.device().attempts)


async def test_no_marker_stays_of_a_run_that_the_program_has_cancelled_with_its_scope() -> None:
    journal = MemoryJournal()
    async with rig(slots=3) as house:
        house.transport.features = FEATURES_OF_COMMANDS | {"settles"}
        house.orchestrator._journal = journal
        released = kept_of(journal, house)
        device = house.device()
        for task_id in ("slow", "doubtful"):
            house.transport.script(task_id, hang)

        async def unconfirmed(attempt: Any) -> Any:
            try:
                await anyio.sleep_forever()
            finally:
                attempt.partial = Unknown("it does not answer")

        house.transport.script("doubtful", unconfirmed)
        async with anyio.create_task_group() as group:
            group.start_soon(
                house.run, plan("done slow doubtful", "", "p", target_device_id="d1", effect=Effect.ONCE), None
            )
            await until(lambda: set(device.running) == {"slow", "doubtful"})
            group.cancel_scope.cancel()
        marks = {one.task_id: one.mark for one in device.attempts}
        assert set(device.released) == {marks["done"], marks["slow"]}, "who looks for the other needs its marker"
        assert released[-1] == len(journal.kept["p"].records)
