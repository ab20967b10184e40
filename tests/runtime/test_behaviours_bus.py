"""The event bus: the facts that callers of its API rely on, and row 31 of the table of behaviours."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from galaxy_core import (
    AgentEvent,
    ConstellationEvent,
    DeviceEvent,
    Event,
    EventBus,
    EventType,
    IEventObserver,
    TaskConstellationOrchestrator,
    TaskEvent,
    get_event_bus,
)
from galaxy_core.testing.fakes import Recorder, takes

from .fakes import plan, rig, until

pytestmark = pytest.mark.anyio


def event(number: int = 0, kind: EventType = EventType.TASK_STARTED) -> TaskEvent:
    return TaskEvent(kind, "test", 0.0, {}, f"t{number}", "running")


def heard(recorder: Recorder) -> list[str]:
    return [one.task_id for one in recorder.events if isinstance(one, TaskEvent)]


class Raising:
    """Raises at every event; `how` is "sync" (before it returns an awaitable), "async", or what it raises."""

    def __init__(self, how: str = "async") -> None:
        self.how, self.count = how, 0

    def on_event(self, event: Event) -> Any:
        self.count += 1
        if self.how == "sync":
            raise RuntimeError("at once")
        return self._later()

    async def _later(self) -> None:
        await anyio.lowlevel.checkpoint()
        raise RuntimeError("a little later")


class Slow(Recorder):
    def __init__(self, seconds: float = 10) -> None:
        super().__init__("slow")
        self.seconds = seconds

    async def on_event(self, event: Event) -> None:
        await anyio.sleep(self.seconds)
        await super().on_event(event)


class Doing:
    """Does something with each event."""

    def __init__(self, do: Callable[[Event], Any]) -> None:
        self.do = do

    async def on_event(self, event: Event) -> None:
        await self.do(event)


class TestSubscribing:
    async def test_none_means_every_type(self) -> None:
        bus, recorder = EventBus(), Recorder()
        bus.subscribe(recorder)
        for kind in EventType:
            await bus.publish_event(event(kind=kind))
        assert [one.event_type for one in recorder.events] == list(EventType)

    async def test_a_set_means_these_types(self) -> None:
        bus, recorder = EventBus(), Recorder()
        bus.subscribe(recorder, {EventType.TASK_FAILED, EventType.TASK_COMPLETED})
        for kind in EventType:
            await bus.publish_event(event(kind=kind))
        assert {one.event_type for one in recorder.events} == {EventType.TASK_FAILED, EventType.TASK_COMPLETED}

    async def test_an_empty_set_means_none(self) -> None:
        bus, recorder = EventBus(), Recorder()
        bus.subscribe(recorder, set())
        await bus.publish_event(event())
        assert recorder.events == []

    async def test_subscribing_twice_delivers_once(self) -> None:
        bus, recorder = EventBus(), Recorder()
        bus.subscribe(recorder)
        bus.subscribe(recorder)
        bus.subscribe(recorder, {EventType.TASK_STARTED})
        await bus.publish_event(event())
        assert len(recorder.events) == 1

    async def test_subscribing_again_adds_types(self) -> None:
        bus, recorder = EventBus(), Recorder()
        bus.subscribe(recorder, {EventType.TASK_FAILED})
        bus.subscribe(recorder, {EventType.TASK_COMPLETED})
        for kind in (EventType.TASK_FAILED, EventType.TASK_COMPLETED, EventType.TASK_STARTED):
            await bus.publish_event(event(kind=kind))
        assert len(recorder.events) == 2

    async def test_unsubscribing_is_idempotent_and_ends_delivery(self) -> None:
        bus, recorder = EventBus(), Recorder()
        bus.unsubscribe(recorder)
        bus.subscribe(recorder)
        await bus.publish_event(event())
        bus.unsubscribe(recorder)
        bus.unsubscribe(recorder)
        await bus.publish_event(event())
        assert len(recorder.events) == 1

    async def test_anything_with_on_event_is_an_observer(self) -> None:
        events: list[Event] = []

        class Duck:
            def on_event(self, event: Event) -> None:
                events.append(event)

        bus = EventBus()
        bus.subscribe(Duck())  # type: ignore[arg-type]  # not even a coroutine
        await bus.publish_event(event())
        assert len(events) == 1

    async def test_a_class_of_ones_own_may_inherit_the_protocol(self) -> None:
        events: list[Event] = []

        class Tracker(IEventObserver):
            async def on_event(self, event: Event) -> None:
                events.append(event)

        bus = EventBus()
        bus.subscribe(Tracker(), {EventType.TASK_STARTED})
        await bus.publish_event(event())
        assert len(events) == 1

    def test_what_has_no_on_event_is_refused(self) -> None:
        with pytest.raises(TypeError, match="on_event"):
            EventBus().subscribe(object())  # type: ignore[arg-type]

    def test_there_is_one_bus_per_process_for_those_who_want_it(self) -> None:
        assert get_event_bus() is get_event_bus()
        assert isinstance(get_event_bus(), EventBus)

    def test_events_have_the_fields_of_the_api_document(self) -> None:
        task = TaskEvent(EventType.TASK_FAILED, "s", 1.0, {"k": 1}, "t", "failed", None, ValueError("x"))
        assert (task.event_type, task.source_id, task.timestamp, task.data) == (
            EventType.TASK_FAILED,
            "s",
            1.0,
            {"k": 1},
        )
        assert (task.task_id, task.status, task.result, str(task.error)) == ("t", "failed", None, "x")
        plan_event = ConstellationEvent(EventType.CONSTELLATION_STARTED, "s", 1.0, {}, "c", "executing")
        assert (plan_event.constellation_id, plan_event.constellation_state, plan_event.new_ready_tasks) == (
            "c",
            "executing",
            None,
        )
        device = DeviceEvent(EventType.DEVICE_CONNECTED, "s", 1.0, {}, "d", "idle", {"a": 1}, {"d": {}})
        assert (device.device_id, device.device_status, device.device_info, device.all_devices) == (
            "d",
            "idle",
            {"a": 1},
            {"d": {}},
        )
        agent = AgentEvent(EventType.AGENT_RESPONSE, "s", 1.0, {}, "name", "type", "text", {"x": 1})
        assert (agent.agent_name, agent.agent_type, agent.output_type, agent.output_data) == (
            "name",
            "type",
            "text",
            {"x": 1},
        )


class TestDelivery:
    async def test_each_observer_gets_all_events_in_order(self) -> None:
        bus, recorders = EventBus(), [Recorder(), Recorder(), Slow(0.1)]
        for recorder in recorders:
            bus.subscribe(recorder)
        bus.post([event(number) for number in range(50)])
        for number in range(50, 100):
            bus.post((event(number),))
        await bus.drain()
        assert [heard(recorder) for recorder in recorders] == [[f"t{number}" for number in range(100)]] * 3

    async def test_one_event_after_the_other_even_when_many_publish_at_once(self) -> None:
        bus = EventBus()
        inside = 0
        most = 0

        async def look(_: Event) -> None:
            nonlocal inside, most
            inside += 1
            most = max(most, inside)
            await anyio.sleep(1)
            inside -= 1

        bus.subscribe(Doing(look))
        async with anyio.create_task_group() as group:
            for number in range(10):
                group.start_soon(bus.publish_event, event(number))
        assert most == 1
        assert anyio.current_time() == pytest.approx(10)

    async def test_publishing_directly_awaits_delivery(self) -> None:
        bus, slow = EventBus(), Slow(7)
        bus.subscribe(slow)
        await bus.publish_event(event())
        assert anyio.current_time() == pytest.approx(7)
        assert len(slow.events) == 1

    async def test_observers_hear_an_event_at_the_same_time(self) -> None:
        bus = EventBus()
        for _ in range(5):
            bus.subscribe(Slow(7))
        await bus.publish_event(event())
        assert anyio.current_time() == pytest.approx(7)

    @pytest.mark.parametrize("how", ["sync", "async"])
    async def test_an_observer_that_raises_is_logged_by_name_and_starves_nobody(
        self, how: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        bus, before, raising, after = EventBus(), Recorder(), Raising(how), Recorder()
        for observer in (before, raising, after):
            bus.subscribe(observer)
        for number in range(3):
            await bus.publish_event(event(number))
        assert heard(before) == heard(after) == ["t0", "t1", "t2"]
        assert raising.count == 3
        records = [record for record in caplog.records if record.levelno == logging.ERROR]
        assert len(records) == 3
        assert "observer Raising raised" in records[0].getMessage()
        assert records[0].exc_info is not None

    @pytest.mark.parametrize("anyio_backend", ["asyncio"], indirect=True)  # on trio only trio makes cancellations
    async def test_an_observer_that_awaits_a_cancelled_task_of_its_own_goes_on_hearing(self) -> None:
        bus, recorder = EventBus(), Recorder()

        async def cancelled_inside(_: Event) -> None:
            if not recorder.events:
                task = asyncio.ensure_future(asyncio.sleep(5))
                task.cancel()
                try:
                    await task
                finally:
                    recorder.events.append(event())

        doing = Doing(cancelled_inside)
        bus.subscribe(doing)
        with anyio.fail_after(5):
            await bus.publish_event(event(0))
            bus.unsubscribe(doing)
            other = Recorder()
            bus.subscribe(other)
            await bus.publish_event(event(1))
        assert heard(other) == ["t1"]

    async def test_what_is_in_the_mailbox_of_who_leaves_is_still_delivered(self) -> None:
        bus, slow = EventBus(), Slow(1)
        bus.subscribe(slow)
        bus.post([event(number) for number in range(3)])
        bus.unsubscribe(slow)
        await anyio.sleep(10)
        assert heard(slow) == ["t0", "t1", "t2"]

    async def test_an_observer_may_unsubscribe_itself_while_it_hears(self) -> None:
        bus, recorder = EventBus(), Recorder()

        async def once(one: Event) -> None:
            recorder.events.append(one)
            bus.unsubscribe(doing)

        doing = Doing(once)
        bus.subscribe(doing)
        await bus.publish_event(event(0))
        await bus.publish_event(event(1))
        assert heard(recorder) == ["t0"]

    async def test_a_batching_observer_gets_batches_in_order_through_that_method_alone(self) -> None:
        batches: list[list[str]] = []

        class Batching:
            async def on_event(self, event: Event) -> None:
                raise AssertionError("not called")

            async def on_events(self, events: Sequence[Event]) -> None:
                batches.append([one.task_id for one in events if isinstance(one, TaskEvent)])

        bus = EventBus()
        bus.subscribe(Batching())
        bus.post([event(number) for number in range(5)])
        bus.post([event(number) for number in range(5, 8)])
        await bus.drain()
        assert [task_id for batch in batches for task_id in batch] == [f"t{number}" for number in range(8)]
        assert len(batches) < 8


class TestPublishingInsideAHandler:
    async def test_what_a_handler_publishes_comes_after_what_it_hears(self) -> None:
        bus, recorder = EventBus(), Recorder()

        async def answer(one: Event) -> None:
            if one.event_type is EventType.TASK_COMPLETED:
                await bus.publish_event(event(9, EventType.CONSTELLATION_MODIFIED))

        bus.subscribe(Doing(answer))
        bus.subscribe(recorder)
        with anyio.fail_after(5):
            await bus.publish_event(event(0, EventType.TASK_COMPLETED))
        assert [one.event_type for one in recorder.events] == [
            EventType.TASK_COMPLETED,
            EventType.CONSTELLATION_MODIFIED,
        ]

    async def test_a_handler_does_not_wait_for_itself(self) -> None:
        bus = EventBus()
        seen: list[EventType] = []

        async def echo(one: Event) -> None:
            seen.append(one.event_type)
            if one.event_type is EventType.TASK_COMPLETED:
                await bus.publish_event(event(0, EventType.AGENT_ACTION))
                seen.append(EventType.AGENT_RESPONSE)

        bus.subscribe(Doing(echo))
        with anyio.fail_after(5):
            await bus.publish_event(event(0, EventType.TASK_COMPLETED))
            await bus.drain()
        assert seen == [EventType.TASK_COMPLETED, EventType.AGENT_RESPONSE, EventType.AGENT_ACTION]

    async def test_handlers_that_publish_to_each_other_do_not_wait_in_a_ring(self) -> None:
        bus = EventBus()
        count = 0

        async def ping(one: Event) -> None:
            nonlocal count
            if count < 50:
                count += 1
                await bus.publish_event(event(count))

        for _ in range(3):
            bus.subscribe(Doing(ping))
        with anyio.fail_after(5):
            await bus.publish_event(event(0))
            await bus.drain()
        assert count == 50

    async def test_a_whole_plan_can_be_run_inside_a_handler(self) -> None:
        async with rig() as house:
            inner: list[Any] = []

            async def run_another(one: Event) -> None:
                if one.event_type is EventType.TASK_COMPLETED and not inner:
                    inner.append(None)
                    inner[0] = await house.run(plan("inner", constellation_id="inner"))

            house.bus.subscribe(Doing(run_another))
            with anyio.fail_after(100):
                outer = await house.run(plan("a b", "a>b", constellation_id="outer"))
        assert (outer["status"], inner[0]["status"]) == ("completed", "completed")

    async def test_a_handler_that_waits_for_the_end_of_a_run_is_not_waited_for_by_that_run(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        async with rig() as house:
            told: list[bool] = []

            async def cancel_the_rest(one: Event) -> None:
                if one.event_type is EventType.TASK_COMPLETED:
                    told.append(await house.orchestrator.cancel_execution("chain"))

            house.transport.script("b", takes(1e3))
            house.bus.subscribe(Doing(cancel_the_rest))
            result = await house.run(plan("a b", "a>b", constellation_id="chain"))
            await house.bus.drain()
        assert (told, result["status"]) == ([True], "cancelled")
        assert "has not moved" not in caplog.text

    async def test_who_begins_to_wait_for_the_end_of_a_run_that_waits_already_is_waited_for_no_longer(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        bus, over = EventBus(), anyio.Event()

        async def linger(_: Event) -> None:
            await anyio.sleep(1)
            await bus.wait_for_end(over)

        bus.subscribe(Doing(linger))
        bus.post((event(),))
        await bus.drain(over=over)
        assert anyio.current_time() == pytest.approx(1)
        assert "has not moved" not in caplog.text
        over.set()

    async def test_an_observer_that_waits_for_one_run_is_still_waited_for_by_others(self) -> None:
        bus, over, recorder = EventBus(), anyio.Event(), Recorder()

        async def wait(one: Event) -> None:
            await bus.wait_for_end(over)
            recorder.events.append(one)

        bus.subscribe(Doing(wait))
        bus.post((event(),))
        async with anyio.create_task_group() as group:
            group.start_soon(bus.drain)
            await anyio.sleep(1)
            over.set()
        assert heard(recorder) == ["t0"]

    async def test_a_handler_can_wait_for_the_ends_of_several_runs_at_once(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        async with rig() as house:
            cancelled: list[str] = []

            async def cancel_all(one: Event) -> None:
                if one.event_type is EventType.TASK_STARTED and not cancelled:
                    cancelled.append("")
                    cancelled[:] = await house.orchestrator.cancel_all()

            house.transport.default = takes(1e6)
            house.bus.subscribe(Doing(cancel_all))
            async with anyio.create_task_group() as group:
                for name in ("one", "two"):
                    group.start_soon(house.run, plan(f"{name}_a", constellation_id=name))
            await house.bus.drain()
        assert sorted(cancelled) == ["one", "two"]
        assert "has not moved" not in caplog.text


class TestInARun:
    async def test_one_observer_of_the_plugins_of_two_orchestrators_hears_the_runs_of_both_once(self) -> None:
        recorder = Recorder()
        async with rig(plugins=[recorder]) as house:
            other = TaskConstellationOrchestrator(house.manager, event_bus=house.bus)
            await house.run(plan("a"))
            await other.orchestrate_constellation(plan("b"), assignment_strategy="round_robin")
            await house.run(plan("c"))
        for task_id in ("a", "b", "c"):
            assert recorder.story_of(task_id) == ["task_started", "task_completed"]

    async def test_when_nothing_of_an_orchestrator_runs_the_bus_does_not_keep_its_plugins_observers(self) -> None:
        recorder = Recorder()
        async with rig(slots=2, plugins=[recorder]) as house:
            house.transport.script("a", takes(2))
            async with anyio.create_task_group() as group:
                group.start_soon(house.run, plan("a"))
                group.start_soon(house.run, plan("b"))
                await until(lambda: recorder.story_of("b"))
                await anyio.sleep(1)
                assert house.bus.is_subscribed(recorder, EventType.TASK_STARTED)
            assert not house.bus.is_subscribed(recorder, EventType.TASK_STARTED)
        assert recorder.story_of("a") == ["task_started", "task_completed"]

    async def test_what_the_program_subscribed_itself_outlives_the_runs(self) -> None:
        recorder = Recorder()
        async with rig(plugins=[recorder]) as house:
            house.bus.subscribe(recorder, {EventType.TASK_FAILED})
            await house.run(plan("a"))
            assert house.bus.is_subscribed(recorder, EventType.TASK_FAILED)
            assert not house.bus.is_subscribed(recorder, EventType.TASK_STARTED)
        assert recorder.story_of("a") == ["task_started", "task_completed"]

    async def test_a_slow_observer_delays_neither_the_scheduler_nor_the_others(self) -> None:
        async with rig(slots=4) as house:
            slow = Slow(3)
            house.bus.subscribe(slow)
            constellation = plan("a b c d", "a>b b>c c>d")
            seen_at: dict[str, float] = {}

            async def note(one: Event) -> None:
                if isinstance(one, TaskEvent) and one.event_type is EventType.TASK_COMPLETED:
                    seen_at[one.task_id] = anyio.current_time()

            house.bus.subscribe(Doing(note))
            house.transport.default = takes(1)
            async with anyio.create_task_group() as group:
                group.start_soon(house.run, constellation)
                await until(lambda: constellation.tasks["d"].is_terminal)
                assert anyio.current_time() == pytest.approx(4, abs=0.1)
                assert len(slow.events) < 3
        assert list(seen_at.values()) == [pytest.approx(number, abs=0.01) for number in (1, 2, 3, 4)]

    async def test_a_run_waits_until_a_slow_observer_has_heard_everything(self) -> None:
        async with rig() as house:
            slow = Slow(3)
            house.bus.subscribe(slow, {EventType.TASK_COMPLETED})
            await house.run(plan("a b c"))
            assert len(slow.events) == 3

    async def test_an_observer_that_is_stuck_is_left_behind_and_named(self, caplog: pytest.LogCaptureFixture) -> None:
        async with rig() as house:

            async def stuck(one: Event) -> None:
                await anyio.sleep_forever()

            house.bus.subscribe(Doing(stuck))
            result = await house.run(plan("a b c"))
            assert anyio.current_time() < 60
        assert result["status"] == "completed"
        assert "observer Doing has not moved for 10 s" in caplog.text

    async def test_observers_that_raise_change_nothing(self) -> None:
        async with rig() as house:
            house.bus.subscribe(Raising("sync"))
            house.bus.subscribe(Raising("async"))
            result = await house.run(plan("a b", "a>b"))
        assert result["status"] == "completed"
        assert house.recorder.story_of("b") == ["task_started", "task_completed"]

    async def test_who_subscribes_while_a_run_is_under_way_hears_the_rest(self) -> None:
        async with rig() as house:
            house.transport.default = takes(1)
            late = Recorder()
            async with anyio.create_task_group() as group:
                group.start_soon(house.run, plan("a b c", "a>b b>c"))
                await anyio.sleep(1.5)
                house.bus.subscribe(late)
        assert late.story_of("c") == ["task_started", "task_completed"]
