"""A plugin that hangs while it is imported is told of, and Ctrl-C ends the command at once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from galaxy_core_cli.exits import Exit

from .asking import TIMEOUT_S, Install, Write, command

HANGS = """
    import sys, threading
    print("here", file=sys.stderr, flush=True)
    threading.Event().wait()
"""
#: At work for many times the patience of the command below, and then stuck.
BUSY = """
    import sys, threading
    for _ in range(3_000_000):
        pass
    print("stuck", file=sys.stderr, flush=True)
    threading.Event().wait()
"""
#: As a loop of attempts does that catches too much, or a library that waits in C.
STUBBORN = """
    import sys, threading
    print("here", file=sys.stderr, flush=True)
    while True:
        try:
            threading.Event().wait()
        except BaseException:
            pass
"""
#: The command with hardly any patience.
IMPATIENT = "import sys; from galaxy_core_cli import loading; loading.PATIENCE_S = 0.01; from galaxy_core_cli.main import main; sys.exit(main())"
PLAN = "tasks:\n  a: {run: [echo, done]}\n"
Begin = Callable[..., subprocess.Popen[str]]
COMMANDS = [
    ("validate", "plan.yaml", "--json"),
    ("run", "plan.yaml", "--json"),
    ("run", "plan.yaml", "--backend", "trio"),
    ("plan", "plan.yaml"),
    ("devices", "probe"),
    ("plugins", "explain", "local"),
    ("plugins", "doctor"),
]


@pytest.fixture
def begin() -> Iterator[Begin]:
    """Starts a process, which is killed if it is still there after a while."""
    with ExitStack() as stack:

        def put(*arguments: str) -> subprocess.Popen[str]:
            process = subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            stack.enter_context(process)
            limit = threading.Timer(TIMEOUT_S, process.kill)
            stack.callback(process.kill)
            stack.callback(limit.cancel)
            limit.start()
            return process

        yield put


def interrupted(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    """What is left of a process after Ctrl-C: exit code, standard output, the rest of standard error."""
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=TIMEOUT_S)
    return process.returncode, out, err


@pytest.mark.skipif(os.name == "nt", reason="there is no SIGINT to send")
@pytest.mark.parametrize("arguments", COMMANDS, ids=" ".join)
def test_a_plugin_whose_import_hangs_is_told_of_once(
    arguments: tuple[str, ...], begin: Begin, install: Install, write: Write
) -> None:
    install("stuck", BUSY)
    write("plan.yaml", PLAN)
    process = begin(sys.executable, "-c", IMPATIENT, *arguments)
    assert process.stderr is not None
    told = ""
    while "--block stuck" not in told or "stuck\n" not in told.splitlines(keepends=True):
        line = process.stderr.readline()
        assert line, f"it ended after {told!r}"
        told += line
    assert told.count("--block stuck") == 1
    assert (
        "warning: plugin 'stuck' of distribution 'test-stuck' is still being loaded after 0.01 s (importing test_stuck)"
        in told
    )
    code, out, err = interrupted(process)
    assert (code, out) == (Exit.CANCELLED, "")
    assert err == (
        "error: ended while plugin 'stuck' of distribution 'test-stuck' was being loaded (importing test_stuck); "
        "to do without it: --block stuck\n"
    )


@pytest.mark.skipif(os.name == "nt", reason="there is no SIGINT to send")
@pytest.mark.parametrize("code", [HANGS, STUBBORN], ids=["hangs", "stubborn"])
def test_ctrl_c_ends_an_import_at_once_even_one_that_catches_everything(
    code: str, begin: Begin, install: Install, write: Write
) -> None:
    install("stuck", code)
    write("plan.yaml", PLAN)
    process = begin(*command("run", "plan.yaml"))
    assert process.stderr is not None
    assert process.stderr.readline() == "here\n"
    exit_code, out, err = interrupted(process)
    assert (exit_code, out) == (Exit.CANCELLED, "")
    assert err.count("--block stuck") == 1
    assert "was being loaded" in err


@pytest.mark.skipif(os.name == "nt", reason="there is no SIGINT to send")
@pytest.mark.parametrize("module", ["click", "galaxy_core", "galaxy_core_cli.root"])
def test_ctrl_c_while_galaxy_itself_is_imported_ends_it_quietly(
    module: str, begin: Begin, write: Write, folder: Path
) -> None:
    write("plan.yaml", PLAN)
    interrupted_there = (
        "import os, signal, sys\n"
        "class There:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        f"        if name == {module!r}: os.kill(os.getpid(), signal.SIGINT)\n"
        "sys.meta_path.insert(0, There())\n"
        "from galaxy_core_cli.main import main\n"
        "sys.exit(main())\n"
    )
    process = begin(sys.executable, "-c", interrupted_there, "run", "plan.yaml")
    out, err = process.communicate(timeout=TIMEOUT_S)
    assert (process.returncode, out, err) == (Exit.CANCELLED, "", "")


def test_the_block_that_is_advised_works(begin: Begin, install: Install, write: Write) -> None:
    install("stuck", HANGS)
    write("plan.yaml", PLAN)
    process = begin(*command("run", "plan.yaml", "--block", "stuck"))
    out, err = process.communicate(timeout=TIMEOUT_S)
    assert (process.returncode, out) == (0, "done\n"), err
