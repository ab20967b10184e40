"""What happens to tasks when their device goes, comes back, or never comes."""

from __future__ import annotations

import asyncio
from typing import Any

import anyio
import pytest

from galaxy_core import (
    Completed,
    Device,
    DeviceLostError,
    DeviceType,
    Effect,
    EventType,
    NoFittingDeviceError,
    OutcomeUnknownError,
    Refused,
    RetryPolicy,
    TaskConstellation,
    TaskRefusedError,
    TaskStar,
    Unknown,
)
from galaxy_core.testing.fakes import hang, takes

from .fakes import Rig, link, plan, rig, until

pytestmark = pytest.mark.anyio


async def run_and(house: Rig, constellation: TaskConstellation, happen: Any, strategy: str | None = None) -> Any:
    """Run it, and have `happen()` happen once something runs."""
    found: dict[str, Any] = {}

    async def run() -> None:
        found.update(await house.run(constellation, strategy))

    async with anyio.create_task_group() as group:
        group.start_soon(run)
        await until(constellation.get_running_tasks)
        answer = happen()
        if answer is not None:
            await answer
    return found


def pinned(tasks: str, device_id: str, **options: Any) -> TaskConstellation:
    return plan(tasks, target_device_id=device_id, **options)


@pytest.mark.parametrize("strategy", ["load_balance", "earliest_finish"])
@pytest.mark.parametrize("effect", [Effect.READ, Effect.IDEMPOTENT])
async def test_what_may_run_again_moves_to_another_device(effect: Effect, strategy: str) -> None:
    async with rig("d1", "d2", reconnect_delay=3600) as house:
        house.transport.script("a", hang, Completed("moved"))
        constellation = plan("a", effect=effect)

        def unplug() -> None:
            next(device for device in (house.device("d1"), house.device("d2")) if device.running).unplug()

        result = await run_and(house, constellation, unplug, strategy)
        assert anyio.current_time() < 10
        assert house.slots_are_free()
    assert (result["status"], result["results"]["a"].result, result["results"]["a"].attempts) == (
        "completed",
        "moved",
        2,
    )
    (event,) = house.recorder.of(EventType.TASK_RETRYING)
    assert event.data["reason"] == "lost"
    assert {house.device("d1").started[0], house.device("d2").started[0]} == {"a"}


@pytest.mark.parametrize(
    "step",
    [hang, DeviceLostError("d1", "cable"), Unknown("no answer")],
    ids=["unplugged", "raises", "unknown"],
)
async def test_what_may_run_once_only_is_unknown_and_never_runs_again(step: Any) -> None:
    async with rig("d1", "d2") as house:
        house.transport.script("a", takes(1, step), Completed())
        constellation = pinned("a b", "d1", retry_count=5)
        constellation.add_dependency(link("a>b"))
        result = await run_and(house, constellation, house.device("d1").unplug if step is hang else lambda: None)
    a = result["results"]["a"]
    assert (a.status, a.attempts) == ("unknown", 1)
    assert isinstance(a.error, OutcomeUnknownError)
    assert result["results"]["b"].status == "skipped"
    assert result["status"] == "failed"
    assert house.device("d1").started == ["a"]
    assert [event.error for event in house.recorder.of(EventType.TASK_UNKNOWN)] == [a.error]


async def test_moving_takes_none_of_the_retries() -> None:
    async with rig("d1", "d2", reconnect_delay=3600) as house:
        house.transport.script("a", hang, Completed(exit_code=1), Completed())
        constellation = plan("a", effect=Effect.READ, retry_count=1)
        result = await run_and(house, constellation, lambda: house.device("d1").unplug(), "round_robin")
    assert (result["status"], result["results"]["a"].attempts) == ("completed", 3)


