"""The laws of transactions as documents: what is written is read as the same, and nothing that is read brings it down."""

from __future__ import annotations

import json
from typing import Any

import pytest
from attrs import asdict
from hypothesis import event, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from galaxy_core.errors import DocumentError, EditError
from galaxy_core.model.changes import Changes
from galaxy_core.model.condition import Expression
from galaxy_core.model.constellation import TaskConstellation
from galaxy_core.model.dependency import DependencyType, TaskStarLine
from galaxy_core.model.device import DeviceType
from galaxy_core.model.edits import (
    LINE_FIELDS,
    TASK_FIELDS,
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
from galaxy_core.model.policy import Effect, RetryPolicy, TaskPriority
from galaxy_core.model.request import Action, Call, Command, Reference, Request
from galaxy_core.model.schema_edits import transaction_json_schema
from galaxy_core.model.task import TaskStar

SCHEMA = Draft202012Validator(transaction_json_schema())

# ----------------------------------------------------------------------------------------------- what is drawn
texts = st.text(max_size=6)
some_texts = texts.filter(str.strip)
seconds = st.floats(0, 1e9)
data = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda part: st.lists(part, max_size=2) | st.dictionaries(st.sampled_from(["a", "value", "é"]), part, max_size=2),
    max_leaves=5,
)
mappings = st.dictionaries(some_texts, data, max_size=2)
references = st.builds(Reference, some_texts, st.sampled_from(["stdout", "json.a", "value"]))
requests: st.SearchStrategy[Request] = st.one_of(
    st.builds(
        Command,
        st.lists(texts | references, min_size=1, max_size=3),
        cwd=st.none() | texts,
        env=st.dictionaries(texts, texts | references, max_size=2),
        stdin=st.none() | texts | references,
        files=st.dictionaries(texts, texts | references, max_size=1),
        outputs=st.lists(texts, max_size=2),
    ),
    st.builds(Command, shell=texts),
    st.builds(Action, texts, st.dictionaries(some_texts, data | references, max_size=2)),
)
retries = st.builds(
    RetryPolicy,
    seconds,
    st.floats(1, 9),
    seconds,
    st.floats(0, 1),
    st.frozensets(st.sampled_from(["failed", "timeout", "refused"])),
)
fields: dict[str, st.SearchStrategy[Any]] = {
    "name": texts,
    "description": texts,
    "tips": st.none() | st.lists(texts, max_size=2),
    "target_device_id": st.none() | texts,
    "device_type": st.none() | st.sampled_from(DeviceType),
    "priority": st.sampled_from(TaskPriority),
    "timeout": st.none() | st.floats(0.1, 1e6),
    "retry_count": st.integers(0, 9),
    "task_data": st.none() | mappings,
    "expected_output_type": st.none() | texts,
    "request": st.none() | requests,
    "requires": st.frozensets(texts, max_size=2),
    "effect": st.sampled_from(Effect),
    "retry": retries,
    "estimate_s": st.none() | seconds,
}
conditions = st.none() | st.sampled_from(["status", "exit_code == `0`"]).map(Expression)
line_fields: dict[str, st.SearchStrategy[Any]] = {
    "dependency_type": st.sampled_from(DependencyType),
    "condition_description": st.none() | texts,
    "condition_evaluator": conditions,
    "metadata": st.none() | mappings,
}
names = some_texts | st.tuples(some_texts, some_texts)
task_ids = st.sampled_from(["a", "b", "c", "d", "Ä ö\t"])


@st.composite
def tasks(draw: st.DrawFn) -> TaskStar:
    said = draw(st.fixed_dictionaries({}, optional=fields))
    return TaskStar(draw(task_ids), **said)


@st.composite
def lines(draw: st.DrawFn) -> TaskStarLine:
    said = draw(st.fixed_dictionaries({}, optional=line_fields))
    return TaskStarLine(draw(some_texts), draw(some_texts), line_id=draw(some_texts), **said)


@st.composite
def plans(draw: st.DrawFn) -> TaskConstellation:
    plan = TaskConstellation(draw(texts))
    for task in draw(st.lists(tasks(), max_size=3, unique_by=lambda task: task.task_id)):
        plan.add_task(task)
    ids = sorted(plan.tasks)
    for place, source in enumerate(ids[1:]):
        said = draw(st.fixed_dictionaries({}, optional=line_fields))
        plan.add_dependency(TaskStarLine(source, ids[place], line_id=f"{source} after", **said))
    for task in draw(st.lists(st.sampled_from(plan.get_ready_tasks()), max_size=1)) if plan.task_count else ():
        task.cancel()
    return plan


operations: st.SearchStrategy[Operation] = st.one_of(
    st.builds(AddTask, tasks()),
    st.builds(RemoveTask, some_texts),
    st.builds(UpdateTask, some_texts, st.fixed_dictionaries({}, optional=fields)),
    st.builds(AddDependency, lines()),
    st.builds(RemoveDependency, names),
    st.builds(UpdateDependency, names, st.fixed_dictionaries({}, optional=line_fields)),
    st.builds(ReplacePlan, plans()),
)
transactions = st.builds(Transaction, st.lists(operations, max_size=4), st.none() | st.integers(0, 2**40), texts, texts)


