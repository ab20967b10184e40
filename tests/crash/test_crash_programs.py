"""A program whose tasks are its own functions, killed for good in its middle: with its plan it goes on, without it nobody does."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.crash.command import GALAXY

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="processes are killed by signals there")
LIMIT_S = 60.0
#: `nightly.py`: run; `nightly.py again`: go on with the plan; `nightly.py bare`: without it.
PROGRAM = """
import sys
from pathlib import Path

import anyio
from galaxy_core import (
    Call, ConstellationDeviceManager, Device, Effect, Reference, TaskConstellation, TaskConstellationOrchestrator, TaskStar,
    TaskStarLine,
)
from galaxy_core_journal import SqliteJournal


def note(name):
    with open(name, "a") as file:
        file.write("x")


def collect():
    note("collect")
    return {1: (2, 3)}


async def wait(found):
    note("wait")
    while not Path("go").exists():
        await anyio.sleep(0.02)
    return sum(found[1])


def report(total):
    note("report")
    return f"total {total}"


def plan():
    tasks = [
        TaskStar("collect", request=Call(collect)),
        TaskStar("wait", request=Call(wait, [Reference("collect", "value")]), effect=Effect.IDEMPOTENT),
        TaskStar("report", request=Call(report, [Reference("wait", "value")])),
    ]
    lines = [TaskStarLine("collect", "wait"), TaskStarLine("wait", "report")]
    return TaskConstellation.build(tasks, lines, constellation_id="nightly")


async def main(how):
    async with ConstellationDeviceManager() as devices:
        devices.add_device(Device("program", "python"))
        orchestrator = TaskConstellationOrchestrator(devices, journal=SqliteJournal("journal"))
        if how == "run":
            told = await orchestrator.orchestrate_constellation(plan(), assignment_strategy="load_balance")
        else:
            told = await orchestrator.resume("nightly", constellation=plan() if how == "again" else None)
    print(told["status"], told["results"]["report"].value)


if __name__ == "__main__":
    anyio.run(main, *sys.argv[1:])
"""


def program(folder: Path, how: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "nightly.py", how]
    return subprocess.run(argv, cwd=folder, capture_output=True, text=True, timeout=LIMIT_S, check=False)


def galaxy(folder: Path, monkeypatch: pytest.MonkeyPatch, *words: str) -> subprocess.CompletedProcess[str]:
    monkeypatch.setenv("GALAXY_JOURNAL", str(folder / "journal"))
    argv = [*GALAXY, *words]
    return subprocess.run(argv, cwd=folder, capture_output=True, text=True, timeout=LIMIT_S, check=False)


def killed(folder: Path, how: str) -> None:
    """Have the program die while its second task waits."""
    before = noted(folder, "wait")
    process = subprocess.Popen([sys.executable, "nightly.py", how], cwd=folder)
    until = time.monotonic() + LIMIT_S
    while noted(folder, "wait") == before and process.poll() is None and time.monotonic() < until:
        time.sleep(0.02)  # what is waited for happens in another process
    process.kill()
    assert process.wait() < 0


def noted(folder: Path, name: str) -> int:
    path = folder / name
    return len(path.read_text()) if path.exists() else 0


def test_a_killed_program_goes_on_with_its_functions_and_nobody_without_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "nightly.py").write_text(PROGRAM)
    killed(tmp_path, "run")
    killed(tmp_path, "again")

    refused = galaxy(tmp_path, monkeypatch, "resume", "last")
    assert (refused.returncode, refused.stdout) == (2, "")
    bare = program(tmp_path, "bare")
    assert bare.returncode == 1
    for said in (refused.stderr, bare.stderr):
        assert "task 'wait' calls the Python function '__main__:wait', which no journal keeps" in said
        assert "have the program that made the plan resume it" in said
        assert "constellation=" in said

    (tmp_path / "go").touch()
    done = program(tmp_path, "again")
    assert (done.returncode, done.stdout) == (0, "completed total 5\n"), done.stderr
    assert [noted(tmp_path, name) for name in ("collect", "wait", "report")] == [1, 3, 1]
    assert "completed" in galaxy(tmp_path, monkeypatch, "runs").stdout
