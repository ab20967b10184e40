"""TaskConstellationOrchestrator: checks a plan, runs it, and answers questions about it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import anyio

from galaxy_core.errors import (
    NoDevicesError,
    ResumeError,
    RunError,
    RunLockedError,
)
from galaxy_core.extension.interfaces import Durability, IEventObserver, Journal, RunInfo
from galaxy_core.extension.registry import PluginRegistry
from galaxy_core.model.constellation import TaskConstellation
from galaxy_core.model.events import Event, EventType
from galaxy_core.model.task import TaskStar
from galaxy_core.runtime.bus import EventBus, get_event_bus
from galaxy_core.runtime.checking import (
    check_fit,
    checked_durability,
)
from galaxy_core.runtime.clock import SYSTEM_CLOCK, Clock
from galaxy_core.runtime.collector import relaxed_collector
from galaxy_core.runtime.deciding import HOOK_TIMEOUT_S, tell_finished
from galaxy_core.runtime.desk import Desk, announce
from galaxy_core.runtime.explain import Why, explain
from galaxy_core.runtime.foreign import is_ours
from galaxy_core.runtime.lanes import needs_of
from galaxy_core.runtime.manager import ConstellationManager
from galaxy_core.runtime.parts import component_logger
from galaxy_core.runtime.preparing import Preparing
from galaxy_core.runtime.recording import Terms, journal_of, kept, ledger_of, opening, record_beginning, recorded
from galaxy_core.runtime.resuming import Resumption, read_run
from galaxy_core.runtime.run import Run, runs_already
from galaxy_core.runtime.settler import OnUnknown
from galaxy_core.runtime.synchronizer import ConstellationModificationSynchronizer
from galaxy_core.runtime.whereabouts import warn_of_another

_FINAL_EVENT = {
    "completed": EventType.CONSTELLATION_COMPLETED,
    "cancelled": EventType.CONSTELLATION_CANCELLED,
    "failed": EventType.CONSTELLATION_FAILED,
    "partially_failed": EventType.CONSTELLATION_FAILED,
    "stopped": EventType.CONSTELLATION_STOPPED,
}


class TaskConstellationOrchestrator(Preparing):
    """Runs constellations over devices.

    Beside the API document's arguments: `plugins` is a registry, or plugin objects (strategies, transports, hook
    implementations) to use beside the installed ones; `artifacts` the folder in which output files of tasks are kept
    (by default that of the run in the journal, or a temporary one per run); `journal` the journal, or the name of one that
    a plugin brings, in which every run is recorded, and `durability` how well: "sync", "batched" or "off"; `clock` the
    source of time and chance.
    """

    def __init__(
        self,
        device_manager: Any = None,
        enable_logging: bool = True,
        event_bus: EventBus | None = None,
        *,
        plugins: PluginRegistry | Iterable[object] | None = None,
        artifacts: str | Path | None = None,
        journal: str | Journal | None = None,
        durability: Durability = "sync",
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self.event_bus = event_bus or get_event_bus()
        self.clock = clock
        self._device_manager = device_manager
        self._manager = ConstellationManager(device_manager, enable_logging, plugins=plugins, event_bus=self.event_bus)
        self.plugins = self._manager.plugins
        self._artifacts = None if artifacts is None else Path(artifacts).absolute()
        self._journal = journal
        self._durability = checked_durability(durability)
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
        *,
        durability: Durability | None = None,
    ) -> dict[str, Any]:
        """Run a constellation to its end.

        `device_assignments` wins over `assignment_strategy`; with neither, every task needs a device of its own.
        `durability` is that of this run alone. Returns ``{"results": {task id: ExecutionResult}, "status": …,
        "total_tasks": …, "statistics": …}``, status being "completed", "partially_failed", "failed", "cancelled", or
        "stopped" when somebody has it left for later (`stop`). Failed tasks are results, not exceptions.

        Raises:
            ValueError: there is no device manager, the plan is invalid, or tasks and devices do not come together.
            RuntimeError: a plugin broke, a policy refused the run, its journal failed, or the constellation runs already.
        """
        if self._device_manager is None:
            raise NoDevicesError("ConstellationDeviceManager not set. Use set_device_manager() first.")
        how = self._durability if durability is None else checked_durability(durability)
        journal = None if how == "off" else journal_of(self.plugins, self._journal)
        constellation_id = constellation.constellation_id
        taken = constellation._listener is not None  # by another orchestrator
        if taken or constellation_id in self._runs or constellation_id in self._starting:
            raise runs_already(constellation)
        with relaxed_collector(constellation.task_count), self._observed():
            self._starting.add(constellation_id)
            try:
                run, info = await self._prepare(constellation, device_assignments, assignment_strategy, metadata or {})
                searches = tuple(self._device_manager.discoveries.values()) if is_ours(self._device_manager) else ()
                terms = Terms(self.plugins, assignment_strategy, how, searches)
                async with recorded(journal, run, info, terms):
                    result = await self._managed(run, info, assignment_strategy)
            finally:
                self._starting.discard(constellation_id)
        await tell_finished(self.plugins, info, result)
        return result

    def _new_synchronizer(self) -> ConstellationModificationSynchronizer:
        return ConstellationModificationSynchronizer(self)

    async def resume(
        self,
        run_id: str,
        *,
        constellation: TaskConstellation | None = None,
        assignment_strategy: str | None = None,
        on_unknown: OnUnknown | None = None,
        metadata: Mapping[str, Any] | None = None,
        durability: Durability | None = None,
    ) -> dict[str, Any]:
        """Go on with a run that the journal has, where it was left, or where its process ended; returns what
        `orchestrate_constellation` does.

        What had ended stays ended. Attempts whose end was not recorded are settled: what may run only once, by asking its
        device; everything else is stopped and runs again. `on_unknown` is asked about those of which nobody knows. With a
        `constellation`, the run has to be one of that plan, from which functions are taken that no journal can keep.
        Strategy and metadata are those of the run by default. The current folder of a program stays what it is: when it is
        not the one in which the run was under way last, a warning is logged that names both; commands on this machine run
        in the current one, unless their device has a `root`.

        Raises:
            ResumeError: the run cannot go on here; it says why, with every reason.
            UnknownRecordedRunError, RunLockedError, JournalDamagedError, JournalVersionError: see `Journal`.
            RuntimeError: as for `orchestrate_constellation`.
        """
        journal = journal_of(self.plugins, self._journal)
        if journal is None:
            raise ResumeError(run_id, ["no journal is given: TaskConstellationOrchestrator(…, journal=…)"])
        if self._device_manager is None:
            raise NoDevicesError("ConstellationDeviceManager not set. Use set_device_manager() first.")
        if run_id in self._runs or run_id in self._starting:
            raise RunLockedError(run_id, "this process")
        how = self._durability if durability is None else checked_durability(durability)
        if how == "off":
            raise ResumeError(run_id, ["durability is 'off', and what goes on has to be recorded: 'sync' or 'batched'"])
        self._starting.add(run_id)
        try:
            with self._observed():
                async with opening(journal, lambda: journal.reopen(run_id), run_id) as writer:
                    found = await read_run(journal, run_id, writer.folder, is_compared=constellation is not None)
                    resumption = Resumption(found, self.plugins, constellation, assignment_strategy, metadata or {})
                    resumption.check(
                        self._manager.lanes() if not is_ours(self._device_manager) else self._device_manager.lane_book
                    )
                    with resumption.refusing():
                        run, info = await self._prepare(
                            resumption.plan, None, resumption.strategy, resumption.metadata, is_resumed=True
                        )
                    warn_of_another(run_id, found.replay.folder, self._logger)
                    ledger = ledger_of(journal, run, writer, how, first=found.count)
                    resumption.begin(run, on_unknown)
                    with relaxed_collector(resumption.plan.task_count):
                        async with kept(run, ledger):
                            result = await self._managed(run, info, resumption.strategy)
        finally:
            self._starting.discard(run_id)
        await tell_finished(self.plugins, info, result)
        return result

    async def _managed(self, run: Run, info: RunInfo, strategy: str | None) -> dict[str, Any]:
        """Execute a run, which is registered while it lasts."""
        constellation_id = info.constellation_id
        self._runs[constellation_id] = run
        was_managed = self._manager.get_constellation(constellation_id) is not None
        if not was_managed:
            self._manager.register_constellation(run.constellation, info.metadata)
        try:
            return await self._execute(run, info, strategy)
        finally:
            run.over.set()
            del self._runs[constellation_id]
            if not was_managed:
                self._manager.unregister_constellation(constellation_id)

    async def _execute(self, run: Run, info: RunInfo, strategy: str | None) -> dict[str, Any]:
        constellation = run.constellation
        constellation.start_execution()
        began_at = run.wall()  # its end is told by the same clock
        constellation._started_at, constellation._updated_at = run.began_at or began_at, began_at
        record_beginning(run)
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
            if run.ledger is not None:
                await run.ledger.close()  # while those are still subscribed who are to hear of it
        await self.event_bus.drain(over=run.over)
        return result

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

    def _say(self, kind: EventType, constellation_id: str, data: Mapping[str, Any]) -> None:
        announce(self.event_bus, self.clock, self.run_of(constellation_id), kind, constellation_id, data)

    # ------------------------------------------------------------------------------------------- assignment
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

    # ------------------------------------------------------------------------------------------- steering
    def pause(self, constellation_id: str, by: str = "") -> bool:
        """Have a run start nothing until `proceed`; what runs goes on. False when there is none, or it is paused already."""
        run = self._runs.get(constellation_id)
        return run is not None and run.pause(by)

    def proceed(self, constellation_id: str, by: str = "") -> bool:
        """Have a paused run go on; False when there is none, or it is not paused."""
        run = self._runs.get(constellation_id)
        return run is not None and run.proceed(by)

    async def stop(self, constellation_id: str, by: str = "", *, interrupt: bool = False) -> bool:
        """Have a run start nothing any more, and wait until what runs has ended; False when there is no such run.

        What has not started stays pending. Of a run that is journalled, `resume` goes on with it, here or elsewhere. With
        `interrupt`, what may run again (`read`, `idempotent`) is not waited for: it is ended on its device, and is pending,
        too.
        """
        run = self._runs.get(constellation_id)
        if run is None:
            return False
        run.stop(by, interrupt=interrupt)
        await self.event_bus.wait_for_end(run.over)
        return True

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
