"""Which reasons a refused edit gives: all of them, none that follows from another, each where its author wrote it."""

from __future__ import annotations

from typing import Any

import pytest

from galaxy_core.errors import DocumentError, EditConflictError
from galaxy_core.model.changes import Changes
from galaxy_core.model.constellation import TaskConstellation
from galaxy_core.model.dependency import DependencyType, TaskStarLine
from galaxy_core.model.edits import (
    AddDependency,
    AddTask,
    Operation,
    RemoveDependency,
    RemoveTask,
    Transaction,
    UpdateTask,
)
from galaxy_core.model.edits_fields import transaction_to_dict
from galaxy_core.model.edits_file import transaction_from_dict
from galaxy_core.model.request import Command, Reference
from galaxy_core.model.task import TaskStar

C1 = {"add_task": {"id": "c1", "run": ["x"], "needs": ["c2"]}}
C2 = {"add_task": {"id": "c2", "run": ["x"], "needs": ["c1"]}}


def plan(*ids: str, links: str = "") -> TaskConstellation:
    """Tasks of these ids, with links such as ``a>b``, called ``a>b``."""
    ends = [(*link.split(">"), link) for link in links.split()]
    lines = [TaskStarLine(source, target, DependencyType.SUCCESS_ONLY, line_id=link) for source, target, link in ends]
    return TaskConstellation.build([TaskStar(task_id) for task_id in ids], lines)


def read(*entries: Any) -> Transaction:
    return transaction_from_dict({"operations": list(entries)})


def reasons(live: TaskConstellation, edit: Transaction) -> list[tuple[int | None, str, str]]:
    """Of each problem the operation, the kind and the subject."""
    return [(problem.operation, problem.kind, problem.subject) for problem in Changes(live, edit).problems]


def kinds(live: TaskConstellation, *operations: Operation) -> list[tuple[int | None, str]]:
    return [(problem.operation, problem.kind) for problem in Changes(live, Transaction(operations)).problems]


def takes(task_id: str) -> Command:
    return Command(["cat", Reference(task_id)])


# ----------------------------------------------------------------------------------------------- where
def test_a_problem_names_the_entry_of_the_document_whose_needs_are_to_blame() -> None:
    assert reasons(plan("a"), read(C1, C2)) == [(1, "cycle", "c1")]
    taking = {"add_task": {"id": "g", "run": ["cat", {"from": "zz"}]}}
    assert reasons(plan("a"), read(taking)) == [(0, "unknown", "zz")]
    assert reasons(plan("a"), read({"remove_task": "a"}, taking)) == [(1, "unknown", "zz")]


def test_what_is_left_of_a_document_still_names_its_own_entries() -> None:
    edit = read(C1, {"remove_task": "no"}, C2)
    assert edit.places == (0, 1, 2, 0, 2)
    left = edit.without([1])
    assert (len(left.operations), left.places) == (4, (0, 2, 0, 2))
    assert reasons(plan("a"), left) == [(2, "cycle", "c1")]
    assert edit.without([0]).places == (1, 2, 2)


def test_operations_in_the_order_of_their_document_need_no_places() -> None:
    edit = read({"remove_task": "a"}, {"remove_task": "b"})
    assert edit.places == ()
    assert [edit.place_of(index) for index in range(2)] == [0, 1]
    assert edit == Transaction(edit.operations, places=[7, 8])
    with pytest.raises(ValueError, match="1 places for 2 operations"):
        Transaction(edit.operations, places=(0,))


def test_what_cannot_be_written_down_is_named_by_its_place_too() -> None:
    edit = Transaction([AddTask(TaskStar("a", task_data={"x": {1}}))], places=(4,))
    with pytest.raises(Exception, match="operation 4: ") as caught:
        transaction_to_dict(edit)
    assert "cannot be written down" in str(caught.value)


# ----------------------------------------------------------------------------------------------- all of them
def test_a_cycle_is_told_beside_operations_that_cannot_be() -> None:
    edit = read(C1, C2, {"update_task": {"id": "nxt", "priority": "high"}})
    assert reasons(plan("next"), edit) == [(2, "unknown", "nxt"), (1, "cycle", "c1")]


def test_a_missing_input_is_told_beside_operations_that_cannot_be() -> None:
    assert kinds(plan("a", "b"), RemoveTask("no"), UpdateTask("b", {"request": takes("a")})) == [
        (0, "unknown"),
        (1, "input"),
    ]


