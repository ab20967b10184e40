"""What is wrong with a plan is said all at once, each with its place, what was found, what is allowed and what was meant."""

from __future__ import annotations

import datetime as dt
import json
import re
from typing import Any

import pytest

from galaxy_core.errors import DocumentError
from galaxy_core.model import schema_files
from galaxy_core.model.places import Findings
from galaxy_core.model.plan_file import parse_plan
from galaxy_core.model.plan_links import LinkReader

TASKS = "tasks:\n  a:\n    run: [x]\n"


def refused(data: Any, format: str = "yaml") -> list[tuple[str, int | None, str]]:
    with pytest.raises(DocumentError) as caught:
        parse_plan(data, format, "plan")
    return list(caught.value.problems)


def only(data: Any, format: str = "yaml") -> tuple[str, int | None, str]:
    (problem,) = refused(data, format)
    return problem


def of_task(keys: dict[str, Any]) -> tuple[str, str]:
    """The one problem of a task beside two sound ones, without its line."""
    others = {"probe": {"run": ["x"], "outputs": ["report.txt"]}, "level": {"action": {"battery": {}}}}
    path, line, text = only({"tasks": {"it": keys, **others}})
    assert line is None, "data has no lines"
    return path, text


def test_all_problems_come_at_once_in_the_order_of_the_lines() -> None:
    text = (
        "tasks:\n  a: {run: [x], needs: [b, c]}\n  b: {run: x}\n  d:\n    shell: ls\n    retry: {count: -1}\nnmae: x\n"
    )
    assert refused(text) == [
        ("tasks.a.needs[1]", 2, "there is no task 'c'"),
        (
            "tasks.b.run",
            3,
            "found the text 'x'; a list is wanted here; write each argument as an item, or use 'shell' for a line of shell",
        ),
        ("tasks.d.retry.count", 6, "found the number -1; it must be at least 0"),
        (
            "nmae",
            7,
            "unknown key 'nmae'; did you mean 'name'?; allowed are 'name', 'strategy', 'description', 'tasks', 'extensions'",
        ),
    ]


@pytest.mark.parametrize(
    ("extensions", "path", "why"),
    [
        ([], "extensions", "found an empty list; a mapping is wanted here"),
        ({"replan": {"since": dt.date(2026, 1, 2)}}, "extensions.replan.since", "there are no dates among the values"),
        ({"replan": [float("nan")]}, "extensions.replan[0]", "infinity and NaN are not values here"),
        ({"replan": {1: "a"}}, "extensions.replan", "keys are text"),
        ({"": {}}, 'extensions[""]', "text of one line is wanted"),
    ],
)
def test_what_plugins_are_told_is_plain_data_by_their_names(extensions: Any, path: str, why: str) -> None:
    found = only({"tasks": {}, "extensions": extensions})
    assert found[0] == path
    assert why in found[2]


def test_the_message_of_the_error_has_a_line_for_each_problem() -> None:
    with pytest.raises(DocumentError) as caught:
        parse_plan(TASKS + "    needs: [b]\n    effect: never\n", source="my.yaml")
    assert str(caught.value).splitlines() == [
        "my.yaml:4: tasks.a.needs[0]: there is no task 'b'",
        "my.yaml:5: tasks.a.effect: found the text 'never'; allowed are 'read', 'idempotent', 'once'",
    ]


def test_the_same_places_are_found_in_json_and_in_toml() -> None:
    data = {"tasks": {"a": {"run": ["x"], "env": {"X": 3}, "needs": ["b"]}}}
    assert [(path, line) for path, line, _ in refused(json.dumps(data, indent=1), "json")] == [
        ("tasks.a.env.X", 8),
        ("tasks.a.needs[0]", 11),
    ]
    toml = 'name = "n"\n[tasks.a]\nrun = ["x"]\nneeds = [\n  "b",\n]\n[tasks.a.env]\nX = 3\n'
    assert [(path, line) for path, line, _ in refused(toml, "toml")] == [("tasks.a.needs[0]", 5), ("tasks.a.env.X", 8)]


