"""Drafts: what an edit of a running plan sees, holds, commits and loses, whatever becomes of its author."""

from __future__ import annotations

from typing import Any, ClassVar

import anyio
import pytest

from galaxy_core import (
    AddDependency,
    AddTask,
    Completed,
    EditConflictError,
    EditError,
    Event,
    EventType,
    RemoveTask,
    TaskConstellation,
    TaskPriority,
    Transaction,
    UpdateTask,
    hookimpl,
)
from galaxy_core.testing.fakes import takes

from .editing import Study, kinds, new, statuses, study
from .fakes import link, plan, until

pytestmark = pytest.mark.anyio


class TestCommitting:
    async def test_what_a_draft_adds_is_seen_whole_and_runs(self) -> None:
        async with study() as house:
            constellation = plan("a b", "a>b", "c1")
            async with house.running(constellation) as results:
                before = constellation.revision
                async with house.synchronizer.edit("c1") as draft:
                    draft.add_task(new("x")).add_dependency(link("a>x")).add_dependency(link("x>b"))
                    await anyio.sleep(0.5)
                    assert "x" not in constellation.tasks
                assert (constellation.revision, draft.committed and draft.committed.revision) == (before + 1,) * 2
            assert house.starts() == {"a": 0, "x": 1, "b": 2}
            assert (results[0]["status"], list(results[0]["results"])) == ("completed", ["a", "b", "x"])

    async def test_one_operation_that_cannot_be_refuses_all_of_them(self) -> None:
        async with study() as house:
            constellation = plan("a b", "a>b", "c1")
            async with house.running(constellation):
                before = constellation.to_dict()
                with pytest.raises(EditError) as caught:
                    async with house.synchronizer.edit("c1") as draft:
                        draft.add_task(new("x")).remove_task("nobody").update_task("a", priority=TaskPriority.HIGH)
                assert kinds(caught.value.problems) == [("unknown", "nobody"), ("started", "a")]
                assert constellation.to_dict() == before
            assert statuses(constellation) == {"a": "completed", "b": "completed"}

    async def test_a_draft_sees_the_plan_as_it_was_and_may_play_with_it(self) -> None:
        async with study() as house:
            constellation = plan("a b", "a>b", "c1")
            async with house.running(constellation):
                async with house.synchronizer.edit("c1") as draft:
                    seen = draft.plan
                    await anyio.sleep(3)
                    assert (draft.plan is seen, statuses(seen)) == (True, {"a": "running", "b": "pending"})
                    seen.remove_task("b")
                assert statuses(constellation) == {"a": "completed", "b": "completed"}

    async def test_a_draft_may_replace_the_plan_by_the_copy_that_it_saw(self) -> None:
        async with study() as house:
            constellation = plan("a b c", "a>b b>c", "c1")
            async with house.running(constellation), house.synchronizer.edit("c1") as draft:
                wanted = draft.plan
                wanted.remove_task("b")
                wanted.add_task(new("x"))
                draft.replace(wanted)
            assert house.starts() == {"a": 0, "x": 0, "c": 0}

    async def test_what_progresses_elsewhere_is_no_conflict(self) -> None:
        async with study() as house:
            constellation = plan("a b c d", "a>b c>d", "c1")
            house.transport.script("c", takes(10))
            async with house.running(constellation), house.synchronizer.edit("c1") as draft:
                draft.update_task("d", priority=TaskPriority.HIGH)
                await anyio.sleep(5)
            assert constellation.tasks["d"].priority is TaskPriority.HIGH
            assert house.starts() == {"a": 0, "c": 0, "b": 1, "d": 10}

    async def test_ten_thousand_operations_take_effect_at_once(self) -> None:
        async with study() as house:
            constellation = plan("a", constellation_id="c1")
            house.transport.default = Completed()
            house.transport.script("a", takes(1))
            async with house.running(constellation) as results:
                async with house.synchronizer.edit("c1", hold="all") as draft:
                    draft.add(*(AddTask(new(f"x{number}")) for number in range(5_000)))
                    draft.add(*(AddDependency(link(f"x{number}>x{number + 1}")) for number in range(4_999)))
                    draft.add(AddDependency(link("a>x0")))
                assert constellation.revision == draft.base_revision + 1
            assert (results[0]["status"], results[0]["total_tasks"]) == ("completed", 5_001)

    async def test_the_revision_is_raised_once_by_each_commit_and_not_by_an_empty_one(self) -> None:
        async with study() as house:
            constellation = plan("a b", "a>b", "c1")
            async with house.running(constellation):
                before = constellation.revision
                async with house.synchronizer.edit("c1"):
                    pass
                assert constellation.revision == before
                for number in range(3):
                    async with house.synchronizer.edit("c1") as draft:
                        draft.add_task(new(f"x{number}")).add_task(new(f"y{number}"))
                assert constellation.revision == before + 3


