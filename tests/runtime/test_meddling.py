"""What people and programs do to a plan from outside while it runs, or before: no run hangs, breaks or miscounts."""

from __future__ import annotations

from typing import Any

import anyio
import pytest

from galaxy_core import (
    Completed,
    Effect,
    EventType,
    InvalidPlanError,
    PlanError,
    RunError,
    StrategyError,
    TaskConstellation,
    TaskConstellationOrchestrator,
    TaskPriority,
    TaskStar,
)
from galaxy_core.testing.fakes import hang, takes

from .fakes import plan, rig, until

pytestmark = pytest.mark.anyio


class Meddler:
    """Does something once, when it hears the first event of a type."""

    def __init__(self, on: EventType, do: Any) -> None:
        self._on, self._do, self.done = on, do, False
        self.caught: Exception | None = None

    async def on_event(self, event: Any) -> None:
        if event.event_type is self._on and not self.done:
            self.done = True
            try:
                self._do()
            except Exception as error:
                self.caught = error


async def test_a_plan_with_a_task_that_runs_for_nobody_is_refused() -> None:
    async with rig("d1") as house:
        constellation = plan("a")
        constellation.start_task("a")
        with pytest.raises(InvalidPlanError, match="task 'a' is running already, for nobody: end it first"):
            await house.run(constellation, "round_robin")


async def test_a_task_that_is_retried_by_hand_runs_again() -> None:
    async with rig("d1") as house:
        house.transport.script("a", Completed(error="no"), Completed("yes"))
        constellation = plan("a", retry_count=1)
        constellation.tasks["a"]._retry = constellation.tasks["a"]._retry.__class__(on=frozenset())
        house.bus.subscribe(Meddler(EventType.TASK_FAILED, constellation.tasks["a"].retry))
        result = await house.run(constellation, "round_robin")
    assert (result["status"], result["results"]["a"].result) == ("completed", "yes")


async def test_one_constellation_is_not_run_by_two_orchestrators() -> None:
    async with rig("d1") as house:
        house.transport.script("a", takes(5))
        constellation = plan("a")
        other = TaskConstellationOrchestrator(house.manager, event_bus=house.bus)
        async with anyio.create_task_group() as group:
            group.start_soon(house.run, constellation, "round_robin")
            await until(constellation.get_running_tasks)
            with pytest.raises(RunError, match="runs already"):
                await other.orchestrate_constellation(constellation, assignment_strategy="round_robin")
    assert constellation.state.value == "completed"


async def test_a_queued_task_that_is_started_by_hand_is_left_to_whoever_did() -> None:
    async with rig("d1") as house:
        house.transport.script("a", takes(5))
        constellation = plan("a b")

        async def by_hand() -> None:
            await until(constellation.get_running_tasks)
            constellation.start_task("b")
            why = house.orchestrator.why("b")
            assert (why.kind, "started by hand" in why.text) == ("running", True)
            constellation.mark_task_completed("b", True, "done by hand")

        async with anyio.create_task_group() as group:
            group.start_soon(by_hand)
            result = await house.run(constellation, "round_robin")
        assert house.slots_are_free()
    assert result["status"] == "completed"
    assert constellation.tasks["b"].result == "done by hand"
    assert house.device("d1").started == ["a"]


@pytest.mark.parametrize(
    "wrong",
    [{"timeout": "5"}, {"timeout": 0}, {"retry_count": "2"}, {"priority": 3}, {"device_type": "windows"}],
    ids=lambda wrong: next(iter(wrong)),
)
async def test_a_task_that_no_run_could_work_with_is_refused_before_and_during_a_run(wrong: dict[str, Any]) -> None:
    async with rig("d1") as house:
        bad = TaskConstellation()
        bad.add_task(TaskStar("x", **wrong))
        with pytest.raises(InvalidPlanError, match="task 'x'"):
            await house.run(bad, "round_robin")

        constellation = plan("a")
        meddler = Meddler(EventType.TASK_STARTED, lambda: constellation.add_task(TaskStar("x", **wrong)))
        house.bus.subscribe(meddler)
        house.transport.script("a", takes(1))
        result = await house.run(constellation, "round_robin")
    assert isinstance(meddler.caught, InvalidPlanError)
    assert (result["status"], result["total_tasks"]) == ("completed", 1)


