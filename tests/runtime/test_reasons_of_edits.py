"""Edits that the devices of a run could never run: told with everything else that is wrong, and by previews, too."""

from __future__ import annotations

from typing import Any

import pytest

from galaxy_core import AddTask, EditError, TaskStar, Transaction, UpdateTask
from galaxy_core.model.edits import Operation
from galaxy_core.model.edits_file import transaction_from_dict

from .editing import new, study
from .fakes import plan

pytestmark = pytest.mark.anyio

ALL_WRONG = {
    "operations": [
        {"add_task": {"id": "c1", "run": ["x"], "needs": ["c2"]}},
        {"add_task": {"id": "c2", "run": ["x"], "needs": ["c1"]}},
        {"update_task": {"id": "nxt", "priority": "high"}},
        {"add_task": {"id": "q", "run": ["x"], "device": "moon"}},
    ]
}


async def test_all_reasons_are_told_at_once_each_with_its_place_in_the_document() -> None:
    async with study() as house:
        constellation = plan("a next", "a>next", "c1")
        async with house.running(constellation):
            edit = transaction_from_dict(ALL_WRONG)
            with pytest.raises(EditError) as caught:
                await house.synchronizer.commit(edit, "c1")
            seen = house.synchronizer.preview(edit, "c1").problems
    told = caught.value.problems
    assert {(one.operation, one.kind, one.subject) for one in told} == {
        (1, "cycle", "c1"),
        (2, "unknown", "nxt"),
        (3, "invalid", "q"),
    }
    assert seen == told


async def test_a_draft_knows_what_the_devices_could_never_run() -> None:
    async with study() as house, house.running(plan("a b", "a>b", "c1")):
        draft = house.synchronizer.edit("c1")
        draft.add_task(new("x")).add_task(TaskStar("y", target_device_id="moon"))
        (problem,) = draft.problems()
        assert (problem.operation, problem.subject) == (1, "y")
        assert "moon" in problem.reason
        draft.discard()


async def test_a_device_is_not_told_of_when_the_change_that_would_have_mended_it_was_refused() -> None:
    async with study() as house, house.running(plan("a b", "a>b", "c1")):
        batch: list[Operation] = [
            AddTask(TaskStar("y", target_device_id="moon")),
            UpdateTask("y", {"target_device_id": None, "timeout": -1}),
        ]
        with pytest.raises(EditError) as caught:
            await house.synchronizer.commit(Transaction(batch), "c1")
    assert [problem.operation for problem in caught.value.problems] == [1]


async def test_previews_of_a_plan_that_runs_count_the_slots_of_its_devices() -> None:
    async with study(slots=2) as house:
        constellation = plan("a " + " ".join(f"t{n}" for n in range(8)), " ".join(f"a>t{n}" for n in range(8)), "c1")
        edit = Transaction([AddTask(TaskStar("x", estimate_s=3))])
        async with house.running(constellation):
            seen = house.synchronizer.preview(edit, "c1")
            async with house.synchronizer.edit("c1") as draft:
                draft.add(*edit.operations)
                drafted = draft.preview()
                draft.discard()
        assert (seen.slots, seen.before.lower_bound_s, seen.after.lower_bound_s) == (2, 4.5, 6)
        assert (drafted.slots, drafted.after) == (seen.slots, seen.after)
        house.orchestrator.manager.register_constellation(other := plan("a b", "a>b", "c2"))
        assert (house.synchronizer.preview(edit, "c2").slots, other.task_count) == (None, 2)


@pytest.mark.parametrize("rubbish", ["1", 1.5, True, [1]])
def test_a_base_revision_that_is_none_is_refused_where_the_transaction_is_made(rubbish: Any) -> None:
    with pytest.raises(EditError, match="a base revision is a whole number"):
        Transaction([], base_revision=rubbish)


@pytest.mark.parametrize("rubbish", [None, "x", [UpdateTask("b", {"timeout": 3})]])
async def test_what_is_no_transaction_is_refused_as_an_edit_is(rubbish: Any) -> None:
    async with study() as house, house.running(plan("a b", "a>b", "c1")):
        with pytest.raises(EditError, match="an edit is a Transaction"):
            await house.synchronizer.commit(rubbish)
        with pytest.raises(EditError, match="an edit is a Transaction"):
            house.synchronizer.preview(rubbish)
        with pytest.raises(EditError, match="what is undone is a Committed"):
            await house.synchronizer.undo(rubbish)


async def test_what_is_no_operation_does_not_get_into_a_draft() -> None:
    rubbish: Any = "junk"
    async with study() as house:
        constellation = plan("a b", "a>b", "c1")
        async with house.running(constellation), house.synchronizer.edit("c1") as draft:
            with pytest.raises(EditError, match="'junk' is no operation"):
                draft.add(AddTask(new("x")), rubbish)
            draft.add_task(new("y"))
        assert list(constellation.tasks) == ["a", "b", "y"]


async def test_a_text_is_no_list_of_ids_to_draft_around() -> None:
    async with study() as house, house.running(plan("a b", "a>b", "c1")):
        with pytest.raises(ValueError, match="not the text 'ab'"):
            house.synchronizer.edit("c1", around="ab")
