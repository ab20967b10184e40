"""Markers: what is found out about commands whose orchestrator has died, or is asked by another one."""

from __future__ import annotations

import errno
import os
import re
import shutil
import signal
import sys
import time
from pathlib import Path
from typing import Any

import anyio
import pytest

from galaxy_core import (
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
from galaxy_core.extension.adapter.marks import KEPT_BYTES
from galaxy_core.testing.journals import MemoryJournal
from galaxy_core_local import markers
from galaxy_core_local.session import LocalSession
from galaxy_core_local.settings import LocalSettings

from .left_behind import RUN, UNTIL_GO, attempt_at, found_after, killed_orchestrator, of, opened, restored, running

pytestmark = [pytest.mark.anyio, pytest.mark.skipif(sys.platform != "linux", reason="what runs is found in /proc")]


async def test_a_command_whose_orchestrator_was_killed_goes_on_and_is_settled(tmp_path: Path) -> None:
    script = f"echo begun; {UNTIL_GO}; seq 3; echo err >&2; echo effect >>effects; exit 3"
    found = await found_after(tmp_path, script, (tmp_path / "go").touch)
    assert found == Completed(exit_code=3, stdout="begun\n1\n2\n3\n", stderr="err\n", metadata={"settled": True})
    assert (tmp_path / "effects").read_text() == "effect\n"


@pytest.mark.parametrize(
    ("end", "error"),
    [
        ("kill -9 $$", "exit code 137: killed by SIGKILL, unless it chose that number itself"),
        ("exit 129", "exit code 129: killed by SIGHUP, unless it chose that number itself"),
        ("exit 255", None),
    ],
)
async def test_a_signal_that_ended_it_meanwhile_is_named(tmp_path: Path, end: str, error: str | None) -> None:
    found = await found_after(tmp_path, f"echo begun; {UNTIL_GO}; {end}", (tmp_path / "go").touch)
    assert isinstance(found, Completed)
    assert found.error == error


async def test_of_much_output_the_beginning_is_kept_and_the_command_goes_on(tmp_path: Path) -> None:
    script = f"echo begun; seq 5000; {UNTIL_GO}; seq 100000; seq 100000 >&2; echo effect >>effects; exit 3"
    found = await found_after(tmp_path, script, (tmp_path / "go").touch, output_cap_bytes=1 << 20)
    assert isinstance(found, Completed)
    assert (found.exit_code, found.truncated) == (3, True)
    numbers = "".join(f"{n}\n" for n in range(1, 100001))
    assert found.stdout == ("begun\n" + numbers[: numbers.index("5001")] + numbers)[:KEPT_BYTES]
    assert found.stderr == numbers[:KEPT_BYTES]
    assert (tmp_path / "effects").read_text() == "effect\n"


async def test_output_that_is_found_is_capped_and_its_secrets_are_masked(tmp_path: Path) -> None:
    script = "echo begun; echo hush-hush; seq 100"
    masked = LocalSettings.model_validate({"root": tmp_path, "marks": tmp_path / "marks", "output_cap_bytes": 20})
    with killed_orchestrator(tmp_path, script):
        found = await LocalSession(masked, tmp_path, ["hush-hush"]).settle(restored(script))
    assert isinstance(found, Completed)
    assert (found.stdout, found.truncated) == ("begun\n***\n1\n2\n", True)


async def test_output_is_kept_for_its_owner_alone_and_the_command_keeps_its_umask(tmp_path: Path) -> None:
    script = "umask; until [ -e marks/*/*.err ]; do echo err >&2; sleep 0.02; done; stat -c '%a %n' marks/*/*"
    async with opened(tmp_path) as session:
        before = os.umask(0o027)
        try:
            done = await session.execute(attempt_at(Command(["sh", "-c", script]), lease=8))
        finally:
            os.umask(before)
        assert isinstance(done, Completed)
        umask, *there = (done.stdout or "").splitlines()
        assert int(umask, 8) == 0o027
        modes = {Path(name).suffix: mode for mode, _, name in (line.partition(" ") for line in there)}
        assert modes.keys() >= {".pid", ".out", ".err"}
        assert set(modes.values()) == {"600"}
        assert isinstance(await session.execute(attempt_at(Command(["sh", "-c", "echo out; echo err >&2"]))), Completed)
    kept = {path.suffix: path for path in (tmp_path / "marks" / RUN).glob("00000007.*")}
    assert {name: kept[name].read_text() for name in (".out", ".err")} == {".out": "out\n", ".err": "err\n"}
    assert (tmp_path / "marks" / RUN).stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "marks" / RUN).glob("0*")} == {0o600}


async def test_a_full_disk_costs_what_is_kept_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    moved = os.splice
    full: list[bool] = []

    def splice(*given: Any, **more: Any) -> int:
        if full:
            raise OSError(errno.ENOSPC, "no room")
        full.append(True)
        return moved(*given, **more)

    monkeypatch.setattr(os, "splice", splice)
    async with opened(tmp_path) as session:
        await session.expect(RUN)
        done = await session.execute(attempt_at(Command(["sh", "-c", "echo 1; sleep 0.1; echo 2"])))
        found = await session.settle(restored(""))
    assert isinstance(done, Completed)
    assert done.stdout == "1\n2\n"
    assert isinstance(found, Completed)
    assert (found.exit_code, found.stdout) == (0, None)


