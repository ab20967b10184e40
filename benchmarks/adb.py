"""Commands on simulated phones behind a real adb server, beside adbutils; phones that come and go; memory.

    python benchmarks/adb.py --repeat 5
    python benchmarks/adb.py --only flapping --seconds 60

The phones live in processes of their own, on the same two or more cores. A command that does nothing is answered by a phone
without a process, so that the figures are those of the way to it. adbutils is used as its manual has it, with
`shell2(…, v2=True)`, the only one of its calls that tells how a command ended.
"""

from __future__ import annotations

import argparse
import random
import statistics
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import adbutils
import anyio
import anyio.lowlevel

from galaxy_core import (
    Command,
    ConstellationDeviceManager,
    Device,
    Effect,
    TaskConstellation,
    TaskConstellationOrchestrator,
    TaskStar,
)
from galaxy_core.extension.interfaces import Attempt
from galaxy_core_adb.simulate.remote import PhoneProcess, RemotePhone, phones_elsewhere
from galaxy_core_adb.transport import AdbTransport

NOTHING = Command(["true"])
#: Processes that the phones of one server are spread over.
PROCESSES = 2
#: How long a phone that was unplugged is left alone.
REST_S = 5.0
LEASES = iter(range(1, 1 << 62))


def attempt(request: Command = NOTHING) -> Attempt:
    """One attempt outside of a run."""
    return Attempt("benchmark", TaskStar("task", request=request), "phone", 1, next(LEASES), request, None)


def settings(port: int, phone: RemotePhone) -> dict[str, Any]:
    """Those with which the adapter reaches a phone."""
    return {"serial": phone.serial, "server_port": port, "start_server": False, "connect": True}


@asynccontextmanager
async def rig(count: int, processes: int = PROCESSES) -> AsyncIterator[tuple[int, list[RemotePhone]]]:
    """The port of a server, and its phones."""
    async with AsyncExitStack() as stack:
        first: PhoneProcess | None = None
        found: list[RemotePhone] = []
        for number in range(processes):
            share = count // processes + (number < count % processes)
            server = None if first is None else first.server
            made = await stack.enter_async_context(phones_elsewhere(share, server=server))
            first = first or made
            found += made
        assert first is not None
        yield first.port, found


@asynccontextmanager
async def session(port: int, phone: RemotePhone) -> AsyncIterator[Any]:
    """A session of the adapter."""
    transport = AdbTransport()
    model = transport.settings_model.model_validate(settings(port, phone))
    async with transport.open(Device("phone", "adb"), model) as opened:
        yield opened


def quantiles(seconds: Sequence[float]) -> str:
    """Median and 99th hundredth, in milliseconds."""
    ordered = sorted(seconds)
    return f"p50 {statistics.median(ordered) * 1e3:6.2f}   p99 {ordered[int(len(ordered) * 0.99)] * 1e3:6.2f} ms"


