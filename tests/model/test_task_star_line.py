"""One link: its defaults, how it is evaluated by hand and by an outcome, what guards it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from galaxy_core.errors import ConditionError, ImmutableError, PlanError
from galaxy_core.model.condition import Expression
from galaxy_core.model.constellation import TaskConstellation
from galaxy_core.model.dependency import DependencyType, TaskStarLine
from galaxy_core.model.result import ExecutionResult, TaskStatus
from galaxy_core.model.task import TaskStar

UNCONDITIONAL, SUCCESS_ONLY = DependencyType.UNCONDITIONAL, DependencyType.SUCCESS_ONLY
CONDITIONAL, COMPLETION_ONLY = DependencyType.CONDITIONAL, DependencyType.COMPLETION_ONLY
ENDS = [
    TaskStatus.COMPLETED,
    TaskStatus.FAILED,
    TaskStatus.CANCELLED,
    TaskStatus.SKIPPED,
    TaskStatus.UNKNOWN,
]


def link(kind: DependencyType = UNCONDITIONAL, evaluator: Callable[..., Any] | None = None) -> TaskStarLine:
    return TaskStarLine("a", "b", kind, "a condition", evaluator)


def broken(payload: object) -> bool:
    raise KeyError("level")


# ----------------------------------------------------------------------------------------------- what it is
def test_a_link_is_unconditional_unless_said_otherwise() -> None:
    line = TaskStarLine("a", "b")
    assert (line.from_task_id, line.to_task_id) == (line.source_task_id, line.target_task_id) == ("a", "b")
    assert (line.dependency_type, line.condition_description, line.metadata) == (UNCONDITIONAL, None, {})
    assert (line.is_satisfied(), line.last_evaluation_result, line.last_evaluation_time) == (False, None, None)
    assert repr(line) == "<TaskStarLine 'a' -> 'b' unconditional>"


def test_a_link_makes_its_id_once_when_it_is_asked_for() -> None:
    line = TaskStarLine("a", "b")
    assert line.line_id == line.line_id
    assert len(line.line_id) == 36
    assert TaskStarLine("a", "b", line_id="mine").line_id == "mine"


def test_the_factories_describe_their_links() -> None:
    unconditional = TaskStarLine.create_unconditional("a", "b")
    success = TaskStarLine.create_success_only("a", "b")
    conditional = TaskStarLine.create_conditional("a", "b", "enough", bool)
    assert (unconditional.dependency_type, unconditional.condition_description) == (
        UNCONDITIONAL,
        "Unconditional dependency",
    )
    assert (success.dependency_type, success.condition_description) == (SUCCESS_ONLY, "Success-only dependency")
    assert (conditional.dependency_type, conditional.condition_description) == (CONDITIONAL, "enough")
    assert conditional.condition_evaluator is bool


def test_metadata_is_a_copy_and_is_merged() -> None:
    line = TaskStarLine("a", "b", metadata={"one": 1})
    line.metadata["lost"] = True
    line.update_metadata({"two": 2})
    assert line.metadata == {"one": 1, "two": 2}


def test_a_copy_says_the_same_under_the_same_id_and_belongs_to_no_plan() -> None:
    plan = TaskConstellation.build([TaskStar("a"), TaskStar("b")], [link(CONDITIONAL, bool)])
    (line,) = plan.get_all_dependencies()
    copy = line.copy()
    assert (copy.line_id, copy.dependency_type, copy.condition_evaluator) == (line.line_id, CONDITIONAL, bool)
    copy.dependency_type = SUCCESS_ONLY
    assert line.dependency_type is CONDITIONAL


# ----------------------------------------------------------------------------------------------- by hand
@pytest.mark.parametrize("kind", [UNCONDITIONAL, COMPLETION_ONLY])
def test_by_hand_any_result_satisfies_a_link_that_follows_any_end(kind: DependencyType) -> None:
    line = link(kind)
    assert line.evaluate_condition(None) is True
    assert line.is_satisfied()


@pytest.mark.parametrize("kind", [SUCCESS_ONLY, CONDITIONAL])
def test_by_hand_a_link_without_an_evaluator_asks_for_a_result(kind: DependencyType) -> None:
    line = link(kind)
    assert line.evaluate_condition(None) is False
    assert not line.is_satisfied()
    assert line.evaluate_condition(0) is True
    assert line.is_satisfied()


def test_by_hand_the_evaluator_answers_as_it_likes_and_its_answer_is_kept() -> None:
    line = link(CONDITIONAL, lambda payload: payload["level"])
    assert line.evaluate_condition({"level": 80}) == 80
    assert (line.last_evaluation_result, line.is_satisfied()) == (80, True)
    assert line.last_evaluation_time is not None
    assert line.evaluate_condition({"level": 0}) == 0
    assert not line.is_satisfied()


def test_by_hand_an_evaluator_that_raises_is_not_met() -> None:
    line = link(CONDITIONAL, broken)
    assert line.evaluate_condition("text") is False
    assert not line.is_satisfied()


def test_a_link_can_be_asked_whether_its_prerequisite_is_among_completed_tasks() -> None:
    line = link()
    assert line.is_satisfied(["x", "a"])
    assert line.is_satisfied([TaskStar("a")])
    assert not line.is_satisfied(["b"])
    assert not line.is_satisfied([])


def test_satisfaction_can_be_declared_and_forgotten() -> None:
    line = link()
    line.mark_satisfied()
    assert line.is_satisfied()
    line.reset_satisfaction()
    assert (line.is_satisfied(), line.last_evaluation_result, line.last_evaluation_time) == (False, None, None)


@pytest.mark.parametrize(
    "change",
    [
        lambda line: setattr(line, "dependency_type", SUCCESS_ONLY),
        lambda line: setattr(line, "condition_evaluator", bool),
        lambda line: line.set_condition_evaluator(bool),
    ],
)
def test_setting_the_type_or_the_evaluator_resets_the_satisfaction(change: Callable[[TaskStarLine], None]) -> None:
    line = link()
    line.evaluate_condition("text")
    change(line)
    assert (line.is_satisfied(), line.last_evaluation_time) == (False, None)


# ----------------------------------------------------------------------------------------------- by an outcome
@pytest.mark.parametrize("status", ENDS, ids=str)
@pytest.mark.parametrize("kind", [UNCONDITIONAL, COMPLETION_ONLY])
def test_any_end_satisfies_an_unconditional_link(kind: DependencyType, status: TaskStatus) -> None:
    line = link(kind)
    assert line.outcome_satisfies(status, None, None)
    assert line.is_satisfied()


@pytest.mark.parametrize("status", ENDS, ids=str)
@pytest.mark.parametrize("payload", [None, "text", OSError("broke")])
@pytest.mark.parametrize("kind", [SUCCESS_ONLY, CONDITIONAL])
def test_success_is_decided_by_the_outcome_alone(kind: DependencyType, payload: object, status: TaskStatus) -> None:
    line = link(kind)
    assert line.outcome_satisfies(status, payload, None) == (status is TaskStatus.COMPLETED)
    assert line.is_satisfied() == (status is TaskStatus.COMPLETED)


@pytest.mark.parametrize("status", [TaskStatus.COMPLETED, TaskStatus.FAILED], ids=str)
def test_a_condition_judges_the_payload_of_what_ran_to_an_outcome(status: TaskStatus) -> None:
    line = link(CONDITIONAL, lambda payload: "yes" if payload == "payload" else "")
    assert line.outcome_satisfies(status, "payload", ExecutionResult("a", status, "payload"))
    assert line.last_evaluation_result is True
    assert not line.outcome_satisfies(status, "other", ExecutionResult("a", status, "other"))


@pytest.mark.parametrize("status", [TaskStatus.CANCELLED, TaskStatus.SKIPPED, TaskStatus.UNKNOWN], ids=str)
def test_a_condition_is_not_asked_about_what_has_no_outcome(status: TaskStatus) -> None:
    assert not link(CONDITIONAL, broken).outcome_satisfies(status, None, None)


NEVER_RAN = [TaskStatus.CANCELLED, TaskStatus.SKIPPED, TaskStatus.UNKNOWN]


@pytest.mark.parametrize("status", NEVER_RAN, ids=str)
@pytest.mark.parametrize(
    ("text", "met"),
    [
        ("status == '{}'", True),
        ("status != 'completed'", True),
        ("exit_code == `0` || status == '{}'", True),
        ("status", True),
        ("[status][0] == '{}'", True),
        ("status == 'failed'", False),
        ("exit_code != `0`", False),  # it does not look at the status, and null is not 0
        ("json.status != 'good'", False),
        ("contains(stdout, 'x') || status == '{}'", False),  # there is no output to look at, and that is no failure
    ],
)
def test_an_expression_that_looks_at_the_status_judges_what_has_no_outcome(
    text: str, met: bool, status: TaskStatus
) -> None:
    line = link(CONDITIONAL, Expression(text.replace("{}", status)))
    assert line.outcome_satisfies(status, None, ExecutionResult("a", status)) is met


@pytest.mark.parametrize(
    ("evaluator", "said"),
    [
        (Expression("status == 'failed'"), "(condition not met: words)"),
        (Expression("exit_code == `0`"), "(condition not met: words, which judges only what completed or failed)"),
        (bool, "(condition not met: words, which judges only what completed or failed)"),
        (None, "(condition not met: words)"),
    ],
)
def test_a_refusal_says_when_its_condition_was_not_asked(evaluator: Any, said: str) -> None:
    plan = TaskConstellation()
    for task_id in "ab":
        plan.add_task(TaskStar(task_id))
    plan.add_dependency(TaskStarLine("a", "b", CONDITIONAL, "words", evaluator))
    plan.tasks["a"].cancel()
    assert str(plan.tasks["b"].error).endswith(f"prerequisite 'a' ended cancelled {said}")


def test_an_evaluator_that_takes_two_arguments_gets_the_outcome_beside_the_payload() -> None:
    outcome = ExecutionResult("a", TaskStatus.FAILED, "text", exit_code=3)
    line = link(CONDITIONAL, lambda payload, found: (payload, found.exit_code) == ("text", 3))
    assert line.outcome_satisfies(TaskStatus.FAILED, "text", outcome)


def test_an_optional_second_parameter_is_left_alone() -> None:
    line = link(CONDITIONAL, lambda payload, limit=10: payload > limit)
    assert line.outcome_satisfies(TaskStatus.COMPLETED, 11, ExecutionResult("a", TaskStatus.COMPLETED, 11))


def test_an_evaluator_without_a_signature_gets_the_payload() -> None:
    assert link(CONDITIONAL, bool).outcome_satisfies(TaskStatus.COMPLETED, "text", None)


def test_an_evaluator_that_raises_fails_the_link_visibly() -> None:
    line = link(CONDITIONAL, broken)
    with pytest.raises(ConditionError, match=r"condition of the link a -> b .* KeyError: 'level'") as caught:
        line.outcome_satisfies(TaskStatus.COMPLETED, {}, None)
    assert isinstance(caught.value.__cause__, KeyError)
    assert (caught.value.task_id, caught.value.cause_id) == ("b", "a")
    assert not line.is_satisfied()


# ----------------------------------------------------------------------------------------------- expressions
@pytest.mark.parametrize(
    ("text", "met"),
    [
        ("exit_code == `3`", True),
        ("status == 'failed'", True),
        ("stderr", True),
        ("stdout", True),
        ("json.level > `50`", True),
        ("value.key", True),
        ("contains(error, 'broke')", True),
        ("json.nothing", False),
        ("value.empty", False),
        ("exit_code == `0`", False),
        ("`false`", False),
        ("`0`", True),
    ],
)
def test_an_expression_sees_the_outcome_and_counts_as_jmespath_counts(text: str, met: bool) -> None:
    payload = {"key": "text", "empty": []}
    outcome = ExecutionResult(
        "a", TaskStatus.FAILED, payload, OSError("broke"), stdout='{"level": 80}', stderr="oops", exit_code=3
    )
    assert link(CONDITIONAL, Expression(text)).outcome_satisfies(TaskStatus.FAILED, payload, outcome) is met


def test_output_that_is_not_json_is_null_to_an_expression() -> None:
    outcome = ExecutionResult("a", TaskStatus.COMPLETED, "text", stdout="text")
    assert not Expression("json")("text", outcome)


def test_without_output_the_payload_is_the_json_of_an_expression() -> None:
    assert Expression("json.level == `80`")({"level": 80}, ExecutionResult("a", TaskStatus.COMPLETED, {"level": 80}))


@pytest.mark.parametrize("text", ["", "a ==", "[", "x" * 1001])
def test_what_is_no_expression_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"JMESPath|1000 characters"):
        Expression(text)


def test_expressions_are_values() -> None:
    assert Expression("json") == Expression("json")
    assert len({Expression("json"), Expression("json"), Expression("value")}) == 2
    assert repr(Expression("json")) == "Expression('json')"


def test_an_expression_that_cannot_be_evaluated_is_a_condition_error() -> None:
    with pytest.raises(ConditionError, match="length"):
        link(CONDITIONAL, Expression("length(value)")).outcome_satisfies(TaskStatus.COMPLETED, 5, None)


@pytest.mark.parametrize(
    "text",
    [
        "[@,@][]|" * 24 + "@",
        "'text'|" + "join('',[@,@])|" * 25 + "@",
        "to_string(" + "[@,@]|" * 30 + "@)",
        "(" + "[@,@]|" * 20 + "@)==(" + "[@,@]|" * 20 + "@)",
    ],
)
def test_an_expression_that_would_never_come_to_its_end_is_a_condition_error(text: str) -> None:
    with pytest.raises(ConditionError, match="too much work"):
        link(CONDITIONAL, Expression(text)).outcome_satisfies(TaskStatus.COMPLETED, 5, None)


@pytest.mark.parametrize(
    ("text", "why"), [("!" * 60 + "a", "nested more than 50 deep"), ("[" + "@," * 300 + "@]", "200 parts")]
)
def test_an_expression_of_too_many_parts_is_refused(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        Expression(text)


def test_an_expression_may_go_through_a_large_document() -> None:
    document = [{"name": f"machine {number}", "up": True} for number in range(20_000)]
    assert Expression("length(value[?up && name != 'x'].name) == `20000`")(document)


# ----------------------------------------------------------------------------------------------- I3
SETTERS: dict[str, Callable[[TaskStarLine], None]] = {
    "dependency_type": lambda line: setattr(line, "dependency_type", SUCCESS_ONLY),
    "condition_description": lambda line: setattr(line, "condition_description", "new"),
    "condition_evaluator": lambda line: setattr(line, "condition_evaluator", bool),
    "set_condition_evaluator": lambda line: line.set_condition_evaluator(bool),
    "mark_satisfied": lambda line: line.mark_satisfied(),
    "reset_satisfaction": lambda line: line.reset_satisfaction(),
    "update_metadata": lambda line: line.update_metadata({"new": 1}),
}
ASKING: dict[str, Callable[[TaskStarLine], object]] = {
    "evaluate_condition": lambda line: line.evaluate_condition(None),
    "outcome_satisfies": lambda line: line.outcome_satisfies(TaskStatus.FAILED, None, None),
    "refusal": lambda line: line.refusal(TaskStar("a")),
}
WAYS: dict[str, Callable[[TaskConstellation], object]] = {
    "running": lambda plan: plan.start_task("b"),
    "completed": lambda plan: plan.mark_task_completed("b", success=True),
    "failed": lambda plan: plan.mark_task_completed("b", success=False),
    "cancelled": lambda plan: plan.tasks["b"].cancel(),
    "retried": lambda plan: fail_and_retry(plan, "b"),
}


def fail_and_retry(plan: TaskConstellation, task_id: str) -> None:
    plan.mark_task_completed(task_id, success=False)
    plan.tasks[task_id].retry()


def test_every_setter_of_a_link_is_listed_above() -> None:
    found = {name for name, kind in vars(TaskStarLine).items() if isinstance(kind, property) and kind.fset is not None}
    asks = {"copy", "create_success_only", "create_unconditional", "create_conditional", "is_satisfied"}
    asks |= {"to_dict", "from_dict"}
    methods = {name for name, kind in vars(TaskStarLine).items() if callable(kind) or isinstance(kind, classmethod)}
    public = {name for name in methods if not name.startswith("_")}
    assert found | (public - asks - set(ASKING)) == set(SETTERS)


@pytest.mark.parametrize("status", WAYS)
@pytest.mark.parametrize("setter", SETTERS)
def test_a_link_into_a_task_that_has_started_cannot_be_changed(setter: str, status: str) -> None:
    plan = TaskConstellation.build([TaskStar("a"), TaskStar("b", retry_count=1)], [link()])
    plan.mark_task_completed("a", success=True)
    WAYS[status](plan)
    before = plan.to_dict()
    with pytest.raises(ImmutableError) as caught:
        SETTERS[setter](plan.get_all_dependencies()[0])
    assert str(caught.value) == (
        f"Cannot modify dependency 'a' -> 'b' of {status} task b: "
        "add a copy of that task (task.copy()), with the links that it is to have"
    )
    assert plan.to_dict() == before
    assert plan.validate_dag() == (True, [])


@pytest.mark.parametrize("status", WAYS)
@pytest.mark.parametrize("question", ASKING)
def test_asking_a_link_into_a_task_that_has_started_changes_nothing(question: str, status: str) -> None:
    plan = TaskConstellation.build([TaskStar("a"), TaskStar("b", retry_count=1)], [link(CONDITIONAL, lambda _: _ == 1)])
    if status != "cancelled":
        plan.mark_task_completed("a", success=True, result=1)
    WAYS[status](plan)
    before = plan.to_dict()
    assert ASKING[question](plan.get_all_dependencies()[0]) is not True
    assert plan.to_dict() == before


@pytest.mark.parametrize("question", ASKING)
def test_asking_a_link_whose_prerequisite_has_ended_leaves_how_it_was_judged(question: str) -> None:
    plan = TaskConstellation.build([TaskStar("a"), TaskStar("b")], [link(CONDITIONAL, lambda payload: payload == 1)])
    plan.mark_task_completed("a", success=True, result=1)
    before = plan.to_dict()
    ASKING[question](plan.get_all_dependencies()[0])
    assert plan.to_dict() == before
    assert plan.get_all_dependencies()[0].is_satisfied()


def test_a_link_that_is_marked_satisfied_still_waits_and_is_judged_by_the_end_of_its_prerequisite() -> None:
    plan = TaskConstellation.build([TaskStar("a"), TaskStar("b")], [link(SUCCESS_ONLY)])
    (line,) = plan.get_all_dependencies()
    line.mark_satisfied()
    assert line.is_satisfied()
    assert [task.task_id for task in plan.get_ready_tasks()] == ["a"]
    assert plan.validate_dag() == (True, [])
    assert TaskConstellation.from_dict(plan.to_dict()).to_dict() == plan.to_dict()
    plan.mark_task_completed("a", success=False)
    assert (plan.tasks["b"].status, line.is_satisfied()) == (TaskStatus.SKIPPED, False)


def test_a_link_that_was_let_through_and_is_reset_is_judged_anew_at_once() -> None:
    answers = [True, False]
    plan = TaskConstellation.build(
        [TaskStar("a"), TaskStar("b"), TaskStar("other")],
        [link(CONDITIONAL, lambda _: answers.pop(0)), TaskStarLine("other", "b")],
    )
    plan.mark_task_completed("a", success=True)
    line = plan.get_all_dependencies()[0]
    assert line.is_satisfied()
    line.reset_satisfaction()
    assert (plan.tasks["b"].status, line.is_satisfied()) == (TaskStatus.SKIPPED, False)
    assert plan.validate_dag() == (True, [])


def test_what_is_noted_beside_a_link_is_nobody_elses_at_any_depth() -> None:
    given: dict[str, Any] = {"tags": ["night"], "by": {"who": "me"}}
    line = TaskStarLine("a", "b", metadata=given)
    more: dict[str, Any] = {"more": [1]}
    line.update_metadata(more)
    given["tags"].append("changed")
    more["more"].append(2)
    line.metadata["by"]["who"] = "changed"
    assert line.metadata == {"tags": ["night"], "by": {"who": "me"}, "more": [1]}


@pytest.mark.parametrize("setter", SETTERS)
def test_a_link_into_a_skipped_task_cannot_be_changed(setter: str) -> None:
    plan = TaskConstellation.build([TaskStar("a"), TaskStar("b")], [link(SUCCESS_ONLY)])
    plan.mark_task_completed("a", success=False)
    with pytest.raises(ImmutableError, match=r"of skipped task b: "):
        SETTERS[setter](plan.get_all_dependencies()[0])


@pytest.mark.parametrize("setter", SETTERS)
def test_changing_a_link_raises_the_revision_by_one(setter: str) -> None:
    plan = TaskConstellation.build([TaskStar("a"), TaskStar("b")], [link()])
    revision = plan.revision
    SETTERS[setter](plan.get_all_dependencies()[0])
    assert plan.revision == revision + 1


def test_a_link_from_an_ended_task_is_judged_again_when_its_type_changes() -> None:
    plan = TaskConstellation.build(
        [TaskStar("a"), TaskStar("b"), TaskStar("other")], [link(), TaskStarLine("other", "b")]
    )
    plan.mark_task_completed("a", success=False)
    line = plan.get_all_dependencies()[0]
    assert line.is_satisfied()
    line.dependency_type = SUCCESS_ONLY
    assert plan.tasks["b"].status is TaskStatus.SKIPPED
    assert plan.validate_dag() == (True, [])


def test_a_link_from_an_ended_task_that_stays_satisfied_leaves_its_target_ready() -> None:
    plan = TaskConstellation.build([TaskStar("a"), TaskStar("b")], [link()])
    plan.mark_task_completed("a", success=True)
    plan.get_all_dependencies()[0].dependency_type = SUCCESS_ONLY
    assert [task.task_id for task in plan.get_ready_tasks()] == ["b"]
    assert plan.validate_dag() == (True, [])


@pytest.mark.parametrize(
    ("condition", "said"),
    [
        ("exit_code == `0`", r"not a text: write Expression\('exit_code == `0`'\)$"),
        ("exit_code == 0", r"not a text; as an expression: .*numbers and other literals stand in back-ticks"),
        (5, r"a function, an Expression or None, not (int )?5$"),
    ],
)
def test_a_condition_that_cannot_be_called_is_refused_when_it_is_set(condition: Any, said: str) -> None:
    with pytest.raises(PlanError, match=said):
        link(CONDITIONAL, condition)
    with pytest.raises(PlanError, match=said):
        TaskStarLine.create_conditional("a", "b", "a condition", condition)
    free = link(CONDITIONAL)
    with pytest.raises(PlanError, match=said):
        free.condition_evaluator = condition
    assert free.condition_evaluator is None
