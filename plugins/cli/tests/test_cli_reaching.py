"""Runs that cannot be reached, or are reached by those who do harm; end to end."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from galaxy_core.runtime.control import client
from galaxy_core_cli import reaching

from .asking import TIMEOUT_S, Galaxy, Write
from .reached import ADD, PLAN, Put, Run, Start
from .terminal import CTRL_C, Terminal

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there are no control sockets there")


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


def test_a_run_that_is_stopped_is_said_not_to_answer_when_it_is_asked_for_by_its_plan(
    start: Start, galaxy: Galaxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "PATIENCE_S", 0.1)
    run = start()
    with stopped(run):
        done = galaxy("why", "nightly", "last")
    assert (done.code, done.out) == (2, "")
    assert f"'{run.name}' does not answer: its process may be stopped, or busy" in done.err
    assert "those that can" not in done.err


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
    start: Start, galaxy: Galaxy, transaction: Put
) -> None:
    run = start()
    file = transaction(ADD)
    with stopped(run), Terminal("edit", run.name, file, "--apply", "--debug") as edit:
        until_asked(run)
        edit.press(CTRL_C)
        assert edit.to_the_end() == 130
        assert "what the run has not done by now, it will not do" in edit.text
    assert galaxy("edit", run.name, file, "--preview").code == 0  # would be refused if there was the task already
    run.go()
    assert run.to_the_end()[0] == 0
    assert run.ended() == ["first", "wait", "last"]


def test_who_leaves_is_told_what_goes_on_and_what_was_not_done(start: Start, transaction: Put) -> None:
    run = start()
    with Terminal("watch", run.name) as terminal:
        terminal.until("nightly: 3 tasks")
        terminal.press(CTRL_C)
        assert terminal.to_the_end() == 130
        assert "no longer watching; the run goes on" in terminal.text
    with Terminal("edit", run.name, transaction(ADD)) as terminal:
        terminal.until(r"Change the plan\? \[y/N\]")
        terminal.press(b"\x04")  # Ctrl-D, as Ctrl-C: that may come before somebody reads
        assert terminal.to_the_end() == 130
        assert "nothing was changed" in terminal.text


# ------------------------------------------------------------------------------------------------- without a socket
def test_a_run_without_control_cannot_be_reached(start: Start, galaxy: Galaxy, runtime: Path) -> None:
    run = start("--no-control")
    assert next(event for event in run.events if event["type"] == "run_started")["control"] is None
    [kept] = json.loads(galaxy("runs", "--json").out)
    assert (kept["run"], kept["status"], kept["resumable"]) == (run.name, "under_way", False)
    assert f"process {run.process.pid} " in kept["holder"]
    assert list(runtime.iterdir()) == []
    paused = galaxy("pause", "last")
    assert (paused.code, paused.out) == (2, "")
    assert "has no control socket" in paused.err


def test_a_socket_that_cannot_be_opened_is_a_warning_and_the_run_goes_on(start: Start, runtime: Path) -> None:
    (runtime / "galaxy").write_text("in the way")
    run = start()
    run.go()
    code, err = run.to_the_end()
    assert code == 0
    assert err.startswith("warning: this run cannot be watched or edited from elsewhere: ")


def test_a_terminal_is_told_how_to_reach_the_run(folder: Path, write: Write, galaxy: Galaxy) -> None:
    write("plan.yaml", PLAN)
    os.mkfifo(folder / "go")
    with Terminal("run", "plan.yaml") as terminal:
        name = terminal.until(r"galaxy watch, why or edit (\S+)")[1]
        terminal.until("wait")
        assert galaxy("why", name, "last").code == 0
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


def test_garbage_and_lines_of_11_megabytes_do_not_disturb_a_run(start: Start, galaxy: Galaxy) -> None:
    run = start()
    assert [one["code"] for one in _said(run.socket, os.urandom(1000).replace(b"\n", b"") + b"\n")] == ["garbage"]
    assert [one["code"] for one in _said(run.socket, b"[" * 11_000_000)] == ["too long"]
    assert galaxy("why", run.name, "last").code == 0
    run.go()
    assert run.to_the_end()[0] == 0
    assert run.ended() == ["first", "wait", "last"]


def test_silent_connections_do_not_keep_a_run_from_ending(start: Start, galaxy: Galaxy) -> None:
    run = start()
    with ExitStack() as stack:
        found = [stack.enter_context(socket.socket(socket.AF_UNIX)) for _ in range(60)]
        for one in found:
            one.connect(str(run.socket))
            with suppress(BrokenPipeError):
                one.sendall(b'{"do": ')
        assert select.select(found[32:], [], [], TIMEOUT_S)[0]  # those beyond the limit are answered
        assert not select.select(found[:32], [], [], 0)[0]
        busy = galaxy("why", run.name, "last")
        assert (busy.code, busy.out) == (2, "")
        assert "connections already" in busy.err
        listed = galaxy("runs")
        assert listed.out.splitlines()[1].startswith(f"{run.name}  nightly  no answer  1 of 3 done  ")
        assert listed.err == f"{run.name}: there are 32 connections already\n"
        run.go()
        assert run.to_the_end()[0] == 0


def test_a_socket_that_is_removed_meanwhile_ends_nothing(start: Start, galaxy: Galaxy) -> None:
    run = start()
    run.socket.unlink()
    assert galaxy("why", run.name, "last").code == 2
    run.go()
    assert run.to_the_end() == (0, "")


@pytest.mark.skipif(sys.platform != "linux", reason="SO_PEERCRED is Linux's")
@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() != 0, reason="only root can become somebody else")
def test_another_user_cannot_reach_a_run(start: Start, runtime: Path, galaxy: Galaxy) -> None:
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
    assert galaxy("why", run.name, "last").code == 0
    run.socket.parent.chmod(0o777)
    refused = galaxy("why", run.name, "last")
    assert refused.code == 2
    assert "others can write to it" in refused.err
    run.go()
    code_, err = run.to_the_end()
    assert code_ == 0
    assert "user 65534 was refused at the control socket" in err