class TestAuthors:
    async def test_one_who_raises_commits_nothing_and_holds_nothing_any_more(self) -> None:
        async with study() as house:
            constellation = plan("a b", "a>b", "c1")
            async with house.running(constellation):
                with pytest.raises(LookupError):
                    async with house.synchronizer.edit("c1") as draft:
                        draft.remove_task("b")
                        await anyio.sleep(4)
                        raise LookupError
            assert house.starts() == {"a": 0, "b": 4}

    async def test_one_who_is_cancelled_half_way_commits_nothing_and_holds_nothing_any_more(self) -> None:
        async with study() as house:
            constellation = plan("a b", "a>b", "c1")
            async with house.running(constellation):
                with anyio.move_on_after(4):
                    async with house.synchronizer.edit("c1") as draft:
                        draft.remove_task("b")
                        await anyio.sleep_forever()
            assert house.starts() == {"a": 0, "b": 4}

    async def test_one_who_never_answers_is_given_up_and_the_run_goes_on(self) -> None:
        async with study() as house:
            constellation = plan("a b", "a>b", "c1")
            async with anyio.create_task_group() as group:

                async def think() -> None:
                    async with house.synchronizer.edit("c1", timeout=7) as draft:
                        draft.remove_task("b")
                        await anyio.sleep_forever()

                async with house.running(constellation) as results:
                    group.start_soon(think)
                group.cancel_scope.cancel()
            assert house.starts() == {"a": 0, "b": 7}
            assert results[0]["status"] == "completed"
            assert house.synchronizer.edit_statistics()["timed_out"] == 1

    async def test_one_who_answers_after_the_run_has_ended_is_refused(self) -> None:
        async with study() as house:
            constellation = plan("a", constellation_id="c1")
            async with anyio.create_task_group() as group:
                errors: list[EditError] = []

                async def late() -> None:
                    with pytest.raises(EditError) as caught:
                        async with house.synchronizer.edit("c1", hold="none") as draft:
                            draft.add_task(new("x"))
                            await anyio.sleep(50)
                    errors.append(caught.value)

                async with house.running(constellation) as results:
                    group.start_soon(late)
            assert kinds(errors[0].problems) == [("over", "")]
            assert "run of 'c1' is over" in str(errors[0])
            assert list(results[0]["results"]) == ["a"]
            assert list(constellation.tasks) == ["a"]

    async def test_one_who_discards_the_draft_changes_nothing(self) -> None:
        async with study() as house:
            constellation = plan("a b", "a>b", "c1")
            async with house.running(constellation), house.synchronizer.edit("c1") as draft:
                draft.remove_task("b")
                draft.discard()
                with pytest.raises(EditError, match="discarded"):
                    draft.add_task(new("x"))
            assert list(constellation.tasks) == ["a", "b"]

    async def test_one_who_commits_early_can_add_nothing_afterwards(self) -> None:
        async with study() as house:
            constellation = plan("a b", "a>b", "c1")
            async with house.running(constellation), house.synchronizer.edit("c1") as draft:
                draft.remove_task("b")
                await draft.commit()
                with pytest.raises(EditError, match="committed"):
                    draft.add_task(new("x"))
            assert house.synchronizer.edit_statistics() == {
                "opened": 1,
                "committed": 1,
                "refused": 0,
                "conflicted": 0,
                "timed_out": 0,
                "undone": 0,
            }


