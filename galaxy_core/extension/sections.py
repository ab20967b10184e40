"""What plans say to plugins under `extensions`: the models that plugins declare of it, and what is wrong with it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from types import MappingProxyType
from typing import Any

from galaxy_core.errors import HookError, PluginConflictError, nearest
from galaxy_core.extension.contributions import in_words, is_model
from galaxy_core.extension.hookimpls import blame
from galaxy_core.extension.models import Problem, validated
from galaxy_core.extension.registry import HookCall, PluginRegistry
from galaxy_core.model.constellation import TaskConstellation
from galaxy_core.model.values import copied

MODELS, CHECK = "galaxy_extension_models", "galaxy_check_extension"
#: Problems of one section that are asked for.
MOST = 1000


def extension_models(registry: PluginRegistry) -> Mapping[str, Any]:
    """The pydantic models that plugins declare, by the key under `extensions` that each describes.

    Raises:
        HookError: a plugin's hook raised, or returned something else.
        PluginConflictError: two plugins declare one key.
    """
    return MappingProxyType({name: model for name, (_, model) in _declared(registry).items()})


def extension_problems(registry: PluginRegistry, plan: TaskConstellation) -> list[Problem]:
    """What plugins have against what a plan says to them, with places in the plan's document.

    Nothing of sections that no plugin has declared. Costs nothing for plans without any.

    Raises:
        HookError: the hook of a plugin raised, or returned rubbish.
        PluginConflictError: two plugins declare one section.
    """
    extensions = plan.metadata.get("extensions")
    if not isinstance(extensions, Mapping) or not extensions:
        return []
    declared = _declared(registry)
    found: list[Problem] = []
    for name, values in extensions.items():
        if name in declared:
            plugin, model = declared[name]
            section, problems = validated(
                model, copied(values)
            )  # what a plan keeps is frozen, strict models want lists
            problems = problems or list(_misfits(registry, plugin, name, section, plan))
            found += [(("extensions", name, *place), text) for place, text in problems]
    return found


def unread_sections(registry: PluginRegistry, told: Iterable[str]) -> dict[str, str]:
    """Of the keys under `extensions`, those that no plugin reads, each with what to do about it.

    By convention a plugin reads the key that is its name; others it has to declare. One that is blocked reads nothing.

    Raises:
        HookError, PluginConflictError: as `extension_models`.
    """
    plugins = {plugin.name: plugin.status for plugin in registry.describe()}
    known = {name for name, status in plugins.items() if status in ("loaded", "not loaded")}
    unread = set(told) - known
    if not unread:
        return {}
    known |= extension_models(registry).keys()
    found = {}
    for name in sorted(unread - known):
        near = nearest(name, sorted(known))
        if name in plugins:
            found[name] = f"the plugin {name!r} is {plugins[name]}: what it is told is passed over"
        else:
            meant = f"did you mean {' or '.join(map(repr, near))}?" if near else "install the plugin that reads it"
            found[name] = f"no plugin {name!r} is installed: this is passed over; {meant}"
    return found


def _declared(registry: PluginRegistry) -> Mapping[str, tuple[str, Any]]:
    """The plugin and the model of each section."""
    found: dict[str, tuple[str, Any]] = {}
    for call in registry.implementations(MODELS):
        for name, model in _models_of(call):
            if name in found and found[name][0] != call.plugin:
                raise PluginConflictError("plan extension", name, found[name][0], call.plugin)
            found[name] = call.plugin, model
    return found


def _models_of(call: HookCall) -> list[tuple[str, Any]]:
    def error(why: str) -> HookError:
        return HookError(call.plugin, MODELS, why)

    with blame(lambda why: error(f"it raised {why}")):
        returned = call.function()
    if not isinstance(returned, Mapping):
        raise error(f"it returned {in_words(returned)}; it must return a mapping of names to pydantic model classes")
    with blame(lambda why: error(f"it raised {why}")):
        models = list(returned.items())
    for name, model in models:
        if not isinstance(name, str) or not name.strip():
            raise error(f"it declares a model for {name!r:.80}; a key of `extensions` is a text")
        if not is_model(model):
            raise error(f"the model of {name!r} is {in_words(model)}; it must be a pydantic model class")
    return models


def _misfits(
    registry: PluginRegistry, plugin: str, name: str, section: Any, plan: TaskConstellation
) -> Iterator[Problem]:
    for call in registry.implementations(CHECK):
        if call.plugin != plugin:
            continue

        def error(why: str, plugin: str = plugin) -> HookError:
            return HookError(plugin, CHECK, why)

        with blame(lambda why: error(f"it raised {why}")):
            returned = call.function(name=name, section=section, plan=plan)
        if not isinstance(returned, Iterable):
            raise error(f"it returned {in_words(returned)}; it must return an iterable of (place, text)")
        with blame(lambda why: error(f"it raised {why}")):
            problems = list(islice(returned, MOST))
        for problem in problems:
            if not _is_problem(problem):
                raise error("it must return pairs of a place, a tuple of keys and indices, and a text")
            yield tuple(problem[0]), problem[1]


def _is_problem(problem: Any) -> bool:
    if not isinstance(problem, (tuple, list)) or len(problem) != 2:
        return False
    place, text = problem
    is_place = isinstance(place, (tuple, list)) and all(isinstance(step, (str, int)) for step in place)
    return is_place and isinstance(text, str)
