"""A disk that runs full in the middle of a run: a real one, small, in a name space of its own. With the real command.

The effects are counted in files on another file system.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from galaxy_core_cli.exits import Exit

from .asking import TIMEOUT_S, Galaxy, Write, command

if sys.platform != "linux":
    pytest.skip("small file systems are made as Linux makes them", allow_module_level=True)

from .terminal import Terminal

BACKENDS = pytest.mark.parametrize("backend", ["asyncio", "trio"])
#: `pay` waits in the pipe `go`; `look` may run again; `fill` takes all room once; and `next` waits for all of them.
PLAN = """
    name: full
    tasks:
      pay: {shell: "echo x >> paid; echo here I am; read line < go; echo $line; echo x >> ended"}
      look: {effect: read, shell: "echo x >> looked; exec 3> alive; test -e mended || sleep 1000"}
      fill:
        effect: idempotent
        shell: "until test -s paid && test -s looked; do sleep 0.05; done; test -e mended || cat /dev/zero > small/filler; true"
      next: {shell: "echo x >> next", needs: [pay, look, fill]}
"""
DEVICES = "devices: {here: {transport: local, max_concurrency: 4}}\n"


def _can_be_made() -> bool:
    words = ["unshare", "-rm", "sh", "-c", 'mount -t tmpfs -o size=64k none "$1"', "sh", "/mnt"]
    if shutil.which("unshare") is None:
        return False
    return subprocess.run(words, capture_output=True, check=False, timeout=TIMEOUT_S).returncode == 0


@pytest.fixture
def small(folder: Path, monkeypatch: pytest.MonkeyPatch, write: Write) -> Path:
    """Where a disk of 1 MB is, for those who are started by `inside`; the journal is on it, and markers are not."""
    if not _can_be_made():
        pytest.skip("no file system can be made here")
    place = folder / "small"
    place.mkdir()
    monkeypatch.setenv("GALAXY_JOURNAL", str(place / "journal"))
    monkeypatch.setenv("XDG_STATE_HOME", str(folder / "state"))
    os.mkfifo("go")
    write("plan.yaml", PLAN)
    write("devices.yaml", DEVICES)
    return place


def inside(script: str, *words: str) -> subprocess.CompletedProcess[str]:
    """Run a text of a shell in which `$@` is the command, beside the small disk."""
    text = f"mount -t tmpfs -o size=1m none small\n{textwrap.dedent(script)}"
    return subprocess.run(
        ["unshare", "-rm", "sh", "-c", text, "sh", *command(*words)],
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
        env={**os.environ, "GALAXY_DEVICES": "devices.yaml"},
    )


def lines(name: str) -> int:
    return len(Path(name).read_text().splitlines()) if Path(name).exists() else 0


@pytest.mark.parametrize("markers", ["state", "small/state"])
@BACKENDS
def test_a_command_that_may_run_once_goes_on_when_the_disk_is_full_and_is_found_again(
    backend: str, markers: str, small: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also when its marker is on the disk that is full."""
    monkeypatch.setenv("XDG_STATE_HOME", str(folder / markers))
    done = inside(
        f"""
        "$@" run plan.yaml --backend {backend}; echo "code $?"
        echo thanks > go
        until grep -qs ^exit {markers}/galaxy/marks/*/*; do sleep 0.05; done
        rm small/filler; touch mended
        "$@" resume last --backend {backend}; echo "code $?"
        "$@" show last --json > shown
        """
    )
    before, _, after = done.stderr.partition("error: ")
    told = after.splitlines()[0]
    assert done.stdout.splitlines().count(f"code {int(Exit.BROKEN)}") == 1, done
    assert done.stdout.splitlines()[-1] == "code 0", done
    assert told.count("disk is full") == 1, "it is told once"
    assert "disk is full" not in before
    assert "'pay' on 'here'" in told
    assert f"galaxy resume {told.split()[1]}".replace("'", "") in told, "it says how to go on"
    assert (lines("paid"), lines("ended"), lines("looked"), lines("next")) == (1, 1, 2, 1)
    if markers == "state":  # else there is no room for it
        assert '"here I am\\nthanks\\n"' in Path("shown").read_text(), "what it had printed is found, too"


def test_where_nothing_can_be_written_that_is_said_with_a_remedy(small: Path) -> None:
    done = inside(
        """
        echo 'tasks: {a: {run: [echo, hi]}}' > plan.yaml
        "$@" run plan.yaml 2> /dev/null
        mount -o remount,ro small
        for what in "prune --keep 0 --yes" "resolve last a --as retry" "resume last"; do
          "$@" $what > /dev/null 2> said; echo "code $?"; cat said
        done
        """
    )
    lines = done.stdout.splitlines()
    assert [line for line in lines if line.startswith("code ")] == ["code 1", "code 2", "code 2"], done
    assert "Traceback" not in done.stdout
    told = [line for line in lines if "Read-only file system" in line]
    assert len(told) == 3
    for line in told:
        assert line.count("make that folder writable") == 1
        assert line.count("constellation_") <= 2, "the run is named, and stands in the name of its folder"