async def latency(commands: int, repeat: int) -> None:
    """How long one command takes, one after the other on one phone."""
    print(f"## one phone, {commands} commands that do nothing, one after the other")
    ours: list[float] = []
    theirs: list[float] = []
    async with rig(1, 1) as (port, (phone,)), session(port, phone) as one:
        device = adbutils.AdbClient("127.0.0.1", port).device(phone.serial)
        for _ in range(repeat):
            for number in range(commands + 20):
                start = time.perf_counter()
                outcome = await one.execute(attempt())
                if number >= 20:
                    ours.append(time.perf_counter() - start)
                assert outcome.exit_code == 0, outcome
            for _ in range(max(10, commands // 10)):
                start = time.perf_counter()
                assert device.shell2("true", v2=True).returncode == 0
                theirs.append(time.perf_counter() - start)
    ratio = statistics.median(theirs) / statistics.median(ours)
    print(f"adapter  {quantiles(ours)}\nadbutils {quantiles(theirs)}   {ratio:.1f} × the adapter's")


async def with_adapter(sessions: Sequence[Any], commands: int) -> float:
    """Seconds for so many commands on each phone, the phones at once. Sessions are open, as they are in a run."""

    async def work(one: Any) -> None:
        for _ in range(commands):
            outcome = await one.execute(attempt())
            assert outcome.exit_code == 0, outcome

    start = time.perf_counter()
    async with anyio.create_task_group() as tasks:
        for one in sessions:
            tasks.start_soon(work, one)
    return time.perf_counter() - start


async def with_adbutils(port: int, phones: Sequence[RemotePhone], commands: int) -> float:
    """The same with adbutils, one thread for each phone."""
    threads = anyio.CapacityLimiter(len(phones))

    def work(serial: str) -> None:
        device = adbutils.AdbClient("127.0.0.1", port).device(serial)
        for _ in range(commands):
            assert device.shell2("true", v2=True).returncode == 0

    async def in_thread(serial: str) -> None:
        await anyio.to_thread.run_sync(work, serial, limiter=threads)

    start = time.perf_counter()
    async with anyio.create_task_group() as tasks:
        for phone in phones:
            tasks.start_soon(in_thread, phone.serial)
    return time.perf_counter() - start


async def throughput(count: int, commands: int, repeat: int) -> None:
    """Commands a second over all phones."""
    print(f"\n## {count} phones on one server, {commands} commands that do nothing on each")
    ratios = []
    async with rig(count) as (port, phones), AsyncExitStack() as stack:
        sessions = [await stack.enter_async_context(session(port, phone)) for phone in phones]
        await with_adapter(sessions, 2)
        await with_adbutils(port, phones, 1)
        for _ in range(repeat):
            ours, theirs = await with_adapter(sessions, commands), await with_adbutils(port, phones, commands)
            ratios.append(theirs / ours)
            total = count * commands
            print(f"adapter {total / ours:6.0f}/s   adbutils {total / theirs:6.0f}/s   {ratios[-1]:.2f} ×")
    print(f"median {statistics.median(ratios):.2f} × adbutils")


# -------------------------------------------------------------------------------------------------------- flapping


def plan(round_number: int, count: int) -> TaskConstellation:
    """Tasks that each say something of their own, long enough to be cut."""
    constellation = TaskConstellation(name=f"round {round_number}")
    for number in range(count):
        constellation.add_task(
            TaskStar(f"t{number}", request=Command(["echo", said(round_number, number)]), effect=Effect.IDEMPOTENT)
        )
    return constellation


def said(round_number: int, number: int) -> str:
    """What one task says."""
    return f"{round_number}/{number}/" * 300 + "end"


async def flap(phones: Sequence[RemotePhone], every_s: float, told: Counter[str]) -> None:
    """Unplug one phone after the other, at random, each for up to half a second and not again within `REST_S`.

    When it is back its server is told at once, as of phones on USB.
    """
    source = random.Random(1)
    away: dict[RemotePhone, float] = {}
    while True:
        phone = source.choice(phones)
        if away.get(phone, 0.0) < time.perf_counter():
            away[phone] = time.perf_counter() + REST_S
            await phone.do("come_back", 0.05 + source.random() * 0.45)
            told["unplugged"] += 1
            await anyio.sleep(every_s)
        else:
            await anyio.lowlevel.checkpoint()


async def flapping(seconds: float, count: int, servers: int = 2, every_s: float = 0.05) -> None:
    """Whole plans on phones that are unplugged and come back all the time."""
    print(
        f"\n## {count} phones over {servers} servers, one unplugged every {every_s * 1e3:.0f} ms, for {seconds:.0f} s"
    )
    told: Counter[str] = Counter()
    async with AsyncExitStack() as stack:
        phones: list[RemotePhone] = []
        devices = await stack.enter_async_context(ConstellationDeviceManager(enable_logging=False))
        for _ in range(servers):
            port, some = await stack.enter_async_context(rig(count // servers, 1))
            for phone in some:
                told_by = {**settings(port, phone), "connect": False}
                devices.add_device(Device(f"phone-{len(phones)}", "adb", told_by))
                phones.append(phone)
        start = time.perf_counter()
        await devices.connect_all()
        print(f"connected in {time.perf_counter() - start:.1f} s")
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(flap, phones, every_s, told)
            end, round_number = time.perf_counter() + seconds, 0
            while time.perf_counter() < end:
                round_number += 1
                await one_round(devices, round_number, count * 4, told)
            tasks.cancel_scope.cancel()
        start = time.perf_counter()
        while lost := [one for one, status in statuses(devices).items() if status not in ("idle", "connected", "busy")]:
            if time.perf_counter() - start > 60:
                break
            await anyio.sleep(0.02)
        print(f"{dict(told)}; all back after {time.perf_counter() - start:.1f} s; not back: {len(lost)}")


def statuses(devices: ConstellationDeviceManager) -> dict[str, str]:
    """Where each device stands."""
    return {one: str(info["status"]) for one, info in devices.get_all_devices().items()}


async def one_round(devices: ConstellationDeviceManager, round_number: int, count: int, told: Counter[str]) -> None:
    """Run one plan and compare what its tasks say with what they were to say."""
    constellation = plan(round_number, count)
    orchestrator = TaskConstellationOrchestrator(devices)
    await orchestrator.orchestrate_constellation(constellation, assignment_strategy="load_balance")
    for task in constellation.get_all_tasks():
        wanted = said(round_number, int(task.task_id[1:])) + "\n"
        result = task.result
        told[task.status.value] += 1
        if task.status.value == "completed" and (result is None or result.stdout != wanted):
            told["wrong"] += 1
        if result is not None and result.attempts > 1:
            told["repeated"] += 1


# ---------------------------------------------------------------------------------------------------------- memory


def rss_kb() -> int:
    """Memory of this process."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    return 0


async def memory(commands: int) -> None:
    """Whether it grows with the number of commands."""
    print(f"\n## memory over {commands} commands")
    async with rig(1, 1) as (port, (phone,)), session(port, phone) as one:
        warm = 0
        for number in range(commands + 1):
            await one.execute(attempt())
            if number == commands // 10:
                warm = rss_kb()
    print(f"{warm} kB after {commands // 10}, {rss_kb()} kB at the end: {rss_kb() / warm - 1:+.1%}")


async def main(options: argparse.Namespace) -> None:
    """What was asked for."""
    wanted = options.only or ["latency", "throughput", "flapping", "memory"]
    if "latency" in wanted:
        await latency(options.commands, options.repeat)
    if "throughput" in wanted:
        await throughput(options.phones, options.commands // 4, options.repeat)
    if "flapping" in wanted:
        await flapping(options.seconds, options.flapping)
    if "memory" in wanted:
        await memory(options.commands * 50)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", action="append", choices=["latency", "throughput", "flapping", "memory"])
    parser.add_argument("--backend", choices=["asyncio", "trio"], default="asyncio")
    parser.add_argument("--commands", type=int, default=200)
    parser.add_argument("--phones", type=int, default=50)
    parser.add_argument("--flapping", type=int, default=300)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--repeat", type=int, default=3)
    chosen = parser.parse_args()
    anyio.run(main, chosen, backend=chosen.backend)
