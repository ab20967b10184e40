"""Edits that the devices of a run could never run: told with everything else that is wrong, and by previews, too."""

from __future__ import annotations

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
