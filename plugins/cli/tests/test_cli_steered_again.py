"""Runs that are steered a second time, or when they are over: each time a sentence that helps, and a code that fits."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from galaxy_core_cli.exits import Exit

from .asking import LEAN, TIMEOUT_S, Galaxy, Write, command
from .reached import Start, watching

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there are no control sockets there")


def test_what_is_paused_or_continued_a_second_time_is_told_so(start: Start, galaxy: Galaxy) -> None:
    run = start()
    first, second = galaxy("pause", run.name), galaxy("pause", run.name)
    assert (first.code, second.code) == (0, 0)
    assert first.out.startswith(f"paused: {run.name}; 1 task still runs")
    assert second.out.startswith(f"was paused already: {run.name}; 1 task still runs")
    first, second = galaxy("continue", run.name), galaxy("continue", run.name)
    assert (first.code, first.out) == (0, f"goes on: {run.name}\n")
    assert (second.code, second.out) == (0, f"was not paused: {run.name}\n")
    run.go()
    assert run.to_the_end()[0] == 0


def test_what_is_being_stopped_is_neither_paused_nor_continued(start: Start, galaxy: Galaxy) -> None:
    run = start()
    stop = subprocess.Popen(command("stop", run.name), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert stop.stderr is not None
    assert stop.stderr.readline().startswith("stopping: ")
    for what in ("pause", "continue"):
        done = galaxy(what, run.name)
        assert (done.code, done.out) == (Exit.NOT_ALL, "")
        assert "it can be resumed once it has left" in done.err
    run.go()
    stop.communicate(timeout=TIMEOUT_S)
    assert run.to_the_end()[0] == Exit.STOPPED


def test_who_watches_a_run_that_is_stopped_is_told_how_to_go_on(start: Start, galaxy: Galaxy) -> None:
    run = start()
    with watching(run.name) as (watch, _):
        run.process.send_signal(signal.SIGTERM)
        run.go()
        out, err = watch.communicate(timeout=TIMEOUT_S)
        assert watch.returncode == Exit.STOPPED, (out, err)
        assert out.splitlines()[-1].startswith("nightly stopped: ")
        assert err == f"to go on: galaxy resume {run.name}\n"
    assert run.to_the_end()[0] == Exit.STOPPED
    for what in ("watch", "pause", "continue", "stop"):
        done = galaxy(what, run.name)
        assert (done.code, done.out) == (Exit.REFUSED, "")
        expected = f"run '{run.name}' is not under way: stopped; to go on with it: galaxy resume {run.name}"
        assert done.err == f"error: {expected}\n"
    assert galaxy("resume", run.name).code == 0
    over = f"run '{run.name}' is not under way: completed; what is kept of it: galaxy show {run.name}"
    assert galaxy("watch", run.name).err == f"error: {over}\n"


def test_a_run_of_which_nothing_is_kept_says_so_once_and_not_where_a_machine_reads(
    galaxy: Galaxy, write: Write
) -> None:
    write("plan.yaml", "tasks: {a: {run: ['true']}}")
    off = ("run", "plan.yaml", "--durability", "off")
    assert galaxy(*off).err.count("nothing of this run is kept (--durability off)") == 1
    assert "is kept" not in galaxy(*off, "--json").err
    assert "is kept" not in galaxy(*off, "--journal", "none").err


def test_ctrl_c_is_not_offered_where_it_is_ignored(galaxy: Galaxy, write: Write) -> None:
    """As of a job in the background of a script."""
    write("plan.yaml", "tasks: {pay: {shell: 'echo here I am; read line < go'}}")
    os.mkfifo("go")
    words = command("run", "plan.yaml", LEAN, "--json", "--show-output")
    line = "trap '' INT; exec \"$@\""
    pipe = subprocess.PIPE
    with subprocess.Popen(["sh", "-c", line, "sh", *words], stdout=pipe, stderr=pipe, text=True) as running:
        assert running.stdout is not None
        assert running.stderr is not None
        while "here I am" not in (told := running.stdout.readline()):
            assert told
        running.send_signal(signal.SIGTERM)
        said = running.stderr.readline()
        while not said.startswith("waiting for "):
            assert said
            said = running.stderr.readline()
        assert said == "waiting for 1 task that may run only once (pay); SIGTERM once more leaves at once\n"
        with open("go", "w", encoding="utf-8") as go:
            go.write("gone\n")
        running.communicate(timeout=TIMEOUT_S)
