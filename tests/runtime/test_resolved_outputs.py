"""What may be read of a task of which somebody said that it was done: how it ended, and only what was given with that."""

from __future__ import annotations

import re
from typing import Any

import pytest

from galaxy_core import (
    DependencyType,
    Expression,
    OutcomeUnknownError,
    Reference,
    TaskConstellation,
    TaskStar,
    TaskStarLine,
    TaskStatus,
)
from galaxy_core.errors import InputError
from galaxy_core.model.result import ExecutionResult
from galaxy_core.model.serial import plain

UNSAID = "somebody said that it was done .resolved as completed., and not what came of it"


def unknown(*lines: TaskStarLine, stdout: str | None = None) -> TaskConstellation:
    """A plan whose task `pay` ended unknown."""
    names = {"pay", *(line.to_task_id for line in lines)}
    plan = TaskConstellation.build([TaskStar(name) for name in sorted(names)], lines)
    task, error = plan._tasks["pay"], OutcomeUnknownError("pay", "nobody knows")
    plan.begin(task, 1.0)
    plan.end(
        task, TaskStatus.UNKNOWN, ExecutionResult("pay", TaskStatus.UNKNOWN, error=error, stdout=stdout), error, 2.0
    )
    return plan


def left(plan: TaskConstellation) -> ExecutionResult:
    found = plan._tasks["pay"].result
    assert isinstance(found, ExecutionResult)
    return found


@pytest.mark.parametrize("value", ["value", "stdout", "stderr", "json", "json.total", "exit_code"])
def test_what_it_left_cannot_be_read_when_nobody_said_it(value: str) -> None:
    plan = unknown()
    plan.resolve("pay", "completed")
    with pytest.raises(InputError, match=UNSAID):
        Reference("pay", value).read(left(plan))
    assert Reference("pay", "status").read(left(plan)) == "completed"


def test_a_result_that_is_given_is_read() -> None:
    plan = unknown()
    plan.resolve("pay", "completed", {"total": 3})
    assert Reference("pay", "value").read(left(plan)) == {"total": 3}
    assert Reference("pay", "json.total").read(left(plan)) == 3


def test_what_it_had_said_until_then_is_read() -> None:
    plan = unknown(stdout="so far")
    plan.resolve("pay", "completed")
    assert Reference("pay", "stdout").read(left(plan)) == "so far"


def test_the_mark_survives_being_written_out() -> None:
    plan = unknown()
    plan.resolve("pay", "completed")
    again = TaskConstellation.from_dict(plain(plan.to_dict()))
    with pytest.raises(InputError, match=UNSAID):
        Reference("pay", "value").read(left(again))


@pytest.mark.parametrize("condition", [Expression("value == null"), lambda said: said is None])
def test_a_condition_on_what_it_left_is_not_judged_by_nothing(condition: Any) -> None:
    plan = unknown(
        TaskStarLine.create_conditional("pay", "ship", "it is so", condition),
        TaskStarLine("pay", "after", DependencyType.SUCCESS_ONLY),
    )
    made = plan.resolve("pay", "completed")
    assert [task.task_id for task in made.ready] == ["after"]
    assert re.search(UNSAID, str(plan._tasks["ship"].error))
