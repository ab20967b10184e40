"""Documents of other programs: what is of another kind than wanted is refused with its place, and never read as something else."""

from __future__ import annotations

import json
from typing import Any

import pytest

from galaxy_core.errors import DocumentError, PlanError
from galaxy_core.model.constellation import TaskConstellation
from galaxy_core.model.dependency import TaskStarLine
from galaxy_core.model.edits_file import transaction_from_dict
from galaxy_core.model.plan_file import parse_plan
from galaxy_core.model.result import ExecutionResult
from galaxy_core.model.schema import TaskConstellationSchema, TaskStarLineSchema, TaskStarSchema
from galaxy_core.model.task import TaskStar

WRONG: list[tuple[Any, str, str]] = [
    (None, "", "found nothing (null); a mapping is wanted here"),
    ([], "", "found an empty list; a mapping is wanted here"),
    ("plan", "", "found the text 'plan'; a mapping is wanted here"),
    ({"tasks": "abc"}, "tasks", "found the text 'abc'; a mapping by id, or a list, is wanted here"),
    ({"tasks": 5}, "tasks", "found the number 5; a mapping by id, or a list, is wanted here"),
    ({"tasks": {"t": None}}, "tasks.t", "found nothing (null); a mapping is wanted here"),
    ({"tasks": [None]}, "tasks[0]", "found nothing (null); a mapping is wanted here"),
    ({"dependencies": [5]}, "dependencies[0]", "found the number 5; a mapping is wanted here"),
    (
        {"created_at": 1.5},
        "created_at",
        "found the number 1.5; a moment such as 2030-01-31T12:00:00+00:00 is wanted here",
    ),
    ({"created_at": "yesterday"}, "created_at", "found the text 'yesterday'; a moment such as "),
    ({"created_at": "0001-01-01T00:00:00+14:00"}, "created_at", "found the text '0001-01-01T00:00:00+14:00'; a moment"),
    ({"metadata": [1]}, "metadata", "found a list of 1; a mapping is wanted here"),
    ({"name": 5}, "name", "found the number 5; text is wanted here"),
    ({"revision": "1"}, "revision", "found the text '1'; a whole number, from 0, is wanted here"),
]
WRONG_TASKS: list[tuple[dict[str, Any], str, str]] = [
    ({"task_id": 5}, "task_id", "found the number 5; text is wanted here"),
    ({"name": 5}, "name", "found the number 5; text is wanted here"),
    ({"tips": "abc"}, "tips", "found the text 'abc'; a list of texts is wanted here"),
    ({"tips": ["a", 5]}, "tips[1]", "found the number 5; text is wanted here"),
    ({"target_device_id": 5}, "target_device_id", "found the number 5; text is wanted here"),
    ({"timeout": "5"}, "timeout", "found the text '5'; a number is wanted here"),
    ({"estimate_s": "x"}, "estimate_s", "found the text 'x'; a number is wanted here"),
    ({"task_data": [1]}, "task_data", "found a list of 1; a mapping is wanted here"),
    ({"requires": "abc"}, "requires", "found the text 'abc'; a list of texts is wanted here"),
    ({"pinned": "no"}, "pinned", "found the text 'no'; true or false is wanted here"),
    ({"execution_start_time": 5}, "execution_start_time", "found the number 5; a moment such as "),
    ({"request": 5}, "request", "found the number 5; a mapping is wanted here"),
]
WRONG_LINKS: list[tuple[dict[str, Any], str, str]] = [
    ({"line_id": 5}, "line_id", "found the number 5; text is wanted here"),
    ({"from_task_id": 5}, "from_task_id", "found the number 5; text is wanted here"),
    ({"condition_description": 5}, "condition_description", "found the number 5; text is wanted here"),
    ({"condition_expression": 5}, "condition_expression", "found the number 5; text is wanted here"),
    ({"condition_lost": "yes"}, "condition_lost", "found the text 'yes'; true or false is wanted here"),
    ({"metadata": 5}, "metadata", "found the number 5; a mapping is wanted here"),
    ({"last_evaluation_time": 5}, "last_evaluation_time", "found the number 5; a moment such as "),
]
WRONG_REQUESTS: list[tuple[dict[str, Any], str, str]] = [
    (
        {"run": "ls -l"},
        "run",
        "found the text 'ls -l'; a list is wanted here; write each argument as an item, or use 'shell' for a line of shell",
    ),
    ({"run": {"a": 1}}, "run", "found a mapping; a list is wanted here"),
    ({"run": []}, "run", "found an empty list; it cannot be empty"),
    (
        {"run": [1]},
        "run[0]",
        "found the number 1; text or a reference such as {from: TASK, value: stdout} is wanted here",
    ),
    ({"run": ["a", None]}, "run[1]", "found nothing (null); text or a reference such as "),
    ({"run": ["a", {"frm": "b"}]}, "run[1]", "found a mapping; text or a reference such as "),
    ({"run": ["a", {"from": "b", "vlaue": "json"}]}, "run[1].vlaue", "unknown key 'vlaue'; did you mean 'value'?; "),
    ({"run": ["a", {"from": 5}]}, "run[1].from", "found the number 5; text is wanted here"),
    (
        {"run": ["a"], "bogus": 1},
        "bogus",
        "unknown key 'bogus'; allowed are 'run', 'cwd', 'env', 'stdin', 'files', 'outputs'",
    ),
    ({"run": ["a"], "env": {"A": 1}}, "env.A", "found the number 1; text or a reference such as "),
    ({"run": ["a"], "env": "A=1"}, "env", "found the text 'A=1'; a mapping is wanted here"),
    ({"run": ["a"], "stdin": 5}, "stdin", "found the number 5; text or a reference such as "),
    ({"run": ["a"], "cwd": 5}, "cwd", "found the number 5; text is wanted here"),
    ({"run": ["a"], "outputs": "x"}, "outputs", "found the text 'x'; a list of texts is wanted here"),
    ({"run": ["a"], "files": {"x": 5}}, "files.x", "found the number 5; text or a reference such as "),
    ({"shell": 5}, "shell", "found the number 5; text is wanted here"),
    ({"action": 5}, "action", "found the number 5; a mapping is wanted here"),
    (
        {"action": {}},
        "action",
        "found an empty mapping; a mapping of the name of one action to its arguments is wanted here",
    ),
    ({"action": {"tap": 5}}, "action.tap", "found the number 5; a mapping is wanted here"),
    ({"action": {"tap": {"at": {"from": 5}}}}, "action.tap.at.from", "found the number 5; text is wanted here"),
    ({"action": {"tap": {}}, "cwd": "x"}, "cwd", "unknown key 'cwd'; allowed are 'action'"),
    ({}, "", "a request is one of run, shell, action and call, not none of them"),
    ({"run": ["a"], "shell": "b"}, "", "a request is one of run, shell, action and call, not run and shell"),
]


