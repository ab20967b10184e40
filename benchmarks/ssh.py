"""A command that does nothing, over SSH: the adapter beside asyncssh by hand and beside the ssh command line; memory.

    python benchmarks/ssh.py --repeat 5
    python benchmarks/ssh.py --only memory --commands 10000

The server is a throw-away sshd on loopback, on the same two or more cores. asyncssh keeps its connection, as the adapter
does. The ssh command line connects each time, unless it is told to keep a connection (ControlMaster), which is shown, too.
"""

from __future__ import annotations

import argparse
import gc
import resource
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import asyncssh

from galaxy_core import Command, Device, TaskStar
from galaxy_core.extension.interfaces import Attempt
from galaxy_core_ssh.simulate import SshSimulator
from galaxy_core_ssh.transport import SshTransport

NOTHING = Command(["true"])
LEASES = iter(range(1, 1 << 62))
Work = Callable[[], Awaitable[None]]


def attempt() -> Attempt:
    """One attempt outside of a run."""
    return Attempt("benchmark", TaskStar("task", request=NOTHING), "host", 1, next(LEASES), NOTHING, None)


@asynccontextmanager
async def host() -> AsyncIterator[Device]:
    """A throw-away server."""
    with tempfile.TemporaryDirectory(prefix="galaxy-") as folder:
        async with SshSimulator().simulate(1, Path(folder)) as (device,):
            yield device


@asynccontextmanager
async def adapter(device: Device, **more: Any) -> AsyncIterator[Work]:
    """One command through a session that stays open."""
    transport = SshTransport()
    settings = transport.settings_model.model_validate({**device.settings, **more})
    async with transport.open(device, settings) as session:

        async def work() -> None:
            outcome = await session.execute(attempt())
            assert getattr(outcome, "exit_code", None) == 0, outcome

        yield work


@asynccontextmanager
async def by_hand(device: Device) -> AsyncIterator[Work]:
    """One command through a connection of asyncssh that stays open."""
    told = device.settings
    options = {"username": told["username"], "client_keys": told["keys"], "known_hosts": told["known_hosts"]}
    async with asyncssh.connect(told["host"], told["port"], config=None, agent_path=None, **options) as connection:

        async def work() -> None:
            done = await connection.run("true")
            assert done.exit_status == 0

        yield work


def command_line(device: Device, *more: str) -> list[str]:
    """What a person would type."""
    told = device.settings
    options = {
        "Port": told["port"],
        "IdentityFile": told["keys"][0],
        "UserKnownHostsFile": told["known_hosts"],
        "IdentitiesOnly": "yes",
        "BatchMode": "yes",
    }
    words = [part for name, value in options.items() for part in ("-o", f"{name}={value}")]
    return ["ssh", "-F", "/dev/null", *words, *more, f"{told['username']}@{told['host']}", "true"]


async def timed(work: Work, commands: int) -> list[float]:
    """Seconds of each command, one after the other."""
    found = []
    for _ in range(commands):
        start = time.perf_counter()
        await work()
        found.append(time.perf_counter() - start)
    return found


def told(name: str, seconds: Sequence[float], ours: Sequence[float]) -> str:
    """Median, 99th hundredth, and how many times the adapter's median."""
    ordered = sorted(seconds)
    ratio = statistics.median(ordered) / statistics.median(ours)
    high = ordered[int(len(ordered) * 0.99)]
    return f"{name:<34} p50 {statistics.median(ordered) * 1e3:7.2f}   p99 {high * 1e3:7.2f} ms   {ratio:5.2f} ×"


@asynccontextmanager
async def typed_again(device: Device) -> AsyncIterator[Work]:
    """One command by the ssh command line, through a connection that another one keeps open."""
    *start, host, _ = command_line(device, "-o", f"ControlPath={device.settings['root']}.socket")
    master = await anyio.open_process([*start, "-M", "-N", host])

    async def is_ready() -> bool:
        return (await anyio.run_process([*start, "-O", "check", host], check=False)).returncode == 0

    async def work() -> None:
        await anyio.run_process([*start, host, "true"])

    try:
        while not await is_ready():  # noqa: ASYNC110  it says nothing when it is
            await anyio.sleep(0.01)
        yield work
    finally:
        master.terminate()
        await master.aclose()


async def latency(commands: int, repeat: int) -> None:
    """All of them in turns, on one server."""
    print(f"## {repeat} × {commands} commands that do nothing, one after the other")
    found: dict[str, list[float]] = {}
    async with AsyncExitStack() as stack:
        device = await stack.enter_async_context(host())
        typed = command_line(device)

        async def type_it() -> None:
            await anyio.run_process(typed)

        few = max(5, commands // 10)
        ways: dict[str, tuple[Work, int]] = {
            "adapter": (await stack.enter_async_context(adapter(device)), commands),
            "adapter, with variables": (await stack.enter_async_context(adapter(device, env={"TOKEN": "x"})), commands),
            "asyncssh by hand": (await stack.enter_async_context(by_hand(device)), commands),
            "ssh command line": (type_it, few),
            "ssh command line, kept connection": (await stack.enter_async_context(typed_again(device)), few),
        }
        for work, _ in ways.values():
            await timed(work, 3)
        for _ in range(repeat):
            for name, (work, count) in ways.items():
                found.setdefault(name, []).extend(await timed(work, count))
    for name, seconds in found.items():
        print(told(name, seconds, found["adapter"]))


def resident_kb() -> int:
    """What this process holds in memory."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


async def memory(commands: int) -> None:
    """How much a session grows after it has warmed up with a tenth of them."""
    print(f"## memory over {commands} commands")
    async with host() as device, adapter(device) as work:
        await timed(work, commands // 10)
        gc.collect()
        before = resident_kb()
        await timed(work, commands)
        gc.collect()
        after = resident_kb()
    print(f"{before} kB after {commands // 10}, {after} kB after {commands} more: {(after / before - 1) * 100:+.1f} %")


def main() -> None:
    """Print it all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--commands", type=int, default=10_000, help="of the memory figure; latency takes a hundredth")
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--only", choices=["latency", "memory"])
    parser.add_argument("--backend", choices=["asyncio", "trio"], default="asyncio", help="of the memory figure")
    options = parser.parse_args()
    if options.only != "memory":
        anyio.run(latency, max(10, options.commands // 100), options.repeat)
    if options.only != "latency":
        anyio.run(memory, options.commands, backend=options.backend)


if __name__ == "__main__":
    main()
