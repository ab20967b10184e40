"""Transactions as documents: what is written by hand, what is wrong with it, and what programs write."""

from __future__ import annotations

import json
from typing import Any

import pytest
from attrs import evolve
from jsonschema import Draft202012Validator

from galaxy_core.errors import DocumentError, EditError
from galaxy_core.model.changes import Changes
from galaxy_core.model.condition import Expression
from galaxy_core.model.constellation import TaskConstellation
from galaxy_core.model.dependency import DependencyType, TaskStarLine
from galaxy_core.model.device import DeviceType
from galaxy_core.model.edits import (
    AddDependency,
    AddTask,
    Operation,
    RemoveDependency,
    RemoveTask,
    ReplacePlan,
    Transaction,
    UpdateDependency,
    UpdateTask,
)
from galaxy_core.model.edits_fields import transaction_to_dict
from galaxy_core.model.edits_file import transaction_from_dict, transaction_from_json
from galaxy_core.model.policy import DEFAULT_RETRY, Effect, RetryPolicy, TaskPriority
from galaxy_core.model.request import Call, Command, Reference
from galaxy_core.model.schema_edits import transaction_json_schema
from galaxy_core.model.task import TaskStar

LS = Command(shell="ls")  # noqa: S604  # it is only compared
SCHEMA = Draft202012Validator(transaction_json_schema())


def read(*entries: Any) -> tuple[Operation, ...]:
    document = {"operations": list(entries)}
    found = transaction_from_dict(document).operations
    assert not list(SCHEMA.iter_errors(document)), "what is read is in the schema"
    return found


def one(entry: Any) -> Any:
    (operation,) = read(entry)
    return operation


def refused(*entries: Any) -> list[tuple[str, str]]:
    """The problems of operations, their places without ``operations``."""
    with pytest.raises(DocumentError) as caught:
        transaction_from_dict({"operations": list(entries)})
    return [(path.removeprefix("operations"), text) for path, _, text in caught.value.problems]


# ----------------------------------------------------------------------------------------------- by hand
def test_a_transaction_is_written_in_the_keys_of_plan_files() -> None:
    text = """
    {"base_revision": 7, "description": "look closer", "author": "me", "operations": [
        {"add_task": {"id": "scan", "run": ["df", "-h"], "needs": ["probe", {"task": "warm", "on": "completion"}]}},
        {"remove_task": "old"},
        {"update_task": {"id": "report", "priority": "high", "timeout_s": null}},
        {"add_dependency": {"from": "scan", "to": "report"}},
        {"add_dependency": {"from": "probe", "to": "report", "on": "always", "id": "line"}},
        {"remove_dependency": {"from": "probe", "to": "old"}},
        {"remove_dependency": "some line"},
        {"update_dependency": {"from": "a", "to": "b", "on": "completion"}},
        {"update_dependency": {"id": "some line", "when": "exit_code == `0`"}}
    ]}"""
    transaction = transaction_from_json(text)
    assert (transaction.base_revision, str(transaction), transaction.author) == (7, "look closer", "me")
    assert list(map(str, transaction.operations)) == [
        "Add task: scan",
        "Remove task: old",
        "Update task: report",
        "Add dependency: scan -> report",
        "Add dependency: probe -> report",
        "Remove dependency: probe -> old",
        "Remove dependency: some line",
        "Update dependency: a -> b",
        "Update dependency: some line",
        "Add dependency: probe -> scan",
        "Add dependency: warm -> scan",
    ]
    add, _, update, *_ = transaction.operations
    assert isinstance(add, AddTask)
    assert (add.task.name, add.task.request) == ("scan", Command(["df", "-h"]))
    assert isinstance(update, UpdateTask)
    assert dict(update.changes) == {"priority": TaskPriority.HIGH, "timeout": None}
    kinds = [
        operation.line.dependency_type.value
        for operation in transaction.operations
        if isinstance(operation, AddDependency)
    ]
    assert kinds == ["success_only", "unconditional", "success_only", "completion_only"]
    assert transaction_from_json('{"operations": [], "base_revision": null}') == Transaction([])


