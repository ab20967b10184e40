"""Conducts one run: devices, orchestrator, reporter, and the signals and the time limit that cancel it."""

from __future__ import annotations

import math
import signal
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import anyio.abc
from attrs import define, field, frozen

from galaxy_core import (
    AssignmentError,
    ConstellationDeviceManager,
    ConstellationModificationSynchronizer,
    ControlError,
    Event,
    EventBus,
    EventType,
    Inventory,
    PluginRegistry,
    RunError,
    TaskConstellation,
    TaskConstellationOrchestrator,
    control_socket,
)
from galaxy_core.errors import JournalError
from galaxy_core.extension.interfaces import Durability
from galaxy_core_cli.exits import Exit
from galaxy_core_cli.reasons import single
from galaxy_core_cli.running.kill import kill_now
from galaxy_core_cli.running.reporter import Reporter
from galaxy_core_cli.running.searching import Searching

#: Signals that cancel a run, and what it then ends with.
CODES = {"SIGINT": Exit.CANCELLED, "SIGTERM": Exit.TERMINATED, "SIGHUP": Exit.HUNG_UP}


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
    #: Hears what kept it from running, and may raise an error that says more.
    explain: Callable[[Exception], None] = lambda _: None


@define(eq=False)
class Ending:
    """How the run of `constellation` ended; an observer, because that is known for certain only when it starts.

    `result` is that of `orchestrate_constellation`, None when it was stopped before it began. `stopped` is the exit code that
    goes with what stopped it; None when nothing did.
    """

    constellation: TaskConstellation
    result: dict[str, Any] | None = None
    stopped: Exit | None = None
    has_begun: bool = False
    is_kept: bool = False

    heard = frozenset({EventType.CONSTELLATION_STARTED})

    async def on_event(self, event: Event) -> None:
        """Take the plan that runs."""
        self.constellation = event.data["constellation"]
        self.has_begun = True

    @property
    def code(self) -> Exit:
        """The exit code. A run that was all done when it was to be stopped is as good as any."""
        status = None if self.result is None else self.result["status"]
        if status == "completed":
            return Exit.OK
        if status == "stopped":
            return Exit.STOPPED
        if self.stopped is not None:
            return self.stopped
        return Exit.CANCELLED if status == "cancelled" else Exit.NOT_ALL


@define
class _Stopper:
    """Cancels a run, once."""

    orchestrator: TaskConstellationOrchestrator
    reporter: Reporter
    ending: Ending
    scope: anyio.CancelScope = field(factory=anyio.CancelScope)

    async def watch_signals(self, *, task_status: anyio.abc.TaskStatus[None]) -> None:
        """Cancel at the first signal; have a Ctrl-C after that, or the same signal again, kill."""
        if sys.platform == "win32":  # Ctrl-C arrives as KeyboardInterrupt there, which cancels everything, too
            task_status.started()
            return
        every = [getattr(signal, name) for name in CODES]
        # What was ignored from the beginning stays so: nohup ignores SIGHUP, a script's job in the background SIGINT.
        numbers = [number for number in every if signal.getsignal(number) is not signal.SIG_IGN]
        if not numbers:
            task_status.started()
            return
        with anyio.open_signal_receiver(*numbers) as received:
            task_status.started()
            async for number in received:
                again = partial(self.again, {number})
                for each in numbers:
                    # Not received but handled at once, even while something keeps the event loop from running.
                    signal.signal(each, again)
                name = signal.Signals(number).name
                by = "; press Ctrl-C again to kill" if name == "SIGINT" else f": {name} was received"
                await self.stop(CODES[name], f"cancelling{by}")
                await anyio.sleep_forever()  # leaving here would give the signals back

    def again(self, before: set[int], number: int, _: object) -> None:
        """Leave at once, if somebody insists; `before` are the signals so far.

        SIGHUP never does: a terminal that is closed sends it twice, and the end of a login sends SIGTERM with it.
        """
        insists = number == signal.SIGINT or (number in before and signal.Signals(number).name != "SIGHUP")
        before.add(number)
        if insists:
            kill_now(self.ending.stopped or Exit.CANCELLED, self.reporter.restore)

    async def watch_time(self, timeout_s: float) -> None:
        """Cancel when the time is up."""
        await anyio.sleep(timeout_s)
        await self.stop(Exit.TIMED_OUT, f"cancelling: {timeout_s:g} s are over")

    async def stop(self, code: Exit, text: str) -> None:
        """Cancel the run, unless it is being cancelled already."""
        is_first = self.ending.stopped is None
        if is_first:
            self.ending.stopped = code  # before anybody is told, who may answer with the next signal at once
        self.reporter.tell(text)
        if is_first and not await self.orchestrator.cancel_all():
            self.scope.cancel()  # nothing runs yet: devices are being connected, or a policy is being asked


async def conduct(order: Order, reporter: Reporter) -> Ending:
    """Run it to its end, which the signals and the time limit may bring about.

    Raises:
        GalaxyError: nothing could be run.
    """
    ending = Ending(order.constellation, is_kept=order.journal is not None)
    bus = EventBus()
    bus.subscribe(reporter, reporter.heard)
    manager = ConstellationDeviceManager(plugins=order.registry, event_bus=bus)
    for device in order.inventory.devices:
        manager.add_device(device)
    for one in order.inventory.discoveries:
        manager.add_discovery(one)
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
    stopper = _Stopper(orchestrator, reporter, ending)
    failure: Exception | None = None
    async with anyio.create_task_group() as group:
        await group.start(stopper.watch_signals)
        group.start_soon(reporter.keep_current, orchestrator.why, manager.get_all_devices)
        if order.inventory.discoveries:
            bus.subscribe(searching, searching.heard)
            group.start_soon(searching.watch, order.constellation)
        if order.timeout_s is not None:
            group.start_soon(stopper.watch_time, order.timeout_s)
        try:
            async with manager:
                with stopper.scope, _telling(searching):
                    async with _controlled(order, orchestrator, reporter):
                        ending.result = await _orchestrated(order, orchestrator)
                        await bus.drain(math.inf)  # a report that is read slowly is still complete
        except Exception as error:  # raised again below, outside of the group, which would wrap it
            failure = error
        group.cancel_scope.cancel()
    if failure is not None:
        found = single(failure)
        if ending.has_begun and isinstance(found, JournalError):  # unlike one that keeps a run from beginning
            raise RunError(str(found)) from found
        raise found
    return ending


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
    order: Order, orchestrator: TaskConstellationOrchestrator, reporter: Reporter
) -> AsyncIterator[None]:
    """Let other processes of this user reach the run, if that is wanted and can be."""
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
            reporter.tell(f"warning: this run cannot be watched or edited from elsewhere: {problem}")
        else:
            reporter.reachable(plan.constellation_id, path)
        yield
