"""The pydantic documents of tasks, links and constellations."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from pydantic import ValidationError

from galaxy_core.errors import PlanError
from galaxy_core.model import schema
from galaxy_core.model.condition import Expression
from galaxy_core.model.constellation import TaskConstellation
from galaxy_core.model.dependency import DependencyType, TaskStarLine
from galaxy_core.model.device import DeviceType
from galaxy_core.model.policy import Effect, RetryPolicy, TaskPriority
from galaxy_core.model.request import Action, Command, Reference
from galaxy_core.model.result import ExecutionResult
from galaxy_core.model.schema import TaskConstellationSchema, TaskStarLineSchema, TaskStarSchema
from galaxy_core.model.task import TaskStar


def full_task() -> TaskStar:
    return TaskStar(
        "full",
        "Full",
        "Does it all.",
        ["a tip"],
        "pixel",
        DeviceType.ANDROID,
        TaskPriority.HIGH,
        12.5,
        3,
        {"deep": [1, {"x": None}]},
        "text",
        request=Command(["echo", Reference("other", "json.a")], env={"A": "b"}, outputs=["out"]),
        requires=["camera", "battery"],
        effect=Effect.IDEMPOTENT,
        retry=RetryPolicy(2, on=["timeout"]),
        estimate_s=4,
    )


def full_constellation() -> TaskConstellation:
    constellation = TaskConstellation("c", "Whole")
    for task in (
        TaskStar("other", description="First."),
        full_task(),
        TaskStar("last", request=Action("tap", {"x": 1})),
    ):
        constellation.add_task(task)
    constellation.add_dependency(
        TaskStarLine("other", "full", DependencyType.CONDITIONAL, "it worked", Expression("exit_code == `0`"), "line-1")
    )
    constellation.add_dependency(TaskStarLine.create_success_only("full", "last"))
    constellation.update_metadata({"strategy": "load_balance"})
    return constellation


def test_a_round_trip_of_a_task_loses_nothing() -> None:
    task = full_task()
    assert TaskStar.from_basemodel(task.to_basemodel()).to_dict() == task.to_dict()


def test_a_round_trip_of_a_task_that_ended_loses_nothing() -> None:
    task = full_task()
    task.start_execution()
    task.complete_with_success(
        ExecutionResult("full", "completed", "it", stdout="it", exit_code=0, files={"out": "/x"})
    )
    assert TaskStar.from_basemodel(task.to_basemodel()).to_dict() == task.to_dict()
    failed = TaskStar("f", description="x")
    failed.start_execution()
    failed.complete_with_failure(ValueError("no"))
    assert TaskStar.from_basemodel(failed.to_basemodel()).to_dict() == failed.to_dict()


def test_a_round_trip_of_a_plain_task_adds_nothing() -> None:
    task = TaskStar("plain", description="x")
    document = task.to_basemodel().model_dump()
    assert document.keys() == task.to_dict().keys()
    assert TaskStar.from_basemodel(task.to_basemodel()).to_dict() == task.to_dict()


def test_a_round_trip_of_a_link_loses_nothing() -> None:
    line = full_constellation().get_all_dependencies()[0]
    assert TaskStarLine.from_basemodel(line.to_basemodel()).to_dict() == line.to_dict()


def test_a_round_trip_of_a_constellation_loses_nothing_on_its_way_as_json_either() -> None:
    constellation = full_constellation()
    document = constellation.to_basemodel()
    assert TaskConstellation.from_basemodel(document).to_dict() == constellation.to_dict()
    again = TaskConstellationSchema.model_validate_json(document.model_dump_json())
    assert TaskConstellation.from_basemodel(again).to_dict() == constellation.to_dict()


def test_names_of_enums_stand_in_upper_case_however_they_came() -> None:
    for priority in (3, "high", "HIGH", TaskPriority.HIGH):
        assert TaskStarSchema(name="a", description="b", priority=priority).priority == "HIGH"  # type: ignore[arg-type]
    task = TaskStarSchema(name="a", description="b", status="running", device_type="ios")
    assert (task.status, task.device_type, task.priority) == ("RUNNING", "IOS", "MEDIUM")
    line = TaskStarLineSchema(from_task_id="a", to_task_id="b", dependency_type="success_only")
    assert line.dependency_type == "SUCCESS_ONLY"
    assert TaskStarLineSchema(from_task_id="a", to_task_id="b").dependency_type == "UNCONDITIONAL"
    assert TaskConstellationSchema(state="executing").state == "EXECUTING"


def test_ids_that_are_left_out_or_empty_are_made() -> None:
    for given in ({}, {"task_id": None}, {"task_id": ""}):
        assert re.fullmatch(
            r"task_[0-9a-f]{8}", TaskStarSchema.model_validate({"name": "a", "description": "b"} | given).task_id
        )
    line = TaskStarLineSchema(from_task_id="a", to_task_id="b")
    assert re.fullmatch(r"line_[0-9a-f]{8}", line.line_id)
    assert re.fullmatch(r"constellation_[0-9a-f]{8}_\d{8}_\d{6}", TaskConstellationSchema().constellation_id)


def test_name_and_description_are_required() -> None:
    with pytest.raises(ValidationError) as caught:
        TaskStarSchema.model_validate({})
    assert {error["loc"] for error in caught.value.errors()} == {("name",), ("description",)}


@pytest.mark.parametrize(
    "wrong",
    [{"oops": 1}, {"retry_count": "3"}, {"priority": "urgent"}, {"priority": 9}, {"status": "done"}, {"device_type": "toaster"},
     {"tips": "x"}, {"timeout": "soon"}, {"task_data": []}],
)  # fmt: skip
def test_unknown_keys_and_values_of_the_wrong_kind_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        TaskStarSchema.model_validate({"name": "a", "description": "b"} | wrong)


TASK = {"name": "n", "description": "d"}


def test_lists_become_dictionaries_by_id() -> None:
    given = {
        "tasks": [TASK | {"task_id": "a"}, TaskStarSchema(task_id="b", name="n", description="d"), TASK],
        "dependencies": [
            {"from_task_id": "a", "to_task_id": "b"},
            {"line_id": "l", "from_task_id": "b", "to_task_id": "a"},
        ],
    }
    before = json.dumps(given, default=str)
    document = TaskConstellationSchema.model_validate(given)
    assert list(document.tasks)[:2] == ["a", "b"]
    assert all(task_id == task.task_id for task_id, task in document.tasks.items())
    assert all(line_id == line.line_id for line_id, line in document.dependencies.items())
    assert set(document.dependencies) >= {"l"}
    assert json.dumps(given, default=str) == before


def test_an_id_that_is_made_is_none_that_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    made = iter(["task_a", "task_a", "task_b", "task_b", "task_c"])
    monkeypatch.setattr(schema, "_task_id", lambda: next(made))
    document = {"tasks": [TASK, TASK | {"task_id": "task_a"}, TASK]}
    assert list(TaskConstellationSchema.model_validate(document).tasks) == ["task_a", "task_b", "task_c"]


def test_in_a_dictionary_the_key_is_the_id() -> None:
    document = TaskConstellationSchema.model_validate({"tasks": {"a": TASK}})
    assert document.tasks["a"].task_id == "a"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"tasks": [TASK | {"task_id": "a"}, TASK | {"task_id": "a"}]}, "Duplicate task_id found: a"),
        ({"tasks": {"a": TASK | {"task_id": "a"}, "b": TASK | {"task_id": "a"}}}, "Duplicate task_id found: a"),
        ({"tasks": {"b": TASK | {"task_id": "a"}}}, "'b' stands for an entry whose task_id is 'a'; make them equal"),
        (
            {"dependencies": [{"line_id": "l", "from_task_id": "a", "to_task_id": "b"}] * 2},
            "Duplicate line_id found: l",
        ),
    ],
)
def test_an_id_that_stands_twice_is_a_value_error(given: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        TaskConstellationSchema.model_validate(given)


def test_a_constellation_can_be_written_and_read_with_lists() -> None:
    constellation = full_constellation()
    document = constellation.to_basemodel()
    written = document.to_dict_with_lists()
    assert [task["task_id"] for task in written["tasks"]] == ["other", "full", "last"]
    assert written["dependencies"][0]["line_id"] == "line-1"
    assert [task.task_id for task in document.get_tasks_as_list()] == ["other", "full", "last"]
    assert len(document.get_dependencies_as_list()) == 2
    again = TaskConstellationSchema.model_validate(written)
    assert TaskConstellation.from_basemodel(again).to_dict() == constellation.to_dict()


def test_a_document_with_a_cycle_or_a_dangling_link_has_the_right_shape_but_builds_nothing() -> None:
    line = {"from_task_id": "a", "to_task_id": "a"}
    document = TaskConstellationSchema.model_validate({"tasks": {"a": TASK}, "dependencies": [line]})
    with pytest.raises(PlanError, match="cycle"):
        TaskConstellation.from_basemodel(document)
