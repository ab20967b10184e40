"""The hooks that decide and observe runs: when they are called, with what, and what happens when they break."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import anyio
import pytest

from galaxy_core import Completed, EndedTasks, EventType, RunInfo, RunRefusedError, TaskStar, TaskStatus, hookimpl
from galaxy_core.testing.fakes import Recorder, takes

from .fakes import plan, rig, until

pytestmark = pytest.mark.anyio


class Reviewing:
    """A policy that answers what it is told to."""

    def __init__(self, answer: Any = None) -> None:
        self.answer = answer
        self.asked: list[RunInfo] = []

    @hookimpl
    def galaxy_review_run(self, run: RunInfo) -> Any:
        self.asked.append(run)
        return self.answer() if callable(self.answer) else self.answer


class ReviewingLater(Reviewing):
    @hookimpl
    async def galaxy_review_run(self, run: RunInfo) -> Any:
        self.asked.append(run)
        await anyio.sleep(1)
        return self.answer() if callable(self.answer) else self.answer


class Finishing:
    def __init__(self, do: Any = None) -> None:
        self.do = do
        self.told: list[tuple[RunInfo, Mapping[str, Any]]] = []

    @hookimpl
    async def galaxy_run_finished(self, run: RunInfo, result: Mapping[str, Any]) -> None:
        self.told.append((run, result))
        if self.do is not None:
            await self.do()


def raises() -> Any:
    raise LookupError("no policy file")


async def hangs() -> None:
    await anyio.sleep_forever()


class TestReviewing:
    @pytest.mark.parametrize("kind", [Reviewing, ReviewingLater])
    async def test_a_policy_that_agrees_sees_the_run_before_it_starts(self, kind: type[Reviewing]) -> None:
        policy = kind()
        async with rig(plugins=[policy]) as house:
            constellation = plan("a b", constellation_id="c1")
            result = await house.run(constellation, metadata={"who": "me"})
        assert result["status"] == "completed"
        (run,) = policy.asked
        assert (run.constellation_id, run.name, [task.task_id for task in run.tasks]) == ("c1", "c1", ["a", "b"])
        assert (run.assignments, run.metadata) == ({"a": "d1", "b": "d1"}, {"who": "me"})

    async def test_a_policy_sees_what_the_plan_tells_plugins(self) -> None:
        policy, constellation = Reviewing(), plan("a")
        constellation.update_metadata({"extensions": {"curfew": {"until": 6}}})
        async with rig(plugins=[policy]) as house:
            await house.run(constellation)
        assert policy.asked[0].extensions == {"curfew": {"until": 6}}

    @pytest.mark.parametrize("kind", [Reviewing, ReviewingLater])
    async def test_a_reason_refuses_the_run_before_anything_is_published(self, kind: type[Reviewing]) -> None:
        async with rig(plugins=[kind("not on Sundays")]) as house:
            with pytest.raises(RunRefusedError, match="not on Sundays") as caught:
                await house.run(plan("a", constellation_id="c1"))
        assert isinstance(caught.value, RuntimeError)
        assert [reason for _, reason in caught.value.reasons] == ["not on Sundays"]
        assert house.device().started == []
        assert house.recorder.of(EventType.CONSTELLATION_STARTED) == []

    async def test_all_policies_are_asked_and_all_reasons_told(self) -> None:
        policies = [Reviewing("one"), ReviewingLater(None), Reviewing("two")]
        async with rig(plugins=policies) as house:
            with pytest.raises(RunRefusedError) as caught:
                await house.run(plan("a"))
        assert sorted(reason for _, reason in caught.value.reasons) == ["one", "two"]
        assert all(len(policy.asked) == 1 for policy in policies)

    @pytest.mark.parametrize(
        ("policy", "why"),
        [
            (Reviewing(raises), "raised LookupError: no policy file"),
            (ReviewingLater(raises), "raised LookupError: no policy file"),
            (Reviewing(hangs), "did not answer within 30 s"),
            (Reviewing(True), "returned True instead of None or a reason"),
            (Reviewing(""), "without a reason (it returned an empty text)"),
            (ReviewingLater(" \n"), "without a reason (it returned an empty text)"),
        ],
    )
    async def test_a_policy_that_cannot_answer_has_refused(self, policy: Reviewing, why: str) -> None:
        async with rig() as house:
            house.orchestrator.plugins.register(policy, "reviewing")
            with pytest.raises(RunRefusedError) as caught:
                await house.run(plan("a"))
            assert anyio.current_time() < 31
        assert why in str(caught.value)
        assert [plugin for plugin, _ in caught.value.reasons] == ["reviewing"]

    async def test_a_refused_plan_can_be_run_when_the_policy_agrees(self) -> None:
        policy = Reviewing("not yet")
        async with rig(plugins=[policy]) as house:
            constellation = plan("a")
            with pytest.raises(RunRefusedError):
                await house.run(constellation)
            policy.answer = None
            assert (await house.run(constellation))["status"] == "completed"


class TestFinishing:
    async def test_it_is_told_after_the_last_event_was_delivered_and_gets_what_the_caller_gets(self) -> None:
        seen: list[str] = []

        async def look() -> None:
            seen.extend(house.recorder.story(EventType.DEVICE_STATUS_CHANGED)[-1:])

        hook = Finishing(look)
        async with rig(plugins=[hook]) as house:
            result = await house.run(plan("a", constellation_id="c1"))
        ((run, told),) = hook.told
        assert run.constellation_id == "c1"
        assert told is result
        assert seen == ["constellation_completed"]

    @pytest.mark.parametrize(("do", "says"), [(hangs, "did not answer within 30 s"), (None, "raised")])
    async def test_one_that_breaks_is_reported_and_harms_nobody(
        self, do: Any, says: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        async def breaks() -> None:
            raise LookupError("disk full")

        broken, other = Finishing(do or breaks), Finishing()
        async with rig(plugins=[broken, other]) as house:
            result = await house.run(plan("a"))
        assert result["status"] == "completed"
        assert len(other.told) == 1
        errors = [record for record in caplog.records if record.levelno == logging.ERROR]
        assert len(errors) == 1
        assert says in caplog.text

    async def test_a_cancelled_run_has_finished_too(self) -> None:
        hook = Finishing()
        async with rig(plugins=[hook]) as house:
            house.transport.script("a", takes(1e6))
            constellation = plan("a", constellation_id="c1")
            async with anyio.create_task_group() as group:
                group.start_soon(house.run, constellation)
                await until(constellation.get_running_tasks)
                await house.orchestrator.cancel_execution("c1")
        assert [told["status"] for _, told in hook.told] == ["cancelled"]


class Proposing:
    """An editor that takes 100 seconds to leave the plan as it is."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    @hookimpl
    async def galaxy_propose_edit(self, ended: EndedTasks) -> None:
        self.asked += [task.task_id for task in ended.tasks]
        await anyio.sleep(100)