class TestConflicts:
    async def test_of_two_drafts_that_touch_the_same_task_the_second_is_refused(self) -> None:
        async with study() as house:
            constellation = plan("a b", "a>b", "c1")
            async with house.running(constellation):
                first, second = house.synchronizer.edit("c1"), house.synchronizer.edit("c1")
                async with first:
                    first.update_task("b", description="first")
                with pytest.raises(EditConflictError) as caught:
                    async with second:
                        second.add_task(new("x")).update_task("b", description="second")
                (problem,) = caught.value.problems
                assert (problem.kind, problem.subject, problem.operation, problem.is_conflict) == (
                    "changed",
                    "b",
                    1,
                    True,
                )
                assert (constellation.tasks["b"].task_description, "x" in constellation.tasks) == ("first", False)

    async def test_of_two_drafts_that_touch_different_tasks_both_take_effect(self) -> None:
        async with study() as house:
            constellation = plan("a b c", "a>b a>c", "c1")
            async with house.running(constellation):
                async with house.synchronizer.edit("c1") as first, house.synchronizer.edit("c1") as second:
                    first.remove_task("b")
                    second.remove_task("c")
                assert list(constellation.tasks) == ["a"]

    async def test_rebasing_keeps_what_still_fits(self) -> None:
        async with study() as house:
            constellation = plan("a b c", "a>b a>c", "c1")
            async with house.running(constellation), house.synchronizer.edit("c1") as draft:
                draft.update_task("b", description="mine").remove_task("c").add_task(new("x"))
                await house.synchronizer.commit(Transaction([RemoveTask("c")]), "c1")
                with pytest.raises(EditConflictError):
                    await draft.commit()
                assert kinds(draft.rebase()) == [("unknown", "c")]
                await draft.commit()
                assert constellation.tasks["b"].task_description == "mine"
                assert list(constellation.tasks) == ["a", "b", "x"]

    @pytest.mark.parametrize("arrow", ["c>x", "x>c"])
    @pytest.mark.parametrize("at_once", [True, False])
    async def test_a_link_to_a_task_whose_id_another_one_has_by_now_is_a_conflict(
        self, arrow: str, at_once: bool
    ) -> None:
        async with study() as house:
            constellation = plan("a c x", "a>c a>x", "c1")
            async with house.running(constellation):
                with pytest.raises(EditConflictError, match=r"'x' was taken out since revision .*, and another one"):
                    async with house.synchronizer.edit("c1", hold="all") as draft:
                        draft.add_dependency(link(arrow))
                        if at_once:
                            await house.synchronizer.commit(
                                Transaction([RemoveTask("x"), AddTask(new("x")), AddDependency(link("a>x"))]), "c1"
                            )
                        else:
                            constellation.remove_task("x")
                            constellation.add_task(new("x"))
                assert len(constellation.dependencies) == 1 + at_once

    async def test_a_link_to_a_task_that_somebody_else_has_changed_is_none(self) -> None:
        async with study() as house:
            constellation = plan("a c x", "a>c a>x", "c1")
            async with house.running(constellation):
                async with house.synchronizer.edit("c1", hold="all") as draft:
                    draft.add_dependency(link("c>x"))
                    constellation.tasks["x"].description = "said anew"
                assert len(constellation.dependencies) == 3

    async def test_a_cycle_that_two_drafts_would_close_together_is_refused_to_the_second(self) -> None:
        async with study() as house:
            constellation = plan("a b c", "a>b a>c", "c1")
            async with house.running(constellation):
                first, second = house.synchronizer.edit("c1"), house.synchronizer.edit("c1")
                async with first:
                    first.add_dependency(link("b>c"))
                with pytest.raises(EditConflictError, match="cycle") as caught:
                    async with second:
                        second.add_dependency(link("c>b"))
                assert [problem.kind for problem in caught.value.problems] == ["cycle"]
            assert house.starts() == {"a": 0, "b": 1, "c": 2}

    async def test_rebasing_drops_the_link_that_closes_a_cycle(self) -> None:
        async with study() as house:
            constellation = plan("a b c", "a>b a>c", "c1")
            async with house.running(constellation), house.synchronizer.edit("c1") as draft:
                draft.add_task(new("x")).add_dependency(link("c>b"))
                await house.synchronizer.commit(Transaction([AddDependency(link("b>c"))]), "c1")
                assert [problem.kind for problem in draft.rebase()] == ["cycle"]
            assert set(constellation.tasks) == {"a", "b", "c", "x"}
            assert house.starts() == {"a": 0, "x": 0, "b": 1, "c": 2}

    async def test_what_has_started_meanwhile_is_a_conflict_that_names_it(self) -> None:
        async with study() as house:
            constellation = plan("a b", "a>b", "c1")
            async with house.running(constellation):
                with pytest.raises(EditConflictError) as caught:
                    async with house.synchronizer.edit("c1", hold="none") as draft:
                        await anyio.sleep(1.5)
                        draft.remove_task("b")
                assert kinds(caught.value.problems) == [("started", "b")]
            assert statuses(constellation) == {"a": "completed", "b": "completed"}

    async def test_an_id_that_is_used_again_after_removal_is_another_task(self) -> None:
        async with study() as house:
            constellation = plan("a b", "a>b", "c1")
            async with house.running(constellation):
                async with house.synchronizer.edit("c1") as stale:
                    stale.update_task("b", description="of the old one")
                    async with house.synchronizer.edit("c1") as draft:
                        draft.remove_task("b")
                    async with house.synchronizer.edit("c1") as draft:
                        draft.add_task(new("b", priority=TaskPriority.HIGH)).add_dependency(link("a>b"))
                    with pytest.raises(EditConflictError):
                        await stale.commit()
                    stale.discard()
                assert constellation.tasks["b"].task_description == "do b"
            assert house.starts() == {"a": 0, "b": 1}

    async def test_one_transaction_may_replace_a_task_by_another_of_its_id(self) -> None:
        async with study() as house:
            constellation = plan("a b", "a>b", "c1")
            async with house.running(constellation):
                async with house.synchronizer.edit("c1") as draft:
                    draft.remove_task("b").add_task(new("b", priority=TaskPriority.HIGH)).add_dependency(link("a>b"))
                assert constellation.tasks["b"].priority is TaskPriority.HIGH
            assert house.starts() == {"a": 0, "b": 1}


