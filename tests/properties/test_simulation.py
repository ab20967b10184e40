"""Plans that are edited while they run, in seeded worlds: what holds in each of them is said in tests/properties/sim."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.properties.sim.draws import AUTHORS, SHAPES, scenario
from tests.properties.sim.simulation import Trace, simulate

both = pytest.mark.parametrize("backend", ["asyncio", "trio"])

#: `python -m tests.properties.sim` runs as many as one likes.
SEEDS = 300


@both
@pytest.mark.parametrize("first", range(0, SEEDS, 50))
def test_whoever_edits_whatever_happens_every_law_holds(backend: str, first: int) -> None:
    traces = [simulate(seed, backend) for seed in range(first, first + 50)]
    wrong = [trace for trace in traces if trace.problems]
    assert not wrong, "\n".join(map(str, wrong))


@both
def test_one_seed_replays_the_same_story(backend: str) -> None:
    for seed in range(25):
        assert simulate(seed, backend) == simulate(seed, backend)


@both
def test_a_seed_is_the_same_story_in_another_process(backend: str) -> None:
    """Whatever order the hashes of texts come in there."""
    said = [
        subprocess.run(
            [sys.executable, "-m", "tests.properties.sim", "--seeds", "12", "--backend", backend, "--story"],
            cwd=Path(__file__).parents[2],
            env={**os.environ, "PYTHONHASHSEED": hashes},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for hashes in ("1", "2")
    ]
    assert said[0]
    assert said[0] == said[1]


def test_the_worlds_are_as_varied_as_they_are_meant_to_be() -> None:
    """Else laws hold because nothing happens that could break them."""
    drawn = [scenario(seed) for seed in range(SEEDS)]
    assert {one.shape for one in drawn} == set(SHAPES)
    assert {kind for one in drawn for kind in one.authors} == set(AUTHORS)
    stories = [simulate(seed, "asyncio").story for seed in range(SEEDS)]
    told = Counter(line.split(" ")[1] for story in stories[:60] for line in story)
    for kind in ("edit_committed", "edit_conflicted", "edit_refused", "edit_timed_out", "modification_timed_out"):
        assert told[kind] > 5, (kind, told)
    told_by = "\n".join(line for story in stories for line in story)
    assert " edit_undone " in told_by
    for what in (
        *(
            "Undo: Add task",
            "Redo: ",
            "Undo: Update task",
            "in place: ['UpdateTask']",
            "in place: ['RemoveDependency']",
        ),
        *("is started by hand", "is ended by hand: fail", "is ended by hand: complete", "is retried by hand"),
        *("a condition edits", "a condition removes", "a condition turns", "a condition ends"),
        *("edit_refused Undo: ", "edit_conflicted Merge of "),
    ):
        assert what in told_by, what
    for kind in ("task_skipped", "task_cancelled", "task_retrying", "device_disconnected"):
        assert told[kind], (kind, told)


def test_a_failing_seed_is_named() -> None:
    assert "seed 17 on trio" in str(Trace(17, "trio", ("a law is broken",), ()))
