"""`diagnose` and `skip`: what is added beside a failure, and what goes on without the failed task."""

from __future__ import annotations

import pytest

from galaxy_core import Completed, Device
from galaxy_core.testing.fakes import Step

from .house import BROKEN, Run, planned

pytestmark = pytest.mark.anyio

DEVICES = [Device("one", "fake"), Device("two", "fake", capabilities=["tools"])]
LOOK = {"run": ["look"], "effect": "read"}


class TestDiagnose:
    async def test_a_diagnosis_reads_what_the_failed_task_has_said_where_that_ran(self) -> None:
        plan = planned("  a: {run: [a], device: two}\n", {"on": ["a"], "diagnose": LOOK})
        run = await Run(plan, {"a": BROKEN}, DEVICES).to_end()
        assert run.ends == {"a": "failed", "a.diagnosis": "completed"}
        assert run.request_of("a.diagnosis").stdin == "no space left\n"
        assert run.result_of("a.diagnosis").device_id == "two"
        assert run.edits == ["a.diagnosis of a"]

    async def test_a_diagnosis_runs_elsewhere_if_it_says_so_and_reads_what_it_says(self) -> None:
        keys = {"shell": "cat", "stdin": {"from": "failed", "value": "exit_code"}, "requires": ["tools"]}
        plan = planned("  a: {run: [a], device: one}\n", {"on": ["a"], "diagnose": keys})
        run = await Run(plan, {"a": BROKEN}, DEVICES).to_end()
        assert run.request_of("a.diagnosis").stdin == "1"
        assert run.result_of("a.diagnosis").device_id == "two"

    @pytest.mark.parametrize(
        "step", [Completed(error="silent"), Completed(error="cut", stderr="no", metadata={}, truncated=True)]
    )
    async def test_a_diagnosis_does_without_what_was_not_said_or_not_kept(self, step: Step) -> None:
        run = await Run(planned("  a: {run: [a]}\n", {"on": ["a"], "diagnose": LOOK}), {"a": step}).to_end()
        assert run.ends["a.diagnosis"] == "completed"
        assert run.request_of("a.diagnosis").stdin is None

    async def test_a_diagnosis_may_take_from_the_plan(self) -> None:
        plan = planned(
            "  s: {run: [s]}\n  a: {run: [a], needs: [s]}\n",
            {"on": ["a"], "diagnose": {"run": ["look", {"from": "s"}]}},
        )
        run = await Run(plan, {"s": Completed(stdout="S"), "a": BROKEN}).to_end()
        assert run.request_of("a.diagnosis").argv == ("look", "S")

    async def test_nothing_is_diagnosed_twice_and_no_diagnosis_is_diagnosed(self) -> None:
        rule = {"on": ["*"], "at_most": 9, "diagnose": LOOK}
        run = await Run(planned("  a: {run: [a]}\n", rule), {"a": BROKEN, "a.diagnosis": BROKEN}).to_end()
        assert run.ends == {"a": "failed", "a.diagnosis": "failed"}

    async def test_a_rule_that_only_diagnoses_does_not_keep_the_next_from_being_applied(self) -> None:
        rules = {"on": ["*"], "at_most": 2, "diagnose": LOOK}, {"on": ["a"], "retry": {}}
        run = await Run(planned("  a: {run: [a]}\n", *rules), {"a": BROKEN, "a.2": BROKEN}).to_end()
        assert run.ends == {
            "a": "failed",
            "a.diagnosis": "completed",
            "a.2": "failed",
            "a.2.diagnosis": "completed",
        }

    async def test_one_rule_may_diagnose_and_retry(self) -> None:
        rule = {"on": ["a"], "diagnose": LOOK, "retry": {}}
        run = await Run(planned("  a: {run: [a]}\n  b: {run: [b], needs: [a]}\n", rule), {"a": BROKEN}).to_end()
        assert run.ends == {"a": "failed", "b": "completed", "a.diagnosis": "completed", "a.2": "completed"}


