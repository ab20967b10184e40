"""A small run and everything that was told of it, for contracts of those who hear events."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from attrs import frozen

from galaxy_core.extension.interfaces import Attempt, Completed, Refused, RunInfo
from galaxy_core.extension.registry import PluginRegistry
from galaxy_core.model.constellation import TaskConstellation
from galaxy_core.model.dependency import DependencyType, TaskStarLine
from galaxy_core.model.device import Device
from galaxy_core.model.events import Event
from galaxy_core.model.policy import RetryPolicy
from galaxy_core.model.request import Command
from galaxy_core.model.task import TaskStar
from galaxy_core.runtime.plans import arun_constellation
from galaxy_core.testing.fakes import FakeTransport, FirstFit, Recorder

if TYPE_CHECKING:
    from galaxy_core.extension.interfaces import Outcome


@frozen
class Story:
    """`plan` has run, and `events` were told, in order. `run` is the run as journals see it."""

    plan: TaskConstellation
    events: Sequence[Event]
    run: RunInfo


async def story(name: str = "story") -> Story:
    """A run in which a task prints and succeeds, one is tried again, one fails, and one is skipped for that."""
    transport, recorder = FakeTransport(), Recorder()

    def prints(attempt: Attempt) -> Outcome:
        attempt.emit("stdout", "one line\nand ")
        attempt.emit("stderr", "beside it\n")
        attempt.emit("stdout", "another")
        return Completed(exit_code=0, stdout="one line\nand another", stderr="beside it\n")

    transport.script("prints", prints)
    transport.script("again", Refused("busy"), Completed(exit_code=0))
    transport.script("fails", Completed(exit_code=3, stderr="no\n"))
    plan = TaskConstellation(f"constellation-{name}", name)
    soon = RetryPolicy(backoff_s=0.0)
    for task_id in ("prints", "again", "fails", "after"):
        plan.add_task(TaskStar(task_id, f"the task {task_id}", request=Command(["true"]), retry_count=2, retry=soon))
    plan.add_dependency(TaskStarLine("fails", "after", DependencyType.SUCCESS_ONLY))
    plugins = PluginRegistry(discover=False)
    for plugin in (transport, FirstFit()):
        plugins.register(plugin)
    devices = [Device("one", "fake"), Device("two", "fake", max_concurrency=2)]
    await arun_constellation(plan, devices, strategy="first_fit", plugins=plugins, observers=[recorder])
    run = RunInfo(plan.constellation_id, name, list(plan.tasks.values()), {}, {})
    return Story(plan, tuple(recorder.events), run)
