"""How long something took is never less than nothing, whatever the clock did meanwhile."""

from __future__ import annotations

from galaxy_core import ExecutionResult, TaskConstellation, TaskStar, TaskStarLine, TaskStatus


def test_a_clock_that_was_set_back_makes_no_duration_negative() -> None:
    plan = TaskConstellation.build([TaskStar("a"), TaskStar("b")], [TaskStarLine("a", "b")])
    for name, began, ended in (("a", 100.0, 40.0), ("b", 41.0, 44.0)):
        task = plan._tasks[name]
        plan.begin(task, began)
        result = ExecutionResult(name, TaskStatus.COMPLETED, start_time=began, end_time=ended)
        plan.end(task, TaskStatus.COMPLETED, result, None, ended)
    first = plan._tasks["a"]
    assert isinstance(first.result, ExecutionResult)
    assert (first.execution_duration, first.result.execution_time) == (0.0, 0.0)
    assert (plan.get_total_work(), plan.get_critical_path_length_with_time()[0]) == (3.0, 3.0)
    assert (plan.get_statistics()["total_work"], plan.get_statistics()["critical_path_length"]) == (3.0, 3.0)