BRANCHES = """
  system: {run: [system]}
  speed: {run: [speed], needs: [system]}
  chart: {run: [chart], stdin: {from: speed}, needs: [system]}
  alarm: {run: [alarm], needs: [{task: speed, on: completion}]}
  disk: {run: [disk]}
  report: {run: [report, {from: disk}], needs: [speed, chart, disk]}
  send: {run: [send], needs: [report]}
"""


class TestSkip:
    async def test_what_needs_the_failed_task_is_skipped_up_to_the_tasks_that_go_on_without(self) -> None:
        rule = {"on": ["speed"], "skip": {"until": ["report"]}}
        run = await Run(planned(BRANCHES, rule), {"speed": BROKEN, "disk": Completed(stdout="9")}).to_end()
        assert run.ends == {
            "system": "completed",
            "speed": "failed",
            "chart": "skipped",
            "alarm": "completed",
            "disk": "completed",
            "report": "completed",
            "send": "completed",
        }
        assert run.edits == ["report without speed"]

    async def test_without_a_rule_all_of_it_is_skipped(self) -> None:
        run = await Run(planned(BRANCHES, {"on": ["disk"], "retry": {}}), {"speed": BROKEN}).to_end()
        assert [task for task, end in run.ends.items() if end == "skipped"] == ["chart", "report", "send"]

    async def test_a_task_that_takes_data_from_the_branch_cannot_go_on_without_it(self) -> None:
        rule = {"on": ["speed"], "skip": {"until": ["chart", "report"]}}
        run = await Run(planned(BRANCHES, rule), {"speed": BROKEN, "disk": Completed(stdout="9")}).to_end()
        assert (run.ends["chart"], run.ends["report"]) == ("skipped", "completed")

    async def test_a_task_that_goes_on_still_waits_for_its_other_prerequisites(self) -> None:
        rule = {"on": ["speed"], "skip": {"until": ["rep*"]}}
        run = await Run(planned(BRANCHES, rule), {"speed": BROKEN, "disk": BROKEN}).to_end()
        assert run.ends["report"] == run.ends["send"] == "skipped"

    async def test_a_branch_is_given_up_when_its_copy_has_failed_too(self) -> None:
        rules = {"on": ["speed"], "retry": {}}, {"on": ["speed"], "skip": {"until": ["report"]}}
        scripts: dict[str, Step | list[Step]] = {"speed": BROKEN, "speed.2": BROKEN, "disk": Completed(stdout="9")}
        run = await Run(planned(BRANCHES, *rules), scripts).to_end()
        assert (run.ends["chart"], run.ends["report"]) == ("skipped", "completed")
        assert run.edits == ["speed again as speed.2", "report without speed.2"]

    async def test_two_branches_that_fail_at_once_are_both_left_out(self) -> None:
        plan = planned(
            """
  a: {run: [a]}
  b: {run: [b]}
  c: {run: [c], needs: [a, b]}
  d: {run: [d], needs: [c]}
""",
            {"on": ["a", "b"], "skip": {"until": ["d"]}},
        )
        run = await Run(plan, {"a": BROKEN, "b": BROKEN}).to_end()
        assert run.ends == {"a": "failed", "b": "failed", "c": "skipped", "d": "completed"}

    async def test_a_condition_that_is_met_by_the_failure_keeps_its_task_out_of_the_branch(self) -> None:
        plan = planned(
            """
  a: {run: [a]}
  undo: {run: [undo], needs: [{task: a, when: "status == 'failed'"}]}
  next: {run: [next], needs: [{task: a, when: "status == 'completed'"}]}
  last: {run: [last], needs: [undo, next]}
""",
            {"on": ["a"], "skip": {"until": ["last"]}},
        )
        run = await Run(plan, {"a": BROKEN}).to_end()
        assert run.order == ["a", "undo", "last"]
        assert run.links() == {("a", "undo"), ("a", "next"), ("undo", "last")}
