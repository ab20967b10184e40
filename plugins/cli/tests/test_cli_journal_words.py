"""What is said of runs that wait for a word, are under way elsewhere, or are over: in each place the same, and the truth."""

from __future__ import annotations

import json
import os
import re
import signal
import sys
from pathlib import Path

import pytest

from galaxy_core.runtime.control import client
from galaxy_core_cli.exits import Exit
from galaxy_core_cli.kept import listing
from galaxy_core_cli.reaching import reached_row

from .asking import TIMEOUT_S, Galaxy, Install, Write
from .reached import ADD, Put, Start, watching
from .terminal import Terminal
from .test_cli_journal_steering import FORGETFUL, PAYING

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there are no control sockets there")

MORE = """
      tip: {run: [tip], device: far}
      bad: {run: ["false"], device: here}
      after: {run: [echo, never], device: here, needs: [bad]}
"""


@pytest.fixture
def waiting(galaxy: Galaxy, write: Write, install: Install) -> str:
    """The id of a run that is over, and two of whose tasks ended unknown."""
    install("forgetful", FORGETFUL.replace('== "pay"', 'in ("pay", "tip")'))
    write("forgets", "")
    write("plan.yaml", PAYING.rstrip(" ") + MORE.removeprefix("\n"))
    write("devices.yaml", "devices: {far: {transport: forgetful, max_concurrency: 3}, here: {}}")
    done = galaxy("run", "plan.yaml", "--devices", "devices.yaml", "--json")
    counts = {"completed": 1, "failed": 1, "unknown": 2, "skipped": 3}
    assert done.events[-1]["counts"] == counts, done.err
    return str(done.events[-1]["run"])


@pytest.mark.parametrize("large", [listing.LARGE_BYTES, 0])
def test_a_run_that_waits_for_a_word_says_so_and_is_removed_as_one_that_is_not_over(
    large: int, waiting: str, galaxy: Galaxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listing, "LARGE_BYTES", large)
    assert "  partially failed, 2 unknown  1 of 7 done  " in galaxy("runs").out
    [one] = json.loads(galaxy("runs", "--json").out)
    assert (one["status"], one["unknown"], one["resumable"]) == ("partially_failed", 2, False)
    assert "partially failed: 1 of 7 tasks done, 1 failed, 3 skipped, 2 unknown" in galaxy("show", waiting).out
    for words in (("--keep", "0"), ("--older-than", "0s")):
        assert json.loads(galaxy("prune", *words, "--yes", "--json").out)["removed"] == []
    told = json.loads(galaxy("prune", "--keep", "0", "--unfinished", "--yes", "--json").out)
    assert told["removed"] == [waiting]


def test_a_run_of_which_everything_was_said_is_over(waiting: str, galaxy: Galaxy) -> None:
    other = galaxy("resolve", waiting, "pay", "--as", "failed")
    assert other.out.splitlines()[:2] == ["pay is failed", "still skipped: thank, file"]
    assert f"galaxy resolve {waiting} tip --as WHAT" in other.out
    assert "nothing is left" not in other.out
    last = json.loads(galaxy("resolve", waiting, "tip", "--as", "failed", "--json").out)
    assert (last["follows"], last["skipped"]) == ([], [])
    assert json.loads(galaxy("prune", "--keep", "0", "--yes", "--json").out)["removed"] == [waiting]


def test_a_run_that_goes_on_tells_apart_what_was_done_and_what_ended_otherwise(
    waiting: str, galaxy: Galaxy, folder: Path
) -> None:
    assert galaxy("resolve", waiting, "pay", "--as", "retry").code == 0
    (folder / "forgets").unlink()
    told = galaxy("resume", waiting, "--plain")
    assert "paying: 7 tasks, 1 of them done before, 3 ended otherwise before\n" in told.out + told.err


def test_of_a_run_under_way_only_what_has_completed_is_done() -> None:
    counts = {"failed": 1, "skipped": 1, "unknown": 1, "running": 1}
    one = {"ok": True, "run": "r", "name": "n", "status": "executing", "started": None, "total_tasks": 4, "pid": 1}
    assert reached_row({**one, "counts": counts})[3] == "0 of 4 done"
    assert reached_row({**one, "counts": {**counts, "completed": 2}})[3] == "2 of 4 done"


def test_a_paused_run_is_shown_as_paused(start: Start, galaxy: Galaxy) -> None:
    run = start()
    assert re.search(r"^status +executing: 1 of 3 tasks done", galaxy("show", "last").out, re.MULTILINE)
    assert galaxy("pause", run.name).code == 0
    assert re.search(r"^status +paused: 1 of 3 tasks done", galaxy("show", "last").out, re.MULTILINE)
    assert json.loads(galaxy("show", "last", "--json").out)["status"] == "paused"


def test_of_a_run_that_does_not_answer_what_its_journal_knows_is_listed(
    start: Start, galaxy: Galaxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "PATIENCE_S", 0.1)
    run = start()
    run.process.send_signal(signal.SIGSTOP)
    listed = galaxy("runs")
    run.process.send_signal(signal.SIGCONT)
    row = rf"{run.name}  nightly  no answer  1 of 3 done  \S+ +{run.process.pid}"
    assert re.fullmatch(row, listed.out.splitlines()[1]), listed.out
    assert "may be stopped, or busy" in listed.err
    run.go()
    assert run.to_the_end()[0] == 0


