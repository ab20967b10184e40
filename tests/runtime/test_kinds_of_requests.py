"""A task goes to a device whose transport takes its request, where there is one."""

from __future__ import annotations

from typing import Any

import anyio
import pytest

from galaxy_core import Action, Call, Command, Device, InvalidPlanError, TaskConstellation, TaskStar
from galaxy_core.testing.fakes import FakeTransport, hang

from .fakes import rig, until

pytestmark = pytest.mark.anyio

STRATEGIES = ["load_balance", "round_robin", "capability_match", "earliest_finish"]


def asking(**requests: Any) -> TaskConstellation:
    constellation = TaskConstellation()
    for task_id, request in requests.items():
        constellation.add_task(TaskStar(task_id, request=request, description=task_id))
    return constellation


@pytest.mark.parametrize("strategy", STRATEGIES)
async def test_each_task_finds_a_device_that_takes_its_request(strategy: str) -> None:
    runs = FakeTransport("runs", requests=frozenset({"run"}))
    calls = FakeTransport("calls", requests=frozenset({"call", "none"}))
    devices = [Device("a", "runs"), Device("b", "calls"), Device("c", "runs")]
    async with rig(*devices, plugins=[runs, calls]) as house:
        plan = asking(one=Command(["x"]), two=Call(dict), three=Command(["y"]), four=None)
        results = (await house.run(plan, strategy))["results"]
    assert {name: str(result.status) for name, result in results.items()} == dict.fromkeys(results, "completed")
    assert (results["two"].device_id, results["four"].device_id) == ("b", "b")


async def test_when_none_takes_it_that_is_said_before_anything_runs() -> None:
    runs = FakeTransport("runs", requests=frozenset({"run"}))
    async with rig(Device("a", "runs"), plugins=[runs]) as house:
        with pytest.raises(InvalidPlanError, match="transport 'runs' does not take action 'tap'"):
            await house.run(asking(one=Action("tap", {})))
        assert runs.device("a").started == []


async def test_a_task_does_not_move_to_a_device_that_comes_and_does_not_take_it() -> None:
    runs = FakeTransport("runs", requests=frozenset({"run"}))
    async with rig(Device("here", "fake"), Device("late", "runs"), plugins=[runs]) as house:
        runs.device("late").plugged = False
        house.transport.script("first", hang)
        shell = TaskStar("second", request=Command(None, "echo"))
        plan = asking(first=Command(["x"]))
        plan.add_task(shell)
        async with anyio.create_task_group() as group:
            group.start_soon(house.run, plan)
            await until(lambda: house.device("here").running == ["first"])
            runs.device("late").plug_in()
            await house.manager.connect_device("late")
            await until(lambda: house.manager.get_device_status("late")["status"] == "idle")
            await anyio.sleep(1)
            assert (str(shell.status), shell.target_device_id) == ("pending", "here")
            group.cancel_scope.cancel()
