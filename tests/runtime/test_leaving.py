"""Runs that are left in a hurry: what may run again is ended, what may run only once is waited for."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest

from galaxy_core import Attempt, Completed, Effect, TaskConstellation, TaskStarLine, TaskStatus, Unknown
from galaxy_core.extension.interfaces import FEATURES_OF_COMMANDS, Outcome
from galaxy_core.model.records.replay import Replay, replay
from galaxy_core.testing.fakes import hang, takes
from galaxy_core.testing.journals import MemoryJournal

from .fakes import Rig, plan, rig, until

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def kept_rig(**options: Any) -> AsyncIterator[tuple[Rig, MemoryJournal]]:
    """One device with two slots, and a journal that keeps what runs on it."""
    journal = MemoryJournal()
    async with rig("d1", slots=2, **options) as house:
        house.transport.features = FEATURES_OF_COMMANDS | {"settles"}
        house.orchestrator._journal = journal
        yield house, journal


def mixed(tasks: str, *again: str, effect: Effect = Effect.READ) -> TaskConstellation:
    """Tasks that may run only once, but those in `again`."""
    found = plan(tasks, constellation_id="p", target_device_id="d1", effect=Effect.ONCE)
    for task_id in again:
        found.get_task(task_id).effect = effect  # type: ignore[union-attr]
    return found


async def left(house: Rig, constellation: TaskConstellation, happen: Callable[[], Any]) -> dict[str, Any]:
    """Run it, and leave it when `happen` is over; the result of the run."""
    found: dict[str, Any] = {}

    async def run() -> None:
        found.update(await house.run(constellation, None))

    async with anyio.create_task_group() as group:
        group.start_soon(run)
        await happen()
        assert await house.orchestrator.stop("p", "SIGTERM", interrupt=True)
    assert house.slots_are_free()
    return found


def kept(journal: MemoryJournal) -> Replay:
    return replay(journal.kept["p"].records)


@pytest.mark.parametrize("effect", [Effect.READ, Effect.IDEMPOTENT])
async def test_what_may_run_again_is_ended_and_runs_again_for_whoever_resumes(effect: Effect) -> None:
    async with kept_rig() as (house, journal):
        house.transport.script("a", hang, Completed("again"))
        constellation = mixed("a b", "a", "b", effect=effect)
        house.transport.script("b", Completed("b"))

        async def happen() -> None:
            await until(lambda: constellation.get_task("b").is_terminal and house.device().running)  # type: ignore[union-attr]

        found = await left(house, constellation, happen)
        assert (found["status"], house.device().cancelled) == ("stopped", ["a"])
        assert (kept(journal).in_flight, kept(journal).stopped_by) == ({}, "SIGTERM")
        assert kept(journal).document() == constellation.to_dict()
        assert constellation.get_task("a").status is TaskStatus.PENDING  # type: ignore[union-attr]
        [told] = [event for event in house.recorder.events if event.event_type.value == "task_retrying"]
        assert told.data["reason"] == "stopped"
        after = await house.orchestrator.resume("p")
    assert (after["status"], after["results"]["a"].result) == ("completed", "again")
    assert sorted(house.device().started) == ["a", "a", "b"]
    assert after["results"]["a"].attempts == 2


async def test_what_may_run_only_once_is_waited_for_and_nothing_more_is_started() -> None:
    async with kept_rig() as (house, _):
        house.transport.script("a", takes(5, Completed("paid")))
        constellation = mixed("a b c")
        constellation.add_dependency(TaskStarLine("a", "c"))

        async def happen() -> None:
            await until(lambda: constellation.get_task("b").is_terminal)  # type: ignore[union-attr]

        found = await left(house, constellation, happen)
        assert (found["status"], found["results"]["a"].result) == ("stopped", "paid")
        assert (sorted(house.device().started), house.device().cancelled) == (["a", "b"], [])
        after = await house.orchestrator.resume("p")
    assert (after["status"], sorted(house.device().started)) == ("completed", ["a", "b", "c"])


async def test_a_run_that_is_being_stopped_can_be_left_in_a_hurry() -> None:
    async with kept_rig() as (house, _):
        house.transport.script("a", hang)
        constellation = mixed("a", "a")

        async def happen() -> None:
            await until(lambda: house.device().running)
            run = house.orchestrator.run_of("p")
            assert run is not None
            assert run.stop("me")
            assert not run.stop("me")

        found = await left(house, constellation, happen)
    assert (found["status"], house.device().cancelled) == ("stopped", ["a"])


async def test_what_may_still_run_stays_under_way_and_is_ended_by_whoever_resumes() -> None:
    async def stubborn(attempt: Attempt) -> Outcome:
        try:
            await anyio.sleep_forever()
        finally:
            attempt.partial = Unknown("it did not confirm that it was ended")
        raise AssertionError("unreachable: nothing wakes it")

    async with kept_rig() as (house, journal):
        house.transport.script("a", stubborn, Completed("again"))
        constellation = mixed("a", "a")

        async def happen() -> None:
            await until(lambda: house.device().running)

        found = await left(house, constellation, happen)
        assert (found["status"], list(kept(journal).in_flight)) == ("stopped", ["a"])
        assert not house.device().stopped
        after = await house.orchestrator.resume("p")
    assert (after["status"], house.device().stopped) == ("completed", ["a"])
    assert house.device().started == ["a", "a"]


async def test_what_a_device_that_is_away_would_be_asked_is_asked_by_whoever_resumes() -> None:
    async with kept_rig(reconnect_delay=1.0, max_retries=20) as (house, journal):
        house.transport.script("a", hang)
        constellation = mixed("a")

        async def happen() -> None:
            await until(lambda: house.device().running)
            house.device().unplug()
            await until(lambda: house.orchestrator.why("a", "p").kind == "settling")
            await anyio.sleep(0.1)

        found = await left(house, constellation, happen)
        assert (found["status"], list(kept(journal).in_flight)) == ("stopped", ["a"])
        house.device().plug_in()
        house.transport.became("a", Completed(exit_code=0))
        after = await house.orchestrator.resume("p")
    assert (after["status"], house.device().started, house.device().asked) == ("completed", ["a"], ["a"])


async def test_what_is_waited_for_can_still_be_cancelled() -> None:
    async with kept_rig() as (house, _):
        house.transport.script("a", hang)
        constellation = mixed("a")
        found: dict[str, Any] = {}

        async def run() -> None:
            found.update(await house.run(constellation, None))

        async with anyio.create_task_group() as group:
            group.start_soon(run)
            await until(lambda: house.device().running)
            group.start_soon(lambda: house.orchestrator.stop("p", interrupt=True))
            await anyio.sleep(1)
            assert house.device().running
            await house.orchestrator.cancel_execution("p")
    assert (found["status"], house.device().cancelled) == ("cancelled", ["a"])


async def test_what_may_still_run_is_told_so_when_it_alone_is_cancelled() -> None:
    async def stubborn(attempt: Attempt) -> Outcome:
        try:
            await anyio.sleep_forever()
        finally:
            attempt.partial = Unknown("it did not confirm that it was ended")
        raise AssertionError("unreachable: nothing wakes it")

    async with kept_rig() as (house, journal):
        house.transport.script("a", stubborn)
        house.transport.script("b", takes(50, Completed("paid")))
        constellation = mixed("a b", "a")
        found: dict[str, Any] = {}

        async def run() -> None:
            found.update(await house.run(constellation, None))

        async with anyio.create_task_group() as group:
            group.start_soon(run)
            await until(lambda: len(house.device().running) == 2)
            run_of = house.orchestrator.run_of("p")
            assert run_of is not None
            run_of.stop("me", interrupt=True)
            await until(lambda: run_of.in_doubt)
            assert house.orchestrator.cancel_task("a", "p")
            assert not house.orchestrator.cancel_task("a", "p")
        assert house.slots_are_free()
    result = found["results"]["a"]
    assert (result.status, result.device_id) == (TaskStatus.CANCELLED, "d1")
    assert result.metadata["may_still_run"] == "it did not confirm that it was ended"
    assert kept(journal).document() == constellation.to_dict()
