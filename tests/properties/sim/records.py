"""What the records of a simulated run come to is the plan as it is in the end."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from galaxy_core import GalaxyError, TaskConstellation
from galaxy_core.model.records.replay import replay
from tests.properties.sim.world import RUN, SimWorld


def unlike_its_records(world: SimWorld) -> Iterator[str]:
    """In what the plan that its records come to differs from the live one."""
    try:
        found = replay(world.journal.kept[RUN].records)
        recorded = found.document()
    except GalaxyError as error:
        yield f"its records cannot be replayed: {error}"
        return
    if found.over is None:
        yield "no record says how the run ended"
    yield from differences(recorded, world.plan)


def differences(recorded: dict[str, Any], plan: TaskConstellation) -> Iterator[str]:
    """Where a replayed document is not that of the plan, but for devices that a task was to get."""
    live = plan.to_dict()
    for document in (recorded, live):
        for task in document["tasks"].values():
            if task.get("pinned") is False and task["execution_start_time"] is None:
                del task["pinned"]
                task["target_device_id"] = None
    for part in ("tasks", "dependencies"):
        for name in {**recorded[part], **live[part]}:
            was, here = recorded[part].get(name), live[part].get(name)
            if was is None or here is None:
                yield f"{part}: {name} is {'not ' if was is None else ''}recorded"
            elif was != here:
                keys = [key for key in {**was, **here} if was.get(key) != here.get(key)]
                told = [f"{key} {was.get(key)!r}, not {here.get(key)!r}" for key in keys]
                yield f"{part}: {name} is recorded with {'; '.join(told)}"
        recorded.pop(part), live.pop(part)
    if recorded != live:
        yield f"the head is recorded as {recorded}, not {live}"
