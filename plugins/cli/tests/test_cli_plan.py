"""`galaxy plan` foretells, and runs nothing."""

from __future__ import annotations

import json
from collections.abc import Mapping
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from galaxy_core import TaskConstellation, TaskPriority, TaskStar, TaskStarLine
from galaxy_core_cli.exits import Exit
from galaxy_core_cli.foretell import estimate_s, foretell

from .asking import Galaxy, Install, Write

PLAN = """
    name: build
    tasks:
      fetch: {run: [sh, -c, touch it-ran], estimate_s: 2}
      compile: {run: [make], estimate_s: 5, needs: [fetch]}
      lint: {run: [lint], needs: [fetch]}
      ship:
        run: [ship]
        device: there
        needs: [compile, {task: lint, on: completion}, {task: fetch, when: "exit_code == `0`"}]
"""
DEVICES = "devices: {here: {}, there: {max_concurrency: 2}}"


def test_tasks_stand_by_waves_with_device_start_and_what_they_wait_for(galaxy: Galaxy, write: Write) -> None:
    folder = write("plan.yaml", PLAN).parent
    write("devices.yaml", DEVICES)
    done = galaxy("plan", "plan.yaml", "--devices", "devices.yaml")
    assert (done.code, done.err) == (0, "")
    lines = done.out.splitlines()
    assert lines[0] == "build: 4 tasks, 5 links, strategy load_balance"
    assert [line for line in lines if line.startswith("wave")] == ["wave 1", "wave 2", "wave 3"]
    [ship] = [line for line in lines if line.strip().startswith("ship")]
    assert "there (pinned)" in ship
    assert "at 7.0s" in ship
    assert "compile" in ship
    assert "lint (ended)" in ship
    assert not (folder / "it-ran").exists()


def test_figures_follow_the_tasks(galaxy: Galaxy, write: Write) -> None:
    write("plan.yaml", PLAN)
    done = galaxy("plan", "plan.yaml", "--devices", str(write("devices.yaml", DEVICES)))
    assert "critical path  8.0s, 3 tasks: fetch -> compile -> ship" in done.out
    assert "width          2 tasks in the widest wave, 3 slots" in done.out
    assert "length         about 8.0s; no assignment can come below 8.0s" in done.out
    assert "2 tasks without estimate_s: 1s is taken for each" in done.out


def test_json_is_for_programs(galaxy: Galaxy, write: Write) -> None:
    write("plan.yaml", PLAN)
    document = json.loads(galaxy("plan", "plan.yaml", "--devices", str(write("d.yaml", DEVICES)), "--json").out)
    assert document["critical_path"] == ["fetch", "compile", "ship"]
    assert (document["length_s"], document["slots"], document["without_estimate"]) == (8.0, 3, 2)
    assert [task["wave"] for task in document["tasks"]] == [1, 2, 2, 3]


def test_an_empty_plan_takes_no_time(galaxy: Galaxy, write: Write) -> None:
    write("plan.yaml", "tasks: {}")
    done = galaxy("plan", "plan.yaml")
    assert done.code == 0
    assert "plan.yaml: 0 tasks" in done.out


def test_nothing_is_connected(galaxy: Galaxy, write: Write, install: Install) -> None:
    install(
        "far",
        """
        from galaxy_core import hookimpl
        class Far:
            name, settings_model, requests, actions, device_type = "far", None, frozenset({"run"}), {}, None
            def open(self, device, settings):
                raise AssertionError("nothing is to be connected")
        @hookimpl
        def galaxy_transports():
            return [Far()]
        """,
    )
    write("plan.yaml", "tasks: {a: {run: [x]}}")
    done = galaxy("plan", "plan.yaml", "--devices", str(write("d.yaml", "devices: {it: {transport: far}}")))
    assert done.code == 0
    assert "it: 1 task, 1.0s of work on 1 slot" in done.out


def test_what_cannot_run_is_refused_with_its_place(galaxy: Galaxy, write: Write) -> None:
    write("plan.yaml", "tasks:\n  a: {run: [x], device: nowhere}\n")
    done = galaxy("plan", "plan.yaml")
    assert (done.code, done.out) == (Exit.REFUSED, "")
    assert "plan.yaml:2: tasks.a.device: " in done.err


def test_without_a_name_a_plan_is_called_by_its_file(galaxy: Galaxy, write: Write) -> None:
    write("nameless.yaml", "tasks: {a: {run: [x]}}")
    assert galaxy("plan", "nameless.yaml").out.startswith("nameless.yaml: 1 task")


# --------------------------------------------------------------------------------------------------------- forecasts

SLOTS = {"one": 1, "two": 2}


@st.composite
def constellations(draw: st.DrawFn) -> TaskConstellation:
    """Assigned to the devices of SLOTS."""
    constellation = TaskConstellation()
    size = draw(st.integers(0, 12))
    for number in range(size):
        constellation.add_task(
            TaskStar(
                f"t{number}",
                description="x",
                target_device_id=draw(st.sampled_from(sorted(SLOTS))),
                priority=draw(st.sampled_from(TaskPriority)),
                estimate_s=draw(st.none() | st.integers(0, 5).map(float)),
            )
        )
    for target in range(1, size):
        for source in draw(st.sets(st.integers(0, target - 1), max_size=3)):
            constellation.add_dependency(TaskStarLine(f"t{source}", f"t{target}"))
    return constellation


@given(constellations())
def test_a_forecast_keeps_links_and_slots_and_its_own_bounds(constellation: TaskConstellation) -> None:
    forecast = foretell(constellation, SLOTS)
    tasks = {task.task_id: task for task in constellation.get_all_tasks()}
    assert set(forecast.ends) == set(forecast.starts) == set(tasks)
    for task_id, task in tasks.items():
        assert forecast.ends[task_id] == forecast.starts[task_id] + estimate_s(task)
    for line in constellation.get_all_dependencies():
        assert forecast.ends[line.from_task_id] <= forecast.starts[line.to_task_id]
    for device, slots in SLOTS.items():
        assert _most_at_once(forecast.starts, forecast.ends, tasks, device) <= slots
    assert forecast.lower_bound_s <= forecast.length_s + 1e-9
    assert forecast.length_s <= forecast.work_s
    way = forecast.critical_path
    assert sum(estimate_s(tasks[task_id]) for task_id in way) == forecast.critical_path_s
    links = {(line.from_task_id, line.to_task_id) for line in constellation.get_all_dependencies()}
    assert all(pair in links for pair in pairwise(way))
    assert sorted(task.task_id for wave in forecast.waves for task in wave) == sorted(tasks)


def _most_at_once(
    starts: Mapping[str, float], ends: Mapping[str, float], tasks: Mapping[str, TaskStar], device: str
) -> int:
    mine = [
        task_id
        for task_id, task in tasks.items()
        if task.target_device_id == device and starts[task_id] < ends[task_id]
    ]
    return max((sum(starts[other] <= starts[task_id] < ends[other] for other in mine) for task_id in mine), default=0)
