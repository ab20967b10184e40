"""Whatever JSON is read as a plan, a task, a link or a result: it is one, or it is refused by an error of the tree."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from hypothesis import event, given, settings
from hypothesis import strategies as st

from galaxy_core.errors import DocumentError, GalaxyError
from galaxy_core.model.constellation import TaskConstellation
from galaxy_core.model.dependency import TaskStarLine
from galaxy_core.model.policy import RetryPolicy
from galaxy_core.model.result import ExecutionResult
from galaxy_core.model.task import TaskStar

KEYS: dict[type[Any], list[str]] = {
    kind: [*sample.to_dict(), *more]
    for kind, sample, more in (
        (TaskConstellation, TaskConstellation("c"), ("revision",)),
        (TaskStar, TaskStar("a"), ("effect", "requires", "request", "retry", "estimate_s", "pinned", "attempts")),
        (TaskStarLine, TaskStarLine("a", "b"), ("condition_expression", "condition_lost")),
        (ExecutionResult, ExecutionResult("a", "completed"), ()),
    )
}
NESTED = [
    *("run", "shell", "action", "env", "cwd", "stdin", "files", "outputs", "from", "value", "call", "bogus"),
    *("backoff_s", "factor", "max_backoff_s", "jitter", "on"),
]
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-2, 3),
    st.sampled_from([400, 5000]).map(lambda digits: 10**digits),  # hypothesis cannot write the second itself
    st.sampled_from([2**63, 1.5, -1.0, 1e308, float("inf"), float("nan")]),
    st.sampled_from(["", " ", "a", "b", "failed", "completed", "success_only", "conditional", "HIGH", "status", "["]),
    st.sampled_from(
        ["2030-01-31T12:00:00+00:00", "2030-01-31T12:00:00", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"]
    ),
    st.text(max_size=3),
)
garbage = st.recursive(
    scalars,
    lambda part: (
        st.lists(part, max_size=3) | st.dictionaries(st.sampled_from(NESTED) | st.text(max_size=2), part, max_size=3)
    ),
    max_leaves=6,
)


def documents(kind: type[Any], values: st.SearchStrategy[Any] = garbage) -> st.SearchStrategy[Any]:
    return st.dictionaries(st.sampled_from(KEYS[kind]), values, max_size=5)


some_tasks = documents(TaskStar) | st.fixed_dictionaries({"task_id": st.sampled_from("ab")})
some_links = documents(TaskStarLine).map(lambda keys: {"from_task_id": "a", "to_task_id": "b", **keys}) | documents(
    TaskStarLine
)
plans = st.builds(
    lambda keys, tasks, links: {**keys, "tasks": tasks, "dependencies": links},
    documents(TaskConstellation),
    st.lists(some_tasks | garbage, max_size=3)
    | st.dictionaries(st.sampled_from("abc"), some_tasks | garbage, max_size=3)
    | garbage,
    st.lists(some_links | garbage, max_size=2)
    | st.dictionaries(st.sampled_from("lm"), some_links, max_size=2)
    | garbage,
)


def read(make: Callable[[Any], Any], document: Any) -> Any:
    try:
        made = make(document)
    except GalaxyError as error:
        event(f"refused: {type(error).__name__}")
        return None
    event("read")
    return made


@given(document=plans | garbage)
@settings(max_examples=400)
def test_any_json_is_read_as_a_plan_or_refused(document: Any) -> None:
    plan = read(TaskConstellation.from_dict, document)
    if plan is not None:
        again = TaskConstellation.from_dict(plan.to_dict())
        assert repr(again.to_dict()) == repr(plan.to_dict())  # their repr, because NaN is not equal to itself
        assert plan.validate_dag() == (True, [])


@given(document=some_tasks | garbage)
@settings(max_examples=300)
def test_any_json_is_read_as_a_task_or_refused(document: Any) -> None:
    task = read(TaskStar.from_dict, document)
    if task is not None:
        assert isinstance(task.retry_policy, RetryPolicy)
        again = TaskStar.from_dict(task.to_dict())
        assert repr(again.to_dict()) == repr(task.to_dict())  # their repr, because NaN is not equal to itself
        task.get_validation_errors()


@given(document=some_links | garbage)
@settings(max_examples=200)
def test_any_json_is_read_as_a_link_or_refused(document: Any) -> None:
    line = read(TaskStarLine.from_dict, document)
    if line is not None:
        assert repr(TaskStarLine.from_dict(line.to_dict()).to_dict()) == repr(line.to_dict())


@given(document=documents(ExecutionResult).map(lambda keys: {"task_id": "a", "status": "failed", **keys}) | garbage)
@settings(max_examples=200)
def test_any_json_is_read_as_a_result_or_refused(document: Any) -> None:
    result = read(ExecutionResult.from_dict, document)
    if result is not None:
        json.dumps(result.to_dict()["result"])
        assert repr(ExecutionResult.from_dict(result.to_dict()).to_dict()) == repr(result.to_dict())


@given(
    name=st.sampled_from(["backoff_s", "factor", "max_backoff_s", "jitter"]),
    value=scalars,
    retry=st.integers(1, 10**6),
    random=st.floats(0, 1, exclude_max=True),
)
@settings(max_examples=200)
def test_a_policy_that_can_be_made_waits_no_longer_than_it_says(
    name: str, value: Any, retry: int, random: float
) -> None:
    policy = read(lambda found: RetryPolicy(**{name: found}), value)
    if policy is not None:
        assert 0 <= policy.wait_s(retry, random) <= policy.max_backoff_s
    try:
        task = TaskStar.from_dict({"retry": {name: value}})
    except DocumentError:
        assert policy is None
    else:
        assert task.retry_policy == policy
