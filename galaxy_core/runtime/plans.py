"""Running a constellation from a synchronous program, in one call."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import anyio

from galaxy_core.errors import AssignmentError, RunError
from galaxy_core.extension.interfaces import Durability, IEventObserver, Journal
from galaxy_core.extension.registry import PluginRegistry
from galaxy_core.model.constellation import TaskConstellation
from galaxy_core.model.device import Device, this_machine
from galaxy_core.model.reasons import shown
from galaxy_core.runtime.background import in_trio
from galaxy_core.runtime.bus import EventBus
from galaxy_core.runtime.devices import ConstellationDeviceManager
from galaxy_core.runtime.orchestrator import TaskConstellationOrchestrator
from galaxy_core.runtime.parts import registry_of


async def arun_constellation(
    constellation: TaskConstellation,
    devices: Iterable[Device] | None = None,
    *,
    strategy: str = "load_balance",
    plugins: PluginRegistry | Iterable[object] | None = None,
    observers: Iterable[IEventObserver] = (),
    artifacts: str | Path | None = None,
    journal: str | Journal | None = None,
    durability: Durability = "sync",
    metadata: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Connect the devices, run the constellation, disconnect; the result of `orchestrate_constellation`.

    For programs with an event loop, and for notebooks; see `run_constellation`.
    """
    if not isinstance(strategy, str):
        raise AssignmentError(
            f"strategy must be the name of a strategy, such as 'load_balance', not {shown(strategy)}; "
            "tasks that have a device of their own keep it with any"
        )
    registry, bus = registry_of(plugins), EventBus()
    for observer in observers:
        bus.subscribe(observer)
    async with ConstellationDeviceManager(plugins=registry, event_bus=bus) as manager:
        for device in [this_machine()] if devices is None else devices:
            manager.add_device(device)
        orchestrator = TaskConstellationOrchestrator(
            manager, event_bus=bus, plugins=registry, artifacts=artifacts, journal=journal, durability=durability
        )
        return await orchestrator.orchestrate_constellation(
            constellation, assignment_strategy=strategy, metadata=metadata
        )


def run_constellation(
    constellation: TaskConstellation,
    devices: Iterable[Device] | None = None,
    *,
    strategy: str = "load_balance",
    plugins: PluginRegistry | Iterable[object] | None = None,
    observers: Iterable[IEventObserver] = (),
    artifacts: str | Path | None = None,
    journal: str | Journal | None = None,
    durability: Durability = "sync",
    metadata: Mapping[str, Any] | None = None,
    backend: str = "asyncio",
) -> dict[str, Any]:
    """Run a constellation to its end, from a program without an event loop.

    By default on this machine, as many tasks at a time as it has processors. Returns and raises what `orchestrate_constellation` does.
    `backend` is "asyncio" or "trio".

    Raises:
        RuntimeError: an event loop runs in this thread already; await `arun_constellation` there.
    """
    running = _running_loop()
    if running is not None:
        raise RunError(
            f"run_constellation is for programs without an event loop, and {running} runs in this thread already: "
            "write `await arun_constellation(…)` here, with the same arguments, or await "
            "`orchestrate_constellation(…)` of a TaskConstellationOrchestrator"
        )
    run = partial(
        arun_constellation,
        constellation,
        devices,
        strategy=strategy,
        plugins=plugins,
        observers=observers,
        artifacts=artifacts,
        journal=journal,
        durability=durability,
        metadata=metadata,
    )
    return anyio.run(run, backend=backend)


def _running_loop() -> str | None:
    """Which event loop runs in this thread, if any does."""
    if "trio" in sys.modules and in_trio():
        return "trio"
    if "asyncio" in sys.modules:  # who has not loaded it does not run it
        import asyncio

        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return None
        return "asyncio"
    return None
