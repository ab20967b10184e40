"""The fakes behave as the Protocols say: the tests of everybody rely on them."""

from __future__ import annotations

from typing import Any

import anyio
import pytest

from galaxy_core import (
    Attempt,
    Call,
    Completed,
    Device,
    DeviceLostError,
    EventType,
    PluginRegistry,
    Refused,
    Session,
    TaskEvent,
    TaskStar,
    Transport,
    Unknown,
)
from galaxy_core.testing.fakes import FakeTransport, Recorder, hang, takes

pytestmark = pytest.mark.anyio
D1 = Device("d1", "fake")


def attempt(task_id: str = "a", **options: Any) -> Attempt:
    task = TaskStar(task_id, **options)
    return Attempt("run", task, "d1", 1, 1, task.request, None)


async def test_a_registry_takes_it_for_a_transport() -> None:
    registry, transport = PluginRegistry(discover=False), FakeTransport("mine")
    registry.register(transport)
    assert registry.transport("mine", "d1") is transport
    assert isinstance(transport, Transport)


async def test_a_session_is_open_while_inside() -> None:
    transport = FakeTransport()
    async with transport.open(D1, {"port": 1}) as session:
        assert isinstance(session, Session)
        assert (transport.device("d1").sessions, transport.device("d1").settings) == (1, {"port": 1})
        assert await session.probe() == {"fake": "d1"}
    assert (transport.device("d1").sessions, transport.device("d1").connects) == (0, 1)


async def test_a_script_is_played_in_order_and_its_last_step_repeated() -> None:
    transport = FakeTransport()
    boom = ValueError("boom")
    transport.script("a", Refused("busy"), boom, lambda attempt: Unknown(attempt.task_id), Completed(1))
    async with transport.open(D1, None) as session:
        assert await session.execute(attempt()) == Refused("busy")
        with pytest.raises(ValueError, match="boom"):
            await session.execute(attempt())
        assert await session.execute(attempt()) == Unknown("a")
        assert [await session.execute(attempt()) for _ in range(3)] == [Completed(1)] * 3
        assert await session.execute(attempt("other")) == Completed()
    assert transport.device("d1").started == ["a"] * 6 + ["other"]


async def test_calls_are_called_unless_a_script_says_otherwise() -> None:
    async def double(number: int) -> int:
        await anyio.sleep(1)
        return 2 * number

    transport = FakeTransport()
    async with transport.open(D1, None) as session:
        assert await session.execute(attempt(request=Call(double, (21,)))) == Completed(42)
        assert await session.execute(attempt(request=Call(len, ("abc",)))) == Completed(3)


async def test_steps_can_take_time_and_hang() -> None:
    transport = FakeTransport()
    transport.script("a", takes(5, Completed("late")))
    transport.script("b", hang)
    device = transport.device("d1")
    async with transport.open(D1, None) as session:
        assert await session.execute(attempt()) == Completed("late")
        assert anyio.current_time() == pytest.approx(5)
        with anyio.move_on_after(10) as scope:
            await session.execute(attempt("b"))
        assert scope.cancelled_caught
    assert (device.started, device.ended, device.cancelled, device.running) == (["a", "b"], ["a"], ["b"], [])


async def test_it_counts_how_many_attempts_run_at_once() -> None:
    transport = FakeTransport()
    transport.default = takes(1)
    async with transport.open(D1, None) as session, anyio.create_task_group() as group:
        for number in range(4):
            group.start_soon(session.execute, attempt(f"t{number}"))
    assert (transport.device("d1").most_running, transport.device("d1").running) == (4, [])


async def test_unplugging_ends_what_runs_and_keeps_it_from_connecting_until_it_is_plugged_in() -> None:
    transport = FakeTransport()
    transport.script("a", hang)
    device = transport.device("d1")
    async with transport.open(D1, None) as session:
        async with anyio.create_task_group() as group:

            async def lose() -> None:
                with pytest.raises(DeviceLostError, match="unplugged"):
                    await session.execute(attempt())

            group.start_soon(lose)
            await anyio.sleep(1)
            device.unplug()
        with pytest.raises(DeviceLostError):
            await session.probe()
        with pytest.raises(DeviceLostError):
            await session.execute(attempt())
    with pytest.raises(DeviceLostError):
        await transport.open(D1, None).__aenter__()
    device.plug_in()
    async with transport.open(D1, None) as session:
        assert await session.execute(attempt("b")) == Completed()
    assert device.cancelled == []


async def test_it_can_be_slow_or_fail_a_few_times_to_connect() -> None:
    transport = FakeTransport()
    device = transport.device("d1")
    device.refusals_left, device.connect_s = 2, 3
    for _ in range(2):
        with pytest.raises(DeviceLostError, match="does not answer yet"):
            await transport.open(D1, None).__aenter__()
    async with transport.open(D1, None):
        assert anyio.current_time() == pytest.approx(9)
    assert device.connects == 3


async def test_a_frozen_device_answers_neither_probes_nor_attempts() -> None:
    transport = FakeTransport()
    transport.device("d1").frozen = True
    async with transport.open(D1, None) as session:
        for question in (session.probe, lambda: session.execute(attempt())):
            with anyio.move_on_after(100) as scope:
                await question()
            assert scope.cancelled_caught


async def test_a_recorder_tells_what_it_heard() -> None:
    recorder = Recorder()
    for kind, task_id in ((EventType.TASK_STARTED, "a"), (EventType.TASK_STARTED, "b"), (EventType.TASK_FAILED, "a")):
        await recorder.on_event(TaskEvent(kind, "test", 0.0, {}, task_id, "x"))
    assert recorder.story() == ["task_started a", "task_started b", "task_failed a"]
    assert recorder.story(EventType.TASK_STARTED) == ["task_failed a"]
    assert recorder.story_of("a") == ["task_started", "task_failed"]
    assert [event.task_id for event in recorder.of(EventType.TASK_STARTED)] == ["a", "b"]
