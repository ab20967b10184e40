"""One task on one device, outside of any plan: what it requires, what it leaves behind, how often it is tried."""

from __future__ import annotations

from typing import Any

import anyio
import pytest

from galaxy_core import (
    Attempt,
    Command,
    Completed,
    Device,
    DeviceType,
    NoFittingDeviceError,
    TaskConstellationOrchestrator,
    TaskStar,
)

from .fakes import DeviceInfo, ForeignManager, rig

pytestmark = pytest.mark.anyio


class TestADeviceThatIsNamed:
    @pytest.mark.parametrize(
        ("options", "lack"),
        [({"requires": ["gpu"]}, "gpu"), ({"device_type": DeviceType.ANDROID}, "android")],
        ids=["a capability", "its type"],
    )
    @pytest.mark.parametrize("named", [True, False], ids=["by the call", "by the task"])
    async def test_has_to_meet_what_the_task_requires(self, options: dict[str, Any], lack: str, named: bool) -> None:
        async with rig(Device("plain", "fake", device_type="linux")) as house:
            task = TaskStar("s", target_device_id=None if named else "plain", **options)
            with pytest.raises(NoFittingDeviceError, match=f"plain.*{lack}"):
                await house.orchestrator.execute_single_task(task, "plain" if named else None)
            assert (task.target_device_id, house.device("plain").started) == (None if named else "plain", [])
            assert house.slots_are_free()

    async def test_runs_what_it_fits(self) -> None:
        async with rig("plain", Device("gpu", "fake", capabilities=["gpu"])) as house:
            house.transport.script("s", Completed(value="made"))
            assert await house.orchestrator.execute_single_task(TaskStar("s", requires=["gpu"]), "gpu") == "made"
            assert house.device("gpu").started == ["s"]

    async def test_of_somebody_elses_manager_has_to_meet_it_too(self) -> None:
        manager = ForeignManager(phone=DeviceInfo("android", ["camera"]), box=DeviceInfo("linux"))
        orchestrator = TaskConstellationOrchestrator(manager)
        with pytest.raises(NoFittingDeviceError):
            await orchestrator.execute_single_task(TaskStar("s", requires=["camera"]), "box")
        assert await orchestrator.execute_single_task(TaskStar("s", requires=["camera"]), "phone") == "s done"

    async def test_is_not_judged_when_a_manager_cannot_say_what_it_is(self) -> None:
        class Mute:
            async def assign_task_to_device(self, task_id: str, **_: Any) -> Any:
                return type("Said", (), {"result": f"{task_id} done"})()

        orchestrator = TaskConstellationOrchestrator(Mute())
        assert await orchestrator.execute_single_task(TaskStar("s", requires=["camera"]), "box") == "s done"


async def test_what_was_said_until_a_deadline_is_kept() -> None:
    async def half(attempt: Attempt) -> Completed:
        attempt.partial = Completed(stdout="half", stderr="careful", files={"x": "kept"}, truncated=True)
        await anyio.sleep_forever()
        raise AssertionError

    async with rig() as house:
        house.transport.script("s", half)
        await house.manager.connect_all()
        result = await house.manager.assign_task_to_device("s", "d1", "", timeout=2, request=Command(["x"]))
        assert house.slots_are_free()
    assert (result.status, result.stdout, result.stderr, result.files) == ("failed", "half", "careful", {"x": "kept"})
    assert result.metadata["truncated"] is True
    assert (result.metadata["error_category"], result.metadata["timeout"]) == ("timeout_error", 2)
    assert result.result["error_type"] == "timeout"
    assert result.execution_time == pytest.approx(2)


async def test_rubbish_that_was_left_at_a_deadline_is_not_kept() -> None:
    async def rubbish(attempt: Attempt) -> Completed:
        attempt.partial = "half"  # type: ignore[assignment]
        await anyio.sleep_forever()
        raise AssertionError

    async with rig() as house:
        house.transport.script("s", rubbish)
        await house.manager.connect_all()
        result = await house.manager.assign_task_to_device("s", "d1", "", timeout=2)
    assert (result.stdout, result.metadata["error_category"]) == (None, "timeout_error")


async def test_a_single_task_is_tried_once() -> None:
    async with rig() as house:
        house.transport.script("s", Completed(error="no"), Completed())
        await house.orchestrator.execute_single_task(TaskStar("s", retry_count=2))
        assert house.device().started == ["s"]
