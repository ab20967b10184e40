"""Commands that are left at work because the journal of their run has failed: they outlive the program that started them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import anyio
import pytest

from galaxy_core_local.run import forget

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


async def test_asyncio_does_not_kill_what_it_is_made_to_forget(anyio_backend_name: str) -> None:
    """It does when it lets go of a process that it takes for alive, which is when its loop is closed, at the latest."""
    if anyio_backend_name != "asyncio":
        pytest.skip("trio kills nobody")
    async with await anyio.open_process(["sh", "-c", "trap '' HUP; read line; exit 3"]) as process:
        forget(process)
        process._process._transport.close()  # type: ignore[attr-defined]  # of asyncio
        assert await process.wait() == 3, "its input has ended with that, and nothing else"


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
