"""`retry`: the copy of a failed task, what is done first, what is replaced, and what waits for it."""

from __future__ import annotations

import pytest

from galaxy_core import (
    Call,
    Completed,
    Device,
    Reference,
    Refused,
    TaskStar,
    TaskStarLine,
    Unknown,
    parse_plan,
)
from galaxy_core.testing.fakes import takes

from .house import BROKEN, Run, planned

pytestmark = pytest.mark.anyio

FLASH = """
  image: {run: [make, image]}
  flash: {run: [flash, {from: image}], needs: [image]}
  verify: {run: [verify], stdin: {from: flash}, needs: [flash]}
"""
WIPE = {"wipe": {"run": ["wipe"]}}


async def test_a_failed_task_is_done_again_as_a_copy_that_its_dependents_wait_for() -> None:
    scripts = {"image": Completed(stdout="img-7\n"), "flash": BROKEN, "flash.2": Completed(stdout="flashed\n")}
    run = await Run(planned(FLASH, {"on": ["flash"], "retry": {}}), scripts).to_end()
    assert run.ends == {"image": "completed", "flash": "failed", "verify": "completed", "flash.2": "completed"}
    assert run.order == ["image", "flash", "flash.2", "verify"]
    assert run.request_of("flash.2").argv == ("flash", "img-7")
    assert run.edits == ["flash again as flash.2"]


async def test_dependents_take_their_data_from_the_copy() -> None:
    scripts = {"image": Completed(stdout="i"), "flash": BROKEN, "flash.2": Completed(stdout="flashed\n")}
    run = await Run(planned(FLASH, {"on": ["flash"], "retry": {}}), scripts).to_end()
    assert run.request_of("verify").stdin == "flashed\n"
    assert run.links() == {("image", "flash"), ("image", "flash.2"), ("flash", "flash.2"), ("flash.2", "verify")}


async def test_what_is_to_be_done_first_is_done_between_the_failure_and_the_copy() -> None:
    rule = {"on": ["flash"], "retry": {"before": WIPE}}
    run = await Run(planned(FLASH, rule), {"image": Completed(stdout="i"), "flash": BROKEN}).to_end()
    assert run.order[:4] == ["image", "flash", "flash.wipe", "flash.2"]
    assert run.edits == ["flash again as flash.2 after flash.wipe"]


async def test_what_is_done_first_may_be_several_tasks_that_take_from_each_other_and_from_the_failed_one() -> None:
    before = {
        "look": {"run": ["look"], "stdin": {"from": "failed", "value": "stderr"}},
        "wipe": {"run": ["wipe", {"from": "look"}, {"from": "image"}]},
    }
    scripts = {"image": Completed(stdout="i"), "flash": BROKEN, "flash.look": Completed(stdout="sector 9\n")}
    scripts["flash.2"] = Completed(stdout="done")
    run = await Run(planned(FLASH, {"on": ["flash"], "retry": {"before": before}}), scripts).to_end()
    assert run.request_of("flash.look").stdin == "no space left\n"
    assert run.request_of("flash.wipe").argv == ("wipe", "sector 9", "i")
    assert run.order == ["image", "flash", "flash.look", "flash.wipe", "flash.2", "verify"]


async def test_a_copy_waits_for_the_success_of_what_is_done_first() -> None:
    rule = {"on": ["flash"], "retry": {"before": WIPE}}
    run = await Run(
        planned(FLASH, rule), {"image": Completed(stdout="i"), "flash": BROKEN, "flash.wipe": BROKEN}
    ).to_end()
    assert run.ends["flash.2"] == run.ends["verify"] == "skipped"


async def test_a_copy_that_fails_again_is_not_copied_again_by_default() -> None:
    scripts = {"image": Completed(stdout="i"), "flash": BROKEN, "flash.2": BROKEN}
    run = await Run(planned(FLASH, {"on": ["flash"], "retry": {}}), scripts).to_end()
    assert run.ends == {"image": "completed", "flash": "failed", "verify": "skipped", "flash.2": "failed"}


