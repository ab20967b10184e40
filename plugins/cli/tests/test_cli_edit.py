"""Runs of other processes: `galaxy runs`, `watch`, `why` and `edit`, end to end."""

from __future__ import annotations

import json
import os
import re
import signal
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from .asking import TIMEOUT_S, Galaxy, Write
from .reached import ADD, PLAN, WRONG, Put, Run, Start, watching
from .terminal import Terminal

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there are no control sockets there")


# ------------------------------------------------------------------------------------------------- editing
@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_task_is_added_to_a_plan_that_runs_and_runs(
    backend: str, start: Start, galaxy: Galaxy, transaction: Put
) -> None:
    run = start("--backend", backend)
    done = galaxy("edit", run.name, transaction(ADD), "--apply")
    assert (done.code, done.err) == (0, "")
    assert re.fullmatch(
        rf"done: one more\nrevision \d+; to take it back: galaxy edit {run.name} --undo \S+\n", done.out
    )
    run.until(type="task_completed", task="more")
    run.go()
    code, _ = run.to_the_end()
    assert code == 0
    assert sorted(run.ended()) == ["first", "last", "more", "wait"]
    edit = next(event for event in run.events if event["type"] == "edit_committed")
    assert edit["description"] == "one more"
    assert edit["author"]
    assert [task["task_id"] for task in edit["diff"]["tasks"]["added"]] == ["more"]


def test_a_preview_shows_what_would_change_and_changes_nothing(start: Start, galaxy: Galaxy, transaction: Put) -> None:
    run = start()
    file = transaction(ADD)
    done = galaxy("edit", run.name, file, "--preview")
    assert (done.code, done.err) == (0, "")
    assert "more" in done.out
    assert galaxy("edit", run.name, file, "--preview", "--mermaid").out.startswith("flowchart")
    found = json.loads(galaxy("edit", run.name, file, "--preview", "--json").out)
    assert (found["is_sound"], found["tasks"]["added"][0]["task_id"]) == (True, "more")
    asked = galaxy("edit", run.name, file)
    assert (asked.code, asked.err) == (2, "nothing was changed: --apply does it, and --preview only shows it\n")
    assert asked.out == done.out
    assert galaxy("edit", run.name, file, "--preview", "--apply").code == 2
    run.go()
    assert run.to_the_end()[0] == 0
    assert run.ended() == ["first", "wait", "last"]


def test_a_refused_edit_is_exit_code_1_with_the_reasons_of_each_operation(
    standing: Run, galaxy: Galaxy, transaction: Put
) -> None:
    run = standing
    file = transaction(WRONG)
    done = galaxy("edit", run.name, file, "--apply")
    assert (done.code, done.out) == (1, "")
    lines = done.err.splitlines()
    assert lines[0] == "error: the edit was refused; nothing was changed:"
    assert lines[1].startswith("edit.json:1: operations[0]: ")
    assert lines[2].startswith("edit.json:1: operations[1]: ")
    preview = galaxy("edit", run.name, file, "--preview")
    assert preview.code == 1
    assert "first" in preview.out
    assert preview.err.splitlines()[:2] == ["error: the edit would be refused:", lines[1]]
    answer = json.loads(galaxy("edit", run.name, file, "--apply", "--json").out)
    assert (answer["ok"], len(answer["problems"])) == (False, 2)


def test_the_reasons_of_a_refused_edit_are_told_at_the_lines_of_the_file(
    standing: Run, galaxy: Galaxy, write: Write
) -> None:
    run = standing
    text = """
        {"operations": [
          {"add_task": {"id": "c1", "run": ["echo"], "needs": ["c2"]}},
          {"add_task": {"id": "c2", "run": ["echo"], "needs": ["c1"]}},
          {"update_task": {"id": "lasst", "priority": "high"}},
          {"add_task": {"id": "q", "run": ["echo"], "device": "moon"}}
        ]}
        """
    write("edit.json", text)
    done = galaxy("edit", run.name, "edit.json", "--apply")
    places = sorted(line.partition("]: ")[0] for line in done.err.splitlines()[1:])
    assert places == ["edit.json:3: operations[1", "edit.json:4: operations[2", "edit.json:5: operations[3"]
    assert "moon" in done.err
    piped = galaxy("edit", run.name, "-", "--apply", stdin=text)
    assert "<standard input>: operations[1]: the plan would have a cycle: " in piped.err
    answer = json.loads(galaxy("edit", run.name, "edit.json", "--apply", "--json").out)
    assert {problem["operation"] for problem in answer["problems"]} == {1, 2, 3}


