"""Laws: whatever the rules say and whatever fails, a run ends, the plan is sound, and nothing runs that should not."""

from __future__ import annotations

from collections import Counter
from typing import Any

import anyio
import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from galaxy_core import Completed, DependencyType, Refused, Unknown
from galaxy_core.testing.fakes import Step, takes
from galaxy_core.testing.virtual_time import DAY_S, virtual_backend
from galaxy_core_replan.marks import history_of, mark_of

from .house import BROKEN, Run, planned

IDS = [f"t{number}" for number in range(6)]
GOOD = Completed(stdout="1", stderr="")
STEPS: list[Step] = [GOOD, BROKEN, takes(50), Refused("busy"), Unknown("lost"), takes(1, GOOD), takes(2, BROKEN)]
PATTERNS = st.lists(st.sampled_from([*IDS[:3], "*", "t[0-3]", "none*"]), min_size=1, max_size=2)
ENDS = st.lists(st.sampled_from(["failed", "timeout", "refused", "unknown"]), min_size=1, unique=True)
CONDITIONS = st.sampled_from(["status == 'failed'", "exit_code == `1`", "contains(stderr, 'space')"])


@st.composite
def tasks(draw: st.DrawFn) -> str:
    """A plan of six tasks in YAML; each may need earlier ones, in any of the ways, or take from them."""
    text = ""
    for number, task_id in enumerate(IDS):
        needs, takes_from = [], []
        for source in draw(st.lists(st.sampled_from(IDS[:number]), unique=True, max_size=3)) if number else []:
            how = draw(st.sampled_from(["success", "completion", "always", "when", "data"]))
            if how == "data":
                takes_from.append(f"{{from: {source}}}")
            elif how == "when":
                needs.append(f'{{task: {source}, when: "{draw(CONDITIONS)}"}}')
            else:
                needs.append(f"{{task: {source}, on: {how}}}")
        argv = ", ".join([task_id, *takes_from])
        text += f"  {task_id}: {{run: [{argv}], timeout_s: 9, needs: [{', '.join(needs)}]}}\n"
    return text


@st.composite
def rules(draw: st.DrawFn, number: int) -> dict[str, Any]:
    """A rule that any plan of these tasks takes, though some of its applications would close a cycle."""
    rule: dict[str, Any] = {"on": draw(PATTERNS), "at_most": draw(st.integers(1, 3)), "when": draw(ENDS)}
    if draw(st.booleans()):
        rule["if"] = draw(CONDITIONS)
    kind = draw(st.sampled_from(["retry", "skip", "diagnose", "both"]))
    if kind in ("retry", "both"):
        first = {"run": ["first"], "needs": draw(st.lists(st.sampled_from(IDS), max_size=1))}
        rule["retry"] = draw(st.sampled_from([{}, {"before": {f"first{number}": first}}, {"requires": ["nothing"]}]))
    if kind == "skip":
        rule["skip"] = {"until": draw(PATTERNS)}
    if kind in ("diagnose", "both"):
        rule["diagnose"] = {"run": ["look"]}
    return rule


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@settings(max_examples=60)
@given(data=st.data())
def test_with_any_rules_and_any_failures_a_run_ends_and_its_plan_is_sound(backend: str, data: st.DataObject) -> None:
    drawn = [data.draw(rules(number), label="rule") for number in range(data.draw(st.integers(1, 3)))]
    plan = planned(data.draw(tasks(), label="tasks"), *drawn)
    names = [*IDS, *(f"{task_id}.{copy}" for task_id in IDS for copy in (2, 3)), "t0.first0", "t0.diagnosis"]
    scripts: dict[str, Step | list[Step]] = {name: data.draw(st.sampled_from(STEPS), label=name) for name in names}
    run = Run(plan, scripts)

    async def to_end() -> None:
        with anyio.fail_after(DAY_S):
            await run.to_end()

    name, options = virtual_backend(backend, seed=0)
    anyio.run(to_end, backend=name, backend_options=options)
    event(f"{len(run.edits)} edits")
    check(run, drawn)


def check(run: Run, drawn: list[dict[str, Any]]) -> None:
    plan = run.plan
    assert plan.is_complete()
    assert max(Counter(run.order).values(), default=1) == 1, "no task here may be tried twice by itself"
    assert set(IDS) <= set(run.ends), "rules take nothing out of a plan"
    for task in plan.get_all_tasks():
        history = history_of(plan, task.task_id)
        assert all(count <= drawn[rule]["at_most"] for rule, count in history.applied.items())
        for line in plan.get_task_dependencies(task.task_id):
            source = plan.tasks[line.from_task_id]
            if task.task_id in run.order and line.dependency_type is DependencyType.SUCCESS_ONLY:
                assert str(source.status) == "completed", "nothing runs without the success that it needs"
            if mark_of(line) is not None and history.is_added:
                assert str(source.status) in ("failed", "unknown")
