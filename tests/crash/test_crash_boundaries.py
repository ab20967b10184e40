"""An orchestrator that dies at every boundary of its journal, on plans of five shapes with real processes."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest

from galaxy_core import Effect, TaskStatus
from galaxy_core.model.records.replay import Replay
from galaxy_core_journal import SqliteJournal
from tests.crash.boundaries import KINDS, Kind, run
from tests.crash.plans import SHAPES, Workload, workload

TASKS = 4


def _judge(work: Workload) -> list[str]:
    """What is wrong with what was done, and with what is kept of it."""
    journal = SqliteJournal(work.folder / "journal")
    replay, wrong = Replay(), []
    for line in journal.read(journal.runs()[0]):
        replay.take(line)
    plan = replay.constellation()
    for task_id, effect in work.effects.items():
        task, began, ended = plan.get_task(task_id), work.began(task_id), work.ended(task_id)
        assert task is not None
        if task.status is not TaskStatus.COMPLETED:
            wrong.append(f"{task_id} is {task.status.value}: {task.error}")
        if not ended:
            wrong.append(f"{task_id} has never come to its end")
        if effect == Effect.ONCE.value and (ended > 1 or began > work.failures[task_id] + 1):
            wrong.append(f"{task_id} may run once, began {began} times and ended {ended} times")
    return wrong


def _died(folder: Path, shape: str, kind: Kind, fatal: int) -> bool:
    """Die at one write, go on in another process, and look; False when the run has no such write."""
    work = workload(folder / f"{kind}-{fatal}", shape, Random(7), TASKS)
    status, _ = run(work, fatal, kind)
    if status == "completed":
        return False
    assert status == "killed", f"{kind} {fatal}: {status}"
    status, _ = run(work)
    assert status == "completed", f"{kind} {fatal}: the second process ended {status}"
    wrong = _judge(work)
    assert not wrong, f"{kind} {fatal}: {wrong}"
    return True


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", SHAPES)
def test_death_at_any_boundary_loses_nothing_and_runs_nothing_twice(tmp_path: Path, shape: str, kind: Kind) -> None:
    fatal = 1
    while _died(tmp_path, shape, kind, fatal):
        fatal += 1
    assert fatal > 3, "a run has more writes than that"