async def test_a_pinned_task_waits_for_its_device_and_is_never_moved() -> None:
    async with rig("d1", "d2", reconnect_delay=10) as house:
        house.transport.script("a", hang, Completed("same device"))
        constellation = pinned("a b", "d1", effect=Effect.IDEMPOTENT)

        async def unplug_for_a_while() -> None:
            house.device("d1").unplug()
            await anyio.sleep(25)
            assert house.orchestrator.why("b").kind == "device"
            house.device("d1").plug_in()

        result = await run_and(house, constellation, unplug_for_a_while)
    assert result["status"] == "completed"
    assert house.device("d2").started == []
    assert sorted(house.device("d1").ended) == ["a", "b"]


async def test_tasks_that_fit_one_device_only_wait_for_it_as_if_pinned() -> None:
    camera, plain = Device("cam", "fake", capabilities=frozenset({"camera"})), Device("plain", "fake")
    async with rig(camera, plain, reconnect_delay=10) as house:
        house.transport.script("a", takes(5))
        constellation = plan("a b", requires={"camera"}, effect=Effect.READ)

        async def unplug_for_a_while() -> None:
            house.device("cam").unplug()
            await anyio.sleep(20)
            assert house.orchestrator.why("b").kind == "device"
            house.device("cam").plug_in()

        result = await run_and(house, constellation, unplug_for_a_while, "load_balance")
    assert result["status"] == "completed"
    assert house.device("plain").started == []


async def test_a_device_that_never_comes_back_is_a_clear_failure() -> None:
    async with rig("d1", reconnect_delay=1, max_retries=2) as house:
        house.transport.script("a", hang)
        constellation = pinned("a b c", "d1")
        constellation.add_dependency(link("b>c"))
        result = await run_and(house, constellation, house.device("d1").unplug)
    assert result["results"]["a"].status == "unknown"
    error = result["results"]["b"].error
    assert result["results"]["b"].status == "failed"
    assert isinstance(error, NoFittingDeviceError)
    assert "is pinned to device 'd1', which cannot be reached" in str(error)
    assert "it is unplugged" in str(error)
    assert result["results"]["c"].status == "skipped"


async def test_a_task_that_moves_from_device_to_device_has_an_end() -> None:
    async with rig("d1", reconnect_delay=1, max_retries=10**6) as house:
        house.transport.script("a", DeviceLostError("d1", "always"))
        result = await house.run(plan("a", effect=Effect.READ, retry=RetryPolicy(jitter=0)))
    a = result["results"]["a"]
    assert (a.status, a.attempts) == ("unknown", 11)
    assert isinstance(a.error, OutcomeUnknownError)


async def test_devices_that_are_not_there_at_the_start_are_named() -> None:
    async with rig("d1", "d2", max_retries=0) as house:
        house.device("d1").plugged = house.device("d2").plugged = False
        with pytest.raises(ValueError, match=r"No available devices.*d1.*it is unplugged.*d2"):
            await house.run(plan("a"))


async def test_a_device_that_comes_later_than_the_start_gets_work_too() -> None:
    async with rig("d1", "d2", reconnect_delay=1) as house:
        house.device("d2").refusals_left = 1
        constellation = plan("t0 t1 t2 t3 t4 t5 t6 t7")
        house.transport.default = takes(10)
        await house.run(constellation)
        assert anyio.current_time() < 60
    assert len(house.device("d2").ended) >= 3


async def test_a_device_registered_while_a_plan_runs_gets_work() -> None:
    async with rig("d1") as house:
        house.transport.default = takes(10)
        constellation = plan("t0 t1 t2 t3 t4 t5 t6 t7", "t0>t7")
        await run_and(house, constellation, lambda: house.manager.register_device("d2", "fake"), "load_balance")
        assert anyio.current_time() <= 51
    assert house.device("d2").ended
    assert len(house.device("d1").ended) + len(house.device("d2").ended) == 8
    assigned = [event.data["device_id"] for event in house.recorder.of(EventType.TASK_ASSIGNED)]
    assert "d2" in assigned