def refused(read: Any, document: Any) -> tuple[str, str]:
    with pytest.raises(DocumentError) as caught:
        read(document)
    ((path, _, text),) = caught.value.problems
    assert str(caught.value) == f"<data>: {path + ': ' if path else ''}{text}"
    return path, text


@pytest.mark.parametrize(("document", "path", "said"), WRONG)
def test_a_plan_document_is_refused_at_its_place(document: Any, path: str, said: str) -> None:
    found, text = refused(TaskConstellation.from_dict, document)
    assert found == path
    assert text.startswith(said)


@pytest.mark.parametrize(("wrong", "path", "said"), WRONG_TASKS)
def test_a_task_document_is_refused_at_its_place(wrong: dict[str, Any], path: str, said: str) -> None:
    assert refused(TaskStar.from_dict, wrong) == (path, refused(TaskStar.from_dict, wrong)[1])
    found, text = refused(TaskConstellation.from_dict, {"tasks": [{"task_id": "t", "description": "d", **wrong}]})
    assert found == f"tasks[0].{path}"
    assert text.startswith(said)


@pytest.mark.parametrize(("wrong", "path", "said"), WRONG_LINKS)
def test_a_link_document_is_refused_at_its_place(wrong: dict[str, Any], path: str, said: str) -> None:
    document = {"from_task_id": "a", "to_task_id": "b", **wrong}
    assert refused(TaskStarLine.from_dict, document)[0] == path
    found, text = refused(TaskConstellation.from_dict, {"tasks": {"a": {}, "b": {}}, "dependencies": [document]})
    assert found == f"dependencies[0].{path}"
    assert text.startswith(said)


