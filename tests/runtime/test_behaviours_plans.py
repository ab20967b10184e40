"""Rows 20 to 24, 34 and 36 of the table of behaviours, as a run shows them; tests/model/ has the model's own tests."""

from __future__ import annotations

import json
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import anyio
import pytest

from galaxy_core import (
    Completed,
    ConstellationState,
    CycleError,
    DeviceType,
    DuplicateIdError,
    ImmutableError,
    PlanError,
    TaskConstellation,
    TaskStar,
    TaskStarLine,
    TaskStatus,
)
from galaxy_core.testing.fakes import hang

from .fakes import link, plan, rig, until

pytestmark = pytest.mark.anyio


class TestGating:  # row 20
    @pytest.mark.parametrize(("success", "status"), [(True, "completed"), (False, "skipped")])
    async def test_a_link_from_a_task_that_has_ended_follows_how_it_ended(self, success: bool, status: str) -> None:
        constellation = plan("a b")
        constellation.mark_task_completed("a", success)
        constellation.add_dependency(link("a>b"))
        async with rig() as house:
            result = await house.run(constellation)
        assert result["results"]["b"].status == status

    async def test_a_loaded_plan_goes_on_where_it_was(self) -> None:
        async with rig() as house:
            house.transport.script("a", Completed("first"))
            house.transport.script("b", Completed(exit_code=1))
            first = plan("a b c d e", "a>c b>d c>e")
            for task_id in ("c", "d", "e"):
                house.transport.script(task_id, hang)
            async with anyio.create_task_group() as group:
                group.start_soon(house.run, first)
                await until(lambda: first.tasks["c"].status is TaskStatus.RUNNING)
                document = first.to_dict()
                group.cancel_scope.cancel()
            document = json.loads(json.dumps(document))
            loaded = TaskConstellation.from_dict(document)
            assert {task_id: str(task.status) for task_id, task in loaded.tasks.items()} == {
                "a": "completed",
                "b": "failed",
                "c": "running",
                "d": "skipped",
                "e": "pending",
            }
            assert loaded.get_ready_tasks() == []
            loaded.mark_task_completed("c", True)  # of its outcome nobody knows but who loads the plan
            house.transport.script("e", Completed("second"))
            house.device().started.clear()
            result = await house.run(loaded)
            assert house.device().started == ["e"]
        assert {task_id: str(one.status) for task_id, one in result["results"].items()} == {
            "a": "completed",
            "b": "failed",
            "c": "completed",
            "d": "skipped",
            "e": "completed",
        }
        assert result["results"]["a"].result == "first"

    async def test_a_cancelled_plan_is_loaded_as_cancelled(self) -> None:
        async with rig() as house:
            house.transport.script("b", hang)
            first = plan("a b c", "a>b b>c", constellation_id="c1")
            async with anyio.create_task_group() as group:
                group.start_soon(house.run, first)
                await until(lambda: first.tasks["b"].status is TaskStatus.RUNNING)
                await house.orchestrator.cancel_execution("c1")
        loaded = TaskConstellation.from_json(first.to_json())
        assert [str(task.status) for task in loaded.tasks.values()] == ["completed", "cancelled", "cancelled"]
        assert loaded.state is ConstellationState.CANCELLED
        assert loaded.get_ready_tasks() == []

    def test_invalid_documents_are_refused(self) -> None:
        document = plan("a b", "a>b").to_dict()
        (line,) = document["dependencies"].values()
        back = {**line, "line_id": "back", "from_task_id": "b", "to_task_id": "a"}
        with pytest.raises(CycleError, match=r"a -> b -> a|b -> a -> b"):
            TaskConstellation.from_dict({**document, "dependencies": {**document["dependencies"], "back": back}})
        dangling = {**line, "line_id": "off", "to_task_id": "nobody"}
        with pytest.raises(PlanError, match="nobody"):
            TaskConstellation.from_dict({**document, "dependencies": {"off": dangling}})


class TestLinks:  # row 21
    def test_an_id_stands_once(self) -> None:
        constellation = plan("a b c")
        constellation.add_dependency(TaskStarLine("a", "b", line_id="one"))
        with pytest.raises(DuplicateIdError, match="Dependency with ID one already exists"):
            constellation.add_dependency(TaskStarLine("a", "c", line_id="one"))

    async def test_parallel_links_count_each_and_free_their_task_once(self) -> None:
        async with rig() as house:
            house.transport.script("a", Completed({"go": True}))
            constellation = plan("a b", "a>b a~b a-b")
            constellation.add_dependency(TaskStarLine.create_conditional("a", "b", "go", lambda value: value["go"]))
            await house.run(constellation)
        (ended,) = [event for event in house.recorder.of_task("a") if event.status == "completed"]
        assert ended.data["newly_ready_tasks"] == ["b"]
        assert house.device().started == ["a", "b"]

    def test_removing_one_of_two_parallel_links_does_not_free_the_task(self) -> None:
        constellation = plan("a b", "a>b a~b")
        constellation.remove_dependency(constellation.get_task_dependencies("b")[0].line_id)
        assert [task.task_id for task in constellation.get_ready_tasks()] == ["a"]


