"""Which run is meant, and what is told of runs that were kept: not less, and not more, than is known."""

from __future__ import annotations

import json
import re
import signal
import sys
import time
from pathlib import Path

import pytest

from galaxy_core_cli.exits import Exit

from .asking import TIMEOUT_S, Galaxy, Write
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


def test_last_says_which_run_it_is_when_the_journal_here_does_not_have_it(
    start: Start, galaxy: Galaxy, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = start()
    assert galaxy("pause", "last").err == ""
    with monkeypatch.context() as elsewhere:
        elsewhere.setenv("GALAXY_JOURNAL", str(folder / "another"))
        told = galaxy("continue", "last")
    assert told.out == f"goes on: {run.name}\n"
    assert f"last: run {run.name} of plan 'nightly', which is not kept in the journal that is used here" in told.err
    run.go()
    assert run.to_the_end()[0] == 0


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
    assert "it was cancelled, with 1 of 3 tasks done, and that is for good: run the plan anew" in done.err
    assert "galaxy stop" in done.err
    assert "nothing of it is left" not in done.err


# ------------------------------------------------------------------------------------------------ long texts
def test_a_text_that_is_too_long_for_a_record_is_shown_whole_or_it_is_told_where_it_is(
    galaxy: Galaxy, write: Write, journal: Path
) -> None:
    write("devices.yaml", "devices: {here: {settings: {output_cap_bytes: 3000000}}}")
    write("plan.yaml", "tasks: {a: {shell: \"head -c 2000000 /dev/zero | tr '\\\\0' x; echo; echo the end\"}}")
    assert galaxy("run", "plan.yaml", "--devices", "devices.yaml").code == 0
    assert "2,000,009 characters: galaxy show RUN a" in galaxy("show", "last").out
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