def test_every_key_of_a_task_can_be_changed_or_cleared() -> None:
    said = {
        "shell": "ls",
        "env": {"A": {"from": "b"}},
        "name": "it",
        "description": "lists",
        "tips": ["quickly"],
        "device": "here",
        "device_type": "linux",
        "requires": ["disk"],
        "priority": "low",
        "timeout_s": 20,
        "retry": {"count": 2, "backoff_s": 3},
        "effect": "read",
        "estimate_s": 4,
        "data": {"a": [1]},
    }
    assert dict(one({"update_task": {"id": "z", **said}}).changes) == {
        "request": evolve(LS, env={"A": Reference("b")}),
        "name": "it",
        "description": "lists",
        "tips": ["quickly"],
        "target_device_id": "here",
        "device_type": DeviceType.LINUX,
        "requires": {"disk"},
        "priority": TaskPriority.LOW,
        "timeout": 20,
        "retry_count": 2,
        "retry": RetryPolicy(3),
        "effect": Effect.READ,
        "estimate_s": 4,
        "task_data": {"a": [1]},
    }
    cleared = {key: None for key in said if key not in ("shell", "env")}  # a task always has something to do
    assert dict(one({"update_task": {"id": "z", **cleared}}).changes) == {
        "name": "",
        "description": "",
        "tips": None,
        "target_device_id": None,
        "device_type": None,
        "requires": frozenset(),
        "priority": TaskPriority.MEDIUM,
        "timeout": None,
        "retry_count": 0,
        "retry": DEFAULT_RETRY,
        "effect": Effect.ONCE,
        "estimate_s": None,
        "task_data": None,
    }


def test_a_request_is_changed_as_a_whole() -> None:
    changed = one({"update_task": {"id": "z", "run": None, "shell": "ls", "cwd": None}})
    assert dict(changed.changes) == {"request": LS}
    described = {"run": None, "env": None, "description": "x"}
    assert dict(one({"update_task": {"id": "z", **described}}).changes) == {"request": None, "description": "x"}
    wrong = "'env' goes with 'run' or 'shell' only; a request is changed as a whole"
    assert refused({"update_task": {"id": "z", "env": None}}) == [("[0].update_task.env", wrong)]
    assert refused({"update_task": {"id": "z", "env": {"A": "b"}}}) == [
        ("[0].update_task.env", "'env' goes with 'run' or 'shell' only")
    ]
    assert refused({"update_task": {"id": "z", "run": ["x"], "shell": "x"}}) == [
        ("[0].update_task", "'run' and 'shell' exclude each other; keep one")
    ]


def test_a_task_may_need_one_that_is_added_behind_it_or_is_there_already() -> None:
    plan = TaskConstellation.build([TaskStar("there")], [])
    added = [
        {
            "add_task": {
                "id": "a",
                "run": ["cat", {"from": "b"}],
                "needs": [{"task": "there", "when": "exit_code == `0`"}],
            }
        },
        {"add_task": {"id": "b", "run": ["x"]}},
    ]
    Changes(plan, transaction_from_dict({"operations": added})).apply()
    assert {(line.from_task_id, line.dependency_type.value) for line in plan.get_task_dependencies("a")} == {
        ("there", "conditional"),
        ("b", "success_only"),
    }


def test_a_reference_implies_a_need_unless_its_link_is_written() -> None:
    task = {"add_task": {"id": "a", "stdin": {"from": "b"}, "shell": "wc"}}
    operations = read({"add_dependency": {"from": "b", "to": "a", "on": "always"}}, task)
    assert [str(operation) for operation in operations] == ["Add dependency: b -> a", "Add task: a"]
    assert len(read(task)) == 2
    assert len(read(task, {"add_dependency": {"from": "b", "to": "c"}})) == 3


def test_what_a_task_needed_goes_when_it_is_taken_out_again() -> None:
    first, second = ({"add_task": {"id": "a", "run": ["x"], "needs": [need]}} for need in ("b", "c"))
    operations = read(first, {"remove_task": {"id": "a"}}, second)
    assert list(map(str, operations)) == ["Add task: a", "Remove task: a", "Add task: a", "Add dependency: c -> a"]


def test_an_added_task_may_take_a_file_that_another_one_collects() -> None:
    source = {"add_task": {"id": "b", "run": ["x"], "outputs": ["report.txt"]}}
    wrong = {"add_task": {"id": "a", "run": ["cat", {"from": "b", "value": "file.report"}]}}
    unknown = {"add_task": {"id": "a", "run": ["cat", {"from": "c", "value": "file.report"}]}}
    assert refused(wrong, source) == [
        (
            "[0].add_task.run[1].value",
            "task 'b' collects no file 'report'; did you mean 'report.txt'?; its outputs are 'report.txt'",
        )
    ]
    assert len(read(unknown, source)) == 3


