"""Runs that are kept: listed, shown, exported, replayed, removed."""

from __future__ import annotations

import json
import os
import re
import stat
import sys
from pathlib import Path

import pytest

from galaxy_core_cli.exits import Exit

from .asking import Galaxy, Install, Write
from .reached import ADD, Put, Start
from .terminal import Terminal

PLAN = """
    name: report
    tasks:
      count: {shell: "echo one; echo 42", effect: read}
      bad: {shell: "echo trouble >&2; exit 3", name: Try it}
      after: {run: [echo, never], needs: [bad]}
      end: {run: [echo, {from: count}], needs: [count]}
"""


@pytest.fixture
def ran(galaxy: Galaxy, write: Write) -> str:
    """The id of a run that is over."""
    write("plan.yaml", PLAN)
    done = galaxy("run", "plan.yaml", "--json")
    assert done.code == Exit.NOT_ALL, done.err
    return str(done.events[-1]["run"])


# ------------------------------------------------------------------------------------------------- show
def test_a_run_is_shown_with_its_tasks_and_what_came_of_them(ran: str, galaxy: Galaxy) -> None:
    done = galaxy("show", "last")
    assert (done.code, done.err) == (0, "")
    facts, _, tasks = done.out.partition("\n\n")
    assert re.search(rf"^run +{ran}$", facts, re.MULTILINE)
    assert re.search(r"^status +partially failed: 2 of 4 tasks done, 1 failed, 1 skipped$", facts, re.MULTILINE)
    assert re.search(r"^plan +report, from /\S+plan.yaml$", facts, re.MULTILINE)
    assert re.search(r"^devices +here$", facts, re.MULTILINE)
    assert re.search(r"^kept +\d+ records, sync; by Galaxy ", facts, re.MULTILINE)
    lines = tasks.splitlines()
    assert lines[0].split() == ["TASK", "STATUS", "DEVICE", "ATTEMPTS", "TOOK", "RESULT"]
    assert re.fullmatch(r"count +completed +here +1 +\S+ +… 42", lines[1])
    assert re.fullmatch(r"bad \(Try it\) +failed +here +1 +\S+ +exit status 3", lines[2])
    assert re.fullmatch(r"after +skipped +prerequisite 'bad' ended failed.*", lines[3])
    assert "galaxy resume" not in done.out


def test_a_run_is_found_by_the_beginning_or_the_end_of_its_id(ran: str, galaxy: Galaxy) -> None:
    for wanted in (ran, ran[:-1], ran[-6:]):
        assert json.loads(galaxy("show", wanted, "--json").out)["run"] == ran
    for little in (ran[-3:], ran[:3], ran[-12:-2]):  # too short, or in the middle
        done = galaxy("show", little, "--json")
        assert (done.code, done.out, f"no run {little!r} is recorded" in done.err) == (2, "", True)


def test_all_of_a_run_is_told_to_programs(ran: str, galaxy: Galaxy) -> None:
    shown = json.loads(galaxy("show", ran, "--json").out)
    assert (shown["status"], shown["total_tasks"]) == ("partially_failed", 4)
    assert shown["counts"] == {"completed": 2, "failed": 1, "skipped": 1}
    tasks = {task["task"]: task for task in shown["tasks"]}
    assert tasks["count"]["result"]["stdout"] == "one\n42\n"
    assert tasks["bad"]["error"]
    assert shown["devices"][0]["device_id"] == "here"
    assert len(shown["source"]["sha256"]) == 64


def test_what_one_task_left_is_shown_whole(ran: str, galaxy: Galaxy) -> None:
    assert galaxy("show", "last", "count").out.endswith("\n==> stdout <==\none\n42\n")
    bad = galaxy("show", "last", "bad").out
    assert re.search(r"^exit code +3$", bad, re.MULTILINE)
    assert bad.endswith("\n==> stderr <==\ntrouble\n")
    wrong = galaxy("show", "last", "conut")
    assert (wrong.code, wrong.out) == (Exit.REFUSED, "")
    assert "did you mean 'count'" in wrong.err


