"""What signals do to a run: cancel it, or, if it is kept, stop it so that it can be resumed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from galaxy_core_cli.exits import Exit

from .asking import LEAN, TIMEOUT_S, Galaxy, Install, Write, command

if sys.platform == "win32":
    pytest.skip("there are no such signals", allow_module_level=True)

from .reached import Run
from .terminal import STUBBORN, WILLING, Terminal, Witness

BACKENDS = pytest.mark.parametrize("backend", ["asyncio", "trio"])
STOPPING = pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP], ids=lambda one: signal.Signals(one).name)
UNKEPT = ("--journal", "none")
AGAIN = """
    name: again
    tasks:
      stay: {shell: "echo x >> began; exec 3> alive; echo here I am; test -e mended || sleep 1000; echo done", effect: EFFECT}
      next: {run: [tr, a-z, A-Z], stdin: {from: stay}}
"""
#: What waits for the pipe `go` may run only once.
ONCE = """
    name: once
    tasks:
      pay: {shell: "echo x >> began; exec 3> alive; echo here I am; read line < go; echo $line"}
      next: {run: [tr, a-z, A-Z], stdin: {from: pay}}
"""


Popen = subprocess.Popen[str]
Begin = Callable[..., Popen]


@pytest.fixture
def begin(folder: Path) -> Iterator[Begin]:
    """Starts a run and waits until its task has said that it is there."""
    begun: list[Popen] = []

    def start(*words: str) -> Popen:
        arguments = command("run", "plan.yaml", LEAN, "--json", "--show-output", *words)
        running = subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        begun.append(running)
        assert running.stdout is not None
        while "here I am" not in (line := running.stdout.readline()):
            assert line, running.communicate()
        return running

    yield start
    for running in begun:
        running.kill()
        running.communicate(timeout=TIMEOUT_S)


def last_of(out: str) -> dict[str, object]:
    found: dict[str, object] = json.loads(out.splitlines()[-1])
    return found


def stopping(number: signal.Signals, run: object) -> str:
    return f"stopping: {number.name} was received; to go on: galaxy resume {run}\n"


# ---------------------------------------------------------------------------------------------- runs that are kept
@pytest.mark.parametrize(
    ("number", "backend", "effect"),
    [(signal.SIGTERM, "asyncio", "read"), (signal.SIGTERM, "trio", "idempotent"), (signal.SIGHUP, "asyncio", "read")],
)
def test_a_run_that_is_kept_is_stopped_and_what_may_run_again_is_ended_and_runs_again(
    number: signal.Signals, backend: str, effect: str, begin: Begin, galaxy: Galaxy, write: Write, folder: Path
) -> None:
    write("plan.yaml", AGAIN.replace("EFFECT", effect))
    witness = Witness(folder / "alive")
    running = begin("--backend", backend)
    running.send_signal(number)
    out, err = running.communicate(timeout=TIMEOUT_S)
    assert (running.returncode, last_of(out)["status"]) == (Exit.STOPPED, "stopped"), err
    assert err == stopping(number, last_of(out)["run"])
    assert witness.all_gone()
    [one] = json.loads(galaxy("runs", "--json").out)
    assert (one["status"], one["resumable"]) == ("stopped", True)
    (folder / "alive").unlink()
    write("mended", "")
    resumed = galaxy("resume", "last", "--backend", backend)
    assert (resumed.code, resumed.out) == (0, "HERE I AM\nDONE\n"), resumed.err
    assert (folder / "began").read_text() == "x\nx\n"


@STOPPING
def test_what_may_run_only_once_is_waited_for_and_its_output_is_kept(
    number: signal.Signals, begin: Begin, galaxy: Galaxy, write: Write, folder: Path
) -> None:
    write("plan.yaml", ONCE)
    os.mkfifo("go")
    witness = Witness(folder / "alive")
    running = begin()
    running.send_signal(number)
    running.send_signal(signal.SIGHUP)  # never insists: a terminal that is closed sends it twice
    assert running.stderr is not None
    told = running.stderr.readline()
    insist = "" if number is signal.SIGHUP else "; SIGTERM once more leaves at once"
    waiting = f"waiting for 1 task that may run only once (pay){insist}; Ctrl-C cancels\n"
    assert running.stderr.readline() == waiting
    (folder / "go").write_text("went\n")
    out, err = running.communicate(timeout=TIMEOUT_S)
    assert (running.returncode, err) == (Exit.STOPPED, "")
    assert told == stopping(number, last_of(out)["run"])
    assert last_of(out)["counts"] == {"pending": 1, "completed": 1}
    assert witness.all_gone()
    resumed = galaxy("resume", "last")
    assert (resumed.code, resumed.out) == (0, "HERE I AM\nWENT\n"), resumed.err
    assert (folder / "began").read_text() == "x\n"


def test_who_insists_leaves_at_once_and_what_goes_on_is_found_again(
    begin: Begin, galaxy: Galaxy, write: Write, folder: Path
) -> None:
    write("plan.yaml", ONCE.replace("{from: pay}", "{from: pay, value: exit_code}"))
    os.mkfifo("go")
    witness = Witness(folder / "alive")
    running = begin()
    running.send_signal(signal.SIGTERM)
    assert running.stderr is not None
    assert "waiting" in running.stderr.readline() + running.stderr.readline()
    running.send_signal(signal.SIGTERM)
    out, err = running.communicate(timeout=TIMEOUT_S)
    assert (running.returncode, err) == (Exit.STOPPED, "left at once; what runs goes on without us\n")
    assert "run_result" not in out
    (folder / "go").write_text("went\n")
    assert witness.all_gone()
    resumed = galaxy("resume", "last")
    assert (resumed.code, resumed.out) == (0, "0\n"), resumed.err
    assert (folder / "began").read_text() == "x\n"


@BACKENDS
def test_ctrl_c_cancels_what_is_being_stopped(backend: str, begin: Begin, write: Write, folder: Path) -> None:
    write("plan.yaml", ONCE)
    os.mkfifo("go")
    witness = Witness(folder / "alive")
    running = begin("--backend", backend)
    running.send_signal(signal.SIGTERM)
    assert running.stderr is not None
    assert "waiting" in running.stderr.readline() + running.stderr.readline()
    running.send_signal(signal.SIGINT)
    out, err = running.communicate(timeout=TIMEOUT_S)
    assert (running.returncode, last_of(out)["status"]) == (Exit.CANCELLED, "cancelled")
    assert err == "cancelling; press Ctrl-C again to kill\n"
    assert witness.all_gone()


def test_closing_the_terminal_stops_a_run_that_is_kept(galaxy: Galaxy, write: Write, folder: Path) -> None:
    write("plan.yaml", AGAIN.replace("EFFECT", "read"))
    witness = Witness(folder / "alive")
    with Terminal("run", "plan.yaml", LEAN) as terminal:
        terminal.until("here I am")
        terminal.close()
        assert terminal.process.wait(TIMEOUT_S) == Exit.STOPPED
    assert witness.all_gone()
    assert "to go on with it: galaxy resume" in galaxy("show", "last").out


def test_a_run_that_has_ended_by_itself_when_it_was_to_be_stopped_is_told_as_it_ended(
    begin: Begin, write: Write, folder: Path
) -> None:
    write("plan.yaml", ONCE[: ONCE.index("      next")].replace("echo $line", "exit 3"))
    os.mkfifo("go")
    running = begin_and_term(begin)
    (folder / "go").write_text("went\n")
    out, _ = running.communicate(timeout=TIMEOUT_S)
    assert (running.returncode, last_of(out)["status"]) == (Exit.NOT_ALL, "failed")


def begin_and_term(begin: Begin) -> Popen:
    running = begin()
    running.send_signal(signal.SIGTERM)
    assert running.stderr is not None
    assert "waiting" in running.stderr.readline() + running.stderr.readline()
    return running


SILENT = """
    import os
    from contextlib import asynccontextmanager
    import anyio
    from galaxy_core import hookimpl
    from galaxy_core.errors import DeviceLostError
    class Silent:
        name, settings_model, requests, actions, device_type = "silent", None, frozenset({"run"}), {}, None
        @asynccontextmanager
        async def open(self, device, settings):
            print("opening", flush=True)
            if os.path.exists("silent"):
                await anyio.sleep_forever()
            yield self
        async def execute(self, attempt):
            await anyio.sleep_forever()
        async def probe(self):
            return {}
    @hookimpl
    def galaxy_transports():
        return [Silent()]
