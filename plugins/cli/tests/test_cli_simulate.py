"""`galaxy simulate`: devices that anyone has, while somebody wants them, and no longer."""

from __future__ import annotations

import json
import os
import select
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from shutil import which
from typing import Any

import pytest

from galaxy_core import load_inventory
from galaxy_core_cli.exits import Exit

from .asking import TIMEOUT_S, Galaxy, Install, Write, command
from .terminal import CTRL_C, Terminal
from .toys import TOYS

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the signals of these tests are not there")
on_linux = pytest.mark.skipif(sys.platform != "linux", reason="only there a process can adopt what is left")


@pytest.fixture(autouse=True)
def toys(install: Install, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install("toys", TOYS)
    (tmp_path / "tmp").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    monkeypatch.setenv("ENDED", str(tmp_path / "ended"))


class Simulation:
    """`galaxy simulate` in a process of its own; `out` and `err` are what was read so far."""

    def __init__(self, *arguments: str) -> None:
        self.out = self.err = ""
        self.process = subprocess.Popen(
            command("simulate", *arguments), stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0
        )

    def until(self, text: str) -> None:
        """Read until standard error has it."""
        assert self.process.stderr is not None
        while text not in self.err:
            assert select.select([self.process.stderr], [], [], TIMEOUT_S)[0], self.err
            read = os.read(self.process.stderr.fileno(), 1 << 16)
            assert read, self.err
            self.err += read.decode()

    def end(self, *numbers: int) -> int:
        """Send signals and read the rest; the exit code."""
        for number in numbers:
            self.process.send_signal(number)
        out, err = self.process.communicate(timeout=TIMEOUT_S)
        self.out += out.decode()
        self.err += err.decode()
        return self.process.returncode

    @property
    def worker(self) -> int:
        """The process that has the devices; the other one minds it."""
        pid = self.process.pid
        if sys.platform != "linux":
            return pid
        child, *_adopted = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        return int(child)


Simulate = Callable[..., Simulation]


def until(holds: Callable[[], bool]) -> None:
    """Wait for what nobody tells of."""
    limit = time.monotonic() + TIMEOUT_S
    while not holds():
        assert time.monotonic() < limit
        time.sleep(0.01)


@pytest.fixture
def simulate(folder: Path) -> Iterator[Simulate]:
    """Starts a simulation, and waits until it is up."""
    found: list[Simulation] = []

    def begin(*arguments: str, until: str = "use them: ") -> Simulation:
        one = Simulation(*arguments)
        found.append(one)
        one.until(until)
        return one

    yield begin
    for one in found:
        one.process.kill()
        one.process.communicate(timeout=TIMEOUT_S)


def leftovers(tmp_path: Path) -> list[str]:
    return [path.name for place in ("here", "tmp") for path in (tmp_path / place).iterdir()]


# ----------------------------------------------------------------------------------------------- while it lasts
def test_devices_are_there_until_ctrl_c_and_then_nothing_of_them_is_left(
    simulate: Simulate, galaxy: Galaxy, write: Write, tmp_path: Path
) -> None:
    one = simulate("robot", "--count", "2")
    write("plan.yaml", "tasks: {a: {shell: 'echo $TOKEN in $PWD', requires: [toy]}}")
    done = galaxy("run", "plan.yaml", "--devices", "simulated.yaml")
    assert done.code == 0
    assert done.out.startswith(f"*** in {tmp_path}/tmp/galaxy-sim-")
    (tmp_path / "here" / "plan.yaml").unlink()
    assert one.end(signal.SIGINT) == 0
    rows = [line.split() for line in one.out.splitlines()]
    assert [[row[0], row[1], *row[3:]] for row in rows] == [
        ["robot-0", "local", "2", "slots", "toy"],
        ["robot-1", "local", "2", "slots", "toy"],
    ]
    assert "use them: galaxy run PLAN --devices simulated.yaml\n" in one.err
    assert one.err.endswith("removed: 2 devices and simulated.yaml\n")
    assert leftovers(tmp_path) == []
    assert (tmp_path / "ended").exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_other_signals_end_it_as_well(number: signal.Signals, simulate: Simulate, tmp_path: Path) -> None:
    one = simulate("robot")
    assert one.end(number) == 0
    assert leftovers(tmp_path) == []
    assert (tmp_path / "ended").exists()


def test_the_inventory_is_for_its_owner_alone_and_has_no_secret(simulate: Simulate) -> None:
    simulate("robot", "here")
    path = Path("simulated.yaml")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    text = path.read_text()
    assert "sesame" not in text
    robot, here = load_inventory(path).devices
    assert (robot.device_id, here.device_id) == ("robot-0", "here")
    assert Path(str(robot.settings["env"]["TOKEN"].file)).read_text() == "sesame-sesame"
    assert (robot.max_concurrency, robot.capabilities, robot.metadata) == (2, frozenset({"toy"}), {"on": "yes"})
    assert stat.S_IMODE(Path(str(robot.settings["root"])).parent.stat().st_mode) == 0o700


def test_as_json_it_is_one_line_that_comes_once_the_devices_are_there(simulate: Simulate) -> None:
    one = simulate("robot", "--json", "--out", "x y.yaml")
    assert one.process.stdout is not None
    told: dict[str, Any] = json.loads(one.process.stdout.readline())
    assert told["inventory"] == str(Path("x y.yaml").absolute())
    assert [device["device_id"] for device in told["devices"]] == ["robot-0"]
    assert told["devices"][0]["settings"]["env"]["TOKEN"].keys() == {"file"}
    assert "galaxy run PLAN --devices 'x y.yaml'" in one.err


def test_a_folder_that_was_named_stays(simulate: Simulate, galaxy: Galaxy) -> None:
    one = simulate("robot", "--folder", "kept")
    assert one.end(signal.SIGINT) == 0
    assert one.err.endswith("removed: 1 device and simulated.yaml; what they stored is left in kept\n")
    assert Path("kept/robot/token").exists()
    done = galaxy("simulate", "robot", "--folder", "kept")
    assert done.code == Exit.REFUSED
    assert "--folder 'kept' is not empty" in done.err
    assert Path("kept/robot/token").exists()


def test_somebody_who_sits_in_a_terminal_sees_it(folder: Path) -> None:
    with Terminal("simulate", "robot", "--out", "toys.yaml") as terminal:
        terminal.until(r"robot-0 +local .*2 slots +toy")
        terminal.until(r"Ctrl-C ends and removes them\.")
        terminal.press(CTRL_C)
        assert terminal.to_the_end() == 0
        assert "removed: 1 device and toys.yaml" in terminal.text


# ----------------------------------------------------------------------------------------------- the file
def test_somebody_elses_file_is_not_overwritten_unless_that_is_wanted(
    galaxy: Galaxy, write: Write, simulate: Simulate
) -> None:
    theirs = write("simulated.yaml", "devices: {}")
    done = galaxy("simulate", "robot")
    assert done.code == Exit.REFUSED
    assert "it was not written by galaxy simulate" in done.err
    assert "starting" not in done.err
    assert theirs.read_text() == "devices: {}"
    assert simulate("robot", "--force").end(signal.SIGINT) == 0
    assert not theirs.exists()


def test_what_a_simulation_that_was_killed_has_left_is_overwritten(simulate: Simulate) -> None:
    first = simulate("robot")
    for pid, number in [
        (first.worker, signal.SIGSTOP),
        (first.process.pid, signal.SIGKILL),
        (first.worker, signal.SIGKILL),
    ]:
        os.kill(pid, number)
    first.process.wait(TIMEOUT_S)
    assert Path("simulated.yaml").exists()
    assert simulate("robot").end(signal.SIGINT) == 0


def test_the_file_of_a_simulation_that_runs_is_not_overwritten(simulate: Simulate, galaxy: Galaxy) -> None:
    one = simulate("robot")
    done = galaxy("simulate", "robot")
    assert done.code == Exit.REFUSED
    assert f"it belongs to a galaxy simulate that still runs (process {one.process.pid})" in done.err


def test_a_file_that_somebody_has_changed_is_left_and_not_overwritten(simulate: Simulate, galaxy: Galaxy) -> None:
    one = simulate("robot")
    with open("simulated.yaml", "a", encoding="utf-8") as file:
        file.write("  mine: {}\n")
    assert one.end(signal.SIGINT) == 0
    assert "simulated.yaml was changed meanwhile, and is left as it is" in one.err
    assert load_inventory("simulated.yaml").devices[-1].device_id == "mine"
    done = galaxy("simulate", "robot")
    assert done.code == Exit.REFUSED
    assert "somebody has changed it" in done.err


@pytest.mark.parametrize(
    ("out", "text"),
    [
        ("x.json", "name a file that ends with .yaml"),
        ("no/x.yaml", "there is no folder 'no'"),
        ("dir.yaml", "it is a folder"),
        ("", "name a file that ends with .yaml"),
    ],
)
def test_a_file_that_cannot_be_is_refused_before_anything_is_started(out: str, text: str, galaxy: Galaxy) -> None:
    Path("dir.yaml").mkdir()
    done = galaxy("simulate", "robot", "--out", out)
    assert (done.code, done.out) == (Exit.REFUSED, "")
    assert text in done.err
    assert "starting" not in done.err


# ----------------------------------------------------------------------------------------------- what goes wrong
@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("robt", "did you mean 'robot'?"),
        ("unheard-of", "there are all, "),
        ("android", "did you mean 'phone'?"),
        ("winrm", "did you mean 'windows'?"),
    ],
)
def test_a_kind_that_nobody_brings_is_told_with_the_nearest(kind: str, text: str, galaxy: Galaxy) -> None:
    done = galaxy("simulate", kind)
    assert (done.code, done.out) == (Exit.REFUSED, "")
    assert f"no plugin simulates {kind!r}" in done.err
    assert text in done.err