def test_where_there_is_no_room_to_begin_with_that_is_said_with_a_remedy(small: Path) -> None:
    done = inside(
        """
        echo 'tasks: {a: {effect: read, shell: "touch began; sleep 1000"}}' > plan.yaml
        "$@" run plan.yaml 2> /dev/null & run=$!
        until test -e began; do sleep 0.05; done
        kill $run; wait $run
        cat /dev/zero > small/filler 2> /dev/null
        for what in "run plan.yaml" "resume last"; do
          "$@" $what > /dev/null 2> said; echo "code $?"; cat said
        done
        ls -A small/journal | grep "^.order-"
        """
    )
    first, new, second, old = [line for line in done.stdout.splitlines() if line.startswith(("code ", "error: "))]
    assert (first, second) == ("code 2", "code 2"), done
    assert "; make room there, or set GALAXY_JOURNAL to a folder on another disk. Or keep this run nowhere" in new
    assert old.endswith("; make room there")
    assert ".order-" not in done.stdout


#: The command, whose journal fails from when there is a file `full`.
FAILING = """
import os, runpy
from galaxy_core_journal.writing import Writer
write = Writer.write
async def fail(self, records, /):
    if os.path.exists("full"):
        raise OSError(28, "no space left on device")
    await write(self, records)
Writer.write = fail
runpy.run_module("galaxy_core_cli", run_name="__main__")
"""


@pytest.mark.parametrize("durability", ["sync", "batched"])
def test_a_terminal_shows_no_more_as_done_than_the_journal_has(
    durability: str, folder: Path, galaxy: Galaxy, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GALAXY_JOURNAL", str(folder / "journal"))
    monkeypatch.setenv("XDG_STATE_HOME", str(folder / "state"))
    write("devices.yaml", DEVICES)
    tasks = ["  t0: {effect: read, run: [sleep, '0.3']}"]
    tasks += [
        f"  t{number}: {{effect: read, run: [touch, {'full' if number == 2 else 'x'}], needs: [t{number - 1}]}}"
        for number in range(1, 6)
    ]
    write("plan.yaml", "\n".join(["name: filled", "tasks:", *tasks]))
    words = ["run", "plan.yaml", "--devices", "devices.yaml", "--durability", durability]
    with Terminal(*words, program=[sys.executable, "-c", FAILING]) as terminal:
        assert terminal.to_the_end() == Exit.BROKEN
    last = terminal.text[terminal.text.rindex("filled  ") :]
    kept = json.loads(galaxy("show", "last", "--json").out)
    done = [task["task"] for task in kept["tasks"] if task["status"] == "completed"]
    assert "t0" in done or durability == "batched"
    assert (re.findall(r"✓ (\w+)", last), f"  {len(done)}/6  " in last) == (done, True)
    assert "left at work" not in last
    assert re.search(r"↻ t2 .* retry +runs when the run is resumed", last), "it began, and may run again"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGQUIT])
@BACKENDS
def test_who_insists_while_others_are_waited_for_kills_nobody_who_was_left_at_work(
    backend: str, number: signal.Signals, folder: Path, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GALAXY_JOURNAL", str(folder / "journal"))
    monkeypatch.setenv("XDG_STATE_HOME", str(folder / "state"))
    for name in ("go", "alive"):
        os.mkfifo(name)
    alive = os.open("alive", os.O_RDONLY | os.O_NONBLOCK)
    write("devices.yaml", DEVICES)
    write(
        "plan.yaml",
        """
        tasks:
          pay: {shell: "echo x >> paid; read line < go; echo x >> ended"}
          fill: {effect: read, shell: "until test -s paid; do sleep 0.05; done; sleep 1; touch full"}
          slow: {shell: "trap '' TERM INT HUP; exec 3> alive; echo x >> slow; sleep 1000", needs: [fill]}
        """,
    )
    words = [
        "run",
        "plan.yaml",
        "--devices",
        "devices.yaml",
        "--durability",
        "batched",
        "--plain",
        "--backend",
        backend,
    ]
    started = [sys.executable, "-c", FAILING, *words]
    with subprocess.Popen(started, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as galaxy:
        assert galaxy.stderr is not None
        waiting = next(line for line in galaxy.stderr if "Waiting for" in line)
        assert "Left at work, to be found again by whoever resumes: 'pay'. Waiting for" in waiting
        while not lines("slow"):
            time.sleep(0.05)
        if number == signal.SIGINT:
            galaxy.send_signal(number)
            assert next(line for line in galaxy.stderr if "cancelling" in line)
        galaxy.send_signal(number)
        assert galaxy.wait(TIMEOUT_S) == (Exit.CANCELLED if number == signal.SIGINT else Exit.QUIT)
        assert (
            "killed; left at work, to be found again by whoever resumes: pay; what is kept of it: galaxy show"
            in galaxy.stderr.read()
        )
    while not is_over(alive):
        time.sleep(0.05)
    os.close(alive)
    with os.fdopen(os.open("go", os.O_WRONLY | os.O_NONBLOCK), "w") as go:  # raises when nobody reads
        go.write("thanks\n")
    while not lines("ended"):
        time.sleep(0.05)
    Path("full").unlink()
    assert (lines("paid"), lines("ended"), lines("slow")) == (1, 1, 1)


def is_over(reading: int) -> bool:
    """Whether nobody holds the other end of a pipe."""
    try:
        return not os.read(reading, 1)
    except BlockingIOError:
        return False
