"""What happens when an edit takes too long: by three policies, for each kind of editor, and never in silence."""

from __future__ import annotations

from typing import Any

import anyio
import pytest

from galaxy_core import EditError, EventType, hookimpl
from galaxy_core.testing.fakes import takes

from .editing import Study, kinds, new, statuses, study
from .fakes import plan

pytestmark = pytest.mark.anyio


async def draft_for(house: Study, seconds: float, errors: list[EditError]) -> None:
    """Edit for so long, and note how the commit failed."""
    try:
        async with house.synchronizer.edit("c1", timeout=5) as draft:
            draft.remove_task("b")
            await anyio.sleep(seconds)
    except EditError as error:
        errors.append(error)


class TestDrafts:
    async def test_by_default_the_run_proceeds_and_the_late_edit_is_refused(self) -> None:
        async with study() as house:
            constellation, errors = plan("a b c", "a>b b>c", "c1"), list[EditError]()
            house.transport.script("c", takes(10))
            async with house.running(constellation) as results:
                await draft_for(house, 9, errors)
            assert house.starts() == {"a": 0, "b": 5, "c": 6}
            assert results[0]["status"] == "completed"
            assert kinds(errors[0].problems) == [("over", "")]
            assert "took longer than 5 s" in str(errors[0])
            assert house.synchronizer.get_statistics()["timeout_modifications"] == 1
            assert house.synchronizer.edit_statistics()["timed_out"] == 1
        ((_, told),) = house.edits(EventType.EDIT_TIMED_OUT)
        assert (told["policy"], told["constellation_id"]) == ("proceed", "c1")

    async def test_hold_waits_for_as_long_as_it_takes_and_says_so_once(self) -> None:
        async with study() as house:
            house.synchronizer.set_timeout_policy("hold")
            constellation, errors = plan("a b c", "a>b b>c", "c1"), list[EditError]()
            async with house.running(constellation) as results:
                await draft_for(house, 5_000, errors)
            assert (errors, results[0]["status"], house.starts()) == ([], "completed", {"a": 0, "c": 5_000})
            assert house.synchronizer.get_statistics()["timeout_modifications"] == 1
        assert [told["policy"] for _, told in house.edits(EventType.EDIT_TIMED_OUT)] == ["hold"]

    async def test_fail_ends_the_run_as_failed(self) -> None:
        async with study() as house:
            house.synchronizer.set_timeout_policy("fail")
            constellation, errors = plan("a b c", "a>b b>c", "c1"), list[EditError]()
            async with house.running(constellation) as results:
                await draft_for(house, 9, errors)
            assert (results[0]["status"], len(errors)) == ("failed", 1)
            assert "took longer than 5 s" in results[0]["error"]
            assert statuses(constellation) == {"a": "completed", "b": "cancelled", "c": "cancelled"}
            assert house.slots_are_free()
        (ended,) = house.recorder.of(EventType.CONSTELLATION_FAILED)
        assert ended.constellation_state == "failed"
        assert [told["policy"] for _, told in house.edits(EventType.EDIT_TIMED_OUT)] == ["fail"]

    @pytest.mark.parametrize("policy", ["proceed", "hold", "fail"])
    async def test_two_that_are_late_at_once_are_both_told_of(self, policy: Any) -> None:
        async with study() as house:
            house.synchronizer.set_timeout_policy(policy)
            constellation, errors = plan("a b", "a>b", "c1"), list[EditError]()
            async with house.running(constellation) as results, anyio.create_task_group() as group:
                group.start_soon(draft_for, house, 9, errors)
                group.start_soon(draft_for, house, 9, errors)
            assert len(results) == 1
            assert house.synchronizer.get_statistics()["timeout_modifications"] == 2
            assert house.synchronizer.desk.is_idle
            assert len(errors) == (1 if policy == "hold" else 2)
        assert [told["policy"] for _, told in house.edits(EventType.EDIT_TIMED_OUT)] == [policy, policy]

    async def test_of_two_drafts_each_has_its_own_time(self) -> None:
        async with study() as house:
            constellation = plan("a b c", "a>b a>c", "c1")
            async with house.running(constellation):
                one, other = house.synchronizer.edit("c1", timeout=5), house.synchronizer.edit("c1", timeout=8)
                with pytest.raises(EditError):
                    async with one:
                        one.update_task("b", description="one")
                        async with other:
                            other.update_task("c", description="other")
                            await anyio.sleep(7)
            assert house.starts() == {"a": 0, "b": 5, "c": 7}
            assert constellation.tasks["c"].task_description == "other"

    async def test_the_default_time_is_that_of_modifications(self) -> None:
        async with study() as house:
            house.synchronizer.set_modification_timeout(30)
            async with house.running(plan("a", constellation_id="c1")):
                with pytest.raises(EditError, match="longer than 30 s"):
                    async with house.synchronizer.edit("c1") as draft:
                        draft.add_task(new("x"))
                        await anyio.sleep(31)

    async def test_a_policy_that_fails_one_run_leaves_the_others_alone(self) -> None:
        async with study() as house:
            house.synchronizer.set_timeout_policy("fail")
            one, other, errors = plan("a b", "a>b", "c1"), plan("x y", "x>y", "c2"), list[EditError]()
            house.transport.script("y", takes(20))
            async with house.running(one, other) as results:
                await draft_for(house, 9, errors)
            assert [result["status"] for result in results] == ["failed", "completed"]


