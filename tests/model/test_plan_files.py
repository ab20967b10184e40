"""What the keys of a plan file mean, whatever its format."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from galaxy_core.errors import DocumentError
from galaxy_core.model.condition import Expression
from galaxy_core.model.constellation import TaskConstellation
from galaxy_core.model.dependency import DependencyType
from galaxy_core.model.device import DeviceType
from galaxy_core.model.plan_file import Plan, load_plan, parse_plan
from galaxy_core.model.policy import DEFAULT_RETRY, Effect, RetryPolicy, TaskPriority
from galaxy_core.model.request import Action, Command, Reference
from galaxy_core.model.task import TaskStar

# The example of the design, which is the contract of the keys.
NIGHTLY = """\
name: nightly
strategy: load_balance
tasks:
  facts:
    run: [uname, -a]
    effect: read
  level:
    action: {battery: {}}
    device_type: android
    requires: [battery]
    timeout_s: 20
  report:
    shell: "cat > report.txt"
    stdin: {from: facts, value: stdout}
    env: {LEVEL: {from: level, value: json.level}}
    needs:
      - facts
      - {task: level, on: completion}
      - {task: probe, when: "exit_code == `0`"}
    retry: {count: 2, backoff_s: 1}
    priority: high
    device: here
  probe: {run: [df, -h, /], effect: read}
"""


def task_of(keys: dict[str, Any], **others: dict[str, Any]) -> TaskStar:
    """The task that a document's keys describe, beside others that it may need."""
    built = parse_plan({"tasks": {"it": keys, **others}}).to_constellation().get_task("it")
    assert built is not None
    return built


def links_of(plan: Plan) -> dict[tuple[str, str], DependencyType]:
    return {
        (line.from_task_id, line.to_task_id): line.dependency_type
        for line in plan.to_constellation().get_all_dependencies()
    }


def test_the_plan_of_the_design_is_read_as_it_says() -> None:
    plan = parse_plan(NIGHTLY)
    constellation = plan.to_constellation()
    assert (plan.name, plan.strategy) == ("nightly", "load_balance")
    assert constellation.name == "nightly"
    assert constellation.metadata == {"strategy": "load_balance"}
    facts, level, report, probe = constellation.get_all_tasks()
    assert facts.request == Command(["uname", "-a"])
    assert (facts.name, facts.effect, facts.priority) == ("facts", Effect.READ, TaskPriority.MEDIUM)
    assert level.request == Action("battery")
    assert (level.device_type, level.requires, level.effect) == (
        DeviceType.ANDROID,
        frozenset({"battery"}),
        Effect.ONCE,
    )
    assert level.to_dict()["timeout"] == 20
    assert report.request == Command(  # noqa: S604 - a value, which runs nothing
        shell="cat > report.txt", stdin=Reference("facts"), env={"LEVEL": Reference("level", "json.level")}
    )
    assert (report.target_device_id, report.is_pinned, report.priority) == ("here", True, TaskPriority.HIGH)
    assert report.to_dict()["retry_count"] == 2
    assert probe.request == Command(["df", "-h", "/"])
    assert links_of(plan) == {
        ("facts", "report"): DependencyType.SUCCESS_ONLY,
        ("level", "report"): DependencyType.COMPLETION_ONLY,
        ("probe", "report"): DependencyType.CONDITIONAL,
    }


def test_a_condition_becomes_an_expression_that_is_described_by_its_text() -> None:
    (line,) = [
        line
        for line in parse_plan(NIGHTLY).to_constellation().get_all_dependencies()
        if line.dependency_type is DependencyType.CONDITIONAL
    ]
    assert line.condition_evaluator == Expression("exit_code == `0`")
    assert line.condition_description == "exit_code == `0`"


def test_each_call_builds_a_constellation_of_its_own() -> None:
    plan = parse_plan(NIGHTLY)
    first, second = plan.to_constellation("one"), plan.to_constellation()
    assert first.constellation_id == "one"
    assert second.constellation_id != "one"
    assert first.get_task("facts") is not second.get_task("facts")