class TestBadTransactions:
    async def test_a_revision_from_the_future_is_refused(self) -> None:
        async with study() as house:
            constellation = plan("a b", "a>b", "c1")
            async with house.running(constellation):
                ahead = Transaction([RemoveTask("b")], constellation.revision + 1)
                with pytest.raises(EditError) as caught:
                    await house.synchronizer.commit(ahead, "c1")
                assert [problem.kind for problem in caught.value.problems] == ["future"]
            assert house.starts() == {"a": 0, "b": 1}

    async def test_an_unknown_run_is_refused_with_those_there_are(self) -> None:
        async with study() as house:
            constellation = plan("a", constellation_id="c1")
            async with house.running(constellation):
                for refused in (
                    lambda: house.synchronizer.edit("c2"),
                    lambda: house.synchronizer.preview(Transaction([]), "c2"),
                ):
                    with pytest.raises(EditError, match="'c2' neither runs nor is registered; there is: 'c1'"):
                        refused()
                with pytest.raises(EditError):
                    await house.synchronizer.commit(Transaction([]), "c2")

    async def test_the_only_run_needs_no_name_and_of_two_one_has_to_be_named(self) -> None:
        async with study() as house:
            with pytest.raises(EditError):
                house.synchronizer.edit()
            one, two = plan("a", constellation_id="c1"), plan("a", constellation_id="c2")
            async with house.running(one):
                assert house.synchronizer.edit().constellation_id == "c1"
            async with house.running(plan("a", constellation_id="c3"), two):
                with pytest.raises(EditError):
                    house.synchronizer.edit()

    @pytest.mark.parametrize("task_id", ["a", "b", "z", "gone"])
    async def test_operations_on_what_cannot_be_changed_any_more_are_refused(self, task_id: str) -> None:
        async with study() as house:
            constellation = plan("a b c gone", "a>b b>c a>gone", "c1")
            async with house.running(constellation) as results:
                constellation.remove_task("gone")
                await until(lambda: constellation.tasks["b"].status.value == "running")
                for operation in (RemoveTask(task_id), UpdateTask(task_id, {"name": "new"})):
                    with pytest.raises(EditError) as caught:
                        await house.synchronizer.commit(Transaction([operation]), "c1")
                    expected = "started" if task_id in constellation.tasks else "unknown"
                    assert kinds(caught.value.problems) == [(expected, task_id)]
            assert results[0]["status"] == "completed"