def test_a_plan_replaces_whatever_runs() -> None:
    plan = TaskConstellation.build([TaskStar("a"), TaskStar("b")], [TaskStarLine("a", "b")], constellation_id="run")
    said = {"name": "new", "tasks": {"x": {"run": ["x"], "needs": ["y"]}, "y": {"shell": "y"}}}
    Changes(plan, transaction_from_dict({"operations": [{"replace_plan": said}]})).apply()
    assert (plan.constellation_id, list(plan.tasks)) == ("run", ["x", "y"])
    assert [(line.from_task_id, line.to_task_id) for line in plan.get_all_dependencies()] == [("y", "x")]


def test_a_constellation_replaces_a_plan_as_its_document() -> None:
    plan = TaskConstellation.build([TaskStar("a"), TaskStar("b")], [TaskStarLine("a", "b")], constellation_id="run")
    document = plan.to_dict()
    assert Changes(plan, Transaction(read({"replace_plan": document}))).is_empty
    document["tasks"]["a"]["priority"] = "HIGH"
    document["tasks"] = list(document["tasks"].values())
    assert list(Changes(plan, Transaction(read({"replace_plan": document}))).updated_tasks) == ["a"]
    del document["constellation_id"]
    (operation,) = transaction_from_dict({"operations": [{"replace_plan": document}]}).operations
    assert isinstance(operation, ReplacePlan)
    assert operation.plan.constellation_id == ""


# ----------------------------------------------------------------------------------------------- what is wrong
def test_all_problems_come_at_once_with_their_lines() -> None:
    text = """{
  "base": 3,
  "operations": [
    {"add_tsk": {"id": "x"}},
    {"add_task": {"id": "my task",
                  "runn": ["x"],
                  "needs": [5]}},
    {"update_task": {"id": "x", "prioritiy": "high",
                     "timeout_s": -1}},
    {"replace_plan": {"tasks": {
        "a": {"run": ["x"], "needs": ["b"]}}}}
  ],
  "base_revision": -1
}"""
    with pytest.raises(DocumentError) as caught:
        transaction_from_json(text, "edit.json")
    problems = [(line, path, text.partition("; allowed are ")[0]) for path, line, text in caught.value.problems]
    an_id = "an id has up to 128 letters, digits, '_', '-' and '.', and does not begin with '.'"
    need = "a task's id or a mapping such as {task: ID, on: completion} is wanted here; quote it: '5'"
    assert problems == [
        (2, "base", "unknown key 'base'"),
        (4, "operations[0].add_tsk", "unknown key 'add_tsk'; did you mean 'add_task'?"),
        (5, "operations[1].add_task.id", f"found the text 'my task': {an_id}"),
        (6, "operations[1].add_task.runn", "unknown key 'runn'; did you mean 'run'?"),
        (7, "operations[1].add_task.needs[0]", f"found the number 5; {need}"),
        (8, "operations[2].update_task.prioritiy", "unknown key 'prioritiy'; did you mean 'priority'?"),
        (9, "operations[2].update_task.timeout_s", "found the number -1; it must be more than 0"),
        (11, "operations[3].replace_plan.tasks.a.needs[0]", "there is no task 'b'"),
        (13, "base_revision", "found the number -1; a revision of the plan, from 0, is wanted here"),
    ]
    assert str(caught.value).startswith("edit.json:2: base: unknown key 'base'; allowed are 'base_revision', ")


