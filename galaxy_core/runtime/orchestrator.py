"""TaskConstellationOrchestrator: checks a plan, runs it, and answers questions about it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import anyio

from galaxy_core.errors import (
    NoDevicesError,
    RunError,
    RunRefusedError,
)
from galaxy_core.extension.interfaces import IEventObserver, RunInfo
from galaxy_core.extension.registry import PluginRegistry
from galaxy_core.extension.sections import unread_sections
from galaxy_core.model.constellation import TaskConstellation
from galaxy_core.model.events import Event, EventType
from galaxy_core.model.task import TaskStar
from galaxy_core.runtime.artifacts import Artifacts
from galaxy_core.runtime.bus import EventBus, get_event_bus
from galaxy_core.runtime.checking import (
    check_all_assigned,
    check_assignments,
    check_extensions,
    check_fit,
    check_fits,
    check_requests,
    check_tasks,
    classes_to_place,
    pinned,
)
from galaxy_core.runtime.clock import SYSTEM_CLOCK, Clock
from galaxy_core.runtime.collector import relaxed_collector
from galaxy_core.runtime.deciding import HOOK_TIMEOUT_S, review_run, tell_finished
from galaxy_core.runtime.desk import Desk, announce
from galaxy_core.runtime.explain import Why, explain
from galaxy_core.runtime.foreign import is_ours, lanes_of
from galaxy_core.runtime.journalling import journalled
from galaxy_core.runtime.lanes import LaneBook, needs_of
from galaxy_core.runtime.manager import ConstellationManager
from galaxy_core.runtime.parts import component_logger
from galaxy_core.runtime.placer import Placer
from galaxy_core.runtime.run import Run, runs_already
from galaxy_core.runtime.synchronizer import ConstellationModificationSynchronizer

_FINAL_EVENT = {
    "completed": EventType.CONSTELLATION_COMPLETED,
    "cancelled": EventType.CONSTELLATION_CANCELLED,
    "failed": EventType.CONSTELLATION_FAILED,
    "partially_failed": EventType.CONSTELLATION_FAILED,
}


class TaskConstellationOrchestrator:
    """Runs constellations over devices.

    Beside the API document's arguments: `plugins` is a registry, or plugin objects (strategies, transports, hook
    implementations) to use beside the installed ones; `artifacts` the folder in which output files of tasks are kept
    (by default a temporary one per run); `journal` the name of a journal that a plugin brings, in which the events of
    every run are kept; `clock` the source of time and chance.
    """

    def __init__(
        self,
        device_manager: Any = None,
        enable_logging: bool = True,
        event_bus: EventBus | None = None,
        *,
        plugins: PluginRegistry | Iterable[object] | None = None,
        artifacts: str | Path | None = None,
        journal: str | None = None,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self.event_bus = event_bus or get_event_bus()
        self.clock = clock
        self._device_manager = device_manager
        self._manager = ConstellationManager(device_manager, enable_logging, plugins=plugins, event_bus=self.event_bus)
        self.plugins = self._manager.plugins
        self._artifacts = None if artifacts is None else Path(artifacts).absolute()
        self._journal = journal
        self._synchronizer: ConstellationModificationSynchronizer | None = None
        self._runs: dict[str, Run] = {}
        self._starting: set[str] = set()
        # Where edits are told of that come without a synchronizer.
        self._desk = Desk(lambda: self.plugins, self._say, lambda frees: None, lambda: HOOK_TIMEOUT_S, self.run_of)
        self._observers: list[IEventObserver] = []  # of plugins, subscribed now
        self._observed_runs = 0
        self._logger = component_logger("orchestrator", enable_logging)

    # ------------------------------------------------------------------------------------------- configuration
    def set_device_manager(self, device_manager: Any) -> None:
        """Use these devices from now on."""
        self._device_manager = device_manager
        self._manager.set_device_manager(device_manager)

    def set_modification_synchronizer(self, synchronizer: ConstellationModificationSynchronizer) -> None:
        """Have runs that start from now on wait for this synchronizer's editors."""
        self._synchronizer = synchronizer

    @property
    def manager(self) -> ConstellationManager:
        """The constellation manager that this orchestrator assigns with."""
        return self._manager

    # ------------------------------------------------------------------------------------------- running
    async def orchestrate_constellation(
        self,
        constellation: TaskConstellation,
        device_assignments: Mapping[str, str] | None = None,
        assignment_strategy: str | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        """Run a constellation to its end.

        `device_assignments` wins over `assignment_strategy`; with neither, every task needs a device of its own.
        Returns ``{"results": {task id: ExecutionResult}, "status": …, "total_tasks": …, "statistics": …}``, status
        being "completed", "partially_failed", "failed" or "cancelled". Failed tasks are results, not exceptions.

        Raises:
            ValueError: there is no device manager, the plan is invalid, or tasks and devices do not come together.
            RuntimeError: a plugin broke, a policy refused the run, or the constellation runs already.
        """
        if self._device_manager is None:
            raise NoDevicesError("ConstellationDeviceManager not set. Use set_device_manager() first.")
        constellation_id = constellation.constellation_id
        taken = constellation._listener is not None  # by another orchestrator
        if taken or constellation_id in self._runs or constellation_id in self._starting:
            raise runs_already(constellation)
        with relaxed_collector(constellation.task_count), self._observed():
            self._starting.add(constellation_id)
            try:
                run, info = await self._prepare(constellation, device_assignments, assignment_strategy, metadata or {})
            finally:
                self._starting.discard(constellation_id)
            result = await self._managed(run, info, assignment_strategy)
        await tell_finished(self.plugins, info, result)
        return result

    async def _prepare(
        self,
        constellation: TaskConstellation,
        device_assignments: Mapping[str, str] | None,
        assignment_strategy: str | None,
        metadata: Mapping[str, Any],
    ) -> tuple[Run, RunInfo]:
        """Everything that can refuse a run, before anything of it is published."""
        constellation_id, revision = constellation.constellation_id, constellation.revision
        check_tasks(constellation)
        check_extensions(constellation, self.plugins)
        if is_ours(self._device_manager):  # what cannot be is said before a device is connected for it
            check_assignments(constellation, self._device_manager.lane_book, device_assignments or {})
        book = await self._connected_book(constellation, device_assignments or {}, assignment_strategy)
        with pinned(constellation, book, device_assignments or {}):
            placer, assignments = await self._assign(constellation, book, assignment_strategy)
            check_requests(constellation, book)
            info = await self._reviewed(constellation, metadata, assignments)
            if constellation.revision != revision:  # edited while devices were connected, or it was reviewed
                check_tasks(constellation)
                check_requests(constellation, book)
        editing = self._synchronizer
        if editing is None and self.plugins.implementations("galaxy_propose_edit"):
            editing = ConstellationModificationSynchronizer(self)  # plugins edit, though nobody else does
        run = Run(
            constellation,
            book,
            placer,
            self.event_bus,
            self.clock,
            editing=editing,
            desk=editing.desk if editing is not None else self._desk,
            artifacts=Artifacts(constellation_id, self._artifacts),
            logger=self._logger,
        )
        if editing is not None:
            editing.attend(run, is_wanted=self._synchronizer is not None)
        return run, info

    async def _reviewed(
        self, constellation: TaskConstellation, metadata: Mapping[str, Any], assignments: Mapping[str, str]
    ) -> RunInfo:
        constellation_id, tasks = constellation.constellation_id, constellation.get_all_tasks()
        extensions = constellation.metadata.get("extensions") or {}
        if extensions:
            for name, why in unread_sections(self.plugins, extensions).items():
                self._logger.warning("plan %r, extensions.%s: %s", constellation.name, name, why)
        info = RunInfo(constellation_id, constellation.name, tasks, assignments, dict(metadata), extensions)
        refusals = await review_run(self.plugins, info)
        if refusals:
            raise RunRefusedError(constellation_id, refusals)
        return info

    async def _managed(self, run: Run, info: RunInfo, strategy: str | None) -> dict[str, Any]:
        """Execute a run, which is registered while it lasts."""
        constellation_id = info.constellation_id
        self._runs[constellation_id] = run
        was_managed = self._manager.get_constellation(constellation_id) is not None
        if not was_managed:
            self._manager.register_constellation(run.constellation, info.metadata)
        try:
            async with self._journalled(run, info):
                return await self._execute(run, info, strategy)
        finally:
            run.over.set()
            del self._runs[constellation_id]
            if not was_managed:
                self._manager.unregister_constellation(constellation_id)

    async def _execute(self, run: Run, info: RunInfo, strategy: str | None) -> dict[str, Any]:
        constellation = run.constellation
        constellation.start_execution()
        constellation._started_at = constellation._updated_at = run.wall()  # its end is told by the same clock
        started = {
            **info.metadata,
            "total_tasks": constellation.task_count,
            "assignment_strategy": strategy,
            "device_assignments": dict(info.assignments),
            "constellation": constellation,
            "metadata": dict(info.metadata),
        }
        run.reports.constellation(EventType.CONSTELLATION_STARTED, "executing", started)
        self._logger.info("run of %s started: %d tasks", constellation.constellation_id, constellation.task_count)
        try:
            await run.execute()
        finally:
            result = run.outcome
            ended = {
                "total_tasks": result["total_tasks"],
                "statistics": result["statistics"],
                "execution_duration": constellation.execution_duration,
                "constellation": constellation,
            }
            run.reports.constellation(_FINAL_EVENT[result["status"]], result["status"], ended)
            self._logger.info("run of %s ended: %s", constellation.constellation_id, result["status"])
        await self.event_bus.drain(over=run.over)
        return result

    @asynccontextmanager
    async def _journalled(self, run: Run, info: RunInfo) -> AsyncIterator[None]:
        """Keep the run's events in the journal, if there is one."""
        if self._journal is None:
            yield
        else:
            async with journalled(self.plugins.journal(self._journal), run, info, self.event_bus):
                yield

    @contextmanager
    def _observed(self) -> Iterator[None]:
        """Have the observers that plugins bring subscribed while something runs or is prepared, and only then.

        A bus that outlives this orchestrator would keep it alive otherwise.
        """
        self._observed_runs += 1
        try:
            if self._observed_runs == 1:
                self._observers = list(self.plugins.observers)
                for observer in self._observers:
                    self.event_bus.subscribe(observer, where=self._concerns)
            yield
        finally:
            self._observed_runs -= 1
            if not self._observed_runs:
                for observer in self._observers:
                    self.event_bus.unsubscribe(observer, where=self._concerns)

    def _concerns(self, event: Event) -> bool:
        """Whether an event is about a run of this orchestrator, or about no run at all."""
        about, _, constellation_id = event.source_id.partition("_")
        return about != "orchestrator" or constellation_id in self._runs

    async def _connected_book(
        self, constellation: TaskConstellation, device_assignments: Mapping[str, str], strategy: str | None
    ) -> LaneBook:
        """The lanes, once those devices are connected that the run cannot start without, or none of them will be."""
        manager = self._device_manager
        if not constellation.task_count:  # nothing to wait for, but tasks may be added while it runs
            if not is_ours(manager):
                return LaneBook()
            manager.start_connecting()
            return lanes_of(manager)
        if not is_ours(manager):
            return self._manager.lanes()
        book: LaneBook = manager.lane_book
        if manager.discoveries or any(lane.session is None for lane in book.lanes.values()):
            # A task with a device of its own waits in that device's lane; the others are given one that is there.
            open_needs = classes_to_place(constellation, device_assignments) if strategy is not None else set()

            def enough() -> bool:
                return bool(book.available()) and all(book.fitting(needs) for needs in open_needs)

            await manager.connect_enough(enough, open_needs)
        return book

    def _say(self, kind: EventType, constellation_id: str, data: Mapping[str, Any]) -> None:
        announce(self.event_bus, self.clock, self.run_of(constellation_id), kind, constellation_id, data)

    # ------------------------------------------------------------------------------------------- assignment
    async def _assign(
        self,
        constellation: TaskConstellation,
        book: LaneBook,
        strategy_name: str | None,
    ) -> tuple[Placer, Mapping[str, str]]:
        """Give every task that has not started its device, or say why it cannot be; the device of each that has one."""
        strategy = self.plugins.strategy(strategy_name) if strategy_name is not None else None
        placer = Placer(strategy, (lane.device_id for lane in book.available()))
        if not constellation.task_count:
            return placer, {}
        if strategy is None:
            check_all_assigned(constellation, book)
        elif placer.binds_late:
            check_fits(constellation, book)
        else:
            return placer, await self._manager.assign_devices_automatically(constellation, strategy_name or "")
        tasks = constellation._tasks.values()
        return placer, {task._task_id: task._target_device_id for task in tasks if task._target_device_id is not None}

    async def assign_devices_automatically(
        self,
        constellation: TaskConstellation,
        strategy: str = "round_robin",
        device_preferences: Mapping[str, str] | None = None,
        *,
        insist: bool = True,
    ) -> dict[str, str]:
        """See `ConstellationManager.assign_devices_automatically`."""
        return await self._manager.assign_devices_automatically(
            constellation, strategy, device_preferences, insist=insist
        )

    # ------------------------------------------------------------------------------------------- cancelling
    async def cancel_execution(self, constellation_id: str) -> bool:
        """Cancel a run and wait until it is over; False when no constellation of that id runs."""
        run = self._runs.get(constellation_id)
        if run is None:
            return False
        run.cancel()
        await self.event_bus.wait_for_end(run.over)
        return True

    async def cancel_all(self) -> list[str]:
        """Cancel every run and wait until all are over; their constellation ids."""
        ids = list(self._runs)
        async with anyio.create_task_group() as group:
            for constellation_id in ids:
                group.start_soon(self.cancel_execution, constellation_id)
        return ids

    def cancel_task(self, task_id: str, constellation_id: str | None = None) -> bool:
        """Cancel one task of a run; False when it does not run there, or has ended.

        Of a constellation that does not run the log is told as well, because that may be a wrong id.

        Raises:
            RunError: no constellation is named, and not exactly one runs.
        """
        run = self._one_run(constellation_id)
        if run is None:
            running = ", ".join(map(repr, self._runs)) or "none"
            self._logger.warning(
                "cannot cancel task %r: %r does not run; running: %s", task_id, constellation_id, running
            )
            return False
        return run.cancel_task(task_id)

    # ------------------------------------------------------------------------------------------- questions
    def run_of(self, constellation_id: str) -> Run | None:
        """The run of a constellation while it runs; for synchronizers."""
        return self._runs.get(constellation_id)

    def runs(self) -> list[Run]:
        """Everything that runs now; for synchronizers."""
        return list(self._runs.values())

    def _one_run(self, constellation_id: str | None) -> Run | None:
        if constellation_id is not None:
            return self._runs.get(constellation_id)
        if len(self._runs) != 1:
            raise RunError(f"{len(self._runs)} constellations run ({', '.join(self._runs) or 'none'}): name one")
        return next(iter(self._runs.values()))

    def why(self, task_id: str, constellation_id: str | None = None) -> Why:
        """Why a task stands where it stands: the link, the lane, the edit or the back-off that holds it.

        Raises:
            UnknownTaskError: there is no such task.
            RunError: no constellation is named, and not exactly one runs; or the named one is not known.
        """
        run = self._one_run(constellation_id)
        if run is not None:
            return explain(run.constellation, task_id, run)
        constellation = self._manager.get_constellation(constellation_id or "")
        if constellation is None:
            raise RunError(f"constellation {constellation_id!r} neither runs nor is registered")
        return explain(constellation, task_id, None)

    async def execute_single_task(self, task: TaskStar, target_device_id: str | None = None) -> Any:
        """Run one task outside of any plan; its payload, such as a command's standard output, also when it failed.

        Whether it succeeded is what `TaskStar.execute` says; this is the API document's shorter way. The task is pinned
        to `target_device_id`, or else, when it has no device, to the first that fits. It is tried once: `retry_count`
        is for runs.

        Raises:
            ValueError: there is no device, or the one that is named does not meet what the task requires.
        """
        if self._device_manager is None:
            raise NoDevicesError("No available devices for task execution")
        manager = self._device_manager
        if is_ours(manager) and not manager.get_connected_devices():
            await manager.connect_all()
        if target_device_id is None and task.target_device_id is None:
            fitting = self._manager.lanes().fitting(needs_of(task))
            if not fitting:
                raise NoDevicesError("No available devices for task execution")
            target_device_id = fitting[0]
        else:
            check_fit(manager, task, target_device_id or task.target_device_id)
        if target_device_id is not None:
            task.target_device_id = target_device_id
        result = await task.execute(manager)
        return result.result

    async def get_constellation_status(self, constellation: TaskConstellation) -> dict[str, Any] | None:
        """See `ConstellationManager.get_constellation_status`; runs are registered while they last."""
        return await self._manager.get_constellation_status(constellation.constellation_id)

    async def get_available_devices(self) -> list[dict[str, Any]]:
        """See `ConstellationManager.get_available_devices`."""
        return await self._manager.get_available_devices()
