"""Conducts one run: devices, orchestrator, reporter, and what ends it before its time."""

from __future__ import annotations

import math
import shlex
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

import anyio
from attrs import field, frozen

from galaxy_core import (
    AssignmentError,
    ConstellationDeviceManager,
    ConstellationModificationSynchronizer,
    ControlError,
    EventBus,
    Inventory,
    PluginRegistry,
    RunError,
    TaskConstellation,
    TaskConstellationOrchestrator,
    control_socket,
)
from galaxy_core.errors import JournalError, JournalFailedError
from galaxy_core.extension.interfaces import Durability
from galaxy_core_cli.hints import command
from galaxy_core_cli.reasons import single
from galaxy_core_cli.running.ending import Ending
from galaxy_core_cli.running.kill import sparing
from galaxy_core_cli.running.reporter import Reporter
from galaxy_core_cli.running.searching import Searching
from galaxy_core_cli.running.stopping import Stopper


@frozen
class Order:
    """What is to be run, and how.

    With `resumes` it is a run that a journal keeps, and `constellation` stands for its plan until that is known.
    """

    constellation: TaskConstellation
    inventory: Inventory
    strategy: str
    registry: PluginRegistry
    artifacts: Path | None = None
    timeout_s: float | None = None
    control: bool = False
    journal: str | None = None
    durability: Durability = "sync"
    metadata: Mapping[str, Any] = field(factory=dict)
    resumes: bool = False
    #: The plan that it has to be.
    same_as: TaskConstellation | None = None
    #: What is told when it has begun.
    remark: str = ""
    #: Hears what kept it from running, and may raise an error that says more.
    explain: Callable[[Exception], None] = lambda _: None


async def conduct(order: Order, reporter: Reporter) -> Ending:
    """Run it to its end, which the signals and the time limit may bring about.

    Raises:
        GalaxyError: nothing could be run.
    """
    ending = Ending(
        order.constellation, is_kept=order.journal is not None, journal=order.journal, resumes=order.resumes
    )
    bus = EventBus()
    bus.subscribe(reporter, reporter.heard)
    manager = _manager(order, bus)
    if order.remark:
        ending.at_beginning.append(partial(reporter.tell, order.remark))
    searching = Searching(manager, order.inventory.discoveries, reporter)
    bus.subscribe(ending, ending.heard)
    orchestrator = TaskConstellationOrchestrator(
        manager,
        event_bus=bus,
        plugins=order.registry,
        artifacts=order.artifacts,
        journal=order.journal,
        durability=order.durability,
    )
    stopper = Stopper(orchestrator, reporter, ending)
    failure: Exception | None = None
    with sparing(_left_at_work(orchestrator, ending), lambda: ending.last_words):
        async with anyio.create_task_group() as group:
            await group.start(stopper.watch_signals)
            group.start_soon(
                reporter.keep_current,
                orchestrator.why,
                manager.get_all_devices,
                lambda: any(run.is_stopping for run in orchestrator.runs()),
            )
            if order.inventory.discoveries:
                bus.subscribe(searching, searching.heard)
                group.start_soon(searching.watch, order.constellation)
            if order.timeout_s is not None:
                group.start_soon(stopper.watch_time, order.timeout_s)
            try:
                async with manager:
                    with stopper.scope, _telling(searching):
                        async with _controlled(order, orchestrator, reporter, ending):
                            ending.result = await _orchestrated(order, orchestrator)
            except Exception as error:  # raised again below, outside of the group, which would wrap it
                failure = error
            stopper.scope = anyio.CancelScope()
            with stopper.scope:
                # A report that is read slowly is still complete. Not before the devices have left, of which it tells, too: what
                # is still being told when this is over comes after the last line, or never.
                await bus.drain(math.inf)
            group.cancel_scope.cancel()
    if failure is not None:
        cause = single(failure)
        if ending.has_begun and isinstance(cause, JournalFailedError):
            reporter.journal_failed(cause)
        _fail(cause, order, ending)
    return ending


def _manager(order: Order, bus: EventBus) -> ConstellationDeviceManager:
    manager = ConstellationDeviceManager(plugins=order.registry, event_bus=bus)
    for device in order.inventory.devices:
        manager.add_device(device)
    for one in order.inventory.discoveries:
        manager.add_discovery(one)
    return manager


def _left_at_work(orchestrator: TaskConstellationOrchestrator, ending: Ending) -> Callable[[], dict[str, str]]:
    """Tells what the run has left at work, by the marks of attempts; when it is over, too."""
    runs: list[Any] = []
    ending.at_beginning.append(lambda: runs.extend(orchestrator.runs()))
    return lambda: {mark: id_ for run in (*runs, *orchestrator.runs()) for mark, id_ in run.left_at_work.items()}


def _fail(error: BaseException, order: Order, ending: Ending) -> NoReturn:
    """Raise it; of a journal that has failed in the middle, unlike one that keeps a run from beginning, as an error of the run."""
    if not ending.has_begun or not isinstance(error, JournalError):
        raise error
    text = str(error)
    if isinstance(error, JournalFailedError):  # which knows of no journal that has to be named
        again = command("resume", error.run_id, journal=order.journal)
        text = text.replace(f"galaxy resume {shlex.quote(error.run_id)}", again)
    raise RunError(text) from error


async def _orchestrated(order: Order, orchestrator: TaskConstellationOrchestrator) -> dict[str, Any]:
    if order.resumes:
        return await orchestrator.resume(order.constellation.constellation_id, constellation=order.same_as)
    return await orchestrator.orchestrate_constellation(
        order.constellation, assignment_strategy=order.strategy, metadata=order.metadata
    )


@contextmanager
def _telling(searching: Searching) -> Iterator[None]:
    """Have an error that tasks and devices do not come together say what was seen: afterwards nobody knows."""
    try:
        yield
    except AssignmentError as error:
        for sentence in searching.seen():
            if sentence[1:].rstrip(".") not in str(error):  # where no device is registered at all, it says so itself
                error.add_note(sentence)
        raise


@asynccontextmanager
async def _controlled(
    order: Order, orchestrator: TaskConstellationOrchestrator, reporter: Reporter, ending: Ending
) -> AsyncIterator[None]:
    """Let other processes of this user reach the run, if that is wanted and can be.

    That it cannot be is told when it has begun: another process may be at it, and then it does not, which is what matters.
    """
    if not order.control or sys.platform == "win32":  # where there are no such sockets
        yield
        return
    # It holds and waits for nothing, because nobody registers as an editor and no draft is opened: a task costs a look
    # whether that is still so.
    synchronizer = ConstellationModificationSynchronizer(orchestrator)
    orchestrator.set_modification_synchronizer(synchronizer)
    async with AsyncExitStack() as stack:
        plan = order.constellation
        try:
            path = await stack.enter_async_context(control_socket(orchestrator, synchronizer, plan))
        except (ControlError, OSError) as problem:
            text = f"warning: this run cannot be watched or edited from elsewhere: {problem}"
            ending.at_beginning.append(partial(reporter.tell, text))
        else:
            reporter.reachable(plan.constellation_id, path)
        yield