async def test_a_device_registered_in_the_moment_between_two_tasks_loses_none() -> None:
    """Tasks that already hold a slot but have not started are placed anew, too, or start where they were."""
    async with rig("d1", slots=3) as house:
        constellation = plan("a b c d e", "a>b a>c a>d a>e")

        class Registering:
            async def on_event(self, event: Any) -> None:
                if event.event_type is EventType.TASK_COMPLETED and event.task_id == "a":
                    await house.manager.register_device("d2", "fake")

        house.bus.subscribe(Registering())
        result = await house.run(constellation)
    assert result["status"] == "completed"


async def test_a_device_removed_while_a_plan_runs_hands_its_tasks_over() -> None:
    async with rig("d1", "d2") as house:
        house.transport.default = takes(10)
        constellation = plan("t0 t1 t2 t3", effect=Effect.READ)
        result = await run_and(house, constellation, lambda: house.manager.remove_device("d1"), "round_robin")
    assert result["status"] == "completed"
    assert sorted(house.device("d2").ended) == ["t0", "t1", "t2", "t3"]


async def test_tasks_pinned_to_a_device_that_is_removed_fail_clearly() -> None:
    async with rig("d1", "d2") as house:
        house.transport.script("a", hang)
        constellation = pinned("a b", "d1")
        result = await run_and(house, constellation, lambda: house.manager.remove_device("d1"))
    assert [str(one.status) for one in result["results"].values()] == ["unknown", "failed"]
    assert isinstance(result["results"]["b"].error, ValueError)


async def test_a_disconnected_device_hands_its_tasks_over_too() -> None:
    async with rig("d1", "d2") as house:
        house.transport.default = takes(10)
        constellation = plan("t0 t1 t2 t3", effect=Effect.IDEMPOTENT)
        result = await run_and(house, constellation, lambda: house.manager.disconnect_device("d1"), "round_robin")
    assert result["status"] == "completed"
    assert sorted(house.device("d2").ended) == ["t0", "t1", "t2", "t3"]


async def test_a_queue_keeps_its_order_over_a_lost_connection() -> None:
    async with rig("d1", reconnect_delay=5) as house:
        house.transport.script("t0", takes(1))
        constellation = pinned(" ".join(f"t{i}" for i in range(12)), "d1")

        async def flap() -> None:
            house.device("d1").unplug()
            house.device("d1").plug_in()

        await run_and(house, constellation, flap)
    assert house.device("d1").started == [f"t{i}" for i in range(12)]


class TestRefusals:
    async def test_a_refused_attempt_is_tried_again_as_the_policy_says(self) -> None:
        async with rig() as house:
            house.transport.script("a", Refused("busy"), Completed())
            result = await house.run(plan("a", retry_count=1))
        assert (result["status"], result["results"]["a"].attempts) == ("completed", 2)
        assert [event.data["reason"] for event in house.recorder.of(EventType.TASK_RETRYING)] == ["refused"]

    async def test_a_refused_task_without_retries_has_failed_and_says_that_it_never_started(self) -> None:
        async with rig() as house:
            house.transport.script("a", Refused("disk full"))
            result = await house.run(plan("a"))
        error = result["results"]["a"].error
        assert isinstance(error, TaskRefusedError)
        assert "was not started: disk full" in str(error)

    async def test_a_refusal_by_a_device_that_went_moves_even_what_may_run_once_only(self) -> None:
        async with rig("d1", "d2", reconnect_delay=3600) as house:

            def refuse(attempt: Any) -> Refused | Completed:
                if attempt.device_id == "d2":
                    return Completed("there")
                house.manager.lane_book.lanes["d1"].lost(DeviceLostError("d1", "cable"))
                return Refused("gone before it started")

            house.transport.script("a", refuse)
            result = await house.run(plan("a"), "round_robin")
        assert (result["status"], result["results"]["a"].result) == ("completed", "there")

    async def test_what_is_no_outcome_at_all_is_the_transports_failure(self) -> None:
        async with rig() as house:
            house.transport.script("a", lambda attempt: "done!")
            result = await house.run(plan("a"))
        assert result["results"]["a"].status == "failed"
        assert "transport 'fake' returned str instead of Completed, Refused or Unknown" in str(
            result["results"]["a"].error
        )


