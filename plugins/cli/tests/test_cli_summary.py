"""What is said of a run at its end, and of what is left of it."""

from __future__ import annotations

from typing import Any

import pytest

from galaxy_core import ExecutionResult, TaskConstellation, TaskStar, TaskStatus
from galaxy_core.errors import OutcomeUnknownError
from galaxy_core_cli.running.ending import Ending
from galaxy_core_cli.running.following import Follower
from galaxy_core_cli.running.picture import UNICODE
from galaxy_core_cli.running.summary import summary


def ended(status: str, *unknown: str, metadata: dict[str, Any] | None = None) -> list[str]:
    """The summary of a run that is kept, with these tasks, all unknown; `metadata` are those of the result of `a`."""
    constellation = TaskConstellation("r", "nightly")
    for task_id in unknown:
        task = TaskStar(task_id)
        constellation.add_task(task)
        constellation.begin(task, 1.0)
        constellation.end(task, TaskStatus.UNKNOWN, None, OutcomeUnknownError(task_id, "it went"), 2.0)
    ending = Ending(constellation, is_kept=True, journal="sqlite")
    result = ExecutionResult("a", "completed", stdout="x", metadata=metadata or {})
    ending.result = {"status": status, "results": {"a": result}, "statistics": constellation.get_statistics()}
    return [line.plain for line in summary(constellation, ending, UNICODE)]


@pytest.mark.parametrize(
    ("metadata", "said"),
    [
        (
            {"settled": True, "truncated": True, "stdout_kept_bytes": 65536, "stderr_kept_bytes": 0},
            "a: stdout is cut to its first 65,536 bytes; the rest went with the process that read it",
        ),
        ({"truncated": True, "stdout_kept_bytes": 4096}, "a: stdout is cut to its first 4,096 bytes; the rest is lost"),
        (
            {"truncated": True, "stderr_bytes": 9000, "stderr_kept_bytes": 4096, "stderr_file_bytes": 9000},
            "a: stderr is cut to the first 4,096 of 9,000 bytes; a file has all of it",
        ),
    ],
)
def test_whoever_sees_an_output_that_is_cut_is_told_so(metadata: dict[str, Any], said: str) -> None:
    assert [line for line in ended("completed", metadata=metadata) if "cut" in line] == [said]


@pytest.mark.parametrize("status", ["failed", "cancelled"])
def test_whatever_the_end_it_says_how_to_say_what_became_of_unknown_tasks(status: str) -> None:
    said = "\n".join(ended(status, "u"))
    assert "\nlook, and say what became of it, with completed, failed or retry for WHAT: galaxy resolve r u" in said
    assert ("to leave a run so that it can be resumed" in said) == (status == "cancelled")


@pytest.mark.parametrize(("status", "held"), [("executing", ""), ("paused", ", paused"), ("stopping", ", stopping")])
def test_who_begins_to_watch_a_run_hears_that_it_is_held(status: str, held: str) -> None:
    about = {"run": "r", "name": "nightly", "status": status, "started": 1.0, "total_tasks": 2, "running": []}
    lines = list(Follower({**about, "counts": {"completed": 1, "pending": 1}}).beginning())
    assert lines == [f"nightly: 2 tasks, 1 completed{held}"]