def test_every_key_of_a_task_reaches_the_task() -> None:
    task = task_of(
        {
            "run": ["make", {"from": "other", "value": "exit_code"}],
            "name": "Build",
            "description": "Builds it.",
            "tips": ["quickly"],
            "cwd": "src",
            "env": {"CC": "clang"},
            "stdin": "yes\n",
            "files": {"a.txt": "/data/a.txt", "in/b.txt": {"from": "other", "value": "file.log"}},
            "outputs": ["out/app.bin"],
            "requires": ["compiler", "disk"],
            "priority": "critical",
            "timeout_s": 1.5,
            "retry": {"count": 3, "backoff_s": 2, "factor": 3, "max_backoff_s": 9, "jitter": 0, "on": ["timeout"]},
            "effect": "idempotent",
            "estimate_s": 4,
            "data": {"deep": [1, None, {"x": True}]},
        },
        other={"run": ["x"], "outputs": ["log"]},
    )
    assert task.request == Command(
        ["make", Reference("other", "exit_code")],
        cwd="src",
        env={"CC": "clang"},
        stdin="yes\n",
        files={"a.txt": "/data/a.txt", "in/b.txt": Reference("other", "file.log")},
        outputs=["out/app.bin"],
    )
    assert (task.name, task.description, task.tips) == ("Build", "Builds it.", ["quickly"])
    assert (task.requires, task.priority) == (frozenset({"compiler", "disk"}), TaskPriority.CRITICAL)
    assert (task.effect, task.estimate_s) == (Effect.IDEMPOTENT, 4)
    assert task.retry_policy == RetryPolicy(2, 3, 9, 0, frozenset({"timeout"}))
    assert task.task_data == {"deep": [1, None, {"x": True}]}
    assert task.to_dict()["timeout"] == 1.5


def test_a_task_may_have_a_description_alone_for_devices_that_read() -> None:
    task = task_of({"description": "Book a table for two."})
    assert task.request is None
    assert task.validate()


def test_a_retry_that_only_counts_waits_as_by_default() -> None:
    assert task_of({"run": ["x"], "retry": {"count": 1}}).retry_policy is DEFAULT_RETRY
    assert task_of({"run": ["x"], "retry": {"count": 1, "backoff_s": 1.0}}).retry_policy is DEFAULT_RETRY


@pytest.mark.parametrize(
    ("ends", "kind"),
    [
        ("success", DependencyType.SUCCESS_ONLY),
        ("completion", DependencyType.COMPLETION_ONLY),
        ("always", DependencyType.UNCONDITIONAL),
    ],
)
def test_a_need_says_which_ends_it_accepts(ends: str, kind: DependencyType) -> None:
    plan = parse_plan({"tasks": {"a": {"run": ["x"]}, "b": {"run": ["x"], "needs": [{"task": "a", "on": ends}]}}})
    assert links_of(plan) == {("a", "b"): kind}


@pytest.mark.parametrize(
    "taking",
    [
        {"run": ["echo", {"from": "a"}]},
        {"shell": "cat", "stdin": {"from": "a", "value": "stderr"}},
        {"run": ["x"], "env": {"X": {"from": "a", "value": "json.x[0]"}}},
        {"run": ["x"], "files": {"f": {"from": "a", "value": "file.stdout.txt"}}},
        {"action": {"send": {"text": {"from": "a", "value": "status"}}}},
    ],
)
def test_a_reference_implies_the_need(taking: dict[str, Any]) -> None:
    plan = parse_plan({"tasks": {"b": taking, "a": {"run": ["x"]}}})
    assert links_of(plan) == {("a", "b"): DependencyType.SUCCESS_ONLY}


def test_a_reference_leaves_a_need_that_is_written_out_as_it_is() -> None:
    taking = {"run": ["x", {"from": "a"}, {"from": "a", "value": "stderr"}], "needs": [{"task": "a", "on": "always"}]}
    plan = parse_plan({"tasks": {"a": {"run": ["x"]}, "b": taking}})
    assert links_of(plan) == {("a", "b"): DependencyType.UNCONDITIONAL}


