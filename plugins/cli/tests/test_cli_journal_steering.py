"""Runs that are paused, stopped, and told what became of a task."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from galaxy_core_cli.exits import Exit

from .asking import TIMEOUT_S, Galaxy, Install, Write, command
from .reached import Run, Start

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there are no control sockets there")

#: A device that loses the answer about `pay` while there is a file `forgets`.
FORGETFUL = """
    import os
    from contextlib import asynccontextmanager
    from galaxy_core import Completed, Unknown, hookimpl
    from galaxy_core.extension.interfaces import FEATURES_OF_COMMANDS

    class Session:
        async def execute(self, attempt):
            if attempt.task.task_id == "pay" and os.path.exists("forgets"):
                return Unknown("the line was cut")
            return Completed(f"{attempt.task.task_id} was done")

        async def probe(self):
            return {}

    class Forgetful:
        name, requests, actions, device_type = "forgetful", frozenset({"run"}), {}, None
        settings_model = discovery_model = None
        features = FEATURES_OF_COMMANDS

        @asynccontextmanager
        async def open(self, device, settings):
            yield Session()

    @hookimpl
    def galaxy_transports():
        return [Forgetful()]
"""
PAYING = """
    name: paying
    tasks:
      pay: {run: [pay], device: far}
      thank: {run: [thank], device: far, needs: [pay]}
      file: {run: [file], device: far, needs: [thank]}
      apart: {run: [apart], device: far}
