"""Editors that plugins bring, and those that answer by events: what they are asked, what waits for them, what if they fail."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import anyio
import pytest

from galaxy_core import (
    AddDependency,
    AddTask,
    ConstellationEvent,
    EndedTasks,
    Event,
    EventType,
    RemoveDependency,
    RemoveTask,
    RetryPolicy,
    TaskStatus,
    Transaction,
    UpdateDependency,
    UpdateTask,
    hookimpl,
)
from galaxy_core.model.dependency import DependencyType
from galaxy_core.testing.fakes import takes

from .editing import Study, new, statuses, study
from .fakes import link, plan, until

pytestmark = pytest.mark.anyio


class Editor:
    """Proposes what a function says, `takes_s` seconds after it was asked; remembers what it was asked about."""

    def __init__(self, propose: Callable[[EndedTasks], Any] | None = None, takes_s: float = 0.0) -> None:
        self.propose = propose
        self.takes_s = takes_s
        self.asked: list[list[str]] = []
        self.refused: list[Any] = []

    @hookimpl
    async def galaxy_propose_edit(self, ended: EndedTasks) -> Any:
        self.asked.append([task.task_id for task in ended.tasks])
        self.refused.append(ended.refused)
        if self.takes_s:
            await anyio.sleep(self.takes_s)
        return None if self.propose is None else self.propose(ended)


def after(task_id: str, *operations: Any) -> Callable[[EndedTasks], Any]:
    """Proposes these when that task has ended."""
    return lambda ended: operations if task_id in [task.task_id for task in ended.tasks] else None


class TestAsking:
    async def test_an_editor_is_asked_about_every_end_and_its_answer_runs(self) -> None:
        editor = Editor(after("a", AddTask(new("x")), AddDependency(link("x>b"))))
        async with study(editor) as house:
            async with house.running(plan("a b", "a>b", "c1")) as results:
                pass
            assert (results[0]["status"], house.starts()) == ("completed", {"a": 0, "x": 1, "b": 2})
        assert editor.asked == [["a"], ["x"], ["b"]]

    async def test_without_a_synchronizer_of_the_hosts_editors_are_asked_all_the_same(self) -> None:
        editor = Editor(after("b", AddTask(new("x"))))
        async with study(editor, attached=False) as house:
            async with house.running(plan("a b", "a>b", "c1")):
                pass
            assert house.starts() == {"a": 0, "b": 1, "x": 2}

    async def test_what_ends_while_an_editor_thinks_comes_in_one_next_batch(self) -> None:
        editor = Editor(takes_s=10)
        async with study(editor) as house:
            for number, task_id in enumerate("abcde", 1):
                house.transport.script(task_id, takes(number))
            async with house.running(plan("a b c d e", constellation_id="c1")):
                pass
        assert editor.asked == [["a"], ["b", "c", "d", "e"]]

    @pytest.mark.parametrize("as_what", ["transaction", "operation", "operations", "generator"])
    async def test_an_answer_may_be_a_transaction_or_operations(self, as_what: str) -> None:
        operation = AddTask(new("x"))
        answers: dict[str, Callable[[], Any]] = {
            "transaction": lambda: Transaction([operation], description="one more"),
            "operation": lambda: operation,
            "operations": lambda: [operation],
            "generator": lambda: (one for one in [operation]),
        }
        editor = Editor(lambda ended: answers[as_what]() if ended.tasks[0].task_id == "a" else None)
        async with study(editor) as house:
            async with house.running(plan("a", constellation_id="c1")) as results:
                pass
            assert list(results[0]["results"]) == ["a", "x"]
        ((_, told),) = house.edits(EventType.EDIT_COMMITTED)
        assert told["author"]
        assert told["base_revision"] is not None

    async def test_nobody_is_asked_about_what_was_cancelled_or_skipped(self) -> None:
        editor = Editor()
        async with study(editor) as house:
            constellation = plan("a b c", "a>b b>c", "c1")
            async with house.running(constellation):
                house.orchestrator.cancel_task("b", "c1")
            assert statuses(constellation) == {"a": "completed", "b": "cancelled", "c": "skipped"}
        assert editor.asked == [["a"]]

    async def test_a_task_that_ends_twice_while_an_editor_thinks_is_asked_about_once(self) -> None:
        editor = Editor(takes_s=20)
        async with study(editor) as house:
            house.synchronizer.set_hold_scope("none", plugins="none")
            by_hand = RetryPolicy(on=frozenset())
            constellation = plan("a b", constellation_id="c1", retry_count=1, retry=by_hand)
            house.transport.script("b", takes(2, RuntimeError("no")), takes(1))
            async with house.running(constellation):
                await until(lambda: constellation.tasks["b"].status is TaskStatus.FAILED)
                constellation.tasks["b"].retry()
        assert [asked.count("b") for asked in editor.asked] == [0, 1]


class TestHolding:
    async def branches(self, editor: Editor, **scopes: Any) -> dict[str, float]:
        async with study(editor) as house:
            house.synchronizer.set_hold_scope("all", **scopes)
            house.transport.script("x", takes(5))
            async with house.running(plan("a b x y", "a>b x>y", "c1")):
                pass
            return house.starts()

    async def test_what_an_end_leads_to_waits_for_the_answer_and_the_rest_goes_on(self) -> None:
        assert await self.branches(Editor(takes_s=10)) == {"a": 0, "x": 0, "b": 11, "y": 21}

    async def test_a_host_may_have_everything_wait_for_plugins(self) -> None:
        async with study(Editor(takes_s=10)) as house:
            house.synchronizer.set_hold_scope("none", plugins="all")
            house.transport.script("x", takes(1.5))
            async with house.running(plan("a b x y z", "a>b x>y y>z", "c1")):
                pass
            # Asked about a at 1 s, about x at 11 s, and about b and y as one batch.
            assert house.starts() == {"a": 0, "x": 0, "b": 21, "y": 21, "z": 32}

    async def test_a_host_may_have_nothing_wait_for_plugins(self) -> None:
        assert await self.branches(Editor(takes_s=10), plugins="none") == {"a": 0, "x": 0, "b": 1, "y": 5}

    async def test_a_run_waits_for_the_answer_about_its_last_task(self) -> None:
        editor = Editor(after("a", AddTask(new("x"))), takes_s=10)
        async with study(editor) as house:
            async with house.running(plan("a", constellation_id="c1")) as results:
                pass
            assert (house.starts(), list(results[0]["results"])) == ({"a": 0, "x": 11}, ["a", "x"])


class TestSaving:
    def rescue(self, ended: EndedTasks) -> Any:
        if [task.status for task in ended.tasks] != [TaskStatus.FAILED]:
            return None
        (line,) = ended.plan.get_task_dependents("a")
        return [
            AddTask(new("mend")),
            UpdateDependency(line.line_id, {"dependency_type": DependencyType.COMPLETION_ONLY}),
            AddDependency(link("mend>b")),
        ]

    @pytest.mark.parametrize("takes_s", [0.0, 10.0])
    async def test_what_an_editor_saves_is_not_skipped(self, takes_s: float) -> None:
        async with study(Editor(self.rescue, takes_s)) as house:
            constellation = plan("a b c", "a>b b>c", "c1")
            house.transport.script("a", takes(1, RuntimeError("no")))
            async with house.running(constellation):
                pass
        assert statuses(constellation) == {"a": "failed", "b": "completed", "c": "completed", "mend": "completed"}
        assert house.recorder.of(EventType.TASK_SKIPPED) == []

    async def test_what_an_editor_leaves_is_skipped_when_it_has_answered_and_not_before(self) -> None:
        async with study(Editor(takes_s=10)) as house:
            constellation = plan("a b c", "a>b b>c", "c1")
            house.transport.script("a", takes(1, RuntimeError("no")))
            async with house.running(constellation):
                await anyio.sleep(10.5)
                assert statuses(constellation) == {"a": "failed", "b": "pending", "c": "pending"}
        assert statuses(constellation) == {"a": "failed", "b": "skipped", "c": "skipped"}

    async def test_what_is_taken_out_instead_of_skipped_is_gone(self) -> None:
        async with study(Editor(after("a", RemoveTask("b")), takes_s=10)) as house:
            constellation = plan("a b c", "a>b b>c", "c1")
            house.transport.script("a", takes(1, RuntimeError("no")))
            async with house.running(constellation):
                pass
        assert statuses(constellation) == {"a": "failed", "c": "completed"}

    async def test_of_two_editors_the_slower_one_may_still_save(self) -> None:
        quick, slow = Editor(), Editor(self.rescue, takes_s=10)
        async with study(quick, slow) as house:
            constellation = plan("a b", "a>b", "c1")
            house.transport.script("a", takes(1, RuntimeError("no")))
            async with house.running(constellation):
                pass
        assert statuses(constellation)["b"] == "completed"

    async def test_with_nothing_held_for_plugins_what_follows_a_failure_is_skipped_at_once(self) -> None:
        async with study(Editor(self.rescue)) as house:
            house.synchronizer.set_hold_scope("all", plugins="none")
            constellation = plan("a b", "a>b", "c1")
            house.transport.script("a", takes(1, RuntimeError("no")))
            async with house.running(constellation):
                pass
        assert statuses(constellation)["b"] == "skipped"


class TestBadEditors:
    @pytest.mark.parametrize(
        "rubbish",
        [
            lambda: 17,
            lambda: "remove b",
            lambda: ["remove b"],
            lambda: {"remove": "b"},
            lambda: Transaction(["remove b"]),  # type: ignore[list-item]
            lambda: Transaction([RemoveTask("b")], base_revision="one"),  # type: ignore[arg-type]
            lambda: RemoveTask(["b"]),  # type: ignore[arg-type]
            lambda: UpdateTask("b", {"nmae": "new"}),
            lambda: UpdateTask("b", {"timeout": "soon"}),
        ],
    )
    async def test_rubbish_is_refused_and_harms_nobody(self, rubbish: Callable[[], Any]) -> None:
        async with study(Editor(lambda ended: rubbish())) as house:
            async with house.running(plan("a b", "a>b", "c1")) as results:
                pass
            assert (results[0]["status"], house.starts()) == ("completed", {"a": 0, "b": 1})
        told = house.recorder.of(EventType.MODIFICATION_REFUSED)
        assert [event.data["on_task_id"] for event in told] == [["a"], ["b"]]

    async def test_an_answer_that_raises_while_it_is_read_harms_nobody(self) -> None:
        def broken() -> Any:
            yield AddTask(new("x"))
            raise LookupError("half-way")

        async with study(Editor(lambda ended: broken())) as house:
            constellation = plan("a b", "a>b", "c1")
            async with house.running(constellation) as results:
                pass
            assert results[0]["status"] == "completed"
        assert list(constellation.tasks) == ["a", "b"]
        assert "half-way" in house.recorder.of(EventType.MODIFICATION_REFUSED)[0].data["reason"]

    async def test_an_editor_that_raises_is_reported_under_its_name_and_harms_nobody(self) -> None:
        def broken(ended: EndedTasks) -> Any:
            raise LookupError("no model")

        other = Editor(after("a", AddTask(new("x"))))
        async with study(Editor(broken), other) as house:
            async with house.running(plan("a b", "a>b", "c1")) as results:
                pass
            assert results[0]["status"] == "completed"
            assert "x" in results[0]["results"]
        told = house.recorder.of(EventType.MODIFICATION_REFUSED)[0].data
        assert "no model" in told["reason"]
        assert told["author"]

    async def test_an_editor_that_hangs_is_given_up_after_the_timeout(self) -> None:
        async with study(Editor(takes_s=1e6)) as house:
            house.synchronizer.set_modification_timeout(60)
            async with house.running(plan("a b", "a>b", "c1")) as results:
                pass
            assert results[0]["status"] == "completed"
            assert house.starts() == {"a": 0, "b": 61}
            assert house.synchronizer.get_statistics()["timeout_modifications"] == 2
        told = house.recorder.of(EventType.MODIFICATION_TIMED_OUT)
        assert [event.data["on_task_id"] for event in told] == [["a"], ["b"]]

    async def test_an_editor_that_answers_after_its_run_was_cancelled_changes_nothing(self) -> None:
        editor = Editor(after("a", AddTask(new("x"))), takes_s=10)
        async with study(editor) as house:
            constellation = plan("a b", "a>b", "c1")
            async with house.running(constellation) as results:
                await anyio.sleep(5)
                await house.orchestrator.cancel_execution("c1")
            assert (results[0]["status"], list(constellation.tasks)) == ("cancelled", ["a", "b"])
            assert house.edits() == []

    async def test_of_two_editors_in_conflict_the_loser_is_asked_again_with_the_reasons(self) -> None:
        def rename(name: str) -> Callable[[EndedTasks], Any]:
            def propose(ended: EndedTasks) -> Any:
                done = ended.refused is not None or ended.tasks[0].task_id != "a"
                return None if done else UpdateTask("b", {"name": name})

            return propose

        quick, slow = Editor(rename("quick"), 1), Editor(rename("slow"), 2)
        async with study(quick, slow) as house:
            constellation = plan("a b", "a>b", "c1")
            async with house.running(constellation):
                pass
            assert constellation.tasks["b"].name == "quick"
        assert slow.asked == [["a"], ["a"], ["b"]]
        assert (quick.refused, slow.refused[0], slow.refused[2]) == ([None, None], None, None)
        (problem,) = slow.refused[1].problems
        assert (problem.kind, problem.subject) == ("changed", "b")

    async def test_one_who_never_learns_is_asked_three_times_and_then_refused_by_an_event(self) -> None:
        editor = Editor(after("a", RemoveTask("nobody")))
        async with study(editor) as house:
            async with house.running(plan("a b", "a>b", "c1")) as results:
                pass
            assert results[0]["status"] == "completed"
        assert editor.asked == [["a"], ["a"], ["a"], ["b"]]
        (told,) = house.recorder.of(EventType.MODIFICATION_REFUSED)
        assert "'nobody'" in told.data["reason"]


class Answering:
    """An editor of the API document's kind: answers ends by CONSTELLATION_MODIFIED, some seconds later."""

    def __init__(self, house: Study, takes_s: float, task_ids: str) -> None:
        self.house, self.takes_s, self.task_ids = house, takes_s, task_ids

    async def on_event(self, event: Event) -> None:
        task_id: str = getattr(event, "task_id", "")
        if event.event_type in (EventType.TASK_COMPLETED, EventType.TASK_FAILED) and task_id in self.task_ids:
            await anyio.sleep(self.takes_s)
            data = {"on_task_id": [task_id]}
            about = (EventType.CONSTELLATION_MODIFIED, "agent", event.timestamp, data, "c1", "executing")
            self.house.bus.post((ConstellationEvent(*about),))