@pytest.mark.parametrize(
    ("entry", "path", "why"),
    [
        ("x", "[0]", "found the text 'x'; a mapping with one of 'add_task', 'remove_task', "),
        ({}, "[0]", "found an empty mapping; one of 'add_task', "),
        (
            {"remove_task": "a", "add_task": {}},
            "[0]",
            "'remove_task' and 'add_task' stand here together; write each as an operation of its own",
        ),
        ({"add_task": "a"}, "[0].add_task", "found the text 'a'; a mapping is wanted here"),
        ({"add_task": {"run": ["x"]}}, "[0].add_task", "'id' is missing"),
        ({"add_task": {"id": 5, "run": ["x"]}}, "[0].add_task.id", "found the number 5; an id is wanted here"),
        (
            {"add_task": {"task_id": "a", "run": ["x"]}},
            "[0].add_task.task_id",
            "'run' is a key of plan files; with those the id of a task stands as 'id'",
        ),
        (
            {"add_task": {"task_id": "a", "namee": ""}},
            "[0].add_task.namee",
            "unknown key 'namee'; did you mean 'name'?; ",
        ),
        ({"add_task": {"task_id": "a", "timeout": -1}}, "[0].add_task", "Timeout must be a positive number"),
        (
            {"add_task": {"task_id": "a", "request": {"run": 5}}},
            "[0].add_task.request.run",
            "found the number 5; a list is wanted here",
        ),
        (
            {"add_task": {"task_id": "a", "request": {"call": "print"}}},
            "[0].add_task.request",
            "found a mapping; a call is Python code, which no document can hold",
        ),
        ({"remove_task": {"from": "a"}}, "[0].remove_task.from", "unknown key 'from'; allowed are 'id'"),
        ({"remove_task": 5}, "[0].remove_task", "found the number 5; the id of a task is wanted here"),
        ({"remove_task": ""}, "[0].remove_task", "found the text ''; the id of a task is wanted here"),
        (
            {"update_task": {"id": "a", "needs": ["b"]}},
            "[0].update_task.needs",
            "what a task needs is changed by add_dependency, remove_dependency and update_dependency",
        ),
        ({"update_task": {"task_id": "a"}}, "[0].update_task.changes", "found nothing (null); a mapping of fields to "),
        (
            {"update_task": {"task_id": "a", "changes": {"priority": "hihg"}}},
            "[0].update_task.changes.priority",
            "found the text 'hihg'; did you mean 'high'?; allowed are 'low', 'medium', 'high', 'critical'",
        ),
        (
            {"update_task": {"task_id": "a", "changes": {"tips": "x"}}},
            "[0].update_task.changes.tips",
            "found the text 'x'; a list of texts is wanted here",
        ),
        (
            {"update_task": {"task_id": "a", "changes": {"timeot": 1}}},
            "[0].update_task.changes.timeot",
            "unknown key 'timeot'; did you mean 'timeout'?; allowed are 'name', ",
        ),
        ({"add_dependency": {"from": "a"}}, "[0].add_dependency", "'to' is missing"),
        (
            {"add_dependency": {"from": "a", "to": "b", "on": "sucess"}},
            "[0].add_dependency.on",
            "found the text 'sucess'; did you mean 'success'?; allowed are 'success', 'completion', 'always'",
        ),
        (
            {"add_dependency": {"from": "a", "to": "b", "on": "success", "when": "status"}},
            "[0].add_dependency",
            "'on' and 'when' exclude each other; a condition can ask for the status itself",
        ),
        ({"add_dependency": {"from": "a", "to": "b", "when": "a ="}}, "[0].add_dependency.when", "not a JMESPath"),
        (
            {"add_dependency": {"from": "a", "to": "b", "when": 5}},
            "[0].add_dependency.when",
            "found the number 5; text ",
        ),
        ({"add_dependency": {"from": "a", "to": "b", "kind": 5}}, "[0].add_dependency.kind", "unknown key 'kind'; "),
        (
            {"add_dependency": {"from_task_id": "a", "to_task_id": "b", "dependency_type": "x"}},
            "[0].add_dependency.dependency_type",
            "found the text 'x'; 'x' is not one of UNCONDITIONAL, CONDITIONAL, SUCCESS_ONLY, COMPLETION_ONLY",
        ),
        (
            {"remove_dependency": 5},
            "[0].remove_dependency",
            "found the number 5; a dependency is wanted here: its id, or ",
        ),
        ({"remove_dependency": {"to": "b"}}, "[0].remove_dependency", "'from' is missing"),
        (
            {"update_dependency": "changes"},
            "[0].update_dependency",
            "found the text 'changes'; a dependency is wanted ",
        ),
        (
            {"update_dependency": {"from": "a", "to": "b"}},
            "[0].update_dependency",
            "says nothing that changes; give it 'on' or 'when'",
        ),
        (
            {"update_dependency": {"id": "ab", "on": "always", "changes": {}}},
            "[0].update_dependency",
            "'changes' stands alone: it says what 'on' and 'when' say, too",
        ),
        (
            {"update_dependency": {"id": "ab", "changes": {"condition_evaluator": "a ="}}},
            "[0].update_dependency.changes.condition_evaluator",
            "found the text 'a ='; not a JMESPath expression",
        ),
        ({"replace_plan": "tasks: {}"}, "[0].replace_plan", "found the text 'tasks: {}'; a mapping is wanted here"),
        ({"replace_plan": {}}, "[0].replace_plan", "'tasks' is missing"),
        (
            {"replace_plan": {"constellation_id": "x", "tasks": {"a": {"run": ["x"]}}}},
            "[0].replace_plan.tasks.a.run",
            "unknown key 'run'; allowed are 'task_id', ",
        ),
        (
            {"replace_plan": {"tasks": {"a": {"run": ["x"], "needs": ["a"]}}}},
            "[0].replace_plan.tasks.a.needs[0]",
            "a cycle: a -> a; remove one of these needs",
        ),
        (
            {"add_task": {"id": "a", "description": "x", "data": {"when": {1}}}},
            "[0].add_task.data.when",
            "found a set; a text, number, ",
        ),
    ],
)
def test_what_is_wrong_is_said_at_its_place(entry: Any, path: str, why: str) -> None:
    found = refused({"remove_task": "fine"}, entry)
    assert any(place == path.replace("[0]", "[1]", 1) and text.startswith(why) for place, text in found), found


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "is empty; a transaction is a mapping of keys to values"),
        ("[]", "holds an empty list; a transaction is a mapping of keys to values"),
        ("{", "is not JSON: Expecting property name enclosed in double quotes"),
        ("{}", "'operations' is missing"),
        ('{"operations": {}}', "operations: found an empty mapping; a list is wanted here"),
        ('{"operations": [], "author": 5}', "author: found the number 5; text is wanted here"),
        ('{"operations": [], "base_revision": true}', "base_revision: found true; a revision of the plan, from 0, "),
        ('{"operations": [], "operations": []}', "operations: this key stands twice, on line 1; remove or rename one"),
        ('{"operations": ' + "[" * 60 + "]" * 60 + "}", "lies deeper than the 50 levels that are read"),
        ('{"operations": [{"remove_task": NaN}]}', "operations[0].remove_task: NaN is not a value"),
        ('{"operations": [], "description": "' + "x" * 10_000_000 + '"}', "has more than the 10,000,000 bytes"),
    ],
    ids=lambda value: value[:20],
)
def test_a_text_that_is_no_transaction_is_refused(text: str, why: str) -> None:
    with pytest.raises(DocumentError) as caught:
        transaction_from_json(text)
    assert str(caught.value).partition(": ")[2].startswith(why)


