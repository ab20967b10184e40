"""Work that could not be ended: it is told as what may still run, and never as what has stopped."""

from __future__ import annotations

import errno
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import pytest

from galaxy_core import (
    Attempt,
    Call,
    Command,
    Completed,
    ConstellationDeviceManager,
    Device,
    EventBus,
    EventType,
    ExecutionResult,
    Journal,
    TaskConstellation,
    TaskConstellationOrchestrator,
    TaskStar,
    Unknown,
)
from galaxy_core.testing.journals import MemoryJournal
from galaxy_core_local import family, markers, tree
from galaxy_core_local.settings import PythonSettings
from galaxy_core_local.transports import PythonTransport

from .left_behind import UNTIL_GO, attempt_at, killed_orchestrator, opened, restored, running

pytestmark = pytest.mark.anyio
needs_proc = pytest.mark.skipif(sys.platform != "linux", reason="what runs is found in /proc")
PAYS = "echo begun; echo x >>paid; exec sleep 1000"


@contextmanager
def untouchable(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], None]]:
    """Nobody here may be signalled, as if all were another user's. Gives what ends them after all."""
    met: set[int] = set()
    send, watch = family.send, family.watch

    def watched(entry: family.Entry) -> int | None:
        met.add(entry.pid)
        return watch(entry)

    def end() -> None:
        monkeypatch.setattr(family, "send", send)
        for pid in met:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    monkeypatch.setattr(family, "watch", watched)
    monkeypatch.setattr(family, "send", lambda fd, signals: False)
    monkeypatch.setattr(tree, "KILL_BOUND_S", 0.05)
    try:
        yield end
    finally:
        end()


async def run_of(plan: TaskConstellation, device: Device, journal: Journal | None, bus: EventBus) -> ExecutionResult:
    async with ConstellationDeviceManager(event_bus=bus) as devices:
        devices.add_device(device)
        orchestrator = TaskConstellationOrchestrator(devices, event_bus=bus, journal=journal)

        class Canceller:
            async def on_event(self, event: object) -> None:
                if plan.tasks["pay"].timeout is None:
                    orchestrator.cancel_task("pay")

        bus.subscribe(Canceller(), {EventType.TASK_OUTPUT})
        found = await orchestrator.orchestrate_constellation(plan, assignment_strategy="round_robin")
    result = found["results"]["pay"]
    assert isinstance(result, ExecutionResult)
    return result


def paying(request: Command | Call, **more: Any) -> TaskConstellation:
    plan = TaskConstellation()
    plan.add_task(TaskStar("pay", request=request, **more))
    return plan


@needs_proc
@pytest.mark.parametrize("is_journalled", [True, False], ids=["journalled", "not journalled"])
async def test_a_command_that_could_not_be_ended_is_not_started_beside_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_journalled: bool
) -> None:
    plan = paying(Command(["sh", "-c", PAYS]), effect="once", timeout=0.5, retry_count=1)
    settings = {"root": str(tmp_path), "marks": str(tmp_path / "marks"), "kill_grace_s": 0.05}
    journal = MemoryJournal() if is_journalled else None
    with untouchable(monkeypatch):
        result = await run_of(plan, Device("here", settings=settings), journal, EventBus())
        assert (tmp_path / "paid").read_text() == "x\n"
    assert (str(result.status), result.attempts) == ("unknown", 1)
    assert "could not be ended: they are another user's, or hang in the system" in str(result.error)
    assert result.stdout == "begun\n"
    there = bool([name for *_, names in os.walk(tmp_path / "marks") for name in names if name.endswith(".pid")])
    assert there is is_journalled, "whoever looks has its marker"


@needs_proc
async def test_a_cancelled_command_that_could_not_be_ended_may_still_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = paying(Command(["sh", "-c", PAYS]), effect="read")
    settings = {"root": str(tmp_path), "kill_grace_s": 0.05}
    with untouchable(monkeypatch):
        result = await run_of(plan, Device("here", settings=settings), None, EventBus())
    assert (str(result.status), result.exit_code) == ("cancelled", None)
    assert "could not be ended" in result.metadata["may_still_run"]


@needs_proc
async def test_of_what_could_not_be_ended_is_asked_again_whether_it_has_ended_since(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also when it is not found again: one can see the environment of one's own processes alone."""
    attempt = attempt_at(Command(["sh", "-c", PAYS]))
    begun = anyio.Event()
    attempt._output = lambda *_: begun.set()
    async with opened(tmp_path) as session:
        with untouchable(monkeypatch) as end:
            async with anyio.create_task_group() as group:
                group.start_soon(session.execute, attempt)
                await begun.wait()
                group.cancel_scope.cancel()
            assert isinstance(attempt.partial, Unknown)
            with monkeypatch.context() as blind:
                blind.setattr(family, "find", lambda *_given, **_more: [])
                await session.stop(attempt)
                still = attempt.partial
                end()
                with anyio.fail_after(20):
                    while attempt.partial is not None:
                        await session.stop(attempt)
    assert isinstance(still, Unknown)
    assert "could not be ended" in still.reason


async def test_when_ending_it_breaks_nobody_says_that_it_has_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_given: object, **_more: object) -> None:
        raise OSError(errno.EMFILE, "too many open files")

    monkeypatch.setattr(tree.Tree, "end", broken)
    attempt = restored("")
    async with opened(tmp_path) as session:
        with pytest.raises(OSError, match="too many"):
            await session.stop(attempt)
    assert isinstance(attempt.partial, Unknown)


