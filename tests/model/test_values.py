"""Values that nobody changes behind a plan's back."""

from __future__ import annotations

import copy
import json
import pickle
from collections.abc import Callable
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from galaxy_core.errors import PlanError
from galaxy_core.model.constellation import TaskConstellation
from galaxy_core.model.request import Action, Call, Command, Reference
from galaxy_core.model.task import TaskStar
from galaxy_core.model.values import FrozenDict, FrozenList, copied, frozen_deep

DATA = st.recursive(
    st.none() | st.integers() | st.text(max_size=3),
    lambda part: (
        st.lists(part, max_size=3)
        | st.dictionaries(st.text(max_size=2), part, max_size=3)
        | st.tuples(part, part)
        | st.sets(st.integers(), max_size=3)
    ),
    max_leaves=12,
)
MAPPINGS = st.dictionaries(st.text(max_size=2), DATA, max_size=4)


def parts(value: Any) -> list[Any]:
    """The dictionaries, lists and sets in a value, itself included, that could be changed."""
    found = [value] if isinstance(value, (dict, list, set)) else []
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, (list, tuple)) else ()
    return found + [part for one in inside for part in parts(one)]


@given(MAPPINGS)
def test_a_read_only_copy_is_equal_shares_nothing_and_cannot_be_changed_at_any_depth(given_: dict[str, Any]) -> None:
    read_only = frozen_deep(given_)
    assert read_only == given_
    assert {id(part) for part in parts(read_only)}.isdisjoint(map(id, parts(given_)))
    assert {type(part) for part in parts(read_only)} <= {FrozenDict, FrozenList}


@given(MAPPINGS)
def test_a_copy_is_equal_has_the_same_types_and_shares_nothing(given_: dict[str, Any]) -> None:
    for found in (copied(given_), copied(frozen_deep(given_))):
        assert found == given_
        assert {id(part) for part in parts(found)}.isdisjoint(map(id, parts(given_)))
        assert {type(part) for part in parts(found)} <= {dict, list, set}


CHANGES: dict[str, Callable[[Any], object]] = {
    "item": lambda found: found.__setitem__(0, 1),
    "deletion": lambda found: found.__delitem__(0),
    "union": lambda found: found.__ior__({}),
    "addition": lambda found: found.__iadd__([]),
    "multiple": lambda found: found.__imul__(2),
    "append": lambda found: found.append(1),
    "extend": lambda found: found.extend([]),
    "insert": lambda found: found.insert(0, 1),
    "remove": lambda found: found.remove(1),
    "pop": lambda found: found.pop(),
    "popitem": lambda found: found.popitem(),
    "clear": lambda found: found.clear(),
    "sort": lambda found: found.sort(),
    "reverse": lambda found: found.reverse(),
    "update": lambda found: found.update({}),
    "default": lambda found: found.setdefault("a", 1),
}


@pytest.mark.parametrize("read_only", [FrozenDict(a=1), FrozenList([1])], ids=["dict", "list"])
@pytest.mark.parametrize("change", CHANGES)
def test_no_method_changes_what_is_read_only(change: str, read_only: Any) -> None:
    with pytest.raises((TypeError, AttributeError)) as caught:
        CHANGES[change](read_only)
    assert isinstance(caught.value, AttributeError) or "copy it, and make a new request" in str(caught.value)
    assert read_only in ({"a": 1}, [1])


def test_what_is_read_only_is_a_dictionary_and_a_list_to_everybody_who_reads() -> None:
    read_only = frozen_deep({"a": [1, {"b": None}]})
    assert json.dumps(read_only) == '{"a": [1, {"b": null}]}'
    for again in (copy.deepcopy(read_only), pickle.loads(pickle.dumps(read_only))):  # noqa: S301  our own
        assert (again, type(again), type(again["a"])) == (read_only, FrozenDict, FrozenList)
    assert type(read_only | {"c": 1}) is dict
    assert type(read_only["a"] + [2]) is list


def test_what_contains_itself_is_copied_as_it_is() -> None:
    ring: dict[str, Any] = {"list": []}
    ring["list"].append(ring)
    found = copied(ring)
    assert found is not ring
    assert found["list"][0] is found
    assert Action("ring", ring).arguments["list"][0]["list"][0] is not ring


