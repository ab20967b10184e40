"""What the device manager does: the facts that callers of its API rely on, and row 32 of the table of behaviours."""

from __future__ import annotations

import inspect
import traceback
from typing import Any

import anyio
import pydantic
import pytest

from galaxy_core import (
    Command,
    Completed,
    ConstellationDeviceManager,
    Device,
    DeviceLostError,
    DeviceType,
    DuplicateIdError,
    EventBus,
    EventType,
    ExecutionResult,
    SecretRef,
    SettingsError,
    TaskTimeoutError,
    Unknown,
    UnknownDeviceError,
    UnknownTransportError,
)
from galaxy_core.testing.fakes import FakeTransport, hang, takes

from .fakes import Rig, plan, rig, until

pytestmark = pytest.mark.anyio


async def assign(house: Rig, task_id: str, device_id: str = "d1", **options: Any) -> ExecutionResult:
    return await house.manager.assign_task_to_device(task_id, device_id, f"do {task_id}", {}, **options)


class TestRegistering:
    def test_the_signature_is_that_of_the_api_document_with_a_transport_in_place_of_the_address(self) -> None:
        own = list(inspect.signature(ConstellationDeviceManager).parameters.values())[:3]
        assert [(p.name, p.default) for p in own] == [
            ("task_name", "test_task"),
            ("heartbeat_interval", 30.0),
            ("reconnect_delay", 5.0),
        ]
        register = inspect.signature(ConstellationDeviceManager.register_device).parameters
        assert list(register)[1:8] == [
            "device_id",
            "transport",
            "settings",
            "os",
            "capabilities",
            "metadata",
            "auto_connect",
        ]
        assert register["auto_connect"].default is True

    async def test_registering_connects_and_tells(self) -> None:
        async with rig() as house:
            connected = await house.manager.register_device(
                "new", "fake", os="Linux", capabilities=["gpu", "camera"], metadata={"room": 3}
            )
            info = house.manager.device_registry.get_device_info("new")
            assert house.manager.get_connected_devices() == ["new"]
            await house.bus.drain()
        assert connected is True
        assert info is not None
        assert (info.device_type, sorted(info.capabilities), info.metadata) == ("linux", ["camera", "gpu"], {"room": 3})
        (event,) = house.recorder.of(EventType.DEVICE_CONNECTED)
        assert (event.device_id, event.device_status) == ("new", "idle")
        assert sorted(event.all_devices) == ["d1", "new"]
        assert event.device_info["capabilities"] == ["camera", "gpu"]

    async def test_registering_without_connecting(self) -> None:
        async with rig() as house:
            assert await house.manager.register_device("new", "fake", auto_connect=False) is True
            assert house.manager.get_connected_devices() == []
            assert await house.manager.connect_device("new") is True
            assert house.manager.get_device_status("new")["status"] == "idle"

    async def test_a_device_that_does_not_answer_is_registered_but_not_connected(self) -> None:
        async with rig() as house:
            house.device("new").plugged = False
            assert await house.manager.register_device("new", "fake") is False
            assert "new" in house.manager.get_all_devices()
            assert house.manager.get_all_devices(connected=True) == {}

    async def test_registering_an_id_twice_is_refused_and_leaves_the_busy_device_alone(self) -> None:
        async with rig() as house:
            house.transport.script("a", takes(5))
            constellation = plan("a")
            async with anyio.create_task_group() as group:
                group.start_soon(house.run, constellation)
                await until(constellation.get_running_tasks)
                with pytest.raises(DuplicateIdError, match="Device with ID d1 already exists"):
                    await house.manager.register_device("d1", "fake")
                assert house.manager.get_device_status("d1")["status"] == "busy"
            assert house.slots_are_free()

    async def test_an_unknown_transport_offers_the_nearest(self) -> None:
        async with rig() as house:
            with pytest.raises(UnknownTransportError, match=r"'fakee'.*did you mean 'fake'"):
                await house.manager.register_device("new", "fakee")

    async def test_settings_are_checked_by_the_transport_before_anything_connects(self) -> None:
        class Settings(pydantic.BaseModel):
            port: int

        transport = FakeTransport("strict", settings_model=Settings, device_type="android")
        async with rig(plugins=[transport]) as house:
            with pytest.raises(SettingsError, match="port"):
                await house.manager.register_device("new", "strict", {"port": "many"})
            assert await house.manager.register_device("good", "strict", {"port": 5555}) is True
        assert transport.device("good").settings == Settings(port=5555)
        assert transport.device("new").connects == 0

    async def test_every_reason_against_settings_is_told_with_its_place_and_without_values(self) -> None:
        class Settings(pydantic.BaseModel):
            model_config = pydantic.ConfigDict(extra="forbid")
            port: int
            host: str = pydantic.Field(description="Its name in the network.")
            jumps: list[int] = pydantic.Field(default_factory=list)

        transport = FakeTransport("strict", settings_model=Settings)
        async with rig(plugins=[transport]) as house:
            with pytest.raises(SettingsError) as caught:
                house.manager.add_device(
                    Device("new", "strict", {"port": "hunter2", "jumps": [1, "x"], "hots": "here"})
                )
        assert caught.value.problems == (
            ("port", "found a text; a whole number is wanted here"),
            ("", "'host' is missing: Its name in the network"),
            ("jumps[1]", "found a text; a whole number is wanted here"),
            ("hots", "unknown key 'hots'; did you mean 'host'?; allowed are 'port', 'host', 'jumps'"),
        )
        assert "hunter2" not in str(caught.value)
        assert "pydantic" not in str(caught.value)

    async def test_a_secret_that_a_transport_quotes_in_its_complaint_is_not_shown(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        class Settings(pydantic.BaseModel):
            password: str

            @pydantic.field_validator("password")
            @classmethod
            def _is_long(cls, word: str) -> str:
                if word == "hunter2":
                    raise ValueError(f"{word} is too short")
                return word

        monkeypatch.setenv("WORD", "hunter2")
        transport = FakeTransport("strict", settings_model=Settings)
        async with rig(plugins=[transport]) as house:
            house.manager.add_device(Device("new", "strict", {"password": SecretRef(env="WORD")}))
            with pytest.raises(SettingsError, match="password: found a text; … is too short") as caught:
                await house.manager._prepare(house.manager.device_registry.get_all_devices()["new"])
        assert "hunter2" not in "".join(traceback.format_exception(caught.value))

    async def test_a_device_is_of_its_transports_type_unless_it_says_otherwise(self) -> None:
        transport = FakeTransport("phone", device_type="android")
        async with rig(plugins=[transport]) as house:
            await house.manager.register_device("one", "phone")
            await house.manager.register_device("other", "phone", device_type=DeviceType.IOS)
            infos = house.manager.device_registry.get_all_devices()
        assert (infos["one"].device_type, infos["other"].device_type) == ("android", "ios")

    async def test_a_removed_device_is_forgotten(self) -> None:
        async with rig("d1", "d2") as house:
            await house.manager.connect_all()
            assert await house.manager.remove_device("d1") is True
            assert await house.manager.remove_device("d1") is False
            assert list(house.manager.get_all_devices()) == ["d2"]
        assert house.device("d1").sessions == 0


class TestConnections:
    async def test_disconnecting_closes_every_session_and_tells(self) -> None:
        async with rig("d1", "d2") as house:
            assert sorted(await house.manager.connect_all()) == ["d1", "d2"]
            await house.manager.disconnect_all()
            assert (house.device("d1").sessions, house.device("d2").sessions) == (0, 0)
            assert house.manager.get_connected_devices() == []
            await house.bus.drain()
        assert sorted(event.device_id for event in house.recorder.of(EventType.DEVICE_DISCONNECTED)) == ["d1", "d2"]

    async def test_disconnecting_twice_or_before_connecting_does_nothing(self) -> None:
        async with rig() as house:
            await house.manager.disconnect_all()
            await house.manager.connect_all()
            await house.manager.disconnect_all()
            await house.manager.disconnect_all()
            assert (house.device().connects, house.device().sessions) == (1, 0)
            await house.bus.drain()
        assert len(house.recorder.of(EventType.DEVICE_DISCONNECTED)) == 1

    async def test_the_manager_disconnects_when_its_block_is_left(self) -> None:
        async with rig() as house:
            await house.manager.connect_all()
        assert house.device().sessions == 0

    async def test_sessions_stay_open_between_runs(self) -> None:
        async with rig() as house:
            await house.run(plan("a"))
            await house.run(plan("b"))
        assert house.device().connects == 1

    async def test_connecting_is_tried_again_with_growing_waits_until_it_works(self) -> None:
        async with rig(reconnect_delay=4) as house:
            house.device().refusals_left = 3
            assert await house.manager.connect_device("d1") is False
            await until(house.manager.get_connected_devices)
            assert 4 * 0.9 + 8 * 0.9 + 16 * 0.9 <= anyio.current_time() <= 4 + 8 + 16
        assert house.device().connects == 4

    async def test_after_its_last_try_a_device_has_failed_and_says_why(self) -> None:
        async with rig(max_retries=2) as house:
            house.device().plugged = False
            await house.manager.connect_device("d1")
            await until(lambda: house.manager.get_device_status("d1")["status"] == "failed")
            assert house.device().connects == 3
            assert "it is unplugged" in house.manager.get_device_status("d1")["error"]

    async def test_a_failed_device_can_be_connected_again(self) -> None:
        async with rig(max_retries=0) as house:
            house.device().plugged = False
            assert await house.manager.connect_device("d1") is False
            house.device().plug_in()
            assert await house.manager.connect_device("d1") is True

    async def test_a_device_that_hangs_while_it_connects_is_given_up_after_a_while(self) -> None:
        async with rig() as house:
            house.device().connect_s = 1e6
            assert await house.manager.connect_device("d1") is False
            assert anyio.current_time() == pytest.approx(30)

    async def test_a_device_that_hangs_while_it_connects_can_be_disconnected_at_once(self) -> None:
        async with rig() as house:
            house.device().connect_s = 1e6
            async with anyio.create_task_group() as group:
                group.start_soon(house.manager.connect_device, "d1")
                await until(lambda: house.device().connects == 1)
                await house.manager.disconnect_all()
            assert anyio.current_time() == pytest.approx(0)

    async def test_connecting_an_unknown_device_is_an_error(self) -> None:
        async with rig() as house:
            with pytest.raises(UnknownDeviceError, match="Device d9 is not registered"):
                await house.manager.connect_device("d9")


class TestHealth:
    async def test_a_device_is_probed_at_each_heartbeat(self) -> None:
        async with rig(heartbeat_interval=10) as house:
            await house.manager.connect_all()
            await anyio.sleep(55)
        assert house.device().probes == 5

    @pytest.mark.parametrize("how", ["raises", "hangs"])
    async def test_a_failing_probe_takes_the_lane_down_and_the_device_is_connected_again(self, how: str) -> None:
        async with rig(heartbeat_interval=10, reconnect_delay=5) as house:
            await house.manager.connect_all()
            if how == "raises":
                house.device().probe_error = OSError("no answer")
            else:
                house.device().frozen = True
            await until(lambda: not house.manager.get_connected_devices())
            assert anyio.current_time() == pytest.approx(10 if how == "raises" else 20, abs=0.1)
            assert house.manager.get_device_status("d1")["status"] == "disconnected"
            house.device().probe_error = None
            house.device().frozen = False
            await until(house.manager.get_connected_devices)
            await house.bus.drain()
        assert house.device().connects == 2
        assert [event.event_type for event in house.recorder.of(*DEVICE_EVENTS)] == [
            EventType.DEVICE_CONNECTED,
            EventType.DEVICE_DISCONNECTED,
            EventType.DEVICE_CONNECTED,
            EventType.DEVICE_DISCONNECTED,
        ]

    async def test_a_probe_that_hangs_does_not_hold_up_disconnecting(self) -> None:
        async with rig(heartbeat_interval=10) as house:
            await house.manager.connect_all()
            house.device().frozen = True
            await anyio.sleep(11)
            before = anyio.current_time()
            await house.manager.disconnect_all()
            assert anyio.current_time() == before

    async def test_disconnecting_is_told_once(self) -> None:
        async with rig() as house:
            await house.manager.connect_all()
            house.device().unplug()
            house.device().probe_error = OSError("gone")
            await until(lambda: not house.manager.get_connected_devices())
            await house.bus.drain()
            assert len(house.recorder.of(EventType.DEVICE_DISCONNECTED)) == 1
            statuses = [event.device_status for event in house.recorder.of(EventType.DEVICE_STATUS_CHANGED)]
        assert statuses == ["connecting", "idle", "disconnected"]


DEVICE_EVENTS = (EventType.DEVICE_CONNECTED, EventType.DEVICE_DISCONNECTED)


class TestQuestions:
    async def test_what_runs_and_waits_on_a_device(self) -> None:
        async with rig() as house:
            house.transport.script("a", takes(5))
            constellation = plan("a b c")
            async with anyio.create_task_group() as group:
                group.start_soon(house.run, constellation)
                await until(constellation.get_running_tasks)
                status = house.manager.get_task_queue_status("d1")
                assert house.manager.get_device_status("d1")["status"] == "busy"
        assert status == {
            "device_id": "d1",
            "is_busy": True,
            "current_task_id": "a",
            "queue_size": 2,
            "queued_task_ids": ["b", "c"],
            "pending_task_ids": ["a", "b", "c"],
        }

    async def test_unknown_devices_are_an_answer_not_an_exception(self) -> None:
        async with rig() as house:
            assert house.manager.get_device_status("d9") == {"error": "Device d9 not found"}
            assert house.manager.get_task_queue_status("d9") == {"error": "Device d9 not found"}
            assert house.manager.device_registry.get_device_info("d9") is None

    async def test_connected_means_connected_idle_or_busy(self) -> None:
        async with rig("d1", "d2") as house:
            await house.manager.connect_device("d1")
            assert list(house.manager.get_all_devices()) == ["d1", "d2"]
            assert list(house.manager.get_all_devices(connected=True)) == ["d1"]


class TestAssigningATask:
    async def test_it_runs_and_its_result_comes_back(self) -> None:
        async with rig() as house:
            await house.manager.connect_all()
            house.transport.script("a", Completed("payload", 0, "out", "err"))
            result = await assign(house, "a")
        assert (result.task_id, result.status, result.result, result.stdout) == ("a", "completed", "payload", "out")
        assert result.is_successful
        assert result.execution_time is not None
        assert house.device().attempts[0].task.task_description == "do a"

    async def test_an_unknown_device_is_a_value_error(self) -> None:
        async with rig() as house:
            with pytest.raises(ValueError, match="Device d9 is not registered"):
                await assign(house, "a", "d9")

    async def test_a_device_that_is_not_connected_is_a_value_error(self) -> None:
        async with rig() as house:
            with pytest.raises(ValueError, match=r"Device d1 is not connected \(status: disconnected\)"):
                await assign(house, "a")

    async def test_a_busy_device_serves_in_the_order_of_asking(self) -> None:
        async with rig() as house:
            await house.manager.connect_all()
            house.transport.default = takes(1)
            async with anyio.create_task_group() as group:
                for number in range(4):
                    group.start_soon(assign, house, f"t{number}")
                    await until(lambda number=number: len(pending(house)) == number + 1)
        assert house.device().started == ["t0", "t1", "t2", "t3"]
        assert house.device().most_running == 1

    async def test_a_device_is_busy_while_it_works_and_says_so(self) -> None:
        async with rig() as house:
            await house.manager.connect_all()
            house.transport.script("a", takes(5))
            async with anyio.create_task_group() as group:
                group.start_soon(assign, house, "a")
                await until(lambda: house.device().running)
                assert house.manager.get_device_status("d1")["status"] == "busy"
            assert house.manager.get_device_status("d1")["status"] == "idle"
            await house.bus.drain()
            statuses = [event.device_status for event in house.recorder.of(EventType.DEVICE_STATUS_CHANGED)]
        assert statuses == ["connecting", "idle", "busy", "idle"]

    async def test_equal_task_ids_each_get_their_own_result(self) -> None:
        async with rig() as house:
            await house.manager.connect_all()
            house.transport.script("same", takes(1, Completed("first")), takes(1, Completed("second")))
            results: list[Any] = []

            async def ask() -> None:
                results.append((await assign(house, "same")).result)

            async with anyio.create_task_group() as group:
                group.start_soon(ask)
                group.start_soon(ask)
        assert results == ["first", "second"]

    async def test_a_caller_who_stops_waiting_has_nothing_sent(self) -> None:
        async with rig() as house:
            await house.manager.connect_all()
            house.transport.script("long", takes(10))
            async with anyio.create_task_group() as group:
                group.start_soon(assign, house, "long")
                await until(lambda: house.device().running)
                with anyio.move_on_after(1):
                    await assign(house, "given up")
                assert house.manager.get_task_queue_status("d1")["queue_size"] == 0
            assert await assign(house, "next") is not None
            assert house.slots_are_free()
        assert house.device().started == ["long", "next"]

    async def test_a_caller_who_is_cancelled_stops_the_device(self) -> None:
        async with rig() as house:
            await house.manager.connect_all()
            house.transport.script("long", hang)
            with anyio.move_on_after(1):
                await assign(house, "long")
            assert house.slots_are_free()
        assert house.device().cancelled == ["long"]

    async def test_a_failure_says_what_kind_it_is(self) -> None:
        async with rig() as house:
            await house.manager.connect_all()
            house.transport.script("a", ValueError("broken"))
            result = await assign(house, "a")
        assert (result.status, str(result.error)) == ("failed", "broken")
        assert result.result["error_type"] == "execution_error"
        assert result.metadata["error_category"] == "general_error"
        assert result.metadata["device_id"] == "d1"

    async def test_a_command_that_fails_keeps_its_output(self) -> None:
        async with rig() as house:
            await house.manager.connect_all()
            house.transport.script("a", Completed(exit_code=2, stdout="half", stderr="oops"))
            result = await assign(house, "a", request=Command(["x"]))
        assert (result.status, result.exit_code, result.result, result.stderr) == ("failed", 2, "half", "oops")
        assert result.metadata["error_category"] == "general_error"

    async def test_a_timeout_is_enforced_and_says_so(self) -> None:
        async with rig() as house:
            await house.manager.connect_all()
            house.transport.script("a", hang)
            result = await assign(house, "a", timeout=12)
            assert anyio.current_time() == pytest.approx(12)
        assert isinstance(result.error, TaskTimeoutError)
        assert result.result["error_type"] == "timeout"
        assert (result.metadata["error_category"], result.metadata["timeout"]) == ("timeout_error", 12)

    @pytest.mark.parametrize("timeout", [0, -1.5])
    async def test_a_timeout_that_is_not_positive_is_refused(self, timeout: float) -> None:  # row 7
        async with rig() as house:
            await house.manager.connect_all()
            with pytest.raises(ValueError, match=r"Task a cannot run.*Timeout must be a positive number"):
                await assign(house, "a", timeout=timeout)
            assert house.slots_are_free()
        assert house.device().started == []

    @pytest.mark.parametrize("step", ["unplug", "raises", "unknown"])
    async def test_a_lost_connection_says_so(self, step: str) -> None:
        async with rig() as house:
            await house.manager.connect_all()
            steps: dict[str, Any] = {
                "unplug": takes(1),
                "raises": DeviceLostError("d1", "cable"),
                "unknown": Unknown("no answer came"),
            }
            house.transport.script("a", steps[step])
            results: list[ExecutionResult] = []

            async def ask() -> None:
                results.append(await assign(house, "a"))

            async with anyio.create_task_group() as group:
                group.start_soon(ask)
                if step == "unplug":
                    await until(lambda: house.device().running)
                    house.device().unplug()
        (result,) = results
        assert (result.status, result.result["error_type"]) == ("failed", "device_disconnection")
        assert result.metadata["error_category"] == "connection_error"
        assert result.metadata["disconnected"] is True

    async def test_a_lost_device_is_not_idle_again_because_its_task_has_ended(self) -> None:  # row 32
        async with rig(reconnect_delay=60) as house:
            await house.manager.connect_all()
            house.transport.script("a", takes(1, DeviceLostError("d1", "cable")))
            await assign(house, "a")
            await anyio.sleep(1)
            assert house.manager.get_device_status("d1")["status"] == "disconnected"
            with pytest.raises(ValueError, match="Device d1 is not connected"):
                await assign(house, "b")
            await house.bus.drain()
            statuses = [event.device_status for event in house.recorder.of(EventType.DEVICE_STATUS_CHANGED)]
        assert statuses == ["connecting", "idle", "busy", "disconnected"]

    async def test_who_waits_for_a_device_that_goes_is_told_instead_of_waiting_for_ever(self) -> None:
        async with rig(max_retries=0) as house:
            await house.manager.connect_all()
            house.transport.script("a", hang)
            results: list[ExecutionResult] = []

            async def ask(task_id: str) -> None:
                results.append(await assign(house, task_id))

            async with anyio.create_task_group() as group:
                group.start_soon(ask, "a")
                await until(lambda: house.device().running)
                group.start_soon(ask, "b")
                await until(lambda: len(pending(house)) == 2)
                house.device().unplug()
            assert house.slots_are_free()
        assert {result.metadata["error_category"] for result in results} == {"connection_error"}
        assert house.device().started == ["a"]

    async def test_the_request_is_checked_by_the_transport(self) -> None:
        transport = FakeTransport("words", requests=frozenset({"none"}))
        async with rig(Device("w", "words"), plugins=[transport]) as house:
            await house.manager.connect_all()
            result = await assign(house, "a", "w", request=Command(["ls"]))
        assert result.status == "failed"
        assert "does not take an argument list" in str(result.error)
        assert transport.device("w").started == []


def pending(house: Rig) -> list[str]:
    found: list[str] = house.manager.get_task_queue_status("d1")["pending_task_ids"]
    return found


class TestALostDevice:  # row 32
    async def test_a_lost_device_is_not_given_its_queue(self) -> None:
        async with rig(reconnect_delay=60) as house:
            house.transport.script("a", DeviceLostError("d1", "cable"))
            constellation = plan("a b c")
            for task in constellation.tasks.values():
                task.target_device_id = "d1"
            async with anyio.create_task_group() as group:
                group.start_soon(house.run, constellation, None)
                await until(lambda: constellation.tasks["a"].is_terminal)
                assert house.manager.get_device_status("d1")["status"] == "disconnected"
                await anyio.sleep(10)
                assert house.device().started == ["a"]
        assert house.device().started == ["a", "b", "c"]
        assert {task_id: str(task.status) for task_id, task in constellation.tasks.items()} == {
            "a": "unknown",
            "b": "completed",
            "c": "completed",
        }

    async def test_the_loss_that_one_attempt_notices_ends_the_others_on_that_device(self) -> None:
        async with rig("d1", "d2", slots=2) as house:
            house.transport.script("a", takes(1, DeviceLostError("d1", "cable")))
            house.transport.script("b", hang)
            constellation = plan("a b")
            for task in constellation.tasks.values():
                task.target_device_id = "d1"
            await house.run(constellation, None)
            assert anyio.current_time() < 10
        assert [str(task.status) for task in constellation.tasks.values()] == ["unknown", "unknown"]


class TestSecretsThatWereNotLookedUp:
    class Settings(pydantic.BaseModel):
        password: pydantic.SecretStr = pydantic.Field(min_length=16)
        port: int
        user: str = pydantic.Field(max_length=6)

    async def test_are_judged_when_they_are_known_and_not_by_what_stands_for_them(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        transport = FakeTransport("guarded", settings_model=self.Settings)
        settings = {"password": SecretRef(env="LONG"), "port": SecretRef(env="PORT"), "user": "bob"}
        monkeypatch.setenv("LONG", "twenty-two characters!")
        monkeypatch.setenv("PORT", "8080")
        async with ConstellationDeviceManager(plugins=[transport], max_retries=0, event_bus=EventBus()) as manager:
            with pytest.raises(SettingsError, match="user"):
                manager.add_device(Device("wrong", "guarded", {**settings, "user": "far too long"}))
            manager.add_device(Device("d", "guarded", settings))
            assert await manager.connect_device("d")
            assert transport.device("d").settings.port == 8080
            monkeypatch.setenv("PORT", "eighty")
            manager.add_device(Device("e", "guarded", settings))
            assert not await manager.connect_device("e")
            assert "port" in manager.get_device_status("e")["error"]