"""


def status(galaxy: Galaxy) -> str:
    return str(json.loads(galaxy("runs", "--json").out)[0]["status"])


def test_a_paused_run_starts_nothing_until_it_is_continued(start: Start, galaxy: Galaxy) -> None:
    run = start()
    paused = galaxy("pause", run.name)
    assert (paused.code, paused.err) == (0, "")
    assert paused.out == f"paused: {run.name}; 1 task still runs; to go on: galaxy continue {run.name}\n"
    assert status(galaxy) == "paused"
    run.go()
    run.until(type="task_completed", task="wait")
    assert "paused" in galaxy("why", "last", "last").out
    assert json.loads(galaxy("pause", "last", "--json").out)["changed"] is False
    assert galaxy("continue", "nightly").out == f"goes on: {run.name}\n"
    assert run.to_the_end()[0] == 0
    assert run.ended() == ["first", "wait", "last"]


def test_a_stopped_run_lets_tasks_end_leaves_and_is_resumed(start: Start, galaxy: Galaxy) -> None:
    run = start()
    with subprocess.Popen(command("stop", "last"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as stop:
        assert stop.stderr is not None
        assert stop.stderr.readline() == f"stopping: {run.name}; 1 task still runs\n"
        assert status(galaxy) == "stopping"
        run.go()
        code, err = run.to_the_end()
        assert code == Exit.STOPPED, err
        out, _ = stop.communicate(timeout=TIMEOUT_S)
    assert (stop.returncode, out) == (0, f"stopped: {run.name}; to go on: galaxy resume {run.name}\n")
    assert run.ended() == ["first", "wait"]
    assert run.events[-1]["status"] == "stopped"
    assert status(galaxy) == "stopped"
    for word in ("stop", "pause", "continue"):
        late = galaxy(word, "last")
        assert (late.code, late.out) == (Exit.REFUSED, "")
        assert f"is not under way: stopped; to go on with it: galaxy resume {run.name}" in late.err
    resumed = galaxy("resume", "last")
    assert (resumed.code, resumed.out) == (0, "end\n")


def test_a_run_that_nothing_keeps_is_not_stopped(start: Start, galaxy: Galaxy) -> None:
    run = start("--journal", "none")
    done = galaxy("stop", run.name)
    assert (done.code, done.out) == (Exit.NOT_ALL, "")
    assert "kept in no journal" in done.err
    assert f"with Ctrl-C in its terminal, or kill {run.process.pid}\n" in done.err
    run.go()
    assert run.to_the_end()[0] == 0


def test_what_is_stopped_waits_for_nobody_when_that_is_not_wanted(start: Start, galaxy: Galaxy) -> None:
    run = start()
    done = galaxy("stop", run.name, "--no-wait", "--json")
    assert (done.code, json.loads(done.out)["running"]) == (0, 1)
    run.go()
    assert run.to_the_end()[0] == Exit.STOPPED


# ------------------------------------------------------------------------------------------------- resolve
@pytest.fixture
def paying(folder: Path, write: Write, install: Install) -> tuple[str, ...]:
    """The words that run a plan whose task `pay` ends unknown."""
    install("forgetful", FORGETFUL)
    write("forgets", "")
    write("plan.yaml", PAYING)
    write("devices.yaml", "devices: {far: {transport: forgetful, max_concurrency: 2}, here: {}}")
    return "run", "plan.yaml", "--devices", "devices.yaml", "--json"


def test_an_unknown_task_is_resolved_as_completed_and_what_waits_for_it_runs_after_resuming(
    paying: tuple[str, ...], galaxy: Galaxy
) -> None:
    first = galaxy(*paying)
    assert first.code == Exit.NOT_ALL, first.err
    assert first.events[-1]["counts"] == {"completed": 1, "unknown": 1, "skipped": 2}, first.out
    assert "pay" in galaxy("show", "last").out
    done = galaxy("resolve", "last", "pay", "--as", "completed")
    assert (done.code, done.err) == (0, "")
    run = first.events[-1]["run"]
    assert done.out == f"pay is completed\nopen again: thank, file\nto go on with the run: galaxy resume {run}\n"
    assert galaxy("runs").out.splitlines()[1].split()[2] == "reopened"
    resumed = galaxy("resume", "last", "--json")
    assert resumed.code == 0, resumed.err
    assert resumed.events[-1]["counts"] == {"completed": 4}
    assert [event["task"] for event in resumed.events if event["type"] == "task_started"] == ["thank", "file"]
    [told] = json.loads(galaxy("show", "last", "--json").out)["resolutions"]
    assert (told["task"], told["as"]) == ("pay", "completed")


def test_an_unknown_task_is_resolved_as_failed_and_nothing_is_left_to_resume(
    paying: tuple[str, ...], galaxy: Galaxy
) -> None:
    assert galaxy(*paying).code == Exit.NOT_ALL
    done = galaxy("resolve", "last", "pay", "--as", "failed")
    assert done.code == 0, done.err
    assert done.out == "pay is failed\nstill skipped: thank, file\nnothing is left to be done in this run\n"
    assert galaxy("resume", "last").code == Exit.REFUSED


def test_an_unknown_task_is_resolved_to_be_run_again(paying: tuple[str, ...], galaxy: Galaxy, folder: Path) -> None:
    assert galaxy(*paying).code == Exit.NOT_ALL
    assert galaxy("resolve", "last", "pay", "--as", "retry").out.startswith("pay is to be run again\n")
    (folder / "forgets").unlink()
    resumed = galaxy("resume", "last", "--json")
    assert resumed.events[-1]["counts"] == {"completed": 4}, resumed.err


def test_a_run_under_way_goes_on_at_once_when_a_task_is_resolved(
    paying: tuple[str, ...], galaxy: Galaxy, folder: Path, write: Write
) -> None:
    write(
        "plan.yaml",
        PAYING.replace("apart: {run: [apart], device: far}", 'wait: {shell: "read line < go", device: here}'),
    )
    run = Run(folder, *paying[2:4], plugins=True)
    run.until(type="task_unknown", task="pay")
    done = galaxy("resolve", "last", "pay", "--as", "completed", "--json")
    assert (done.code, json.loads(done.out)["follows"]) == (0, ["thank", "file"])
    run.until(type="task_completed", task="file")
    again = galaxy("resolve", "last", "pay", "--as", "failed")
    assert (again.code, again.out) == (Exit.NOT_ALL, "")
    assert "completed" in again.err
    run.go()
    assert run.to_the_end()[0] == 0


def test_what_cannot_be_resolved_is_told_with_what_was_meant(paying: tuple[str, ...], galaxy: Galaxy) -> None:
    nothing = galaxy("resolve", "last", "pay", "--as", "retry")
    assert (nothing.code, nothing.out) == (Exit.REFUSED, "")
    galaxy(*paying)
    for words, code, why in (
        (("last", "pya", "--as", "retry"), Exit.REFUSED, "error: no task 'pya'; did you mean 'pay'?"),
        (("last", "apart", "--as", "retry"), Exit.NOT_ALL, "task 'apart' is completed: only what ended unknown can be"),
        (("lats", "pay", "--as", "retry"), Exit.REFUSED, "lats"),
        (("last", "pay", "--as", "retired"), Exit.REFUSED, "retry"),
    ):
        done = galaxy("resolve", *words)
        assert (done.code, done.out) == (code, "")
        assert why in done.err