def test_an_edit_can_be_taken_back(start: Start, galaxy: Galaxy, transaction: Put) -> None:
    run = start()
    late = {"operations": [{"add_task": {"id": "late", "run": ["echo"], "needs": ["wait"]}}]}
    done = json.loads(galaxy("edit", run.name, transaction(late), "--apply", "--json").out)
    undone = galaxy("edit", run.name, "--undo", done["edit"])
    assert (undone.code, undone.err) == (0, "")
    assert undone.out.startswith(f"undone: {done['description']}\n")
    again = galaxy("edit", run.name, "--undo", done["edit"])
    assert again.code == 2
    run.go()
    assert run.to_the_end()[0] == 0
    assert run.ended() == ["first", "wait", "last"]


@pytest.mark.parametrize("text", ["{", "[]", '{"operations": [{"ad_task": {}}]}', "{}", '{"operations": 7}'])
def test_a_transaction_that_cannot_be_read_is_exit_code_2(
    text: str, standing: Run, galaxy: Galaxy, write: Write
) -> None:
    run = standing
    write("edit.json", text)
    done = galaxy("edit", run.name, "edit.json", "--apply")
    assert (done.code, done.out) == (2, "")
    assert "edit.json" in done.err
    also = galaxy("edit", run.name, "-", "--apply", stdin=text)
    assert also.code == 2
    assert "<standard input>" in also.err


@pytest.mark.parametrize(
    ("raw", "found"), [(b"\x87\xff{", "UTF-8"), (b"\x00\x01", ""), (b"\xff\xfe{\x00}\x00", "UTF-8")]
)
def test_a_transaction_that_is_no_text_is_told_as_one_that_cannot_be_read(
    raw: bytes, found: str, standing: Run, galaxy: Galaxy, folder: Path
) -> None:
    run = standing
    (folder / "edit.json").write_bytes(raw)
    done = galaxy("edit", run.name, "edit.json", "--apply")
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("error: edit.json")
    assert found in done.err
    for words in (("edit", run.name, "-", "--apply"), ("validate", "-")):
        piped = galaxy(*words, stdin=raw)
        assert piped.code == 2
        assert "<standard input>" in piped.out + piped.err


def test_what_is_wrong_with_a_transaction_is_told_to_programs(standing: Run, galaxy: Galaxy, write: Write) -> None:
    run = standing
    write("edit.json", '{"operations": [\n{"remove_tsk": "last"}]}')
    done = galaxy("edit", run.name, "edit.json", "--apply", "--json")
    answer = json.loads(done.out)
    assert (done.code, answer["ok"], answer["code"]) == (2, False, "unreadable")
    (problem,) = answer["problems"]
    assert (problem["path"], problem["line"]) == ("operations[0].remove_tsk", 2)
    assert "did you mean 'remove_task'?" in problem["reason"]


def test_a_refused_transaction_that_came_through_a_pipe_is_told_all_the_same(
    standing: Run, galaxy: Galaxy, folder: Path
) -> None:
    run = standing
    os.mkfifo(folder / "pipe")
    with ThreadPoolExecutor() as threads:
        threads.submit((folder / "pipe").write_text, json.dumps(WRONG))
        done = galaxy("edit", run.name, "pipe", "--apply")
    assert done.code == 1
    assert "pipe: operations[1]: there is no task 'nobody'" in done.err


def test_of_thousands_of_reasons_the_first_are_told_and_the_others_counted(
    standing: Run, galaxy: Galaxy, transaction: Put
) -> None:
    run = standing
    file = transaction({"operations": [{"remove_task": f"none-{number}"} for number in range(1_051)]})
    done = galaxy("edit", run.name, file, "--apply", "--json")
    lines = done.err.splitlines()
    assert (done.code, len(lines), lines[-1]) == (1, 52, "and 1,001 more reasons")
    assert len(json.loads(done.out)["problems"]) == 1_051


def test_a_transaction_can_come_on_standard_input(start: Start, galaxy: Galaxy) -> None:
    run = start()
    done = galaxy("edit", run.name, "-", "--apply", stdin=json.dumps(ADD))
    assert done.code == 0
    run.until(type="task_completed", task="more")


def test_a_file_that_is_not_there_and_a_run_that_is_not_there_are_exit_code_2(
    standing: Run, galaxy: Galaxy, transaction: Put
) -> None:
    run = standing
    assert galaxy("edit", run.name, "no.json", "--apply").code == 2
    wrong = run.name[:-1] + ("0" if run.name[-1] != "0" else "1")
    done = galaxy("edit", wrong, transaction(ADD), "--apply")
    assert (done.code, done.out) == (2, "")
    assert f"did you mean '{run.name}'?" in done.err
    assert galaxy("edit", run.name).code == 2
    assert galaxy("edit", run.name, "edit.json", "--undo", "x").code == 2