def test_what_the_running_plan_has_not_is_left_to_the_transaction() -> None:
    plan = TaskConstellation.build([TaskStar("a")], [])
    said = {"operations": [{"add_task": {"id": "b", "run": ["x"], "needs": ["c"]}}, {"remove_task": "d"}]}
    problems = Changes(plan, transaction_from_dict(said)).problems
    assert [(problem.operation, problem.reason) for problem in problems] == [
        (1, "there is no task 'd'"),
        (0, "there is no prerequisite 'c'"),
    ]


# ----------------------------------------------------------------------------------------------- by programs
def test_what_is_written_is_plain_and_short_where_it_can_be() -> None:
    transaction = Transaction(
        [
            RemoveTask("a"),
            UpdateTask("b", {"priority": TaskPriority.HIGH, "requires": {"y", "x"}, "effect": "read", "request": None}),
            UpdateTask("b", {"request": Command(["ls"]), "retry": DEFAULT_RETRY}),
            RemoveDependency("ab"),
            RemoveDependency(("a", "b")),
            UpdateDependency("ab", {"condition_evaluator": Expression("status")}),
            UpdateDependency(("a", "b"), {"dependency_type": DependencyType.SUCCESS_ONLY, "metadata": {"a": 1}}),
        ],
        3,
        "tidy up",
        "me",
    )
    assert transaction_to_dict(transaction) == {
        "base_revision": 3,
        "description": "tidy up",
        "author": "me",
        "operations": [
            {"remove_task": "a"},
            {
                "update_task": {
                    "task_id": "b",
                    "changes": {"priority": "high", "requires": ["x", "y"], "effect": "read", "request": None},
                }
            },
            {
                "update_task": {
                    "task_id": "b",
                    "changes": {
                        "request": {"run": ["ls"]},
                        "retry": {
                            "backoff_s": 1.0,
                            "factor": 2.0,
                            "max_backoff_s": 60.0,
                            "jitter": 0.1,
                            "on": ["failed", "refused", "timeout"],
                        },
                    },
                }
            },
            {"remove_dependency": "ab"},
            {"remove_dependency": {"from": "a", "to": "b"}},
            {"update_dependency": {"id": "ab", "changes": {"condition_evaluator": "status"}}},
            {
                "update_dependency": {
                    "from": "a",
                    "to": "b",
                    "changes": {"dependency_type": "success_only", "metadata": {"a": 1}},
                }
            },
        ],
    }