@pytest.mark.parametrize(
    ("operations", "told"),
    [
        # The prerequisite was not added.
        ([AddTask(TaskStar("a")), AddTask(TaskStar("x", request=takes("a")))], [(0, "duplicate")]),
        # The link was not added.
        (
            [UpdateTask("d", {"request": takes("a")}), AddDependency(TaskStarLine("a", "d", line_id="a>b"))],
            [(1, "duplicate")],
        ),
        # The task would not have taken it any more.
        ([RemoveDependency("b>c"), UpdateTask("c", {"request": None, "timeout": -1})], [(1, "invalid")]),
        # The link that is turned round was not taken out.
        ([RemoveDependency(("a", "b")), AddDependency(TaskStarLine("b", "a"))], [(0, "started")]),
        # The task that the way leads over was not taken out.
        ([RemoveTask("b"), AddDependency(TaskStarLine("c", "a2"))], [(0, "started")]),
    ],
    ids=["source", "link", "request", "turned", "removed"],
)
def test_what_follows_from_a_refused_operation_is_not_told(
    operations: list[Operation], told: list[tuple[int, str]]
) -> None:
    live = plan("a", "a2", "b", "c", "d", links="a>b a2>b b>c")
    if (0, "started") in told:
        live.mark_task_completed("a", success=True)
        live.mark_task_completed("a2", success=True)
        live.tasks["b"].start_execution()
    else:
        live.tasks["c"].request = takes("b")
    found = kinds(live, *operations)
    assert [one for one in found if one[1] in ("cycle", "input")] == []
    assert set(told) <= set(found)


# ----------------------------------------------------------------------------------------------- the same twice
SAME = {"add_dependency": {"from": "a", "to": "b"}}


def test_a_link_that_is_there_already_is_refused_with_its_id() -> None:
    (problem,) = Changes(plan("a", "b", links="a>b"), read(SAME)).problems
    assert (problem.kind, problem.operation) == ("duplicate", 0)
    assert problem.reason == "there is the same dependency a -> b already: as 'a>b'"


def test_a_link_that_is_added_twice_is_refused_once() -> None:
    (problem,) = Changes(plan("a", "b"), read(SAME, SAME)).problems
    assert (problem.kind, problem.operation) == ("duplicate", 1)
    assert problem.reason == "there is the same dependency a -> b already: the same transaction adds it"
    needing = {"add_task": {"id": "x", "run": ["x"], "needs": ["a"]}}
    (problem,) = Changes(plan("a"), read(needing, {"add_dependency": {"from": "a", "to": "x"}})).problems
    assert (problem.kind, problem.operation) == ("duplicate", 0)


@pytest.mark.parametrize(
    "other",
    [
        {"from": "a", "to": "b", "on": "completion"},
        {"from": "a", "to": "b", "when": "exit_code == `1`"},
        {"from": "a", "to": "b", "id": "another"},
    ],
)
def test_a_second_link_that_says_something_else_or_has_an_id_of_its_own_may_be(other: Any) -> None:
    assert reasons(plan("a", "b", links="a>b"), read({"add_dependency": other})) == []


def test_a_link_that_takes_the_place_of_the_same_one_may_be() -> None:
    edit = read({"remove_dependency": {"from": "a", "to": "b"}}, SAME)
    assert reasons(plan("a", "b", links="a>b"), edit) == []


# ----------------------------------------------------------------------------------------------- old revisions
def test_a_base_that_is_older_than_the_plan_remembers_blames_nobody() -> None:
    live = plan("a", "b")
    live.track_edits()
    changes = Changes(live, Transaction([RemoveTask("a")], base_revision=0))
    (problem,) = changes.problems
    assert isinstance(changes.refused(), EditConflictError)
    assert "somebody" not in problem.reason
    assert "the plan does not remember what was edited since revision 0; it is at revision 1" in problem.reason


def test_what_somebody_has_edited_is_said_to_be() -> None:
    live = plan("a", "b")
    live.track_edits()
    base = live.revision
    Changes(live, Transaction([UpdateTask("a", {"timeout": 3})])).apply()
    (problem,) = Changes(live, Transaction([RemoveTask("a")], base_revision=base)).problems
    assert problem.reason == f"task 'a' was edited by somebody else since revision {base}"


# ----------------------------------------------------------------------------------------------- nothing to do
@pytest.mark.parametrize("key", ["run", "shell", "action"])
def test_a_task_cannot_be_left_with_nothing_to_do(key: str) -> None:
    with pytest.raises(DocumentError) as caught:
        read({"update_task": {"id": "a", key: None}})
    ((path, _, text),) = caught.value.problems
    assert path == f"operations[0].update_task.{key}"
    assert text.startswith("the task would have nothing to do: give it another of 'run', 'shell', 'action'")


def test_a_task_may_be_given_a_description_in_place_of_a_request() -> None:
    (operation,) = read({"update_task": {"id": "a", "run": None, "description": "look around"}}).operations
    assert isinstance(operation, UpdateTask)
    assert dict(operation.changes) == {"request": None, "description": "look around"}


def test_a_key_that_there_is_not_cannot_be_cleared() -> None:
    with pytest.raises(DocumentError, match=r"operations\[0\].update_task.changes: unknown key 'changes'"):
        read({"update_task": {"id": "a", "changes": None}})