class Picky(Proposing):
    """One that says which ends it wants."""

    def __init__(self, wants: Any) -> None:
        super().__init__()
        self.wants = wants

    @hookimpl
    def galaxy_wants_end(self, task: TaskStar, status: str) -> Any:
        return self.wants(task.task_id, status)


class TestWantingEnds:
    async def test_of_an_end_that_an_editor_does_not_want_it_is_not_asked_and_nothing_waits(self) -> None:
        picky = Picky(lambda task_id, status: status == "failed")
        async with rig(plugins=[picky]) as house:
            house.transport.script("b", Completed(error="no"))
            result = await house.run(plan("a b c", "a>b b~c"))
            assert anyio.current_time() < 150
        assert picky.asked == ["b"]
        assert {task_id: ended.status for task_id, ended in result["results"].items()} == {
            "a": TaskStatus.COMPLETED,
            "b": TaskStatus.FAILED,
            "c": TaskStatus.COMPLETED,
        }

    async def test_who_does_not_say_what_it_wants_is_asked_about_every_end(self) -> None:
        proposing = Proposing()
        async with rig(plugins=[proposing]) as house:
            await house.run(plan("a b c", "a>b b>c"))
        assert proposing.asked == ["a", "b", "c"]

    async def test_who_cannot_say_what_it_wants_is_asked_and_the_log_names_it(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        picky = Picky(lambda task_id, status: raises())
        async with rig(plugins=[picky]) as house:
            assert (await house.run(plan("a")))["status"] == "completed"
        assert picky.asked == ["a"]
        assert "Picky: galaxy_wants_end raised" in caplog.text


class TestObservers:
    async def test_a_plugins_observer_hears_the_runs_of_its_orchestrator(self) -> None:
        recorder = Recorder()

        class Observing:
            @hookimpl
            def galaxy_observers(self) -> list[Recorder]:
                return [recorder]

        async with rig(plugins=[Observing()]) as house:
            await house.run(plan("a"))
            await house.run(plan("b"))
        assert recorder.story_of("a") == recorder.story_of("b") == ["task_started", "task_completed"]