@pytest.mark.parametrize("anyio_backend", ["asyncio"], indirect=True)  # on trio only trio itself makes cancellations
async def test_a_cancellation_that_comes_from_the_devices_own_library_fails_the_task_alone() -> None:
    """A library that cancels a task of its own raises asyncio's error where nobody asked for it."""
    async with rig() as house:

        async def cancelled_inside(attempt: Any) -> Any:
            raise asyncio.CancelledError

        house.transport.script("a", cancelled_inside)
        result = await house.run(plan("a b", "a~b"))
    assert [str(one.status) for one in result["results"].values()] == ["failed", "completed"]


async def test_a_task_added_with_a_pin_where_it_does_not_fit_is_a_clear_failure() -> None:
    async with rig("d1", Device("cam", "fake", capabilities=frozenset({"camera"}))) as house:
        house.transport.script("a", takes(5))
        constellation = plan("a")

        def add() -> None:
            constellation.add_task(TaskStar("b", description="x", requires={"camera"}, target_device_id="d1"))
            constellation.add_task(TaskStar("c", description="x", requires={"camera"}, target_device_id="cam"))

        result = await run_and(house, constellation, add, "load_balance")
    assert isinstance(result["results"]["b"].error, NoFittingDeviceError)
    assert result["results"]["c"].status == "completed"


async def test_a_task_whose_requirements_change_before_it_is_ready_goes_where_it_fits() -> None:
    async with rig("d1", Device("cam", "fake", capabilities=frozenset({"camera"}))) as house:
        house.transport.script("a", takes(5))
        constellation = plan("a b", "a>b")

        def change() -> None:
            constellation.tasks["b"].requires = frozenset({"camera"})

        await run_and(house, constellation, change, "round_robin")
    assert house.device("cam").ended[-1:] == ["b"]


@pytest.mark.parametrize("strategy", ["round_robin", "load_balance", "capability_match", "earliest_finish"])
async def test_a_device_that_hangs_while_it_connects_does_not_hold_up_what_others_can_run(strategy: str) -> None:
    async with rig("d1", "d2") as house:
        house.device("d2").connect_s = 1e6
        house.transport.script("a", takes(2))
        result = await house.run(plan("a b", "a>b"), strategy)
        assert result["status"] == "completed"
        assert anyio.current_time() == pytest.approx(1 + 2)  # it had a second to answer


async def test_a_run_waits_for_the_only_device_that_fits_and_a_slow_one_joins_what_runs() -> None:
    phone = Device("phone", "fake", device_type="android")
    async with rig("d1", phone, "d3") as house:
        house.device("phone").connect_s, house.device("d3").connect_s = 10, 12
        constellation = plan("a b c", target_device_id=None)
        constellation.add_task(TaskStar("p", device_type=DeviceType.ANDROID))
        for task_id in "abcp":
            house.transport.script(task_id, takes(5))
        result = await house.run(constellation)
        ran = {task_id: found.device_id for task_id, found in result["results"].items()}
        assert result["status"] == "completed"
        assert ran["p"] == "phone"
        assert "d3" in ran.values()  # it came two seconds after the start, and took over what waited
        assert anyio.current_time() < 10 + 12


async def test_tasks_with_a_device_of_their_own_wait_for_it_alone() -> None:
    async with rig("d1", "d2") as house:
        house.device("d2").connect_s = 20
        constellation = plan("a", target_device_id="d1")
        constellation.add_task(TaskStar("b", target_device_id="d2"))
        result = await house.run(constellation, None)
        found = result["results"]
        assert result["status"] == "completed"
        assert found["b"].start_time.timestamp() - found["a"].start_time.timestamp() == pytest.approx(19)
