"""What each record does, looked at right after it: what follows it may hide what it did wrong."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from galaxy_core import (
    ConditionError,
    DependencyType,
    Expression,
    TaskConstellation,
    TaskFailedError,
    TaskSkippedError,
    TaskStar,
    TaskStarLine,
    TaskStatus,
    replay,
)
from galaxy_core.model.records import encode
from galaxy_core.model.records.header import Header, unfit_plugins

KINDS = [
    (DependencyType.UNCONDITIONAL, None),
    (DependencyType.SUCCESS_ONLY, None),
    (DependencyType.COMPLETION_ONLY, None),
    (DependencyType.CONDITIONAL, bool),
]


def fan(condition: Callable[[Any], bool] = bool) -> TaskConstellation:
    """Task "a" with one link of each kind, named by it."""
    names = [kind.value for kind, _ in KINDS]
    lines = [
        TaskStarLine("a", kind.value, kind, None, condition if made else None, line_id=kind.value)
        for kind, made in KINDS
    ]
    return TaskConstellation.build(
        [TaskStar(name, description="x") for name in ("a", *names)], lines, constellation_id="r"
    )


def begun(plan: TaskConstellation) -> list[str]:
    lines = [encode.header(0, Header("1", "r", "m", 1.0).to_dict()), *encode.whole_plan(1, plan)]
    task = plan._tasks["a"]
    task._target_device_id = "d"
    plan.begin(task, 5.0)
    return [*lines, encode.start(len(lines), task.task_id, 1, 1, "d", task._started_at or 0.0)]


def satisfied(lines: list[str]) -> set[str]:
    return {name for name, link in replay(lines).document()["dependencies"].items() if link["is_satisfied"]}


def test_an_end_satisfies_those_links_whose_kind_alone_decides() -> None:
    plan = fan()
    lines = begun(plan)
    plan.end(plan._tasks["a"], TaskStatus.COMPLETED, None, None, 6.0)
    lines.append(encode.end(len(lines), plan._tasks["a"], 1))
    assert satisfied(lines) == {"unconditional", "success_only", "completion_only"}


def test_a_failure_satisfies_no_link_that_wants_success() -> None:
    plan = fan()
    lines = begun(plan)
    plan.end(plan._tasks["a"], TaskStatus.FAILED, None, TaskFailedError("a", "no"), 6.0)
    lines.append(encode.end(len(lines), plan._tasks["a"], 1))
    assert satisfied(lines) == {"unconditional", "completion_only"}


def test_a_skip_satisfies_those_links_that_any_end_does() -> None:
    plan = fan()
    lines = [encode.header(0, Header("1", "r", "m", 1.0).to_dict()), *encode.whole_plan(1, plan)]
    plan._skip(plan._tasks["a"], TaskSkippedError("a", "z", "so it is"), 6.0)
    lines.append(encode.skip(len(lines), plan._tasks["a"]))
    assert satisfied(lines) == {"unconditional", "completion_only"}


def test_a_skip_by_a_condition_that_broke_makes_the_run_wrong() -> None:
    def breaks(value: Any) -> bool:
        raise ValueError("no")

    plan = fan(breaks)
    lines = begun(plan)
    _, skipped = plan.end(plan._tasks["a"], TaskStatus.COMPLETED, "x", None, 6.0)
    lines.append(encode.end(len(lines), plan._tasks["a"], 1))
    lines.append(encode.link(len(lines), plan._lines_by_id["conditional"]))
    lines.append(encode.skip(len(lines), skipped[0]))
    made = replay(lines)
    assert made.document() == plan.to_dict()
    restored = made.constellation()
    assert restored._broken == plan._broken == 1
    assert isinstance(restored._tasks["conditional"].error, ConditionError)


def test_a_link_that_is_open_again_says_when() -> None:
    plan = fan()
    lines = begun(plan)
    line = plan._lines_by_id["success_only"]
    line._open, line._satisfied, line._evaluation, line._evaluated_at = False, True, True, 3.0
    lines.append(encode.link(len(lines), line))
    assert replay(lines).document() == plan.to_dict()
    line._open = True
    line._forget()
    lines.append(encode.link(len(lines), line))
    made = replay(lines)
    assert made.document() == plan.to_dict()
    assert made.constellation()._lines_by_id["success_only"]._open


def test_an_attempt_of_which_nothing_was_recorded_is_told_by_its_end() -> None:
    plan = fan()
    lines = [encode.header(0, Header("1", "r", "m", 1.0).to_dict()), *encode.whole_plan(1, plan)]
    task = plan._tasks["a"]
    task._target_device_id = "d7"
    plan.begin(task, 5.0)
    plan.end(task, TaskStatus.FAILED, None, TaskFailedError("a", "it could not be sent"), 6.0, withhold=True)
    lines.append(encode.end(len(lines), task, 0, True))
    made = replay(lines).constellation()._tasks["a"]
    assert (made._started_at, made._ended_at, made.attempts, made.target_device_id) == (5.0, 6.0, 1, "d7")


def test_an_attempt_that_never_began_leaves_its_number_free() -> None:
    plan = fan()
    lines = begun(plan)
    task = plan._tasks["a"]
    task._again(6.0, counted=False)
    lines.append(encode.again(len(lines), task, "refused", 0.5, TaskFailedError("a", "no")))
    plan.begin(task, 7.0)
    task._attempts -= 1
    task._started_at = None
    plan.end(task, TaskStatus.FAILED, None, TaskFailedError("a", "no input"), 8.0)
    lines.append(encode.end(len(lines), task, 0))
    made = replay(lines)
    assert made.document()["tasks"]["a"] == plan.to_dict()["tasks"]["a"]
    assert made.backing_off == {}


def test_what_the_last_process_did_not_come_to_judge_is_left_to_the_next() -> None:
    plan = fan(Expression("status == 'completed'"))
    lines = begun(plan)
    task = plan._tasks["a"]
    _, skipped = plan.end(task, TaskStatus.FAILED, None, TaskFailedError("a", "no"), 6.0)
    lines.append(encode.end(len(lines), task, 1))
    lines.append(encode.link(len(lines), plan._lines_by_id["success_only"]))  # and then the power went
    restored = replay(lines).constellation()
    assert {line.line_id for line in restored._withheld} == {"success_only", "conditional"}
    assert {task.task_id for task in restored.get_ready_tasks()} == {"unconditional", "completion_only"}
    restored.judge_withheld(list(restored._withheld), 9.0)
    assert {task.task_id for task in restored.get_all_tasks() if task.status == "skipped"} == {
        task.task_id for task in skipped
    }


def test_a_withdrawal_judges_no_link_and_cancels_the_run_when_it_says_so() -> None:
    plan = fan()
    lines = [encode.header(0, Header("1", "r", "m", 1.0).to_dict()), *encode.whole_plan(1, plan)]
    lines.append(encode.cancel(len(lines), ["a"], 6.0, "enough", False))
    assert satisfied(lines) == set()
    assert not replay(lines).constellation()._cancelled
    lines.append(encode.cancel(len(lines), [], 6.0, "enough", True))
    made = replay(lines).constellation()
    assert made._cancelled
    assert str(made._tasks["a"].error) == "task 'a': enough"


def test_plugins_of_another_series_are_told_one_by_one() -> None:
    recorded = {"galaxy-a": "1.2.3", "galaxy-b": "0.4.1", "galaxy-c": "2.0", "galaxy-d": "1.0"}
    assert unfit_plugins(recorded, {**recorded, "galaxy-a": "1.9", "galaxy-b": "0.4.9"}) == []
    reasons = unfit_plugins(recorded, {"galaxy-a": "2.0", "galaxy-b": "0.5.0", "galaxy-c": "2.1"})
    assert reasons == [
        "plugin 'galaxy-a' was 1.2.3 and is 2.0: install galaxy-a 1.*",
        "plugin 'galaxy-b' was 0.4.1 and is 0.5.0: install galaxy-b 0.4.*",
        "plugin 'galaxy-d' (1.0) is not installed: install it",
    ]
