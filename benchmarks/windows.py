"""The WinRM adapter on simulated Windows hosts, beside pywinrm with one session per call; what faults leave; memory.

python benchmarks/windows.py --hosts 50 --commands 20 --faulty 1000 --many 10000
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import count
from typing import Any

import anyio
import anyio.to_thread
from winrm.protocol import Protocol

from galaxy_core import Command, Device, TaskStar
from galaxy_core.extension.interfaces import Attempt
from galaxy_core_winrm.simulate.child import ChildHost, windows_children
from galaxy_core_winrm.transport import WinrmTransport

NO_OP = Command(None, "rem")
#: How long a command with a fault may take before it is given up.
DEADLINE_S = 2.0
#: The first is no fault of the host: its answer is only late.
FAULTS: Sequence[tuple[Any, ...]] = (
    ("late", "Receive", 0.2),
    ("drop_after_work", "Command"),
    ("drop_after_work", "Receive"),
    ("drop_after_work", "Signal"),
    ("drop_before", "Command"),
    ("http", 500, "Command"),
    ("garble", "Receive"),
    ("hang", "Command"),
    ("hang", "Receive"),
    ("hang", "Signal"),
)
_leases = count(1)


def attempt(request: Command = NO_OP) -> Attempt:
    """One try of a task, as the kernel makes it."""
    return Attempt("run", TaskStar("task", request=request), "host", 1, next(_leases), request, None)


@asynccontextmanager
async def hosts(number: int, processes: int = 4) -> AsyncIterator[list[ChildHost]]:
    """So many hosts, spread over processes."""
    async with AsyncExitStack() as stack:
        found: list[ChildHost] = []
        for each in range(min(processes, number)):
            share = len(range(each, number, min(processes, number)))
            found += (await stack.enter_async_context(windows_children(share))).hosts
        yield found


@asynccontextmanager
async def session(transport: WinrmTransport, host: ChildHost) -> AsyncIterator[Any]:
    """A session of the adapter."""
    told = {"endpoint": host.endpoint, "username": host.username, "password": host.password}
    async with transport.open(Device("host", "winrm", {}), transport.settings_model.model_validate(told)) as opened:
        yield opened


async def with_adapter(found: Sequence[ChildHost], commands: int) -> float:
    """Seconds for so many commands on each host, the hosts at once. Sessions are open, as they are in a run."""
    transport = WinrmTransport()
    async with AsyncExitStack() as stack:
        opened = [await stack.enter_async_context(session(transport, host)) for host in found]

        async def work(one: Any) -> None:
            for _ in range(commands):
                outcome = await one.execute(attempt())
                assert outcome.exit_code == 0, outcome

        start = time.perf_counter()
        async with anyio.create_task_group() as tasks:
            for one in opened:
                tasks.start_soon(work, one)
        return time.perf_counter() - start


def session_per_call(host: ChildHost) -> None:
    """What `winrm.Session.run_cmd` does, with the options that make it safe on http."""
    # Not `proxy=None`: requests then sets a variable of the environment for a moment, and 50 threads stumble over that.
    told: dict[str, Any] = {"username": host.username, "password": host.password, "message_encryption": "always"}
    protocol = Protocol(host.endpoint, transport="ntlm", **told)
    shell_id = protocol.open_shell(codepage=65001)
    command_id = protocol.run_command(shell_id, "rem")
    _, _, code = protocol.get_command_output(shell_id, command_id)
    protocol.cleanup_command(shell_id, command_id)
    protocol.close_shell(shell_id)
    assert code == 0


async def with_pywinrm(found: Sequence[ChildHost], commands: int) -> float:
    """The same with pywinrm: one thread per host, a session per call."""
    threads = anyio.CapacityLimiter(len(found))

    def work(host: ChildHost) -> None:
        for _ in range(commands):
            session_per_call(host)

    async def in_thread(host: ChildHost) -> None:
        await anyio.to_thread.run_sync(work, host, limiter=threads)

    start = time.perf_counter()
    async with anyio.create_task_group() as tasks:
        for host in found:
            tasks.start_soon(in_thread, host)
    return time.perf_counter() - start


async def throughput(number: int, commands: int, repeat: int) -> None:
    """Commands a second over all hosts."""
    print(f"## {number} hosts, {commands} commands that do nothing on each")
    ratios = []
    async with hosts(number) as found:
        await with_adapter(found, 1)
        await with_pywinrm(found, 1)
        for _ in range(repeat):
            ours, theirs = await with_adapter(found, commands), await with_pywinrm(found, commands)
            ratios.append(theirs / ours)
            total = number * commands
            print(
                f"adapter {total / ours:6.0f}/s   pywinrm, session per call {total / theirs:6.0f}/s   {ratios[-1]:.2f} ×"
            )
        left = sum([len(await host.shells()) for host in found])
    print(f"median {statistics.median(ratios):.2f} × pywinrm; shells left: {left}")


async def faults(commands: int, number: int = 5) -> None:
    """What is left after many commands of which each tenth meets a fault."""
    print(f"\n## {commands} commands on {number} hosts, each tenth with a fault")
    ends: Counter[str] = Counter()
    slowest = 0.0
    transport = WinrmTransport()
    async with hosts(number, 2) as found:

        async def work(host: ChildHost, share: int, seed: int) -> None:
            nonlocal slowest
            chance = random.Random(seed)
            async with session(transport, host) as one:
                for turn in range(share):
                    is_faulty = turn % 10 == 9
                    if is_faulty:
                        await host.order({"switch": list(chance.choice(FAULTS))})
                    tried, outcome, start = attempt(), None, time.perf_counter()
                    with anyio.move_on_after(DEADLINE_S):
                        outcome = await one.execute(tried)
                    slowest = max(slowest, time.perf_counter() - start)
                    ended = type(tried.partial if outcome is None else outcome).__name__
                    ends[f"{'stopped, ' if outcome is None else ''}{ended}{' (fault)' if is_faulty else ''}"] += 1
                    if is_faulty:
                        await host.heal()

        async with anyio.create_task_group() as tasks:
            for seed, host in enumerate(found):
                tasks.start_soon(work, host, commands // number, seed)
        left = sum([len(await host.shells()) for host in found])
        remains = [each for host in found for each in await host.remains()]
    for name, times in sorted(ends.items()):
        print(f"{times:6} {name}")
    print(f"shells left: {left}, else: {len(remains)}; slowest {slowest:.2f} s (deadline {DEADLINE_S} s)")


def rss_kb() -> int:
    """Memory of this process; Linux only."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") // 1024


async def memory(commands: int) -> None:
    """Growth over many commands in one session, after a fifth of them as warm-up."""
    print(f"\n## memory over {commands} commands in one session")
    async with hosts(1) as (host,), session(WinrmTransport(), host) as one:
        warm = 0
        for turn in range(commands):
            if turn == commands // 5:
                warm = rss_kb()
            await one.execute(attempt())
        end = rss_kb()
    print(f"{warm / 1024:.1f} MiB after a fifth, {end / 1024:.1f} MiB at the end: {(end / warm - 1) * 100:+.1f} %")


async def run(options: argparse.Namespace) -> None:
    """All of it."""
    await throughput(options.hosts, options.commands, options.repeat)
    await faults(options.faulty)
    await memory(options.many)


def main() -> None:
    """Print it all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hosts", type=int, default=50)
    parser.add_argument("--commands", type=int, default=20)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--faulty", type=int, default=1000)
    parser.add_argument("--many", type=int, default=10_000)
    parser.add_argument("--backend", choices=["asyncio", "trio"], default="asyncio")
    options = parser.parse_args()
    anyio.run(run, options, backend=options.backend)


if __name__ == "__main__":
    main()
