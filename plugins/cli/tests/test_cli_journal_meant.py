"""Which run is meant, and what is told of runs that were kept: not less, and not more, than is known."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from galaxy_core_cli.exits import Exit

from .asking import TIMEOUT_S, Galaxy, Write, command
from .reached import PLAN, Run, Start

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there are no control sockets there")


def plan_named(name: str) -> str:
    return f"name: {name}\ntasks: {{a: {{run: [echo, hi]}}}}\n"


def stopped(start: Start) -> str:
    """A run that was stopped after the second of its three tasks."""
    run = start()
    run.process.send_signal(signal.SIGTERM)
    run.go()
    assert run.to_the_end()[0] == Exit.STOPPED
    return run.name


# ----------------------------------------------------------------------------------------------------------- last
def test_last_is_the_newest_run_be_it_kept_or_not(start: Start, galaxy: Galaxy, write: Write) -> None:
    write("kept.yaml", plan_named("kept"))
    assert galaxy("run", "kept.yaml").code == 0
    unkept = start("--journal", "none")
    assert json.loads(galaxy("why", "last", "wait", "--json").out)["kind"] == "running"
    assert galaxy("pause", "last").out.startswith(f"paused: {unkept.name}")
    assert galaxy("run", "kept.yaml").code == 0
    late = galaxy("pause", "last")
    assert (late.code, late.out) == (Exit.REFUSED, "")
    assert "is not under way: completed" in late.err
    assert galaxy("continue", unkept.name).code == 0
    unkept.go()
    assert unkept.to_the_end()[0] == 0


@pytest.fixture
def elsewhere(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """From now on commands look into another journal, whose folder has a space in its name; this is the one before."""
    before = os.environ["GALAXY_JOURNAL"]
    monkeypatch.setenv("GALAXY_JOURNAL", str(folder / "another one"))
    return Path(before)


def test_last_is_no_run_of_another_journal(
    start: Start, galaxy: Galaxy, write: Write, journal: Path, request: pytest.FixtureRequest
) -> None:
    run = start()
    assert galaxy("pause", "last").err == ""
    request.getfixturevalue("elsewhere")
    what = f"run {run.name} of plan 'nightly' is under way, and kept in another journal, {journal}"
    for words in (("continue", "last"), ("why", "last", "wait"), ("watch", "last"), ("stop", "last")):
        told = galaxy(*words)
        assert (told.code, told.out) == (Exit.REFUSED, "")
        assert told.err.endswith(f"But {what}: name it by its id\n"), told.err
    write("kept.yaml", plan_named("kept"))
    started = galaxy("run", "kept.yaml", "--json").events[-1]
    assert "is not under way: completed" in galaxy("continue", "last").err
    assert galaxy("continue", run.name).err == ""
    assert started["name"] == "kept"
    run.go()
    assert run.to_the_end()[0] == 0


def test_a_newer_run_of_another_journal_is_told_of_and_passed_over(
    start: Start, galaxy: Galaxy, write: Write, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as before:
        before.setenv("GALAXY_JOURNAL", str(folder / "another one"))
        write("kept.yaml", plan_named("kept"))
        kept = galaxy("run", "kept.yaml", "--json").events[-1]["run"]
    run = start()
    monkeypatch.setenv("GALAXY_JOURNAL", str(folder / "another one"))
    told = galaxy("pause", "last")
    assert (told.code, told.out) == (Exit.REFUSED, "")
    assert told.err.startswith(f"last is {kept}. A newer run {run.name} of plan 'nightly' is under way, and kept in ")
    assert f"run {kept!r} is not under way: completed" in told.err
    run.go()
    assert run.to_the_end()[0] == 0


def test_a_run_of_another_journal_that_is_meant_by_the_name_of_its_plan_is_told_to_be_one(
    start: Start, galaxy: Galaxy, journal: Path, request: pytest.FixtureRequest
) -> None:
    run = start()
    request.getfixturevalue("elsewhere")
    told = galaxy("pause", "nightly")
    other = f"run {run.name} is kept in another journal, {journal}\n"
    assert (told.out.startswith(f"paused: {run.name}"), told.err) == (True, other)
    assert galaxy("continue", run.name).err == ""
    assert galaxy("why", run.name[-8:], "wait").err == other
    assert galaxy("runs").err == f"{run.name}: kept in another journal, {journal}\n"
    [listed] = json.loads(galaxy("runs", "--json").out)
    assert listed["journal"] == {"name": "sqlite", "folder": str(journal)}
    run.go()
    assert run.to_the_end()[0] == 0


def test_of_two_runs_of_a_name_the_one_that_is_kept_here_is_meant(
    start: Start, galaxy: Galaxy, request: pytest.FixtureRequest
) -> None:
    there = start()
    request.getfixturevalue("elsewhere")
    here = start()
    assert galaxy("pause", "nightly").out.startswith(f"paused: {here.name}")
    assert galaxy("continue", "nightly").err == ""
    for run in (there, here):  # both read the same pipe, so that neither can be let go alone
        run.process.send_signal(signal.SIGINT)
        assert run.to_the_end()[0] == Exit.CANCELLED


def test_what_is_said_about_a_stopped_run_of_another_journal_can_be_pasted(
    start: Start, galaxy: Galaxy, request: pytest.FixtureRequest
) -> None:
    run = start()
    before = request.getfixturevalue("elsewhere")
    with subprocess.Popen(command("stop", run.name), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as stop:
        assert stop.stderr is not None
        assert stop.stderr.readline().startswith("stopping: ")
        [listed] = json.loads(galaxy("runs", "--json").out)  # by then it watches, too
        assert listed["status"] == "stopping"
        run.go()
        out, _ = stop.communicate(timeout=TIMEOUT_S)
    assert run.to_the_end()[0] == Exit.STOPPED
    assert out == f"stopped: {run.name}; to go on: GALAXY_JOURNAL={before} galaxy resume {run.name}\n"


# -------------------------------------------------------------------------------------------------- names of plans
def test_a_run_is_resumed_by_the_name_of_its_plan_when_no_other_of_it_can_be(
    start: Start, galaxy: Galaxy, write: Write
) -> None:
    write("done.yaml", plan_named("nightly"))
    assert galaxy("run", "done.yaml").code == 0
    done = galaxy("resume", "nightly")
    assert (done.code, done.out) == (Exit.REFUSED, "")
    told = r"error: no run of plan 'nightly' can be resumed: the only one is \S+ \(completed, 1 of 1 done, started .* ago\)"
    assert re.fullmatch(told + "\n", done.err), done.err
    runs = [stopped(start) for _ in range(2)]
    several = galaxy("resume", "nightly")
    assert (several.code, several.out) == (Exit.REFUSED, "")
    assert several.err.startswith("error: 2 runs of plan 'nightly' can be resumed: ")
    assert all(name in several.err for name in runs)
    assert galaxy("resume", runs[0]).out == "end\n"
    assert galaxy("resume", "nightly").out == "end\n"
    assert "no run 'nihgtly' is recorded" in galaxy("resume", "nihgtly").err
    assert galaxy("show", "nightly").err.startswith("error: 3 runs of plan 'nightly' are kept: ")


def test_the_name_of_a_plan_is_meant_before_a_part_of_the_id_of_a_run_of_another(
    start: Start, galaxy: Galaxy, write: Write
) -> None:
    one = stopped(start)
    name = one[-8:]
    assert json.loads(galaxy("show", name, "--json").out)["run"] == one
    write("plan.yaml", PLAN.replace("nightly", f"'{name}'").replace("last:", "late:"))
    other = stopped(start)
    for verb in ("show", "replay", "export"):
        assert other in galaxy(verb, name).out
        assert one not in galaxy(verb, name).out
    assert "task 'late' is pending" in galaxy("resolve", name, "late", "--as", "retry").err
    refused = galaxy("pause", name)  # neither is under way: the plan is meant all the same
    assert f"run {other!r} is not under way: stopped" in refused.err
    assert galaxy("resume", name).out == "end\n"
    assert json.loads(galaxy("show", one, "--json").out)["status"] == "stopped"


@pytest.mark.parametrize("is_kept", [True, False])
def test_a_run_under_way_is_meant_by_the_name_of_its_plan_before_a_part_of_the_id_of_another(
    start: Start, galaxy: Galaxy, write: Write, is_kept: bool
) -> None:
    one = stopped(start) if is_kept else ""
    first = None if is_kept else start()
    name = (one if first is None else first.name)[-8:]
    write("plan.yaml", PLAN.replace("nightly", f"'{name}'"))
    run = start()
    assert galaxy("pause", name).out.startswith(f"paused: {run.name}")
    assert galaxy("continue", name).out == f"goes on: {run.name}\n"
    assert json.loads(galaxy("why", name, "wait", "--json").out)["kind"] == "running"
    assert f"run {run.name!r}" not in galaxy("resolve", name, "wait", "--as", "retry").err
    for each in filter(None, (first, run)):
        each.process.send_signal(signal.SIGINT)
        assert each.to_the_end()[0] == Exit.CANCELLED


def test_of_a_run_that_another_process_has_only_that_is_told(start: Start, galaxy: Galaxy) -> None:
    run = start()
    done = galaxy("resume", run.name)
    assert (done.code, done.out) == (Exit.REFUSED, "")
    assert re.fullmatch(r"error: .*process \d+.*\n", done.err), done.err
    run.go()
    assert run.to_the_end()[0] == 0


def test_a_run_that_was_cancelled_says_so_and_what_can_be_done(start: Start, galaxy: Galaxy) -> None:
    run = start()
    run.process.send_signal(signal.SIGINT)
    assert run.to_the_end()[0] == Exit.CANCELLED
    done = galaxy("resume", "last")
    assert (done.code, done.out) == (Exit.REFUSED, "")
    assert (
        "it was cancelled, with 1 of 3 tasks done, and what is cancelled does not go on: run the plan anew" in done.err
    )
    assert "galaxy stop" in done.err
    assert "nothing is left" not in done.err


# ------------------------------------------------------------------------------------------------ long texts
def test_a_text_that_is_too_long_for_a_record_is_shown_whole_or_it_is_told_where_it_is(
    galaxy: Galaxy, write: Write, journal: Path
) -> None:
    write("devices.yaml", "devices: {here: {settings: {output_cap_bytes: 3000000}}}")
    write("plan.yaml", "tasks: {a: {shell: \"head -c 2000000 /dev/zero | tr '\\\\0' x; echo; echo the end\"}}")
    assert galaxy("run", "plan.yaml", "--devices", "devices.yaml").code == 0
    for words in (("show", "last"), ("replay", "last")):
        page = galaxy(*words).out
        assert "  2,000,009 characters\n" in page
        [hint] = re.findall(r"^all that a printed: galaxy (.*)$", page, re.MULTILINE)
        assert galaxy(*hint.split()).out == galaxy("show", "last", "a").out
    whole = galaxy("show", "last", "a").out
    assert whole.endswith("x\nthe end\n")
    assert whole.count("x") > 2_000_000
    [task] = json.loads(galaxy("show", "last", "--json").out)["tasks"]
    assert task == json.loads(galaxy("show", "last", "a", "--json").out)
    assert (len(task["result"]["stdout"]), "cut" in task) == (2_000_009, False)
    [file] = journal.glob("*/files/texts/*.txt")
    file.write_text("something else")
    assert galaxy("show", "last", "a").out.endswith(f"… 2,000,009 characters in all: {file} is not what was kept\n")
    file.unlink()
    cut = json.loads(galaxy("show", "last", "a", "--json").out)["cut"]["stdout"]
    assert (cut["length"], "cannot be read" in cut["where"]) == (2_000_009, True)
    assert f"2,000,009 characters in all: {file} cannot be read: No such file" in galaxy("show", "last", "a").out


# ------------------------------------------------------------------------------------------------ times
def test_the_time_without_a_process_is_not_told_as_time_of_work(
    start: Start, galaxy: Galaxy, write: Write, folder: Path
) -> None:
    write("plan.yaml", PLAN.replace("read line", "touch began; read line"))
    begun_and_killed(start, folder).go()
    done = galaxy("resume", "last", "--json")
    result = done.events[-1]
    assert (done.code, result["type"]) == (0, "run_result"), done.err
    assert 0 < result["resumed_s"] < result["duration_s"]
    [row] = [line for line in galaxy("show", "last").out.splitlines() if line.startswith("wait ")]
    assert re.fullmatch(r"wait +completed +here +1 +<\S+ +\S.*", row), row
    begun_and_killed(start, folder).go()
    told = galaxy("resume", "last").err
    assert re.search(r"nightly completed: 3 of 3 tasks done in \S+ since it was resumed, \S+ since it began\n", told), (
        told
    )
    assert re.search(r"critical path at most \S+: ", told), told


def begun_and_killed(start: Start, folder: Path) -> Run:
    """A run that was killed while its second of three tasks really ran, which goes on."""
    run, began, deadline = start(), folder / "began", time.monotonic() + TIMEOUT_S
    while not began.exists():
        assert time.monotonic() < deadline, "its task has not begun"
        time.sleep(0.01)
    began.unlink()
    run.process.kill()
    run.process.communicate(timeout=TIMEOUT_S)
    return run