class TestHolding:
    async def footprint_of(self, house: Study, **options: Any) -> dict[str, float]:
        """When the tasks of two branches start while one is edited from 0 s to 10 s: b at 1 s, if it may."""
        constellation = plan("a b c x y z", "a>b b>c x>y y>z", "c1")
        async with house.running(constellation), house.synchronizer.edit("c1", **options) as draft:
            draft.update_task("c", description="new")
            await anyio.sleep(10)
        return house.starts()

    async def test_a_footprint_holds_what_is_touched_and_nothing_else(self) -> None:
        async with study() as house:
            assert await self.footprint_of(house) == {"a": 0, "x": 0, "b": 1, "y": 1, "z": 2, "c": 10}

    async def test_all_holds_everything_that_has_not_started(self) -> None:
        async with study() as house:
            starts = await self.footprint_of(house, hold="all")
            assert starts == {"a": 0, "x": 0, "b": 10, "y": 10, "z": 11, "c": 11}

    async def test_none_holds_nothing(self) -> None:
        async with study() as house:
            constellation = plan("a b", "a>b", "c1")
            async with house.running(constellation), house.synchronizer.edit("c1", hold="none") as draft:
                draft.add_task(new("x")).add_dependency(link("b>x"))
                await anyio.sleep(1.5)
            assert house.starts() == {"a": 0, "b": 1, "x": 2}

    async def test_what_could_start_because_of_a_task_named_by_around_is_held(self) -> None:
        async with study() as house:
            constellation = plan("a b c x y", "a>b b>c x>y", "c1")
            async with house.running(constellation), house.synchronizer.edit("c1", around=["a"]):
                await anyio.sleep(10)
            assert house.starts() == {"a": 0, "x": 0, "y": 1, "b": 10, "c": 11}

    async def test_what_is_queued_for_a_slot_is_held_and_gives_its_turn_away(self) -> None:
        async with study(slots=1) as house:
            constellation = plan("a b c", constellation_id="c1")
            async with house.running(constellation), house.synchronizer.edit("c1") as draft:
                draft.update_task("b", description="new")
                await anyio.sleep(10)
            assert house.starts() == {"a": 0, "c": 1, "b": 10}

    async def test_a_task_that_is_tried_again_is_held_like_any_other(self) -> None:
        async with study() as house:
            constellation = TaskConstellation("c1")
            constellation.add_task(new("a", retry_count=1))
            constellation.add_task(new("b"))
            house.transport.script("a", takes(1, RuntimeError("no")), takes(1))
            async with house.running(constellation) as results, house.synchronizer.edit("c1", hold="all"):
                await anyio.sleep(70)
            assert house.starts() == {"a": 70, "b": 0}
            assert results[0]["results"]["a"].attempts == 2

    async def test_two_drafts_hold_until_both_are_over(self) -> None:
        async with study() as house:
            constellation = plan("a b", "a>b", "c1")
            async with house.running(constellation), house.synchronizer.edit("c1", around=["a"]):
                async with house.synchronizer.edit("c1", hold="all"):
                    await anyio.sleep(5)
                await anyio.sleep(5)
            assert house.starts() == {"a": 0, "b": 10}

    async def test_a_draft_of_one_plan_holds_nothing_of_another(self) -> None:
        async with study() as house:
            one, two = plan("a b", "a>b", "c1"), plan("x y", "x>y", "c2")
            async with house.running(one, two), house.synchronizer.edit("c1", hold="all"):
                await anyio.sleep(10)
            assert house.starts() == {"a": 0, "x": 0, "y": 1, "b": 10}

    async def test_what_an_edit_cuts_off_from_the_edited_branch_starts_at_once(self) -> None:
        async with study() as house:
            constellation = plan("a b", "a>b", "c1")
            async with house.running(constellation), house.synchronizer.edit("c1", around=["a"]):
                await anyio.sleep(3)
                for line in constellation.get_all_dependencies():
                    constellation.remove_dependency(line.line_id)
                await anyio.sleep(7)
            assert house.starts() == {"a": 0, "b": 3}