def test_what_nests_too_deeply_to_be_copied_is_refused() -> None:
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(PlanError, match="nests too deeply"):
        TaskStar("a", task_data={"deep": deep})


# ----------------------------------------------------------------------------------------------- what is built of them
def test_what_a_request_was_made_of_may_change_without_it() -> None:
    env, files, kwargs = {"LANG": "C"}, {"in": "here"}, {"key": 1}
    arguments: dict[str, Any] = {"values": [1, {"x": [2]}]}
    command = Command(["true"], env=env, files=files)
    call, action = Call(print, [1], kwargs), Action("query", arguments)
    for mapping in (env, files, kwargs):
        mapping.clear()
    arguments["values"][1]["x"].append(3)
    arguments["values"].append(4)
    assert (command.env, command.files, call.kwargs) == ({"LANG": "C"}, {"in": "here"}, {"key": 1})
    assert action.arguments == {"values": [1, {"x": [2]}]}


@pytest.mark.parametrize(
    "handed_out",
    [
        lambda: Command(["true"], env={"a": "b"}).env,
        lambda: Command(["true"]).env,
        lambda: Command(["true"]).resolve(str).files,
        lambda: Command(["cat"], env={"a": Reference("x")}).resolve(lambda reference: "text").env,
        lambda: Call(print).kwargs,
        lambda: Action("query").arguments,
        lambda: Action("query", {"deep": {"deeper": {}}}).arguments["deep"]["deeper"],
        lambda: Action("query", {"a": Reference("x")}).resolve(lambda reference: {"b": {}}).arguments["a"]["b"],
    ],
)
def test_what_a_request_hands_out_cannot_be_changed(handed_out: Callable[[], dict[str, Any]]) -> None:
    with pytest.raises(TypeError, match="belongs to a request, which cannot be changed"):
        handed_out()["new"] = 1


def test_the_document_of_an_action_is_ones_own() -> None:
    action = Action("query", {"values": [1, {"x": []}]})
    action.to_dict()["action"]["query"]["values"][1]["x"].append(2)
    assert action.to_dict() == {"action": {"query": {"values": [1, {"x": []}]}}}


def test_a_function_gets_the_very_arguments_of_its_call() -> None:
    heap: list[int] = []
    call = Call(heap.append, (heap,), {"into": heap})
    assert call.args[0] is heap
    assert call.kwargs["into"] is heap


def _set(data: dict[str, Any]) -> TaskStar:
    task = TaskStar("a")
    task.task_data = data
    return task


def _updated(data: dict[str, Any]) -> TaskStar:
    task = TaskStar("a")
    task.update_task_data(data)
    return task


SETTING: dict[str, Callable[[dict[str, Any]], TaskStar]] = {
    "made": lambda data: TaskStar("a", task_data=data),
    "set": _set,
    "updated": _updated,
}


@pytest.mark.parametrize("way", SETTING)
def test_task_data_is_nobody_elses_at_any_depth(way: str) -> None:
    given_: dict[str, Any] = {"deep": [{"er": [1]}], "tags": {1}}
    task = SETTING[way](given_)
    given_["deep"][0]["er"].append(2)
    given_["tags"].add(2)
    task.task_data["deep"][0]["er"].append(3)
    task.task_data["tags"].add(3)
    assert task.task_data == task.copy().task_data == {"deep": [{"er": [1]}], "tags": {1}}


@pytest.mark.parametrize(
    "request_",
    [
        Command(["true", Reference("x")], env={"a": "b"}, files={"in": Reference("x", "file.f")}, outputs=["out"]),
        Command(shell="true", stdin=Reference("x")),  # noqa: S604  nothing runs
        Action("query", {"deep": [{"er": (1, {2, 3})}], "whole": Reference("x"), "wide": {"r": {"st": []}}}),
        Call(print, (1,)),
    ],
    ids=lambda request: type(request).__name__,
)
def test_documents_of_requests_are_plain_all_the_way_down(request_: Command | Action | Call) -> None:
    task = TaskStar("a", request=request_, task_data={"deep": ({"er": {1}},)})
    plan = TaskConstellation()
    plan.add_task(task)
    for document in (request_.to_dict(), task.to_dict(), plan.to_dict()):
        assert yaml.safe_load(yaml.safe_dump(document)) == json.loads(json.dumps(document)) == document
