"""Tasks that are ended, retried and started by hand while their plan runs, and edited while that is being settled."""

from __future__ import annotations

from typing import Any

import anyio
import pytest

from galaxy_core import (
    Completed,
    ConstellationEvent,
    DependencyType,
    Effect,
    EventType,
    RetryPolicy,
    TaskConstellation,
    TaskPriority,
    TaskStar,
    TaskStarLine,
    TaskStatus,
)
from galaxy_core.model.analysis import graph_problems
from galaxy_core.testing.fakes import hang, takes

from .editing import Study, statuses, study
from .fakes import link, plan, rig, until

pytestmark = pytest.mark.anyio

BY_HAND = RetryPolicy(on=frozenset())


def conditional(source: str, target: str, evaluator: Any) -> TaskStarLine:
    return TaskStarLine(source, target, DependencyType.CONDITIONAL, "as it says", evaluator)


async def answer(house: Study, *task_ids: str, **data: Any) -> None:
    about = {"on_task_id": list(task_ids), **data}
    await house.bus.publish_event(
        ConstellationEvent(EventType.CONSTELLATION_MODIFIED, "agent", 0.0, about, "c1", "executing")
    )


class Stubborn:
    """Attempts that need two seconds to clean up, and how many there are at once."""

    def __init__(self) -> None:
        self.now = self.most = self.begun = 0

    async def __call__(self, attempt: Any) -> Any:
        self.now, self.begun = self.now + 1, self.begun + 1
        self.most = max(self.now, self.most)
        try:
            return Completed("done") if self.begun > 1 else await hang(attempt)
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.sleep(2)
            self.now -= 1


class TestWhileTheOldAttemptIsStopped:
    async def test_a_task_that_is_retried_waits_until_that_is_over(self) -> None:
        attempts = Stubborn()
        async with study() as house:
            house.transport.script("a", attempts, attempts)
            constellation = plan("a b", "a-b", retry_count=1, retry=BY_HAND)
            async with house.running(constellation):
                constellation.mark_task_completed("a", False, error=RuntimeError("by hand"))
                constellation.tasks["a"].retry()
            assert house.slots_are_free()
        assert (attempts.most, attempts.begun) == (1, 2)
        assert statuses(constellation) == {"a": "completed", "b": "completed"}

    async def test_what_is_started_by_hand_is_left_to_whoever_did(self) -> None:
        async with study() as house:
            house.transport.script("a", Stubborn())
            constellation = plan("a b", "a-b", retry_count=1, retry=BY_HAND)
            task = constellation.tasks["a"]
            async with house.running(constellation):
                task.complete_with_failure(RuntimeError("by hand"))
                task.retry()
                task.start_execution()
                await anyio.sleep(3)
                assert task.status is TaskStatus.RUNNING
                task.complete_with_success("by hand")
            assert house.slots_are_free()
        assert statuses(constellation) == {"a": "completed", "b": "completed"}

    async def test_a_task_that_is_retried_can_be_cancelled(self) -> None:
        attempts = Stubborn()
        async with study() as house:
            house.transport.script("a", attempts, attempts)
            constellation = plan("a", retry_count=1, retry=BY_HAND, constellation_id="c1")
            async with house.running(constellation):
                constellation.tasks["a"].complete_with_failure(RuntimeError("by hand"))
                constellation.tasks["a"].retry()
                assert house.orchestrator.cancel_task("a", "c1")
        assert attempts.begun == 1
        assert statuses(constellation) == {"a": "cancelled"}


class TestAndAnEditorIsToAnswer:
    async def test_a_task_that_is_retried_does_not_wait_for_the_answer_to_its_own_end(self) -> None:
        constellation = plan("a b c", "a>c b>c", "c1", retry_count=1, retry=BY_HAND)
        async with study() as house:
            house.synchronizer.set_hold_scope("footprint")
            with house.synchronizer.editor("c1"):
                async with house.running(constellation):
                    constellation.mark_task_completed("a", False, error=RuntimeError("by hand"))
                    await anyio.sleep(5)
                    constellation.tasks["a"].retry()
                    await anyio.sleep(5)
                    assert statuses(constellation) == {"a": "completed", "b": "completed", "c": "pending"}
                    await answer(house, "a", "b")
                    await anyio.sleep(5)
                    await answer(house, "c")
        assert house.starts()["a"] == 5

    async def test_the_same_id_twice_in_one_answer_counts_once(self) -> None:
        constellation = plan("a b", "a>b", "c1")
        async with study() as house:
            with house.synchronizer.editor("c1"):
                async with house.running(constellation):
                    await anyio.sleep(2)
                    await answer(house, "a", "a")
                    await anyio.sleep(2)
                    await answer(house, "b", "b")
        assert house.starts() == {"a": 0, "b": 2}
        assert house.synchronizer.get_statistics()["completed_modifications"] == 2

    def test_a_link_that_was_withheld_is_not_any_more_when_its_source_is_retried(self) -> None:
        constellation = plan("a b", "a>b", retry_count=1, retry=BY_HAND)
        task = constellation.tasks["a"]
        constellation.begin(task, 1.0)
        constellation.end(task, TaskStatus.FAILED, None, RuntimeError("no"), 2.0, withhold=True)
        task.retry()
        assert graph_problems(constellation) == []
        constellation.mark_task_completed("a", True)
        assert graph_problems(constellation) == []


