"""What the orchestrator does where the first implementation of its API broke its word, and what it keeps of it.

The numbers are rows of the table of behaviours: results (1-3), links (4-6), retries, deadlines and lanes (7, 8),
cancelling (9), runs of their own (10, 12), one live plan (11, 15), events (13), checks before anything starts (14).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import anyio
import pytest
import trio

from galaxy_core import (
    Completed,
    ConditionError,
    ConstellationModificationSynchronizer,
    ConstellationState,
    Device,
    DeviceLostError,
    Event,
    EventBus,
    EventType,
    ExecutionResult,
    InvalidPlanError,
    NoDevicesError,
    RetryPolicy,
    RunError,
    TaskCancelledError,
    TaskConstellation,
    TaskConstellationOrchestrator,
    TaskFailedError,
    TaskPriority,
    TaskSkippedError,
    TaskStar,
    TaskStarLine,
    TaskStatus,
    TaskTimeoutError,
)
from galaxy_core.testing.fakes import Recorder, hang, takes

from .fakes import DeviceInfo, ForeignManager, Rig, link, plan, rig, until

pytestmark = pytest.mark.anyio
FINAL = (
    EventType.CONSTELLATION_COMPLETED,
    EventType.CONSTELLATION_FAILED,
    EventType.CONSTELLATION_CANCELLED,
)
DEVICE = (EventType.DEVICE_CONNECTED, EventType.DEVICE_DISCONNECTED, EventType.DEVICE_STATUS_CHANGED)


class TestResults:  # rows 1 to 3
    async def test_a_run_returns_the_result_of_each_task_by_its_id(self) -> None:
        async with rig() as house:
            house.transport.script("a", Completed("payload", 0, "out", "err", metadata={"k": 1}))
            result = await house.run(plan("a b", "a>b"))
        assert list(result) == ["results", "status", "total_tasks", "statistics"]
        assert list(result["results"]) == ["a", "b"]
        a = result["results"]["a"]
        assert (a.status, a.result, a.exit_code, a.stdout, a.stderr) == ("completed", "payload", 0, "out", "err")
        assert (a.device_id, a.attempts, a.metadata) == ("d1", 1, {"k": 1})
        assert a.execution_time is not None
        assert result["total_tasks"] == 2
        assert result["statistics"]["task_status_counts"] == {"completed": 2}

    @pytest.mark.parametrize(
        ("failing", "status", "event"),
        [
            ([], "completed", EventType.CONSTELLATION_COMPLETED),
            (["a"], "partially_failed", EventType.CONSTELLATION_FAILED),
            (["a", "b"], "failed", EventType.CONSTELLATION_FAILED),
        ],
    )
    async def test_the_status_and_the_last_event_say_how_it_went(
        self, failing: list[str], status: str, event: EventType
    ) -> None:
        async with rig() as house:
            for task_id in failing:
                house.transport.script(task_id, Completed(exit_code=1))
            result = await house.run(plan("a b"))
        assert result["status"] == status
        last = house.recorder.of(*FINAL)
        assert [(one.event_type, one.constellation_state) for one in last] == [(event, status)]

    async def test_a_cancelled_run_is_cancelled_and_says_so(self) -> None:
        async with rig() as house:
            house.transport.script("a", hang)
            result = await cancelled(house, plan("a"))
        assert result["status"] == "cancelled"
        assert [event.event_type for event in house.recorder.of(*FINAL)] == [EventType.CONSTELLATION_CANCELLED]

    async def test_an_empty_plan_completes_at_once(self) -> None:
        async with rig() as house:
            result = await house.run(TaskConstellation("nothing"))
        assert (result["status"], result["results"], result["total_tasks"]) == ("completed", {}, 0)
        assert house.recorder.story(*DEVICE) == ["constellation_started", "constellation_completed"]

    async def test_task_results_are_whole_execution_results(self) -> None:
        async with rig() as house:
            constellation = plan("a")
            result = await house.run(constellation)
        task = constellation.tasks["a"]
        assert isinstance(task.result, ExecutionResult)
        assert task.result is result["results"]["a"]

    async def test_silencing_the_log_changes_nothing(self, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.DEBUG, "galaxy_core")
        async with rig(enable_logging=False) as house:
            silent = TaskConstellationOrchestrator(house.manager, enable_logging=False, event_bus=house.bus)
            house.transport.script("b", Completed(error="no"))
            result = await silent.orchestrate_constellation(plan("a b"), assignment_strategy="round_robin")
        assert {task_id: str(one.status) for task_id, one in result["results"].items()} == {
            "a": "completed",
            "b": "failed",
        }
        assert caplog.records == []

    async def test_what_goes_wrong_is_silenced_too(
        self, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
    ) -> None:
        async with rig(enable_logging=False, max_retries=0) as house:
            silent = TaskConstellationOrchestrator(house.manager, enable_logging=False, event_bus=house.bus)
            house.transport.script("a", DeviceLostError("d1", "cable"))
            result = await silent.orchestrate_constellation(plan("a b"), device_assignments={"a": "d1", "b": "d1"})
        assert [str(one.status) for one in result["results"].values()] == ["unknown", "failed"]
        assert (caplog.records, capsys.readouterr().err) == ([], "")

    async def test_the_error_of_a_failed_task_stands_on_the_task_the_event_and_the_result(self) -> None:
        boom = KeyError("the device's own")
        async with rig() as house:
            house.transport.script("raises", boom)
            house.transport.script("says", Completed(error="no such file", exit_code=2, stderr="oops"))
            house.transport.script("exits", Completed(exit_code=3, stdout="half"))
            constellation = plan("raises says exits")
            result = await house.run(constellation)
        assert constellation.tasks["raises"].error is boom
        for task_id in ("raises", "says", "exits"):
            error = constellation.tasks[task_id].error
            assert error is not None
            (event,) = [one for one in house.recorder.of(EventType.TASK_FAILED) if one.task_id == task_id]
            assert event.error is error
            assert result["results"][task_id].error is error
            assert event.result is result["results"][task_id]
        exits = constellation.tasks["exits"].error
        assert isinstance(exits, TaskFailedError)
        assert exits.exit_code == 3
        assert result["results"]["exits"].stdout == "half"
        assert (result["results"]["says"].stderr, str(result["results"]["says"].error)) == ("oops", "no such file")


class Turns(trio.abc.Instrument):
    """Counts how often the event loop of this test looks for something to do: under virtual time, that costs nothing else."""

    def __init__(self) -> None:
        self.count = 0
        try:
            loop: Any = asyncio.get_running_loop()
        except RuntimeError:
            trio.lowlevel.add_instrument(self)
        else:
            self._select, loop.select = loop.select, self._counted

    def before_io_wait(self, timeout: float) -> None:
        self.count += 1

    def _counted(self, timeout: float | None) -> list[Any]:
        self.count += 1
        found: list[Any] = self._select(timeout)
        return found


class TestLinks:  # rows 4 to 6
    async def test_what_waits_for_a_failed_task_is_skipped_with_the_cause_all_the_way_down(self) -> None:
        async with rig() as house:
            house.transport.script("a", Completed(exit_code=1))
            constellation = plan("a b c d e", "a>b b>c c~d d>e")
            result = await house.run(constellation)
        assert {task_id: str(one.status) for task_id, one in result["results"].items()} == {
            "a": "failed",
            "b": "skipped",
            "c": "skipped",
            "d": "completed",
            "e": "completed",
        }
        causes = {task_id: constellation.tasks[task_id].error for task_id in ("b", "c")}
        assert isinstance(causes["b"], TaskSkippedError)
        assert causes["b"].cause_id == "a"
        assert isinstance(causes["c"], TaskSkippedError)
        assert causes["c"].cause_id == "b"
        assert house.device().started == ["a", "d", "e"]

    async def test_skipped_tasks_have_events_with_their_cause(self) -> None:
        async with rig() as house:
            house.transport.script("a", Completed(exit_code=1))
            await house.run(plan("a b", "a>b"))
        (event,) = house.recorder.of(EventType.TASK_SKIPPED)
        assert (event.task_id, event.status) == ("b", "skipped")
        assert isinstance(event.error, TaskSkippedError)
        assert "'a'" in event.data["cause"]

    async def test_an_unmet_condition_skips_and_the_run_ends_without_waiting(self) -> None:
        async with rig() as house:
            constellation = plan("a b c d", "b>c b~d")
            constellation.add_dependency(TaskStarLine.create_conditional("a", "b", "never", lambda value: False))
            before = anyio.current_time()
            result = await house.run(constellation)
            assert anyio.current_time() == before
        assert [str(one.status) for one in result["results"].values()] == [
            "completed",
            "skipped",
            "skipped",
            "completed",
        ]
        causes = [result["results"][task_id].error for task_id in ("b", "c")]
        assert [getattr(cause, "cause_id", None) for cause in causes] == ["a", "b"]
        assert "never" in str(causes[0])

    async def test_nothing_polls_while_a_task_runs(self) -> None:
        async def turns_of_the_event_loop(seconds: float) -> int:
            async with rig(heartbeat_interval=1e6) as house:
                house.transport.script("a", takes(seconds))
                before = turns.count
                await house.run(plan("a b c", "a>b"))
                return turns.count - before

        turns = Turns()
        assert await turns_of_the_event_loop(5000) <= await turns_of_the_event_loop(5) + 5

    async def test_nothing_polls_while_an_answer_is_awaited_or_a_task_backs_off(self) -> None:
        async def turns_of_the_event_loop(seconds: float) -> int:
            async with rig(heartbeat_interval=1e6) as house:
                house.transport.script("a", Completed(exit_code=1), Completed())
                synchronizer = ConstellationModificationSynchronizer(house.orchestrator)
                synchronizer.set_modification_timeout(seconds)
                house.orchestrator.set_modification_synchronizer(synchronizer)
                policy = RetryPolicy(backoff_s=seconds, max_backoff_s=seconds, jitter=0)
                before, start = turns.count, anyio.current_time()
                with synchronizer.editor():
                    await house.run(plan("a b", "a>b", retry_count=1, retry=policy))
                assert anyio.current_time() - start == pytest.approx(3 * seconds)
                return turns.count - before

        turns = Turns()
        assert await turns_of_the_event_loop(5000) <= await turns_of_the_event_loop(5) + 5

    async def test_success_with_no_value_satisfies_a_success_only_link(self) -> None:
        async with rig() as house:
            house.transport.script("a", Completed(value=None))
            result = await house.run(plan("a b", "a>b"))
        assert result["results"]["a"].result is None
        assert result["status"] == "completed"

    async def test_failure_with_a_value_does_not(self) -> None:
        async with rig() as house:
            house.transport.script("a", Completed(value="something", error=ValueError("but wrong")))
            result = await house.run(plan("a b", "a>b"))
        assert result["results"]["b"].status == "skipped"

    async def test_a_condition_sees_the_payload_and_beside_it_the_outcome(self) -> None:
        seen: list[Any] = []

        def of_payload(value: Any) -> bool:
            seen.append(value)
            return bool(value["level"] > 10)

        def of_both(value: Any, outcome: ExecutionResult) -> bool:
            seen.append((value, outcome.exit_code))
            return outcome.exit_code == 0

        async with rig() as house:
            house.transport.script("a", Completed({"level": 80}, exit_code=0))
            constellation = plan("a b c")
            constellation.add_dependency(TaskStarLine.create_conditional("a", "b", "level > 10", of_payload))
            constellation.add_dependency(TaskStarLine.create_conditional("a", "c", "exit 0", of_both))
            result = await house.run(constellation)
        assert seen == [{"level": 80}, ({"level": 80}, 0)]
        assert result["status"] == "completed"

    async def test_an_evaluator_that_raises_fails_its_link_for_all_to_see(self) -> None:
        def broken(value: Any) -> bool:
            raise LookupError("no such key")

        async with rig() as house:
            constellation = plan("a b c", "b>c")
            constellation.add_dependency(TaskStarLine.create_conditional("a", "b", "broken", broken))
            result = await house.run(constellation)
        error = result["results"]["b"].error
        assert isinstance(error, ConditionError)
        assert isinstance(error.__cause__, LookupError)
        assert result["results"]["c"].status == "skipped"
        (b, _) = house.recorder.of(EventType.TASK_SKIPPED)
        assert b.error is error
        assert "no such key" in b.data["cause"]


class TestRetriesAndDeadlines:  # row 7
    async def test_a_failing_task_is_tried_again_with_growing_waits(self) -> None:
        policy = RetryPolicy(backoff_s=10, factor=3, jitter=0)
        async with rig() as house:
            house.transport.script("a", Completed(exit_code=1), ValueError("again"), Completed("at last"))
            result = await house.run(plan("a", retry_count=2, retry=policy))
            assert anyio.current_time() == pytest.approx(10 + 30)
        assert (result["status"], result["results"]["a"].result, result["results"]["a"].attempts) == (
            "completed",
            "at last",
            3,
        )
        waits = [(event.data["wait_s"], event.data["reason"]) for event in house.recorder.of(EventType.TASK_RETRYING)]
        assert waits == [(10, "failed"), (30, "failed")]
        assert house.recorder.story_of("a") == [
            "task_started",
            "task_retrying",
            "task_started",
            "task_retrying",
            "task_started",
            "task_completed",
        ]

    async def test_waits_are_jittered_within_their_bounds(self) -> None:
        async with rig(slots=40) as house:
            constellation = plan(
                " ".join(f"t{i}" for i in range(40)), retry_count=1, retry=RetryPolicy(backoff_s=10, jitter=0.5)
            )
            for task_id in constellation.tasks:
                house.transport.script(task_id, Completed(exit_code=1), Completed())
            await house.run(constellation)
        waits = {event.data["wait_s"] for event in house.recorder.of(EventType.TASK_RETRYING)}
        assert len(waits) == 40
        assert all(5 < wait <= 10 for wait in waits)

    async def test_a_task_whose_retries_are_used_up_has_failed_with_its_last_error(self) -> None:
        last = ValueError("third")
        async with rig() as house:
            house.transport.script("a", ValueError("first"), ValueError("second"), last)
            result = await house.run(plan("a", retry_count=2))
        assert (result["results"]["a"].error, result["results"]["a"].attempts) == (last, 3)

    async def test_only_the_ends_that_the_policy_names_are_tried_again(self) -> None:
        policy = RetryPolicy(on=frozenset({"timeout"}), jitter=0)
        async with rig() as house:
            house.transport.script("fails", Completed(exit_code=1), Completed())
            house.transport.script("hangs", hang, Completed())
            result = await house.run(plan("fails hangs", retry_count=1, timeout=5, retry=policy))
        assert (result["results"]["fails"].attempts, result["results"]["hangs"].attempts) == (1, 2)

    async def test_while_a_task_backs_off_its_slot_serves_others(self) -> None:
        async with rig() as house:
            house.transport.script("a", Completed(exit_code=1), Completed())
            await house.run(plan("a b", retry_count=1, retry=RetryPolicy(backoff_s=100, jitter=0)))
        assert house.device().started == ["a", "b", "a"]

    async def test_a_deadline_holds_whatever_the_device_does(self) -> None:
        async with rig() as house:
            house.transport.script("a", hang)
            result = await house.run(plan("a b", "a~b", timeout=7.5))
            assert anyio.current_time() == pytest.approx(7.5)
        error = result["results"]["a"].error
        assert isinstance(error, TaskTimeoutError)
        assert isinstance(error, TimeoutError)
        assert error.timeout_s == 7.5
        assert (result["results"]["a"].status, result["results"]["b"].status) == ("failed", "completed")
        assert house.device().cancelled == ["a"]

    async def test_each_attempt_has_the_whole_deadline(self) -> None:
        async with rig() as house:
            house.transport.script("a", hang, takes(9))
            result = await house.run(plan("a", timeout=10, retry_count=1, retry=RetryPolicy(backoff_s=1, jitter=0)))
            assert anyio.current_time() == pytest.approx(10 + 1 + 9)
        assert result["status"] == "completed"

    async def test_deadlines_of_many_lengths_each_stop_their_own_task(self) -> None:
        async with rig(slots=4) as house:
            constellation = TaskConstellation()
            for seconds in (4, 1, 3, 2):
                constellation.add_task(TaskStar(f"t{seconds}", description="x", timeout=seconds))
                house.transport.script(f"t{seconds}", hang)
            await house.run(constellation)
        assert house.device().cancelled == ["t1", "t2", "t3", "t4"]

    async def test_the_deadline_of_a_task_that_has_ended_does_not_stop_the_next_one(self) -> None:
        async with rig() as house:
            house.transport.default = takes(6)
            constellation = TaskConstellation()
            for task_id, timeout in {"a": 10, "b": 10, "c": 20, "d": 7}.items():
                constellation.add_task(TaskStar(task_id, description="x", timeout=timeout))
            result = await house.run(constellation)
            assert anyio.current_time() == pytest.approx(24)
        assert result["status"] == "completed"

    @pytest.mark.parametrize("timeout", [0, -1])
    async def test_a_deadline_that_is_not_positive_is_refused(self, timeout: float) -> None:
        async with rig() as house:
            with pytest.raises(InvalidPlanError, match="Timeout must be a positive number"):
                await house.run(plan("a", timeout=timeout))
        assert house.recorder.story(*DEVICE) == []

    async def test_a_negative_retry_count_is_refused(self) -> None:
        async with rig() as house:
            with pytest.raises(ValueError, match="Retry count must be a non-negative integer"):
                await house.run(plan("a", retry_count=-1))


class TestLanes:  # row 8
    @pytest.mark.parametrize("slots", [1, 3])
    async def test_a_device_runs_no_more_at_once_than_it_takes(self, slots: int) -> None:
        async with rig(slots=slots) as house:
            constellation = plan(" ".join(f"t{i}" for i in range(30)))
            for task_id in constellation.tasks:
                house.transport.script(task_id, takes(1))
            await house.run(constellation)
            assert anyio.current_time() == pytest.approx(30 / slots)
        assert house.device().most_running == slots

    async def test_nor_when_another_device_would_take_many_more(self) -> None:
        async with rig(Device("narrow", "fake"), Device("wide", "fake", max_concurrency=9)) as house:
            house.transport.default = takes(1)
            constellation = plan(" ".join(f"t{i}" for i in range(10)), target_device_id="narrow")
            await house.run(constellation, None)
            assert anyio.current_time() == pytest.approx(10)
            assert house.slots_are_free()
        assert house.device("narrow").most_running == 1

    async def test_a_run_and_single_tasks_share_the_slots_of_a_device(self) -> None:
        async with rig() as house:
            await house.manager.connect_all()
            house.transport.default = takes(1)
            async with anyio.create_task_group() as group:
                group.start_soon(house.run, plan("a b c"))
                for number in range(3):
                    group.start_soon(house.manager.assign_task_to_device, f"s{number}", "d1", "alone", {})
            assert anyio.current_time() == pytest.approx(6)
            assert house.slots_are_free()
        assert house.device().most_running == 1

    async def test_the_queue_of_a_device_goes_by_priority_and_then_by_age(self) -> None:
        async with rig() as house:
            constellation = TaskConstellation()
            order = [("first", TaskPriority.LOW), ("low", TaskPriority.LOW), ("high", TaskPriority.HIGH)]
            order += [("medium", TaskPriority.MEDIUM), ("high2", TaskPriority.HIGH), ("top", TaskPriority.CRITICAL)]
            for task_id, priority in order:
                constellation.add_task(TaskStar(task_id, description="x", priority=priority))
            await house.run(constellation)
        assert house.device().started == ["top", "high", "high2", "medium", "first", "low"]


async def cancelled(house: Rig, constellation: TaskConstellation, running: int = 1) -> dict[str, Any]:
    """Run it, and cancel it by its id as soon as so many tasks run."""
    found: dict[str, Any] = {}

    async def run() -> None:
        found.update(await house.run(constellation))

    async with anyio.create_task_group() as group:
        group.start_soon(run)
        await until(lambda: len(constellation.get_running_tasks()) >= running)
        assert await house.orchestrator.cancel_execution(constellation.constellation_id) is True
    return found


class TestCancelling:  # row 9
    async def test_a_cancelled_run_ends_each_task_as_cancelled_with_an_event(self) -> None:
        async with rig("d1", "d2") as house:
            house.transport.script("a", hang)
            house.transport.script("b", hang)
            constellation = plan("a b c d", "a>c c~d")
            result = await cancelled(house, constellation, running=2)
            assert house.slots_are_free()
        assert {str(one.status) for one in result["results"].values()} == {"cancelled"}
        assert all(isinstance(one.error, TaskCancelledError) for one in result["results"].values())
        assert sorted(event.task_id for event in house.recorder.of(EventType.TASK_CANCELLED)) == ["a", "b", "c", "d"]
        assert constellation.state is ConstellationState.CANCELLED
        assert sorted(house.device("d1").cancelled + house.device("d2").cancelled) == ["a", "b"]

    async def test_what_has_completed_stays_completed(self) -> None:
        async with rig() as house:
            house.transport.script("b", hang)
            constellation = plan("a b", "a>b")
            result = await cancelled(house, constellation)
        assert [str(one.status) for one in result["results"].values()] == ["completed", "cancelled"]
        assert result["status"] == "cancelled"

    async def test_an_unknown_id_is_not_cancelled_and_harms_nobody(self) -> None:
        async with rig() as house:
            house.transport.script("a", takes(10))
            constellation = plan("a")
            async with anyio.create_task_group() as group:
                group.start_soon(house.run, constellation)
                await until(constellation.get_running_tasks)
                assert await house.orchestrator.cancel_execution("nobody") is False
            assert constellation.state is ConstellationState.COMPLETED

    async def test_a_task_of_a_run_that_there_is_not_is_not_cancelled_and_the_log_says_why(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        async with rig() as house:
            house.transport.script("a", takes(1))
            async with anyio.create_task_group() as group:
                group.start_soon(house.run, plan("a", constellation_id="real"))
                await until(lambda: house.device().running)
                assert house.orchestrator.cancel_task("real", "a") is False  # the wrong way round
                assert house.orchestrator.cancel_task("b", "real") is False
        warnings = [one.getMessage() for one in caplog.records if one.levelno == logging.WARNING]
        assert warnings == ["cannot cancel task 'real': 'a' does not run; running: 'real'"]

    async def test_every_way_of_being_cancelled_is_told_in_the_same_words(self) -> None:
        async with rig("d1", "d2") as house:
            house.transport.default = hang
            constellation = plan("runs waits", "runs>waits")
            constellation.add_task(TaskStar("queued", target_device_id="d1"))
            result = await cancelled(house, constellation)
        errors = {task_id: str(constellation.tasks[task_id].error) for task_id in result["results"]}
        assert errors == {task_id: f"task {task_id!r}: the run was cancelled" for task_id in errors}

    async def test_cancelling_one_run_leaves_the_other_alone_and_the_orchestrator_usable(self) -> None:
        async with rig(slots=2) as house:
            house.transport.script("hangs", hang)
            house.transport.script("long", takes(60))
            doomed, other = plan("hangs", constellation_id="doomed"), plan("long", constellation_id="other")
            results: dict[str, Any] = {}

            async def run(constellation: TaskConstellation) -> None:
                results[constellation.constellation_id] = (await house.run(constellation))["status"]

            async with anyio.create_task_group() as group:
                group.start_soon(run, doomed)
                group.start_soon(run, other)
                await until(lambda: doomed.get_running_tasks() and other.get_running_tasks())
                await house.orchestrator.cancel_execution("doomed")
                assert results == {"doomed": "cancelled"}
            assert results == {"doomed": "cancelled", "other": "completed"}
            assert (await house.run(plan("x", constellation_id="doomed")))["status"] == "completed"

    async def test_a_cancelled_run_starts_nothing_more(self) -> None:
        async with rig() as house:
            house.transport.script("a", hang)
            await cancelled(house, plan("a b c"))
        assert house.device().started == ["a"]

    async def test_cancelling_all_ends_every_run(self) -> None:
        async with rig(slots=3) as house:
            house.transport.default = hang
            plans = [plan("a", constellation_id=name) for name in ("one", "two", "three")]
            async with anyio.create_task_group() as group:
                for constellation in plans:
                    group.start_soon(house.run, constellation)
                await until(lambda: len(house.device().running) == 3)
                assert sorted(await house.orchestrator.cancel_all()) == ["one", "three", "two"]
            assert all(constellation.state is ConstellationState.CANCELLED for constellation in plans)
            assert house.slots_are_free()

    async def test_cancelling_one_task_stops_it_and_skips_what_needed_its_success(self) -> None:
        async with rig("d1", "d2") as house:
            house.transport.script("a", hang)
            house.transport.script("b", takes(5))
            constellation = plan("a b c d", "a>c a~d")
            async with anyio.create_task_group() as group:
                group.start_soon(house.run, constellation)
                await until(lambda: len(constellation.get_running_tasks()) == 2)
                assert house.orchestrator.cancel_task("a", constellation.constellation_id) is True
                assert house.orchestrator.cancel_task("nobody") is False
            assert house.slots_are_free()
        assert {task_id: str(task.status) for task_id, task in constellation.tasks.items()} == {
            "a": "cancelled",
            "b": "completed",
            "c": "skipped",
            "d": "completed",
        }

    @pytest.mark.parametrize("strategy", ["load_balance", "earliest_finish"])
    async def test_a_task_that_waits_can_be_cancelled_too(self, strategy: str) -> None:
        async with rig() as house:
            house.transport.script("a", takes(5))
            constellation = plan("a b c")
            async with anyio.create_task_group() as group:
                group.start_soon(house.run, constellation, strategy)
                await until(constellation.get_running_tasks)
                assert house.orchestrator.cancel_task("b") is True
                assert house.orchestrator.cancel_task("b") is False
        assert house.device().started == ["a", "c"]

    async def test_cancelling_a_task_of_nothing_that_runs_says_so(self) -> None:
        async with rig() as house:
            with pytest.raises(RunError, match="0 constellations run"):
                house.orchestrator.cancel_task("a")
            assert house.orchestrator.cancel_task("a", "nobody") is False

    async def test_a_task_that_is_cancelled_while_it_backs_off_is_not_tried_again(self) -> None:
        async with rig() as house:
            house.transport.script("a", Completed(exit_code=1))
            constellation = plan("a", retry_count=3, retry=RetryPolicy(backoff_s=50))
            async with anyio.create_task_group() as group:
                group.start_soon(house.run, constellation)
                await until(lambda: house.recorder.of(EventType.TASK_RETRYING))
                assert house.orchestrator.cancel_task("a") is True
        assert house.device().started == ["a"]
        assert constellation.tasks["a"].status == "cancelled"

    @pytest.mark.parametrize("strategy", ["load_balance", "earliest_finish"])
    async def test_a_host_that_cancels_the_call_gets_every_lease_back_and_every_task_ended(self, strategy: str) -> None:
        async with rig("d1", "d2") as house:
            house.transport.default = hang
            constellation = plan("a b c d e", "a>e b~e")
            with anyio.CancelScope() as scope:
                async with anyio.create_task_group() as group:
                    group.start_soon(house.run, constellation, strategy)
                    await until(lambda: len(constellation.get_running_tasks()) == 2)
                    scope.cancel()
            assert {str(task.status) for task in constellation.tasks.values()} == {"cancelled"}
            assert constellation.state is ConstellationState.CANCELLED
            assert house.slots_are_free()
            assert house.orchestrator.runs() == []
            await house.bus.drain()
            assert sorted(event.task_id for event in house.recorder.of(EventType.TASK_CANCELLED)) == list("abcde")
            assert [event.event_type for event in house.recorder.of(*FINAL)] == [EventType.CONSTELLATION_CANCELLED]
            house.transport.default = Completed()
            assert (await house.run(plan("f"), strategy))["status"] == "completed"

    async def test_a_host_may_cancel_while_devices_are_still_being_connected(self) -> None:
        async with rig() as house:
            house.device().connect_s = 5
            constellation = plan("a")
            with anyio.move_on_after(1):
                await house.run(constellation)
            assert house.orchestrator.runs() == []
            assert (await house.run(constellation))["status"] == "completed"


class TestRunsOfTheirOwn:  # rows 10 and 12
    async def test_equal_task_ids_in_two_runs_never_meet(self) -> None:
        async with rig(slots=2) as house:
            one, two = plan("a b", "a>b", constellation_id="one"), plan("a b", "a>b", constellation_id="two")
            steps = iter([ValueError("only the first")])
            house.transport.script("a", lambda attempt: next(steps, Completed(attempt.run_id)))
            results: dict[str, Any] = {}

            async def run(constellation: TaskConstellation) -> None:
                results[constellation.constellation_id] = await house.run(constellation)

            async with anyio.create_task_group() as group:
                group.start_soon(run, one)
                group.start_soon(run, two)
        assert sorted(result["status"] for result in results.values()) == ["completed", "failed"]
        (good,) = [name for name, result in results.items() if result["status"] == "completed"]
        assert results[good]["results"]["a"].result == good

    async def test_a_short_run_does_not_wait_for_a_long_one(self) -> None:
        async with rig(slots=2, heartbeat_interval=1e6) as house:
            house.transport.script("long", takes(1000))
            ended: dict[str, float] = {}

            async def run(task_id: str) -> None:
                await house.run(plan(task_id))
                ended[task_id] = anyio.current_time()

            async with anyio.create_task_group() as group:
                group.start_soon(run, "long")
                group.start_soon(run, "short")
        assert list(ended) == ["short", "long"]
        assert list(ended.values()) == [pytest.approx(0), pytest.approx(1000)]

    async def test_two_runs_share_the_slots_of_a_device(self) -> None:
        async with rig(slots=2) as house:
            house.transport.default = takes(1)
            async with anyio.create_task_group() as group:
                for name in ("one", "two"):
                    group.start_soon(house.run, plan(" ".join(f"t{i}" for i in range(10)), constellation_id=name))
            assert anyio.current_time() == pytest.approx(10)
            assert house.slots_are_free()
        assert house.device().most_running == 2

    async def test_one_constellation_does_not_run_twice_at_once(self) -> None:
        async with rig() as house:
            house.transport.script("a", takes(1))
            constellation = plan("a")
            refused: list[RunError] = []

            async def run() -> None:
                try:
                    await house.run(constellation)
                except RunError as error:
                    refused.append(error)

            async with anyio.create_task_group() as group:
                group.start_soon(run)
                group.start_soon(run)
        assert len(refused) == 1
        assert "runs already" in str(refused[0])
        assert house.device().started == ["a"]

    async def test_a_run_has_a_status_while_it_lasts_and_none_after(self) -> None:
        async with rig() as house:
            house.transport.script("b", takes(1))
            constellation = plan("a b c d", "a>b b>c")
            house.transport.script("d", Completed(exit_code=1))
            assert await house.orchestrator.get_constellation_status(constellation) is None
            async with anyio.create_task_group() as group:
                group.start_soon(lambda: house.run(constellation, metadata={"who": "me"}))
                await until(lambda: constellation.tasks["b"].status is TaskStatus.RUNNING)
                status = await house.orchestrator.get_constellation_status(constellation)
            assert await house.orchestrator.get_constellation_status(constellation) is None
        assert status is not None
        assert status["state"] == "executing"
        assert (status["running_tasks"], status["completed_tasks"]) == (["b"], ["a"])
        assert status["metadata"] == {"who": "me"}

    async def test_a_constellation_that_was_registered_before_stays_registered(self) -> None:
        async with rig() as house:
            constellation = plan("a")
            house.orchestrator.manager.register_constellation(constellation, {"mine": True})
            await house.run(constellation)
            status = await house.orchestrator.get_constellation_status(constellation)
        assert status is not None
        assert (status["state"], status["metadata"]) == ("completed", {"mine": True})


class Editor:
    """An observer that edits when a task ends."""

    def __init__(self, constellation: TaskConstellation, after: str, edit: Any) -> None:
        self.constellation, self.after, self.edit = constellation, after, edit

    async def on_event(self, event: Event) -> None:
        if event.event_type is EventType.TASK_COMPLETED and getattr(event, "task_id", None) == self.after:
            self.edit(self.constellation)


def add_tail(constellation: TaskConstellation) -> None:
    constellation.add_task(TaskStar("tail", description="added while it ran"))
    constellation.add_dependency(link("b>tail"))


class TestOneLivePlan:  # rows 11 and 15
    @pytest.mark.parametrize("after", ["a", "b"], ids=["in the middle", "by the last task"])
    async def test_what_an_editor_adds_runs_and_counts(self, after: str) -> None:
        async with rig() as house:
            constellation = plan("a b", "a>b")
            house.bus.subscribe(Editor(constellation, after, add_tail))
            result = await house.run(constellation)
        assert list(result["results"]) == ["a", "b", "tail"]
        assert (result["total_tasks"], result["statistics"]["total_tasks"]) == (3, 3)
        (end,) = house.recorder.of(EventType.CONSTELLATION_COMPLETED)
        assert (end.data["total_tasks"], end.data["constellation"]) == (3, constellation)
        assert house.device().started == ["a", "b", "tail"]

    async def test_a_chain_can_grow_one_task_at_a_time(self) -> None:
        async with rig() as house:
            constellation = plan("t0")

            class Growing:
                async def on_event(self, event: Event) -> None:
                    if event.event_type is EventType.TASK_COMPLETED and constellation.task_count < 20:
                        last, new = f"t{constellation.task_count - 1}", f"t{constellation.task_count}"
                        constellation.add_task(TaskStar(new, description="x"))
                        constellation.add_dependency(link(f"{last}>{new}"))

            house.bus.subscribe(Growing())
            result = await house.run(constellation)
        assert result["total_tasks"] == 20
        assert house.device().started == [f"t{i}" for i in range(20)]

    async def test_a_waiting_task_can_be_removed_while_the_plan_runs(self) -> None:
        async with rig() as house:
            constellation = plan("a b c", "a>b b>c")
            house.transport.script("a", takes(1))
            async with anyio.create_task_group() as group:
                group.start_soon(house.run, constellation)
                await until(constellation.get_running_tasks)
                constellation.remove_task("b")
                await until(lambda: house.device().ended == ["a", "c"])
        assert "b" not in constellation.tasks

    @pytest.mark.parametrize("strategy", ["load_balance", "earliest_finish"])
    async def test_a_task_in_a_queue_can_get_a_new_prerequisite(self, strategy: str) -> None:
        async with rig() as house:
            house.transport.script("a", takes(1))
            constellation = plan("a b c")
            async with anyio.create_task_group() as group:
                group.start_soon(house.run, constellation, strategy)
                await until(constellation.get_running_tasks)
                constellation.add_dependency(link("c>b"))
        assert house.device().started == ["a", "c", "b"]

    @pytest.mark.parametrize("strategy", ["load_balance", "earliest_finish"])
    async def test_a_task_in_a_queue_can_be_pinned_elsewhere(self, strategy: str) -> None:
        async with rig("d1", "d2") as house:
            house.transport.script("a", takes(5))
            house.transport.script("b", takes(1))
            constellation = plan("a b c d")
            constellation.tasks["a"].target_device_id = "d1"
            constellation.tasks["b"].target_device_id = "d2"
            async with anyio.create_task_group() as group:
                group.start_soon(house.run, constellation, strategy)
                await until(lambda: len(constellation.get_running_tasks()) == 2)
                for task_id in "cd":
                    constellation.tasks[task_id].target_device_id = "d1"
            assert anyio.current_time() == pytest.approx(5)
        assert (house.device("d1").started, house.device("d2").started) == (["a", "c", "d"], ["b"])

    @pytest.mark.parametrize("strategy", ["load_balance", "earliest_finish"])
    async def test_a_task_in_a_queue_can_be_made_urgent(self, strategy: str) -> None:
        async with rig() as house:
            house.transport.script("a", takes(5))
            constellation = plan("a b c d")
            async with anyio.create_task_group() as group:
                group.start_soon(house.run, constellation, strategy)
                await until(constellation.get_running_tasks)
                constellation.tasks["d"].priority = TaskPriority.CRITICAL
        assert house.device().started == ["a", "d", "b", "c"]

    async def test_a_task_that_somebody_else_ends_is_left_alone(self) -> None:
        async with rig() as house:
            house.transport.script("a", hang)
            constellation = plan("a b", "a>b")
            async with anyio.create_task_group() as group:
                group.start_soon(house.run, constellation)
                await until(constellation.get_running_tasks)
                constellation.mark_task_completed("a", True, "by hand")
            assert house.slots_are_free()
        assert constellation.tasks["a"].result == "by hand"
        assert house.device().ended == ["b"]
        assert house.recorder.story_of("a") == ["task_started", "task_completed"]

    async def test_a_bad_edit_is_refused_with_its_reasons_and_the_run_goes_on(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        refused: list[ValueError] = []

        def edit(constellation: TaskConstellation) -> None:
            edits: list[Callable[[], object]] = [
                lambda: constellation.add_dependency(link("b>a")),
                lambda: constellation.remove_task("a"),
                lambda: constellation.add_task(TaskStar("b", description="twice")),
                lambda: setattr(constellation.tasks["a"], "description", "history"),
            ]
            for bad in edits:
                try:
                    bad()
                except ValueError as error:
                    refused.append(error)
            raise RuntimeError("the editor itself breaks")

        async with rig() as house:
            constellation = plan("a b", "a>b")
            house.bus.subscribe(Editor(constellation, "a", edit))
            result = await house.run(constellation)
        assert result["status"] == "completed"
        assert len(refused) == 4
        assert "observer Editor raised" in caplog.text


class TestEvents:  # row 13, and the order of events
    async def test_reserved_keys_win_over_metadata_which_also_stands_under_its_own_key(self) -> None:
        metadata = {"total_tasks": 99, "constellation": "mine", "owner": "me"}
        async with rig() as house:
            constellation = plan("a")
            await house.run(constellation, metadata=metadata)
        (started,) = house.recorder.of(EventType.CONSTELLATION_STARTED)
        assert started.data["total_tasks"] == 1
        assert started.data["constellation"] is constellation
        assert started.data["owner"] == "me"
        assert started.data["metadata"] == metadata

    async def test_events_come_in_the_order_of_what_happened(self) -> None:
        async with rig() as house:
            await house.run(plan("a b", "a>b"))
        assert house.recorder.story(*DEVICE, EventType.TASK_ASSIGNED) == [
            "constellation_started",
            "task_started a",
            "task_completed a",
            "task_started b",
            "task_completed b",
            "constellation_completed",
        ]

    async def test_events_carry_what_the_api_document_says(self) -> None:
        async with rig() as house:
            constellation = plan("a b", "a>b", constellation_id="c1")
            await house.run(constellation, "round_robin")
        started, ended = house.recorder.of(EventType.CONSTELLATION_STARTED, EventType.CONSTELLATION_COMPLETED)
        assert {event.source_id for event in house.recorder.events if "device" not in event.event_type.value} == {
            "orchestrator_c1"
        }
        assert (started.constellation_id, started.constellation_state, started.new_ready_tasks) == (
            "c1",
            "executing",
            None,
        )
        assert started.data["assignment_strategy"] == "round_robin"
        assert started.data["device_assignments"] == {"a": "d1", "b": "d1"}
        assert set(ended.data) == {"total_tasks", "statistics", "execution_duration", "constellation"}
        assert (ended.constellation_state, ended.new_ready_tasks) == ("completed", None)
        assert ended.data["execution_duration"] is not None
        start, end = house.recorder.of_task("a")
        assert (start.status, start.result) == ("running", None)
        assert start.data == {"constellation_id": "c1", "device_id": "d1", "attempt": 1}
        assert (end.status, end.data["newly_ready_tasks"]) == ("completed", ["b"])
        assert (end.data["constellation_id"], end.data["constellation"]) == ("c1", constellation)
        assert end.result is constellation.tasks["a"].result

    @pytest.mark.parametrize("slots", [1, 4])
    async def test_the_start_of_a_task_is_told_while_it_runs(self, slots: int) -> None:
        async with rig(slots=slots) as house:
            house.transport.script("a", takes(100))
            constellation = plan("a")
            async with anyio.create_task_group() as group:
                group.start_soon(house.run, constellation)
                await anyio.sleep(50)
                assert house.recorder.story_of("a") == ["task_started"]

    async def test_a_retry_and_a_skip_are_told_while_something_else_runs(self) -> None:
        async with rig(slots=2) as house:
            house.transport.script("a", takes(100))
            house.transport.script("b", Completed(exit_code=1))
            constellation = plan("a b c", "b>c", retry_count=1, retry=RetryPolicy(backoff_s=10, jitter=0))
            async with anyio.create_task_group() as group:
                group.start_soon(house.run, constellation)
                await anyio.sleep(5)
                assert house.recorder.story_of("b") == ["task_started", "task_retrying"]
                await anyio.sleep(50)
                assert house.recorder.story_of("c") == ["task_skipped"]

    async def test_a_run_without_observers_runs_the_same(self) -> None:
        async with rig() as house:
            alone = TaskConstellationOrchestrator(house.manager, event_bus=EventBus())
            result = await alone.orchestrate_constellation(plan("a b", "a>b"), assignment_strategy="load_balance")
        assert result["status"] == "completed"


class TestChecksBeforeAnythingStarts:  # row 14, and the texts of the errors
    async def test_unknown_task_ids_in_device_assignments_are_refused(self) -> None:
        async with rig() as house:
            with pytest.raises(ValueError, match="Task nobody not found"):
                await house.run(plan("a"), None, device_assignments={"a": "d1", "nobody": "d1"})
            await house.bus.drain()
            assert house.recorder.events == []  # no device was even connected for it

    async def test_unknown_devices_in_device_assignments_are_refused(self) -> None:
        async with rig() as house:
            with pytest.raises(ValueError, match="Device d9 is not registered"):
                await house.run(plan("a"), None, device_assignments={"a": "d9"})
            await house.bus.drain()
            assert house.recorder.events == []

    @pytest.mark.parametrize("assignments", [{"nobody": "d1"}, {"a": "d9"}])
    async def test_so_are_they_with_a_device_manager_of_somebody_elses(self, assignments: dict[str, str]) -> None:
        manager, bus, recorder = ForeignManager(d1=DeviceInfo()), EventBus(), Recorder()
        bus.subscribe(recorder)
        with pytest.raises(ValueError, match=r"Task nobody not found|Device d9 is not registered"):
            await TaskConstellationOrchestrator(manager, event_bus=bus).orchestrate_constellation(
                plan("a"), assignments
            )
        await bus.drain()
        assert (recorder.events, manager.calls) == ([], [])

    async def test_a_refused_assignment_changes_no_task(self) -> None:
        async with rig() as house:
            constellation = plan("a b")
            with pytest.raises(ValueError, match="d9"):
                await house.run(constellation, None, device_assignments={"a": "d1", "b": "d9"})
            with pytest.raises(ValueError, match="Unknown assignment strategy"):
                await house.run(constellation, "nonsense", device_assignments={"a": "d1"})
        assert [task.target_device_id for task in constellation.tasks.values()] == [None, None]

    async def test_without_assignment_or_strategy_every_task_needs_a_known_device(self) -> None:
        async with rig() as house:
            constellation = plan("a b c")
            constellation.tasks["b"].target_device_id = "d9"
            constellation.tasks["c"].target_device_id = "d1"
            with pytest.raises(ValueError, match=r"^Device assignment validation failed:") as caught:
                await house.run(constellation, None)
        text = str(caught.value)
        assert "Tasks without device assignment: ['a']" in text
        assert "Tasks with invalid device IDs: [" in text
        assert "b" in text
        assert "Available devices: ['d1']" in text
        assert "Please provide either 'device_assignments' or 'assignment_strategy' parameter." in text

    async def test_assignments_win_over_the_strategy_which_places_the_rest(self) -> None:
        async with rig("d1", "d2") as house:
            constellation = plan("a b c d")
            await house.run(constellation, "round_robin", device_assignments={"a": "d2", "b": "d2", "c": "d2"})
        assert [task.target_device_id for task in constellation.tasks.values()][:3] == ["d2"] * 3
        assert house.device("d2").started == ["a", "b", "c"]

    async def test_no_device_manager_is_a_value_error(self) -> None:
        orchestrator = TaskConstellationOrchestrator()
        with pytest.raises(ValueError, match="ConstellationDeviceManager not set") as caught:
            await orchestrator.orchestrate_constellation(plan("a"))
        assert str(caught.value) == "ConstellationDeviceManager not set. Use set_device_manager() first."
        assert isinstance(caught.value, NoDevicesError)

    async def test_an_unknown_strategy_is_a_value_error_that_offers_the_nearest(self) -> None:
        async with rig() as house:
            with pytest.raises(ValueError, match=r"Unknown assignment strategy: round_robbin.*round_robin"):
                await house.run(plan("a"), "round_robbin")
        assert house.recorder.story(*DEVICE) == []
