"""Commands that had ended well when they were to be stopped, and whose files were still being fetched."""

from __future__ import annotations

from typing import Any

import anyio
import pytest

from galaxy_core import Attempt, Completed, Effect, RetryPolicy, TaskStatus, Unknown
from galaxy_core.extension.interfaces import FEATURES_OF_COMMANDS, Outcome
from galaxy_core.runtime.answers import MAY_STILL_RUN
from galaxy_core.testing.journals import MemoryJournal

from .fakes import Rig, plan, rig, until

pytestmark = pytest.mark.anyio


def ended(exit_code: int = 0, **metadata: Any) -> Completed:
    return Completed(exit_code=exit_code, stdout="said", metadata=metadata)


def unfetched(exit_code: int = 0) -> Completed:
    return ended(exit_code, not_collected={"out": "the task was stopped before"})


def fetches(left: Completed) -> Any:
    """It has ended, and leaves `left` when it is stopped while its files are fetched."""

    async def step(attempt: Attempt) -> Outcome:
        attempt.sent()
        try:
            await anyio.sleep_forever()
        finally:
            attempt.partial = left
        raise AssertionError("unreachable: nothing wakes it")

    return step


def settling(house: Rig, *features: str) -> None:
    house.transport.features = FEATURES_OF_COMMANDS | set(features)
    house.orchestrator._journal = MemoryJournal()


def task_a(effect: Effect = Effect.ONCE, **options: Any) -> Any:
    again = {"retry_count": 1, "retry": RetryPolicy(on=("failed", "timeout"))}
    return plan("a", "", "p", target_device_id="d1", effect=effect, timeout=5, **again, **options)


@pytest.mark.parametrize("left", [unfetched(), ended(collected={"out": {"size_bytes": 5}})])
async def test_a_deadline_while_files_are_fetched_has_them_fetched_again(left: Completed) -> None:
    async with rig() as house:
        settling(house, "settles")
        house.transport.script("a", fetches(left))
        house.transport.became("a", ended(settled=True))
        found = await house.run(task_a(), None)
        assert house.slots_are_free()
    result = found["results"]["a"]
    assert (result.status, result.attempts, result.exit_code) == (TaskStatus.COMPLETED, 1, 0)
    assert house.device().asked == ["a"]
    assert len(house.device().released) == 1


async def test_without_anybody_to_ask_what_had_ended_well_is_not_run_again() -> None:
    async with rig() as house:
        house.transport.features = FEATURES_OF_COMMANDS
        house.transport.script("a", fetches(unfetched()))
        found = await house.run(task_a(), None)
        assert house.slots_are_free()
    result = found["results"]["a"]
    assert (result.status, result.attempts, result.exit_code) == (TaskStatus.UNKNOWN, 1, 0)
    assert "had ended well" in str(result.error)


@pytest.mark.parametrize(
    ("left", "effect"),
    [
        (unfetched(), Effect.IDEMPOTENT),
        (unfetched(3), Effect.ONCE),
        (ended(), Effect.ONCE),
    ],
)
async def test_a_deadline_counts_for_everything_else(left: Completed, effect: Effect) -> None:
    async with rig() as house:
        settling(house, "settles")
        house.transport.script("a", fetches(left), Completed(exit_code=0))
        found = await house.run(task_a(effect), None)
    result = found["results"]["a"]
    assert (result.status, result.attempts) == (TaskStatus.COMPLETED, 2)
    assert house.device().asked == []


async def test_what_had_ended_does_not_run_any_more_when_its_files_cannot_be_kept_and_it_is_cancelled() -> None:
    async def cut_short(attempt: Attempt) -> Outcome:
        attempt.sent()
        try:
            await anyio.sleep_forever()
        except anyio.get_cancelled_exc_class():
            return Unknown("no room", unfetched())
        raise AssertionError("unreachable: nothing wakes it")

    async with rig() as house:
        house.transport.script("a", cut_short)
        constellation = task_a()
        found: dict[str, Any] = {}

        async def run() -> None:
            found.update(await house.run(constellation, None))

        async with anyio.create_task_group() as group:
            group.start_soon(run)
            await until(lambda: house.device().started)
            await house.orchestrator.cancel_execution(constellation.constellation_id)
    result = found["results"]["a"]
    assert (result.status, result.exit_code, result.stdout) == (TaskStatus.CANCELLED, 0, "said")
    assert MAY_STILL_RUN not in result.metadata
