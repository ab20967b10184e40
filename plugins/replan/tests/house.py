"""Plans with rules, run on scripted devices; and what came of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from galaxy_core import (
    Completed,
    ConstellationDeviceManager,
    Device,
    EventBus,
    EventType,
    ExecutionResult,
    TaskConstellation,
    TaskConstellationOrchestrator,
    parse_plan,
)
from galaxy_core.testing.fakes import FakeTransport, Recorder, Step
from galaxy_core.testing.virtual_time import virtual_clock

HERE = [Device("here", "fake", max_concurrency=4)]
BROKEN = Completed(exit_code=1, stderr="no space left\n", error="it broke")


def planned(tasks: str, *rules: Mapping[str, Any]) -> TaskConstellation:
    """The plan of a YAML text of tasks, with rules."""
    data = parse_plan(f"tasks:\n{tasks}").tasks
    return parse_plan({"tasks": data, "extensions": {"replan": {"rules": list(rules)}}}).to_constellation("c1")


class Run:
    """One run, from its scripts to its end. `scripts` are steps, or lists of them, by task id."""

    def __init__(
        self,
        plan: TaskConstellation,
        scripts: Mapping[str, Step | list[Step]] | None = None,
        devices: Iterable[Device] = HERE,
        plugins: Iterable[object] = (),
    ) -> None:
        self.plan = plan
        self.transport = FakeTransport()
        self.recorder = Recorder()
        self._devices, self._plugins = list(devices), list(plugins)
        self.result: dict[str, Any] = {}
        for task_id, steps in (scripts or {}).items():
            self.transport.script(task_id, *(steps if isinstance(steps, list) else [steps]))

    async def to_end(self) -> Run:
        clock = virtual_clock()
        bus = EventBus(clock)
        bus.subscribe(self.recorder)
        plugins = [self.transport, *self._plugins]
        async with ConstellationDeviceManager(plugins=plugins, event_bus=bus, clock=clock) as manager:
            for device in self._devices:
                manager.add_device(device)
            galaxy = TaskConstellationOrchestrator(manager, event_bus=bus, clock=clock)
            self.result = await galaxy.orchestrate_constellation(self.plan, assignment_strategy="load_balance")
        assert self.plan.validate_dag() == (True, [])
        return self

    @property
    def ends(self) -> dict[str, str]:
        """How each task ended."""
        return {task.task_id: str(task.status) for task in self.plan.get_all_tasks()}

    @property
    def order(self) -> list[str]:
        """Task ids in the order of their starts, on whatever device."""
        return [event.task_id for event in self.recorder.of(EventType.TASK_STARTED)]

    def result_of(self, task_id: str) -> ExecutionResult:
        result: ExecutionResult = self.result["results"][task_id]
        return result

    def links(self) -> set[tuple[str, str]]:
        return {(line.from_task_id, line.to_task_id) for line in self.plan.get_all_dependencies()}

    def request_of(self, task_id: str) -> Any:
        """The request of the last attempt at a task, as its device got it."""
        found = [
            attempt.request
            for device in self._devices
            for attempt in self.transport.device(device.device_id).attempts
            if attempt.task_id == task_id
        ]
        return found[-1]

    @property
    def edits(self) -> list[str]:
        """The words of the edits that were committed."""
        return [event.data["description"] for event in self.recorder.of(EventType.EDIT_COMMITTED)]