class TestScopesOfModifications:
    async def starts(self, scope: Any) -> dict[str, float]:
        """Of two branches, in one of which each end is answered after 10 s, and in the other at once."""
        async with study() as house:
            house.synchronizer.set_hold_scope(scope)
            house.bus.subscribe(Answering(house, 10, "ab"))
            house.bus.subscribe(Answering(house, 0, "xyz"))
            with house.synchronizer.editor("c1"):
                async with house.running(plan("a b x y z", "a>b x>y y>z", "c1")):
                    pass
            return house.starts()

    async def test_all_holds_everything_until_every_end_is_answered(self) -> None:
        assert await self.starts("all") == {"a": 0, "x": 0, "b": 11, "y": 11, "z": 22}

    async def test_a_footprint_holds_only_what_the_ends_lead_to(self) -> None:
        assert await self.starts("footprint") == {"a": 0, "x": 0, "b": 11, "y": 1, "z": 2}

    async def test_none_holds_nothing(self) -> None:
        assert await self.starts("none") == {"a": 0, "x": 0, "b": 1, "y": 1, "z": 2}

    @pytest.mark.parametrize("scope", ["all", "footprint"])
    async def test_what_follows_a_failure_is_not_skipped_before_the_answer(self, scope: Any) -> None:
        async with study() as house:
            house.synchronizer.set_hold_scope(scope)
            house.bus.subscribe(Answering(house, 10, "ab"))
            house.transport.script("a", takes(1, RuntimeError("no")))
            constellation = plan("a b c", "a>b b>c", "c1")
            with house.synchronizer.editor("c1"):
                async with house.running(constellation):
                    await anyio.sleep(5)
                    assert statuses(constellation) == {"a": "failed", "b": "pending", "c": "pending"}
                    await anyio.sleep(7)
            assert statuses(constellation) == {"a": "failed", "b": "skipped", "c": "skipped"}

    async def test_a_scope_that_is_changed_while_tasks_are_held_frees_them_at_once(self) -> None:
        async with study() as house:
            house.bus.subscribe(Answering(house, 10, "ab"))
            with house.synchronizer.editor("c1"):
                async with house.running(plan("a b", "a>b", "c1")):
                    await anyio.sleep(4)
                    house.synchronizer.set_hold_scope("none")
            assert house.starts() == {"a": 0, "b": 4}

    async def test_scopes_and_policies_that_there_are_not_are_refused(self) -> None:
        async with study() as house:
            with pytest.raises(ValueError, match="'some' is no hold scope"):
                house.synchronizer.set_hold_scope("some")  # type: ignore[arg-type]
            with pytest.raises(ValueError, match="'some' is no hold scope"):
                house.synchronizer.set_hold_scope("all", plugins="some")  # type: ignore[arg-type]
            with pytest.raises(ValueError, match="'some' is no hold scope"):
                house.orchestrator.manager.register_constellation(plan("a", constellation_id="c1"))
                house.synchronizer.edit("c1", hold="some")  # type: ignore[arg-type]
            with pytest.raises(ValueError, match="'pray' is no timeout policy"):
                house.synchronizer.set_timeout_policy("pray")  # type: ignore[arg-type]


class TestEndsByHand:
    async def test_an_editor_is_asked_about_a_task_that_somebody_ends_by_hand_before_anything_is_skipped(self) -> None:
        def save(ended: EndedTasks) -> Any:
            if ended.tasks[0].status is not TaskStatus.FAILED:
                return None
            return [RemoveDependency(("a", "b"))]

        async with study(Editor(save)) as house:
            constellation = plan("a b", "a>b", "c1")
            house.transport.script("a", takes(100))
            async with house.running(constellation):
                await until(constellation.get_running_tasks)
                constellation.mark_task_completed("a", success=False, error=RuntimeError("by hand"))
            assert statuses(constellation) == {"a": "failed", "b": "completed"}
