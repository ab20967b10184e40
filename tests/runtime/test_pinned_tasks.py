"""Why a task cannot run on the device that it is pinned to: other devices have nothing to do with it."""

from __future__ import annotations

import pytest

from galaxy_core import Device, NoFittingDeviceError

from .fakes import plan, rig

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("strategy", ["load_balance", "earliest_finish", None])
@pytest.mark.parametrize("others", [("away", "other"), ("away",)], ids=["one is there", "none is there"])
async def test_a_task_whose_own_device_cannot_be_reached_hears_of_no_other(
    others: tuple[str, ...], strategy: str | None
) -> None:
    async with rig(*others, "mine", reconnect_delay=1, max_retries=0) as house:
        for device_id in ("away", "mine"):
            house.device(device_id).unplug()
        constellation = plan("a", target_device_id="mine")
        try:
            result = await house.run(constellation, strategy)
            error = result["results"]["a"].error
        except NoFittingDeviceError as refused:
            error = refused
    assert isinstance(error, NoFittingDeviceError)
    assert (error.tasks, error.pinned, list(error.missing)) == (("a",), "mine", ["mine"])
    assert str(error) == (
        "task 'a' is pinned to device 'mine', which cannot be reached: it is unplugged. "
        "Mend that, or pin the task to another device."
    )


async def test_what_a_device_lacks_for_its_task_is_told_of_that_device_alone() -> None:
    async with rig("plain", Device("cam", "fake", capabilities=frozenset({"camera"}))) as house:
        with pytest.raises(NoFittingDeviceError) as refused:
            await house.run(plan("a", target_device_id="plain", requires={"camera"}))
    assert str(refused.value).startswith("task 'a' is pinned to device 'plain', which lacks camera. ")
    assert "cam'" not in str(refused.value)