def test_a_priority_or_device_type_of_another_kind_cannot_be_set() -> None:
    task = TaskStar("a")
    with pytest.raises(PlanError, match="priority of task 'a' must be a TaskPriority, not 3"):
        task.priority = 3  # type: ignore[assignment]
    with pytest.raises(PlanError, match="device type of task 'a' must be a DeviceType or None, not 'windows'"):
        task.device_type = "windows"  # type: ignore[assignment]
    assert (task.priority, task.device_type) == (TaskPriority.MEDIUM, None)


class Rubbish:
    name = "rubbish"

    def __init__(self, answer: Any) -> None:
        self._answer = answer

    def assign(self, placement: Any, /) -> Any:
        return self._answer


@pytest.mark.parametrize("answer", [{"a": ["d1"]}, {"a": {}}, {"a": 1}, [("a", "d1")], None, {}], ids=repr)
async def test_whatever_rubbish_a_strategy_returns_the_error_names_the_strategy(answer: Any) -> None:
    async with rig("d1", plugins=[Rubbish(answer)]) as house:
        with pytest.raises(StrategyError, match="strategy 'rubbish'"):
            await house.run(plan("a"), "rubbish")


async def test_a_task_cancelled_while_it_is_stopped_at_its_deadline_is_not_tried_again() -> None:
    async with rig("d1") as house:
        house.transport.script("a", hang, Completed("again"))
        constellation = plan("a", timeout=1.0, retry_count=3)
        async with anyio.create_task_group() as group:

            async def cancel() -> None:
                await until(constellation.get_running_tasks)
                worker = house.orchestrator.runs()[0].busy[0]
                worker.interrupt("timeout")
                assert house.orchestrator.cancel_task("a")

            group.start_soon(cancel)
            result = await house.run(constellation, "round_robin")
    assert (result["results"]["a"].status, result["results"]["a"].attempts) == ("cancelled", 1)


async def test_a_cancelled_run_starts_nothing_that_is_added_to_it() -> None:
    async with rig("d1") as house:
        house.transport.script("a", takes(5))
        constellation = plan("a")
        run = None

        async def meddle() -> None:
            await until(constellation.get_running_tasks)
            run = house.orchestrator.runs()[0]
            run.cancel()
            constellation.add_task(TaskStar("late"))

        async with anyio.create_task_group() as group:
            group.start_soon(meddle)
            result = await house.run(constellation, "round_robin")
        assert run is None
    assert {task_id: str(found.status) for task_id, found in result["results"].items()} == {
        "a": "cancelled",
        "late": "cancelled",
    }
    assert "late" not in house.device("d1").started


async def test_without_a_strategy_an_assignment_waits_for_its_device_like_a_pin() -> None:
    async with rig("d1", reconnect_delay=1) as house:
        constellation = plan("a b", "a>b", effect=Effect.READ)
        await house.manager.connect_all()
        await house.orchestrator.assign_devices_automatically(constellation, "round_robin")

        def blip() -> None:
            house.device("d1").unplug()
            house.device("d1").plug_in()

        house.bus.subscribe(Meddler(EventType.TASK_COMPLETED, blip))
        result = await house.run(constellation, None)
    assert result["status"] == "completed"


async def test_a_plan_that_is_empty_at_the_start_keeps_its_strategy_for_what_is_added() -> None:
    async with rig("d1") as house:
        constellation = TaskConstellation()
        house.bus.subscribe(
            Meddler(EventType.CONSTELLATION_STARTED, lambda: constellation.add_task(TaskStar("a", description="later")))
        )
        result = await house.run(constellation, "round_robin")
    assert (result["status"], list(result["results"])) == ("completed", ["a"])


async def test_a_single_task_with_a_timeout_of_zero_is_refused() -> None:
    async with rig("d1") as house:
        with pytest.raises(InvalidPlanError, match="Timeout must be a positive number"):
            await house.orchestrator.execute_single_task(TaskStar("a", description="x", timeout=0), "d1")
