"""The three ways an attempt ends, and what its session says on the way: sent, acknowledged, what was said, what may still run."""

from __future__ import annotations

from typing import Any

import anyio
import pytest

from galaxy_core import (
    Command,
    Completed,
    DeviceLostError,
    Effect,
    InvalidPlanError,
    OutcomeUnknownError,
    RetryPolicy,
    TaskConstellation,
    TaskStar,
    TaskTimeoutError,
    Unknown,
)
from galaxy_core.extension.interfaces import Attempt
from galaxy_core.testing.fakes import FakeTransport

from .fakes import plan, rig

pytestmark = pytest.mark.anyio

SAID = Completed(stdout="half a line", exit_code=None)


async def breaks_after_sending(attempt: Attempt) -> Any:
    attempt.sent()
    attempt.partial = SAID
    raise ConnectionResetError("by peer")


async def breaks_before_sending(attempt: Attempt) -> Any:
    raise ConnectionResetError("by peer")


async def cannot_be_stopped(attempt: Attempt) -> Any:
    attempt.sent()
    attempt.acknowledged()
    try:
        await anyio.sleep_forever()
    finally:
        attempt.partial = Unknown("the host does not answer", SAID)


async def swallows_its_cancellation(attempt: Attempt) -> Any:
    attempt.sent()
    try:
        await anyio.sleep_forever()
    except anyio.get_cancelled_exc_class():  # which nobody should do
        return Unknown("the host does not answer", SAID)


def sends(transport: FakeTransport) -> FakeTransport:
    transport.features = frozenset({"sends"})
    return transport


class TestWhatBreaks:
    async def test_before_it_was_sent_has_failed(self) -> None:
        async with rig() as house:
            house.transport.script("a", breaks_before_sending)
            found = (await house.run(plan("a")))["results"]["a"]
        assert (str(found.status), type(found.error)) == ("failed", ConnectionResetError)

    async def test_after_it_was_sent_is_unknown_with_what_was_said(self) -> None:
        async with rig() as house:
            house.transport.script("a", breaks_after_sending)
            found = (await house.run(plan("a", retry_count=3)))["results"]["a"]
        assert (str(found.status), found.attempts, found.stdout) == ("unknown", 1, "half a line")
        assert isinstance(found.error, OutcomeUnknownError)
        assert "broke after it was sent" in str(found.error)
        assert "by peer" in str(found.error)

    async def test_after_it_was_sent_is_tried_again_when_that_does_no_harm(self) -> None:
        async with rig() as house:
            house.transport.script("a", breaks_after_sending, Completed("fine"))
            found = (await house.run(plan("a", effect=Effect.IDEMPOTENT)))["results"]["a"]
        assert (found.result, found.attempts) == ("fine", 2)

    async def test_outside_of_a_plan_is_unknown_too(self) -> None:
        async with rig() as house:
            house.transport.script("a", breaks_after_sending)
            await house.manager.connect_all()
            found = await house.manager.assign_task_to_device("a", "d1", "", {})
        assert (found.metadata["outcome"], found.metadata["disconnected"], found.stdout) == (
            "unknown",
            True,
            "half a line",
        )


class TestALostDevice:
    async def test_of_what_was_not_sent_yet_another_device_takes_over(self) -> None:
        async with rig("d1", "d2") as house:
            sends(house.transport)
            house.transport.script("a", DeviceLostError("d1", "it went"), Completed("elsewhere"))
            found = (await house.run(plan("a")))["results"]["a"]
        assert (str(found.status), found.result) == ("completed", "elsewhere")

    async def test_of_what_never_says_whether_it_was_sent_nobody_knows(self) -> None:
        async with rig("d1", "d2") as house:
            house.transport.script("a", DeviceLostError("d1", "it went"), Completed("elsewhere"))
            found = (await house.run(plan("a")))["results"]["a"]
        assert str(found.status) == "unknown"

    async def test_that_comes_out_of_a_task_group_is_lost_all_the_same(self) -> None:
        async def lost(_: Attempt) -> Any:
            async with anyio.create_task_group():
                raise DeviceLostError("d1", "it went")

        async with rig("d1", "d2") as house:
            sends(house.transport)
            house.transport.script("a", lost, Completed("elsewhere"))
            found = (await house.run(plan("a")))["results"]["a"]
        assert (str(found.status), found.result) == ("completed", "elsewhere")

    async def test_what_was_said_until_then_stands_in_the_result(self) -> None:
        async with rig() as house:
            house.transport.script("a", Unknown("the answer was lost", SAID))
            found = (await house.run(plan("a")))["results"]["a"]
        assert (str(found.status), found.stdout) == ("unknown", "half a line")