def test_references_of_an_action_are_read_among_its_arguments() -> None:
    request = task_of(
        {"action": {"tap": {"x": {"from": "a", "value": "json"}, "y": {"from": 1, "to": 2}, "z": [3]}}},
        a={"run": ["x"]},
    ).request
    assert request == Action("tap", {"x": Reference("a", "json"), "y": {"from": 1, "to": 2}, "z": [3]})


def test_a_mapping_inside_of_an_argument_that_names_no_task_is_data() -> None:
    data = {"path": {"from": "Rome", "value": "Oslo"}, "way": {"from": "a", "to": "b"}}
    assert task_of({"action": {"fly": {"plan": data}}}, a={"run": ["x"]}).request == Action("fly", {"plan": data})


@pytest.mark.parametrize(
    "key", [{"cwd": "src"}, {"env": {"A": "b"}}, {"stdin": "x"}, {"files": {"a": "/b"}}, {"outputs": ["a"]}]
)
def test_each_key_of_a_command_is_heard_beside_plain_arguments(key: dict[str, Any]) -> None:
    assert task_of({"run": ["x"], **key}).request == Command(["x"], **key)


def test_an_empty_plan_is_a_plan() -> None:
    constellation = parse_plan("tasks: {}").to_constellation()
    assert constellation.task_count == 0
    assert constellation.is_complete()


def test_description_and_strategy_stand_in_the_metadata() -> None:
    plan = parse_plan("description: What it is for.\nstrategy: round_robin\ntasks: {}")
    assert plan.description == "What it is for."
    assert plan.to_constellation().metadata == {"strategy": "round_robin", "description": "What it is for."}


def test_what_a_plan_tells_plugins_stands_in_the_metadata() -> None:
    data = {"tasks": {}, "extensions": {"replan": {"rules": [{"on": ["a"]}]}, "notify": None}}
    plan = parse_plan(data)
    assert plan.extensions == data["extensions"]
    constellation = plan.to_constellation()
    assert constellation.metadata == {"extensions": data["extensions"]}
    assert TaskConstellation.from_dict(constellation.to_dict()).metadata == constellation.metadata
    data["extensions"].clear()
    assert plan.extensions


def test_a_plan_that_tells_plugins_nothing_has_no_such_metadata() -> None:
    assert parse_plan("tasks: {}").extensions is None
    assert parse_plan("tasks: {}").to_constellation().metadata == {}


def test_arguments_may_span_lines_and_hold_any_letters() -> None:
    text = "import sys\n\tprint('é – 漢 🚀')\n"
    assert task_of({"run": ["python3", "-c", text]}).request == Command(["python3", "-c", text])


def test_data_that_was_parsed_elsewhere_is_read_without_being_changed() -> None:
    data = {"tasks": {"a": {"run": ["x"], "timeout_s": 1}}}
    before = json.dumps(data)
    parse_plan(data).to_constellation()
    assert json.dumps(data) == before


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("plan.yaml", "tasks: {a: {run: [x]}}"),
        ("plan.yml", "tasks: {a: {run: [x]}}"),
        ("PLAN.JSON", '{"tasks": {"a": {"run": ["x"]}}}'),
        ("plan.toml", '[tasks.a]\nrun = ["x"]'),
        ("plan", "tasks: {a: {run: [x]}}"),
    ],
)
def test_the_suffix_of_a_file_says_its_format(tmp_path: Path, name: str, text: str) -> None:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    assert load_plan(path) == load_plan(str(path)) == parse_plan({"tasks": {"a": {"run": ["x"]}}})


def test_a_suffix_that_says_nothing_is_an_error_that_names_those_that_do(tmp_path: Path) -> None:
    path = tmp_path / "plan.txt"
    path.write_text("tasks: {}", encoding="utf-8")
    with pytest.raises(
        DocumentError, match=r"cannot tell its format from '\.txt'; known are \.yaml, \.yml, \.json, \.toml"
    ):
        load_plan(path)


def test_a_format_that_is_not_known_is_an_error() -> None:
    with pytest.raises(DocumentError, match="unknown format 'xml'"):
        parse_plan("tasks: {}", "xml")
