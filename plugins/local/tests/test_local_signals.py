"""A command that leaves a marker meets its signals as any other, whoever else is signalled."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import anyio
import pytest

from galaxy_core import (
    Command,
    Completed,
)
from galaxy_core.extension.adapter.marks import KEPT_BYTES
from galaxy_core.extension.interfaces import Outcome

from .left_behind import RUN, UNTIL_GO, attempt_at, killed_orchestrator, of, opened, restored

pytestmark = [pytest.mark.anyio, pytest.mark.skipif(sys.platform != "linux", reason="what runs is found in /proc")]

#: Goes on when it is asked to end, and says so.
HEEDFUL = f"trap '' HUP INT; trap 'sleep 0.1; seq 50000; echo heard; exit 0' TERM; echo begun; {UNTIL_GO}"


async def signalled(mark: str) -> None:
    """Everything of an attempt that has begun is signalled, by its process group."""
    with anyio.fail_after(20):
        while not (found := [group for name, group in of(mark) if name == "sleep"]):  # noqa: ASYNC110  nobody tells when
            await anyio.sleep(0.01)
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
        os.killpg(found[0], number)


async def test_a_signal_to_all_is_answered_by_the_command_alone(tmp_path: Path) -> None:
    async with opened(tmp_path, output_cap_bytes=1 << 20) as session:
        await session.expect(RUN)
        attempt = attempt_at(Command(["sh", "-c", HEEDFUL]))
        done: list[Outcome] = []

        async def execute() -> None:
            done.append(await session.execute(attempt))

        async with anyio.create_task_group() as group:
            group.start_soon(execute)
            await signalled(attempt.mark)
        assert isinstance(done[0], Completed)
        assert (done[0].exit_code, done[0].error) == (0, None)
        assert (done[0].stdout or "").endswith("50000\nheard\n")
        found = await session.settle(restored(""))
        assert isinstance(found, Completed)
        assert found.exit_code == 0


async def test_so_it_is_when_its_orchestrator_was_killed(tmp_path: Path) -> None:
    with killed_orchestrator(tmp_path, HEEDFUL):
        async with opened(tmp_path, output_cap_bytes=1 << 20) as session:
            attempt = restored(HEEDFUL)
            await signalled(attempt.mark)
            found = await session.settle(attempt)
    assert isinstance(found, Completed)
    numbers = "".join(f"{n}\n" for n in range(1, 50001))
    assert (found.exit_code, found.stdout) == (0, ("begun\n" + numbers)[:KEPT_BYTES])


async def test_who_would_read_on_does_not_hold_up_the_end(tmp_path: Path) -> None:
    """It does not mind signals; and the time for those who do not is long here."""
    with anyio.fail_after(60):
        async with opened(tmp_path, kill_grace_s=1000, drain_s=0.1) as session:
            attempt = attempt_at(Command(["sh", "-c", "echo begun; exec sleep 1000"]))
            async with anyio.create_task_group() as group:
                group.start_soon(session.execute, attempt)
                while "sleep" not in [name for name, _ in of(attempt.mark)]:  # noqa: ASYNC110  nobody tells when
                    await anyio.sleep(0.01)
                group.cancel_scope.cancel()
            assert not of(attempt.mark)
            done = await session.execute(attempt_at(Command(["sh", "-c", "sleep 1000 & echo done"]), lease=8))
        assert isinstance(done, Completed)
        assert (done.exit_code, done.stdout) == (0, "done\n")


@pytest.mark.parametrize("before", ["", "trap '' INT TERM; "])
async def test_a_command_sees_its_signals_and_variables_as_if_it_left_no_marker(tmp_path: Path, before: str) -> None:
    script = f"{before}grep '^Sig[BIC]' /proc/self/status; env | grep '^[a-z]=' | sort"
    env = {name: f"its {name}" for name in "abcdefghijklmnopqrstuvwxyz"}
    async with opened(tmp_path) as session:
        marked = attempt_at(Command(["sh", "-c", script], env=env))
        unmarked = attempt_at(Command(["sh", "-c", script], env=env), lease=8)
        unmarked.leaves_marker = False
        said = [await session.execute(attempt) for attempt in (marked, unmarked)]
    assert all(isinstance(one, Completed) and (one.stdout or "").count("\n") == 29 for one in said)
    assert said[0].stdout == said[1].stdout  # type: ignore[union-attr]  # both are Completed
