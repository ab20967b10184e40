"""One document says the same in YAML, JSON and TOML; whatever is in it, the answer is a plan or a DocumentError."""

from __future__ import annotations

import copy
import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from galaxy_core.errors import DocumentError
from galaxy_core.model.places import Findings
from galaxy_core.model.plan_file import parse_plan
from galaxy_core.model.schema_files import plan_json_schema, validated_plan

VALIDATOR = Draft202012Validator(plan_json_schema())

# ------------------------------------------------------------------------------------------------------- documents

characters = st.characters(exclude_categories=["Cs"])
words = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=8)
texts = st.text(st.characters(exclude_categories=["Cs", "Cc"]) | st.sampled_from("\t\n"), max_size=12)
awkward = st.sampled_from(
    ["no", "on", "010", "1:30", "1e3", "null", "~", "2026-01-02", "", " x", "#", "a: b", "'", '"', "\\"]
)
seconds = st.floats(min_value=0.001, max_value=1e9)
names = st.text(alphabet="abcXYZ019_-", min_size=1, max_size=4)
values: st.SearchStrategy[Any] = st.recursive(
    st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(characters, max_size=8) | awkward,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(characters, max_size=5), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip


def optional(**keys: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional=keys)


def argument(earlier: list[str]) -> st.SearchStrategy[Any]:
    plain = texts | awkward
    if not earlier:
        return plain
    kinds = st.sampled_from(["stdout", "stderr", "exit_code", "status", "value", "json", "json.a[0].b"])
    reference = st.fixed_dictionaries({"from": st.sampled_from(earlier)}, optional={"value": kinds})
    return plain | reference


def file(earlier: list[str]) -> st.SearchStrategy[Any]:
    if not earlier:
        return words
    kinds = st.sampled_from(["value", "json.path", "file.stdout.txt"])
    return words | st.fixed_dictionaries({"from": st.sampled_from(earlier), "value": kinds})


def need(earlier: list[str]) -> st.SearchStrategy[Any]:
    ids = st.sampled_from(earlier)
    ends = st.sampled_from(["success", "completion", "always"])
    conditions = st.sampled_from(["exit_code == `0`", "json.ok", "status == 'completed'"])
    return (
        ids
        | st.fixed_dictionaries({"task": ids}, optional={"on": ends})
        | st.fixed_dictionaries({"task": ids, "when": conditions})
    )


def request(earlier: list[str]) -> st.SearchStrategy[dict[str, Any]]:
    one = argument(earlier)
    more = {
        "cwd": words,
        "env": st.dictionaries(names, one, max_size=2),
        "stdin": one,
        "files": st.dictionaries(st.lists(names, min_size=1, max_size=2).map("/".join), file(earlier), max_size=2),
        "outputs": st.lists(names, max_size=2),
    }
    return (
        st.fixed_dictionaries({"run": st.lists(one, min_size=1, max_size=3)}, optional=more)
        | st.fixed_dictionaries({"shell": texts.filter(bool)}, optional=more)
        | st.fixed_dictionaries({"action": st.dictionaries(words, st.dictionaries(words, values, max_size=2), min_size=1, max_size=1)})
        | st.fixed_dictionaries({"description": words.filter(str.strip)})
    )  # fmt: skip


settings_of_a_task = optional(
    name=words,
    tips=st.lists(texts, max_size=2),
    device=names,
    device_type=st.sampled_from(["windows", "macos", "linux", "android", "ios", "web", "api"]),
    requires=st.lists(words, max_size=2),
    priority=st.sampled_from(["low", "medium", "high", "critical"]),
    timeout_s=seconds | st.integers(1, 10**6),
    retry=st.fixed_dictionaries(
        {"count": st.integers(0, 100)},
        optional={
            "backoff_s": seconds,
            "factor": st.floats(1, 100),
            "max_backoff_s": st.integers(0, 1000),
            "jitter": st.floats(0, 1),
            "on": st.lists(st.sampled_from(["failed", "timeout", "refused"]), min_size=1, max_size=3),
        },
    ),
    effect=st.sampled_from(["read", "idempotent", "once"]),
    estimate_s=seconds,
    data=st.dictionaries(st.text(characters, max_size=5), values, max_size=3),
)


@st.composite
def documents(draw: st.DrawFn) -> dict[str, Any]:
    """Plans that are right, without null, which TOML has not."""
    document = draw(optional(name=words, strategy=words, description=texts))
    tasks: dict[str, Any] = {}
    for task_id in draw(st.lists(names, max_size=4, unique=True)):
        earlier = list(tasks)
        task = draw(settings_of_a_task) | draw(request(earlier))
        if draw(st.booleans()) and earlier:
            task["needs"] = draw(
                st.lists(
                    need(earlier), max_size=3, unique_by=lambda item: item["task"] if isinstance(item, dict) else item
                )
            )
        tasks[task_id] = task
    return document | {"tasks": tasks}


# --------------------------------------------------------------------------------------------------------- writers


def quoted(text: str) -> str:
    """Text in double quotes, with escapes that YAML and TOML share."""
    escaped = "".join(
        character
        if character.isascii() and character.isprintable() and character not in '"\\'
        else f"\\U{ord(character):08x}"
        for character in text
    )
    return f'"{escaped}"'


def scalar(value: Any) -> str:
    return quoted(value) if isinstance(value, str) else json.dumps(value)


def as_yaml(value: Any, indent: int = 0) -> str:
    """Block style for what is not empty."""
    start = "\n" + "  " * indent
    if isinstance(value, dict) and value:
        return "".join(f"{start}{quoted(key)}: {as_yaml(item, indent + 1)}" for key, item in value.items())
    if isinstance(value, list) and value:
        return "".join(f"{start}- {as_yaml(item, indent + 1)}" for item in value)
    return json.dumps(value) if isinstance(value, (dict, list)) else scalar(value)


def inline_toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{quoted(key)} = {inline_toml(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(inline_toml, value)) + "]"
    return scalar(value)


def as_toml(document: dict[str, Any]) -> str:
    """The tasks as tables, what is in them inline."""
    lines = [f"{key} = {inline_toml(value)}" for key, value in document.items() if key != "tasks"] + ["[tasks]"]
    for task_id, task in document["tasks"].items():
        lines.append(f"[tasks.{quoted(task_id)}]")
        lines += [f"{key} = {inline_toml(value)}" for key, value in task.items()]
    return "\n".join(lines)


# ---------------------------------------------------------------------------------------------------------- tests


@given(documents())
def test_a_document_says_the_same_in_every_format(document: dict[str, Any]) -> None:
    plan = parse_plan(copy.deepcopy(document))
    assert parse_plan(as_yaml(document), "yaml") == plan
    assert parse_plan(json.dumps(document), "json") == plan
    assert parse_plan(json.dumps(document, ensure_ascii=False, indent=2), "json") == plan
    assert parse_plan(as_toml(document), "toml") == plan


@given(documents())
def test_a_plan_that_is_read_builds_a_constellation_of_its_tasks(document: dict[str, Any]) -> None:
    constellation = parse_plan(document).to_constellation()
    assert list(constellation.tasks) == list(document["tasks"])
    assert constellation.validate_dag() == (True, [])
    for task in constellation.get_all_tasks():
        assert task.validate(), task.get_validation_errors()
        named = {
            item["task"] if isinstance(item, dict) else item
            for item in document["tasks"][task.task_id].get("needs", [])
        }
        assert named <= {line.from_task_id for line in constellation.get_task_dependencies(task.task_id)}


@given(documents())
def test_the_json_schema_takes_every_plan_that_is_read(document: dict[str, Any]) -> None:
    parse_plan(document)
    assert list(VALIDATOR.iter_errors(document)) == []


def _spots(value: Any) -> list[tuple[Any, Any]]:
    """Every container of a document with each of its keys or indices."""
    found: list[tuple[Any, Any]] = []
    if isinstance(value, dict | list):
        for key, item in list(value.items() if isinstance(value, dict) else enumerate(value)):
            found += [(value, key), *_spots(item)]
    return found


# Without floats that are whole numbers: JSON Schema counts 2.0 as an integer, and a plan does not.
junk: st.SearchStrategy[Any] = st.sampled_from(
    [None, True, 0, -1, 7, 0.5, -0.5, 10**30, "", "x", "a b", "../x", "a\0b", "success", "json.a[", [], [[]], ["x"], [5],
     {}, {"a": {}}, {"from": "a"}, {"from": "nowhere"}, {"task": "a", "when": "x", "on": "success"}, {"count": 1}]
).map(copy.deepcopy)  # fmt: skip
keys = st.sampled_from([
    "run", "shell", "action", "needs", "env", "stdin", "retry", "files", "on", "when", "from", "value", "description",
    "oops", "a b", "tasks", "", "\0",
])  # fmt: skip


@st.composite
def spoiled(draw: st.DrawFn) -> dict[str, Any]:
    """Documents in which up to three values were replaced, added or removed."""
    document = draw(documents())
    for _ in range(draw(st.integers(1, 3))):
        spots = _spots(document)
        container, key = draw(st.sampled_from([*spots, (document, "tasks")]))
        match draw(st.sampled_from(["replace", "add", "remove"])):
            case "replace":
                container[key] = draw(junk)
            case "add" if isinstance(container, dict):
                container[draw(keys)] = draw(junk)
            case "remove" if isinstance(container, dict):
                container.pop(key, None)
    return document


@settings(max_examples=300)
@given(spoiled())
def test_whatever_is_wrong_the_answer_is_a_plan_or_a_document_error(document: dict[str, Any]) -> None:
    with suppress(DocumentError):
        parse_plan(document).to_constellation()


@settings(max_examples=300)
@given(spoiled())
def test_the_json_schema_agrees_with_the_validator_about_shapes(document: dict[str, Any]) -> None:
    shaped = validated_plan(document, Findings()) is not None
    agreed = VALIDATOR.is_valid(document)
    assert shaped or not agreed, "the validator is stricter than the JSON Schema"
    if agreed:
        return
    with pytest.raises(DocumentError) as caught:
        parse_plan(document)
    assert caught.value.problems
    assert all("\n" not in text for _, _, text in caught.value.problems)


@given(st.text(characters, max_size=60) | st.text("{}[]:,-&*!|>'\"#%@`ab \n\t01", max_size=40))
def test_any_text_is_a_plan_or_a_document_error_in_every_format(text: str) -> None:
    for format in ("yaml", "json", "toml"):
        with pytest.raises(DocumentError):
            parse_plan(text, format)


@pytest.mark.parametrize(
    ("task", "valid"),
    [
        ({"run": ["x"]}, True),
        ({"run": ["x"], "description": "what for"}, True),
        ({"description": "x"}, True),
        ({"description": " "}, False),
        ({}, False),
        ({"run": ["x"], "shell": "x"}, False),
        ({"run": ["x"], "action": {"a": {}}}, False),
        ({"shell": "x", "cwd": "/", "env": {"A": "b"}, "stdin": "", "files": {"a/b": "c"}, "outputs": ["d"]}, True),
        *[({"description": "x", key: value}, False) for key, value in
          {"cwd": "/", "env": {}, "stdin": "", "files": {}, "outputs": []}.items()],
        ({"run": ["x"], "env": {"A=B": "c"}}, False),
        ({"run": ["x"], "needs": ["a", {"task": "b"}, {"task": "c", "on": "always"}, {"task": "d", "when": "json"}]}, True),
        ({"run": ["x"], "needs": [{"task": "a", "on": "success", "when": "json"}]}, False),
        ({"run": ["x"], "needs": [{"task": "a", "when": ""}]}, False),
        ({"run": ["x"], "needs": [{"task": "a", "when": "a" * 1001}]}, False),
        ({"run": [{"from": "a", "value": "json.x"}]}, True),
        ({"run": [{"from": "a", "value": "jsn.x"}]}, False),
        ({"run": ["x"], "files": {"x": {"from": "a", "value": "file.y"}}}, True),
        ({"run": ["x"], "files": {"x": {"from": "a", "value": "stdout"}}}, False),
        ({"run": ["x"], "files": {"..": "x"}}, False),
    ],
)  # fmt: skip
def test_the_json_schema_says_what_editors_can_check(task: dict[str, Any], valid: bool) -> None:
    others = {name: {"run": ["x"], "outputs": ["y"]} for name in "abcd"}
    document = {"tasks": {"it": task, **others}}
    assert VALIDATOR.is_valid(document) is valid
    if valid:
        parse_plan(document)
    else:
        with pytest.raises(DocumentError):
            parse_plan(document)


def test_the_json_schema_is_one_and_describes_every_key() -> None:
    schema = plan_json_schema()
    Draft202012Validator.check_schema(schema)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    for definition in [schema, *schema["$defs"].values()]:
        assert definition["additionalProperties"] is False
        assert definition["description"]
        for key, described in definition["properties"].items():
            assert "description" in described or "$ref" in described, key
