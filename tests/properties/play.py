"""Playing scripts: a world in which a script's runs run, and its happenings happen."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import anyio
import anyio.abc

from galaxy_core import Event, GalaxyError, TaskEvent, TaskStar, UnknownDeviceError
from tests.properties.edits import edit
from tests.properties.laws import END_OF, broken_laws
from tests.properties.loops import run_steadily
from tests.properties.values import Happening, RunPlan, Script
from tests.properties.world import World

#: Virtual seconds after which a run that may hang by its own plan is cancelled, and after which any run has to be over.
PATIENCE_S = 400.0
HORIZON_S = 4000.0


class Play:
    """A world in which a script is played."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.world = World(script.seed)
        self.run_ids = [f"run{number}" for number in range(len(script.runs))]
        self.scopes = {run_id: anyio.CancelScope() for run_id in self.run_ids}
        self.results: dict[str, dict[str, Any]] = {}
        self.refused: dict[str, Exception] = {}
        self.ends = dict.fromkeys(self.run_ids, 0)
        self._group: anyio.abc.TaskGroup | None = None
        self.world.bus.subscribe(self, END_OF.values())

    async def on_event(self, event: Event) -> None:
        """Count ends, and do what is to happen after so many of them."""
        assert isinstance(event, TaskEvent)
        run_id = event.data["constellation_id"]
        self.ends[run_id] += 1
        for happening in self.script.happenings:
            if happening.after_ends == self.ends[run_id] and self.run_ids[happening.run] == run_id:
                self.happen(happening)

    async def play(self) -> None:
        """From the first run's start to the last one's end, and everything put away."""
        world, script = self.world, self.script
        async with world.manager:
            for device in script.devices:
                world.add_device(device)
            for run_id, run in zip(self.run_ids, script.runs, strict=True):
                world.add_plan(run.plan, run_id)
            with anyio.move_on_after(HORIZON_S) as horizon:
                async with anyio.create_task_group() as group:
                    self._group = group
                    for run_id, run in zip(self.run_ids, script.runs, strict=True):
                        group.start_soon(self._run, run_id, run)
                    await self._pass_time()
            if horizon.cancelled_caught:
                world.problem("a run never ends")
            await world.bus.drain()
            world.problems += broken_laws(world, self.results, script.cancels)
        world.problems += [f"{fake.device_id} is still connected" for fake in world.fakes.values() if fake.sessions]

    async def _pass_time(self) -> None:
        timed = [happening for happening in self.script.happenings if happening.after_ends is None]
        for happening in sorted(timed, key=lambda happening: happening.at):
            await anyio.sleep_until(happening.at)
            self.happen(happening)
            self.world.check_graphs()
        if self.script.may_hang:
            await anyio.sleep_until(PATIENCE_S)
            for run_id in self.run_ids:
                await self._cancel(run_id)

    async def _run(self, run_id: str, run: RunPlan) -> None:
        await anyio.sleep(run.starts_at)
        constellation = self.world.constellations[run_id]
        with self.scopes[run_id]:
            try:
                self.results[run_id] = await self.world.orchestrator.orchestrate_constellation(
                    constellation, assignment_strategy=run.strategy
                )
            except (GalaxyError, ValueError) as error:
                self.refused[run_id] = error
                if not self.world.homeless(run_id, late=run.strategy == "late"):
                    self.world.problem(f"{run_id} was refused: {error!r}")

    # ------------------------------------------------------------------------------------------- happenings
    def happen(self, happening: Happening) -> None:
        """Do it, if it can be done now."""
        getattr(self, f"_{happening.what}")(happening)

    def _device(self, happening: Happening) -> str:
        return f"d{happening.pick % len(self.world.fakes)}"

    def _unplug(self, happening: Happening) -> None:
        self.world.fakes[self._device(happening)].unplug()

    def _plug_in(self, happening: Happening) -> None:
        self.world.fakes[self._device(happening)].plug_in()

    def _freeze(self, happening: Happening) -> None:
        fake = self.world.fakes[self._device(happening)]
        fake.frozen = not fake.frozen

    def _soon(self, function: Callable[..., Awaitable[Any]], *arguments: Any) -> None:
        async def guarded() -> None:
            with suppress(UnknownDeviceError):  # it may be removed before this has its turn
                await function(*arguments)

        assert self._group is not None
        self._group.start_soon(guarded)

    def _disconnect(self, happening: Happening) -> None:
        self._soon(self.world.manager.disconnect_device, self._device(happening))

    def _connect(self, happening: Happening) -> None:
        if self._device(happening) in self.world.manager.lane_book.lanes:
            self._soon(self.world.manager.connect_device, self._device(happening))

    def _remove_device(self, happening: Happening) -> None:
        self._soon(self.world.manager.remove_device, self._device(happening))

    def _register(self, happening: Happening) -> None:
        model = self.script.devices[happening.pick % len(self.script.devices)]
        self._soon(self.world.manager.connect_device, self.world.add_device(model))

    def _cancel_task(self, happening: Happening) -> None:
        run_id, task = self._task(happening)
        if task is not None and self.world.orchestrator.run_of(run_id) is not None:
            self.world.orchestrator.cancel_task(task.task_id, run_id)

    def _cancel_run(self, happening: Happening) -> None:
        run_id = self.run_ids[happening.run]
        self._soon(self._cancel, run_id)

    async def _cancel(self, run_id: str) -> None:
        if self.world.orchestrator.run_of(run_id) is not None:
            self.world.cancelled.add(run_id)
        await self.world.orchestrator.cancel_execution(run_id)

    def _cancel_host(self, happening: Happening) -> None:
        self.scopes[self.run_ids[happening.run]].cancel()

    def _task(self, happening: Happening, *, other: bool = False) -> tuple[str, TaskStar | None]:
        run_id = self.run_ids[happening.run]
        tasks = self.world.constellations[run_id].get_all_tasks()
        number = happening.other if other else happening.pick
        return run_id, tasks[number % len(tasks)] if tasks else None

    def _edit(self, happening: Happening) -> None:
        run_id = self.run_ids[happening.run]
        if self.world.constellations[run_id]._listener is not None:  # else it does not run, or its run is over
            edit(self.world, run_id, happening)


async def play(script: Script) -> Play:
    """Play a script in the event loop that runs."""
    played = Play(script)
    await played.play()
    return played


def run_script(script: Script, backend: str) -> Play:
    """Play a script in a virtual event loop of its own, and see that nothing is left of it."""
    return run_steadily(backend, script.seed, play, script)