@pytest.mark.parametrize(("request_", "path", "said"), WRONG_REQUESTS)
def test_a_request_is_refused_at_its_place_in_every_document(request_: dict[str, Any], path: str, said: str) -> None:
    place = f"request.{path}" if path else "request"
    found, text = refused(TaskStar.from_dict, {"request": request_})
    assert found == place
    assert text.startswith(said)
    assert refused(TaskConstellation.from_dict, {"tasks": {"t": {"request": request_}}})[0] == f"tasks.t.{place}"
    schema = TaskStarSchema(task_id="t", name="x", description="y", request=request_)
    assert refused(TaskStar.from_basemodel, schema)[0] == place
    whole = TaskConstellationSchema(tasks={"t": schema})
    with pytest.raises(DocumentError):
        TaskConstellation.from_basemodel(whole)
    for operation, at in [
        ({"add_task": {"task_id": "t", "request": request_}}, "add_task"),
        ({"update_task": {"task_id": "t", "changes": {"request": request_}}}, "update_task.changes"),
        (
            {
                "replace_plan": {
                    "constellation_id": "",
                    "tasks": {"t": {"name": "t", "description": "d", "request": request_}},
                }
            },
            "replace_plan.tasks.t",
        ),
    ]:
        with pytest.raises(DocumentError) as caught:
            transaction_from_dict({"operations": [operation]})
        assert f"operations[0].{at}.{place}" in [path for path, _, _ in caught.value.problems]


def test_the_full_form_refuses_a_text_for_a_list_as_the_short_form_does() -> None:
    with pytest.raises(DocumentError) as short:
        parse_plan({"tasks": {"t": {"run": "ls -l"}}}, source="<data>")
    with pytest.raises(DocumentError) as full:
        TaskConstellation.from_dict({"tasks": {"t": {"request": {"run": "ls -l"}}}})
    assert short.value.problems[0][2] == full.value.problems[0][2]


@pytest.mark.parametrize(
    ("change", "path", "said"),
    [
        ({"status": None}, "", "a result needs status"),
        ({"status": 5}, "status", "found the number 5; text is wanted here"),
        ({"stdout": 5}, "stdout", "found the number 5; text is wanted here"),
        ({"exit_code": 1.5}, "exit_code", "found the number 1.5; a whole number is wanted here"),
        ({"metadata": []}, "metadata", "found an empty list; a mapping is wanted here"),
        ({"files": {"a": 5}}, "files.a", "found the number 5; text is wanted here"),
        ({"start_time": 5}, "start_time", "found the number 5; a moment such as "),
    ],
)
def test_a_result_document_is_refused_at_its_place(change: dict[str, Any], path: str, said: str) -> None:
    document = ExecutionResult("a", "completed").to_dict() | change
    found, text = refused(ExecutionResult.from_dict, document)
    assert found == path
    assert text.startswith(said)
    # Of a task it is a payload like any other.
    assert TaskStar.from_dict({"task_id": "a", "result": document}).result == document


@pytest.mark.parametrize(
    ("kind", "schema"),
    [
        (TaskConstellation, TaskStarSchema(name="x", description="y")),
        (TaskConstellation, TaskStarLineSchema(from_task_id="a", to_task_id="b")),
        (TaskStar, TaskConstellationSchema()),
        (TaskStarLine, TaskStarSchema(name="x", description="y")),
    ],
)
def test_the_pydantic_document_of_something_else_is_refused(kind: Any, schema: Any) -> None:
    said = rf"^{kind.__name__} is read from a {kind.__name__}Schema, not from a {type(schema).__name__}$"
    with pytest.raises(PlanError, match=said):
        kind.from_basemodel(schema)