def test_in_toml_dotted_keys_and_lists_of_tables_have_lines_too() -> None:
    toml = 'tasks.a.run = ["x"]\ntasks."b".run = ["x"]\n[[tasks.b.needs]]\ntask = "a"\n[[tasks.b.needs]]\ntask = "c"\n'
    assert only(toml, "toml")[:2] == ("tasks.b.needs[1]", 5)


@pytest.mark.parametrize(
    ("keys", "path", "text"),
    [
        ({"run": ["x"], "nedds": []}, "tasks.it.nedds", "unknown key 'nedds'; did you mean 'needs'?; allowed are 'run',"),
        ({"run": ["x"], "depends_on": []}, "tasks.it.depends_on", "did you mean 'needs'?"),
        ({"run": ["x"], "timeout": 3}, "tasks.it.timeout", "did you mean 'timeout_s'?"),
        ({"run": ["x"], "capabilities": ["gpu"]}, "tasks.it.capabilities", "did you mean 'requires'?"),
        ({"run": ["x"], "idempotent": True}, "tasks.it.idempotent", "did you mean 'effect'?"),
        ({"run": ["x"], "side_effects": "none"}, "tasks.it.side_effects", "did you mean 'effect'?"),
        ({"run": ["x"], "read_only": True}, "tasks.it.read_only", "did you mean 'effect'?"),
        ({"run": ["x"], "priority": "HIHG"}, "tasks.it.priority", "found the text 'HIHG'; allowed are 'low', 'medium', 'high', 'critical'; did you mean 'high'?"),
        ({"run": ["x"], "priority": 3}, "tasks.it.priority", "found the number 3; allowed are 'low'"),
        ({"run": ["x"], "device_type": "andriod"}, "tasks.it.device_type", "did you mean 'android'?"),
        ({"run": ["x"], "effect": "Read"}, "tasks.it.effect", "did you mean 'read'?"),
        ({"run": ["x"], "timeout_s": 0}, "tasks.it.timeout_s", "found the number 0; it must be more than 0"),
        ({"run": ["x"], "timeout_s": True}, "tasks.it.timeout_s", "found true; a number is wanted here"),
        ({"run": ["x"], "timeout_s": "3"}, "tasks.it.timeout_s", "found the text '3'; a number is wanted here"),
        ({"run": ["x"], "timeout_s": float("inf")}, "tasks.it.timeout_s", "it must be a finite number"),
        ({"run": ["x"], "retry": 3}, "tasks.it.retry", "a mapping is wanted here; write {count: 3}"),
        ({"run": ["x"], "retry": {"backoff_s": 1}}, "tasks.it.retry", "'count' is missing"),
        ({"run": ["x"], "retry": {"count": 1.5}}, "tasks.it.retry.count", "found the number 1.5; a whole number"),
        ({"run": ["x"], "retry": {"count": 1, "on": ["fail"]}}, "tasks.it.retry.on[0]", "did you mean 'failed'?"),
        ({"run": ["x"], "retry": {"count": 1, "jitter": 2}}, "tasks.it.retry.jitter", "it must be at most 1"),
        ({"run": []}, "tasks.it.run", "found an empty list; it cannot be empty"),
        ({"run": ["x", 5]}, "tasks.it.run[1]", "found the number 5; text or a reference such as"),
        ({"run": ["x", 5]}, "tasks.it.run[1]", "quote it: '5'"),
        ({"run": ["x"], "env": {"A": True}}, "tasks.it.env.A", "quote it: 'true'"),
        ({"run": ["x"], "env": {"A": None}}, "tasks.it.env.A", "found nothing (null); text"),
        ({"run": ["x", ["y"]]}, "tasks.it.run[1]", "found a list of 1; text or a reference"),
        ({"run": ["x", "a\0b"]}, "tasks.it.run[1]", "control characters other than tab and newline cannot stand here"),
        ({"run": ["x", "\x1b[2J"]}, "tasks.it.run[1]", "control characters"),
        ({"run": ["x", "\ud800"]}, "tasks.it.run[1]", "half of a surrogate pair is not text"),
        ({"shell": "a\rb"}, "tasks.it.shell", "control characters"),
        ({"run": ["x"], "env": {"A=B": "c"}}, 'tasks.it.env["A=B"]', "'A=B' cannot be a key here: the name of an"),
        ({"run": ["x"], "env": {"A\n": "c"}}, 'tasks.it.env["A\\n"]', "the name of an environment variable"),
        ({"run": ["x"], "env": {"": "c"}}, 'tasks.it.env[""]', "the name of an environment variable"),
        ({"run": ["x"], "env": {"A": "\0"}}, "tasks.it.env.A", "the character NUL cannot stand here"),
        ({"run": ["x"], "files": {"../x": "c"}}, 'tasks.it.files["../x"]', "the name of a file inside the working directory is wanted"),
        ({"run": ["x"], "files": {"..": "c"}}, 'tasks.it.files[".."]', "the name of a file inside the working directory is wanted"),
        ({"run": ["x"], "files": {"a/../b": "c"}}, 'tasks.it.files["a/../b"]', "none of them '.' or '..', without '\\' and ':'"),
        ({"run": ["x"], "files": {"/b": "c"}}, 'tasks.it.files["/b"]', "the name of a file inside"),
        ({"run": ["x"], "files": {"b": "c\n"}}, "tasks.it.files.b", "text of one line is wanted"),
        ({"run": ["x"], "files": {"b": {"from": "probe"}}}, "tasks.it.files.b", "'value' is missing"),
        ({"run": ["x"], "files": {"b": {"from": "probe", "value": "stdout"}}}, "tasks.it.files.b.value",
         "found the text 'stdout'; a file is wanted here, such as file.NAME; hand over text by 'stdin', 'env' or 'run'"),
        ({"run": ["x"], "outputs": ["a//b"]}, "tasks.it.outputs[0]", "the name of a file inside the working directory"),
        ({"run": ["x"], "outputs": ["a\\b"]}, "tasks.it.outputs[0]", "the name of a file inside the working directory is wanted"),
        ({"run": ["x"], "outputs": ["."]}, "tasks.it.outputs[0]", "the name of a file inside the working directory is wanted"),
        ({"run": ["x"], "outputs": ["c:x"]}, "tasks.it.outputs[0]", "the name of a file inside the working directory is wanted"),
        ({"action": "battery"}, "tasks.it.action", "a mapping is wanted here; write {battery: {}}"),
        ({"action": {"battery": None}}, "tasks.it.action.battery", "found nothing (null); a mapping is wanted here; write {}"),
        ({"action": {"a": {}, "b": {}}}, "tasks.it.action", "found 'a', 'b'; only one of these can stand here"),
        ({"action": {}}, "tasks.it.action", "found an empty mapping; it cannot be empty"),
        ({}, "tasks.it", "has nothing to do; give it one of 'run', 'shell' and 'action', or a 'description'"),
        ({"description": " "}, "tasks.it", "has nothing to do"),
        ({"run": ["x"], "shell": "x"}, "tasks.it", "'run' and 'shell' exclude each other; keep one"),
        ({"description": "x", "cwd": "/"}, "tasks.it.cwd", "'cwd' goes with 'run' or 'shell' only"),
        ({"action": {"a": {}}, "stdin": "x"}, "tasks.it.stdin", "'stdin' goes with 'run' or 'shell' only"),
        ({"run": ["x"], "needs": "probe"}, "tasks.it.needs", "found the text 'probe'; a list is wanted here; write [probe]"),
        ({"run": ["x"], "needs": None}, "tasks.it.needs", "write [] for none, or leave the key out"),
        ({"run": ["x"], "needs": ["prob"]}, "tasks.it.needs[0]", "there is no task 'prob'; did you mean 'probe'?"),
        ({"run": ["x"], "needs": [{"task": "prob"}]}, "tasks.it.needs[0]", "did you mean 'probe'?"),
        ({"run": ["x"], "needs": [{"on": "success"}]}, "tasks.it.needs[0]", "'task' is missing"),
        ({"run": ["x"], "needs": [{"task": "probe", "on": "sucess"}]}, "tasks.it.needs[0].on", "did you mean 'success'?"),
        ({"run": ["x"], "needs": [{"task": "probe", "on": "any"}]}, "tasks.it.needs[0].on", "did you mean 'always'?"),
        ({"run": ["x"], "needs": [5]}, "tasks.it.needs[0]", "found the number 5; a task's id or a mapping such as"),
        ({"run": ["x"], "needs": ["probe", {"task": "probe", "on": "always"}]}, "tasks.it.needs[1]", "name each task once"),
        ({"run": ["x"], "needs": [{"task": "probe", "on": "success", "when": "json"}]}, "tasks.it.needs[0]",
         "'on' and 'when' exclude each other"),
        ({"run": ["x"], "needs": [{"task": "probe", "when": "exit_code = 0"}]}, "tasks.it.needs[0].when",
         "not a JMESPath expression: 'exit_code = 0'"),
        ({"run": ["x"], "needs": [{"task": "probe", "when": "a" * 1001}]}, "tasks.it.needs[0].when",
         "a JMESPath expression may have 1000 characters, this one has 1001"),
        ({"run": [{"from": "prob"}]}, "tasks.it.run[0].from", "there is no task 'prob'; did you mean 'probe'?"),
        ({"run": [{"from": "probe", "valeu": "x"}]}, "tasks.it.run[0].valeu", "did you mean 'value'?; allowed are 'from', 'value'"),
        ({"run": ["x"], "env": {"T": {"env": "NAME"}}}, "tasks.it.env.T", "secrets do not stand in a plan: {env: NAME}, {file: PATH}"),
        ({"run": ["x"], "Password": "hunter2"}, "tasks.it.Password", "'data'; secrets do not stand in a plan: {env: NAME}, {file: PATH}"),
        ({"run": ["x", {"file": "key"}]}, "tasks.it.run[1]", "belong into the inventory, in the settings of the device"),
        ({"run": ["x"], "stdin": {"keyring": "a/b"}}, "tasks.it.stdin", "secrets do not stand in a plan"),
        ({"run": [{"value": "stdout"}]}, "tasks.it.run[0]", "'from' is missing"),
        ({"run": [{"from": "probe", "value": "stdot"}]}, "tasks.it.run[0].value",
         "found the text 'stdot'; did you mean 'stdout'?; allowed are 'stdout', 'stderr', 'exit_code', 'status', 'value', 'json', 'json.PATH' and 'file.NAME'"),
        ({"run": [{"from": "probe", "value": "json."}]}, "tasks.it.run[0].value", "found the text 'json.'"),
        ({"run": [{"from": "probe", "value": "json.a["}]}, "tasks.it.run[0].value", "not a JMESPath expression: 'a['"),
        ({"run": [{"from": "probe", "value": "file.reprot.txt"}]}, "tasks.it.run[0].value",
         "task 'probe' collects no file 'reprot.txt'; did you mean 'report.txt'?; its outputs are 'report.txt'"),
        ({"action": {"tap": {"x": {"from": "prob"}}}}, "tasks.it.action.tap.x.from", "did you mean 'probe'?"),
        ({"action": {"tap": {"x": {"from": 3}}}}, "tasks.it.action.tap.x.from", "found the number 3; a task's id is wanted"),
        ({"action": {"tap": {"x": {"from": "probe", "value": 3}}}}, "tasks.it.action.tap.x.value", "found the number 3; allowed"),
        ({"action": {"tap": {"x": [{"y": {"from": "probe"}}]}}}, "tasks.it.action.tap.x[0].y",
         "a reference stands only for a whole argument of an action, not inside of one"),
        ({"description": "x", "data": {"when": dt.date(2026, 1, 2)}}, "tasks.it.data.when", "found the date 2026-01-02;"),
        ({"description": "x", "data": {"a": [float("nan")]}}, "tasks.it.data.a[0]", "infinity and NaN are not values here"),
        ({"description": "x", "data": {"a": {1: 2}}}, "tasks.it.data.a", "1 cannot be a key: keys are text"),
        ({"description": "x", "data": {"a": {"\ud800": 2}}}, 'tasks.it.data.a["\\ud800"]', "half of a surrogate pair"),
        ({"description": "x", "data": {"a": (1,)}}, "tasks.it.data.a", "found a list of 1; a text, number"),
        ({"run": ["x"], "requires": ["gpu", ""]}, "tasks.it.requires[1]", "text of one line is wanted, not empty"),
        ({"run": ["x"], "device": "my phone"}, "tasks.it.device", "an id has up to 128 letters, digits"),
        ({"run": ["x"], "name": "a\nb"}, "tasks.it.name", "text of one line is wanted"),
        ([], "tasks.it", "found an empty list; a mapping is wanted here"),
        ("x", "tasks.it", "found the text 'x'; a mapping is wanted here"),
    ],
)  # fmt: skip
def test_a_wrong_task_is_explained(keys: Any, path: str, text: str) -> None:
    where, said = of_task(keys)
    assert where == path
    assert text in said


