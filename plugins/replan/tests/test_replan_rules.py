"""Rules that cannot be used: the run is refused, and every problem is told with its place."""

from __future__ import annotations

from typing import Any

import pytest

from galaxy_core import InvalidPlanError, TaskConstellation, parse_plan

from .house import Run, planned

pytestmark = pytest.mark.anyio

TASKS = """
  image: {run: [make, image]}
  flash: {run: [flash, {from: image}]}
"""


async def refusal(plan: TaskConstellation) -> str:
    """Why a run is refused, before anything of it starts."""
    run = Run(plan)
    with pytest.raises(InvalidPlanError) as caught:
        await run.to_end()
    assert run.order == []
    return "; ".join(caught.value.problems)


@pytest.mark.parametrize(
    ("rule", "problem"),
    [
        ({"on": ["flahs"], "retry": {}}, "rules[0].on[0]: there is no task 'flahs'; did you mean 'flash'?"),
        ({"on": ["flash"], "skip": {"until": ["end"]}}, "rules[0].skip.until[0]: there is no task 'end'"),
        ({"on": ["flash"]}, "rules[0]: a rule without an action: give it retry (which may be {}), skip or diagnose"),
        (
            {"on": ["flash"], "retry": {}, "skip": {"until": ["flash"]}},
            "rules[0]: retry and skip exclude each other: to skip when the retry fails, too, add a second rule",
        ),
        ({"on": ["flash"], "rety": {}}, "rules[0].rety: unknown key 'rety'; did you mean 'retry'?"),
        (
            {"on": ["flash"], "retry": {"devise": "x"}},
            "rules[0].retry.devise: unknown key 'devise'; did you mean 'device'",
        ),
        ({"on": "flash", "retry": {}}, "rules[0].on: found the text 'flash'; a list is wanted here"),
        ({"retry": {}}, "rules[0]: 'on' is missing"),
        ({"on": ["flash"], "when": ["broken"], "retry": {}}, "rules[0].when[0]: found the text 'broken'; allowed are"),
        ({"on": ["flash"], "at_most": 0, "retry": {}}, "rules[0].at_most: found the number 0; it must be at least 1"),
        ({"on": ["flash"], "if": "exitcode == `1`", "retry": {}}, "there is no 'exitcode' to look at; did you mean"),
        ({"on": ["flash"], "retry": {"device_type": "linus"}}, "rules[0].retry.device_type: found the text 'linus'"),
        (
            {"on": ["flash"], "retry": {"before": {"wipe": {"runn": ["wipe"]}}}},
            "rules[0].retry.before.wipe.runn: unknown key 'runn'; did you mean 'run'?",
        ),
        (
            {"on": ["flash"], "retry": {"before": {"wipe": {"run": ["wipe"], "needs": ["imge"]}}}},
            "rules[0].retry.before.wipe.needs[0]: there is no task 'imge'; did you mean 'image'?",
        ),
        (
            {"on": ["flash"], "retry": {"before": {"image": {"run": ["wipe"]}}}},
            "rules[0].retry.before.image: the plan has a task of this id already: take another one",
        ),
        (
            {"on": ["flash"], "retry": {"before": {"failed": {"run": ["wipe"]}}}},
            "rules[0].retry.before.failed: 'failed' is what the task that has failed is called here",
        ),
        (
            {
                "on": ["flash"],
                "retry": {"before": {"a": {"run": ["a"], "needs": ["b"]}, "b": {"run": ["b", {"from": "a"}]}}},
            },
            "a cycle: ",
        ),
        (
            {"on": ["flash"], "diagnose": {"run": ["x", {"from": "falied", "value": "stderr"}]}},
            "rules[0].diagnose.run[1].from: there is no task 'falied'",
        ),
        ({"on": ["flash"], "diagnose": {}}, "rules[0].diagnose: has nothing to do"),
    ],
)
async def test_a_wrong_rule_refuses_the_run_and_says_where_it_is_wrong(rule: dict[str, Any], problem: str) -> None:
    assert problem in await refusal(planned(TASKS, rule))


async def test_all_that_is_wrong_is_told_at_once() -> None:
    reason = await refusal(planned(TASKS, {"on": ["a", "b"], "retry": {}}, {"on": ["c"], "retry": {}}))
    assert [f"there is no task '{task}'" in reason for task in "abc"] == [True, True, True]


@pytest.mark.parametrize("configuration", [[], "rules", {"rules": []}, {"rule": [{}]}, None, {}])
async def test_what_is_no_list_of_rules_refuses_the_run(configuration: Any) -> None:
    plan = parse_plan({"tasks": {"a": {"run": ["a"]}}, "extensions": {"replan": configuration}})
    assert "extensions.replan" in await refusal(plan.to_constellation())


async def test_a_pattern_need_not_fit_any_task() -> None:
    run = await Run(planned(TASKS, {"on": ["nothing*"], "retry": {}})).to_end()
    assert run.result["status"] != "cancelled"


async def test_a_problem_names_its_place_in_the_plan() -> None:
    assert (await refusal(planned(TASKS, {"on": ["x"], "retry": {}}))).startswith("extensions.replan.rules[0].on[0]: ")
