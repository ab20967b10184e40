"""A condition is anybody's code. What it does to the very plan that is being judged is an edit like any other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from galaxy_core import DependencyType, TaskConstellation, TaskStar, TaskStarLine
from galaxy_core.model.analysis import graph_problems
from galaxy_core.testing.fakes import hang

from .fakes import link, plan, rig

Deed = Callable[[TaskConstellation, TaskStarLine], object]


def _link_of(constellation: TaskConstellation, source: str, target: str) -> str:
    return next(
        line.line_id
        for line in constellation.get_all_dependencies()
        if (line.from_task_id, line.to_task_id) == (source, target)
    )


def _grow(constellation: TaskConstellation, line: TaskStarLine) -> None:
    constellation.add_task(TaskStar("new"))
    constellation.add_dependency(link("new>sibling"))
    constellation.add_dependency(link("a-new"))


def _rewire(constellation: TaskConstellation, line: TaskStarLine) -> None:
    constellation.remove_dependency(_link_of(constellation, "a", "sibling"))
    constellation.add_dependency(link("b>sibling"))


#: What a condition does, and how the tasks end: those of `a`, which has ended, judged `b`, `sibling`, `after`.
DEEDS: dict[str, tuple[Deed, dict[str, str]]] = {
    "nothing": (lambda c, line: None, {"b": "completed", "sibling": "completed", "after": "completed"}),
    "removes its own link": (
        lambda c, line: c.remove_dependency(line.line_id),
        {"b": "completed", "sibling": "completed", "after": "completed"},
    ),
    "removes its own target": (lambda c, line: c.remove_task("b"), {"sibling": "completed", "after": "completed"}),
    "removes what became ready beside it": (
        lambda c, line: c.remove_task("sibling"),
        {"b": "completed", "after": "completed"},
    ),
    "adds a task in front of what became ready": (
        _grow,
        {"b": "completed", "new": "completed", "sibling": "completed", "after": "completed"},
    ),
    "has what became ready wait for its target": (
        _rewire,
        {"b": "completed", "sibling": "completed", "after": "completed"},
    ),
    "cancels its target": (
        lambda c, line: c.tasks["b"].cancel(),
        {"b": "cancelled", "sibling": "completed", "after": "skipped"},
    ),
    "ends what became ready": (
        lambda c, line: c.mark_task_completed("sibling", True, "by hand"),
        {"b": "completed", "sibling": "completed", "after": "completed"},
    ),
    "changes its own type": (
        lambda c, line: setattr(line, "dependency_type", DependencyType.COMPLETION_ONLY),
        {"b": "completed", "sibling": "completed", "after": "completed"},
    ),
    "edits and fails": (
        lambda c, line: c.remove_task("sibling") or 1 / 0,  # type: ignore[func-returns-value]
        {"b": "skipped", "after": "skipped"},
    ),
}


@pytest.mark.anyio
@pytest.mark.parametrize("deed", DEEDS)
async def test_a_condition_that_edits_the_plan_leaves_it_sound_and_the_run_ends(deed: str) -> None:
    do, expected = DEEDS[deed]
    constellation = plan("a b sibling after", "a>sibling b>after")

    def judge(payload: Any) -> bool:
        do(constellation, line)
        # It is being judged, and so are those after it: they are open still. All else agrees.
        assert [problem for problem in graph_problems(constellation) if "is open, but its source" not in problem] == []
        return True

    line = TaskStarLine("a", "b", DependencyType.CONDITIONAL, "does " + deed, judge)
    constellation.add_dependency(line)
    async with rig("d1") as house:
        await house.run(constellation, "round_robin")
        assert house.slots_are_free()
    assert {task_id: task.status.value for task_id, task in constellation.tasks.items()} == {
        "a": "completed",
        **expected,
    }
    assert graph_problems(constellation) == []


@pytest.mark.anyio
async def test_a_condition_that_cancels_tasks_through_the_orchestrator_is_obeyed() -> None:
    constellation = plan("a b ready running")
    async with rig("d1", slots=2) as house:
        house.transport.script("running", hang)

        def judge(payload: Any) -> bool:
            return all(house.orchestrator.cancel_task(task_id) for task_id in ("b", "ready", "running"))

        constellation.add_dependency(TaskStarLine("a", "b", DependencyType.CONDITIONAL, "cancels", judge))
        constellation.add_dependency(link("a>ready"))
        await house.run(constellation, "round_robin")
        assert house.slots_are_free()
    assert {task_id for task_id, task in constellation.tasks.items() if task.status == "cancelled"} == {
        "b",
        "ready",
        "running",
    }
    assert graph_problems(constellation) == []


def test_a_thousand_links_judged_by_one_end_are_each_asked_once() -> None:
    asked: list[int] = []

    def odd(i: int) -> bool:
        asked.append(i)
        return i % 2 == 1

    constellation = plan("a " + " ".join(f"b{i}" for i in range(1000)))
    for i in range(1000):
        constellation.add_dependency(
            TaskStarLine("a", f"b{i}", DependencyType.CONDITIONAL, "odd", lambda _, i=i: odd(i))
        )
    ready = constellation.mark_task_completed("a", True)
    assert asked == list(range(1000))
    assert [task.task_id for task in ready] == [f"b{i}" for i in range(1, 1000, 2)]
    assert len([task for task in constellation.tasks.values() if task.status.value == "skipped"]) == 500
