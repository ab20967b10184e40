"""What somebody sees who sits at a terminal, and what Ctrl-C does there."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from galaxy_core_cli.exits import Exit
from galaxy_core_cli.running.kill import Process, family, processes

from .asking import LEAN, TIMEOUT_S, Galaxy, Install, Write

if sys.platform == "win32":
    pytest.skip("there are neither pseudo-terminals nor named pipes", allow_module_level=True)

from .terminal import (
    CTRL_BACKSLASH,
    CTRL_C,
    ERASE_LINE,
    HIDE_CURSOR,
    ORPHANS,
    SHOW_CURSOR,
    STUBBORN,
    WILLING,
    Terminal,
    Witness,
)

BACKENDS = pytest.mark.parametrize("backend", ["asyncio", "trio"])


def test_live_progress_shows_tasks_as_they_move_and_gives_the_terminal_back(write: Write) -> None:
    write(
        "plan.yaml",
        r"""
        name: moving
        tasks:
          first: {shell: "printf 'hello \\033[2J\\033]0;evil\\007there\\n'; cat < go"}
          second: {run: [echo, bye], needs: [first]}
        """,
    )
    go = Path("go")
    subprocess.run(["mkfifo", str(go)], check=True)
    with Terminal("run", "plan.yaml", LEAN) as terminal:
        terminal.until(r"first .*here .*running .*hello \\x1b\[2J\\x1b\]0;evil\\x07there")
        terminal.until(r"second .*waiting .*after first")
        go.write_text("", encoding="utf-8")
        terminal.until(r"second .*here .*done .*bye")
        assert terminal.to_the_end() == 0
    assert terminal.shown.count(HIDE_CURSOR) == terminal.shown.count(SHOW_CURSOR) == 1
    assert terminal.shown.index(HIDE_CURSOR) < terminal.shown.index(SHOW_CURSOR)
    for forbidden in ("\x1b]", "\x07", "\x1b[?1049", "\x1b[3J"):
        assert forbidden not in terminal.shown
    after = terminal.shown.partition(SHOW_CURSOR)[2]
    assert "\r\nbye\r\n" in after
    assert re.search(r"moving completed: 2 of 2 tasks done in ", terminal.text)


def test_plain_lines_can_be_had_in_a_terminal(write: Write) -> None:
    write("plan.yaml", "tasks: {a: {run: [echo, hi]}}")
    with Terminal("run", "plan.yaml", LEAN, "--plain") as terminal:
        assert terminal.to_the_end() == 0
    assert HIDE_CURSOR not in terminal.shown
    assert "start     a on here" in terminal.shown


def test_a_long_output_is_cut_for_people(write: Write) -> None:
    write("plan.yaml", "tasks: {a: {shell: 'i=0; while [ $i -lt 100 ]; do i=$((i+1)); echo line $i; done'}}")
    with Terminal("run", "plan.yaml", LEAN, "--plain") as terminal:
        assert terminal.to_the_end() == 0
    assert "(60 lines before)\r\nline 61\r\n" in terminal.shown
    assert "line 60\r\n" not in terminal.shown


@pytest.mark.parametrize("size", [(20, 4), (200, 60)])
def test_progress_fits_terminals_of_any_size(size: tuple[int, int], write: Write) -> None:
    write(
        "plan.yaml", "tasks: {" + ", ".join(f"task-number-{n}: {{run: [echo, {'x' * 300}]}}" for n in range(30)) + "}"
    )
    width, height = size
    with Terminal("run", "plan.yaml", LEAN, width=width, height=height) as terminal:
        assert terminal.to_the_end() == 0
    live = terminal.shown.partition(SHOW_CURSOR)[0]
    lines = re.split(r"\r\n|\r|\x1b\[2K|\x1b\[1A", live)
    assert max(len(re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", line)) for line in lines) <= width


def until_childless(pid: int) -> None:
    """Wait until no child of a process is left."""
    deadline = time.monotonic() + TIMEOUT_S
    while any(process.parent == pid for process in processes()):
        assert time.monotonic() < deadline, "it still has children"
        time.sleep(0.01)


@BACKENDS
def test_ctrl_c_cancels_the_run_and_ends_what_it_started(backend: str, write: Write, folder: Path) -> None:
    write("plan.yaml", WILLING)
    witness = Witness(folder / "alive")
    with Terminal("run", "plan.yaml", LEAN, "--backend", backend) as terminal:
        terminal.until("here I am")
        terminal.press(CTRL_C)
        terminal.until("cancelling; press Ctrl-C again to kill")
        assert terminal.to_the_end() == Exit.CANCELLED
    assert witness.all_gone()
    assert terminal.shown.count(SHOW_CURSOR) == 1
    assert "willing cancelled: 0 of 2 tasks done, 2 cancelled" in terminal.text


def test_a_second_ctrl_c_kills_at_once_everything_that_was_started(write: Write, folder: Path, galaxy: Galaxy) -> None:
    write("plan.yaml", STUBBORN)
    write("devices.yaml", "devices: {here: {settings: {kill_grace_s: 1000}}}")
    witness = Witness(folder / "alive")
    with Terminal("run", "plan.yaml", LEAN, "--devices", "devices.yaml", "--backend", "trio") as terminal:
        terminal.until("here I am")
        terminal.press(CTRL_C)
        terminal.until("cancelling; press Ctrl-C again to kill")
        terminal.press(CTRL_C)
        assert terminal.to_the_end() == Exit.CANCELLED
    told = re.search(r"killed; what is kept of it: galaxy show (\S+), to go on: galaxy resume (\S+)", terminal.text)
    assert told is not None
    assert told[1] == told[2] == json.loads(galaxy("runs", "--json").out)[0]["run"]
    assert witness.all_gone()
    assert terminal.shown.rindex(SHOW_CURSOR) > terminal.shown.rindex(HIDE_CURSOR)
    assert "Traceback" not in terminal.shown


@pytest.mark.parametrize("keys", [CTRL_C, CTRL_BACKSLASH], ids=["ctrl-c", "ctrl-backslash"])
def test_what_has_lost_its_parents_while_the_run_was_cancelled_is_killed_too(
    keys: bytes, write: Write, folder: Path
) -> None:
    write("plan.yaml", ORPHANS)
    write("devices.yaml", "devices: {here: {settings: {kill_grace_s: 1000}}}")
    witness = Witness(folder / "alive")
    with Terminal("run", "plan.yaml", LEAN, "--devices", "devices.yaml") as terminal:
        terminal.until("here I am")
        terminal.press(CTRL_C)
        terminal.until("cancelling; press Ctrl-C again to kill")
        until_childless(terminal.process.pid)
        terminal.press(keys)
        assert terminal.to_the_end() == (Exit.CANCELLED if keys == CTRL_C else Exit.QUIT)
    assert witness.all_gone()


def test_ctrl_backslash_kills_at_once_everything_that_was_started(write: Write, folder: Path) -> None:
    write("plan.yaml", STUBBORN)
    write("devices.yaml", "devices: {here: {settings: {kill_grace_s: 1000}}}")
    witness = Witness(folder / "alive")
    with Terminal("run", "plan.yaml", LEAN, "--devices", "devices.yaml", "--backend", "trio") as terminal:
        terminal.until("here I am")
        terminal.press(CTRL_BACKSLASH)
        assert terminal.to_the_end() == Exit.QUIT
    assert witness.all_gone()
    assert terminal.shown.rindex(SHOW_CURSOR) > terminal.shown.rindex(HIDE_CURSOR)
    assert "cancel" not in terminal.shown
    assert "Traceback" not in terminal.shown


def test_children_write_nothing_more_once_the_command_was_killed(write: Write, folder: Path) -> None:
    write(
        "plan.yaml",
        """
        tasks:
          stay:
            shell: |
              trap '' TERM HUP QUIT
              exec 3> alive
              for number in 1 2; do
                setsid sh -c 'while [ -e plan.yaml ]; do echo x > written; done' &
              done
              while [ ! -s written ]; do :; done
              echo here I am
              wait
        """,
    )
    witness = Witness(folder / "alive")
    with Terminal("run", "plan.yaml", LEAN) as terminal:
        terminal.until("here I am")
        terminal.press(CTRL_BACKSLASH)
        assert terminal.to_the_end() == Exit.QUIT
    assert witness.all_gone()  # the writers, too: nobody is left who could write
    (folder / "written").unlink()
    assert not (folder / "written").exists()


def test_the_clock_goes_on_while_a_task_waits_to_be_tried_again(write: Write) -> None:
    write("plan.yaml", "tasks: {a: {shell: 'exit 3', effect: read, retry: {count: 1, backoff_s: 60, jitter: 0}}}")
    with Terminal("run", "plan.yaml", LEAN) as terminal:
        terminal.until(r"again in 1:00: exit status 3")
        terminal.until(r"again in 5\ds: exit status 3")
        terminal.press(CTRL_C)
        assert terminal.to_the_end() == Exit.CANCELLED


def test_a_run_can_be_cancelled_while_it_waits_for_a_device(write: Write, install: Install) -> None:
    install(
        "silent",
        """
        from contextlib import asynccontextmanager
        import anyio
        from galaxy_core import hookimpl
        class Silent:
            name, settings_model, requests, actions, device_type = "silent", None, frozenset({"run"}), {}, None
            @asynccontextmanager
            async def open(self, device, settings):
                await anyio.sleep_forever()
                yield self
        @hookimpl
        def galaxy_transports():
            return [Silent()]
        """,
    )
    write("plan.yaml", "tasks: {a: {run: [echo]}}")
    write("devices.yaml", "devices: {it: {transport: silent}}")
    with Terminal("run", "plan.yaml", "--devices", "devices.yaml") as terminal:
        terminal.until("connecting")
        terminal.press(CTRL_C)
        assert terminal.to_the_end() == Exit.CANCELLED
    assert "cancelled before anything was started" in terminal.shown


def test_of_a_run_that_cannot_begin_nothing_stays_but_the_reason(write: Write) -> None:
    write("plan.yaml", "tasks: {a: {run: [echo], device: nowhere}}")
    with Terminal("run", "plan.yaml", LEAN) as terminal:
        assert terminal.to_the_end() == Exit.REFUSED
    last = terminal.shown.rpartition(ERASE_LINE)[2]
    assert "Device nowhere is not registered" in last
    assert "waits for its turn" not in last


FLAKY = """
    from contextlib import asynccontextmanager
    from pathlib import Path
    import anyio
    from galaxy_core import Completed, DeviceLostError, hookimpl
    class Flaky:
        name, settings_model, requests, actions, device_type = "flaky", None, frozenset({"run"}), {}, None
        opened = 0
        @asynccontextmanager
        async def open(self, device, settings):
            self.opened += 1
            while self.opened > 1 and not Path("mended").exists():
                await anyio.sleep(0.01)
            yield self
        async def execute(self, attempt):
            if self.opened == 1:
                raise DeviceLostError(attempt.device_id, "the wire was cut")
            return Completed(exit_code=0)
        async def probe(self):
            return {}
    @hookimpl
    def galaxy_transports():
        return [Flaky()]
