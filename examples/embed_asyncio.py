"""Galaxy inside an asyncio program: a plan made in code, an observer of its own, and a result at the end.

python examples/embed_asyncio.py
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping
from typing import Any

from galaxy_core import (
    Command,
    ConstellationDeviceManager,
    Event,
    EventBus,
    EventType,
    Reference,
    TaskConstellation,
    TaskConstellationOrchestrator,
    TaskEvent,
    TaskStar,
    TaskStarLine,
)

COUNT = "import sys; print(sum(1 for n in range(2, {}) if all(n % d for d in range(2, int(n ** .5) + 1))))"
ADD = "import sys; print(sum(map(int, sys.argv[1:])))"


class Progress:
    """Hears every task end, in order."""

    async def on_event(self, event: Event) -> None:
        if isinstance(event, TaskEvent):
            print(f"  {event.task_id}: {event.status}")


def plan() -> TaskConstellation:
    """Three counts side by side, and a sum of what they print."""
    constellation = TaskConstellation(name="primes")
    parts = {f"below_{limit}": Command([sys.executable, "-c", COUNT.format(limit)]) for limit in (1_000, 5_000, 20_000)}
    for task_id, command in parts.items():
        constellation.add_task(TaskStar(task_id, request=command))
    total = Command([sys.executable, "-c", ADD, *(Reference(task_id) for task_id in parts)])
    constellation.add_task(TaskStar("total", request=total))
    for task_id in parts:
        constellation.add_dependency(TaskStarLine.create_success_only(task_id, "total"))
    return constellation


async def main() -> Mapping[str, Any]:
    bus = EventBus()
    bus.subscribe(Progress(), {EventType.TASK_COMPLETED, EventType.TASK_FAILED})
    async with ConstellationDeviceManager(event_bus=bus) as devices:
        await devices.register_device("here", transport="local", max_concurrency=2)
        orchestrator = TaskConstellationOrchestrator(devices, event_bus=bus)
        # An ordinary awaitable: it may run beside anything else that the program does.
        run, _ = await asyncio.gather(
            orchestrator.orchestrate_constellation(plan(), assignment_strategy="load_balance"),
            asyncio.to_thread(print, "meanwhile the program goes on"),
        )
    return dict(run)


if __name__ == "__main__":
    done = asyncio.run(main())
    print(f"{done['status']}: {done['results']['total'].stdout.strip()} primes were counted")
