"""Runs of other processes: `galaxy runs`, `watch`, `why` and `edit`, end to end."""

from __future__ import annotations

import json
import os
import re
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from galaxy_core_cli import reaching

from .asking import TIMEOUT_S, Galaxy, Write, command
from .terminal import CTRL_C, Terminal

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there are no control sockets there")

#: A plan whose second task ends when somebody opens the pipe `go` for writing.
PLAN = """
    name: nightly
    tasks:
      first: {run: [echo, one]}
      wait: {shell: "read line < go; echo $line", needs: [first], timeout_s: 60}
      last: {run: [echo, end], needs: [wait]}
"""
ADD = {
    "description": "one more",
    "operations": [{"add_task": {"id": "more", "run": ["echo", "more"], "needs": ["first"]}}],
}
WRONG = {"operations": [{"remove_task": "first"}, {"remove_task": "nobody"}]}


class Run:
    """`galaxy run --json` in a process of its own, whose task `wait` waits for `go`."""

    def __init__(self, folder: Path, *arguments: str, json_: bool = True) -> None:
        self.folder = folder
        self.events: list[dict[str, Any]] = []
        if not (folder / "go").exists():
            os.mkfifo(folder / "go")
        words = command("run", "plan.yaml", *(["--json"] if json_ else []), *arguments)
        self.process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def until(self, **wanted: Any) -> dict[str, Any]:
        """Read events until one has these fields."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.events.append(json.loads(line))
            if wanted.items() <= self.events[-1].items():
                return self.events[-1]
        raise AssertionError(f"no event with {wanted} came, but {self.events} and {self.process.communicate()[1]!r}")

    @property
    def name(self) -> str:
        return str(next(event["run"] for event in self.events if event["type"] == "run_started"))

    @property
    def socket(self) -> Path:
        return Path(next(event["control"] for event in self.events if event["type"] == "run_started"))

    def go(self, text: str = "went") -> None:
        """Let `wait` end."""
        (self.folder / "go").write_text(f"{text}\n", encoding="utf-8")

    def to_the_end(self) -> tuple[int, str]:
        """Read the rest; the exit code, and what was written to standard error."""
        out, err = self.process.communicate(timeout=TIMEOUT_S)
        self.events += [json.loads(line) for line in out.splitlines()]
        return self.process.returncode, err

    def ended(self) -> list[str]:
        return [event["task"] for event in self.events if event["type"] == "task_completed"]


Start = Callable[..., Run]


@pytest.fixture
def start(folder: Path, write: Write) -> Iterator[Start]:
    """Starts a run and waits until its task `wait` runs."""
    found: list[Run] = []
    write("plan.yaml", PLAN)

    def begin(*arguments: str) -> Run:
        run = Run(folder, *arguments)
        found.append(run)
        run.until(type="task_started", task="wait")
        return run

    yield begin
    for run in found:
        if run.process.poll() is None:
            run.process.send_signal(signal.SIGTERM)
            run.process.communicate(timeout=TIMEOUT_S)


@pytest.fixture
def transaction(write: Write) -> Callable[[object], str]:
    """Writes a transaction to a file; its name."""

    def put(document: object) -> str:
        write("edit.json", json.dumps(document))
        return "edit.json"

    return put


Put = Callable[[object], str]


@contextmanager
def watching(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """`galaxy watch` in a process of its own, and its first line."""
    pipe = subprocess.PIPE
    with subprocess.Popen(command("watch", *arguments), stdout=pipe, stderr=pipe, text=True) as watch:
        try:
            assert watch.stdout is not None
            yield watch, watch.stdout.readline()
        finally:
            watch.kill()


# ------------------------------------------------------------------------------------------------- editing
@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_task_is_added_to_a_plan_that_runs_and_runs(
    backend: str, start: Start, process: Galaxy, transaction: Put
) -> None:
    run = start("--backend", backend)
    done = process("edit", run.name, transaction(ADD), "--apply")
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


def test_a_preview_shows_what_would_change_and_changes_nothing(start: Start, process: Galaxy, transaction: Put) -> None:
    run = start()
    file = transaction(ADD)
    done = process("edit", run.name, file, "--preview")
    assert (done.code, done.err) == (0, "")
    assert "more" in done.out
    assert process("edit", run.name, file, "--preview", "--mermaid").out.startswith("flowchart")
    found = json.loads(process("edit", run.name, file, "--preview", "--json").out)
    assert (found["is_sound"], found["tasks"]["added"][0]["task_id"]) == (True, "more")
    asked = process("edit", run.name, file)
    assert (asked.code, asked.err) == (2, "nothing was changed: --apply does it, and --preview only shows it\n")
    assert asked.out == done.out
    assert process("edit", run.name, file, "--preview", "--apply").code == 2
    run.go()
    assert run.to_the_end()[0] == 0
    assert run.ended() == ["first", "wait", "last"]


def test_a_refused_edit_is_exit_code_1_with_the_reasons_of_each_operation(
    start: Start, process: Galaxy, transaction: Put
) -> None:
    run = start()
    file = transaction(WRONG)
    done = process("edit", run.name, file, "--apply")
    assert (done.code, done.out) == (1, "")
    lines = done.err.splitlines()
    assert lines[:2] == ["error:", "the edit was refused; nothing was changed:"]
    assert lines[2].startswith("operation 0: ")
    assert lines[3].startswith("operation 1: ")
    preview = process("edit", run.name, file, "--preview")
    assert preview.code == 1
    assert "first" in preview.out
    answer = json.loads(process("edit", run.name, file, "--apply", "--json").out)
    assert (answer["ok"], len(answer["problems"])) == (False, 2)
    run.go()
    assert run.to_the_end()[0] == 0


def test_an_edit_can_be_taken_back(start: Start, process: Galaxy, transaction: Put) -> None:
    run = start()
    late = {"operations": [{"add_task": {"id": "late", "run": ["echo"], "needs": ["wait"]}}]}
    done = json.loads(process("edit", run.name, transaction(late), "--apply", "--json").out)
    undone = process("edit", run.name, "--undo", done["edit"])
    assert (undone.code, undone.err) == (0, "")
    again = process("edit", run.name, "--undo", done["edit"])
    assert again.code == 2
    run.go()
    assert run.to_the_end()[0] == 0
    assert run.ended() == ["first", "wait", "last"]


@pytest.mark.parametrize("text", ["{", "[]", '{"operations": [{"ad_task": {}}]}', "{}", '{"operations": 7}'])
def test_a_transaction_that_cannot_be_read_is_exit_code_2(
    text: str, start: Start, process: Galaxy, write: Write
) -> None:
    run = start()
    write("edit.json", text)
    done = process("edit", run.name, "edit.json", "--apply")
    assert (done.code, done.out) == (2, "")
    assert "edit.json" in done.err
    also = process("edit", run.name, "-", "--apply", stdin=text)
    assert also.code == 2
    assert "<standard input>" in also.err


def test_a_transaction_can_come_on_standard_input(start: Start, process: Galaxy) -> None:
    run = start()
    done = process("edit", run.name, "-", "--apply", stdin=json.dumps(ADD))
    assert done.code == 0
    run.until(type="task_completed", task="more")


def test_a_file_that_is_not_there_and_a_run_that_is_not_there_are_exit_code_2(
    start: Start, process: Galaxy, transaction: Put
) -> None:
    run = start()
    assert process("edit", run.name, "no.json", "--apply").code == 2
    wrong = run.name[:-1] + ("0" if run.name[-1] != "0" else "1")
    done = process("edit", wrong, transaction(ADD), "--apply")
    assert (done.code, done.out) == (2, "")
    assert f"did you mean '{run.name}'?" in done.err
    assert process("edit", run.name).code == 2
    assert process("edit", run.name, "edit.json", "--undo", "x").code == 2


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
def test_a_run_is_watched_to_its_end(start: Start, process: Galaxy, transaction: Put) -> None:
    run = start()
    with watching(run.name) as (watch, first):
        assert watch.stdout is not None
        assert first == "nightly: 3 tasks, 1 completed\n"
        assert re.fullmatch(r"\[ *\d.*\] running   wait on here\n", watch.stdout.readline())
        assert process("edit", run.name, transaction(ADD), "--apply").code == 0
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


def test_a_run_that_is_killed_ends_its_watchers_with_a_word_and_is_cleared_away(start: Start, process: Galaxy) -> None:
    run = start()
    with watching(run.name) as (watch, _):
        run.process.kill()
        run.process.communicate(timeout=TIMEOUT_S)
        err = watch.communicate(timeout=TIMEOUT_S)[1]
        assert watch.returncode == 2
    assert "the run's process has gone" in err
    assert run.socket.exists()
    assert process("runs", "--json").out == "[]\n"
    assert not run.socket.exists()
    run.go()


def test_a_run_says_why_a_task_waits(start: Start, process: Galaxy) -> None:
    run = start()
    done = process("why", run.name[-8:], "last")
    assert (done.code, done.out) == (0, "task 'last' waits for 'wait' (running)\n")
    assert json.loads(process("why", run.name, "last", "--json").out)["holders"] == ["wait"]
    unknown = process("why", run.name, "lats")
    assert (unknown.code, unknown.out) == (2, "")
    assert "did you mean 'last'" in unknown.err


def test_the_runs_that_can_be_reached_are_listed(start: Start, process: Galaxy) -> None:
    words = ("runs",)
    assert process(*words).err.startswith("no run can be reached")
    run = start()
    heading, line = process(*words).out.splitlines()
    assert heading.split() == ["RUN", "PLAN", "STATUS", "TASKS", "SINCE", "PID"]
    assert line.split()[:7] == [run.name, "nightly", "executing", "1", "of", "3", "done"]
    assert line.split()[-1] == str(run.process.pid)
    assert [one["run"] for one in json.loads(process(*words, "--json").out)] == [run.name]


def test_without_a_name_the_only_run_is_watched_and_of_several_the_list_is_shown(start: Start, process: Galaxy) -> None:
    none = process("watch")
    assert (none.code, none.out, none.err) == (2, "", "error: no run can be reached\n")
    run = start()
    with watching() as (_, first):
        assert first == "nightly: 3 tasks, 1 completed\n"
    other = start()
    several = process("watch")
    assert several.code == 2
    assert {line.split()[0] for line in several.out.splitlines()[1:]} == {run.name, other.name}
    assert "galaxy watch RUN" in several.err
    by_plan = process("why", "nightly", "last")
    assert by_plan.code == 2
    assert f"'{run.name}' (plan 'nightly')" in by_plan.err


def test_a_run_is_reached_by_the_name_of_its_plan(start: Start, process: Galaxy) -> None:
    start()
    assert process("why", "nightly", "last").code == 0


def test_what_tasks_print_is_watched_though_the_run_does_not_show_it(start: Start) -> None:
    run = start()
    with watching(run.name, "--show-output") as (watch, _):
        run.go()
        run.to_the_end()
        assert "last | end\n" in watch.communicate(timeout=TIMEOUT_S)[0]
    assert not [event for event in run.events if event["type"] == "task_output"]


def test_an_edit_that_changes_nothing_says_so(start: Start, process: Galaxy, transaction: Put) -> None:
    run = start()
    file = transaction(
        {"description": "as it is", "operations": [{"update_task": {"id": "last", "run": ["echo", "end"]}}]}
    )
    done = process("edit", run.name, file, "--apply")
    assert (done.code, done.out, done.err) == (0, "nothing to change: as it is\n", "")
    with Terminal("edit", run.name, file) as terminal:
        assert terminal.to_the_end() == 0
        assert "there is nothing to change" in terminal.text


def test_a_refused_edit_is_told_once_and_with_its_reasons(
    folder: Path, write: Write, process: Galaxy, transaction: Put
) -> None:
    write("plan.yaml", PLAN)
    run = Run(folder, json_=False)
    assert run.process.stderr is not None
    while "start     wait" not in run.process.stderr.readline():
        pass
    assert process("edit", "nightly", transaction({"description": "no", **WRONG}), "--apply").code == 1
    line = run.process.stderr.readline()
    run.go()
    run.process.communicate(timeout=TIMEOUT_S)
    assert re.fullmatch(r"\[.*\] refused   no by \S+: .*'first'.*; .*'nobody'.*\n", line)
    assert "refused" not in line.partition("refused")[2]


# ------------------------------------------------------------------------------------------------- runs that are stopped
def until_asked(run: Run) -> None:
    """Wait until somebody has connected to the run's socket, which is stopped and does not take it.

    The kernel lists a connection that waits to be taken beside the socket that listens.
    """
    place = f"{run.socket.parent}/"  # it was given its name there after it was bound
    while sum(place in line for line in Path("/proc/net/unix").read_text().splitlines()) < 2:
        os.sched_yield()


@contextmanager
def stopped(run: Run) -> Iterator[None]:
    os.kill(run.process.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(run.process.pid, signal.SIGCONT)


@pytest.mark.parametrize(
    "words", [("why", "last"), ("edit", "edit.json", "--apply"), ("edit", "edit.json"), ("watch",)]
)
def test_a_run_that_does_not_answer_is_said_not_to(
    words: tuple[str, ...], start: Start, galaxy: Galaxy, transaction: Put, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reaching, "PATIENCE_S", 0.1)
    monkeypatch.setattr(reaching, "ALIVE_S", 0.1)
    transaction(ADD)
    run = start()
    with stopped(run):
        done = galaxy(words[0], run.name, *words[1:])
    assert (done.code, done.out) == (2, "")
    assert "does not answer: its process may be stopped" in done.err
    run.go()
    assert run.to_the_end()[0] == 0
    assert run.ended() == ["first", "wait", "last"]


@pytest.mark.skipif(sys.platform != "linux", reason="/proc tells who waits to be taken")
def test_an_edit_that_is_given_up_while_the_run_is_stopped_is_not_done_later(
    start: Start, process: Galaxy, transaction: Put
) -> None:
    run = start()
    file = transaction(ADD)
    with stopped(run), Terminal("edit", run.name, file, "--apply", "--debug") as edit:
        until_asked(run)
        edit.press(CTRL_C)
        assert edit.to_the_end() == 130
        assert "what the run has not done by now, it will not do" in edit.text
    assert process("edit", run.name, file, "--preview").code == 0  # would be refused if there was the task already
    run.go()
    assert run.to_the_end()[0] == 0
    assert run.ended() == ["first", "wait", "last"]


def test_ctrl_c_says_what_goes_on_and_what_was_not_done(start: Start, transaction: Put) -> None:
    run = start()
    with Terminal("watch", run.name) as terminal:
        terminal.until("nightly: 3 tasks")
        terminal.press(CTRL_C)
        assert terminal.to_the_end() == 130
        assert "no longer watching; the run goes on" in terminal.text
    with Terminal("edit", run.name, transaction(ADD)) as terminal:
        terminal.until(r"Change the plan\? \[y/N\]")
        terminal.press(CTRL_C)
        assert terminal.to_the_end() == 130
        assert "nothing was changed" in terminal.text


# ------------------------------------------------------------------------------------------------- without a socket
def test_a_run_without_control_cannot_be_reached(start: Start, process: Galaxy, runtime: Path) -> None:
    run = start("--no-control")
    assert next(event for event in run.events if event["type"] == "run_started")["control"] is None
    assert json.loads(process("runs", "--json").out) == []
    assert list(runtime.iterdir()) == []


def test_a_socket_that_cannot_be_opened_is_a_warning_and_the_run_goes_on(start: Start, runtime: Path) -> None:
    (runtime / "galaxy").write_text("in the way")
    run = start()
    run.go()
    code, err = run.to_the_end()
    assert code == 0
    assert err.startswith("warning: this run cannot be watched or edited from elsewhere: ")


def test_a_terminal_is_told_how_to_reach_the_run(folder: Path, write: Write, process: Galaxy) -> None:
    write("plan.yaml", PLAN)
    os.mkfifo(folder / "go")
    with Terminal("run", "plan.yaml") as terminal:
        name = terminal.until(r"galaxy watch, why or edit (\S+)")[1]
        terminal.until("wait")
        assert process("why", name, "last").code == 0
        (folder / "go").write_text("went\n", encoding="utf-8")
        assert terminal.to_the_end() == 0


# ------------------------------------------------------------------------------------------------- bad input
def _said(path: Path, data: bytes) -> list[dict[str, Any]]:
    """What the socket answers until it closes the connection."""
    with socket.socket(socket.AF_UNIX) as one:
        one.settimeout(TIMEOUT_S)
        one.connect(str(path))
        with suppress(BrokenPipeError, ConnectionResetError):  # it has said why, and left
            one.sendall(data)
        received = b""
        while True:
            try:
                more = one.recv(1 << 16)
            except ConnectionResetError:
                break
            if not more:
                break
            received += more
        return [json.loads(line) for line in received.splitlines()]


def test_garbage_and_lines_of_11_megabytes_do_not_disturb_a_run(start: Start, process: Galaxy) -> None:
    run = start()
    assert [one["code"] for one in _said(run.socket, os.urandom(1000).replace(b"\n", b"") + b"\n")] == ["garbage"]
    assert [one["code"] for one in _said(run.socket, b"[" * 11_000_000)] == ["too long"]
    assert process("why", run.name, "last").code == 0
    run.go()
    assert run.to_the_end()[0] == 0
    assert run.ended() == ["first", "wait", "last"]


def test_silent_connections_do_not_keep_a_run_from_ending(start: Start, process: Galaxy) -> None:
    run = start()
    with ExitStack() as stack:
        found = [stack.enter_context(socket.socket(socket.AF_UNIX)) for _ in range(60)]
        for one in found:
            one.connect(str(run.socket))
            with suppress(BrokenPipeError):
                one.sendall(b'{"do": ')
        assert select.select(found[32:], [], [], TIMEOUT_S)[0]  # those beyond the limit are answered
        assert not select.select(found[:32], [], [], 0)[0]
        busy = process("why", run.name, "last")
        assert (busy.code, busy.out) == (2, "")
        assert "connections already" in busy.err
        run.go()
        assert run.to_the_end()[0] == 0


def test_a_socket_that_is_removed_meanwhile_ends_nothing(start: Start, process: Galaxy) -> None:
    run = start()
    run.socket.unlink()
    assert process("why", run.name, "last").code == 2
    run.go()
    assert run.to_the_end() == (0, "")


@pytest.mark.skipif(sys.platform != "linux", reason="SO_PEERCRED is Linux's")
@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() != 0, reason="only root can become somebody else")
def test_another_user_cannot_reach_a_run(start: Start, runtime: Path, process: Galaxy) -> None:
    run = start()
    code = (
        "import os, socket, sys; os.setgid(65534); os.setuid(65534); one = socket.socket(socket.AF_UNIX)\n"
        "try: one.connect(sys.argv[1]); print(one.makefile().readline())\n"
        "except PermissionError: print('permission')"
    )

    def connect() -> str:
        words = [sys.executable, "-c", code, str(run.socket)]
        return subprocess.run(words, capture_output=True, text=True, check=True, timeout=TIMEOUT_S).stdout.strip()

    assert connect() == "permission"
    runtime.chmod(0o755)
    run.socket.parent.chmod(0o755)
    assert connect() == "permission"
    run.socket.chmod(0o666)
    assert json.loads(connect())["code"] == "another user"
    assert process("why", run.name, "last").code == 0
    run.socket.parent.chmod(0o777)
    refused = process("why", run.name, "last")
    assert refused.code == 2
    assert "others can write to it" in refused.err
    run.go()
    code_, err = run.to_the_end()
    assert code_ == 0
    assert "user 65534 was refused at the control socket" in err
