"""In what a plan differs from the one that was recorded, in words that say which one is meant."""

from __future__ import annotations

from typing import Any

import pytest

from galaxy_core import Call, Command, Effect, Expression, RetryPolicy, TaskConstellation, TaskStar, TaskStarLine
from galaxy_core.runtime.same_plan import SHOWN, differences


def nothing() -> None:
    """What tasks call."""


def told(recorded: dict[str, Any], given: dict[str, Any], calls: dict[str, str] | None = None) -> str:
    """The difference of two tasks `a`."""
    plans = [TaskConstellation.build([TaskStar("a", **fields)], []) for fields in (recorded, given)]
    [found] = differences(plans[0], calls or {}, plans[1])
    return found


@pytest.mark.parametrize(
    ("field", "recorded", "given", "words"),
    [
        ("timeout", 3.0, None, "timeout (recorded: 3.0; given: none)"),
        ("effect", Effect.ONCE, Effect.READ, "effect (recorded: once; given: read)"),
        ("description", "old", "new", 'description (recorded: "old"; given: "new")'),
        (
            "request",
            Command(argv=["echo", "hi"]),
            Command(argv=["echo", "ho"]),
            'request (recorded: {"run": ["echo", "hi"]}; given: {"run": ["echo", "ho"]})',
        ),
        (
            "request",
            Command(["true"]),
            Call(nothing),
            f'request (recorded: {{"run": ["true"]}}; given: {{"call": "{__name__}:nothing"}})',
        ),
    ],
)
def test_both_values_are_told(field: str, recorded: object, given: object, words: str) -> None:
    assert told({field: recorded}, {field: given}) == f"task 'a' has another {words}"


def test_several_differences_of_a_task_are_told_with_their_values() -> None:
    found = told(
        {"description": "x", "retry": RetryPolicy(backoff_s=1)}, {"description": "y", "retry": RetryPolicy(backoff_s=3)}
    )
    assert found.startswith(
        'task \'a\' has another description (recorded: "x"; given: "y") and another retry (recorded: '
    )
    assert ("backoff_s=1" in found, "backoff_s=3" in found) == (True, True)


def test_of_long_values_that_part_is_told_where_they_begin_to_differ() -> None:
    found = told({"description": "x" * 500 + "old" + "z" * 500}, {"description": "x" * 500 + "new" + "z" * 500})
    assert ("xold" in found, "xnew" in found) == (True, True)
    assert len(found) < 2 * SHOWN + 100


def test_a_function_of_another_module_is_told_with_what_differs() -> None:
    same, other = f"{__name__}:nothing", "__main__:nothing"
    plan = TaskConstellation.build([TaskStar("a", request=Call(nothing))], [])
    recorded = TaskConstellation.build([TaskStar("a")], [])
    assert list(differences(recorded, {"a": same}, plan)) == []
    [found] = differences(recorded, {"a": other}, plan)
    assert found == f"task 'a' has another request (recorded: {other}; given: {same}: only the module differs)"
    [found] = differences(recorded, {"a": "__main__:something"}, plan)
    assert found == f"task 'a' has another request (recorded: __main__:something; given: {same})"


def test_another_condition_is_told_by_its_text() -> None:
    conditions: list[Any] = [Expression("exit_code"), Expression("stdout"), lambda said: True]
    plans = [
        TaskConstellation.build(
            [TaskStar("a"), TaskStar("b")], [TaskStarLine.create_conditional("a", "b", "so", condition)]
        )
        for condition in conditions
    ]
    [found] = differences(plans[0], {}, plans[1])
    assert found == "dependency 'a' -> 'b' has another condition evaluator (recorded: exit_code; given: stdout)"
    [found] = differences(plans[0], {}, plans[2])
    assert found.endswith("(recorded: exit_code; given: a Python function)")
