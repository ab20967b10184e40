"""Markers: what is found out about commands whose orchestrator has died, or is asked by another one."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import anyio
import pytest

from galaxy_core import (
    Attempt,
    Command,
    Completed,
    ConstellationDeviceManager,
    Device,
    Refused,
    TaskConstellation,
    TaskConstellationOrchestrator,
    TaskStar,
    Unknown,
)
from galaxy_core.extension.interfaces import Outcome
from galaxy_core.testing.journals import MemoryJournal
from galaxy_core_local import markers
from galaxy_core_local.session import LocalSession
from galaxy_core_local.settings import LocalSettings
from galaxy_core_local.transports import LocalTransport

pytestmark = [pytest.mark.anyio, pytest.mark.skipif(sys.platform != "linux", reason="what runs is found in /proc")]

RUN = "0123456789abcdef"
#: An orchestrator in a process of its own; it says so when its command has begun.
ORCHESTRATOR = """
import anyio, sys
from galaxy_core import Attempt, Command, Device, TaskStar
from galaxy_core_local.settings import LocalSettings
from galaxy_core_local.transports import LocalTransport
root, script = sys.argv[1:]
async def main():
    request = Command(["/bin/sh", "-c", script])
    hear = lambda attempt, stream, text: print(text, end="", flush=True)
    attempt = Attempt("run", TaskStar("task", request=request), "here", 1, 7, request, None, hear, None,
                      "0123456789abcdef", leaves_marker=True)
    settings = LocalSettings(root=root, marks=root + "/marks", kill_grace_s=0.1)
    async with LocalTransport().open(Device("here"), settings) as session:
        print(await session.execute(attempt))