async def test_a_setter_does_not_start_what_got_a_dependency_while_it_waited_for_a_device() -> None:
    async with rig("d1") as house:
        house.transport.script("a", hang, takes(1))
        constellation = plan("a", effect=Effect.IDEMPOTENT, retry=RetryPolicy(backoff_s=20))
        async with anyio.create_task_group() as group:
            group.start_soon(house.run, constellation)
            await until(lambda: constellation.tasks["a"].status is TaskStatus.RUNNING)
            house.device().unplug()
            await until(lambda: constellation.tasks["a"].status is TaskStatus.PENDING)
            constellation.add_task(TaskStar("x", description="x"))
            constellation.add_dependency(link("a>x"))
            constellation.tasks["x"].priority = TaskPriority.HIGH
            constellation.tasks["x"].target_device_id = "d1"
            house.device().plug_in()
        assert house.slots_are_free()
    assert statuses(constellation) == {"a": "completed", "x": "completed"}


class TestByAConditionThatIsAsked:
    async def test_what_an_editor_may_still_save_is_not_skipped_by_what_the_condition_ends(self) -> None:
        constellation = plan("a b c other", "a>b", "c1")

        def end_another(payload: Any) -> bool:
            constellation.mark_task_completed("other", True)
            return True

        constellation.add_dependency(conditional("a", "c", end_another))
        async with study() as house:
            house.transport.script("a", takes(1, RuntimeError("no")))
            house.transport.script("other", hang)
            with house.synchronizer.editor("c1"):
                async with house.running(constellation):
                    await anyio.sleep(2)
                    assert statuses(constellation) == {
                        "a": "failed",
                        "b": "pending",
                        "c": "pending",
                        "other": "completed",
                    }
                    await answer(house, "a", "other")
                    await anyio.sleep(2)
                    await answer(house, "c")
        assert statuses(constellation)["b"] == "skipped"

    async def test_nor_when_it_is_asked_in_the_middle_of_an_edit(self) -> None:
        constellation = plan("a b other follower", "other>follower", "c1")

        def end_another(payload: Any) -> bool:
            constellation.mark_task_completed("other", False, error=RuntimeError("by hand"))
            return True

        async with study() as house:
            house.transport.script("b", takes(9))
            house.transport.script("other", hang)
            house.synchronizer.set_hold_scope("footprint")
            with house.synchronizer.editor("c1"):
                async with house.running(constellation):
                    await anyio.sleep(2)
                    async with house.synchronizer.edit("c1") as draft:
                        draft.add_task(TaskStar("new", description="new"))
                        draft.add_dependency(conditional("a", "new", end_another))
                    assert statuses(constellation)["follower"] == "pending"
                    await answer(house, "a", "other")
                    assert statuses(constellation)["other"] == "failed"
                    await anyio.sleep(10)
                    await answer(house, "b", "new")
        assert statuses(constellation)["follower"] == "skipped"

    async def test_an_edit_stands_whose_condition_takes_out_what_it_has_changed(self) -> None:
        constellation = plan("a b c d", "b>c b>d", "c1")

        def take_out(payload: Any) -> bool:
            constellation.remove_task("c")
            return True

        async with study() as house:
            house.transport.script("b", takes(5))
            async with house.running(constellation):
                await anyio.sleep(2)
                async with house.synchronizer.edit("c1") as draft:
                    draft.update_task("c", description="changed")
                    draft.add_dependency(conditional("a", "d", take_out))
        assert [kind for kind, _ in house.edits(EventType.EDIT_COMMITTED)] == ["edit_committed"]
        assert statuses(constellation) == {"a": "completed", "b": "completed", "d": "completed"}

    def test_what_one_condition_let_run_and_the_next_took_out_is_not_ready(self) -> None:
        constellation = plan("a b c")
        answers = iter([False, False, True, False])

        def second(payload: Any) -> bool:
            said = next(answers)
            if constellation.tasks["b"].is_ready_to_execute:
                constellation.remove_task("b")
            return said

        constellation.add_dependency(conditional("a", "b", lambda payload: next(answers)))
        constellation.add_dependency(conditional("a", "c", second))
        task = constellation.tasks["a"]
        constellation.begin(task, 1.0)
        constellation.end(task, TaskStatus.COMPLETED, None, None, 2.0, withhold=True)
        ready, skipped = constellation.judge_withheld(list(constellation._withheld), 3.0)
        assert (list(ready), [one.task_id for one in skipped]) == ([], ["c"])

    @pytest.mark.parametrize(("kind", "expected"), [("success_only", "pending"), ("conditional", "skipped")])
    def test_a_link_that_its_own_condition_changes_is_judged_as_it_is_then(self, kind: str, expected: str) -> None:
        constellation = plan("a b")

        def change(payload: Any) -> bool:
            line.dependency_type = DependencyType(kind)
            return False

        line = conditional("a", "b", change)
        constellation.add_dependency(line)
        constellation.mark_task_completed("a", True)
        assert statuses(constellation)["b"] == expected
        assert graph_problems(constellation) == []

    def test_a_condition_that_is_another_one_each_time_is_not_asked_for_ever(self) -> None:
        constellation: TaskConstellation = plan("a b")
        asked: list[int] = []

        def change(number: int) -> bool:
            asked.append(number)
            line.condition_evaluator = lambda payload: change(number + 1)
            return False

        line = conditional("a", "b", lambda payload: change(0))
        constellation.add_dependency(line)
        constellation.mark_task_completed("a", True)
        assert statuses(constellation)["b"] == "skipped"
        assert asked == list(range(10))
