"""An expression that no document could meet is refused when it is read, and no other."""

from __future__ import annotations

import re
from contextlib import suppress
from typing import Any

import jmespath
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jmespath.exceptions import JMESPathError
from jmespath.functions import Functions
from jmespath.visitor import TreeInterpreter

from galaxy_core.errors import DocumentError, PlanError
from galaxy_core.model.condition import ROOTS, Expression, outcome_document
from galaxy_core.model.dependency import TaskStarLine
from galaxy_core.model.plan_file import parse_plan
from galaxy_core.model.query import Query
from galaxy_core.model.query_faults import faults
from galaxy_core.model.schema import TaskStarLineSchema

GOOD = [
    "exit_code == `0`",
    "!exit_code",
    "status == 'failed' || exit_code > `3`",
    "(stdout && stderr) | !@",
    "json.level > `50`",
    "json.exitcode",
    "value",
    'value."exit code"',
    "error != null",
    "json[0].name",
    "json[-1]",
    "json[*].name",
    "json[].disks[].free",
    "json[1:3].free",
    "json.*.name",
    "*.name",
    "json[?level > `5`]",
    "json[?name == 'a' && level].size | [0]",
    "[stdout, stderr] | [?name]",
    "{code: exit_code, out: stdout}.code",
    "{a: json.b}.{c: a}.c",
    "json | name",
    "json | @.name | [0]",
    "json.{left: before, right: after} | left",
    "length(json)",
    "length(json.items[?size]) > `2`",
    "sort_by(json, &age)[0].name",
    "map(&name, json)",
    "max_by(json, &to_number(age)).name == 'Ann'",
    "not_null(json.a, json.b, value)",
    "merge(json, {more: status})",
    "contains(stdout, 'done')",
    "join(', ', json[].name)",
    "json[?contains(name, 'x')].length(name)",
    "type(@)",
    "keys(@)",
    "@.status == 'completed'",
    '`{"a": 1}`.a',
    "'text' | length(@)",
    "(stderr || json) | free",
    "`true`",
]
BAD = [
    ("exitcode == `0`", "there is no 'exitcode' to look at; did you mean 'exit_code'?; allowed are 'status', 'exit_code',"),
    ("Status", "did you mean 'status'?"),
    ("stdot && exit_code", "there is no 'stdot' to look at; did you mean 'stdout'?"),
    ("!jsn", "did you mean 'json'?"),
    ("exit_code || nothing", "there is no 'nothing' to look at; allowed are 'status', 'exit_code', 'stdout',"),
    ("free > `5`", "and what lies below them"),
    ("free.disk[0].name", "'free'"),
    ('"exit code" == `0`', "there is no 'exit code' to look at; did you mean 'exit_code'?"),
    ("disks[?free > level]", "'disks'"),
    ("disks[].free", "'disks'"),
    ("disks.*", "'disks'"),
    ("disks[0:2]", "'disks'"),
    ("[status, code]", "'code'"),
    ("{status: status, code: cod}.code", "'cod'"),
    ("length(outputs)", "'outputs'"),
    ("@.free", "'free'"),
    ("@ | @.free", "'free'"),
    ("free | status", "'free'"),
    ("lenght(stdout) > `5`", "there is no function 'lenght'; did you mean 'length'?; allowed are abs, avg, ceil,"),
    ("json[?startswith(name, 'a')]", "there is no function 'startswith'; did you mean 'starts_with'?"),
    ("map(&upper(name), json)", "there is no function 'upper'"),
    ("json | [*].{n: size(@)}", "there is no function 'size'"),
    ("value.up == true", "literals stand in back-ticks: `true`"),
    ("length()", "length() takes 1 argument, here it has none"),
    ("length(stdout, stderr)", "length() takes 1 argument, here it has 2"),
    ("contains(stdout)", "contains() takes 2 arguments, here it has 1"),
    ("json[?sort_by(@)]", "sort_by() takes 2 arguments, here it has 1"),
    ("not_null()", "not_null() takes at least 1 argument, here it has none"),
    ("merge()", "merge() takes at least 1 argument, here it has none"),
]  # fmt: skip


@pytest.mark.parametrize("text", GOOD)
def test_what_some_outcome_could_meet_is_taken(text: str) -> None:
    Expression(text)


@pytest.mark.parametrize(("text", "why"), BAD)
def test_what_no_outcome_could_meet_is_refused_with_what_is_allowed(text: str, why: str) -> None:
    with pytest.raises(ValueError, match="cannot work") as caught:
        Expression(text)
    assert why in str(caught.value)
    assert text in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_all_that_is_wrong_with_an_expression_is_said_at_once_and_each_once() -> None:
    with pytest.raises(ValueError, match="cannot work") as caught:
        Expression("lenght(stdot) > `1` && lenght(stdot) < `9` && abs()")
    said = str(caught.value)
    assert [said.count(word) for word in ("function 'lenght'", "no 'stdot'", "abs() takes")] == [1, 1, 1]


