"""What is wrong with a plan and an inventory together, found without connecting or running anything."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import chain, islice
from math import inf
from typing import Any

import anyio
from attrs import field, frozen

from galaxy_core import (
    Action,
    Call,
    Command,
    ConstellationDeviceManager,
    ConstellationManager,
    Device,
    Discovery,
    DuplicateIdError,
    Inventory,
    Plan,
    PluginRegistry,
    SettingsError,
    TaskConstellation,
    TaskStar,
    Transport,
    UnknownDeviceError,
    UnknownStrategyError,
    UnknownTransportError,
    document_lines,
)
from galaxy_core.errors import DocumentError, NoFittingDeviceError, PluginConflictError, nearest
from galaxy_core.extension.models import argument_problems, settings_problems, with_paths
from galaxy_core.extension.sections import extension_problems, unread_sections
from galaxy_core.extension.transports import FEATURES_OF_COMMANDS, features_of
from galaxy_core_cli.discovering import Needs, among, expected, finder_of, may_bring, refusals
from galaxy_core_cli.files import only_this_machine

#: Problems that are told of one file, and those that are looked for; what is found beyond the first is counted.
MOST, ENOUGH = 50, 1000

#: The way to a part of a file: keys of mappings and indices of lists.
Place = tuple[str | int, ...]


@frozen
class Problem:
    """One of a file; `source` names it, `path` the place in it. `line` is None where it is not known."""

    source: str
    path: str
    text: str
    line: int | None = None

    def __str__(self) -> str:
        return str(DocumentError(self.source, [(self.path, self.line, self.text)]))


def of_document(error: DocumentError) -> list[Problem]:
    """The problems that a file has by itself."""
    return [Problem(error.source, path, text, line) for path, line, text in error.problems]


@frozen
class Case:
    """A plan, the devices that it is to run on, and what assigns them. Paths are None or "-" where there is no file."""

    plan: Plan
    plan_path: str
    inventory: Inventory
    devices_path: str | None
    registry: PluginRegistry
    strategy: str
    constellation: TaskConstellation = field()
    manager: ConstellationDeviceManager = field()
    _hopes: dict[Needs, list[str]] = field(factory=dict, init=False)  # tasks that no device fits which is named
    _fitting: dict[Needs, str] = field(factory=dict, init=False)

    @constellation.default
    def _made(self) -> TaskConstellation:
        return self.plan.to_constellation()

    @manager.default
    def _managed(self) -> ConstellationDeviceManager:
        return ConstellationDeviceManager(plugins=self.registry)

    @property
    def devices(self) -> Sequence[Device]:
        """Those that are named."""
        return self.inventory.devices

    @property
    def awaited(self) -> dict[str, Device]:
        """Once `problems` has found none: what stands for a device of each search without which the plan cannot start."""
        names = {one.name for needs in self._hopes for one in self._finders(needs)}
        return {one.name: expected(one, self.registry) for one in self.inventory.discoveries if one.name in names}

    def _finders(self, needs: Needs) -> list[Discovery]:
        return may_bring(self.inventory.discoveries, self.registry, needs)

    def problems(self) -> list[Problem]:
        """All that can be found. When there are none, every task of `constellation` has its device, perhaps an awaited one.

        Raises:
            PluginError: a strategy broke.
        """
        of_devices = list(self._of_devices())
        of_plan = list(islice(chain(self._of_strategy(), self._of_extensions(), self._of_places()), ENOUGH + 1))
        if not of_devices:
            if not of_plan:
                self._assign()
            of_plan += islice(self._of_requests(), ENOUGH + 1)
        return [*_placed(self.devices_path, of_devices), *_placed(self.plan_path, of_plan)]

    def warnings(self) -> list[Problem]:
        """What is passed over when the plan runs, and may be a slip: sections of `extensions` that no plugin reads.

        Raises:
            PluginError: a plugin broke.
        """
        unread = unread_sections(self.registry, self.plan.extensions or {})
        return list(_placed(self.plan_path, [(("extensions", name), why) for name, why in unread.items()]))

    def notes(self) -> list[Problem]:
        """What is no problem, once `problems` has found none: tasks that wait for a device to be found."""
        found: list[tuple[Place, str]] = []
        for needs, task_ids in self._hopes.items():
            more = len(task_ids) - 1
            told = f", as for {more:,} other task{'' if more == 1 else 's'}" if more else ""
            text = f"no device that is named fits; {among(self._finders(needs))} may fit{told}"
            found.append((("tasks", task_ids[0]), text))
        return list(_placed(self.plan_path, found))

    def refuse(self) -> None:
        """Raise what `problems` finds.

        Raises:
            DocumentError: there is any.
        """
        problems = self.problems()
        if problems:
            source = problems[0].source
            mine = [problem for problem in problems if problem.source == source]
            raise DocumentError(source, [(problem.path, problem.line, problem.text) for problem in mine])

    # ------------------------------------------------------------------------------------------- one thing at a time
    def _of_devices(self) -> Iterator[tuple[Place, str]]:
        for device in self.devices:
            try:
                self.manager.add_device(device)
            except (UnknownTransportError, PluginConflictError) as error:
                yield ("devices", device.device_id, "transport"), str(error)
            except SettingsError:
                place = ("devices", device.device_id, "settings")
                transport = self.registry.transport(device.transport, device.device_id)
                found = settings_problems(transport, device)
                yield from (((*place, *inner), text) for inner, text in found)
            except DuplicateIdError as error:
                yield ("devices", device.device_id), str(error)
        for one in self.inventory.discoveries:
            yield from ((("discover", one.name, *inner), text) for inner, text in refusals(self.manager, one))

    def _of_strategy(self) -> Iterator[tuple[Place, str]]:
        try:
            self.registry.strategy(self.strategy)
        except (UnknownStrategyError, PluginConflictError) as error:
            yield ("strategy",) if self.plan.strategy == self.strategy else (), str(error)

    def _of_extensions(self) -> Iterator[tuple[Place, str]]:
        yield from extension_problems(self.registry, self.constellation)

    def _of_places(self) -> Iterator[tuple[Place, str]]:
        # With the type that its transport gives it, where that is known.
        known = {device.device_id: device for device in self.devices}
        known.update(self.manager.device_registry.get_all_devices())
        lacking: dict[Any, NoFittingDeviceError | None] = {}
        unknown: dict[str, str] = {}  # the first task that is pinned to it
        alone = only_this_machine(self.devices_path)  # said once, whatever follows from it
        for task in self.constellation.get_all_tasks():
            pin = task.target_device_id
            if pin is not None and pin not in known:
                if pin in unknown:
                    text = f"device {pin!r} is not registered, as for task {unknown[pin]!r}"
                else:
                    unknown[pin] = task.task_id
                    text, alone = f"{UnknownDeviceError(pin, known, alone)}", ""
                    if finder_of(pin, self.inventory.discoveries) is not None:
                        text += " A task cannot be pinned to a device that is yet to be found: require a capability."
                yield ("tasks", task.task_id, "device"), text
                continue
            kind = None if task.device_type is None else task.device_type.value
            needs = (kind, task.requires, pin)
            if needs not in lacking:
                lacking[needs] = _no_fit(task, kind, known if pin is None else {pin: known[pin]})
                if lacking[needs] is not None and pin is None and self._finders(needs[:2]):
                    lacking[needs], self._hopes[needs[:2]] = None, []
            if pin is None and needs[:2] in self._hopes:
                self._hopes[needs[:2]].append(task.task_id)
            if (error := lacking[needs]) is not None:
                key = "requires" if task.requires else "device_type" if kind else "device"
                text = str(NoFittingDeviceError([task.task_id], error.needs, error.missing, pinned=pin))
                yield ("tasks", task.task_id, key), alone + text
                alone = ""

    def _assign(self) -> None:
        for device in self.awaited.values():
            self.manager.lane_book.add(device).transport = self.registry.transport(device.transport, device.device_id)
        if self.constellation.task_count:
            manager = ConstellationManager(self.manager, plugins=self.registry)
            anyio.run(partial(manager.assign_devices_automatically, self.constellation, self.strategy, available=False))

    def _of_requests(self) -> Iterator[tuple[Place, str]]:
        transports = {
            device.device_id: self.registry.transport(device.transport, device.device_id)
            for device in (*self.devices, *self.awaited.values())
        }
        for task in self.constellation.get_all_tasks():
            device_id = task.target_device_id or self._likely(task)
            if device_id in transports:  # another problem says where not
                for inner, text in _refusals(task, transports[device_id]):
                    yield ("tasks", task.task_id, *inner), f"device {device_id!r}: {text}"

    def _likely(self, task: TaskStar) -> str:
        """While nothing can be assigned: a device that fits, if all that do are of one transport, else ""."""
        kind = None if task.device_type is None else task.device_type.value
        if (kind, task.requires) not in self._fitting:
            known = self.manager.device_registry.get_all_devices()
            fit = {name: one.transport for name, one in known.items() if one.lacks(kind, task.requires) is None}
            self._fitting[kind, task.requires] = next(iter(fit)) if len(set(fit.values())) == 1 else ""
        return self._fitting[kind, task.requires]


def _placed(path: str | None, found: Sequence[tuple[Place, str]]) -> Iterator[Problem]:
    """In the order of the lines, as the problems of a file by itself are told."""
    name = "<standard input>" if path == "-" else path or "this machine"
    lines = document_lines(path, [place for place, _ in found]) if path and path != "-" and found else {}
    in_order = sorted(found, key=lambda problem: lines.get(problem[0], inf))[:MOST]
    for (place, _), (path_text, text) in zip(in_order, with_paths(in_order), strict=True):
        yield Problem(name, path_text, text, lines.get(place))
    if len(found) > ENOUGH:
        yield Problem(name, "", f"and more: after {ENOUGH:,} problems, no more were looked for")
    elif len(found) > MOST:
        yield Problem(name, "", f"and {len(found) - MOST:,} more problem{'' if len(found) == MOST + 1 else 's'}")


def _no_fit(task: TaskStar, kind: str | None, devices: Mapping[str, Device]) -> NoFittingDeviceError | None:
    missing = {device_id: device.lacks(kind, task.requires) for device_id, device in devices.items()}
    if None in missing.values():
        return None
    needs = f"{'an' if kind[0] in 'aeio' else 'a'} {kind} device" if kind else "a device"
    if task.requires:
        needs += f" with {', '.join(sorted(task.requires))}"
    return NoFittingDeviceError([task.task_id], needs, {name: lack or "" for name, lack in missing.items()})


def _refusals(task: TaskStar, transport: Transport) -> Iterator[tuple[Place, str]]:
    """Why a transport would not take a task's request, with the places of that in the task."""
    request = task.request
    if isinstance(request, Action):
        if request.name in transport.actions:
            yield from (
                (("action", request.name, *place), text) for place, text in argument_problems(transport, request)
            )
            return
        near = nearest(request.name, transport.actions)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        text = f"transport {transport.name!r} has no action {request.name!r}{hint}; {_taken(transport)}"
        yield ("action",), text
        return
    kind = "none" if request is None else "call" if isinstance(request, Call) else _kind(request)
    if kind not in transport.requests:
        words = {"none": "a task that only has a description"}.get(kind, f"{kind!r}")
        text = f"transport {transport.name!r} does not take {words}; {_taken(transport)}"
        yield () if request is None else (kind,), text
    elif isinstance(request, Command):
        features = features_of(transport)
        taken = ", ".join(repr(key) for key in sorted(features & FEATURES_OF_COMMANDS)) or "no such keys"
        for key in sorted(FEATURES_OF_COMMANDS - features):
            given = getattr(request, key)
            if given or given == "":
                yield (key,), f"transport {transport.name!r} does not take {key!r} of a command; it takes: {taken}"


def _kind(command: Command) -> str:
    return "shell" if command.argv is None else "run"


def _taken(transport: Transport) -> str:
    taken = [*sorted(map(repr, transport.requests)), *(f"action {name!r}" for name in sorted(transport.actions))]
    return f"it takes: {', '.join(taken) or 'nothing'}"