@pytest.mark.parametrize("task_id", ["", ".a", "a b", "a/b", "ä", "a" * 129, "a\n"])
def test_an_id_that_could_be_a_path_or_worse_is_refused(task_id: str) -> None:
    _, _, text = only({"tasks": {task_id: {"run": ["x"]}}})
    assert "an id has up to 128 letters, digits, '_', '-' and '.', and does not begin with '.'" in text


def test_a_key_that_is_not_text_is_refused() -> None:
    assert only({"tasks": {5: {"run": ["x"]}}}) == ("tasks[5]", None, "5 cannot be a key: keys are text")


def test_a_plan_without_tasks_says_so() -> None:
    assert only("name: x") == ("", None, "'tasks' is missing")
    assert only("tasks:") == ("tasks", 1, "found nothing (null); a mapping is wanted here; write {} for none")


def test_a_cycle_is_named_in_full_at_one_of_its_needs() -> None:
    text = "tasks:\n  a: {run: [x], needs: [d]}\n  b: {run: [x], needs: [a]}\n  c:\n    run: [x]\n    needs:\n    - b\n  d: {run: [x], needs: [c]}\n"
    path, line, said = only(text)
    assert said == "a cycle: a -> b -> c -> d -> a; remove one of these needs"
    assert (path, line) == ("tasks.b.needs[0]", 3)