async def test_a_rule_is_applied_at_most_so_often_to_a_task_and_its_copies() -> None:
    rule = {"on": ["flash"], "at_most": 3, "retry": {"before": WIPE}}
    scripts = {"image": Completed(stdout="i"), **{f"flash{copy}": BROKEN for copy in ("", ".2", ".3", ".4")}}
    run = await Run(planned(FLASH, rule), scripts).to_end()
    assert " ".join(run.order) == "image flash flash.wipe flash.2 flash.2.wipe flash.3 flash.3.wipe flash.4"
    assert run.ends["verify"] == "skipped"


async def test_two_rules_on_one_task_are_applied_one_after_the_other() -> None:
    soft = {"on": ["flash"], "retry": {"before": WIPE}}
    hard = {"on": ["fl*"], "retry": {"before": {"erase": {"run": ["erase"]}}}}
    scripts = {"image": Completed(stdout="i"), "flash": BROKEN, "flash.2": BROKEN, "flash.3": Completed(stdout="ok")}
    run = await Run(planned(FLASH, soft, hard), scripts).to_end()
    assert " ".join(run.order) == "image flash flash.wipe flash.2 flash.2.erase flash.3 verify"
    assert run.ends["verify"] == "completed"


async def test_each_task_has_a_count_of_its_own() -> None:
    plan = planned("  a: {run: [a]}\n  b: {run: [b]}\n", {"on": ["*"], "retry": {}})
    run = await Run(plan, {"a": BROKEN, "b": BROKEN}).to_end()
    assert run.ends == {"a": "failed", "b": "failed", "a.2": "completed", "b.2": "completed"}


async def test_a_task_of_two_prerequisites_that_fail_at_once_waits_for_both_copies_and_takes_from_them() -> None:
    plan = planned(
        "  a: {run: [a]}\n  b: {run: [b]}\n  c: {run: [c, {from: a}, {from: b}]}\n", {"on": ["?"], "retry": {}}
    )
    slow = takes(5, Completed(stdout="B"))
    run = await Run(plan, {"a": BROKEN, "b": BROKEN, "a.2": Completed(stdout="A"), "b.2": slow}).to_end()
    assert run.request_of("c").argv == ("c", "A", "B")


async def test_links_move_to_the_copy_with_their_conditions_so_that_nothing_hears_of_the_first_failure() -> None:
    plan = planned(
        """
  flash: {run: [flash]}
  rollback: {run: [rollback], needs: [{task: flash, when: "status == 'failed'"}]}
  tidy: {run: [tidy], needs: [{task: flash, on: completion}]}
""",
        {"on": ["flash"], "retry": {}},
    )
    run = await Run(plan, {"flash": BROKEN}).to_end()
    assert run.ends == {"flash": "failed", "rollback": "skipped", "tidy": "completed", "flash.2": "completed"}
    assert run.order == ["flash", "flash.2", "tidy"]


async def test_what_waits_for_a_failure_runs_when_the_copy_fails_too() -> None:
    plan = planned(
        """
  flash: {run: [flash]}
  rollback: {run: [rollback], needs: [{task: flash, when: "status == 'failed'"}]}
""",
        {"on": ["flash"], "retry": {}},
    )
    run = await Run(plan, {"flash": BROKEN, "flash.2": BROKEN}).to_end()
    assert run.order == ["flash", "flash.2", "rollback"]


DEVICES = [
    Device("pc", "fake", device_type="windows"),
    Device("box", "fake", device_type="linux", capabilities=["gpu"]),
    Device("box2", "fake", device_type="linux"),
]
BUILD = "  build: {run: [build], device: pc, device_type: windows, retry: {count: 1, backoff_s: 1}}\n"


@pytest.mark.parametrize(
    ("instead", "device"),
    [
        ({"device_type": "linux", "requires": ["gpu"]}, "box"),
        ({"device_type": "linux", "device": "box2"}, "box2"),
        ({}, "pc"),
    ],
)
async def test_a_copy_runs_where_the_rule_says_else_where_the_task_had_to(
    instead: dict[str, object], device: str
) -> None:
    run = await Run(planned(BUILD, {"on": ["build"], "retry": instead}), {"build": BROKEN}, DEVICES).to_end()
    assert (run.result_of("build.2").device_id, run.ends["build.2"]) == (device, "completed")
    assert run.result_of("build").attempts == 2, "a rule comes after the retries that the task itself allows"