anyio.run(main)
"""


@asynccontextmanager
async def opened(root: Path, **more: object) -> AsyncIterator[LocalSession]:
    settings = LocalSettings.model_validate({"root": root, "marks": root / "marks", "kill_grace_s": 0.1, **more})
    async with LocalTransport().open(Device("here"), settings) as session:
        assert isinstance(session, LocalSession)
        yield session


def attempt_at(request: Command, lease: int = 7) -> Attempt:
    return Attempt(
        "run", TaskStar("task", request=request), "here", 1, lease, request, None, None, None, RUN, leaves_marker=True
    )


def restored(script: str, lease: int = 7) -> Attempt:
    task = TaskStar("task", request=Command(["/bin/sh", "-c", script]))
    return Attempt.restored("run", task, "here", 1, lease, f"{RUN}-{lease:08x}")


@contextmanager
def killed_orchestrator(root: Path, script: str) -> Iterator[None]:
    """One that was killed while its command ran."""
    process = subprocess.Popen([sys.executable, "-c", ORCHESTRATOR, str(root), script], stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"begun\n"
    process.kill()
    process.wait()
    process.stdout.close()
    yield


async def test_a_command_whose_orchestrator_was_killed_goes_on_and_is_settled(tmp_path: Path) -> None:
    script = "echo begun; while [ ! -e go ]; do sleep 0.02; done; seq 100000; echo effect >>effects; exit 3"
    with killed_orchestrator(tmp_path, script):
        async with opened(tmp_path) as session, anyio.create_task_group() as group:
            found: list[Outcome] = []

            async def settle() -> None:
                found.append(await session.settle(restored(script)))

            group.start_soon(settle)
            (tmp_path / "go").touch()
    assert found == [Completed(exit_code=3, metadata={"settled": True})]
    assert (tmp_path / "effects").read_text() == "effect\n"


async def test_a_command_whose_orchestrator_was_killed_can_be_stopped(tmp_path: Path) -> None:
    script = "echo begun; sleep 1000 & wait"
    with killed_orchestrator(tmp_path, script):
        async with opened(tmp_path) as session:
            attempt = restored(script)
            await session.stop(attempt)
            assert attempt.partial is None
            assert isinstance(await session.settle(attempt), Unknown | Completed)
            assert not running(attempt.mark)


async def test_settling_that_is_cancelled_stops_what_an_earlier_process_began(tmp_path: Path) -> None:
    script = "echo begun; exec sleep 1000"
    with killed_orchestrator(tmp_path, script):
        async with opened(tmp_path) as session:
            attempt = restored(script)
            with anyio.move_on_after(0.3):
                await session.settle(attempt)
            assert attempt.partial is None
            assert not running(attempt.mark)


def running(mark: str) -> bool:
    for environ in Path("/proc").glob("[0-9]*/environ"):
        try:
            if mark.encode() in environ.read_bytes():
                return True
        except OSError:
            continue
    return False


async def test_a_program_that_is_not_there_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    async with opened(tmp_path) as session:
        outcome = await session.execute(attempt_at(Command(["no-such-program"])))
    assert isinstance(outcome, Refused)
    assert "no-such-program" in outcome.reason
    assert not list((tmp_path / "marks").rglob("*"))


async def test_a_signal_is_named_though_a_shell_stands_in_between(tmp_path: Path) -> None:
    async with opened(tmp_path) as session:
        outcome = await session.execute(attempt_at(Command(["sh", "-c", "kill -9 $$"])))
    assert isinstance(outcome, Completed)
    assert (outcome.exit_code, outcome.stderr) == (137, "")
    assert "SIGKILL" in str(outcome.error)


async def test_a_background_process_that_holds_the_output_does_not_hold_the_command(tmp_path: Path) -> None:
    async with opened(tmp_path, drain_s=0.1) as session:
        outcome = await session.execute(attempt_at(Command(["sh", "-c", "sleep 1000 & echo done"])))
    assert isinstance(outcome, Completed)
    assert (outcome.exit_code, outcome.stdout) == (0, "done\n")


async def test_where_no_marker_can_be_made_nothing_starts(tmp_path: Path) -> None:
    (tmp_path / "marks").write_text("in the way")
    async with opened(tmp_path) as session:
        outcome = await session.execute(attempt_at(Command(["touch", "started"])))
    assert isinstance(outcome, Refused)
    assert "no marker can be made" in outcome.reason
    assert not (tmp_path / "started").exists()


async def test_of_a_run_that_has_left_nothing_nobody_knows(tmp_path: Path) -> None:
    async with opened(tmp_path) as session:
        found = await session.settle(restored("true"))
    assert isinstance(found, Unknown)
    assert "may have been removed" in found.reason


async def test_of_a_marker_of_another_life_of_the_machine_nothing_is_concluded(tmp_path: Path) -> None:
    async with opened(tmp_path) as session:
        await session.execute(attempt_at(Command(["true"])))
        assert isinstance(await session.settle(restored("true", 8)), Refused)
        (tmp_path / "marks" / RUN / "boot").write_text("another\n")
        assert isinstance(await session.settle(restored("true", 9)), Unknown)
        assert isinstance(await session.settle(restored("true", 7)), Completed)


async def test_a_command_that_was_to_leave_files_is_not_settled_as_a_success(tmp_path: Path) -> None:
    request = Command(["touch", "made"], outputs=("made",))
    async with opened(tmp_path) as session:
        attempt = Attempt.restored("run", TaskStar("task", request=request), "here", 1, 7, f"{RUN}-00000007")
        place = tmp_path / "marks" / RUN / "00000007"
        place.mkdir(parents=True)
        (place / "end").write_text("exit 0\n")
        found = await session.settle(attempt)
    assert isinstance(found, Unknown)
    assert "'made'" in found.reason


@pytest.mark.parametrize("text", ["", "exit", "exit 0", "exit zero\n", "\0\n", "exit 1 2\n"])
async def test_a_marker_that_is_torn_says_nothing(tmp_path: Path, text: str) -> None:
    place = tmp_path / "marks" / RUN / "00000007"
    place.mkdir(parents=True)
    (place / "end").write_text(text)
    async with opened(tmp_path) as session:
        assert isinstance(await session.settle(restored("true")), Unknown)


async def test_a_run_that_is_journalled_leaves_no_marker_when_it_is_over(tmp_path: Path) -> None:
    plan = TaskConstellation()
    for number in range(3):
        plan.add_task(TaskStar(f"t{number}", request=Command(["sh", "-c", "ls marks/*/ | grep -c ^0"])))
    async with ConstellationDeviceManager() as devices:
        devices.add_device(Device("here", settings={"root": str(tmp_path), "marks": str(tmp_path / "marks")}))
        orchestrator = TaskConstellationOrchestrator(devices, journal=MemoryJournal())
        found = await orchestrator.orchestrate_constellation(plan, assignment_strategy="round_robin")
    assert found["status"] == "completed"
    assert all(int(result.stdout) >= 1 for result in found["results"].values())
    assert not list((tmp_path / "marks").iterdir())


async def test_markers_that_are_old_are_removed(tmp_path: Path) -> None:
    markers._SWEPT.clear()
    old, young = (tmp_path / "marks" / name / "00000001" for name in ("old", "young"))
    for place in (old, young):
        place.mkdir(parents=True)
    week_ago = time.time() - 8 * 86400
    os.utime(old.parent, (week_ago, week_ago))
    async with opened(tmp_path):
        assert not old.parent.exists()
        assert young.exists()