def test_the_roots_are_what_an_expression_is_evaluated_on() -> None:
    assert set(ROOTS) == set(outcome_document(None, None))


def test_a_path_into_output_knows_functions_but_no_roots() -> None:
    Query("exitcode.whatever[?x]")
    with pytest.raises(ValueError, match="did you mean 'length'"):
        Query("lenght(exitcode)")


@pytest.mark.parametrize("name", sorted(Functions.FUNCTION_TABLE))
@pytest.mark.parametrize("given_", range(5))
def test_a_number_of_arguments_is_refused_exactly_when_it_cannot_be_evaluated(name: str, given_: int) -> None:
    text = f"{name}({', '.join(['@'] * given_)})"
    refused = bool(faults(jmespath.compile(text).parsed))
    try:
        jmespath.search(text, {})
        arity = False
    except JMESPathError as error:
        arity = "rity" in type(error).__name__
    except Exception:  # the function itself, for the nonsense that it got
        arity = False
    assert refused is arity


# ----------------------------------------------------------------------------------------------- laws
STRANGE = [f"strange{number}" for number in range(6)]
NAMES = st.sampled_from([*ROOTS, "value", "json", *STRANGE])


def _grown(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    pairs = st.tuples(inner, inner)
    return st.one_of(
        st.tuples(inner, NAMES).map(".".join),
        st.tuples(inner, NAMES, NAMES).map(lambda t: f"{t[0]}.[{t[1]}, {t[2]}]"),
        st.tuples(inner, NAMES, NAMES).map(lambda t: f"{t[0]}.{{a: {t[1]}, json: {t[2]}}}"),
        st.tuples(inner, st.sampled_from(["[0]", "[]", "[*]", ".*", "[1:]"])).map("".join),
        pairs.map(lambda t: f"({t[0]})[?{t[1]}]"),
        st.tuples(inner, inner, NAMES).map(lambda t: f"({t[0]})[?{t[1]}].{t[2]}"),
        st.tuples(pairs, st.sampled_from(["||", "&&", "==", "!=", ">", "|", "|"])).map(
            lambda t: f"({t[0][0]}) {t[1]} ({t[0][1]})"
        ),
        inner.map(lambda one: f"!({one})"),
        pairs.map(lambda t: f"[{t[0]}, {t[1]}]"),
        pairs.map(lambda t: f"{{status: {t[0]}, strange0: {t[1]}}}"),
        inner.map(lambda one: f"type({one})"),
        pairs.map(lambda t: f"not_null({t[0]}, {t[1]})"),
        pairs.map(lambda t: f"map(&({t[0]}), {t[1]})"),
        pairs.map(lambda t: f"sort_by({t[0]}, &({t[1]}))"),
        inner.map(lambda one: f"to_array({one})"),
    )


TEXTS = st.recursive(NAMES | st.sampled_from(["@", "`1`", "'x'", "*"]), _grown, max_leaves=8)
PARTS = st.recursive(
    st.none() | st.integers(0, 2),
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from([*STRANGE, "status", "json"]), inner, max_size=3)
    ),
    max_leaves=8,
)
# Whatever goes into lists or mappings finds something in the first two.
LISTS: dict[str, Any] = {root: [{"status": [1], "json": {"a": 1}}] for root in ROOTS}
MAPPINGS: dict[str, Any] = {root: {"status": {"json": [1]}} for root in ROOTS}
DOCUMENTS = st.sampled_from([LISTS, MAPPINGS]) | st.fixed_dictionaries(dict.fromkeys(ROOTS, PARTS))


class _Watching(TreeInterpreter):
    """Notes which names are looked up in something else than the document itself."""

    def __init__(self, document: Any) -> None:
        super().__init__()
        self._document = document
        self.below: set[str] = set()

    def visit_field(self, node: Any, value: Any) -> Any:
        if value is not self._document:
            self.below.add(node["value"])
        return super().visit_field(node, value)


def _refused_roots(text: str) -> set[str]:
    found = faults(jmespath.compile(text).parsed, ROOTS)
    return {sentence.split("'")[1] for sentence in found if "to look at" in sentence}


@given(TEXTS)
def test_names_that_the_document_has_are_never_refused(text: str) -> None:
    assert _refused_roots(text).isdisjoint(ROOTS)