class TestWhatMayStillRun:
    async def test_is_not_run_again_by_a_deadline_when_it_must_run_once(self) -> None:
        async with rig() as house:
            house.transport.script("a", cannot_be_stopped)
            task = plan("a", timeout=1.0, retry_count=2, retry=RetryPolicy(on=frozenset({"timeout"})))
            found = (await house.run(task))["results"]["a"]
        assert (str(found.status), found.attempts, found.stdout) == ("unknown", 1, "half a line")
        assert "it may still run: the host does not answer" in str(found.error)

    async def test_is_run_again_by_a_deadline_when_that_does_no_harm(self) -> None:
        async with rig() as house:
            house.transport.script("a", cannot_be_stopped, Completed("fine"))
            policy = RetryPolicy(on=frozenset({"timeout"}))
            task = plan("a", timeout=1.0, retry_count=2, retry=policy, effect=Effect.READ)
            found = (await house.run(task))["results"]["a"]
        assert (found.result, found.attempts) == ("fine", 2)

    async def test_is_said_of_a_task_that_failed_by_its_deadline(self) -> None:
        async with rig() as house:
            house.transport.script("a", cannot_be_stopped)
            found = (await house.run(plan("a", timeout=1.0, effect=Effect.READ)))["results"]["a"]
        assert (str(found.status), type(found.error)) == ("failed", TaskTimeoutError)
        assert (found.metadata["may_still_run"], found.stdout) == ("the host does not answer", "half a line")

    @pytest.mark.parametrize("way", [cannot_be_stopped, swallows_its_cancellation])
    async def test_is_said_of_a_task_that_was_cancelled(self, way: Any) -> None:
        async with rig() as house:
            house.transport.script("a", way)
            constellation = plan("a")
            results: dict[str, Any] = {}

            async def run() -> None:
                results.update((await house.run(constellation))["results"])

            async with anyio.create_task_group() as group:
                group.start_soon(run)
                await anyio.sleep(1)
                await house.orchestrator.cancel_execution(constellation.constellation_id)
        found = results["a"]
        assert str(found.status) == "cancelled"
        assert found.metadata["may_still_run"] == "the host does not answer"

    async def test_is_said_outside_of_a_plan(self) -> None:
        async with rig() as house:
            house.transport.script("a", cannot_be_stopped)
            await house.manager.connect_all()
            found = await house.manager.assign_task_to_device("a", "d1", "", {}, timeout=1.0)
        assert found.metadata["may_still_run"] == "the host does not answer"


class TestMarks:
    async def test_are_of_one_attempt_alone_and_none_begins_another(self) -> None:
        async with rig(slots=4) as house:
            marks: list[str] = []
            house.transport.default = lambda attempt: marks.append(attempt.mark) or Completed()  # type: ignore[func-returns-value]
            await house.run(plan("a b c d"))
            await house.run(plan("a b c d"))
        assert len(set(marks)) == 8
        assert {len(mark) for mark in marks} == {25}


class TestDeclaredKeys:
    def command(self, **keys: Any) -> TaskConstellation:
        constellation = TaskConstellation()
        constellation.add_task(TaskStar("a", request=Command(["x"], **keys)))
        return constellation

    @pytest.mark.parametrize(
        ("key", "value"), [("cwd", "/"), ("env", {"A": "1"}), ("stdin", "x"), ("files", {"a": "b"}), ("outputs", ["a"])]
    )
    async def test_a_command_with_another_key_is_refused_before_anything_runs(self, key: str, value: Any) -> None:
        async with rig() as house:
            house.transport.features = frozenset({"cwd", "env", "stdin", "files", "outputs"} - {key})
            with pytest.raises(InvalidPlanError, match=f"transport 'fake' takes no '{key}' of a command"):
                await house.run(self.command(**{key: value}))
            assert house.device().started == []

    async def test_a_transport_that_declares_nothing_takes_all(self) -> None:
        async with rig() as house:
            result = await house.run(self.command(cwd="/", env={"A": "1"}, stdin="x"))
        assert result["status"] == "completed"
