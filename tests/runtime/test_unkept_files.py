"""What somebody may say of a command that has ended well, and whose files cannot be kept here."""

from __future__ import annotations

from typing import Any

import anyio
import pytest

from galaxy_core import Completed, Effect, TaskConstellation, TransitionError, Unknown
from galaxy_core.extension.interfaces import FEATURES_OF_COMMANDS
from galaxy_core.model.condition import Expression
from galaxy_core.model.dependency import TaskStarLine
from galaxy_core.model.records.replay import replay
from galaxy_core.runtime.offline import resolve_recorded
from galaxy_core.testing.fakes import hang, takes
from galaxy_core.testing.journals import MemoryJournal

from .fakes import Rig, plan, rig, until

pytestmark = pytest.mark.anyio

UNFETCHED = Unknown("no room", Completed(exit_code=0, metadata={"not_collected": {"out": "no room"}}))


def made(tasks: str = "a b c", links: str = "a>b b>c") -> TaskConstellation:
    return plan(tasks, links, "p", target_device_id="d1", effect=Effect.ONCE)


def full(house: Rig, journal: MemoryJournal) -> None:
    """There is no room for the files of task `a`."""
    house.transport.features = FEATURES_OF_COMMANDS | {"settles"}
    house.orchestrator._journal = journal
    house.transport.script("a", UNFETCHED)
    house.transport.became("a", UNFETCHED)


async def stopped(journal: MemoryJournal, constellation: TaskConstellation) -> str:
    """Run it until it is stopped for want of room; the mark of what is under way."""
    async with rig() as house:
        full(house, journal)
        assert (await house.run(constellation, None))["status"] == "stopped"
    return replay(journal.kept["p"].records).in_flight["a"].mark


async def gone_on(journal: MemoryJournal) -> Rig:
    async with rig() as house:
        full(house, journal)
        house.transport.script("a", Completed("again"))
        await house.orchestrator.resume("p")
        return house


@pytest.mark.parametrize(
    ("as_", "ends", "started"),
    [
        ("completed", ["completed", "completed", "completed"], ["b", "c"]),
        ("failed", ["failed", "skipped", "skipped"], []),
        ("retry", ["completed", "completed", "completed"], ["a", "b", "c"]),
    ],
)
@pytest.mark.parametrize("resumes", [0, 2])
async def test_somebody_may_say_how_it_ended_and_the_run_goes_on_with_that(
    as_: str, ends: list[str], started: list[str], resumes: int
) -> None:
    journal = MemoryJournal()
    mark = await stopped(journal, made())
    for _ in range(resumes):
        async with rig() as house:
            full(house, journal)
            assert (await house.orchestrator.resume("p"))["status"] == "stopped"
    resolution = await resolve_recorded(journal, "p", "a", as_, by="me")
    assert [one.task_id for one in resolution.opened] == []
    found = replay(journal.kept["p"].records)
    assert ([one.mark for one in found.resolved], found.in_flight, found.doubtful) == ([mark], {}, {})
    house = await gone_on(journal)
    tasks = replay(journal.kept["p"].records).constellation().get_all_tasks()
    assert [task.status.value for task in tasks] == ends
    assert (house.device().started, house.device().asked) == (started, [])
    assert mark in house.device().released


@pytest.mark.parametrize("as_", ["completed", "failed", "retry"])
async def test_what_is_kept_of_that_is_the_plan_as_it_is_afterwards(as_: str) -> None:
    journal, constellation = MemoryJournal(), made("a b c d", "a>b a~c")
    constellation.add_dependency(
        TaskStarLine.create_conditional("a", "d", "it went well", Expression("status == 'completed'"))
    )
    await stopped(journal, constellation)
    resolution = await resolve_recorded(journal, "p", "a", as_)
    live = resolution.task._owner
    assert isinstance(live, TaskConstellation)
    records = journal.kept["p"].records
    assert replay(records).document() == live.to_dict()
    for count in range(len(records) - 2, len(records) + 1):  # as if the process had died meanwhile
        replay(records[:count]).constellation()


async def test_what_has_died_between_the_two_records_waits_for_somebody_to_say_it() -> None:
    journal = MemoryJournal()
    await stopped(journal, made())
    await resolve_recorded(journal, "p", "a", "completed")
    records = journal.kept["p"].records
    records[:] = records[: next(n for n, line in enumerate(records) if ',"resolve",' in line)]
    assert list(replay(records).doubtful) == ["a"]
    resolution = await resolve_recorded(journal, "p", "a", "completed")
    assert resolution.task.status.value == "completed"


async def test_what_may_still_run_is_not_resolved_because_the_files_of_another_could_not_be_kept() -> None:
    journal = MemoryJournal()
    async with rig(slots=2) as house:
        full(house, journal)
        house.transport.script("b", hang)
        async with anyio.create_task_group() as group:
            group.start_soon(house.run, made("a b", ""), None)
            await until(lambda: house.device().running)
            await until(lambda: any(',"settled",' in line for line in journal.kept["p"].records))
            lines = list(journal.kept["p"].records)
            group.cancel_scope.cancel()
    records = journal.kept["p"].records
    records[:] = lines  # as if the process had died then
    with pytest.raises(TransitionError, match="task 'b' is running"):
        await resolve_recorded(journal, "p", "b", "completed")
    assert records == lines
    assert (await resolve_recorded(journal, "p", "a", "completed")).task.status.value == "completed"


async def test_what_runs_again_since_is_not_what_has_ended() -> None:
    journal = MemoryJournal()
    await stopped(journal, made("a", ""))
    await resolve_recorded(journal, "p", "a", "retry")
    async with rig() as house:
        full(house, journal)
        house.transport.script("a", hang)
        async with anyio.create_task_group() as group:
            group.start_soon(house.orchestrator.resume, "p")
            await until(lambda: house.device().running)
            await until(lambda: replay(journal.kept["p"].records).in_flight)
            lines = list(journal.kept["p"].records)
            group.cancel_scope.cancel()
    journal.kept["p"].records[:] = lines
    with pytest.raises(TransitionError, match="task 'a' is running"):
        await resolve_recorded(journal, "p", "a", "completed")


@pytest.mark.parametrize("left", [True, False])
async def test_one_task_of_a_run_that_is_being_stopped_is_cancelled_as_the_whole_run_is(left: bool) -> None:
    """What is known of how it ended is told, and its marker is dropped."""
    journal, constellation = MemoryJournal(), made("a b", "")
    async with rig(slots=2) as house:
        full(house, journal)
        house.transport.script("b", takes(50))

        async def asked(attempt: Any) -> Any:
            attempt.partial = UNFETCHED.said
            return UNFETCHED

        house.transport.became("a", asked)
        found: dict[str, Any] = {}

        async def run() -> None:
            found.update(await house.run(constellation, None))

        async with anyio.create_task_group() as group:
            group.start_soon(run)
            run_of = house.orchestrator.run_of
            await until(lambda: bool(run_of("p") and run_of("p").left_cases))  # type: ignore[union-attr]
            if left:
                assert house.orchestrator.cancel_task("a", "p")
            else:
                await house.orchestrator.cancel_execution("p")
        mark = next(one.mark for one in house.device().attempts if one.task_id == "a")
        assert house.slots_are_free()
    result = found["results"]["a"]
    assert (result.status.value, result.exit_code) == ("cancelled", 0)
    assert "not_collected" in result.metadata
    assert mark in house.device().released
