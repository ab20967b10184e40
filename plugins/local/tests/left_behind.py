"""Commands that leave markers, and orchestrators that are killed while they run."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from secrets import token_hex

import anyio

from galaxy_core import (
    Attempt,
    Command,
    Device,
    TaskStar,
)
from galaxy_core.extension.interfaces import Outcome
from galaxy_core_local.session import LocalSession
from galaxy_core_local.settings import LocalSettings
from galaxy_core_local.transports import LocalTransport

#: Of this process alone: others may run these tests at the same time, and find each other's processes.
RUN = token_hex(8)
UNTIL_GO = "while [ ! -e go ]; do sleep 0.02; done"
#: An orchestrator in a process of its own; it says so when its command has begun.
ORCHESTRATOR = """
import anyio, sys
from galaxy_core import Attempt, Command, Device, TaskStar
from galaxy_core_local.settings import LocalSettings
from galaxy_core_local.transports import LocalTransport
root, run, script = sys.argv[1:]
async def main():
    request = Command(["/bin/sh", "-c", script])
    hear = lambda attempt, stream, text: print(text, end="", flush=True)
    attempt = Attempt("run", TaskStar("task", request=request), "here", 1, 7, request, None, hear, None,
                      run, leaves_marker=True)
    settings = LocalSettings(root=root, marks=root + "/marks", kill_grace_s=0.1)
    async with LocalTransport().open(Device("here"), settings) as session:
        await session.expect(run)
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
    process = subprocess.Popen([sys.executable, "-c", ORCHESTRATOR, str(root), RUN, script], stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"begun\n"
    process.kill()
    process.wait()
    process.stdout.close()
    yield


async def found_after(root: Path, script: str, then: Callable[[], object], **settings: object) -> Outcome:
    """What is found out about a command whose orchestrator was killed, after which something happens."""
    with killed_orchestrator(root, script):
        async with opened(root, **settings) as session, anyio.create_task_group() as group:
            found: list[Outcome] = []

            async def settle() -> None:
                found.append(await session.settle(restored(script)))

            group.start_soon(settle)
            then()
    return found[0]


def of(mark: str) -> list[tuple[str, int]]:
    """The living processes of an attempt: name and process group."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            name, _, rest = (entry / "stat").read_text().partition("(")[2].rpartition(")")
            if rest.split()[0] not in "ZX" and mark.encode() in (entry / "environ").read_bytes():
                found.append((name, int(rest.split()[2])))
        except OSError:
            continue
    return found


def running(mark: str) -> bool:
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if mark.encode() in (process / "environ").read_bytes():
                return True
        except OSError:
            continue
    return False