async def test_a_copy_says_all_that_the_task_says() -> None:
    plan = planned(
        """
  build:
    name: Build it
    description: whole
    tips: [slowly]
    run: [build]
    cwd: src
    device_type: linux
    requires: [gpu]
    priority: high
    timeout_s: 9
    retry: {count: 1, backoff_s: 3}
    effect: idempotent
    estimate_s: 4
    data: {level: 3}
""",
        {"on": ["build"], "retry": {}},
    )
    run = await Run(plan, {"build": BROKEN}, DEVICES).to_end()
    task, copy = (run.plan.tasks[task_id].copy().to_dict() for task_id in ("build", "build.2"))
    assert {key for key in task if task[key] != copy[key]} <= {"task_id", "created_at", "updated_at"}


async def test_a_function_of_a_program_is_called_again_with_the_values_of_the_copies() -> None:
    plan = planned("  one: {run: [one]}\n", {"on": ["one"], "retry": {}})
    plan.add_task(TaskStar("two", request=Call("got {}".format, (Reference("one"),))))
    plan.add_dependency(TaskStarLine.create_success_only("one", "two"))
    run = await Run(plan, {"one": BROKEN, "one.2": Completed(stdout="1")}).to_end()
    assert run.result_of("two").value == "got 1"


async def test_an_id_that_is_taken_is_passed_over() -> None:
    plan = planned("  a: {run: [a]}\n  a.2: {run: [x]}\n", {"on": ["a"], "retry": {}})
    run = await Run(plan, {"a": BROKEN}).to_end()
    assert run.ends == {"a": "failed", "a.2": "completed", "a.3": "completed"}


@pytest.mark.parametrize(
    ("step", "when", "applied"),
    [
        (BROKEN, ["timeout"], False),
        (BROKEN, ["failed"], True),
        (takes(99), ["timeout"], True),
        (takes(99), ["failed", "unknown"], False),
        (Refused("busy"), ["refused"], True),
        (Refused("busy"), ["failed", "timeout"], False),
    ],
)
async def test_a_rule_is_about_certain_ends(step: object, when: list[str], applied: bool) -> None:
    plan = planned("  a: {run: [a], timeout_s: 5}\n", {"on": ["a"], "when": when, "retry": {}})
    run = await Run(plan, {"a": step}).to_end()  # type: ignore[dict-item]
    assert ("a.2" in run.ends) is applied


async def test_a_task_whose_end_nobody_knows_is_done_again_only_if_the_rule_says_so() -> None:
    for when, applied in ((["failed", "timeout"], False), (["unknown"], True)):
        run = await Run(
            planned("  a: {run: [a]}\n", {"on": ["a"], "when": when, "retry": {}}), {"a": Unknown("?")}
        ).to_end()
        assert (run.ends["a"], "a.2" in run.ends) == ("unknown", applied)


@pytest.mark.parametrize(
    ("condition", "applied"), [("contains(stderr, 'no space')", True), ("exit_code == `2`", False)]
)
async def test_a_rule_may_have_a_condition_on_what_came_of_the_task(condition: str, applied: bool) -> None:
    run = await Run(planned("  a: {run: [a]}\n", {"on": ["a"], "if": condition, "retry": {}}), {"a": BROKEN}).to_end()
    assert ("a.2" in run.ends) is applied


async def test_a_condition_that_cannot_be_evaluated_is_not_met(caplog: pytest.LogCaptureFixture) -> None:
    rule = {"on": ["a"], "if": "contains(json.sizes, 'x')", "retry": {}}
    run = await Run(planned("  a: {run: [a]}\n", rule), {"a": BROKEN}).to_end()
    assert run.ends == {"a": "failed"}
    assert "cannot be evaluated" in caplog.text


async def test_a_plan_without_rules_runs_as_ever() -> None:
    run = await Run(parse_plan(f"tasks:\n{FLASH}").to_constellation(), {"image": BROKEN}).to_end()
    assert run.ends == {"image": "failed", "flash": "skipped", "verify": "skipped"}
    assert run.edits == []