"""


def test_a_run_that_is_stopped_before_it_goes_on_can_be_resumed_as_before(
    install: Install, galaxy: Galaxy, write: Write, folder: Path
) -> None:
    install("silent", SILENT)
    write("plan.yaml", "tasks: {wait: {run: [x], effect: read}}")
    write("devices.yaml", "devices: {it: {transport: silent}}")
    first = Run(folder, "--devices", "devices.yaml", "--plain", json_=False, plugins=True)
    assert first.process.stderr is not None
    while "start " not in first.process.stderr.readline():
        pass
    first.process.send_signal(signal.SIGTERM)
    first.process.communicate(timeout=TIMEOUT_S)
    assert first.process.returncode == Exit.STOPPED
    write("silent", "")
    again = Run(folder, "last", words=("resume",), json_=False, plugins=True)
    assert again.process.stdout is not None
    assert again.process.stdout.readline() == "opening\n"
    again.process.send_signal(signal.SIGTERM)
    _, err = again.process.communicate(timeout=TIMEOUT_S)
    assert again.process.returncode == Exit.STOPPED
    [_, run] = err.split("to go on: galaxy resume ")
    assert err == f"stopping: SIGTERM was received\nstopped before anything was started\nto go on: galaxy resume {run}"
    [one] = json.loads(galaxy("runs", "--json").out)
    assert (one["run"], one["status"]) == (run.strip(), "stopped")


# ------------------------------------------------------------------------------------------ runs that nothing keeps
def test_hanging_up_twice_still_lets_the_run_end_in_order(write: Write, folder: Path) -> None:
    write("plan.yaml", STUBBORN)
    write("devices.yaml", "devices: {here: {settings: {kill_grace_s: 0.5}}}")
    witness = Witness(folder / "alive")
    arguments = command("run", "plan.yaml", LEAN, "--devices", "devices.yaml", "--json", "--show-output", *UNKEPT)
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        assert running.stderr is not None
        while "here I am" not in running.stdout.readline():
            pass
        running.send_signal(signal.SIGHUP)
        assert "SIGHUP was received" in running.stderr.readline()
        running.send_signal(signal.SIGHUP)
        out, _ = running.communicate(timeout=TIMEOUT_S)
    assert running.returncode == Exit.HUNG_UP
    assert '"type":"run_result"' in out.splitlines()[-1]
    assert witness.all_gone()


@pytest.mark.parametrize(
    ("number", "code", "backend"),
    [
        (signal.SIGTERM, Exit.TERMINATED, "asyncio"),
        (signal.SIGHUP, Exit.HUNG_UP, "trio"),
        (signal.SIGINT, Exit.CANCELLED, "asyncio"),  # which cancels what is kept, too
        (signal.SIGINT, Exit.CANCELLED, "trio"),
    ],
)
def test_signals_cancel_a_run_that_nobody_watches(
    number: signal.Signals, code: Exit, backend: str, write: Write, folder: Path
) -> None:
    write("plan.yaml", WILLING)
    witness = Witness(folder / "alive")
    arguments = command("run", "plan.yaml", LEAN, "--json", "--show-output", "--backend", backend)
    arguments += [] if number is signal.SIGINT else UNKEPT
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        while "here I am" not in running.stdout.readline():
            pass
        running.send_signal(number)
        out, err = running.communicate(timeout=TIMEOUT_S)
    assert running.returncode == code
    pressed = number is signal.SIGINT
    assert err == f"cancelling{'; press Ctrl-C again to kill' if pressed else f': {number.name} was received'}\n"
    assert '"type":"run_result"' in out.splitlines()[-1]
    assert '"status":"cancelled"' in out.splitlines()[-1]
    assert witness.all_gone()


@pytest.mark.parametrize(
    ("number", "backend", "kept", "what"),
    [
        (signal.SIGHUP, "asyncio", (), ""),
        (signal.SIGINT, "trio", (), "stop the run, so that it can be resumed"),
        (signal.SIGINT, "asyncio", UNKEPT, "cancel the run"),
    ],
)
def test_a_signal_that_was_ignored_from_the_beginning_stays_ignored(
    number: signal.Signals, backend: str, kept: Sequence[str], what: str, write: Write
) -> None:
    write("plan.yaml", "tasks: {a: {shell: 'echo here I am; cat < go'}}")
    os.mkfifo("go")
    ignoring = (
        f"import os, signal, sys; signal.signal({int(number)}, signal.SIG_IGN); os.execv(sys.argv[1], sys.argv[1:])"
    )
    arguments = command("run", "plan.yaml", LEAN, "--json", "--show-output", "--backend", backend, *kept)
    with subprocess.Popen(
        [sys.executable, "-c", ignoring, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as running:
        assert running.stdout is not None
        while "here I am" not in running.stdout.readline():
            pass
        running.send_signal(number)
        Path("go").write_text("", encoding="utf-8")
        _, err = running.communicate(timeout=TIMEOUT_S)
    told = f"Ctrl-C (SIGINT) is ignored here, as it was when galaxy was started; to {what}: kill {running.pid}\n"
    assert (running.returncode, err) == (0, told if what else "")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_same_signal_twice_kills(number: signal.Signals, write: Write, folder: Path) -> None:
    write("plan.yaml", STUBBORN)
    write("devices.yaml", "devices: {here: {settings: {kill_grace_s: 1000}}}")
    witness = Witness(folder / "alive")
    arguments = command("run", "plan.yaml", LEAN, "--devices", "devices.yaml", "--json", "--show-output", *UNKEPT)
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        assert running.stderr is not None
        while "here I am" not in running.stdout.readline():
            pass
        running.send_signal(number)
        running.stderr.readline()
        running.send_signal(number)
        out, err = running.communicate(timeout=TIMEOUT_S)
    assert err.endswith("killed\n"), "nothing is kept that could be shown"
    assert running.returncode == {signal.SIGINT: Exit.CANCELLED, signal.SIGTERM: Exit.TERMINATED}[number]
    assert "run_result" not in out
    assert witness.all_gone()


def test_closing_the_terminal_cancels_a_run_that_nothing_keeps(write: Write, folder: Path) -> None:
    write("plan.yaml", WILLING)
    witness = Witness(folder / "alive")
    with Terminal("run", "plan.yaml", LEAN, *UNKEPT) as terminal:
        terminal.until("here I am")
        terminal.close()
        assert terminal.process.wait(TIMEOUT_S) == Exit.HUNG_UP
    assert witness.all_gone()


@pytest.mark.parametrize("journal", ["none", "sqlite"])
def test_who_is_started_by_a_program_that_ignores_its_children_hears_how_its_own_end(
    journal: str, write: Write, folder: Path
) -> None:
    """As some containers and supervisors do: a signal that is ignored stays so in what they start."""
    write("plan.yaml", "tasks: {a: {run: [sh, -c, exit 3]}, b: {run: [echo, done]}}")
    done = subprocess.run(
        command("run", "plan.yaml", "--json", "--journal", journal),
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
        preexec_fn=lambda: signal.signal(signal.SIGCHLD, signal.SIG_IGN),
    )
    ends = [
        one for one in map(json.loads, done.stdout.splitlines()) if one["type"] in ("task_completed", "task_failed")
    ]
    codes = {one["task"]: one["exit_code"] for one in ends}
    assert codes == {"a": 3, "b": 0}, done.stderr