"""


def test_the_picture_says_which_device_is_being_reached_again_and_who_waits(write: Write, install: Install) -> None:
    install("flaky", FLAKY)
    write("plan.yaml", "tasks: {a: {run: [x], effect: read, name: First, device: it}, b: {run: [x], needs: [a]}}")
    write("devices.yaml", "devices: {it: {transport: flaky}}")
    with Terminal("run", "plan.yaml", "--devices", "devices.yaml") as terminal:
        terminal.until(r"device it is being reached again \(.*\); a, b wait: the wire was cut")
        terminal.until(r"a \(First\) .* waits for device 'it'")
        Path("mended").touch()
        assert terminal.to_the_end() == 0
    last = terminal.text.rpartition("2 done")[0].rpartition("2/2")[2]
    assert "being reached" not in last


def test_ctrl_c_ends_any_other_command_without_a_traceback(folder: Path, install: Install) -> None:
    install("endless", "import sys, threading\nprint('importing', flush=True)\nthreading.Event().wait()\n")
    with Terminal("plugins", "doctor") as terminal:
        terminal.until("importing")
        terminal.press(CTRL_C)
        assert terminal.to_the_end() == Exit.CANCELLED
    assert "Traceback" not in terminal.shown


# ----------------------------------------------------------------------------------------------------- who is killed


def test_descendants_and_their_sessions_are_family_and_nobody_else() -> None:
    found = family(
        10,
        [
            Process(1, 0, 1),
            Process(5, 1, 5),
            Process(10, 5, 5),  # ourselves, in our shell's session
            Process(11, 5, 5),  # beside us in that session
            Process(20, 10, 20),  # a task
            Process(21, 20, 20),
            Process(22, 1, 20),  # whose parent has ended
            Process(30, 21, 30),  # that has left the session
            Process(31, 30, 30),
            Process(40, 10, 5),  # a child in our own session
            Process(50, 1, 50),
        ],
    )
    assert sorted(found) == [20, 21, 22, 30, 31, 40]


def test_what_is_known_to_be_ours_is_family_with_its_descendants_and_sessions_but_never_we_ourselves() -> None:
    found = family(
        10,
        [
            Process(10, 5, 5),
            Process(11, 5, 5),
            Process(60, 1, 60),  # whose parents have ended
            Process(61, 60, 61),
            Process(62, 1, 60),
            Process(63, 1, 63),
        ],
        [10, 60],
    )
    assert sorted(found) == [60, 61, 62]


def test_what_is_spared_is_not_family_nor_its_descendants_and_sessions() -> None:
    found = family(
        10,
        [
            Process(10, 5, 5),
            Process(20, 10, 20),  # a task that is spared
            Process(21, 20, 21),
            Process(22, 1, 21),
            Process(30, 10, 30),
            Process(31, 30, 31),  # another one, below what is killed
            Process(32, 31, 31),
            Process(33, 30, 30),
            Process(40, 10, 5),
            Process(41, 40, 5),  # a third, in our own session
        ],
        [20, 22, 30],
        [20, 31, 41],
    )
    assert sorted(found) == [30, 33, 40]


def test_processes_are_seen_as_the_system_tells_of_them() -> None:
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE, start_new_session=True) as child:
        [seen] = [process for process in processes() if process.pid == child.pid]
        assert child.stdin is not None
        child.stdin.close()
    assert seen.session == child.pid