async def test_of_what_was_removed_nothing_is_concluded_whatever_comes_after(tmp_path: Path) -> None:
    """Not even by a session that opens afterwards, and a command that makes the folder again."""
    async with opened(tmp_path) as session:
        await session.execute(attempt_at(Command(["true"])))
        assert isinstance(await session.settle(restored("", 8)), Refused), "it was expected with the first command"
    shutil.rmtree(tmp_path / "marks")
    async with opened(tmp_path) as session:
        await session.expect(RUN)
        await session.execute(attempt_at(Command(["true"]), lease=9))
        assert isinstance(await session.settle(restored("", 7)), Unknown)
        assert isinstance(await session.settle(restored("", 9)), Completed)


async def test_a_second_start_leaves_what_the_first_has_kept_alone(tmp_path: Path) -> None:
    async with opened(tmp_path) as session:
        await session.expect(RUN)
        await session.execute(attempt_at(Command(["echo", "first"])))
        assert isinstance(await session.execute(attempt_at(Command(["echo", "second"]))), Refused)
        found = await session.settle(restored(""))
    assert isinstance(found, Completed)
    assert found.stdout == "first\n"


@pytest.mark.parametrize("expected", [True, False])
async def test_what_was_not_started_for_want_of_descriptors_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, expected: bool
) -> None:
    def none_left() -> tuple[int, int]:
        raise OSError(errno.EMFILE, "too many open files")

    async with opened(tmp_path) as session:
        if expected:
            await session.expect(RUN)
        with monkeypatch.context() as patch:
            patch.setattr(os, "pipe", none_left)
            outcome = await session.execute(attempt_at(Command(["cat"], stdin="secret")))
        assert isinstance(outcome, Refused)
        assert "too many open files" in outcome.reason
        assert not list((tmp_path / "marks").glob("*/0*"))
        assert isinstance(await session.execute(attempt_at(Command(["cat"], stdin="secret"))), Completed)


async def test_input_is_given_whole_and_left_nowhere(tmp_path: Path) -> None:
    text = "line é\n" * 40_000
    async with opened(tmp_path, output_cap_bytes=1 << 20) as session:
        done = await session.execute(attempt_at(Command(["cat"], stdin=text)))
    assert isinstance(done, Completed)
    assert done.stdout == text
    assert not list((tmp_path / "marks").rglob("*.in"))


async def test_everything_that_watches_over_a_command_is_in_its_process_group(tmp_path: Path) -> None:
    script = f"echo begun; {UNTIL_GO}"
    with killed_orchestrator(tmp_path, script):
        async with opened(tmp_path):
            attempt = restored(script)
            with anyio.fail_after(20):
                # Until it reads on, as the orchestrator is dead; nobody tells when.
                while len(names := [name for name, _ in of(attempt.mark)]) < 5 or names.count("tee") < 2:  # noqa: ASYNC110
                    await anyio.sleep(0.01)
            assert len({group for _, group in of(attempt.mark)}) == 1
            os.killpg(of(attempt.mark)[0][1], signal.SIGKILL)
            with anyio.fail_after(20):
                while of(attempt.mark):  # noqa: ASYNC110  nobody tells when
                    await anyio.sleep(0.01)


async def test_nothing_of_a_command_is_left_whenever_it_is_cancelled(tmp_path: Path) -> None:
    for delay_ms in range(0, 24, 2):
        async with opened(tmp_path) as session:
            attempt = attempt_at(Command(["sh", "-c", "sleep 1000 & echo begun; wait"]), lease=delay_ms + 1)
            with anyio.move_on_after(delay_ms / 1000):
                await session.execute(attempt)
            assert not of(attempt.mark)


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


def ended(root: Path, text: str) -> None:
    """A marker with that end."""
    run = root / "marks" / RUN
    run.mkdir(parents=True)
    (run / "00000007.pid").write_text("1\n")
    (run / "00000007.end").write_text(text)


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


async def test_of_a_marker_that_is_not_there_is_said_where_it_was_looked_for_and_what_still_runs(
    tmp_path: Path,
) -> None:
    with killed_orchestrator(tmp_path, f"echo begun; {UNTIL_GO}"):
        async with opened(tmp_path, marks=tmp_path / "others") as session:
            found = await session.settle(restored(""))
            (tmp_path / "go").touch()
            assert isinstance(found, Unknown)
            assert f"looked for in {str(tmp_path / 'others')!r}" in found.reason
            assert re.search(r"processes that have its mark still run: \d+(, \d+)*$", found.reason)
            with anyio.fail_after(20):
                while running(f"{RUN}-00000007"):  # noqa: ASYNC110  nobody tells when
                    await anyio.sleep(0.01)
            found = await session.settle(restored(""))
            assert isinstance(found, Unknown)
            assert "still run" not in found.reason


async def test_of_a_run_that_has_left_nothing_nobody_knows(tmp_path: Path) -> None:
    async with opened(tmp_path) as session:
        found = await session.settle(restored("true"))
    assert isinstance(found, Unknown)
    assert "may have been removed" in found.reason


async def test_of_a_marker_of_another_life_of_the_machine_nothing_is_concluded(tmp_path: Path) -> None:
    async with opened(tmp_path) as session:
        await session.expect(RUN)
        await session.execute(attempt_at(Command(["true"])))
        assert isinstance(await session.settle(restored("true", 8)), Refused)
        (tmp_path / "marks" / RUN / "boot").write_text("another\n")
        assert isinstance(await session.settle(restored("true", 9)), Unknown)
        assert isinstance(await session.settle(restored("true", 7)), Completed)


@pytest.mark.parametrize("text", ["", "exit", "exit 0", "exit zero\n", "\0\n", "exit 1 2\n"])
async def test_a_marker_that_is_torn_says_nothing(tmp_path: Path, text: str) -> None:
    ended(tmp_path, text)
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