def test_a_cycle_through_references_is_found_where_they_stand() -> None:
    path, line, said = only(
        "tasks:\n  a:\n    run: [x]\n    stdin: {from: b}\n  b:\n    run:\n      - x\n      - {from: a}\n"
    )
    assert said == "a cycle: a -> b -> a; remove one of these needs"
    assert (path, line) == ("tasks.b.run[1]", 8)


def test_a_task_that_needs_itself_is_a_cycle() -> None:
    assert only({"tasks": {"a": {"run": ["x"], "needs": ["a"]}}})[2] == "a cycle: a -> a; remove one of these needs"


def test_cycles_apart_from_each_other_are_all_named_and_what_hangs_on_them_is_not() -> None:
    needs = {"a": ["b"], "b": ["a"], "c": ["b", "f"], "d": ["e"], "e": ["f"], "f": ["d"], "g": ["c"]}
    found = refused({"tasks": {task_id: {"run": ["x"], "needs": list(names)} for task_id, names in needs.items()}})
    cycles = [set(text.removeprefix("a cycle: ").partition(";")[0].split(" -> ")) for _, _, text in found]
    assert sorted(map(sorted, cycles)) == [["a", "b"], ["d", "e", "f"]]


def test_a_cycle_of_ten_thousand_tasks_is_found_without_recursion() -> None:
    size = 10_000
    tasks = {f"t{n}": {"run": ["x"], "needs": [f"t{(n + 1) % size}"]} for n in range(size)}
    with pytest.raises(DocumentError) as caught:
        parse_plan({"tasks": tasks}, "yaml", "plan")
    ((_, _, text),) = caught.value.problems
    assert text.count(" -> ") == size
    shown = str(caught.value)
    assert ": a cycle: t" in shown
    assert (shown.count(" -> "), "… 9,980 more … -> t" in shown) == (21, True)
    assert shown.endswith("; remove one of these needs")


