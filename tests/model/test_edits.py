"""Edits as values: what a transaction comes to, why it is refused, in which words, and how it is taken back."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import pytest

from galaxy_core.errors import EditConflictError, EditError, EditProblem
from galaxy_core.model import changes as changes_module
from galaxy_core.model.changes import Changes
from galaxy_core.model.condition import Expression
from galaxy_core.model.constellation import TaskConstellation
from galaxy_core.model.dependency import DependencyType, TaskStarLine
from galaxy_core.model.edits import (
    AddDependency,
    AddTask,
    Operation,
    RemoveDependency,
    RemoveTask,
    ReplacePlan,
    Transaction,
    UpdateDependency,
    UpdateTask,
)
from galaxy_core.model.policy import TaskPriority
from galaxy_core.model.request import Call, Command, Reference
from galaxy_core.model.result import TaskStatus
from galaxy_core.model.task import TaskStar

#: Nothing that an operation can be made of.
WRONG: Any = "a"
WRONG_ID: Any = 3
WRONG_LINK: Any = ("a",)
HIGH = {"priority": TaskPriority.HIGH}


def link(source: str, target: str, line_id: str | None = None, **said: Any) -> TaskStarLine:
    return TaskStarLine(source, target, line_id=line_id or f"{source}{target}", **said)


def chain() -> TaskConstellation:
    """a -> b -> c -> d, of which a has run."""
    plan = TaskConstellation.build(
        [TaskStar(task_id) for task_id in "abcd"],
        [link("a", "b"), link("b", "c"), link("c", "d")],
        constellation_id="chain",
    )
    plan.mark_task_completed("a", success=True)
    plan.track_edits()
    return plan


def check(plan: TaskConstellation, *operations: Operation, base: int | None = None) -> list[EditProblem]:
    return Changes(plan, Transaction(operations, base)).problems


def commit(plan: TaskConstellation, *operations: Operation) -> Transaction:
    return Changes(plan, Transaction(operations)).apply()


def only(plan: TaskConstellation, *operations: Operation, base: int | None = None) -> EditProblem:
    (problem,) = check(plan, *operations, base=base)
    return problem


def takes(*task_ids: str) -> Command:
    return Command(["cat", *map(Reference, task_ids)])


# ----------------------------------------------------------------------------------------------- why it is refused
@pytest.mark.parametrize(
    ("operation", "kind", "subject", "reason"),
    [
        (RemoveTask("bb"), "unknown", "bb", "there is no task 'bb'; did you mean 'b'?"),
        (RemoveTask("xyz"), "unknown", "xyz", "there is no task 'xyz'"),
        (UpdateTask("xyz", HIGH), "unknown", "xyz", "there is no task 'xyz'"),
        (AddDependency(link("xyz", "b")), "unknown", "xyz", "there is no prerequisite 'xyz'"),
        (AddDependency(link("b", "xyz")), "unknown", "xyz", "there is no task 'xyz'"),
        (RemoveDependency("xyz"), "unknown", "xyz", "there is no dependency 'xyz'"),
        (RemoveDependency(("b", "a")), "unknown", "b -> a", "there is no dependency b -> a"),
        (UpdateDependency("xyz", {}), "unknown", "xyz", "there is no dependency 'xyz'"),
        (AddTask(TaskStar("b")), "duplicate", "b", "there is a task 'b' already"),
        (AddDependency(link("b", "d", "bc")), "duplicate", "bc", "there is a dependency 'bc' already"),
        (
            RemoveTask("a"),
            "started",
            "a",
            "it cannot be taken out: task 'a' has started (completed), and what has started stays as it is",
        ),
        (
            UpdateTask("a", {"name": "it", "timeout": 3}),
            "started",
            "a",
            "name, timeout cannot be changed: task 'a' has started (completed), and what has started stays as it is",
        ),
        (
            AddDependency(link("b", "a")),
            "started",
            "a",
            "a dependency on 'b' cannot be added: task 'a' has started (completed), and what has started stays as it is",
        ),
        (AddDependency(link("d", "b")), "cycle", "b", "the plan would have a cycle: b -> c -> d -> b"),
        (AddDependency(link("c", "c")), "cycle", "c", "the plan would have a cycle: c -> c"),
        (UpdateTask("b", {"timeout": -1}), "invalid", "b", "task 'b': Timeout must be a positive number"),
        (
            UpdateTask("b", {"requires": "gpu"}),
            "invalid",
            "b",
            "task 'b': requires is a list of texts, not the text 'gpu'",
        ),
        (
            UpdateTask("b", {"request": "ls"}),
            "invalid",
            "b",
            "task 'b': request must be a Command, an Action, a Call or None, not 'ls'",
        ),
        (UpdateTask("b", {"effect": "some"}), "invalid", "b", "task 'b': effect must be an Effect, not 'some'"),
        (
            UpdateTask("b", {"request": Command([1])}),  # type: ignore[list-item]
            "invalid",
            "b",
            "task 'b': its command has 1 where a text or a reference is wanted",
        ),
        (
            AddTask(TaskStar("e", retry_count=-1, priority=2)),  # type: ignore[arg-type]
            "invalid",
            "e",
            "task 'e': Retry count must be a non-negative integer; Priority must be a TaskPriority enum value",
        ),
        (AddTask(TaskStar(" ")), "invalid", " ", "task ' ': its id is not a text that says something"),
        (
            UpdateDependency("bc", {"dependency_type": "success"}),
            "invalid",
            "bc",
            "dependency b -> c: its type is 'success', and no DependencyType",
        ),
        (
            UpdateDependency("bc", {"condition_evaluator": "status"}),
            "invalid",
            "bc",
            "dependency b -> c: its condition is 'status', which cannot be called",
        ),
        (
            UpdateTask("c", {"request": takes("a")}),
            "input",
            "c",
            "task 'c' takes stdout of task 'a' without waiting for it: it needs a dependency on 'a'",
        ),
        (
            AddTask(TaskStar("e", request=takes("f"))),
            "input",
            "e",
            "task 'e' takes stdout of task 'f' without waiting for it: there is no such task",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) and len(value) < 20 else "",
)
def test_a_refusal_says_of_what_kind_it_is_and_why(operation: Operation, kind: str, subject: str, reason: str) -> None:
    problem = only(chain(), UpdateTask("d", HIGH), operation)
    assert problem.to_dict() == {
        "kind": kind,
        "operation": 1,
        "subject": subject,
        "reason": reason,
        "is_conflict": False,
    }


def test_an_error_says_all_reasons_with_the_places_of_their_operations() -> None:
    plan = chain()
    before = plan.to_dict()
    transaction = Transaction([RemoveTask("xyz"), UpdateTask("b", HIGH), UpdateTask("a", HIGH)], description="tidy up")
    with pytest.raises(EditError) as caught:
        Changes(plan, transaction).apply()
    assert str(caught.value) == (
        "The edit 'tidy up' was refused, and nothing was changed: operation 0: there is no task 'xyz'; operation 2: "
        "priority cannot be changed: task 'a' has started (completed), and what has started stays as it is"
    )
    assert not isinstance(caught.value, EditConflictError)
    assert plan.to_dict() == before


@pytest.mark.parametrize(
    ("end", "standing"),
    [
        (lambda task: task.cancel(), "has ended (cancelled)"),
        (lambda task: task.start_execution(), "has started (running), and what has started stays as it is"),
    ],
)
def test_a_refusal_says_how_a_task_stands(end: Callable[[TaskStar], Any], standing: str) -> None:
    plan = chain()
    end(plan.tasks["b"])
    assert only(plan, RemoveDependency("ab")).reason == (
        f"dependency a -> b: it cannot be taken out: task 'b' {standing}"
    )


def test_a_task_between_two_attempts_has_started() -> None:
    plan = chain()
    commit(plan, UpdateTask("b", {"retry_count": 1}))
    plan.mark_task_completed("b", success=False)
    plan.tasks["b"].retry()
    assert only(plan, RemoveTask("b")).reason == (
        "it cannot be taken out: task 'b' has started (retried), and what has started stays as it is"
    )


def test_what_the_same_transaction_takes_out_is_gone() -> None:
    plan = chain()
    problems = check(
        plan, RemoveTask("c"), UpdateTask("c", HIGH), RemoveDependency("bc"), AddDependency(link("c", "d", "x"))
    )
    assert [problem.reason for problem in problems] == [
        "task 'c' is taken out by the same transaction",
        "dependency 'bc' is taken out by the same transaction",
        "prerequisite 'c' is taken out by the same transaction",
    ]


def test_what_could_not_be_added_is_not_told_of_again() -> None:
    plan = chain()
    wrong = AddTask(TaskStar("e", timeout=-1))
    assert only(plan, wrong, AddDependency(link("b", "e")), UpdateTask("e", HIGH)).operation == 0


def test_links_between_the_same_tasks_are_named_by_their_ids() -> None:
    plan = chain()
    commit(plan, AddDependency(link("b", "c", "second")))
    assert only(plan, RemoveDependency(("b", "c"))).reason == (
        "there are 2 dependencies b -> c: name one by its id ('bc', 'second')"
    )
    commit(plan, RemoveDependency("second"))
    assert list(plan.dependencies) == ["ab", "bc", "cd"]


def test_a_plan_is_replaced_alone_by_one_of_its_own_constellation() -> None:
    plan = chain()
    other = TaskConstellation.build([TaskStar("x")], [], constellation_id="other")
    assert only(plan, ReplacePlan(other)).reason == (
        "'other' is a plan of another constellation: not one of its tasks is in 'chain'"
    )
    assert only(plan, ReplacePlan(plan)).reason == "the plan cannot be replaced by itself: edit a copy of it"
    problem = check(plan, RemoveTask("d"), ReplacePlan(other))[-1]
    assert problem.reason == "replacing the plan excludes other operations in the same transaction"
    assert check(plan, ReplacePlan(TaskConstellation.build([TaskStar("x")], [], constellation_id="chain"))) == []
    assert check(plan, ReplacePlan(TaskConstellation.build([TaskStar("x")], [], constellation_id=""))) == []


def test_a_link_into_what_has_started_keeps_its_id() -> None:
    plan = chain()
    plan.tasks["b"].start_execution()
    said = TaskConstellation.build([TaskStar(name) for name in "bcd"], [link("c", "d", "ab")], constellation_id="chain")
    assert only(plan, ReplacePlan(said)).reason == "there is a dependency 'ab' already"


def test_a_cycle_is_one_of_the_plan_that_all_operations_lead_to() -> None:
    plan = chain()
    assert check(plan, RemoveDependency("bc"), AddDependency(link("c", "b"))) == []
    assert check(plan, AddDependency(link("c", "b", "x")), RemoveTask("c"), AddTask(TaskStar("c"))) == []
    through: list[Operation] = [AddTask(TaskStar("e")), AddTask(TaskStar("f")), AddDependency(link("e", "f"))]
    assert check(plan, *through, AddDependency(link("c", "e")), AddDependency(link("f", "d"))) == []
    assert only(plan, *through, AddDependency(link("d", "e")), AddDependency(link("f", "b"))).reason == (
        "the plan would have a cycle: f -> b -> c -> d -> e -> f"
    )
    assert only(plan, *through, AddDependency(link("f", "e", "x"))).operation == 3


def test_every_cycle_is_told_of_with_the_operation_that_closes_it() -> None:
    plan = chain()
    commit(plan, AddTask(TaskStar("e")), AddTask(TaskStar("f")), AddDependency(link("e", "f")))
    problems = check(plan, AddDependency(link("f", "e")), UpdateTask("d", HIGH), AddDependency(link("d", "b")))
    assert sorted((problem.operation, problem.reason.rpartition(": ")[2]) for problem in problems) in (
        [(0, "e -> f -> e"), (2, "b -> c -> d -> b")],
        [(0, "f -> e -> f"), (2, "b -> c -> d -> b")],
    )


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (
            lambda: UpdateTask("a", {"priorty": 1}),
            (
                "Changing a task was refused, and nothing was changed: a task has no field 'priorty'; did you mean "
                "'priority'?; what can be changed is 'name', 'description', 'tips', 'target_device_id', 'device_type', "
                "'priority', 'timeout', 'retry_count', 'task_data', 'expected_output_type', 'request', 'requires', "
                "'effect', 'retry', 'estimate_s'"
            ),
        ),
        (
            lambda: UpdateDependency("ab", {"kind": 1}),
            (
                "Changing a dependency was refused, and nothing was changed: a dependency has no field 'kind'; what can "
                "be changed is 'dependency_type', 'condition_description', 'condition_evaluator', 'metadata'"
            ),
        ),
        (lambda: RemoveTask(WRONG_ID), "a task is named by its id, a text, not by 3"),
        (
            lambda: RemoveDependency(WRONG_LINK),
            "a dependency is named by its id, or by the ids of its two tasks, not by ('a',)",
        ),
        (lambda: AddTask(WRONG), "a task is added as a TaskStar, not as 'a'"),
        (lambda: AddDependency(WRONG), "a dependency is added as a TaskStarLine, not as 'a'"),
        (lambda: ReplacePlan(WRONG), "a plan is replaced by a TaskConstellation, not by 'a'"),
        (lambda: Transaction([RemoveTask("a"), WRONG]), "operation 1: 'a' is no operation"),
    ],
)
def test_an_operation_that_cannot_be_is_refused_where_it_is_made(make: Callable[[], Any], reason: str) -> None:
    with pytest.raises(EditError) as caught:
        make()
    assert str(caught.value).endswith(reason)


# ----------------------------------------------------------------------------------------------- what others did
def test_a_base_revision_that_is_still_to_come_is_refused() -> None:
    plan = chain()
    problem = only(plan, RemoveTask("b"), base=7)
    assert (problem.kind, problem.operation, problem.is_conflict) == ("future", None, False)
    assert problem.reason == "it is based on revision 7, and the plan is at revision 1"


@pytest.mark.parametrize(
    ("theirs", "ours", "kind", "reason"),
    [
        (UpdateTask("c", HIGH), RemoveTask("c"), "changed", "task 'c' was edited by somebody else since revision 1"),
        (RemoveTask("c"), UpdateTask("c", HIGH), "unknown", "task 'c' was taken out since revision 1"),
        (RemoveTask("c"), RemoveDependency("bc"), "unknown", "dependency 'bc' was taken out since revision 1"),
        (RemoveTask("c"), AddTask(TaskStar("c")), "changed", "task 'c' was edited by somebody else since revision 1"),
        (
            RemoveTask("c"),
            AddDependency(link("c", "d", "x")),
            "unknown",
            "prerequisite 'c' was taken out since revision 1",
        ),
        (AddTask(TaskStar("e")), AddTask(TaskStar("e")), "duplicate", "there is a task 'e' already"),
        (
            RemoveDependency("cd"),
            AddDependency(link("b", "d", "cd")),
            "changed",
            "dependency 'cd' was edited by somebody else since revision 1",
        ),
        (
            RemoveDependency("bc"),
            RemoveDependency(("b", "c")),
            "unknown",
            "dependency b -> c was taken out since revision 1",
        ),
        (
            UpdateDependency("bc", {"metadata": {"by": "them"}}),
            RemoveDependency("bc"),
            "changed",
            "dependency b -> c was edited by somebody else since revision 1",
        ),
        (
            AddDependency(link("b", "d")),
            RemoveTask("d"),
            "changed",
            "dependency b -> d was edited by somebody else since revision 1",
        ),
        (
            AddDependency(link("b", "d")),
            AddDependency(link("c", "d", "bd")),
            "duplicate",
            "there is a dependency 'bd' already",
        ),
        (
            AddDependency(link("c", "d", "x")),
            RemoveDependency(("c", "d")),
            "unknown",
            "there are 2 dependencies c -> d: name one by its id ('cd', 'x')",
        ),
        (
            RemoveDependency("cd"),
            UpdateTask("d", {"request": takes("c")}),
            "input",
            "task 'd' takes stdout of task 'c' without waiting for it: it needs a dependency on 'c'",
        ),
        (
            UpdateTask("d", {"request": takes("c")}),
            RemoveDependency("cd"),
            "input",
            "task 'd' takes stdout of task 'c' without waiting for it: it needs a dependency on 'c'",
        ),
    ],
)
def test_what_somebody_else_has_edited_is_a_conflict(
    theirs: Operation, ours: Operation, kind: str, reason: str
) -> None:
    plan = chain()
    commit(plan, theirs)
    changes = Changes(plan, Transaction([ours], 1))
    (problem,) = changes.problems
    assert (problem.kind, problem.reason, problem.is_conflict) == (kind, reason, True)
    with pytest.raises(EditConflictError):
        changes.apply()
    assert not any(problem.is_conflict for problem in check(plan, ours, base=plan.revision))


def test_a_cycle_that_two_edits_close_together_is_a_conflict() -> None:
    plan = chain()
    plan.add_task(TaskStar("e"))
    base = plan.revision
    commit(plan, AddDependency(link("e", "b")))
    problem = only(plan, AddDependency(link("d", "e")), base=base)
    assert (problem.kind, problem.is_conflict) == ("cycle", True)
    assert not only(plan, AddDependency(link("d", "b")), base=base).is_conflict, "it would have been one before"


def test_a_plan_that_was_edited_elsewhere_is_no_conflict() -> None:
    plan = chain()
    commit(plan, UpdateTask("d", HIGH), AddTask(TaskStar("e")))
    plan.mark_task_completed("b", success=True)
    assert check(plan, UpdateTask("c", HIGH), AddTask(TaskStar("f")), RemoveDependency("bc"), base=1) == []


@pytest.mark.parametrize("edit", ["add_task", "remove_task", "add_dependency", "remove_dependency", "setter", "link"])
def test_edits_by_the_methods_of_the_plan_are_noticed_as_well(edit: str) -> None:
    plan = chain()
    edits: dict[str, tuple[Callable[[], object], Operation]] = {
        "add_task": (lambda: plan.add_task(TaskStar("e")), UpdateTask("e", HIGH)),
        "remove_task": (lambda: plan.remove_task("c"), RemoveDependency("cd")),
        "add_dependency": (lambda: plan.add_dependency(link("b", "d")), RemoveDependency(("b", "d"))),
        "remove_dependency": (lambda: plan.remove_dependency("bc"), RemoveDependency(("b", "c"))),
        "setter": (lambda: setattr(plan.tasks["c"], "name", "it"), UpdateTask("c", HIGH)),
        "link": (lambda: plan.dependencies["bc"].update_metadata({"a": 1}), RemoveDependency(("b", "c"))),
    }
    theirs, ours = edits[edit]
    base = plan.revision
    theirs()
    assert only(plan, ours, base=base).is_conflict


def test_without_a_record_everything_that_was_there_may_have_been_edited() -> None:
    plan = TaskConstellation.build([TaskStar("a"), TaskStar("b")], [], constellation_id="plan")
    plan.tasks["a"].name = "it"
    assert only(plan, UpdateTask("b", HIGH), base=1).kind == "changed"
    assert check(plan, AddTask(TaskStar("c")), base=1) == [], "what was never there was not"
    assert check(plan, UpdateTask("b", HIGH), base=2) == []
    plan.track_edits()
    commit(plan, UpdateTask("a", HIGH))
    assert check(plan, UpdateTask("b", HIGH), base=2) == []


def test_a_transaction_that_was_checked_before_the_plan_moved_is_not_made() -> None:
    plan = chain()
    first, second = (Changes(plan, Transaction([UpdateTask("b", HIGH)])) for _ in range(2))
    third = Changes(plan, Transaction([UpdateTask("c", HIGH)]))
    first.apply()
    with pytest.raises(EditConflictError, match="it was checked at revision 1, and the plan is at revision 2"):
        second.apply()
    with pytest.raises(EditConflictError):
        third.apply()
    fourth = Changes(plan, Transaction([AddDependency(link("a", "b", "x"))]))
    plan.tasks["b"].start_execution()
    with pytest.raises(EditConflictError, match=r"task 'b' has started \(running\) after the transaction was checked"):
        fourth.apply()
    assert list(plan.dependencies) == ["ab", "bc", "cd"]


# ----------------------------------------------------------------------------------------------- what it comes to
def test_all_operations_are_one_revision() -> None:
    plan = chain()
    commit(plan, AddTask(TaskStar("e")), AddDependency(link("d", "e")), UpdateTask("b", HIGH), RemoveTask("c"))
    assert plan.revision == 2
    assert list(plan.tasks) == ["a", "b", "d", "e"]
    assert list(plan.dependencies) == ["ab", "de"]
    assert [task.task_id for task in plan.get_ready_tasks()] == ["b", "d"]


@pytest.mark.parametrize(
    "operation",
    [
        UpdateTask("b", {}),
        UpdateTask(
            "b", {"priority": TaskPriority.MEDIUM, "timeout": None, "tips": [], "task_data": {}, "requires": []}
        ),
        UpdateTask("b", {"request": Command(["ls"]), "effect": "once", "estimate_s": 2, "target_device_id": None}),
        UpdateDependency("bc", {"metadata": {}, "condition_description": None}),
        UpdateDependency(("b", "c"), {"condition_evaluator": Expression("status")}),
    ],
)
def test_values_that_are_there_already_change_nothing(operation: Operation) -> None:
    plan = chain()
    commit(plan, UpdateTask("b", {"request": Command(["ls"]), "estimate_s": 2.0}))
    commit(plan, UpdateDependency("bc", {"condition_evaluator": Expression("status")}))
    plan.tasks["b"]._target_device_id = "chosen by a strategy"
    plan.tasks["b"]._pinned = False
    before = plan.to_dict()
    changes = Changes(
        plan, Transaction([UpdateTask("d", HIGH), UpdateTask("d", {"priority": TaskPriority.MEDIUM}), operation])
    )
    assert changes.is_empty
    assert changes.touched == []
    assert changes.apply().operations == ()
    assert plan.to_dict() == before


@pytest.mark.parametrize(
    ("now", "then"),
    [
        ({"task_data": {"on": 1}}, {"task_data": {"on": True}}),
        ({"task_data": {"on": [1]}}, {"task_data": {"on": [1.0]}}),
        ({"request": Command(["a"])}, {"request": Command(["a"], env={"A": "1"})}),
    ],
)
def test_data_that_a_device_would_tell_apart_is_a_change(now: dict[str, Any], then: dict[str, Any]) -> None:
    plan = chain()
    commit(plan, UpdateTask("b", now))
    assert not Changes(plan, Transaction([UpdateTask("b", then)])).is_empty


class Vague:
    """A value that cannot be compared, as arrays cannot."""

    def __eq__(self, other: object) -> bool:
        raise ValueError("it is neither")

    __hash__ = None  # type: ignore[assignment]


def test_a_value_that_cannot_be_compared_is_taken_for_a_change() -> None:
    plan, value = chain(), Vague()
    commit(plan, UpdateTask("b", {"task_data": {"it": value}}))
    assert Changes(plan, Transaction([UpdateTask("b", {"task_data": {"it": value}})])).is_empty
    assert not Changes(plan, Transaction([UpdateTask("b", {"task_data": {"it": Vague()}})])).is_empty


def test_a_value_that_stands_in_itself_is_compared() -> None:
    plan, loop = chain(), {"it": [1]}
    loop["it"].append(loop)  # type: ignore[arg-type]
    commit(plan, UpdateTask("b", {"task_data": loop}))
    assert Changes(plan, Transaction([UpdateTask("b", {"task_data": loop})])).is_empty


def test_an_operation_keeps_what_it_was_made_of() -> None:
    task, line, data, tips = TaskStar("e", task_data={"a": [1]}), link("b", "e"), {"a": [1]}, ["one"]
    new, update, join = AddTask(task), UpdateTask("b", {"task_data": data, "tips": tips}), AddDependency(line)
    change = UpdateDependency("bc", {"metadata": data})
    task.name, task.task_data = "changed", {"b": 2}
    line.dependency_type = DependencyType.SUCCESS_ONLY
    data["a"].append(2)
    tips.append("two")
    plan = chain()
    commit(plan, new, update, join, change)
    assert (plan.tasks["e"].name, plan.tasks["e"].task_data) == ("task_e", {"a": [1]})
    assert (plan.tasks["b"].task_data, plan.tasks["b"].tips) == ({"a": [1]}, ["one"])
    assert plan.dependencies["be"].dependency_type is DependencyType.UNCONDITIONAL
    assert plan.dependencies["bc"].metadata == {"a": [1]}
    with pytest.raises(TypeError):
        update.changes["tips"] = []  # type: ignore[index]


def test_a_transaction_can_be_made_of_several_plans_and_again() -> None:
    transaction = Transaction([AddTask(TaskStar("e")), AddDependency(link("d", "e"))])
    for plan in (chain(), chain()):
        Changes(plan, transaction).apply()
        plan.tasks["e"].name = "changed"
        plan.dependencies["de"].dependency_type = DependencyType.SUCCESS_ONLY
    plan = chain()
    undo = Changes(plan, transaction).apply()
    assert plan.tasks["e"].name == "task_e"
    Changes(plan, undo).apply()
    Changes(plan, transaction).apply()
    assert plan.dependencies["de"].dependency_type is DependencyType.UNCONDITIONAL


def test_a_task_that_is_taken_out_and_added_anew_is_another_one() -> None:
    plan = chain()
    old = plan.tasks["c"]
    undo = commit(plan, RemoveTask("c"), AddTask(TaskStar("c", "new")), AddDependency(link("c", "d")))
    assert (plan.tasks["c"].name, plan.tasks["c"] is old, old._owner) == ("new", False, None)
    assert list(plan.dependencies) == ["ab", "cd"]
    Changes(plan, undo).apply()
    assert plan.tasks["c"].name == "task_c"
    assert sorted(plan.dependencies) == ["ab", "bc", "cd"]


@pytest.mark.parametrize(
    "operations",
    [
        [UpdateTask("c", HIGH), RemoveTask("c")],
        [UpdateDependency("bc", {"metadata": {"a": 1}}), RemoveTask("c")],
        [UpdateDependency("cd", {"metadata": {"a": 1}}), RemoveDependency("cd"), RemoveTask("c")],
        [AddDependency(link("b", "c", "x")), AddDependency(link("c", "d", "y")), RemoveTask("c")],
        [AddTask(TaskStar("e")), AddDependency(link("c", "e")), RemoveTask("e"), RemoveTask("c")],
        [RemoveTask("c"), AddTask(TaskStar("c")), AddDependency(link("c", "d", "y")), RemoveTask("c")],
    ],
)
def test_what_is_taken_out_in_the_end_was_never_changed(operations: list[Operation]) -> None:
    plan = chain()
    undo = commit(plan, *operations)
    assert (list(plan.tasks), list(plan.dependencies), plan.revision) == (["a", "b", "d"], ["ab"], 2)
    assert plan.validate_dag() == (True, [])
    Changes(plan, undo).apply()
    assert (sorted(plan.tasks), sorted(plan.dependencies)) == (["a", "b", "c", "d"], ["ab", "bc", "cd"])
    assert plan.dependencies["bc"].metadata == {}


class Ear:
    """Somebody who listens to a plan."""

    def __init__(self, plan: TaskConstellation) -> None:
        self.heard: list[str] = []
        plan._listener = self

    def task_changed(self, task: TaskStar) -> None:
        self.heard.append(f"{task.task_id} changed")

    def task_ended(self, task: TaskStar, ready: Sequence[TaskStar], skipped: Sequence[TaskStar]) -> None:
        self.heard.append(f"{task.task_id} ended")

    def withholds(self, task: TaskStar, status: TaskStatus) -> bool:
        return False

    def task_freed(self, ready: Sequence[TaskStar], skipped: Sequence[TaskStar]) -> None:
        self.heard += [f"{task.task_id} freed" for task in ready] + [f"{task.task_id} skipped" for task in skipped]

    def task_removed(self, task: TaskStar) -> None:
        self.heard.append(f"{task.task_id} removed")


def test_a_link_that_is_changed_is_judged_anew() -> None:
    plan = TaskConstellation.build([TaskStar(task_id) for task_id in "abc"], [link("a", "b"), link("b", "c")])
    plan.mark_task_completed("a", success=False)
    plan.tasks["a"]._updated_at = plan._updated_at = 0.0
    before = plan.tasks["b"].updated_at
    ear = Ear(plan)
    commit(plan, UpdateDependency("ab", {"condition_description": "in other words"}))
    assert (ear.heard, plan.tasks["b"].status) == ([], "pending")
    commit(plan, UpdateDependency("ab", {"dependency_type": DependencyType.SUCCESS_ONLY}), UpdateTask("b", HIGH))
    assert ear.heard == ["c freed", "b skipped"]
    assert plan.tasks["b"].status == "skipped"
    assert plan.tasks["b"].updated_at >= before


def test_who_listens_hears_once_and_when_all_is_done() -> None:
    plan = chain()
    ear = Ear(plan)
    commit(
        plan,
        UpdateTask("b", HIGH),
        RemoveTask("c"),
        AddTask(TaskStar("e")),
        AddTask(TaskStar("f")),
        AddDependency(link("e", "f")),
        UpdateTask("d", HIGH),
    )
    assert ear.heard == ["c removed", "b changed", "d changed", "d freed", "e freed"]


def test_a_link_from_a_task_that_has_failed_decides_when_all_else_is_done() -> None:
    plan = chain()
    plan.mark_task_completed("b", success=False)
    assert plan.tasks["c"].status == "pending"
    undo = commit(
        plan,
        AddDependency(link("b", "d", "new", dependency_type=DependencyType.SUCCESS_ONLY)),
        UpdateDependency("new", {"dependency_type": DependencyType.UNCONDITIONAL}),
        AddDependency(link("b", "c", "other", dependency_type=DependencyType.SUCCESS_ONLY)),
        UpdateTask("c", HIGH),
    )
    assert plan.tasks["c"].status == "skipped"
    assert plan.tasks["c"].updated_at >= plan.tasks["c"].created_at
    assert plan.tasks["d"].status is TaskStatus.PENDING
    assert [task.task_id for task in plan.get_ready_tasks()] == ["d"]
    problems = Changes(plan, undo).problems
    assert {(problem.kind, problem.subject) for problem in problems} == {("started", "c")}
    assert problems[0].reason.endswith("task 'c' has ended (skipped)")


def test_what_is_skipped_already_takes_nothing_from_what_is_taken_out() -> None:
    plan = TaskConstellation.build(
        [TaskStar("a"), TaskStar("b"), TaskStar("c", request=takes("b"))],
        [link("a", "c", dependency_type=DependencyType.SUCCESS_ONLY), link("b", "c")],
    )
    plan.mark_task_completed("a", success=False)
    assert plan.tasks["c"].status is TaskStatus.SKIPPED
    undo = commit(plan, RemoveTask("b"))
    assert list(plan.dependencies) == ["ac"]
    Changes(plan, undo).apply()
    assert (sorted(plan.tasks), list(plan.dependencies)) == (["a", "b", "c"], ["ac"])


def test_an_edit_answers_only_for_the_inputs_that_it_loses_itself() -> None:
    plan = TaskConstellation.build([TaskStar("a"), TaskStar("b", request=takes("a"))], [])
    assert check(plan, UpdateTask("b", HIGH), AddTask(TaskStar("c")), AddDependency(link("c", "b"))) == []
    commit(plan, AddDependency(link("a", "b")))
    assert only(plan, UpdateTask("b", HIGH), RemoveTask("a")).operation == 1
    assert check(plan, RemoveTask("a"), UpdateTask("b", {"request": None})) == []
    assert check(plan, RemoveDependency("ab"), AddDependency(link("a", "b", "other"))) == []


def test_a_call_can_be_edited_in() -> None:
    plan = chain()
    commit(plan, UpdateTask("b", {"request": Call(print, (Reference("a"),))}))
    assert only(plan, RemoveDependency("ab")).kind == "input"


def test_a_pin_is_said_and_a_choice_of_a_strategy_is_not() -> None:
    plan = chain()
    plan.tasks["b"]._target_device_id, plan.tasks["b"]._pinned = "chosen", False
    undo = commit(plan, UpdateTask("b", {"target_device_id": "chosen"}))
    assert plan.tasks["b"].is_pinned
    Changes(plan, undo).apply()
    assert (plan.tasks["b"].target_device_id, plan.tasks["b"].is_pinned) == (None, False)


# ----------------------------------------------------------------------------------------------- a whole plan
def test_a_plan_without_ids_of_links_is_matched_by_their_ends() -> None:
    plan = chain()
    tasks = [TaskStar(task_id) for task_id in "abcde"]
    lines = [TaskStarLine("a", "b"), TaskStarLine("b", "c", DependencyType.SUCCESS_ONLY), TaskStarLine("d", "e")]
    changes = Changes(plan, Transaction([ReplacePlan(TaskConstellation.build(tasks, lines, constellation_id="chain"))]))
    assert list(changes.new_tasks) == ["e"]
    assert list(changes.updated_lines) == ["bc"]
    assert list(changes.removed_lines) == ["cd"]
    assert [(line.from_task_id, line.to_task_id) for line in changes.new_lines.values()] == [("d", "e")]


def test_a_plan_that_comes_late_overwrites_no_progress() -> None:
    plan = chain()
    said = TaskConstellation.build(
        [TaskStar("b", "new b"), TaskStar("c", "new c")], [link("b", "c", "new")], constellation_id="chain"
    )
    plan.mark_task_completed("b", success=True, result="kept")
    commit(plan, ReplacePlan(said))
    assert list(plan.tasks) == ["a", "b", "c"]
    assert (plan.tasks["b"].name, plan.tasks["b"].result) == ("task_b", "kept")
    assert plan.tasks["c"].name == "new c"
    assert list(plan.dependencies) == ["ab", "bc"]


def test_a_plan_based_on_an_old_revision_undoes_nobodys_edit() -> None:
    plan = chain()
    old = TaskConstellation.from_dict(plan.to_dict())
    commit(plan, AddTask(TaskStar("e")), RemoveTask("d"), UpdateTask("c", HIGH))
    problems = check(plan, ReplacePlan(old), base=1)
    assert {(problem.kind, problem.subject, problem.is_conflict) for problem in problems} >= {
        ("changed", "e", True),
        ("changed", "d", True),
        ("changed", "c", True),
    }


# ----------------------------------------------------------------------------------------------- many at once
class Counted(dict[str, TaskStar]):
    """The tasks of a plan, and how often somebody has gone through all of them."""

    walks = 0

    def __iter__(self) -> Iterator[str]:
        type(self).walks += 1
        return super().__iter__()


def test_ten_thousand_unknown_ids_on_a_large_plan_are_told_of_in_few_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    plan = TaskConstellation.build([TaskStar(f"task {number}") for number in range(100_000)], [])
    walks: list[str] = []

    def nearest(name: str, known: Iterable[str]) -> tuple[str]:
        walks.append(name)
        return ("near",)

    monkeypatch.setattr(changes_module, "nearest", nearest)
    plan._tasks = Counted(plan._tasks)
    changes = Changes(plan, Transaction([RemoveTask(f"task {number} x") for number in range(10_000)]))
    assert len(changes.problems) == 10_000
    assert changes.problems[0].reason == "there is no task 'task 0 x'; did you mean 'near'?"
    assert changes.problems[9999].reason == "there is no task 'task 9999 x'"
    assert (len(walks), Counted.walks) == (5, 0)
    assert str(changes.refused()).endswith("; and 9980 more")


def test_ten_thousand_operations_at_once_are_one_edit() -> None:
    count = 2000
    plan = TaskConstellation.build(
        [TaskStar(f"t{number}") for number in range(count)],
        [link(f"t{number}", f"t{number + 1}", f"l{number}") for number in range(count - 1)],
    )
    before = set(plan.dependencies)
    operations: list[Operation] = [AddTask(TaskStar(f"n{number}")) for number in range(count)]
    operations += [AddDependency(link(f"t{number}", f"n{number}")) for number in range(count)]
    operations += [AddDependency(link(f"n{number}", f"t{number + 1}")) for number in range(count - 1)]
    operations += [RemoveDependency((f"t{number}", f"t{number + 1}")) for number in range(count - 1)]
    operations += [UpdateTask(f"n{number}", HIGH) for number in range(count)]
    operations += [RemoveTask("n0"), RemoveTask("t1")]
    undo = commit(plan, *operations)
    assert plan.revision == 2
    assert (plan.task_count, plan.dependency_count) == (2 * count - 2, 2 * count - 1 - 3)
    assert plan.validate_dag() == (True, [])
    Changes(plan, undo).apply()
    assert set(plan.dependencies) == before
    assert plan.task_count == count


def test_links_against_the_order_of_a_wide_plan_are_searched_from_the_side_where_there_is_less() -> None:
    width = 3000
    plan = TaskConstellation.build(
        [TaskStar("first"), *(TaskStar(f"t{number}") for number in range(width)), TaskStar("last")],
        [link("first", f"t{number}") for number in range(width)],
    )
    looked_at = set()
    placed = plan._tasks

    class Watched(dict[str, TaskStar]):
        def get(self, key: str, default: Any = None) -> Any:
            looked_at.add(key)
            return placed.get(key, default)

    plan._tasks = Watched(placed)
    assert check(plan, AddDependency(link("last", "first")), AddDependency(link("t0", "t1", "x"))) == []
    assert len(looked_at) < 20


# ----------------------------------------------------------------------------------------------- words
def test_operations_and_transactions_say_what_they_are() -> None:
    operations: list[Operation] = [
        AddTask(TaskStar("a")),
        RemoveTask("a"),
        UpdateTask("a", HIGH),
        AddDependency(link("a", "b")),
        RemoveDependency("ab"),
        UpdateDependency(("a", "b"), {}),
        ReplacePlan(TaskConstellation("other")),
    ]
    assert [str(operation) for operation in operations] == [
        "Add task: a",
        "Remove task: a",
        "Update task: a",
        "Add dependency: a -> b",
        "Remove dependency: ab",
        "Update dependency: a -> b",
        "Replace the plan by other",
    ]
    assert str(Transaction(operations[:1])) == "Add task: a"
    assert str(Transaction(operations)) == "7 operations"
    assert str(Transaction(operations, description="tidy up")) == "tidy up"


def test_the_inverse_says_what_it_takes_back_and_is_based_on_what_it_found() -> None:
    plan = chain()
    undo = Changes(plan, Transaction([RemoveTask("c")], description="tidy up", author="me")).apply()
    assert (str(undo), undo.author, undo.base_revision) == ("Undo: tidy up", "me", 2)
    plan.tasks["d"].name = "elsewhere"
    assert Changes(plan, undo).problems == []
    plan.add_task(TaskStar("c"))
    assert [(problem.kind, problem.is_conflict) for problem in Changes(plan, undo).problems] == [("duplicate", True)]


def test_a_transaction_without_some_operations_is_based_on_another_revision() -> None:
    transaction = Transaction([RemoveTask("a"), RemoveTask("b"), RemoveTask("c")], 1, "tidy up", "me")
    assert transaction.without([0, 2], 5) == Transaction([RemoveTask("b")], 5, "tidy up", "me")
