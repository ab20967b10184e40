"""Devices that are found: what can be said of a search before it is made, and what it has seen when it was."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from attrs import evolve

from galaxy_core import (
    Action,
    Call,
    Command,
    ConstellationDeviceManager,
    Device,
    Discovery,
    DuplicateIdError,
    GalaxyError,
    PluginRegistry,
    SettingsError,
    TaskConstellation,
    TaskStar,
    UnknownTransportError,
)
from galaxy_core.errors import PluginConflictError
from galaxy_core.extension.models import validated_model
from galaxy_core_cli.text import count, safe_line

Place = tuple[str | int, ...]
#: What a task asks of a device: its type, and capabilities.
Needs = tuple[str | None, frozenset[str]]
#: That, and what the task is: "run", "shell", "call", "action NAME", or None for one that only has a description.
Wanted = tuple[str | None, frozenset[str], str | None]


def needs_of(task: TaskStar) -> Needs:
    return None if task.device_type is None else task.device_type.value, task.requires


def refusals(manager: ConstellationDeviceManager, discovery: Discovery) -> list[tuple[Place, str]]:
    """Adds a search to the manager; what is wrong with it, with places in it, when that cannot be."""
    try:
        manager.add_discovery(discovery)
    except (UnknownTransportError, PluginConflictError) as error:
        return [(("transport",), str(error).replace("device ", "discovery ", 1))]
    except DuplicateIdError as error:
        return [((), str(error))]
    except SettingsError as error:
        transport = manager.plugins.transport(discovery.transport, discovery.name)
        model = getattr(transport, "discovery_model", None)
        found = validated_model(model, discovery.settings)[1]
        if any(not path for path, _ in error.problems):  # not its settings are to blame
            return [(("transport",), text) for _, text in error.problems]
        return [(("settings", *place), text) for place, text in found]
    return []


def expected(discovery: Discovery, registry: PluginRegistry) -> Device:
    """What stands for all that a search may find; its id is ``NAME-*``."""
    try:
        kind = registry.transport(discovery.transport, discovery.name).device_type
    except GalaxyError:  # told elsewhere
        kind = None
    return evolve(discovery.device("", {}, kind), device_id=f"{discovery.name}-*")


def may_bring(discoveries: Sequence[Discovery], registry: PluginRegistry, needs: Needs) -> list[Discovery]:
    """The searches of which a device would meet these needs."""
    return [one for one in discoveries if expected(one, registry).lacks(*needs) is None]


def among(discoveries: Sequence[Discovery]) -> str:
    """``a device of discovery 'phones' or 'tablets'``."""
    return f"a device of discovery {' or '.join(repr(one.name) for one in discoveries)}"


def finder_of(device_id: str, discoveries: Sequence[Discovery]) -> str | None:
    """The name of the search that has found a device, by the device's id."""
    names = [one.name for one in discoveries if device_id.startswith(f"{one.name}-")]
    return max(names, key=len, default=None)


def waits(constellation: TaskConstellation) -> dict[Wanted, list[str]]:
    """The tasks that any fitting device may run, by what they ask for, as the kernel's `LaneBook.fitting` takes it."""
    found: dict[Wanted, list[str]] = {}
    for task in constellation.get_all_tasks():
        if task.target_device_id is None:
            found.setdefault((*needs_of(task), _kind(task)), []).append(task.task_id)
    return found


def _kind(task: TaskStar) -> str | None:
    request = task.request
    if isinstance(request, Action):
        return f"action {request.name}"
    if isinstance(request, Command):
        return "shell" if request.argv is None else "run"
    return "call" if isinstance(request, Call) else None


def seen(manager: ConstellationDeviceManager, discoveries: Sequence[Discovery]) -> Iterator[str]:
    """A sentence for each search: what it has found, what it has seen and not taken, or that it does not work."""
    sightings, broken = manager.sightings(), manager.failing_discoveries()
    for discovery in discoveries:
        name = discovery.name
        found = [one for one in manager.lane_book.lanes if finder_of(one, discoveries) == name]
        said = []
        if found:
            said.append(f"has found {count(len(found), 'device')}: {', '.join(map(repr, found[:5]))}")
        if problems := sightings.get(name):
            said.append(f"sees, and cannot take, {unusable(problems)}")
        if name in broken:
            said.append(f"does not work: {broken[name]}")
        yield f"Discovery {name!r} {' and '.join(said) or 'has seen nothing'}."


def unusable(problems: Mapping[str, str], most: int = 5) -> str:
    """What was seen and cannot be used, with the reasons."""
    told = [f"{safe_line(key)!r} ({safe_line(text)})" for key, text in list(problems.items())[:most]]
    more = f" and {len(problems) - most} more" if len(problems) > most else ""
    return ", ".join(told) + more