class TestEndsOfRuns:
    async def test_a_run_waits_for_a_draft_that_holds_something(self) -> None:
        async with study() as house:
            constellation = plan("a", constellation_id="c1")
            async with house.running(constellation) as results, house.synchronizer.edit("c1") as draft:
                await anyio.sleep(10)
                assert not results
                draft.add_task(new("x"))
            assert (house.starts(), list(results[0]["results"])) == ({"a": 0, "x": 10}, ["a", "x"])

    async def test_a_run_does_not_wait_for_a_draft_that_holds_nothing(self) -> None:
        async with study() as house:
            constellation = plan("a", constellation_id="c1")
            async with house.running(constellation) as results, house.synchronizer.edit("c1", hold="none") as draft:
                await anyio.sleep(10)
                assert (len(results), draft.is_over) == (1, True)
                draft.discard()
                assert anyio.current_time() < 11
                with pytest.raises(EditError):
                    draft.add_task(new("x"))
                with pytest.raises(EditError):
                    await draft.commit()
                return

    async def test_cancelling_a_run_closes_its_drafts(self) -> None:
        async with study() as house:
            constellation = plan("a b", "a>b", "c1")
            async with house.running(constellation) as results:
                with pytest.raises(EditError, match="is over"):
                    async with house.synchronizer.edit("c1", hold="all") as draft:
                        draft.remove_task("b")
                        await house.orchestrator.cancel_execution("c1")
                        assert draft.is_over
            assert results[0]["status"] == "cancelled"
            assert statuses(constellation) == {"a": "cancelled", "b": "cancelled"}
            assert house.slots_are_free()

    async def test_a_host_that_cancels_a_run_leaves_no_draft_open(self) -> None:
        async with study() as house:
            constellation = plan("a b", "a>b", "c1")
            async with anyio.create_task_group() as group:
                group.start_soon(house.run, constellation)
                await until(constellation.get_running_tasks)
                draft = house.synchronizer.edit("c1")
                await draft.__aenter__()
                group.cancel_scope.cancel()
            assert draft.is_over
            assert house.synchronizer.desk.is_idle

    async def test_what_comes_while_a_run_tells_of_its_end_is_too_late(self) -> None:
        """The plan is still registered then, and nothing that is added to it would ever start."""

        class Last:
            errors: ClassVar[list[EditError]] = []

            async def on_event(self, event: Event) -> None:
                with pytest.raises(EditError) as caught:
                    await house.synchronizer.commit(Transaction([AddTask(new("x"))]), "c1")
                self.errors.append(caught.value)

        async with study() as house:
            house.bus.subscribe(Last(), [EventType.CONSTELLATION_COMPLETED])
            constellation = plan("a", constellation_id="c1")
            async with house.running(constellation):
                pass
            (error,) = Last.errors
            assert kinds(error.problems) == [("over", "c1")]
            assert list(constellation.tasks) == ["a"]
            Last.errors.clear()