@needs_proc
async def test_who_cannot_ask_about_a_command_leaves_it_at_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = f"echo begun; {UNTIL_GO}; echo x >>paid"

    async def failing(*_given: object, **_more: object) -> None:
        raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")

    with killed_orchestrator(tmp_path, script):
        attempt = restored(script)
        async with opened(tmp_path) as session:
            with monkeypatch.context() as full:
                full.setattr(markers, "run_process", failing)
                with pytest.raises(BlockingIOError):
                    await session.settle(attempt)
            assert running(attempt.mark)
            (tmp_path / "go").touch()
            found = await session.settle(attempt)
    assert isinstance(found, Completed)
    assert found.exit_code == 0
    assert (tmp_path / "paid").read_text() == "x\n"


# ---------------------------------------------------------------------------------------------- worker threads
@pytest.mark.parametrize(
    ("effect", "status", "attempts"), [("once", "unknown", 1), ("idempotent", "failed", 2), ("read", "failed", 2)]
)
async def test_a_function_that_may_run_once_does_not_run_beside_itself(effect: str, status: str, attempts: int) -> None:
    go = threading.Event()
    called: list[str] = []

    def pay() -> None:
        called.append("x")
        go.wait(60)

    plan = paying(Call(pay), effect=effect, timeout=0.3, retry_count=1)
    device = Device("here", "python", settings={"threads": True}, max_concurrency=2)
    try:
        result = await run_of(plan, device, None, EventBus())
    finally:
        go.set()
    assert (str(result.status), len(called)) == (status, attempts)
    why = str(result.error) if effect == "once" else result.metadata["may_still_run"]
    assert "its function runs on in its thread" in why


async def test_a_function_that_waits_for_a_thread_never_begins_once_it_is_cancelled() -> None:
    go, begun = threading.Event(), anyio.Event()
    called: list[str] = []

    def work(tell: Callable[[], None]) -> None:
        tell()
        go.wait(60)

    def attempt(call: Call) -> Attempt:
        return Attempt("run", TaskStar("task", request=call), "host", 1, 1, call, None)

    tell = partial(anyio.from_thread.run_sync, begun.set)
    waiting = attempt(Call(called.append, ("x",)))
    settings = PythonSettings(threads=True)
    async with (
        PythonTransport().open(Device("host", "python", max_concurrency=1), settings) as session,
        anyio.create_task_group() as group,
    ):
        group.start_soon(session.execute, attempt(Call(work, (tell,))))
        await begun.wait()
        with anyio.move_on_after(0.05):
            await session.execute(waiting)
        go.set()
    assert waiting.partial is None
    assert not called


#: A command without a marker that cannot be ended, in a program that lives on.
LIVES_ON = """
import os, sys, time
import anyio
from galaxy_core import Attempt, Command, Device, TaskStar
from galaxy_core_local import family, tree
from galaxy_core_local.transports import LocalTransport
family.send, tree.KILL_BOUND_S = (lambda fd, signals: False), 0.05
async def main():
    request = Command(["sh", "-c", "echo x; exec 1>&- 2>&-; read line <go"])
    begun = anyio.Event()
    attempt = Attempt("run", TaskStar("task", request=request), "here", 1, 1, request, None, lambda *_: begun.set())
    async with LocalTransport().open(Device("here"), LocalTransport().settings_model(kill_grace_s=0.05)) as session:
        async with anyio.create_task_group() as group:
            group.start_soon(session.execute, attempt)
            await begun.wait()
            group.cancel_scope.cancel()
    print(type(attempt.partial).__name__)
def has_children():
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True
anyio.run(main, backend=sys.argv[1])
print(has_children())
with open("go", "w") as go:
    go.write("thanks")
until = time.monotonic() + 20
while has_children() and time.monotonic() < until:
    time.sleep(0.01)
print(has_children())
"""


@needs_proc
async def test_what_could_not_be_ended_leaves_no_dead_child_in_a_program_that_lives_on(
    anyio_backend_name: str, tmp_path: Path
) -> None:
    os.mkfifo(tmp_path / "go")
    words = [sys.executable, "-c", LIVES_ON, anyio_backend_name]
    done = await anyio.run_process(words, check=False, cwd=tmp_path)
    assert done.stdout.decode() == "Unknown\nTrue\nFalse\n", done.stderr.decode()
