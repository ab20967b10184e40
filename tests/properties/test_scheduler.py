"""The scheduler in random worlds: whatever happens, runs end, every task in one way that can be explained."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from galaxy_core import DependencyType
from tests.properties.draws import CANCELS, LOSSES, calm, plain, rough
from tests.properties.oracle import outcomes, start_order
from tests.properties.play import Play, run_script
from tests.properties.values import DevicePlan, Happening, LinkPlan, Plan, RunPlan, Script, TaskPlan

both = pytest.mark.parametrize("backend", ["asyncio", "trio"])
EVERYTHING = (*LOSSES, *CANCELS, *(3 * ("edit",)))


def examples(count: int) -> settings:
    return settings(max_examples=count, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])


def played(script: Script, backend: str) -> Play:
    """A script that was played, and in which nothing was wrong."""
    play = run_script(script, backend)
    assert not play.world.problems, "\n".join(play.world.problems)
    return play


@both
@examples(150)
@given(script=calm())
def test_in_a_calm_world_every_task_ends_as_the_oracle_says(backend: str, script: Script) -> None:
    play = played(script, backend)
    for run_id, run in zip(play.run_ids, script.runs, strict=True):
        assert run_id in play.results, play.refused
        actual = {task.task_id: task.status for task in play.world.constellations[run_id].get_all_tasks()}
        for task_id, ends in outcomes(run.plan).items():
            assert actual[task_id] in {end.status for end in ends}, (run_id, task_id, actual, ends)


@both
@examples(100)
@given(plan=plain(), late=st.booleans(), seed=st.integers(0, 99))
def test_one_slot_serves_tasks_by_priority_then_by_age(backend: str, plan: Plan, late: bool, seed: int) -> None:
    script = Script((DevicePlan(),), (RunPlan(plan, "late" if late else "static"),), seed=seed)
    started = [one.task.task_id for one in played(script, backend).world.tries]
    assert started == start_order(plan, late=late)


@both
@examples(150)
@given(script=rough(LOSSES))
def test_devices_may_come_and_go(backend: str, script: Script) -> None:
    played(script, backend)


@both
@examples(150)
@given(script=rough(CANCELS))
def test_tasks_and_runs_may_be_cancelled_at_any_moment(backend: str, script: Script) -> None:
    played(script, backend)


@both
@examples(150)
@given(script=rough(("edit",)))
def test_plans_may_be_edited_while_they_run(backend: str, script: Script) -> None:
    played(script, backend)


@both
@examples(150)
@given(script=rough(EVERYTHING))
def test_everything_may_happen_at_once(backend: str, script: Script) -> None:
    played(script, backend)


@both
@examples(40)
@given(script=rough(EVERYTHING))
def test_the_same_seed_replays_the_same_story(backend: str, script: Script) -> None:
    assert story(run_script(script, backend)) == story(run_script(script, backend))


def story(play: Play) -> list[tuple[Any, ...]]:
    """Everything that was told, when, and everything that devices were asked to do."""
    told = [
        (
            heard_at,
            event.timestamp,
            event.event_type,
            event.source_id,
            event.data.get("device_id"),
            *(str(getattr(event, name, None)) for name in ("task_id", "status", "error")),
        )
        for heard_at, event in play.world.events
    ]
    done = [
        (one.run_id, one.task.task_id, one.device_id, one.began_at, one.end, one.ended_at) for one in play.world.tries
    ]
    return [*told, *done]


@both
@pytest.mark.parametrize("strategy", ["static", "late"])
def test_a_long_chain_of_tasks_that_no_device_can_run_any_more_ends(backend: str, strategy: str) -> None:
    names = [f"t{number}" for number in range(2000)]
    links = [LinkPlan(source, target, DependencyType.UNCONDITIONAL) for source, target in pairwise(names)]
    plan = Plan(tuple(map(TaskPlan, names)), tuple(links))
    script = Script((DevicePlan(),), (RunPlan(plan, strategy),), (Happening("disconnect", at=0.5),))
    play = run_script(script, backend)
    assert play.results["run0"]["status"] == "failed"