def test_who_watches_a_run_whose_process_is_killed_is_told_how_to_go_on_with_it(
    start: Start, monkeypatch: pytest.MonkeyPatch, folder: Path, journal: Path
) -> None:
    run = start()
    monkeypatch.setenv("GALAXY_JOURNAL", str(folder / "another one"))
    with watching(run.name) as (watch, _):
        run.process.kill()
        _, said = watch.communicate(timeout=TIMEOUT_S)
        run.process.communicate(timeout=TIMEOUT_S)
    assert watch.returncode == Exit.REFUSED
    assert said.endswith(f"to go on with it: GALAXY_JOURNAL={journal} galaxy resume {run.name}\n"), said


def test_a_run_without_a_control_socket_can_be_killed_and_resumed(start: Start, galaxy: Galaxy) -> None:
    run = start("--no-control")
    for words in (("stop", "last"), ("pause", "nightly"), ("watch", run.name)):
        told = galaxy(*words).err
        assert told.endswith(f"it cannot be reached. kill {run.process.pid} stops it, so that it can be resumed\n"), (
            told
        )
    run.process.terminate()
    run.go()
    assert run.to_the_end()[0] == Exit.STOPPED
    assert galaxy("resume", "last").out == "end\n"


def test_who_would_resume_a_run_that_is_under_way_is_told_how_to_follow_it(start: Start, galaxy: Galaxy) -> None:
    run = start()
    told = galaxy("resume", "nightly").err
    assert re.search(rf"the only one is .* \(under way, .*\); to follow it: galaxy watch {run.name}\n$", told), told
    run.go()
    assert run.to_the_end()[0] == 0


def test_a_task_that_a_run_does_not_have_is_told_alike_under_way_and_kept(start: Start, galaxy: Galaxy) -> None:
    run = start()
    expected = "error: no task 'lsat'; did you mean 'last'?\n"
    words = (("why", run.name, "lsat"), ("resolve", run.name, "lsat", "--as", "retry"), ("show", run.name, "lsat"))
    for line in words:
        assert (galaxy(*line).err, galaxy(*line).code) == (expected, Exit.REFUSED)
        far = (line[0], line[1], "nobody", *line[3:])
        assert galaxy(*far).err == "error: no task 'nobody'; there are 'first', 'wait', 'last'\n"
    run.go()
    assert run.to_the_end()[0] == 0
    for line in words[1:]:
        assert galaxy(*line).err == expected


def test_why_and_edit_say_how_a_run_ended_that_is_not_under_way(start: Start, galaxy: Galaxy, transaction: Put) -> None:
    run = start()
    run.go()
    assert run.to_the_end()[0] == 0
    expected = f"error: run '{run.name}' is not under way: completed; what is kept of it: galaxy show {run.name}\n"
    for name in (run.name, run.name[-8:], "last", "nightly"):
        assert galaxy("why", name, "first").err == expected
        assert galaxy("edit", name, transaction(ADD), "--apply").err == expected
        assert galaxy("edit", name, "--undo", "e").err == expected


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() != 0, reason="only root can give files away")
def test_a_run_of_another_user_is_told_as_such_with_its_process(start: Start, galaxy: Galaxy, journal: Path) -> None:
    run = start("--no-control")
    row = galaxy("runs").out.splitlines()[1]
    assert re.search(rf"  under way +1 of 3 done  .* {run.process.pid}$", row)
    assert "has no control socket" in galaxy("stop", run.name).err
    place = journal / run.name
    for path in (place, *place.rglob("*")):
        os.chown(path, 65534, -1)
    for words in (("stop", run.name), ("watch", run.name), ("why", run.name, "first")):
        refused = galaxy(*words)
        assert refused.code == Exit.REFUSED
        assert re.search(rf"belongs to user \S+: do it as that user, or kill {run.process.pid}$", refused.err.rstrip())
    run.go()
    assert run.to_the_end()[0] == 0


def test_how_a_run_is_reached_is_said_only_when_it_has_begun(galaxy: Galaxy, write: Write) -> None:
    write("plan.yaml", "tasks: {a: {run: [echo, hi]}}")
    with Terminal("run", "plan.yaml") as terminal:
        terminal.until("galaxy watch, why or edit constellation_")
        assert terminal.to_the_end() == 0
    with Terminal("resume", "last") as terminal:
        terminal.until("error: .*is over")
        assert terminal.to_the_end() == Exit.REFUSED
    assert "galaxy watch" not in terminal.text


def test_the_path_of_a_plan_is_shown_without_detours(galaxy: Galaxy, write: Write, folder: Path) -> None:
    write("plan.yaml", "tasks: {}")
    (folder / "sub").mkdir()
    assert galaxy("run", "sub/../plan.yaml").code == 0
    assert f", from {folder / 'plan.yaml'}\n" in galaxy("show", "last").out