@pytest.mark.skipif(sys.platform == "win32", reason="there are no control sockets there")
def test_edits_and_who_made_them_are_shown(start: Start, process: Galaxy, transaction: Put) -> None:
    run = start()
    assert process("edit", run.name, transaction(ADD), "--apply").code == 0
    run.go()
    assert run.to_the_end()[0] == 0
    shown = process("show", "last").out
    assert re.search(r"^REVISION +EDIT +BY$", shown, re.MULTILINE)
    assert re.search(r"^\d+ +one more +\S+$", shown, re.MULTILINE)
    [edit] = json.loads(process("show", "last", "--json").out)["edits"]
    assert edit["description"] == "one more"


# ------------------------------------------------------------------------------------------------- runs
def test_runs_that_are_over_are_listed_up_to_ten_and_all_of_them_when_that_is_asked_for(
    galaxy: Galaxy, write: Write
) -> None:
    write("plan.yaml", "tasks: {}")
    for _ in range(12):
        assert galaxy("run", "plan.yaml").code == 0
    few = galaxy("runs")
    assert len(few.out.splitlines()) == 11
    assert few.err == "and 2 more that are over: galaxy runs --all\n"
    every = galaxy("runs", "--all")
    assert (len(every.out.splitlines()), every.err) == (13, "")
    ids = [one["run"] for one in json.loads(galaxy("runs", "--all", "--json").out)]
    assert ids == [line.split()[0] for line in every.out.splitlines()[1:]]


def test_a_run_is_kept_nowhere_when_that_is_asked_for(galaxy: Galaxy, write: Write, journal: Path) -> None:
    write("plan.yaml", "tasks: {a: {run: [echo, hi]}}")
    for words in (("--journal", "none"), ("--durability", "off")):
        done = galaxy("run", "plan.yaml", *words)
        assert (done.code, done.out) == (0, "hi\n")
    assert not journal.exists()
    assert galaxy("runs").err == f"no run is under way that can be reached, and none is kept in {journal}\n"
    assert (galaxy("runs", "--json").out, galaxy("runs", "--json").err) == ("[]\n", "")


def test_where_no_journal_is_installed_a_line_says_so_and_the_plan_runs(galaxy: Galaxy, write: Write) -> None:
    write("plan.yaml", "tasks: {a: {run: [echo, hi]}}")
    done = galaxy("run", "plan.yaml", "--block", "galaxy-core-journal")
    assert (done.code, done.out) == (0, "hi\n")
    assert done.err.startswith("this run is kept nowhere")


# ------------------------------------------------------------------------------------------------- export
def test_records_are_exported_one_a_line(ran: str, galaxy: Galaxy, folder: Path) -> None:
    printed = galaxy("export", "last", "--jsonl")
    assert (printed.code, printed.err) == (0, "")
    records = [json.loads(line) for line in printed.out.splitlines()]
    assert [record[0] for record in records] == list(range(len(records)))
    assert (records[0][1], records[1][1], records[-1][1]) == ("galaxy", "plan", "over")
    written = galaxy("export", ran, "-o", "run.jsonl")
    assert (written.code, written.out) == (0, "")
    assert (folder / "run.jsonl").read_text() == printed.out
    if sys.platform != "win32":
        assert stat.S_IMODE((folder / "run.jsonl").stat().st_mode) == 0o600
    assert {path.name for path in folder.iterdir()} == {"plan.yaml", "run.jsonl"}


def test_an_export_overwrites_nothing_unless_it_is_told_to(ran: str, galaxy: Galaxy, folder: Path) -> None:
    (folder / "run.jsonl").write_text("mine")
    refused = galaxy("export", "last", "-o", "run.jsonl")
    assert (refused.code, refused.out) == (Exit.REFUSED, "")
    assert "is there already" in refused.err
    assert (folder / "run.jsonl").read_text() == "mine"
    assert galaxy("export", "last", "-o", "run.jsonl", "--force").code == 0
    assert (folder / "run.jsonl").read_text().startswith("[0,")