@pytest.mark.parametrize(
    ("kind", "text"), [("windows", "'galaxy-core-winrm[simulate]'"), ("phone", "'galaxy-core-adb'")]
)
def test_a_kind_that_is_not_installed_is_told_with_what_brings_it(
    kind: str, text: str, galaxy: Galaxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("galaxy_core_cli.simulating.kinds.PluginRegistry.simulators", {}, raising=False)
    monkeypatch.setattr("galaxy_core.PluginRegistry.describe", lambda _: [])
    done = galaxy("simulate", kind)
    assert done.code == Exit.REFUSED
    assert f"no plugin that is loaded simulates {kind!r}: pip install {text}" in done.err
    done = galaxy("simulate", "all")
    told = "pip install 'galaxy-core-adb' (in a clone: './plugins/adb') brings phone"
    assert f"no plugin that is installed simulates anything; {told}" in done.err


def test_a_plugin_that_is_installed_and_blocked_is_told_of(galaxy: Galaxy) -> None:
    done = galaxy("simulate", "ssh", "--block", "galaxy-core-ssh")
    assert done.code == Exit.REFUSED
    assert "no plugin that is loaded simulates 'ssh': galaxy-core-ssh is installed, but blocked; there are" in done.err


@pytest.mark.parametrize(
    ("kinds", "code", "text"),
    [
        (["wreck"], Exit.REFUSED, "no simulated wreck can be started: it needs a crane; install one"),
        (["bug"], Exit.BROKEN, "simulator 'bug' broke: KeyError: 'oops'"),
        (["robot", "wreck"], Exit.REFUSED, "it needs a crane"),
        (["robot", "twin"], Exit.REFUSED, "robot-0"),
        (["liar"], Exit.BROKEN, "simulated device 'lie' could not be used"),
    ],
    ids=["not possible", "a bug", "the second is not possible", "two of one name", "no such transport"],
)
def test_devices_that_cannot_be_started_leave_nothing(
    kinds: list[str], code: Exit, text: str, process: Galaxy, tmp_path: Path
) -> None:
    done = process("simulate", *kinds)
    assert (done.code, done.out) == (code, "")
    assert text in done.err
    assert "use them" not in done.err
    assert leftovers(tmp_path) == []


def test_a_file_that_comes_while_devices_are_started_is_not_overwritten(process: Galaxy, tmp_path: Path) -> None:
    done = process("simulate", "vandal")
    assert (done.code, done.out) == (Exit.REFUSED, "")
    assert "it was not written by galaxy simulate" in done.err
    assert Path("simulated.yaml").read_text() == "mine"
    assert leftovers(tmp_path) == ["simulated.yaml"]


def test_devices_that_end_by_themselves_end_it(
    simulate: Simulate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.mkfifo(tmp_path / "die")
    monkeypatch.setenv("DIE", str(tmp_path / "die"))
    one = simulate("robot", "mortal")
    (tmp_path / "die").write_text("now")
    assert one.end() == Exit.BROKEN
    assert "simulator 'mortal' broke: RuntimeError: it fell over" in one.err
    assert leftovers(tmp_path) == []
    assert (tmp_path / "ended").exists()


def test_what_is_being_started_can_be_cancelled(simulate: Simulate, tmp_path: Path) -> None:
    one = simulate("slow", until="starting")
    assert one.end(signal.SIGINT) == Exit.CANCELLED
    assert one.err.endswith("nothing is left\n")
    assert leftovers(tmp_path) == []
    assert (tmp_path / "ended").exists()


def test_what_does_not_end_is_killed_by_a_second_ctrl_c(simulate: Simulate, tmp_path: Path) -> None:
    one = simulate("stubborn")
    one.process.send_signal(signal.SIGINT)
    one.until("press Ctrl-C again to kill")
    assert one.end(signal.SIGINT) == Exit.CANCELLED
    assert one.err.endswith("killed\n")
    assert leftovers(tmp_path) == []


@on_linux
def test_a_simulation_that_is_killed_ends_as_any_other(simulate: Simulate, tmp_path: Path) -> None:
    one = simulate("robot")
    assert one.end(signal.SIGKILL) == -signal.SIGKILL
    assert one.err.endswith("removed: 1 device and simulated.yaml\n")
    assert leftovers(tmp_path) == []
    assert (tmp_path / "ended").exists()


@on_linux
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_whatever_it_has_started_ends_with_it_even_if_it_is_killed(
    number: signal.Signals, simulate: Simulate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CHILD", str(tmp_path / "child"))
    one = simulate("parent", "robot")
    child = Path("/proc", (tmp_path / "child").read_text().strip())
    assert b"time.sleep" in (child / "cmdline").read_bytes()
    os.kill(one.worker, number)
    assert one.end() == (128 + number if number == signal.SIGKILL else 0)
    told = "the simulation was killed (SIGKILL); what it had started was ended and removed\n"
    assert one.err.endswith(told) == (number == signal.SIGKILL)
    until(lambda: not child.exists())
    assert leftovers(tmp_path) == []


def test_a_reader_who_goes_away_ends_nothing(folder: Path) -> None:
    with subprocess.Popen(
        command("simulate", "robot"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as run:
        assert run.stdout is not None
        assert run.stderr is not None
        run.stdout.close()
        while "Ctrl-C" not in run.stderr.readline():
            assert run.poll() is None
        assert Path("simulated.yaml").exists()
        run.send_signal(signal.SIGINT)
        assert run.wait(TIMEOUT_S) == 0


# ----------------------------------------------------------------------------------------------- the real ones
REAL = """
    tasks:
      phone: {run: [getprop, ro.product.model], device_type: android}
      host: {run: [echo, from afar], requires: [ssh]}
      windows: {action: {powershell: {script: "exit 0"}}, device_type: windows}
      mine: {run: [echo, at home], device: here}
"""


@pytest.mark.skipif(sys.platform != "linux" or which("sshd", path="/usr/sbin:/usr/bin") is None, reason="no sshd")
def test_one_plan_runs_on_a_simulated_phone_windows_host_ssh_host_and_this_machine(
    simulate: Simulate, galaxy: Galaxy, write: Write, tmp_path: Path
) -> None:
    kinds = ("phone", "windows", "ssh", "here")
    pytest.importorskip("galaxy_core_adb")
    pytest.importorskip("galaxy_core_ssh")
    pytest.importorskip("galaxy_core_winrm")
    one = simulate(*kinds)
    write("plan.yaml", REAL)
    done = galaxy("run", "plan.yaml", "--devices", "simulated.yaml")
    assert done.code == 0, done.err
    for text in ("Simulated Phone 1", "from afar", "at home"):
        assert text in done.out
    done = galaxy("devices", "probe", "--devices", "simulated.yaml")
    assert done.code == 0, done.out
    (tmp_path / "here" / "plan.yaml").unlink()
    assert one.end(signal.SIGINT) == 0
    assert one.err.endswith("removed: 4 devices and simulated.yaml\n")
    assert [name for name in leftovers(tmp_path) if name.startswith(("galaxy-sim", "simulated"))] == []