@settings(max_examples=600)
@given(TEXTS, DOCUMENTS)
def test_a_refused_name_is_nothing_on_every_document(text: str, document: dict[str, Any]) -> None:
    """Each strange name stands once, so that what is said of it is said of that place."""
    for number in range(len(STRANGE)):
        first, *rest = text.split(STRANGE[number])
        text = first + "".join(f"odd_{number}_{index}{part}" for index, part in enumerate(rest))
    refused = _refused_roots(text)
    watching = _Watching(document)
    with suppress(JMESPathError, TypeError):  # what was looked up until then still counts
        watching.visit(jmespath.compile(text).parsed, document)
    assert refused.isdisjoint(watching.below)


# ----------------------------------------------------------------------------------------------- where they are given
def test_a_plan_file_tells_the_line_of_an_impossible_condition() -> None:
    text = "tasks:\n  a: {run: [x]}\n  b:\n    run: [x]\n    needs:\n      - {task: a, when: 'exitcode == `0`'}\n"
    with pytest.raises(DocumentError) as caught:
        parse_plan(text)
    ((path, line, said),) = caught.value.problems
    assert (path, line) == ("tasks.b.needs[0].when", 6)
    assert "there is no 'exitcode' to look at; did you mean 'exit_code'?; allowed are 'status', " in said


def test_a_plan_file_tells_an_impossible_path_but_takes_names_that_are_no_roots() -> None:
    def plan(value: str, when: str) -> str:
        return (
            f"tasks:\n  a: {{run: [x]}}\n  b:\n    run: [x]\n    stdin: {{from: a, value: '{value}'}}\n"
            f"    needs: [{{task: a, when: '{when}'}}]\n"
        )

    with pytest.raises(DocumentError) as caught:
        parse_plan(plan("json.lenght(free)", "json"))
    ((path, line, said),) = caught.value.problems
    assert (path, line) == ("tasks.b.stdin.value", 5)
    assert "there is no function 'lenght'; did you mean 'length'?" in said
    parse_plan(plan("json.free", "json.free"))
    with pytest.raises(DocumentError, match="there is no 'free' to look at"):
        parse_plan(plan("json.free", "free"))  # the same text, as a path and as a condition


def test_a_link_that_is_read_from_a_document_is_checked() -> None:
    document = TaskStarLine("a", "b").to_dict() | {"dependency_type": "conditional", "condition_expression": "stdot"}
    with pytest.raises((ValueError, PlanError), match="did you mean 'stdout'"):
        TaskStarLine.from_dict(document)


def test_the_schema_of_a_link_refuses_an_impossible_condition() -> None:
    TaskStarLineSchema(from_task_id="a", to_task_id="b", condition_expression="stdout")
    with pytest.raises(ValueError, match="did you mean 'stdout'"):
        TaskStarLineSchema(from_task_id="a", to_task_id="b", condition_expression="stdot")


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("exit_code == 0", "exit_code == `0`"),
        ("exit_code == -1", "exit_code == `-1`"),
        ("exit_code = 0", "exit_code == `0`"),
        ("exitcode == 0", "exit_code == `0`"),
        ("exit_code is None", "exit_code == `null`"),
        ("value == true", "value == `true`"),
        ('status == "completed"', "status == 'completed'"),
        ("status == completed", "status == 'completed'"),
        ("not error", "!error"),
        ("len(stdout) > 3", "length(stdout) > `3`"),
        ("'ok' in stdout", "contains(stdout, 'ok')"),
        ("json.free >= 5.5 or json.items[0].x == 3", "json.free >= `5.5` || json.items[0].x == `3`"),
        ("json[?x == 3] and exit_code <> 1", "json[?x == `3`] && exit_code != `1`"),
    ],
)
def test_a_condition_as_other_languages_write_it_is_answered_with_what_was_meant(written: str, meant: str) -> None:
    with pytest.raises(ValueError, match=re.escape(f"; did you mean {meant!r}?")):
        Expression(written)
    Expression(meant)


@pytest.mark.parametrize("written", ["exit_code ==", "exit_code in (0, 1)", "stdout == 'a", "${exit_code} == 0"])
def test_a_condition_that_means_nothing_known_is_answered_with_what_is_allowed(written: str) -> None:
    with pytest.raises(ValueError, match=r"write it as in .exit_code == `0` .*over 'status', 'exit_code', ") as caught:
        Expression(written)
    assert "did you mean" not in str(caught.value)


def test_a_path_is_not_told_of_the_names_of_conditions() -> None:
    with pytest.raises(ValueError, match="not a JMESPath expression") as caught:
        Query("items[")
    assert "status" not in str(caught.value)


def test_a_literal_in_the_old_way_troubles_nobody_with_a_warning() -> None:
    """In these tests any warning is an error."""
    assert Query("stdout == `2030-01-31T12:00:00+00:00`").search({"stdout": "2030-01-31T12:00:00+00:00"}) is True