def test_what_a_misspelt_key_was_to_say_is_not_said_to_be_missing() -> None:
    assert of_task({"runn": ["x"]})[0] == "tasks.it.runn"
    assert of_task({"command": ["x"]})[0] == "tasks.it.command"
    assert only({"taks": {"a": {"run": ["x"]}}})[0] == "taks"
    places = [path for path, _, _ in refused({"tasks": {"a": {"nedds": []}}})]
    assert set(places) == {"tasks.a", "tasks.a.nedds"}


def test_a_task_without_keys_is_told_what_a_task_needs() -> None:
    assert only("tasks:\n  n:\n") == (
        "tasks.n",
        2,
        "found nothing (null); a mapping is wanted here; a task needs something to do, such as run: [echo, hello]",
    )


def test_fifty_problems_are_listed_and_the_rest_is_counted() -> None:
    found = refused({"tasks": {f"t{n}": {"run": ["x"], "needs": ["nowhere"], "oops": n} for n in range(100)}})
    assert len(found) == 51
    assert found[-1] == ("", None, "and 150 more problems")


@pytest.mark.parametrize("wrong", [{"run": "x"}, {}, {"run": ["x"], "needs": ["nowhere"]}], ids=str)
def test_after_a_thousand_problems_nobody_looks_for_more(
    wrong: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    validated, read = schema_files._validated_plan, LinkReader.read_task

    def counted(data: dict[str, Any], findings: Findings) -> Any:
        seen.append(len(data["tasks"]))
        return validated(data, findings)

    def counted_too(self: LinkReader, task_id: str, task: Any) -> None:
        seen.append(1)
        read(self, task_id, task)

    monkeypatch.setattr(schema_files, "_validated_plan", counted)
    monkeypatch.setattr(LinkReader, "read_task", counted_too)
    tasks = {f"t{n}": {"run": ["x"]} for n in range(500)} | {f"bad{n}": wrong for n in range(2500)}
    has_its_shape = wrong.get("run") != "x"  # is found out of all tasks before the other problems are looked for
    path, line, text = refused({"tasks": tasks})[-1]
    assert (path, line) == ("", None)
    assert re.fullmatch(r"and more: after 1,\d\d\d problems, no more were looked for", text)
    assert sum(seen) <= 2001 + (3000 if has_its_shape else 0)


def test_a_large_plan_is_read_as_a_small_one_is() -> None:
    tasks: dict[str, Any] = {f"t{n}": {"run": ["x"], "needs": [f"t{n - 1}"] if n else []} for n in range(2500)}
    plan = parse_plan({"name": "large", "tasks": tasks, "extensions": {"x": 1}})
    assert (list(plan.tasks), plan.name, plan.extensions) == (list(tasks), "large", {"x": 1})
    assert plan.to_constellation().dependency_count == 2499
    tasks["t2400"] = {"run": "x"}
    assert [path for path, _, _ in refused({"nam": "large", "tasks": tasks})] == ["nam", "tasks.t2400.run"]


def test_a_problem_is_said_once_even_when_it_spoils_what_depends_on_it() -> None:
    found = refused({"tasks": {"a": {"run": [{"from": "b", "value": 3}], "needs": 7}, "b": {"run": None}}})
    assert [path for path, _, _ in found] == ["tasks.a.run[0].value", "tasks.a.needs", "tasks.b.run"]


def test_the_bound_on_tasks_can_be_moved() -> None:
    data = {"tasks": {f"t{n}": {"run": ["x"]} for n in range(4)}}
    with pytest.raises(
        DocumentError, match=r"has 4 tasks, more than the 3 that are read; if it is meant to, raise max_tasks"
    ):
        parse_plan(data, max_tasks=3)
    assert len(parse_plan(data, max_tasks=4).tasks) == 4