def test_nothing_is_written_of_how_a_task_stands() -> None:
    plan = TaskConstellation.build([TaskStar("a", task_data={"a": 1})], [], constellation_id="run")
    plan.mark_task_completed("a", success=True, result="a secret")
    for operation in (AddTask(plan.tasks["a"]), ReplacePlan(plan)):
        assert "secret" not in json.dumps(transaction_to_dict(Transaction([operation])))


def test_the_inverse_can_be_written_down() -> None:
    plan = TaskConstellation.build(
        [TaskStar("a", request=Command(["x"])), TaskStar("b", retry_count=2)],
        [TaskStarLine("a", "b", DependencyType.CONDITIONAL, "it is so", Expression("status"), "ab")],
    )
    changes = Changes(plan, Transaction([RemoveTask("a"), UpdateTask("b", {"retry_count": 0}), AddTask(TaskStar("c"))]))
    before = {key: value for key, value in plan.tasks["a"].to_dict().items() if key.endswith("_at")}
    undo = transaction_from_json(json.dumps(transaction_to_dict(changes.apply())))
    Changes(plan, undo).apply()
    assert before.keys() == {"created_at", "updated_at"}
    assert (sorted(plan.tasks), plan.tasks["b"].retry_count) == (["a", "b"], 2)
    line = plan.dependencies["ab"]
    assert (line.condition_description, line.condition_evaluator) == ("it is so", Expression("status"))


@pytest.mark.parametrize(
    ("operation", "why"),
    [
        (
            AddTask(TaskStar("a", request=Call(print))),
            "operation 1: the request 'builtins:print', a Call, is Python code and cannot be written down",
        ),
        (
            UpdateDependency("ab", {"condition_evaluator": len}),
            "operation 1: the condition 'len', a function, is Python code and cannot be written down",
        ),
        (
            AddTask(TaskStar("a", task_data={"it": (1, 2)})),
            "operation 1: Add task: a: its task_data cannot be written down: it is more than plain data",
        ),
        (
            UpdateTask("a", {"task_data": {"it": {1}}}),
            "operation 1: Update task: a: its task_data cannot be written down: it is more than plain data",
        ),
        (
            AddTask(TaskStar("a", timeout=-1)),
            "operation 1: task 'a', which is wrong (Timeout must be a positive number), cannot be written down",
        ),
        (
            UpdateTask("a", {"timeout": float("inf")}),
            "operation 1: operations[1].update_task.changes.timeout: infinity and NaN are not values here",
        ),
    ],
)
def test_what_no_document_can_hold_is_refused_when_it_is_written(operation: Operation, why: str) -> None:
    with pytest.raises(EditError) as caught:
        transaction_to_dict(Transaction([RemoveTask("b"), operation]))
    assert str(caught.value) == f"Writing the edit was refused, and nothing was changed: {why}"


# ----------------------------------------------------------------------------------------------- the schema
def test_the_schema_is_one_and_knows_what_is_written_by_hand() -> None:
    Draft202012Validator.check_schema(transaction_json_schema())
    assert not list(
        SCHEMA.iter_errors({"operations": [{"add_task": {"id": "a", "run": ["x", {"from": "b"}], "needs": ["c"]}}]})
    )


@pytest.mark.parametrize(
    "entry",
    [
        {},
        {"add_tsk": {"id": "a"}},
        {"add_task": {"id": "a"}},
        {"add_task": {"run": ["x"]}},
        {"add_task": {"id": "a", "run": ["x"], "shell": "x"}},
        {"add_task": {"id": "my task", "run": ["x"]}},
        {"update_task": {"priority": "high"}},
        {"update_task": {"id": "a", "needs": []}},
        {"update_task": {"id": "a", "priority": "hihg"}},
        {"add_dependency": {"from": "a"}},
        {"add_dependency": {"from": "a", "to": "b", "on": "always", "when": "status"}},
        {"update_dependency": {"from": "a", "to": "b"}},
        {"replace_plan": {}},
        {"remove_task": "a", "add_task": {"id": "a", "run": ["x"]}},
    ],
)
def test_the_schema_refuses_what_is_refused(entry: Any) -> None:
    document = {"operations": [entry]}
    assert list(SCHEMA.iter_errors(document))
    with pytest.raises(DocumentError):
        transaction_from_dict(document)
