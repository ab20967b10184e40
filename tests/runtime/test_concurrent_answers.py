"""Plans that answer ends of tasks, while others edit the same plan: nobody takes back what he has not seen."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest

from galaxy_core import ConstellationEvent, EventType, TaskConstellation, TaskStar

from .editing import Study, new, study
from .fakes import plan

pytestmark = pytest.mark.anyio


async def answer(
    house: Study, proposed: TaskConstellation | None, *task_ids: str, by: str = "agent", **data: Any
) -> None:
    about = {"on_task_id": list(task_ids), "new_constellation": proposed, **data}
    await house.bus.publish_event(
        ConstellationEvent(EventType.CONSTELLATION_MODIFIED, by, 0.0, about, "c1", "executing")
    )


def refusals(house: Study) -> list[tuple[list[str], str]]:
    return [(one.data["on_task_id"], one.data["reason"]) for one in house.recorder.of(EventType.MODIFICATION_REFUSED)]


@asynccontextmanager
async def to_answer(constellation: TaskConstellation) -> AsyncIterator[Study]:
    """A run in which `a` and `b` have ended, and an editor is to answer that; it is over afterwards."""
    async with study() as house:
        with house.synchronizer.editor("c1"):
            async with house.running(constellation):
                await anyio.sleep(2)
                yield house


def running_plan() -> TaskConstellation:
    return plan("a b c", "a>c b>c", "c1")


async def test_a_plan_that_does_not_know_of_somebody_elses_task_does_not_take_it_out() -> None:
    constellation = running_plan()
    async with to_answer(constellation) as house:
        proposed = plan("a b c d", "a>c b>c", "c1")
        constellation.add_task(new("x"))
        await answer(house, proposed, "a", "b")
        await anyio.sleep(2)
        await answer(house, None, "c", "x")
    assert [task_ids for task_ids, _ in refusals(house)] == [["a", "b"]]
    assert "task 'x' was edited by somebody else since revision" in refusals(house)[0][1]
    assert [data["problems"][0]["subject"] for _, data in house.edits(EventType.EDIT_CONFLICTED)] == ["x"]
    assert set(constellation.tasks) == {"a", "b", "c", "x"}
    assert constellation.tasks["x"].status == "completed"


async def test_who_says_which_revision_it_has_seen_may_take_out_what_it_saw() -> None:
    constellation = running_plan()
    async with to_answer(constellation) as house:
        constellation.add_task(new("x"))
        await answer(house, running_plan(), "a", "b", base_revision=constellation.revision)
        await anyio.sleep(2)
        await answer(house, None, "c")
    assert refusals(house) == []
    assert set(constellation.tasks) == {"a", "b", "c"}


async def test_the_next_answer_of_the_same_editor_builds_on_its_last() -> None:
    constellation = running_plan()
    async with to_answer(constellation) as house:
        await answer(house, plan("a b c d", "a>c b>c d>c", "c1"), "a")
        await answer(house, plan("a b c e", "a>c b>c e>c", "c1"), "b")
        await anyio.sleep(2)
        await answer(house, None, "e")
        await anyio.sleep(2)
        await answer(house, None, "c")
    assert refusals(house) == []
    assert set(constellation.tasks) == {"a", "b", "c", "e"}


async def test_of_two_editors_the_second_does_not_undo_the_first() -> None:
    constellation = running_plan()
    async with to_answer(constellation) as house:
        await answer(house, plan("a b c d", "a>c b>c d>c", "c1"), "a", by="first")
        await answer(house, plan("a b c e", "a>c b>c e>c", "c1"), "b", by="second")
        await anyio.sleep(2)
        await answer(house, None, "d")
        await anyio.sleep(2)
        await answer(house, None, "c")
    assert [task_ids for task_ids, _ in refusals(house)] == [["b"]]
    assert set(constellation.tasks) == {"a", "b", "c", "d"}


async def test_plans_that_touch_different_things_of_different_times_both_count() -> None:
    constellation = plan("a b c later", "a>c b>c c>later", "c1")
    async with to_answer(constellation) as house:
        constellation.tasks["later"].description = "said by hand"
        proposed = plan("a b c later", "a>c b>c c>later", "c1")
        proposed.tasks["later"].description = "said by hand"
        proposed.tasks["c"].description = "said by the agent"
        await answer(house, proposed, "a", "b")
        for task_id in ("c", "later"):
            await anyio.sleep(2)
            await answer(house, None, task_id)
    assert refusals(house) == []
    assert [constellation.tasks[task_id].description for task_id in ("c", "later")] == [
        "said by the agent",
        "said by hand",
    ]


@pytest.mark.parametrize("rubbish", ["7", 1.5, True, [1]])
async def test_a_base_revision_that_is_none_is_refused_with_the_reason(rubbish: Any) -> None:
    constellation = running_plan()
    async with to_answer(constellation) as house:
        proposed = running_plan()
        proposed.add_task(TaskStar("d"))
        await answer(house, proposed, "a", "b", base_revision=rubbish)
        await anyio.sleep(2)
        await answer(house, None, "c")
    ((_, reason),) = refusals(house)
    assert reason == f"its base_revision is {rubbish!r}; wanted is a whole number"
    assert set(constellation.tasks) == {"a", "b", "c"}


@pytest.mark.parametrize("rubbish", [7, [7], [["a"]], {"a": 1}, b"a"])
async def test_an_answer_to_ends_that_are_none_is_refused_with_the_reason(rubbish: Any) -> None:
    constellation = running_plan()
    async with to_answer(constellation) as house:
        await answer(house, None, on_task_id=rubbish)
        assert sorted(house.synchronizer.get_pending_task_ids()) == ["a", "b"]
        await answer(house, None, "a", "b")
        await anyio.sleep(2)
        await answer(house, None, "c")
    what = f"its on_task_id is {rubbish!r}; wanted are ids of tasks, so nothing is completed by it"
    assert refusals(house) == [([], what)]


async def test_a_base_revision_from_the_future_is_refused() -> None:
    constellation = running_plan()
    async with to_answer(constellation) as house:
        proposed = running_plan()
        proposed.add_task(TaskStar("d"))
        await answer(house, proposed, "a", "b", base_revision=1000)
        await anyio.sleep(2)
        await answer(house, None, "c")
    assert "revision 1000" in refusals(house)[0][1]


async def test_an_answer_that_changes_nothing_makes_what_others_did_nobodys_own() -> None:
    constellation = running_plan()
    async with to_answer(constellation) as house:
        base = constellation.revision
        constellation.add_task(new("x"))
        seen = plan("a b c x", "a>c b>c", "c1")
        seen.tasks["x"].description = constellation.tasks["x"].description
        await answer(house, seen, "a", base_revision=constellation.revision)
        await answer(house, running_plan(), "b", base_revision=base)
        await anyio.sleep(2)
        await answer(house, None, "c", "x")
    assert [task_ids for task_ids, _ in refusals(house)] == [["b"]]
    assert "x" in constellation.tasks


async def test_what_lies_under_an_answer_of_its_own_is_somebody_elses_still() -> None:
    constellation = running_plan()
    async with to_answer(constellation) as house:
        base = constellation.revision
        constellation.tasks["c"].description = "said by hand"
        seen = running_plan()
        seen.tasks["c"].description = "said by hand, and by the agent"
        await answer(house, seen, "a", base_revision=constellation.revision)
        await answer(house, running_plan(), "b", base_revision=base)
        await anyio.sleep(2)
        await answer(house, None, "c")
    assert [task_ids for task_ids, _ in refusals(house)] == [["b"]]
    assert constellation.tasks["c"].description == "said by hand, and by the agent"


async def test_an_answer_may_be_about_the_plan_as_it_was_when_its_run_started() -> None:
    constellation = running_plan()
    async with study() as house:
        with house.synchronizer.editor("c1"):
            async with house.running(constellation):
                base = constellation.revision
                constellation.remove_task("c")
                await anyio.sleep(2)
                await answer(house, running_plan(), "a", "b", base_revision=base)
    assert "task 'c' was edited by somebody else since revision" in refusals(house)[0][1]
    assert set(constellation.tasks) == {"a", "b"}