def test_a_person_is_asked_before_the_plan_is_changed(start: Start, transaction: Put) -> None:
    run = start()
    with Terminal("edit", run.name, transaction(ADD)) as terminal:
        terminal.until(r"Change the plan\? \[y/N\]")
        terminal.press(b"n\n")
        assert terminal.to_the_end() == 0
        assert "nothing was changed" in terminal.text
    with Terminal("edit", run.name, "edit.json") as terminal:
        terminal.until(r"Change the plan\? \[y/N\]")
        terminal.press(b"y\n")
        terminal.until("done: one more")
    run.until(type="task_completed", task="more")


# ------------------------------------------------------------------------------------------------- watching, asking
def test_a_run_is_watched_to_its_end(start: Start, galaxy: Galaxy, transaction: Put) -> None:
    run = start()
    with watching(run.name) as (watch, first):
        assert watch.stdout is not None
        assert first == "nightly: 3 tasks, 1 completed\n"
        assert re.fullmatch(r"\[ *\d.*\] running   wait on here\n", watch.stdout.readline())
        assert galaxy("edit", run.name, transaction(ADD), "--apply").code == 0
        assert re.fullmatch(
            r"\[ *\d.*\] edit      one more by \S+: revision \d+, tasks \+1, links \+1\n", watch.stdout.readline()
        )
        run.go()
        run.to_the_end()
        assert watch.stderr is not None
        out, err = watch.stdout.read(), watch.stderr.read()
        assert (watch.wait(TIMEOUT_S), err) == (0, "")
        told = [re.sub(r"^\[.*?\] | \(\S+\)$", "", line) for line in out.splitlines()]
        assert {"start     more on here", "done      more on here", "done      wait on here"} <= set(told)
        assert told[-2] == "done      last on here"
        assert re.fullmatch(r"nightly completed: 4 of 4 tasks done in \S+", told[-1])


def test_a_watched_run_that_fails_is_exit_code_1(start: Start, write: Write) -> None:
    write("plan.yaml", PLAN.replace("echo $line", "exit $line"))
    run = start()
    with watching(run.name, "--json") as (watch, first):
        assert json.loads(first)["type"] == "run_status"
        run.go("3")
        assert run.to_the_end()[0] == 1
        assert watch.stdout is not None
        out = watch.stdout.read()
        assert watch.wait(TIMEOUT_S) == 1
    events = [json.loads(line) for line in out.splitlines()]
    assert [event["type"] for event in events] == ["task_failed", "task_skipped", "run_result"]
    assert events == [event for event in run.events if event["type"] in {"task_failed", "task_skipped"}] + events[-1:]
    assert events[-1]["status"] == "partially_failed"


def test_a_watcher_that_is_killed_or_interrupted_leaves_the_run_alone(start: Start) -> None:
    run = start()
    for number, code in ((signal.SIGKILL, -signal.SIGKILL), (signal.SIGINT, 130)):
        with watching(run.name) as (watch, _):
            watch.send_signal(number)
            watch.communicate(timeout=TIMEOUT_S)
            assert watch.returncode == code
    run.go()
    assert run.to_the_end()[0] == 0


def test_a_run_that_is_killed_ends_its_watchers_with_a_word_and_is_cleared_away(start: Start, galaxy: Galaxy) -> None:
    run = start()
    with watching(run.name) as (watch, _):
        run.process.kill()
        run.process.communicate(timeout=TIMEOUT_S)
        err = watch.communicate(timeout=TIMEOUT_S)[1]
        assert watch.returncode == 2
    assert "the run's process has gone" in err
    [left] = json.loads(galaxy("runs", "--json").out)
    assert (left["run"], left["status"], left["resumable"]) == (run.name, "interrupted", True)
    assert not run.socket.exists()
    run.go()


def test_a_run_says_why_a_task_waits(standing: Run, galaxy: Galaxy) -> None:
    run = standing
    done = galaxy("why", run.name[-8:], "last")
    assert (done.code, done.out) == (0, "task 'last' waits for 'wait' (running)\n")
    assert json.loads(galaxy("why", run.name, "last", "--json").out)["holders"] == ["wait"]
    unknown = galaxy("why", run.name, "lats")
    assert (unknown.code, unknown.out) == (2, "")
    assert "did you mean 'last'" in unknown.err


def test_where_no_run_is_under_way_none_is_listed(galaxy: Galaxy) -> None:
    assert galaxy("runs").err.startswith("no run is under way that can be reached")


