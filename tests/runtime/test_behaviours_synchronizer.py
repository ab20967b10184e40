"""The modification synchronizer: the facts that callers of its API rely on, and rows 25 to 30 of the table."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Any
from unittest import mock

import anyio
import pytest
import trio
from attrs import evolve

from galaxy_core import (
    Completed,
    ConstellationEvent,
    ConstellationModificationSynchronizer,
    Event,
    EventBus,
    EventType,
    TaskConstellation,
    TaskConstellationOrchestrator,
    TaskEvent,
    TaskPriority,
    TaskStar,
    TaskStatus,
)
from galaxy_core.runtime.modifications import REMEMBERED
from galaxy_core.testing.fakes import hang, takes

from .fakes import Rig, link, plan, rig, until

pytestmark = pytest.mark.anyio


def alone(**options: Any) -> ConstellationModificationSynchronizer:
    return ConstellationModificationSynchronizer(TaskConstellationOrchestrator(event_bus=EventBus()), **options)


def ended(task_id: str, constellation_id: str | None = "c1", kind: EventType = EventType.TASK_COMPLETED) -> TaskEvent:
    data = {} if constellation_id is None else {"constellation_id": constellation_id}
    return TaskEvent(kind, "test", 0.0, data, task_id, kind.value.removeprefix("task_"))


def modified(on_task_id: Any, constellation_id: str = "c1", **data: Any) -> ConstellationEvent:
    if on_task_id is not None:
        data["on_task_id"] = on_task_id
    return ConstellationEvent(EventType.CONSTELLATION_MODIFIED, "agent", 0.0, data, constellation_id, "executing", None)


def started(constellation: TaskConstellation) -> ConstellationEvent:
    data = {"constellation": constellation}
    return ConstellationEvent(
        EventType.CONSTELLATION_STARTED, "test", 0.0, data, constellation.constellation_id, "executing"
    )


class TestRegistering:
    @pytest.mark.parametrize("kind", [EventType.TASK_COMPLETED, EventType.TASK_FAILED])
    async def test_the_end_of_a_task_is_pending_until_it_is_answered(self, kind: EventType) -> None:
        synchronizer = alone()
        await synchronizer.on_event(ended("a", kind=kind))
        assert synchronizer.has_pending_modifications()
        assert (synchronizer.get_pending_count(), synchronizer.get_pending_task_ids()) == (1, ["a"])
        await synchronizer.on_event(modified(["a"]))
        assert not synchronizer.has_pending_modifications()
        assert synchronizer.get_statistics() == {
            "total_modifications": 1,
            "completed_modifications": 1,
            "timeout_modifications": 0,
        }

    async def test_an_end_is_registered_once(self) -> None:
        synchronizer = alone()
        await synchronizer.on_event(ended("a"))
        await synchronizer.on_event(ended("a"))
        assert (synchronizer.get_pending_count(), synchronizer.get_statistics()["total_modifications"]) == (1, 1)

    async def test_what_says_no_constellation_is_not_registered(self) -> None:
        synchronizer = alone()
        await synchronizer.on_event(ended("a", None))
        await synchronizer.on_event(TaskEvent(EventType.TASK_STARTED, "t", 0.0, {"constellation_id": "c1"}, "a", "x"))
        assert not synchronizer.has_pending_modifications()

    async def test_equal_task_ids_of_two_constellations_never_meet(self) -> None:  # row 25
        synchronizer = alone()
        await synchronizer.on_event(ended("a", "one"))
        await synchronizer.on_event(ended("a", "two"))
        assert synchronizer.get_pending_count() == 2
        await synchronizer.on_event(modified(["a"], "two"))
        assert synchronizer.get_pending_count() == 1
        assert synchronizer.get_statistics()["completed_modifications"] == 1

    async def test_one_string_is_one_id(self) -> None:  # row 26
        synchronizer = alone()
        await synchronizer.on_event(ended("task_1"))
        await synchronizer.on_event(modified("task_1"))
        assert not synchronizer.has_pending_modifications()

    async def test_one_answer_can_be_for_several(self) -> None:
        synchronizer = alone()
        for task_id in ("a", "b", "c"):
            await synchronizer.on_event(ended(task_id))
        await synchronizer.on_event(modified(["a", "c", "unknown"]))
        assert synchronizer.get_pending_task_ids() == ["b"]

    async def test_an_answer_without_task_ids_completes_nothing_and_is_warned_of(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        synchronizer = alone()
        await synchronizer.on_event(ended("a"))
        await synchronizer.on_event(modified(None))
        assert synchronizer.get_pending_task_ids() == ["a"]
        assert "on_task_id" in caplog.text

    async def test_whatever_is_wrong_with_an_event_is_logged_and_not_raised(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        synchronizer = alone()
        await synchronizer.on_event(ended("a"))
        await synchronizer.on_event(modified(5))
        await synchronizer.on_event(modified([["unhashable"]]))
        assert synchronizer.refused_modifications == 2
        broken: Any = "no mapping"
        await synchronizer.on_event(evolve(modified("a"), data=broken))
        assert synchronizer.get_pending_task_ids() == ["a"]
        assert "could not handle constellation_modified" in caplog.text

    async def test_an_answer_by_a_copy_with_an_id_of_its_own_finds_who_waits_for_it(self) -> None:
        synchronizer = alone()
        await synchronizer.on_event(ended("a", "c1"))
        fresh = plan("a b", constellation_id="built afresh")
        await synchronizer.on_event(modified(["a"], "built afresh", new_constellation=fresh))
        assert not synchronizer.has_pending_modifications()

    async def test_the_current_constellation_is_the_one_that_started_last(self) -> None:
        synchronizer, constellation = alone(), plan("a")
        assert synchronizer.get_current_constellation() is None
        await synchronizer.on_event(started(constellation))
        assert synchronizer.get_current_constellation() is constellation

    async def test_the_orchestrator_may_be_a_mock(self) -> None:
        synchronizer = ConstellationModificationSynchronizer(mock.Mock())
        await synchronizer.on_event(ended("a"))
        assert await synchronizer.wait_for_pending_modifications(1) is False
        await synchronizer.on_event(ended("b"))
        await synchronizer.on_event(modified(["b"], new_constellation=plan("b", constellation_id="c1")))
        assert not synchronizer.has_pending_modifications()

    async def test_a_logger_of_ones_own_is_used(self) -> None:
        logger = mock.Mock(spec=logging.Logger)
        synchronizer = alone(logger=logger)
        await synchronizer.on_event(modified(None))
        assert logger.warning.called


class TestWaiting:
    async def test_nothing_pending_is_true_at_once(self) -> None:
        assert await alone().wait_for_pending_modifications() is True

    async def test_it_waits_for_answers_and_for_those_that_come_up_meanwhile(self) -> None:
        synchronizer = alone()
        await synchronizer.on_event(ended("a"))

        async def answer() -> None:
            await anyio.sleep(10)
            await synchronizer.on_event(ended("b"))
            await synchronizer.on_event(modified(["a"]))
            await anyio.sleep(10)
            await synchronizer.on_event(modified(["b"]))

        async with anyio.create_task_group() as group:
            group.start_soon(answer)
            assert await synchronizer.wait_for_pending_modifications() is True
            assert anyio.current_time() == pytest.approx(20)

    async def test_any_number_may_wait(self) -> None:
        synchronizer = alone()
        await synchronizer.on_event(ended("a"))
        answers: list[bool] = []

        async def wait() -> None:
            answers.append(await synchronizer.wait_for_pending_modifications())

        async with anyio.create_task_group() as group:
            for _ in range(5):
                group.start_soon(wait)
            await anyio.sleep(1)
            await synchronizer.on_event(ended("b"))
            await anyio.sleep(1)
            await synchronizer.on_event(modified(["a"]))
            await synchronizer.on_event(modified(["b"]))
        assert answers == [True] * 5
        assert anyio.current_time() == pytest.approx(2)

    async def test_a_wait_that_times_out_is_false_counted_and_gives_up(self) -> None:  # row 27
        synchronizer = alone()
        await synchronizer.on_event(ended("a"))
        assert await synchronizer.wait_for_pending_modifications(timeout=30) is False
        assert anyio.current_time() == pytest.approx(30)
        assert not synchronizer.has_pending_modifications()
        assert synchronizer.get_statistics()["timeout_modifications"] == 1

    async def test_zero_means_do_not_wait(self) -> None:  # row 27
        synchronizer = alone()
        assert await synchronizer.wait_for_pending_modifications(0) is True
        await synchronizer.on_event(ended("a"))
        before = anyio.current_time()
        assert await synchronizer.wait_for_pending_modifications(0) is False
        assert anyio.current_time() == before

    async def test_each_modification_times_out_by_itself_after_600_seconds(self) -> None:
        synchronizer = alone()
        await synchronizer.on_event(ended("a"))
        await anyio.sleep(100)
        await synchronizer.on_event(ended("b"))
        await anyio.sleep(499)
        assert synchronizer.get_pending_task_ids() == ["a", "b"]
        await anyio.sleep(2)
        assert synchronizer.get_pending_task_ids() == ["b"]
        await anyio.sleep(100)
        assert synchronizer.get_pending_count() == 0
        assert synchronizer.get_statistics()["timeout_modifications"] == 2

    async def test_the_timeout_can_be_set(self) -> None:
        synchronizer = alone()
        synchronizer.set_modification_timeout(1800.0)
        await synchronizer.on_event(ended("a"))
        assert await synchronizer.wait_for_pending_modifications() is False
        assert anyio.current_time() == pytest.approx(1800)

    @pytest.mark.parametrize("timeout", [0, -5])
    def test_a_timeout_is_positive(self, timeout: float) -> None:
        with pytest.raises(ValueError, match="Timeout must be positive"):
            alone().set_modification_timeout(timeout)

    async def test_clearing_leaves_the_statistics_alone(self) -> None:
        synchronizer = alone()
        await synchronizer.on_event(ended("a"))
        synchronizer.clear_pending_modifications()
        assert not synchronizer.has_pending_modifications()
        assert synchronizer.get_statistics() == {
            "total_modifications": 1,
            "completed_modifications": 0,
            "timeout_modifications": 0,
        }

    async def test_no_timer_leaks(self, anyio_backend_name: str) -> None:  # row 27
        def tasks() -> int:
            if anyio_backend_name == "asyncio":
                return len(asyncio.all_tasks())
            return trio.lowlevel.current_statistics().tasks_living

        synchronizer = alone()
        before = tasks()
        for number in range(50):
            await synchronizer.on_event(ended(f"t{number}"))
            await anyio.sleep(1)
            await synchronizer.on_event(modified([f"t{number}"]))
        await anyio.sleep(1)
        assert tasks() == before


class TestMerging:
    def test_without_a_proposal_it_is_the_orchestrators_object(self) -> None:
        constellation = plan("a")
        assert alone().merge_and_sync_constellation_states(constellation) is constellation

    async def merged(
        self, live: TaskConstellation, proposed: TaskConstellation
    ) -> tuple[TaskConstellation, TaskConstellation]:
        synchronizer = alone()
        await synchronizer.on_event(started(live))
        await synchronizer.on_event(modified(["a"], new_constellation=proposed))
        return synchronizer.merge_and_sync_constellation_states(orchestrator_constellation=live), proposed

    async def test_outside_of_a_run_the_editors_object_is_brought_up_to_date_and_returned(self) -> None:
        live = plan("a b", "a>b", constellation_id="c1")
        live.mark_task_completed("a", True, "result of a")
        found, proposed = await self.merged(live, plan("a b c", "a>b b>c", constellation_id="c1"))
        assert found is proposed
        assert (found.tasks["a"].status, found.tasks["a"].result) == (TaskStatus.COMPLETED, "result of a")
        assert [task.task_id for task in found.get_ready_tasks()] == ["b"]

    @pytest.mark.parametrize(
        ("live", "proposed", "expected"),
        [
            ("completed", "pending", "completed"),
            ("running", "pending", "running"),
            ("failed", "pending", "failed"),
            ("cancelled", "pending", "cancelled"),
            ("pending", "running", "running"),
            ("pending", "completed", "completed"),
            ("completed", "failed", "failed"),
            ("failed", "completed", "completed"),
            ("running", "completed", "completed"),
        ],
    )
    async def test_of_each_task_the_more_advanced_state_counts(self, live: str, proposed: str, expected: str) -> None:
        one, other = plan("a", constellation_id="c1"), plan("a", constellation_id="c1")
        bring(one, live)
        bring(other, proposed)
        found, _ = await self.merged(one, other)
        assert found.tasks["a"].status == expected

    async def test_what_has_started_is_never_dropped(self) -> None:  # row 28
        live = plan("a b c", "a>b", constellation_id="c1")
        live.mark_task_completed("a", True, "kept")
        live.tasks["b"].start_execution()
        found, _ = await self.merged(live, plan("d", constellation_id="c1"))
        assert sorted(found.tasks) == ["a", "b", "d"]
        assert found.tasks["a"].result == "kept"
        assert found.tasks["b"].status is TaskStatus.RUNNING
        assert [line.from_task_id for line in found.get_task_dependencies("b")] == ["a"]

    async def test_retry_counters_and_times_come_along(self) -> None:  # row 28
        live = plan("a", constellation_id="c1", retry_count=3)
        task = live.tasks["a"]
        for _ in range(2):
            task.start_execution()
            task.complete_with_failure(ValueError("no"))
            task.retry()
        task.start_execution()
        found, _ = await self.merged(live, plan("a", constellation_id="c1", retry_count=3))
        merged = found.tasks["a"]
        assert (merged.attempts, merged.to_dict()["current_retry"]) == (3, 2)
        assert merged.execution_start_time == task.execution_start_time


def bring(constellation: TaskConstellation, status: str) -> None:
    task = constellation.tasks["a"]
    if status != "pending":
        task.start_execution()
    if status == "completed":
        task.complete_with_success("done")
    elif status == "failed":
        task.complete_with_failure(ValueError("no"))
    elif status == "cancelled":
        task.cancel()


Edit = Callable[[TaskConstellation], TaskConstellation | None]


class Agent:
    """An editor as the API document knows it: it hears of an end, thinks, and publishes what it wants."""

    def __init__(self, house: Rig, *, thinks_s: float = 5.0, edits: Mapping[str, Edit] | None = None) -> None:
        self.house, self.thinks_s, self.edits = house, thinks_s, edits or {}
        self.heard: list[str] = []
        self.silent_on: set[str] = set()

    async def on_event(self, event: Event) -> None:
        if event.event_type not in (EventType.TASK_COMPLETED, EventType.TASK_FAILED):
            return
        assert isinstance(event, TaskEvent)
        self.heard.append(event.task_id)
        await anyio.sleep(self.thinks_s)
        if event.task_id in self.silent_on:
            return
        live = event.data["constellation"]
        edit = self.edits.get(event.task_id)
        new = edit(live) if edit is not None else None
        data: dict[str, Any] = {"on_task_id": [event.task_id]}
        if new is not None:
            data["new_constellation"] = new
        kind, state = EventType.CONSTELLATION_MODIFIED, live.state.value
        await self.house.bus.publish_event(
            ConstellationEvent(kind, "agent", 0.0, data, (new or live).constellation_id, state)
        )


def synchronize(house: Rig, *, subscribe: bool = True) -> ConstellationModificationSynchronizer:
    synchronizer = ConstellationModificationSynchronizer(house.orchestrator)
    house.orchestrator.set_modification_synchronizer(synchronizer)
    if subscribe:
        house.bus.subscribe(synchronizer)
    return synchronizer


def rebuilt(live: TaskConstellation, tasks: str, links: str = "") -> TaskConstellation:
    return plan(tasks, links, live.constellation_id)


class TestInARun:
    async def test_with_an_editor_each_step_waits_for_its_answer(self) -> None:  # row 29
        async with rig() as house:
            synchronizer = synchronize(house)
            house.bus.subscribe(Agent(house, thinks_s=5))
            constellation = plan("a b c", "a>b b>c")
            with synchronizer.editor(constellation.constellation_id):
                result = await house.run(constellation)
            assert anyio.current_time() == pytest.approx(15)
        assert result["status"] == "completed"
        assert synchronizer.get_statistics() == {
            "total_modifications": 3,
            "completed_modifications": 3,
            "timeout_modifications": 0,
        }

    async def test_without_an_editor_nothing_is_awaited_and_that_is_said_once(  # row 29
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.INFO, "galaxy_core")
        async with rig() as house:
            synchronizer = synchronize(house)
            before = anyio.current_time()
            await house.run(plan("a b c", "a>b b>c"))
            assert anyio.current_time() == before
        assert not synchronizer.has_pending_modifications()
        assert caplog.text.count("no editor is registered") == 1

    async def test_who_has_answered_once_is_an_editor_from_then_on(self) -> None:
        async with rig() as house:
            synchronizer = synchronize(house)
            agent = Agent(house, thinks_s=0)
            house.bus.subscribe(agent)
            house.transport.default = takes(1)
            await house.run(plan("a b c", "a>b b>c"))
        assert synchronizer.get_statistics()["total_modifications"] >= 2
        assert synchronizer.get_statistics()["timeout_modifications"] == 0

    async def test_an_answer_that_came_before_the_bus_brought_the_end_is_not_asked_for_again(self) -> None:
        async with rig() as house:
            synchronizer = synchronize(house, subscribe=False)
            agent = Agent(house, thinks_s=0)
            house.bus.subscribe(agent)
            house.bus.subscribe(synchronizer)
            with synchronizer.editor():
                await house.run(plan("a b", "a>b"))
            assert anyio.current_time() < 1
        assert synchronizer.get_statistics() == {
            "total_modifications": 2,
            "completed_modifications": 2,
            "timeout_modifications": 0,
        }

    async def test_while_an_answer_is_pending_nothing_new_starts_and_tasks_say_why(self) -> None:
        async with rig(slots=3) as house:
            synchronizer = synchronize(house)
            house.bus.subscribe(Agent(house, thinks_s=10))
            house.transport.script("a", takes(1))
            house.transport.script("long", takes(3))
            constellation = plan("a b long c", "a>b long>c", constellation_id="c1")
            with synchronizer.editor("c1"):
                async with anyio.create_task_group() as group:
                    group.start_soon(house.run, constellation)
                    await anyio.sleep(5)
                    assert sorted(house.device().started) == ["a", "long"]
                    assert house.orchestrator.why("b").kind == "edit"
                    assert house.orchestrator.why("c").kind == "edit"
                    assert constellation.tasks["long"].status == "completed"
        assert sorted(house.device().started) == ["a", "b", "c", "long"]

    async def test_an_edited_copy_goes_into_the_live_plan(self) -> None:
        async with rig() as house:
            synchronizer = synchronize(house)
            edit = {"a": lambda live: rebuilt(live, "a b c d", "a>b a>c c>d")}
            house.bus.subscribe(Agent(house, edits=edit))
            constellation = plan("a b x", "a>b b>x", constellation_id="c1")
            with synchronizer.editor("c1"):
                result = await house.run(constellation)
        assert list(result["results"]) == ["a", "b", "c", "d"]
        assert result["status"] == "completed"
        assert "x" not in house.device().started
        assert house.device().started.index("c") < house.device().started.index("d")

    async def test_a_copy_built_afresh_with_another_id_does_not_deadlock_the_run(self) -> None:  # row 28
        async with rig() as house:
            synchronizer = synchronize(house)
            house.bus.subscribe(Agent(house, edits={"a": lambda live: plan("a b c", "a>b b>c", "afresh")}))
            with synchronizer.editor("c1"):
                result = await house.run(plan("a b", "a>b", constellation_id="c1"))
            assert anyio.current_time() < 60
        assert list(result["results"]) == ["a", "b", "c"]
        assert result["status"] == "completed"

    async def test_a_running_task_that_the_editor_dropped_keeps_its_result(self) -> None:  # row 28
        async with rig(slots=2) as house:
            synchronizer = synchronize(house)
            house.transport.script("a", takes(1))
            house.transport.script("long", takes(60, Completed("kept")))
            house.bus.subscribe(Agent(house, edits={"a": lambda live: rebuilt(live, "a b", "a>b")}))
            with synchronizer.editor("c1"):
                result = await house.run(plan("a b long", "a>b", constellation_id="c1"))
        assert result["results"]["long"].result == "kept"
        assert result["status"] == "completed"

    async def test_an_edit_that_cannot_be_is_refused_with_its_reason_and_the_run_goes_on(self) -> None:  # row 15
        def nonsense(live: TaskConstellation) -> Any:
            return mock.Mock(constellation_id=live.constellation_id)

        async with rig() as house:
            synchronizer = synchronize(house)
            constellation = plan("a b c", "a>b b>c", constellation_id="c1")
            house.bus.subscribe(Agent(house, edits={"a": nonsense}))
            with synchronizer.editor("c1"):
                result = await house.run(constellation)
            assert anyio.current_time() < 60
        assert result["status"] == "completed"
        assert synchronizer.get_statistics()["completed_modifications"] == 3
        assert synchronizer.refused_modifications == 1
        (event,) = house.recorder.of(EventType.MODIFICATION_REFUSED)
        assert "Mock" in event.data["reason"]

    async def test_an_editor_that_never_answers_costs_its_timeout_and_no_more(self) -> None:
        async with rig(heartbeat_interval=1e6) as house:
            synchronizer = synchronize(house)
            agent = Agent(house, thinks_s=0)
            agent.silent_on = {"a"}
            house.bus.subscribe(agent)
            with synchronizer.editor("c1"):
                result = await house.run(plan("a b", "a>b", constellation_id="c1"))
            assert anyio.current_time() == pytest.approx(600)
            await house.bus.drain()
        assert result["status"] == "completed"
        assert synchronizer.get_statistics()["timeout_modifications"] == 1
        (event,) = house.recorder.of(EventType.MODIFICATION_TIMED_OUT)
        assert (event.constellation_id, event.data["on_task_id"]) == ("c1", ["a"])

    async def test_an_answer_after_its_time_is_refused_counted_and_reported(self) -> None:  # row 30
        async with rig(heartbeat_interval=1e6) as house:
            synchronizer = synchronize(house)
            synchronizer.set_modification_timeout(60)
            house.transport.script("b", takes(500))
            late = {"a": lambda live: rebuilt(live, "a b surprise", "a>b b>surprise")}
            house.bus.subscribe(Agent(house, thinks_s=100, edits=late))
            with synchronizer.editor("c1"):
                result = await house.run(plan("a b", "a>b", constellation_id="c1"))
            await house.bus.drain()
        assert list(result["results"]) == ["a", "b"]
        assert synchronizer.refused_modifications == 1
        (event,) = house.recorder.of(EventType.MODIFICATION_REFUSED)
        assert (event.constellation_id, event.data["on_task_id"]) == ("c1", ["a"])
        assert "after its time" in event.data["reason"]

    async def test_two_runs_are_edited_without_meeting(self) -> None:  # row 25
        async with rig(slots=2) as house:
            synchronizer = synchronize(house)

            def grow(live: TaskConstellation) -> None:
                live.add_task(TaskStar(f"{live.constellation_id} extra", description="x"))

            house.bus.subscribe(Agent(house, thinks_s=1, edits={"a": grow}))
            results: dict[str, Any] = {}

            async def run(constellation: TaskConstellation) -> None:
                results[constellation.constellation_id] = await house.run(constellation)

            with synchronizer.editor():
                async with anyio.create_task_group() as group:
                    group.start_soon(run, plan("a b", "a>b", constellation_id="one"))
                    group.start_soon(run, plan("a b", "a>b", constellation_id="two"))
        assert {name: sorted(result["results"]) for name, result in results.items()} == {
            "one": ["a", "b", "one extra"],
            "two": ["a", "b", "two extra"],
        }
        assert synchronizer.get_statistics()["timeout_modifications"] == 0

    async def test_one_runs_pending_answer_does_not_hold_another(self) -> None:
        async with rig(slots=2) as house:
            synchronizer = synchronize(house)
            with synchronizer.editor("edited"):
                async with anyio.create_task_group() as group:
                    group.start_soon(house.run, plan("a b", "a>b", constellation_id="edited"))
                    await until(synchronizer.has_pending_modifications)
                    free = await house.run(plan("a b c", "a>b b>c", constellation_id="free"))
                    assert anyio.current_time() < 1
                    group.cancel_scope.cancel()
        assert free["status"] == "completed"

    @pytest.mark.parametrize("how", ["cancel_execution", "host"])
    async def test_cancelling_does_not_wait_for_the_editor(self, how: str) -> None:
        async with rig() as house:
            synchronizer = synchronize(house)
            constellation = plan("a b", "a>b", constellation_id="c1")
            with synchronizer.editor("c1"):
                async with anyio.create_task_group() as group:
                    group.start_soon(house.run, constellation)
                    await until(synchronizer.has_pending_modifications)
                    if how == "host":
                        group.cancel_scope.cancel()
                    else:
                        assert await house.orchestrator.cancel_execution("c1")
                assert anyio.current_time() < 1
                assert not synchronizer.has_pending_modifications()
        assert [str(task.status) for task in constellation.tasks.values()] == ["completed", "cancelled"]

    async def test_the_end_of_the_last_task_is_settled_before_the_run_is_over(self) -> None:  # row 11
        def grow(live: TaskConstellation) -> None:
            live.add_task(TaskStar("more", description="x"))

        async with rig() as house:
            synchronizer = synchronize(house)
            house.bus.subscribe(Agent(house, thinks_s=20, edits={"a": grow}))
            with synchronizer.editor("c1"):
                result = await house.run(plan("a", constellation_id="c1"))
        assert list(result["results"]) == ["a", "more"]

    async def test_an_editor_that_leaves_is_no_longer_waited_for(self) -> None:
        async with rig() as house:
            synchronizer = synchronize(house)
            constellation = plan("a b", "a>b", constellation_id="c1")
            async with anyio.create_task_group() as group:
                with synchronizer.editor("c1"):
                    group.start_soon(house.run, constellation)
                    await until(synchronizer.has_pending_modifications)
            assert anyio.current_time() < 1
        assert constellation.tasks["b"].status == "completed"

    async def test_it_need_not_even_be_subscribed_when_answers_are_given_to_it_directly(self) -> None:
        async with rig() as house:
            synchronizer = synchronize(house, subscribe=False)

            class Direct:
                async def on_event(self, event: Event) -> None:
                    if isinstance(event, TaskEvent) and event.event_type is EventType.TASK_COMPLETED:
                        await synchronizer.on_event(modified([event.task_id], "c1"))

            house.bus.subscribe(Direct())
            with synchronizer.editor("c1"):
                result = await house.run(plan("a b c", "a>b b>c", constellation_id="c1"))
            assert anyio.current_time() < 1
        assert result["status"] == "completed"

    async def test_a_task_that_runs_when_an_edit_comes_is_not_disturbed(self) -> None:
        def change(live: TaskConstellation) -> TaskConstellation:
            new = rebuilt(live, "a b", "a>b")
            new.add_task(TaskStar("long", description="says something else now"))
            return new

        async with rig(slots=2) as house:
            synchronizer = synchronize(house)
            house.transport.script("a", takes(1))
            house.transport.script("long", takes(100))
            house.bus.subscribe(Agent(house, edits={"a": change}))
            constellation = plan("a b long", "a>b", constellation_id="c1")
            with synchronizer.editor("c1"):
                await house.run(constellation)
        assert constellation.tasks["long"].description == "do long"
        assert house.device().started.count("long") == 1

    async def test_a_device_that_hangs_and_an_editor_that_waits_still_end(self) -> None:
        async with rig(slots=2, heartbeat_interval=1e6) as house:
            synchronizer = synchronize(house)
            house.transport.script("hangs", hang)
            house.bus.subscribe(Agent(house, thinks_s=1))
            constellation = plan("a hangs", timeout=300, constellation_id="c1")
            with synchronizer.editor("c1"):
                result = await house.run(constellation)
        assert result["status"] == "partially_failed"

    async def test_what_was_held_goes_on_by_priority(self) -> None:
        async with rig() as house:
            synchronizer = synchronize(house)
            house.bus.subscribe(Agent(house))
            constellation = plan("a low", "a>low", constellation_id="c1")
            constellation.add_task(TaskStar("high", description="x", priority=TaskPriority.HIGH))
            constellation.add_dependency(link("a>high"))
            with synchronizer.editor("c1"):
                await house.run(constellation)
        assert house.device().started == ["a", "high", "low"]

    async def test_an_answer_to_a_cancelled_run_is_refused(self) -> None:
        async with rig() as house:
            synchronizer = synchronize(house)
            constellation = plan("a b", "a>b", constellation_id="c1")
            with synchronizer.editor("c1"):
                async with anyio.create_task_group() as group:
                    group.start_soon(house.run, constellation)
                    await until(synchronizer.has_pending_modifications)
                    await house.orchestrator.cancel_execution("c1")
                answer = modified(["a"], "c1", new_constellation=rebuilt(constellation, "a b c", "a>b b>c"))
                await house.bus.publish_event(answer)
        assert synchronizer.refused_modifications == 1
        assert sorted(constellation.tasks) == ["a", "b"]

    async def test_a_task_that_completes_although_it_was_cancelled_has_no_editor_waited_for(self) -> None:
        async def stubborn(attempt: Any) -> Completed:
            with anyio.CancelScope(shield=True):
                await anyio.sleep(5)
            return Completed("made it")

        async with rig() as house:
            synchronizer = synchronize(house)
            house.transport.script("a", stubborn)
            constellation = plan("a b", "a>b", constellation_id="c1")
            with synchronizer.editor("c1"):
                async with anyio.create_task_group() as group:
                    group.start_soon(house.run, constellation)
                    await until(lambda: house.device().running)
                    await house.orchestrator.cancel_execution("c1")
                assert anyio.current_time() < 10
        assert constellation.tasks["a"].result.result == "made it"
        assert constellation.tasks["b"].status == "cancelled"


def kept(synchronizer: ConstellationModificationSynchronizer) -> int:
    """How many things it holds, in whatever containers."""
    found = 0
    for value in vars(synchronizer).values():
        if isinstance(value, (dict, set, list)):
            inside = value.values() if isinstance(value, dict) else value
            found += len(value) + sum(len(one) for one in inside if isinstance(one, (dict, set, list, tuple)))
    return found


class TestALongLife:
    @pytest.mark.parametrize("how", ["answered", "timed out", "answered late", "cancelled", "unedited", "by hand"])
    async def test_what_is_kept_of_constellations_that_are_over_does_not_grow(self, how: str) -> None:
        sizes = []
        async with rig(heartbeat_interval=1e9) as house:
            synchronizer = synchronize(house)
            agent = Agent(house, thinks_s=2 if how == "answered late" else 0)
            if how in ("answered", "answered late"):
                house.bus.subscribe(agent, {EventType.TASK_COMPLETED})
            for number in range(3 * REMEMBERED):
                synchronizer.set_modification_timeout(1)
                name = f"c{number}"
                constellation = plan("a b", "a>b", constellation_id=name)
                if how == "by hand":
                    await synchronizer.on_event(ended("a", name))
                    await synchronizer.on_event(modified(["a"], name, new_constellation=constellation))
                    await synchronizer.on_event(ended("b", name))
                    synchronizer.clear_pending_modifications()
                elif how == "unedited":
                    await house.run(constellation)
                elif how == "cancelled":
                    with synchronizer.editor(name):
                        async with anyio.create_task_group() as group:
                            group.start_soon(house.run, constellation)
                            await until(synchronizer.has_pending_modifications)
                            await house.orchestrator.cancel_execution(name)
                else:
                    with synchronizer.editor(name):
                        await house.run(constellation)
                    await house.bus.drain()
                sizes.append(kept(synchronizer))
        assert sizes[-1] <= sizes[REMEMBERED]
        assert not synchronizer.has_pending_modifications()

    async def test_a_run_goes_on_however_many_others_have_come_and_gone_meanwhile(self) -> None:
        async with rig(slots=2, heartbeat_interval=1e9) as house:
            synchronizer = synchronize(house)
            synchronizer.set_modification_timeout(1)
            house.transport.script("a", takes(10))
            constellation = plan("first a b", "first>a a>b", constellation_id="long")
            with synchronizer.editor("long"):
                async with anyio.create_task_group() as group:
                    group.start_soon(house.run, constellation)
                    await until(lambda: "a" in house.device().running)  # nobody answered for `first` in time
                    for number in range(2 * REMEMBERED):
                        await house.run(plan("x", constellation_id=f"c{number}"))
                    late = modified(["first"], "long", new_constellation=rebuilt(constellation, "first a b c"))
                    await house.bus.publish_event(late)
        assert synchronizer.refused_modifications == 1
        assert sorted(constellation.tasks) == ["a", "b", "first"]
        assert synchronizer.get_statistics()["total_modifications"] == 3  # the bus told none of them again

    async def test_who_has_answered_before_a_run_is_its_editor_however_many_others_run_meanwhile(self) -> None:
        async with rig(slots=2, heartbeat_interval=1e9) as house:
            synchronizer = synchronize(house)
            await house.bus.publish_event(modified(["any"], "long"))
            house.transport.script("a", takes(10))
            async with anyio.create_task_group() as group:
                group.start_soon(house.run, plan("a b", "a>b", constellation_id="long"))
                for number in range(2 * REMEMBERED):
                    await house.run(plan("x", constellation_id=f"c{number}"))
                await until(synchronizer.has_pending_modifications)
                assert synchronizer.get_pending_task_ids() == ["a"]
                synchronizer.clear_pending_modifications()

    async def test_who_answers_after_the_run_is_over_is_no_editor_of_the_next_one(self) -> None:
        async with rig(heartbeat_interval=1e9) as house:
            synchronizer = synchronize(house)
            constellation = plan("a", constellation_id="c1")
            synchronizer.set_modification_timeout(1)
            with synchronizer.editor("c1"):
                await house.run(constellation)
            await house.bus.publish_event(modified(["a"], "c1"))
            assert synchronizer.refused_modifications == 1
            before = anyio.current_time()
            await house.run(plan("a", constellation_id="c1"))
            assert anyio.current_time() == before
