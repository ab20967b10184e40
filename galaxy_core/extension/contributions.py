"""Takes what plugins hand over, and refuses what does not have the shape of its Protocol.

What can be told without calling anything is checked here: names, types, the number of arguments. Whether a transport
or strategy also *behaves* is what the contracts of `galaxy_core.testing` are for.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Mapping
from collections.abc import Set as AbstractSet
from itertools import islice
from types import ModuleType
from typing import Any

from attrs import frozen

from galaxy_core.errors import HookError, PluginError, PluginLoadError
from galaxy_core.extension.hookimpls import Implementation, blame, did_you_mean
from galaxy_core.extension.transports import FEATURES

#: What the name of a strategy, transport, journal or action may look like.
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")

#: The kinds of request that a transport may accept beside its actions.
REQUEST_KINDS = ("run", "shell", "call", "none")

#: No plugin brings more than this from one hook; it stops an endless generator.
MOST = 1000


@frozen
class Kind:
    """One kind of contribution. `complaint` says what is wrong with a candidate, or None."""

    hook: str
    singular: str
    plural: str
    named: bool
    complaint: Callable[[Any], str | None]


def _strategy_complaint(strategy: Any) -> str | None:
    return _method_complaint(strategy, "assign", 1) or (
        _method_complaint(strategy, "choose", 2) if getattr(strategy, "choose", None) is not None else None
    )


def _transport_complaint(transport: Any) -> str | None:
    for attribute in ("settings_model", "requests", "actions", "device_type"):
        if not hasattr(transport, attribute):
            return f"it has no attribute {attribute!r}"
    model = transport.settings_model
    if model is not None and not is_model(model):
        return f"its settings_model is {in_words(model)}; it must be a pydantic model class, or None"
    if not isinstance(transport.requests, AbstractSet):
        return f"its requests are {in_words(transport.requests)}; they must be a frozenset of strings"
    for request in transport.requests:
        if request not in REQUEST_KINDS:
            near = did_you_mean(str(request), REQUEST_KINDS)
            return f"it accepts requests of kind {request!r}{near}; kinds are {', '.join(REQUEST_KINDS)}"
    if not isinstance(transport.actions, Mapping):
        return (
            f"its actions are {in_words(transport.actions)}; they must be a mapping of names to pydantic model classes"
        )
    for action, model in transport.actions.items():
        if (complaint := _name_complaint(action)) is not None:
            return f"of an action, {complaint}"
        if not is_model(model):
            return f"the model of its action {action!r} is {in_words(model)}; it must be a pydantic model class"
    kind = transport.device_type
    if kind is not None and not (isinstance(kind, str) and kind and kind == kind.lower()):
        return f"its device_type is {kind!r}; it must be a lower-case name, or None"
    return _opening_complaint(transport, 2) or _features_complaint(transport)


def _features_complaint(transport: Any) -> str | None:
    features = getattr(transport, "features", None)
    if features is None:
        return None
    if not isinstance(features, AbstractSet):
        return f"its features are {in_words(features)}; they must be a frozenset of strings"
    for feature in features:
        if feature not in FEATURES:
            near = did_you_mean(str(feature), FEATURES)
            return f"it declares the feature {feature!r}{near}; features are {', '.join(FEATURES)}"
    if "returns" in features and (complaint := _method_complaint(transport, "until_back", 2, waits=True)):
        return f"it declares 'returns', but {complaint}"
    if "discovers" in features:
        if (complaint := _method_complaint(transport, "discover", 2, waits=True)) is not None:
            return f"it declares 'discovers', but {complaint}"
        model = getattr(transport, "discovery_model", None)
        if model is not None and not is_model(model):
            return f"its discovery_model is {in_words(model)}; it must be a pydantic model class, or None"
    return None


def _simulator_complaint(simulator: Any) -> str | None:
    return _method_complaint(simulator, "simulate", 2)


def _journal_complaint(journal: Any) -> str | None:
    for method in ("open", "reopen"):
        if (complaint := _opening_complaint(journal, 1, method)) is not None:
            return complaint
    return _method_complaint(journal, "read", 1) or _method_complaint(journal, "runs", 0)


def _observer_complaint(observer: Any) -> str | None:
    return _method_complaint(observer, "on_event", 1, waits=True) or (
        _method_complaint(observer, "on_events", 1, waits=True)
        if getattr(observer, "on_events", None) is not None
        else None
    )


STRATEGY = Kind("galaxy_strategies", "strategy", "strategies", True, _strategy_complaint)
TRANSPORT = Kind("galaxy_transports", "transport", "transports", True, _transport_complaint)
JOURNAL = Kind("galaxy_journals", "journal", "journals", True, _journal_complaint)
OBSERVER = Kind("galaxy_observers", "observer", "observers", False, _observer_complaint)
SIMULATOR = Kind("galaxy_simulators", "simulator", "simulators", True, _simulator_complaint)
KINDS = {kind.hook: kind for kind in (STRATEGY, TRANSPORT, JOURNAL, OBSERVER, SIMULATOR)}


@frozen
class Contribution:
    """One object that a plugin brings; `name` is empty for an observer."""

    kind: Kind
    name: str
    value: Any


def contributions_of(plugin: object, name: str, implementations: Iterable[Implementation]) -> list[Contribution]:
    """Everything that `plugin` brings.

    A plugin that implements hooks brings what they return. An object that implements none may itself be a strategy,
    transport, journal or observer.

    Raises:
        HookError: a hook raised, or returned what it may not.
        PluginLoadError: the object itself looks like a contribution, but lacks part of its shape.
    """
    found: list[Contribution] = []
    hooks = list(implementations)
    for implementation in hooks:
        kind = KINDS.get(implementation.hook)
        if kind is not None:
            error = _hook_error(name, kind)
            for value in _returned(kind, implementation.function, error):
                _add(found, kind, value, error)
    if not hooks:
        for kind in _resembled(plugin, name):
            _add(found, kind, plugin, lambda why: PluginLoadError(name, None, why))
    return found


def _resembled(plugin: object, name: str) -> list[Kind]:
    if isinstance(plugin, ModuleType):  # has names like `open` for reasons of its own
        return []
    with blame(lambda why: PluginLoadError(name, None, f"one of its attributes raised {why}")):
        has = {part for part in ("assign", "open", "requests", "settings_model", "actions") if hasattr(plugin, part)}
        listens = hasattr(plugin, "on_event") or hasattr(plugin, "on_events")
    found = []
    if "assign" in has:
        found.append(STRATEGY)
    if "open" in has:
        found.append(TRANSPORT if has & {"requests", "settings_model", "actions"} else JOURNAL)
    return [*found, OBSERVER] if listens else found


def _hook_error(name: str, kind: Kind) -> Callable[[str], PluginError]:
    return lambda why: HookError(name, kind.hook, why)


def _returned(kind: Kind, function: Callable[..., Any], error: Callable[[str], PluginError]) -> list[Any]:
    with blame(lambda why: error(f"it raised {why}")):
        returned = function()
    if inspect.iscoroutine(returned):
        returned.close()  # it will never be awaited, and Python would warn of that
    if isinstance(returned, str | bytes | Mapping) or not isinstance(returned, Iterable):
        raise error(f"it returned {in_words(returned)}; it must return an iterable of {kind.plural}, such as a list")
    with blame(lambda why: error(f"it raised {why}")):
        values = list(islice(returned, MOST + 1))
    if len(values) > MOST:
        raise error(f"it returned more than {MOST} {kind.plural}")
    return values


def _add(found: list[Contribution], kind: Kind, value: Any, error: Callable[[str], PluginError]) -> None:
    if any(other.kind is kind and other.value is value for other in found):
        return
    if isinstance(value, type):
        raise error(f"the class {value.__name__} is not a {kind.singular}; bring an instance of it")
    with blame(lambda why: error(f"{in_words(value)} cannot be examined: it raised {why}")):
        complaint = kind.complaint(value)
        name = getattr(value, "name", None) if kind.named else ""
        complaint = complaint or (_name_complaint(name) if kind.named else None)
    if complaint is not None:
        raise error(f"{in_words(value)} is not a usable {kind.singular}: {complaint}")
    if kind.named and any(other.kind is kind and other.name == name for other in found):
        raise error(f"it brings two {kind.plural} of the name {name!r}")
    found.append(Contribution(kind, str(name), value))


def _name_complaint(name: Any) -> str | None:
    if isinstance(name, str) and NAME.fullmatch(name):
        return None
    return f"the name is {name!r}; it must be a string that matches {NAME.pattern}"


def _method_complaint(value: Any, method: str, arguments: int, *, waits: bool = False) -> str | None:
    function = getattr(value, method, None)
    if function is None:
        return f"it has no method {method!r}"
    if not callable(function):
        return f"its {method!r} is {in_words(function)}; it must be a method"
    if not waits and (inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function)):
        return f"its {method!r} is `async def`, but is called synchronously"
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # some builtins have none: the call itself will tell
        return None
    try:
        signature.bind(*[None] * arguments)
    except TypeError:
        return f"its {method!r} cannot be called with {arguments or 'no'} positional argument{'' if arguments == 1 else 's'}"
    return None


def _opening_complaint(value: Any, arguments: int, method: str = "open") -> str | None:
    complaint = _method_complaint(value, method, arguments)
    if complaint is not None and "async def" in complaint:
        return f"{complaint} and returns an asynchronous context manager: put @asynccontextmanager above it"
    return complaint


def is_model(model: Any) -> bool:
    """Whether it is a class that checks as those of pydantic do."""
    return isinstance(model, type) and callable(getattr(model, "model_validate", None))


def in_words(value: Any) -> str:
    """What a value is, in words. Not its repr, which is a stranger's code and may hold anything."""
    if value is None or isinstance(value, bool):
        return repr(value)
    if isinstance(value, type):
        return f"the class {value.__name__}"
    kind = type(value).__name__
    return f"{'an' if kind[:1].lower() in 'aeiou' else 'a'} {kind}"
