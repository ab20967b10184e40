"""Commands that are left at work because the journal of their run has failed: they outlive the program that started them."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import anyio
import pytest

from galaxy_core import Command, Completed, Unknown
from galaxy_core_local.child import Child
from galaxy_core_local.launch import Launch
from galaxy_core_local.run import forget

from .left_behind import attempt_at, opened

if sys.platform == "win32":
    pytest.skip("there are no markers on Windows", allow_module_level=True)

pytestmark = pytest.mark.anyio
#: Runs a plan whose journal fails when its command has said that it is there, and ends.
PROGRAM = """
import sys
from contextlib import asynccontextmanager
import anyio
from galaxy_core import *
from galaxy_core.errors import JournalFailedError
from galaxy_core.testing.journals import MemoryJournal

class Full(MemoryJournal):
    is_full = False

    @asynccontextmanager
    async def open(self, run):
        async with super().open(run) as writer:
            write = writer.write
            async def or_fail(records):
                if self.is_full:
                    raise OSError("no space left on device")
                await write(records)
            writer.write = or_fail
            yield writer

async def main():
    bus, journal = EventBus(), Full()
    plan = TaskConstellation()
    plan.add_task(TaskStar("pay", request=Command(shell="echo x >> paid; echo here I am; read line < go; echo x >> ended")))
    async with ConstellationDeviceManager(event_bus=bus) as devices:
        devices.add_device(Device("here"))
        orchestrator = TaskConstellationOrchestrator(devices, event_bus=bus, journal=journal)

        class Filler:
            async def on_event(self, event):
                journal.is_full = True
                orchestrator.runs()[0].pause()

        bus.subscribe(Filler(), {EventType.TASK_OUTPUT})
        try:
            await orchestrator.orchestrate_constellation(plan, assignment_strategy="round_robin")
        except JournalFailedError as error:
            print(error.left)

anyio.run(main, backend=sys.argv[1])
"""


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
async def test_a_command_that_is_let_go_outlives_the_program(
    backend: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    os.mkfifo("go")
    done = await anyio.run_process([sys.executable, "-c", PROGRAM, backend], check=False, stderr=subprocess.STDOUT)
    assert done.stdout.decode() == "{'pay': 'here'}\n", "and nothing is said beside it"
    assert not await anyio.Path("ended").exists()
    with anyio.fail_after(20):  # opening waits for who reads
        await anyio.Path("go").write_text("thanks\n")
        while not await anyio.Path("ended").exists():  # noqa: ASYNC110  a process that is nobody's child any more
            await anyio.sleep(0.01)
    assert await anyio.Path("paid").read_text() == "x\n"


#: The program lives on, and lets the command end. Its event loop is closed by then.
LIVES_ON = (
    PROGRAM
    + """
import os, time
def held():
    return sorted(os.readlink(f"/proc/self/fd/{fd}").partition(":")[0] for fd in os.listdir("/proc/self/fd") if os.path.islink(f"/proc/self/fd/{fd}"))
def has_children():
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True
print(has_children(), [name for name in held() if name == "pipe" or "pidfd" in name])
with open("go", "w") as go:
    go.write("thanks")
until = time.monotonic() + 20
while has_children() and time.monotonic() < until:
    time.sleep(0.01)
print(has_children(), os.path.exists("ended"))
"""
)


@pytest.mark.skipif(sys.platform != "linux", reason="what is held open, and whose child is what, is found in /proc")
@pytest.mark.parametrize("backend", ["asyncio", "trio"])
async def test_a_program_that_lives_on_keeps_nothing_of_a_command_that_is_let_go(
    backend: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    os.mkfifo("go")
    with (tmp_path / "said").open("wb") as said:  # what it holds open itself is no pipe
        await anyio.run_process(
            [sys.executable, "-c", LIVES_ON, backend],
            check=False,
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=subprocess.STDOUT,
        )
    told = (tmp_path / "said").read_text()
    assert told == "{'pay': 'here'}\nTrue []\nFalse True\n", (
        "no descriptor, no dead child, and nothing on its error output"
    )


async def test_asyncio_does_not_kill_what_it_is_made_to_forget(anyio_backend_name: str) -> None:
    """It does when it lets go of a process that it takes for alive, which is when its loop is closed, at the latest."""
    if anyio_backend_name != "asyncio":
        pytest.skip("trio kills nobody")
    async with await anyio.open_process(["sh", "-c", "trap '' HUP; read line; exit 3"]) as process:
        forget(process)
        process._process._transport.close()  # type: ignore[attr-defined]  # of asyncio
        assert await process.wait() == 3, "its input has ended with that, and nothing else"


@pytest.mark.skipif(sys.platform != "linux", reason="commands are watched on Linux")
async def test_without_descriptors_a_command_that_may_run_once_is_waited_for_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none_left(_pid: int) -> int:
        raise OSError(errno.EMFILE, "too many open files")

    monkeypatch.setattr(os, "pidfd_open", none_left)
    async with opened(tmp_path) as session:
        done = await session.execute(attempt_at(Command(["sh", "-c", "echo out; sleep 0.1; exit 3"])))
    assert isinstance(done, Completed)
    assert (done.exit_code, done.stdout) == (3, "out\n")


@pytest.mark.skipif(sys.platform != "linux", reason="commands are watched on Linux")
async def test_an_exit_code_that_somebody_else_has_fetched_is_no_success(tmp_path: Path) -> None:
    out = os.open(os.devnull, os.O_RDWR)
    child = Child.start(Launch(["sh", "-c", "exit 0"], tmp_path, os.environ, None), [out, out, out])
    os.close(out)
    await anyio.to_thread.run_sync(os.waitpid, child.pid, 0)
    assert (await child.wait(), child.is_unheard) == (255, True)


@pytest.mark.skipif(sys.platform != "linux", reason="commands are watched on Linux")
async def test_where_the_system_keeps_no_exit_codes_the_marker_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a program that ignores SIGCHLD, or was started by one that does."""
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        async with opened(tmp_path) as session:
            attempt = attempt_at(Command(["sh", "-c", "echo out; exit 3"]))
            outcome = await session.execute(attempt)
            assert isinstance(outcome, Unknown)
            assert outcome.said is not None
            assert (outcome.said.exit_code, outcome.said.stdout) == (None, "out\n")
            assert "exit code" in outcome.reason
            settled = await session.settle(attempt)
            other = attempt_at(Command(["sh", "-c", "exit 3"]), 8)
            other.leaves_marker = False
            unmarked = await session.execute(other)
    finally:
        signal.signal(signal.SIGCHLD, before)
    assert isinstance(settled, Completed)
    assert (settled.exit_code, settled.stdout) == (3, "out\n")
    assert isinstance(unmarked, Unknown)


async def test_what_was_forgotten_leaves_no_dead_child_in_a_program_that_lives_on() -> None:
    process = await anyio.open_process(["sh", "-c", "read line"])
    forget(process)
    assert process.stdin is not None
    await process.stdin.aclose()
    with anyio.fail_after(20):
        while await anyio.Path(f"/proc/{process.pid}").exists():  # noqa: ASYNC110  nobody tells when
            await anyio.sleep(0.01)
    for stream in (process.stdout, process.stderr):
        assert stream is not None
        await stream.aclose()
