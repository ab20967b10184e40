"""Preparing: everything that can refuse a run, before anything of it is published."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from galaxy_core.errors import RunRefusedError
from galaxy_core.extension.interfaces import RunInfo
from galaxy_core.extension.registry import PluginRegistry
from galaxy_core.extension.sections import unread_sections
from galaxy_core.model.constellation import TaskConstellation
from galaxy_core.runtime.artifacts import Artifacts
from galaxy_core.runtime.bus import EventBus
from galaxy_core.runtime.checking import (
    check_all_assigned,
    check_assignments,
    check_extensions,
    check_fits,
    check_requests,
    check_tasks,
    classes_to_place,
    pinned,
)
from galaxy_core.runtime.clock import Clock
from galaxy_core.runtime.deciding import review_run
from galaxy_core.runtime.desk import Desk
from galaxy_core.runtime.foreign import is_ours, lanes_of
from galaxy_core.runtime.lanes import LaneBook
from galaxy_core.runtime.manager import ConstellationManager
from galaxy_core.runtime.placer import Placer
from galaxy_core.runtime.run import Run
from galaxy_core.runtime.synchronizer import ConstellationModificationSynchronizer


class Preparing(ABC):
    """The part of an orchestrator that brings a plan and devices together."""

    event_bus: EventBus
    clock: Clock
    plugins: PluginRegistry
    _device_manager: Any
    _manager: ConstellationManager
    _artifacts: Path | None
    _synchronizer: ConstellationModificationSynchronizer | None
    _desk: Desk
    _logger: logging.Logger

    @abstractmethod
    def _new_synchronizer(self) -> ConstellationModificationSynchronizer:
        """A synchronizer for a run that nobody has given one."""

    async def _prepare(
        self,
        constellation: TaskConstellation,
        device_assignments: Mapping[str, str] | None,
        assignment_strategy: str | None,
        metadata: Mapping[str, Any],
        *,
        is_resumed: bool = False,
    ) -> tuple[Run, RunInfo]:
        """Everything that can refuse a run, before anything of it is published. Of one that is resumed tasks may be running."""
        constellation_id, revision = constellation.constellation_id, constellation.revision
        check_tasks(constellation, may_run=is_resumed)
        check_extensions(constellation, self.plugins)
        if is_ours(self._device_manager):  # what cannot be is said before a device is connected for it
            check_assignments(constellation, self._device_manager.lane_book, device_assignments or {})
        book = await self._connected_book(constellation, device_assignments or {}, assignment_strategy)
        with pinned(constellation, book, device_assignments or {}):
            placer, assignments = await self._assign(constellation, book, assignment_strategy)
            check_requests(constellation, book)
            info = await self._reviewed(constellation, metadata, assignments)
            if constellation.revision != revision:  # edited while devices were connected, or it was reviewed
                check_tasks(constellation, may_run=is_resumed)
                check_requests(constellation, book)
        editing = self._synchronizer
        if editing is None and self.plugins.implementations("galaxy_propose_edit"):
            editing = self._new_synchronizer()  # plugins edit, though nobody else does
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
