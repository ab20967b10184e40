"""Whole plans on phones, through the kernel: what the adapter promises is what a run needs."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest

from galaxy_core import (
    Action,
    Command,
    ConstellationDeviceManager,
    Discovery,
    Effect,
    Reference,
    TaskConstellation,
    TaskConstellationOrchestrator,
    TaskStar,
    TaskStarLine,
)
from galaxy_core_adb.simulate.phone import Phone

from .adb_bench import Bench, until

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def managed(bench: Bench, *phones: Phone, **more: Any) -> AsyncIterator[ConstellationDeviceManager]:
    """A device manager that has these phones."""
    async with ConstellationDeviceManager() as devices:
        for number, phone in enumerate(phones):
            settings = {"serial": phone.serial, "server_port": bench.rig.port, "start_server": False, "connect": True}
            await devices.register_device(f"phone-{number}", transport="adb", settings=settings, **more)
        yield devices


def plan(*tasks: TaskStar, links: tuple[tuple[str, str], ...] = ()) -> TaskConstellation:
    constellation = TaskConstellation(name="phones")
    for task in tasks:
        constellation.add_task(task)
    for start, end in links:
        constellation.add_dependency(TaskStarLine.create_success_only(start, end))
    return constellation


async def run(devices: ConstellationDeviceManager, constellation: TaskConstellation) -> dict[str, Any]:
    orchestrator = TaskConstellationOrchestrator(devices)
    with anyio.fail_after(60):
        await orchestrator.orchestrate_constellation(constellation, assignment_strategy="load_balance")
    return {task.task_id: task for task in constellation.get_all_tasks()}


async def test_outputs_go_from_phone_to_phone(bench: Bench, tmp_path: Path) -> None:
    level = TaskStar("level", request=Action("battery"), target_device_id="phone-0")
    told = Command(["printf", "%s %%", Reference("level", "json.level")])
    tell = TaskStar("tell", request=told, target_device_id="phone-1")
    async with managed(bench, *bench.rig) as devices:
        tasks = await run(devices, plan(level, tell, links=(("level", "tell"),)))
    assert (tasks["tell"].status.value, tasks["tell"].result.result) == ("completed", "87 %")


async def test_a_deadline_ends_the_command_on_the_phone(bench: Bench) -> None:
    task = TaskStar("long", request=Command(["sleep", "1000"]), timeout=0.3)
    async with managed(bench, bench.phone) as devices:
        tasks = await run(devices, plan(task))
        assert tasks["long"].status.value == "failed"
        assert await bench.phone.remains() == []


@pytest.mark.parametrize(("effect", "status"), [("once", "unknown"), ("idempotent", "completed")])
async def test_a_phone_that_is_unplugged_and_comes_back_ends_a_task_by_its_effect(
    bench: Bench, effect: str, status: str
) -> None:
    """What may be repeated is, on the same phone when it is back; what may not is unknown."""
    script = "[ -e second ] && echo again && exit; touch second; echo on; sleep 1000"
    task = TaskStar("task", request=Command(None, script), effect=Effect(effect))
    async with managed(bench, bench.phone) as devices, anyio.create_task_group() as group:
        tasks: dict[str, Any] = {}

        async def orchestrate() -> None:
            tasks.update(await run(devices, plan(task)))

        group.start_soon(orchestrate)
        await until(lambda: bench.far("second").exists())
        bench.phone.unplug()
        await until(lambda: not bench.phone.links)
        await bench.plug()
        await until(lambda: tasks, 40)
    assert tasks["task"].status.value == status


async def test_a_phone_that_is_plugged_in_during_a_run_takes_its_task(bench: Bench) -> None:
    await bench.rig.server.run("disconnect", bench.phone.serial)
    await bench.rig.server.run("disconnect", bench.rig[1].serial)
    settings = {"server_port": bench.rig.port, "start_server": False}
    async with ConstellationDeviceManager() as devices:
        devices.add_discovery(Discovery("found", "adb", settings, {"model": "Simulated*"}))
        async with anyio.create_task_group() as group:
            tasks: dict[str, Any] = {}

            async def orchestrate() -> None:
                tasks.update(await run(devices, plan(TaskStar("task", request=Command(["getprop", "ro.serialno"])))))

            group.start_soon(orchestrate)
            await anyio.wait_all_tasks_blocked()
            await bench.rig.server.connect([bench.phone.serial])
            await until(lambda: tasks, 30)
    assert tasks["task"].result.result == "sim-1\n"


async def test_a_plan_that_asks_for_what_phones_do_not_do_is_refused_before_it_runs(bench: Bench) -> None:
    async with managed(bench, bench.phone) as devices:
        task = TaskStar("task", request=Action("tap", {"x": -1, "y": 0}))
        with pytest.raises(Exception, match="tap"):
            await run(devices, plan(task))