# ----------------------------------------------------------------------------------------------- what is compared
def said(value: Any) -> Any:
    """An operation as plain values that are equal only where it says the same."""
    match value:
        case AddTask(task):
            return "add", said(task)
        case TaskStar():
            return value.task_id, {name: said(getattr(value, slot)) for name, slot in TASK_FIELDS.items()}
        case TaskStarLine():
            ends = value.line_id, value.from_task_id, value.to_task_id
            return ends, {name: said(getattr(value, slot)) for name, slot in LINE_FIELDS.items()}
        case AddDependency(line):
            return "link", said(line)
        case UpdateTask(name, changes) | UpdateDependency(name, changes):
            empty: dict[str, Any] = {"tips": [], "task_data": {}, "metadata": {}}
            return name, {key: None if one == empty.get(key, ...) else said(one) for key, one in changes.items()}
        case ReplacePlan(plan):
            parts = [*plan.get_all_tasks(), *plan.get_all_dependencies()]
            return plan.constellation_id, sorted(map(repr, map(said, parts)))
        case set() | frozenset():
            return sorted(value)
        case RetryPolicy():
            return asdict(value) | {"on": sorted(value.on)}
        case Command() | Action() | Expression() | RemoveTask() | RemoveDependency():
            return repr(value)
        case dict() | list():
            return json.dumps(value, sort_keys=True)
    return value


# ----------------------------------------------------------------------------------------------- writing and reading
@given(transaction=transactions)
@settings(max_examples=300)
def test_a_transaction_comes_back_from_json(transaction: Transaction) -> None:
    document = transaction_to_dict(transaction)
    assert not list(SCHEMA.iter_errors(document))
    for read in (transaction_from_dict(document), transaction_from_json(json.dumps(document))):
        assert list(map(said, read.operations)) == list(map(said, transaction.operations))
        assert (read.base_revision, read.description, read.author) == (
            transaction.base_revision,
            transaction.description,
            transaction.author,
        )


#: What no document can hold, each in a place of its own.
UNWRITABLE: list[Operation] = [
    AddTask(TaskStar("a", request=Call(print))),
    UpdateTask("a", {"request": Call(print)}),
    AddDependency(TaskStarLine("a", "b", condition_evaluator=bool)),
    UpdateDependency("ab", {"condition_evaluator": bool}),
    *(AddTask(TaskStar("a", task_data={"it": value})) for value in ((1, 2), {1}, float("nan"), object(), b"", {1: 2})),
    *(UpdateTask("a", {"task_data": {"it": [value]}}) for value in ((1, 2), {1}, float("inf"), object(), "\ud800")),
    UpdateDependency("ab", {"metadata": {"it": (1,)}}),
    AddTask(TaskStar("a", request=Action("tap", {"where": {"from": "b"}}))),
    AddTask(TaskStar("a", timeout=float("inf"))),
    AddTask(TaskStar("a", timeout=-1)),
    UpdateTask("a", {"priority": 3}),
    ReplacePlan(TaskConstellation.build([TaskStar("a", request=Call(print))], [])),
    ReplacePlan(TaskConstellation.build([TaskStar("a", task_data={"it": (1,)})], [])),
]


@given(before=st.lists(operations, max_size=2), wrong=st.sampled_from(UNWRITABLE))
@settings(max_examples=150)
def test_what_no_json_can_hold_is_refused_and_not_lost(before: list[Operation], wrong: Operation) -> None:
    with pytest.raises(EditError) as caught:
        transaction_to_dict(Transaction([*before, wrong]))
    assert {problem.kind for problem in caught.value.problems} == {"invalid"}
    assert {problem.operation for problem in caught.value.problems} == {len(before)}


# ----------------------------------------------------------------------------------------------- whatever is read
KEYS = [
    *("id", "task_id", "changes", "from", "to", "on", "when", "from_task_id", "to_task_id", "line_id", "needs", "run"),
    *("shell", "action", "env", "tasks", "dependencies", "constellation_id", "name", "description", "request", "retry"),
    *("priority", "timeout_s", "device_type", "requires", "data", "stdin", "condition_expression", "metadata", "value"),
    *("dependency_type", "condition_evaluator", "effect", "tips", "estimate_s", "timeout", "files", "outputs", "extra"),
]
KINDS = [
    *("add_task", "remove_task", "update_task", "add_dependency", "remove_dependency", "update_dependency"),
    "replace_plan",
]
scalars = (
    st.none() | st.booleans() | st.integers(-1, 3) | st.sampled_from(["a", "b", "", " ", "success", "x y", "high"])
)
garbage = st.recursive(
    scalars | st.sampled_from([1.5, {}, []]),
    lambda part: st.lists(part, max_size=3) | st.dictionaries(st.sampled_from(KEYS), part, max_size=4),
    max_leaves=8,
)
likely = st.dictionaries(st.sampled_from(KEYS), garbage | scalars, max_size=4).map(lambda keys: {"id": "a", **keys})
entries = st.dictionaries(st.sampled_from(KINDS), garbage | likely, min_size=1, max_size=1) | garbage


@given(found=st.lists(entries, max_size=3), base=scalars)
@settings(max_examples=500)
def test_whatever_is_read_is_a_transaction_or_refused_as_a_document(found: list[Any], base: Any) -> None:
    document = {"operations": found, "base_revision": base}
    try:
        transaction = transaction_from_json(json.dumps(document))
    except DocumentError:
        event("refused")
        return
    event("read")
    assert not list(SCHEMA.iter_errors(document)), "what the schema refuses must not be read"
    plan = TaskConstellation.build([TaskStar("a"), TaskStar("b")], [TaskStarLine("a", "b")])
    Changes(plan, transaction)
    written = transaction_to_dict(transaction)
    assert list(map(said, transaction_from_dict(written).operations)) == list(map(said, transaction.operations))