def test_the_runs_that_can_be_reached_are_listed(standing: Run, galaxy: Galaxy) -> None:
    run, words = standing, ("runs",)
    heading, line = galaxy(*words).out.splitlines()
    assert heading.split() == ["RUN", "PLAN", "STATUS", "TASKS", "SINCE", "PID"]
    assert line.split()[:7] == [run.name, "nightly", "executing", "1", "of", "3", "done"]
    assert line.split()[-1] == str(run.process.pid)
    assert [one["run"] for one in json.loads(galaxy(*words, "--json").out)] == [run.name]


def test_without_a_name_the_only_run_is_watched_and_of_several_the_list_is_shown(start: Start, galaxy: Galaxy) -> None:
    none = galaxy("watch")
    assert (none.code, none.out) == (2, "")
    assert none.err.startswith("error: no run can be reached: ")
    run = start()
    with watching() as (_, first):
        assert first == "nightly: 3 tasks, 1 completed\n"
    other = start()
    several = galaxy("watch")
    assert several.code == 2
    assert {line.split()[0] for line in several.out.splitlines()[1:]} == {run.name, other.name}
    assert "galaxy watch RUN" in several.err
    by_plan = galaxy("why", "nightly", "last")
    assert by_plan.code == 2
    assert f"'{run.name}' (plan 'nightly')" in by_plan.err
    assert "its last 8 characters are enough" in by_plan.err
    assert "the last characters of its id are enough" in several.err


def test_a_run_is_reached_by_the_name_of_its_plan(standing: Run, galaxy: Galaxy) -> None:
    assert galaxy("why", "nightly", "last").code == 0


def test_what_tasks_print_is_watched_though_the_run_does_not_show_it(start: Start) -> None:
    run = start()
    with watching(run.name, "--show-output") as (watch, _):
        run.go()
        run.to_the_end()
        assert "last | end\n" in watch.communicate(timeout=TIMEOUT_S)[0]
    assert not [event for event in run.events if event["type"] == "task_output"]


def test_an_edit_that_changes_nothing_says_so(standing: Run, galaxy: Galaxy, transaction: Put) -> None:
    run = standing
    file = transaction(
        {"description": "as it is", "operations": [{"update_task": {"id": "last", "run": ["echo", "end"]}}]}
    )
    done = galaxy("edit", run.name, file, "--apply")
    assert (done.code, done.out, done.err) == (0, "nothing to change: as it is\n", "")
    with Terminal("edit", run.name, file) as terminal:
        assert terminal.to_the_end() == 0
        assert "there is nothing to change" in terminal.text


def test_the_progress_of_a_run_tells_what_was_taken_back_and_that_nothing_changed(
    folder: Path, write: Write, galaxy: Galaxy, transaction: Put
) -> None:
    write("plan.yaml", PLAN)
    run = Run(folder, json_=False)
    assert run.process.stderr is not None
    while "start     wait" not in run.process.stderr.readline():
        pass
    same = {"description": "as it is", "operations": [{"update_task": {"id": "last", "run": ["echo", "end"]}}]}
    assert galaxy("edit", "nightly", transaction(same), "--apply").code == 0
    line = run.process.stderr.readline()
    late = {"description": "more", "operations": [{"add_task": {"id": "late", "run": ["echo"], "needs": ["wait"]}}]}
    done = json.loads(galaxy("edit", "nightly", transaction(late), "--apply", "--json").out)
    assert galaxy("edit", "nightly", "--undo", done["edit"]).code == 0
    assert " edit      more by " in run.process.stderr.readline()
    assert " undo      more by " in run.process.stderr.readline()
    run.go()
    run.process.communicate(timeout=TIMEOUT_S)
    assert re.fullmatch(r"\[.*\] edit      as it is by \S+: revision \d+, nothing changed\n", line)


def test_a_refused_edit_is_told_once_and_with_its_reasons(
    folder: Path, write: Write, galaxy: Galaxy, transaction: Put
) -> None:
    write("plan.yaml", PLAN)
    run = Run(folder, json_=False)
    assert run.process.stderr is not None
    while "start     wait" not in run.process.stderr.readline():
        pass
    assert galaxy("edit", "nightly", transaction({"description": "no", **WRONG}), "--apply").code == 1
    line = run.process.stderr.readline()
    run.go()
    run.process.communicate(timeout=TIMEOUT_S)
    assert re.fullmatch(r"\[.*\] refused   no by \S+: .*'first'.*; .*'nobody'.*\n", line)
    assert "refused" not in line.partition("refused")[2]
