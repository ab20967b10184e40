"""Rules beside other editors and reviews, with devices that go, and in plans that were saved and loaded."""

from __future__ import annotations

from typing import Any

import anyio
import pytest

from galaxy_core import (
    AddTask,
    Completed,
    Device,
    EditConflictError,
    EditError,
    EndedTasks,
    EventType,
    ProposedEdit,
    RemoveTask,
    TaskConstellation,
    TaskStar,
    hookimpl,
)
from galaxy_core.testing.fakes import takes
from galaxy_core_replan.marks import history_of

from .house import BROKEN, HERE, Run, planned

pytestmark = pytest.mark.anyio

CHAIN = """
  flash: {run: [flash]}
  verify: {run: [verify], needs: [flash]}
  pack: {run: [pack], needs: [verify]}
"""


class Removing:
    """An editor that takes a task out when another fails, after some time."""

    def __init__(self, task_id: str, after_s: float) -> None:
        self.task_id, self.after_s = task_id, after_s
        self.refused: list[EditError | None] = []

    @hookimpl
    async def galaxy_propose_edit(self, ended: EndedTasks) -> Any:
        if ended.tasks[0].status.value != "failed":
            return None
        self.refused.append(ended.refused)
        await anyio.sleep(self.after_s)
        return RemoveTask(self.task_id) if ended.plan.get_task(self.task_id) is not None else None


class Slow:
    """A review that takes its time over what the rules propose."""

    @hookimpl
    async def galaxy_review_edit(self, edit: ProposedEdit) -> str | None:
        if edit.transaction.author == "replan":
            await anyio.sleep(5)
        return None


async def test_rules_are_asked_again_when_another_editor_came_first() -> None:
    other = Removing("verify", 1)
    run = Run(planned(CHAIN, {"on": ["flash"], "retry": {}}), {"flash": BROKEN}, plugins=[other, Slow()])
    await run.to_end()
    (conflict,) = run.recorder.of(EventType.EDIT_CONFLICTED)
    assert conflict.data["author"] == "replan"
    assert run.ends == {"flash": "failed", "pack": "completed", "flash.2": "completed"}


async def test_another_editor_that_comes_later_is_told_of_the_conflict_and_asked_again() -> None:
    other = Removing("verify", 1)
    run = await Run(planned(CHAIN, {"on": ["flash"], "retry": {}}), {"flash": BROKEN}, plugins=[other]).to_end()
    assert [type(error) for error in other.refused] == [type(None), EditConflictError]
    assert run.ends == {"flash": "failed", "pack": "completed", "flash.2": "completed"}


class Refusing:
    def __init__(self) -> None:
        self.asked = 0

    @hookimpl
    def galaxy_review_edit(self, edit: ProposedEdit) -> str | None:
        self.asked += 1
        return "not today"


async def test_what_a_review_refuses_is_not_proposed_again() -> None:
    review = Refusing()
    run = await Run(planned(CHAIN, {"on": ["flash"], "retry": {}}), {"flash": BROKEN}, plugins=[review]).to_end()
    assert review.asked == 1
    assert run.ends == {"flash": "failed", "verify": "skipped", "pack": "skipped"}


async def test_a_rule_that_the_plan_cannot_take_does_not_keep_others_from_being_applied(
    caplog: pytest.LogCaptureFixture,
) -> None:
    knot = {"on": ["flash"], "retry": {"before": {"wipe": {"run": ["wipe"], "needs": ["verify"]}}}}
    tasks = f"{CHAIN}  other: {{run: [other]}}\n"
    run = await Run(planned(tasks, knot, {"on": ["other"], "retry": {}}), {"flash": BROKEN, "other": BROKEN}).to_end()
    assert (run.ends["other.2"], run.ends["verify"]) == ("completed", "skipped")
    assert "flash.2" not in run.ends
    assert "no rule is applied to task 'flash': the plan would have a cycle" in caplog.text


async def test_a_rule_whose_tasks_name_one_that_was_taken_out_is_not_applied(caplog: pytest.LogCaptureFixture) -> None:
    tasks = "  a: {run: [a]}\n  b: {run: [b], needs: [a]}\n  c: {run: [c], needs: [b]}\n  d: {run: [d], needs: [a]}\n"
    rule = {"on": ["b"], "retry": {"before": {"fix": {"run": ["fix"], "needs": ["d"]}}}}

    class Once(Removing):
        @hookimpl
        async def galaxy_propose_edit(self, ended: EndedTasks) -> Any:
            return RemoveTask("d") if ended.tasks[0].task_id == "a" else None

    run = await Run(planned(tasks, rule), {"b": BROKEN}, plugins=[Once("d", 0)]).to_end()
    assert run.ends == {"a": "completed", "b": "failed", "c": "skipped"}
    assert "rule 0 is not applied to task 'b'" in caplog.text


async def test_tasks_that_somebody_adds_while_the_plan_runs_are_subject_to_patterns() -> None:
    class Adding:
        @hookimpl
        def galaxy_propose_edit(self, ended: EndedTasks) -> Any:
            return AddTask(TaskStar("late-1", description="late")) if ended.tasks[0].task_id == "flash" else None

    plan = planned(CHAIN, {"on": ["late-*"], "retry": {}})
    run = await Run(plan, {"late-1": BROKEN}, plugins=[Adding()]).to_end()
    assert (run.ends["late-1"], run.ends["late-1.2"]) == ("failed", "completed")


async def test_what_rules_have_done_is_known_to_a_plan_that_was_saved_and_loaded() -> None:
    plan = planned(CHAIN, {"on": ["flash"], "at_most": 2, "retry": {"before": {"wipe": {"run": ["w"]}}}})
    run = await Run(plan, {"flash": BROKEN, "flash.2": BROKEN}).to_end()
    again = TaskConstellation.from_dict(run.plan.to_dict())
    history = history_of(again, "flash.3")
    assert (history.origin, history.applied[0], history.is_added) == ("flash", 2, False)
    assert history_of(again, "flash.2.wipe").is_added


async def test_a_diagnosis_on_a_device_that_is_gone_does_not_keep_the_run_from_ending() -> None:
    plan = planned("  a: {run: [a], device: here}\n", {"on": ["a"], "when": ["unknown"], "diagnose": {"run": ["look"]}})
    run = Run(plan, {"a": takes(5)}, HERE)
    async with anyio.create_task_group() as group:
        group.start_soon(run.to_end)
        await anyio.sleep(2)
        run.transport.device("here").unplug()
    assert run.ends["a"] == "unknown"
    assert run.ends["a.diagnosis"] == "failed"


async def test_a_copy_for_a_device_that_there_is_not_is_not_added() -> None:
    plan = planned(CHAIN, {"on": ["flash"], "retry": {"device": "nowhere"}})
    run = await Run(plan, {"flash": BROKEN}, [Device("here", "fake")]).to_end()
    assert run.ends == {"flash": "failed", "verify": "skipped", "pack": "skipped"}


async def test_two_runs_at_once_do_not_mix_their_rules() -> None:
    first = Run(planned(CHAIN, {"on": ["flash"], "retry": {}}), {"flash": BROKEN})
    second = Run(
        planned(CHAIN, {"on": ["flash"], "diagnose": {"run": ["look"]}}), {"flash": takes(0, Completed(error="x"))}
    )
    async with anyio.create_task_group() as group:
        group.start_soon(first.to_end)
        group.start_soon(second.to_end)
    assert set(first.ends) - set(second.ends) == {"flash.2"}
    assert set(second.ends) - set(first.ends) == {"flash.diagnosis"}
