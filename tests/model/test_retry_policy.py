"""What a retry policy may say, wherever it is written, and what a task may say of its attempts."""

from __future__ import annotations

import math
from typing import Any

import pytest

from galaxy_core.errors import DocumentError, PlanError
from galaxy_core.model.changes import Changes
from galaxy_core.model.constellation import TaskConstellation
from galaxy_core.model.edits import Transaction, UpdateTask
from galaxy_core.model.edits_file import transaction_from_dict
from galaxy_core.model.policy import RetryPolicy, TaskConfiguration
from galaxy_core.model.task import TaskStar
from galaxy_core.model.validity import task_problems

WRONG: list[tuple[str, Any, str]] = [
    ("backoff_s", "1", "a finite number of seconds, from 0, is wanted"),
    ("backoff_s", -5, "a finite number of seconds, from 0, is wanted"),
    ("backoff_s", None, "a finite number of seconds, from 0, is wanted"),
    ("backoff_s", True, "a finite number of seconds, from 0, is wanted"),
    ("backoff_s", 10**400, "a finite number of seconds, from 0, is wanted"),
    ("max_backoff_s", math.inf, "a finite number of seconds, from 0, is wanted"),
    ("max_backoff_s", math.nan, "a finite number of seconds, from 0, is wanted"),
    ("factor", -2, "a finite number, from 0, is wanted"),
    ("factor", math.nan, "a finite number, from 0, is wanted"),
    ("jitter", 5, "a number from 0 to 1 is wanted"),
    ("jitter", -0.1, "a number from 0 to 1 is wanted"),
]


@pytest.mark.parametrize(("name", "value", "wanted"), WRONG)
def test_a_retry_policy_refuses_a_number_that_no_run_could_work_with(name: str, value: Any, wanted: str) -> None:
    with pytest.raises(PlanError) as caught:
        RetryPolicy(**{name: value})
    assert str(caught.value).startswith(f"{name} of a RetryPolicy is ")
    assert wanted.replace("0, is", "0 is") in str(caught.value)


@pytest.mark.parametrize(("name", "value", "wanted"), WRONG)
def test_a_document_refuses_such_a_number_at_its_place(name: str, value: Any, wanted: str) -> None:
    with pytest.raises(DocumentError) as caught:
        TaskConstellation.from_dict({"tasks": {"t": {"retry": {name: value}}}})
    ((path, _, text),) = caught.value.problems
    assert path == f"tasks.t.retry.{name}"
    assert wanted in text


@pytest.mark.parametrize(
    ("ends", "said"),
    [
        ("failed", "on of a RetryPolicy is 'failed'; a set of ends is wanted: write {'failed'}"),
        (5, "on of a RetryPolicy is 5; a set of ends is wanted"),
        (None, "on of a RetryPolicy is None; a set of ends is wanted"),
        (
            ["fialed"],
            "on of a RetryPolicy: unknown end 'fialed'; did you mean 'failed'?; allowed are 'failed', 'timeout', 'refused'",
        ),
        ([5], "on of a RetryPolicy: unknown end 5; allowed are 'failed', 'timeout', 'refused'"),
        ([[]], "on of a RetryPolicy: unknown end []; allowed are 'failed', 'timeout', 'refused'"),
    ],
)
def test_a_retry_policy_refuses_ends_that_there_are_not(ends: Any, said: str) -> None:
    with pytest.raises(PlanError) as caught:
        RetryPolicy(on=ends)
    assert str(caught.value) == said


