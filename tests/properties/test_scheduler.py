"""The scheduler in random worlds: whatever happens, runs end, every task in one way that can be explained."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings, target

from tests.properties.draws import CANCELS, LOSSES, calm, rough
from tests.properties.oracle import outcomes
from tests.properties.script import Play, Script, run_script

both = pytest.mark.parametrize("backend", ["asyncio", "trio"])
many = settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])


def played(script: Script, backend: str) -> Play:
    """A script that was played, and in which nothing was wrong."""
    play = run_script(script, backend)
    assert not play.world.problems, "\n".join(play.world.problems)
    return play


@both
@many
@given(script=calm())
def test_in_a_calm_world_every_task_ends_as_the_oracle_says(backend: str, script: Script) -> None:
    play = played(script, backend)
    for run_id, run in zip(play.run_ids, script.runs, strict=True):
        assert run_id in play.results, play.refused
        actual = {task.task_id: task.status for task in play.world.constellations[run_id].get_all_tasks()}
        for task_id, ends in outcomes(run.plan).items():
            assert actual[task_id] in {end.status for end in ends}, (run_id, task_id, actual, ends)


@both
@many
@given(script=rough(LOSSES))
def test_devices_may_come_and_go(backend: str, script: Script) -> None:
    played(script, backend)


@both
@many
@given(script=rough(CANCELS))
def test_tasks_and_runs_may_be_cancelled_at_any_moment(backend: str, script: Script) -> None:
    played(script, backend)


@both
@many
@given(script=rough(("edit",)))
def test_plans_may_be_edited_while_they_run(backend: str, script: Script) -> None:
    played(script, backend)


@both
@many
@given(script=rough((*LOSSES, *CANCELS, "edit", "edit", "edit")))
def test_everything_may_happen_at_once(backend: str, script: Script) -> None:
    played(script, backend)
