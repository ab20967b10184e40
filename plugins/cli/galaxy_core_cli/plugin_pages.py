"""What can be said of plugins that are loaded: pages that explain them, and a diagnosis."""

from __future__ import annotations

import inspect
import json
import platform
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from typing import Any

from galaxy_core import AssignmentStrategy, DeviceLoad, Placement, PluginInfo, PluginRegistry, TaskToPlace, Transport
from galaxy_core.extension.interfaces import FEATURES, Simulator
from galaxy_core.extension.transports import features_of
from galaxy_core_cli.files import DEFAULT_STRATEGY
from galaxy_core_cli.text import table


def subjects(registry: PluginRegistry) -> set[str]:
    """Everything that has a page."""
    return {
        *(one.name for one in registry.describe()),
        *(one.distribution for one in registry.describe() if one.distribution),
        *registry.strategies,
        *registry.transports,
        *registry.journals,
        *registry.simulators,
    }


def page(registry: PluginRegistry, name: str) -> Iterator[str]:
    """About a plugin (by its name or its distribution's) with all that it brings, or about one thing that is brought."""
    mine = [one for one in registry.describe() if name in {one.name, one.distribution}]
    for info in mine:
        yield from _of_plugin(registry, info)
    if mine:
        return
    if name in registry.strategies:
        yield from _of_strategy(name, registry.strategies[name])
    if name in registry.transports:
        yield from _of_transport(name, registry.transports[name])
    if name in registry.journals:
        yield f"journal {name}: {_said(registry.journals[name])}"
    if name in registry.simulators:
        yield from _of_simulator(name, registry.simulators[name])


def _of_plugin(registry: PluginRegistry, info: PluginInfo) -> Iterator[str]:
    yield f"plugin {info.name}: {info.status}"
    yield from table(
        [
            ["distribution", f"{info.distribution or '(none)'} {info.version or ''}".strip()],
            ["module", info.module],
            ["hooks", ", ".join(info.hooks) or "(none)"],
            *([["observers", str(info.observers)]] if info.observers else []),
            *([["problem", info.problem]] if info.problem else []),
        ],
        indent="  ",
    )
    for name in info.strategies:
        if name in registry.strategies:
            yield from _of_strategy(name, registry.strategies[name])
    for name in info.transports:
        if name in registry.transports:
            yield from _of_transport(name, registry.transports[name])
    for name in info.journals:
        if name in registry.journals:
            yield f"journal {name}: {_said(registry.journals[name])}"
    for name in info.simulators:
        if name in registry.simulators:
            yield from _of_simulator(name, registry.simulators[name])


def _of_strategy(name: str, strategy: AssignmentStrategy) -> Iterator[str]:
    late = callable(getattr(strategy, "choose", None))
    yield f"strategy {name}: {_said(strategy)}"
    yield f"  binds tasks to devices {'late, when they start' if late else 'before the run'}"


def _of_simulator(name: str, simulator: Simulator) -> Iterator[str]:
    yield f"simulator {name}: {_said(simulator)}"
    yield f"  galaxy simulate {name}"


def _of_transport(name: str, transport: Transport) -> Iterator[str]:
    yield f"transport {name}: {_said(transport)}"
    if transport.device_type:
        yield f"  its devices are of type {transport.device_type}, unless the inventory says otherwise"
    yield f"  requests: {', '.join(sorted(transport.requests)) or 'none'}"
    features = features_of(transport)
    yield "  it promises:" if features else "  it promises nothing beyond that"
    yield from table([[name, says] for name, says in FEATURES.items() if name in features], indent="    ")
    for action in sorted(transport.actions):
        yield f"  action {action}:"
        yield from _fields(transport.actions[action], "    ")
    if transport.settings_model is None:
        yield "  settings: none"
    else:
        yield "  settings:"
        yield from _fields(transport.settings_model, "    ")


def _fields(model: Any, indent: str) -> Iterator[str]:
    """The fields of a pydantic model, from its JSON Schema: what is required first, and all in the words of a file."""
    schema: Mapping[str, Any] = model.model_json_schema()
    required = set(schema.get("required", ()))
    fields = sorted(schema.get("properties", {}).items(), key=lambda item: item[0] not in required)
    rows = []
    for name, one in fields:
        known = one.get("default") is not None
        default = f"default {json.dumps(one['default'], ensure_ascii=False)}" if known else "optional"
        rows.append([name, _type(one), "required" if name in required else default, one.get("description", "")])
    yield from table(rows, indent=indent) if rows else [f"{indent}(none)"]


def _type(one: Mapping[str, Any]) -> str:
    if "anyOf" in one:
        said = dict.fromkeys(_type(each) for each in one["anyOf"] if each.get("type") != "null")
        return " or ".join(said) or "null"
    if "enum" in one or "const" in one:
        return " or ".join(json.dumps(each, ensure_ascii=False) for each in one.get("enum", [one.get("const")]))
    return str(one.get("type") or str(one.get("$ref", "any")).rpartition("/")[2])


def _said(subject: object) -> str:
    """The first paragraph of its class's docstring, in one line."""
    text = inspect.cleandoc(type(subject).__doc__ or "").split("\n\n")[0]
    return " ".join(text.split()) or "(its author says nothing about it)"


def surroundings() -> Iterator[tuple[str, str]]:
    """What plugins stand on."""
    from importlib.metadata import version

    yield "Python", f"{platform.python_version()} on {platform.system()}"
    yield "kernel", version("galaxy-core")
    for name, what in (("trio", "--backend trio"), ("keyring", "secrets in a keyring")):
        yield name, version(name) if find_spec(name) is not None else f"not installed; needed for {what}"


def diagnosis(registry: PluginRegistry) -> list[str]:
    """What is wrong, each with what can be done about it."""
    problems = [str(problem) for problem in registry.problems]
    for name, strategy in registry.strategies.items():
        if why := _fails(strategy):
            problems.append(f"strategy {name!r} {why}. Repair or uninstall its plugin, or block that by name.")
    if DEFAULT_STRATEGY not in registry.strategies:
        problems.append(
            f"there is no strategy {DEFAULT_STRATEGY!r}, which is the default: install galaxy-core-strategies, "
            "or name another with --strategy."
        )
    if "local" not in registry.transports:
        problems.append("there is no transport 'local', which runs tasks on this machine: install galaxy-core-local.")
    return problems


def _fails(strategy: AssignmentStrategy) -> str | None:
    """Why it cannot even place two tasks on two devices; None when it can."""
    devices = {name: DeviceLoad(name, None, frozenset(), {}, 1) for name in ("one", "two")}
    tasks = [
        TaskToPlace("first", 2, None, frozenset(), ("one", "two"), None),
        TaskToPlace("second", 2, None, frozenset(), ("two",), None),
    ]
    try:
        placed = strategy.assign(Placement(tasks, devices, {"second": ["first"]}))
        if placed["first"] in devices and placed["second"] == "two":
            return None
    except Exception as error:  # the diagnosis tells of it
        return f"raised {type(error).__name__} when asked to place two tasks: {error}"
    return f"placed two tasks wrongly: {placed!r}, where 'second' fits 'two' alone"