class TestSize:  # row 22
    async def test_a_chain_of_thousands_runs(self) -> None:
        count = 3000
        constellation = TaskConstellation()
        for number in range(count):
            constellation.add_task(TaskStar(f"t{number}", description="x"))
            if number:
                constellation.add_dependency(link(f"t{number - 1}>t{number}"))
        async with rig(slots=4) as house:
            result = await house.run(constellation)
        assert result["statistics"]["longest_path_length"] == count
        assert house.device().started == [f"t{number}" for number in range(count)]

    async def test_a_chain_of_thousands_is_skipped_when_its_head_fails(self) -> None:
        names = [f"t{number}" for number in range(3000)]
        constellation = plan(" ".join(names), " ".join(f"{a}>{b}" for a, b in pairwise(names)))
        async with rig() as house:
            house.transport.script("t0", Completed(exit_code=1))
            result = await house.run(constellation)
        assert result["statistics"]["task_status_counts"] == {"failed": 1, "skipped": 2999}


class TestStates:  # row 23
    def test_all_cancelled_is_cancelled(self) -> None:
        constellation = plan("a b")
        for task in constellation.tasks.values():
            task.cancel()
        assert constellation.state is ConstellationState.CANCELLED

    async def test_a_plan_that_grows_while_it_runs_stays_executing(self) -> None:
        seen: list[ConstellationState] = []

        async with rig() as house:
            constellation = plan("a")

            def grow(attempt: Any) -> Completed:
                constellation.add_task(TaskStar("b", description="x"))
                seen.append(constellation.state)
                return Completed()

            house.transport.script("a", grow)
            await house.run(constellation)
        assert seen == [ConstellationState.EXECUTING]
        assert constellation.state is ConstellationState.COMPLETED

    def test_the_longest_path_of_one_task_is_that_task(self) -> None:
        assert plan("only").get_longest_path() == (1, ["only"])


class TestTasks:  # row 24
    async def test_what_has_started_cannot_be_changed(self) -> None:
        async with rig() as house:
            house.transport.script("b", Completed(exit_code=1))
            constellation = plan("a b c", "b>c")
            await house.run(constellation)
        for task in constellation.tasks.values():
            for name, value in (("name", "x"), ("description", "x"), ("device_type", DeviceType.WEB)):
                with pytest.raises(ImmutableError, match=f"{task.status} task {task.task_id}"):
                    setattr(task, name, value)

    async def test_what_has_ended_stays_as_it_ended(self) -> None:
        async with rig() as house:
            constellation = plan("a")
            await house.run(constellation)
        task = constellation.tasks["a"]
        assert task.cancel() is False
        assert task.status is TaskStatus.COMPLETED
        assert repr(task) == "<TaskStar 'a' completed on 'd1'>"

    async def test_a_result_that_json_cannot_hold_is_described_and_not_followed(self) -> None:
        loop: dict[str, Any] = {"object": object()}
        loop["again"] = loop
        async with rig() as house:
            house.transport.script("a", Completed(loop))
            constellation = plan("a")
            await house.run(constellation)
        text = constellation.to_json()
        assert '"again"' in text
        assert len(text) < 10_000

    async def test_the_live_tasks_and_links_can_be_reached_through_copies_of_the_mappings(self) -> None:
        constellation = plan("a b", "a>b")
        constellation.tasks["a"].target_device_id = "d2"
        constellation.tasks.clear()
        constellation.dependencies.clear()
        async with rig("d1", "d2") as house:
            result = await house.run(constellation)
        assert result["results"]["a"].device_id == "d2"
        assert (constellation.task_count, constellation.dependency_count) == (2, 1)


def test_importing_the_kernel_needs_no_configuration(tmp_path: Path) -> None:  # row 34
    code = "import galaxy_core, sys; assert 'pydantic' not in sys.modules; print(galaxy_core.TaskStar('a').name)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout == "task_a\n"


LOADED = """
import sys
before = set(sys.modules)
import galaxy_core
new = sorted(set(sys.modules) - before)
print(*[name for name in new if name.partition(".")[0] not in sys.stdlib_module_names])
"""
#: The kernel's dependencies, and what they need themselves.
NEEDED = {"anyio", "attr", "attrs", "exceptiongroup", "idna", "pluggy", "sniffio", "typing_extensions"}
#: Its parts that a program which runs plans may never use.
AT_NEED = ("testing", "runtime.control", "runtime.editor", "model.schema", "model.plan_file", "model.inventory_file")


def test_importing_the_kernel_loads_the_kernel_alone(tmp_path: Path) -> None:  # row 34
    done = subprocess.run(
        [sys.executable, "-c", LOADED], cwd=tmp_path, capture_output=True, text=True, check=True, timeout=60
    )
    loaded = done.stdout.split()
    assert {name.partition(".")[0] for name in loaded} - NEEDED == {"galaxy_core"}  # no plugin, no pydantic
    assert not [name for name in loaded if name.startswith(tuple(f"galaxy_core.{part}" for part in AT_NEED))]


def test_the_widest_wave_and_the_largest_antichain_are_both_offered() -> None:  # row 36
    constellation = plan("a b x y1 y2", "a>b x>y1 x>y2")
    assert constellation.get_max_width() == 3
    assert constellation.get_maximum_antichain() == ["b", "y1", "y2"]
    staggered = plan("a b1 b2 x y z1 z2", "a>b1 a>b2 x>y y>z1 y>z2")
    assert staggered.get_max_width() == 3
    assert staggered.get_maximum_antichain() == ["b1", "b2", "z1", "z2"]
    assert "Kahn" in (TaskConstellation.get_max_width.__doc__ or "")