class TestUndoing:
    async def test_an_undo_takes_back_what_has_not_started(self) -> None:
        async with study() as house:
            constellation = plan("a b", "a>b", "c1")
            async with house.running(constellation):
                async with house.synchronizer.edit("c1") as draft:
                    draft.add_task(new("x")).add_dependency(link("a>x")).add_dependency(link("x>b"))
                    draft.update_task("b", description="new")
                assert draft.committed is not None
                undone = await house.synchronizer.undo(draft.committed)
                assert undone.revision == draft.committed.revision + 1
                assert (list(constellation.tasks), constellation.tasks["b"].task_description) == (["a", "b"], "do b")
                again = await house.synchronizer.undo(undone)
                assert list(constellation.tasks) == ["a", "b", "x"]
                await house.synchronizer.undo(again)
            assert house.starts() == {"a": 0, "b": 1}
            assert house.synchronizer.edit_statistics()["undone"] == 3

    async def test_an_undo_that_would_un_run_something_is_refused_and_names_it(self) -> None:
        async with study() as house:
            constellation = plan("a b", "a>b", "c1")
            async with house.running(constellation):
                async with house.synchronizer.edit("c1") as draft:
                    draft.add_task(new("x")).update_task("b", description="new")
                await until(lambda: constellation.tasks["x"].status.value == "running")
                assert draft.committed is not None
                with pytest.raises(EditConflictError) as caught:
                    await house.synchronizer.undo(draft.committed)
                assert kinds(caught.value.problems) == [("started", "x")]
                assert constellation.tasks["b"].task_description == "new"
            assert statuses(constellation) == {"a": "completed", "b": "completed", "x": "completed"}

    async def test_an_undo_of_what_somebody_has_edited_since_is_a_conflict(self) -> None:
        async with study() as house:
            constellation = plan("a b", "a>b", "c1")
            async with house.running(constellation):
                async with house.synchronizer.edit("c1") as draft:
                    draft.update_task("b", description="mine")
                await house.synchronizer.commit(Transaction([UpdateTask("b", {"description": "yours"})]), "c1")
                assert draft.committed is not None
                with pytest.raises(EditConflictError):
                    await house.synchronizer.undo(draft.committed)
                assert constellation.tasks["b"].task_description == "yours"


class TestEvents:
    async def test_every_edit_is_told_with_its_revisions_and_the_whole_difference(self) -> None:
        async with study() as house:
            constellation = plan("a b", "a>b", "c1")
            async with house.running(constellation):
                base = constellation.revision
                async with house.synchronizer.edit("c1", description="more", author="ann") as draft:
                    draft.add_task(new("x")).add_dependency(link("x>b")).update_task("b", description="new")
                assert draft.committed is not None
                await house.synchronizer.undo(draft.committed)
        (opened, about), (committed, what), (undone, back) = house.edits()
        assert (opened, committed, undone) == ("edit_opened", "edit_committed", "edit_undone")
        assert (about["edit_id"], about["description"], about["author"]) == (draft.edit_id, "more", "ann")
        assert (about["base_revision"], about["hold"], about["constellation_id"]) == (base, "footprint", "c1")
        assert (what["edit_id"], what["base_revision"], what["before"], what["revision"]) == (
            draft.edit_id,
            base,
            base,
            base + 1,
        )
        tasks, links = what["diff"]["tasks"], what["diff"]["links"]
        assert [change["task_id"] for change in tasks["added"]] == ["x"]
        assert [change["task_id"] for change in tasks["changed"]] == ["b"]
        assert [(change["from_task_id"], change["to_task_id"]) for change in links["added"]] == [("x", "b")]
        assert [change["task_id"] for change in back["diff"]["tasks"]["removed"]] == ["x"]
        assert (back["before"], back["revision"]) == (base + 1, base + 2)

    async def test_what_is_refused_is_told_with_all_reasons(self) -> None:
        async with study() as house:
            constellation = plan("a b", "a>b", "c1")
            async with house.running(constellation):
                async with house.synchronizer.edit("c1") as draft:
                    draft.update_task("b", description="old")
                    await house.synchronizer.commit(Transaction([UpdateTask("b", {"description": "x"})]), "c1")
                    with pytest.raises(EditConflictError):
                        await draft.commit()
                    draft.discard()
                with pytest.raises(EditError):
                    await house.synchronizer.commit(Transaction([RemoveTask("z"), RemoveTask("y")]), "c1")
        ((_, conflict),) = house.edits(EventType.EDIT_CONFLICTED)
        assert [(problem["kind"], problem["subject"]) for problem in conflict["problems"]] == [("changed", "b")]
        ((_, refused),) = house.edits(EventType.EDIT_REFUSED)
        assert [problem["subject"] for problem in refused["problems"]] == ["z", "y"]
        assert "'z'" in refused["reason"]