@pytest.mark.parametrize(
    ("retry", "path", "said"),
    [
        ({"on": "failed"}, "retry.on", "found the text 'failed'; a list of texts is wanted here"),
        ({"on": ["fialed"]}, "retry.on[0]", "unknown end 'fialed'; did you mean 'failed'?; allowed are"),
        ({"on": None}, "retry.on", "found nothing (null); a list of texts is wanted here"),
        ({"bogus": 1}, "retry.bogus", "unknown key 'bogus'; allowed are 'backoff_s', "),
        ({"jiter": 1}, "retry.jiter", "unknown key 'jiter'; did you mean 'jitter'?; allowed are "),
        ([], "retry", "found an empty list; a mapping is wanted here"),
    ],
)
def test_a_document_refuses_a_retry_at_its_place(retry: Any, path: str, said: str) -> None:
    with pytest.raises(DocumentError) as caught:
        TaskStar.from_dict({"retry": retry})
    assert caught.value.problems[0][0] == path
    assert caught.value.problems[0][2].startswith(said)
    document = {"operations": [{"update_task": {"task_id": "a", "changes": {"retry": retry}}}]}
    with pytest.raises(DocumentError) as caught:
        transaction_from_dict(document)
    assert caught.value.problems[0][0] == f"operations[0].update_task.changes.{path}"


def test_the_longest_wait_is_that_of_the_policy_whatever_the_factor() -> None:
    assert RetryPolicy(backoff_s=1.5, factor=1e300, max_backoff_s=7.0, jitter=0).wait_s(90, 0.5) == 7.0
    assert RetryPolicy(backoff_s=10**300, factor=10**300, max_backoff_s=7.0, jitter=0).wait_s(90, 0.5) == 7.0


def test_a_task_takes_a_retry_policy_alone() -> None:
    for wrong in ({"backoff_s": 1}, 3, None, "fast"):
        with pytest.raises(PlanError, match=r"^retry of task 'a' must be a RetryPolicy, not "):
            TaskStar("a", retry=wrong)  # type: ignore[arg-type]
    with pytest.raises(PlanError, match=r"^backoff_s of a RetryPolicy is 'soon'"):
        TaskStar("a", config=TaskConfiguration(retry_count=1, retry_delay="soon"))  # type: ignore[arg-type]
    with pytest.raises(PlanError, match=r"^config of task 'a' must be a TaskConfiguration, not 5"):
        TaskStar("a", config=5)  # type: ignore[arg-type]


def test_a_transaction_refuses_a_retry_that_is_none() -> None:
    plan = TaskConstellation.build([TaskStar("a")], [])
    (problem,) = Changes(plan, Transaction([UpdateTask("a", {"retry": {"backoff_s": 1}})])).problems
    assert problem.reason.startswith("task 'a': retry must be a RetryPolicy, not ")
    with pytest.raises(PlanError):
        Transaction([UpdateTask("a", {"retry": RetryPolicy(backoff_s=-1)})])


@pytest.mark.parametrize(
    ("slot", "value", "said"),
    [
        ("_retry", 5, "Retry must be a RetryPolicy"),
        ("_retry_count", 1.5, "Retry count must be a non-negative integer"),
        ("_attempts", "x", "Attempts and current retry must be non-negative integers"),
        ("_current_retry", "x", "Attempts and current retry must be non-negative integers"),
        ("_current_retry", -1, "Attempts and current retry must be non-negative integers"),
        ("_effect", "once", "Effect must be an Effect enum value"),
        ("_timeout", 10**400, "Timeout must be a positive number"),
        ("_timeout", "5", "Timeout must be a positive number"),
        ("_estimate_s", 10**400, "Estimate must be a number of seconds, from 0"),
        ("_priority", "HIGH", "Priority must be a TaskPriority enum value"),
    ],
)
def test_what_the_end_of_an_attempt_uses_is_looked_at_before_a_run(slot: str, value: Any, said: str) -> None:
    task = TaskStar("a", description="words")
    setattr(task, slot, value)
    assert task.get_validation_errors() == [said]
    assert task_problems(task) == [said]


@pytest.mark.parametrize("key", ["attempts", "current_retry", "retry_count"])
@pytest.mark.parametrize("value", ["x", -1, 1.5, True])
def test_a_document_refuses_a_count_that_is_none_at_its_place(key: str, value: Any) -> None:
    with pytest.raises(DocumentError) as caught:
        TaskConstellation.from_dict({"tasks": [{"task_id": "t", key: value}]})
    assert caught.value.problems[0][0] == f"tasks[0].{key}"
    assert caught.value.problems[0][2].endswith("; a whole number, from 0, is wanted here")