@pytest.mark.parametrize("given", [None, 5, {}, TaskStarSchema])
def test_what_is_no_pydantic_document_is_refused(given: Any) -> None:
    with pytest.raises(PlanError, match=r"^TaskStar is read from a TaskStarSchema, not from "):
        TaskStar.from_basemodel(given)


def test_a_schema_that_extends_ours_is_read() -> None:
    class Mine(TaskStarSchema):
        """A task with what else somebody likes to say."""

    assert TaskStar.from_basemodel(Mine(task_id="a", name="x", description="y")).task_id == "a"


# ----------------------------------------------------------------------------------------------- very long numbers
LONG = 10**5000


def test_a_number_of_very_many_digits_is_described() -> None:
    plan = TaskConstellation.build([TaskStar("a", task_data={"n": LONG}), TaskStar("b")], [TaskStarLine("a", "b")])
    plan.update_metadata({"n": -LONG, "of": {LONG: 1}})
    plan.mark_task_completed("a", True, {"n": [LONG]})
    written = json.loads(plan.to_json())
    assert written["tasks"]["a"]["result"] == {"n": [f"<int of {LONG.bit_length()} bits>"]}
    assert TaskConstellation.from_json(plan.to_json()).tasks["a"].result == written["tasks"]["a"]["result"]
    assert json.dumps(ExecutionResult("a", "completed", LONG, metadata={"n": LONG}).to_dict())


def test_a_number_that_can_be_written_is() -> None:
    number = 10**3900
    plan = TaskConstellation.build([TaskStar("a")], [])
    plan.mark_task_completed("a", True, number)
    assert TaskConstellation.from_json(plan.to_json()).tasks["a"].result == number


@pytest.mark.parametrize(
    ("document", "path"),
    [({"tasks": LONG}, "tasks"), ({"tasks": {"t": {"name": LONG}}}, "tasks.t.name"), ({"state": LONG}, None)],
)
def test_a_document_with_a_number_of_very_many_digits_is_refused_as_any_other(document: Any, path: str | None) -> None:
    if path is None:
        assert TaskConstellation.from_dict(document).task_count == 0
    else:
        found, text = refused(TaskConstellation.from_dict, document)
        assert (found, text.partition(";")[0]) == (path, "found a number of very many digits")


# ----------------------------------------------------------------------------------------------- constructor and setters
@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("name", 5, "name of task 'a' must be a text, not 5"),
        ("description", None, "description of task 'a' must be a text, not None"),
        ("tips", "be quick", "tips of task 'a' must be a list of texts, not 'be quick'"),
        ("tips", [5], r"tips of task 'a' must be a list of texts, not \[5\]"),
        ("target_device_id", 5, "target device of task 'a' must be a text or None, not 5"),
        ("requires", "camera", "requirements of task 'a' must be a list of texts, not 'camera'"),
        ("requires", {5}, r"requirements of task 'a' must be a list of texts, not \[5\]"),
        ("request", ["ls"], r"request of task 'a' must be a Command, an Action, a Call or None, not \['ls'\]"),
        ("effect", "perhaps", "effect of task 'a' must be an Effect, not 'perhaps'"),
        ("task_data", [1], r"task data of task 'a' must be a mapping, not \[1\]"),
    ],
)
def test_a_task_refuses_values_of_another_kind_when_it_is_made_and_when_they_are_set(
    name: str, value: Any, said: str
) -> None:
    with pytest.raises(PlanError, match=f"^{said}$"):
        TaskStar("a", **{name: value})
    task = TaskStar("a", "name", "words", target_device_id="here")
    before = task.to_dict()
    with pytest.raises(PlanError, match=f"^{said}$"):
        setattr(task, name, value)
    assert task.to_dict() == before


def test_a_link_refuses_a_type_and_words_of_another_kind() -> None:
    line = TaskStarLine("a", "b")
    with pytest.raises(PlanError, match=r"^the type of a dependency must be a DependencyType, not 'success'$"):
        line.dependency_type = "success"  # type: ignore[assignment]
    with pytest.raises(PlanError, match=r"^the description of a condition must be a text or None, not 5$"):
        line.condition_description = 5  # type: ignore[assignment]