def test_an_export_that_cannot_be_written_leaves_nothing(ran: str, galaxy: Galaxy, folder: Path) -> None:
    done = galaxy("export", "last", "-o", "no/such/folder/run.jsonl")
    assert done.code == Exit.REFUSED
    assert "no/such/folder" in done.err
    if Path("/dev/full").exists():
        full = galaxy("export", "last", "-o", "/dev/full")
        assert full.code == Exit.REFUSED
        assert "/dev/full" in full.err
    assert [path.name for path in folder.iterdir()] == ["plan.yaml"]


# ------------------------------------------------------------------------------------------------- replay
def test_a_run_is_replayed_to_how_it_was_then(ran: str, galaxy: Galaxy) -> None:
    last = json.loads(galaxy("replay", "last", "--json").out)
    assert last["record"] == last["records"] - 1
    assert last["tasks"]["count"]["status"] == "completed"
    records = galaxy("export", "last").out.splitlines()
    started = next(n for n, line in enumerate(records) if json.loads(line)[1] == "start")
    before = json.loads(galaxy("replay", "last", "--until", str(started - 1), "--json").out)
    assert {task["status"] for task in before["tasks"].values()} <= {"pending", "waiting_dependency"}
    during = galaxy("replay", "last", "--until", str(started))
    assert f"after record {started} of {last['records'] - 1}" in during.out
    assert "under way" in during.out
    beyond = galaxy("replay", "last", "--until", "9999")
    assert beyond.code == 0
    assert beyond.err == f"the last record is {last['records'] - 1}: this is how the plan was then\n"


def test_a_replay_can_be_drawn(ran: str, galaxy: Galaxy) -> None:
    drawn = galaxy("replay", "last", "--mermaid").out
    assert drawn.startswith("flowchart LR\n")
    assert re.search(r"^  class n0,n3 completed$", drawn, re.MULTILINE)
    assert re.search(r"^  class n1 failed$", drawn, re.MULTILINE)
    assert re.search(r"^  classDef skipped fill:", drawn, re.MULTILINE)
    assert galaxy("replay", "last", "--mermaid", "--json").code == Exit.REFUSED


# ------------------------------------------------------------------------------------------------- prune
@pytest.fixture
def three(galaxy: Galaxy, write: Write) -> list[str]:
    """The ids of three runs that are over, the newest first."""
    write("plan.yaml", "tasks: {a: {run: [echo, hi]}}")
    for _ in range(3):
        assert galaxy("run", "plan.yaml").code == 0
    return [one["run"] for one in json.loads(galaxy("runs", "--json").out)]


def kept(galaxy: Galaxy) -> list[str]:
    return [one["run"] for one in json.loads(galaxy("runs", "--all", "--json").out)]


def test_runs_are_removed_only_when_somebody_says_so(three: list[str], galaxy: Galaxy) -> None:
    told = galaxy("prune", "--keep", "1", "--dry-run")
    assert told.code == 0
    assert [line.split()[0] for line in told.out.splitlines()[1:]] == three[1:]
    nobody = galaxy("prune", "--keep", "1")
    assert nobody.code == Exit.REFUSED
    assert "nothing was removed: --yes" in nobody.err
    assert kept(galaxy) == three
    done = galaxy("prune", "--keep", "1", "--yes")
    assert (done.code, done.err) == (0, "2 runs removed\n")
    assert kept(galaxy) == three[:1]
    assert galaxy("prune", "--keep", "1", "--yes").err == "nothing to remove: 1 run kept\n"


