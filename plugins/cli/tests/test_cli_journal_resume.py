"""Runs whose process is killed, and that go on: what a person sees of it."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from galaxy_core_cli.exits import Exit

from .asking import TIMEOUT_S, Galaxy, Write, command
from .reached import Run, Start
from .terminal import CTRL_C, Terminal

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="processes are killed by signals there")

#: What waits for the pipe `go` may be run twice.
PLAN = """
    name: nightly
    tasks:
      first: {shell: "echo x >> first.log; echo one"}
      wait: {shell: "read line < go; echo $line", needs: [first], effect: idempotent}
      last: {run: [echo, {from: wait}], needs: [wait]}
"""


@pytest.fixture
def killed(start: Start, write: Write) -> Iterator[Run]:
    """A run that was killed while its second of three tasks ran."""
    write("plan.yaml", PLAN)
    run = start()
    kill(run)
    yield run
    with suppress(OSError):  # whatever still waits for it, which nobody has resumed
        os.close(os.open(run.folder / "go", os.O_WRONLY | os.O_NONBLOCK))


def kill(run: Run) -> None:
    run.process.kill()
    run.process.communicate(timeout=TIMEOUT_S)


def gone_on(run: Run, *words: str) -> tuple[int, str, str]:
    """Resume it, and let it run to its end: exit code, standard output, standard error."""
    with subprocess.Popen(command(*words), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as resumed:
        assert resumed.stderr is not None
        err = ""
        for line in resumed.stderr:
            err += line
            if "] start     wait" in line:  # until then, what was left of the killed run may read what is written
                run.go("went")
                break
        out, rest = resumed.communicate(timeout=TIMEOUT_S)
        return resumed.returncode, out, err + rest


def test_a_run_that_was_killed_is_listed_as_interrupted_and_goes_on_where_it_was(
    killed: Run, galaxy: Galaxy, folder: Path
) -> None:
    heading, line = galaxy("runs").out.splitlines()
    assert heading.split() == ["RUN", "PLAN", "STATUS", "TASKS", "SINCE", "PID"]
    assert line.split()[:7] == [killed.name, "nightly", "interrupted", "1", "of", "3", "done"]
    code, out, err = gone_on(killed, "resume", "last")
    assert (code, out) == (0, "went\n"), err
    lines = err.splitlines()
    assert lines[0] == "nightly: 3 tasks, 1 of them done before"
    assert "first" not in "".join(line for line in lines if "] start" in line)
    assert re.fullmatch(r". nightly completed: 3 of 3 tasks done in .*", lines[-1])
    assert (folder / "first.log").read_text() == "x\n"
    assert galaxy("runs").out.splitlines()[1].split()[2] == "completed"


def test_a_run_can_be_killed_again_and_again_and_goes_on_each_time(killed: Run, galaxy: Galaxy) -> None:
    for _ in range(2):
        again = Run(killed.folder, "last", words=("resume",))
        again.until(type="task_started", task="wait")
        kill(again)
    assert [one["status"] for one in json.loads(galaxy("runs", "--json").out)] == ["interrupted"]
    last = Run(killed.folder, "last", words=("resume",))
    last.until(type="task_started", task="wait")
    last.go()
    code, err = last.to_the_end()
    assert code == 0, err
    assert last.events[-1]["counts"] == {"completed": 3}
    assert len(json.loads(galaxy("show", "last", "--json").out)["epochs"]) == 4


def test_a_terminal_shows_tasks_that_were_done_before_as_done(killed: Run) -> None:
    with Terminal("resume", "last") as terminal:
        terminal.until(r"✓ first +here +done")
        terminal.until(r"wait +here +running")
        killed.go()
        assert terminal.to_the_end() == 0
    assert "nightly completed: 3 of 3 tasks done" in terminal.text


def test_a_run_that_is_over_has_nothing_to_resume(galaxy: Galaxy, write: Write) -> None:
    write("plan.yaml", "tasks: {a: {run: [echo, hi]}}")
    assert galaxy("run", "plan.yaml").code == 0
    done = galaxy("resume", "last")
    assert (done.code, done.out) == (Exit.REFUSED, "")
    assert re.fullmatch(r"error: .*run '\S+' .*over.*completed.*nothing.*\n", done.err), done.err
    assert galaxy("resume", "last", "--json").events[0]["type"] == "error"


def test_ctrl_c_cancels_a_run_that_goes_on_and_a_signal_that_ends_processes_stops_it(
    killed: Run, galaxy: Galaxy
) -> None:
    for number, code, status in (
        (signal.SIGTERM, Exit.STOPPED, "stopped"),
        (signal.SIGINT, Exit.CANCELLED, "cancelled"),
    ):
        again = Run(killed.folder, "last", words=("resume",))
        again.until(type="task_started", task="wait")
        again.process.send_signal(number)
        left, err = again.to_the_end()
        assert (left, again.events[-1]["status"]) == (code, status), err
    refused = galaxy("resume", "last")
    assert (refused.code, "cancelled" in refused.err) == (Exit.REFUSED, True)


def test_ctrl_c_in_a_terminal_cancels_what_was_resumed(killed: Run) -> None:
    with Terminal("resume", "last") as terminal:
        terminal.until("wait +here +running")
        terminal.press(CTRL_C)
        assert terminal.to_the_end() == Exit.CANCELLED
    assert "nightly cancelled: 1 of 3 tasks done" in terminal.text
    assert "galaxy stop" in terminal.text  # would have left it so that it can be resumed


def test_a_run_under_way_is_not_resumed_by_another_process(start: Start, galaxy: Galaxy) -> None:
    run = start()
    done = galaxy("resume", run.name)
    assert done.code == Exit.REFUSED
    assert f"process {run.process.pid}" in done.err
    run.go()
    assert run.to_the_end()[0] == 0


def test_the_plan_has_to_be_the_one_that_the_run_began_with_if_one_is_named(
    killed: Run, galaxy: Galaxy, write: Write
) -> None:
    write("other.yaml", PLAN.replace("echo one", "echo two").replace("last:", "end:"))
    done = galaxy("resume", "last", "--plan", "other.yaml")
    assert (done.code, done.out) == (Exit.REFUSED, "")
    assert "first" in done.err
    assert "end" in done.err
    code, _, err = gone_on(killed, "resume", "last", "--plan", "plan.yaml")
    assert code == 0, err


def test_a_run_goes_on_with_the_devices_that_it_began_with(folder: Path, write: Write, galaxy: Galaxy) -> None:
    write(
        "devices.yaml",
        "devices: {far: {settings: {env: {WHO: {env: WHO_IT_IS}}}, capabilities: [special], max_concurrency: 1}}",
    )
    write(
        "plan.yaml",
        """
        tasks:
          wait: {shell: "read line < go; echo $line", effect: idempotent}
          say: {shell: "echo $WHO", needs: [wait], requires: [special]}
        """,
    )
    os.environ["WHO_IT_IS"] = "somebody"
    try:
        run = Run(folder, "--devices", "devices.yaml")
        run.until(type="task_started", task="wait")
        kill(run)
        (folder / "devices.yaml").unlink()
        again = Run(folder, "last", words=("resume",))
        again.until(type="task_started", task="wait")
        again.go()
        assert again.to_the_end()[0] == 0
    finally:
        del os.environ["WHO_IT_IS"]
    [said] = [event for event in again.events if event["type"] == "task_completed" and event["task"] == "say"]
    assert (said["device"], said["stdout"]) == ("far", "***\n")
    assert galaxy("show", "last").code == 0


def test_a_device_that_is_gone_with_work_under_way_is_told_of(killed: Run, galaxy: Galaxy, write: Write) -> None:
    write("other.yaml", "devices: {there: {}}")
    done = galaxy("resume", "last", "--devices", "other.yaml")
    assert (done.code, done.out) == (Exit.REFUSED, "")
    assert "'here'" in done.err
    assert "'there'" in done.err
    assert "without --devices" in done.err


def test_what_a_run_keeps_goes_with_it_unless_somebody_says_where(galaxy: Galaxy, write: Write, folder: Path) -> None:
    write("plan.yaml", "tasks: {a: {shell: 'echo kept > f.txt', outputs: [f.txt]}}")
    journal = Path(os.environ["GALAXY_JOURNAL"])
    for words, root in (((), journal), (("--artifacts", "mine"), folder / "mine")):
        done = galaxy("run", "plan.yaml", "--json", *words)
        [ended] = [event for event in done.events if event["type"] == "task_completed"]
        [path] = ended["files"].values()
        assert Path(path).read_text() == "kept\n"
        assert Path(path).is_relative_to(root)
