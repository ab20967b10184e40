"""The last moments of a run: sessions that clean up, edits that come too late, hosts that cancel everything at once."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from galaxy_core import (
    Completed,
    ConstellationState,
    Event,
    EventType,
    OutcomeUnknownError,
    Refused,
    RunError,
    TaskConstellation,
    TaskEvent,
    TaskStar,
    TaskTimeoutError,
    Unknown,
)
from galaxy_core.runtime import run as run_module
from galaxy_core.runtime.run import Run
from galaxy_core.testing.fakes import hang, takes
from galaxy_core.testing.virtual_time import virtual_backend

from .fakes import plan, rig, until

pytestmark = pytest.mark.anyio


async def tidying(attempt: Any) -> Completed:
    """Hangs, and needs five seconds to leave nothing behind when it is told to stop."""
    try:
        await anyio.sleep_forever()
    finally:
        with anyio.CancelScope(shield=True):
            await anyio.sleep(5)
    raise AssertionError("unreachable: nothing wakes it")


async def test_a_slot_is_given_on_only_when_the_session_has_cleaned_up() -> None:
    async with rig() as house:
        house.transport.script("a", tidying)
        await house.run(plan("a b", timeout=10))
        assert anyio.current_time() == pytest.approx(15)
    assert house.device().most_running == 1
    assert house.device().started == ["a", "b"]


@pytest.mark.parametrize("how", ["run", "host", "task"])
async def test_cancelling_waits_for_the_session_to_clean_up(how: str) -> None:
    async with rig() as house:
        house.transport.script("a", tidying)
        constellation = plan("a b", "a>b", constellation_id="c1")
        async with anyio.create_task_group() as group:
            group.start_soon(house.run, constellation)
            await until(lambda: house.device().running)
            if how == "run":
                await house.orchestrator.cancel_execution("c1")
            elif how == "host":
                group.cancel_scope.cancel()
            else:
                house.orchestrator.cancel_task("a")
        assert anyio.current_time() == pytest.approx(5, abs=0.1)
        assert house.slots_are_free()
    assert house.device().running == []
    assert str(constellation.tasks["a"].status) == "cancelled"


def deaf(outcome: Any) -> Callable[[Any], Awaitable[Any]]:
    """A session that swallows its cancellation, and comes to an end of its own half a minute later."""

    async def execute(attempt: Any) -> Any:
        try:
            await anyio.sleep_forever()
        except anyio.get_cancelled_exc_class():
            with anyio.CancelScope(shield=True):
                await anyio.sleep(30)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    return execute


@pytest.mark.parametrize(
    ("outcome", "status", "error"),
    [
        (Completed(error="it failed, too late"), "failed", TaskTimeoutError),
        (Completed(exit_code=1), "failed", TaskTimeoutError),
        (Refused("it never started"), "failed", TaskTimeoutError),
        (RuntimeError("it broke, too late"), "failed", TaskTimeoutError),
        (None, "failed", TaskTimeoutError),
        (Unknown("it cannot say"), "unknown", OutcomeUnknownError),
        (Completed("made it"), "completed", type(None)),
    ],
    ids=["failed", "exit code", "refused", "raised", "nothing", "unknown", "succeeded"],
)
async def test_a_session_that_swallows_its_deadline_holds_its_own_slot_and_the_end_of_its_run_and_no_more(
    outcome: Any, status: str, error: type
) -> None:
    async with rig("d1", "d2") as house:
        house.transport.script("deaf", deaf(outcome))
        house.transport.script("other", hang)
        constellation = plan("deaf next other last", "other-last", timeout=10)
        for task_id, device_id in {"deaf": "d1", "next": "d1", "other": "d2", "last": "d2"}.items():
            constellation.tasks[task_id].target_device_id = device_id
        ends: dict[str, float] = {}

        class Watch:
            async def on_event(self, event: Any) -> None:
                if isinstance(event, TaskEvent) and event.event_type is not EventType.TASK_STARTED:
                    ends[event.task_id] = anyio.current_time()

        house.bus.subscribe(Watch())
        result = await house.run(constellation, None)
        assert house.slots_are_free()
    assert ends == pytest.approx({"other": 10, "last": 10, "deaf": 40, "next": 40})
    assert (result["results"]["deaf"].status, type(result["results"]["deaf"].error)) == (status, error)
    assert isinstance(result["results"]["other"].error, TaskTimeoutError)


@pytest.mark.parametrize("how", ["run", "host"])
async def test_cancelling_waits_for_a_session_that_swallows_it(how: str) -> None:
    async with rig() as house:
        house.transport.script("a", deaf(Completed(error="it failed, too late")))
        constellation = plan("a b", constellation_id="c1")
        async with anyio.create_task_group() as group:
            group.start_soon(house.run, constellation)
            await until(lambda: house.device().running)
            if how == "run":
                assert await house.orchestrator.cancel_execution("c1")
            else:
                group.cancel_scope.cancel()
        assert anyio.current_time() == pytest.approx(30, abs=0.1)
        assert house.slots_are_free()
    assert [str(task.status) for task in constellation.tasks.values()] == ["cancelled", "cancelled"]


@pytest.mark.parametrize("strategy", ["load_balance", "earliest_finish"])
async def test_a_host_may_cancel_several_runs_that_wait_for_the_same_device(strategy: str) -> None:
    """One gives its slot back while the workers of the other are gone already."""
    async with rig() as house:
        house.transport.default = hang
        plans = [plan("a b c", constellation_id=name) for name in ("one", "two", "three")]
        async with anyio.create_task_group() as group:
            for constellation in plans:
                group.start_soon(house.run, constellation, strategy)
            await until(lambda: house.device().running)
            group.cancel_scope.cancel()
        assert house.slots_are_free()
        assert house.orchestrator.runs() == []
    assert all(constellation.state is ConstellationState.CANCELLED for constellation in plans)
    assert len(house.device().started) == 1


async def test_one_run_is_cancelled_while_another_waits_for_its_device() -> None:
    async with rig() as house:
        house.transport.script("a", tidying)
        one, other = plan("a b", constellation_id="one"), plan("c", constellation_id="other")
        async with anyio.create_task_group() as group:
            group.start_soon(house.run, one)
            await until(lambda: house.device().running)
            group.start_soon(house.run, other)
            await until(lambda: house.manager.get_task_queue_status("d1")["queue_size"] == 2)
            await house.orchestrator.cancel_execution("one")
        assert house.slots_are_free()
    assert house.device().started == ["a", "c"]
    assert house.device().most_running == 1


async def test_an_edit_that_comes_after_the_run_is_over_is_not_part_of_it() -> None:
    async with rig() as house:
        constellation = plan("a")

        class TooLate:
            async def on_event(self, event: Event) -> None:
                if event.event_type is EventType.CONSTELLATION_COMPLETED:
                    constellation.add_task(TaskStar("late", description="x"))

        house.bus.subscribe(TooLate())
        result = await house.run(constellation)
        assert (result["status"], list(result["results"])) == ("completed", ["a"])
        assert constellation.tasks["late"].status == "pending"
        again = await house.run(constellation)
    assert list(again["results"]) == ["a", "late"]
    assert house.device().started == ["a", "late"]


async def test_a_finished_plan_runs_again_for_nothing() -> None:
    async with rig() as house:
        constellation = plan("a b", "a>b")
        first = await house.run(constellation)
        second = await house.run(constellation)
    assert second["status"] == "completed"
    assert second["results"]["a"] is first["results"]["a"]
    assert house.device().started == ["a", "b"]


async def test_a_kernel_that_breaks_is_a_runtime_error_and_every_task_has_still_ended(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with rig() as house:
        house.transport.script("a", takes(1))
        constellation = plan("a b c", "a>b")

        def broken(*arguments: Any) -> None:
            raise ZeroDivisionError("a bug")

        monkeypatch.setattr(Run, "_succeeded", broken)
        with pytest.raises(RunError, match="ZeroDivisionError: a bug"):
            await house.run(constellation)
        monkeypatch.undo()
        assert house.orchestrator.runs() == []
        await house.bus.drain()
        assert all(task.is_terminal for task in constellation.tasks.values())
        assert house.recorder.of(EventType.CONSTELLATION_CANCELLED) != []
        assert TaskConstellation.from_dict(constellation.to_dict()).is_complete()


@pytest.mark.parametrize("where", ["_give_back", "outcome_of"])
async def test_a_run_that_breaks_even_while_it_ends_has_failed_and_leaves_its_plan_free(
    where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*arguments: Any) -> None:
        raise ZeroDivisionError("a bug")

    async with rig() as house:
        constellation = plan("a b", "a>b")
        if where == "_give_back":
            monkeypatch.setattr(Run, where, broken)
        else:
            monkeypatch.setattr(run_module, where, broken)
        with pytest.raises(RunError, match="ZeroDivisionError: a bug"):
            await house.run(constellation)
        monkeypatch.undo()
        await house.bus.drain()
        assert [event.constellation_state for event in house.recorder.of(EventType.CONSTELLATION_FAILED)] == ["failed"]
        assert house.orchestrator.runs() == []
        assert house.slots_are_free()
        assert [str(task.status) for task in constellation.tasks.values()] == ["completed", "completed"]
        assert (await house.run(constellation))["status"] == "completed"


@pytest.mark.parametrize("name", ["asyncio", "trio"])
@pytest.mark.parametrize("strategy", ["load_balance", "earliest_finish"])
def test_in_whatever_order_cancelled_runs_end_they_give_each_other_no_slots(name: str, strategy: str) -> None:
    async def cancel_all() -> None:
        async with rig("d1", "d2") as house:
            house.transport.default = hang
            plans = [plan("a b c d", constellation_id=name) for name in ("one", "two", "three")]
            async with anyio.create_task_group() as group:
                for constellation in plans:
                    group.start_soon(house.run, constellation, strategy)
                await until(lambda: house.device("d1").running and house.device("d2").running)
                group.cancel_scope.cancel()
            assert house.slots_are_free()
            assert all(constellation.state is ConstellationState.CANCELLED for constellation in plans)

    for seed in range(25):
        backend, options = virtual_backend(name, seed)
        anyio.run(cancel_all, backend=backend, backend_options=options)


@pytest.mark.parametrize("name", ["asyncio", "trio"])
def test_an_edit_at_any_moment_of_the_end_is_part_of_the_run_or_is_not(name: str) -> None:
    async def edit_late(steps: int) -> int:
        async with rig(slots=2) as house:
            constellation = plan("a")
            found: list[dict[str, Any]] = []

            async def run() -> None:
                found.append(await house.run(constellation))

            async with anyio.create_task_group() as group:
                group.start_soon(run)
                await until(constellation.is_complete)
                for _ in range(steps):
                    await anyio.lowlevel.checkpoint()
                constellation.add_task(TaskStar("late", description="x"))
            (result,) = found
            assert result["status"] == "completed"
            assert len(result["results"]) == result["total_tasks"]
            taken = "late" in result["results"]
            assert str(constellation.tasks["late"].status) == ("completed" if taken else "pending")
            assert house.slots_are_free()
            return int(taken)

    taken = []
    for steps in range(25):
        backend, options = virtual_backend(name, seed=steps)
        taken.append(anyio.run(edit_late, steps, backend=backend, backend_options=options))
    assert set(taken) == {0, 1}


@pytest.mark.parametrize("name", ["asyncio", "trio"])
def test_a_caller_who_gives_up_when_its_turn_comes_gives_its_slot_back(name: str) -> None:
    async def give_up() -> None:
        async with rig() as house:
            await house.manager.connect_all()
            house.transport.script("a", takes(5))
            async with anyio.create_task_group() as group:
                group.start_soon(house.manager.assign_task_to_device, "a", "d1", "do a")
                await until(lambda: house.device().running)
                with anyio.CancelScope(deadline=5):
                    await house.manager.assign_task_to_device("b", "d1", "do b")
            assert house.slots_are_free()
            assert (await house.manager.assign_task_to_device("c", "d1", "do c")).is_successful

    for seed in range(25):
        backend, options = virtual_backend(name, seed)
        anyio.run(give_up, backend=backend, backend_options=options)
