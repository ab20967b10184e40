"""Starts simulated devices, keeps them until somebody ends them, and takes everything away again."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from functools import partial
from pathlib import Path
from shlex import quote
from typing import Any

import anyio
import anyio.abc
from attrs import define, field, frozen

from galaxy_core import Device, Inventory, PluginRegistry
from galaxy_core.errors import DuplicateIdError, GalaxyError, PluginError, SimulatorError
from galaxy_core_cli import say
from galaxy_core_cli.exits import Exit
from galaxy_core_cli.probing import examined
from galaxy_core_cli.reasons import single, why
from galaxy_core_cli.running.kill import dying_at_quit, kill_now
from galaxy_core_cli.running.stopping import CODES
from galaxy_core_cli.simulating.inventory import InventoryFile, plain
from galaxy_core_cli.simulating.kinds import BROUGHT_BY, Chosen, installing
from galaxy_core_cli.simulating.minding import mind
from galaxy_core_cli.streams import Lines
from galaxy_core_cli.text import count, safe_line, table


@frozen
class Order:
    """What is to be there. `folder` is where the devices live; None: a private one, which is removed at the end."""

    kinds: Sequence[Chosen]
    count: int
    out: InventoryFile
    registry: PluginRegistry
    folder: Path | None = None
    json: bool = False


def serve(order: Order) -> Exit:
    """Until a signal ends it, which is how it is meant to end: then OK. A signal while devices are started cancels.

    Raises:
        SimulatorError: devices cannot be started here.
        PluginError: a simulator broke.
        WrongValueError, OSError: the inventory or the folder cannot be written.
    """
    order.out.check()
    with _folder(order.folder) as place:
        leave = partial(_leave, order, place)
        mind(partial(_sweep, order, place))
        with dying_at_quit(leave):
            code, devices = anyio.run(_serve, order, place, leave)
    where = "" if order.folder is None else f"; what they stored is left in {order.folder}"
    say.note(
        f"removed: {count(devices, 'device')} and {order.out.path}{where}" if devices else f"nothing is left{where}"
    )
    return code


def _leave(order: Order, place: Path) -> None:
    """Take away what can be at once: the process is about to be gone."""
    order.out.remove()
    if order.folder is None:
        shutil.rmtree(place, ignore_errors=True)


def _sweep(order: Order, place: Path) -> None:
    """Take away what a process that was killed has left."""
    order.out.remove_as_written()
    if order.folder is None:
        shutil.rmtree(place, ignore_errors=True)


async def _serve(order: Order, place: Path, leave: Callable[[], None]) -> tuple[Exit, int]:
    party = _Party(order, place, leave)
    return await party.run(), party.devices


@contextmanager
def _folder(wanted: Path | None) -> Iterator[Path]:
    """Where devices live. One that was named must be new or empty, and stays."""
    if wanted is None:
        place = Path(tempfile.mkdtemp(prefix="galaxy-sim-"))  # for its owner alone
        try:
            yield place
        finally:
            shutil.rmtree(place, onerror=_told)
        return
    with suppress(FileExistsError):
        wanted.mkdir(mode=0o700)
    if any(wanted.iterdir()):
        raise say.WrongValueError(f"--folder {str(wanted)!r} is not empty: name one that is, or that is not there yet")
    yield wanted.absolute()


def _told(_function: object, path: str, problem: tuple[type[BaseException], BaseException, object]) -> None:
    say.warning(f"{path} could not be removed: {why(problem[1])}")


@define
class _Party:
    """The devices of one invocation. `stopped` is the exit code that goes with the signal that ended it."""

    order: Order
    place: Path
    leave: Callable[[], None]
    stopped: Exit | None = None
    devices: int = 0  # that are up
    _over: anyio.Event = field(factory=anyio.Event)
    _scope: anyio.CancelScope = field(factory=anyio.CancelScope)

    async def run(self) -> Exit:
        failure: Exception | None = None
        async with anyio.create_task_group() as group:
            await group.start(self._watch_signals)
            try:
                with self._scope:
                    await self._keep()
            except Exception as error:  # raised again below, outside of the group, which would wrap it
                failure = error
            group.cancel_scope.cancel()
        if failure is not None:
            raise single(failure)
        return Exit.OK if self.devices else self.stopped or Exit.CANCELLED

    async def _keep(self) -> None:
        order, devices = self.order, list[Device]()
        try:
            async with AsyncExitStack() as stack:
                for kind in order.kinds:
                    devices += await stack.enter_async_context(self._started(kind))
                found = _checked(devices, order.registry)
                order.out.write(devices)
                self.devices = len(devices)
                self._show(found)
                await self._over.wait()
        finally:
            if not order.out.remove():
                say.warning(f"{order.out.path} was changed meanwhile, and is left as it is: its devices are gone")

    @asynccontextmanager
    async def _started(self, kind: Chosen) -> AsyncIterator[Sequence[Device]]:
        """Devices of one kind.

        Raises:
            SimulatorError: they cannot be started.
            PluginError: their simulator broke.
        """
        if kind.simulator is None:
            yield Inventory().devices
            return
        say.note(f"starting {self.order.count:,} x {kind.name} ...")
        folder = self.place / kind.name
        folder.mkdir(mode=0o700)
        ours: BaseException | None = None
        try:
            async with kind.simulator.simulate(self.order.count, folder) as devices:
                _check_devices(kind.name, devices)
                try:
                    yield devices
                except BaseException as error:
                    ours = error  # not the simulator's, which may put it into a group on its way
                    raise
        except Exception as error:  # whoever asked for such devices receives it
            found = single(error)
            raise found if found is ours else _blamed(found, kind.name) from error

    def _show(self, found: Sequence[Mapping[str, Any]]) -> None:
        lines, path = Lines(sys.stdout), str(self.order.out.path)
        if self.order.json:
            told = {"inventory": os.path.abspath(path), "folder": str(self.place), "devices": found}
            lines.write([json.dumps(told)])
        else:
            rows = [
                [
                    safe_line(info["device_id"]),
                    safe_line(info["transport"]),
                    safe_line(info["device_type"] or "?"),
                    count(info["max_concurrency"], "slot"),
                    safe_line(", ".join(info["capabilities"])),
                ]
                for info in found
            ]
            lines.write(list(table(rows)))
        end = "Ctrl-C ends and removes them" if _hears("SIGINT") else f"kill {self.order.out.pid} ends and removes them"
        say.note(
            f"use them: galaxy run PLAN --devices {quote(path)}\nWhat runs on them runs on this machine, as you. {end}."
        )

    # ------------------------------------------------------------------------------------------- the end
    async def _watch_signals(self, *, task_status: anyio.abc.TaskStatus[None]) -> None:
        """End at the first signal; kill at a second."""
        numbers = [getattr(signal, name) for name in CODES if _hears(name)]
        if sys.platform == "win32" or not numbers:  # there Ctrl-C arrives as KeyboardInterrupt, which ends it, too
            task_status.started()
            return
        with anyio.open_signal_receiver(*numbers) as received:
            task_status.started()
            async for number in received:
                for each in numbers:
                    # Not received but handled at once, even while something keeps the event loop from running.
                    signal.signal(each, self._again)
                self.stopped = CODES[signal.Signals(number).name]
                say.note("removing them; press Ctrl-C again to kill" if number == signal.SIGINT else "removing them")
                # What was started is left in peace, as if it were no longer needed; what starts is cancelled.
                self._over.set() if self.devices else self._scope.cancel()
                await anyio.sleep_forever()  # leaving here would give the signals back

    def _again(self, number: int, _: object) -> None:
        if signal.Signals(number).name != "SIGHUP":  # a terminal that is closed sends it twice
            kill_now(self.stopped or Exit.CANCELLED, self.leave)


def _hears(name: str) -> bool:
    """Whether a signal does anything; what was ignored from the beginning stays so."""
    number = getattr(signal, name, None)
    return number is not None and signal.getsignal(number) is not signal.SIG_IGN


def _check_devices(simulator: str, devices: object) -> None:
    """
    Raises:
        PluginError: they are none.
    """
    if not isinstance(devices, Sequence) or not all(isinstance(one, Device) for one in devices):
        raise PluginError(simulator, f"simulator {simulator!r} yielded {type(devices).__name__}, not a list of devices")


def _checked(devices: Sequence[Device], registry: PluginRegistry) -> list[dict[str, Any]]:
    """What is told of them.

    Raises:
        DuplicateIdError: two have one id.
        PluginError: a run would refuse one.
    """
    seen = set[str]()
    for device in devices:
        if device.device_id in seen:
            raise DuplicateIdError("Device", device.device_id)
        seen.add(device.device_id)
    found = examined(Inventory(list(devices)), registry)
    for info, device in zip(found, devices, strict=True):
        if info["problem"]:
            text = f"simulated device {info['device_id']!r} could not be used: {info['problem']}"
            raise PluginError(info["transport"], text)
        del info["problem"], info["discovery"]
        info["settings"] = plain(device.settings)
    return found


def _blamed(error: BaseException, simulator: str) -> BaseException:
    """What is told of an error of a simulator."""
    if isinstance(error, GalaxyError):
        return error
    if isinstance(error, ImportError) and error.name and simulator in BROUGHT_BY:
        return SimulatorError(simulator, f"it needs the module {error.name}: {installing(simulator)}")
    return PluginError(simulator, f"simulator {simulator!r} broke: {why(error)}")