class Slow:
    def __init__(self, takes_s: float) -> None:
        self.takes_s = takes_s

    @hookimpl
    async def galaxy_propose_edit(self, ended: Any) -> None:
        await anyio.sleep(self.takes_s)


class TestModificationsAndProposals:
    """What is pending is an answer by an event, or that of a plugin; both are due after five seconds."""

    async def play(self, by: str, policy: Any) -> tuple[Study, dict[str, Any]]:
        async with study(*([Slow(12)] if by == "plugin" else [])) as house:
            house.synchronizer.set_modification_timeout(5)
            house.synchronizer.set_timeout_policy(policy)
            if by == "event":
                house.synchronizer.add_editor("c1")
            async with house.running(plan("a b", "a>b", "c1")) as results:
                if by == "event":
                    await anyio.sleep(13)
                    house.synchronizer.remove_editor("c1")
            assert house.slots_are_free()
            return house, results[0]

    @pytest.mark.parametrize("by", ["event", "plugin"])
    async def test_proceeding(self, by: str) -> None:
        house, result = await self.play(by, "proceed")
        assert (result["status"], house.starts()) == ("completed", {"a": 0, "b": 6})
        self.is_told(house, [["a"], ["b"]], "proceed")

    @pytest.mark.parametrize("by", ["event", "plugin"])
    async def test_holding(self, by: str) -> None:
        house, result = await self.play(by, "hold")
        assert (result["status"], house.starts()) == ("completed", {"a": 0, "b": 13})
        self.is_told(house, [["a"], ["b"]] if by == "plugin" else [["a"]], "hold")

    @pytest.mark.parametrize("by", ["event", "plugin"])
    async def test_failing(self, by: str) -> None:
        house, result = await self.play(by, "fail")
        assert (result["status"], house.starts()) == ("failed", {"a": 0})
        assert "within 5 s" in result["error"]
        self.is_told(house, [["a"]], "fail")

    def is_told(self, house: Study, task_ids: list[list[str]], policy: str) -> None:
        told = [event.data for event in house.recorder.of(EventType.MODIFICATION_TIMED_OUT)]
        assert [data["on_task_id"] for data in told] == task_ids
        assert {data["policy"] for data in told} == {policy}
        assert house.synchronizer.get_statistics()["timeout_modifications"] == len(task_ids)