class Reviewer:
    """Reviews edits by a function, and remembers what it was shown."""

    def __init__(self, answer: Any = None) -> None:
        self.answer = answer
        self.shown: list[Any] = []

    @hookimpl
    async def galaxy_review_edit(self, edit: Any) -> Any:
        self.shown.append(edit)
        return await self.answer() if callable(self.answer) else self.answer


async def breaks() -> None:
    raise LookupError("the policy is lost")


class TestReviewing:
    @pytest.mark.parametrize(
        ("answer", "reason"),
        [
            ("not on Sundays", "not on Sundays"),
            (breaks, "the policy is lost"),
            (17, "returned 17"),
            ("", "plugin .* refuses: without a reason"),
            (" ", "plugin .* refuses: without a reason"),
        ],
    )
    async def test_an_edit_that_a_review_does_not_agree_to_changes_nothing(self, answer: Any, reason: str) -> None:
        async with study(Reviewer(answer)) as house:
            constellation = plan("a b", "a>b", "c1")
            async with house.running(constellation):
                with pytest.raises(EditError, match=reason) as caught:
                    async with house.synchronizer.edit("c1") as draft:
                        draft.remove_task("b")
                assert [problem.kind for problem in caught.value.problems] == ["refused"]
            assert house.starts() == {"a": 0, "b": 1}

    async def test_a_review_sees_what_would_change(self) -> None:
        reviewer = Reviewer()
        async with study(reviewer) as house:
            constellation = plan("a b", "a>b", "c1")
            async with house.running(constellation), house.synchronizer.edit("c1") as draft:
                draft.remove_task("b")
            (edit,) = reviewer.shown
            assert edit.constellation_id == "c1"
            assert [change.task_id for change in edit.preview.tasks_removed] == ["b"]

    @pytest.mark.parametrize("drafted", [True, False])
    async def test_what_an_edit_touches_is_held_while_it_is_reviewed(self, drafted: bool) -> None:
        async def slowly() -> None:
            await anyio.sleep(10)

        async with study(Reviewer(slowly)) as house:
            constellation = plan("a b c", "a>b a>c", "c1")
            async with house.running(constellation):
                if drafted:
                    async with house.synchronizer.edit("c1") as draft:
                        draft.remove_task("b")
                else:
                    await house.synchronizer.commit(Transaction([RemoveTask("b")]), "c1")
            assert house.starts() == {"a": 0, "c": 1}
            assert house.synchronizer.desk.is_idle

    async def test_a_review_that_never_answers_refuses_in_the_end(self) -> None:
        async with study(Reviewer(anyio.sleep_forever)) as house:
            house.synchronizer.set_modification_timeout(30)
            constellation = plan("a b", "a>b", "c1")
            async with house.running(constellation):
                with pytest.raises(EditError, match="did not answer within"):
                    await house.synchronizer.commit(Transaction([RemoveTask("b")]), "c1")
            assert house.starts() == {"a": 0, "b": 30}

    async def test_what_starts_while_an_edit_is_reviewed_is_a_conflict(self) -> None:
        async def slowly() -> None:
            await anyio.sleep(10)

        async with study(Reviewer(slowly)) as house:
            constellation = plan("a b", "a>b", "c1")
            async with house.running(constellation):
                with pytest.raises(EditError) as caught:
                    async with house.synchronizer.edit("c1", hold="none") as draft:
                        draft.remove_task("b")
            assert [problem.kind for problem in caught.value.problems] in (["started"], ["over"])
            assert statuses(constellation) == {"a": "completed", "b": "completed"}

    async def test_a_run_that_is_cancelled_while_an_edit_is_reviewed_refuses_it(self) -> None:
        async def slowly() -> None:
            await anyio.sleep(10)

        async with study(Reviewer(slowly)) as house:
            constellation = plan("a", constellation_id="c1")
            async with house.running(constellation), anyio.create_task_group() as group:
                group.start_soon(house.orchestrator.cancel_execution, "c1")
                with pytest.raises(EditError) as caught:
                    await house.synchronizer.commit(Transaction([AddTask(new("x"))]), "c1")
            assert [problem.kind for problem in caught.value.problems] == ["over"]
            assert list(constellation.tasks) == ["a"]
