"""What may be read of a task of which somebody said that it was done: how it ended, and only what was given with that."""

from __future__ import annotations

import re
from typing import Any

import pytest

from galaxy_core import (
    Action,
    Command,
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


def unknown(
    *lines: TaskStarLine,
    stdout: str | None = None,
    metadata: dict[str, Any] | None = None,
    exit_code: int | None = None,
    request: Any = None,
) -> TaskConstellation:
    """A plan whose task `pay` ended unknown."""
    names = {"pay", *(line.to_task_id for line in lines)}
    plan = TaskConstellation.build([TaskStar(name) for name in sorted(names)], lines)
    task, error = plan._tasks["pay"], OutcomeUnknownError("pay", "nobody knows")
    task.request = request
    plan.begin(task, 1.0)
    said = ExecutionResult(
        "pay", TaskStatus.UNKNOWN, stdout, error, metadata, stdout=stdout, exit_code=exit_code, device_id="d1"
    )
    plan.end(task, TaskStatus.UNKNOWN, said, error, 2.0)
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


@pytest.mark.parametrize("value", ["value", "stdout", "stderr", "json"])
@pytest.mark.parametrize("said", ["", "so far", "1"])
def test_what_it_had_said_until_its_link_broke_is_shown_and_not_read(said: str, value: str) -> None:
    """It is a beginning, of which nobody knows how much is missing: whoever needs the whole must not go on with that."""
    plan = unknown(stdout=said)
    plan.resolve("pay", "completed")
    assert left(plan).stdout == said
    with pytest.raises(InputError, match=UNSAID):
        Reference("pay", value).read(left(plan))


def test_what_the_device_has_told_of_its_output_afterwards_holds() -> None:
    plan = unknown(stdout="all of it", metadata={"settled": True})
    plan.resolve("pay", "completed")
    assert Reference("pay", "stdout").read(left(plan)) == "all of it"


def test_a_result_that_is_given_stands_for_the_beginning_that_was_heard() -> None:
    plan = unknown(stdout="so far")
    plan.resolve("pay", "completed", {"total": 3})
    assert Reference("pay", "json.total").read(left(plan)) == 3
    with pytest.raises(InputError, match="no stdout"):
        Reference("pay", "stdout").read(left(plan))
    plan = unknown(stdout="so far")
    plan.resolve("pay", "completed", "so far so good")
    assert Reference("pay", "stdout").read(left(plan)) == "so far so good"


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


@pytest.mark.parametrize("request_", [Command(["pay"]), Action("battery")])
@pytest.mark.parametrize("said", [None, 0, 137])
def test_of_a_command_that_was_done_the_exit_code_is_0(request_: Any, said: int | None) -> None:
    plan = unknown(
        TaskStarLine.create_conditional("pay", "ship", "it is so", Expression("exit_code == `0`")),
        TaskStarLine.create_conditional("pay", "mend", "it is so", Expression("exit_code != `0`")),
        request=request_,
        exit_code=said,
    )
    made = plan.resolve("pay", "completed")
    assert [task.task_id for task in made.ready] == ["ship"]
    assert Reference("pay", "exit_code").read(left(plan)) == 0
    with pytest.raises(InputError, match="take 'exit_code' or 'status'"):
        Reference("pay", "stdout").read(left(plan))


@pytest.mark.parametrize(("said", "exit_code"), [(None, None), (0, None), (3, 3)])
def test_of_a_command_that_failed_the_exit_code_is_never_0(said: int | None, exit_code: int | None) -> None:
    plan = unknown(
        TaskStarLine.create_conditional("pay", "ship", "it is so", Expression("exit_code == `0`")),
        TaskStarLine.create_conditional("pay", "mend", "it is so", Expression("exit_code != `0`")),
        TaskStarLine.create_conditional("pay", "look", "it is so", Expression("stdout == ''")),
        request=Command(["pay"]),
        exit_code=said,
    )
    made = plan.resolve("pay", "failed")
    assert [task.task_id for task in made.ready] == ["mend"]
    assert left(plan).exit_code == exit_code
    assert re.search(r"somebody said that it had failed .resolved as failed.", str(plan._tasks["look"].error))
    assert re.search(r"condition not met", str(plan._tasks["ship"].error))


@pytest.mark.parametrize(
    ("metadata", "why"),
    [
        (None, "that task was resolved by hand"),
        ({"ended_unseen": True}, "that task was resolved by hand"),
        ({"settled": True}, "nobody was there when that task ended"),
    ],
)
def test_files_that_nobody_has_fetched_were_not_just_not_left(metadata: dict[str, Any] | None, why: str) -> None:
    stdout = "all of it" if metadata == {"settled": True} else None
    plan = unknown(stdout=stdout, metadata=metadata, request=Command(["pay"], outputs=["out.txt"]))
    plan.resolve("pay", "completed")
    with pytest.raises(InputError, match=f"'out.txt' was not fetched: {why}, so that nobody has fetched what it left"):
        Reference("pay", "file.out.txt").read(left(plan))