@pytest.mark.skipif(sys.platform == "win32", reason="there are no terminals of this kind")
@pytest.mark.parametrize(("answer", "left"), [(b"y\n", 0), (b"n\n", 3)])
def test_in_a_terminal_it_is_asked_whether_to_remove_them(
    answer: bytes, left: int, three: list[str], galaxy: Galaxy
) -> None:
    with Terminal("prune", "--keep", "0") as terminal:
        terminal.until(r"Remove 3 runs \([\d.]+ \w+\)\? \[y/N\]")
        terminal.press(answer)
        assert terminal.to_the_end() == 0
    assert len(kept(galaxy)) == left


def test_runs_are_removed_by_their_age(three: list[str], galaxy: Galaxy, journal: Path) -> None:
    assert galaxy("prune", "--older-than", "1h", "--yes").err == "nothing to remove: 3 runs kept\n"
    for path in journal.rglob("*"):
        if three[2] in str(path):
            os.utime(path, (0, 0))
    told = json.loads(galaxy("prune", "--older-than", "30d", "--yes", "--json").out)
    assert told["removed"] == [three[2]]
    assert kept(galaxy) == three[:2]
    wrong = galaxy("prune", "--older-than", "soon")
    assert wrong.code == Exit.REFUSED
    assert "30d" in wrong.err
    assert galaxy("prune").code == Exit.REFUSED


@pytest.mark.skipif(sys.platform == "win32", reason="processes are killed by signals there")
def test_what_is_under_way_is_never_removed_and_what_could_go_on_only_when_that_is_said(
    start: Start, process: Galaxy
) -> None:
    run = start()
    words = ("prune", "--keep", "0", "--yes", "--unfinished", "--json")
    assert json.loads(process(*words).out)["removed"] == []
    run.process.kill()
    run.process.communicate()
    assert json.loads(process(*words[:4], "--json").out)["removed"] == []
    assert json.loads(process(*words).out)["removed"] == [run.name]
    run.go()  # what it left behind waits for that


# ------------------------------------------------------------------------------------------------- other journals
def test_any_journal_can_keep_runs_and_be_read(install: Install, galaxy: Galaxy, write: Write, folder: Path) -> None:
    install(
        "lines",
        """
        from contextlib import asynccontextmanager
        from pathlib import Path
        from galaxy_core import hookimpl
        from galaxy_core.errors import UnknownRecordedRunError

        class Writer:
            folder = None

            def __init__(self, path, epoch):
                self.path, self.epoch = path, epoch

            async def write(self, records):
                with self.path.open("a") as file:
                    file.writelines(line + "\\n" for line in records)

        class Lines:
            name = "lines"

            @asynccontextmanager
            async def open(self, run):
                yield Writer(Path("kept-" + run.constellation_id), 1)

            @asynccontextmanager
            async def reopen(self, run_id):
                yield Writer(Path("kept-" + run_id), 1 + sum('"opened"' in line for line in self.read(run_id)) + 1)

            def read(self, run_id):
                try:
                    return Path("kept-" + run_id).read_text().splitlines()
                except FileNotFoundError:
                    raise UnknownRecordedRunError(run_id, self.runs()) from None

            def runs(self):
                return [path.name.removeprefix("kept-") for path in Path().glob("kept-*")]

        @hookimpl
        def galaxy_journals():
            return [Lines()]
        """,
    )
    write("plan.yaml", PLAN)
    assert galaxy("run", "plan.yaml", "--journal", "lines").code == Exit.NOT_ALL
    assert len(list(folder.glob("kept-*"))) == 1
    [one] = json.loads(galaxy("runs", "--journal", "lines", "--json").out)
    assert (one["status"], one["done"]) == ("partially_failed", 2)
    assert "bad" in galaxy("show", "last", "--journal", "lines").out
    assert galaxy("prune", "--keep", "0", "--journal", "lines").code == Exit.REFUSED
    unknown = galaxy("show", "last", "--journal", "sqlight")
    assert unknown.code == Exit.REFUSED
    assert "did you mean 'sqlite'" in unknown.err
